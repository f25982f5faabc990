//! The table of `docs/spec/batches.md` 1, row by row, with the additions of
//! `docs/spec/real-kafka.md` 4 and 5.
//!
//! Row 27 (internal topics) is decided by the topic filter before a batch exists, so it has no test
//! here.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

#[cfg(test)]
mod common;

use batch::{
    AbortedTransactions, BatchError, BatchHeader, Codec, DropReason, Marker, OffsetRun,
    ProducerStamp, RawBatch, RecordProblem, ReencodeError, ReencodeReason, TargetRules,
    TimestampType, Verdict, batches, classify, marker, records, reencode, stamp,
};
use bytes::Bytes;
use common::{
    CONTROL, DELETE_HORIZON, LOG_APPEND_TIME, Record, Source, TRANSACTIONAL, assert_acceptable,
    cut, marker_batch, read, wire,
};

const OURS: ProducerStamp = ProducerStamp {
    producer_id: 1_000,
    producer_epoch: 2,
    base_sequence: 55,
    transactional: false,
};

fn target() -> TargetRules {
    TargetRules::default()
}

fn verdict(batch: &RawBatch) -> Verdict {
    classify(&batch.header, 0, &target())
}

fn stamped(batch: &RawBatch, by: ProducerStamp) -> RawBatch {
    RawBatch {
        header: stamp(&batch.header, by),
        body: batch.body.clone(),
    }
}

fn content(records: &[Record]) -> Vec<Record> {
    records.iter().map(Record::content).collect()
}

/// The records of a re-encoded batch without their offsets; every piece must be acceptable.
fn rewritten_content(batch: &RawBatch, from_offset: i64, target: &TargetRules) -> Vec<Record> {
    let pieces = reencode(batch, from_offset, target).unwrap();
    pieces
        .iter()
        .for_each(|piece| assert_acceptable(&piece.batch, target.batch_bytes_max()));
    pieces
        .iter()
        .flat_map(|piece| content(&read(&piece.batch)))
        .collect()
}

#[test]
fn row_01_batches_are_cut_apart_to_be_sent_one_per_request() {
    let first = Source::dense(0..3).encode(Codec::None);
    let second = Source::dense(3..5).encode(Codec::Lz4);
    let cut = cut(&Bytes::from([wire(&first), wire(&second)].concat()));
    assert_eq!(
        cut.iter()
            .map(|b| (b.header.base_offset(), b.header.count()))
            .collect::<Vec<_>>(),
        [(0, 3), (3, 2)]
    );
    assert_eq!(cut[0].body, first.body);
    assert_eq!(cut[1].body, second.body);
}

#[test]
fn row_02_old_formats_are_a_distinct_error() {
    for magic in [0, 1] {
        let mut bytes = wire(&Source::dense(7..8).encode(Codec::None));
        bytes[16] = magic as u8;
        let mut cutter = batches(&Bytes::from(bytes));
        let error = cutter.next().unwrap().unwrap_err();
        assert_eq!(
            error,
            BatchError::OldFormat {
                base_offset: 7,
                magic
            }
        );
        assert!(cutter.next().is_none());
    }
}

#[test]
fn row_02_shortest_old_message_is_recognised_and_magic_3_is_damage() {
    let old = [
        &9i64.to_be_bytes()[..],
        &14i32.to_be_bytes(),
        &[0; 4],
        &[0],
        &[0; 9],
    ]
    .concat();
    let error = batches(&Bytes::from(old)).next().unwrap().unwrap_err();
    assert_eq!(
        error,
        BatchError::OldFormat {
            base_offset: 9,
            magic: 0
        }
    );
    let mut bytes = wire(&Source::dense(7..8).encode(Codec::None));
    bytes[16] = 3;
    let error = batches(&Bytes::from(bytes)).next().unwrap().unwrap_err();
    assert_eq!(
        error,
        BatchError::UnknownMagic {
            base_offset: 7,
            magic: 3
        }
    );
}

#[test]
fn row_03_base_offset_is_written_as_zero() {
    let batch = Source::dense(1_000..1_004).encode(Codec::Zstd);
    assert_eq!(verdict(&batch), Verdict::Pass);
    assert_eq!(stamp(&batch.header, OURS).base_offset(), 0);
}

