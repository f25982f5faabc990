//! What the cleaner leaves: `docs/spec/real-kafka.md` 5.

use batch::attribute::{CONTROL, DELETE_HORIZON, TRANSACTIONAL};

use super::*;

/// Cleans everything that can be cleaned.
fn clean(t: &mut Partition) {
    t.log.compact(&t.settings, t.now_ms, true);
}

/// Fifty records, then `sent` at offset 50 as producer 7 under epoch 3, then `later` by nobody;
/// cleaned at 1,000 ms with 100 ms for tombstones. Answers the batch at 50.
fn cleaned_at_50(
    sent: [(&'static str, Option<&'static str>, i64); 3],
    later: &[&'static str],
) -> String {
    let mut t = Partition::compacted();
    t.settings.delete_retention_ms = 100;
    (t.now_ms, t.epoch) = (1000, 3);
    t.ok(&Sent::records(50).at(1));
    let mut batch = Sent::pairs(&sent.map(|(key, value, _)| (key, value)));
    for (record, (_, _, at)) in batch.records.iter_mut().zip(sent) {
        record.timestamp_ms = at;
    }
    t.ok(&batch.by(7, 1, 4));
    t.ok(&Sent::keys(later).at(1));
    clean(&mut t);
    let found = t
        .batches()
        .into_iter()
        .find(|b| b.header.base_offset() == 50)
        .unwrap();
    hex(&[found.header.as_bytes(), &found.body[..]].concat())
}

#[test]
fn what_is_left_of_a_batch_is_what_kafka_leaves() {
    let (a, b, c) = (
        ("a", Some("x"), 100),
        ("b", Some("y"), 300),
        ("c", Some("z"), 200),
    );
    assert_eq!(
        cleaned_at_50([a, b, c], &["b"]), // a hole in the middle
        "000000000000003200000044000000030241bf5ce400000000000200000000000000640000000000\
         0000c80000000000000007000100000004000000021000000002610278001200c801040263027a00"
    );
    assert_eq!(
        cleaned_at_50([a, b, c], &["a"]), // a hole at the head
        "00000000000000320000004400000003027cfb71d5000000000002000000000000012c0000000000\
         00012c0000000000000007000100000004000000021000000202620279001200c701040263027a00"
    );
    assert_eq!(
        cleaned_at_50([a, b, c], &["a", "b", "c"]), // the last batch of a live producer
        "0000000000000032000000310000000302b624fa94000000000002ffffffffffffffff0000000000\
         00012c000000000000000700010000000400000000"
    );
    assert_eq!(
        cleaned_at_50([a, ("d", None, 150), c], &["a"]), // a tombstone gets its horizon
        "00000000000000320000004400000003029f14f684004000000002000000000000044c0000000000\
         0000c80000000000000007000100000004000000021000eb0e02026401001200870e040263027a00"
    );
}

#[test]
fn a_marker_gets_its_horizon_as_kafka_writes_it() {
    let mut t = Partition::compacted();
    t.settings.delete_retention_ms = 100;
    t.ok(&Sent::records(9).at(1));
    t.log.append_marker(7, 1, false, 12, 3, 1000);
    t.now_ms = 2000;
    clean(&mut t);
    let marker = t.log.batches().last().unwrap();
    assert_eq!(
        hex(marker),
        "00000000000000090000004300000003027f17f2fa007000000000000000000000083400000000000003e8\
         00000000000000070001ffffffff00000001220097110008000000000c00000000000c00"
    );
}

#[test]
fn the_latest_record_of_each_key_stays() {
    let mut t = Partition::compacted();
    for codec in Codec::ALL {
        t.ok(&Sent::keys(&["a", "b", "c", "a"]).codec(codec));
    }
    clean(&mut t);
    let keys = [
        (17, "b".to_owned()),
        (18, "c".to_owned()),
        (19, "a".to_owned()),
    ];
    assert_eq!(t.keys(), keys);
    let [only] = &t.batches()[..] else {
        panic!("whole batches vanish")
    };
    let header = &only.header;
    assert_eq!(
        (
            header.base_offset(),
            header.last_offset_delta(),
            header.count()
        ),
        (16, 3, 3)
    );
    assert_eq!(header.codec().unwrap(), Codec::Zstd);
    assert_eq!((t.log.start_offset(), t.log.end_offset()), (0, 20));
}

#[test]
fn a_read_into_a_hole_starts_at_the_next_batch_or_below() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a", "b"])); // 0, 1
    t.ok(&Sent::keys(&["a", "c"])); // 2, 3
    t.ok(&Sent::keys(&["c", "b", "d"])); // 4, 5, 6
    clean(&mut t);
    let base = |offset| {
        let slice = t.log.read(offset, 1, true, Isolation::Uncommitted).unwrap();
        cut(&slice.records)[0].header.base_offset()
    };
    assert_eq!(
        (base(0), base(1), base(3), base(4), base(6)),
        (2, 2, 2, 4, 4)
    );
}

