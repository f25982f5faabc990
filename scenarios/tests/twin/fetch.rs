//! Reading: Fetch with and without sessions, ListOffsets, OffsetForLeaderEpoch (docs/spec/real-kafka.md 5).

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
};
use kafka_protocol::protocol::Message;

use crate::random::{Random, Topic};
use crate::world::{Operation, World, topic_name};

/// Limit that cuts nothing in these tests. Unit: bytes.
const PLENTY: i32 = 50 << 20;
/// The slot whose batches the broker compresses anew: two implementations differ in size, so no limits, and no lists of
/// aborted transactions, which reach as far as an index by size tells.
const RECOMPRESSED_SLOT: usize = 4;
/// Read in its place where those count.
const ELSE_SLOT: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    At(i64),
    /// Relative to the end that the client knows of.
    End(i64),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    topic: Topic,
    partition: i32,
    from: From,
    current_leader_epoch: i32,
    last_fetched_epoch: i32,
    bytes_max: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Session {
    None,
    Open,
    Next,
    /// The epoch is this much too large.
    WrongEpoch(i32),
    Unknown,
    Close,
}

#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    version: i16,
    session: Session,
    isolation: i8,
    bytes_max: i32,
    parts: Vec<Part>,
    forgotten: Vec<(Topic, i32)>,
}

impl Fetch {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(FetchRequest::VERSIONS);
        // Sessions: one version for all, so that ids and names are not mixed more often than seldom.
        let session = random.weighted(&[
            (60, Session::None),
            (6, Session::Open),
            (24, Session::Next),
            (2, Session::WrongEpoch(1)),
            (1, Session::WrongEpoch(-1)),
            (1, Session::Unknown),
            (2, Session::Close),
        ]);
        let version = match session {
            Session::None => version,
            _ => random.or(17, 8, &[7, 12, 13]),
        };
        let count = match session {
            Session::Next => random.of(&[0, 0, 1, 2]),
            Session::Open => random.of(&[1, 3, 4]),
            Session::Close => 0,
            _ => random.or(1, 25, &[0, 2, 4]),
        };
        let mut parts: Vec<Part> = (0..count).map(|_| Part::random(random)).collect();
        if session != Session::None {
            for part in parts.iter_mut().filter(|part| part.is_recompressed()) {
                part.topic = Topic::Slot(ELSE_SLOT);
            }
        }
        let recompressed = parts.iter().any(Part::is_recompressed);
        let limited = session == Session::None && !recompressed;
        let isolation = random.of(&[0, 1]);
        let bytes_max = random.or(PLENTY, 15, &[0, 1, 400, 2_000]);
        let mut forgotten = Vec::new();
        if session == Session::Next && random.chance(20) {
            forgotten.push((random.topic(), random.partition()));
        }
        let mut fetch = Self {
            version,
            session,
            isolation: if recompressed { 0 } else { isolation },
            bytes_max: if limited { bytes_max } else { PLENTY },
            parts,
            forgotten,
        };
        if !limited {
            fetch.parts.iter_mut().for_each(|p| p.bytes_max = PLENTY);
        }
        fetch
    }
}

impl Part {
    fn is_recompressed(&self) -> bool {
        matches!(
            self.topic,
            Topic::Slot(RECOMPRESSED_SLOT) | Topic::Old(RECOMPRESSED_SLOT)
        )
    }

    fn random(random: &mut Random) -> Self {
        let (low, back) = (random.between(0, 60), random.between(-8, 0));
        Self {
            topic: random.topic(),
            partition: random.partition(),
            from: random.weighted(&[
                (10, From::At(0)),
                (10, From::At(low)),
                (10, From::End(back)),
                (2, From::End(1)),
                (1, From::At(-1)),
                (1, From::At(1_000_000)),
            ]),
            current_leader_epoch: random.weighted(&[(10, -1), (8, 0), (1, 1), (1, -2)]),
            last_fetched_epoch: random.weighted(&[(10, -1), (8, 0), (1, 1), (1, -2)]),
            bytes_max: random.or(PLENTY, 15, &[0, 1, 300, 1_000]),
        }
    }
}

