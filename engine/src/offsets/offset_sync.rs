//! Offset syncs: known pairs of upstream and downstream offset (`docs/spec/mm2.md` 3.4).

use std::fmt;

use super::schema::{Reader, SchemaError, put_string};
use super::{DownstreamOffset, UpstreamOffset};

/// One record of `mm2-offset-syncs.<cluster>.internal`, partition 0. Its value carries no version.
///
/// `Display` is the line of Kafka's `OffsetSyncFormatter` (KIP-597).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetSync {
    /// The topic under its name on the *source*.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Offset of a record on the source.
    pub upstream_offset: UpstreamOffset,
    /// Offset of its copy on the target.
    pub downstream_offset: DownstreamOffset,
}

impl OffsetSync {
    /// The record's key.
    ///
    /// # Errors
    /// The topic is longer than 32,767 bytes.
    pub fn encode_key(&self) -> Result<Vec<u8>, SchemaError> {
        let mut out = Vec::new();
        put_string(&mut out, "topic", &self.topic)?;
        out.extend(self.partition.to_be_bytes());
        Ok(out)
    }

    /// The record's value.
    pub fn encode_value(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(self.upstream_offset.0.to_be_bytes());
        out.extend(self.downstream_offset.0.to_be_bytes());
        out
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Key or value is not an offset sync's.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, SchemaError> {
        let (mut key, mut value) = (Reader::new(key), Reader::new(value));
        Ok(Self {
            topic: key.string("topic")?,
            partition: key.int32("partition")?,
            upstream_offset: UpstreamOffset(value.int64("upstreamOffset")?),
            downstream_offset: DownstreamOffset(value.int64("offset")?),
        })
    }
}

impl fmt::Display for OffsetSync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "OffsetSync{{topicPartition={}-{}, upstreamOffset={}, downstreamOffset={}}}",
            self.topic, self.partition, self.upstream_offset, self.downstream_offset
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sync(topic: &str, partition: i32, up: i64, down: i64) -> OffsetSync {
        OffsetSync {
            topic: topic.to_owned(),
            partition,
            upstream_offset: UpstreamOffset(up),
            downstream_offset: DownstreamOffset(down),
        }
    }

    #[test]
    fn rf_03_offset_sync_serde() {
        let sent = sync("topic-1", 2, 3, 4);
        let (key, value) = (sent.encode_key().expect("short topic"), sent.encode_value());
        assert_eq!(key, b"\x00\x07topic-1\x00\x00\x00\x02");
        assert_eq!(
            value,
            b"\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x04"
        );
        assert_eq!(OffsetSync::decode(&key, &value), Ok(sent));
        assert_eq!(
            sync("t", 0, 100, 50).to_string(),
            "OffsetSync{topicPartition=t-0, upstreamOffset=100, downstreamOffset=50}"
        );
    }

    proptest! {
        #[test]
        fn round_trips(
            topic in ".{0,20}", partition in any::<i32>(), up in any::<i64>(), down in any::<i64>(),
        ) {
            let sent = sync(&topic, partition, up, down);
            let key = sent.encode_key().expect("short topic");
            prop_assert_eq!(OffsetSync::decode(&key, &sent.encode_value()), Ok(sent));
        }

        #[test]
        fn any_bytes_are_answered(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            drop(OffsetSync::decode(&key, &value));
        }
    }
}
