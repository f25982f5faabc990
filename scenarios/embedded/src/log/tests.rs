//! The rules of the log. Bytes that Kafka's own classes wrote (4.3.1: `MemoryRecords.filterTo`,
//! `MemoryRecords.withEndTransactionMarker`) stand as hex.
#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of a test are small"
)]

mod cleaning;
mod property;
mod reading;
mod retention;
mod rows;
mod sequences;
mod transactions;

use batch::{Codec, RawBatch, batches, compress, decompress, records, write_record};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use super::assemble::Front;
use super::validate::timestamp_ms;
use super::{Append, Appended, Isolation, Log, LogSettings, Refused};

/// 2023-11-14.
const NOW_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
const ALL: usize = usize::MAX;

/// A record to be sent.
#[derive(Clone)]
struct Record {
    key: Option<&'static str>,
    value: Option<&'static str>,
    timestamp_ms: i64,
    offset_delta: i32,
}

/// A batch to be sent. Defaults to one that every log takes.
#[derive(Clone)]
struct Sent {
    records: Vec<Record>,
    codec: Codec,
    /// Attributes without the codec.
    bits: i16,
    producer: (i64, i16, i32),
    base_offset: i64,
    /// What the header says instead of the truth.
    last_offset_delta: Option<i32>,
    count: Option<i32>,
    max_timestamp_ms: Option<i64>,
}

impl Sent {
    fn records(count: i32) -> Self {
        Self::keys(&["k"; 64][..count as usize])
    }

    /// One record for each key, all with a value.
    fn keys(keys: &[&'static str]) -> Self {
        Self::pairs(
            &keys
                .iter()
                .map(|key| (*key, Some("value")))
                .collect::<Vec<_>>(),
        )
    }

    fn pairs(pairs: &[(&'static str, Option<&'static str>)]) -> Self {
        let records = (0..).zip(pairs).map(|(offset_delta, (key, value))| Record {
            key: Some(key),
            value: *value,
            timestamp_ms: NOW_MS + i64::from(offset_delta),
            offset_delta,
        });
        Self {
            records: records.collect(),
            codec: Codec::None,
            bits: 0,
            producer: (-1, -1, -1),
            base_offset: 0,
            last_offset_delta: None,
            count: None,
            max_timestamp_ms: None,
        }
    }

    fn by(self, producer_id: i64, epoch: i16, sequence: i32) -> Self {
        Self {
            producer: (producer_id, epoch, sequence),
            ..self
        }
    }

    fn codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    fn bits(self, bits: i16) -> Self {
        Self { bits, ..self }
    }

    fn transactional(self) -> Self {
        self.bits(batch::attribute::TRANSACTIONAL)
    }

    /// Every record at one time.
    fn at(mut self, timestamp_ms: i64) -> Self {
        self.records
            .iter_mut()
            .for_each(|r| r.timestamp_ms = timestamp_ms);
        self
    }

    /// With these offset deltas, in a header that says the truth about their number.
    fn deltas(mut self, deltas: &[i32]) -> Self {
        for (record, delta) in self.records.iter_mut().zip(deltas) {
            record.offset_delta = *delta;
        }
        self
    }

    fn bytes(&self) -> Bytes {
        let base_timestamp_ms = self.records.first().map_or(-1, |r| r.timestamp_ms);
        let mut plain = Vec::new();
        for record in &self.records {
            let fields = fields(record.key, record.value);
            let delta_ms = record.timestamp_ms - base_timestamp_ms;
            write_record(&mut plain, delta_ms, record.offset_delta, &fields);
        }
        self.with_body(&compress(self.codec, plain).unwrap())
    }

    fn with_body(&self, body: &[u8]) -> Bytes {
        let count = self.records.len() as i32;
        let max_timestamp_ms = self.records.iter().map(|r| r.timestamp_ms).max();
        let front = Front {
            base_offset: self.base_offset,
            leader_epoch: -1,
            attributes: self.codec.attributes() | self.bits,
            last_offset_delta: self.last_offset_delta.unwrap_or(count - 1),
            base_timestamp_ms: self.records.first().map_or(-1, |r| r.timestamp_ms),
            max_timestamp_ms: self.max_timestamp_ms.or(max_timestamp_ms).unwrap_or(-1),
            producer_id: self.producer.0,
            producer_epoch: self.producer.1,
            base_sequence: self.producer.2,
            count: self.count.unwrap_or(count),
        };
        front.with_body(body).unwrap()
    }
}

/// Key, value and no headers, as a record holds them; lengths below 64.
fn fields(key: Option<&str>, value: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    for field in [key, value] {
        out.push(field.map_or(1, |f| (f.len() as u8) << 1));
        out.extend_from_slice(field.unwrap_or_default().as_bytes());
    }
    out.push(0);
    out
}

/// A partition `t-0` and how it is written to.
struct Partition {
    log: Log,
    settings: LogSettings,
    version: i16,
    now_ms: i64,
    epoch: i32,
    verified: bool,
}

impl Partition {
    fn new() -> Self {
        Self::with(LogSettings::default())
    }