#[test]
fn row_04_leader_epoch_is_written_as_minus_one() {
    let batch = Source::dense(0..4).encode(Codec::None);
    assert_eq!(batch.header.leader_epoch(), 7);
    assert_eq!(stamp(&batch.header, OURS).leader_epoch(), -1);
}

#[test]
fn row_05_crc_is_right_after_the_patch_and_damage_stays_visible() {
    for codec in Codec::ALL {
        let batch = Source::dense(20..90)
            .with_bits(TRANSACTIONAL | DELETE_HORIZON)
            .encode(codec);
        assert!(stamped(&batch, OURS).crc_is_valid(), "{codec}");
        let mut body = batch.body.to_vec();
        body[9] ^= 4;
        let damaged = RawBatch {
            header: batch.header,
            body: body.into(),
        };
        assert!(!stamped(&damaged, OURS).crc_is_valid(), "{codec}");
        let error = reencode(&damaged, 0, &target()).unwrap_err();
        assert!(
            matches!(error, ReencodeError::Corrupt { base_offset: 20 }),
            "{error}"
        );
    }
}

#[test]
fn row_06_oversize_is_halved_and_the_exact_limit_passes() {
    let source = Source::dense(0..64);
    let batch = source.encode(Codec::None);
    let bytes = batch.header.total_bytes();
    assert_eq!(
        classify(
            &batch.header,
            0,
            &TargetRules {
                max_message_bytes: bytes,
                ..target()
            }
        ),
        Verdict::Pass
    );
    let tight = TargetRules {
        max_message_bytes: bytes - 1,
        ..target()
    };
    assert_eq!(
        classify(&batch.header, 0, &tight),
        Verdict::Reencode(ReencodeReason::Oversize)
    );
    let pieces = reencode(&batch, 0, &tight).unwrap();
    let ranges: Vec<_> = pieces
        .iter()
        .map(|p| (p.upstream_first, p.upstream_last, p.upstream_next))
        .collect();
    assert_eq!(ranges, [(0, 31, 32), (32, 63, 64)]);
    assert_eq!(
        rewritten_content(&batch, 0, &tight),
        content(&source.records)
    );
}

#[test]
fn row_06_a_single_record_too_large_is_named_and_what_precedes_it_is_kept() {
    let mut source = Source::dense(10..18);
    source.records[5].value = Some(vec![b'x'; 5_000]);
    let limit = TargetRules {
        max_message_bytes: 1_000,
        ..target()
    };
    let error = reencode(&source.encode(Codec::None), 0, &limit).unwrap_err();
    let ReencodeError::RecordTooLarge {
        offset: 15,
        bytes,
        limit: 1_000,
        before,
    } = error
    else {
        panic!("{error:?}");
    };
    assert!((5_061..5_100).contains(&bytes), "{bytes}");
    let kept: Vec<_> = before
        .iter()
        .flat_map(|p| content(&read(&p.batch)))
        .collect();
    assert_eq!(kept, content(&source.records[..5]));
    assert_eq!(before.last().unwrap().upstream_next, 15);
    // the policy "leave it out" goes on behind it
    assert_eq!(
        rewritten_content(&source.encode(Codec::None), 16, &limit),
        content(&source.records[6..])
    );
}

#[test]
fn row_07_a_batch_above_segment_bytes_is_halved() {
    let source = Source::dense(0..64);
    let batch = source.encode(Codec::None);
    let small_segments = TargetRules {
        segment_bytes: batch.header.total_bytes() - 1,
        ..target()
    };
    assert_eq!(
        classify(&batch.header, 0, &small_segments),
        Verdict::Reencode(ReencodeReason::Oversize)
    );
    assert_eq!(
        rewritten_content(&batch, 0, &small_segments),
        content(&source.records)
    );
}

#[test]
fn row_08_total_bytes_is_what_a_batch_adds_to_a_request() {
    let batch = Source::dense(0..64).encode(Codec::Gzip);
    assert_eq!(batch.header.total_bytes(), wire(&batch).len());
    assert_eq!(stamp(&batch.header, OURS).total_bytes(), wire(&batch).len());
}

