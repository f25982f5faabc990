//! Batches: a log of any settings takes them, and keeps them through everything that happens to logs; and everything that the engine
//! does with batches is done with the same bytes.

use batch::{
    AbortedTransactions, BatchBuilder, Codec, HEADER_BYTES, ProducerStamp, RawBatch, RecordHeader,
    TargetRules, TimestampType, Verdict, checksum, classify, compress, decompress, field, marker,
    merge, records, reencode, stamp,
};
use bytes::{Buf, Bytes, BytesMut};

use crate::log::{Append, Isolation, Log, LogSettings};

/// 2023-11-14, in milliseconds since 1970.
const NOW_MS: i64 = 1_700_000_000_000;
/// Steps of one input.
const STEPS_MAX: usize = 64;
/// What an input's batch may decompress to where it is not a log or the engine that asks: enough to see that it is sound.
const PLAIN_BYTES_MAX: usize = 1 << 20;

/// In a step's first byte: the batch's length and checksum are put right, its body is compressed.
const REPAIRED: u8 = 0x40;
const COMPRESSED: u8 = 0x80;

/// Reads settings (three bytes), then steps: a byte that says what, a byte of detail, and for a batch two bytes of length and the
/// batch's own.
///
/// Checked besides panics: the log's offsets stay in order, every offset between its start and its end can be read, and what the
/// engine writes has a valid checksum.
pub fn batches(mut input: &[u8]) {
    let mut next = || input.try_get_u8().ok();
    let (Some(first), Some(second), Some(third)) = (next(), next(), next()) else {
        return;
    };
    let settings = settings([first, second, third]);
    let target = target([first, second, third]);
    let mut log = Log::new();
    let mut now_ms = NOW_MS;
    let mut sent: Vec<RawBatch> = Vec::new();
    for _ in 0..STEPS_MAX {
        let (Ok(what), Ok(detail)) = (input.try_get_u8(), input.try_get_u8()) else {
            break;
        };
        let some_offset = i64::from(detail) - 2;
        match what & 0x3f {
            0..16 => {
                let Ok(length) = input.try_get_u16() else {
                    break;
                };
                let (bytes, rest) = input.split_at(usize::from(length).min(input.len()));
                input = rest;
                let mut bytes = BytesMut::from(bytes);
                if what & COMPRESSED != 0 {
                    compress_body(&mut bytes);
                }
                if what & REPAIRED != 0 {
                    repair(&mut bytes);
                }
                let bytes = bytes.freeze();
                replicate(&bytes, some_offset, &target, &mut sent);
                let end = log.end_offset();
                let append = Append {
                    records: Some(bytes),
                    version: i16::from(what & 0x0f),
                    now_ms,
                    leader_epoch: i32::from(detail >> 6),
                    topic: if detail & 2 == 0 {
                        "t"
                    } else {
                        "__consumer_offsets"
                    },
                    partition: 0,
                    settings: &settings,
                    internal_client: detail & 4 != 0,
                    transaction_verified: detail & 1 != 0,
                };
                let inspected = Log::inspect(append.records.as_ref(), append.version).is_ok();
                match log.append(&append) {
                    Ok(appended) if appended.duplicate => assert_eq!(log.end_offset(), end),
                    Ok(appended) => {
                        assert!(inspected && appended.base_offset == end);
                        assert_eq!(appended.last_offset + 1, log.end_offset());
                    }
                    Err(_) => assert_eq!(log.end_offset(), end),
                }
            }
            16..20 => drop(log.append_marker(
                i64::from(detail & 7),
                i16::from(detail >> 6),
                what & 1 == 0,
                i32::from(detail >> 4),
                0,
                now_ms,
            )),
            20 => log.roll(),
            21 => log.hold_high_watermark((detail > 3).then_some(some_offset)),
            22 => log.truncate_to(some_offset),
            23 => log.restart(now_ms, 1 << 20),
            24 => drop(log.delete_records(some_offset)),
            25 => drop(log.retain(&settings, now_ms)),
            26 => log.compact(&settings, now_ms, detail & 1 == 0),
            27 => now_ms = now_ms.saturating_add(1 << (detail % 40)),
            28 => drop(log.corrupt(some_offset)),
            29 => log.begin_epoch(i32::from(detail)),
            30 => log.expire_producers(now_ms, i64::from(detail)),
            31 => drop(log.diverging(some_offset, i32::from(detail >> 6), 3)),
            _ => read(&log, some_offset),
        }
        assert!(log.start_offset() <= log.last_stable_offset().max(log.high_watermark()));
        assert!(log.high_watermark() <= log.end_offset());
    }
    for offset in [
        log.start_offset(),
        log.high_watermark(),
        log.end_offset() - 1,
    ] {
        read(&log, offset);
    }
    drop(log.producers());
}

