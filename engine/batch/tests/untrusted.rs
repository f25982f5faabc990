//! Bytes that nobody vouches for: nothing may panic, loop or take memory without bound.

#[cfg(test)]
mod common;

use batch::{
    AbortedTransactions, Codec, CodecError, ProducerStamp, RecordView, TargetRules, batches,
    classify, compress, decompress, records, reencode, stamp,
};
use bytes::Bytes;
use common::{Record, Source, TRANSACTIONAL, marker_batch, wire};
use proptest::collection::vec;
use proptest::prelude::*;

/// Everything that a lane does with fetched bytes; the CRC is made right so that damage gets past
/// it.
fn replicate(bytes: Vec<u8>) {
    let mut aborted = AbortedTransactions::new([(4_711, 0), (-5, i64::MIN), (0, i64::MAX)]);
    let mut cutter = batches(&Bytes::from(bytes));
    for mut batch in cutter.by_ref().map_while(Result::ok) {
        let crc = crc_fast::crc32_iscsi(&[&batch.header.as_bytes()[21..], &batch.body].concat());
        let mut header = *batch.header.as_bytes();
        header[17..21].copy_from_slice(&crc.to_be_bytes());
        batch.header = batch::BatchHeader::parse(&header).unwrap_or(batch.header);
        let _aborted = aborted.is_aborted(&batch);
        for from_offset in [i64::MIN, 3, i64::MAX] {
            let target = TargetRules {
                max_message_bytes: 500,
                zstd: from_offset == 3,
                ..TargetRules::default()
            };
            let _verdict = classify(&batch.header, from_offset, &target);
            for piece in reencode(&batch, from_offset, &target).unwrap_or_default() {
                assert!(piece.batch.header.total_bytes() <= 500);
                assert!(piece.upstream_first >= from_offset);
            }
        }
        stamp(&batch.header, ProducerStamp::NONE);
        let _next = (batch.header.next_offset(), format!("{batch:?}"));
    }
    assert!(cutter.next().is_none());
}

