//! Checkpoints: translated offsets of consumer groups (`docs/spec/mm2.md` 3.3).

use std::fmt;

use super::schema::{Reader, SchemaError, put_string, put_version};
use super::{DownstreamOffset, UpstreamOffset};

/// One record of `<source>.checkpoints.internal`, partition 0.
///
/// `Display` is the line of Kafka's `CheckpointFormatter` (KIP-597).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The consumer group.
    pub consumer_group_id: String,
    /// The topic under its name on the *target*.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What the group committed on the source.
    pub upstream_offset: UpstreamOffset,
    /// Where it goes on reading on the target.
    pub downstream_offset: DownstreamOffset,
    /// The metadata that the group committed; empty if none.
    pub metadata: String,
}

impl Checkpoint {
    /// The record's key: group and partition, so a compacted topic keeps the last checkpoint of each.
    ///
    /// # Errors
    /// Group or topic is longer than 32,767 bytes.
    pub fn encode_key(&self) -> Result<Vec<u8>, SchemaError> {
        let mut out = Vec::new();
        put_string(&mut out, "group", &self.consumer_group_id)?;
        put_string(&mut out, "topic", &self.topic)?;
        out.extend(self.partition.to_be_bytes());
        Ok(out)
    }

    /// The record's value.
    ///
    /// # Errors
    /// The metadata is longer than 32,767 bytes.
    pub fn encode_value(&self) -> Result<Vec<u8>, SchemaError> {
        let mut out = Vec::new();
        put_version(&mut out);
        out.extend(self.upstream_offset.0.to_be_bytes());
        out.extend(self.downstream_offset.0.to_be_bytes());
        put_string(&mut out, "metadata", &self.metadata)?;
        Ok(out)
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Key or value is not a checkpoint's.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, SchemaError> {
        let (mut key, mut value) = (Reader::new(key), Reader::new(value));
        value.version()?;
        Ok(Self {
            consumer_group_id: key.string("group")?,
            topic: key.string("topic")?,
            partition: key.int32("partition")?,
            upstream_offset: UpstreamOffset(value.int64("upstreamOffset")?),
            downstream_offset: DownstreamOffset(value.int64("offset")?),
            metadata: value.string("metadata")?,
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Checkpoint{{consumerGroupId={}, topicPartition={}-{}, upstreamOffset={}, \
             downstreamOffset={}, metadata={}}}",
            self.consumer_group_id,
            self.topic,
            self.partition,
            self.upstream_offset,
            self.downstream_offset,
            self.metadata
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rf_02_checkpoint_serde() {
        let sent = Checkpoint {
            consumer_group_id: "group-1".to_owned(),
            topic: "topic-2".to_owned(),
            partition: 3,
            upstream_offset: UpstreamOffset(4),
            downstream_offset: DownstreamOffset(5),
            metadata: "metadata-6".to_owned(),
        };
        let key = sent.encode_key().expect("short names");
        let value = sent.encode_value().expect("short metadata");
        assert_eq!(key, b"\x00\x07group-1\x00\x07topic-2\x00\x00\x00\x03");
        assert_eq!(
            value,
            b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x05\
              \x00\x0ametadata-6"
        );
        assert_eq!(Checkpoint::decode(&key, &value).as_ref(), Ok(&sent));
        assert_eq!(
            sent.to_string(),
            "Checkpoint{consumerGroupId=group-1, topicPartition=topic-2-3, upstreamOffset=4, \
             downstreamOffset=5, metadata=metadata-6}"
        );
    }

    proptest! {
        #[test]
        fn round_trips(
            group in ".{0,20}", topic in ".{0,20}", metadata in ".{0,20}",
            partition in any::<i32>(), up in any::<i64>(), down in any::<i64>(),
        ) {
            let sent = Checkpoint {
                consumer_group_id: group,
                topic,
                partition,
                upstream_offset: UpstreamOffset(up),
                downstream_offset: DownstreamOffset(down),
                metadata,
            };
            let key = sent.encode_key().expect("short names");
            let value = sent.encode_value().expect("short metadata");
            prop_assert_eq!(Checkpoint::decode(&key, &value), Ok(sent));
        }

        #[test]
        fn any_bytes_are_answered(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
            drop(Checkpoint::decode(&key, &value));
        }
    }
}
