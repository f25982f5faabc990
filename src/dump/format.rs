//! What a record of an internal topic says, as a line and as JSON.

use std::fmt::Display;

use anyhow::Context;
use clap::ValueEnum;
use engine::offsets::{
    Checkpoint, Heartbeat, MapBlock, MapHead, MapKey, MapStart, OffsetSync, SourceOffset,
    SourceOffsetKey,
};
use serde_json::{Value, json};

/// What the records of a topic are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Formatter {
    /// `heartbeats`, `east.heartbeats`.
    #[value(alias = "org.apache.kafka.connect.mirror.formatters.HeartbeatFormatter")]
    Heartbeats,
    /// `east.checkpoints.internal`.
    #[value(alias = "org.apache.kafka.connect.mirror.formatters.CheckpointFormatter")]
    Checkpoints,
    /// `mm2-offset-syncs.west.internal`.
    #[value(alias = "org.apache.kafka.connect.mirror.formatters.OffsetSyncFormatter")]
    OffsetSyncs,
    /// `mm2-offsets.east.internal`: Connect's source offsets.
    Offsets,
    /// `mm2-offset-map.east.internal`: crosscurrent's offset maps.
    OffsetMap,
}

/// A record as it is printed.
#[derive(Debug, PartialEq)]
pub(crate) struct Decoded {
    /// Without `--json`.
    pub(crate) line: String,
    /// With it: the fields, under the names that the line has.
    pub(crate) json: Value,
}

