//! Committed offsets, without and with membership (docs/spec/real-kafka.md 8).

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Message;

use crate::random::{Group, Random, Topic};
use crate::world::{Operation, World, text, topic_name};

/// Longest metadata of a commit (`offset.metadata.max.bytes`).
const METADATA_BYTES_MAX: usize = 4_096;

/// Whose generation and member id a commit names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Committer {
    /// Generation -1, no member: a simple commit.
    Simple,
    /// The member, its generation moved by this much.
    Member(i32),
    /// This generation and a member id that nobody has.
    Stranger(i32),
    /// This generation without a member id.
    Nameless(i32),
}

#[derive(Clone, Debug)]
pub(crate) struct CommitOffsets {
    version: i16,
    pub(crate) group: Group,
    committer: Committer,
    /// Topic, partition, offset, leader epoch, bytes of metadata.
    parts: Vec<(Topic, i32, i64, i32, usize)>,
}

impl CommitOffsets {
    pub(crate) fn random(random: &mut Random) -> Self {
        let count = random.or(1, 25, &[0, 2, 3]);
        let part = |random: &mut Random| {
            let offset = random.between(0, 100);
            (
                random.topic(),
                random.partition(),
                random.or(offset, 10, &[-1, -2, i64::MAX]),
                random.or(-1, 30, &[0, 9]),
                random.or(0, 15, &[10, 4_096, 4_097]),
            )
        };
        Self {
            version: random.version(OffsetCommitRequest::VERSIONS),
            group: random.group(),
            committer: random.weighted(&[
                (12, Committer::Simple),
                (8, Committer::Member(0)),
                (1, Committer::Member(1)),
                (1, Committer::Member(-1)),
                (1, Committer::Stranger(-1)),
                (1, Committer::Stranger(1)),
                (1, Committer::Nameless(0)),
                (1, Committer::Nameless(5)),
            ]),
            parts: (0..count).map(|_| part(random)).collect(),
        }
    }
}

impl Operation for CommitOffsets {
    fn run(&self, world: &mut World) -> String {
        if !self.parts.is_empty() && self.parts.iter().all(|part| part.4 > METADATA_BYTES_MAX) {
            return "not sent: it makes a group that is seen only after some other group's commit"
                .to_owned();
        }
        let mut topics: Vec<OffsetCommitRequestTopic> = Vec::new();
        for &(topic, partition, offset, epoch, metadata) in &self.parts {
            let mut partition = OffsetCommitRequestPartition::default()
                .with_partition_index(partition)
                .with_committed_offset(offset)
                .with_committed_metadata(Some(text(&"m".repeat(metadata))));
            if self.version >= 6 {
                partition.committed_leader_epoch = epoch;
            }
            let name = topic_name(&world.topic(topic));
            match topics.iter_mut().find(|t| t.name == name) {
                Some(known) => known.partitions.push(partition),
                None => topics.push(
                    OffsetCommitRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![partition]),
                ),
            }
        }
        let mut request = OffsetCommitRequest::default()
            .with_group_id(world.group(self.group))
            .with_topics(topics);
        let own = match self.group {
            Group::Slot(slot) => Some(&world.members[slot]),
            _ => None,
        };
        (request.generation_id_or_member_epoch, request.member_id) = match self.committer {
            Committer::Simple => (-1, text("")),
            Committer::Member(more) => (
                own.map_or(0, |m| m.generation) + more,
                own.map_or(text(""), |m| text(&m.member_id)),
            ),
            Committer::Stranger(generation) => (generation, text("stranger")),
            Committer::Nameless(generation) => (generation, text("")),
        };
        if let (Committer::Member(_), Some(instance)) =
            (self.committer, own.and_then(|m| m.instance))
            && self.version >= 7
        {
            request.group_instance_id = Some(text(instance));
        }
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct FetchOffsets {
    pub(crate) version: i16,
    pub(crate) groups: Vec<Group>,
    pub(crate) topics: Option<Vec<(Topic, i32)>>,
    pub(crate) stable: bool,
}

impl FetchOffsets {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(OffsetFetchRequest::VERSIONS);
        let groups = if version >= 8 {
            random.or(1, 30, &[0, 2, 3])
        } else {
            1
        };
        let topics = random.or(1, 30, &[0, 2]);
        let topics = Some(
            (0..topics)
                .map(|_| (random.topic(), random.partition()))
                .collect(),
        );
        Self {
            version,
            groups: (0..groups).map(|_| random.group()).collect(),
            topics: if version >= 2 && random.chance(40) {
                None
            } else {
                topics
            },
            // "Unstable" is for ever while a transaction stays open, so that is asked for its own sake only.
            stable: version >= 7 && random.chance(30),
        }
    }
}

impl Operation for FetchOffsets {
    fn run(&self, world: &mut World) -> String {
        let mut topics: Option<Vec<(TopicName, Vec<i32>)>> =
            self.topics.as_ref().map(|_| Vec::new());
        for (topic, partition) in self.topics.iter().flatten() {
            let name = topic_name(&world.topic(*topic));
            let Some(topics) = &mut topics else { continue };
            match topics.iter_mut().find(|t| t.0 == name) {
                Some(known) => known.1.push(*partition),
                None => topics.push((name, vec![*partition])),
            }
        }
        let mut request = OffsetFetchRequest::default();
        if self.version >= 7 {
            request.require_stable = self.stable;
        }
        if self.version < 8 {
            request.group_id = self
                .groups
                .first()
                .map_or_else(GroupId::default, |g| world.group(*g));
            request.topics = topics.map(|topics| {
                let topic = |(name, partitions)| {
                    OffsetFetchRequestTopic::default()
                        .with_name(name)
                        .with_partition_indexes(partitions)
                };
                topics.into_iter().map(topic).collect()
            });
        } else {
            let topics: Option<Vec<_>> = topics.map(|topics| {
                let topic = |(name, partitions)| {
                    OffsetFetchRequestTopics::default()
                        .with_name(name)
                        .with_partition_indexes(partitions)
                };
                topics.into_iter().map(topic).collect()
            });
            let group = |group: &Group| {
                OffsetFetchRequestGroup::default()
                    .with_group_id(world.group(*group))
                    .with_topics(topics.clone())
            };
            request.groups = self.groups.iter().map(group).collect();
        }
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DeleteOffsets {
    group: Group,
    parts: Vec<(Topic, i32)>,
}

impl DeleteOffsets {
    pub(crate) fn random(random: &mut Random) -> Self {
        let count = random.or(1, 20, &[0, 2]);
        Self {
            group: random.group(),
            parts: (0..count)
                .map(|_| (random.topic(), random.partition()))
                .collect(),
        }
    }
}

impl Operation for DeleteOffsets {
    fn run(&self, world: &mut World) -> String {
        let mut topics: Vec<OffsetDeleteRequestTopic> = Vec::new();
        for (topic, partition) in &self.parts {
            let name = topic_name(&world.topic(*topic));
            let partition =
                OffsetDeleteRequestPartition::default().with_partition_index(*partition);
            match topics.iter_mut().find(|t| t.name == name) {
                Some(known) => known.partitions.push(partition),
                None => topics.push(
                    OffsetDeleteRequestTopic::default()
                        .with_name(name)
                        .with_partitions(vec![partition]),
                ),
            }
        }
        let request = OffsetDeleteRequest::default()
            .with_group_id(world.group(self.group))
            .with_topics(topics);
        world.ask(0, &request).1
    }
}
