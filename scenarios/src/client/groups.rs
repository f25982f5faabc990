//! Committed offsets of consumer groups.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::{KafkaClient, REQUEST_PATIENCE, consumer};
use crate::error::refused;
use crate::{Error, await_that};

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

/// A consumer in a group, until it is dropped.
pub struct Member {
    consumer: BaseConsumer,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").finish_non_exhaustive()
    }
}

impl KafkaClient {
    /// Joins a group with a subscription, and waits until it has partitions.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it gets none within `patience`.
    pub fn join(&self, group: &str, topic: &str, patience: Duration) -> Result<Member, Error> {
        let settings = [("group.id", group), ("session.timeout.ms", "6000")];
        let consumer = consumer(&self.bootstrap, &settings)?;
        let what = format!("group {group} gets partitions of {topic}");
        consumer
            .subscribe(&[topic])
            .map_err(refused(what.clone()))?;
        await_that(&what, patience, || {
            drop(consumer.poll(Duration::from_millis(50)));
            consumer.assignment().is_ok_and(|list| list.count() > 0)
        })?;
        Ok(Member { consumer })
    }
}

impl Member {
    /// Leaves the group.
    pub fn leave(self) {
        self.consumer.unsubscribe();
    }
}

pub(super) fn offset_list(topic: &str, offsets: &[(i32, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
    }
    Ok(list)
}
