//! Which broker coordinates a group or a transactional id.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator as Row;
use kafka_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;

use super::{INVALID_REQUEST_WORDS, topics};
use crate::cluster::Shared;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};

/// Commits and group metadata.
pub(crate) const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// States of transactions.
pub(crate) const TRANSACTIONS_TOPIC: &str = "__transaction_state";

/// Key types of FindCoordinator.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// Known, but not offered.
const SHARE: i8 = 2;

/// First version of FindCoordinator with many keys.
const MANY_KEYS: i16 = 4;

/// Most replicas of an internal topic if no server property says otherwise.
const REPLICAS: i16 = 3;

/// Partitions of an internal topic if no server property says otherwise.
const PARTITIONS: i32 = 50;

/// Who coordinates a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coordinator {
    pub(crate) node_id: i32,
    /// The leader epoch of the partition: another one means that somebody took over, who knows only what is in the log.
    pub(crate) epoch: i32,
    /// Of the internal topic.
    pub(crate) partition: i32,
}

/// The leader of the partition of `topic` that `key` belongs to. None: the topic does not exist (FindCoordinator creates it), or that
/// partition has no leader.
pub(crate) fn coordinator_of(shared: &Shared, topic: &str, key: &str) -> Option<Coordinator> {
    let partition = {
        let state = shared.state();
        let topic = state.topic(topic)?;
        let count = i32::try_from(topic.partitions.len()).ok()?;
        topic.partition(partition_of(key, count)?).cloned()?
    };
    let leadership = partition.lock().leadership.clone();
    (leadership.leader >= 0).then_some(Coordinator {
        node_id: leadership.leader,
        epoch: leadership.epoch,
        partition: partition.index,
    })
}

/// The coordinator of `key`, if it is the broker that was asked.
///
/// # Errors
/// NOT_COORDINATOR (16), also as long as the internal topic does not exist.
pub(crate) fn coordinated_here(
    incoming: &Incoming,
    topic: &str,
    key: &str,
) -> Result<Coordinator, ResponseError> {
    coordinator_of(&incoming.shared, topic, key)
        .filter(|coordinator| coordinator.node_id == incoming.node_id)
        .ok_or(ResponseError::NotCoordinator)
}

/// `abs(key.hashCode()) % count` as Java counts: over UTF-16, and the absolute value of the least number is 0.
fn partition_of(key: &str, count: i32) -> Option<i32> {
    let hash = key.encode_utf16().fold(0_i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    hash.checked_abs().unwrap_or(0).checked_rem(count)
}

/// FindCoordinator. Creates the internal topic on first use; unlike a broker, which answers COORDINATOR_NOT_AVAILABLE until the
/// controller has done so, the answer is ready at once.
pub(crate) async fn find_coordinator(
    incoming: &Incoming,
    request: FindCoordinatorRequest,
) -> Result<FindCoordinatorResponse, Closed> {
    if incoming.version < MANY_KEYS {
        let row = find(incoming, request.key_type, request.key);
        let message = match ResponseError::try_from_code(row.error_code) {
            // A broker names the error here, and calls no error one.
            None => "NONE",
            Some(error) => words(error),
        };
        let message = Some(StrBytes::from_static_str(message));
        return Ok(FindCoordinatorResponse::default()
            .with_error_code(row.error_code)
            .with_error_message(message)
            .with_node_id(row.node_id)
            .with_host(row.host)
            .with_port(row.port));
    }
    let keys = request.coordinator_keys.into_iter();
    let rows = keys.map(|key| find(incoming, request.key_type, key));
    Ok(FindCoordinatorResponse::default().with_coordinators(rows.collect()))
}

fn find(incoming: &Incoming, key_type: i8, key: StrBytes) -> Row {
    let row = Row::default().with_key(key.clone());
    match locate(incoming, key_type, &key) {
        Ok((node_id, host, port)) => row
            .with_node_id(node_id.into())
            .with_host(StrBytes::from_string(host))
            .with_port(port),
        Err(error) => {
            // An unknown type is refused before the keys are looked at, with words.
            let known = matches!(key_type, GROUP | TRANSACTION | SHARE);
            let message = if known { "" } else { words(error) };
            row.with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_static_str(message)))
                .with_node_id((-1).into())
                .with_port(-1)
        }
    }
}