impl Operation for Fetch {
    fn run(&self, world: &mut World) -> String {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for part in &self.parts {
            let name = world.topic(part.topic);
            let offset = match part.from {
                From::At(offset) => offset,
                From::End(more) => {
                    let end = world.ends.get(&(name.clone(), part.partition)).copied();
                    (end.unwrap_or(0) + more).max(0)
                }
            };
            let mut partition = FetchPartition::default()
                .with_partition(part.partition)
                .with_fetch_offset(offset)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(part.bytes_max);
            if self.version >= 9 {
                partition.current_leader_epoch = part.current_leader_epoch;
            }
            if self.version >= 12 {
                partition.last_fetched_epoch = part.last_fetched_epoch;
            }
            let mut topic = FetchTopic::default().with_partitions(vec![partition]);
            if self.version >= 13 {
                topic.topic_id = world.topic_id(part.topic);
            } else {
                topic.topic = topic_name(&name);
            }
            let same = |t: &&mut FetchTopic| t.topic == topic.topic && t.topic_id == topic.topic_id;
            match topics.iter_mut().find(same) {
                // A partition named twice has no meaning of its own: leave that to brokers' parsers.
                Some(known)
                    if known
                        .partitions
                        .iter()
                        .any(|p| p.partition == part.partition) => {}
                Some(known) => known.partitions.append(&mut topic.partitions),
                None => topics.push(topic),
            }
        }
        let mut request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_min_bytes(0)
            .with_max_bytes(self.bytes_max)
            .with_isolation_level(self.isolation)
            .with_topics(topics);
        if self.version <= 14 {
            request.replica_id = BrokerId(-1);
        }
        if self.version >= 7 {
            (request.session_id, request.session_epoch) = match self.session {
                Session::None => (0, -1),
                Session::Open => (0, 0),
                Session::Next => (world.session_id, world.session_epoch),
                Session::WrongEpoch(more) => (world.session_id, world.session_epoch + more),
                Session::Unknown => (123_456_789, 1),
                Session::Close => (world.session_id, -1),
            };
            for (topic, partition) in &self.forgotten {
                let mut forgotten = ForgottenTopic::default().with_partitions(vec![*partition]);
                if self.version >= 13 {
                    forgotten.topic_id = world.topic_id(*topic);
                } else {
                    forgotten.topic = topic_name(&world.topic(*topic));
                }
                request.forgotten_topics_data.push(forgotten);
            }
        }
        let (answer, text) = world.ask(self.version, &request);
        if let Some(answer) = answer.filter(|a| a.error_code == 0 && self.version >= 7) {
            match self.session {
                Session::Open => {
                    (world.session_id, world.session_epoch) = (answer.session_id, 1);
                    world.sessions.push(answer.session_id);
                }
                Session::Next if world.session_id == 0 && world.session_epoch == 0 => {
                    (world.session_id, world.session_epoch) = (answer.session_id, 1);
                    world.sessions.push(answer.session_id);
                }
                Session::Next if answer.session_id != 0 => world.session_epoch += 1,
                Session::Close => (world.session_id, world.session_epoch) = (0, 0),
                _ => {}
            }
        }
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ListOffsets {
    version: i16,
    isolation: i8,
    /// Topic, partition, timestamp, current leader epoch.
    parts: Vec<(Topic, i32, Timestamp, i32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timestamp {
    Fixed(i64),
    /// Relative to ten seconds before the list's start, when most records were made. Unit: milliseconds.
    Records(i64),
}

impl ListOffsets {
    pub(crate) fn random(random: &mut Random) -> Self {
        let version = random.version(ListOffsetsRequest::VERSIONS);
        let count = random.or(1, 20, &[0, 2, 3]);
        let part = |random: &mut Random| {
            let (low, high) = (
                random.between(0, 900),
                random.between(-1_000_000, 1_000_000),
            );
            let timestamp = random.weighted(&[
                (4, Timestamp::Fixed(-1)),
                (4, Timestamp::Fixed(-2)),
                (4, Timestamp::Fixed(-3)),
                (2, Timestamp::Fixed(-4)),
                (2, Timestamp::Fixed(-5)),
                (1, Timestamp::Fixed(-6)),
                (1, Timestamp::Fixed(-7)),
                (1, Timestamp::Fixed(0)),
                (1, Timestamp::Fixed(i64::MAX)),
                (8, Timestamp::Records(low)),
                (1, Timestamp::Records(high)),
            ]);
            let epoch = random.weighted(&[(10, -1), (4, 0), (1, 1)]);
            (random.topic(), random.partition(), timestamp, epoch)
        };
        Self {
            version,
            isolation: random.of(&[0, 1]),
            parts: (0..count).map(|_| part(random)).collect(),
        }
    }
}

impl Operation for ListOffsets {
    fn run(&self, world: &mut World) -> String {
        let topic = |&(topic, partition, timestamp, epoch): &(Topic, i32, Timestamp, i32)| {
            let mut partition = ListOffsetsPartition::default()
                .with_partition_index(partition)
                .with_timestamp(match timestamp {
                    Timestamp::Fixed(ms) => ms,
                    Timestamp::Records(ms) => world.names.start_ms - 10_000 + ms,
                });
            if self.version >= 4 {
                partition.current_leader_epoch = epoch;
            }
            ListOffsetsTopic::default()
                .with_name(topic_name(&world.topic(topic)))
                .with_partitions(vec![partition])
        };
        let mut request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_topics(self.parts.iter().map(topic).collect());
        if self.version >= 2 {
            request.isolation_level = self.isolation;
        }
        if self.version >= 10 {
            request.timeout_ms = 5_000;
        }
        let asked = |part: &(Topic, i32, Timestamp, i32)| part.2 == Timestamp::Fixed(-3);
        world.names.largest_timestamp = self.parts.iter().any(asked);
        let text = world.ask(self.version, &request).1;
        world.names.largest_timestamp = false;
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct LeaderEpochEnd {
    version: i16,
    topic: Topic,
    partition: i32,
    current_leader_epoch: i32,
    leader_epoch: i32,
}

impl LeaderEpochEnd {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            version: random.version(OffsetForLeaderEpochRequest::VERSIONS),
            topic: random.topic(),
            partition: random.partition(),
            current_leader_epoch: random.weighted(&[(10, -1), (4, 0), (1, 1)]),
            leader_epoch: random.weighted(&[(10, 0), (2, 1), (2, -1), (1, 5)]),
        }
    }
}

impl Operation for LeaderEpochEnd {
    fn run(&self, world: &mut World) -> String {
        let partition = OffsetForLeaderPartition::default()
            .with_partition(self.partition)
            .with_current_leader_epoch(self.current_leader_epoch)
            .with_leader_epoch(self.leader_epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(topic_name(&world.topic(self.topic)))
            .with_partitions(vec![partition]);
        let mut request = OffsetForLeaderEpochRequest::default().with_topics(vec![topic]);
        if self.version >= 3 {
            request.replica_id = BrokerId(-1);
        }
        world.ask(self.version, &request).1
    }
}
