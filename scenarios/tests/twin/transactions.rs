//! Producer ids and transactions, in both styles (docs/spec/real-kafka.md 1 and 2).

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Message, VersionRange};

use crate::random::{Group, PRODUCERS, Random, TRANSACTIONAL_FROM, Topic};
use crate::world::{Operation, World, text, topic_name};

/// Versions of AddPartitionsToTxn that clients may use; brokers use those above.
const ADD_VERSIONS: VersionRange = VersionRange { min: 0, max: 3 };

/// Which producer id a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pid {
    Own,
    Other,
    None,
}

impl Pid {
    fn random(random: &mut Random, odd_percent: u32) -> Self {
        random.or(Self::Own, odd_percent, &[Self::Other, Self::None])
    }

    fn of(self, world: &World, slot: usize) -> ProducerId {
        ProducerId(match self {
            Self::Own => world.producers[slot].id,
            Self::Other => 800_000_000,
            Self::None => -1,
        })
    }
}

pub(crate) fn transactional(random: &mut Random) -> usize {
    random.between(TRANSACTIONAL_FROM as i64, PRODUCERS as i64 - 1) as usize
}

#[derive(Clone, Debug)]
pub(crate) struct InitProducerId {
    version: i16,
    slot: usize,
    with_id: bool,
    empty_id: bool,
    pid: Pid,
    epoch: Option<i16>,
    timeout_ms: i32,
}

impl InitProducerId {
    pub(crate) fn slot(slot: usize) -> Self {
        Self {
            version: 5,
            slot,
            with_id: slot >= TRANSACTIONAL_FROM,
            empty_id: false,
            pid: Pid::None,
            epoch: None,
            timeout_ms: 600_000,
        }
    }

    pub(crate) fn random(random: &mut Random) -> Self {
        let slot = random.below(PRODUCERS);
        let version = random.version(InitProducerIdRequest::VERSIONS);
        let named = version >= 3 && random.chance(45);
        Self {
            version,
            slot,
            with_id: slot >= TRANSACTIONAL_FROM || random.chance(5),
            empty_id: random.chance(3),
            pid: if named {
                Pid::random(random, 15)
            } else {
                Pid::None
            },
            epoch: if named {
                random.or(Some(0), 20, &[Some(1), Some(-1), Some(-2), None])
            } else {
                None
            },
            timeout_ms: random.or(600_000, 8, &[0, -1, 1_000_000_000]),
        }
    }
}

