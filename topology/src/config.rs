//! MM2's configuration, from the file to typed values per flow.

mod change;
mod client;
mod connect;
mod derive;
mod error;
mod flow;
mod host;
mod keys;
mod provider;
mod usage;
pub(crate) mod value;

pub use client::{ClientKind, ClientOwner, Side, client_properties};
pub use connect::{ConnectWorker, ConnectorSet, StorageTopic, identify};
pub use derive::{Connector, MirrorProperties};
pub use error::{ConfigError, ConfigErrors, KeyAt, is_secret};
pub use flow::{
    AutoOffsetReset, ClusterConfig, ConnectorNames, FlowConfig, FlowProperties, GroupFilter,
    IsolationLevel, OffsetConfig, OffsetSyncsLocation, Pace, REQUEST_TIMEOUT_MIN,
};
pub use host::HostPort;
pub use provider::{ConfigProvider, ConfigProviders};
pub use usage::KeyReport;
pub use value::DURATION_MAX;

use std::collections::BTreeMap;

use crate::alias::FlowId;
use crate::cycle::{self, LoopProof};
use crate::properties::Properties;

/// Everything that one process is asked to do.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    properties: MirrorProperties,
    flows: Vec<FlowConfig>,
    /// Of other processes.
    elsewhere: Vec<FlowConfig>,
    /// Configurations that are not the file's any more.
    changed: BTreeMap<FlowId, ConnectorSet>,
    loop_proof: LoopProof,
    unknown_keys: Vec<KeyReport>,
    ignored_keys: Vec<KeyReport>,
}

impl MirrorConfig {
    /// Reads a file's properties. `target_aliases` are those of `--clusters`: only flows into them
    /// run in this process; none means all (docs/spec/mm2.md 1.2).
    ///
    /// `${...}` stays as it is written; see [`read_with`](Self::read_with).
    ///
    /// # Errors
    /// All faults that can be found at once. Stricter than MM2 where MM2 would log an error and
    /// run on without the connector that it concerns.
    pub fn read(properties: Properties, target_aliases: &[String]) -> Result<Self, ConfigErrors> {
        Self::read_with(properties, target_aliases, ConfigProviders::default())
    }

    /// As [`read`](Self::read), with providers that resolve `${...}`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_with(
        properties: Properties,
        target_aliases: &[String],
        providers: ConfigProviders,
    ) -> Result<Self, ConfigErrors> {
        let properties = MirrorProperties::new(properties, providers)?;
        let mut errors = ConfigErrors::default();
        errors.take(properties.check_top_level());
        for target in target_aliases {
            errors.take(properties.check_target(target));
        }
        let runs_here = |flow: &FlowConfig| {
            target_aliases.is_empty()
                || target_aliases
                    .iter()
                    .any(|target| target == flow.id.target.as_str())
        };

        // Flows of other processes count for the proof, but their faults are not ours to report.
        let (mut flows, mut elsewhere) = (Vec::new(), Vec::new());
        for id in properties.cluster_pairs() {
            let mut faults = ConfigErrors::default();
            let flow = FlowConfig::read(&properties.flow_properties(&id), &id, &mut faults);
            if runs_here(&flow) {
                errors.extend(faults);
                flows.push(flow);
            } else if faults.is_empty() {
                elsewhere.push(flow);
            }
        }
        if flows.is_empty() {
            errors.push(properties.no_flows());
        }
        let loop_proof = errors.take(cycle::prove_no_loops(flows.iter().chain(&elsewhere)));
        let (unknown_keys, ignored_keys) = usage::report(&properties);
        match loop_proof {
            Some(loop_proof) if errors.is_empty() => Ok(Self {
                properties,
                flows,
                elsewhere,
                changed: BTreeMap::new(),
                loop_proof,
                unknown_keys,
                ignored_keys,
            }),
            _ => Err(errors),
        }
    }

    /// The flows that run in this process, in the order of `clusters`, source first. Not empty.
    pub fn flows(&self) -> &[FlowConfig] {
        &self.flows
    }

    /// The flat maps that the typed values were read from.
    pub fn properties(&self) -> &MirrorProperties {
        &self.properties
    }

    /// Why no record travels in circles.
    pub fn loop_proof(&self) -> LoopProof {
        self.loop_proof
    }

    /// Keys of the file without any effect, in MM2 as here: misspelt, or in a place where MM2 drops
    /// them. For one report at start; MM2 is silent about them.
    pub fn unknown_keys(&self) -> &[KeyReport] {
        &self.unknown_keys
    }

    /// Keys of the file that have an effect in MM2 but not in this version yet.
    pub fn ignored_keys(&self) -> &[KeyReport] {
        &self.ignored_keys
    }
}

#[cfg(test)]
mod tests;
