//! Why a cluster did not do what was asked.

use std::fmt;
use std::sync::Arc;

use kafka_protocol::ResponseError;

use crate::wire::WireError;

/// A Kafka error code, shown with Kafka's own name: `NOT_LEADER_OR_FOLLOWER (6)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ErrorCode(pub i16);

impl ErrorCode {
    /// Success.
    pub const NONE: Self = Self(0);
    /// The position is not in the log.
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    /// A batch's checksum is wrong.
    pub const CORRUPT_MESSAGE: Self = Self(2);
    /// No such topic or partition, or one that we may not see.
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    /// The partition has no leader now.
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    /// The broker asked does not lead the partition.
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    /// In the leader's log, but not replicated in time.
    pub const REQUEST_TIMED_OUT: Self = Self(7);
    /// A batch is larger than the topic's `max.message.bytes`.
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    /// The coordinator is reading its log; ask again.
    pub const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    /// There is no coordinator now; look it up again.
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    /// The broker asked does not coordinate; look the coordinator up again.
    pub const NOT_COORDINATOR: Self = Self(16);
    /// A batch is larger than a segment.
    pub const RECORD_LIST_TOO_LARGE: Self = Self(18);
    /// The group has members, and we are none of them.
    pub const UNKNOWN_MEMBER_ID: Self = Self(25);
    /// READ, WRITE or DESCRIBE on the topic is missing.
    pub const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    /// READ or DESCRIBE on the group is missing.
    pub const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    /// A permission on the cluster is missing.
    pub const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    /// A timestamp is outside what the topic allows.
    pub const INVALID_TIMESTAMP: Self = Self(32);
    /// The broker does not offer the request, or not what it asks for.
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    /// The topic is there already.
    pub const TOPIC_ALREADY_EXISTS: Self = Self(36);
    /// The topic has as many partitions already.
    pub const INVALID_PARTITIONS: Self = Self(37);
    /// An idempotent producer's sequence does not follow what the partition holds.
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: Self = Self(45);
    /// The batch is in the log already (never seen from 4.3.1, sent by older brokers).
    pub const DUPLICATE_SEQUENCE_NUMBER: Self = Self(46);
    /// A newer owner of the producer id has written.
    pub const INVALID_PRODUCER_EPOCH: Self = Self(47);
    /// The coordinator knows the transactional id under another producer id, or not at all.
    pub const INVALID_PRODUCER_ID_MAPPING: Self = Self(49);
    /// The transactional id is busy: with the markers of its last transaction, or with another owner's request.
    pub const CONCURRENT_TRANSACTIONS: Self = Self(51);
    /// WRITE or DESCRIBE on the transactional id is missing.
    pub const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Self = Self(53);
    /// The broker knows nothing of the producer id any more.
    pub const UNKNOWN_PRODUCER_ID: Self = Self(59);
    /// No such group, or one of another kind than the request is about.
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    /// A Fetch session is gone.
    pub const FETCH_SESSION_ID_NOT_FOUND: Self = Self(70);
    /// A Fetch session's epoch is wrong.
    pub const INVALID_FETCH_SESSION_EPOCH: Self = Self(71);
    /// Our leader epoch is older than the broker's.
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    /// Our leader epoch is newer than the broker's.
    pub const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    /// A batch breaks a rule of the log.
    pub const INVALID_RECORD: Self = Self(87);
    /// A newer owner of the transactional id has shown up.
    pub const PRODUCER_FENCED: Self = Self(90);
    /// The topic was deleted, or re-created under another id.
    pub const UNKNOWN_TOPIC_ID: Self = Self(100);
    /// The topic was re-created under another id.
    pub const INCONSISTENT_TOPIC_ID: Self = Self(103);

    /// None for success.
    pub fn err(self) -> Option<Self> {
        (self != Self::NONE).then_some(self)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = match ResponseError::try_from_code(self.0) {
            None => return f.write_str("NONE (0)"),
            Some(ResponseError::Unknown(code)) => return write!(f, "error ({code})"),
            Some(known) => known,
        };
        // kafka-protocol names codes in camel case; operators search for Kafka's own spelling.
        let camel = format!("{known:?}");
        for (at, letter) in camel.chars().enumerate() {
            if at > 0 && letter.is_ascii_uppercase() {
                f.write_str("_")?;
            }
            write!(f, "{}", letter.to_ascii_uppercase())?;
        }
        write!(f, " ({})", self.0)
    }
}

/// A broker's "no" to one item of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Kafka's error code.
    pub code: ErrorCode,
    /// The broker's text, where it gave one.
    pub message: Option<String>,
}

impl Refusal {
    /// None when `code` is success.
    pub(crate) fn new(code: i16, message: Option<&str>) -> Option<Self> {
        let message = message.filter(|text| !text.is_empty()).map(str::to_owned);
        ErrorCode(code).err().map(|code| Self { code, message })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.message
            .as_ref()
            .map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

/// Why a request to a cluster failed. Names the cluster by its alias.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// No broker answers.
    #[error("cluster {alias} is unreachable{}", last.as_ref().map(|e| format!(": {e}")).unwrap_or_default())]
    Unreachable {
        /// Alias of the cluster.
        alias: Arc<str>,
        /// Why the last broker that was tried did not.
        last: Option<WireError>,
    },
    /// A broker id that no Metadata answer names: it has just left, or not yet come.
    #[error("cluster {alias} names no address for broker {broker}")]
    UnknownBroker {
        /// Alias of the cluster.
        alias: Arc<str>,
        /// Node id.
        broker: i32,
    },
    /// The partition has no leader, or its topic is not there.
    #[error("cluster {alias}: {topic}-{partition} has no leader: {reason}")]
    NoLeader {
        /// Alias of the cluster.
        alias: Arc<str>,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// What Metadata said.
        reason: ErrorCode,
    },
    /// The cluster answered with an error.
    #[error("cluster {alias} refused {api} for {what}: {refusal}")]
    Refused {
        /// Alias of the cluster.
        alias: Arc<str>,
        /// Name of the request.
        api: &'static str,
        /// What it was about.
        what: String,
        /// The broker's answer.
        refusal: Refusal,
    },
    /// An internal topic holds something that cannot be read.
    #[error("cluster {alias}: cannot read {what}: {reason}")]
    Unreadable {
        /// Alias of the cluster.
        alias: Arc<str>,
        /// Topic and partition.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// Talking to a broker failed.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl ClusterError {
    /// The error code, where the cluster answered with one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal.code),
            Self::NoLeader { reason, .. } => Some(*reason),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_kafkas_names() {
        assert_eq!(
            ErrorCode::NOT_LEADER_OR_FOLLOWER.to_string(),
            "NOT_LEADER_OR_FOLLOWER (6)"
        );
        assert_eq!(
            ErrorCode::UNKNOWN_TOPIC_ID.to_string(),
            "UNKNOWN_TOPIC_ID (100)"
        );
        assert_eq!(ErrorCode(-1).to_string(), "UNKNOWN_SERVER_ERROR (-1)");
        assert_eq!(ErrorCode(0).to_string(), "NONE (0)");
        assert_eq!(ErrorCode(9_999).to_string(), "error (9999)");
    }
}
