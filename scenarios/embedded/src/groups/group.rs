//! A group of either kind with its offsets.

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use super::At;
use super::classic::{self, Classic};
use super::offsets::Offsets;

/// What kind of members a group has, or had last.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Also a group that only has offsets.
    Classic(Classic),
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) kind: Kind,
    pub(crate) offsets: Offsets,
    /// The leader epoch of its partition in which it was loaded or created; None: just created.
    epoch: Option<i32>,
}

impl Default for Group {
    /// A group that only has offsets, so far none.
    fn default() -> Self {
        Self {
            kind: Kind::Classic(Classic::default()),
            offsets: Offsets::default(),
            epoch: None,
        }
    }
}

impl Group {
    /// Whoever coordinates in this leader epoch knows what is in the log.
    pub(super) fn loaded_in(&mut self, epoch: i32, at: &At<'_>) {
        if self.epoch.is_some_and(|loaded| loaded != epoch) {
            match &mut self.kind {
                Kind::Classic(classic) => classic.reload(at),
            }
        }
        self.epoch = Some(epoch);
    }

    pub(super) fn deadline(&self) -> Option<i64> {
        match &self.kind {
            Kind::Classic(classic) => classic.deadline(),
        }
    }

    pub(super) fn expire(&mut self, at: &At<'_>) {
        match &mut self.kind {
            Kind::Classic(classic) => classic.expire(at),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(classic) => classic.state() == classic::State::Empty,
        }
    }

    /// As ListGroups writes it.
    pub(crate) fn state_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(classic) => classic.state().name(),
        }
    }

    /// As ListGroups writes it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Classic(_) => "classic",
        }
    }

    pub(crate) fn protocol_type(&self) -> StrBytes {
        match &self.kind {
            Kind::Classic(classic) => classic.protocol_type(),
        }
    }

    /// Judges an offset commit.
    pub(crate) fn may_commit(
        &mut self,
        who: &Committer<'_>,
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
        }
    }

    /// Judges the deletion of a topic's offsets.
    pub(crate) fn may_delete_offsets(&self, topic: &str) -> Result<(), ResponseError> {
        match &self.kind {
            Kind::Classic(classic) => classic.may_delete_offsets(topic),
        }
    }

    /// Forgets offsets whose time is over (`offsets.retention.minutes`). Says whether the group is gone with them.
    pub(super) fn expire_offsets(&mut self, at: &At<'_>) -> bool {
        let kind = &self.kind;
        self.offsets.expire(|topic, committed| {
            let base = match kind {
                Kind::Classic(classic) => classic.expiry_base(topic, committed.commit_ms),
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
