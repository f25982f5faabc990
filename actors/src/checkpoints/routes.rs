//! Where a group that reads a topic of the source goes on reading on the target.

use std::collections::HashMap;
use std::sync::Arc;

use engine::offsets::{OffsetSyncStore, SyncTranslation, Translation, UnknownReason};
use topology::FlowConfig;

use super::NotSynced;
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
        let (policy, target) = (&config.policy, &config.id.target);
        if !config.offsets.topic_filter.verdict(topic).is_replicated() {
            Self::Filtered
        } else if policy.topic_source(topic) == Some(target.as_str()) {
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

    /// The map that knows; none if nobody has copied anything.
    pub(super) fn map(
        &self,
        flow: &Flow,
        topic: &str,
        partition: i32,
    ) -> Option<Arc<PartitionMap>> {
        match self {
            Self::Filtered => None,
            Self::Forth(_) => flow.maps.get(topic, partition),
            Self::Back(original) => {
                let reverse = flow.reverse.get()?.upgrade()?;
                reverse.maps.get(original, partition)
            }
        }
    }

    /// Where `upstream` is on the target by the map.
    pub(super) fn translate(&self, map: &PartitionMap, upstream: i64) -> Translation {
        match self {
            // What the reverse flow calls downstream is our source.
            Self::Back(_) => map.map.translate_back(upstream),
            Self::Forth(_) | Self::Filtered => map.translate(upstream),
        }
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
