//! Shared by the tests: an encoder of its own, which can write what the crate never would (gaps,
//! foreign bits, wrong fields), and a reader that turns batches into plain values.
#![allow(dead_code, reason = "each test file uses its own part")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the numbers of a test are small"
)]

use batch::{
    Codec, DECOMPRESSED_BYTES_MAX, HEADER_BYTES, RawBatch, batches, compress, decompress, records,
};
use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const LOG_APPEND_TIME: i16 = 0x08;
pub(crate) const TRANSACTIONAL: i16 = 0x10;
pub(crate) const CONTROL: i16 = 0x20;
pub(crate) const DELETE_HORIZON: i16 = 0x40;

/// A record as a consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Record {
    pub(crate) fn new(offset: i64) -> Self {
        Self {
            offset,
            timestamp_ms: 1_700_000_000_000 + offset,
            key: Some(format!("k-{offset}").into_bytes()),
            value: Some(format!("value number {offset}").into_bytes()),
            headers: Vec::new(),
        }
    }

    /// Everything but the offset.
    pub(crate) fn content(&self) -> Self {
        Self {
            offset: 0,
            ..self.clone()
        }
    }
}

/// A batch as a source broker could hold it. Defaults to dense, CreateTime, from an idempotent
/// producer.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) records: Vec<Record>,
    pub(crate) base_offset: i64,
    pub(crate) last_offset_delta: i32,
    pub(crate) count: i32,
    /// Attributes without the codec.
    pub(crate) bits: i16,
    pub(crate) base_timestamp_ms: i64,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) producer: (i64, i16, i32),
}

impl Source {
    pub(crate) fn new(records: Vec<Record>) -> Self {
        let base_offset = records.first().map_or(0, |r| r.offset);
        let last_offset = records.last().map_or(0, |r| r.offset);
        Self {
            base_offset,
            last_offset_delta: (last_offset - base_offset) as i32,
            count: records.len() as i32,
            bits: 0,
            base_timestamp_ms: records.first().map_or(-1, |r| r.timestamp_ms),
            max_timestamp_ms: records.iter().map(|r| r.timestamp_ms).max().unwrap_or(-1),
            producer: (4_711, 3, 99),
            records,
        }
    }

    pub(crate) fn dense(offsets: std::ops::Range<i64>) -> Self {
        Self::new(offsets.map(Record::new).collect())
    }

    pub(crate) fn with_bits(self, bits: i16) -> Self {
        Self { bits, ..self }
    }

    pub(crate) fn encode(&self, codec: Codec) -> RawBatch {
        let mut plain = Vec::new();
        for record in &self.records {
            let mut body = vec![0];
            varint(&mut body, record.timestamp_ms - self.base_timestamp_ms);
            varint(&mut body, record.offset - self.base_offset);
            field(&mut body, record.key.as_deref());
            field(&mut body, record.value.as_deref());
            varint(&mut body, record.headers.len() as i64);
            for (name, value) in &record.headers {
                field(&mut body, Some(name));
                field(&mut body, value.as_deref());
            }
            field(&mut plain, Some(&body));
        }
        self.encode_body(codec.attributes(), &compress(codec, plain).unwrap())
    }

    /// Puts the header in front of a ready body.
    pub(crate) fn encode_body(&self, codec_bits: i16, body: &[u8]) -> RawBatch {
        let mut covered = Vec::new();
        covered.put_i16(self.bits | codec_bits);
        covered.put_i32(self.last_offset_delta);
        covered.put_i64(self.base_timestamp_ms);
        covered.put_i64(self.max_timestamp_ms);
        covered.put_i64(self.producer.0);
        covered.put_i16(self.producer.1);
        covered.put_i32(self.producer.2);
        covered.put_i32(self.count);
        covered.put_slice(body);
        let mut whole = BytesMut::new();
        whole.put_i64(self.base_offset);
        whole.put_i32((covered.len() + 9) as i32);
        whole.put_i32(7); // leader epoch
        whole.put_i8(2);
        whole.put_u32(crc_fast::crc32_iscsi(&covered));
        whole.put_slice(&covered);
        cut(&whole.freeze()).remove(0)
    }
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)) as u64;
    while zigzag > 127 {
        out.push((zigzag as u8) | 128);
        zigzag /= 128;
    }
    out.push(zigzag as u8);
}

