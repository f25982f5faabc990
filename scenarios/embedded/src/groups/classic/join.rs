//! JoinGroup.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::member::{Member, join_error};
use super::{Classic, State};
use crate::groups::{At, Client};

/// First version that may be told to come back with the id that it is given (KIP-394).
const KNOWN_MEMBER_ID: i16 = 4;

/// First version that a leader may be told in not to assign (KIP-814).
const SKIP_ASSIGNMENT: i16 = 9;

/// A JoinGroup on its way.
pub(crate) struct Joining<'a> {
    pub(crate) request: &'a JoinGroupRequest,
    pub(crate) version: i16,
    pub(crate) client: Client,
    /// Gets exactly one answer, now or when the round ends; dropped if this broker stops to be the coordinator.
    pub(crate) answer: oneshot::Sender<JoinGroupResponse>,
}

impl Joining<'_> {
    fn say(self, response: JoinGroupResponse) {
        // A client that went away needs no answer.
        self.answer.send(response).ok();
    }

    fn refuse(self, error: ResponseError) {
        let member_id = self.request.member_id.clone();
        self.say(join_error(member_id, error));
    }
}

impl Classic {
    /// A client joins, or joins again.
    pub(crate) fn join(&mut self, joining: Joining<'_>, at: &At<'_>) {
        let request = joining.request;
        if !self.has_room_for(&request.member_id, at) {
            self.remove(&request.member_id);
            return joining.refuse(ResponseError::GroupMaxSizeReached);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return joining.refuse(ResponseError::InconsistentGroupProtocol);
        }
        if request.member_id.is_empty() {
            return self.join_newcomer(joining, at);
        }
        if self.promised.contains_key(&request.member_id) {
            let id = request.member_id.clone();
            return self.admit(id, joining, at);
        }
        let instance_id = request.group_instance_id.as_ref();
        if let Err(error) = self.check_member(&request.member_id, instance_id) {
            return joining.refuse(error);
        }
        self.join_again(joining, at);
    }

    /// `group.max.size`.
    fn has_room_for(&self, member_id: &StrBytes, at: &At<'_>) -> bool {
        let known = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                let joining = self.members.values().filter(|m| m.is_joining()).count();
                known.is_some_and(Member::is_joining) || joining < at.settings.members_max
            }
            State::CompletingRebalance | State::Stable => {
                known.is_some() || self.members.len() < at.settings.members_max
            }
        }
    }

    fn join_newcomer(&mut self, joining: Joining<'_>, at: &At<'_>) {
        let request = joining.request;
        let prefix = request.group_instance_id.as_ref();
        let prefix = prefix.unwrap_or(&joining.client.id);
        let id = StrBytes::from_string(format!("{prefix}-{}", Uuid::new_v4()));
        match &request.group_instance_id {
            Some(instance_id) => match self.statics.get(instance_id).cloned() {
                Some(old) => self.replace_static(&old, id, joining, at),
                None => self.admit(id, joining, at),
            },
            None if joining.version >= KNOWN_MEMBER_ID => {
                let until = i64::from(request.session_timeout_ms).saturating_add(at.now_ms);
                self.promised.insert(id.clone(), until);
                joining.say(join_error(id, ResponseError::MemberIdRequired));
            }
            None => self.admit(id, joining, at),
        }
    }

    fn admit(&mut self, id: StrBytes, joining: Joining<'_>, at: &At<'_>) {
        let member = Member::new(
            id,
            joining.request,
            joining.client,
            joining.answer,
            at.now_ms,
        );
        if self.state == State::PreparingRebalance && self.initial.is_some() {
            self.newcomers = true;
        }
        self.add(member, &joining.request.protocol_type);
        self.rebalance_or_complete(at);
    }

    /// A member that is known joins: after a rebalance began, with other protocols, or because an answer was lost.
    fn join_again(&mut self, joining: Joining<'_>, at: &At<'_>) {
        let id = joining.request.member_id.clone();
        let same = self
            .members
            .get(&id)
            .is_some_and(|member| member.protocols == joining.request.protocols);
        let answer_lost = match self.state {
            State::CompletingRebalance => same,
            // The leader joins anew when it wants another assignment.
            State::Stable => same && !self.is_leader(&id),
            State::PreparingRebalance => false,
            State::Empty => return joining.refuse(ResponseError::UnknownMemberId),
        };
        if answer_lost {
            let response = self.generation_for(&id);
            return joining.say(response);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.update(joining.request);
            member.wait_for_join(joining.answer);
        }
        self.rebalance_or_complete(at);
    }

    /// A static member is back under a new id. The old one is fenced; no rebalance if the protocol stays (KIP-345).
    fn replace_static(&mut self, old: &StrBytes, id: StrBytes, joining: Joining<'_>, at: &At<'_>) {
        let was_leader = self.is_leader(old);
        let Some((index, _, mut member)) = self.members.shift_remove_full(old) else {
            return joining.refuse(ResponseError::UnknownMemberId);
        };
        member.answer_join(join_error(old.clone(), ResponseError::FencedInstanceId));
        member.answer_sync(Err(ResponseError::FencedInstanceId));
        member.id = id.clone();
        member.client = joining.client.clone();
        member.update(joining.request);
        member.restart_session(at.now_ms);
        if let Some(instance_id) = &member.instance_id {
            self.statics.insert(instance_id.clone(), id.clone());
        }
        self.members.shift_insert(index, id.clone(), member);
        if was_leader {
            self.leader = Some(id.clone());
        }
        if self.state == State::Stable && self.elect_protocol() == self.protocol {
            self.save();
            let mut response = self.generation_for(&id);
            if joining.version >= SKIP_ASSIGNMENT {
                response.skip_assignment = was_leader;
            } else {
                // An older client would assign as leader; it is shown its former self as leader instead.
                response.members.clear();
                if was_leader {
                    response.leader = old.clone();
                }
            }
            return joining.say(response);
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.wait_for_join(joining.answer);
        }
        self.rebalance_or_complete(at);
    }

    /// The current generation as JoinGroup tells it to a member: the leader sees all members.
    pub(super) fn generation_for(&self, id: &StrBytes) -> JoinGroupResponse {
        let row = |member: &Member| {
            JoinGroupResponseMember::default()
                .with_member_id(member.id.clone())
                .with_group_instance_id(member.instance_id.clone())
                .with_metadata(member.metadata(self.protocol.as_ref()))
        };
        let members = if self.is_leader(id) {
            self.members.values().map(row).collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.clone())
            .with_protocol_name(self.protocol.clone())
            .with_leader(self.leader.clone().unwrap_or_default())
            .with_member_id(id.clone())
            .with_members(members)
    }
}
