//! Fetches, offsets by timestamp and epochs: `docs/spec/real-kafka.md` 5.

use super::*;
use crate::log::ReadError;

/// Three batches of two records each, 0..6, one segment.
fn three() -> Partition {
    let mut t = Partition::new();
    (0..3).for_each(|_| {
        t.ok(&Sent::records(2));
    });
    t
}

fn read(t: &Partition, offset: i64, max_bytes: usize, min_one: bool) -> Bytes {
    t.log
        .read(offset, max_bytes, min_one, Isolation::Uncommitted)
        .unwrap()
        .records
}

#[test]
fn offsets_outside_the_log_are_out_of_range() {
    let mut t = three();
    t.log.delete_records(2).unwrap();
    for offset in [-1, 0, 1, 7] {
        for isolation in [
            Isolation::Uncommitted,
            Isolation::Committed,
            Isolation::LogEnd,
        ] {
            assert_eq!(
                t.log.read(offset, ALL, true, isolation),
                Err(ReadError::OutOfRange)
            );
        }
    }
    assert!(read(&t, 6, ALL, true).is_empty());
}

#[test]
fn a_read_from_the_middle_returns_the_whole_batch() {
    let t = three();
    let bases: Vec<_> = cut(&read(&t, 3, ALL, true))
        .iter()
        .map(|b| b.header.base_offset())
        .collect();
    assert_eq!(bases, [2, 4]);
}

#[test]
fn the_first_batch_comes_whole_and_further_ones_are_cut() {
    let t = three();
    let bytes = Sent::records(2).bytes().len();
    for (max_bytes, min_one, got) in [
        (0, true, bytes),
        (1, true, bytes),
        (bytes, true, bytes),
        (bytes + 30, true, bytes + 30), // a tail shorter than a header
        (2 * bytes, true, 2 * bytes),
        (ALL, true, 3 * bytes),
        (bytes - 1, false, 0),
        (0, false, 0),
        (bytes + 1, false, bytes + 1),
    ] {
        assert_eq!(
            read(&t, 0, max_bytes, min_one).len(),
            got,
            "{max_bytes} {min_one}"
        );
    }
    let all = read(&t, 0, ALL, true);
    assert_eq!(read(&t, 0, bytes + 30, true), all[..bytes + 30]);
}

#[test]
fn a_read_never_crosses_a_segment() {
    let mut t = three();
    t.log.roll();
    t.ok(&Sent::records(2));
    assert_eq!(cut(&read(&t, 2, ALL, true)).len(), 2);
    assert_eq!(cut(&read(&t, 6, ALL, true)).len(), 1);
}

#[test]
fn segments_roll_by_size_and_by_the_records_time() {
    let bytes = Sent::records(2).bytes().len() as u64;
    let mut t = Partition::with(LogSettings {
        segment_bytes: 2 * bytes,
        ..LogSettings::default()
    });
    (0..4).for_each(|_| {
        t.ok(&Sent::records(2));
    });
    assert_eq!(cut(&read(&t, 0, ALL, true)).len(), 2);

    let mut t = Partition::with(LogSettings {
        segment_ms: 1000,
        ..LogSettings::default()
    });
    t.ok(&Sent::records(1).at(NOW_MS - HOUR_MS));
    t.ok(&Sent::records(1).at(NOW_MS - HOUR_MS + 1000));
    t.ok(&Sent::records(1).at(NOW_MS - HOUR_MS + 1001));
    assert_eq!(cut(&read(&t, 0, ALL, true)).len(), 2);
}

#[test]
fn consumers_stop_at_the_high_watermark_and_followers_do_not() {
    let mut t = three();
    t.log.hold_high_watermark(Some(4));
    assert_eq!((t.log.high_watermark(), t.log.last_stable_offset()), (4, 4));
    assert_eq!(cut(&read(&t, 0, ALL, true)).len(), 2);
    assert!(
        read(&t, 4, ALL, true).is_empty(),
        "beyond it there is nothing yet, no error"
    );
    assert!(read(&t, 5, ALL, true).is_empty());
    let all = t.log.read(0, ALL, true, Isolation::LogEnd).unwrap();
    assert_eq!(cut(&all.records).len(), 3);
    t.log.hold_high_watermark(None);
    assert_eq!(t.log.high_watermark(), 6);
}

#[test]
fn read_committed_stops_at_the_last_stable_offset() {
    let mut t = three();
    t.ok(&Sent::records(1).by(7, 0, 0).transactional());
    t.ok(&Sent::records(1));
    let slice = t.log.read(0, ALL, true, Isolation::Committed).unwrap();
    assert_eq!(cut(&slice.records).len(), 3);
    let slice = t.log.read(6, ALL, true, Isolation::Committed).unwrap();
    assert_eq!(slice, crate::log::Slice::default());
}

