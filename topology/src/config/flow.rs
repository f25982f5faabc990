//! One replication flow, typed and checked.

mod checks;
mod clients;
mod offsets;

use std::time::Duration;

use security::Security;

use self::checks::{check_aliases, check_resolved};
pub(super) use self::checks::{check_supported, security};
pub use self::clients::{AutoOffsetReset, IsolationLevel, REQUEST_TIMEOUT_MIN};
use self::clients::{Clients, auto_offset_reset, isolation_level, request_timeout};
pub use self::offsets::{GroupFilter, OffsetConfig, OffsetSyncsLocation, Pace};

use super::error::{ConfigError, ConfigErrors, KeyAt};
use super::host::{HostPort, bootstrap_servers};
use super::{keys, value};
use crate::alias::FlowId;
use crate::filter::{PatternList, TopicFilter, TopicVerdict};
use crate::policy::ReplicationPolicy;
use crate::properties::Properties;

const TOPICS_DEFAULT: &str = ".*";
const TOPICS_EXCLUDE_DEFAULT: &str = r"mm2.*\.internal, .*\.replica, __.*";
/// As of Kafka 4.3.1; the two `log.` names match no topic key, so those two are synced.
const CONFIG_PROPERTIES_EXCLUDE_DEFAULT: &str = "follower.replication.throttled.replicas, \
    leader.replication.throttled.replicas, message.timestamp.difference.max.ms, \
    log.message.timestamp.before.max.ms, log.message.timestamp.after.max.ms, \
    message.timestamp.type, unclean.leader.election.enable, min.insync.replicas";
const REFRESH_TOPICS_INTERVAL_DEFAULT: Duration = Duration::from_secs(600);
const SYNC_TOPIC_CONFIGS_INTERVAL_DEFAULT: Duration = Duration::from_secs(600);
const EMIT_HEARTBEATS_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
const ADMIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
pub(super) const OFFSET_FLUSH_INTERVAL_DEFAULT: Duration = Duration::from_secs(60);

/// Where one flow reads from or writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// The cluster.
    pub alias: crate::ClusterAlias,
    /// MM2: `<alias>.bootstrap.servers`. Empty only for the source of a flow that is not
    /// [`replication_enabled`](FlowConfig::replication_enabled) and has none configured.
    pub bootstrap_servers: Vec<HostPort>,
    /// `client.id` of the connections that carry records: that of MM2's first task, so that quotas
    /// by client id keep working. Default: `S->T|MirrorSourceConnector-0|replication-consumer` on
    /// the source, `connector-producer-MirrorSourceConnector-0` on the target
    /// (docs/spec/mm2.md 2.4).
    pub client_id: String,
    /// `client.id` of everything else. Default:
    /// `S->T|MirrorSourceConnector|replication-source-admin` or `...-target-admin`.
    pub admin_client_id: String,
    /// Bound on the answer to one request of the clients that carry records, at least
    /// [`REQUEST_TIMEOUT_MIN`]. Default: 30 s. MM2: `request.timeout.ms` of the source's consumer
    /// (`S.consumer.`, or `consumer.` and `source.consumer.` behind `S->T.`) and of the target's
    /// producer (`T.producer.`, or `S->T.producer.override.`).
    pub request_timeout: Duration,
    /// The same for administration, such as creating topics. MM2: `request.timeout.ms` of the
    /// cluster's admin client (`S.admin.`, or `admin.` and `source.admin.` behind `S->T.`).
    pub admin_request_timeout: Duration,
    /// TLS and SASL of all connections, administration included: those of the clients that carry records. MM2: `security.protocol`,
    /// `ssl.*`, `sasl.*` of the same clients as [`request_timeout`](Self::request_timeout).
    pub security: Security,
}

/// The names of the three connectors that MM2 would run for the flow. They are part of stored
/// offsets (source, heartbeat), client ids and metrics. Default: the simple class names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorNames {
    /// Default: `MirrorSourceConnector`.
    pub source: String,
    /// Default: `MirrorCheckpointConnector`.
    pub checkpoint: String,
    /// Default: `MirrorHeartbeatConnector`.
    pub heartbeat: String,
}

