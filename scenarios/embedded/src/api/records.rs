//! DeleteRecords and OffsetForLeaderEpoch: two ends of a log.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
};

use crate::log::ReadError;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};

/// Lowest offset, epoch and watermark of nothing.
const NONE: i64 = -1;

/// DeleteRecords: moves the start of logs.
pub(crate) async fn delete_records(
    incoming: &Incoming,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, Closed> {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let row = DeleteRecordsPartitionResult::default().with_partition_index(index);
            match delete(incoming, &topic.name, index, partition.offset) {
                Ok(start) => row.with_low_watermark(start),
                Err(error) => row.with_low_watermark(NONE).with_error_code(error.code()),
            }
        });
        DeleteRecordsTopicResult::default()
            .with_partitions(rows.collect())
            .with_name(topic.name.clone())
    });
    Ok(DeleteRecordsResponse::default().with_topics(topics.collect()))
}

fn delete(incoming: &Incoming, topic: &str, index: i32, before: i64) -> Result<i64, ResponseError> {
    if !incoming.may(Operation::Delete, Resource::Topic(topic)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let (topic, partition) = incoming.shared.state().partition(topic, index)?;
    let mut data = partition.lock();
    if data.leadership.leader != incoming.node_id {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    if !topic.settings.cleanup_delete && topic.settings.cleanup_compact {
        return Err(ResponseError::PolicyViolation);
    }
    let start = data
        .log
        .delete_records(before)
        .map_err(|ReadError::OutOfRange| ResponseError::OffsetOutOfRange)?;
    drop(data);
    partition.wake();
    Ok(start)
}

/// OffsetForLeaderEpoch (KIP-101, KIP-320): where an epoch ended.
pub(crate) async fn offset_for_leader_epoch(
    incoming: &Incoming,
    request: OffsetForLeaderEpochRequest,
) -> Result<OffsetForLeaderEpochResponse, Closed> {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|wanted| {
            let row = EpochEndOffset::default().with_partition(wanted.partition);
            match end_of_epoch(incoming, &topic.topic, wanted) {
                Ok((epoch, end)) => row.with_leader_epoch(epoch).with_end_offset(end),
                Err(error) => row
                    .with_error_code(error.code())
                    .with_leader_epoch(-1)
                    .with_end_offset(NONE),
            }
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(rows.collect())
            .with_topic(topic.topic.clone())
    });
    Ok(OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}

fn end_of_epoch(
    incoming: &Incoming,
    topic: &str,
    wanted: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ResponseError> {
    if !incoming.may(Operation::Describe, Resource::Topic(topic)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let (_, partition) = incoming.shared.state().partition(topic, wanted.partition)?;
    let data = partition.lock();
    super::check_epoch(wanted.current_leader_epoch, &data.leadership)?;
    if data.leadership.leader != incoming.node_id {
        return Err(ResponseError::NotLeaderOrFollower);
    }
    Ok(data
        .log
        .end_of_epoch(wanted.leader_epoch, data.leadership.epoch))
}
