//! Batches as bytes: right ones, and every way to get one wrong (docs/spec/batches.md 1).

use batch::{Codec, DECOMPRESSED_BYTES_MAX, batches, compress, decompress};
use bytes::{BufMut, Bytes};
use crc_fast::crc32_iscsi;

use crate::normal::{BROKER_TIME, Names};

/// What is wrong with a batch. The comments name the rows of docs/spec/batches.md 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Oddity {
    None,
    /// Row 1.
    TwoBatches,
    /// Row 2.
    Magic(u8),
    /// Row 3.
    BaseOffset(i64),
    /// Row 4.
    LeaderEpoch(i32),
    /// Row 5.
    WrongCrc,
    /// Row 6: one record of this many bytes.
    Large(usize),
    /// Rows 9, 10, 11: the header's count is this much too large.
    Count(i32),
    /// Row 10: the header's last offset delta is this much too large.
    LastOffsetDelta(i32),
    /// Row 10: one offset is left out in the middle and both fields are honest.
    Gap,
    /// Row 10b: the same with the last offset delta patched to count - 1.
    PatchedGap,
    /// All offset deltas are 0.
    SameOffsets,
    /// Offset deltas run backwards.
    Backwards,
    /// Rows 12, 13, 17, 18, 24, 25: these bits of the attributes are flipped.
    Bits(i16),
    /// Row 21: added to the max timestamp.
    MaxTimestamp(i64),
    /// Added to the base timestamp.
    BaseTimestamp(i64),
    /// Bytes behind the batch.
    Trailing(usize),
    /// Only the first bytes of the batch.
    Cut(usize),
    /// No bytes at all.
    Empty,
    /// Added to the length field.
    Length(i32),
    /// A body that the codec cannot read.
    Garbage,
    /// A record whose own length is this much too large.
    RecordLength(i64),
    /// A record with attributes.
    RecordAttributes(u8),
    /// A record that announces this many headers and has none.
    HeaderCount(i64),
    /// A header without a name.
    NullHeaderName,
    /// Bytes behind the last record, before compression.
    BodyTrailing(usize),
}

/// When the records of a batch were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// Relative to ten seconds before the list's start, one per record. Unit: milliseconds.
    Rising(i64),
    /// The same, falling.
    Falling(i64),
    /// Milliseconds since 1970, for all records.
    Fixed(i64),
    /// Relative to the list's start, for the last record only. Unit: milliseconds.
    LastAt(i64),
}

/// What a batch holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSpec {
    pub(crate) codec: Codec,
    pub(crate) records: usize,
    pub(crate) value_bytes: usize,
    /// Every n-th key is null; 0: none.
    pub(crate) null_keys: usize,
    /// Every n-th value is null; 0: none.
    pub(crate) null_values: usize,
    pub(crate) headers: usize,
    pub(crate) times: Times,
    pub(crate) transactional: bool,
    pub(crate) oddity: Oddity,
    /// Makes bodies differ.
    pub(crate) salt: u32,
}

/// Producer id, epoch and sequence as they stand in the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Producer {
    pub(crate) id: i64,
    pub(crate) epoch: i16,
    pub(crate) sequence: i32,
}

/// The bytes of a Produce request's `records`, and the body of the batch.
pub(crate) fn build(spec: &BatchSpec, producer: Producer, start_ms: i64) -> (Bytes, Bytes) {
    let oddity = spec.oddity;
    let count = spec.records;
    let base_ms = start_ms - 10_000;
    let time = |k: usize| match spec.times {
        Times::Rising(from) => base_ms + from + k as i64,
        Times::Falling(from) => base_ms + from - k as i64,
        Times::Fixed(at) => at,
        Times::LastAt(at) if k + 1 == count => start_ms + at,
        Times::LastAt(_) => base_ms,
    };
    let mut plain = Vec::new();
    for k in 0..count {
        let delta = match oddity {
            Oddity::Gap | Oddity::PatchedGap if k >= count.div_ceil(2) => k + 1,
            Oddity::SameOffsets => 0,
            Oddity::Backwards => count - 1 - k,
            _ => k,
        };
        put_record(&mut plain, spec, k, time(k) - time(0), delta as i64);
    }
    if let Oddity::BodyTrailing(bytes) = oddity {
        plain.put_bytes(7, bytes);
    }
    let body = match oddity {
        Oddity::Garbage => Bytes::from(vec![0xa5; 40]),
        _ => compress(spec.codec, plain).expect("codecs take any bytes"),
    };
    let real = count as i32;
    let (stated, last_delta) = match oddity {
        Oddity::Count(more) => (real + more, real - 1),
        Oddity::LastOffsetDelta(more) => (real, real - 1 + more),
        Oddity::Gap => (real, real),
        _ => (real, real - 1),
    };
    let mut attributes = spec.codec.attributes();
    attributes |= if spec.transactional { 0x10 } else { 0 };
    if let Oddity::Bits(bits) = oddity {
        attributes ^= bits;
    }
    let largest = (0..count).map(time).max().unwrap_or(-1);
    let mut checked = Vec::new();
    checked.put_i16(attributes);
    checked.put_i32(last_delta);
    checked.put_i64(
        time(0)
            + if let Oddity::BaseTimestamp(more) = oddity {
                more
            } else {
                0
            },
    );
    checked.put_i64(
        largest
            + if let Oddity::MaxTimestamp(more) = oddity {
                more
            } else {
                0
            },
    );
    checked.put_i64(producer.id);
    checked.put_i16(producer.epoch);
    checked.put_i32(producer.sequence);
    checked.put_i32(stated);
    checked.extend_from_slice(&body);
    let mut out = Vec::new();
    out.put_i64(if let Oddity::BaseOffset(at) = oddity {
        at
    } else {
        0
    });
    let length = checked.len() as i32 + 9;
    out.put_i32(
        length
            + if let Oddity::Length(more) = oddity {
                more
            } else {
                0
            },
    );
    out.put_i32(if let Oddity::LeaderEpoch(epoch) = oddity {
        epoch
    } else {
        -1
    });
    out.put_u8(if let Oddity::Magic(magic) = oddity {
        magic
    } else {
        2
    });
    let crc = crc32_iscsi(&checked);
    out.put_u32(if oddity == Oddity::WrongCrc {
        !crc
    } else {
        crc
    });
    out.extend_from_slice(&checked);
    match oddity {
        Oddity::TwoBatches => out.extend_from_within(..),
        Oddity::Trailing(bytes) => out.put_bytes(3, bytes),
        Oddity::Cut(bytes) => out.truncate(bytes),
        Oddity::Empty => out.clear(),
        _ => {}
    }
    (out.into(), body)
}

