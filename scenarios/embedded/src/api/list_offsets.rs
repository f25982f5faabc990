//! ListOffsets.

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, TopicName};

use super::IntoAnswer;
use crate::log::Isolation;
use crate::security::{Operation, Resource};
use crate::server::{Answer, Closed, Incoming};

/// Timestamps that stand for something else.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// Since version 11 (KIP-1023).
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// From here on an answer has leader epochs.
const EPOCHS_SINCE: i16 = 4;

/// Consumers; a follower gives its node id and sees the log's end.
const CONSUMER: i32 = -1;

/// ListOffsets: start, end, by time, of the largest timestamp.
pub(crate) async fn list_offsets(
    incoming: &Incoming,
    request: ListOffsetsRequest,
) -> Result<Answer, Closed> {
    let isolation = match (request.replica_id.0, request.isolation_level) {
        (replica, _) if replica > CONSUMER => Isolation::LogEnd,
        (_, 1) => Isolation::Committed,
        _ => Isolation::Uncommitted,
    };
    // One row for each partition, however often it is named.
    let mut asked: IndexMap<TopicName, IndexMap<i32, Vec<ListOffsetsPartition>>> = IndexMap::new();
    for topic in request.topics {
        let partitions = asked.entry(topic.name).or_default();
        for partition in topic.partitions {
            let named = partitions.entry(partition.partition_index).or_default();
            named.push(partition);
        }
    }
    let topics = asked.into_iter().map(|(name, partitions)| {
        let rows = partitions.into_iter().map(|(index, named)| {
            let row = ListOffsetsPartitionResponse::default()
                .with_partition_index(index)
                .with_timestamp(-1)
                .with_offset(-1)
                .with_leader_epoch(-1);
            let found = match &named[..] {
                [once] => find(incoming, &name, once, isolation),
                _ => Err(ResponseError::InvalidRequest),
            };
            match found {
                Ok((offset, timestamp, epoch)) => row
                    .with_offset(offset)
                    .with_timestamp(timestamp)
                    .with_leader_epoch(if incoming.version >= EPOCHS_SINCE {
                        epoch
                    } else {
                        -1
                    }),
                Err(error) => row.with_error_code(error.code()),
            }
        });
        ListOffsetsTopicResponse::default()
            .with_partitions(rows.collect())
            .with_name(name)
    });
    let response = ListOffsetsResponse::default().with_topics(topics.collect());
    response.into_answer(super::layout(incoming.api, incoming.version))
}

/// The first version that knows a timestamp's special meaning; `None` if there is no such meaning.
fn known_since(timestamp: i64) -> Option<i16> {
    match timestamp {
        LATEST | EARLIEST => Some(1),
        MAX_TIMESTAMP => Some(7),
        EARLIEST_LOCAL => Some(8),
        LATEST_TIERED => Some(9),
        EARLIEST_PENDING_UPLOAD => Some(11),
        0.. => Some(0),
        _ => None,
    }
}

/// Offset, timestamp, leader epoch.
fn find(
    incoming: &Incoming,
    topic: &str,
    wanted: &ListOffsetsPartition,
    isolation: Isolation,
) -> Result<(i64, i64, i32), ResponseError> {
    if !incoming.may(Operation::Describe, Resource::Topic(topic)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    if known_since(wanted.timestamp).is_none_or(|since| incoming.version < since) {
        return Err(ResponseError::UnsupportedVersion);
    }
    incoming.refuses(topic, wanted.partition_index)?;
    let (_, partition) = incoming
        .shared
        .state()
        .partition(topic, wanted.partition_index)?;
    let inner = partition.lock();
    super::check_epoch(wanted.current_leader_epoch, &inner.leadership)?;
    if inner.leadership.leader != incoming.node_id {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    let log = &inner.log;
    let epoch = log.latest_epoch().unwrap_or(-1);
    let none = (-1, -1, -1);
    Ok(match wanted.timestamp {
        LATEST => match isolation {
            Isolation::LogEnd => (log.end_offset(), -1, epoch),
            Isolation::Committed => (log.last_stable_offset(), -1, epoch),
            Isolation::Uncommitted => (log.high_watermark(), -1, epoch),
        },
        EARLIEST | EARLIEST_LOCAL => (log.start_offset(), -1, log.epoch_at(log.start_offset())),
        MAX_TIMESTAMP => log.max_timestamp(isolation)?.unwrap_or(none),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => none,
        timestamp => log
            .offset_for_timestamp(timestamp, isolation)?
            .unwrap_or(none),
    })
}
