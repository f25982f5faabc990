//! CreatePartitions.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use kafka_protocol::protocol::StrBytes;

use super::create::PARTITIONS_MAX;
use super::{Refusal, partitions, placement, refusal};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{State, Topic};

/// CreatePartitions: a topic grows; its old partitions stay as they are.
pub(crate) async fn create_partitions(
    incoming: &Incoming,
    request: CreatePartitionsRequest,
) -> Result<CreatePartitionsResponse, Closed> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for order in &request.topics {
        if !seen.insert(&order.name) {
            twice.insert(order.name.clone());
        }
    }
    let mut state = incoming.shared.state();
    let row = |name, (error, message): Refusal| {
        CreatePartitionsTopicResult::default()
            .with_name(name)
            .with_error_code(error.code())
            .with_error_message(message.map(StrBytes::from_string))
    };
    let refused = |name| {
        let message = Some("Duplicate topic name.".to_owned());
        row(name, (ResponseError::InvalidRequest, message))
    };
    let mut results: Vec<_> = twice.iter().cloned().map(refused).collect();
    for order in request.topics {
        if twice.contains(&order.name) {
            continue;
        }
        results.push(match grown(incoming, &state, &order) {
            Err(refusal) => row(order.name, refusal),
            Ok(topic) => {
                if !request.validate_only {
                    state.put(topic);
                }
                CreatePartitionsTopicResult::default()
                    .with_name(order.name)
                    .with_error_message(None)
            }
        });
    }
    Ok(CreatePartitionsResponse::default().with_results(results))
}

/// The topic with the partitions that were ordered.
fn grown(
    incoming: &Incoming,
    state: &State,
    order: &CreatePartitionsTopic,
) -> Result<Topic, Refusal> {
    let name: &str = &order.name;
    if !incoming.may(Operation::Alter, Resource::Topic(name)) {
        return Err((ResponseError::TopicAuthorizationFailed, None));
    }
    let Some(topic) = state.topic(name) else {
        return Err((ResponseError::UnknownTopicOrPartition, None));
    };
    let (before, count) = (topic.partitions.len(), order.count);
    let more = i64::from(count) - i64::try_from(before).unwrap_or(i64::MAX);
    if more == 0 {
        let message = format!("Topic already has {before} partition(s).");
        return refusal(ResponseError::InvalidPartitions, message);
    }
    if more < 0 {
        let message = format!(
            "The topic {name} currently has {before} partition(s); {count} would not be an increase."
        );
        return refusal(ResponseError::InvalidPartitions, message);
    }
    if more > PARTITIONS_MAX {
        return Err((ResponseError::UnknownServerError, None));
    }
    let replicas = topic
        .partitions
        .first()
        .map_or(1, |partition| partition.lock().leadership.replicas.len());
    let places = match &order.assignments {
        None => {
            let replicas = i16::try_from(replicas).unwrap_or(i16::MAX);
            let more = i32::try_from(more).unwrap_or(i32::MAX);
            placement::spread(state, before, more, replicas)?
        }
        Some(chosen) => {
            if i64::try_from(chosen.len()).unwrap_or(i64::MAX) != more {
                let message = format!(
                    "Attempted to add {more} additional partition(s), but only {} assignment(s) were specified.",
                    chosen.len()
                );
                return refusal(ResponseError::InvalidReplicaAssignment, message);
            }
            let mut places = Vec::with_capacity(chosen.len());
            for (index, assignment) in (before..).zip(chosen) {
                let brokers: Vec<i32> = assignment.broker_ids.iter().map(|id| id.0).collect();
                placement::check(state, &brokers, Some(replicas))?;
                placement::check_leader(state, &brokers, index)?;
                places.push(brokers);
            }
            places
        }
    };
    let mut topic = Topic::clone(topic);
    topic.partitions.extend(partitions(state, before, places));
    Ok(topic)
}
