//! How topics are named on the target, and how a name is read back (docs/spec/mm2.md 2.1, 2.2).

use crate::alias::{ClusterAlias, is_topic_byte};
use crate::config::{ConfigError, value};
use crate::properties::Properties;

/// The class name of [`PolicyKind::Default`].
pub const DEFAULT_POLICY_CLASS: &str = "org.apache.kafka.connect.mirror.DefaultReplicationPolicy";
/// The class name of [`PolicyKind::Identity`].
pub const IDENTITY_POLICY_CLASS: &str = "org.apache.kafka.connect.mirror.IdentityReplicationPolicy";
/// The separator where `replication.policy.separator` is not set.
pub const DEFAULT_SEPARATOR: &str = ".";

const HEARTBEATS: &str = "heartbeats";

/// Which of MM2's two replication policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// A remote topic is the source's alias, the separator and the topic.
    Default,
    /// A remote topic has the topic's own name; only heartbeats get the alias (KIP-382, KIP-690).
    Identity,
}

/// Maps a topic to its remote topic, and a name back to where it came from.
///
/// Behaves as Apache Kafka 4.0.0 and later (KIP-1074): `orders.internal` is an ordinary topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationPolicy {
    kind: PolicyKind,
    separator: String,
    internal_separator: String,
    source: Option<ClusterAlias>,
}

impl Default for ReplicationPolicy {
    /// The default policy with the separator `.`.
    fn default() -> Self {
        Self::with_separator(DEFAULT_SEPARATOR)
    }
}

impl ReplicationPolicy {
    /// The default policy with another separator, for internal topics too.
    pub fn with_separator(separator: &str) -> Self {
        Self {
            kind: PolicyKind::Default,
            separator: separator.into(),
            internal_separator: separator.into(),
            source: None,
        }
    }

    /// The identity policy. `source` is the cluster that ordinary topics are said to come from;
    /// `None`, as in a bare client, says that nothing is known about it.
    pub fn identity(source: Option<ClusterAlias>) -> Self {
        Self {
            kind: PolicyKind::Identity,
            source,
            ..Self::default()
        }
    }

    /// The policy that a connector's properties ask for: `replication.policy.class` (default
    /// [`DEFAULT_POLICY_CLASS`]), `replication.policy.separator` (default `.`),
    /// `replication.policy.internal.topic.separator.enabled` (default true) and, for the identity
    /// policy, `source.cluster.alias`.
    ///
    /// # Errors
    /// Another class (there is no Java here to load it), a separator with a character that topic
    /// names cannot have, or a flag that is no boolean.
    pub fn from_properties(properties: &Properties) -> Result<Self, ConfigError> {
        const CLASS: &str = "replication.policy.class";
        const SEPARATOR: &str = "replication.policy.separator";
        const INTERNAL: &str = "replication.policy.internal.topic.separator.enabled";
        let kind = match properties.get(CLASS).map(value::trim) {
            None | Some(DEFAULT_POLICY_CLASS) => PolicyKind::Default,
            Some(IDENTITY_POLICY_CLASS) => PolicyKind::Identity,
            Some(_) => {
                let classes = format!("`{DEFAULT_POLICY_CLASS}` or `{IDENTITY_POLICY_CLASS}`");
                return Err(ConfigError::unsupported(properties, CLASS, classes));
            }
        };
        let separator = properties.get(SEPARATOR).unwrap_or(DEFAULT_SEPARATOR);
        if !separator.bytes().all(is_topic_byte) {
            let expected = "write letters, digits, `.`, `_` or `-`, without white space at the end";
            return Err(ConfigError::invalid(properties, SEPARATOR, expected));
        }
        // MM2 validates the flag as a boolean but then reads it untrimmed.
        value::boolean(properties, INTERNAL, true)?;
        let by_separator = properties
            .get(INTERNAL)
            .is_none_or(|flag| flag.eq_ignore_ascii_case("true"));
        Ok(Self {
            kind,
            separator: separator.into(),
            internal_separator: if by_separator {
                separator
            } else {
                DEFAULT_SEPARATOR
            }
            .into(),
            source: properties
                .get("source.cluster.alias")
                .map(ClusterAlias::new),
        })
    }

    /// Which policy this is.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// The text between alias and topic.
    pub fn separator(&self) -> &str {
        &self.separator
    }

    /// The name of `topic`'s copy on another cluster. MM2: `formatRemoteTopic`.
    pub fn remote_topic(&self, source: &ClusterAlias, topic: &str) -> String {
        if self.is_identical(topic) {
            topic.to_owned()
        } else {
            format!("{source}{}{topic}", self.separator)
        }
    }

