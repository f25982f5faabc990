//! Log segments of a real broker (Apache Kafka 4.3.1), with what Kafka's own consumer and log dump
//! said about them.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

#[cfg(test)]
mod common;

use std::fs;
use std::path::{Path, PathBuf};

use batch::{
    AbortedTransactions, Codec, DropReason, ProducerStamp, RawBatch, ReencodeReason, TargetRules,
    Verdict, classify, reencode, stamp,
};
use bytes::Bytes;
use common::{Record, assert_acceptable, cut, read};
use serde_json::Value;

const ODD: &[&str] = &["source-odd-00000000000000000000.log"];
const TXN: &[&str] = &[
    "source-txn-00000000000000000000.log",
    "source-txn-00000000000000000010.log",
];
const APPEND_TIME: &[&str] = &["source-odd-logappend-00000000000000000000.log"];
const ODD_COPY: &[&str] = &[
    "target-a.odd-00000000000000000000.log",
    "target-a.odd-00000000000000000013.log",
];
const TXN_COPY: &[&str] = &["target-a.txn-00000000000000000000.log"];
const APPEND_TIME_COPY: &[&str] = &["target-a.odd-logappend-00000000000000000000.log"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

fn segments(names: &[&str]) -> Vec<RawBatch> {
    names
        .iter()
        .flat_map(|name| cut(&Bytes::from(fs::read(golden(name)).unwrap())))
        .collect()
}

fn lines(name: &str) -> Vec<String> {
    fs::read_to_string(golden(name))
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

/// A consumer's dump: the records, except that a value above 2,000 bytes is replaced by its length.
fn dump(name: &str) -> Vec<(Record, Option<usize>)> {
    lines(name)
        .iter()
        .map(|line| {
            let json: Value = serde_json::from_str(line).unwrap();
            let headers = json["headers"].as_array().unwrap().iter();
            let record = Record {
                offset: json["offset"].as_i64().unwrap(),
                timestamp_ms: json["timestamp"].as_i64().unwrap(),
                key: hex(&json["key_hex"]),
                value: hex(json.get("value_hex").unwrap_or(&Value::Null)),
                headers: headers
                    .map(|h| (h[0].as_str().unwrap().into(), hex(&h[1])))
                    .collect(),
            };
            (
                record,
                json.get("value_len")
                    .map(|bytes| usize::try_from(bytes.as_u64().unwrap()).unwrap()),
            )
        })
        .collect()
}

fn hex(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?;
    Some(
        (0..digits.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
            .collect(),
    )
}

fn assert_same(found: impl IntoIterator<Item = Record>, dump_name: &str) {
    let found: Vec<_> = found.into_iter().collect();
    let expected = dump(dump_name);
    assert_eq!(found.len(), expected.len(), "{dump_name}");
    for (mut found, (expected, value_bytes)) in found.into_iter().zip(expected) {
        if value_bytes.is_some() {
            assert_eq!(
                found.value.take().map(|value| value.len()),
                value_bytes,
                "{dump_name}"
            );
        }
        assert_eq!(found, expected, "{dump_name}");
    }
}

fn data(batches: &[RawBatch]) -> impl Iterator<Item = Record> {
    batches
        .iter()
        .filter(|batch| !batch.header.is_control())
        .flat_map(read)
}

#[test]
fn every_record_is_read_as_kafkas_consumer_reads_it() {
    assert_same(data(&segments(ODD)), "odd-source.jsonl");
    assert_same(data(&segments(TXN)), "txn-source.jsonl");
    assert_same(data(&segments(APPEND_TIME)), "odd-logappend-source.jsonl");
    assert_same(data(&segments(ODD_COPY)), "odd-target.jsonl");
    assert_same(data(&segments(TXN_COPY)), "txn-target.jsonl");
    assert_same(
        data(&segments(APPEND_TIME_COPY)),
        "odd-logappend-target.jsonl",
    );
}

#[test]
fn every_header_says_what_kafkas_log_dump_says() {
    for (names, dump) in [
        (ODD, "odd-source-batches.txt"),
        (TXN, "txn-source-batches.txt"),
        (APPEND_TIME, "odd-logappend-source-batches.txt"),
        (ODD_COPY, "odd-target-batches.txt"),
        (TXN_COPY, "txn-target-batches.txt"),
    ] {
        let dumped: Vec<_> = lines(dump)
            .into_iter()
            .filter(|line| line.starts_with("baseOffset"))
            .collect();
        let batches = segments(names);
        assert_eq!(batches.len(), dumped.len(), "{dump}");
        for (batch, line) in batches.iter().zip(dumped) {
            let header = &batch.header;
            assert!(batch.crc_is_valid(), "{line}");
            let field = |name: &str| line.split_once(name).unwrap().1.split(' ').next().unwrap();
            let says = |name: &str, value: &dyn std::fmt::Display| {
                assert_eq!(field(name), value.to_string(), "{line}")
            };
            says("baseOffset: ", &header.base_offset());
            says("lastOffset: ", &header.last_offset());
            says("count: ", &header.count());
            says("baseSequence: ", &header.base_sequence());
            says("producerId: ", &header.producer_id());
            says("producerEpoch: ", &header.producer_epoch());
            says("partitionLeaderEpoch: ", &header.leader_epoch());
            says("isTransactional: ", &header.is_transactional());
            says("isControl: ", &header.is_control());
            says(
                &format!("{:?}: ", header.timestamp_type()),
                &header.max_timestamp_ms(),
            );
            says("size: ", &header.total_bytes());
            says("magic: ", &header.magic());
            says("compresscodec: ", &header.codec().unwrap().as_str());
            says("crc: ", &header.crc());
        }
    }
}

#[test]
fn all_codecs_occur_and_every_data_batch_passes_unchanged() {
    let batches = segments(ODD);
    let codecs: Vec<_> = batches
        .iter()
        .map(|batch| batch.header.codec().unwrap())
        .collect();
    assert!(
        Codec::ALL.iter().all(|codec| codecs.contains(codec)),
        "{codecs:?}"
    );
    let ours = ProducerStamp {
        producer_id: 9,
        producer_epoch: 1,
        base_sequence: 0,
        transactional: false,
    };
    for batch in &batches {
        assert_eq!(
            classify(&batch.header, 0, &TargetRules::default()),
            Verdict::Pass
        );
        let copy = RawBatch {
            header: stamp(&batch.header, ours),
            body: batch.body.clone(),
        };
        assert_acceptable(&copy, usize::MAX);
        assert_eq!(
            read(&copy).iter().map(Record::content).collect::<Vec<_>>(),
            contents(read(batch))
        );
    }
}

#[test]
fn every_data_batch_survives_a_reencode() {
    for batch in segments(ODD)
        .iter()
        .chain(&segments(TXN))
        .filter(|batch| !batch.header.is_control())
    {
        let pieces = reencode(batch, 0, &TargetRules::default()).unwrap();
        pieces
            .iter()
            .for_each(|piece| assert_acceptable(&piece.batch, usize::MAX));
        assert_eq!(
            contents(pieces.iter().flat_map(|piece| read(&piece.batch))),
            contents(read(batch))
        );
    }
}

/// MM2's copy of the same topics, read by Kafka's consumer, is what our copy must hold.
#[test]
fn transactions_come_out_as_mm2_copies_them_under_both_isolation_levels() {
    let batches = segments(TXN);
    let copied = |mut aborted: AbortedTransactions| {
        let mut copy = Vec::new();
        for batch in &batches {
            let skip = aborted.is_aborted(batch).unwrap();
            match classify(&batch.header, 0, &TargetRules::default()) {
                Verdict::Pass if !skip => copy.extend(read(batch)),
                Verdict::Pass | Verdict::Drop(DropReason::Control) => {}
                verdict => panic!("{verdict:?}"),
            }
        }
        contents(copy)
    };
    let mm2 = |name| contents(dump(name).into_iter().map(|(record, _)| record));
    assert_eq!(
        copied(AbortedTransactions::default()),
        mm2("txn-target.jsonl")
    );
    // as the broker lists them: three aborted transactions of producer 5
    let aborted = AbortedTransactions::new([(5, 11), (5, 33), (5, 44)]);
    assert_eq!(copied(aborted), mm2("txn-target-read-committed.jsonl"));
}

#[test]
fn append_times_come_out_as_mm2_copies_them() {
    let batch = &segments(APPEND_TIME)[0];
    let verdict = classify(&batch.header, 0, &TargetRules::default());
    assert_eq!(verdict, Verdict::Reencode(ReencodeReason::LogAppendTime));
    let rewritten = reencode(batch, 0, &TargetRules::default()).unwrap();
    assert_same(
        rewritten.iter().flat_map(|piece| read(&piece.batch)),
        "odd-logappend-target.jsonl",
    );
}

fn contents(records: impl IntoIterator<Item = Record>) -> Vec<Record> {
    records.into_iter().map(|record| record.content()).collect()
}
