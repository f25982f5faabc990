//! Committing offsets for groups that we are not in.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_commit_response::OffsetCommitResponse;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;

use super::GROUPS_PATIENCE;
use crate::cluster::admin::topic_name;
use crate::cluster::coordinators::{CoordinatorKind, ToCoordinator};
use crate::cluster::{Cluster, ClusterError, ErrorCode, Refusal};

/// Groups whose commits are on their way at once, over all coordinators; well below what one connection queues.
const COMMITS_IN_FLIGHT: usize = 64;
const VERSION_MIN: i16 = 2;
const VERSION_MAX: i16 = 8;
/// Epochs of the source mean nothing on the target.
const NO_EPOCH: i32 = -1;
/// Neither a member nor of any generation: a simple commit, which only a group without members takes.
const NO_GENERATION: i32 = -1;

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOffset {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The next offset that the group shall read.
    pub offset: i64,
    /// Stored with it; at most 4,096 bytes (`offset.metadata.max.bytes`).
    pub metadata: String,
}

/// What became of one offset: refused, or committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// None when it is committed. UNKNOWN_MEMBER_ID: the group has members.
    pub refusal: Option<Refusal>,
}

impl Cluster {
    /// Commits offsets for a group without members; a group that is not there comes into being. The broker refuses
    /// the whole commit with UNKNOWN_MEMBER_ID once the group has members, however late they joined. It checks neither
    /// the offsets against the log, nor against what the group has committed before: that is the caller's part.
    ///
    /// Is not sent again when its answer is lost: the group may have gone on meanwhile.
    ///
    /// # Errors
    /// [`ClusterError`] when the coordinator does not answer; the offsets may nevertheless be committed.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[NewOffset],
    ) -> Result<Vec<Committed>, ClusterError> {
        self.commit_group(&group.into(), offsets).await
    }

    /// As [`Self::commit_offsets`] for many groups, some of them at a time; in no order.
    pub async fn commit_many(
        &self,
        groups: Vec<(Arc<str>, Vec<NewOffset>)>,
    ) -> Vec<(Arc<str>, Result<Vec<Committed>, ClusterError>)> {
        let names: Vec<_> = groups.iter().map(|(group, _)| group.clone()).collect();
        let deadline = Instant::now() + GROUPS_PATIENCE;
        // One request instead of one for each group; where it fails, each group's own will say why.
        drop(
            self.coordinators_of(CoordinatorKind::Group, &names, deadline)
                .await,
        );
        stream::iter(groups)
            .map(|(group, offsets)| async move {
                let committed = self.commit_group(&group, &offsets).await;
                (group, committed)
            })
            .buffer_unordered(COMMITS_IN_FLIGHT)
            .collect()
            .await
    }

    async fn commit_group(
        &self,
        group: &Arc<str>,
        offsets: &[NewOffset],
    ) -> Result<Vec<Committed>, ClusterError> {
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(group.to_string())))
            .with_generation_id_or_member_epoch(NO_GENERATION)
            .with_topics(topics(offsets));
        let asked = ToCoordinator {
            kind: CoordinatorKind::Group,
            key: group,
            api: "OffsetCommit",
            body: &request,
            versions: (VERSION_MIN, VERSION_MAX),
            deadline: Instant::now() + GROUPS_PATIENCE,
            repeatable: false,
        };
        // What is wrong with the coordinator is said for every partition.
        let first = |answer: &OffsetCommitResponse| {
            let mut rows = answer.topics.iter().flat_map(|topic| &topic.partitions);
            rows.next()
                .map_or(ErrorCode::NONE, |row| ErrorCode(row.error_code))
        };
        let answer = self.ask_coordinator(asked, first, |_| false).await?;
        let mut rows = BTreeMap::new();
        for topic in &answer.topics {
            for row in &topic.partitions {
                rows.insert((topic.name.as_str(), row.partition_index), row.error_code);
            }
        }
        let committed = |offset: &NewOffset| Committed {
            topic: offset.topic.clone(),
            partition: offset.partition,
            refusal: match rows.get(&(&*offset.topic, offset.partition)) {
                Some(code) => Refusal::new(*code, None),
                None => Some(Refusal {
                    code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                    message: Some("the answer leaves it out".to_owned()),
                }),
            },
        };
        Ok(offsets.iter().map(committed).collect())
    }
}

fn topics(offsets: &[NewOffset]) -> Vec<OffsetCommitRequestTopic> {
    let mut topics: BTreeMap<&Arc<str>, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for offset in offsets {
        let metadata = StrBytes::from_string(offset.metadata.clone());
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(offset.partition)
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(NO_EPOCH)
            .with_committed_metadata(Some(metadata));
        topics.entry(&offset.topic).or_default().push(partition);
    }
    let topic = |(name, partitions): (&Arc<str>, _)| {
        OffsetCommitRequestTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions)
    };
    topics.into_iter().map(topic).collect()
}
