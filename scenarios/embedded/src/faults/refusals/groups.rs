//! Refusals of APIs about groups and transactions: a code for each key, group or partition.

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::describe_transactions_response::TransactionState;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;

/// From here on FindCoordinator takes many keys.
const MANY_KEYS_SINCE: i16 = 4;

/// From here on OffsetFetch takes many groups; before, its answer has a code of its own from version 2 on.
const MANY_GROUPS_SINCE: i16 = 8;

pub(super) fn coordinators(
    request: FindCoordinatorRequest,
    version: i16,
    code: i16,
) -> FindCoordinatorResponse {
    if version < MANY_KEYS_SINCE {
        return FindCoordinatorResponse::default()
            .with_error_code(code)
            .with_error_message(None)
            .with_node_id((-1).into())
            .with_port(-1);
    }
    let rows = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_node_id((-1).into())
            .with_port(-1)
            .with_error_code(code)
            .with_error_message(None)
    });
    FindCoordinatorResponse::default().with_coordinators(rows.collect())
}

pub(super) fn describe(request: DescribeGroupsRequest, code: i16) -> DescribeGroupsResponse {
    let groups = request.groups.into_iter().map(|group_id| {
        DescribedGroup::default()
            .with_error_code(code)
            .with_error_message(None)
            .with_group_id(group_id)
            .with_group_state(StrBytes::from_static_str("Dead"))
    });
    DescribeGroupsResponse::default().with_groups(groups.collect())
}

pub(super) fn describe_consumer(
    request: ConsumerGroupDescribeRequest,
    code: i16,
) -> ConsumerGroupDescribeResponse {
    let groups = request.group_ids.into_iter().map(|group_id| {
        DescribedConsumerGroup::default()
            .with_error_code(code)
            .with_error_message(None)
            .with_group_id(group_id)
    });
    ConsumerGroupDescribeResponse::default().with_groups(groups.collect())
}

pub(super) fn delete(request: DeleteGroupsRequest, code: i16) -> DeleteGroupsResponse {
    let results = request.groups_names.into_iter().map(|group_id| {
        DeletableGroupResult::default()
            .with_group_id(group_id)
            .with_error_code(code)
    });
    DeleteGroupsResponse::default().with_results(results.collect())
}

pub(super) fn commit(request: OffsetCommitRequest, code: i16) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        OffsetCommitResponseTopic::default()
            .with_partitions(rows.collect())
            .with_name(topic.name)
            .with_topic_id(topic.topic_id)
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

pub(super) fn offsets(request: OffsetFetchRequest, version: i16, code: i16) -> OffsetFetchResponse {
    if version >= MANY_GROUPS_SINCE {
        let groups = request.groups.into_iter().map(|group| {
            OffsetFetchResponseGroup::default()
                .with_group_id(group.group_id)
                .with_error_code(code)
        });
        return OffsetFetchResponse::default().with_groups(groups.collect());
    }
    let response = OffsetFetchResponse::default();
    if version >= 2 {
        return response.with_error_code(code);
    }
    let topics = request.topics.into_iter().flatten().map(|topic| {
        let rows = topic.partition_indexes.iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(-1)
                .with_error_code(code)
        });
        OffsetFetchResponseTopic::default()
            .with_partitions(rows.collect())
            .with_name(topic.name)
    });
    response.with_topics(topics.collect())
}

pub(super) fn commit_in_transaction(
    request: TxnOffsetCommitRequest,
    code: i16,
) -> TxnOffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(code)
        });
        TxnOffsetCommitResponseTopic::default()
            .with_partitions(rows.collect())
            .with_name(topic.name)
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}

/// Version 4 and later, between brokers, have a code for the whole request.
pub(super) fn add_partitions(
    request: AddPartitionsToTxnRequest,
    code: i16,
) -> AddPartitionsToTxnResponse {
    let topics = request.v3_and_below_topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*partition)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_results_by_partition(rows.collect())
            .with_name(topic.name)
    });
    let response = AddPartitionsToTxnResponse::default();
    match request.transactions.is_empty() {
        true => response.with_results_by_topic_v3_and_below(topics.collect()),
        false => response.with_error_code(code),
    }
}

pub(super) fn transactions(
    request: DescribeTransactionsRequest,
    code: i16,
) -> DescribeTransactionsResponse {
    let states = request
        .transactional_ids
        .into_iter()
        .map(|transactional_id| {
            TransactionState::default()
                .with_error_code(code)
                .with_transactional_id(transactional_id)
        });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}
