//! Idempotence: `docs/spec/real-kafka.md` 3.

use super::*;

fn one(sequence: i32) -> Sent {
    Sent::records(2).by(7, 0, sequence)
}

/// Six batches of two records; sequences 0 to 11.
fn six() -> Partition {
    let mut t = Partition::new();
    (0..6).for_each(|n| {
        t.ok(&one(n * 2));
    });
    t
}

#[test]
fn the_last_five_batches_are_recognized() {
    let mut t = six();
    for n in 1..6 {
        let again = t.send(&one(n * 2)).unwrap();
        assert!(again.duplicate);
        let offsets = (again.base_offset, again.last_offset);
        assert_eq!(offsets, (i64::from(n) * 2, i64::from(n) * 2 + 1));
        assert_eq!(
            again.log_append_time_ms,
            NOW_MS + 1,
            "tells a duplicate on a CreateTime topic"
        );
    }
    assert_eq!(t.log.end_offset(), 12);
    assert_eq!(t.refused(&one(0)), ResponseError::OutOfOrderSequenceNumber);
}

#[test]
fn a_resend_that_is_not_the_same_is_out_of_order() {
    let mut t = six();
    for (count, sequence) in [(1, 10), (3, 10), (4, 8), (2, 9), (2, 13), (1, 11)] {
        let odd = Sent::records(count).by(7, 0, sequence);
        assert_eq!(
            t.refused(&odd),
            ResponseError::OutOfOrderSequenceNumber,
            "{count} at {sequence}"
        );
    }
    t.ok(&one(12));
}

#[test]
fn content_is_not_compared() {
    let mut t = six();
    let other = Sent::keys(&["other", "bytes"])
        .by(7, 0, 10)
        .codec(Codec::Zstd);
    assert!(t.send(&other).unwrap().duplicate);
}

#[test]
fn an_unknown_producer_may_start_anywhere_and_then_has_to_go_on() {
    let mut t = Partition::new();
    t.ok(&one(500));
    assert_eq!(
        t.refused(&one(504)),
        ResponseError::OutOfOrderSequenceNumber
    );
    t.ok(&one(502));
}

#[test]
fn odd_producer_fields_are_stored() {
    let mut t = Partition::new();
    for (pid, epoch, sequence) in [
        (9_999_999, 3, 0),
        (8, -1, 0),
        (8, -1, 55),
        (-1, -1, 0),
        (-1, 3, 0),
    ] {
        t.ok(&Sent::records(1).by(pid, epoch, sequence));
    }
    assert_eq!(t.log.end_offset(), 5);
}

#[test]
fn a_new_epoch_starts_at_zero_and_fences_the_old_one() {
    let mut t = six();
    let next = |sequence| Sent::records(2).by(7, 1, sequence);
    assert_eq!(
        t.refused(&next(12)),
        ResponseError::OutOfOrderSequenceNumber
    );
    t.ok(&next(0));
    assert_eq!(t.refused(&one(12)), ResponseError::InvalidProducerEpoch);
    assert_eq!(
        t.refused(&one(10)),
        ResponseError::InvalidProducerEpoch,
        "a resend, too"
    );
    t.ok(&next(2));
}

#[test]
fn sequences_wrap() {
    let mut t = Partition::new();
    t.ok(&Sent::records(3).by(7, 0, i32::MAX - 1));
    t.ok(&one(1));
    assert!(
        t.send(&Sent::records(3).by(7, 0, i32::MAX - 1))
            .unwrap()
            .duplicate
    );
}

#[test]
fn a_restart_leaves_only_the_last_batch() {
    let mut t = six();
    t.log.restart(NOW_MS, 24 * HOUR_MS);
    for n in 2..5 {
        assert_eq!(
            t.refused(&one(n * 2)),
            ResponseError::OutOfOrderSequenceNumber
        );
    }
    assert_eq!(t.send(&one(10)).unwrap().base_offset, 10);
    t.ok(&one(12));
}

#[test]
fn a_restart_forgets_producers_of_old_records() {
    let mut t = Partition::new();
    t.ok(&one(0).at(NOW_MS - 24 * HOUR_MS));
    t.ok(&one(0).by(8, 0, 0).at(NOW_MS - 24 * HOUR_MS + 1));
    t.log.restart(NOW_MS, 24 * HOUR_MS);
    let known: Vec<_> = t.log.producers().iter().map(|p| p.producer_id).collect();
    assert_eq!(known, [8]);
    assert!(
        !t.send(&one(0)).unwrap().duplicate,
        "what is forgotten is stored twice"
    );
}

#[test]
fn expiry_spares_open_transactions() {
    let mut t = Partition::new();
    t.ok(&one(0).at(0));
    t.ok(&Sent::records(1).at(0).by(8, 0, 0).transactional());
    t.log.expire_producers(NOW_MS, HOUR_MS);
    assert_eq!(
        t.log
            .producers()
            .iter()
            .map(|p| p.producer_id)
            .collect::<Vec<_>>(),
        [8]
    );
    t.ok(&one(77)); // any sequence will do again
}

#[test]
fn deleting_all_records_keeps_the_state() {
    let mut t = six();
    assert_eq!(t.log.delete_records(-1), Ok(12));
    assert_eq!(t.refused(&one(14)), ResponseError::OutOfOrderSequenceNumber);
    t.ok(&one(12));
}

#[test]
fn a_leader_move_keeps_five() {
    let mut t = six();
    t.log.begin_epoch(1);
    (1..6).for_each(|n| assert!(t.send(&one(n * 2)).unwrap().duplicate));
}

#[test]
fn describe_producers_shows_the_last_sequence() {
    let t = six();
    let [view] = t.log.producers()[..] else {
        panic!("one producer")
    };
    assert_eq!(
        (view.producer_id, view.epoch, view.last_sequence),
        (7, 0, 11)
    );
    assert_eq!(
        (view.last_timestamp_ms, view.coordinator_epoch),
        (NOW_MS + 1, -1)
    );
    assert_eq!(view.transaction_start, None);
}

#[test]
fn truncation_learns_the_producers_anew() {
    let mut t = six();
    t.log.truncate_to(8);
    assert_eq!(
        (t.log.end_offset(), t.log.producers()[0].last_sequence),
        (8, 7)
    );
    (0..4).for_each(|n| assert!(t.send(&one(n * 2)).unwrap().duplicate));
    t.ok(&one(8));
}
