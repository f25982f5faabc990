//! Offset syncs, checkpoints and consumer groups: what MM2's checkpoint connector does, and the part
//! of its source connector that feeds it (docs/spec/mm2.md 1.7, 1.8).

use std::time::Duration;

use super::{FlowProperties, factor, patterns};
use crate::config::client::Side;
use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::value;
use crate::filter::{PatternList, TopicFilter};
use crate::properties::Properties;

const GROUPS_DEFAULT: &str = ".*";
const GROUPS_EXCLUDE_DEFAULT: &str = "console-consumer-.*, connect-.*, __.*";
const REFRESH_GROUPS_INTERVAL_DEFAULT: Duration = Duration::from_secs(600);
const OFFSET_LAG_MAX_DEFAULT: i64 = 100;
const LOCATION: &str = "offset-syncs.topic.location";
const OFFSET_SYNCS: &str = "emit.offset-syncs.enabled";
const CHECKPOINTS: &str = "emit.checkpoints.enabled";

/// Which cluster has the offset-syncs topic (KIP-716).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetSyncsLocation {
    /// The cluster that is read.
    #[default]
    Source,
    /// The cluster that is written to.
    Target,
}

impl OffsetSyncsLocation {
    /// Whose client settings count for the topic.
    pub fn side(self) -> Side {
        match self {
            Self::Source => Side::Source,
            Self::Target => Side::Target,
        }
    }
}

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// The file does not say: as soon as there is something to do. MM2: every 60 s.
    AsSoonAsPossible,
    /// Once in this time, at least 1 s.
    Every(Duration),
}

/// MM2's `DefaultGroupFilter`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupFilter {
    /// MM2: `groups`, default `.*`.
    pub include: PatternList,
    /// MM2: `groups.exclude`, default `console-consumer-.*, connect-.*, __.*`.
    pub exclude: PatternList,
}

impl GroupFilter {
    /// Whether a group's offsets are translated. A name that a pattern cannot be decided for
    /// ([`crate::Undecided`]) is refused.
    pub fn accepts(&self, group: &str) -> bool {
        self.include.matches(group) == Ok(true) && self.exclude.matches(group) == Ok(false)
    }
}

/// What becomes of consumers' offsets in one flow. Keys are connector keys (top level or `S->T.`).
#[derive(Clone, Debug, PartialEq)]
pub struct OffsetConfig {
    /// Write offset syncs. Default: true. MM2: `emit.offset-syncs.enabled` (KIP-1031).
    pub emit_offset_syncs: bool,
    /// Default: source. MM2: `offset-syncs.topic.location`.
    pub offset_syncs_location: OffsetSyncsLocation,
    /// Replication factor of the offset-syncs topic; -1 is the broker's default. Default: 3.
    /// MM2: `offset-syncs.topic.replication.factor`.
    pub offset_syncs_topic_replication_factor: i16,
    /// Records that a reader of the offset syncs may be behind before another one is written; 0: one
    /// for each record. A negative number counts as 0. Default: 100. MM2: `offset.lag.max`.
    pub offset_lag_max: u64,
    /// Write checkpoints; `None`: no. Default: as soon as possible.
    /// MM2: `emit.checkpoints.enabled`, `emit.checkpoints.interval.seconds`.
    pub emit_checkpoints: Option<Pace>,
    /// Replication factor of the checkpoints topic; -1 is the broker's default. Default: 3.
    /// MM2: `checkpoints.topic.replication.factor`.
    pub checkpoints_topic_replication_factor: i16,
    /// Commit translated offsets on the target (KIP-545); `None`: no. Default: no.
    /// MM2: `sync.group.offsets.enabled`, `sync.group.offsets.interval.seconds`.
    pub sync_group_offsets: Option<Pace>,
    /// Time between two looks for new groups, at least 1 s; `None`: only one at start.
    /// Default: 600 s. MM2: `refresh.groups.enabled`, `refresh.groups.interval.seconds`.
    pub refresh_groups_interval: Option<Duration>,
    /// MM2: `groups`, `groups.exclude`.
    pub group_filter: GroupFilter,
    /// Topics whose offsets are translated: the checkpoint connector's own filter, which knows
    /// nothing of cycles and heartbeats. MM2: `topics`, `topics.exclude`.
    pub topic_filter: TopicFilter,
    /// Why there are neither checkpoints nor synced groups, whatever else is set. MM2 refuses the
    /// checkpoint connector with these errors, and runs on without it; empty when it runs.
    pub checkpoints_refused: Vec<ConfigError>,
}

