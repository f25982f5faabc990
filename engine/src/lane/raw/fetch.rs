//! What to ask one source broker for, and what it answered.
//!
//! By topic id where the broker offers Fetch v13 and the topic has an id, else by name; always with leader epochs
//! where the version knows them: then a re-created topic, a truncated log and a stale leader announce themselves in the
//! first answer, while without they are silent divergence (`docs/spec/real-kafka.md` 5).
//!
//! Inside a Fetch session (KIP-227) only what changed is asked for; without it a thousand idle
//! partitions cost tens of kilobytes a round.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::cluster::ErrorCode;
use crate::wire::{BrokerVersions, Frame, WireError, decode_response, encode_request};

/// Name of the request.
pub const API: &str = "Fetch";
/// 17 is the last version with something for a consumer.
const VERSION_MAX: i16 = 17;
const VERSION_MAX_BY_NAME: i16 = 12;
/// First versions with sessions, with the leader epoch, with the last fetched epoch.
const VERSION_SESSIONS: i16 = 7;
const VERSION_LEADER_EPOCH: i16 = 9;
const VERSION_LAST_FETCHED_EPOCH: i16 = 12;
/// The epoch that opens a session, and the one that asks for none.
const SESSION_OPEN: i32 = 0;
const SESSION_NONE: i32 = -1;

/// A followed partition's number within one source link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// A partition and the place to read on at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Source topic.
    pub topic: Arc<str>,
    /// Its id; nil when the cluster is too old to say.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// First offset wanted.
    pub offset: i64,
    /// The leader epoch that we believe in; -1 unknown.
    pub leader_epoch: i32,
    /// The epoch of the last batch read; -1 unknown.
    pub last_fetched_epoch: i32,
    /// Most bytes wanted of it in one answer; a first batch comes whole even if it is larger.
    pub bytes_max: i32,
}

/// What holds for a whole request.
#[derive(Clone, Copy, Debug)]
pub struct FetchLimits {
    /// How long the broker may wait for news.
    pub wait_ms: i32,
    /// Most bytes in one answer.
    pub bytes_max: i32,
    /// Leave open and aborted transactions out (`isolation.level=read_committed`).
    pub read_committed: bool,
}

/// One partition's part of an answer.
#[derive(Debug)]
pub struct Fetched {
    /// Which of the followed partitions.
    pub slot: Slot,
    /// NONE, or why there is nothing.
    pub error: ErrorCode,
    /// End of what consumers may read; -1 unknown.
    pub high_watermark: i64,
    /// First offset that is still there; -1 unknown.
    pub log_start: i64,
    /// The log does not hold what we read last: (epoch, its end offset).
    pub diverging: Option<(i32, i64)>,
    /// Aborted transactions that reach into the records: (producer id, first offset).
    pub aborted: Vec<(i64, i64)>,
    /// Whole batches, maybe a cut-off one at the end.
    pub records: Bytes,
}

/// One answer.
#[derive(Debug)]
pub struct FetchAnswer {
    /// Stay silent on this connection for so long (KIP-219).
    pub throttle_ms: i32,
    /// What there is of each partition. Partitions without news are left out.
    pub partitions: Vec<Fetched>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum TopicKey {
    Id(Uuid),
    Name(Arc<str>),
}

/// The Fetch session with one source broker; lives as long as the connection.
#[derive(Debug)]
pub struct FetchSession {
    version: i16,
    version_by_name: i16,
    id: i32,
    epoch: i32,
    /// What the broker's session holds, by slot.
    held: HashMap<Slot, Wanted>,
    /// Which slot an answer's partition belongs to.
    slots: HashMap<(TopicKey, i32), Slot>,
    /// Version of the request in flight.
    asked_version: i16,
    /// Where the next sessionless request begins, so that not always the same partition wins.
    rotation: usize,
}

impl FetchSession {
    /// A new session for a connection whose broker offers `versions`.
    ///
    /// # Errors
    /// [`WireError::Unsupported`] below Kafka 0.11.
    pub fn new(versions: &BrokerVersions) -> Result<Self, WireError> {
        Ok(Self {
            version: versions.best::<FetchRequest>(API, VERSION_MAX)?,
            version_by_name: versions.best::<FetchRequest>(API, VERSION_MAX_BY_NAME)?,
            id: 0,
            epoch: SESSION_OPEN,
            held: HashMap::new(),
            slots: HashMap::new(),
            asked_version: 0,
            rotation: 0,
        })
    }

