//! The cluster as tools ask about it: its brokers, its quorum, its log directories.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse, DescribeQuorumRequest, DescribeQuorumResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{Place, State, Status};

/// The name that stands for memory where a broker names a directory.
pub(super) const LOG_DIR: &str = "/memory";

/// Stands for "not asked" in the bit fields of authorized operations.
const NOT_ASKED: i32 = i32::MIN;

/// What anybody may do with the cluster without an authorizer, as a bit field.
const ALL_OPERATIONS: i32 = 8096;

/// Types of endpoints (KIP-919).
const OF_BROKERS: i8 = 1;
const OF_CONTROLLERS: i8 = 2;

/// The one partition of a KRaft quorum's log.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// DescribeCluster (KIP-700).
pub(crate) async fn describe_cluster(
    incoming: &Incoming,
    request: DescribeClusterRequest,
) -> Result<DescribeClusterResponse, Closed> {
    let empty = DescribeClusterResponse::default()
        .with_endpoint_type(OF_BROKERS)
        .with_controller_id((-1).into())
        .with_cluster_authorized_operations(NOT_ASKED);
    let refused = |error: ResponseError, message: String| {
        let message = Some(StrBytes::from_string(message));
        Ok(empty
            .clone()
            .with_error_code(error.code())
            .with_error_message(message))
    };
    // Version 0 cannot ask for controllers.
    match request.endpoint_type {
        _ if incoming.version == 0 => {}
        OF_BROKERS => {}
        OF_CONTROLLERS => {
            let message = "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER";
            return refused(ResponseError::MismatchedEndpointType, message.to_owned());
        }
        other => {
            let message = format!("Unsupported endpoint type {other}");
            return refused(ResponseError::UnsupportedEndpointType, message);
        }
    }
    let state = incoming.shared.state();
    let row = |place: Place, fenced: bool| {
        DescribeClusterBroker::default()
            .with_broker_id(place.node_id.into())
            .with_host(place.host)
            .with_port(place.port)
            .with_rack(place.rack)
            .with_is_fenced(fenced)
    };
    let places = state.places(incoming.listener);
    let mut brokers: Vec<_> = places.map(|place| row(place, false)).collect();
    if request.include_fenced_brokers {
        let others = state.brokers.values();
        let others = others.filter(|broker| !state.registered.contains(&broker.node_id));
        let places = others.filter_map(|broker| broker.place(incoming.listener));
        brokers.extend(places.map(|place| row(place, true)));
    }
    let operations = match request.include_cluster_authorized_operations {
        true => ALL_OPERATIONS,
        false => NOT_ASKED,
    };
    Ok(empty
        .clone()
        .with_error_message(None)
        .with_cluster_id(StrBytes::from_string(incoming.shared.cluster_id.clone()))
        .with_controller_id(state.controller.into())
        .with_brokers(brokers)
        .with_cluster_authorized_operations(operations))
}

/// DescribeQuorum (KIP-595): every broker is a voter, the controller leads, and the metadata log has no length worth telling.
pub(crate) async fn describe_quorum(
    incoming: &Incoming,
    request: DescribeQuorumRequest,
) -> Result<DescribeQuorumResponse, Closed> {
    if !incoming.may(Operation::Describe, Resource::Cluster) {
        let error = ResponseError::ClusterAuthorizationFailed;
        return Ok(DescribeQuorumResponse::default().with_error_code(error.code()));
    }
    let state = incoming.shared.state();
    let now_ms = incoming.shared.clock.now_ms();
    let mut known = false;
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let row = PartitionData::default().with_partition_index(partition.partition_index);
            if *topic.topic_name.0 != *METADATA_TOPIC || partition.partition_index != 0 {
                let message = "This server does not host this topic-partition.";
                return row
                    .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                    .with_error_message(Some(StrBytes::from_static_str(message)));
            }
            known = true;
            let voters = state.brokers.keys().map(|node_id| {
                let voter = ReplicaState::default()
                    .with_replica_id((*node_id).into())
                    .with_log_end_offset(1);
                match incoming.version {
                    0 => voter,
                    _ => voter
                        .with_last_fetch_timestamp(now_ms)
                        .with_last_caught_up_timestamp(now_ms),
                }
            });
            row.with_leader_id(state.controller.into())
                .with_leader_epoch(1)
                .with_high_watermark(1)
                .with_error_message(Some(StrBytes::default()))
                .with_current_voters(voters.collect())
        });
        TopicData::default()
            .with_partitions(partitions.collect())
            .with_topic_name(topic.topic_name.clone())
    });
    let topics = topics.collect();
    let response = DescribeQuorumResponse::default()
        .with_error_message(Some(StrBytes::default()))
        .with_topics(topics);
    // Older versions have no place for them.
    match known && incoming.version >= 2 {
        true => Ok(response.with_nodes(nodes(incoming, &state))),
        false => Ok(response),
    }
}

