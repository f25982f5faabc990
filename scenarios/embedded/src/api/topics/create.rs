//! CreateTopics.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::{CreatableReplicaAssignment, CreatableTopic};
use kafka_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult,
};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{METADATA_TOPIC, Refusal, collision, may_create, name_problem, placement, refusal};
use crate::config::{Entries, topics as entries};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{State, Topic};

/// Most partitions that one request may create.
pub(super) const PARTITIONS_MAX: i64 = 10_000;

/// CreateTopics: each topic by itself; a name that comes twice is refused for both.
pub(crate) async fn create_topics(
    incoming: &Incoming,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, Closed> {
    let mut names = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for order in &request.topics {
        if !names.insert(order.name.to_string()) {
            twice.insert(order.name.to_string());
        }
    }
    let mut state = incoming.shared.state();
    let many = request.topics.iter().map(|order| {
        let chosen = i64::try_from(order.assignments.len()).unwrap_or(i64::MAX);
        i64::from(order.num_partitions).max(chosen)
    });
    let too_many = many.sum::<i64>() > PARTITIONS_MAX;
    let once = |order: &&CreatableTopic| !twice.contains(&**order.name);
    // Topics of one request are judged against what was there before, so two of them may collide, as on a broker.
    let judged: Vec<_> = request
        .topics
        .iter()
        .filter(once)
        .map(|order| (order, judge(incoming, &state, order, too_many)))
        .collect();
    let mut results = Vec::with_capacity(judged.len());
    for (order, topic) in judged {
        let result = CreatableTopicResult::default().with_name(order.name.clone());
        results.push(match topic {
            Err((error, message)) => refused(result, error, message),
            Ok(topic) => {
                let result = created(incoming, &state, result, &topic);
                if !request.validate_only {
                    state.put(topic);
                }
                result
            }
        });
    }
    results.extend(twice.into_iter().map(|name| {
        let result = CreatableTopicResult::default().with_name(StrBytes::from_string(name).into());
        let message = Some("Duplicate topic name.".to_owned());
        refused(result, ResponseError::InvalidRequest, message)
    }));
    Ok(CreateTopicsResponse::default().with_topics(results))
}

fn refused(
    result: CreatableTopicResult,
    error: ResponseError,
    message: Option<String>,
) -> CreatableTopicResult {
    result
        .with_error_code(error.code())
        .with_error_message(message.map(StrBytes::from_string))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_configs(Some(Vec::new()))
}

fn created(
    incoming: &Incoming,
    state: &State,
    result: CreatableTopicResult,
    topic: &Topic,
) -> CreatableTopicResult {
    let result = result.with_topic_id(topic.id).with_error_message(None);
    if !incoming.may(Operation::DescribeConfigs, Resource::Topic(&topic.name)) {
        return result
            .with_topic_config_error_code(ResponseError::TopicAuthorizationFailed.code())
            .with_num_partitions(-1)
            .with_replication_factor(-1)
            .with_configs(Some(Vec::new()));
    }
    let described = state
        .configs
        .describe_topic(incoming.node_id, &topic.configs);
    let configs = described.into_iter().map(|entry| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(entry.name))
            .with_value(entry.value.map(StrBytes::from_string))
            .with_config_source(entry.source as i8)
    });
    let replicas = topic
        .partitions
        .first()
        .map_or(0, |partition| partition.lock().leadership.replicas.len());
    result
        .with_num_partitions(i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))
        .with_replication_factor(i16::try_from(replicas).unwrap_or(i16::MAX))
        .with_configs(Some(configs.collect()))
}

