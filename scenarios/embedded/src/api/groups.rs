//! The group coordinator's APIs.

mod by_id;
mod consumers;
mod describe;
mod fetch;
mod membership;
mod offsets;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;

use crate::groups::Client;
use crate::security::{Operation, Resource};
use crate::server::Incoming;

pub(crate) use by_id::with_ids_as_names;
pub(crate) use consumers::{consumer_group_describe, consumer_group_heartbeat};
pub(crate) use describe::{delete_groups, describe_groups, list_groups};
pub(crate) use fetch::offset_fetch;
pub(crate) use membership::{heartbeat, join_group, leave_group, sync_group};
pub(crate) use offsets::{offset_commit, offset_delete, txn_offset_commit};

/// "Not asked for" in the bit fields of authorized operations.
const NOT_ASKED: i32 = i32::MIN;

/// Whether the principal may do this to the group. The name may be empty: offsets of old clients have no other.
fn check_any_group(
    incoming: &Incoming,
    operation: Operation,
    group: &str,
) -> Result<(), ResponseError> {
    if incoming.may(operation, Resource::Group(group)) {
        Ok(())
    } else {
        Err(ResponseError::GroupAuthorizationFailed)
    }
}

/// [`check_any_group`], and the group has a name.
fn check_group(
    incoming: &Incoming,
    operation: Operation,
    group: &str,
) -> Result<(), ResponseError> {
    check_any_group(incoming, operation, group)?;
    if group.is_empty() {
        return Err(ResponseError::InvalidGroupId);
    }
    Ok(())
}

fn client(incoming: &Incoming) -> Client {
    Client {
        id: incoming.client_id.clone(),
        host: StrBytes::from_string(format!("/{}", incoming.peer.ip())),
    }
}

/// What the principal may do to a group, as a bit field: one bit per operation, by its number.
fn authorized_operations(incoming: &Incoming, group: &str) -> i32 {
    incoming.authorized_operations(Resource::Group(group))
}

fn code(result: Result<(), ResponseError>) -> i16 {
    result.err().map_or(0, |error| error.code())
}
