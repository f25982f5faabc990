//! Leaders, their epochs and addresses: read by many threads, refreshed on error and age.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Cluster, ClusterError, ErrorCode};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Node id.
    pub id: i32,
    /// Host as advertised.
    pub host: Arc<str>,
    /// Port as advertised.
    pub port: u16,
}

impl BrokerAddress {
    /// None for a port that is none.
    pub(super) fn new(broker: &MetadataResponseBroker) -> Option<Self> {
        let port = u16::try_from(broker.port).ok()?;
        Some(Self {
            id: broker.node_id.0,
            host: broker.host.as_str().into(),
            port,
        })
    }
}

/// The leader of a partition, as last heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The broker that leads.
    pub broker: BrokerAddress,
    /// Leader epoch; -1 when the cluster is too old to say.
    pub epoch: i32,
    /// Id of the topic; nil when the cluster is too old to say (below 2.8).
    pub topic_id: Uuid,
}

/// What Metadata said of one topic.
#[derive(Clone, Debug)]
pub(super) struct TopicLeaders {
    id: Uuid,
    error: ErrorCode,
    partitions: Vec<PartitionLeader>,
}

#[derive(Clone, Copy, Debug)]
struct PartitionLeader {
    broker: i32,
    epoch: i32,
    error: ErrorCode,
}

impl TopicLeaders {
    fn new(topic: &MetadataResponseTopic) -> Self {
        let nobody = PartitionLeader {
            broker: -1,
            epoch: -1,
            error: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        };
        let mut partitions = Vec::new();
        for partition in &topic.partitions {
            let Ok(index) = usize::try_from(partition.partition_index) else {
                continue;
            };
            // A count that a broker could really have: never trust an index with memory.
            if index >= topic.partitions.len().saturating_mul(2).max(16) {
                continue;
            }
            if partitions.len() <= index {
                partitions.resize(index + 1, nobody);
            }
            if let Some(slot) = partitions.get_mut(index) {
                *slot = PartitionLeader {
                    broker: partition.leader_id.0,
                    epoch: partition.leader_epoch,
                    error: ErrorCode(partition.error_code),
                };
            }
        }
        Self {
            id: topic.topic_id,
            error: ErrorCode(topic.error_code),
            partitions,
        }
    }

    /// Keeps what is newer of the same topic: a lagging broker may answer with an older leader.
    fn keep_newer(&mut self, known: &Self) {
        if self.id != known.id {
            return;
        }
        for (ours, known) in self.partitions.iter_mut().zip(&known.partitions) {
            if ours.epoch != -1 && ours.epoch < known.epoch {
                *ours = *known;
            }
        }
    }
}

impl Cluster {
    /// The leader of a partition as last heard; none when unknown, absent or leaderless.
    pub fn leader(&self, topic: &str, partition: i32) -> Option<Leader> {
        self.cached_leader(topic, partition).ok()
    }

    /// As [`Self::leader`], with the reason why there is none.
    pub(super) fn cached_leader(&self, topic: &str, partition: i32) -> Result<Leader, ErrorCode> {
        let leaders = self
            .topics
            .get(topic)
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if let Some(error) = leaders.error.err() {
            return Err(error);
        }
        let leader = usize::try_from(partition)
            .ok()
            .and_then(|index| leaders.partitions.get(index))
            .ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let broker = self.address(leader.broker).ok_or_else(|| {
            leader
                .error
                .err()
                .unwrap_or(ErrorCode::LEADER_NOT_AVAILABLE)
        })?;
        Ok(Leader {
            broker,
            epoch: leader.epoch,
            topic_id: leaders.id,
        })
    }

