//! Topics: create, delete, create again, grow, cut, look at.

use kafka_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Message;

use crate::fetch::From;
use crate::random::{Random, TOPICS, Topic};
use crate::world::{Operation, World, text, topic_name};

type Config = (&'static str, Option<&'static str>);

/// What the topic of each slot is like.
const KINDS: [&[Config]; TOPICS] = [
    &[],
    &[("cleanup.policy", Some("compact"))],
    &[("message.timestamp.type", Some("LogAppendTime"))],
    &[("max.message.bytes", Some("1200"))],
    &[("compression.type", Some("gzip"))],
    &[
        ("message.timestamp.before.max.ms", Some("86400000")),
        ("min.insync.replicas", Some("1")),
    ],
];

const ODD_CONFIGS: [&[Config]; 9] = [
    &[("no.such.key", Some("1"))],
    &[("retention.ms", Some("soon"))],
    &[("retention.ms", Some("-2"))],
    &[("retention.ms", None)],
    &[("segment.bytes", Some("1000"))],
    &[("cleanup.policy", Some("shred"))],
    &[("cleanup.policy", Some("compact,delete"))],
    &[
        ("retention.ms", Some("99999999999")),
        ("retention.ms", Some("99999999998")),
    ],
    &[
        ("min.insync.replicas", Some("0")),
        ("no.such.key", Some("1")),
    ],
];

