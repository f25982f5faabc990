//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    LeaveGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::{check_group, client, code};
use crate::groups::{At, Classic, Joining, Kind, Known, Synced, Table};
use crate::security::Operation;
use crate::server::{Closed, Incoming};

/// First version of JoinGroup that may answer null for the protocol's name.
const NULL_PROTOCOL: i16 = 7;

/// First version of SyncGroup that must say type and name of the protocol.
const SYNC_NAMES_PROTOCOL: i16 = 5;

/// First version of LeaveGroup with many members.
const LEAVE_MANY: i16 = 3;

/// JoinGroup: waits for the round to end.
pub(crate) async fn join_group(
    incoming: &Incoming,
    request: JoinGroupRequest,
) -> Result<JoinGroupResponse, Closed> {
    let (answer, wait) = oneshot::channel();
    let refuse = |error: ResponseError| {
        JoinGroupResponse::default()
            .with_error_code(error.code())
            .with_member_id(request.member_id.clone())
            .with_protocol_name(None)
    };
    let mut response = match join(incoming, &request, answer) {
        Err(error) => refuse(error),
        // Dropped without an answer: another broker took over.
        Ok(()) => wait
            .await
            .unwrap_or_else(|_| refuse(ResponseError::NotCoordinator)),
    };
    if incoming.version < NULL_PROTOCOL && response.protocol_name.is_none() {
        response.protocol_name = Some(StrBytes::default());
    }
    Ok(response)
}

fn join(
    incoming: &Incoming,
    request: &JoinGroupRequest,
    answer: oneshot::Sender<JoinGroupResponse>,
) -> Result<(), ResponseError> {
    check_group(incoming, Operation::Read, &request.group_id)?;
    let groups = &incoming.shared.groups;
    let bounds =
        groups.settings().session_timeout_min_ms..=groups.settings().session_timeout_max_ms;
    if !bounds.contains(&request.session_timeout_ms) {
        return Err(ResponseError::InvalidSessionTimeout);
    }
    groups.with(incoming, &request.group_id, |table, at| {
        let newcomer = request.member_id.is_empty();
        let group = match table.found(&request.group_id) {
            // Who joins as a classic member ends a KIP-848 group without members, even if it is refused then.
            Some(group) if !newcomer && group.is_emptied_consumer() => {
                group.known = Known::Log;
                return Err(ResponseError::UnknownMemberId);
            }
            Some(group) => group,
            None if !newcomer => return Err(ResponseError::UnknownMemberId),
            None => {
                let group = table.make_classic(&request.group_id);
                group.known = Known::Both; // also if the member is refused
                group
            }
        };
        // Kafka would also let it join a KIP-848 group that has members (see the crate's documentation).
        let classic = group
            .as_classic()
            .ok_or(ResponseError::InconsistentGroupProtocol)?;
        let joining = Joining {
            request,
            version: incoming.version,
            client: client(incoming),
            answer,
        };
        classic.join(joining, at);
        Ok(())
    })?
}

/// SyncGroup: waits for the leader's.
pub(crate) async fn sync_group(
    incoming: &Incoming,
    request: SyncGroupRequest,
) -> Result<SyncGroupResponse, Closed> {
    let (answer, wait) = oneshot::channel();
    let synced = match sync(incoming, &request, answer) {
        Err(error) => Err(error),
        Ok(()) => wait.await.unwrap_or(Err(ResponseError::NotCoordinator)),
    };
    Ok(match synced {
        Ok((protocol_type, protocol, assignment)) => SyncGroupResponse::default()
            .with_protocol_type(Some(protocol_type))
            .with_protocol_name(Some(protocol))
            .with_assignment(assignment),
        Err(error) => SyncGroupResponse::default().with_error_code(error.code()),
    })
}

fn sync(
    incoming: &Incoming,
    request: &SyncGroupRequest,
    answer: oneshot::Sender<Synced>,
) -> Result<(), ResponseError> {
    if incoming.version >= SYNC_NAMES_PROTOCOL
        && (request.protocol_type.is_none() || request.protocol_name.is_none())
    {
        return Err(ResponseError::InconsistentGroupProtocol);
    }
    check_group(incoming, Operation::Read, &request.group_id)?;
    let groups = &incoming.shared.groups;
    groups.with(incoming, &request.group_id, |table, at| {
        let classic = member_group(table, &request.group_id)?;
        classic.sync(request, answer, at);
        Ok(())
    })?
}

/// Heartbeat.
pub(crate) async fn heartbeat(
    incoming: &Incoming,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, Closed> {
    let result = check_group(incoming, Operation::Read, &request.group_id).and_then(|()| {
        let beat = |table: &mut Table, at: &At<'_>| {
            member_group(table, &request.group_id)?.heartbeat(&request, at)
        };
        let groups = &incoming.shared.groups;
        groups.with(incoming, &request.group_id, beat)?
    });
    Ok(HeartbeatResponse::default().with_error_code(code(result)))
}

/// LeaveGroup, of one member or, from version 3, of many.
pub(crate) async fn leave_group(
    incoming: &Incoming,
    request: LeaveGroupRequest,
) -> Result<LeaveGroupResponse, Closed> {
    let many = incoming.version >= LEAVE_MANY;
    let members: Vec<(StrBytes, Option<StrBytes>)> = if many {
        let members = request.members.into_iter();
        members
            .map(|m| (m.member_id, m.group_instance_id))
            .collect()
    } else {
        vec![(request.member_id, None)]
    };
    let result = check_group(incoming, Operation::Read, &request.group_id).and_then(|()| {
        let groups = &incoming.shared.groups;
        groups.with(incoming, &request.group_id, |table, at| {
            match table.found(&request.group_id).map(|group| &mut group.kind) {
                Some(Kind::Classic(classic)) => classic.leave(&members, at),
                Some(Kind::Consumer(consumers)) => consumers.take_out(&members),
                None => vec![Err(ResponseError::UnknownMemberId); members.len()],
            }
        })
    });
    let response = LeaveGroupResponse::default();
    Ok(match result {
        Err(error) => response.with_error_code(error.code()),
        Ok(results) if many => {
            let rows = members.into_iter().zip(results);
            let rows = rows.map(|((member_id, instance_id), result)| {
                MemberResponse::default()
                    .with_member_id(member_id)
                    .with_group_instance_id(instance_id)
                    .with_error_code(code(result))
            });
            response.with_members(rows.collect())
        }
        Ok(results) => {
            let first = results.into_iter().next().unwrap_or(Ok(()));
            response.with_error_code(code(first))
        }
    })
}

/// The classic group of somebody who says that it is a member.
fn member_group<'a>(table: &'a mut Table, id: &StrBytes) -> Result<&'a mut Classic, ResponseError> {
    match table.found(id).map(|group| &mut group.kind) {
        Some(Kind::Classic(classic)) => Ok(classic),
        _ => Err(ResponseError::UnknownMemberId),
    }
}