/// Reads in every way.
fn read(log: &Log, offset: i64) {
    let inside = (log.start_offset()..=log.end_offset()).contains(&offset);
    for isolation in [
        Isolation::Uncommitted,
        Isolation::Committed,
        Isolation::LogEnd,
    ] {
        let all = log.read(offset, usize::MAX, true, isolation);
        assert_eq!(all.is_ok(), inside);
        if let Ok(slice) = all {
            let aborted = slice.aborted;
            let mut aborted = AbortedTransactions::new(aborted);
            for found in batch::batches(&slice.records) {
                let Ok(found) = found else {
                    unreachable!("a stored batch is not whole");
                };
                aborted.is_aborted(&found).ok();
            }
        }
        drop(log.read(offset, 100, false, isolation));
        log.offset_for_timestamp(NOW_MS + offset, isolation).ok();
    }
    log.max_timestamp(Isolation::Uncommitted).ok();
    log.epoch_at(offset);
    log.end_of_epoch(1, 3);
    log.latest_epoch();
}

/// Does with a Fetch answer what the engine does.
fn replicate(answer: &Bytes, from_offset: i64, target: &TargetRules, sent: &mut Vec<RawBatch>) {
    let mut aborted = AbortedTransactions::new([(0, 0), (5, 1)]);
    for found in batch::batches(answer) {
        let Ok(found) = found else { break };
        let header = &found.header;
        drop((aborted.is_aborted(&found), marker(&found)));
        if let Ok(codec) = header.codec()
            && let Ok(plain) = decompress(codec, &found.body, PLAIN_BYTES_MAX)
        {
            for record in records(&plain, header.count()).map_while(Result::ok) {
                let headers: Vec<RecordHeader<'_>> = record.headers().collect();
                assert_eq!(Ok(headers.len()), usize::try_from(record.header_count));
            }
        }
        let producer = ProducerStamp {
            producer_id: 7,
            producer_epoch: 1,
            base_sequence: 3,
            transactional: true,
        };
        let stamped = RawBatch {
            header: stamp(header, producer),
            body: found.body.clone(),
        };
        assert_eq!(stamped.crc_is_valid(), found.crc_is_valid());
        if classify(header, from_offset, target) == Verdict::Pass {
            sent.push(found.clone());
        }
        for part in reencode(&found, from_offset, target).unwrap_or_default() {
            assert!(part.batch.crc_is_valid() && part.batch.header.is_dense());
            assert!(
                part.upstream_first >= from_offset && part.upstream_first <= part.upstream_last
            );
        }
    }
    if let Ok(merged) = merge(sent, target, 4_096) {
        assert!(merged.crc_is_valid() && merged.header.is_dense());
        assert!(merged.header.total_bytes() <= 4_096);
    }
    sent.drain(..sent.len().saturating_sub(3));
}

fn settings([first, second, third]: [u8; 3]) -> LogSettings {
    let default = LogSettings::default();
    LogSettings {
        max_message_bytes: [1_048_588, 150, 400, 1 << 30][usize::from(first & 3)],
        segment_bytes: [1 << 30, 14, 200, 600][usize::from(first >> 2 & 3)],
        segment_ms: [default.segment_ms, 1, 1 << 20, i64::MAX][usize::from(first >> 4 & 3)],
        retention_ms: [default.retention_ms, -1, 0, 1 << 20][usize::from(first >> 6)],
        retention_bytes: [-1, 0, 300, i64::MAX][usize::from(second & 3)],
        cleanup_delete: second & 4 == 0,
        cleanup_compact: second & 8 != 0,
        delete_retention_ms: [default.delete_retention_ms, 0, 1 << 20, i64::MAX]
            [usize::from(second >> 4 & 3)],
        min_compaction_lag_ms: [0, 1 << 20][usize::from(second >> 6 & 1)],
        max_compaction_lag_ms: [i64::MAX, 1][usize::from(second >> 7)],
        min_cleanable_dirty_ratio: [0.0, 0.5][usize::from(third & 1)],
        compression: [
            None,
            None,
            Some(Codec::None),
            Some(Codec::Gzip),
            Some(Codec::Snappy),
            Some(Codec::Lz4),
            Some(Codec::Zstd),
            None,
        ][usize::from(third >> 1 & 7)],
        log_append_time: third & 16 != 0,
        timestamp_before_max_ms: [i64::MAX, 0][usize::from(third >> 5 & 1)],
        timestamp_after_max_ms: [default.timestamp_after_max_ms, i64::MAX]
            [usize::from(third >> 6 & 1)],
        min_insync_replicas: 1,
    }
}

