//! Where a group that reads a topic of the source goes on reading on the target.

use std::collections::HashMap;
use std::sync::Arc;

use engine::offsets::{OffsetSyncStore, SyncTranslation, Translation, UnknownReason};
use topology::FlowConfig;

use super::NotSynced;
use super::reverse::ReverseMaps;
use crate::flow::Flow;
use crate::offset_maps::PartitionMap;

/// What a topic of the source is on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// The checkpoint connector's own filter leaves it out.
    Filtered,
    /// This flow copies it, to this remote topic.
    Forth(Arc<str>),
    /// It is a copy of this topic, which the target has.
    Back(Arc<str>),
}

impl Route {
    /// MM2: `checkpointsForGroup` and `renameTopicPartition` (`docs/spec/mm2.md` 6.3).
    pub(super) fn of(config: &FlowConfig, topic: &str) -> Self {
        if config.offsets.topic_filter.verdict(topic).is_replicated() {
            Self::unfiltered(config, topic)
        } else {
            Self::Filtered
        }
    }

    /// Whatever groups are followed in.
    pub(super) fn unfiltered(config: &FlowConfig, topic: &str) -> Self {
        let (policy, target) = (&config.policy, &config.id.target);
        if policy.topic_source(topic) == Some(target.as_str()) {
            // Not the original topic, as in MM2: over more than one hop that is another log than the one that was copied.
            Self::Back(policy.upstream_topic(topic).unwrap_or(topic).into())
        } else {
            Self::Forth(config.remote_topic(topic).into())
        }
    }

    /// The topic on the target.
    pub(super) fn remote(&self) -> Option<&Arc<str>> {
        match self {
            Self::Filtered => None,
            Self::Forth(remote) | Self::Back(remote) => Some(remote),
        }
    }

    /// The map that knows; none if nobody has copied anything. It stays the same one while this process runs, but for one of
    /// `stored`, which another process changes.
    pub(super) fn map(
        &self,
        flow: &Flow,
        stored: &ReverseMaps,
        topic: &str,
        partition: i32,
    ) -> Option<Arc<PartitionMap>> {
        match self {
            Self::Filtered => None,
            Self::Forth(_) => flow.maps.get(topic, partition),
            Self::Back(original) => match flow.reverse() {
                Some(reverse) => reverse.maps.get(original, partition),
                None => stored.get(original, partition),
            },
        }
    }

    /// The map is one of another process.
    pub(super) fn is_elsewhere(&self, flow: &Flow) -> bool {
        matches!(self, Self::Back(_)) && flow.reverse().is_none()
    }

    /// Where `upstream` is on the target by the map.
    pub(super) fn translate(&self, map: &PartitionMap, upstream: i64) -> Translation {
        match self {
            // What the reverse flow calls downstream is our source.
            Self::Back(_) => map.translate_back(upstream),
            Self::Forth(_) | Self::Filtered => map.translate(upstream),
        }
    }

    /// How far `upstream` is beyond what a map with these ends knows of. Unit: offsets; 0: it is not.
    pub(super) fn beyond(&self, ends: (i64, i64), upstream: i64) -> i64 {
        let end = match self {
            Self::Back(_) => ends.1,
            Self::Forth(_) | Self::Filtered => ends.0,
        };
        upstream.saturating_sub(end).max(0)
    }

    /// Why there is no translation, if there is not even a map.
    pub(super) fn without_map(&self, flow: &Flow, topic: &str) -> NotSynced {
        match self {
            Self::Filtered => NotSynced::FilteredTopic,
            Self::Forth(_) if flow.config.replicates(topic) => NotSynced::NothingReplicated,
            Self::Forth(_) | Self::Back(_) => NotSynced::NotPartOfThisFlow,
        }
    }
}

/// Each topic's route, found once.
#[derive(Debug, Default)]
pub(super) struct Routes(HashMap<Arc<str>, Route>);

impl Routes {
    pub(super) fn of(&mut self, config: &FlowConfig, topic: &Arc<str>) -> &Route {
        (self.0.entry(topic.clone())).or_insert_with(|| Route::of(config, topic))
    }
}

