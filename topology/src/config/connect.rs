//! A Connect worker's file, and flows of connectors with a configuration each (docs/spec/mm2.md 1.10, 1.11).

use std::collections::BTreeMap;
use std::time::Duration;

use security::Security;

use super::derive::Connector;
use super::error::{ConfigError, ConfigErrors, KeyAt};
use super::flow::{
    FlowProperties, OFFSET_FLUSH_INTERVAL_DEFAULT, check_supported, factor, partitions, text,
    topic_name,
};
use super::host::{HostPort, bootstrap_servers};
use super::keys::{CLIENT_KEYS, Use, WORKER_KEYS, common_client_key, connector_key, find};
use super::provider::ConfigProviders;
use super::usage::KeyReport;
use super::{FlowConfig, value};
use crate::alias::FlowId;
use crate::connect_def::find_plugin;
use crate::cycle;
use crate::properties::Properties;

/// MM2: `target.cluster.alias` of a connector that has none.
const TARGET_ALIAS_DEFAULT: &str = "target";
/// Connect's `request.timeout.ms`.
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(40);
/// What a worker acts on beside [`WORKER_KEYS`], or in another way than dedicated mode.
const CONNECT_KEYS: &[(&str, Use)] = &[
    ("bootstrap.servers", Use::Acts),
    ("group.id", Use::Acts),
    ("client.id", Use::Acts),
    ("request.timeout.ms", Use::Acts),
    ("config.storage.", Use::Acts),
    ("offset.storage.", Use::Acts),
    ("status.storage.", Use::Acts),
    ("config.providers", Use::Acts),
    ("config.providers.", Use::Acts),
    ("listeners", Use::Acts),
    ("listeners.https.", Use::Acts),
    ("admin.listeners", Use::Acts),
    ("admin.listeners.https.", Use::Acts),
    ("rest.advertised.host.name", Use::Acts),
    ("rest.advertised.port", Use::Acts),
    ("rest.advertised.listener", Use::Acts),
    ("rest.basic.auth.file", Use::Acts),
    ("rest.basic.auth.metrics.free", Use::Acts),
    ("rest.extension.classes", Use::Acts),
    ("access.control.allow.origin", Use::Acts),
    ("access.control.allow.methods", Use::Acts),
    ("response.http.headers.config", Use::Acts),
    ("ssl.client.auth", Use::Acts),
    ("producer.bootstrap.servers", Use::Acts),
    ("producer.client.id", Use::Acts),
    ("producer.request.timeout.ms", Use::Acts),
];
/// Keys that only mean something to a JVM.
const JVM_KEYS: &[&str] = &[
    "plugin.path",
    "plugin.discovery",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.sample.window.ms",
    "metrics.recording.level",
];

/// The file of `crosscurrent connect`, as `connect-distributed` takes it.
#[derive(Clone, Debug)]
pub struct ConnectWorker {
    /// As it was written.
    raw: Properties,
    /// With `${...}` resolved.
    properties: Properties,
    providers: ConfigProviders,
    /// The cluster of the storage topics, and of all that is written. MM2: `bootstrap.servers`.
    pub bootstrap_servers: Vec<HostPort>,
    /// Connect's group: named in logs, and looked at for workers of another kind. MM2: `group.id`.
    pub group_id: String,
    /// `client.id` of the connections for the storage topics. Default: `connect-<group.id>`.
    pub client_id: String,
    /// Bound on the answer to one of their requests, at least 1 ms. Default: 40 s. MM2: `request.timeout.ms`.
    pub request_timeout: Duration,
    /// TLS and SASL of those connections. MM2: `security.protocol`, `ssl.*`, `sasl.*`.
    pub security: Security,
    /// Where connectors are kept; always of one partition. MM2: `config.storage.*`.
    pub config_storage: StorageTopic,
    /// Where positions are kept. MM2: `offset.storage.*`.
    pub offset_storage: StorageTopic,
    /// Where states are kept. MM2: `status.storage.*`.
    pub status_storage: StorageTopic,
}

/// One of the three topics that hold a worker's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StorageTopic {
    /// Name. No default.
    pub name: String,
    /// Number of partitions when it is created; -1 is the broker's default. Default: 1, 25 and 5 in turn.
    pub partitions: i32,
    /// Replication factor when it is created; -1 is the broker's default. Default: 3.
    pub replication_factor: i16,
    /// Topic configs when it is created: what else stands behind the prefix. `cleanup.policy` is `compact` in any case.
    pub configs: Vec<(String, String)>,
}

