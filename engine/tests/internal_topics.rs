//! Goal: our records equal MirrorMaker 2's to the byte, and print as Kafka's console tools print them.
//! Method: decode and encode again every record that MirrorMaker 2 of Kafka 4.3.1 wrote into its
//! internal topics (`golden/*.jsonl`: recording, partition, key and value in hex, console line).

#![expect(
    clippy::expect_used,
    reason = "a test that cannot read its goldens has failed"
)]

use std::num::NonZeroU32;

use engine::offsets::{
    Checkpoint, Heartbeat, OffsetSync, OffsetTable, SourceOffset, SourceOffsetKey, SourcePartition,
    UpstreamOffset, partition_for_key,
};
use serde_json::Value;

/// `offset.storage.partitions` of the recordings.
const OFFSETS_PARTITIONS: NonZeroU32 = NonZeroU32::new(25).unwrap();

struct Golden {
    recording: String,
    partition: u32,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    formatted: Option<String>,
}

fn goldens(lines: &str) -> Vec<Golden> {
    lines.lines().map(golden).collect()
}

fn golden(line: &str) -> Golden {
    let fields: Value = serde_json::from_str(line).expect("a line of JSON");
    let text = |field: &str| fields[field].as_str().map(str::to_owned);
    Golden {
        recording: text("recording").expect("named"),
        partition: fields["partition"]
            .as_u64()
            .and_then(|p| p.try_into().ok())
            .expect("a number"),
        key: unhex(&text("key").expect("every golden has a key")),
        value: text("value").map(|value| unhex(&value)),
        formatted: text("formatted"),
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text
        .as_bytes()
        .chunks(2)
        .map(|two| std::str::from_utf8(two).expect("ASCII"));
    digits
        .map(|two| u8::from_str_radix(two, 16).expect("hex"))
        .collect()
}

#[test]
fn heartbeats_are_equal_to_the_byte() {
    let all = goldens(include_str!("golden/heartbeats.jsonl"));
    assert_eq!(all.len(), 39);
    for golden in all {
        let value = golden.value.expect("no tombstones");
        let read = Heartbeat::decode(&golden.key, &value).expect(&golden.recording);
        assert_eq!(
            (read.encode_key(), read.encode_value()),
            (Ok(golden.key), value)
        );
        assert_eq!(Some(read.to_string()), golden.formatted);
        assert_eq!(golden.partition, 0);
    }
}

#[test]
fn checkpoints_are_equal_to_the_byte() {
    let all = goldens(include_str!("golden/checkpoints.jsonl"));
    assert_eq!(all.len(), 88);
    for golden in all {
        let value = golden.value.expect("no tombstones");
        let read = Checkpoint::decode(&golden.key, &value).expect(&golden.recording);
        assert_eq!(
            (read.encode_key(), read.encode_value()),
            (Ok(golden.key), Ok(value))
        );
        assert_eq!(Some(read.to_string()), golden.formatted);
        assert_eq!(golden.partition, 0);
    }
}

#[test]
fn offset_syncs_are_equal_to_the_byte() {
    let all = goldens(include_str!("golden/offset-syncs.jsonl"));
    assert_eq!(all.len(), 147);
    for golden in all {
        let value = golden.value.expect("no tombstones");
        let read = OffsetSync::decode(&golden.key, &value).expect(&golden.recording);
        assert_eq!(
            (read.encode_key(), read.encode_value()),
            (Ok(golden.key), value)
        );
        assert_eq!(Some(read.to_string()), golden.formatted);
        assert_eq!(golden.partition, 0);
    }
}

#[test]
fn connect_offsets_are_equal_to_the_byte_and_in_their_partition() {
    let all = goldens(include_str!("golden/connect-offsets.jsonl"));
    assert_eq!(all.len(), 220);
    for golden in all {
        let key = SourceOffsetKey::decode(&golden.key).expect(&golden.recording);
        assert_eq!(key.encode(), golden.key, "{}", golden.recording);
        if let Some(value) = golden.value {
            let offset = SourceOffset::decode(&value)
                .expect(&golden.recording)
                .expect("an object");
            assert_eq!(offset.encode(), value, "{}", golden.recording);
        }
        assert_eq!(
            partition_for_key(&golden.key, OFFSETS_PARTITIONS),
            golden.partition
        );
    }
}

#[test]
fn positions_left_by_mirror_maker_are_found() {
    let positions = |recording: &str, connector: &str| {
        let mut table = OffsetTable::new();
        for golden in goldens(include_str!("golden/connect-offsets.jsonl")) {
            if golden.recording == recording {
                table
                    .apply(Some(&golden.key), golden.value.as_deref())
                    .expect("well formed");
            }
        }
        let found = table.source_offsets(connector);
        let named = |(at, offset): (SourcePartition, UpstreamOffset)| {
            assert_eq!(at.cluster, "a");
            (format!("{}-{}", at.topic, at.partition), offset.0)
        };
        let mut found: Vec<_> = found.map(named).collect();
        found.sort();
        found
    };
    let expect = |wanted: &[(&str, i64)]| -> Vec<(String, i64)> {
        wanted
            .iter()
            .map(|(at, offset)| ((*at).to_owned(), *offset))
            .collect()
    };
    // Set, altered, reset and set again through REST; one key with a member too many was reset.
    assert_eq!(
        positions("connect-mode/b/connect-offsets", "mm2-source"),
        expect(&[("orders-0", 299), ("orders-1", 299)])
    );
    assert_eq!(
        positions(
            "default-active-active/b/mm2-offsets.a.internal",
            "MirrorSourceConnector"
        ),
        expect(&[
            ("heartbeats-0", 47),
            ("late-0", 299),
            ("orders-0", 5002),
            ("orders-1", 4999),
            ("payments-0", 512),
        ])
    );
}