impl Formatter {
    /// By the name of a topic, whatever separator the replication policy has.
    pub(crate) fn of(topic: &str) -> Option<Self> {
        let starts = |prefix| {
            topic
                .strip_prefix(prefix)
                .is_some_and(|rest| !rest.is_empty())
        };
        if topic.ends_with("heartbeats") {
            Some(Self::Heartbeats)
        } else if starts("mm2-offset-syncs") {
            Some(Self::OffsetSyncs)
        } else if starts("mm2-offset-map") {
            Some(Self::OffsetMap)
        } else if starts("mm2-offsets") {
            Some(Self::Offsets)
        } else if topic.ends_with("internal") && topic.contains("checkpoints") {
            Some(Self::Checkpoints)
        } else {
            None
        }
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It is none of this kind.
    pub(crate) fn decode(
        self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> anyhow::Result<Decoded> {
        match self {
            Self::Heartbeats => {
                let (key, value) = both(key, value)?;
                let beat = Heartbeat::decode(key, value)?;
                Ok(decoded(
                    &beat,
                    json!({
                        "sourceClusterAlias": beat.source_cluster_alias,
                        "targetClusterAlias": beat.target_cluster_alias,
                        "timestamp": beat.timestamp_ms,
                    }),
                ))
            }
            Self::Checkpoints => {
                let (key, value) = both(key, value)?;
                let checkpoint = Checkpoint::decode(key, value)?;
                Ok(decoded(
                    &checkpoint,
                    json!({
                        "consumerGroupId": checkpoint.consumer_group_id,
                        "topic": checkpoint.topic, "partition": checkpoint.partition,
                        "upstreamOffset": checkpoint.upstream_offset.0,
                        "downstreamOffset": checkpoint.downstream_offset.0,
                        "metadata": checkpoint.metadata,
                    }),
                ))
            }
            Self::OffsetSyncs => {
                let (key, value) = both(key, value)?;
                let sync = OffsetSync::decode(key, value)?;
                Ok(decoded(
                    &sync,
                    json!({
                        "topic": sync.topic, "partition": sync.partition,
                        "upstreamOffset": sync.upstream_offset.0,
                        "downstreamOffset": sync.downstream_offset.0,
                    }),
                ))
            }
            Self::Offsets => source_offset(key, value),
            Self::OffsetMap => map_record(key, value),
        }
    }
}

fn decoded(line: &dyn Display, json: Value) -> Decoded {
    let line = line.to_string();
    Decoded { line, json }
}

/// Kafka's formatters end at a null, too.
fn both<'a>(
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
) -> anyhow::Result<(&'a [u8], &'a [u8])> {
    let key = key.context("it has no key")?;
    Ok((key, value.context("it has no value: it is a tombstone")?))
}

/// As `kafka-console-consumer.sh --property print.key=true` prints it: the bytes themselves.
fn source_offset(key: Option<&[u8]>, value: Option<&[u8]>) -> anyhow::Result<Decoded> {
    let key = key.context("it has no key")?;
    let decoded_key = SourceOffsetKey::decode(key)?;
    let decoded_value = value.map(SourceOffset::decode).transpose()?.flatten();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let line = format!("{}\t{}", text(key), value.map_or("null".to_owned(), text));
    let json = json!({
        "key": [json!(decoded_key.connector), json!(decoded_key.partition)],
        "value": decoded_value.map(|offset| offset.members),
    });
    Ok(Decoded { line, json })
}

fn map_record(key: Option<&[u8]>, value: Option<&[u8]>) -> anyhow::Result<Decoded> {
    match MapKey::decode(key.context("it has no key")?)? {
        MapKey::Head { topic, partition } => map_head(topic, partition, value),
        MapKey::Block {
            topic,
            partition,
            base,
        } => map_block(topic, partition, base, value),
    }
}

fn map_head(topic: &str, partition: i32, value: Option<&[u8]>) -> anyhow::Result<Decoded> {
    let Some(value) = value else {
        let line = format!("OffsetMapHead{{topicPartition={topic}-{partition}}} deleted");
        let json = json!({"kind": "head", "topic": topic, "partition": partition, "deleted": true});
        return Ok(Decoded { line, json });
    };
    let head = MapHead::decode(value)?;
    let extent = &head.extent;
    let start = match extent.start {
        MapStart::Complete => None,
        MapStart::From {
            upstream,
            downstream,
        } => Some([upstream, downstream]),
    };
    let from = start.map_or("complete".to_owned(), |[up, down]| format!("{up}:{down}"));
    let line = format!(
        "OffsetMapHead{{topicPartition={topic}-{partition}, topicId={}, start={from}, upstreamEnd={}, \
         downstreamEnd={}, mappedUpstreamEnd={}, mappedDownstreamEnd={}, unknown={}, entries={}, producerId={}, \
         producerEpoch={}, stored={}, storing={}}}",
        head.topic_id,
        extent.upstream_end,
        extent.downstream_end,
        extent.mapped_upstream_end,
        extent.mapped_downstream_end,
        extent.unknown,
        extent.entries,
        head.producer_id,
        head.producer_epoch,
        head.stored,
        head.storing,
    );
    let json = json!({
        "kind": "head", "topic": topic, "partition": partition, "topicId": head.topic_id.to_string(),
        "start": start, "upstreamEnd": extent.upstream_end, "downstreamEnd": extent.downstream_end,
        "mappedUpstreamEnd": extent.mapped_upstream_end,
        "mappedDownstreamEnd": extent.mapped_downstream_end,
        "unknown": extent.unknown, "entries": extent.entries, "producerId": head.producer_id,
        "producerEpoch": head.producer_epoch, "stored": head.stored, "storing": head.storing,
    });
    Ok(Decoded { line, json })
}

fn map_block(
    topic: &str,
    partition: i32,
    base: i64,
    value: Option<&[u8]>,
) -> anyhow::Result<Decoded> {
    let place = format!("OffsetMapBlock{{topicPartition={topic}-{partition}, base={base}");
    let Some(value) = value else {
        let json = json!({
            "kind": "block", "topic": topic, "partition": partition, "base": base, "deleted": true,
        });
        let line = format!("{place}}} deleted");
        return Ok(Decoded { line, json });
    };
    let block = MapBlock::decode(value)?;
    let (up, down) = (&block.upstream, &block.downstream);
    let line = format!(
        "{place}, topicId={}, upstream={}..{}, downstream={}..{}, entries={}}}",
        block.topic_id, up.start, up.end, down.start, down.end, block.entries
    );
    let json = json!({
        "kind": "block", "topic": topic, "partition": partition, "base": base,
        "topicId": block.topic_id.to_string(), "upstream": [up.start, up.end],
        "downstream": [down.start, down.end], "entries": block.entries,
    });
    Ok(Decoded { line, json })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topics_name_says_what_its_records_are() {
        for (topic, kind) in [
            ("heartbeats", Some(Formatter::Heartbeats)),
            ("b.a.heartbeats", Some(Formatter::Heartbeats)),
            ("a.checkpoints.internal", Some(Formatter::Checkpoints)),
            ("a__checkpoints__internal", Some(Formatter::Checkpoints)),
            ("mm2-offset-syncs.b.internal", Some(Formatter::OffsetSyncs)),
            ("mm2-offset-map.a.internal", Some(Formatter::OffsetMap)),
            ("mm2-offsets.a.internal", Some(Formatter::Offsets)),
            ("orders", None),
            ("mm2-configs.a.internal", None),
        ] {
            assert_eq!(Formatter::of(topic), kind, "{topic}");
        }
    }

    /// Connect's reset is a null, and its bytes are shown as they are.
    #[test]
    fn source_offsets_are_shown_as_they_lie_there() {
        let key = br#"["MirrorSourceConnector",{"cluster":"A","partition":0,"topic":"t"}]"#;
        let set = Formatter::Offsets.decode(Some(key), Some(br#"{"offset":123}"#));
        let set = set.unwrap();
        let text = std::str::from_utf8(key).unwrap();
        assert_eq!(set.line, format!("{text}\t{{\"offset\":123}}"));
        assert_eq!(set.json["key"][1]["topic"], "t");
        assert_eq!(set.json["value"]["offset"], 123);
        let reset = Formatter::Offsets.decode(Some(key), None).unwrap();
        assert_eq!(reset.line, format!("{text}\tnull"));
        assert_eq!(reset.json["value"], Value::Null);
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        for formatter in Formatter::value_variants() {
            assert!(formatter.decode(None, Some(b"x")).is_err(), "{formatter:?}");
            assert!(
                formatter.decode(Some(b"x"), Some(b"x")).is_err(),
                "{formatter:?}"
            );
        }
        let tombstone = Formatter::Heartbeats.decode(Some(b"\0\x01A\0\x01B"), None);
        assert!(tombstone.unwrap_err().to_string().contains("tombstone"));
    }
}
