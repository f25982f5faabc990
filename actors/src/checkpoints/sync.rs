//! Group sync: translated offsets, committed on the target (`docs/spec/mm2.md` 6.4, KIP-545).
//!
//! Only into groups that nobody is in (KAFKA-19794), never below what they have, and each partition for itself: one that cannot
//! be does not keep the others (KAFKA-19107).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use engine::cluster::{ClusterError, Committed, ErrorCode, GroupOffset, NewOffset, Refusal};
use tokio::time::Instant;
use tracing::debug;

use super::log_starts::LogStart;
use super::round::{Goal, Rounds, Row};
use super::{GroupPartition, NotSynced, is_due};
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;

/// A group with members is looked at again after this time.
const ACTIVE_RETRY: Duration = Duration::from_secs(2);
/// A group that a broker refused is tried again after this time.
const REFUSED_RETRY: Duration = Duration::from_secs(5);
/// What the target has is asked for again after this time: somebody may have deleted the group or moved it back.
const TARGET_AGE_MAX: Duration = Duration::from_secs(30);

/// Which groups have something to commit.
#[derive(Debug, Default)]
pub(super) struct GroupSync {
    due: HashSet<Arc<str>>,
    /// Due, but not before.
    not_before: HashMap<Arc<str>, Instant>,
    asked_all: Option<Instant>,
    last: Option<Instant>,
}

impl GroupSync {
    /// The group's offsets on the target are not what they shall be.
    pub(super) fn is_due(&mut self, group: &Arc<str>) {
        if !self.due.contains(group) {
            self.due.insert(group.clone());
        }
    }

    fn put_off(&mut self, group: &Arc<str>, rest: Duration) {
        self.not_before.insert(group.clone(), Instant::now() + rest);
    }

    fn ready(&mut self) -> Vec<Arc<str>> {
        let now = Instant::now();
        self.not_before.retain(|_, not_before| *not_before > now);
        let ready = self.due.iter();
        ready
            .filter(|group| !self.not_before.contains_key(*group))
            .cloned()
            .collect()
    }
}

/// What is to be done in one partition.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Commit,
    /// The target is there, or further.
    Leave,
}

/// MM2: the table of 6.4 (b). An offset that was reset to a negative one shows as none.
pub(super) fn step(target: Option<i64>, downstream: i64) -> Step {
    match target {
        Some(target) if target >= downstream => Step::Leave,
        Some(_) | None => Step::Commit,
    }
}

impl Rounds {
    /// # Errors
    /// [`LeaseError`]; what was not done is due still.
    pub(super) async fn sync_groups(&mut self, flow: &Flow) -> Result<(), LeaseError> {
        let pace = flow.config.offsets.sync_group_offsets;
        if !pace.is_some_and(|pace| is_due(pace, self.sync.last)) {
            return Ok(());
        }
        if (self.sync.asked_all).is_none_or(|at| at.elapsed() >= TARGET_AGE_MAX) {
            self.sync.asked_all = Some(Instant::now());
            let with_goal = self.groups.iter().filter(|(_, rows)| has_goal(rows));
            self.sync
                .due
                .extend(with_goal.map(|(group, _)| group.clone()));
        }
        let groups = &self.groups;
        self.sync.due.retain(|group| groups.contains_key(group));
        let ready = self.sync.ready();
        if ready.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let free = self.without_members(flow, &ready).await?;
        let states = began.elapsed();
        let mut commits = Vec::new();
        for (group, offsets) in flow.target.group_offsets(&free).await? {
            match offsets {
                Ok(offsets) => {
                    let new = self.below_goal(flow, &group, &offsets);
                    if new.is_empty() {
                        self.sync.due.remove(&group);
                    } else {
                        commits.push((group, new));
                    }
                }
                Err(refusal) => self.refused(flow, &group, &refusal),
            }
        }
        let (asked, groups) = (began.elapsed(), commits.len());
        if !commits.is_empty() {
            flow.lease.check(&flow.target).await?;
        }
        for (group, result) in flow.target.commit_many(commits).await {
            self.committed(flow, &group, result);
        }
        let committed = began.elapsed();
        debug!(flow = %flow.label, groups, ?states, ?asked, ?committed, "groups synced");
        self.sync.last = Some(Instant::now());
        Ok(())
    }

    /// Those of the groups that nobody is in on the target.
    async fn without_members(
        &mut self,
        flow: &Flow,
        groups: &[Arc<str>],
    ) -> Result<Vec<Arc<str>>, ClusterError> {
        let mut free = Vec::new();
        for (group, state) in flow.target.group_states(groups).await? {
            match state {
                Ok(state) if state.may_have_members() => {
                    self.tell(flow, &group, &NotSynced::ActiveOnTarget);
                    self.sync.put_off(&group, ACTIVE_RETRY);
                }
                Ok(_) => free.push(group),
                Err(refusal) => self.refused(flow, &group, &refusal),
            }
        }
        Ok(free)
    }

    fn refused(&mut self, flow: &Flow, group: &Arc<str>, refusal: &Refusal) {
        self.tell(flow, group, &NotSynced::Refused(refusal.clone()));
        self.sync.put_off(group, REFUSED_RETRY);
    }

