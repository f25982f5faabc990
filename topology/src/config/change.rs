//! A connector of a file that is given another configuration while the process runs.

use std::collections::BTreeMap;

use super::derive::Connector;
use super::error::{ConfigError, ConfigErrors};
use super::flow::{FlowConfig, check_supported};
use super::{MirrorConfig, value};
use crate::alias::FlowId;
use crate::cycle;
use crate::properties::Properties;

impl MirrorConfig {
    /// A connector's configuration as it is now, `${...}` unresolved: of the file, or the last one given.
    pub fn connector(&self, id: &FlowId, connector: Connector) -> BTreeMap<String, String> {
        let changed = self.changed.get(id).and_then(|set| set.get(connector));
        changed.cloned().unwrap_or_else(|| {
            let of_file = self.properties.connector_properties(id, connector);
            let pairs = of_file.iter();
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        })
    }

    /// Gives one connector another configuration, all of it; its flow as it shall run from now on. The worker's keys, and
    /// the file, stay as they are.
    ///
    /// # Errors
    /// All that is wrong with it, other aliases included, and records that would travel in circles: nothing has changed then.
    pub fn change(
        &mut self,
        id: &FlowId,
        connector: Connector,
        config: BTreeMap<String, String>,
    ) -> Result<FlowConfig, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let Some(at) = self.flows.iter().position(|flow| flow.id == *id) else {
            errors.push(self.properties.no_flows());
            return Err(errors);
        };
        let mut set = self.changed.get(id).cloned().unwrap_or_default();
        *set.slot(connector) = Some(config);
        let mut sets = self.properties.flow_properties(id);
        for (changed, properties) in [
            (&set.source, &mut sets.source),
            (&set.checkpoint, &mut sets.checkpoint),
            (&set.heartbeat, &mut sets.heartbeat),
        ] {
            let Some(changed) = changed else { continue };
            let written: Properties = changed.clone().into_iter().collect();
            *properties = self.properties.resolve(written);
            properties.insert_default("enabled", "true");
            for (key, alias) in [
                ("source.cluster.alias", &id.source),
                ("target.cluster.alias", &id.target),
            ] {
                if properties.get(key).map(value::trim) != Some(alias.as_str()) {
                    let stays = format!("a connector of the file stays with {alias}");
                    errors.push(ConfigError::invalid(properties, key, stays));
                }
                properties.insert(key, alias.as_str());
            }
            check_supported(properties, &sets.worker, &mut errors);
        }
        let mut flow = FlowConfig::read(&sets, id, &mut errors);
        let enabled = errors.take(value::boolean(&sets.checkpoint, "enabled", true));
        if enabled == Some(false) {
            flow.without_checkpoints();
        }
        let others = self.flows.iter().filter(|other| other.id != *id);
        let all = others.chain([&flow]).chain(&self.elsewhere);
        let proof = errors.take(cycle::prove_no_loops(all));
        match proof {
            Some(proof) if errors.is_empty() => {
                self.loop_proof = proof;
                if let Some(place) = self.flows.get_mut(at) {
                    place.clone_from(&flow);
                }
                self.changed.insert(id.clone(), set);
                Ok(flow)
            }
            _ => Err(errors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"clusters = a, b\na.bootstrap.servers = a:1\nb.bootstrap.servers = b:1\n\
        a->b.enabled = true\na->b.topics = orders\nb.offset.storage.topic = own\n";

    fn config() -> MirrorConfig {
        MirrorConfig::read(Properties::parse(FILE).unwrap(), &[]).unwrap()
    }

    fn id() -> FlowId {
        FlowId::new("a", "b")
    }

    fn with(
        config: &MirrorConfig,
        of: Connector,
        key: &str,
        text: &str,
    ) -> BTreeMap<String, String> {
        let mut changed = config.connector(&id(), of);
        changed.insert(key.to_owned(), text.to_owned());
        changed
    }

    fn refused(of: Connector, key: &str, text: &str) -> String {
        let mut config = config();
        let before = config.flows().to_vec();
        let changed = with(&config, of, key, text);
        let errors = config.change(&id(), of, changed).unwrap_err();
        assert_eq!(config.flows(), before);
        assert_eq!(
            config.connector(&id(), of).get(key),
            self::config().connector(&id(), of).get(key)
        );
        errors.to_string()
    }

    #[test]
    fn one_connector_changes_and_the_others_stay() {
        let mut config = config();
        let before = config.flows()[0].clone();
        let changed = with(&config, Connector::Source, "topics", "payments");
        let flow = config
            .change(&id(), Connector::Source, changed.clone())
            .unwrap();
        assert!(flow.replicates("payments") && !flow.replicates("orders"));
        assert_eq!(flow.offset_storage_topic, "own");
        assert_eq!(flow.connector_names, before.connector_names);
        assert_eq!(flow.offsets, before.offsets);
        assert_eq!(config.connector(&id(), Connector::Source), changed);
        let changed = with(
            &config,
            Connector::Heartbeat,
            "emit.heartbeats.enabled",
            "false",
        );
        let flow = config.change(&id(), Connector::Heartbeat, changed).unwrap();
        assert!(flow.replicates("payments") && flow.emit_heartbeats_interval.is_none());
        assert_eq!(config.flows()[0], flow);
    }

    #[test]
    fn a_checkpoint_connector_can_be_disabled() {
        let mut config = config();
        assert!(config.flows()[0].offsets.emit_checkpoints.is_some());
        let changed = with(&config, Connector::Checkpoint, "enabled", "false");
        let flow = config
            .change(&id(), Connector::Checkpoint, changed)
            .unwrap();
        assert!(flow.replication_enabled && flow.offsets.emit_checkpoints.is_none());
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let source = Connector::Source;
        assert!(refused(source, "topics", "a[").starts_with("topics: "));
        assert!(refused(source, "transforms", "r").starts_with("transforms: "));
        assert!(refused(Connector::Checkpoint, "transforms", "r").starts_with("transforms: "));
        let elsewhere = refused(Connector::Heartbeat, "target.cluster.alias", "c");
        assert!(
            elsewhere.starts_with("target.cluster.alias: "),
            "{elsewhere}"
        );
        assert!(elsewhere.contains("stays with b"), "{elsewhere}");
    }

    #[test]
    fn circles_are_found_beside_the_flows_that_run() {
        let file = [FILE, b"b->a.enabled = true\n"].concat();
        let mut config = MirrorConfig::read(Properties::parse(&file).unwrap(), &[]).unwrap();
        let identity = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy";
        let changed = with(
            &config,
            Connector::Source,
            "replication.policy.class",
            identity,
        );
        let errors = config
            .change(&id(), Connector::Source, changed)
            .unwrap_err();
        assert!(errors.to_string().contains("round and round"), "{errors}");
    }
}
