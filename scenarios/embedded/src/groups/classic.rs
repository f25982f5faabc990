//! A classic group: its members, whose leader assigns partitions, and the rounds in which they agree (JoinGroup, SyncGroup).
//!
//! The states and their transitions are those of Kafka 4.3's `ClassicGroup`; waits are moments in time that
//! [`Classic::expire`] acts on, so that whoever owns the clock drives them.

mod join;
mod leave;
mod member;
mod protocols;
mod rounds;
mod sync;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
use kafka_protocol::protocol::StrBytes;

use super::At;
pub(crate) use join::Joining;
use member::Member;
pub(crate) use member::Synced;

/// A new member waits this long for its first round to end before it is given up (Kafka's
/// `classicGroupNewMemberJoinTimeoutMs`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 300_000;

/// Where a classic group stands. (Dead is a group that is not in the map.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// No members; offsets perhaps.
    #[default]
    Empty,
    /// Members are to (re-)join.
    PreparingRebalance,
    /// The leader is to send the assignment.
    CompletingRebalance,
    Stable,
}

impl State {
    /// As ListGroups and DescribeGroups write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A classic group.
#[derive(Debug, Default)]
pub(crate) struct Classic {
    state: State,
    /// When an empty group became so; None if it never had members.
    empty_since_ms: Option<i64>,
    generation: i32,
    /// None: never had members.
    protocol_type: Option<StrBytes>,
    protocol: Option<StrBytes>,
    leader: Option<StrBytes>,
    /// By id, in the order in which they came.
    members: IndexMap<StrBytes, Member>,
    /// Member ids by `group.instance.id`.
    statics: IndexMap<StrBytes, StrBytes>,
    /// Ids that were given out (MEMBER_ID_REQUIRED) and have not come back yet, and until when they may.
    promised: IndexMap<StrBytes, i64>,
    /// When the joining ends, in PreparingRebalance.
    join_end_ms: Option<i64>,
    /// The round began in an empty group: it ends by time only, later if others come. Milliseconds by which it may yet grow.
    initial: Option<i64>,
    newcomers: bool,
    /// When members that have not synced are given up, in CompletingRebalance.
    sync_end_ms: Option<i64>,
    /// What is in the log: the group as it was last Stable or Empty.
    saved: Option<Box<Self>>,
}

impl Classic {
    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn protocol_type(&self) -> StrBytes {
        self.protocol_type.clone().unwrap_or_default()
    }

    /// The protocol's name while the members agree on one.
    pub(crate) fn agreed_protocol(&self) -> StrBytes {
        match self.state {
            State::Stable => self.protocol.clone().unwrap_or_default(),
            _ => StrBytes::default(),
        }
    }

    /// Members for DescribeGroups; metadata only while they agree on a protocol, assignments until there are others.
    pub(crate) fn describe(&self) -> Vec<DescribedGroupMember> {
        let stable = self.state == State::Stable;
        let row = |member: &Member| {
            let row = DescribedGroupMember::default()
                .with_member_id(member.id.clone())
                .with_group_instance_id(member.instance_id.clone())
                .with_client_id(member.client.id.clone())
                .with_client_host(member.client.host.clone())
                .with_member_assignment(member.assignment.clone());
            if stable {
                row.with_member_metadata(member.metadata(self.protocol.as_ref()))
            } else {
                row
            }
        };
        self.members.values().map(row).collect()
    }

    /// Judges an offset commit (`ClassicGroup.validateOffsetCommit`).
    pub(crate) fn may_commit(
        &mut self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        generation: i32,
        transactional: bool,
        at: &At<'_>,
    ) -> Result<(), ResponseError> {
        if generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        if generation >= 0 || !member_id.is_empty() || instance_id.is_some() {
            self.check_member(member_id, instance_id)?;
            if generation != self.generation {
                return Err(ResponseError::IllegalGeneration);
            }
        } else if !transactional && self.state != State::Empty {
            return Err(ResponseError::UnknownMemberId);
        }
        if !transactional && self.state == State::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        if !transactional && let Some(member) = self.members.get_mut(member_id) {
            member.restart_session(at.now_ms);
        }
        Ok(())
    }

