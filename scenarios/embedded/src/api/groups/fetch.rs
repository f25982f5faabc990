//! OffsetFetch.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::by_id::id_in;
use crate::groups::{Committed, Group};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};

/// First version with an error for the whole group.
const GROUP_ERROR: i16 = 2;

/// First version with many groups.
const MANY_GROUPS: i16 = 8;

/// First version that names topics by id.
const BY_ID: i16 = 10;

/// A topic that is asked for.
struct Wanted {
    name: StrBytes,
    /// From version 10 on.
    id: Uuid,
    partitions: Vec<i32>,
}

/// What is asked of one group.
struct Question {
    group_id: StrBytes,
    member_id: Option<StrBytes>,
    member_epoch: i32,
    /// None: all that there are.
    topics: Option<Vec<Wanted>>,
    require_stable: bool,
}

type Found = Vec<OffsetFetchResponseTopics>;

/// OffsetFetch: of one group or, from version 8 on, of many.
pub(crate) async fn offset_fetch(
    incoming: &Incoming,
    request: OffsetFetchRequest,
) -> Result<OffsetFetchResponse, Closed> {
    let require_stable = request.require_stable;
    if incoming.version < MANY_GROUPS {
        let topics = request.topics.map(|topics| {
            let topics = topics.into_iter().map(|topic| Wanted {
                name: topic.name.0,
                id: Uuid::nil(),
                partitions: topic.partition_indexes,
            });
            topics.collect()
        });
        let question = Question {
            group_id: request.group_id.0,
            member_id: None,
            member_epoch: -1,
            topics,
            require_stable,
        };
        return Ok(one_group(incoming, question));
    }
    let groups = request.groups.into_iter().map(|group| {
        let topics = group.topics.map(|topics| {
            let topics = topics.into_iter().map(|topic| Wanted {
                id: match incoming.version {
                    ..BY_ID => Uuid::nil(),
                    _ => id_in(&topic.name),
                },
                name: topic.name.0,
                partitions: topic.partition_indexes,
            });
            topics.collect()
        });
        let question = Question {
            group_id: group.group_id.0.clone(),
            member_id: group.member_id,
            member_epoch: group.member_epoch,
            topics,
            require_stable,
        };
        let answer = OffsetFetchResponseGroup::default().with_group_id(group.group_id);
        match find(incoming, question) {
            Ok(topics) => answer.with_topics(topics),
            Err(error) => answer.with_error_code(error.code()),
        }
    });
    Ok(OffsetFetchResponse::default().with_groups(groups.collect()))
}