impl OffsetConfig {
    pub(super) fn read(
        sets: &FlowProperties,
        replication_enabled: bool,
        errors: &mut ConfigErrors,
    ) -> Self {
        let (source, config) = (&sets.source, &sets.checkpoint);
        if replication_enabled {
            errors.take(check_offset_syncs(source));
        }
        let checkpoints_refused = check_checkpoints(config);
        let runs = checkpoints_refused.is_empty();
        let checkpoints = errors
            .take(pace(config, "emit.checkpoints", true))
            .flatten();
        let groups = errors
            .take(pace(config, "sync.group.offsets", false))
            .flatten();
        let lag = value::number(
            source,
            "offset.lag.max",
            OFFSET_LAG_MAX_DEFAULT,
            i64::MIN..=i64::MAX,
        );
        Self {
            emit_offset_syncs: errors.read(value::boolean(source, OFFSET_SYNCS, true)),
            offset_syncs_location: errors.read(location(config)),
            offset_syncs_topic_replication_factor: errors.read(factor(
                source,
                "offset-syncs.topic.replication.factor",
                3,
            )),
            offset_lag_max: u64::try_from(errors.read(lag)).unwrap_or(0),
            emit_checkpoints: checkpoints.filter(|_| runs),
            checkpoints_topic_replication_factor: errors.read(factor(
                config,
                "checkpoints.topic.replication.factor",
                3,
            )),
            // Groups follow checkpoints: a connector whose interval is negative has no tasks.
            sync_group_offsets: groups.filter(|_| runs && checkpoints.is_some()),
            refresh_groups_interval: errors.read(value::interval(
                config,
                "refresh.groups",
                REFRESH_GROUPS_INTERVAL_DEFAULT,
            )),
            group_filter: GroupFilter {
                include: patterns(config, "groups", GROUPS_DEFAULT, errors),
                exclude: patterns(config, "groups.exclude", GROUPS_EXCLUDE_DEFAULT, errors),
            },
            topic_filter: TopicFilter {
                include: patterns(config, "topics", super::TOPICS_DEFAULT, errors),
                exclude: patterns(
                    config,
                    "topics.exclude",
                    super::TOPICS_EXCLUDE_DEFAULT,
                    errors,
                ),
            },
            checkpoints_refused,
        }
    }
}

fn pace(
    config: &Properties,
    name: &str,
    enabled_default: bool,
) -> Result<Option<Pace>, ConfigError> {
    let interval = value::interval_if_set(config, name, enabled_default)?;
    Ok(interval.map(|set| set.map_or(Pace::AsSoonAsPossible, Pace::Every)))
}

/// In lower case only, as in MM2.
fn location(config: &Properties) -> Result<OffsetSyncsLocation, ConfigError> {
    match config.get(LOCATION).map(value::trim) {
        None | Some("source") => Ok(OffsetSyncsLocation::Source),
        Some("target") => Ok(OffsetSyncsLocation::Target),
        Some(_) => Err(ConfigError::invalid(
            config,
            LOCATION,
            "write source or target",
        )),
    }
}

/// MM2 compares the text: `FALSE` switches off, too, and passes these checks.
fn is_off(config: &Properties, key: &str) -> bool {
    config.get(key) == Some("false")
}