/// The connectors of one flow, each as its configuration was written: key and value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectorSet {
    /// Copies records.
    pub source: Option<BTreeMap<String, String>>,
    /// Translates the offsets of consumer groups; does nothing without a source connector.
    pub checkpoint: Option<BTreeMap<String, String>>,
    /// Emits heartbeats.
    pub heartbeat: Option<BTreeMap<String, String>>,
}

impl ConnectorSet {
    /// One connector's configuration.
    pub fn get(&self, connector: Connector) -> Option<&BTreeMap<String, String>> {
        match connector {
            Connector::Source => self.source.as_ref(),
            Connector::Checkpoint => self.checkpoint.as_ref(),
            Connector::Heartbeat => self.heartbeat.as_ref(),
        }
    }

    /// One connector's place.
    pub fn slot(&mut self, connector: Connector) -> &mut Option<BTreeMap<String, String>> {
        match connector {
            Connector::Source => &mut self.source,
            Connector::Checkpoint => &mut self.checkpoint,
            Connector::Heartbeat => &mut self.heartbeat,
        }
    }
}

/// Which of MM2's connectors a (resolved) configuration is of, and of which flow. None for other classes, and without aliases.
pub fn identify(config: &BTreeMap<String, String>) -> Option<(Connector, FlowId)> {
    let get = |key: &str| {
        config
            .get(key)
            .map(|text| value::trim(text))
            .filter(|text| !text.is_empty())
    };
    let connector = find_plugin(get("connector.class")?)?;
    let source = get("source.cluster.alias")?;
    let target = get("target.cluster.alias").unwrap_or(TARGET_ALIAS_DEFAULT);
    Some((connector, FlowId::new(source, target)))
}

impl ConnectWorker {
    /// Reads a worker's file; `providers` are those that its `config.providers` names.
    ///
    /// # Errors
    /// All faults that can be found at once: keys that are missing, values that are no such.
    pub fn read(raw: Properties, providers: ConfigProviders) -> Result<Self, ConfigErrors> {
        let mut properties = raw.clone();
        properties.map_values(|text| providers.resolve(text));
        let mut errors = ConfigErrors::default();
        for key in [
            "bootstrap.servers",
            "group.id",
            "config.storage.topic",
            "offset.storage.topic",
            "status.storage.topic",
        ] {
            if properties
                .get(key)
                .is_none_or(|text| value::trim(text).is_empty())
            {
                errors.push(ConfigError::Missing { key });
            }
        }
        let security = super::flow::security(&properties, "of the worker", &mut errors);
        let mut storage = |prefix: &str, partitions_default: i32| {
            let key = |name: &str| format!("{prefix}.{name}");
            let topic = key("topic");
            let name = properties
                .contains(&topic)
                .then(|| errors.take(topic_name(&properties, &topic)))
                .flatten();
            let count = if partitions_default == 1 {
                Some(1)
            } else {
                errors.take(partitions(
                    &properties,
                    &key("partitions"),
                    partitions_default,
                ))
            };
            let factor = errors.take(factor(&properties, &key("replication.factor"), 3));
            StorageTopic {
                name: name.unwrap_or_default(),
                partitions: count.unwrap_or_default(),
                replication_factor: factor.unwrap_or_default(),
                configs: storage_configs(&properties.stripped(&key(""))),
            }
        };
        let config_storage = storage("config.storage", 1);
        let offset_storage = storage("offset.storage", 25);
        let status_storage = storage("status.storage", 5);
        let servers = errors.take(bootstrap_servers(&properties));
        let timeout = value::millis(&properties, "request.timeout.ms", REQUEST_TIMEOUT_DEFAULT);
        let request_timeout = errors.take(timeout);
        // Of flows; as in Connect, a worker does not start with a value that is none.
        errors.take(value::millis(
            &properties,
            "offset.flush.interval.ms",
            OFFSET_FLUSH_INTERVAL_DEFAULT,
        ));
        if !errors.is_empty() {
            return Err(errors);
        }
        let group_id = text(&properties, "group.id");
        let client_id = Some(text(&properties, "client.id")).filter(|id| !id.is_empty());
        Ok(Self {
            client_id: client_id.unwrap_or_else(|| format!("connect-{group_id}")),
            group_id,
            bootstrap_servers: servers.unwrap_or_default(),
            request_timeout: request_timeout.unwrap_or(REQUEST_TIMEOUT_DEFAULT),
            security,
            config_storage,
            offset_storage,
            status_storage,
            raw,
            properties,
            providers,
        })
    }