fn nodes(incoming: &Incoming, state: &State) -> Vec<Node> {
    let places = { state.brokers.values() }.filter_map(|broker| broker.place(incoming.listener));
    let nodes = places.map(|place| {
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("CONTROLLER"))
            .with_host(place.host)
            .with_port(u16::try_from(place.port).unwrap_or_default());
        Node::default()
            .with_node_id(place.node_id.into())
            .with_listeners(vec![listener])
    });
    nodes.collect()
}

/// DescribeLogDirs: sizes of the replicas that this broker holds. All replicas share one log, so nothing ever lags.
pub(crate) async fn describe_log_dirs(
    incoming: &Incoming,
    request: DescribeLogDirsRequest,
) -> Result<DescribeLogDirsResponse, Closed> {
    if !incoming.may(Operation::Describe, Resource::Cluster) {
        let error = ResponseError::ClusterAuthorizationFailed.code();
        return Ok(DescribeLogDirsResponse::default().with_error_code(error));
    }
    let state = incoming.shared.state();
    let up = state
        .brokers
        .get(&incoming.node_id)
        .is_some_and(|broker| broker.status == Status::Up);
    let wanted: Option<BTreeMap<&TopicName, Vec<i32>>> = request.topics.as_ref().map(|topics| {
        let mut wanted: BTreeMap<&TopicName, Vec<i32>> = BTreeMap::new();
        for topic in topics {
            wanted
                .entry(&topic.topic)
                .or_default()
                .extend(&topic.partitions);
        }
        wanted
    });
    let mut total_bytes = 0_u64;
    let mut rows = Vec::new();
    for (name, topic) in state.topics.iter().filter(|_| up) {
        let name = TopicName(StrBytes::from_string(name.clone()));
        let indexes = wanted.as_ref().map(|wanted| wanted.get(&name));
        let asked = |index: i32| match indexes {
            None => true,
            Some(indexes) => indexes.is_some_and(|indexes| indexes.contains(&index)),
        };
        let mut partitions = Vec::new();
        for partition in &topic.partitions {
            let data = partition.lock();
            if !data.leadership.replicas.contains(&incoming.node_id) {
                continue;
            }
            let bytes = data.log.bytes();
            total_bytes = total_bytes.saturating_add(bytes);
            if asked(partition.index) {
                partitions.push(
                    DescribeLogDirsPartition::default()
                        .with_partition_index(partition.index)
                        .with_partition_size(i64::try_from(bytes).unwrap_or(i64::MAX)),
                );
            }
        }
        if !partitions.is_empty() {
            rows.push(
                DescribeLogDirsTopic::default()
                    .with_name(name)
                    .with_partitions(partitions),
            );
        }
    }
    let directory = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_static_str(LOG_DIR))
        .with_topics(rows)
        .with_total_bytes(i64::try_from(total_bytes).unwrap_or(i64::MAX))
        // Memory has no disk's end: -1 is "not known".
        .with_usable_bytes(-1);
    Ok(DescribeLogDirsResponse::default().with_results(vec![directory]))
}
