//! Records as services write them: JSON orders of 1,000 bytes that lz4 brings to about 0.385 of their size
//! (`docs/spec/baseline.md`), each determined by its number alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::mpsc::sync_channel;
use std::thread;

use anyhow::{Result, anyhow};
use scenarios::KafkaClient;
use scenarios::client::{Codec, TestRecord, WriteOptions};

/// Key and value of a record together.
pub const RECORD_BYTES: usize = 1_000;
const KEY_BYTES: usize = 16;
/// Timestamp of record 0: November 2023. Unit: milliseconds.
const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;
/// Records that are generated ahead of the producer, and how many such chunks may wait.
const CHUNK_RECORDS: u64 = 20_000;
const CHUNKS_AHEAD: usize = 2;

const WORDS: [&str; 16] = [
    "standard",
    "delivery",
    "parcel",
    "express",
    "customer",
    "warehouse",
    "pending",
    "invoice",
    "confirmed",
    "shipment",
    "returned",
    "partial",
    "reserved",
    "carrier",
    "discount",
    "gift",
];

/// The value of record `id`.
pub fn record(id: u64) -> Vec<u8> {
    let mut random = Random(id);
    let mut text = String::with_capacity(RECORD_BYTES);
    // Writing to a String cannot fail.
    _ = write!(
        text,
        r#"{{"orderId":"{:016x}","version":3,"customer":{{"id":{},"email":"user{}@example.com","segment":"{}","country":"DE"}},"items":["#,
        random.next(),
        random.next() % 10_000_000,
        random.next() % 10_000_000,
        random.word(),
    );
    for line in 0..5 {
        let comma = if line == 0 { "" } else { "," };
        _ = write!(
            text,
            r#"{comma}{{"sku":"{:016x}","title":"{} {}","quantity":{},"unitPrice":{}.{:02},"currency":"EUR"}}"#,
            random.next(),
            random.word(),
            random.word(),
            random.next() % 9 + 1,
            random.next() % 500,
            random.next() % 100,
        );
    }
    _ = write!(text, r#"],"session":"{:016x}","note":""#, random.next());
    while text.len() + KEY_BYTES + 16 < RECORD_BYTES {
        text.push_str(random.word());
        text.push(' ');
    }
    let fill = (RECORD_BYTES - KEY_BYTES - 2).saturating_sub(text.len());
    text.extend(std::iter::repeat_n('.', fill));
    text.push_str("\"}");
    text.into_bytes()
}

/// Record `id`, ready to be written.
pub fn test_record(id: u64, partitions: u64) -> TestRecord {
    TestRecord {
        partition: i32::try_from(id % partitions).unwrap_or(0),
        key: Some(format!("{id:0KEY_BYTES$}").into_bytes()),
        value: Some(record(id)),
        headers: Vec::new(),
        timestamp_ms: FIRST_TIMESTAMP_MS + id.cast_signed(),
    }
}

/// Writes records 0 to `records` in batches of `batch_records` at most; returns what a reader must find.
///
/// # Errors
/// The cluster refuses them.
pub fn load(
    client: &KafkaClient,
    topic: &str,
    records: u64,
    partitions: u64,
    batch_records: u32,
    codec: Codec,
) -> Result<Checksum> {
    let options = WriteOptions {
        codec,
        batch_records_max: batch_records,
        ..WriteOptions::default()
    };
    let (chunks, ready) = sync_channel::<Vec<TestRecord>>(CHUNKS_AHEAD);
    let generator = thread::spawn(move || {
        let mut checksum = Checksum::default();
        for first in (0..records).step_by(usize::try_from(CHUNK_RECORDS).unwrap_or(1)) {
            let ids = first..records.min(first + CHUNK_RECORDS);
            let chunk: Vec<TestRecord> = ids.map(|id| test_record(id, partitions)).collect();
            for record in &chunk {
                checksum.add(
                    record.partition,
                    record.key.as_deref(),
                    record.value.as_deref(),
                    record.timestamp_ms,
                );
            }
            if chunks.send(chunk).is_err() {
                break; // writing has failed
            }
        }
        checksum
    });
    for chunk in ready {
        client.produce_with(topic, &chunk, options)?;
    }
    generator
        .join()
        .map_err(|_| anyhow!("generating records panicked"))
}

/// What a topic holds: per partition the number of records and a hash over all of them in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Checksum(BTreeMap<i32, (u64, u64)>);

impl Checksum {
    /// Adds the next record of a partition.
    pub fn add(
        &mut self,
        partition: i32,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        timestamp_ms: i64,
    ) {
        let (count, hash) = self.0.entry(partition).or_default();
        let mut hasher = DefaultHasher::new();
        (*hash, key, value, timestamp_ms).hash(&mut hasher);
        (*count, *hash) = (*count + 1, hasher.finish());
    }

    /// Number of records.
    pub fn records(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }
}

/// splitmix64: small, quick, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn word(&mut self) -> &'static str {
        let at = usize::try_from(self.next() % 16).unwrap_or(0);
        WORDS.get(at).copied().unwrap_or("other")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_size_and_compressibility_of_the_baseline() {
        let plain: Vec<u8> = (0..100).flat_map(record).collect();
        assert_eq!(plain.len(), 100 * (RECORD_BYTES - KEY_BYTES));
        let plain_bytes = plain.len();
        let lz4 = batch::compress(batch::Codec::Lz4, plain).unwrap().len();
        let ratio = lz4 as f64 / plain_bytes as f64;
        assert!((0.36..0.41).contains(&ratio), "lz4 makes {ratio:.3} of it");
    }

    #[test]
    fn a_checksum_sees_order_and_change() {
        let sum = |ids: &[u64]| {
            let mut sum = Checksum::default();
            for record in ids.iter().map(|id| test_record(*id, 1)) {
                sum.add(
                    0,
                    record.key.as_deref(),
                    record.value.as_deref(),
                    record.timestamp_ms,
                );
            }
            sum
        };
        assert_eq!(sum(&[1, 2, 3]), sum(&[1, 2, 3]));
        assert_ne!(sum(&[1, 2, 3]), sum(&[2, 1, 3]));
        assert_eq!(sum(&[1, 2, 3]).records(), 3);
    }
}