fn target([first, second, third]: [u8; 3]) -> TargetRules {
    TargetRules {
        timestamp_type: match third & 16 {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        },
        max_message_bytes: [1_048_588, 150, 400, 1 << 30][usize::from(first & 3)],
        segment_bytes: [1 << 30, 14, 200, 600][usize::from(first >> 2 & 3)],
        zstd: second & 1 == 0,
        restore_create_time: second & 2 != 0,
    }
}

/// Compresses what stands behind the header, as the header says.
fn compress_body(batch: &mut BytesMut) {
    if batch.len() < HEADER_BYTES {
        return;
    }
    let body = batch.split_off(HEADER_BYTES);
    let codec = Codec::ALL[usize::from(batch[field::ATTRIBUTES + 1] & 7) % Codec::ALL.len()];
    match compress(codec, body.to_vec()) {
        Ok(compressed) => batch.extend_from_slice(&compressed),
        Err(_) => batch.unsplit(body),
    }
}

/// Puts magic, length and checksum of a single batch right.
pub(super) fn repair(batch: &mut BytesMut) {
    if batch.len() < HEADER_BYTES {
        return;
    }
    let length = u32::try_from(batch.len() - 12).unwrap_or(u32::MAX);
    batch[field::LENGTH..][..4].copy_from_slice(&length.to_be_bytes());
    batch[field::MAGIC] = 2;
    if let Some(sum) = checksum(batch) {
        batch[field::CRC..][..4].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Inputs from which to start: every codec with every settings byte that matters, and everything that happens to a log.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, codec) in (0_u8..).zip(Codec::ALL.iter().cycle().take(40)) {
        let settings = [
            number % 7 * 37,
            number.wrapping_mul(29),
            number.wrapping_mul(53),
        ];
        let mut input = settings.to_vec();
        for sequence in 0..4_u8 {
            let producer = ProducerStamp {
                producer_id: i64::from(number % 3) - 1,
                producer_epoch: 0,
                base_sequence: i32::from(sequence) * 2,
                transactional: number % 3 == 1 && sequence > 1,
            };
            let producer = match number % 3 {
                0 => ProducerStamp::NONE,
                _ => producer,
            };
            let bytes = one(*codec, producer, i64::from(sequence));
            input.extend_from_slice(&[9 | REPAIRED, 1]);
            input.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
            input.extend_from_slice(&bytes);
            let then = [
                [20, 0],
                [16, 0],
                [26, 0],
                [23, 0],
                [24, 3],
                [25, 0],
                [22, 5],
                [28, 4],
                [40, 3],
            ];
            input.extend_from_slice(&then[usize::from(number + sequence) % then.len()]);
        }
        input.extend_from_slice(&[27, 35, 26, 0, 25, 0, 40, 2]);
        seeds.push(input);
    }
    seeds
}

/// A batch of two records.
fn one(codec: Codec, producer: ProducerStamp, number: i64) -> BytesMut {
    let mut builder = BatchBuilder::new(codec);
    let headers = [RecordHeader {
        name: b"h",
        value: None,
    }];
    for key in [b"a", b"b"] {
        let value = (number % 3 != 0).then_some(&b"value"[..]);
        let pushed = builder.push(NOW_MS + number, Some(key), value, &headers);
        debug_assert!(pushed.is_ok());
    }
    let mut bytes = BytesMut::new();
    if let Ok(batch) = builder.build() {
        bytes.extend_from_slice(stamp(&batch.header, producer).as_bytes());
        bytes.extend_from_slice(&batch.body);
    }
    bytes
}
