//! Committed offsets of consumer groups.

use std::collections::BTreeMap;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaClient, REQUEST_PATIENCE, consumer};
use crate::Error;
use crate::error::refused;

impl KafkaClient {
    /// Commits `(partition, offset)` for a group without members; creates the group if need be.
    ///
    /// # Errors
    /// [`Error::Kafka`]: the group has members, or no coordinator answers.
    pub fn commit_offsets(
        &self,
        group: &str,
        topic: &str,
        offsets: &[(i32, i64)],
    ) -> Result<(), Error> {
        let what = || refused(format!("commit offsets of group {group} on topic {topic}"));
        let consumer = consumer(&self.bootstrap, &[("group.id", group)])?;
        let offsets = offset_list(topic, offsets).map_err(what())?;
        consumer.commit(&offsets, CommitMode::Sync).map_err(what())
    }

    /// The committed offset of every partition of `topic` for which the group has one.
    ///
    /// # Errors
    /// [`Error::Kafka`] if no coordinator answers.
    pub fn committed(&self, group: &str, topic: &str) -> Result<BTreeMap<i32, i64>, Error> {
        let what = || refused(format!("read offsets of group {group} on topic {topic}"));
        let consumer = consumer(&self.bootstrap, &[("group.id", group)])?;
        let partitions = i32::try_from(self.leaders(topic)?.len()).unwrap_or(i32::MAX);
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_range(topic, 0, partitions.saturating_sub(1));
        let found = consumer
            .committed_offsets(wanted, REQUEST_PATIENCE)
            .map_err(what())?;
        let elements = found.elements();
        let known = elements
            .iter()
            .filter_map(|e| Some((e.partition(), e.offset().to_raw()?)));
        Ok(known.filter(|(_, offset)| *offset >= 0).collect())
    }
}

pub(super) fn offset_list(topic: &str, offsets: &[(i32, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}
