//! Transactions: `docs/spec/real-kafka.md` 1, 2 and 5.

use super::*;

fn txn(producer_id: i64, epoch: i16, sequence: i32) -> Sent {
    Sent::records(1)
        .by(producer_id, epoch, sequence)
        .transactional()
}

#[test]
fn a_marker_is_what_kafka_writes() {
    let mut log = Log::new();
    log.append_own(batches_of(9), 0, 0);
    assert_eq!(log.append_marker(7, 1, false, 12, 3, 1000), 9);
    let marker = log.batches().last().unwrap();
    assert_eq!(
        hex(marker),
        "0000000000000009000000420000000302f5fe601d00300000000000000000000003e800000000000003e8\
         00000000000000070001ffffffff000000012000000008000000000c00000000000c00"
    );
}

/// One batch with `count` records.
fn batches_of(count: i32) -> RawBatch {
    cut(&Sent::records(count).bytes()).remove(0)
}

#[test]
fn an_open_transaction_holds_the_last_stable_offset() {
    let mut t = Partition::new();
    t.ok(&Sent::records(2));
    t.ok(&txn(7, 0, 0));
    t.ok(&Sent::records(2));
    t.ok(&txn(8, 0, 0));
    assert_eq!((t.log.last_stable_offset(), t.log.high_watermark()), (2, 6));
    assert!(t.log.has_open_transaction(7, 0) && !t.log.has_open_transaction(7, 1));
    t.marker(7, 0, true);
    assert_eq!(t.log.last_stable_offset(), 5);
    t.marker(8, 0, false);
    assert_eq!(t.log.last_stable_offset(), 8);
    assert!(!t.log.has_open_transaction(8, 0));
}

#[test]
fn a_held_high_watermark_keeps_an_ended_transaction_unstable() {
    let mut t = Partition::new();
    t.ok(&txn(7, 0, 0));
    t.log.hold_high_watermark(Some(1));
    t.marker(7, 0, true);
    assert_eq!(t.log.last_stable_offset(), 0);
    t.log.hold_high_watermark(Some(2));
    assert_eq!(t.log.last_stable_offset(), 2);
    t.log.hold_high_watermark(None);
    assert_eq!(t.log.last_stable_offset(), 2);
}

#[test]
fn aborted_transactions_are_listed_where_they_reach_into_the_range() {
    let mut t = Partition::new();
    t.ok(&txn(7, 0, 0)); // 0
    t.ok(&txn(8, 0, 0)); // 1
    t.marker(8, 0, false); // 2
    t.ok(&txn(7, 0, 1)); // 3
    t.marker(7, 0, false); // 4
    t.ok(&txn(9, 0, 0)); // 5
    t.marker(9, 0, true); // 6
    let aborted = |offset| {
        t.log
            .read(offset, ALL, true, Isolation::Committed)
            .unwrap()
            .aborted
    };
    assert_eq!(
        aborted(0),
        [(8, 1), (7, 0)],
        "in the order of their markers"
    );
    assert_eq!(aborted(2), [(8, 1), (7, 0)]);
    assert_eq!(aborted(3), [(7, 0)], "also behind its data");
    assert_eq!(aborted(5), []);
    let plain = t.log.read(0, ALL, true, Isolation::Uncommitted).unwrap();
    assert_eq!(plain.aborted, []);
    assert_eq!(
        cut(&plain.records).len(),
        7,
        "control batches and aborted data are in the bytes"
    );
}

#[test]
fn tv1_sequences_go_on_and_tv2_sequences_start_again() {
    let mut t = Partition::new();
    t.ok(&txn(7, 0, 0));
    t.marker(7, 0, true);
    t.ok(&txn(7, 0, 1));
    t.marker(7, 1, true); // TV2: the marker carries the next epoch
    assert_eq!(
        t.refused(&txn(7, 1, 2)),
        ResponseError::OutOfOrderSequenceNumber
    );
    assert_eq!(
        t.refused(&txn(7, 0, 2)),
        ResponseError::InvalidProducerEpoch
    );
    t.ok(&txn(7, 1, 0));
}

#[test]
fn a_new_producer_has_to_start_at_zero_under_v12() {
    let mut t = Partition::new();
    t.version = 12;
    assert_eq!(
        t.refused(&txn(7, 0, 5)),
        ResponseError::OutOfOrderSequenceNumber
    );
    t.ok(&txn(7, 0, 0));
    t.version = 9;
    t.ok(&txn(8, 0, 5));
}

