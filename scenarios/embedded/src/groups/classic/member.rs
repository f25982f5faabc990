//! A member of a classic group.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::NEW_MEMBER_JOIN_TIMEOUT_MS;
use crate::groups::Client;

/// What SyncGroup answers: protocol type, protocol, assignment.
pub(crate) type Synced = Result<(StrBytes, StrBytes, Bytes), ResponseError>;

/// A member, and what it waits for.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) id: StrBytes,
    pub(super) instance_id: Option<StrBytes>,
    pub(super) client: Client,
    pub(super) session_timeout_ms: i64,
    pub(super) rebalance_timeout_ms: i64,
    /// In order of preference.
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    pub(super) assignment: Bytes,
    /// Has not been part of a generation yet.
    pub(super) is_new: bool,
    /// Has not asked for the current generation's assignment.
    pub(super) owes_sync: bool,
    /// When it is given up unless it is heard of.
    pub(super) session_end_ms: i64,
    joining: Option<oneshot::Sender<JoinGroupResponse>>,
    syncing: Option<oneshot::Sender<Synced>>,
}

impl Member {
    /// A member that is joining for the first time.
    pub(super) fn new(
        id: StrBytes,
        request: &JoinGroupRequest,
        client: Client,
        answer: oneshot::Sender<JoinGroupResponse>,
        now_ms: i64,
    ) -> Self {
        let mut member = Self {
            id,
            instance_id: request.group_instance_id.clone(),
            client,
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            is_new: true,
            owes_sync: false,
            session_end_ms: now_ms.saturating_add(NEW_MEMBER_JOIN_TIMEOUT_MS),
            joining: Some(answer),
            syncing: None,
        };
        member.update(request);
        member
    }

    /// Takes over what a (repeated) JoinGroup says.
    pub(super) fn update(&mut self, request: &JoinGroupRequest) {
        self.session_timeout_ms = request.session_timeout_ms.into();
        // Version 0 has no rebalance timeout: -1.
        self.rebalance_timeout_ms = match request.rebalance_timeout_ms {
            ..0 => request.session_timeout_ms.into(),
            timeout => timeout.into(),
        };
        self.protocols.clone_from(&request.protocols);
    }

    /// The same member as another broker reads it from the log.
    pub(super) fn without_waits(&self) -> Self {
        Self {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client: self.client.clone(),
            protocols: self.protocols.clone(),
            assignment: self.assignment.clone(),
            is_new: false,
            joining: None,
            syncing: None,
            ..*self
        }
    }

    pub(super) fn restart_session(&mut self, now_ms: i64) {
        self.session_end_ms = now_ms.saturating_add(self.session_timeout_ms);
    }

    /// Whether its session is over. A member that is known and waits for an answer is alive.
    pub(super) fn is_lost(&self, now_ms: i64) -> bool {
        let waits = self.joining.is_some() || self.syncing.is_some();
        self.session_end_ms <= now_ms && (self.is_new || !waits)
    }

    pub(super) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }

    pub(super) fn wait_for_join(&mut self, answer: oneshot::Sender<JoinGroupResponse>) {
        // An earlier JoinGroup of the same member is forgotten: its connection is most likely gone.
        self.joining = Some(answer);
    }

    pub(super) fn answer_join(&mut self, response: JoinGroupResponse) {
        if let Some(answer) = self.joining.take() {
            // A client that went away needs no answer.
            answer.send(response).ok();
        }
    }

    pub(super) fn wait_for_sync(&mut self, answer: oneshot::Sender<Synced>) {
        self.syncing = Some(answer);
    }

    pub(super) fn answer_sync(&mut self, synced: Synced) -> bool {
        match self.syncing.take() {
            Some(answer) => {
                answer.send(synced).ok(); // as above
                true
            }
            None => false,
        }
    }

    /// What it said along with a protocol: its subscription, for consumers.
    pub(super) fn metadata(&self, protocol: Option<&StrBytes>) -> Bytes {
        let said = self.protocols.iter().find(|p| Some(&p.name) == protocol);
        said.map(|p| p.metadata.clone()).unwrap_or_default()
    }
}

/// A refusal of JoinGroup.
pub(super) fn join_error(member_id: StrBytes, error: ResponseError) -> JoinGroupResponse {
    JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_member_id(member_id)
        .with_protocol_name(None)
}