/// The layout of versions 1 to 7.
fn one_group(incoming: &Incoming, question: Question) -> OffsetFetchResponse {
    let all: Vec<(StrBytes, Vec<i32>)> = question
        .topics
        .iter()
        .flatten()
        .map(|topic| (topic.name.clone(), topic.partitions.clone()))
        .collect();
    let response = OffsetFetchResponse::default();
    let topics = match find(incoming, question) {
        Ok(topics) => topics,
        Err(error) if incoming.version >= GROUP_ERROR => {
            return response.with_error_code(error.code());
        }
        Err(error) => {
            let topics = all.into_iter().map(|(name, partitions)| {
                let rows = partitions
                    .into_iter()
                    .map(|index| nothing(index, Some(error)));
                OffsetFetchResponseTopics::default()
                    .with_name(name.into())
                    .with_partitions(rows.collect())
            });
            topics.collect()
        }
    };
    let topics = topics.into_iter().map(|topic| {
        let rows = topic.partitions.into_iter().map(|row| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(row.partition_index)
                .with_committed_offset(row.committed_offset)
                .with_committed_leader_epoch(row.committed_leader_epoch)
                .with_metadata(row.metadata)
                .with_error_code(row.error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic.name)
            .with_partitions(rows.collect())
    });
    response.with_topics(topics.collect())
}

fn find(incoming: &Incoming, question: Question) -> Result<Found, ResponseError> {
    let group_id = &question.group_id;
    if !incoming.may(Operation::Describe, Resource::Group(group_id)) {
        return Err(ResponseError::GroupAuthorizationFailed);
    }
    let groups = &incoming.shared.groups;
    groups.with(incoming, group_id, |table, _| {
        let group = table.shown(group_id);
        if let Some(group) = group {
            group.may_fetch(question.member_id.as_ref(), question.member_epoch)?;
        }
        Ok(match question.topics {
            Some(topics) => some(incoming, group, topics, question.require_stable),
            None => all(incoming, group, question.require_stable),
        })
    })?
}

/// The topics that were asked for; a partition without an offset has -1.
fn some(
    incoming: &Incoming,
    group: Option<&Group>,
    topics: Vec<Wanted>,
    require_stable: bool,
) -> Found {
    let by_id = incoming.version >= BY_ID;
    let topics = topics.into_iter().map(|mut topic| {
        let mut error = None;
        if by_id {
            let state = incoming.shared.state();
            match state.topic_by_id(topic.id) {
                Some(found) => topic.name = StrBytes::from_string(found.name.clone()),
                None => error = Some(ResponseError::UnknownTopicId),
            }
        }
        if error.is_none() && !incoming.may(Operation::Describe, Resource::Topic(&topic.name)) {
            error = Some(ResponseError::TopicAuthorizationFailed);
        }
        let rows = topic.partitions.iter().map(|index| match (error, group) {
            (None, Some(group)) => row(group, &topic.name, *index, require_stable),
            _ => nothing(*index, error),
        });
        let rows = rows.collect();
        answer(by_id, topic.name, topic.id, rows)
    });
    topics.collect()
}

/// All that the group has and the client may see.
fn all(incoming: &Incoming, group: Option<&Group>, require_stable: bool) -> Found {
    let by_id = incoming.version >= BY_ID;
    let mut found: Vec<(StrBytes, Uuid, Vec<OffsetFetchResponsePartitions>)> = Vec::new();
    for (name, index, _) in group.into_iter().flat_map(|group| group.offsets.iter()) {
        let Some(group) = group else { break };
        let row = row(group, name, index, require_stable);
        match found.last_mut() {
            Some((last, _, rows)) if last == name => rows.push(row),
            _ if !incoming.may(Operation::Describe, Resource::Topic(name)) => {}
            _ => {
                let id = incoming.shared.state().topic(name).map(|topic| topic.id);
                if !by_id || id.is_some() {
                    found.push((name.clone(), id.unwrap_or_default(), vec![row]));
                }
            }
        }
    }
    let rows = found.into_iter();
    rows.map(|(name, id, rows)| answer(by_id, name, id, rows))
        .collect()
}

fn answer(
    by_id: bool,
    name: StrBytes,
    id: Uuid,
    rows: Vec<OffsetFetchResponsePartitions>,
) -> OffsetFetchResponseTopics {
    let answer = OffsetFetchResponseTopics::default().with_partitions(rows);
    if by_id {
        answer.with_topic_id(id)
    } else {
        answer.with_name(name.into())
    }
}

fn row(
    group: &Group,
    topic: &StrBytes,
    index: i32,
    require_stable: bool,
) -> OffsetFetchResponsePartitions {
    if require_stable && group.offsets.is_unstable(topic, index) {
        return nothing(index, Some(ResponseError::UnstableOffsetCommit));
    }
    match group.offsets.get(topic, index) {
        None => nothing(index, None),
        Some(Committed {
            offset,
            leader_epoch,
            metadata,
            ..
        }) => OffsetFetchResponsePartitions::default()
            .with_partition_index(index)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(*leader_epoch)
            .with_metadata(Some(metadata.clone())),
    }
}

fn nothing(index: i32, error: Option<ResponseError>) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions::default()
        .with_partition_index(index)
        .with_committed_offset(-1)
        .with_error_code(error.map_or(0, |error| error.code()))
}