#[test]
fn the_active_segment_is_never_cleaned() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a"]));
    t.ok(&Sent::keys(&["a"]));
    t.log.compact(&t.settings, t.now_ms, false);
    assert_eq!(t.keys().len(), 2);
    t.log.roll();
    t.ok(&Sent::keys(&["a"]));
    t.log.compact(&t.settings, t.now_ms, false);
    let offsets: Vec<_> = t.keys().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(
        offsets,
        [1, 2],
        "the active segment's keys do not count yet"
    );
}

#[test]
fn only_compacted_topics_are_cleaned() {
    let mut t = Partition::new();
    t.ok(&Sent::keys(&["a"]));
    t.ok(&Sent::keys(&["a"]));
    clean(&mut t);
    assert_eq!(t.keys().len(), 2);
}

#[test]
fn ratio_and_lags_decide_when() {
    let dirty = |settings: &dyn Fn(&mut LogSettings), now_ms| {
        let mut t = Partition::compacted();
        settings(&mut t.settings);
        t.ok(&Sent::keys(&["a"; 40]).at(NOW_MS));
        t.log.roll();
        let first_round = LogSettings {
            min_compaction_lag_ms: 0,
            ..t.settings.clone()
        };
        t.log.compact(&first_round, NOW_MS, true);
        let clean = t.log.bytes();
        t.ok(&Sent::keys(&["a"]));
        t.log.roll();
        t.ok(&Sent::keys(&["b"]));
        let before = t.log.bytes();
        t.log.compact(&t.settings, now_ms, false);
        assert!(clean < before);
        t.log.bytes() < before
    };
    assert!(dirty(
        &|s| s.min_cleanable_dirty_ratio = 0.4,
        NOW_MS + HOUR_MS
    ));
    assert!(!dirty(
        &|s| s.min_cleanable_dirty_ratio = 0.6,
        NOW_MS + HOUR_MS
    ));
    let overdue = |s: &mut LogSettings| {
        (s.min_cleanable_dirty_ratio, s.max_compaction_lag_ms) = (0.6, 2 * HOUR_MS);
    };
    assert!(!dirty(&overdue, NOW_MS + 2 * HOUR_MS));
    assert!(dirty(&overdue, NOW_MS + 2 * HOUR_MS + 1));
    let young = |s: &mut LogSettings| {
        (s.min_cleanable_dirty_ratio, s.min_compaction_lag_ms) = (0.0, HOUR_MS);
    };
    assert!(!dirty(&young, NOW_MS + HOUR_MS - 1));
    assert!(dirty(&young, NOW_MS + HOUR_MS));
}

#[test]
fn tombstones_stay_until_their_horizon() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a"]));
    t.ok(&Sent::pairs(&[("a", None)]));
    t.ok(&Sent::keys(&["b"]));
    clean(&mut t);
    assert_eq!(t.keys(), [(1, "a".to_owned()), (2, "b".to_owned())]);
    let header = t.batches()[0].header;
    assert_eq!(
        (header.attributes(), header.base_timestamp_ms()),
        (DELETE_HORIZON, NOW_MS + HOUR_MS)
    );
    assert_eq!(
        header.max_timestamp_ms(),
        NOW_MS,
        "the horizon is later than any record"
    );
    assert_eq!(
        seen(&t.batches()[0])[0].1,
        NOW_MS,
        "negative deltas keep the record's time"
    );
    for (now_ms, left) in [(NOW_MS + HOUR_MS - 1, true), (NOW_MS + HOUR_MS, false)] {
        t.now_ms = now_ms;
        t.ok(&Sent::keys(&["b"]));
        clean(&mut t);
        assert_eq!(t.keys().iter().any(|(_, key)| key == "a"), left);
    }
}