    /// The file's keys as they were written.
    pub fn raw(&self) -> &Properties {
        &self.raw
    }

    /// The file's keys with `${...}` resolved.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    /// A connector's configuration with `${...}` resolved, as it is now: Connect does it at each start of the connector.
    pub fn resolve(&self, config: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let resolved = config
            .iter()
            .map(|(key, text)| (key.clone(), self.providers.resolve(text)));
        resolved.collect()
    }

    /// The flow of these connectors, one of them at least. What is missing does not run; records go to the worker's own
    /// cluster, whatever `target.cluster.bootstrap.servers` says.
    ///
    /// # Errors
    /// All that is wrong with their configurations, and what this version cannot do.
    pub fn flow(&self, id: &FlowId, set: &ConnectorSet) -> Result<FlowConfig, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let resolved = |config: &Option<BTreeMap<String, String>>, enabled: &str| {
            let mut properties: Properties = config.iter().flat_map(|c| self.resolve(c)).collect();
            properties.insert_default("enabled", enabled);
            properties.insert("source.cluster.alias", id.source.as_str());
            properties.insert("target.cluster.alias", id.target.as_str());
            properties
        };
        let mut sets = FlowProperties {
            source: resolved(&set.source, "true"),
            checkpoint: resolved(&set.checkpoint, "true"),
            heartbeat: resolved(&set.heartbeat, "true"),
            worker: self.properties.clone(),
            aliases_at: KeyAt::of(&Properties::default(), "source.cluster.alias"),
        };
        if set.source.is_none() {
            // Nothing is read, and what writes is named after the connector that there is.
            let other = set.heartbeat.as_ref().or(set.checkpoint.as_ref());
            sets.source = resolved(&other.cloned(), "false");
            sets.source.insert("enabled", "false");
        }
        for (config, properties) in [
            (&set.checkpoint, &sets.checkpoint),
            (&set.heartbeat, &sets.heartbeat),
        ] {
            if config.is_some() {
                check_supported(properties, &self.properties, &mut errors);
            }
        }
        let own = text(&sets.source, "offsets.storage.topic");
        if set.source.is_some() && !own.is_empty() && own != self.offset_storage.name {
            let only = format!("the worker's, {}", self.offset_storage.name);
            let error = ConfigError::unsupported(&sets.source, "offsets.storage.topic", only);
            errors.push(error);
        }
        let mut found = ConfigErrors::default();
        let mut flow = FlowConfig::read(&sets, id, &mut found);
        for error in found.iter() {
            errors.push(match error {
                ConfigError::MissingBootstrapServers { alias, .. } if *alias == id.source => {
                    let key = "source.cluster.bootstrap.servers";
                    ConfigError::invalid(&sets.source, key, "write HOST:PORT")
                }
                other => other.clone(),
            });
        }
        let enabled = value::boolean(&sets.checkpoint, "enabled", true);
        if set.checkpoint.is_none() || enabled == Ok(false) {
            flow.without_checkpoints();
        }
        // `enabled=false` does not switch it off, in MM2 neither: it beats into clusters that nothing is copied to.
        if set.heartbeat.is_none() {
            flow.emit_heartbeats_interval = None;
        }
        if errors.is_empty() {
            Ok(flow)
        } else {
            Err(errors)
        }
    }

    /// Refuses flows of which records would travel in circles.
    ///
    /// # Errors
    /// The flows that do not go together.
    pub fn check_loops<'a>(flows: impl Iterator<Item = &'a FlowConfig>) -> Result<(), ConfigError> {
        cycle::prove_no_loops(flows).map(drop)
    }

    /// Keys of the file without effect, each once: for one report at start.
    pub fn keys_without_effect(&self) -> Vec<KeyReport> {
        let mut reports: Vec<_> = (self.raw.iter())
            .filter(|(key, _)| fate(key) != Some(Use::Acts))
            .map(|(key, _)| KeyReport {
                at: KeyAt::of(&self.raw, key),
                hint: JVM_KEYS
                    .contains(&key)
                    .then(|| "only means something to a JVM".to_owned()),
            })
            .collect();
        reports.sort_by_key(|report| report.at.line);
        reports
    }
}

