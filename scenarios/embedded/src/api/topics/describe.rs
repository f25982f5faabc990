//! DescribeTopicPartitions (KIP-966): Metadata in pages.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::create::NO_ID;
use super::name_problem;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{Partition, State, Status, Topic};

/// `max.request.partition.size.limit`: most partitions of an answer.
const PAGE_PARTITIONS: &str = "max.request.partition.size.limit";

/// Stands for "not known" in the bit field of authorized operations.
const NO_OPERATIONS: i32 = i32::MIN;

/// What anybody may do with a topic without an authorizer: read, write, create, delete, alter, describe, describe and alter configs.
const ALL_OPERATIONS: i32 = 3576;

/// DescribeTopicPartitions: topics in order of name, from the cursor on, until the page is full.
pub(crate) async fn describe_topic_partitions(
    incoming: &Incoming,
    request: DescribeTopicPartitionsRequest,
) -> Result<DescribeTopicPartitionsResponse, Closed> {
    let state = incoming.shared.state();
    let all = request.topics.is_empty();
    let asked: BTreeSet<String> = if all {
        state.topics.keys().cloned().collect()
    } else {
        request
            .topics
            .iter()
            .map(|topic| topic.name.to_string())
            .collect()
    };
    if let Some(cursor) = &request.cursor
        && (cursor.partition_index < 0 || !all && !asked.contains(&**cursor.topic_name))
    {
        let refused = request
            .topics
            .iter()
            .map(|topic| missing(topic.name.to_string(), ResponseError::InvalidRequest));
        return Ok(DescribeTopicPartitionsResponse::default()
            .with_topics(refused.collect())
            .with_next_cursor(None));
    }
    let (from, from_partition) = match &request.cursor {
        Some(cursor) => (cursor.topic_name.to_string(), cursor.partition_index),
        None => (String::new(), 0),
    };
    let page = state.configs.number(PAGE_PARTITIONS, 2000);
    let mut room = i64::from(request.response_partition_limit).clamp(1, page.max(1));
    let mut response = DescribeTopicPartitionsResponse::default().with_next_cursor(None);
    let mut unauthorized = Vec::new();
    for name in asked.range(from.clone()..) {
        if !incoming.may(Operation::Describe, Resource::Topic(name)) {
            if !all {
                unauthorized.push(missing(
                    name.clone(),
                    ResponseError::TopicAuthorizationFailed,
                ));
            }
            continue;
        }
        if room <= 0 {
            response.next_cursor = Some(cursor(name, 0));
            break;
        }
        let Some(topic) = state.topic(name) else {
            // A broker has no better code here for what cannot be a name.
            let error = match name_problem(name) {
                Some(_) => ResponseError::UnknownServerError,
                None => ResponseError::UnknownTopicOrPartition,
            };
            let row = missing(name.clone(), error);
            let row = row.with_topic_authorized_operations(ALL_OPERATIONS);
            response.topics.push(row);
            continue;
        };
        let first = if *name == from { from_partition } else { 0 };
        let rest = topic
            .partitions
            .iter()
            .filter(|partition| partition.index >= first);
        let rows: Vec<_> = rest
            .take(usize::try_from(room).unwrap_or(usize::MAX))
            .map(|partition| row(&state, partition))
            .collect();
        room -= i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let next = rows.last().map_or(0, |row| row.partition_index + 1);
        response.topics.push(found(topic).with_partitions(rows));
        if next > 0 && topic.partition(next).is_some() {
            response.next_cursor = Some(cursor(name, next));
            break;
        }
    }
    response.topics.extend(unauthorized);
    Ok(response)
}

fn cursor(name: &str, partition: i32) -> Cursor {
    Cursor::default()
        .with_topic_name(TopicName(StrBytes::from_string(name.to_owned())))
        .with_partition_index(partition)
}

fn missing(name: String, error: ResponseError) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(StrBytes::from_string(name).into()))
        .with_topic_id(NO_ID)
        .with_topic_authorized_operations(NO_OPERATIONS)
}

fn found(topic: &Topic) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.clone()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal())
        .with_topic_authorized_operations(ALL_OPERATIONS)
}

fn row(state: &State, partition: &Partition) -> DescribeTopicPartitionsResponsePartition {
    let leadership = partition.lock().leadership.clone();
    let offline = |node_id: &i32| {
        !state
            .brokers
            .get(node_id)
            .is_some_and(|broker| broker.status != Status::Down)
    };
    let ids = |of: Vec<i32>| of.into_iter().map(Into::into).collect();
    let down = leadership
        .replicas
        .iter()
        .copied()
        .filter(offline)
        .collect();
    let error = match leadership.leader {
        -1 => ResponseError::LeaderNotAvailable.code(),
        _ => 0,
    };
    DescribeTopicPartitionsResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(leadership.leader.into())
        .with_leader_epoch(leadership.epoch)
        .with_replica_nodes(ids(leadership.replicas))
        .with_isr_nodes(ids(leadership.isr))
        .with_eligible_leader_replicas(Some(Vec::new()))
        .with_last_known_elr(Some(Vec::new()))
        .with_offline_replicas(ids(down))
}
