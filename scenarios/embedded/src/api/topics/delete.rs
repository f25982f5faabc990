//! DeleteTopics.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Refusal, refusal};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::State;

/// DeleteTopics by name, from version 6 on by id as well. Whoever waits for a partition of it is woken.
pub(crate) async fn delete_topics(
    incoming: &Incoming,
    request: DeleteTopicsRequest,
) -> Result<DeleteTopicsResponse, Closed> {
    let orders: Vec<DeleteTopicState> = if incoming.version >= 6 {
        request.topics
    } else {
        let by_name = |name| DeleteTopicState::default().with_name(Some(name));
        request.topic_names.into_iter().map(by_name).collect()
    };
    let mut state = incoming.shared.state();
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for order in &orders {
        // Who says both or neither is told that, however often.
        let named = order.name.is_some() == order.topic_id.is_nil();
        if named && !seen.insert((order.name.clone(), order.topic_id)) {
            twice.insert((order.name.clone(), order.topic_id));
        }
    }
    let mut results = Vec::with_capacity(orders.len());
    let mut deleted = Vec::new();
    for order in orders {
        if twice.contains(&(order.name.clone(), order.topic_id)) {
            continue;
        }
        let result = DeletableTopicResult::default()
            .with_name(order.name.clone())
            .with_topic_id(order.topic_id);
        results.push(match find(incoming, &state, &order) {
            Err((error, message)) => refused(result, error, message),
            Ok((name, id)) => {
                state.remove(&name);
                deleted.push(name.clone());
                result
                    .with_name(Some(StrBytes::from_string(name).into()))
                    .with_topic_id(id)
                    .with_error_message(None)
            }
        });
    }
    drop(state); // the lock of the groups comes before it
    for name in deleted {
        incoming.shared.groups.forget_topic(&name);
    }
    results.extend(twice.into_iter().map(|(name, id)| {
        let what = if name.is_some() { "name" } else { "id" };
        let result = DeletableTopicResult::default()
            .with_name(name)
            .with_topic_id(id);
        let message = Some(format!("Duplicate topic {what}."));
        refused(result, ResponseError::InvalidRequest, message)
    }));
    Ok(DeleteTopicsResponse::default().with_responses(results))
}

fn refused(
    result: DeletableTopicResult,
    error: ResponseError,
    message: Option<String>,
) -> DeletableTopicResult {
    result
        .with_error_code(error.code())
        .with_error_message(message.map(StrBytes::from_string))
}

/// The topic that may be deleted.
fn find(
    incoming: &Incoming,
    state: &State,
    order: &DeleteTopicState,
) -> Result<(String, Uuid), Refusal> {
    let named = order.name.as_ref().map(|name: &TopicName| name.to_string());
    let (name, missing) = match (named, order.topic_id.is_nil()) {
        (None, true) => {
            let message = "Neither topic name nor id were specified.";
            return refusal(ResponseError::InvalidRequest, message);
        }
        (Some(_), false) => {
            let message = "You may not specify both topic name and topic id.";
            return refusal(ResponseError::InvalidRequest, message);
        }
        (Some(name), true) => (Some(name), ResponseError::UnknownTopicOrPartition),
        (None, false) => {
            let topic = state.topic_by_id(order.topic_id);
            (
                topic.map(|topic| topic.name.clone()),
                ResponseError::UnknownTopicId,
            )
        }
    };
    let unknown = |error| match error {
        ResponseError::UnknownTopicId => "This server does not host this topic ID.",
        _ => "This server does not host this topic-partition.",
    };
    let Some(name) = name else {
        return refusal(missing, unknown(missing));
    };
    if !incoming.may(Operation::Delete, Resource::Topic(&name)) {
        let error = ResponseError::TopicAuthorizationFailed;
        return refusal(error, "Topic authorization failed.");
    }
    if !state.configs.flag("delete.topic.enable") {
        let error = match incoming.version {
            ..=2 => ResponseError::InvalidRequest,
            _ => ResponseError::TopicDeletionDisabled,
        };
        return refusal(error, "Topic deletion is disabled.");
    }
    match state.topic(&name) {
        Some(topic) => Ok((name, topic.id)),
        None => refusal(missing, unknown(missing)),
    }
}
