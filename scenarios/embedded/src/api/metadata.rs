//! Metadata: brokers, topics, leaders.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::topics;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{Partition, State, Topic};

/// Stands for "not asked" in the bit fields of authorized operations.
const NOT_ASKED: i32 = i32::MIN;

/// First version that names topics by id.
const BY_ID: i16 = 12;

/// Answers Metadata by name, by id, or for all topics. A missing topic is created if both the broker
/// (`auto.create.topics.enable`) and the client want it.
pub(crate) async fn metadata(
    incoming: &Incoming,
    request: MetadataRequest,
) -> Result<MetadataResponse, Closed> {
    // Version 0 cannot say null: an empty list means all.
    let wanted = request
        .topics
        .filter(|topics| incoming.version > 0 || !topics.is_empty());
    if let Some(error) = wanted
        .as_deref()
        .and_then(|all| refusal(incoming.version, all))
    {
        return Ok(refused(wanted.unwrap_or_default(), error));
    }
    let missing: Vec<TopicName> = match &wanted {
        Some(wanted) if request.allow_auto_topic_creation => {
            let named = wanted.iter().filter(|topic| topic.topic_id.is_nil());
            let named = named.filter_map(|topic| topic.name.clone());
            named.filter(|name| may_create(incoming, name)).collect()
        }
        _ => Vec::new(),
    };
    let state = incoming.shared.state();
    let brokers = state.places(incoming.listener).map(|place| {
        MetadataResponseBroker::default()
            .with_node_id(place.node_id.into())
            .with_host(place.host)
            .with_port(place.port)
            .with_rack(place.rack)
    });
    let mut response = MetadataResponse::default()
        .with_brokers(brokers.collect())
        .with_cluster_id(Some(StrBytes::from_string(
            incoming.shared.cluster_id.clone(),
        )))
        .with_controller_id(state.controller.into())
        .with_cluster_authorized_operations(cluster_operations(
            incoming,
            request.include_cluster_authorized_operations,
        ));
    let operations = request.include_topic_authorized_operations;
    response.topics = match wanted {
        None => {
            let visible = |topic: &&Arc<Topic>| {
                incoming.may(Operation::Describe, Resource::Topic(&topic.name))
            };
            state
                .topics
                .values()
                .filter(visible)
                .map(|topic| describe(incoming, &state, topic, operations))
                .collect()
        }
        Some(wanted) => {
            // Ids where there are any, else names; each once.
            let ids: BTreeSet<_> = wanted.iter().map(|topic| topic.topic_id).collect();
            let ids = ids.into_iter().filter(|id| !id.is_nil());
            let rows = ids.map(|id| by_id(incoming, &state, id, operations));
            let rows: Vec<_> = rows.collect();
            if rows.is_empty() {
                let names: BTreeSet<_> = wanted.into_iter().filter_map(|t| t.name).collect();
                let rows = names.into_iter();
                rows.map(|name| by_name(incoming, &state, name, operations))
                    .collect()
            } else {
                rows
            }
        }
    };
    drop(state);
    // Created behind the answer, as on a broker: the client asks again.
    for name in missing {
        topics::create_on_sight(incoming, &name);
    }
    Ok(response)
}

/// Why the whole request is refused: a topic that nothing names, or an id in a version that does not know ids yet.
fn refusal(version: i16, wanted: &[MetadataRequestTopic]) -> Option<ResponseError> {
    let by_id = |topic: &MetadataRequestTopic| !topic.topic_id.is_nil();
    let nameless = wanted.iter().any(|topic| topic.name.is_none());
    if version < BY_ID && (nameless || wanted.iter().any(by_id)) {
        return Some(ResponseError::InvalidRequest);
    }
    // A broker stumbles over the null.
    (nameless && !wanted.iter().any(by_id)).then_some(ResponseError::UnknownServerError)
}

/// The answer to a request that is refused as a whole.
fn refused(wanted: Vec<MetadataRequestTopic>, error: ResponseError) -> MetadataResponse {
    let topics = wanted.into_iter().map(|topic| {
        absent(Some(topic.name.unwrap_or_default()), error).with_topic_id(topic.topic_id)
    });
    MetadataResponse::default()
        .with_cluster_id(None)
        .with_controller_id((-1).into())
        .with_topics(topics.collect())
        .with_error_code(error.code())
}

