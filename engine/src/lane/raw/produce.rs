//! One Produce request for all partitions of a broker.
//!
//! Written by hand: the message crate would copy every payload into its buffer. Here the frame holds the
//! small parts and the patched headers; the bodies are sent from the buffers that they were fetched into.

use std::sync::Arc;
use std::time::Duration;

use batch::{BatchHeader, HEADER_BYTES};
use bytes::{BufMut, Bytes};
use kafka_protocol::messages::ProduceResponse;
use uuid::Uuid;

use crate::cluster::{ErrorCode, Refusal};
use crate::wire::{BrokerVersions, Frame, WireError, decode_response};

/// API key of Produce.
const KEY: i16 = 0;
/// Name of the request.
pub const API: &str = "Produce";
/// Oldest version that carries message format v2.
const VERSION_MIN: i16 = 3;
/// 13 addresses topics by id, so that a re-created topic refuses our batches (KIP-516).
const VERSION_MAX: i16 = 13;
/// Highest version that addresses topics by name.
const VERSION_MAX_BY_NAME: i16 = 12;
/// First version with compact encodings and tagged fields (KIP-482).
const VERSION_FLEXIBLE: i16 = 9;
/// First version that takes zstd (KIP-110).
const VERSION_ZSTD: i16 = 7;
/// Wait for all in-sync replicas. The message crate's default is 0: no answer would ever come.
const ACKS_ALL: i16 = -1;
/// What the network may take at most, on top of what the broker may.
const NETWORK_GRACE_MAX: Duration = Duration::from_secs(5);

/// How long to wait for an answer from a broker that may itself wait `request_timeout` for its in-sync replicas: a sixth
/// longer, at most 5 s, so that its REQUEST_TIMED_OUT arrives. A connection that is given up costs all
/// its partitions a new start.
pub fn answer_deadline(request_timeout: Duration) -> Duration {
    request_timeout + (request_timeout / 6).min(NETWORK_GRACE_MAX)
}

/// How one broker wants to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceVersions {
    by_id: i16,
    by_name: i16,
}

impl ProduceVersions {
    /// Picks versions from what the broker offers.
    ///
    /// # Errors
    /// [`WireError::Unsupported`] below Kafka 0.11.
    pub fn new(offered: &BrokerVersions) -> Result<Self, WireError> {
        Ok(Self {
            by_id: offered.best_of(API, KEY, VERSION_MIN, VERSION_MAX)?,
            by_name: offered.best_of(API, KEY, VERSION_MIN, VERSION_MAX_BY_NAME)?,
        })
    }

    /// Whether zstd batches are taken.
    pub fn zstd(self) -> bool {
        self.by_name >= VERSION_ZSTD
    }

    /// The version for a request: by id only where every topic has one.
    fn pick(self, batches: &[ProduceBatch]) -> i16 {
        let ids = batches.iter().all(|batch| !batch.topic_id.is_nil());
        if ids { self.by_id } else { self.by_name }
    }
}

/// One partition's batch in a request, its header stamped already.
#[derive(Clone, Debug)]
pub struct ProduceBatch {
    /// Topic on the target.
    pub topic: Arc<str>,
    /// Its id; nil when the cluster is too old to say.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// The stamped header.
    pub header: BatchHeader,
    /// The records, as fetched.
    pub body: Bytes,
}

impl ProduceBatch {
    /// Bytes on the wire.
    pub fn wire_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Writes a request. Returns the frame with the version that its answer must be decoded with.
///
/// `batches` is sorted by topic on return. The caller passes at most one batch per partition: a
/// broker stores one of two, drops the other and says NONE (`docs/spec/real-kafka.md` 4).
pub fn encode(
    batches: &mut [ProduceBatch],
    versions: ProduceVersions,
    client_id: &str,
    timeout_ms: i32,
) -> (Frame, i16) {
    let version = versions.pick(batches);
    let flexible = version >= VERSION_FLEXIBLE;
    batches.sort_by(|a, b| a.topic.cmp(&b.topic));
    let mut frame = Frame::start(API, KEY, version, flexible, client_id);
    let small = frame.small();
    if flexible {
        small.put_u8(0); // transactional id: null
    } else {
        small.put_i16(-1);
    }
    small.put_i16(ACKS_ALL);
    small.put_i32(timeout_ms);
    let same_topic = |a: &ProduceBatch, b: &ProduceBatch| a.topic == b.topic;
    put_array_length(small, flexible, batches.chunk_by(same_topic).count());
    for topic in batches.chunk_by(same_topic) {
        let Some(first) = topic.first() else { continue };
        let small = frame.small();
        if version > VERSION_MAX_BY_NAME {
            small.put_slice(first.topic_id.as_bytes());
        } else {
            put_string(small, flexible, &first.topic);
        }
        put_array_length(small, flexible, topic.len());
        for batch in topic {
            let small = frame.small();
            small.put_i32(batch.partition);
            put_bytes_length(small, flexible, batch.wire_bytes());
            small.put_slice(batch.header.as_bytes());
            frame.push_body(batch.body.clone());
            if flexible {
                frame.small().put_u8(0);
            }
        }
        if flexible {
            frame.small().put_u8(0);
        }
    }
    if flexible {
        frame.small().put_u8(0);
    }
    (frame, version)
}

fn put_array_length(small: &mut Vec<u8>, flexible: bool, length: usize) {
    put_bytes_length(small, flexible, length);
}

/// Arrays and byte strings share one form: i32, or an unsigned varint of length + 1.
fn put_bytes_length(small: &mut Vec<u8>, flexible: bool, length: usize) {
    if flexible {
        put_unsigned_varint(small, length + 1);
    } else {
        // Cannot be cut: a request is bounded far below 2 GB.
        small.put_i32(i32::try_from(length).unwrap_or(i32::MAX));
    }
}

fn put_string(small: &mut Vec<u8>, flexible: bool, text: &str) {
    if flexible {
        put_unsigned_varint(small, text.len() + 1);
    } else {
        // Topic names have at most 249 characters.
        small.put_u16(u16::try_from(text.len()).unwrap_or(0));
    }
    small.put_slice(text.as_bytes());
}

fn put_unsigned_varint(small: &mut Vec<u8>, mut value: usize) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return small.put_u8(low);
        }
        small.put_u8(low | 0x80);
    }
}

