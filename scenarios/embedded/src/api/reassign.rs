//! ElectLeaders and reassignment: which brokers hold a partition, and which one leads it.
//!
//! All replicas share one log, so a reassignment is done when it is answered: none is ever under way.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ElectLeadersRequest,
    ElectLeadersResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::topics::{Refusal, placement};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{PartitionData, State};

/// Kinds of elections (KIP-460).
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// ElectLeaders: the preferred replica, or any that is alive, takes over.
pub(crate) async fn elect_leaders(
    incoming: &Incoming,
    request: ElectLeadersRequest,
) -> Result<ElectLeadersResponse, Closed> {
    let refused =
        |error: ResponseError| Ok(ElectLeadersResponse::default().with_error_code(error.code()));
    if !incoming.may(Operation::Alter, Resource::Cluster) {
        return refused(ResponseError::ClusterAuthorizationFailed);
    }
    // Version 0 knows preferred elections only.
    let kind = if incoming.version == 0 {
        PREFERRED
    } else {
        request.election_type
    };
    if !matches!(kind, PREFERRED | UNCLEAN) {
        return refused(ResponseError::InvalidRequest);
    }
    let state = incoming.shared.state();
    let asked: Vec<(String, Vec<i32>)> = match &request.topic_partitions {
        Some(topics) => topics
            .iter()
            .map(|topic| (topic.topic.to_string(), topic.partitions.clone()))
            .collect(),
        None => state
            .topics
            .values()
            .map(|topic| {
                let indexes = topic.partitions.iter().map(|partition| partition.index);
                (topic.name.clone(), indexes.collect())
            })
            .collect(),
    };
    let all = request.topic_partitions.is_none();
    let results = asked.into_iter().map(|(topic, indexes)| {
        let rows = indexes.into_iter().filter_map(|index| {
            let result = elect(&state, &topic, index, kind);
            let unneeded = matches!(result, Err((ResponseError::ElectionNotNeeded, _)));
            if all && unneeded {
                return None;
            }
            let row = PartitionResult::default().with_partition_id(index);
            Some(match result {
                Ok(()) => row.with_error_message(None),
                Err((error, message)) => row
                    .with_error_code(error.code())
                    .with_error_message(message.map(StrBytes::from_string)),
            })
        });
        ReplicaElectionResult::default()
            .with_partition_result(rows.collect())
            .with_topic(StrBytes::from_string(topic).into())
    });
    Ok(ElectLeadersResponse::default().with_replica_election_results(results.collect()))
}

fn elect(state: &State, topic: &str, index: i32, kind: i8) -> Result<(), Refusal> {
    let refuse = |error, message: String| Err((error, Some(message)));
    let Some(topic) = state.topic(topic) else {
        return refuse(
            ResponseError::UnknownTopicOrPartition,
            format!("No such topic as {topic}"),
        );
    };
    let Some(partition) = topic.partition(index) else {
        return refuse(
            ResponseError::UnknownTopicOrPartition,
            format!("No such partition as {}-{index}", topic.name),
        );
    };
    let mut data = partition.lock();
    let leadership = &data.leadership;
    let up = |node_id: &i32| state.up().any(|other| other == *node_id);
    let preferred = leadership.replicas.first().copied();
    let needed = match kind {
        PREFERRED => preferred != Some(leadership.leader),
        _ => leadership.leader < 0,
    };
    if !needed {
        return refuse(
            ResponseError::ElectionNotNeeded,
            "Leader election not needed for topic partition.".to_owned(),
        );
    }
    let in_sync = |node_id: &i32| leadership.isr.contains(node_id) && up(node_id);
    let next = match kind {
        PREFERRED => preferred.filter(in_sync),
        _ => {
            let mut replicas = leadership.replicas.iter().copied();
            let safe = replicas.clone().find(in_sync);
            safe.or_else(|| replicas.find(up))
        }
    };
    let Some(next) = next else {
        return match kind {
            PREFERRED => refuse(
                ResponseError::PreferredLeaderNotAvailable,
                "The preferred leader was not available.".to_owned(),
            ),
            _ => refuse(
                ResponseError::EligibleLeadersNotAvailable,
                "Eligible topic partition leaders are not available.".to_owned(),
            ),
        };
    };
    if !data.leadership.isr.contains(&next) {
        data.leadership.isr = vec![next];
    }
    lead(&mut data, next);
    drop(data);
    partition.wake();
    Ok(())
}

