//! DescribeProducers, DescribeTransactions, ListTransactions: what `kafka-transactions` shows.

use fancy_regex::Regex;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use kafka_protocol::messages::list_transactions_response::TransactionState as Listed;
use kafka_protocol::messages::{
    DescribeProducersRequest, DescribeProducersResponse, DescribeTransactionsRequest,
    DescribeTransactionsResponse, ListTransactionsRequest, ListTransactionsResponse, TopicName,
    TransactionalId,
};
use kafka_protocol::protocol::StrBytes;

use super::check_coordinator;
use crate::log::ProducerView;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::transactions::{Phase, Transaction};

/// DescribeProducers: what the logs of which this broker has a replica know of their producers. Followers answer too:
/// `kafka-transactions find-hanging --broker-id` asks one broker about all of its replicas.
pub(crate) async fn describe_producers(
    incoming: &Incoming,
    request: DescribeProducersRequest,
) -> Result<DescribeProducersResponse, Closed> {
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partition_indexes.iter().map(|index| {
            let row = PartitionResponse::default()
                .with_partition_index(*index)
                .with_error_message(None);
            match producers(incoming, &topic.name, *index) {
                Ok(views) => row.with_active_producers(views.iter().map(producer_row).collect()),
                Err((error, message)) => row
                    .with_error_code(error.code())
                    .with_error_message(message.map(StrBytes::from_static_str)),
            }
        });
        TopicResponse::default()
            .with_partitions(rows.collect())
            .with_name(topic.name)
    });
    Ok(DescribeProducersResponse::default().with_topics(topics.collect()))
}

/// What concerns the topic comes with a text, what concerns the partition without.
fn producers(
    incoming: &Incoming,
    topic: &str,
    index: i32,
) -> Result<Vec<ProducerView>, (ResponseError, Option<&'static str>)> {
    if !incoming.may(Operation::Read, Resource::Topic(topic)) {
        let message = "Topic authorization failed.";
        return Err((ResponseError::TopicAuthorizationFailed, Some(message)));
    }
    let partition = {
        let state = incoming.shared.state();
        if state.topic(topic).is_none() {
            let message = "This server does not host this topic-partition.";
            return Err((ResponseError::UnknownTopicOrPartition, Some(message)));
        }
        let found = state.partition(topic, index);
        found.map_err(|error| (error, None))?.1
    };
    let inner = partition.lock();
    if !inner.leadership.replicas.contains(&incoming.node_id) {
        return Err((ResponseError::NotLeaderOrFollower, None));
    }
    Ok(inner.log.producers())
}

fn producer_row(view: &ProducerView) -> ProducerState {
    ProducerState::default()
        .with_producer_id(view.producer_id.into())
        .with_producer_epoch(view.epoch.into())
        .with_last_sequence(view.last_sequence)
        .with_last_timestamp(view.last_timestamp_ms)
        .with_coordinator_epoch(view.coordinator_epoch)
        .with_current_txn_start_offset(view.transaction_start.unwrap_or(-1))
}

/// DescribeTransactions: the state of single ids.
pub(crate) async fn describe_transactions(
    incoming: &Incoming,
    request: DescribeTransactionsRequest,
) -> Result<DescribeTransactionsResponse, Closed> {
    let rows = request.transactional_ids.into_iter().map(|id| {
        let row = match find(incoming, &id) {
            Ok(found) => describe(incoming, &found),
            Err(error) => TransactionState::default().with_error_code(error.code()),
        };
        row.with_transactional_id(id)
    });
    Ok(DescribeTransactionsResponse::default().with_transaction_states(rows.collect()))
}

fn find(incoming: &Incoming, id: &str) -> Result<Transaction, ResponseError> {
    if !incoming.may(Operation::Describe, Resource::TransactionalId(id)) {
        return Err(ResponseError::TransactionalIdAuthorizationFailed);
    }
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    check_coordinator(incoming, id)?;
    let found = incoming.shared.transactions.find(id);
    found.ok_or(ResponseError::TransactionalIdNotFound)
}

/// Topics that the asking principal may not see are left out.
fn describe(incoming: &Incoming, found: &Transaction) -> TransactionState {
    let mut topics: Vec<TopicData> = Vec::new();
    let visible = |topic: &str| incoming.may(Operation::Describe, Resource::Topic(topic));
    for (topic, index) in found
        .partitions()
        .iter()
        .filter(|(topic, _)| visible(topic))
    {
        match topics.last_mut() {
            Some(last) if last.topic.as_str() == topic => last.partitions.push(*index),
            _ => topics.push(
                TopicData::default()
                    .with_topic(TopicName(StrBytes::from_string(topic.clone())))
                    .with_partitions(vec![*index]),
            ),
        }
    }
    TransactionState::default()
        .with_transaction_state(StrBytes::from_static_str(found.phase().name()))
        .with_transaction_timeout_ms(found.timeout_ms())
        .with_transaction_start_time_ms(found.started_ms())
        .with_producer_id(found.producer().id.into())
        .with_producer_epoch(found.producer().epoch)
        .with_topics(topics)
}

/// ListTransactions: the ids that this broker coordinates, by state, producer id, age (v1) and pattern (v2).
pub(crate) async fn list_transactions(
    incoming: &Incoming,
    request: ListTransactionsRequest,
) -> Result<ListTransactionsResponse, Closed> {
    let response = ListTransactionsResponse::default();
    let pattern = request
        .transactional_id_pattern
        .as_deref()
        .filter(|text| !text.is_empty());
    let pattern = match pattern
        .map(|text| Regex::new(&format!("^(?:{text})$")))
        .transpose()
    {
        Ok(pattern) => pattern,
        Err(_) => {
            let error = ResponseError::InvalidRegularExpression;
            return Ok(response.with_error_code(error.code()));
        }
    };
    let known = |name: &&StrBytes| {
        Phase::from_name(name).is_some() || Phase::NEVER_SEEN.contains(&name.as_str())
    };
    let filters = &request.state_filters;
    let unknown = filters.iter().filter(|name| !known(name)).cloned();
    let now_ms = incoming.shared.clock.now_ms();
    let wanted = |id: &str, found: &Transaction| {
        let name = found.phase().name();
        let age_ms = now_ms.saturating_sub(found.started_ms());
        let ids = &request.producer_id_filters;
        (filters.is_empty() || filters.iter().any(|filter| filter.as_str() == name))
            && (ids.is_empty() || ids.contains(&found.producer().id.into()))
            && (request.duration_filter < 0 || age_ms > request.duration_filter)
            && pattern
                .as_ref()
                .is_none_or(|pattern| pattern.is_match(id).unwrap_or(false))
            && check_coordinator(incoming, id).is_ok()
            && incoming.may(Operation::Describe, Resource::TransactionalId(id))
    };
    let all = incoming.shared.transactions.all();
    let rows = all
        .into_iter()
        .filter(|(id, found)| wanted(id, found))
        .map(|(id, found)| {
            Listed::default()
                .with_producer_id(found.producer().id.into())
                .with_transaction_state(StrBytes::from_static_str(found.phase().name()))
                .with_transactional_id(TransactionalId(StrBytes::from_string(id)))
        });
    Ok(response
        .with_unknown_state_filters(unknown.collect())
        .with_transaction_states(rows.collect()))
}