/// Kafka's words for what FindCoordinator refuses.
fn words(error: ResponseError) -> &'static str {
    match error {
        ResponseError::CoordinatorNotAvailable => "The coordinator is not available.",
        ResponseError::GroupAuthorizationFailed => "Group authorization failed.",
        ResponseError::TransactionalIdAuthorizationFailed => {
            "Transactional Id authorization failed."
        }
        _ => INVALID_REQUEST_WORDS,
    }
}

/// Node id, host and port on the listener that the client came by.
fn locate(
    incoming: &Incoming,
    key_type: i8,
    key: &str,
) -> Result<(i32, String, i32), ResponseError> {
    let topic = match key_type {
        GROUP if !incoming.may(Operation::Describe, Resource::Group(key)) => {
            return Err(ResponseError::GroupAuthorizationFailed);
        }
        TRANSACTION if !incoming.may(Operation::Describe, Resource::TransactionalId(key)) => {
            return Err(ResponseError::TransactionalIdAuthorizationFailed);
        }
        GROUP => OFFSETS_TOPIC,
        TRANSACTION => TRANSACTIONS_TOPIC,
        _ => return Err(ResponseError::InvalidRequest),
    };
    create_internal(&incoming.shared, topic);
    let unavailable = ResponseError::CoordinatorNotAvailable;
    let node_id = coordinator_of(&incoming.shared, topic, key)
        .ok_or(unavailable)?
        .node_id;
    let state = incoming.shared.state();
    let broker = state
        .registered()
        .find(|broker| broker.node_id == node_id)
        .ok_or(unavailable)?;
    let address = broker.addresses.get(incoming.listener).ok_or(unavailable)?;
    Ok((node_id, address.ip().to_string(), address.port().into()))
}

/// Creates an internal topic unless it is there or too few brokers are up for its replication factor.
///
/// Partition count and replication factor come from the server properties `offsets.topic.num.partitions` (50),
/// `offsets.topic.replication.factor`, `transaction.state.log.num.partitions` (50) and `transaction.state.log.replication.factor`.
/// Without a replication factor: 3 as in Kafka, or the number of brokers if that is less, where Kafka would wait for more.
fn create_internal(shared: &Shared, topic: &str) {
    let (partitions, replicas) = if topic == OFFSETS_TOPIC {
        (
            "offsets.topic.num.partitions",
            "offsets.topic.replication.factor",
        )
    } else {
        (
            "transaction.state.log.num.partitions",
            "transaction.state.log.replication.factor",
        )
    };
    let property = |key: &str| shared.settings.properties.get(key);
    let partitions = property(partitions)
        .and_then(|count| count.trim().parse().ok())
        .filter(|count| *count > 0)
        .unwrap_or(PARTITIONS);
    let brokers = i16::try_from(shared.settings.brokers).unwrap_or(REPLICAS);
    let replicas = property(replicas)
        .and_then(|count| count.trim().parse().ok())
        .filter(|count| *count > 0)
        .unwrap_or(REPLICAS.min(brokers));
    let mut state = shared.state();
    let up = state.up().count();
    if state.topic(topic).is_some() || usize::try_from(replicas).is_ok_and(|wanted| wanted > up) {
        return;
    }
    let configs = BTreeMap::from([
        ("cleanup.policy".to_owned(), "compact".to_owned()),
        ("compression.type".to_owned(), "producer".to_owned()),
        ("segment.bytes".to_owned(), "104857600".to_owned()),
    ]);
    let topic = topics::build(&state, topic, partitions, replicas, configs);
    state.put(topic);
}

#[cfg(test)]
mod tests {
    use super::partition_of;

    /// Values of Java's `Math.abs("...".hashCode()) % 50`, and the one string whose hash has no absolute value.
    #[test]
    fn keys_are_spread_as_java_spreads_them() {
        assert_eq!(partition_of("", 50), Some(0));
        assert_eq!(partition_of("a", 50), Some(97 % 50));
        assert_eq!(partition_of("group", 50), Some(98_629_247 % 50));
        assert_eq!(partition_of("polygenelubricants", 50), Some(0));
        assert_eq!(
            partition_of("é😀", 7),
            Some((233 * 961 + 55_357 * 31 + 56_832) % 7)
        );
        assert_eq!(partition_of("a", 0), None);
    }
}