    /// The alias before the first separator, or the identity policy's source; `None` for a topic
    /// that is not remote. The alias may be empty (`.b`). MM2: `topicSource`.
    pub fn topic_source<'a>(&'a self, topic: &'a str) -> Option<&'a str> {
        if self.is_identical(topic) {
            self.source.as_ref().map(ClusterAlias::as_str)
        } else {
            self.split(topic).map(|(source, _)| source)
        }
    }

    /// The topic's name on the cluster it came from; `None` for a topic that is not remote. The
    /// identity policy gives the same name. MM2: `upstreamTopic`.
    pub fn upstream_topic<'a>(&self, topic: &'a str) -> Option<&'a str> {
        if self.is_identical(topic) {
            Some(topic)
        } else {
            self.split(topic).map(|(_, upstream)| upstream)
        }
    }

    /// The topic's name where it was first written, over all hops. MM2: `originalTopic`.
    pub fn original_topic<'a>(&self, topic: &'a str) -> &'a str {
        let mut original = topic;
        while let Some(upstream) = self.upstream_topic(original) {
            if upstream == original {
                break;
            }
            original = upstream; // always shorter, so this ends
        }
        original
    }

    /// The topic that heartbeats are written to; no separator changes it. MM2: `heartbeatsTopic`.
    pub fn heartbeats_topic(&self) -> &'static str {
        HEARTBEATS
    }

    /// Whether the topic is `heartbeats` or a copy of it. MM2: `isHeartbeatsTopic`.
    pub fn is_heartbeats_topic(&self, topic: &str) -> bool {
        self.original_topic(topic) == HEARTBEATS
    }

    /// The offset-syncs topic. `other` is the cluster of the flow that does *not* host it.
    /// MM2: `offsetSyncsTopic`.
    pub fn offset_syncs_topic(&self, other: &ClusterAlias) -> String {
        let separator = &self.internal_separator;
        format!("mm2-offset-syncs{separator}{other}{separator}internal")
    }

    /// The topic of the checkpoints of groups on `source`. MM2: `checkpointsTopic`.
    pub fn checkpoints_topic(&self, source: &ClusterAlias) -> String {
        let separator = &self.internal_separator;
        format!("{source}{separator}checkpoints{separator}internal")
    }

    /// The topic in which the exact offsets of `source`'s records on the target are kept. MM2 knows no such topic, and takes
    /// the name for one of its own: it is never replicated.
    pub fn offset_map_topic(&self, source: &ClusterAlias) -> String {
        let separator = &self.internal_separator;
        format!("mm2-offset-map{separator}{source}{separator}internal")
    }

    /// MM2: `isCheckpointsTopic`.
    pub fn is_checkpoints_topic(&self, topic: &str) -> bool {
        self.strip_internal(topic)
            .and_then(|rest| rest.strip_suffix("checkpoints"))
            .is_some_and(|rest| rest.ends_with(&self.internal_separator))
    }

    /// Whether MM2 made the topic for itself (4.0.0, KIP-1074). MM2: `isMM2InternalTopic`.
    pub fn is_mm2_internal_topic(&self, topic: &str) -> bool {
        let named_mm2 = topic.starts_with("mm2") && self.strip_internal(topic).is_some();
        named_mm2 || self.is_checkpoints_topic(topic)
    }

    /// Whether the topic is never replicated: MM2's own, Kafka's (`__`) and hidden ones (`.`).
    /// MM2: `isInternalTopic`.
    pub fn is_internal_topic(&self, topic: &str) -> bool {
        self.is_mm2_internal_topic(topic) || topic.starts_with("__") || topic.starts_with('.')
    }

    /// Whether a copy of `topic` on `target` would bring records home: one of its hops is
    /// `target`. MM2: `isCycle` (docs/spec/mm2.md 4.2).
    pub fn is_cycle(&self, target: &ClusterAlias, topic: &str) -> bool {
        let mut topic = topic;
        while let Some(source) = self.topic_source(topic) {
            if source == target.as_str() {
                return true;
            }
            match self.upstream_topic(topic) {
                Some(upstream) if upstream != topic => topic = upstream,
                _ => return false,
            }
        }
        false
    }

    /// Whether this alias can be read back from a name that it was put before.
    pub(crate) fn recognises(&self, cluster: &ClusterAlias) -> bool {
        !self.separator.is_empty() && !cluster.as_str().contains(&self.separator)
    }

    /// Whether the copy of `topic` has the same name. A name that ends with `heartbeats` counts
    /// as heartbeats, as in MM2.
    fn is_identical(&self, topic: &str) -> bool {
        self.kind == PolicyKind::Identity && !topic.ends_with(HEARTBEATS)
    }

    /// Splits off the first piece as Java's `String.split` finds it: trailing empty pieces do not
    /// count, so `a.` and `..` have no source while `a..b` has `a`.
    fn split<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        if self.separator.is_empty() {
            // Java's empty pattern splits between any two characters.
            let (second, _) = topic.char_indices().nth(1)?;
            return topic.split_at_checked(second);
        }
        let (source, upstream) = topic.split_once(&self.separator)?;
        let has_piece = upstream
            .split(&self.separator)
            .any(|piece| !piece.is_empty());
        has_piece.then_some((source, upstream))
    }

    fn strip_internal<'a>(&self, topic: &'a str) -> Option<&'a str> {
        topic
            .strip_suffix("internal")?
            .strip_suffix(&self.internal_separator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(pairs: &[(&str, &str)]) -> Result<ReplicationPolicy, ConfigError> {
        ReplicationPolicy::from_properties(&pairs.iter().copied().collect())
    }

    fn separated(internal: &str) -> ReplicationPolicy {
        let flag = "replication.policy.internal.topic.separator.enabled";
        policy(&[("replication.policy.separator", "__"), (flag, internal)]).unwrap()
    }

    #[test]
    fn mc_01_heartbeats_topics() {
        let policy = ReplicationPolicy::default();
        for yes in [
            "heartbeats",
            "source1.heartbeats",
            "source2.source1.heartbeats",
        ] {
            assert!(policy.is_heartbeats_topic(yes), "{yes}");
        }
        for no in [
            "heartbeats!",
            "!heartbeats",
            "source1heartbeats",
            "source1-heartbeats",
        ] {
            assert!(!policy.is_heartbeats_topic(no), "{no}");
        }
    }

    #[test]
    fn mc_02_mc_05_checkpoints_topics() {
        let policy = ReplicationPolicy::default();
        for yes in [
            "source1.checkpoints.internal",
            "source2.source1.checkpoints.internal",
        ] {
            assert!(policy.is_checkpoints_topic(yes), "{yes}");
        }
        for no in [
            "checkpoints.internal",
            "checkpoints-internal",
            "checkpoints.internal!",
            "!checkpoints.internal",
            "source1checkpointsinternal",
            "topic1",
        ] {
            assert!(!policy.is_checkpoints_topic(no), "{no}");
        }
    }

    #[test]
    fn mc_09_mc_11_remote_topics() {
        for separator in [".", "__"] {
            let policy = ReplicationPolicy::with_separator(separator);
            for local in ["topic1", "topic2", "topic3"] {
                assert_eq!(policy.topic_source(local), None);
            }
            let hops = ["source3", "source4", "source5", "topic6"].join(separator);
            assert_eq!(policy.topic_source(&hops), Some("source3"));
            assert_eq!(policy.original_topic(&hops), "topic6");
        }
    }

    #[test]
    fn mc_08_mc_10_mc_12_identity_topic_source() {
        let policy = ReplicationPolicy::identity(Some("primary".into()));
        assert_eq!(policy.remote_topic(&"primary".into(), "topic1"), "topic1");
        assert_eq!(policy.topic_source("topic1"), Some("primary"));
        assert_eq!(
            policy.remote_topic(&"backup".into(), "heartbeats"),
            "backup.heartbeats"
        );
        assert_eq!(policy.topic_source("backup.heartbeats"), Some("backup"));
        assert_eq!(policy.topic_source("heartbeats"), None);
        assert_eq!(
            policy.original_topic("source3.source4.heartbeats"),
            "heartbeats"
        );
        assert_eq!(
            ReplicationPolicy::identity(None).topic_source("topic1"),
            None
        );
    }

    #[test]
    fn rp_01_internal_topics() {
        let policy = ReplicationPolicy::default();
        for yes in [
            "__consumer_offsets",
            ".hiddentopic",
            "mm2-offsets.CLUSTER.internal",
        ] {
            assert!(policy.is_internal_topic(yes), "{yes}");
        }
        // The last two were internal before 4.0.0 (KIP-1074).
        for no in [
            "mm2-offsets_CLUSTER_internal",
            "mm2-offsets-CLUSTER-internal",
            "my.internal",
        ] {
            assert!(!policy.is_internal_topic(no), "{no}");
        }
    }

    #[test]
    fn rp_02_rp_03_rp_04_separator_of_internal_topics() {
        let cluster = ClusterAlias::new("CLUSTER");
        let (plain, separated) = (separated("false"), separated("true"));
        assert_eq!(
            plain.offset_syncs_topic(&cluster),
            "mm2-offset-syncs.CLUSTER.internal"
        );
        assert_eq!(
            separated.offset_syncs_topic(&cluster),
            "mm2-offset-syncs__CLUSTER__internal"
        );
        assert_eq!(
            plain.checkpoints_topic(&cluster),
            "CLUSTER.checkpoints.internal"
        );
        assert_eq!(
            separated.checkpoints_topic(&cluster),
            "CLUSTER__checkpoints__internal"
        );
        for policy in [&plain, &separated] {
            assert_eq!(policy.heartbeats_topic(), "heartbeats");
            assert!(policy.is_checkpoints_topic(&policy.checkpoints_topic(&cluster)));
            assert!(policy.is_internal_topic(&policy.offset_syncs_topic(&cluster)));
        }
    }

    #[test]
    fn edges_of_java_split() {
        // docs/spec/mm2.md 2.1, "Edge results for sep `.`".
        let policy = ReplicationPolicy::default();
        let cases: [(&str, Option<(&str, &str)>); 9] = [
            ("a.b", Some(("a", "b"))),
            ("a", None),
            ("", None),
            ("a.", None),
            (".b", Some(("", "b"))),
            ("..", None),
            ("a..", None),
            ("a..b", Some(("a", ".b"))),
            ("a.b.", Some(("a", "b."))),
        ];
        for (topic, expected) in cases {
            let found = policy.topic_source(topic).zip(policy.upstream_topic(topic));
            assert_eq!(found, expected, "{topic}");
        }
        let wide = ReplicationPolicy::with_separator("__");
        assert_eq!(wide.topic_source("a___b"), Some("a"));
        assert_eq!(wide.upstream_topic("a___b"), Some("_b"));
        assert_eq!(wide.topic_source("a___"), Some("a"));
        assert_eq!(wide.topic_source("a____"), None);
        let none = ReplicationPolicy::with_separator("");
        assert_eq!(
            (none.topic_source("ab"), none.topic_source("a")),
            (Some("a"), None)
        );
    }

    #[test]
    fn sx_05_no_cycles() {
        let (policy, target) = (ReplicationPolicy::default(), ClusterAlias::new("target"));
        for cycle in [
            "target.topic1",
            "target.source.topic1",
            "source.target.topic1",
            "target.source.target.topic1",
            "source.target.source.topic1",
        ] {
            assert!(policy.is_cycle(&target, cycle), "{cycle}");
            assert!(
                !ReplicationPolicy::identity(None).is_cycle(&target, cycle),
                "{cycle}"
            );
        }
        for fine in ["topic1", "source.topic1", ".b", "", "..."] {
            assert!(!policy.is_cycle(&target, fine), "{fine}");
        }
    }

    #[test]
    fn policy_is_selected_by_java_class() {
        let class = |name: &str| policy(&[("replication.policy.class", name)]);
        assert_eq!(
            class(DEFAULT_POLICY_CLASS),
            Ok(ReplicationPolicy::default())
        );
        let identity = class(&format!(" {IDENTITY_POLICY_CLASS} ")).unwrap();
        assert_eq!(identity.kind(), PolicyKind::Identity);
        let unknown = class("com.example.Nope").unwrap_err().to_string();
        assert!(unknown.contains("replication.policy.class"), "{unknown}");
        assert!(unknown.contains("com.example.Nope"), "{unknown}");
        assert!(policy(&[("replication.policy.separator", "_ ")]).is_err());
        assert!(
            policy(&[(
                "replication.policy.internal.topic.separator.enabled",
                "maybe"
            )])
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn a_remote_topic_is_read_back(
            alias in "[a-zA-Z0-9-]{1,8}",
            topic in "[a-zA-Z0-9._-]{0,12}[a-zA-Z0-9]",
            separator in r"\.|_|__|\._|-x-",
        ) {
            prop_assume!(!alias.contains(&separator));
            let policy = ReplicationPolicy::with_separator(&separator);
            let source = ClusterAlias::new(&alias);
            let remote = policy.remote_topic(&source, &topic);
            // `a-` + `-x-`: the separator may begin inside the alias; then MM2 misreads it too.
            prop_assume!(remote.find(&separator) == Some(alias.len()));
            prop_assert_eq!(policy.topic_source(&remote), Some(alias.as_str()));
            prop_assert_eq!(policy.upstream_topic(&remote), Some(topic.as_str()));
            prop_assert!(policy.is_cycle(&source, &remote));
        }

        #[test]
        fn split_agrees_with_java(topic in "[a.]{0,8}") {
            // Java: drop trailing empty pieces, then ask for at least two.
            let mut pieces: Vec<_> = topic.split('.').collect();
            while pieces.len() > 1 && pieces.last() == Some(&"") {
                pieces.pop();
            }
            let expected = (pieces.len() > 1).then(|| pieces[0]);
            let policy = ReplicationPolicy::default();
            prop_assert_eq!(policy.topic_source(&topic), expected);
        }
    }
}
