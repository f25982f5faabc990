//! Offsets of many partitions at once: one request for each leader.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use kafka_protocol::messages::ListOffsetsRequest;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};

use super::admin::topic_name;
use super::offsets::{LIST_OFFSETS_VERSION_MAX, wire_place};
use super::{Cluster, ClusterError, ErrorCode, OffsetAt, Refusal};

/// Partitions a request: what a broker looks up in some milliseconds.
const PARTITIONS_PER_REQUEST: usize = 1_000;
/// Requests on their way at once.
const REQUESTS_IN_FLIGHT: usize = 8;

type At = (Arc<str>, i32);
type Answers = Vec<(At, Result<i64, Refusal>)>;

impl Cluster {
    /// Offsets of partitions, asked of their leaders; each result stands by itself, in no order. A leader that has
    /// moved or does not answer is looked up again once.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers at all.
    pub async fn offsets(&self, partitions: &[At], at: OffsetAt) -> Result<Answers, ClusterError> {
        let (mut found, moved) = self.offsets_once(partitions, at).await?;
        let again: Vec<At> = moved
            .iter()
            .map(|(partition, _)| partition.clone())
            .collect();
        if again.is_empty() {
            return Ok(found);
        }
        self.look_up(again.iter().map(|(topic, _)| topic)).await?;
        let (second, moved) = self.offsets_once(&again, at).await?;
        found.extend(second);
        found.extend(moved.into_iter().map(|(at, refusal)| (at, Err(refusal))));
        Ok(found)
    }

    /// Results that stand, and those of partitions whose leader may be another one.
    async fn offsets_once(
        &self,
        partitions: &[At],
        at: OffsetAt,
    ) -> Result<(Answers, Vec<(At, Refusal)>), ClusterError> {
        let unknown = |(topic, partition): &&At| self.leader(topic, *partition).is_none();
        let unknown: Vec<_> = partitions.iter().filter(unknown).collect();
        if !unknown.is_empty() {
            self.look_up(unknown.iter().map(|(topic, _)| topic)).await?;
        }
        let (mut found, mut moved) = (Answers::new(), Vec::new());
        let mut by_leader: BTreeMap<i32, Vec<At>> = BTreeMap::new();
        for partition in partitions {
            match self.cached_leader(&partition.0, partition.1) {
                Ok(leader) => by_leader
                    .entry(leader.broker.id)
                    .or_default()
                    .push(partition.clone()),
                Err(code) => {
                    let message = None;
                    moved.push((partition.clone(), Refusal { code, message }));
                }
            }
        }
        let chunk = |(leader, partitions): (&i32, &Vec<At>)| {
            let leader = *leader;
            let chunks = partitions.chunks(PARTITIONS_PER_REQUEST);
            chunks
                .map(<[At]>::to_vec)
                .map(move |chunk| (leader, chunk))
                .collect::<Vec<_>>()
        };
        let requests: Vec<_> = by_leader.iter().flat_map(chunk).collect();
        let mut answers = stream::iter(requests)
            .map(|(leader, partitions)| async move {
                let answer = self.ask_offsets(leader, &partitions, at).await;
                (partitions, answer)
            })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        while let Some((partitions, answer)) = answers.next().await {
            let answers = answer.unwrap_or_else(|error| {
                let code = ErrorCode::LEADER_NOT_AVAILABLE;
                let message = Some(error.to_string());
                let refusal = Refusal { code, message };
                let refused = |at| (at, Err(refusal.clone()));
                partitions.into_iter().map(refused).collect()
            });
            for (at, answer) in answers {
                match answer {
                    Err(refusal) if is_elsewhere(refusal.code) => moved.push((at, refusal)),
                    answer => found.push((at, answer)),
                }
            }
        }
        Ok((found, moved))
    }

    async fn ask_offsets(
        &self,
        leader: i32,
        partitions: &[At],
        at: OffsetAt,
    ) -> Result<Answers, ClusterError> {
        let (timestamp, replica_id) = wire_place(at);
        let mut topics: BTreeMap<&Arc<str>, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (topic, partition) in partitions {
            let asked = ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_current_leader_epoch(-1)
                .with_timestamp(timestamp);
            topics.entry(topic).or_default().push(asked);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            ListOffsetsTopic::default()
                .with_name(topic_name(topic))
                .with_partitions(partitions)
        });
        let request = ListOffsetsRequest::default()
            .with_replica_id(replica_id)
            .with_topics(topics.collect());
        let connection = self.broker(leader).await?;
        let max = LIST_OFFSETS_VERSION_MAX;
        let answer = connection
            .request("ListOffsets", &request, max, self.options.request_timeout)
            .await?;
        let mut rows = HashMap::with_capacity(partitions.len());
        for topic in &answer.topics {
            for row in &topic.partitions {
                rows.insert((topic.name.as_str(), row.partition_index), row);
            }
        }
        let answered = |at: &At| {
            let offset = match rows.get(&(&*at.0, at.1)) {
                Some(row) => Refusal::new(row.error_code, None).map_or(Ok(row.offset), Err),
                None => Err(Refusal {
                    code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    message: Some("the answer leaves it out".to_owned()),
                }),
            };
            (at.clone(), offset)
        };
        Ok(partitions.iter().map(answered).collect())
    }

    /// Asks for the leaders of these topics, and keeps the answer.
    async fn look_up(&self, topics: impl Iterator<Item = &Arc<str>>) -> Result<(), ClusterError> {
        let mut names: Vec<_> = topics.cloned().collect();
        names.sort_unstable();
        names.dedup();
        let answer = self.metadata(Some(names)).await?;
        for topic in &answer.topics {
            self.remember_topic(topic);
        }
        Ok(())
    }
}

fn is_elsewhere(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
    )
}
