//! A group of either kind with its offsets.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ConsumerGroupHeartbeatResponse;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::At;
use super::classic::{self, Classic};
use super::consumer::{Beat, Consumers, Refusal};
use super::offsets::Offsets;

/// What kind of members a group has, or had last.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Also a group that only has offsets.
    Classic(Classic),
    Consumer(Consumers),
}

/// Where a group is known. What a coordinator changes in its memory is undone by nothing but its end, also if no record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// A commit made it of which nothing was kept, or it is on its way into the log.
    Memory,
    /// A classic member asked to join an emptied KIP-848 group under an id that could not be known: it was refused, the group is
    /// gone for all who write, and nothing says so in the log.
    Log,
    Both,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
    pub(crate) known: Known,
    /// The leader epoch of its partition in which it was loaded or created; None: just created.
    epoch: Option<i32>,
}

impl Default for Group {
    /// A group that only has offsets, so far none.
    fn default() -> Self {
        Self {
            kind: Kind::Classic(Classic::default()),
            offsets: Offsets::default(),
            known: Known::Memory,
            epoch: None,
        }
    }
}

impl Group {
    /// The classic group for somebody who joins. A KIP-848 group without members becomes one and keeps its offsets.
    pub(crate) fn as_classic(&mut self) -> Option<&mut Classic> {
        if self.is_emptied_consumer() {
            self.kind = Kind::Classic(Classic::default());
        }
        match &mut self.kind {
            Kind::Classic(classic) => Some(classic),
            Kind::Consumer(_) => None,
        }
    }

    /// A KIP-848 group without members.
    pub(crate) fn is_emptied_consumer(&self) -> bool {
        matches!(&self.kind, Kind::Consumer(consumers) if consumers.is_empty())
    }

    /// A heartbeat of KIP-848. A classic group without members becomes such a group for somebody who joins, and keeps its offsets.
    pub(crate) fn consumer_heartbeat(
        &mut self,
        beat: &Beat<'_>,
        at: &At<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        match &mut self.kind {
            Kind::Consumer(consumers) => consumers.heartbeat(beat, at),
            Kind::Classic(classic) if beat.joins() && classic.state() == classic::State::Empty => {
                let mut consumers = Consumers::default();
                let joined = consumers.heartbeat(beat, at)?;
                self.kind = Kind::Consumer(consumers);
                self.known = Known::Both;
                Ok(joined)
            }
            Kind::Classic(_) => Err((
                ResponseError::GroupIdNotFound,
                format!("Group {} is not a consumer group.", &*beat.request.group_id),
            )),
        }
    }

    /// Whether its log knows it.
    pub(super) fn is_written(&self) -> bool {
        let saved = matches!(&self.kind, Kind::Classic(classic) if classic.is_saved());
        saved || self.known != Known::Memory
    }

    /// Whoever coordinates in this leader epoch knows what is in the log. Says whether the group is.
    pub(super) fn loaded_in(&mut self, epoch: i32, at: &At<'_>) -> bool {
        if self.epoch.is_some_and(|loaded| loaded != epoch) {
            if !self.is_written() {
                return false;
            }
            self.known = Known::Both;
            match &mut self.kind {
                Kind::Classic(classic) => classic.reload(at),
                Kind::Consumer(consumers) => consumers.reload(at),
            }
        }
        self.epoch = Some(epoch);
        true
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        match &self.kind {
            Kind::Classic(classic) => classic.deadline(),
            Kind::Consumer(consumers) => consumers.deadline(),
        }
    }

    pub(super) fn expire(&mut self, at: &At<'_>) {
        match &mut self.kind {
            Kind::Classic(classic) => classic.expire(at),
            Kind::Consumer(consumers) => consumers.expire(at),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.state() == classic::State::Empty,
            Kind::Consumer(consumers) => consumers.is_empty(),
        }
    }