#[test]
fn row_09_an_emptied_batch_is_dropped_and_its_offsets_skipped() {
    // what the cleaner leaves of a live producer: 61 bytes, base timestamp -1, offsets kept
    // (real-kafka.md 5)
    let source = Source {
        last_offset_delta: 4,
        ..Source::new(Vec::new())
    };
    let batch = Source {
        base_offset: 30,
        ..source
    }
    .encode_body(0, &[]);
    assert_eq!(batch.header.total_bytes(), 61);
    assert_eq!(verdict(&batch), Verdict::Drop(DropReason::Empty));
    assert_eq!(batch.header.next_offset(), 35);
    for codec in Codec::ALL {
        let emptied = Source {
            base_offset: 30,
            ..Source::new(Vec::new())
        }
        .encode_body(codec.attributes(), &[]);
        assert!(
            reencode(&emptied, 0, &target()).unwrap().is_empty(),
            "{codec}"
        );
    }
}

#[test]
fn row_10_gap_is_reencoded() {
    for codec in Codec::ALL {
        for (kept, last_offset_delta) in [
            (vec![103], 3),           // hole at the head, as real-kafka.md 5 saw it
            (vec![100, 101, 103], 3), // middle
            (vec![100, 101], 3),      // tail
        ] {
            let mut source = Source::new(kept.iter().copied().map(Record::new).collect());
            source.base_offset = 100;
            source.last_offset_delta = last_offset_delta;
            let batch = source.encode(codec);
            assert_eq!(verdict(&batch), Verdict::Reencode(ReencodeReason::Gap));
            assert_eq!(
                rewritten_content(&batch, 0, &target()),
                content(&source.records),
                "{codec} {kept:?}"
            );
            let [piece] = &reencode(&batch, 0, &target()).unwrap()[..] else {
                panic!("one piece fits")
            };
            assert_eq!(piece.batch.header.codec().unwrap(), codec);
            assert_eq!(
                (piece.upstream_first, piece.upstream_last),
                (kept[0], kept[kept.len() - 1])
            );
            assert_eq!(piece.upstream_next, 104, "holes at the end are passed too");
            let offsets = piece
                .runs
                .iter()
                .flat_map(|r| r.upstream_first..r.upstream_first + i64::from(r.count));
            assert_eq!(offsets.collect::<Vec<_>>(), kept);
        }
    }
}

#[test]
fn row_10_runs_split_at_holes_only() {
    let batch = Source::new([5, 6, 7, 10, 12, 13].map(Record::new).into()).encode(Codec::None);
    let run = |upstream_first, count| OffsetRun {
        upstream_first,
        count,
    };
    assert_eq!(
        reencode(&batch, 0, &target()).unwrap()[0].runs,
        [run(5, 3), run(10, 1), run(12, 2)]
    );
}

#[test]
fn row_10b_last_offset_delta_is_never_patched() {
    let batch = Source::new([0, 1, 3].map(Record::new).into()).encode(Codec::None);
    assert_eq!(verdict(&batch), Verdict::Reencode(ReencodeReason::Gap));
    assert_eq!(stamp(&batch.header, OURS).last_offset_delta(), 3);
    // a log damaged this way looks dense, so only a re-encode for another reason finds it
    let damaged = Source {
        last_offset_delta: 2,
        ..Source::new([0, 1, 3].map(Record::new).into())
    };
    let error = reencode(&damaged.encode(Codec::None), 0, &target()).unwrap_err();
    assert!(
        matches!(
            error,
            ReencodeError::OffsetOrder {
                base_offset: 0,
                offset_delta: 3
            }
        ),
        "{error}"
    );
}