    /// Gives the reason for every partition that is not where it shall be.
    fn tell(&mut self, flow: &Flow, group: &Arc<str>, why_not: &NotSynced) {
        let Some(rows) = self.groups.get(group) else {
            return;
        };
        flow.groups.change(group, |known| {
            for (at, _) in rows.iter().filter(|(_, row)| row.is_behind()) {
                known.partition(at).why_not = Some(why_not.clone());
            }
        });
    }

    /// What is to be committed; the others get their reasons.
    fn below_goal(
        &mut self,
        flow: &Flow,
        group: &Arc<str>,
        offsets: &[GroupOffset],
    ) -> Vec<NewOffset> {
        let Some(rows) = self.groups.get_mut(group) else {
            return Vec::new();
        };
        let has: HashMap<(&str, i32), i64> = (offsets.iter())
            .map(|offset| ((&*offset.topic, offset.partition), offset.offset))
            .collect();
        let starts = &self.starts;
        let mut new = Vec::new();
        flow.groups.change(group, |known| {
            for (at, row) in rows {
                let Some(goal) = &mut row.goal else { continue };
                goal.target = has.get(&(&*goal.remote, at.1)).copied();
                let status = known.partition(at);
                status.target_offset = goal.target;
                status.why_not = None;
                if step(goal.target, goal.downstream) == Step::Leave {
                    if goal.target != Some(goal.downstream) {
                        status.why_not = Some(NotSynced::TargetAhead);
                    }
                } else if starts.of(&(goal.remote.clone(), at.1)) == LogStart::Missing {
                    status.why_not = Some(NotSynced::RemoteTopicMissing);
                } else {
                    new.push(NewOffset {
                        topic: goal.remote.clone(),
                        partition: at.1,
                        offset: goal.downstream,
                        metadata: row.metadata.clone(),
                    });
                }
            }
        });
        new
    }

    fn committed(
        &mut self,
        flow: &Flow,
        group: &Arc<str>,
        result: Result<Vec<Committed>, ClusterError>,
    ) {
        let committed = match result {
            Ok(committed) => committed,
            Err(error) => {
                self.tell(flow, group, &NotSynced::Unanswered(error.to_string()));
                return self.sync.put_off(group, REFUSED_RETRY);
            }
        };
        let answers: HashMap<_, _> = (committed.into_iter())
            .map(|row| ((row.topic, row.partition), row.refusal))
            .collect();
        let Some(rows) = self.groups.get_mut(group) else {
            return;
        };
        let mut rest = None;
        flow.groups.change(group, |known| {
            for (at, row) in rows {
                let Some(goal) = &mut row.goal else { continue };
                let there = (goal.remote.clone(), at.1);
                let Some(refusal) = answers.get(&there) else {
                    continue;
                };
                let status = known.partition(at);
                let Some(refusal) = refusal else {
                    goal.target = Some(goal.downstream);
                    status.target_offset = goal.target;
                    status.synced_at_ms = Some(now_ms());
                    continue;
                };
                let why_not = match refusal.code {
                    ErrorCode::UNKNOWN_MEMBER_ID => NotSynced::ActiveOnTarget,
                    ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                        self.starts.is_missing(there);
                        NotSynced::RemoteTopicMissing
                    }
                    _ => NotSynced::Refused(refusal.clone()),
                };
                rest = Some(match why_not {
                    NotSynced::ActiveOnTarget => ACTIVE_RETRY,
                    _ => REFUSED_RETRY,
                });
                status.why_not = Some(why_not);
            }
        });
        match rest {
            Some(rest) => self.sync.put_off(group, rest),
            None => drop(self.sync.due.remove(group)),
        }
    }
}

fn has_goal(rows: &HashMap<GroupPartition, Row>) -> bool {
    rows.values().any(|row| row.goal.is_some())
}

impl Row {
    /// The target does not have what it shall.
    fn is_behind(&self) -> bool {
        let behind = |goal: &Goal| step(goal.target, goal.downstream) == Step::Commit;
        self.goal.as_ref().is_some_and(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kt_03_sync_offset() {
        // Both groups are idle and behind: consumer1 at 100 of 101, consumer2 at 50 of 51.
        assert_eq!(step(Some(100), 101), Step::Commit);
        assert_eq!(step(Some(50), 51), Step::Commit);
        assert_eq!(step(Some(101), 101), Step::Leave);
        assert_eq!(step(Some(102), 101), Step::Leave, "never back");
    }

    /// An offset that was reset to a negative one is left out of a group's offsets.
    #[test]
    fn kt_04_sync_offset_for_a_target_group_with_a_null_offset() {
        assert_eq!(step(None, 101), Step::Commit);
    }

    #[test]
    fn a_group_that_was_put_off_is_due_later() {
        let mut sync = GroupSync::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        sync.is_due(&a);
        sync.is_due(&b);
        sync.put_off(&a, Duration::from_secs(3600));
        assert_eq!(sync.ready(), [b.clone()]);
        sync.put_off(&a, Duration::ZERO);
        let mut ready = sync.ready();
        ready.sort();
        assert_eq!(ready, [a, b]);
    }
}