#[test]
fn a_read_of_one_batch_copies_nothing() {
    let t = three();
    let stored = t.log.batches().nth(1).unwrap();
    let bytes = stored.len();
    assert_eq!(read(&t, 2, bytes, true).as_ptr(), stored.as_ptr());
}

#[test]
fn offsets_by_timestamp_look_into_batches() {
    for codec in Codec::ALL {
        let mut t = Partition::new();
        let mut first = Sent::records(3).codec(codec);
        for (record, at) in first.records.iter_mut().zip([100, 300, 200]) {
            record.timestamp_ms = at;
        }
        t.ok(&first);
        t.epoch = 4;
        t.log.roll();
        t.ok(&Sent::records(1).at(250).codec(codec));
        t.ok(&Sent::records(1).at(400).codec(codec));
        let at = |ms| {
            t.log
                .offset_for_timestamp(ms, Isolation::Uncommitted)
                .unwrap()
        };
        assert_eq!(at(0), Some((0, 100, 0)));
        assert_eq!(at(101), Some((1, 300, 0)));
        assert_eq!(at(201), Some((1, 300, 0)), "not in time order");
        assert_eq!(at(301), Some((4, 400, 4)));
        assert_eq!(at(401), None);
        assert_eq!(
            t.log.max_timestamp(Isolation::Uncommitted).unwrap(),
            Some((4, 400, 4))
        );
        t.log.hold_high_watermark(Some(4));
        assert_eq!(
            t.log
                .offset_for_timestamp(301, Isolation::Uncommitted)
                .unwrap(),
            None
        );
        assert_eq!(
            t.log.offset_for_timestamp(301, Isolation::LogEnd).unwrap(),
            Some((4, 400, 4))
        );
        t.log.delete_records(1).unwrap();
        assert_eq!(
            t.log
                .offset_for_timestamp(0, Isolation::Uncommitted)
                .unwrap(),
            Some((1, 300, 0))
        );
    }
}

#[test]
fn the_max_timestamp_is_the_first_of_equals() {
    let mut t = Partition::new();
    t.ok(&Sent::records(2).at(5));
    t.log.roll();
    t.ok(&Sent::records(2).at(5));
    assert_eq!(
        t.log.max_timestamp(Isolation::Uncommitted).unwrap(),
        Some((0, 5, 0))
    );
}

#[test]
fn epochs_end_where_the_next_one_starts() {
    let mut t = Partition::new();
    t.log.begin_epoch(0);
    t.ok(&Sent::records(10));
    t.log.begin_epoch(3);
    t.log.begin_epoch(4); // replaces 3, which has written nothing
    t.epoch = 4;
    t.ok(&Sent::records(5));
    let end = |epoch| t.log.end_of_epoch(epoch, 4);
    assert_eq!(end(0), (0, 10));
    assert_eq!(end(2), (0, 10));
    assert_eq!(end(3), (0, 10));
    assert_eq!(end(4), (4, 15));
    assert_eq!(end(5), (-1, -1));
    assert_eq!(end(-1), (-1, -1));
    assert_eq!(
        (t.log.epoch_at(9), t.log.epoch_at(10), t.log.epoch_at(14)),
        (0, 4, 4)
    );
}

#[test]
fn an_unclean_election_is_seen_as_divergence() {
    // 10 records replicated, 15 more lost, 30 others written by the new leader
    let mut t = Partition::new();
    t.log.begin_epoch(0);
    t.ok(&Sent::records(10));
    t.ok(&Sent::records(15));
    t.log.truncate_to(10);
    t.log.begin_epoch(1);
    assert_eq!(
        t.log.diverging(25, 0, 1),
        Ok(Some((0, 10))),
        "before the log grew"
    );
    t.epoch = 1;
    t.ok(&Sent::records(30));
    assert_eq!(t.log.diverging(25, 0, 1), Ok(Some((0, 10))), "and after");
    assert_eq!(t.log.diverging(10, 0, 1), Ok(None));
    assert_eq!(t.log.diverging(25, 1, 1), Ok(None));
    assert_eq!(t.log.diverging(25, 2, 1), Err(ReadError::OutOfRange));
    assert_eq!(t.log.end_of_epoch(0, 1), (0, 10));
    assert_eq!(
        read(&t, 25, ALL, true).len(),
        Sent::records(30).bytes().len()
    );
}

#[test]
fn corruption_hits_one_copy() {
    let mut t = three();
    let before = read(&t, 2, 1, true);
    assert!(t.log.corrupt(3));
    let after = read(&t, 2, 1, true);
    assert_ne!(before, after);
    let damaged = batches(&after).next().unwrap().unwrap();
    assert!(!damaged.crc_is_valid());
    assert!(
        cut(&before)[0].crc_is_valid(),
        "what was read before stays sound"
    );
    assert!(!t.log.corrupt(6));
}