#[test]
fn row_new_repeated_or_reversed_deltas_are_never_emitted() {
    for offsets in [[0, 0], [1, 0]] {
        let source = Source::new(offsets.map(Record::new).into());
        let source = Source {
            base_offset: 0,
            last_offset_delta: 1,
            base_timestamp_ms: 0,
            ..source
        };
        let error = reencode(&source.encode(Codec::None), 0, &target()).unwrap_err();
        assert!(
            matches!(
                error,
                ReencodeError::OffsetOrder {
                    offset_delta: 0,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn row_11_a_wrong_count_is_damage() {
    for (count, index) in [(2, 2), (4, 3)] {
        let source = Source {
            count,
            ..Source::dense(0..3)
        };
        let error = reencode(&source.encode(Codec::Lz4), 0, &target()).unwrap_err();
        assert!(
            matches!(&error, ReencodeError::Record { source, .. } if source.index == index),
            "{error:?}"
        );
    }
}

#[test]
fn row_12_control_batches_are_dropped() {
    for kind in [0, 1] {
        let batch = marker_batch(12, 9, kind);
        assert_eq!(verdict(&batch), Verdict::Drop(DropReason::Control));
        assert!(
            reencode(&batch, 0, &target()).unwrap().is_empty(),
            "never turned into data"
        );
    }
    assert_eq!(
        marker(&marker_batch(12, 9, 0)).unwrap(),
        Some(Marker::Abort)
    );
    assert_eq!(
        marker(&marker_batch(12, 9, 1)).unwrap(),
        Some(Marker::Commit)
    );
    assert_eq!(
        marker(&marker_batch(12, 9, 4)).unwrap(),
        Some(Marker::Other { kind: 4 })
    );
    assert_eq!(
        marker(&Source::dense(0..1).encode(Codec::None)).unwrap(),
        None
    );
}

#[test]
fn row_13_transactional_bit_is_cleared_or_ours() {
    let batch = Source::dense(0..3)
        .with_bits(TRANSACTIONAL)
        .encode(Codec::Gzip);
    assert_eq!(verdict(&batch), Verdict::Pass);
    assert!(!stamp(&batch.header, OURS).is_transactional());
    assert!(
        stamp(
            &batch.header,
            ProducerStamp {
                transactional: true,
                ..OURS
            }
        )
        .is_transactional()
    );
}

#[test]
fn row_14_producer_fields_are_written_together() {
    let batch = Source::dense(0..3).encode(Codec::None);
    for by in [OURS, ProducerStamp::NONE] {
        let header = stamp(&batch.header, by);
        assert_eq!(header.producer_id(), by.producer_id);
        assert_eq!(header.producer_epoch(), by.producer_epoch);
        assert_eq!(header.base_sequence(), by.base_sequence);
        assert_acceptable(&stamped(&batch, by), usize::MAX);
    }
}

#[test]
fn row_15_nothing_of_the_source_producer_is_kept() {
    let batch = Source {
        producer: (77, 8, 9),
        ..Source::dense(0..3)
    }
    .encode(Codec::None);
    let foreign = Source {
        producer: (88, 1, 2),
        ..Source::dense(0..3)
    }
    .encode(Codec::None);
    assert_eq!(
        stamp(&batch.header, OURS).as_bytes(),
        stamp(&foreign.header, OURS).as_bytes()
    );
    let gap = Source {
        producer: (77, 8, 9),
        ..Source::new([0, 2].map(Record::new).into())
    }
    .encode(Codec::None);
    assert_eq!(
        reencode(&gap, 0, &target()).unwrap()[0]
            .batch
            .header
            .producer_id(),
        -1
    );
}

#[test]
fn row_16_a_source_transaction_never_opens_one_on_the_target() {
    let gap = Source::new([0, 2].map(Record::new).into())
        .with_bits(TRANSACTIONAL)
        .encode(Codec::None);
    assert!(
        !reencode(&gap, 0, &target()).unwrap()[0]
            .batch
            .header
            .is_transactional()
    );
}

#[test]
fn row_17_append_time_becomes_every_records_create_time() {
    let append_time_ms = 1_800_000_000_000;
    for codec in Codec::ALL {
        let source = Source {
            max_timestamp_ms: append_time_ms,
            ..Source::dense(0..5).with_bits(LOG_APPEND_TIME)
        };
        let batch = source.encode(codec);
        assert_eq!(
            verdict(&batch),
            Verdict::Reencode(ReencodeReason::LogAppendTime)
        );
        let seen_at_source = read(&batch);
        assert!(
            seen_at_source
                .iter()
                .all(|r| r.timestamp_ms == append_time_ms)
        );
        assert_eq!(
            rewritten_content(&batch, 0, &target()),
            content(&seen_at_source),
            "{codec}"
        );
    }
}

#[test]
fn row_17_restoring_create_times_passes_on_request() {
    let source = Source {
        max_timestamp_ms: 1_800_000_000_000,
        ..Source::dense(0..5).with_bits(LOG_APPEND_TIME)
    };
    let batch = source.encode(Codec::Zstd);
    let restoring = TargetRules {
        restore_create_time: true,
        ..target()
    };
    assert_eq!(classify(&batch.header, 0, &restoring), Verdict::Pass);
    let copy = stamped(&batch, OURS);
    assert_eq!(copy.header.timestamp_type(), TimestampType::CreateTime);
    assert_eq!(content(&read(&copy)), content(&source.records));
    // the same when it is re-encoded for another reason
    assert_eq!(
        rewritten_content(&batch, 2, &restoring),
        content(&source.records[2..])
    );
}

#[test]
fn row_18_append_time_to_append_time_clears_the_bit_and_passes() {
    let batch = Source::dense(0..5)
        .with_bits(LOG_APPEND_TIME)
        .encode(Codec::None);
    let appending = TargetRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..target()
    };
    assert_eq!(classify(&batch.header, 0, &appending), Verdict::Pass);
    assert_eq!(
        stamp(&batch.header, OURS).timestamp_type(),
        TimestampType::CreateTime
    );
}

#[test]
fn row_19_create_time_to_append_time_passes() {
    let batch = Source::dense(0..5).encode(Codec::None);
    let appending = TargetRules {
        timestamp_type: TimestampType::LogAppendTime,
        ..target()
    };
    assert_eq!(classify(&batch.header, 0, &appending), Verdict::Pass);
}

#[test]
fn row_20_any_timestamp_passes_and_the_broker_decides() {
    for timestamp_ms in [-1, 0, i64::MAX] {
        let mut source = Source::dense(0..1);
        source.records[0].timestamp_ms = timestamp_ms;
        let batch = Source::new(source.records).encode(Codec::None);
        assert_eq!(verdict(&batch), Verdict::Pass);
        assert_eq!(read(&stamped(&batch, OURS))[0].timestamp_ms, timestamp_ms);
    }
}

#[test]
fn row_20_a_batch_without_timestamps_stays_without_through_a_reencode() {
    let records = [0, 2].map(|offset| Record {
        timestamp_ms: -1,
        ..Record::new(offset)
    });
    let source = Source::new(records.into());
    assert_eq!(
        rewritten_content(&source.encode(Codec::Lz4), 0, &target()),
        content(&source.records)
    );
}

#[test]
fn row_21_a_wrong_max_timestamp_passes_and_a_reencode_repairs_it() {
    let source = Source {
        max_timestamp_ms: 5,
        ..Source::dense(0..5)
    };
    assert_eq!(verdict(&source.encode(Codec::None)), Verdict::Pass);
    let rewritten = &reencode(&source.encode(Codec::None), 1, &target()).unwrap()[0].batch;
    assert_eq!(rewritten.header.max_timestamp_ms(), 1_700_000_000_004);
}

#[test]
fn row_22_every_codec_passes_whatever_the_target_recompresses() {
    for codec in Codec::ALL {
        let batch = Source::dense(0..50).encode(codec);
        assert_eq!(verdict(&batch), Verdict::Pass);
        assert_eq!(stamp(&batch.header, OURS).codec().unwrap(), codec);
    }
}

#[test]
fn row_23_zstd_becomes_lz4_where_it_is_refused() {
    let source = Source::dense(0..50);
    let old = TargetRules {
        zstd: false,
        ..target()
    };
    for codec in Codec::ALL {
        let batch = source.encode(codec);
        let refused = codec == Codec::Zstd;
        let expected = if refused {
            Verdict::Reencode(ReencodeReason::Codec)
        } else {
            Verdict::Pass
        };
        assert_eq!(classify(&batch.header, 0, &old), expected);
        let rewritten = &reencode(&batch, 0, &old).unwrap()[0].batch;
        assert_eq!(
            rewritten.header.codec().unwrap(),
            if refused { Codec::Lz4 } else { codec }
        );
        assert_eq!(read(rewritten), source.records);
    }
}

#[test]
fn row_23_unknown_codec_bits_never_reach_the_target() {
    for codec in 5..=7 {
        let batch = Source::dense(0..1).encode_body(codec, b"whatever");
        assert_eq!(verdict(&batch), Verdict::Reencode(ReencodeReason::Codec));
        let error = reencode(&batch, 0, &target()).unwrap_err();
        assert!(
            matches!(error, ReencodeError::Codec { base_offset: 0, .. }),
            "{error}"
        );
    }
}

#[test]
fn row_24_delete_horizon_is_masked_and_timestamps_stay_right() {
    // the horizon is later than every record, so deltas are negative
    let source = Source {
        base_timestamp_ms: 1_800_000_000_000,
        ..Source::dense(0..5).with_bits(DELETE_HORIZON)
    };
    let batch = source.encode(Codec::Snappy);
    assert!(batch.header.has_delete_horizon());
    assert_eq!(verdict(&batch), Verdict::Pass);
    let copy = stamped(&batch, OURS);
    assert!(!copy.header.has_delete_horizon());
    assert_eq!(read(&copy), source.records);
    assert_eq!(
        rewritten_content(&batch, 2, &target()),
        content(&source.records[2..])
    );
}

#[test]
fn row_24_control_batch_with_delete_horizon_is_dropped() {
    let batch = Source::dense(3..4)
        .with_bits(TRANSACTIONAL | CONTROL | DELETE_HORIZON)
        .encode(Codec::None);
    assert_eq!(verdict(&batch), Verdict::Drop(DropReason::Control));
}

#[test]
fn row_25_unknown_bits_are_masked() {
    let batch = Source::dense(0..5)
        .with_bits(!0x07 & !CONTROL & !LOG_APPEND_TIME)
        .encode(Codec::Lz4);
    assert_eq!(verdict(&batch), Verdict::Pass);
    assert_eq!(
        stamp(&batch.header, OURS).attributes(),
        Codec::Lz4.attributes()
    );
    assert_acceptable(&stamped(&batch, OURS), usize::MAX);
}

#[test]
fn row_26_null_keys_pass_and_are_not_touched() {
    let records = [0, 2].map(|offset| Record {
        key: None,
        ..Record::new(offset)
    });
    let source = Source::new(records.into());
    assert_eq!(
        rewritten_content(&source.encode(Codec::None), 0, &target()),
        content(&source.records)
    );
}

#[test]
fn fetch_side_a_cut_off_tail_is_left_alone() {
    let (first, second) = (
        wire(&Source::dense(0..3).encode(Codec::None)),
        wire(&Source::dense(3..9).encode(Codec::Lz4)),
    );
    for tail in 0..second.len() {
        let bytes = Bytes::from([&first[..], &second[..tail]].concat());
        let mut cutter = batches(&bytes);
        let found: Vec<_> = cutter
            .by_ref()
            .map(|b| b.unwrap().header.base_offset())
            .collect();
        assert_eq!(found, [0], "tail of {tail} bytes");
        assert_eq!(cutter.cut_off_bytes(), tail);
    }
    let mut cutter = batches(&Bytes::copy_from_slice(&first[..70]));
    assert!(cutter.next().is_none());
    assert_eq!(
        cutter.cut_off_bytes(),
        70,
        "a cut first batch shows in the bytes left"
    );
}

#[test]
fn fetch_side_resume_inside_a_batch_leaves_out_the_leading_records() {
    let source = Source::dense(100..110);
    for codec in Codec::ALL {
        let batch = source.encode(codec);
        assert_eq!(classify(&batch.header, 100, &target()), Verdict::Pass);
        assert_eq!(
            classify(&batch.header, 104, &target()),
            Verdict::Reencode(ReencodeReason::ResumeInsideBatch)
        );
        assert_eq!(
            rewritten_content(&batch, 104, &target()),
            content(&source.records[4..]),
            "{codec}"
        );
        assert_eq!(
            classify(&batch.header, 110, &target()),
            Verdict::Drop(DropReason::BelowPosition)
        );
    }
}

#[test]
fn fetch_side_resume_behind_the_last_record_yields_nothing() {
    let source = Source {
        last_offset_delta: 9,
        ..Source::dense(100..105)
    };
    let batch = source.encode(Codec::None);
    assert_eq!(
        classify(&batch.header, 107, &target()),
        Verdict::Reencode(ReencodeReason::ResumeInsideBatch)
    );
    assert!(reencode(&batch, 107, &target()).unwrap().is_empty());
    assert_eq!(batch.header.next_offset(), 110);
}

#[test]
fn impossible_headers_are_refused() {
    let good = wire(&Source::dense(0..3).encode(Codec::None));
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        batches(&Bytes::from(bad)).next().unwrap().unwrap_err()
    };
    for length in [i32::MIN, -1, 0, 13, 48] {
        assert_eq!(
            with(8, &length.to_be_bytes()),
            BatchError::Length {
                base_offset: 0,
                length
            }
        );
    }
    let negative = BatchError::Offsets {
        base_offset: 0,
        last_offset_delta: -1,
    };
    assert_eq!(with(23, &(-1i32).to_be_bytes()), negative);
    for base_offset in [-1, i64::MIN, i64::MAX, i64::MAX - 2] {
        assert_eq!(
            with(0, &base_offset.to_be_bytes()),
            BatchError::Offsets {
                base_offset,
                last_offset_delta: 2
            }
        );
    }
    assert_eq!(
        BatchHeader::parse(&good[..60]).unwrap_err(),
        BatchError::Short { bytes: 60 }
    );
    let short = [&good[..8], &48i32.to_be_bytes(), &good[12..]].concat();
    let error = BatchHeader::parse(&short).unwrap_err();
    assert_eq!(
        error,
        BatchError::Length {
            base_offset: 0,
            length: 48
        }
    );
}

/// Two producers interleave; one aborts, then commits: only what lies inside the aborted
/// transaction goes.
#[test]
fn read_committed_drops_aborted_data_until_the_marker() {
    let of = |offsets, producer_id, bits| {
        let source = Source::dense(offsets).with_bits(bits);
        Source {
            producer: (producer_id, 0, 0),
            ..source
        }
        .encode(Codec::None)
    };
    let log = [
        (of(0..2, 1, TRANSACTIONAL), true),
        (of(2..4, 2, TRANSACTIONAL), false),
        (of(4..6, -1, 0), false),
        (of(6..7, 1, 0), false), // not transactional: of no transaction, whatever the id
        (of(7..9, 1, TRANSACTIONAL), true),
        (marker_batch(9, 2, 1), false),
        (marker_batch(10, 1, 0), false),
        (of(11..13, 1, TRANSACTIONAL), false),
        (marker_batch(13, 1, 1), false),
        (of(14..15, 2, TRANSACTIONAL), true),
        (marker_batch(15, 2, 0), false),
    ];
    let mut aborted = AbortedTransactions::new([(2, 14), (1, 0)]);
    for (batch, expected) in &log {
        assert_eq!(
            aborted.is_aborted(batch).unwrap(),
            *expected,
            "offset {}",
            batch.header.base_offset()
        );
    }
}

#[test]
fn read_committed_fetch_may_start_inside_an_aborted_transaction() {
    let source = Source::dense(50..60).with_bits(TRANSACTIONAL);
    let batch = Source {
        producer: (1, 0, 0),
        ..source
    }
    .encode(Codec::Zstd);
    assert!(
        AbortedTransactions::new([(1, 20)])
            .is_aborted(&batch)
            .unwrap()
    );
    assert!(
        AbortedTransactions::new([(1, 59)])
            .is_aborted(&batch)
            .unwrap()
    );
    assert!(
        !AbortedTransactions::new([(1, 60)])
            .is_aborted(&batch)
            .unwrap()
    );
    assert!(!AbortedTransactions::default().is_aborted(&batch).unwrap());
}

#[test]
fn read_committed_an_unreadable_marker_is_an_error_not_a_guess() {
    let record = Record {
        key: Some(vec![0, 0, 0]),
        ..Record::new(0)
    };
    let batch = Source::new(vec![record])
        .with_bits(TRANSACTIONAL | CONTROL)
        .encode(Codec::None);
    assert!(AbortedTransactions::default().is_aborted(&batch).is_err());
    let mut body = marker_batch(0, 1, 1).body.to_vec();
    body[8] = 0; // COMMIT becomes ABORT
    let damaged = RawBatch {
        header: marker_batch(0, 1, 1).header,
        body: body.into(),
    };
    assert!(AbortedTransactions::default().is_aborted(&damaged).is_err());
}

#[test]
fn labels_are_stable() {
    let drops = ["below_position", "control", "empty", "aborted"];
    assert_eq!(DropReason::ALL.map(DropReason::as_str), drops);
    let reasons = [
        "resume_inside_batch",
        "gap",
        "log_append_time",
        "codec",
        "oversize",
    ];
    assert_eq!(ReencodeReason::ALL.map(ReencodeReason::as_str), reasons);
    assert_eq!(
        Codec::ALL.map(Codec::as_str),
        ["none", "gzip", "snappy", "lz4", "zstd"]
    );
}

/// Only ABORT ends an aborted transaction, as in Java's `containsAbortMarker`.
#[test]
fn read_committed_a_commit_marker_ends_no_aborted_transaction() {
    let source = Source::dense(3..5).with_bits(TRANSACTIONAL);
    let data = Source {
        producer: (1, 0, 0),
        ..source
    }
    .encode(Codec::None);
    for (kind, still_aborted) in [(1, true), (0, false)] {
        let mut aborted = AbortedTransactions::new([(1, 0)]);
        assert!(!aborted.is_aborted(&marker_batch(2, 1, kind)).unwrap());
        assert_eq!(aborted.is_aborted(&data).unwrap(), still_aborted);
    }
}

#[test]
fn row_06_a_rewritten_batch_may_have_exactly_the_limit() {
    let batch = Source::dense(0..64).encode(Codec::Lz4);
    let bytes = reencode(&batch, 1, &target()).unwrap()[0]
        .batch
        .header
        .total_bytes();
    for (max_message_bytes, pieces) in [(bytes, 1), (bytes - 1, 2)] {
        let rules = TargetRules {
            max_message_bytes,
            ..target()
        };
        assert_eq!(reencode(&batch, 1, &rules).unwrap().len(), pieces);
    }
}

#[test]
fn row_11_every_kind_of_malformed_record_is_named() {
    // length, attributes, timestamp delta, offset delta, key, value, header count; varints are
    // zigzag: 1 is -1, 2 is 1
    let good = [12, 0, 0, 0, 1, 1, 0];
    let problem = |body: &[u8], count| {
        let mut walk = records(body, count);
        let error = walk.find_map(Result::err).unwrap();
        assert!(walk.next().is_none(), "nothing follows an error");
        (error.index, error.problem)
    };
    assert!(records(&good, 1).all(|record| record.is_ok()));
    assert_eq!(problem(&good, -1), (0, RecordProblem::Count));
    assert_eq!(problem(&good, 0), (0, RecordProblem::Trailing));
    assert_eq!(problem(&good, 2), (1, RecordProblem::CutOff));
    assert_eq!(problem(&good[..6], 1), (0, RecordProblem::CutOff));
    assert_eq!(
        problem(&[1, 0, 0, 0, 1, 1, 0], 1),
        (0, RecordProblem::Length),
        "a record is never null"
    );
    assert_eq!(
        problem(&[12, 0, 0, 0, 3, 1, 0], 1),
        (0, RecordProblem::Length),
        "key of -2 bytes"
    );
    assert_eq!(
        problem(&[12, 0, 0, 0, 1, 1, 1], 1),
        (0, RecordProblem::Length),
        "-1 headers"
    );
    assert_eq!(
        problem(&[16, 0, 0, 0, 1, 1, 2, 1, 1], 1),
        (0, RecordProblem::Length),
        "a header name is never null"
    );
    assert_eq!(
        problem(&[12, 0, 0, 0, 1, 1, 2], 1),
        (0, RecordProblem::CutOff),
        "a header is missing"
    );
    assert_eq!(
        problem(&[14, 0, 0, 0, 1, 1, 0, 0], 1),
        (0, RecordProblem::Slack)
    );
}
