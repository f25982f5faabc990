//! Which brokers hold a partition.

use kafka_protocol::error::ResponseError;

use super::{Refusal, refusal};
use crate::state::State;

/// Places `count` partitions from index `first` on, each next one a broker further; brokers that are down come last.
///
/// # Errors
/// INVALID_REPLICATION_FACTOR if there are too few brokers.
pub(crate) fn spread(
    state: &State,
    first: usize,
    count: i32,
    replicas: i16,
) -> Result<Vec<Vec<i32>>, Refusal> {
    let wanted = usize::try_from(replicas).unwrap_or(0);
    let up: Vec<i32> = state.up().collect();
    let known = state.brokers.keys().copied();
    let down: Vec<i32> = known.filter(|node_id| !up.contains(node_id)).collect();
    let registered = up.len() + down.len();
    if wanted > registered {
        return refusal(
            ResponseError::InvalidReplicationFactor,
            format!(
                "Unable to replicate the partition {replicas} time(s): The target replication factor of {replicas} cannot be reached because only {registered} broker(s) are registered or some brokers have all their log directories cordoned."
            ),
        );
    }
    if up.is_empty() {
        return refusal(
            ResponseError::InvalidReplicationFactor,
            format!(
                "Unable to replicate the partition {replicas} time(s): All brokers are currently fenced or have all their log directories cordoned."
            ),
        );
    }
    // Topics start at different brokers, so that one-partition topics do not all end up on the first.
    let start = state.topics.len() + first;
    let place = |index: usize| {
        let around = (0..up.len()).filter_map(|step| up.get((start + index + step) % up.len()));
        around.chain(&down).copied().take(wanted).collect()
    };
    Ok((0..usize::try_from(count).unwrap_or(0))
        .map(place)
        .collect())
}

/// Judges the replicas that somebody chose for a partition. `replicas`: how many the other partitions have.
///
/// # Errors
/// INVALID_REPLICA_ASSIGNMENT.
pub(crate) fn check(state: &State, chosen: &[i32], replicas: Option<usize>) -> Result<(), Refusal> {
    let wrong = |message: String| refusal(ResponseError::InvalidReplicaAssignment, message);
    if chosen.is_empty() {
        return wrong("The manual partition assignment includes an empty replica list.".to_owned());
    }
    let mut sorted = chosen.to_vec();
    sorted.sort_unstable();
    for (node_id, next) in sorted
        .iter()
        .zip(sorted.iter().skip(1).map(Some).chain([None]))
    {
        if !state.brokers.contains_key(node_id) {
            return wrong(format!(
                "The manual partition assignment includes broker {node_id}, but no such broker is registered."
            ));
        }
        if next == Some(node_id) {
            return wrong(format!(
                "The manual partition assignment includes the broker {node_id} more than once."
            ));
        }
    }
    match replicas {
        Some(replicas) if replicas != chosen.len() => wrong(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not consistent with previous partitions, which have {replicas} replica(s).",
            chosen.len()
        )),
        _ => Ok(()),
    }
}

/// Judges that at least one of the chosen replicas can lead.
///
/// # Errors
/// INVALID_REPLICA_ASSIGNMENT.
pub(super) fn check_leader(state: &State, chosen: &[i32], partition: usize) -> Result<(), Refusal> {
    if state.up().any(|node_id| chosen.contains(&node_id)) {
        return Ok(());
    }
    refusal(
        ResponseError::InvalidReplicaAssignment,
        format!(
            "All brokers specified in the manual partition assignment for partition {partition} are fenced or in controlled shutdown."
        ),
    )
}
