//! ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId,
};
use kafka_protocol::protocol::StrBytes;

use super::{NOT_ASKED, authorized_operations, check_group, client};
use crate::groups::{At, Beat, Consumers, Described, Image, Kind, Known, Refusal, Table};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};

/// ConsumerGroupHeartbeat.
pub(crate) async fn consumer_group_heartbeat(
    incoming: &Incoming,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Closed> {
    Ok(
        heartbeat(incoming, &request).unwrap_or_else(|(error, text)| {
            let text = Some(text).filter(|text| !text.is_empty());
            ConsumerGroupHeartbeatResponse::default()
                .with_error_code(error.code())
                .with_error_message(text.map(StrBytes::from_string))
        }),
    )
}

fn heartbeat(
    incoming: &Incoming,
    request: &ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
    let plain = |error: ResponseError| (error, String::new());
    if !incoming.may(Operation::Read, Resource::Group(&request.group_id)) {
        return Err(plain(ResponseError::GroupAuthorizationFailed));
    }
    let visible = |name: &str| incoming.may(Operation::Describe, Resource::Topic(name));
    let mut names = request.subscribed_topic_names.iter().flatten();
    if !names.all(|name| visible(name)) {
        return Err(plain(ResponseError::TopicAuthorizationFailed));
    }
    let image = image(incoming);
    let found: Vec<String> = { image.keys() }
        .filter(|name| visible(name))
        .cloned()
        .collect();
    let beat = Beat {
        request,
        version: incoming.version,
        client: client(incoming),
        image: &image,
        visible: &found,
    };
    beat.check()?;
    let id = &request.group_id;
    let work = |table: &mut Table, at: &At<'_>| match table.found(id) {
        Some(group) => group.consumer_heartbeat(&beat, at),
        None if beat.joins() => {
            let mut consumers = Consumers::default();
            let joined = consumers.heartbeat(&beat, at)?;
            // Only if it has a member now.
            table.make(id, Kind::Consumer(consumers)).known = Known::Both;
            Ok(joined)
        }
        None => {
            let what = match request.member_epoch {
                1.. => "Consumer group",
                _ => "Group",
            };
            let text = format!("{what} {} not found.", &**id);
            Err((ResponseError::GroupIdNotFound, text))
        }
    };
    let groups = &incoming.shared.groups;
    groups.with(incoming, id, work).map_err(plain)?
}

/// All topics as they are now.
fn image(incoming: &Incoming) -> Image {
    let state = incoming.shared.state();
    let topics = state.topics.values();
    let row = |topic: &crate::state::Topic| {
        let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
        (topic.name.clone(), (topic.id, partitions))
    };
    topics.map(|topic| row(topic)).collect()
}

/// ConsumerGroupDescribe.
pub(crate) async fn consumer_group_describe(
    incoming: &Incoming,
    request: ConsumerGroupDescribeRequest,
) -> Result<ConsumerGroupDescribeResponse, Closed> {
    let image = image(incoming);
    let asked = request.include_authorized_operations;
    let groups = request.group_ids.into_iter().map(|id| {
        let row = match describe(incoming, &id, &image) {
            Ok(row) => row.with_authorized_operations(match asked {
                true => authorized_operations(incoming, &id),
                false => NOT_ASKED,
            }),
            Err((error, text)) => DescribedGroup::default()
                .with_error_code(error.code())
                .with_error_message(text.map(StrBytes::from_string)),
        };
        row.with_group_id(id)
    });
    Ok(ConsumerGroupDescribeResponse::default().with_groups(groups.collect()))
}

fn describe(
    incoming: &Incoming,
    id: &GroupId,
    image: &Image,
) -> Result<DescribedGroup, (ResponseError, Option<String>)> {
    check_group(incoming, Operation::Describe, id).map_err(|error| (error, None))?;
    let missing = |what: &str| {
        let text = format!("Group {} {what}.", &**id);
        Err((ResponseError::GroupIdNotFound, Some(text)))
    };
    let groups = &incoming.shared.groups;
    let described = groups.with(incoming, id, |table, _| match table.shown(id) {
        None => missing("not found"),
        Some(group) => match &group.kind {
            Kind::Classic(_) => missing("is not a consumer group"),
            Kind::Consumer(consumers) => Ok(consumers.describe(image)),
        },
    });
    let Described { group, topics } = described.unwrap_or_else(|error| Err((error, None)))?;
    let visible = |name: &String| incoming.may(Operation::Describe, Resource::Topic(name));
    if topics.iter().all(visible) {
        Ok(group)
    } else {
        Err((
            ResponseError::TopicAuthorizationFailed,
            Some(
                "The group has described topic(s) that the client is not authorized to describe."
                    .to_owned(),
            ),
        ))
    }
}
