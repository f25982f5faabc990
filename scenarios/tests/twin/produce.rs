//! Produce: right batches, odd batches (docs/spec/batches.md 1), idempotence (docs/spec/real-kafka.md 3).

use batch::Codec;
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::protocol::Message;

use crate::random::{PRODUCERS, Random, TRANSACTIONAL_FROM, Topic};
use crate::records::{BatchSpec, Oddity, Producer, Times, build};
use crate::world::{Operation, World, topic_name};

/// Whose batch it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// No producer id.
    Nobody,
    /// The producer of this slot.
    Slot(usize),
    /// An id that no cluster has handed out.
    Never(i64),
}

/// The epoch in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Epoch {
    /// The producer's, moved by this much.
    Own(i16),
    Fixed(i16),
}

/// The base sequence in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// The producer's next, moved by this much.
    Next(i32),
    /// That of the n-th last accepted batch, with its count.
    Repeat(usize),
    Fixed(i32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) topic: Topic,
    pub(crate) partition: i32,
    pub(crate) who: Who,
    pub(crate) epoch: Epoch,
    pub(crate) sequence: Sequence,
    pub(crate) batch: BatchSpec,
}

#[derive(Clone, Debug)]
pub(crate) struct Produce {
    pub(crate) version: i16,
    pub(crate) acks: i16,
    /// Slot of the transactional id in the request.
    pub(crate) transactional_id: Option<usize>,
    pub(crate) parts: Vec<Part>,
}

const CODECS: [Codec; 5] = [
    Codec::None,
    Codec::Gzip,
    Codec::Snappy,
    Codec::Lz4,
    Codec::Zstd,
];

impl Produce {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(ProduceRequest::VERSIONS);
        let parts = random.or(1, 12, &[2, 3]);
        let plain = Part::random(random);
        let mut parts: Vec<Part> = (1..parts).map(|_| Part::random(random)).collect();
        parts.push(plain);
        if parts.len() > 1 && random.chance(20) {
            let (topic, partition) = (parts[0].topic, parts[0].partition);
            (parts[1].topic, parts[1].partition) = (topic, partition);
        }
        let slot = random.between(TRANSACTIONAL_FROM as i64, PRODUCERS as i64 - 1) as usize;
        Self {
            version,
            acks: random.weighted(&[(50, -1), (20, 1), (2, 2), (1, -2)]),
            transactional_id: random.or(None, 5, &[Some(slot)]),
            parts,
        }
    }

    /// A batch of the open transaction of `slot`.
    pub(crate) fn transactional(
        random: &mut Random,
        slot: usize,
        topic: Topic,
        partition: i32,
        version: i16,
    ) -> Self {
        let mut part = Part::random(random);
        part.batch.transactional = true;
        part.batch.oddity = random.or(Oddity::None, 5, &[Oddity::Count(1), Oddity::WrongCrc]);
        part.batch.times = Times::Rising(random.between(0, 50));
        (part.topic, part.partition, part.who) = (topic, partition, Who::Slot(slot));
        part.epoch = random.or(Epoch::Own(0), 5, &[Epoch::Own(1), Epoch::Own(-1)]);
        part.sequence = random.or(
            Sequence::Next(0),
            10,
            &[Sequence::Next(1), Sequence::Repeat(0), Sequence::Fixed(0)],
        );
        Self {
            version,
            acks: -1,
            transactional_id: random.or(Some(slot), 4, &[None]),
            parts: vec![part],
        }
    }
}

