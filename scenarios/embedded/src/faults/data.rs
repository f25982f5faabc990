//! Faults of the data itself: what retention, administrators, the cleaner and disks do to a log.

use std::sync::Arc;

use kafka_protocol::messages::ApiKey;

use super::{Effect, Fault, FaultHandle};
use crate::brokers::{BrokerError, find, out_of_range};
use crate::cluster::EmbeddedCluster;
use crate::elections;
use crate::state::{Partition, Topic};

impl EmbeddedCluster {
    /// Retention removes the batches below `to`, whoever has not read them yet; a batch that holds `to` stays whole. Returns the
    /// log's new start.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`]; [`BrokerError::OutOfRange`] for an offset outside of the log.
    pub fn expire_records(&self, topic: &str, partition: i32, to: i64) -> Result<i64, BrokerError> {
        let (_, found) = find(self.shared(), topic, partition)?;
        let whole = {
            let data = found.lock();
            let bases = data
                .log
                .batches()
                .filter_map(|bytes| bytes.first_chunk::<8>());
            let bases = bases.map(|base| i64::from_be_bytes(*base));
            // At the end nothing stays.
            match to >= data.log.end_offset() {
                true => to,
                false => bases.take_while(|base| *base <= to).last().unwrap_or(to),
            }
        };
        let start = found.lock().log.start_offset();
        self.delete_records(topic, partition, whole.max(start))
    }

    /// DeleteRecords: the log starts at `before` (-1: at the high watermark), even within a batch. Returns its new start.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`]; [`BrokerError::OutOfRange`] past the high watermark.
    pub fn delete_records(
        &self,
        topic: &str,
        partition: i32,
        before: i64,
    ) -> Result<i64, BrokerError> {
        let (_, found) = find(self.shared(), topic, partition)?;
        let result = {
            let mut data = found.lock();
            let range = (data.log.start_offset(), data.log.high_watermark());
            let result = data.log.delete_records(before);
            result.map_err(|_| out_of_range(topic, partition, before, range))
        };
        found.wake();
        result
    }

    /// Deletes a topic and creates it again with the same name, partitions, replicas and configuration: another topic id, empty
    /// logs, leader epochs from 0.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`] if there is no such topic.
    pub fn recreate_topic(&self, topic: &str) -> Result<(), BrokerError> {
        let mut state = self.shared().state();
        let Some(old) = state.remove(topic) else {
            return Err(BrokerError::UnknownPartition {
                topic: topic.to_owned(),
                partition: 0,
            });
        };
        let partitions = old.partitions.iter().map(|partition| {
            let replicas = partition.lock().leadership.replicas.clone();
            Arc::new(Partition::new(partition.index, replicas))
        });
        let new = Topic {
            id: uuid::Uuid::new_v4(),
            partitions: partitions.collect(),
            ..Topic::clone(&old)
        };
        state.put(new);
        elections::place(&mut state, topic);
        Ok(())
    }

    /// The cleaner compacts all partitions of a topic now, also what it would leave for later (the active segment is rolled first),
    /// by the rules of docs/spec/real-kafka.md 5.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`] if there is no such topic.
    pub fn compact_now(&self, topic: &str) -> Result<(), BrokerError> {
        let (found, _) = find(self.shared(), topic, 0)?;
        let now_ms = self.shared().clock.now_ms();
        for partition in &found.partitions {
            partition.lock().log.compact(&found.settings, now_ms, true);
            partition.wake();
        }
        Ok(())
    }

    /// Damages the stored batch that holds an offset, for good, as a bad disk does: its checksum does not hold any more, and who
    /// fetches it gets it all the same. For damage on the way, once or for a time: [`Effect::CorruptBytes`], or
    /// [`EmbeddedCluster::corrupt_once`].
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`]; [`BrokerError::OutOfRange`] if no batch holds it.
    pub fn corrupt(&self, topic: &str, partition: i32, offset: i64) -> Result<(), BrokerError> {
        let (_, found) = find(self.shared(), topic, partition)?;
        let mut data = found.lock();
        match data.log.corrupt(offset) {
            true => Ok(()),
            false => {
                let range = (data.log.start_offset(), data.log.end_offset());
                Err(out_of_range(topic, partition, offset, range))
            }
        }
    }

    /// Damages what the next Fetch of a partition gets; the log stays sound.
    pub fn corrupt_once(&self, topic: &str, partition: i32) -> FaultHandle {
        let fault = Fault::new(Effect::CorruptBytes).on_api(ApiKey::Fetch);
        self.inject(fault.on_partition(topic, partition).times(1))
    }
}
