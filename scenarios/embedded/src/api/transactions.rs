//! The APIs of transactional and idempotent producers, and of those who look after them.

mod add;
mod admission;
mod describe;
mod markers;
mod own;
#[cfg(test)]
mod tests;

use kafka_protocol::error::ResponseError;

use crate::server::Incoming;

pub(super) use add::{add_offsets_to_txn, add_partitions_to_txn};
pub(super) use admission::admit_offsets;
pub(super) use admission::{Admission, Denied, Refusal, admit, check_transactional};
pub(super) use describe::{describe_producers, describe_transactions, list_transactions};
pub(super) use markers::write_txn_markers;
pub(super) use own::{end_txn, init_producer_id};

use super::coordinators::{TRANSACTIONS_TOPIC, coordinated_here};

/// Clients below `since` do not know PRODUCER_FENCED (90) and are told INVALID_PRODUCER_EPOCH (47).
fn for_client(incoming: &Incoming, since: i16, error: ResponseError) -> ResponseError {
    match error {
        ResponseError::ProducerFenced if incoming.version < since => {
            ResponseError::InvalidProducerEpoch
        }
        other => other,
    }
}

/// NOT_COORDINATOR (16) unless the broker that was asked coordinates this id.
fn check_coordinator(incoming: &Incoming, transactional_id: &str) -> Result<(), ResponseError> {
    coordinated_here(incoming, TRANSACTIONS_TOPIC, transactional_id).map(|_| ())
}