impl Part {
    fn random(random: &mut Random) -> Self {
        let slot = random.below(PRODUCERS);
        let idempotent = random.below(TRANSACTIONAL_FROM);
        let who = random.weighted(&[
            (45, Who::Nobody),
            (40, Who::Slot(idempotent)),
            (4, Who::Slot(slot)),
            (3, Who::Never(900_000_000 + slot as i64)),
        ]);
        let (epoch, sequence) = match who {
            Who::Nobody => (
                random.or(Epoch::Fixed(-1), 2, &[Epoch::Fixed(3)]),
                random.or(Sequence::Fixed(-1), 2, &[Sequence::Fixed(0)]),
            ),
            Who::Slot(_) => (
                random.or(
                    Epoch::Own(0),
                    12,
                    &[
                        Epoch::Own(1),
                        Epoch::Own(1),
                        Epoch::Own(-1),
                        Epoch::Fixed(-1),
                    ],
                ),
                random.or(
                    Sequence::Next(0),
                    25,
                    &[
                        Sequence::Repeat(0),
                        Sequence::Repeat(0),
                        Sequence::Repeat(3),
                        Sequence::Repeat(5),
                        Sequence::Next(1),
                        Sequence::Next(-1),
                        Sequence::Fixed(0),
                        Sequence::Fixed(-1),
                        Sequence::Fixed(i32::MAX - 1),
                    ],
                ),
            ),
            Who::Never(_) => (
                Epoch::Fixed(random.of(&[0, 5, -1])),
                Sequence::Fixed(random.of(&[0, 7, i32::MAX - 1, -1])),
            ),
        };
        Self {
            topic: random.topic(),
            partition: random.partition(),
            who,
            epoch,
            sequence,
            batch: batch(random),
        }
    }
}

fn batch(random: &mut Random) -> BatchSpec {
    let few = random.between(1, 6) as usize;
    let records = random.or(few, 20, &[1, 20, 50]);
    let rising = random.between(0, 900);
    BatchSpec {
        codec: random.of(&CODECS),
        records,
        value_bytes: random.or(20, 15, &[0, 1, 300, 3_000]),
        null_keys: random.or(0, 15, &[1, 2]),
        null_values: random.or(0, 15, &[1, 3]),
        headers: random.or(0, 15, &[1, 3]),
        times: random.or(
            Times::Rising(rising),
            20,
            &[
                Times::Falling(rising),
                Times::Fixed(-1),
                Times::Fixed(0),
                Times::Fixed(1_000_000),
                Times::Fixed(-2),
                Times::LastAt(2 * 3_600_000),
                Times::LastAt(-3 * 86_400_000),
                Times::LastAt(59 * 60_000),
            ],
        ),
        transactional: random.odd(2),
        oddity: if random.odd(25) {
            oddity(random)
        } else {
            Oddity::None
        },
        salt: random.below(1_000_000) as u32,
    }
}

fn oddity(random: &mut Random) -> Oddity {
    random.of(&[
        Oddity::TwoBatches,
        Oddity::Magic(0),
        Oddity::Magic(1),
        Oddity::Magic(3),
        Oddity::Magic(255),
        Oddity::BaseOffset(5),
        Oddity::BaseOffset(-1),
        Oddity::LeaderEpoch(0),
        Oddity::LeaderEpoch(7),
        Oddity::WrongCrc,
        Oddity::Large(5_000),
        Oddity::Large(1_100_000),
        Oddity::Count(1),
        Oddity::Count(-1),
        Oddity::Count(-100),
        Oddity::LastOffsetDelta(1),
        Oddity::LastOffsetDelta(-1),
        Oddity::LastOffsetDelta(-100),
        Oddity::Gap,
        Oddity::PatchedGap,
        Oddity::SameOffsets,
        Oddity::Backwards,
        Oddity::Bits(0x08),
        Oddity::Bits(0x10),
        Oddity::Bits(0x20),
        Oddity::Bits(0x30),
        Oddity::Bits(0x40),
        Oddity::Bits(0x80),
        Oddity::Bits(0x7f00),
        Oddity::Bits(0x05),
        Oddity::Bits(0x06),
        Oddity::Bits(0x07),
        Oddity::MaxTimestamp(5),
        Oddity::MaxTimestamp(-5),
        Oddity::MaxTimestamp(3 * 3_600_000),
        Oddity::BaseTimestamp(7),
        Oddity::Trailing(5),
        Oddity::Trailing(20),
        Oddity::Trailing(100),
        Oddity::Cut(20),
        Oddity::Cut(11),
        Oddity::Cut(70),
        Oddity::Empty,
        Oddity::Length(1),
        Oddity::Length(-1),
        Oddity::Length(-1_000),
        Oddity::Garbage,
        Oddity::RecordLength(1),
        Oddity::RecordLength(-1),
        Oddity::RecordLength(1_000),
        Oddity::RecordAttributes(1),
        Oddity::HeaderCount(2),
        Oddity::HeaderCount(-1),
        Oddity::NullHeaderName,
        Oddity::BodyTrailing(3),
    ])
}

