//! Refusals of APIs about topics: a code for each topic or partition.

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_producers_response::{PartitionResponse, TopicResponse};
use kafka_protocol::messages::describe_topic_partitions_response::DescribeTopicPartitionsResponseTopic;
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

use crate::server::Incoming;

/// Stands for "not asked" in the bit fields of authorized operations.
const NOT_ASKED: i32 = i32::MIN;

/// The brokers are listed all the same: a client without any would be lost for good.
pub(super) fn metadata(
    incoming: &Incoming,
    request: MetadataRequest,
    code: i16,
) -> MetadataResponse {
    let state = incoming.shared.state();
    let brokers = state.places(incoming.listener).map(|place| {
        MetadataResponseBroker::default()
            .with_node_id(place.node_id.into())
            .with_host(place.host)
            .with_port(place.port)
            .with_rack(place.rack)
    });
    let wanted: Vec<_> = match request.topics {
        Some(topics) => topics
            .into_iter()
            .map(|topic| (topic.name, topic.topic_id))
            .collect(),
        None => {
            let names = state.topics.values();
            names
                .map(|topic| {
                    (
                        Some(StrBytes::from_string(topic.name.clone()).into()),
                        topic.id,
                    )
                })
                .collect()
        }
    };
    let topics = wanted.into_iter().map(|(name, id)| {
        MetadataResponseTopic::default()
            .with_error_code(code)
            .with_name(name)
            .with_topic_id(id)
            .with_topic_authorized_operations(NOT_ASKED)
    });
    MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(StrBytes::from_string(
            incoming.shared.cluster_id.clone(),
        )))
        .with_controller_id(state.controller.into())
        .with_cluster_authorized_operations(NOT_ASKED)
        .with_topics(topics.collect())
}

pub(super) fn create(request: CreateTopicsRequest, code: i16) -> CreateTopicsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        CreatableTopicResult::default()
            .with_name(topic.name)
            .with_error_code(code)
            .with_error_message(None)
    });
    CreateTopicsResponse::default().with_topics(topics.collect())
}

pub(super) fn delete(request: DeleteTopicsRequest, code: i16) -> DeleteTopicsResponse {
    let by_state = request
        .topics
        .into_iter()
        .map(|topic| (topic.name, topic.topic_id));
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| (Some(name), uuid::Uuid::nil()));
    let results = by_state.chain(by_name).map(|(name, id)| {
        DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(id)
            .with_error_code(code)
            .with_error_message(None)
    });
    DeleteTopicsResponse::default().with_responses(results.collect())
}

pub(super) fn grow(request: CreatePartitionsRequest, code: i16) -> CreatePartitionsResponse {
    let results = request.topics.into_iter().map(|topic| {
        CreatePartitionsTopicResult::default()
            .with_name(topic.name)
            .with_error_code(code)
            .with_error_message(None)
    });
    CreatePartitionsResponse::default().with_results(results.collect())
}

pub(super) fn delete_records(request: DeleteRecordsRequest, code: i16) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            DeleteRecordsPartitionResult::default()
                .with_partition_index(partition.partition_index)
                .with_low_watermark(-1)
                .with_error_code(code)
        });
        DeleteRecordsTopicResult::default()
            .with_partitions(rows.collect())
            .with_name(topic.name)
    });
    DeleteRecordsResponse::default().with_topics(topics.collect())
}

pub(super) fn epochs(
    request: OffsetForLeaderEpochRequest,
    code: i16,
) -> OffsetForLeaderEpochResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            EpochEndOffset::default()
                .with_partition(partition.partition)
                .with_error_code(code)
                .with_leader_epoch(-1)
                .with_end_offset(-1)
        });
        OffsetForLeaderTopicResult::default()
            .with_partitions(rows.collect())
            .with_topic(topic.topic)
    });
    OffsetForLeaderEpochResponse::default().with_topics(topics.collect())
}

pub(super) fn describe(
    request: DescribeTopicPartitionsRequest,
    code: i16,
) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_name(Some(topic.name))
            .with_error_code(code)
            .with_topic_authorized_operations(NOT_ASKED)
    });
    DescribeTopicPartitionsResponse::default()
        .with_topics(topics.collect())
        .with_next_cursor(None)
}

pub(super) fn producers(request: DescribeProducersRequest, code: i16) -> DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partition_indexes.iter().map(|partition| {
            PartitionResponse::default()
                .with_partition_index(*partition)
                .with_error_code(code)
                .with_error_message(None)
        });
        TopicResponse::default()
            .with_partitions(rows.collect())
            .with_name(topic.name)
    });
    DescribeProducersResponse::default().with_topics(topics.collect())
}