#[test]
fn a_producers_last_batch_stays_without_records_until_it_is_forgotten() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a"]).by(7, 2, 0));
    t.ok(&Sent::keys(&["a", "b"]).by(7, 2, 1));
    t.ok(&Sent::keys(&["a", "b"]));
    clean(&mut t);
    let bytes: Vec<_> = t.log.batches().map(Bytes::len).collect();
    assert_eq!(bytes[0], 61, "and the one before it is gone");
    let header = t.batches()[0].header;
    let producer = (
        header.producer_id(),
        header.producer_epoch(),
        header.base_sequence(),
    );
    assert_eq!(producer, (7, 2, 1));
    assert_eq!(
        (header.base_offset(), header.last_offset(), header.count()),
        (1, 2, 0)
    );
    t.ok(&Sent::keys(&["c"]));
    t.log.truncate_to(5); // what is known of producers is read from the cleaned log
    assert!(
        t.send(&Sent::keys(&["a", "b"]).by(7, 2, 1))
            .unwrap()
            .duplicate
    );
    t.log.expire_producers(NOW_MS + 2 * HOUR_MS, HOUR_MS);
    t.ok(&Sent::keys(&["a", "b"]));
    clean(&mut t);
    assert!(t.log.batches().all(|batch| batch.len() > 61));
}

#[test]
fn aborted_data_goes_first_and_its_marker_later() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a", "b"])); // 0, 1
    t.ok(&Sent::keys(&["a"]).by(7, 0, 0).transactional()); // 2
    t.marker(7, 0, false); // 3
    t.ok(&Sent::keys(&["c"]).by(7, 0, 1)); // 4, its last batch from now on
    clean(&mut t);
    // the aborted "a" hides nothing
    let keys = |t: &Partition| {
        t.keys()
            .into_iter()
            .map(|(offset, _)| offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&t), [0, 1, 4]);
    let aborted = |t: &Partition| {
        t.log
            .read(0, ALL, true, Isolation::Committed)
            .unwrap()
            .aborted
    };
    let marker = |t: &Partition| {
        t.batches()
            .iter()
            .find(|b| b.header.is_control())
            .map(|b| b.header)
    };
    assert_eq!(
        aborted(&t),
        [(7, 2)],
        "the round that takes the data has still seen it"
    );
    assert_eq!(marker(&t).unwrap().attributes(), TRANSACTIONAL | CONTROL);

    t.ok(&Sent::keys(&["d"]));
    clean(&mut t);
    assert_eq!(aborted(&t), []);
    let header = marker(&t).unwrap();
    assert_eq!(
        header.attributes(),
        TRANSACTIONAL | CONTROL | DELETE_HORIZON
    );
    assert_eq!(header.base_timestamp_ms(), NOW_MS + HOUR_MS);

    t.now_ms += HOUR_MS;
    t.ok(&Sent::keys(&["e"]));
    clean(&mut t);
    assert_eq!(marker(&t), None);
    assert_eq!(keys(&t), [0, 1, 4, 5, 6]);
}

#[test]
fn a_commit_marker_stays_as_long_as_its_data() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a"]).by(7, 0, 0).transactional());
    t.marker(7, 0, true);
    t.ok(&Sent::keys(&["b"]).by(7, 0, 1));
    for _ in 0..3 {
        t.now_ms += HOUR_MS;
        t.ok(&Sent::keys(&["b"]));
        clean(&mut t);
        let header = t.batches()[1].header;
        assert_eq!(header.attributes(), TRANSACTIONAL | CONTROL);
    }
}

#[test]
fn an_open_transaction_is_not_cleaned() {
    let mut t = Partition::compacted();
    t.ok(&Sent::keys(&["a", "a"]));
    t.log.roll();
    t.ok(&Sent::keys(&["b"]).by(7, 0, 0).transactional());
    t.ok(&Sent::keys(&["b", "a"]));
    clean(&mut t);
    assert_eq!(
        t.keys()
            .iter()
            .map(|(offset, _)| *offset)
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    t.marker(7, 0, true);
    clean(&mut t);
    assert_eq!(
        t.keys()
            .iter()
            .map(|(offset, _)| *offset)
            .collect::<Vec<_>>(),
        [3, 4]
    );
}

#[test]
fn small_segments_are_joined() {
    let mut t = Partition::compacted();
    for key in ["a", "b", "c", "d"] {
        t.ok(&Sent::keys(&[key]));
        t.log.roll();
    }
    clean(&mut t);
    let slice = t.log.read(0, ALL, true, Isolation::Uncommitted).unwrap();
    assert_eq!(
        cut(&slice.records).len(),
        4,
        "one segment, hence one answer"
    );
    t.settings.segment_bytes = slice.records.len() as u64 / 2;
    t.ok(&Sent::keys(&["e"]));
    clean(&mut t);
    let slice = t.log.read(0, ALL, true, Isolation::Uncommitted).unwrap();
    assert_eq!(
        cut(&slice.records).len(),
        4,
        "a segment that is too large stays alone"
    );
}
