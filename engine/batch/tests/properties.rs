//! What must hold for any records: proptest prints the smallest failing input and keeps its seed.

#[cfg(test)]
mod common;

use batch::{
    BatchBuilder, Codec, ProducerStamp, RawBatch, RecordHeader, ReencodeError, TargetRules,
    TimestampType, Verdict, classify, next_sequence, reencode, stamp,
};
use common::{
    DELETE_HORIZON, LOG_APPEND_TIME, Record, Source, TRANSACTIONAL, assert_acceptable, read,
};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

fn bytes(longest: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..longest),
        (any::<u8>(), 0..longest).prop_map(|(byte, n)| vec![byte; n])
    ]
}

fn codec() -> impl Strategy<Value = Codec> {
    prop::sample::select(Codec::ALL.to_vec())
}

/// Names repeat on purpose.
fn headers() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    let name = prop_oneof!["[ab]{0,1}".prop_map(String::into_bytes), bytes(20)];
    vec((name, prop::option::of(bytes(20))), 0..4)
}

fn timestamp() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(-1),
        Just(0),
        1_700_000_000_000..1_700_000_100_000i64,
        0..i64::MAX / 2
    ]
}

fn record() -> impl Strategy<Value = Record> {
    (
        timestamp(),
        prop::option::of(bytes(40)),
        prop::option::of(bytes(400)),
        headers(),
    )
        .prop_map(|(timestamp_ms, key, value, headers)| Record {
            offset: 0,
            timestamp_ms,
            key,
            value,
            headers,
        })
}

/// A source batch: any holes, any bits that data can have, any place in the log.
fn source() -> impl Strategy<Value = Source> {
    let records = btree_set(0..60i64, 1..40).prop_flat_map(|deltas| {
        let count = deltas.len();
        (Just(deltas), vec(record(), count))
    });
    let bits = prop::sample::select(vec![
        0,
        LOG_APPEND_TIME,
        TRANSACTIONAL,
        DELETE_HORIZON,
        0x58,
        0x1f80,
    ]);
    (records, 0..1i64 << 40, 0..5i32, bits, timestamp()).prop_map(
        |((deltas, mut records), base, tail, bits, horizon)| {
            records
                .iter_mut()
                .zip(&deltas)
                .for_each(|(record, delta)| record.offset = base + delta);
            let mut source = Source::new(records).with_bits(bits);
            source.last_offset_delta +=
                i32::try_from(source.base_offset - base).unwrap_or(0) + tail;
            source.base_offset = base;
            if bits & DELETE_HORIZON != 0 {
                source.base_timestamp_ms = horizon;
            }
            source
        },
    )
}