/// One replication flow of the file (docs/spec/mm2.md 1.6-1.10).
///
/// A flow exists if it is enabled or only emits heartbeats; see
/// [`crate::MirrorProperties::cluster_pairs`]. Keys are connector keys (top level or `S->T.`) unless a
/// field says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowConfig {
    /// Source and target.
    pub id: FlowId,
    /// Whether topics are copied; a flow without emits heartbeats only. Default: false.
    /// MM2: `enabled`, mostly as `S->T.enabled`; as there, a bare `enabled = true` counts for every
    /// flow that exists.
    pub replication_enabled: bool,
    /// The cluster that is read.
    pub source: ClusterConfig,
    /// The cluster that is written to.
    pub target: ClusterConfig,
    /// MM2: `topics`, `topics.exclude`.
    pub topic_filter: TopicFilter,
    /// MM2: `replication.policy.*`.
    pub policy: ReplicationPolicy,
    /// Replication factor of remote topics; -1 is the broker's default. Default: 2.
    /// MM2: `replication.factor`.
    pub replication_factor: i16,
    /// Time between two looks for new topics and partitions, at least 1 second; `None`: only one
    /// at start. Default: 600 s. MM2: `refresh.topics.enabled`, `refresh.topics.interval.seconds`.
    pub refresh_topics_interval: Option<Duration>,
    /// Time between two heartbeats on the target, at least 1 second; `None`: none. Default: 1 s.
    /// MM2: `emit.heartbeats.enabled`, `emit.heartbeats.interval.seconds`.
    pub emit_heartbeats_interval: Option<Duration>,
    /// Replication factor of `heartbeats`; -1 is the broker's default. Default: 3.
    /// MM2: `heartbeats.topic.replication.factor`.
    pub heartbeats_topic_replication_factor: i16,
    /// Copy heartbeats topics even if `topic_filter` refuses them. Default: true.
    /// MM2: `heartbeats.replication.enabled` (KIP-1089).
    pub heartbeats_replication: bool,
    /// Worker key, without separator or policy. Default: `mm2-offsets.S.internal`.
    /// MM2: `T.offset.storage.topic`.
    pub offset_storage_topic: String,
    /// Worker key; -1 is the broker's default. Default: 3.
    /// MM2: `offset.storage.replication.factor`, at top level or with `T.`.
    pub offset_storage_replication_factor: i16,
    /// Worker key; -1 is the broker's default. Default: 25. MM2: `offset.storage.partitions`.
    pub offset_storage_partitions: i32,
    /// Worker key: time between two stored positions, at least 1 ms. Default: 60 s.
    /// MM2: `T.offset.flush.interval.ms`.
    pub offset_flush_interval: Duration,
    /// Default: `read_uncommitted`. MM2: `S.consumer.isolation.level`, or the same behind `S->T.`
    /// as `consumer.` or `source.consumer.`.
    pub isolation_level: IsolationLevel,
    /// Default: `earliest`. MM2: `S.consumer.auto.offset.reset`, as `isolation_level`.
    pub auto_offset_reset: AutoOffsetReset,
    /// Bound on one admin step, at least 1 ms. Default: 60 s. MM2: `admin.timeout.ms`.
    pub admin_timeout: Duration,
    /// Topic configs that are never synced. MM2: `config.properties.exclude`.
    pub config_properties_exclude: PatternList,
    /// Time between two comparisons of each remote topic's configs with its source's, at least 1 second; `None`: they are
    /// copied once, when the topic is created. Default: 600 s.
    /// MM2: `sync.topic.configs.enabled`, `sync.topic.configs.interval.seconds`.
    pub sync_topic_configs_interval: Option<Duration>,
    /// Write the source's defaults as explicit values. Default: false.
    /// MM2: `S->T.use.defaults.from`, exactly `source`.
    pub use_defaults_from_source: bool,
    /// Offset syncs, checkpoints and consumer groups.
    pub offsets: OffsetConfig,
    /// The names MM2 would use.
    pub connector_names: ConnectorNames,
}

/// The flat maps that a flow is read from, with `${...}` resolved. In dedicated mode all are derived from one file
/// ([`MirrorProperties::flow_properties`](super::MirrorProperties::flow_properties)); in a Connect worker each connector
/// has its own ([`ConnectWorker`](super::ConnectWorker)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowProperties {
    /// The source connector's.
    pub source: Properties,
    /// The checkpoint connector's.
    pub checkpoint: Properties,
    /// The heartbeat connector's.
    pub heartbeat: Properties,
    /// The worker's: where records go, where positions are stored.
    pub worker: Properties,
    /// Where the aliases are written.
    pub aliases_at: KeyAt,
}

