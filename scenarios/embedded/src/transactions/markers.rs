//! Control batches: how a partition learns that a transaction has ended.

use kafka_protocol::error::ResponseError;

use super::{Producer, TopicPartition};
use crate::api::coordinators::OFFSETS_TOPIC;
use crate::cluster::Shared;
use crate::state::{Partition, Topic};

/// Writes a marker if that can be done now; also true if there is nothing left to write to. False: try again later.
pub(super) fn written(
    shared: &Shared,
    (topic, index): &TopicPartition,
    producer: Producer,
    commit: bool,
    coordinator_epoch: i32,
) -> bool {
    let found = {
        let state = shared.state();
        state.partition(topic, *index).map(|(topic, partition)| {
            let leader = partition.lock().leadership.leader;
            (topic, partition, state.is_up(leader))
        })
    };
    match found {
        Ok((_, _, false)) => false,
        Ok((topic, partition, true)) => {
            // A refusal means that a later epoch has been there: nothing of this transaction can follow.
            write(
                shared,
                &topic,
                &partition,
                producer,
                commit,
                coordinator_epoch,
            )
            .ok();
            true
        }
        // The topic is gone, and with it what the marker would end.
        Err(_) => true,
    }
}

/// Appends a marker, and applies or drops the offsets that a group has pending there.
///
/// # Errors
/// INVALID_PRODUCER_EPOCH (47) or TRANSACTION_COORDINATOR_FENCED (52) if the partition knows a later epoch.
pub(crate) fn write(
    shared: &Shared,
    topic: &Topic,
    partition: &Partition,
    producer: Producer,
    commit: bool,
    coordinator_epoch: i32,
) -> Result<(), ResponseError> {
    {
        let mut inner = partition.lock();
        let leader_epoch = inner.leadership.epoch;
        let now_ms = shared.clock.now_ms();
        inner.log.configure(&topic.settings);
        let offset = inner.log.append_marker(
            producer.id,
            producer.epoch,
            commit,
            coordinator_epoch,
            leader_epoch,
            now_ms,
        );
        if offset < 0 {
            let known = inner.log.producers().into_iter();
            let fenced = { known }
                .any(|known| known.producer_id == producer.id && producer.epoch < known.epoch);
            return Err(if fenced {
                ResponseError::InvalidProducerEpoch
            } else {
                ResponseError::TransactionCoordinatorFenced
            });
        }
    }
    if topic.name == OFFSETS_TOPIC {
        shared.groups.complete_transaction(producer.id, commit);
    }
    partition.wake();
    Ok(())
}