    /// The next request: `wanted` is everything that may be fetched now; what the session holds beyond it is forgotten (paused).
    ///
    /// # Errors
    /// [`WireError::Encode`], which would be a fault of ours.
    pub fn request(
        &mut self,
        wanted: &[(Slot, Wanted)],
        limits: FetchLimits,
        client_id: &str,
    ) -> Result<Frame, WireError> {
        let by_id = self.version > VERSION_MAX_BY_NAME
            && wanted.iter().all(|(_, wanted)| !wanted.topic_id.is_nil());
        let version = if by_id {
            self.version
        } else {
            self.version_by_name
        };
        if version != self.asked_version {
            // A session cannot change between names and ids.
            self.reset();
            self.asked_version = version;
        }
        let forgotten = self.forget_missing(wanted, by_id);
        let in_session = self.epoch > SESSION_OPEN;
        let mut topics: Vec<FetchTopic> = Vec::new();
        let start = if in_session || wanted.is_empty() {
            0
        } else {
            self.rotation % wanted.len()
        };
        self.rotation = self.rotation.wrapping_add(1);
        let (behind, ahead) = wanted.split_at(start);
        for (slot, wanted) in ahead.iter().chain(behind) {
            if in_session && self.held.get(slot) == Some(wanted) {
                continue; // the broker has it
            }
            self.held.insert(*slot, wanted.clone());
            self.slots
                .insert((topic_key(wanted, by_id), wanted.partition), *slot);
            push_partition(&mut topics, wanted, version, by_id);
        }
        let sessions = version >= VERSION_SESSIONS;
        let request = FetchRequest::default()
            .with_max_wait_ms(limits.wait_ms)
            .with_min_bytes(1)
            .with_max_bytes(limits.bytes_max)
            .with_isolation_level(i8::from(limits.read_committed))
            .with_session_id(if sessions { self.id } else { 0 })
            .with_session_epoch(if sessions { self.epoch } else { SESSION_NONE })
            .with_topics(topics)
            .with_forgotten_topics_data(if in_session { forgotten } else { Vec::new() });
        encode_request(API, &request, version, client_id)
    }

    /// Drops what is not wanted now from the session's books; for the broker's, what must be said.
    fn forget_missing(&mut self, wanted: &[(Slot, Wanted)], by_id: bool) -> Vec<ForgottenTopic> {
        let unchanged = self.held.len() == wanted.len()
            && wanted.iter().all(|(slot, _)| self.held.contains_key(slot));
        if unchanged {
            return Vec::new();
        }
        let still: HashSet<Slot> = wanted.iter().map(|(slot, _)| *slot).collect();
        // A partition that is followed anew, under another slot, stays: brokers add first and forget then.
        let again: HashSet<(TopicKey, i32)> = wanted
            .iter()
            .map(|(_, w)| (topic_key(w, by_id), w.partition))
            .collect();
        let gone: Vec<Slot> = self
            .held
            .keys()
            .filter(|slot| !still.contains(slot))
            .copied()
            .collect();
        let mut forgotten: Vec<ForgottenTopic> = Vec::new();
        for slot in gone {
            let Some(old) = self.held.remove(&slot) else {
                continue;
            };
            let key = (topic_key(&old, by_id), old.partition);
            self.slots.remove(&key);
            if again.contains(&key) {
                continue;
            }
            let topic = if by_id {
                ForgottenTopic::default().with_topic_id(old.topic_id)
            } else {
                ForgottenTopic::default().with_topic(name(&old.topic))
            };
            forgotten.push(topic.with_partitions(vec![old.partition]));
        }
        forgotten
    }