impl FlowConfig {
    /// Reads a flow, keeping every fault in `errors`; the result is of use only without any.
    pub(crate) fn read(sets: &FlowProperties, id: &FlowId, errors: &mut ConfigErrors) -> Self {
        let (connector, worker) = (&sets.source, &sets.worker);
        for (key, _) in connector.iter() {
            errors.take(keys::check_ignored(connector, key));
        }
        check_resolved(connector, errors);
        let replication_enabled = errors.read(value::boolean(connector, "enabled", false));
        if replication_enabled {
            check_supported(connector, worker, errors);
        }
        check_aliases(sets, id, errors);

        let clients = Clients::of(connector, worker);
        let source_servers = errors.read(bootstrap_servers(&clients.consumer));
        let target_servers = errors.read(bootstrap_servers(&clients.producer));
        for (alias, properties, needed) in [
            (&id.source, &clients.consumer, replication_enabled),
            (&id.target, &clients.producer, true),
        ] {
            if needed && !properties.contains("bootstrap.servers") {
                let (alias, flow) = (alias.clone(), id.clone());
                errors.push(ConfigError::MissingBootstrapServers { alias, flow });
            }
        }

        let source_security = if replication_enabled {
            security(&clients.consumer, id.source.as_str(), errors)
        } else {
            Security::default()
        };
        let config = connector;
        Self {
            id: id.clone(),
            replication_enabled,
            source: ClusterConfig {
                alias: id.source.clone(),
                bootstrap_servers: source_servers,
                client_id: text(&clients.consumer, "client.id"),
                admin_client_id: text(&clients.source_admin, "client.id"),
                request_timeout: errors.read(request_timeout(&clients.consumer)),
                admin_request_timeout: errors.read(request_timeout(&clients.source_admin)),
                security: source_security,
            },
            target: ClusterConfig {
                alias: id.target.clone(),
                bootstrap_servers: target_servers,
                client_id: text(&clients.producer, "client.id"),
                admin_client_id: text(&clients.target_admin, "client.id"),
                request_timeout: errors.read(request_timeout(&clients.producer)),
                admin_request_timeout: errors.read(request_timeout(&clients.target_admin)),
                security: security(&clients.producer, id.target.as_str(), errors),
            },
            topic_filter: TopicFilter {
                include: patterns(config, "topics", TOPICS_DEFAULT, errors),
                exclude: patterns(config, "topics.exclude", TOPICS_EXCLUDE_DEFAULT, errors),
            },
            policy: errors.read(ReplicationPolicy::from_properties(config)),
            replication_factor: errors.read(factor(config, "replication.factor", 2)),
            refresh_topics_interval: errors.read(value::interval(
                config,
                "refresh.topics",
                REFRESH_TOPICS_INTERVAL_DEFAULT,
            )),
            emit_heartbeats_interval: errors.read(value::interval(
                &sets.heartbeat,
                "emit.heartbeats",
                EMIT_HEARTBEATS_INTERVAL_DEFAULT,
            )),
            heartbeats_topic_replication_factor: errors.read(factor(
                &sets.heartbeat,
                "heartbeats.topic.replication.factor",
                3,
            )),
            heartbeats_replication: errors.read(value::boolean(
                config,
                "heartbeats.replication.enabled",
                true,
            )),
            offset_storage_topic: errors.read(topic_name(worker, "offset.storage.topic")),
            offset_storage_replication_factor: errors.read(factor(
                worker,
                "offset.storage.replication.factor",
                3,
            )),
            offset_storage_partitions: errors.read(partitions(
                worker,
                "offset.storage.partitions",
                25,
            )),
            offset_flush_interval: errors.read(value::millis(
                worker,
                "offset.flush.interval.ms",
                OFFSET_FLUSH_INTERVAL_DEFAULT,
            )),
            isolation_level: errors.read(isolation_level(&clients.consumer)),
            auto_offset_reset: errors.read(auto_offset_reset(&clients.consumer)),
            admin_timeout: errors.read(value::millis(
                config,
                "admin.timeout.ms",
                ADMIN_TIMEOUT_DEFAULT,
            )),
            config_properties_exclude: patterns(
                config,
                "config.properties.exclude",
                CONFIG_PROPERTIES_EXCLUDE_DEFAULT,
                errors,
            ),
            sync_topic_configs_interval: errors.read(value::interval(
                config,
                "sync.topic.configs",
                SYNC_TOPIC_CONFIGS_INTERVAL_DEFAULT,
            )),
            offsets: OffsetConfig::read(sets, replication_enabled, errors),
            use_defaults_from_source: config.get("use.defaults.from") == Some("source"),
            connector_names: ConnectorNames {
                source: text(&sets.source, "name"),
                checkpoint: text(&sets.checkpoint, "name"),
                heartbeat: text(&sets.heartbeat, "name"),
            },
        }
    }

