//! ListGroups, DescribeGroups, DeleteGroups.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    GroupId, ListGroupsRequest, ListGroupsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{NOT_ASKED, authorized_operations, check_any_group};
use crate::groups::Kind;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};

/// First version of DescribeGroups that says GROUP_ID_NOT_FOUND of a missing group; before, it is just Dead.
const NOT_FOUND: i16 = 6;

/// First versions of ListGroups with states and with types.
const STATES: i16 = 4;
const TYPES: i16 = 5;

/// ListGroups: what this broker coordinates. The filters ignore case; an unknown word matches nothing.
pub(crate) async fn list_groups(
    incoming: &Incoming,
    request: ListGroupsRequest,
) -> Result<ListGroupsResponse, Closed> {
    let passes = |filter: &[StrBytes], name: &str| {
        filter.is_empty() || filter.iter().any(|word| word.eq_ignore_ascii_case(name))
    };
    let all = incoming.may(Operation::Describe, Resource::Cluster);
    let mut found = Vec::new();
    incoming.shared.groups.for_each_here(incoming, |id, group| {
        if !passes(&request.states_filter, group.state_name())
            || !passes(&request.types_filter, group.type_name())
            || !(all || incoming.may(Operation::Describe, Resource::Group(id)))
        {
            return;
        }
        let mut row = ListedGroup::default()
            .with_group_id(StrBytes::from_string(id.to_owned()).into())
            .with_protocol_type(group.protocol_type());
        if incoming.version >= STATES {
            row.group_state = StrBytes::from_static_str(group.state_name());
        }
        if incoming.version >= TYPES {
            row.group_type = StrBytes::from_static_str(group.type_name());
        }
        found.push(row);
    });
    Ok(ListGroupsResponse::default().with_groups(found))
}

/// DescribeGroups, of classic groups.
pub(crate) async fn describe_groups(
    incoming: &Incoming,
    request: DescribeGroupsRequest,
) -> Result<DescribeGroupsResponse, Closed> {
    let asked = request.include_authorized_operations;
    let groups = request.groups.into_iter().map(|id| {
        let row = DescribedGroup::default().with_group_id(id.clone());
        let row = match describe(incoming, &id) {
            Ok(described) => described.with_group_id(id.clone()),
            Err((ResponseError::GroupIdNotFound, message)) => {
                let row = row.with_group_state(StrBytes::from_static_str("Dead"));
                if incoming.version < NOT_FOUND {
                    row
                } else {
                    row.with_error_code(ResponseError::GroupIdNotFound.code())
                        .with_error_message(message.map(StrBytes::from_string))
                }
            }
            Err((error, _)) => return row.with_error_code(error.code()),
        };
        let operations = match asked && row.error_code == 0 {
            true => authorized_operations(incoming, &id),
            false => NOT_ASKED,
        };
        row.with_authorized_operations(operations)
    });
    Ok(DescribeGroupsResponse::default().with_groups(groups.collect()))
}

fn describe(
    incoming: &Incoming,
    id: &GroupId,
) -> Result<DescribedGroup, (ResponseError, Option<String>)> {
    check_any_group(incoming, Operation::Describe, id).map_err(|error| (error, None))?;
    let missing = |text: String| (ResponseError::GroupIdNotFound, Some(text));
    let groups = &incoming.shared.groups;
    let described = groups.with(incoming, id, |table, _| match table.shown(id) {
        None => Err(missing(format!("Group {} not found.", &**id))),
        Some(group) => match &group.kind {
            Kind::Consumer(_) => Err(missing(format!("Group {} is not a classic group.", &**id))),
            Kind::Classic(classic) => Ok(DescribedGroup::default()
                .with_group_state(StrBytes::from_static_str(group.state_name()))
                .with_protocol_type(group.protocol_type())
                .with_protocol_data(classic.agreed_protocol())
                .with_members(classic.describe())),
        },
    });
    described.unwrap_or_else(|error| Err((error, None)))
}

/// DeleteGroups: only groups without members.
pub(crate) async fn delete_groups(
    incoming: &Incoming,
    request: DeleteGroupsRequest,
) -> Result<DeleteGroupsResponse, Closed> {
    let results = request.groups_names.into_iter().map(|id| {
        let result = check_any_group(incoming, Operation::Delete, &id).and_then(|()| {
            let groups = &incoming.shared.groups;
            groups.with(incoming, &id, |table, _| match table.found(&id) {
                None => Err(ResponseError::GroupIdNotFound),
                Some(group) if !group.is_empty() => Err(ResponseError::NonEmptyGroup),
                Some(_) => {
                    table.remove(&id);
                    Ok(())
                }
            })?
        });
        DeletableGroupResult::default()
            .with_group_id(id)
            .with_error_code(super::code(result))
    });
    Ok(DeleteGroupsResponse::default().with_results(results.collect()))
}
