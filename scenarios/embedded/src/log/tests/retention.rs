//! Retention, DeleteRecords and truncation.

use super::*;
use crate::log::ReadError;

/// Four closed segments of one batch of two records each, an hour apart, and an active one.
fn five_segments() -> Partition {
    let mut t = Partition::new();
    for hour in 0..5 {
        t.ok(&Sent::records(2).at(NOW_MS + hour * HOUR_MS - 10 * HOUR_MS));
        t.log.roll();
    }
    t
}

#[test]
fn time_deletes_whole_segments_by_the_records_timestamps() {
    let mut t = five_segments();
    t.settings.retention_ms = 9 * HOUR_MS - 1;
    assert_eq!(t.log.retain(&t.settings, NOW_MS), 2);
    assert_eq!((t.log.start_offset(), t.log.end_offset()), (4, 10));
    t.settings.retention_ms = -1;
    assert_eq!(t.log.retain(&t.settings, NOW_MS + 1000 * HOUR_MS), 0);
}

#[test]
fn time_deletes_the_active_segment_too() {
    let mut t = Partition::new();
    t.ok(&Sent::records(3).at(0)); // an old copy in an active segment
    assert_eq!(t.log.retain(&t.settings, NOW_MS), 1);
    assert_eq!(
        (t.log.start_offset(), t.log.end_offset(), t.log.bytes()),
        (3, 3, 0)
    );
    assert_eq!(t.ok(&Sent::records(1)), 3);
    assert_eq!(t.log.retain(&t.settings, NOW_MS), 0);
}

#[test]
fn records_without_timestamps_age_from_their_append() {
    let mut t = Partition::new();
    t.ok(&Sent::records(1).at(-1));
    t.settings.retention_ms = HOUR_MS;
    assert_eq!(t.log.retain(&t.settings, NOW_MS + HOUR_MS), 0);
    assert_eq!(t.log.retain(&t.settings, NOW_MS + HOUR_MS + 1), 1);
}

#[test]
fn size_keeps_at_least_the_limit() {
    let mut t = five_segments();
    t.settings.retention_ms = -1;
    let bytes = i64::try_from(Sent::records(2).bytes().len()).unwrap();
    for (retention_bytes, deleted) in [
        (5 * bytes, 0),
        (4 * bytes + 1, 0),
        (4 * bytes, 1),
        (bytes + 1, 2),
    ] {
        t.settings.retention_bytes = retention_bytes;
        assert_eq!(
            t.log.retain(&t.settings, NOW_MS),
            deleted,
            "{retention_bytes}"
        );
    }
}

#[test]
fn a_held_high_watermark_stops_retention() {
    let mut t = five_segments();
    t.log.hold_high_watermark(Some(3));
    t.settings.retention_ms = 0;
    assert_eq!(t.log.retain(&t.settings, NOW_MS), 1);
    assert_eq!(t.log.start_offset(), 2);
}

#[test]
fn compacted_topics_are_not_retained() {
    let mut t = five_segments();
    t.settings.cleanup_delete = false;
    t.settings.retention_ms = 0;
    assert_eq!(t.log.retain(&t.settings, NOW_MS), 0);
    // but what clients deleted goes
    t.log.delete_records(5).unwrap();
    assert_eq!(t.log.retain(&t.settings, NOW_MS), 2);
    assert_eq!(
        t.log.start_offset(),
        5,
        "in the middle of a batch that stays"
    );
}

#[test]
fn delete_records_moves_the_start_up_to_the_high_watermark() {
    let mut t = five_segments();
    assert_eq!(t.log.delete_records(3), Ok(3));
    assert_eq!(t.log.delete_records(1), Ok(3), "never back");
    assert_eq!(t.log.delete_records(11), Err(ReadError::OutOfRange));
    assert_eq!(t.log.delete_records(-2), Err(ReadError::OutOfRange));
    let slice = t.log.read(3, ALL, true, Isolation::Uncommitted).unwrap();
    assert_eq!(cut(&slice.records)[0].header.base_offset(), 2);
    t.log.hold_high_watermark(Some(4));
    assert_eq!(t.log.delete_records(5), Err(ReadError::OutOfRange));
    assert_eq!(t.log.delete_records(-1), Ok(4));
}

#[test]
fn deleting_a_transactions_begin_moves_the_last_stable_offset() {
    let mut t = Partition::new();
    t.ok(&Sent::records(4).by(7, 0, 0).transactional());
    t.ok(&Sent::records(2));
    t.ok(&Sent::records(2));
    t.log.delete_records(5).unwrap();
    assert_eq!(
        t.log.last_stable_offset(),
        4,
        "the batch that holds the start"
    );
}

#[test]
fn truncation_drops_batches_segments_and_epochs() {
    let mut t = Partition::new();
    for epoch in 0..4 {
        t.epoch = epoch;
        t.ok(&Sent::records(2));
        t.log.roll();
    }
    t.log.truncate_to(4);
    assert_eq!(
        (t.log.end_offset(), t.log.latest_epoch(), t.batches().len()),
        (4, Some(1), 2)
    );
    assert_eq!(t.ok(&Sent::records(1)), 4);
    t.log.truncate_to(100);
    assert_eq!(t.log.end_offset(), 5);
    t.log.truncate_to(0);
    assert_eq!(
        (t.log.end_offset(), t.log.start_offset(), t.log.bytes()),
        (0, 0, 0)
    );
    assert_eq!(t.ok(&Sent::records(1)), 0);
}