/// Another broker leads, in an epoch of its own.
fn lead(data: &mut PartitionData, leader: i32) {
    data.leadership.leader = leader;
    data.leadership.epoch = data.leadership.epoch.saturating_add(1);
    data.log.begin_epoch(data.leadership.epoch);
}

/// AlterPartitionReassignments (KIP-455).
pub(crate) async fn alter_partition_reassignments(
    incoming: &Incoming,
    request: AlterPartitionReassignmentsRequest,
) -> Result<AlterPartitionReassignmentsResponse, Closed> {
    let response = AlterPartitionReassignmentsResponse::default().with_error_message(None);
    if !incoming.may(Operation::Alter, Resource::Cluster) {
        let error = ResponseError::ClusterAuthorizationFailed.code();
        return Ok(response.with_error_code(error));
    }
    // Version 0 cannot forbid it.
    let may_resize = incoming.version == 0 || request.allow_replication_factor_change;
    let state = incoming.shared.state();
    let topics = request.topics.into_iter().map(|topic| {
        let rows = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            let row = ReassignablePartitionResponse::default().with_partition_index(index);
            let target = partition.replicas.as_ref();
            let target = target.map(|target| target.iter().map(|id| id.0).collect::<Vec<_>>());
            match reassign(&state, &topic.name, index, target, may_resize) {
                Ok(()) => row.with_error_message(None),
                Err((error, message)) => row
                    .with_error_code(error.code())
                    .with_error_message(message.map(StrBytes::from_string)),
            }
        });
        ReassignableTopicResponse::default()
            .with_partitions(rows.collect())
            .with_name(topic.name.clone())
    });
    Ok(response
        .with_allow_replication_factor_change(may_resize)
        .with_responses(topics.collect()))
}

/// `target`: the replicas from now on; `None` asks to stop a reassignment.
fn reassign(
    state: &State,
    topic: &str,
    index: i32,
    target: Option<Vec<i32>>,
    may_resize: bool,
) -> Result<(), Refusal> {
    let unknown = |message: String| Err((ResponseError::UnknownTopicOrPartition, Some(message)));
    let Some(topic) = state.topic(topic) else {
        return unknown(format!("Unable to find a topic named {topic}."));
    };
    let Some(partition) = topic.partition(index) else {
        return unknown(format!("Unable to find partition {}:{index}.", topic.name));
    };
    let Some(target) = target else {
        return Err((ResponseError::NoReassignmentInProgress, None));
    };
    placement::check(state, &target, None)?;
    let mut data = partition.lock();
    let before = data.leadership.replicas.len();
    if !may_resize && before != target.len() {
        let message = format!(
            "The replication factor is changed from {before} to {}",
            target.len()
        );
        return Err((ResponseError::InvalidReplicationFactor, Some(message)));
    }
    let isr: Vec<i32> = {
        let up: Vec<i32> = state.up().collect();
        target
            .iter()
            .copied()
            .filter(|node_id| up.contains(node_id))
            .collect()
    };
    let Some(next) = isr.first().copied() else {
        let message = format!(
            "All brokers specified in the manual partition assignment for partition {index} are fenced or in controlled shutdown."
        );
        return Err((ResponseError::InvalidReplicaAssignment, Some(message)));
    };
    data.leadership.replicas = target;
    if !isr.contains(&data.leadership.leader) {
        lead(&mut data, next);
    }
    data.leadership.isr = isr;
    drop(data);
    partition.wake();
    Ok(())
}

/// ListPartitionReassignments: none is under way.
pub(crate) async fn list_partition_reassignments(
    incoming: &Incoming,
    _request: ListPartitionReassignmentsRequest,
) -> Result<ListPartitionReassignmentsResponse, Closed> {
    let response = ListPartitionReassignmentsResponse::default().with_error_message(None);
    if !incoming.may(Operation::Describe, Resource::Cluster) {
        let error = ResponseError::ClusterAuthorizationFailed.code();
        return Ok(response.with_error_code(error));
    }
    Ok(response)
}
