//! SyncGroup and Heartbeat.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{HeartbeatRequest, SyncGroupRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::member::Synced;
use super::{Classic, State};
use crate::groups::At;

impl Classic {
    /// A member asks for its assignment; the leader's request brings everybody's. `answer` gets one answer, now or when the leader's
    /// came; it is dropped if this broker stops to be the coordinator.
    pub(crate) fn sync(
        &mut self,
        request: &SyncGroupRequest,
        answer: oneshot::Sender<Synced>,
        at: &At<'_>,
    ) {
        if let Err(error) = self.check_sync(request) {
            answer.send(Err(error)).ok(); // a client that went away needs no answer
            return;
        }
        let Some(member) = self.members.get_mut(&request.member_id) else {
            return; // checked above
        };
        member.owes_sync = false;
        member.wait_for_sync(answer);
        if self.state == State::CompletingRebalance {
            if !self.is_leader(&request.member_id) {
                return;
            }
            for member in self.members.values_mut() {
                let given = request.assignments.iter();
                let mut given = given.filter(|row| row.member_id == member.id);
                member.assignment = given
                    .next()
                    .map_or(Bytes::new(), |row| row.assignment.clone());
            }
            self.sync_end_ms = None;
            self.state = State::Stable;
            self.save();
        }
        self.hand_out_assignments(at);
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ResponseError> {
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        let differs = |said: &Option<StrBytes>, ours: &Option<StrBytes>| {
            said.is_some() && ours.is_some() && said != ours
        };
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol)
        {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }

    /// Answers everybody who waits for an assignment.
    fn hand_out_assignments(&mut self, at: &At<'_>) {
        for member in self.members.values_mut() {
            let synced = (
                self.protocol_type.clone().unwrap_or_default(),
                self.protocol.clone().unwrap_or_default(),
                member.assignment.clone(),
            );
            if member.answer_sync(Ok(synced)) {
                member.restart_session(at.now_ms);
            }
        }
    }

    /// A member says that it lives.
    ///
    /// # Errors
    /// REBALANCE_IN_PROGRESS: it is to join again. Others: it is no member of this generation any more.
    pub(crate) fn heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        at: &At<'_>,
    ) -> Result<(), ResponseError> {
        self.check_member(&request.member_id, request.group_instance_id.as_ref())?;
        if request.generation_id != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        if let Some(member) = self.members.get_mut(&request.member_id) {
            member.restart_session(at.now_ms);
        }
        match self.state {
            State::PreparingRebalance => Err(ResponseError::RebalanceInProgress),
            State::Empty => Err(ResponseError::UnknownMemberId),
            State::CompletingRebalance | State::Stable => Ok(()),
        }
    }
}