    /// As ListGroups writes it.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(classic) => classic.state().name(),
            Kind::Consumer(consumers) => consumers.state_name(),
        }
    }

    /// As ListGroups writes it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(_) => "classic",
            Kind::Consumer(_) => "consumer",
        }
    }

    pub(crate) fn protocol_type(&self) -> StrBytes {
        match &self.kind {
            Kind::Classic(classic) => classic.protocol_type(),
            Kind::Consumer(_) => StrBytes::from_static_str("consumer"),
        }
    }

    /// Judges an offset commit of these partitions.
    pub(crate) fn may_commit(
        &mut self,
        who: &Committer<'_>,
        partitions: &[(Uuid, i32)],
        at: &At<'_>,
    ) -> Result<(), ResponseError> {
        match &mut self.kind {
            Kind::Classic(classic) => classic.may_commit(
                who.member_id,
                who.instance_id,
                who.epoch,
                who.transactional,
                at,
            ),
            Kind::Consumer(consumers) => consumers.may_commit(who, partitions),
        }
    }

    /// Judges an offset fetch in the name of a member; member None and epoch -1: of nobody.
    pub(crate) fn may_fetch(
        &self,
        member_id: Option<&StrBytes>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match &self.kind {
            Kind::Classic(classic) => classic.may_fetch(member_id, epoch),
            Kind::Consumer(consumers) => consumers.may_fetch(member_id, epoch),
        }
    }

    /// Judges the deletion of a topic's offsets.
    pub(crate) fn may_delete_offsets(&self, topic: &str) -> Result<(), ResponseError> {
        match &self.kind {
            Kind::Classic(classic) => classic.may_delete_offsets(topic),
            Kind::Consumer(consumers) => consumers.may_delete_offsets(topic),
        }
    }

    /// Forgets offsets whose time is over (`offsets.retention.minutes`). Says whether the group is gone with them.
    pub(super) fn expire_offsets(&mut self, at: &At<'_>) -> bool {
        let kind = &self.kind;
        self.offsets.expire(|topic, committed| {
            let base = match kind {
                Kind::Classic(classic) => classic.expiry_base(topic, committed.commit_ms),
                Kind::Consumer(consumers) => consumers.expiry_base(topic, committed.commit_ms),
            };
            match (base, committed.expire_ms) {
                (None, _) => false,
                (Some(_), Some(expire_ms)) => at.now_ms >= expire_ms,
                (Some(base), None) => {
                    at.now_ms.saturating_sub(base) >= at.settings.offsets_retention_ms
                }
            }
        });
        self.is_empty() && self.offsets.is_empty()
    }
}

/// In whose name offsets are committed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Committer<'a> {
    pub(crate) member_id: &'a StrBytes,
    pub(crate) instance_id: Option<&'a StrBytes>,
    /// Generation or member epoch; -1: in nobody's.
    pub(crate) epoch: i32,
    pub(crate) transactional: bool,
    /// Of OffsetCommit or TxnOffsetCommit.
    pub(crate) version: i16,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::{Committed, GroupSettings};

    fn at(now_ms: i64, settings: &GroupSettings) -> At<'_> {
        At { now_ms, settings }
    }

    fn committed(expire_ms: Option<i64>) -> Committed {
        Committed {
            offset: 1,
            leader_epoch: -1,
            metadata: StrBytes::default(),
            commit_ms: 1_000,
            expire_ms,
        }
    }

    #[test]
    fn a_group_goes_with_the_last_of_its_offsets() {
        let settings = GroupSettings::default();
        let retention = settings.offsets_retention_ms;
        let mut group = Group::default();
        let topic = StrBytes::from_static_str("t");
        group.offsets.commit(topic.clone(), 0, committed(None));
        group.offsets.commit(topic, 1, committed(Some(2_000)));
        assert!(!group.expire_offsets(&at(1_999, &settings)));
        assert_eq!(group.offsets.iter().count(), 2);
        assert!(
            !group.expire_offsets(&at(2_000, &settings)),
            "its own retention"
        );
        assert_eq!(group.offsets.iter().count(), 1);
        assert!(!group.expire_offsets(&at(999 + retention, &settings)));
        assert!(group.expire_offsets(&at(1_000 + retention, &settings)));
    }
}