fn field(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

/// A marker as a transaction coordinator writes it: type 0 is ABORT, 1 is COMMIT.
pub(crate) fn marker_batch(offset: i64, producer_id: i64, kind: i16) -> RawBatch {
    let key = [0i16.to_be_bytes(), kind.to_be_bytes()].concat();
    let record = Record {
        key: Some(key),
        value: Some(vec![0; 6]),
        ..Record::new(offset)
    };
    let source = Source::new(vec![record]).with_bits(TRANSACTIONAL | CONTROL);
    Source {
        producer: (producer_id, 1, -1),
        ..source
    }
    .encode(Codec::None)
}

/// All batches of a record set that has no damage and no cut-off tail.
pub(crate) fn cut(bytes: &Bytes) -> Vec<RawBatch> {
    let mut cutter = batches(bytes);
    let cut = cutter.by_ref().collect::<Result<_, _>>().unwrap();
    assert_eq!(cutter.cut_off_bytes(), 0);
    cut
}

/// The batch as it goes over the wire.
pub(crate) fn wire(batch: &RawBatch) -> Vec<u8> {
    [batch.header.as_bytes(), &batch.body[..]].concat()
}

/// What a consumer sees in a data batch.
pub(crate) fn read(batch: &RawBatch) -> Vec<Record> {
    let header = &batch.header;
    let plain = decompress(header.codec().unwrap(), &batch.body, DECOMPRESSED_BYTES_MAX).unwrap();
    let append_time = header.attributes() & LOG_APPEND_TIME != 0;
    records(&plain, header.count())
        .map(|record| {
            let record = record.unwrap();
            let create_time_ms = header.base_timestamp_ms() + record.timestamp_delta_ms;
            Record {
                offset: header.base_offset() + i64::from(record.offset_delta),
                timestamp_ms: if append_time {
                    header.max_timestamp_ms()
                } else {
                    create_time_ms
                },
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record
                    .headers()
                    .map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec)))
                    .collect(),
            }
        })
        .collect()
}

/// What a broker's validator checks of a batch in a Produce request (`docs/spec/batches.md` 1), and
/// that the header tells the truth about the records, which a broker would silently repair.
pub(crate) fn assert_acceptable(batch: &RawBatch, limit: usize) {
    let header = &batch.header;
    let found = read(batch);
    let reparsed = cut(&Bytes::from(wire(batch))).remove(0);
    assert_eq!(reparsed.header.as_bytes(), header.as_bytes());
    assert_eq!(header.total_bytes(), HEADER_BYTES + batch.body.len());
    assert!(
        header.total_bytes() <= limit,
        "row 6: {} > {limit}",
        header.total_bytes()
    );
    assert!(batch.crc_is_valid(), "row 5");
    assert_eq!(header.base_offset(), 0, "row 3");
    assert_eq!(header.leader_epoch(), -1, "row 4");
    assert_eq!(header.count() as usize, found.len(), "row 11");
    assert_eq!(header.last_offset_delta(), header.count() - 1, "row 10");
    assert_eq!(header.attributes() & !0x17, 0, "rows 12, 17, 24, 25");
    assert_eq!(
        found.iter().map(|r| r.offset).collect::<Vec<_>>(),
        (0..found.len() as i64).collect::<Vec<_>>()
    );
    assert_eq!(
        header.max_timestamp_ms(),
        found.iter().map(|r| r.timestamp_ms).max().unwrap(),
        "row 21"
    );
    assert_eq!(header.base_timestamp_ms(), found[0].timestamp_ms);
    let producer = (
        header.producer_id(),
        header.producer_epoch(),
        header.base_sequence(),
    );
    assert!(
        producer == (-1, -1, -1) || producer.0 >= 0 && producer.1 >= 0 && producer.2 >= 0,
        "row 14: {producer:?}"
    );
}
