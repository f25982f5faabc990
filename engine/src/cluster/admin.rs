//! Topics: listing, creating, growing.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Cluster, ClusterError, ErrorCode, Refusal};

/// How long the controller may take for creating topics, before it answers REQUEST_TIMED_OUT.
const CREATE_TIMEOUT_MS: i32 = 15_000;
/// Topics per CreateTopics or CreatePartitions request, well below a KRaft controller's limit of 10,000 records.
const TOPICS_PER_REQUEST: usize = 100;
const CREATE_TOPICS_VERSION_MAX: i16 = 7;
const CREATE_PARTITIONS_VERSION_MAX: i16 = 3;

/// One topic of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicListing {
    /// Name.
    pub name: String,
    /// Topic id; nil below Kafka 2.8.
    pub id: Uuid,
    /// Number of partitions.
    pub partitions: i32,
    /// A broker-internal topic such as `__consumer_offsets`.
    pub is_internal: bool,
    /// The broker cannot tell about the topic now: its id and partitions say nothing.
    pub error: Option<ErrorCode>,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Name.
    pub name: String,
    /// Number of partitions; -1 is the broker's default.
    pub partitions: i32,
    /// Replication factor; -1 is the broker's default.
    pub replication_factor: i16,
    /// Topic configs.
    pub configs: Vec<(String, String)>,
}

impl Cluster {
    /// Every topic that we may see. A topic without a leader is listed; one that is deleted is not.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub async fn topics(&self) -> Result<Vec<TopicListing>, ClusterError> {
        let answer = self.metadata(None).await?;
        Ok(answer.topics.into_iter().filter_map(listing).collect())
    }

    /// Creates topics. Each result stands by itself: one refusal stops nothing else. A topic that
    /// exists already is no refusal.
    ///
    /// # Errors
    /// [`ClusterError`] when the controller's broker does not answer.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
    ) -> Result<Vec<(String, Option<Refusal>)>, ClusterError> {
        let mut results = Vec::with_capacity(topics.len());
        for chunk in topics.chunks(TOPICS_PER_REQUEST) {
            let request = CreateTopicsRequest::default()
                .with_timeout_ms(CREATE_TIMEOUT_MS)
                .with_topics(chunk.iter().map(creatable).collect());
            let answer = self
                .ask_controller("CreateTopics", &request, CREATE_TOPICS_VERSION_MAX)
                .await?;
            results.extend(answer.topics.into_iter().map(|topic| {
                let refusal = Refusal::new(topic.error_code, topic.error_message.as_deref())
                    .filter(|refusal| refusal.code != ErrorCode::TOPIC_ALREADY_EXISTS);
                (topic.name.to_string(), refusal)
            }));
        }
        Ok(results)
    }

    /// Grows topics to the given total counts. A topic that is as large already is no refusal.
    ///
    /// # Errors
    /// [`ClusterError`] when the controller's broker does not answer.
    pub async fn create_partitions(
        &self,
        counts: &[(String, i32)],
    ) -> Result<Vec<(String, Option<Refusal>)>, ClusterError> {
        let mut results = Vec::with_capacity(counts.len());
        for chunk in counts.chunks(TOPICS_PER_REQUEST) {
            let topics = chunk.iter().map(|(name, count)| {
                CreatePartitionsTopic::default()
                    .with_name(topic_name(name))
                    .with_count(*count)
                    .with_assignments(None)
            });
            let request = CreatePartitionsRequest::default()
                .with_timeout_ms(CREATE_TIMEOUT_MS)
                .with_topics(topics.collect());
            let answer = self
                .ask_controller("CreatePartitions", &request, CREATE_PARTITIONS_VERSION_MAX)
                .await?;
            results.extend(answer.results.into_iter().map(|topic| {
                let refusal = Refusal::new(topic.error_code, topic.error_message.as_deref())
                    .filter(|refusal| refusal.code != ErrorCode::INVALID_PARTITIONS);
                (topic.name.to_string(), refusal)
            }));
        }
        Ok(results)
    }

    /// Creates a compacted internal topic unless it is there (MM2's `createCompactedTopic`,
    /// `docs/spec/mm2.md` 2.3): an existing one is used as it is, and when we may not create topics the broker
    /// or an operator is expected to have done it.
    ///
    /// # Errors
    /// [`ClusterError::Refused`] for anything else, such as too few brokers for the factor.
    pub async fn create_compacted_topic(
        &self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
    ) -> Result<(), ClusterError> {
        let topic = NewTopic {
            name: name.to_owned(),
            partitions,
            replication_factor,
            configs: vec![("cleanup.policy".to_owned(), "compact".to_owned())],
        };
        let results = self.create_topics(std::slice::from_ref(&topic)).await?;
        let refusal = results.into_iter().find_map(|(_, refusal)| refusal);
        match refusal {
            Some(refusal) if !may_exist_elsewhere(refusal.code) => Err(ClusterError::Refused {
                alias: self.alias.clone(),
                api: "CreateTopics",
                what: name.to_owned(),
                refusal,
            }),
            _ => Ok(()),
        }
    }
}

/// Topic or cluster authorization failed, or the API is not offered.
fn may_exist_elsewhere(code: ErrorCode) -> bool {
    matches!(code.0, 29 | 31 | 35)
}

/// An error with partitions is about their leaders, and passes. Topics that are not ours to see are not in the answer.
fn listing(topic: MetadataResponseTopic) -> Option<TopicListing> {
    let error = ErrorCode(topic.error_code).err();
    Some(TopicListing {
        name: topic.name?.to_string(),
        id: topic.topic_id,
        partitions: i32::try_from(topic.partitions.len()).ok()?,
        is_internal: topic.is_internal,
        error: error.filter(|_| topic.partitions.is_empty()),
    })
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let configs = topic.configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_value(Some(StrBytes::from_string(value.clone())))
    });
    CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(configs.collect())
}

/// A topic name as the message crate wants it.
pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::metadata_response::MetadataResponsePartition;

    use super::*;

    fn answered(error: ErrorCode, partitions: usize) -> Option<TopicListing> {
        let partitions = vec![MetadataResponsePartition::default(); partitions];
        let topic = MetadataResponseTopic::default()
            .with_name(Some(topic_name("orders")))
            .with_error_code(error.0)
            .with_partitions(partitions);
        listing(topic)
    }

    /// A topic that is named with an error is not a topic without partitions: what is copied of it goes on.
    #[test]
    fn an_error_is_no_statement_about_partitions() {
        let with = |error, partitions| {
            answered(error, partitions).map(|topic| (topic.partitions, topic.error))
        };
        assert_eq!(with(ErrorCode::NONE, 3), Some((3, None)));
        assert_eq!(with(ErrorCode::LEADER_NOT_AVAILABLE, 3), Some((3, None)));
        for error in [
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::LEADER_NOT_AVAILABLE,
            ErrorCode::TOPIC_AUTHORIZATION_FAILED,
        ] {
            assert_eq!(with(error, 0), Some((0, Some(error))));
        }
    }
}
