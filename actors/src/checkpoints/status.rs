//! What became of each group in each partition, for people, REST and metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dashmap::DashMap;
use engine::cluster::Refusal;
use engine::offsets::Translation;

use crate::registry::Delays;

/// A source topic and partition.
pub type GroupPartition = (Arc<str>, i32);

/// Why a group's offset is not on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSynced {
    /// `sync.group.offsets.enabled` is false: there are checkpoints only.
    SyncIsOff,
    /// `groups` or `groups.exclude` leaves the group out.
    FilteredGroup,
    /// `topics` or `topics.exclude` leaves the topic out.
    FilteredTopic,
    /// Nothing of the topic is copied by this flow, and it is no copy from the target whose flow is known.
    NotPartOfThisFlow,
    /// No record of the partition was copied so far.
    NothingReplicated,
    /// Another program copied what lies there, and left no offset sync that reaches so far.
    BelowMap,
    /// The group has members on the target, or may have.
    ActiveOnTarget,
    /// The group is further on the target already.
    TargetAhead,
    /// There is no such topic or partition on the target.
    RemoteTopicMissing,
    /// A broker refused.
    Refused(Refusal),
    /// No broker answered.
    Unanswered(String),
}

impl NotSynced {
    /// A label for metrics and filters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::SyncIsOff => "sync-is-off",
            Self::FilteredGroup => "filtered-group",
            Self::FilteredTopic => "filtered-topic",
            Self::NotPartOfThisFlow => "not-part-of-this-flow",
            Self::NothingReplicated => "nothing-replicated",
            Self::BelowMap => "below-map",
            Self::ActiveOnTarget => "active-on-target",
            Self::TargetAhead => "target-ahead",
            Self::RemoteTopicMissing => "remote-topic-missing",
            Self::Refused(_) => "refused",
            Self::Unanswered(_) => "unanswered",
        }
    }
}

impl fmt::Display for NotSynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SyncIsOff => "sync.group.offsets.enabled is false",
            Self::FilteredGroup => "the group is left out by groups or groups.exclude",
            Self::FilteredTopic => "the topic is left out by topics or topics.exclude",
            Self::NotPartOfThisFlow => "the topic is not copied by this flow",
            Self::NothingReplicated => "nothing of the partition was copied so far",
            Self::BelowMap => "copied by another program, which left no offset sync for it",
            Self::ActiveOnTarget => "the group has members on the target",
            Self::TargetAhead => "the group is further on the target",
            Self::RemoteTopicMissing => "the remote topic or partition does not exist",
            Self::Refused(refusal) => return write!(f, "refused: {refusal}"),
            Self::Unanswered(error) => return write!(f, "not answered: {error}"),
        })
    }
}

/// One group in one partition, as of the last time that something changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    /// What the group has committed on the source.
    pub source_offset: i64,
    /// The topic on the target; none for one that is left out.
    pub remote_topic: Option<Arc<str>>,
    /// Where that is on the target; none if it was not asked for.
    pub translation: Option<Translation>,
    /// The downstream offset of the last checkpoint.
    pub checkpoint: Option<i64>,
    /// From asking what groups have committed to the checkpoint's acknowledgement. MM2: `checkpoint-latency-ms`.
    pub latency: Delays,
    /// What the group is known to have on the target.
    pub target_offset: Option<i64>,
    /// When we committed there last. Unit: epoch milliseconds.
    pub synced_at_ms: Option<i64>,
    /// Why the target does not have it; none when it has, or will at once.
    pub why_not: Option<NotSynced>,
}

/// One group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Why nothing is known of its offsets.
    pub why_not: Option<NotSynced>,
    /// By source topic and partition.
    pub partitions: BTreeMap<GroupPartition, GroupStatus>,
}

/// All groups of the source that are groups of consumers.
#[derive(Debug, Default)]
pub struct Groups {
    groups: DashMap<Arc<str>, Group>,
}

impl Groups {
    /// One group.
    pub fn get(&self, group: &str) -> Option<Group> {
        self.groups.get(group).map(|group| group.clone())
    }

    /// All groups, by name.
    pub fn snapshot(&self) -> BTreeMap<Arc<str>, Group> {
        let all = self.groups.iter();
        all.map(|group| (group.key().clone(), group.value().clone()))
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// A checkpoint was acknowledged so long after groups were asked.
    pub fn note_checkpoint(
        &self,
        group: &Arc<str>,
        at: &GroupPartition,
        remote: &Arc<str>,
        latency_ms: i64,
        now_ms: i64,
    ) {
        self.change(group, |group| {
            let status = group.partition(at);
            status.remote_topic = Some(remote.clone());
            status.latency.record(latency_ms, now_ms);
        });
    }

    /// Changes what is known of a group, which need not be known yet.
    pub(super) fn change<T>(&self, group: &Arc<str>, change: impl FnOnce(&mut Group) -> T) -> T {
        if let Some(mut known) = self.groups.get_mut(group) {
            return change(&mut known);
        }
        change(&mut self.groups.entry(group.clone()).or_default())
    }

    /// Keeps the groups that are still there.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.groups.retain(|group, _| is_there(group));
    }
}

impl Group {
    pub(super) fn partition(&mut self, at: &GroupPartition) -> &mut GroupStatus {
        self.partitions.entry(at.clone()).or_default()
    }
}