    /// Judges an offset fetch in the name of a member (`ClassicGroup.validateOffsetFetch`).
    pub(crate) fn may_fetch(
        &self,
        member_id: Option<&StrBytes>,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        match member_id {
            None if epoch < 0 => Ok(()),
            member_id => {
                self.check_member(member_id.unwrap_or(&StrBytes::default()), None)?;
                if epoch == self.generation {
                    Ok(())
                } else {
                    Err(ResponseError::IllegalGeneration)
                }
            }
        }
    }

    /// Whether offsets of `topic` may be deleted (OffsetDelete).
    pub(crate) fn may_delete_offsets(&self, topic: &str) -> Result<(), ResponseError> {
        match self.state {
            State::Empty => Ok(()),
            _ if !self.uses_consumer_protocol() => Err(ResponseError::NonEmptyGroup),
            _ if self.subscribes(topic) => Err(ResponseError::GroupSubscribedToTopic),
            _ => Ok(()),
        }
    }

    /// From when on the retention of an offset that was committed at `commit_ms` counts. None: not as long as things are so.
    pub(crate) fn expiry_base(&self, topic: &str, commit_ms: i64) -> Option<i64> {
        match (self.state, &self.protocol_type) {
            (_, None) => Some(commit_ms),
            (State::Empty, Some(_)) => Some(self.empty_since_ms.unwrap_or(commit_ms)),
            (State::Stable, Some(_)) if self.uses_consumer_protocol() => {
                (!self.subscribes(topic)).then_some(commit_ms)
            }
            _ => None,
        }
    }

    /// Another broker, or the same one after a restart, takes over with what is in the log: members of the last Stable generation,
    /// whose sessions begin anew. Whoever waits for an answer gets none from here.
    pub(crate) fn reload(&mut self, at: &At<'_>) {
        let saved = self.saved.take().map(|saved| *saved);
        *self = saved.unwrap_or_default();
        for member in self.members.values_mut() {
            member.restart_session(at.now_ms);
        }
        self.save();
    }

    /// Whether it has been written to the log.
    pub(crate) fn is_saved(&self) -> bool {
        self.saved.is_some()
    }

    /// Notes the group as it is written to the log.
    fn save(&mut self) {
        let members = self.members.iter();
        let copy = Self {
            state: self.state,
            empty_since_ms: self.empty_since_ms,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: members
                .map(|(id, member)| (id.clone(), member.without_waits()))
                .collect(),
            statics: self.statics.clone(),
            ..Self::default()
        };
        self.saved = Some(Box::new(copy));
    }

    /// UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID.
    fn check_member(
        &self,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
    ) -> Result<(), ResponseError> {
        if let Some(instance_id) = instance_id {
            match self.statics.get(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(known) if known != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(ResponseError::UnknownMemberId)
        }
    }

    fn is_leader(&self, member_id: &StrBytes) -> bool {
        self.leader.as_ref() == Some(member_id)
    }

    /// The longest of the members', in milliseconds.
    fn rebalance_timeout_ms(&self) -> i64 {
        let timeouts = self.members.values().map(|m| m.rebalance_timeout_ms);
        timeouts.max().unwrap_or(0)
    }

    fn everybody_joined(&self) -> bool {
        self.promised.is_empty() && self.members.values().all(Member::is_joining)
    }

    fn add(&mut self, member: Member, protocol_type: &StrBytes) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), member.id.clone());
        }
        self.promised.shift_remove(&member.id);
        self.members.insert(member.id.clone(), member);
    }

    /// Takes a member out and tells it, if it waits, that it is unknown.
    fn remove(&mut self, member_id: &StrBytes) {
        let Some(mut member) = self.members.shift_remove(member_id) else {
            return;
        };
        member.answer_join(member::join_error(
            StrBytes::default(),
            ResponseError::UnknownMemberId,
        ));
        member.answer_sync(Err(ResponseError::UnknownMemberId));
        if let Some(instance_id) = &member.instance_id
            && self.statics.get(instance_id) == Some(member_id)
        {
            self.statics.shift_remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// An empty assignment for all: there is none until the leader sends the next.
    fn reset_assignments(&mut self, at: &At<'_>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if member.answer_sync(Err(ResponseError::RebalanceInProgress)) {
                member.restart_session(at.now_ms);
            }
        }
    }
}