impl Operation for InitProducerId {
    fn run(&self, world: &mut World) -> String {
        let id = match self.empty_id {
            true => TransactionalId(text("")),
            false => world.transactional_id(self.slot),
        };
        let mut request = InitProducerIdRequest::default()
            .with_transactional_id((self.with_id || self.empty_id).then_some(id))
            .with_transaction_timeout_ms(self.timeout_ms);
        if self.version >= 3 {
            request.producer_id = self.pid.of(world, self.slot);
            let own = world.producers[self.slot].epoch;
            request.producer_epoch = self.epoch.map_or(-1, |more| own.saturating_add(more));
        }
        let (answer, text) = world.ask(self.version, &request);
        if let Some(answer) = answer.filter(|a| a.error_code == 0) {
            world.producers[self.slot].restart(answer.producer_id.0, answer.producer_epoch);
        }
        world.settle_transactions();
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct AddPartitions {
    version: i16,
    slot: usize,
    pid: Pid,
    epoch: i16,
    parts: Vec<(Topic, i32)>,
}

impl AddPartitions {
    pub(crate) fn random(random: &mut Random) -> Self {
        let slot = transactional(random);
        let (topic, partition) = (random.topic(), random.partition());
        Self::to(random, slot, topic, partition)
    }

    pub(crate) fn to(random: &mut Random, slot: usize, topic: Topic, partition: i32) -> Self {
        let mut parts = vec![(topic, partition)];
        if random.chance(15) {
            parts.push((random.topic(), random.partition()));
        }
        Self {
            version: random.version(ADD_VERSIONS),
            slot,
            pid: Pid::random(random, 5),
            epoch: random.or(0, 6, &[1, -1]),
            parts,
        }
    }
}

impl Operation for AddPartitions {
    fn run(&self, world: &mut World) -> String {
        let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
        for (topic, partition) in &self.parts {
            let name = topic_name(&world.topic(*topic));
            match topics.iter_mut().find(|t| t.name == name) {
                Some(known) => known.partitions.push(*partition),
                None => topics.push(
                    AddPartitionsToTxnTopic::default()
                        .with_name(name)
                        .with_partitions(vec![*partition]),
                ),
            }
        }
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(world.transactional_id(self.slot))
            .with_v3_and_below_producer_id(self.pid.of(world, self.slot))
            .with_v3_and_below_producer_epoch(
                world.producers[self.slot].epoch.saturating_add(self.epoch),
            )
            .with_v3_and_below_topics(topics);
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct EndTxn {
    version: i16,
    slot: usize,
    commit: bool,
    pid: Pid,
    epoch: i16,
}

impl EndTxn {
    pub(crate) fn random(random: &mut Random) -> Self {
        let (slot, version) = (
            transactional(random),
            random.version(EndTxnRequest::VERSIONS),
        );
        Self::of(random, slot, version)
    }

    pub(crate) fn of(random: &mut Random, slot: usize, version: i16) -> Self {
        Self {
            version,
            slot,
            commit: random.chance(65),
            pid: Pid::random(random, 5),
            epoch: random.or(0, 8, &[1, -1, -1]),
        }
    }
}

impl Operation for EndTxn {
    fn run(&self, world: &mut World) -> String {
        let request = EndTxnRequest::default()
            .with_transactional_id(world.transactional_id(self.slot))
            .with_producer_id(self.pid.of(world, self.slot))
            .with_producer_epoch(world.producers[self.slot].epoch.saturating_add(self.epoch))
            .with_committed(self.commit);
        let (answer, text) = world.ask(self.version, &request);
        if let Some(answer) = answer.filter(|a| a.error_code == 0 && self.version >= 5) {
            world.producers[self.slot].restart(answer.producer_id.0, answer.producer_epoch);
        }
        world.settle_transactions();
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct AddOffsets {
    version: i16,
    slot: usize,
    group: Group,
    pid: Pid,
    epoch: i16,
}

impl AddOffsets {
    pub(crate) fn random(random: &mut Random) -> Self {
        let (slot, group) = (transactional(random), random.group());
        Self::of(random, slot, group)
    }

    pub(crate) fn of(random: &mut Random, slot: usize, group: Group) -> Self {
        Self {
            version: random.version(AddOffsetsToTxnRequest::VERSIONS),
            slot,
            group,
            pid: Pid::random(random, 5),
            epoch: random.or(0, 6, &[1, -1]),
        }
    }
}

impl Operation for AddOffsets {
    fn run(&self, world: &mut World) -> String {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(world.transactional_id(self.slot))
            .with_producer_id(self.pid.of(world, self.slot))
            .with_producer_epoch(world.producers[self.slot].epoch.saturating_add(self.epoch))
            .with_group_id(world.group(self.group));
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct CommitOffsetsInTxn {
    version: i16,
    slot: usize,
    group: Group,
    pid: Pid,
    epoch: i16,
    topic: Topic,
    partition: i32,
    offset: i64,
    /// Name the group's member and its generation moved by this much.
    member: Option<i32>,
}

impl CommitOffsetsInTxn {
    pub(crate) fn random(random: &mut Random) -> Self {
        let (slot, group) = (transactional(random), random.group());
        let version = random.version(TxnOffsetCommitRequest::VERSIONS);
        Self::of(random, slot, group, version)
    }

    pub(crate) fn of(random: &mut Random, slot: usize, group: Group, version: i16) -> Self {
        Self {
            version,
            slot,
            group,
            pid: Pid::random(random, 5),
            epoch: random.or(0, 6, &[1, -1]),
            topic: random.topic(),
            partition: random.partition(),
            offset: random.between(-1, 100),
            member: random.or(None, 15, &[Some(0), Some(0), Some(1)]),
        }
    }
}

impl Operation for CommitOffsetsInTxn {
    fn run(&self, world: &mut World) -> String {
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(self.partition)
            .with_committed_offset(self.offset)
            .with_committed_leader_epoch(-1)
            .with_committed_metadata(Some(text("in a transaction")));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(topic_name(&world.topic(self.topic)))
            .with_partitions(vec![partition]);
        let mut request = TxnOffsetCommitRequest::default()
            .with_transactional_id(world.transactional_id(self.slot))
            .with_group_id(world.group(self.group))
            .with_producer_id(self.pid.of(world, self.slot))
            .with_producer_epoch(world.producers[self.slot].epoch.saturating_add(self.epoch))
            .with_topics(vec![topic]);
        if let (Some(more), Group::Slot(group)) = (self.member, self.group)
            && self.version >= 3
        {
            request.member_id = text(&world.members[group].member_id);
            request.generation_id = world.members[group].generation + more;
        }
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DescribeProducers {
    parts: Vec<(Topic, i32)>,
}

impl DescribeProducers {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            parts: vec![(random.topic(), random.partition())],
        }
    }
}

impl Operation for DescribeProducers {
    fn run(&self, world: &mut World) -> String {
        let topic = |(topic, partition): &(Topic, i32)| {
            TopicRequest::default()
                .with_name(topic_name(&world.topic(*topic)))
                .with_partition_indexes(vec![*partition])
        };
        let request =
            DescribeProducersRequest::default().with_topics(self.parts.iter().map(topic).collect());
        world.ask(0, &request).1
    }
}

/// DescribeTransactions of one slot, or of an id that nobody has used.
#[derive(Clone, Debug)]
pub(crate) struct DescribeTransaction {
    slot: usize,
}

impl DescribeTransaction {
    pub(crate) fn random(random: &mut Random) -> Self {
        let slot = transactional(random);
        Self {
            slot: random.or(slot, 10, &[77]),
        }
    }
}

impl Operation for DescribeTransaction {
    fn run(&self, world: &mut World) -> String {
        let ids = vec![world.transactional_id(self.slot)];
        world
            .ask(
                0,
                &DescribeTransactionsRequest::default().with_transactional_ids(ids),
            )
            .1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ListTransactions {
    version: i16,
    states: Vec<&'static str>,
    producer: Option<usize>,
    pattern: Option<&'static str>,
}

impl ListTransactions {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(ListTransactionsRequest::VERSIONS);
        let states = match random.below(5) {
            0 => vec!["Ongoing"],
            1 => vec!["Empty", "CompleteCommit"],
            2 => vec!["Nonsense", "ongoing"],
            _ => vec![],
        };
        let slot = transactional(random);
        Self {
            version,
            states,
            producer: random.or(None, 20, &[Some(slot)]),
            pattern: if version >= 2 {
                random.or(None, 50, &[Some(".*-tx3"), Some(""), Some("["), Some("x")])
            } else {
                None
            },
        }
    }
}

impl Operation for ListTransactions {
    fn run(&self, world: &mut World) -> String {
        let mut request = ListTransactionsRequest::default()
            .with_state_filters(self.states.iter().map(|s| text(s)).collect());
        if self.version >= 1 {
            request.duration_filter = -1;
        }
        if self.version >= 2 {
            request.transactional_id_pattern = self.pattern.map(text);
        }
        request.producer_id_filters = self
            .producer
            .map(|slot| ProducerId(world.producers[slot].id))
            .into_iter()
            .collect();
        world.ask(self.version, &request).1
    }
}

impl World {
    /// Waits until no transaction of this list is on its way to its end: EndTxn is answered before the
    /// markers are written (docs/spec/real-kafka.md 1, step 4).
    pub(crate) fn settle_transactions(&mut self) {
        let ids = (TRANSACTIONAL_FROM..PRODUCERS)
            .map(|slot| self.transactional_id(slot))
            .collect();
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
        self.until("transactions to end", |world| {
            let (answer, _) = world.ask(0, &request);
            let states = answer.into_iter().flat_map(|a| a.transaction_states);
            states
                .into_iter()
                .all(|t| !t.transaction_state.starts_with("Prepare"))
        });
    }
}
