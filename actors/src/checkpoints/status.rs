//! What became of each group in each partition, for people, REST and metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dashmap::DashMap;
use engine::cluster::Refusal;
use engine::offsets::{Translation, UnknownReason};

use crate::registry::Delays;

/// A source topic and partition.
pub type GroupPartition = (Arc<str>, i32);

/// How a group stands on the target, the least pressing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncState {
    /// The configuration leaves it out.
    Excluded,
    /// The target has what it should have.
    Synced,
    /// The group is further on the target; it is never moved back.
    Ahead,
    /// Nothing is in the way: the next sync brings it, or the first record that is copied.
    Due,
    /// Something is in the way.
    Behind,
}

impl SyncState {
    /// Every state, in the order of the enum.
    pub const ALL: [Self; 5] = [
        Self::Excluded,
        Self::Synced,
        Self::Ahead,
        Self::Due,
        Self::Behind,
    ];

    /// A label for filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Excluded => "excluded",
            Self::Synced => "synced",
            Self::Ahead => "ahead",
            Self::Due => "due",
            Self::Behind => "behind",
        }
    }
}

impl fmt::Display for SyncState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a group's offset is not on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSynced {
    /// `sync.group.offsets.enabled` is false, or checkpoints cannot be: there are checkpoints at most.
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

    /// What it means for the group.
    pub fn state(&self) -> SyncState {
        match self {
            Self::SyncIsOff
            | Self::FilteredGroup
            | Self::FilteredTopic
            | Self::NotPartOfThisFlow => SyncState::Excluded,
            Self::TargetAhead => SyncState::Ahead,
            Self::NothingReplicated => SyncState::Due,
            Self::BelowMap
            | Self::ActiveOnTarget
            | Self::RemoteTopicMissing
            | Self::Refused(_)
            | Self::Unanswered(_) => SyncState::Behind,
        }
    }
}

impl From<UnknownReason> for NotSynced {
    fn from(reason: UnknownReason) -> Self {
        match reason {
            UnknownReason::NothingReplicated => Self::NothingReplicated,
            UnknownReason::BelowMap => Self::BelowMap,
        }
    }
}

impl fmt::Display for NotSynced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SyncIsOff => "sync.group.offsets.enabled is not true, or checkpoints cannot be",
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
    /// How far the group is beyond what was copied or passed over when that was asked. Unit: offsets; 0: it is not.
    pub uncopied: i64,
    /// The downstream offset of the last checkpoint.
    pub checkpoint: Option<i64>,
    /// From asking what groups have committed to the checkpoint's acknowledgement. MM2: `checkpoint-latency-ms`.
    pub latency: Delays,
    /// When this process wrote a checkpoint last. Unit: epoch milliseconds.
    pub emitted_at_ms: Option<i64>,
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
    /// 0: never.
    checked_at_ms: AtomicI64,
    /// 0: never.
    emitted_at_ms: AtomicI64,
}

impl GroupStatus {
    /// How the group stands in this partition.
    pub fn state(&self) -> SyncState {
        match &self.why_not {
            Some(why_not) => why_not.state(),
            None if self.checkpoint.is_some() && self.checkpoint == self.target_offset => {
                SyncState::Synced
            }
            None => SyncState::Due,
        }
    }
}

impl Group {
    /// How it stands: as in the partition where it is most pressing. Where it has committed nothing, nothing is missing.
    pub fn state(&self) -> SyncState {
        let partitions = self.partitions.values().map(GroupStatus::state);
        let whole = self.why_not.iter().map(NotSynced::state);
        (partitions.chain(whole).max()).unwrap_or(SyncState::Synced)
    }
}

impl Groups {
    /// Looks at one group; none if it is not known. Rounds wait for `look`, which must be quick and not call this again.
    pub fn look<T>(&self, group: &str, look: impl FnOnce(&Group) -> T) -> Option<T> {
        self.groups.get(group).map(|group| look(&group))
    }

    /// Looks at every group, as [`Self::look`], in no order.
    pub fn each(&self, mut look: impl FnMut(&Arc<str>, &Group)) {
        for entry in &self.groups {
            look(entry.key(), entry.value());
        }
    }

    /// All names, sorted.
    pub fn names(&self) -> Vec<Arc<str>> {
        let all = self.groups.iter().map(|group| group.key().clone());
        let mut names: Vec<_> = all.collect();
        names.sort_unstable();
        names
    }

    /// When all groups were last compared with what they have committed. Unit: epoch milliseconds; none: never.
    pub fn checked_at_ms(&self) -> Option<i64> {
        Some(self.checked_at_ms.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// When this process wrote a checkpoint last. Unit: epoch milliseconds; none: never.
    pub fn emitted_at_ms(&self) -> Option<i64> {
        Some(self.emitted_at_ms.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }

    /// A round has taken in what groups had committed at that time.
    pub(super) fn note_round(&self, now_ms: i64) {
        self.checked_at_ms.store(now_ms, Ordering::Relaxed);
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
            status.emitted_at_ms = Some(now_ms);
        });
        self.emitted_at_ms.store(now_ms, Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(checkpoint: Option<i64>, target_offset: Option<i64>) -> GroupStatus {
        GroupStatus {
            checkpoint,
            target_offset,
            ..GroupStatus::default()
        }
    }

    #[test]
    fn synced_is_what_the_target_has() {
        assert_eq!(at(Some(5), Some(5)).state(), SyncState::Synced);
        assert_eq!(at(Some(5), Some(4)).state(), SyncState::Due);
        assert_eq!(at(Some(5), None).state(), SyncState::Due);
        assert_eq!(at(None, None).state(), SyncState::Due, "not translated yet");
        let mut held = at(Some(5), Some(5));
        held.why_not = Some(NotSynced::ActiveOnTarget);
        assert_eq!(held.state(), SyncState::Behind);
    }

    #[test]
    fn a_group_stands_as_where_it_is_most_pressing() {
        let mut group = Group::default();
        assert_eq!(group.state(), SyncState::Synced, "it has committed nothing");
        let mut put = |partition, why_not| {
            let status = group.partition(&("orders".into(), partition));
            *status = at(Some(1), Some(1));
            status.why_not = why_not;
            group.state()
        };
        assert_eq!(
            put(0, Some(NotSynced::NotPartOfThisFlow)),
            SyncState::Excluded
        );
        assert_eq!(put(1, None), SyncState::Synced);
        assert_eq!(put(2, Some(NotSynced::TargetAhead)), SyncState::Ahead);
        assert_eq!(put(3, Some(NotSynced::NothingReplicated)), SyncState::Due);
        assert_eq!(put(4, Some(NotSynced::BelowMap)), SyncState::Behind);
        let refused = Group {
            why_not: Some(NotSynced::FilteredGroup),
            ..Group::default()
        };
        assert_eq!(refused.state(), SyncState::Excluded);
    }

    #[test]
    fn groups_are_looked_at_in_order() {
        let groups = Groups::default();
        for name in ["b", "c", "a"] {
            groups.change(&name.into(), |group| {
                group.partition(&("orders".into(), 0)).source_offset = 7;
            });
        }
        assert_eq!(groups.names(), ["a", "b", "c"].map(Arc::from));
        let count = |group: &Group| group.partitions.len();
        assert_eq!(
            (groups.look("b", count), groups.look("d", count)),
            (Some(1), None)
        );
        assert_eq!(groups.checked_at_ms(), None);
        groups.note_round(3);
        assert_eq!(groups.checked_at_ms(), Some(3));
    }
}