    /// The leader of a partition, asking the cluster if it is not known.
    ///
    /// # Errors
    /// [`ClusterError::NoLeader`] when the cluster does not know one either.
    pub async fn leader_or_refresh(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Leader, ClusterError> {
        if let Some(leader) = self.leader(topic, partition) {
            return Ok(leader);
        }
        self.refresh(topic, Instant::now()).await?;
        self.cached_leader(topic, partition)
            .map_err(|reason| ClusterError::NoLeader {
                alias: self.alias.clone(),
                topic: topic.to_owned(),
                partition,
                reason,
            })
    }

    /// Where broker `id` listens, as last heard.
    pub fn address(&self, id: i32) -> Option<BrokerAddress> {
        self.brokers.get(&id).map(|entry| entry.value().clone())
    }

    /// Makes sure that `topic` and everything else that is tracked was asked for after `needed`:
    /// the moment at which the caller saw an error. One request serves all who wait.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub async fn refresh(&self, topic: &str, needed: Instant) -> Result<(), ClusterError> {
        self.tracked.insert(topic.into());
        let mut refreshed = self.refreshed.lock().await;
        // Whoever waited here is served by the first request that began after the need: a thousand partitions that
        // start at once cause two.
        if refreshed.is_some_and(|at| at >= needed) && self.topics.contains_key(topic) {
            return Ok(());
        }
        self.refresh_tracked(&mut refreshed).await
    }

    /// Asks for all that is tracked, unless that was done less than `age` ago.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub async fn refresh_older_than(&self, age: Duration) -> Result<(), ClusterError> {
        let mut refreshed = self.refreshed.lock().await;
        if self.tracked.is_empty() || refreshed.is_some_and(|at| at.elapsed() < age) {
            return Ok(());
        }
        self.refresh_tracked(&mut refreshed).await
    }

    async fn refresh_tracked(&self, refreshed: &mut Option<Instant>) -> Result<(), ClusterError> {
        let began = Instant::now();
        let tracked = self.tracked.iter().map(|name| name.clone()).collect();
        let answer = self.metadata(Some(tracked)).await?;
        for topic in &answer.topics {
            self.remember_topic(topic);
        }
        *refreshed = Some(began);
        Ok(())
    }

    /// Stops asking for a topic.
    pub fn forget(&self, topic: &str) {
        self.tracked.remove(topic);
        self.topics.remove(topic);
    }

    pub(super) fn remember_topic(&self, topic: &MetadataResponseTopic) {
        let Some(name) = topic.name.as_ref() else {
            return;
        };
        let mut leaders = TopicLeaders::new(topic);
        if let Some(known) = self.topics.get(name.as_str()) {
            leaders.keep_newer(&known);
        }
        self.topics.insert(name.as_str().into(), leaders);
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::MetadataResponsePartition;

    use super::*;

    fn topic(id: u128, leaders: &[(i32, i32, i32)]) -> MetadataResponseTopic {
        let partition = |(index, leader, epoch): &(i32, i32, i32)| {
            MetadataResponsePartition::default()
                .with_partition_index(*index)
                .with_leader_id(BrokerId(*leader))
                .with_leader_epoch(*epoch)
        };
        MetadataResponseTopic::default()
            .with_topic_id(Uuid::from_u128(id))
            .with_partitions(leaders.iter().map(partition).collect())
    }

    #[test]
    fn an_older_leader_does_not_replace_a_newer_one() {
        let known = TopicLeaders::new(&topic(1, &[(0, 2, 7), (1, 1, 3)]));
        let mut heard = TopicLeaders::new(&topic(1, &[(0, 1, 6), (1, 2, 4)]));
        heard.keep_newer(&known);
        assert_eq!(
            (heard.partitions[0].broker, heard.partitions[0].epoch),
            (2, 7)
        );
        assert_eq!(
            (heard.partitions[1].broker, heard.partitions[1].epoch),
            (2, 4)
        );
    }

    #[test]
    fn a_recreated_topic_starts_over() {
        let known = TopicLeaders::new(&topic(1, &[(0, 2, 7)]));
        let mut heard = TopicLeaders::new(&topic(2, &[(0, 1, 0)]));
        heard.keep_newer(&known);
        assert_eq!(
            (heard.partitions[0].broker, heard.partitions[0].epoch),
            (1, 0)
        );
    }

    #[test]
    fn an_absurd_partition_index_takes_no_memory() {
        let heard = TopicLeaders::new(&topic(1, &[(0, 1, 0), (i32::MAX, 1, 0)]));
        assert_eq!(heard.partitions.len(), 1);
    }
}