/// What a broker said of one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// In the log, at this base offset (-1: the broker does not say).
    Stored {
        /// Offset of the batch's first record on the target.
        base_offset: i64,
    },
    /// Its sequence does not follow what the broker holds: stored already, or something before it is missing.
    OutOfOrder,
    /// Not now: resend with the same sequence. It may be in the log or not.
    Retry {
        /// Why, for the partition's state.
        reason: String,
        /// Ask for metadata before the next try.
        refresh: bool,
    },
    /// Too large for the topic as it is configured now: split it.
    TooLarge(Refusal),
    /// The same bytes will never be accepted while the topic is configured as it is.
    Refused(Refusal),
    /// The lane's producer id is of no use any more: start the partition over.
    Fenced(Refusal),
}

impl Outcome {
    /// Judges a partition's answer. Every code that is not named is tried again and shown: a code that we do not
    /// know is no reason to lose a partition.
    fn judge(code: i16, base_offset: i64, message: Option<&str>) -> Self {
        let Some(refusal) = Refusal::new(code, message) else {
            return Self::Stored { base_offset };
        };
        match refusal.code {
            ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Self::Stored { base_offset: -1 },
            ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER => Self::OutOfOrder,
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => {
                Self::TooLarge(refusal)
            }
            // Row 26 and every rule that the classifier knows: resending cannot help. INVALID_TOPIC (17),
            // UNSUPPORTED_COMPRESSION_TYPE (76), UNSUPPORTED_FOR_MESSAGE_FORMAT (43), POLICY_VIOLATION (44).
            ErrorCode::INVALID_RECORD
            | ErrorCode::INVALID_TIMESTAMP
            | ErrorCode(17 | 43 | 44 | 76) => Self::Refused(refusal),
            // A damaged batch: fetching it again tells whether the source's log or the way is broken.
            ErrorCode::CORRUPT_MESSAGE
            | ErrorCode::INVALID_PRODUCER_EPOCH
            | ErrorCode::UNKNOWN_PRODUCER_ID
            | ErrorCode(48 | 49 | 90) => Self::Fenced(refusal),
            _ => Self::Retry {
                reason: refusal.to_string(),
                refresh: needs_metadata(refusal.code),
            },
        }
    }
}

/// The partition is elsewhere, or gone, or its broker is.
fn needs_metadata(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            | ErrorCode::LEADER_NOT_AVAILABLE
            | ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::FENCED_LEADER_EPOCH
            | ErrorCode::UNKNOWN_LEADER_EPOCH
            | ErrorCode::UNKNOWN_TOPIC_ID
            | ErrorCode::INCONSISTENT_TOPIC_ID
            | ErrorCode(56)
    )
}

/// The answer to one request.
#[derive(Debug)]
pub struct ProduceAnswer {
    /// Stay silent on this connection for so long (KIP-219).
    pub throttle_ms: i32,
    /// What became of each batch, by topic name or, above version 12, by topic id.
    pub partitions: Vec<PartitionAnswer>,
}

/// What became of one batch.
#[derive(Debug)]
pub struct PartitionAnswer {
    /// Topic name; empty above version 12.
    pub topic: String,
    /// Topic id; nil up to version 12.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// The verdict.
    pub outcome: Outcome,
}

impl PartitionAnswer {
    /// Whether this answers `batch`.
    pub fn is_for(&self, batch: &ProduceBatch) -> bool {
        self.partition == batch.partition
            && if self.topic.is_empty() {
                self.topic_id == batch.topic_id
            } else {
                *self.topic == *batch.topic
            }
    }
}

/// Reads an answer.
///
/// # Errors
/// What is malformed about it.
pub fn decode(bytes: Bytes, version: i16) -> Result<ProduceAnswer, String> {
    let answer: ProduceResponse = decode_response(bytes, version)?;
    let mut partitions = Vec::with_capacity(answer.responses.len());
    for topic in answer.responses {
        for partition in topic.partition_responses {
            let first_error = partition.record_errors.first();
            let detail = first_error.and_then(|error| error.batch_index_error_message.as_deref());
            let message = detail.or(partition.error_message.as_deref());
            partitions.push(PartitionAnswer {
                topic: topic.name.to_string(),
                topic_id: topic.topic_id,
                partition: partition.index,
                outcome: Outcome::judge(partition.error_code, partition.base_offset, message),
            });
        }
    }
    Ok(ProduceAnswer {
        throttle_ms: answer.throttle_time_ms,
        partitions,
    })
}

#[cfg(test)]
mod tests;