fn some_batch() -> impl Strategy<Value = Vec<u8>> {
    let codec = prop::sample::select(Codec::ALL.to_vec());
    (codec, 1..40i64, any::<bool>()).prop_map(|(codec, count, marker)| {
        if marker {
            return wire(&marker_batch(0, 4_711, 0));
        }
        let value = |record: Record| Record {
            headers: vec![(b"h".to_vec(), None)],
            ..record
        };
        let bits = if count % 2 == 0 { TRANSACTIONAL } else { 0 };
        wire(
            &Source::new((0..count).map(|n| value(Record::new(n))).collect())
                .with_bits(bits)
                .encode(codec),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..300)) {
        replicate(bytes);
    }

    #[test]
    fn random_bytes_behind_a_plausible_header(
        mut header in vec(any::<u8>(), 61), body in vec(any::<u8>(), 0..200), count in 0..50u8,
        plausible in any::<u8>(),
    ) {
        header[8..12].copy_from_slice(&u32::try_from(body.len() + 49).unwrap().to_be_bytes());
        header[16] = 2;
        header[0] &= 0x7f;
        header[23] &= 0x7f;
        if plausible & 1 == 0 { header[57..61].copy_from_slice(&[0, 0, 0, count]); }
        if plausible & 2 == 0 { header[22] &= !0x20; }
        replicate([header, body].concat());
    }

    #[test]
    fn mutated_batches(
        mut bytes in some_batch(), second in some_batch(), cut in 0..1_000usize,
        mutations in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        bytes.extend(second);
        for (at, byte) in mutations {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        bytes.truncate(bytes.len().saturating_sub(cut / 2));
        replicate(bytes);
    }

    #[test]
    fn random_records(
        body in vec(any::<u8>(), 0..200), count in prop_oneof![0..50i32, any::<i32>()],
    ) {
        let mut walk = records(&body, count);
        let headers = |record: RecordView<'_>| record.headers().count();
        let found: usize = walk.by_ref().map(|record| 1 + record.map_or(0, headers)).sum();
        prop_assert!(found <= body.len() + 1, "all take bytes, and one error may follow");
        prop_assert!(walk.next().is_none());
    }

    #[test]
    fn random_compressed_data(
        body in vec(any::<u8>(), 0..300), codec in prop::sample::select(Codec::ALL.to_vec()),
        front in prop::sample::select(vec![
            &b""[..],
            b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01",
            b"\x1f\x8b\x08\x00\0\0\0\0\0\x00", // gzip
            b"\x04\x22\x4d\x18\x60\x40\x82", // lz4, independent blocks
            b"\x04\x22\x4d\x18\x40\x70\xdf", // lz4, linked blocks
            b"\x02\x21\x4c\x18", // lz4, legacy frame
            b"\x28\xb5\x2f\xfd", // zstd
        ]),
    ) {
        let limit = 1_000;
        if let Ok(plain) = decompress(codec, &Bytes::from([front, &body].concat()), limit) {
            prop_assert!(plain.len() <= limit);
        }
    }

    #[test]
    fn mutated_compressed_data(
        plain in vec(0..4u8, 0..3_000), codec in prop::sample::select(Codec::ALL.to_vec()),
        mutations in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in 0..20usize,
    ) {
        let intact = compress(codec, plain.clone()).unwrap();
        prop_assert_eq!(&decompress(codec, &intact, plain.len()).unwrap()[..], &plain[..]);
        let mut bytes = intact.to_vec();
        for (at, byte) in mutations {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] ^= byte;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        if let Ok(found) = decompress(codec, &bytes.into(), 4_000) {
            prop_assert!(found.len() <= 4_000);
        }
    }
}

#[test]
fn a_decompression_bomb_is_an_error() {
    const LIMIT: usize = 1 << 20;
    for codec in Codec::ALL {
        for (bytes, fits) in [(LIMIT, true), (LIMIT + 1, false), (LIMIT * 40, false)] {
            let bomb = compress(codec, vec![0; bytes]).unwrap();
            match decompress(codec, &bomb, LIMIT) {
                Ok(plain) => assert!(fits && plain.len() == bytes, "{codec} {bytes}"),
                Err(CodecError::TooLarge { limit: LIMIT, .. }) => assert!(!fits, "{codec} {bytes}"),
                Err(error) => panic!("{codec} {bytes}: {error}"),
            }
        }
    }
}

/// Five bytes that state 100 MB: refused before memory is taken.
#[test]
fn a_snappy_block_cannot_state_what_it_does_not_hold() {
    let raw = Bytes::from_static(&[0x80, 0xc2, 0xd7, 0x2f, 0x00]);
    let framed = Bytes::from(
        [
            b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x05",
            &raw[..],
        ]
        .concat(),
    );
    for body in [raw, framed] {
        let error = decompress(Codec::Snappy, &body, 128 << 20).unwrap_err();
        let source = std::error::Error::source(&error)
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(source.contains("cannot reach"), "{error}: {source}");
    }
}

/// What clients other than Java write, and appended streams.
#[test]
fn foreign_framing_is_read() {
    let (plain, half) = (vec![b'x'; 100_000], vec![b'x'; 50_000]);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(
        decompress(Codec::Snappy, &raw.into(), 100_000).unwrap(),
        plain
    );
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Zstd] {
        let half = compress(codec, half.clone()).unwrap();
        let appended = Bytes::from([&half[..], &half[..]].concat());
        assert_eq!(
            decompress(codec, &appended, 100_000).unwrap(),
            plain,
            "{codec}"
        );
    }
    let linked = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Linked)
        .block_checksums(true)
        .content_checksum(true)
        .content_size(Some(100_000));
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(linked, Vec::new());
    std::io::Write::write_all(&mut encoder, &plain).unwrap();
    assert_eq!(
        decompress(Codec::Lz4, &encoder.finish().unwrap().into(), 100_000).unwrap(),
        plain
    );
}

/// Java's reader takes version 1, independent blocks and no dictionary, and ends at the end mark.
#[test]
fn lz4_is_framed_as_java_reads_it() {
    let frame = compress(
        Codec::Lz4,
        (0..200_000u32).flat_map(u32::to_be_bytes).collect(),
    )
    .unwrap();
    assert_eq!(
        &frame[..6],
        b"\x04\x22\x4d\x18\x60\x40",
        "magic, flags, 64 KiB blocks"
    );
    assert_eq!(&frame[frame.len() - 4..], [0; 4], "end mark");
}