/// MM2's answer, for what MM2 has copied.
pub(super) fn by_offset_syncs(
    store: &OffsetSyncStore,
    topic: &str,
    partition: i32,
    upstream: i64,
) -> Translation {
    match store.translate(topic, partition, upstream) {
        SyncTranslation::At(downstream) => Translation::AtLeast(downstream),
        SyncTranslation::NoSync | SyncTranslation::TooOld => {
            Translation::Unknown(UnknownReason::BelowMap)
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::offsets::{DownstreamOffset, OffsetSync, UpstreamOffset};
    use topology::{MirrorConfig, Properties};

    use super::*;

    fn config(lines: &str) -> FlowConfig {
        let file = format!(
            "clusters = source1, target2\nsource1.bootstrap.servers = a:1\n\
             target2.bootstrap.servers = b:1\nsource1->target2.enabled = true\n\
             emit.heartbeats.enabled = false\n{lines}"
        );
        let properties = Properties::parse(file.as_bytes()).unwrap();
        let config = MirrorConfig::read(properties, &[]).unwrap();
        config.flows()[0].clone()
    }

    fn remote(lines: &str, topic: &str) -> Option<String> {
        let route = Route::of(&config(lines), topic);
        route.remote().map(ToString::to_string)
    }

    /// Syncs of (topic, upstream, downstream) in partition 0.
    fn store(syncs: &[(&str, i64, i64)]) -> OffsetSyncStore {
        let mut store = OffsetSyncStore::new(false);
        for (topic, upstream, downstream) in syncs {
            store.apply(&OffsetSync {
                topic: (*topic).to_owned(),
                partition: 0,
                upstream_offset: UpstreamOffset(*upstream),
                downstream_offset: DownstreamOffset(*downstream),
            });
        }
        store.set_read_to_end();
        store
    }

    #[test]
    fn kt_01_downstream_topic_renaming() {
        for (topic, expected) in [
            ("topic3", "source1.topic3"),
            ("target2.topic3", "topic3"),
            ("source6.topic7", "source1.source6.topic7"),
        ] {
            assert_eq!(remote("", topic).as_deref(), Some(expected));
        }
        let identity = "replication.policy.class = \
                        org.apache.kafka.connect.mirror.IdentityReplicationPolicy\n";
        assert_eq!(remote(identity, "topic3").as_deref(), Some("topic3"));
        // Over two hops: the log that was copied, not the one at the beginning of it all.
        let hops = remote("", "target2.source6.topic7");
        assert_eq!(hops.as_deref(), Some("source6.topic7"));
    }

    #[test]
    fn kt_02_checkpoint_by_offset_syncs() {
        let store = store(&[("topic1", 3, 4), ("target2.topic5", 7, 8)]);
        for (topic, upstream, remote_topic, downstream) in [
            ("topic1", 10, "source1.topic1", 5),
            ("target2.topic5", 12, "topic5", 9),
            ("target2.topic5", 7, "topic5", 8),
        ] {
            assert_eq!(remote("", topic).as_deref(), Some(remote_topic));
            let found = by_offset_syncs(&store, topic, 0, upstream);
            assert_eq!(
                found,
                Translation::AtLeast(downstream),
                "{topic} {upstream}"
            );
        }
    }

    #[test]
    fn kt_05_no_checkpoint_for_a_partition_without_offset_syncs() {
        let store = store(&[("topic1", 3, 4)]);
        let none = Translation::Unknown(UnknownReason::BelowMap);
        assert_eq!(by_offset_syncs(&store, "topic1", 1, 10), none);
        assert_ne!(by_offset_syncs(&store, "topic1", 0, 10), none);
        assert_eq!(by_offset_syncs(&store, "topic1", 0, 2), none, "too old");
    }

    #[test]
    fn what_is_beyond_the_map_is_counted_on_the_side_that_was_asked() {
        let (forth, back) = (Route::Forth("a.t".into()), Route::Back("t".into()));
        assert_eq!(
            (forth.beyond((10, 7), 12), back.beyond((10, 7), 12)),
            (2, 5)
        );
        assert_eq!((forth.beyond((10, 7), 10), back.beyond((10, 7), 3)), (0, 0));
    }

    #[test]
    fn kx_08_the_plain_topic_filter_decides() {
        let lines = "topics = t2\n";
        let routes = ["t1", "t2", "t3"].map(|topic| remote(lines, topic));
        assert_eq!(routes, [None, Some("source1.t2".to_owned()), None]);
        assert_eq!(remote("topics.exclude = .*\n", "t2"), None);
    }
}