impl Operation for Produce {
    fn run(&self, world: &mut World) -> String {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        let mut sent = Vec::new();
        for part in &self.parts {
            let name = world.topic(part.topic);
            let at = (name.clone(), part.partition);
            let mut spec = part.batch;
            let producer = resolve(world, part, &at, &mut spec);
            let (bytes, body) = build(&spec, producer, world.names.start_ms);
            world.names.sent.insert(body);
            sent.push((part, at, producer, spec.records));
            let data = PartitionProduceData::default()
                .with_index(part.partition)
                .with_records(Some(bytes));
            let mut topic = TopicProduceData::default().with_partition_data(vec![data]);
            if self.version >= 13 {
                topic.topic_id = world.topic_id(part.topic);
            } else {
                topic.name = topic_name(&name);
            }
            let same =
                |t: &&mut TopicProduceData| t.name == topic.name && t.topic_id == topic.topic_id;
            match topics.iter_mut().find(same) {
                Some(known) => known.partition_data.append(&mut topic.partition_data),
                None => topics.push(topic),
            }
        }
        let request = ProduceRequest::default()
            .with_acks(self.acks)
            .with_timeout_ms(5_000)
            .with_transactional_id(
                self.transactional_id
                    .map(|slot| world.transactional_id(slot)),
            )
            .with_topic_data(topics);
        let (answer, text) = world.ask(self.version, &request);
        let mut accepted = Vec::new();
        for topic in answer.into_iter().flat_map(|a| a.responses) {
            let rows = topic.partition_responses.iter();
            for partition in rows.filter(|p| p.error_code == 0) {
                let here = |(part, at, ..): &(&Part, (String, i32), Producer, usize)| {
                    at.1 == partition.index
                        && (topic.name.as_str() == at.0
                            || world.topic_id(part.topic) == topic.topic_id)
                };
                if let Some(position) = sent.iter().position(here) {
                    accepted.push((position, partition.base_offset));
                }
            }
        }
        // Brokers answer in any order; a producer may be named with several epochs, and one of them stays.
        accepted.sort_unstable();
        for (position, base_offset) in accepted {
            let (part, at, producer, count) = &sent[position];
            let end = world.ends.entry(at.clone()).or_default();
            *end = (*end).max(base_offset + *count as i64);
            let Who::Slot(slot) = part.who else { continue };
            let Some(state) = world.producers.get_mut(slot) else {
                continue;
            };
            if producer.epoch >= 0 {
                state.restart(producer.id, producer.epoch);
            }
            if !matches!(part.sequence, Sequence::Repeat(_)) {
                let next = producer.sequence.wrapping_add(*count as i32);
                let next = if next < 0 { next & i32::MAX } else { next };
                state.next.insert(at.clone(), next);
                state
                    .history
                    .entry(at.clone())
                    .or_default()
                    .push((producer.sequence, *count));
            }
        }
        text
    }
}

fn resolve(world: &World, part: &Part, at: &(String, i32), spec: &mut BatchSpec) -> Producer {
    let (id, own) = match part.who {
        Who::Nobody => (-1, None),
        Who::Never(id) => (id, None),
        Who::Slot(slot) => (world.producers[slot].id, Some(&world.producers[slot])),
    };
    let epoch = match part.epoch {
        Epoch::Own(more) => own.map_or(-1, |p| p.epoch.saturating_add(more)),
        Epoch::Fixed(epoch) => epoch,
    };
    let next = own.and_then(|p| p.next.get(at)).copied().unwrap_or(0);
    let sequence = match part.sequence {
        // Whoever has no id has no sequence either.
        _ if id < 0 && own.is_some() => -1,
        Sequence::Fixed(sequence) => sequence,
        Sequence::Next(more) => next.wrapping_add(more),
        Sequence::Repeat(back) => {
            let history = own
                .and_then(|p| p.history.get(at))
                .map_or(&[][..], Vec::as_slice);
            match history.iter().rev().nth(back) {
                Some((sequence, count)) => {
                    spec.records = *count;
                    *sequence
                }
                None => next,
            }
        }
    };
    Producer {
        id,
        epoch,
        sequence,
    }
}