fn put_record(out: &mut Vec<u8>, spec: &BatchSpec, k: usize, time_delta: i64, offset_delta: i64) {
    let first = k == 0;
    let mut record = Vec::new();
    record.put_u8(match spec.oddity {
        Oddity::RecordAttributes(bits) if first => bits,
        _ => 0,
    });
    put_varint(&mut record, time_delta);
    put_varint(&mut record, offset_delta);
    let nth = |n: usize| n != 0 && k % n == n - 1;
    let key = format!("key-{}-{k}", spec.salt);
    put_bytes(
        &mut record,
        (!nth(spec.null_keys)).then_some(key.as_bytes()),
    );
    let bytes = match spec.oddity {
        Oddity::Large(bytes) if first => bytes,
        _ => spec.value_bytes,
    };
    let value: Vec<u8> = format!("value {} {k} ", spec.salt)
        .bytes()
        .cycle()
        .take(bytes)
        .collect();
    put_bytes(&mut record, (!nth(spec.null_values)).then_some(&value));
    match spec.oddity {
        Oddity::HeaderCount(count) if first => put_varint(&mut record, count),
        Oddity::NullHeaderName if first => {
            put_varint(&mut record, 1);
            put_bytes(&mut record, None);
            put_bytes(&mut record, Some(b"v"));
        }
        _ => {
            put_varint(&mut record, spec.headers as i64);
            for header in 0..spec.headers {
                put_bytes(&mut record, Some(b"h"));
                put_bytes(&mut record, (header % 2 == 0).then_some(b"v"));
            }
        }
    }
    let more = match spec.oddity {
        Oddity::RecordLength(more) if first => more,
        _ => 0,
    };
    put_varint(out, record.len() as i64 + more);
    out.extend_from_slice(&record);
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i64));
    out.extend_from_slice(bytes.unwrap_or_default());
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        out.put_u8(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.put_u8(bits as u8);
}

/// One line per fetched batch, with everything that two clusters must agree on.
///
/// A body that the broker rebuilt with its own compressor is compared decompressed; whether it did is
/// compared as well. CRCs are checked, and follow from the rest.
pub(crate) fn describe(records: &Bytes, names: &Names) -> Vec<String> {
    let mut lines = Vec::new();
    let mut all = batches(records);
    for found in &mut all {
        let batch = match found {
            Ok(batch) => batch,
            Err(e) => {
                lines.push(format!("  not a batch: {e}"));
                break;
            }
        };
        let h = batch.header;
        let plain = h.codec().map_err(|e| e.to_string()).and_then(|codec| {
            decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX).map_err(|e| e.to_string())
        });
        let body = match plain {
            Ok(plain) => format!("{} bytes, crc {:08x}", plain.len(), crc32_iscsi(&plain)),
            Err(e) => format!("{e}, {:?}", batch.body),
        };
        let (base_ms, max_ms) = (
            names.time(h.base_timestamp_ms()),
            names.time(h.max_timestamp_ms()),
        );
        lines.push(format!(
            "  {}..={} count {} attributes {:#06x} leader epoch {} times {base_ms} {max_ms}{} \
             producer {} epoch {} sequence {} body {body}, {}, crc {}",
            h.base_offset(),
            h.last_offset(),
            h.count(),
            h.attributes(),
            h.leader_epoch(),
            if max_ms == BROKER_TIME {
                " (broker's)"
            } else {
                ""
            },
            names.pid_number(h.producer_id()),
            h.producer_epoch(),
            h.base_sequence(),
            if names.sent.contains(&batch.body) {
                "as sent"
            } else {
                "rebuilt"
            },
            if batch.crc_is_valid() {
                "right"
            } else {
                "wrong"
            },
        ));
    }
    if all.cut_off_bytes() > 0 {
        lines.push("  and a batch that is cut off".to_owned());
    }
    lines
}