    fn with(settings: LogSettings) -> Self {
        let log = Log::new();
        Self {
            log,
            settings,
            version: 9,
            now_ms: NOW_MS,
            epoch: 0,
            verified: true,
        }
    }

    fn compacted() -> Self {
        Self::with(LogSettings {
            cleanup_compact: true,
            cleanup_delete: false,
            delete_retention_ms: HOUR_MS,
            ..LogSettings::default()
        })
    }

    fn send_bytes(&mut self, records: Option<Bytes>) -> Result<Appended, Refused> {
        self.log.append(&Append {
            records,
            version: self.version,
            now_ms: self.now_ms,
            leader_epoch: self.epoch,
            topic: "t",
            partition: 0,
            settings: &self.settings,
            internal_client: false,
            transaction_verified: self.verified,
        })
    }

    fn send(&mut self, sent: &Sent) -> Result<Appended, Refused> {
        self.send_bytes(Some(sent.bytes()))
    }

    /// Appends and answers the base offset.
    fn ok(&mut self, sent: &Sent) -> i64 {
        self.send(sent).unwrap().base_offset
    }

    /// The bare code of a refusal, after which nothing may have changed.
    fn refused(&mut self, sent: &Sent) -> ResponseError {
        self.refused_bytes(sent.bytes())
    }

    fn refused_bytes(&mut self, records: Bytes) -> ResponseError {
        let (end, bytes) = (self.log.end_offset(), self.log.bytes());
        let producers = self.log.producers();
        let refused = self.send_bytes(Some(records)).unwrap_err();
        assert_eq!(
            (
                self.log.end_offset(),
                self.log.bytes(),
                self.log.producers()
            ),
            (end, bytes, producers),
            "a refused batch left a trace"
        );
        refused.error
    }

    fn marker(&mut self, producer_id: i64, epoch: i16, commit: bool) -> i64 {
        self.log
            .append_marker(producer_id, epoch, commit, 3, self.epoch, self.now_ms)
    }

    /// All batches, parsed, each with a sound CRC.
    fn batches(&self) -> Vec<RawBatch> {
        let joined: Vec<u8> = self.log.batches().flatten().copied().collect();
        cut(&joined.into())
    }

    /// (offset, key) of all data records.
    fn keys(&self) -> Vec<(i64, String)> {
        let batches = self.batches();
        let data = batches.iter().filter(|batch| !batch.header.is_control());
        data.flat_map(|batch| seen(batch).into_iter().map(|(o, _, key)| (o, key)))
            .collect()
    }
}

/// Whole batches with sound CRCs.
fn cut(bytes: &Bytes) -> Vec<RawBatch> {
    let mut cutter = batches(bytes);
    let cut: Vec<RawBatch> = cutter.by_ref().map(Result::unwrap).collect();
    assert_eq!(cutter.cut_off_bytes(), 0);
    assert!(cut.iter().all(RawBatch::crc_is_valid));
    cut
}

/// (offset, timestamp, key) of the records as a consumer sees them.
fn seen(batch: &RawBatch) -> Vec<(i64, i64, String)> {
    let header = &batch.header;
    let plain = decompress(header.codec().unwrap(), &batch.body, 1 << 20).unwrap();
    records(&plain, header.count())
        .map(|record| {
            let record = record.unwrap();
            let key = String::from_utf8(record.key.unwrap_or_default().to_vec()).unwrap();
            let offset = header.base_offset() + i64::from(record.offset_delta);
            (offset, timestamp_ms(header, &record), key)
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn an_empty_log_is_small() {
    // 1,000 topics of 8 partitions have to stay below 200 MB: 25,000 bytes each
    assert!(size_of::<Log>() <= 320, "{} bytes", size_of::<Log>());
    let log = Log::new();
    assert_eq!(
        (log.start_offset(), log.end_offset(), log.high_watermark()),
        (0, 0, 0)
    );
    assert_eq!(
        log.read(0, ALL, true, Isolation::Uncommitted)
            .unwrap()
            .records
            .len(),
        0
    );
    assert_eq!(
        (
            log.max_timestamp(Isolation::Uncommitted).unwrap(),
            log.latest_epoch(),
            log.bytes()
        ),
        (None, None, 0)
    );
}