/// Who may see a topic, and may create it there or anywhere, creates it by asking.
fn may_create(incoming: &Incoming, name: &str) -> bool {
    let topic = Resource::Topic(name);
    incoming.may(Operation::Describe, topic)
        && (incoming.may(Operation::Create, Resource::Cluster)
            || incoming.may(Operation::Create, topic))
}

/// What may be done with the cluster; nothing for who may not see it.
fn cluster_operations(incoming: &Incoming, asked: bool) -> i32 {
    match asked {
        false => NOT_ASKED,
        true if incoming.may(Operation::Describe, Resource::Cluster) => {
            incoming.authorized_operations(Resource::Cluster)
        }
        true => 0,
    }
}

fn by_name(
    incoming: &Incoming,
    state: &State,
    name: TopicName,
    operations: bool,
) -> MetadataResponseTopic {
    if !incoming.may(Operation::Describe, Resource::Topic(&name)) {
        return absent(Some(name), ResponseError::TopicAuthorizationFailed);
    }
    let error = match state.topic(&name) {
        Some(topic) => return describe(incoming, state, topic, operations),
        None if topics::name_problem(&name).is_some() => ResponseError::InvalidTopicException,
        None => ResponseError::UnknownTopicOrPartition,
    };
    let allowed = topic_operations(incoming, &name, operations);
    absent(Some(name), error).with_topic_authorized_operations(allowed)
}

fn by_id(
    incoming: &Incoming,
    state: &State,
    id: uuid::Uuid,
    operations: bool,
) -> MetadataResponseTopic {
    match state.topic_by_id(id) {
        None => absent(None, ResponseError::UnknownTopicId).with_topic_id(id),
        Some(topic) if !incoming.may(Operation::Describe, Resource::Topic(&topic.name)) => {
            absent(None, ResponseError::TopicAuthorizationFailed).with_topic_id(id)
        }
        Some(topic) => describe(incoming, state, topic, operations),
    }
}

fn absent(name: Option<TopicName>, error: ResponseError) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(name)
        .with_topic_authorized_operations(NOT_ASKED)
}

/// What may be done with a topic, whether it is there or not.
fn topic_operations(incoming: &Incoming, name: &str, asked: bool) -> i32 {
    match asked {
        true => incoming.authorized_operations(Resource::Topic(name)),
        false => NOT_ASKED,
    }
}

fn describe(
    incoming: &Incoming,
    state: &State,
    topic: &Topic,
    operations: bool,
) -> MetadataResponseTopic {
    let operations = topic_operations(incoming, &topic.name, operations);
    MetadataResponseTopic::default()
        .with_name(Some(StrBytes::from_string(topic.name.clone()).into()))
        .with_topic_id(topic.id)
        .with_is_internal(topic.is_internal())
        .with_partitions(
            topic
                .partitions
                .iter()
                .map(|partition| leader(incoming, state, partition))
                .collect(),
        )
        .with_topic_authorized_operations(operations)
}

fn leader(incoming: &Incoming, state: &State, partition: &Partition) -> MetadataResponsePartition {
    let leadership = partition.lock().leadership.clone();
    let listed = |node_id: &i32| state.registered.contains(node_id);
    let error = match leadership.leader {
        -1 => ResponseError::LeaderNotAvailable.code(),
        leader if incoming.version == 0 && !listed(&leader) => {
            ResponseError::LeaderNotAvailable.code()
        }
        _ => 0,
    };
    let offline = |node_id: &i32| !listed(node_id);
    MetadataResponsePartition::default()
        .with_error_code(error)
        .with_partition_index(partition.index)
        .with_leader_id(leadership.leader.into())
        .with_leader_epoch(leadership.epoch)
        .with_offline_replicas(
            leadership
                .replicas
                .iter()
                .copied()
                .filter(offline)
                .map(Into::into)
                .collect(),
        )
        .with_replica_nodes(leadership.replicas.into_iter().map(Into::into).collect())
        .with_isr_nodes(leadership.isr.into_iter().map(Into::into).collect())
}
