//! Topics: create, grow, delete, list, describe.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::admin::{
    AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;

use super::{KafkaClient, REQUEST_PATIENCE, options};
use crate::error::refused;
use crate::{Error, await_ok, await_that};

impl KafkaClient {
    /// Creates a topic and waits until every partition has a leader.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code, for instance when the topic exists.
    pub fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        replication_factor: i32,
        configs: &[(&str, &str)],
    ) -> Result<(), Error> {
        let mut order = NewTopic::new(
            topic,
            partitions,
            TopicReplication::Fixed(replication_factor),
        );
        for (key, value) in configs {
            order = order.set(key, value);
        }
        let answer = self.wait(self.admin.create_topics([&order], &options()));
        first(answer).map_err(refused(format!("create topic {topic}")))?;
        self.await_leaders(topic, partitions)
    }

    /// Raises the number of partitions to `total` and waits until every partition has a leader.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn create_partitions(&self, topic: &str, total: i32) -> Result<(), Error> {
        let count = usize::try_from(total).unwrap_or_default();
        let order = NewPartitions::new(topic, count);
        let answer = self.wait(self.admin.create_partitions([&order], &options()));
        first(answer).map_err(refused(format!("create partitions of topic {topic}")))?;
        self.await_leaders(topic, total)
    }

    /// Deletes a topic and waits until the cluster does not list it.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        self.forget_producers();
        let answer = self.wait(self.admin.delete_topics(&[topic], &options()));
        first(answer).map_err(refused(format!("delete topic {topic}")))?;
        await_that(&format!("end of topic {topic}"), REQUEST_PATIENCE, || {
            self.topics().is_ok_and(|topics| !topics.contains(topic))
        })
    }

    /// Deletes the records below the given offsets: `(partition, first offset to keep)`.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn delete_records(&self, topic: &str, before: &[(i32, i64)]) -> Result<(), Error> {
        let what = || refused(format!("delete records of topic {topic}"));
        let offsets = super::groups::offset_list(topic, before).map_err(what())?;
        let answer = self
            .wait(self.admin.delete_records(&offsets, &options()))
            .map_err(what())?;
        for element in answer.elements() {
            element.error().map_err(what())?;
        }
        Ok(())
    }

    /// All topics, internal ones included.
    ///
    /// # Errors
    /// [`Error::Kafka`] if no broker answers.
    pub fn topics(&self) -> Result<BTreeSet<String>, Error> {
        let metadata = self.lookup.fetch_metadata(None, REQUEST_PATIENCE);
        let metadata = metadata.map_err(refused("list topics"))?;
        Ok(metadata
            .topics()
            .iter()
            .map(|topic| topic.name().to_owned())
            .collect())
    }

    /// The leader of every partition, in order; -1 where there is none. Empty: no such topic.
    ///
    /// # Errors
    /// [`Error::Kafka`] if no broker answers.
    pub fn leaders(&self, topic: &str) -> Result<Vec<i32>, Error> {
        let metadata = self.lookup.fetch_metadata(Some(topic), REQUEST_PATIENCE);
        let metadata = metadata.map_err(refused(format!("describe topic {topic}")))?;
        let partitions = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions());
        let leaders: BTreeMap<i32, i32> = partitions.map(|p| (p.id(), p.leader())).collect();
        Ok(leaders.into_values().collect())
    }

    /// The configuration entries that were set on the topic itself (source `DYNAMIC_TOPIC_CONFIG`).
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn topic_config(&self, topic: &str) -> Result<BTreeMap<String, String>, Error> {
        let answer = self.wait(
            self.admin
                .describe_configs([&ResourceSpecifier::Topic(topic)], &options()),
        );
        let resource = answer.and_then(|all| match all.into_iter().next() {
            Some(result) => result.map_err(KafkaError::AdminOp),
            None => Err(KafkaError::AdminOp(
                RDKafkaErrorCode::UnknownTopicOrPartition,
            )),
        });
        let resource = resource.map_err(refused(format!("describe configs of topic {topic}")))?;
        let own = resource.entries.into_iter();
        let own = own.filter(|entry| matches!(entry.source, ConfigSource::DynamicTopic));
        Ok(own
            .map(|entry| (entry.name, entry.value.unwrap_or_default()))
            .collect())
    }

    /// Replaces all configuration entries of the topic by these (AlterConfigs: what is not named is removed).
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn set_topic_config(&self, topic: &str, configs: &[(&str, &str)]) -> Result<(), Error> {
        let mut order = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in configs {
            order = order.set(key, value);
        }
        let answer = self.wait(self.admin.alter_configs([&order], &options()));
        let result = answer.and_then(|all| match all.into_iter().next() {
            Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
            _ => Ok(()),
        });
        result.map_err(refused(format!("alter configs of topic {topic}")))
    }

    /// The log end (high watermark) of every partition, in order.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn end_offsets(&self, topic: &str) -> Result<Vec<i64>, Error> {
        Ok(self
            .watermarks(topic)?
            .into_iter()
            .map(|(_, end)| end)
            .collect())
    }

    /// Log start and log end (high watermark) of every partition, in order.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the broker's code.
    pub fn watermarks(&self, topic: &str) -> Result<Vec<(i64, i64)>, Error> {
        let mut found = Vec::new();
        for partition in 0..self.leaders(topic)?.len() {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            let bounds = self
                .lookup
                .fetch_watermarks(topic, partition, REQUEST_PATIENCE);
            found.push(bounds.map_err(refused(format!("find the ends of {topic}-{partition}")))?);
        }
        Ok(found)
    }

    /// Waits until the topic has `partitions` partitions and each has a leader.
    fn await_leaders(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        let what = format!("leaders of the {partitions} partitions of topic {topic}");
        await_ok(&what, REQUEST_PATIENCE, || match self.leaders(topic) {
            Ok(leaders)
                if i32::try_from(leaders.len()) == Ok(partitions)
                    && leaders.iter().all(|leader| *leader >= 0) =>
            {
                Ok(())
            }
            Ok(leaders) => Err(format!("leaders {leaders:?}")),
            Err(error) => Err(format!("{error:?}")),
        })
    }
}

/// The only result of a request about one topic.
fn first(answer: KafkaResult<Vec<Result<String, (String, RDKafkaErrorCode)>>>) -> KafkaResult<()> {
    match answer?.into_iter().next() {
        Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
        _ => Ok(()),
    }
}
