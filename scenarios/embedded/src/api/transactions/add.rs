//! AddPartitionsToTxn and AddOffsetsToTxn: what a transaction will write to.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
};

use super::{check_coordinator, for_client};
use crate::api::coordinators::{OFFSETS_TOPIC, coordinator_of};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::Topic;
use crate::transactions::{Owner, Producer, Style, TopicPartition};

/// From here on only brokers may ask, and for many transactions at once.
const BROKERS_SINCE: i16 = 4;

/// First versions that know PRODUCER_FENCED, of both requests.
const KNOWS_FENCED: i16 = 2;

/// AddPartitionsToTxn. One partition that is missing or not allowed keeps the others out too: OPERATION_NOT_ATTEMPTED (55).
pub(crate) async fn add_partitions_to_txn(
    incoming: &Incoming,
    request: AddPartitionsToTxnRequest,
) -> Result<AddPartitionsToTxnResponse, Closed> {
    let response = AddPartitionsToTxnResponse::default();
    if incoming.version < BROKERS_SINCE {
        let transaction = AddPartitionsToTxnTransaction::default()
            .with_transactional_id(request.v3_and_below_transactional_id)
            .with_producer_id(request.v3_and_below_producer_id)
            .with_producer_epoch(request.v3_and_below_producer_epoch)
            .with_topics(request.v3_and_below_topics);
        let rows = add(incoming, &transaction);
        return Ok(response.with_results_by_topic_v3_and_below(rows));
    }
    if !incoming.may(Operation::ClusterAction, Resource::Cluster) {
        let error = ResponseError::ClusterAuthorizationFailed;
        return Ok(response.with_error_code(error.code()));
    }
    let results = request.transactions.iter().map(|transaction| {
        AddPartitionsToTxnResult::default()
            .with_transactional_id(transaction.transactional_id.clone())
            .with_topic_results(add(incoming, transaction))
    });
    Ok(response.with_results_by_transaction(results.collect()))
}

fn add(
    incoming: &Incoming,
    asked: &AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let id = &asked.transactional_id;
    let by_client = incoming.version < BROKERS_SINCE;
    if by_client && !incoming.may(Operation::Write, Resource::TransactionalId(id)) {
        let error = ResponseError::TransactionalIdAuthorizationFailed;
        return answer(&asked.topics, |_, _| Err(error));
    }
    let checked = |topic: &AddPartitionsToTxnTopic, index| {
        if by_client {
            let allowed = incoming.may(Operation::Write, Resource::Topic(&topic.name));
            if !allowed || Topic::is_internal_name(&topic.name) {
                return Err(ResponseError::TopicAuthorizationFailed);
            }
        }
        incoming
            .shared
            .state()
            .partition(&topic.name, index)
            .map(|_| ())
    };
    let rows = answer(&asked.topics, checked);
    let failed = |row: &AddPartitionsToTxnTopicResult| {
        row.results_by_partition
            .iter()
            .any(|row| row.partition_error_code != 0)
    };
    if rows.iter().any(failed) {
        let error = ResponseError::OperationNotAttempted;
        let mut rows = answer(&asked.topics, |topic, index| {
            checked(topic, index).and(Err(error))
        });
        // A broker notes these errors by partition, so one that is named twice is told once, and only here.
        for topic in &mut rows {
            let mut told = BTreeSet::new();
            let rows = &mut topic.results_by_partition;
            rows.retain(|row| told.insert(row.partition_index));
        }
        return rows;
    }
    if id.is_empty() {
        return answer(&asked.topics, |_, _| Err(ResponseError::InvalidRequest));
    }
    if let Err(error) = check_coordinator(incoming, id) {
        return answer(&asked.topics, |_, _| Err(error));
    }
    let owner = Owner {
        transactional_id: id,
        producer: Producer {
            id: asked.producer_id.0,
            epoch: asked.producer_epoch,
        },
    };
    let shared = &incoming.shared;
    if asked.verify_only {
        return answer(&asked.topics, |topic, index| {
            shared
                .transactions
                .verify(shared, owner, &(topic.name.to_string(), index))
        });
    }
    let partitions: BTreeSet<TopicPartition> = asked
        .topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|index| (topic.name.to_string(), *index))
        })
        .collect();
    let style = if by_client {
        Style::Epochless
    } else {
        Style::EpochPerTransaction
    };
    let result = shared.transactions.add(shared, owner, &partitions, style);
    let result = result.map_err(|error| for_client(incoming, KNOWS_FENCED, error));
    answer(&asked.topics, |_, _| result)
}

/// A row for every partition.
fn answer(
    topics: &[AddPartitionsToTxnTopic],
    result: impl Fn(&AddPartitionsToTxnTopic, i32) -> Result<(), ResponseError>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let rows = topics.iter().map(|topic| {
        let rows = topic.partitions.iter().map(|index| {
            let code = result(topic, *index).err().map_or(0, |error| error.code());
            AddPartitionsToTxnPartitionResult::default()
                .with_partition_index(*index)
                .with_partition_error_code(code)
        });
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic.name.clone())
            .with_results_by_partition(rows.collect())
    });
    rows.collect()
}

/// AddOffsetsToTxn: the transaction will commit offsets of a group, so its end concerns the group's partition.
pub(crate) async fn add_offsets_to_txn(
    incoming: &Incoming,
    request: AddOffsetsToTxnRequest,
) -> Result<AddOffsetsToTxnResponse, Closed> {
    let result = add_offsets(incoming, &request);
    let error = result
        .err()
        .map(|error| for_client(incoming, KNOWS_FENCED, error).code());
    Ok(AddOffsetsToTxnResponse::default().with_error_code(error.unwrap_or(0)))
}

fn add_offsets(incoming: &Incoming, request: &AddOffsetsToTxnRequest) -> Result<(), ResponseError> {
    let (id, group) = (&request.transactional_id, &request.group_id);
    if !incoming.may(Operation::Write, Resource::TransactionalId(id)) {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    if !incoming.may(Operation::Read, Resource::Group(group)) {
        return Err(ResponseError::GroupAuthorizationFailed);
    }
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    check_coordinator(incoming, id)?;
    let shared = &incoming.shared;
    let coordinator = coordinator_of(shared, OFFSETS_TOPIC, group)
        .ok_or(ResponseError::CoordinatorNotAvailable)?;
    let owner = Owner {
        transactional_id: id,
        producer: Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        },
    };
    let partitions = BTreeSet::from([(OFFSETS_TOPIC.to_owned(), coordinator.partition)]);
    shared
        .transactions
        .add(shared, owner, &partitions, Style::Epochless)
}