    /// Reads the answer to the last request.
    ///
    /// # Errors
    /// What is malformed about it.
    pub fn answer(&mut self, bytes: Bytes) -> Result<FetchAnswer, String> {
        let answer: FetchResponse = decode_response(bytes, self.asked_version)?;
        let throttle_ms = answer.throttle_time_ms;
        match ErrorCode(answer.error_code) {
            ErrorCode::NONE => {}
            // Evicted, or out of step: open a new one. Nothing is lost, every partition is asked for again.
            // FETCH_SESSION_TOPIC_ID_ERROR (106): names and ids were mixed, as during an upgrade.
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND
            | ErrorCode::INVALID_FETCH_SESSION_EPOCH
            | ErrorCode(106) => {
                self.reset();
                return Ok(FetchAnswer {
                    throttle_ms,
                    partitions: Vec::new(),
                });
            }
            code => return Err(format!("the whole request failed: {code}")),
        }
        if answer.session_id == 0 {
            // The broker keeps no session for us (its cache is full, or it is too old): full requests.
            self.id = 0;
            self.epoch = SESSION_OPEN;
        } else {
            self.id = answer.session_id;
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
        let mut partitions = Vec::new();
        for topic in answer.responses {
            let key = if self.asked_version > VERSION_MAX_BY_NAME {
                TopicKey::Id(topic.topic_id)
            } else {
                TopicKey::Name(topic.topic.as_str().into())
            };
            for data in topic.partitions {
                let Some(slot) = self.slots.get(&(key.clone(), data.partition_index)) else {
                    continue; // unfollowed while the request was under way
                };
                let diverging = (data.diverging_epoch.end_offset >= 0)
                    .then_some((data.diverging_epoch.epoch, data.diverging_epoch.end_offset));
                let aborted = data.aborted_transactions.unwrap_or_default();
                partitions.push(Fetched {
                    slot: *slot,
                    error: ErrorCode(data.error_code),
                    high_watermark: data.high_watermark,
                    log_start: data.log_start_offset,
                    diverging,
                    aborted: aborted
                        .iter()
                        .map(|a| (a.producer_id.0, a.first_offset))
                        .collect(),
                    records: data.records.unwrap_or_default(),
                });
            }
        }
        Ok(FetchAnswer {
            throttle_ms,
            partitions,
        })
    }

    fn reset(&mut self) {
        self.id = 0;
        self.epoch = SESSION_OPEN;
        self.held.clear();
        self.slots.clear();
    }
}

fn topic_key(wanted: &Wanted, by_id: bool) -> TopicKey {
    if by_id {
        TopicKey::Id(wanted.topic_id)
    } else {
        TopicKey::Name(wanted.topic.clone())
    }
}

fn name(topic: &str) -> kafka_protocol::messages::TopicName {
    StrBytes::from_string(topic.to_owned()).into()
}

/// Appends a partition, under the last topic if it is the same one.
fn push_partition(topics: &mut Vec<FetchTopic>, wanted: &Wanted, version: i16, by_id: bool) {
    let mut partition = FetchPartition::default()
        .with_partition(wanted.partition)
        .with_fetch_offset(wanted.offset)
        .with_partition_max_bytes(wanted.bytes_max);
    if version >= VERSION_LEADER_EPOCH {
        partition = partition.with_current_leader_epoch(wanted.leader_epoch);
    }
    if version >= VERSION_LAST_FETCHED_EPOCH {
        partition = partition.with_last_fetched_epoch(wanted.last_fetched_epoch);
    }
    let same = |topic: &FetchTopic| {
        if by_id {
            topic.topic_id == wanted.topic_id
        } else {
            topic.topic.as_str() == &*wanted.topic
        }
    };
    match topics.last_mut().filter(|topic| same(topic)) {
        Some(topic) => topic.partitions.push(partition),
        None => {
            let topic = if by_id {
                FetchTopic::default().with_topic_id(wanted.topic_id)
            } else {
                FetchTopic::default().with_topic(name(&wanted.topic))
            };
            topics.push(topic.with_partitions(vec![partition]));
        }
    }
}

#[cfg(test)]
mod tests;