/// `MirrorSourceConnector.validate`: a topic that is configured and never written to is a mistake.
fn check_offset_syncs(config: &Properties) -> Result<(), ConfigError> {
    let of_topic =
        |key: &str| key.starts_with("offset-syncs-") || key.starts_with("offset-syncs.topic.");
    let configured = config.iter().map(|(key, _)| key).find(|key| of_topic(key));
    match configured {
        Some(key) if is_off(config, OFFSET_SYNCS) => {
            let expected = format!("remove it, or {key}, which has no effect with it");
            Err(ConfigError::invalid(config, OFFSET_SYNCS, expected))
        }
        _ => Ok(()),
    }
}

/// `MirrorCheckpointConfig.validate`: what the connector is refused for, unless the flow is off.
fn check_checkpoints(config: &Properties) -> Vec<ConfigError> {
    if is_off(config, "enabled") {
        return Vec::new();
    }
    let expected =
        "without it there are neither checkpoints nor synced groups; write true, or remove it";
    let refused = |key: &&str| is_off(config, key);
    let keys = [CHECKPOINTS, OFFSET_SYNCS].into_iter().filter(refused);
    keys.map(|key| ConfigError::invalid(config, key, expected))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::client::{ClientKind, ClientOwner, client_properties};
    use crate::config::keys::connector_key;
    use crate::config::{FlowConfig, MirrorConfig};

    const ONE_FLOW: &str = "clusters = A, B\nA.bootstrap.servers = a:1\nB.bootstrap.servers = b:1\n\
                            emit.heartbeats.enabled = false\nA->B.enabled = true\n";

    fn read(lines: &str) -> Result<FlowConfig, ConfigErrors> {
        let file = format!("{ONE_FLOW}{lines}");
        let config = MirrorConfig::read(Properties::parse(file.as_bytes()).unwrap(), &[])?;
        Ok(config.flows()[0].clone())
    }

    fn flow(lines: &str) -> FlowConfig {
        read(lines).unwrap()
    }

    fn error(lines: &str) -> String {
        let errors = read(lines).unwrap_err();
        assert_eq!(errors.iter().count(), 1, "{errors}");
        errors.to_string()
    }

    /// The keys that the checkpoint connector is refused for.
    fn refused(settings: &[(&str, &str)]) -> Vec<String> {
        let config: Properties = settings.iter().copied().collect();
        let errors = check_checkpoints(&config);
        let key = |error: &ConfigError| error.to_string().split(':').next().unwrap().to_owned();
        errors.iter().map(key).collect()
    }

    #[test]
    fn defaults() {
        let flow = flow("");
        let offsets = &flow.offsets;
        assert!(offsets.emit_offset_syncs);
        assert_eq!(offsets.offset_syncs_location, OffsetSyncsLocation::Source);
        assert_eq!(offsets.offset_syncs_topic_replication_factor, 3);
        assert_eq!(offsets.offset_lag_max, 100);
        assert_eq!(offsets.emit_checkpoints, Some(Pace::AsSoonAsPossible));
        assert_eq!(offsets.checkpoints_topic_replication_factor, 3);
        assert_eq!(offsets.sync_group_offsets, None);
        assert_eq!(
            offsets.refresh_groups_interval,
            Some(Duration::from_secs(600))
        );
        assert!(offsets.checkpoints_refused.is_empty());
        assert_eq!(offsets.topic_filter, flow.topic_filter);
        for (group, expected) in [
            ("orders", true),
            ("console-consumer-1", false),
            ("connect-x", false),
            ("__x", false),
        ] {
            assert_eq!(offsets.group_filter.accepts(group), expected, "{group}");
        }
        assert_eq!(flow.offset_syncs_topic(), "mm2-offset-syncs.B.internal");
        assert_eq!(flow.checkpoints_topic(), "A.checkpoints.internal");
        assert_eq!(flow.offset_map_topic(), "mm2-offset-map.A.internal");
    }

    #[test]
    fn values() {
        let flow = flow(
            "offset-syncs.topic.location = target\noffset-syncs.topic.replication.factor = 1\n\
             offset.lag.max = -5\nemit.checkpoints.interval.seconds = 7\n\
             checkpoints.topic.replication.factor = -1\nA->B.sync.group.offsets.enabled = true\n\
             sync.group.offsets.interval.seconds = 2\nrefresh.groups.enabled = false\n\
             A->B.groups = a.*, b\ngroups.exclude = ab\nreplication.policy.separator = _\n\
             A->B.topics = x\n",
        );
        let offsets = &flow.offsets;
        assert_eq!(offsets.offset_syncs_location, OffsetSyncsLocation::Target);
        assert_eq!(offsets.offset_syncs_topic_replication_factor, 1);
        assert_eq!(offsets.offset_lag_max, 0);
        let seconds = |seconds| Some(Pace::Every(Duration::from_secs(seconds)));
        assert_eq!(offsets.emit_checkpoints, seconds(7));
        assert_eq!(offsets.checkpoints_topic_replication_factor, -1);
        assert_eq!(offsets.sync_group_offsets, seconds(2));
        assert_eq!(offsets.refresh_groups_interval, None);
        assert_eq!(offsets.topic_filter.include.items(), ["x"]);
        let accepted = ["a", "ab", "ac", "b", "c"].map(|group| offsets.group_filter.accepts(group));
        assert_eq!(accepted, [true, false, true, true, false]);
        // Named after the cluster that does not have it; every internal name takes the separator.
        assert_eq!(flow.offset_syncs_topic(), "mm2-offset-syncs_A_internal");
        assert_eq!(flow.checkpoints_topic(), "A_checkpoints_internal");
        assert_eq!(flow.offset_map_topic(), "mm2-offset-map_A_internal");
        assert!(flow.policy.is_internal_topic(&flow.offset_map_topic()));
    }

    #[test]
    fn an_internal_separator_of_its_own() {
        let lines = "replication.policy.separator = _\n\
                     replication.policy.internal.topic.separator.enabled = false\n";
        let flow = flow(lines);
        assert_eq!(flow.offset_syncs_topic(), "mm2-offset-syncs.B.internal");
        assert_eq!(flow.offset_map_topic(), "mm2-offset-map.A.internal");
        assert!(flow.policy.is_internal_topic(&flow.offset_map_topic()));
    }

    #[test]
    fn it05_offset_syncs_off_takes_their_keys_off_too() {
        let flow = flow("emit.offset-syncs.enabled = false\n");
        assert!(!flow.offsets.emit_offset_syncs);
        let message =
            error("emit.offset-syncs.enabled = false\noffset-syncs.topic.location = source\n");
        assert!(
            message.starts_with("emit.offset-syncs.enabled (line 6): `false`")
                && message.contains("offset-syncs.topic.location"),
            "{message}"
        );
    }

    #[test]
    fn one_fault_each() {
        for (line, start) in [
            ("offset.lag.max = x", "offset.lag.max (line 6)"),
            ("groups = a[", "groups (line 6): `a[` is no regular"),
            (
                "emit.checkpoints.interval.seconds = 0",
                "emit.checkpoints.interval.seconds (line 6)",
            ),
            (
                "sync.group.offsets.enabled = on",
                "sync.group.offsets.enabled (line 6)",
            ),
            (
                "checkpoints.topic.replication.factor = 0",
                "checkpoints.topic.replication.factor (line",
            ),
            (
                "offset-syncs.topic.location = Target",
                "offset-syncs.topic.location (line 6)",
            ),
            (
                "group.filter.class = com.example.F",
                "group.filter.class (line 6)",
            ),
        ] {
            let message = error(&format!("{line}\n"));
            assert!(message.starts_with(start), "{line}: {message}");
        }
    }

    #[test]
    fn kc_01_groups_of_a_list() {
        let filter = flow("groups = consumer-1, consumer-2, consumer-3\n")
            .offsets
            .group_filter;
        assert_eq!(
            filter.include.items(),
            ["consumer-1", "consumer-2", "consumer-3"]
        );
    }

    #[test]
    fn kc_02_group_matching() {
        let filter = flow("groups = group1\n").offsets.group_filter;
        assert!(filter.accepts("group1"));
        assert!(!filter.accepts("group2"));
    }

    #[test]
    fn kc_03_task_keys_are_no_connector_keys() {
        assert_eq!(connector_key("task.assigned.groups"), None);
    }

    #[test]
    fn kc_04_consumer_configs_for_the_offset_syncs_topic() {
        let keys = [
            ("name", "connector"),
            ("source.cluster.alias", "source"),
            ("target.cluster.alias", "target"),
            ("source.consumer.max.partition.fetch.bytes", "1"),
            ("target.consumer.heartbeat.interval.ms", "1"),
            ("consumer.max.poll.interval.ms", "1"),
            ("fetch.min.bytes", "1"),
        ];
        let config: Properties = keys.into_iter().collect();
        for (location, own, role) in [
            (
                "source",
                "max.partition.fetch.bytes",
                "offset-syncs-source-consumer",
            ),
            (
                "target",
                "heartbeat.interval.ms",
                "offset-syncs-target-consumer",
            ),
        ] {
            let at = [(LOCATION, location)].into_iter().collect();
            let side = super::location(&at).unwrap().side();
            assert_eq!(role, format!("offset-syncs-{side}-consumer"));
            let owner = ClientOwner::Connector;
            let client = client_properties(&config, ClientKind::Consumer, side, owner, role);
            let id = format!("source->target|connector|{role}");
            let expected = [
                ("auto.offset.reset", "earliest"),
                ("client.id", &id),
                ("enable.auto.commit", "false"),
                ("max.poll.interval.ms", "1"),
                (own, "1"),
            ];
            assert_eq!(client, expected.into_iter().collect(), "{location}");
        }
    }

    #[test]
    fn kc_05_nothing_is_refused_if_the_connector_is_disabled() {
        for settings in [
            [
                (CHECKPOINTS, "false"),
                ("sync.group.offsets.enabled", "false"),
            ],
            [(CHECKPOINTS, "true"), (OFFSET_SYNCS, "false")],
        ] {
            let all = [settings[0], settings[1], ("enabled", "false")];
            assert_eq!(refused(&all), [""; 0]);
        }
    }

    #[test]
    fn kc_06_refused_if_the_connector_is_enabled() {
        assert_eq!(refused(&[(CHECKPOINTS, "false")]), [CHECKPOINTS]);
        let syncs_off = [(CHECKPOINTS, "true"), (OFFSET_SYNCS, "false")];
        assert_eq!(refused(&syncs_off), [OFFSET_SYNCS]);
        assert_eq!(
            refused(&[(CHECKPOINTS, "true"), (OFFSET_SYNCS, "true")]),
            [""; 0]
        );
    }

    /// As real MM2: the connector is refused, the rest of the flow runs.
    #[test]
    fn a_refused_checkpoint_connector_leaves_the_flow_running() {
        for key in [CHECKPOINTS, OFFSET_SYNCS] {
            let flow = flow(&format!(
                "{key} = false\nsync.group.offsets.enabled = true\n"
            ));
            assert!(flow.replication_enabled);
            assert_eq!(flow.offsets.emit_checkpoints, None, "{key}");
            assert_eq!(flow.offsets.sync_group_offsets, None, "{key}");
            let said = flow.offsets.checkpoints_refused[0].to_string();
            assert!(
                said.starts_with(&format!("{key} (line 6): `false`")),
                "{said}"
            );
        }
        let off =
            flow("emit.checkpoints.interval.seconds = -1\nsync.group.offsets.enabled = true\n");
        assert!(off.offsets.checkpoints_refused.is_empty());
        assert_eq!(off.offsets.emit_checkpoints, None);
        assert_eq!(off.offsets.sync_group_offsets, None);
    }
}