#[test]
fn a_refused_first_batch_is_waited_for() {
    let mut t = Partition::new();
    t.verified = false;
    assert_eq!(t.refused(&txn(7, 0, 3)), ResponseError::InvalidTxnState);
    t.verified = true;
    assert_eq!(
        t.refused(&txn(7, 0, 4)),
        ResponseError::OutOfOrderSequenceNumber
    );
    t.ok(&txn(7, 0, 3));
    t.ok(&txn(7, 0, 4));
}

#[test]
fn an_old_epoch_is_told_so_before_the_coordinator_is_asked() {
    let mut t = Partition::new();
    t.marker(7, 2, true);
    t.verified = false;
    assert_eq!(
        t.refused(&txn(7, 1, 0)),
        ResponseError::InvalidProducerEpoch
    );
}

#[test]
fn a_gap_in_a_transaction_needs_no_abort() {
    let mut t = Partition::new();
    t.ok(&txn(7, 0, 0));
    assert_eq!(
        t.refused(&txn(7, 0, 2)),
        ResponseError::OutOfOrderSequenceNumber
    );
    t.ok(&txn(7, 0, 1));
}

#[test]
fn plain_writes_inside_a_transaction_are_refused() {
    let mut t = Partition::new();
    t.ok(&txn(7, 0, 0));
    let plain = Sent::records(1).by(7, 0, 1);
    assert_eq!(t.refused(&plain), ResponseError::InvalidTxnState);
    t.marker(7, 0, true);
    t.ok(&plain);
}

#[test]
fn a_marker_without_data_fences_and_takes_one_offset() {
    let mut t = Partition::new();
    for commit in [false, true] {
        let epoch = i16::from(commit) + 1;
        let end = t.log.end_offset();
        assert_eq!(t.marker(7, epoch, commit), end);
        assert_eq!(
            (t.log.end_offset(), t.log.last_stable_offset()),
            (end + 1, end + 1)
        );
        let header = t.batches().last().unwrap().header;
        assert_eq!((header.attributes(), header.base_sequence()), (0x30, -1));
    }
    let old = Sent::records(1).by(7, 1, 0);
    assert_eq!(
        t.refused(&old),
        ResponseError::InvalidProducerEpoch,
        "it never wrote here"
    );
    assert_eq!(
        t.log
            .read(0, ALL, true, Isolation::Committed)
            .unwrap()
            .aborted,
        []
    );
    t.ok(&Sent::records(1).by(7, 2, 0));
}

#[test]
fn late_markers_are_refused() {
    let mut t = Partition::new();
    assert_eq!(t.marker(7, 4, true), 0);
    assert_eq!(t.marker(7, 3, true), -1, "epoch");
    assert_eq!(
        t.log.append_marker(7, 4, true, 2, 0, NOW_MS),
        -1,
        "coordinator epoch"
    );
    assert_eq!(t.log.end_offset(), 1);
}

#[test]
fn truncation_reopens_a_transaction() {
    let mut t = Partition::new();
    t.ok(&txn(7, 0, 0));
    let end = t.marker(7, 0, false);
    t.log.truncate_to(end);
    assert_eq!(t.log.last_stable_offset(), 0);
    assert!(t.log.has_open_transaction(7, 0));
    assert_eq!(
        t.log.read(0, ALL, true, Isolation::LogEnd).unwrap().aborted,
        []
    );
    t.marker(7, 0, false);
    t.ok(&Sent::records(1));
    t.log.truncate_to(end + 1);
    assert_eq!(
        t.log
            .read(0, ALL, true, Isolation::Committed)
            .unwrap()
            .aborted,
        [(7, 0)]
    );
    assert_eq!(t.log.producers()[0].coordinator_epoch, 3);
}

#[test]
fn transactional_offsets_of_the_cluster_open_a_transaction() {
    let mut log = Log::new();
    let offsets = Sent::records(1).by(7, 0, -1).transactional().bytes();
    let offsets = cut(&offsets).remove(0);
    assert_eq!(log.append_own(offsets.clone(), 4, NOW_MS), 0);
    assert_eq!((log.last_stable_offset(), log.epoch_at(0)), (0, 4));
    log.append_marker(7, 0, true, 0, 4, NOW_MS);
    assert_eq!(log.append_own(offsets, 4, NOW_MS), 2);
    assert_eq!(log.last_stable_offset(), 2);
}
