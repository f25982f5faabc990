//! MM2's derivations: from the keys of one file to a flat map for each cluster, worker and
//! connector (docs/spec/mm2.md 1.4; upstream `MirrorMakerConfig`).

use std::fmt;

use super::error::{ConfigError, ConfigErrors, KeyAt};
use super::flow::FlowProperties;
use super::keys::{WORKER_PREFIXES, connector_key, is_common_client_key};
use super::provider::ConfigProviders;
use super::value;
use crate::alias::{ClusterAlias, FlowId};
use crate::properties::Properties;

const CLIENT_PREFIXES: [&str; 3] = ["producer", "consumer", "admin"];
const PROVIDERS: &str = "config.providers";
const POLICY: &str = "replication.policy";
pub(crate) const BYTE_ARRAY_CONVERTER: &str =
    "org.apache.kafka.connect.converters.ByteArrayConverter";

/// One of the three connectors that make up a flow in MM2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Connector {
    /// Copies records.
    Source,
    /// Translates the offsets of consumer groups.
    Checkpoint,
    /// Emits heartbeats.
    Heartbeat,
}

impl Connector {
    /// The full Java class name, `connector.class`.
    pub fn class(self) -> String {
        format!("org.apache.kafka.connect.mirror.{self}")
    }
}

impl fmt::Display for Connector {
    /// The simple class name, which is also the connector's default name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "MirrorSourceConnector",
            Self::Checkpoint => "MirrorCheckpointConnector",
            Self::Heartbeat => "MirrorHeartbeatConnector",
        })
    }
}

/// The keys of MM2's dedicated file, and the maps that MM2 derives from them.
///
/// Nothing is typed or checked here but `clusters`; see [`FlowConfig`](crate::FlowConfig).
#[derive(Clone, Debug)]
pub struct MirrorProperties {
    raw: Properties,
    clusters: Vec<ClusterAlias>,
    providers: ConfigProviders,
}