/// None: not a key of Connect.
fn fate(key: &str) -> Option<Use> {
    if let Some(used) = common_client_key(key) {
        return Some(used);
    }
    // Records are written by the worker's producers; everything else is asked with the keys of the worker itself.
    if let Some(used) = key.strip_prefix("producer.").and_then(common_client_key) {
        return Some(used);
    }
    let of_client = || {
        let behind = ["producer.", "consumer.", "admin."]
            .iter()
            .find_map(|prefix| key.strip_prefix(prefix));
        let key = behind.unwrap_or(key);
        let known = find(CLIENT_KEYS, key).is_some() || connector_key(key).is_some();
        known.then_some(Use::Ignored)
    };
    find(CONNECT_KEYS, key)
        .or_else(|| find(WORKER_KEYS, key))
        .or_else(of_client)
}

fn storage_configs(behind: &Properties) -> Vec<(String, String)> {
    let reserved = [
        "topic",
        "partitions",
        "replication.factor",
        "cleanup.policy",
    ];
    let mut configs = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    configs.extend(
        behind
            .iter()
            .filter(|(key, _)| !reserved.contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    configs
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "bootstrap.servers = b:1\ngroup.id = connect-mm2\noffset.storage.topic = connect-offsets\n\
        config.storage.topic = connect-configs\nstatus.storage.topic = connect-status\n\
        key.converter = org.apache.kafka.connect.converters.ByteArrayConverter\n";

    fn worker(lines: &str) -> Result<ConnectWorker, ConfigErrors> {
        let file = format!("{FILE}{lines}");
        let raw = Properties::parse(file.as_bytes()).unwrap();
        ConnectWorker::read(raw, ConfigProviders::default())
    }

    fn connector(connector: Connector, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let class = connector.class();
        let base = [
            ("name", "mm2"),
            ("connector.class", class.as_str()),
            ("source.cluster.alias", "a"),
            ("target.cluster.alias", "b"),
            ("source.cluster.bootstrap.servers", "a:1"),
            ("target.cluster.bootstrap.servers", "elsewhere:1"),
        ];
        let all = base.iter().chain(more);
        all.map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    fn flow(set: &ConnectorSet) -> Result<FlowConfig, ConfigErrors> {
        worker("").unwrap().flow(&FlowId::new("a", "b"), set)
    }

    #[test]
    fn defaults_are_connects() {
        let worker = worker("").unwrap();
        assert_eq!(worker.group_id, "connect-mm2");
        assert_eq!(worker.client_id, "connect-connect-mm2");
        assert_eq!(worker.request_timeout, Duration::from_secs(40));
        let all = [
            (&worker.config_storage, 1),
            (&worker.offset_storage, 25),
            (&worker.status_storage, 5),
        ];
        for (topic, partitions) in all {
            assert_eq!(
                (topic.partitions, topic.replication_factor),
                (partitions, 3)
            );
            let compact = ("cleanup.policy".to_owned(), "compact".to_owned());
            assert_eq!(topic.configs, [compact]);
        }
    }

    #[test]
    fn storage_keys_become_topic_configs() {
        let lines = "status.storage.segment.bytes = 1\nstatus.storage.cleanup.policy = delete\n\
                     status.storage.partitions = 2\nstatus.storage.replication.factor = -1\nconfig.storage.partitions = 9\n";
        let worker = worker(lines).unwrap();
        let status = &worker.status_storage;
        assert_eq!((status.partitions, status.replication_factor), (2, -1));
        let pairs: Vec<_> = status.configs.iter().map(|(k, v)| (&**k, &**v)).collect();
        assert_eq!(
            pairs,
            [("cleanup.policy", "compact"), ("segment.bytes", "1")]
        );
        assert_eq!(worker.config_storage.partitions, 1);
    }

    #[test]
    fn what_is_missing_is_named_all_at_once() {
        let file =
            b"group.id = x\noffset.storage.partitions = none\noffset.flush.interval.ms = soon";
        let raw = Properties::parse(file).unwrap();
        let errors = ConnectWorker::read(raw, ConfigProviders::default()).unwrap_err();
        let text = errors.to_string();
        for key in [
            "bootstrap.servers is not set",
            "config.storage.topic is not set",
            "offset.storage.partitions (line 2)",
            "offset.flush.interval.ms (line 3)",
        ] {
            assert!(text.contains(key), "{key}: {text}");
        }
    }

    #[test]
    fn keys_without_effect_are_named() {
        let lines = "plugin.path = /x\nlisteners = http://:1\nnonsense = 1\nproducer.linger.ms = 5\n\
                     producer.request.timeout.ms = 5000\nconfig.storage.segment.bytes = 1\n";
        let reports = worker(lines).unwrap().keys_without_effect();
        let shown: Vec<_> = reports.iter().map(ToString::to_string).collect();
        let expected = [
            "plugin.path (line 7): only means something to a JVM",
            "nonsense (line 9)",
            "producer.linger.ms (line 10)",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn classes_have_three_names() {
        for class in [
            "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
            "MirrorCheckpointConnector",
            "MirrorCheckpoint",
        ] {
            assert_eq!(find_plugin(class), Some(Connector::Checkpoint));
        }
        assert_eq!(find_plugin("Checkpoint"), None);
        let mut config = connector(Connector::Heartbeat, &[]);
        config.remove("target.cluster.alias");
        let id = FlowId::new("a", "target");
        assert_eq!(identify(&config), Some((Connector::Heartbeat, id)));
        config.remove("source.cluster.alias");
        assert_eq!(identify(&config), None);
    }

    #[test]
    fn a_flow_of_three_connectors() {
        let set = ConnectorSet {
            source: Some(connector(
                Connector::Source,
                &[("topics", "orders"), ("tasks.max", "2")],
            )),
            checkpoint: Some(connector(
                Connector::Checkpoint,
                &[("name", "cp"), ("groups", "g")],
            )),
            heartbeat: Some(connector(
                Connector::Heartbeat,
                &[("name", "hb"), ("emit.heartbeats.interval.seconds", "7")],
            )),
        };
        let flow = flow(&set).unwrap();
        assert!(flow.replication_enabled);
        assert_eq!(flow.target.bootstrap_servers[0].to_string(), "b:1");
        assert_eq!(flow.source.bootstrap_servers[0].to_string(), "a:1");
        assert_eq!(flow.offset_storage_topic, "connect-offsets");
        assert_eq!(flow.emit_heartbeats_interval, Some(Duration::from_secs(7)));
        assert!(flow.offsets.emit_checkpoints.is_some());
        assert_eq!(flow.offsets.group_filter.include.items(), ["g"]);
        let names = &flow.connector_names;
        assert_eq!(
            (&*names.source, &*names.checkpoint, &*names.heartbeat),
            ("mm2", "cp", "hb")
        );
        assert!(flow.target.client_id.contains("mm2"));
    }

    #[test]
    fn what_is_not_there_does_not_run() {
        let source = Some(connector(Connector::Source, &[]));
        let only_source = flow(&ConnectorSet {
            source,
            ..ConnectorSet::default()
        })
        .unwrap();
        assert!(only_source.replication_enabled);
        assert_eq!(only_source.emit_heartbeats_interval, None);
        assert_eq!(only_source.offsets.emit_checkpoints, None);
        let heartbeat = Some(connector(Connector::Heartbeat, &[]));
        let only_heartbeat = flow(&ConnectorSet {
            heartbeat,
            ..ConnectorSet::default()
        })
        .unwrap();
        assert!(!only_heartbeat.replication_enabled);
        assert!(only_heartbeat.emit_heartbeats_interval.is_some());
    }

    /// Kafka's `IdentityReplicationIntegrationTest`: a flow that is switched off has its heartbeats nevertheless.
    #[test]
    fn enabled_false_stops_copying_and_checkpoints_but_no_heartbeats() {
        let off = |kind| Some(connector(kind, &[("enabled", "false")]));
        let flow = flow(&ConnectorSet {
            source: off(Connector::Source),
            checkpoint: off(Connector::Checkpoint),
            heartbeat: off(Connector::Heartbeat),
        })
        .unwrap();
        assert!(!flow.replication_enabled);
        assert_eq!(flow.offsets.emit_checkpoints, None);
        assert!(flow.emit_heartbeats_interval.is_some());
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (key, text) in [
            ("transforms", "r"),
            ("predicates", "p"),
            ("offsets.storage.topic", "own"),
            (
                "value.converter",
                "org.apache.kafka.connect.json.JsonConverter",
            ),
            ("replication.factor", "two"),
            ("topics", "a["),
        ] {
            let source = Some(connector(Connector::Source, &[(key, text)]));
            let errors = flow(&ConnectorSet {
                source,
                ..ConnectorSet::default()
            })
            .unwrap_err();
            assert!(
                errors.to_string().starts_with(&format!("{key}: ")),
                "{errors}"
            );
        }
        let json =
            worker("value.converter = org.apache.kafka.connect.json.JsonConverter\n").unwrap();
        let source = Some(connector(Connector::Source, &[]));
        let set = ConnectorSet {
            source,
            ..ConnectorSet::default()
        };
        let errors = json.flow(&FlowId::new("a", "b"), &set).unwrap_err();
        assert!(
            errors.to_string().starts_with("value.converter (line 7): "),
            "{errors}"
        );
    }
}