const ODD_NAMES: [Topic; 11] = [
    Topic::Named(""),
    Topic::Named("."),
    Topic::Named(".."),
    Topic::Named("a b"),
    Topic::Named("ü"),
    Topic::Named("__consumer_offsets"),
    Topic::Named("__transaction_state"),
    Topic::Suffix("/x"),
    Topic::Suffix(".x_y"),
    Topic::Suffix("_x.y"),
    Topic::Named(
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
         aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
];

#[derive(Clone, Debug)]
struct NewTopic {
    topic: Topic,
    partitions: i32,
    replication_factor: i16,
    assignments: Vec<(i32, Vec<i32>)>,
    configs: Vec<Config>,
}

#[derive(Clone, Debug)]
pub(crate) struct CreateTopics {
    version: i16,
    topics: Vec<NewTopic>,
    validate_only: bool,
}

impl CreateTopics {
    /// The topic of `slot` as every list starts with it.
    pub(crate) fn slot(slot: usize) -> Self {
        let topic = NewTopic {
            topic: Topic::Slot(slot),
            partitions: 2,
            replication_factor: 1,
            assignments: Vec::new(),
            configs: KINDS[slot].to_vec(),
        };
        Self {
            version: 7,
            topics: vec![topic],
            validate_only: false,
        }
    }

    pub(crate) fn random(random: &mut Random) -> Self {
        let one = |random: &mut Random| {
            let slot = random.below(TOPICS);
            let odd_name = random.of(&ODD_NAMES);
            let odd_configs = random.of(&ODD_CONFIGS);
            let (partitions, replication_factor) = random.weighted(&[
                (10, (2, 1)),
                (3, (-1, -1)),
                (1, (0, 1)),
                (1, (-2, 1)),
                (1, (1, 0)),
                (1, (1, 2)),
                (1, (1, -2)),
                (1, (0, 0)),
            ]);
            let mut topic = NewTopic {
                topic: random.or(Topic::Slot(slot), 30, &[odd_name]),
                partitions,
                replication_factor,
                assignments: Vec::new(),
                configs: random.or(KINDS[slot], 30, &[odd_configs]).to_vec(),
            };
            if random.chance(20) {
                if random.chance(70) {
                    (topic.partitions, topic.replication_factor) = (-1, -1);
                }
                topic.assignments = match random.below(8) {
                    0 => vec![(1, vec![1])],
                    1 => vec![(0, vec![1]), (0, vec![1])],
                    2 => vec![(0, vec![])],
                    3 => vec![(0, vec![9])],
                    4 => vec![(0, vec![1, 1])],
                    5 => vec![(0, vec![1]), (1, vec![1, 2])],
                    _ => vec![(0, vec![1]), (1, vec![1])],
                };
            }
            topic
        };
        let version = random.version(CreateTopicsRequest::VERSIONS);
        let mut topics = vec![one(random)];
        match random.below(10) {
            0 => topics.push(topics[0].clone()),
            1 | 2 => topics.push(one(random)),
            3 if random.chance(30) => topics.clear(),
            _ => {}
        }
        Self {
            version,
            topics,
            validate_only: random.chance(15),
        }
    }
}

impl Operation for CreateTopics {
    fn run(&self, world: &mut World) -> String {
        let topic = |new: &NewTopic| {
            let config = |(name, value): &Config| {
                CreatableTopicConfig::default()
                    .with_name(text(name))
                    .with_value(value.map(text))
            };
            let assignment = |(index, brokers): &(i32, Vec<i32>)| {
                CreatableReplicaAssignment::default()
                    .with_partition_index(*index)
                    .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
            };
            CreatableTopic::default()
                .with_name(topic_name(&world.topic(new.topic)))
                .with_num_partitions(new.partitions)
                .with_replication_factor(new.replication_factor)
                .with_assignments(new.assignments.iter().map(assignment).collect())
                .with_configs(new.configs.iter().map(config).collect())
        };
        let request = CreateTopicsRequest::default()
            .with_topics(self.topics.iter().map(topic).collect())
            .with_timeout_ms(10_000)
            .with_validate_only(self.validate_only);
        let text = world.ask(self.version, &request).1;
        world.settle_metadata();
        world.learn_topics();
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DeleteTopics {
    version: i16,
    topics: Vec<Topic>,
    by_id: bool,
    /// Name and id of the first topic both.
    both: bool,
}

impl DeleteTopics {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(DeleteTopicsRequest::VERSIONS);
        let slot = Topic::Slot(random.below(TOPICS));
        let mut topics = vec![random.or(
            slot,
            25,
            &[
                Topic::Missing,
                Topic::Named(""),
                Topic::Named("a b"),
                Topic::Suffix(".x_y"),
            ],
        )];
        if random.chance(15) {
            topics.push(topics[0]);
        }
        Self {
            version,
            topics,
            by_id: version >= 6 && random.chance(50),
            both: random.chance(5),
        }
    }
}

impl Operation for DeleteTopics {
    fn run(&self, world: &mut World) -> String {
        let names = self.topics.iter().map(|t| topic_name(&world.topic(*t)));
        let mut request = DeleteTopicsRequest::default().with_timeout_ms(10_000);
        if self.version < 6 {
            request.topic_names = names.collect();
        } else {
            let topic = |(topic, name): (&Topic, TopicName)| {
                let mut state = DeleteTopicState::default()
                    .with_name((!self.by_id || self.both).then_some(name));
                if self.by_id || self.both {
                    state.topic_id = world.topic_id(*topic);
                }
                state
            };
            request.topics = self.topics.iter().zip(names).map(topic).collect();
        }
        let text = world.ask(self.version, &request).1;
        world.settle_metadata();
        world.learn_topics();
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct CreatePartitions {
    version: i16,
    topic: Topic,
    count: i32,
    assignments: Option<Vec<Vec<i32>>>,
    validate_only: bool,
    twice: bool,
}

impl CreatePartitions {
    pub(crate) fn random(random: &mut Random) -> Self {
        let assignments = match random.below(10) {
            0 => Some(vec![]),
            1 => Some(vec![vec![1]]),
            2 => Some(vec![vec![9]]),
            3 => Some(vec![vec![1, 1]]),
            4 => Some(vec![vec![]]),
            _ => None,
        };
        Self {
            version: random.version(CreatePartitionsRequest::VERSIONS),
            topic: random.topic(),
            count: random.of(&[3, 3, 3, 4, 2, 1, 0, -1]),
            assignments,
            validate_only: random.chance(25),
            twice: random.chance(6),
        }
    }
}

impl Operation for CreatePartitions {
    fn run(&self, world: &mut World) -> String {
        let assignment = |brokers: &Vec<i32>| {
            CreatePartitionsAssignment::default()
                .with_broker_ids(brokers.iter().copied().map(BrokerId).collect())
        };
        let assignments = self
            .assignments
            .as_ref()
            .map(|all| all.iter().map(assignment).collect());
        let topic = CreatePartitionsTopic::default()
            .with_name(topic_name(&world.topic(self.topic)))
            .with_count(self.count)
            .with_assignments(assignments);
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic; if self.twice { 2 } else { 1 }])
            .with_timeout_ms(10_000)
            .with_validate_only(self.validate_only);
        let text = world.ask(self.version, &request).1;
        world.settle_metadata();
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DeleteRecords {
    version: i16,
    topic: Topic,
    partition: i32,
    offset: From,
}

impl DeleteRecords {
    pub(crate) fn random(random: &mut Random) -> Self {
        let (low, back) = (random.between(0, 10), random.between(-8, 1));
        Self {
            version: random.version(DeleteRecordsRequest::VERSIONS),
            topic: random.topic(),
            partition: random.partition(),
            offset: random.of(&[
                From::At(low),
                From::At(low),
                From::End(back),
                From::At(-1),
                From::At(-2),
                From::At(9_999),
            ]),
        }
    }
}

impl Operation for DeleteRecords {
    fn run(&self, world: &mut World) -> String {
        let name = world.topic(self.topic);
        let offset = match self.offset {
            From::At(offset) => offset,
            From::End(more) => {
                world
                    .ends
                    .get(&(name.clone(), self.partition))
                    .copied()
                    .unwrap_or(0)
                    + more
            }
        };
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(self.partition)
            .with_offset(offset);
        let topic = DeleteRecordsTopic::default()
            .with_name(topic_name(&name))
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(5_000);
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    version: i16,
    topics: Option<Vec<Topic>>,
    by_id: bool,
    operations: bool,
}

impl Metadata {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(MetadataRequest::VERSIONS);
        let count = random.or(1, 30, &[0, 2]);
        let odd = random.of(&ODD_NAMES);
        let topic = |random: &mut Random| {
            let topic = random.topic();
            random.or(topic, 10, &[odd])
        };
        let by_id = version >= 12 && random.chance(50);
        let all = random.chance(25);
        Self {
            version,
            topics: (!all || version == 0).then(|| (0..count).map(|_| topic(random)).collect()),
            by_id,
            operations: random.chance(30),
        }
    }
}

impl Operation for Metadata {
    fn run(&self, world: &mut World) -> String {
        let topic = |topic: &Topic| {
            let mut asked =
                MetadataRequestTopic::default().with_name(Some(topic_name(&world.topic(*topic))));
            if self.by_id {
                asked.name = None;
                asked.topic_id = world.topic_id(*topic);
            }
            asked
        };
        let topics = self
            .topics
            .as_ref()
            .map(|topics| topics.iter().map(topic).collect());
        let mut request = MetadataRequest::default()
            .with_topics(topics)
            .with_allow_auto_topic_creation(self.version < 4);
        if self.version >= 8 {
            request.include_topic_authorized_operations = self.operations;
            request.include_cluster_authorized_operations = self.operations && self.version <= 10;
        }
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DescribePartitions {
    topics: Vec<Topic>,
    limit: i32,
    cursor: Option<(Topic, i32)>,
}

impl DescribePartitions {
    pub(crate) fn random(random: &mut Random) -> Self {
        let count = random.between(1, 3);
        let cursor = (random.topic(), random.of(&[0, 1, 2, 9, -1]));
        Self {
            topics: (0..count).map(|_| random.topic()).collect(),
            limit: random.or(2_000, 30, &[1, 2, 0, -1]),
            cursor: random.or(None, 25, &[Some(cursor)]),
        }
    }
}

impl Operation for DescribePartitions {
    fn run(&self, world: &mut World) -> String {
        let topic =
            |topic: &Topic| TopicRequest::default().with_name(topic_name(&world.topic(*topic)));
        let cursor = self.cursor.map(|(topic, partition)| {
            Cursor::default()
                .with_topic_name(topic_name(&world.topic(topic)))
                .with_partition_index(partition)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(self.topics.iter().map(topic).collect())
            .with_response_partition_limit(self.limit)
            .with_cursor(cursor);
        world.ask(0, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DescribeCluster {
    version: i16,
    operations: bool,
    endpoint_type: i8,
}

impl DescribeCluster {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            version: random.version(DescribeClusterRequest::VERSIONS),
            operations: random.chance(50),
            endpoint_type: random.or(1, 20, &[2, 0, 3]),
        }
    }
}

impl Operation for DescribeCluster {
    fn run(&self, world: &mut World) -> String {
        let mut request = DescribeClusterRequest::default()
            .with_include_cluster_authorized_operations(self.operations);
        if self.version >= 1 {
            request.endpoint_type = self.endpoint_type;
        }
        world.ask(self.version, &request).1
    }
}
