//! Offsets, epochs and producer ids.

use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, DescribeProducersRequest, InitProducerIdRequest, ListOffsetsRequest,
    OffsetForLeaderEpochRequest,
};

use super::admin::topic_name;
use super::{Cluster, ClusterError, Refusal};

/// The message crate defaults to 0, which a broker takes for a follower: "latest" would then lie
/// beyond the high watermark (`docs/spec/real-kafka.md` 11).
const CONSUMER: BrokerId = BrokerId(-1);
/// A debugging consumer: sees the log beyond the high watermark.
const DEBUGGER: BrokerId = BrokerId(-2);
pub(super) const LIST_OFFSETS_VERSION_MAX: i16 = 7;
const OFFSET_FOR_LEADER_EPOCH_VERSION_MAX: i16 = 4;
const INIT_PRODUCER_ID_VERSION_MAX: i16 = 4;
const DESCRIBE_PRODUCERS_VERSION_MAX: i16 = 0;
const NO_EPOCH: i32 = -1;

/// A place in a partition's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetAt {
    /// The first record that is still there.
    Earliest,
    /// Behind the last record that a consumer may read.
    Latest,
    /// Behind the last record of the leader's log, replicated or not.
    LogEnd,
    /// Behind the last record that no open transaction holds back.
    LastStable,
}

/// How ListOffsets says it: a timestamp, and who asks.
pub(super) fn wire_place(at: OffsetAt) -> (i64, BrokerId) {
    match at {
        OffsetAt::Earliest => (-2, CONSUMER),
        OffsetAt::Latest | OffsetAt::LastStable => (-1, CONSUMER),
        OffsetAt::LogEnd => (-1, DEBUGGER),
    }
}

impl Cluster {
    /// An offset of a partition, asked of its leader.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] with the broker's code, or why it did not answer.
    pub async fn offset(
        &self,
        topic: &str,
        partition: i32,
        at: OffsetAt,
    ) -> Result<i64, ClusterError> {
        const API: &str = "ListOffsets";
        let (timestamp, replica_id) = wire_place(at);
        let asked = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_current_leader_epoch(NO_EPOCH)
            .with_timestamp(timestamp);
        let topics = ListOffsetsTopic::default()
            .with_name(topic_name(topic))
            .with_partitions(vec![asked]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(replica_id)
            .with_isolation_level(i8::from(at == OffsetAt::LastStable))
            .with_topics(vec![topics]);
        let answer = self
            .ask_leader(topic, partition, API, &request, LIST_OFFSETS_VERSION_MAX)
            .await?;
        let answers = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = self.only(API, topic, partition, answers)?;
        self.accept(API, topic, partition, found.error_code)?;
        Ok(found.offset)
    }

    /// Where the epoch `epoch` ends in a partition's log: (epoch found, end offset); (-1, -1) when
    /// the leader does not know it. This is how truncation shows below Fetch v12 (KIP-320).
    ///
    /// # Errors
    /// [`ClusterError::Refused`] with the broker's code, or why it did not answer.
    pub async fn end_of_epoch(
        &self,
        topic: &str,
        partition: i32,
        epoch: i32,
    ) -> Result<(i32, i64), ClusterError> {
        const API: &str = "OffsetForLeaderEpoch";
        let asked = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(NO_EPOCH)
            .with_leader_epoch(epoch);
        let topics = OffsetForLeaderTopic::default()
            .with_topic(topic_name(topic))
            .with_partitions(vec![asked]);
        let request = OffsetForLeaderEpochRequest::default()
            .with_replica_id(CONSUMER)
            .with_topics(vec![topics]);
        let answer = self
            .ask_leader(
                topic,
                partition,
                API,
                &request,
                OFFSET_FOR_LEADER_EPOCH_VERSION_MAX,
            )
            .await?;
        let answers = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = self.only(API, topic, partition, answers)?;
        self.accept(API, topic, partition, found.error_code)?;
        Ok((found.leader_epoch, found.end_offset))
    }

    /// A fresh producer id with its epoch, for an idempotent lane.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] with the broker's code, or why it did not answer.
    pub async fn new_producer_id(&self) -> Result<(i64, i16), ClusterError> {
        const API: &str = "InitProducerId";
        // `transactional_id` defaults to an empty string, which is an invalid request.
        let request = InitProducerIdRequest::default()
            .with_transactional_id(None)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let answer = self
            .ask_any(API, &request, INIT_PRODUCER_ID_VERSION_MAX)
            .await?;
        if let Some(refusal) = Refusal::new(answer.error_code, None) {
            let what = "an idempotent producer".to_owned();
            return Err(ClusterError::Refused {
                alias: self.alias.clone(),
                api: API,
                what,
                refusal,
            });
        }
        Ok((answer.producer_id.0, answer.producer_epoch))
    }

    /// Epoch and last sequence that a partition's leader remembers of a producer id; none when it
    /// remembers nothing (KIP-664). Needs READ on the topic and Kafka 2.8.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] with the broker's code, or why it did not answer.
    pub async fn last_sequence(
        &self,
        topic: &str,
        partition: i32,
        producer_id: i64,
    ) -> Result<Option<(i32, i32)>, ClusterError> {
        const API: &str = "DescribeProducers";
        let asked = TopicRequest::default()
            .with_name(topic_name(topic))
            .with_partition_indexes(vec![partition]);
        let request = DescribeProducersRequest::default().with_topics(vec![asked]);
        let answer = self
            .ask_leader(
                topic,
                partition,
                API,
                &request,
                DESCRIBE_PRODUCERS_VERSION_MAX,
            )
            .await?;
        let answers = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = self.only(API, topic, partition, answers)?;
        self.accept(API, topic, partition, found.error_code)?;
        let ours = found
            .active_producers
            .iter()
            .find(|state| state.producer_id.0 == producer_id);
        Ok(ours.map(|state| (state.producer_epoch, state.last_sequence)))
    }

    /// Turns a partition's error code into a [`ClusterError`].
    pub(crate) fn accept(
        &self,
        api: &'static str,
        topic: &str,
        partition: i32,
        code: i16,
    ) -> Result<(), ClusterError> {
        match Refusal::new(code, None) {
            None => Ok(()),
            Some(refusal) => Err(ClusterError::Refused {
                alias: self.alias.clone(),
                api,
                what: format!("{topic}-{partition}"),
                refusal,
            }),
        }
    }

    /// The one partition that was asked for.
    fn only<T>(
        &self,
        api: &'static str,
        topic: &str,
        partition: i32,
        mut answers: impl Iterator<Item = T>,
    ) -> Result<T, ClusterError> {
        answers.next().ok_or_else(|| ClusterError::Unreadable {
            alias: self.alias.clone(),
            what: format!("{topic}-{partition}"),
            reason: format!("the answer to {api} leaves it out"),
        })
    }
}