proptest! {
    #[test]
    fn what_is_built_reads_back(records in vec(record(), 1..50), codec in codec()) {
        let mut builder = BatchBuilder::new(codec);
        for record in &records {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            let headers = record.headers.iter().map(|(name, value)| (name, value.as_deref()));
            let headers: Vec<_> = headers.map(|(name, value)| RecordHeader { name, value }).collect();
            builder.push(record.timestamp_ms, key, value, &headers).unwrap();
        }
        let plain_bytes = builder.plain_bytes();
        let batch = builder.build().unwrap();
        prop_assert!(codec != Codec::None || batch.header.total_bytes() == plain_bytes);
        assert_acceptable(&batch, usize::MAX);
        let found: Vec<_> = read(&batch).iter().map(Record::content).collect();
        prop_assert_eq!(found, records);
    }

    #[test]
    fn a_reencode_keeps_every_record_and_is_acceptable(
        source in source(), codec in codec(), limit in prop_oneof![200..4_000usize, Just(1 << 20)],
        from_delta in -5..70i64, zstd in any::<bool>(), restore in any::<bool>(),
        append_target in any::<bool>(),
    ) {
        let target = TargetRules {
            timestamp_type: match append_target {
                true => TimestampType::LogAppendTime,
                false => TimestampType::CreateTime,
            },
            max_message_bytes: limit,
            zstd,
            restore_create_time: restore,
            ..TargetRules::default()
        };
        let batch = source.encode(codec);
        let from_offset = source.base_offset + from_delta;
        let append_time = source.bits & LOG_APPEND_TIME != 0 && !append_target && !restore;
        let wanted = source.records.iter().filter(|record| record.offset >= from_offset);
        let wanted: Vec<_> = wanted.map(|record| Record {
            timestamp_ms: if append_time { source.max_timestamp_ms } else { record.timestamp_ms },
            ..record.clone()
        }).collect();
        let (pieces, too_large) = match reencode(&batch, from_offset, &target) {
            Ok(pieces) => (pieces, None),
            Err(ReencodeError::RecordTooLarge { offset, bytes, before, .. }) => {
                prop_assert!(bytes > limit);
                (before, Some(offset))
            }
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        };
        let mut wanted = wanted.iter();
        for (at, piece) in pieces.iter().enumerate() {
            assert_acceptable(&piece.batch, limit);
            let expected_codec = if codec == Codec::Zstd && !zstd { Codec::Lz4 } else { codec };
            prop_assert_eq!(piece.batch.header.codec().unwrap(), expected_codec);
            let runs = piece.runs.iter().map(|run| (run.upstream_first, i64::from(run.count)));
            prop_assert!(runs.clone().is_sorted_by(|left, right| left.0 + left.1 < right.0));
            let offsets: Vec<_> = runs.flat_map(|(first, count)| first..first + count).collect();
            prop_assert_eq!(offsets.len(), read(&piece.batch).len());
            prop_assert_eq!(Some(&piece.upstream_first), offsets.first());
            prop_assert_eq!(Some(&piece.upstream_last), offsets.last());
            for (record, offset) in read(&piece.batch).into_iter().zip(offsets) {
                prop_assert_eq!(Some(&Record { offset, ..record }), wanted.next());
            }
            let end = too_large.unwrap_or(batch.header.next_offset());
            let next = pieces.get(at + 1).map_or(end, |next| next.upstream_first);
            prop_assert_eq!(piece.upstream_next, next);
        }
        prop_assert_eq!(wanted.next().map(|record| record.offset), too_large);
    }

    #[test]
    fn a_stamp_changes_the_header_only_and_keeps_the_crc_valid(
        source in source(), codec in codec(), transactional in any::<bool>(),
        producer in prop_oneof![Just((-1, -1, -1)), (0..i64::MAX, 0..i16::MAX, 0..i32::MAX)],
    ) {
        let batch = source.encode(codec);
        let (producer_id, producer_epoch, base_sequence) = producer;
        let by = ProducerStamp { producer_id, producer_epoch, base_sequence, transactional };
        let copy = RawBatch { header: stamp(&batch.header, by), body: batch.body.clone() };
        prop_assert!(copy.crc_is_valid());
        prop_assert_eq!(copy.header.count(), batch.header.count());
        prop_assert_eq!(copy.header.last_offset_delta(), batch.header.last_offset_delta());
        prop_assert_eq!(copy.header.base_timestamp_ms(), batch.header.base_timestamp_ms());
        prop_assert_eq!(copy.header.max_timestamp_ms(), batch.header.max_timestamp_ms());
        let again = stamp(&copy.header, by);
        prop_assert_eq!(again.as_bytes(), copy.header.as_bytes(), "a resend stamps again");
        if classify(&batch.header, 0, &TargetRules::default()) == Verdict::Pass {
            assert_acceptable(&copy, usize::MAX);
        }
    }

    #[test]
    fn sequences_stay_in_range(sequence in 0..=i32::MAX, count in 1..=i32::MAX) {
        let expected = (i64::from(sequence) + i64::from(count)) % (1 << 31);
        prop_assert_eq!(i64::from(next_sequence(sequence, count)), expected);
    }
}

/// The delta against a full pass, for bodies up to 2 MB and every codec's attributes.
#[test]
fn the_crc_delta_equals_a_full_recompute_at_every_size() {
    let source = Source::dense(0..1).with_bits(TRANSACTIONAL | DELETE_HORIZON | LOG_APPEND_TIME);
    let sizes = (0..200)
        .chain((8..=21).flat_map(|power| [(1 << power) - 1, 1 << power, (1 << power) + 61]));
    for (at, size) in sizes.enumerate() {
        let body: Vec<u8> = (0..251u8).cycle().take(size).collect();
        let batch = source.encode_body(Codec::ALL[at % 5].attributes(), &body);
        let by = ProducerStamp {
            producer_id: 7 << 33,
            producer_epoch: 12,
            base_sequence: 1 << 20,
            transactional: at % 2 == 0,
        };
        let copy = RawBatch {
            header: stamp(&batch.header, by),
            body: batch.body.clone(),
        };
        assert!(copy.crc_is_valid(), "{size} bytes");
        assert_ne!(copy.header.crc(), batch.header.crc());
    }
}