    /// No checkpoint connector runs.
    pub(crate) fn without_checkpoints(&mut self) {
        self.offsets.emit_checkpoints = None;
        self.offsets.sync_group_offsets = None;
        self.offsets.checkpoints_refused.clear();
    }

    /// Whether a topic of the source is copied, by name and settings alone; that the flow is
    /// enabled is not looked at. MM2: `MirrorSourceConnector.shouldReplicateTopic`.
    pub fn replicates(&self, topic: &str) -> bool {
        self.verdict(topic).is_replicated()
    }

    /// As [`replicates`](Self::replicates), with the reason (docs/spec/mm2.md 4.2).
    pub fn verdict(&self, topic: &str) -> TopicVerdict {
        if self.policy.is_internal_topic(topic) {
            return TopicVerdict::Internal;
        }
        if self.policy.is_cycle(&self.id.target, topic) {
            return TopicVerdict::Cycle;
        }
        match self.topic_filter.verdict(topic) {
            TopicVerdict::Included => TopicVerdict::Included,
            _ if self.heartbeats_replication && self.policy.is_heartbeats_topic(topic) => {
                TopicVerdict::Heartbeats
            }
            refused => refused,
        }
    }

    /// The name of `topic`'s copy on the target.
    pub fn remote_topic(&self, topic: &str) -> String {
        self.policy.remote_topic(&self.id.source, topic)
    }

    /// The flow's offset-syncs topic; it is on the cluster of
    /// [`offset_syncs_location`](OffsetConfig::offset_syncs_location), and named after the other one
    /// (docs/spec/mm2.md 2.3).
    pub fn offset_syncs_topic(&self) -> String {
        let other = match self.offsets.offset_syncs_location {
            OffsetSyncsLocation::Source => &self.id.target,
            OffsetSyncsLocation::Target => &self.id.source,
        };
        self.policy.offset_syncs_topic(other)
    }

    /// The topic of the flow's checkpoints, on the target (docs/spec/mm2.md 2.3).
    pub fn checkpoints_topic(&self) -> String {
        self.policy.checkpoints_topic(&self.id.source)
    }

    /// The topic in which the flow keeps its exact offsets, on the target.
    pub fn offset_map_topic(&self) -> String {
        self.policy.offset_map_topic(&self.id.source)
    }
}

impl ConfigErrors {
    /// The value, or a stand-in after keeping the error: reading goes on to find the next one.
    fn read<T: Default>(&mut self, result: Result<T, ConfigError>) -> T {
        self.take(result).unwrap_or_default()
    }
}

pub(super) fn text(properties: &Properties, key: &str) -> String {
    properties
        .get(key)
        .map(value::trim)
        .unwrap_or_default()
        .to_owned()
}

pub(super) fn factor(properties: &Properties, key: &str, default: i16) -> Result<i16, ConfigError> {
    value::replication_factor(properties, key, default)
}

pub(super) fn partitions(worker: &Properties, key: &str, default: i32) -> Result<i32, ConfigError> {
    match value::number(worker, key, default, -1..=i32::MAX)? {
        0 => Err(ConfigError::invalid(
            worker,
            key,
            "write at least 1, or -1 for the default",
        )),
        partitions => Ok(partitions),
    }
}

pub(super) fn topic_name(worker: &Properties, key: &str) -> Result<String, ConfigError> {
    /// Kafka's bound on the length of a topic name.
    const TOPIC_NAME_BYTES_MAX: usize = 249;
    let name = text(worker, key);
    let legal = crate::ClusterAlias::new(&name).is_legal_in_topics();
    if legal && name.len() <= TOPIC_NAME_BYTES_MAX && name != "." && name != ".." {
        Ok(name)
    } else {
        Err(ConfigError::invalid(
            worker,
            key,
            "write a legal topic name",
        ))
    }
}

fn patterns(
    properties: &Properties,
    key: &str,
    default: &str,
    errors: &mut ConfigErrors,
) -> PatternList {
    match PatternList::parse(properties.get(key).unwrap_or(default)) {
        Ok(list) => list,
        Err(source) => {
            errors.push(ConfigError::Pattern {
                at: KeyAt::of(properties, key),
                source,
            });
            PatternList::default()
        }
    }
}
