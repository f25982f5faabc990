//! Heartbeats: records that prove a flow alive (`docs/spec/mm2.md` 3.2 and 7).

use std::fmt;

use super::schema::{Reader, SchemaError, put_string, put_version};

/// One record of the topic `heartbeats`, partition 0. Its record timestamp equals `timestamp_ms`.
///
/// `Display` is the line of Kafka's `HeartbeatFormatter` (KIP-597).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// Alias of the cluster that the flow reads from.
    pub source_cluster_alias: String,
    /// Alias of the cluster that the flow writes to.
    pub target_cluster_alias: String,
    /// When it was sent. Unit: epoch milliseconds.
    pub timestamp_ms: i64,
}

impl Heartbeat {
    /// The record's key: one per flow, so a compacted topic keeps the last heartbeat of each.
    ///
    /// # Errors
    /// An alias is longer than 32,767 bytes.
    pub fn encode_key(&self) -> Result<Vec<u8>, SchemaError> {
        let mut out = Vec::new();
        put_string(&mut out, "sourceClusterAlias", &self.source_cluster_alias)?;
        put_string(&mut out, "targetClusterAlias", &self.target_cluster_alias)?;
        Ok(out)
    }

    /// The record's value.
    pub fn encode_value(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_version(&mut out);
        out.extend(self.timestamp_ms.to_be_bytes());
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Key or value is not a heartbeat's.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, SchemaError> {
        let (mut key, mut value) = (Reader::new(key), Reader::new(value));
        value.version()?;
        Ok(Self {
            source_cluster_alias: key.string("sourceClusterAlias")?,
            target_cluster_alias: key.string("targetClusterAlias")?,
            timestamp_ms: value.int64("timestamp")?,
        })
    }
}

impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Heartbeat{{sourceClusterAlias={}, targetClusterAlias={}, timestamp={}}}",
            self.source_cluster_alias, self.target_cluster_alias, self.timestamp_ms
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heartbeat(source: &str, target: &str, timestamp_ms: i64) -> Heartbeat {
        Heartbeat {
            source_cluster_alias: source.to_owned(),
            target_cluster_alias: target.to_owned(),
            timestamp_ms,
        }
    }

    #[test]
    fn rf_01_heartbeat_serde() {
        let sent = heartbeat("source-1", "target-2", 1_234_567_890);
        let (key, value) = (
            sent.encode_key().expect("short aliases"),
            sent.encode_value(),
        );
        assert_eq!(key, b"\x00\x08source-1\x00\x08target-2");
        assert_eq!(value, b"\x00\x00\x00\x00\x00\x00\x49\x96\x02\xd2");
        assert_eq!(Heartbeat::decode(&key, &value), Ok(sent));
    }

    #[test]
    fn prints_as_the_console_formatter_does() {
        assert_eq!(
            heartbeat("A", "B", 1_700_000_000_000).to_string(),
            "Heartbeat{sourceClusterAlias=A, targetClusterAlias=B, timestamp=1700000000000}"
        );
    }

    proptest! {
        #[test]
        fn round_trips(source in ".{0,20}", target in ".{0,20}", timestamp_ms in any::<i64>()) {
            let sent = heartbeat(&source, &target, timestamp_ms);
            let key = sent.encode_key().expect("short aliases");
            prop_assert_eq!(Heartbeat::decode(&key, &sent.encode_value()), Ok(sent));
        }

        #[test]
        fn any_bytes_are_answered(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            drop(Heartbeat::decode(&key, &value));
        }
    }
}