impl MirrorProperties {
    /// Takes a file's properties and the providers for `${...}` in worker and client values.
    ///
    /// # Errors
    /// `clusters` is missing, or has an empty or a repeated alias.
    pub fn new(raw: Properties, providers: ConfigProviders) -> Result<Self, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let mut clusters: Vec<ClusterAlias> = Vec::new();
        for alias in value::list(raw.get("clusters").unwrap_or_default()).map(ClusterAlias::new) {
            let at = KeyAt::of(&raw, "clusters");
            if alias.as_str().is_empty() {
                let problem = "is empty; write one alias between two commas";
                errors.push(ConfigError::Alias { alias, at, problem });
            } else if clusters.contains(&alias) {
                let problem = "is there twice; write each alias once";
                errors.push(ConfigError::Alias { alias, at, problem });
            } else {
                clusters.push(alias);
            }
        }
        if clusters.is_empty() && errors.is_empty() {
            errors.push(ConfigError::MissingClusters);
        }
        if errors.is_empty() {
            Ok(Self {
                raw,
                clusters,
                providers,
            })
        } else {
            Err(errors)
        }
    }

    /// The aliases of `clusters`, in its order.
    pub fn clusters(&self) -> &[ClusterAlias] {
        &self.clusters
    }

    /// The file's own keys.
    pub fn raw(&self) -> &Properties {
        &self.raw
    }

    /// What resolves `${...}`.
    pub fn providers(&self) -> &ConfigProviders {
        &self.providers
    }

    /// Every ordered pair of two clusters.
    pub(crate) fn all_pairs(&self) -> impl Iterator<Item = FlowId> {
        let pairs = |source| self.clusters.iter().map(move |target| (source, target));
        let distinct = self.clusters.iter().flat_map(pairs).filter(|(s, t)| s != t);
        distinct.map(|(s, t)| FlowId::new(s.clone(), t.clone()))
    }

    /// The flows that exist: enabled, or with heartbeats, which is the default for every pair
    /// (docs/spec/mm2.md 1.4 A, KAFKA-10710). Only the text `true` in any case counts as true here;
    /// anything else is silently false, white space at the end included.
    pub fn cluster_pairs(&self) -> Vec<FlowId> {
        let is_true = |key: &str| {
            self.raw
                .get(key)
                .map(|text| text.eq_ignore_ascii_case("true"))
        };
        let exists = |flow: &FlowId| {
            is_true(&format!("{flow}.enabled")).unwrap_or(false)
                || is_true(&format!("{flow}.emit.heartbeats.enabled"))
                    .or_else(|| is_true("emit.heartbeats.enabled"))
                    .unwrap_or(true)
        };
        self.all_pairs().filter(exists).collect()
    }

    /// The keys of one cluster, without its alias. Address and security are spread to
    /// `producer.`, `consumer.` and `admin.`: `A.producer.K` before `A.K` before `K`
    /// (docs/spec/mm2.md 1.4 B; upstream `clusterProps`).
    pub fn cluster_properties(&self, alias: &ClusterAlias) -> Properties {
        let own = self.raw.stripped(&format!("{alias}."));
        let mut cluster = own.clone();
        for (from, to_plain) in [(&own, false), (&self.raw, true)] {
            for (key, _) in from.iter().filter(|(key, _)| is_common_client_key(key)) {
                let prefixed = CLIENT_PREFIXES
                    .iter()
                    .map(|prefix| format!("{prefix}.{key}"));
                for to in prefixed.chain(to_plain.then(|| key.to_owned())) {
                    if !cluster.contains(&to) {
                        cluster.copy(to, from, key);
                    }
                }
            }
        }
        cluster
    }

    /// The worker's properties, with `${...}` resolved (docs/spec/mm2.md 1.4 C; upstream
    /// `workerConfig`). Top-level storage keys win over the target's.
    pub fn worker_properties(&self, flow: &FlowId) -> Properties {
        let source = &flow.source;
        let mut worker = self.cluster_properties(&flow.target);
        for prefix in WORKER_PREFIXES {
            worker.copy_prefixed(&self.raw, prefix);
        }
        let mut worker = self.resolve(worker);
        worker.copy_prefixed(&self.raw, PROVIDERS);
        worker.insert_default("client.id", flow.to_string());
        worker.insert_default("group.id", format!("{source}-mm2"));
        worker.insert_default(
            "offset.storage.topic",
            format!("mm2-offsets.{source}.internal"),
        );
        worker.insert_default(
            "status.storage.topic",
            format!("mm2-status.{source}.internal"),
        );
        worker.insert_default(
            "config.storage.topic",
            format!("mm2-configs.{source}.internal"),
        );
        for converter in ["key.converter", "value.converter", "header.converter"] {
            worker.insert_default(converter, BYTE_ARRAY_CONVERTER);
        }
        worker
    }

    /// A connector's properties, `${...}` unresolved (docs/spec/mm2.md 1.4 D; upstream
    /// `connectorBaseConfig`). The same for the three connectors but for name and class.
    pub fn connector_properties(&self, flow: &FlowId, connector: Connector) -> Properties {
        let mut properties = self.raw.filtered(|key| {
            connector_key(key).is_some() || key.starts_with(PROVIDERS) || key.starts_with(POLICY)
        });
        for (side, alias) in [("source", &flow.source), ("target", &flow.target)] {
            let cluster = self.cluster_properties(alias);
            for (key, _) in cluster.iter() {
                let of_client = CLIENT_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
                let group = if of_client { "" } else { "cluster." };
                properties.copy(format!("{side}.{group}{key}"), &cluster, key);
            }
        }
        properties.insert_default("name", connector.to_string());
        properties.insert_default("connector.class", connector.class());
        properties.insert_default("source.cluster.alias", flow.source.as_str());
        properties.insert_default("target.cluster.alias", flow.target.as_str());
        properties.extend(self.raw.stripped(&format!("{flow}.")));
        properties.insert_default("enabled", "false");
        properties
    }

    /// All that a flow is read from, resolved.
    pub fn flow_properties(&self, flow: &FlowId) -> FlowProperties {
        let of = |connector| self.resolve(self.connector_properties(flow, connector));
        FlowProperties {
            source: of(Connector::Source),
            checkpoint: of(Connector::Checkpoint),
            heartbeat: of(Connector::Heartbeat),
            worker: self.worker_properties(flow),
            aliases_at: KeyAt::of(&self.raw, "clusters"),
        }
    }

    /// Checks the keys that concern the process as a whole: a boolean and the security protocol.
    pub(crate) fn check_top_level(&self) -> Result<(), ConfigError> {
        const PROTOCOL: &str = "security.protocol";
        const PROTOCOLS: [&str; 4] = ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];
        value::boolean(&self.raw, "dedicated.mode.enable.internal.rest", false)?;
        let is_known = |text: &str| {
            PROTOCOLS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(value::trim(text)))
        };
        if self.raw.get(PROTOCOL).is_some_and(|text| !is_known(text)) {
            let expected = "write PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
            return Err(ConfigError::invalid(&self.raw, PROTOCOL, expected));
        }
        Ok(())
    }

    /// Checks an alias of `--clusters`.
    pub(crate) fn check_target(&self, target: &str) -> Result<(), ConfigError> {
        if self.clusters.iter().any(|alias| alias.as_str() == target) {
            return Ok(());
        }
        let known: Vec<_> = self.clusters.iter().map(ClusterAlias::as_str).collect();
        Err(ConfigError::UnknownTarget {
            alias: target.to_owned(),
            known: known.join(", "),
        })
    }

    /// The error of a configuration without flows, with a key that would make one.
    pub(crate) fn no_flows(&self) -> ConfigError {
        let hint = match self.all_pairs().next() {
            Some(flow) => format!("enable at least one, as in `{flow}.enabled = true`"),
            None => "list at least two aliases in clusters".to_owned(),
        };
        ConfigError::NoFlows { hint }
    }

    /// What a client library would be given for one cluster, resolved (docs/spec/mm2.md 1.4 E;
    /// upstream `clientConfig`).
    pub fn client_config(&self, alias: &ClusterAlias) -> Properties {
        let mut client = self.raw.clone();
        client.extend(self.cluster_properties(alias));
        self.resolve(client)
    }

    /// The properties with `${...}` resolved.
    pub(crate) fn resolve(&self, mut properties: Properties) -> Properties {
        properties.map_values(|text| self.providers.resolve(text));
        properties
    }
}

#[cfg(test)]
mod tests;
