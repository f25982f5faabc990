//! What a run does, from its seed.

use engine::batch::Codec;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Topics of a cluster that is read from.
pub(crate) const TOPICS: usize = 2;
/// Partitions of each.
pub(crate) const PARTITIONS: i32 = 2;

/// A run: clusters and configuration, then acts in order.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) setup: Setup,
    pub(crate) acts: Vec<Act>,
}

#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// Both clusters are read from.
    pub(crate) both_ways: bool,
    pub(crate) read_committed: bool,
    /// The flows may use transactional ids.
    pub(crate) fenced: bool,
    /// `offset.flush.interval.ms`
    pub(crate) flush_ms: u64,
    pub(crate) topics: [TopicSetup; TOPICS],
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicSetup {
    pub(crate) compacted: bool,
    /// So is the remote topic.
    pub(crate) target_compacted: bool,
    /// `max.message.bytes` of the remote topic.
    pub(crate) target_bytes: Option<usize>,
    /// `message.timestamp.type=LogAppendTime` of the remote topic.
    pub(crate) target_time: bool,
}

/// Where something is done: a cluster that is read from, its topic, a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) side: usize,
    pub(crate) topic: usize,
    pub(crate) partition: i32,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Write {
        at: Place,
        batches: usize,
        records: usize,
        bytes: usize,
        codec: Codec,
    },
    /// A batch to each partition of the topic, a plain one in between, then the end.
    Transact {
        at: Place,
        records: usize,
        commit: bool,
    },
    /// Closes the active segment, so that the cleaner takes what is before.
    Roll {
        at: Place,
    },
    /// Deletes this share of the partition's records, in percent.
    Delete {
        at: Place,
        percent: i64,
    },
    /// Deletes this share of the remote partition's records, in percent.
    DeleteCopies {
        at: Place,
        percent: i64,
    },
    Recreate {
        at: Place,
    },
    /// The remote topic is deleted and created again.
    RecreateCopies {
        at: Place,
    },
    /// An unclean election loses the last records.
    Truncate {
        at: Place,
        lose: i64,
    },
    /// Somebody else writes to the remote topic.
    Foreign {
        at: Place,
        records: usize,
    },
    /// Answers of the target to its writers are lost.
    LoseAnswers {
        times: u64,
        /// Nor is the connection closed.
        silent: bool,
    },
    /// The target says that another broker leads.
    Refuse {
        times: u64,
    },
    /// Answers of the target to its writers are late. Unit: milliseconds.
    Delay {
        ms: u64,
    },
    /// Whoever takes the lane over does not get far, until [`Act::Release`]. Not among the random acts.
    HoldClaim {
        at: Place,
    },
    /// Somebody is about to take the lane over, with records that it has fetched.
    AwaitClaim,
    /// Ends all faults.
    Release,
    /// Writes are held, and carried out later.
    Hold {
        ms: u64,
    },
    RestartTarget {
        side: usize,
    },
    Kill,
    Stop,
    Start,
    /// The running engine sleeps, and another one is started.
    Replace,
    /// What slept goes on.
    Wake,
    Sleep {
        ms: u64,
    },
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let random = &mut random;
        let fenced = random.random_ratio(5, 6);
        let setup = Setup {
            both_ways: random.random_ratio(1, 4),
            read_committed: random.random_ratio(1, 3),
            fenced,
            flush_ms: *[20, 200, 1_000, 60_000].choose(random).unwrap(),
            topics: [(); TOPICS].map(|()| TopicSetup {
                compacted: random.random_ratio(1, 3),
                target_compacted: random.random_ratio(1, 2),
                target_bytes: random
                    .random_ratio(1, 3)
                    .then(|| random.random_range(700..4_000)),
                target_time: random.random_ratio(1, 6),
            }),
        };
        let sides = if setup.both_ways { 2 } else { 1 };
        let mut acts = vec![Act::Start];
        for _ in 0..random.random_range(15..45) {
            acts.push(act(random, sides, fenced));
        }
        Self { seed, setup, acts }
    }
}

fn act(random: &mut StdRng, sides: usize, fenced: bool) -> Act {
    let at = Place {
        side: random.random_range(0..sides),
        topic: random.random_range(0..TOPICS),
        partition: random.random_range(0..PARTITIONS),
    };
    match random.random_range(0..100) {
        0..30 => Act::Write {
            at,
            batches: random.random_range(1..40),
            records: random.random_range(1..30),
            bytes: *[10, 60, 400].choose(random).unwrap(),
            codec: *[
                Codec::None,
                Codec::None,
                Codec::Gzip,
                Codec::Lz4,
                Codec::Snappy,
                Codec::Zstd,
            ]
            .choose(random)
            .unwrap(),
        },
        30..40 => Act::Transact {
            at,
            records: random.random_range(1..10),
            commit: random.random(),
        },
        40..43 => Act::Roll { at },
        43..45 => Act::Delete {
            at,
            percent: random.random_range(1..=100),
        },
        45 if random.random() => Act::DeleteCopies {
            at,
            percent: random.random_range(1..=100),
        },
        45 => Act::Recreate { at },
        46..48 => Act::Truncate {
            at,
            lose: random.random_range(1..60),
        },
        48..50 => Act::Foreign {
            at,
            records: random.random_range(1..4),
        },
        50..52 => Act::LoseAnswers {
            times: random.random_range(1..4),
            silent: random.random_ratio(1, 4),
        },
        52 => Act::Refuse {
            times: random.random_range(1..8),
        },
        53..57 => Act::Delay {
            ms: random.random_range(5..150),
        },
        57..59 if fenced => Act::Hold {
            ms: random.random_range(50..600),
        },
        59 => Act::RestartTarget {
            side: random.random_range(0..sides),
        },
        60..70 => Act::Kill,
        70..71 => Act::Stop,
        71..82 => Act::Start,
        82..84 if fenced => Act::Replace,
        84..86 => Act::Wake,
        _ => Act::Sleep {
            ms: *[5, 30, 100, 300, 1_100].choose(random).unwrap(),
        },
    }
}