/// The topic as ordered, or why not.
fn judge(
    incoming: &Incoming,
    state: &State,
    order: &CreatableTopic,
    too_many: bool,
) -> Result<Topic, Refusal> {
    let name: &str = &order.name;
    if name == METADATA_TOPIC {
        let message = format!("Creation of internal topic {METADATA_TOPIC} is prohibited.");
        return refusal(ResponseError::InvalidRequest, message);
    }
    if !may_create(incoming, name) {
        return refusal(
            ResponseError::TopicAuthorizationFailed,
            "Authorization failed.",
        );
    }
    if too_many {
        let message = "Excessively large number of partitions per request.";
        return refusal(ResponseError::PolicyViolation, message);
    }
    if let Some(problem) = name_problem(name) {
        return refusal(ResponseError::InvalidTopicException, problem);
    }
    if state.topic(name).is_some() {
        let message = format!("Topic '{name}' already exists.");
        return refusal(ResponseError::TopicAlreadyExists, message);
    }
    if let Some(other) = collision(state, name) {
        let message = format!("Topic '{name}' collides with existing topic: {other}");
        return refusal(ResponseError::InvalidTopicException, message);
    }
    let configs = configs(state, order)?;
    let places = if order.assignments.is_empty() {
        let partitions = order.num_partitions;
        let replicas = order.replication_factor;
        if replicas < -1 || replicas == 0 {
            let message =
                "Replication factor must be larger than 0, or -1 to use the default value.";
            return refusal(ResponseError::InvalidReplicationFactor, message);
        }
        if partitions < -1 || partitions == 0 {
            let message = "Number of partitions was set to an invalid non-positive value.";
            return refusal(ResponseError::InvalidPartitions, message);
        }
        let default = |property: &str| state.configs.number(property, 1);
        let partitions = match partitions {
            -1 => i32::try_from(default("num.partitions")).unwrap_or(1),
            count => count,
        };
        let replicas = match replicas {
            -1 => i16::try_from(default("default.replication.factor")).unwrap_or(1),
            count => count,
        };
        placement::spread(state, 0, partitions, replicas)?
    } else {
        chosen(state, order)?
    };
    Ok(super::with_places(state, name, places, configs))
}

fn configs(state: &State, order: &CreatableTopic) -> Result<Entries, Refusal> {
    let null = |config: &&_| {
        let config: &kafka_protocol::messages::create_topics_request::CreatableTopicConfig = config;
        config.value.is_none()
    };
    let nulls: Vec<&str> = order
        .configs
        .iter()
        .filter(null)
        .map(|config| &*config.name)
        .collect();
    if !nulls.is_empty() {
        let message = format!(
            "Null value not supported for topic configs: {}",
            nulls.join(",")
        );
        return refusal(ResponseError::InvalidConfig, message);
    }
    let own = |config: &kafka_protocol::messages::create_topics_request::CreatableTopicConfig| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value.unwrap_or_default())
    };
    let configs: Entries = order.configs.iter().map(own).collect();
    match entries::check(&state.configs, &configs) {
        Ok(()) => Ok(configs),
        Err(message) => refusal(ResponseError::InvalidConfig, message),
    }
}

/// The replicas of each partition as the client chose them.
fn chosen(state: &State, order: &CreatableTopic) -> Result<Vec<Vec<i32>>, Refusal> {
    let other = |what: &str| {
        let message =
            format!("A manual partition assignment was specified, but {what} was not set to -1.");
        refusal(ResponseError::InvalidRequest, message)
    };
    if order.replication_factor != -1 {
        return other("replication factor");
    }
    if order.num_partitions != -1 {
        return other("numPartitions");
    }
    let wrong = |message: String| refusal(ResponseError::InvalidReplicaAssignment, message);
    let mut places: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
    let mut replicas = None;
    for CreatableReplicaAssignment {
        partition_index,
        broker_ids,
        ..
    } in &order.assignments
    {
        let index = usize::try_from(*partition_index).unwrap_or(usize::MAX);
        if places.contains_key(&index) {
            return wrong(format!(
                "Found multiple manual partition assignments for partition {partition_index}"
            ));
        }
        let brokers: Vec<i32> = broker_ids.iter().map(|broker| broker.0).collect();
        placement::check(state, &brokers, replicas)?;
        placement::check_leader(state, &brokers, index)?;
        replicas = Some(brokers.len());
        places.insert(index, brokers);
    }
    if places.keys().copied().ne(0..places.len()) {
        return wrong("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(places.into_values().collect())
}

/// The id of no topic.
pub(super) const NO_ID: Uuid = Uuid::nil();
