//! A KIP-848 group: the coordinator assigns partitions, members follow one heartbeat at a time.
//!
//! Three epochs: the group's grows with every change of members or subscriptions, the target assignment is made for one group epoch,
//! and each member reaches it by itself, after whoever has its new partitions gave them up ([`reconcile`]).

mod assignors;
mod describe;
mod heartbeat;
mod member;
mod pattern;
mod reconcile;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::At;
use super::group::Committer;
pub(crate) use describe::Described;
pub(crate) use heartbeat::{Beat, Refusal};
use member::Member;

/// Partitions by topic.
pub(crate) type Assignment = BTreeMap<Uuid, BTreeSet<i32>>;

/// Topics of the cluster: id and number of partitions by name.
pub(crate) type Image = BTreeMap<String, (Uuid, i32)>;

/// First version of OffsetCommit that carries a member epoch.
const COMMIT_WITH_EPOCH: i16 = 9;

/// A KIP-848 consumer group.
#[derive(Debug)]
pub(crate) struct Consumers {
    epoch: i32,
    /// The group epoch that `target` was made for.
    assignment_epoch: i32,
    members: IndexMap<StrBytes, Member>,
    /// Member ids by `group.instance.id`.
    statics: IndexMap<StrBytes, StrBytes>,
    target: BTreeMap<StrBytes, Assignment>,
    /// The subscribed topics as they were when the group epoch was last judged.
    seen: Image,
}

impl Default for Consumers {
    /// No members, in epoch 1 with nothing assigned: the first member brings epoch 2, as on 4.3.1.
    fn default() -> Self {
        Self {
            epoch: 1,
            assignment_epoch: 1,
            members: IndexMap::new(),
            statics: IndexMap::new(),
            target: BTreeMap::new(),
            seen: Image::new(),
        }
    }
}

impl Consumers {
    /// As ListGroups writes it.
    pub(crate) fn state_name(&self) -> &'static str {
        let settled = |member: &Member| member.is_settled(self.assignment_epoch);
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().all(settled) {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn deadline(&self) -> Option<i64> {
        self.members.values().map(Member::deadline).min()
    }

    /// Fences members whose session is over, or who took too long to give partitions up.
    pub(crate) fn expire(&mut self, at: &At<'_>) {
        let lost = self
            .members
            .values()
            .filter(|member| member.deadline() <= at.now_ms);
        for id in lost.map(|member| member.id.clone()).collect::<Vec<_>>() {
            self.remove(&id);
        }
    }

    /// Another broker, or the same one after a restart, takes over: everything is in the log, but for timers.
    pub(crate) fn reload(&mut self, at: &At<'_>) {
        for member in self.members.values_mut() {
            member.restart_timers(at);
        }
    }

    /// Takes a member out, which is a change of the group.
    fn remove(&mut self, id: &StrBytes) {
        let Some(member) = self.members.shift_remove(id) else {
            return;
        };
        self.target.remove(id);
        if let Some(instance_id) = &member.instance_id
            && self.statics.get(instance_id) == Some(id)
        {
            self.statics.shift_remove(instance_id);
        }
        self.epoch = self.epoch.saturating_add(1);
    }

    /// LeaveGroup, by which tools remove members: each by its id or, if that is empty, by its instance id; one result each.
    pub(crate) fn take_out(
        &mut self,
        leaving: &[(StrBytes, Option<StrBytes>)],
    ) -> Vec<Result<(), ResponseError>> {
        let rows = leaving.iter();
        rows.map(|(id, instance_id)| {
            let unknown = ResponseError::UnknownMemberId;
            let id = match instance_id {
                None => id.clone(),
                Some(instance_id) => {
                    let known = self.statics.get(instance_id).ok_or(unknown)?;
                    if !id.is_empty() && id != known {
                        return Err(ResponseError::FencedInstanceId);
                    }
                    known.clone()
                }
            };
            if !self.members.contains_key(&id) {
                return Err(unknown);
            }
            self.remove(&id);
            Ok(())
        })
        .collect()
    }

    /// Judges an offset commit of these partitions (`ConsumerGroup.validateOffsetCommit`).
    pub(crate) fn may_commit(
        &self,
        who: &Committer<'_>,
        partitions: &[(Uuid, i32)],
    ) -> Result<(), ResponseError> {
        let nobody = who.epoch < 0 && who.member_id.is_empty() && who.instance_id.is_none();
        if (who.epoch < 0 && self.members.is_empty()) || (who.transactional && nobody) {
            return Ok(());
        }
        let member = self
            .members
            .get(who.member_id)
            .ok_or(ResponseError::UnknownMemberId)?;
        if !who.transactional && who.version < COMMIT_WITH_EPOCH {
            return Err(ResponseError::UnsupportedVersion);
        }
        let checked = member.check_commit(who.epoch, partitions);
        match who.transactional {
            true => checked.map_err(|_| ResponseError::IllegalGeneration), // TxnOffsetCommit knows no member epochs
            false => checked,
        }
    }

    /// Judges an offset fetch in the name of a member.
    pub(crate) fn may_fetch(
        &self,
        member_id: Option<&StrBytes>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match member_id {
            None if epoch < 0 => Ok(()),
            member_id => member_id
                .and_then(|id| self.members.get(id))
                .ok_or(ResponseError::UnknownMemberId)?
                .check_epoch(epoch),
        }
    }

    /// Whether offsets of `topic` may be deleted (OffsetDelete).
    pub(crate) fn may_delete_offsets(&self, topic: &str) -> Result<(), ResponseError> {
        if self.subscribes(topic) {
            return Err(ResponseError::GroupSubscribedToTopic);
        }
        Ok(())
    }

    /// From when on the retention of an offset that was committed at `commit_ms` counts; None as long as the topic is subscribed to.
    pub(crate) fn expiry_base(&self, topic: &str, commit_ms: i64) -> Option<i64> {
        (!self.subscribes(topic)).then_some(commit_ms)
    }

    fn subscribes(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.subscribes(topic))
    }
}
