mod model;
mod stored;

use uuid::Uuid;

use super::*;
use Translation::{AtLeast, Exact, Unknown};
use UnknownReason::{BelowMap, NothingReplicated};

/// Two transactions of three records with a marker each, then a fence on the target.
fn two_transactions() -> OffsetMap {
    let mut map = OffsetMap::new(MapStart::Complete);
    map.push(10, 0, 3).expect("first");
    map.settle(14, 3);
    map.push(14, 3, 3).expect("second");
    map.settle(18, 7);
    map
}

#[test]
fn a_marker_is_translated_to_what_follows_it() {
    let map = two_transactions();
    let answers: Vec<_> = [0, 9, 10, 12, 13, 14, 16]
        .map(|offset| map.downstream(offset))
        .into();
    assert_eq!(answers, [0, 0, 0, 2, 3, 3, 5].map(Exact));
    assert_eq!(map.entries(), 2);
}

#[test]
fn behind_the_last_run_is_the_end_and_nothing_is_extrapolated() {
    let map = two_transactions();
    for offset in [17, 18, 1_000, i64::MAX] {
        assert_eq!(map.downstream(offset), Exact(7));
    }
    for offset in [6, 7, i64::MAX] {
        assert_eq!(map.upstream(offset), Exact(18));
    }
}

#[test]
fn a_fence_on_the_target_is_translated_back_to_what_follows_it() {
    let mut map = two_transactions();
    map.push(18, 7, 1).expect("behind the fence");
    assert_eq!(map.upstream(6), Exact(18));
    assert_eq!(map.downstream(17), Exact(7));
}

#[test]
fn what_is_not_known_is_answered_with_the_end_before_it() {
    let mut map = two_transactions();
    map.mark_unknown();
    map.settle(30, 40);
    assert_eq!([17, 29].map(|at| map.downstream(at)), [AtLeast(6); 2]);
    assert_eq!(map.downstream(30), Exact(40));
    assert_eq!([6, 39].map(|at| map.upstream(at)), [AtLeast(17); 2]);
    map.push(33, 41, 5).expect("behind");
    assert_eq!(
        [17, 29, 30, 32].map(|at| map.downstream(at)),
        [AtLeast(6); 4],
        "it may be copies of what the source has lost since"
    );
    assert_eq!(map.downstream(33), Exact(41));
    assert_eq!(map.segments().count(), 3);
}

#[test]
fn a_gap_that_is_empty_on_one_side_hides_nothing() {
    let mut map = two_transactions();
    map.mark_unknown();
    map.push(18, 7, 1).expect("behind the marker and the fence");
    assert_eq!(map.downstream(17), AtLeast(6));
    map.mark_unknown();
    map.push(25, 8, 1).expect("nothing on the target");
    assert_eq!(map.downstream(20), Exact(8));
}

#[test]
fn an_empty_map_knows_nothing_unless_another_program_was_here() {
    let map = OffsetMap::new(MapStart::Complete);
    assert_eq!(map.downstream(0), Unknown(NothingReplicated));
    assert_eq!(map.upstream(0), Unknown(NothingReplicated));
    let map = OffsetMap::new(MapStart::From {
        upstream: 100,
        downstream: 70,
    });
    assert_eq!(map.downstream(99), Unknown(BelowMap));
    assert_eq!(
        map.downstream(100),
        Exact(70),
        "the next record comes there"
    );
    assert_eq!(map.upstream(70), Exact(100));
}

#[test]
fn a_run_that_goes_back_is_refused() {
    let mut map = two_transactions();
    for (upstream, downstream) in [(17, 7), (18, 6), (-1, 8)] {
        assert!(matches!(
            map.push(upstream, downstream, 1),
            Err(MapError::NotBehind { .. })
        ));
    }
    for length in [0, 1 << 63, u64::MAX] {
        assert!(matches!(
            map.push(18, 7, length),
            Err(MapError::Length { .. })
        ));
    }
    assert_eq!((map.upstream_end(), map.downstream_end()), (18, 7));
    assert_eq!(map.entries(), 2);
}

/// One marker for every 100 records, as many transactions as said.
fn transactional(transactions: i64) -> OffsetMap {
    let mut map = OffsetMap::new(MapStart::Complete);
    for transaction in 0..transactions {
        map.push(transaction * 101, transaction * 100, 100)
            .expect("grows");
    }
    map
}

#[test]
fn an_entry_of_a_transactional_topic_takes_less_than_4_bytes() {
    // More blocks by one than the queue has room for before it doubles: the dearest number.
    let mut map = transactional(128 * (1 << 10) + 129);
    assert_eq!(map.sealed.len(), (1 << 10) + 1);
    let entries = map.entries() as f64;
    let queue = map.sealed.capacity() * size_of::<Block>();
    let packed = (map.bytes() - queue) as f64 / entries;
    assert!((3.0..3.1).contains(&packed), "{packed} bytes an entry");
    let in_memory = map.bytes() as f64 / entries;
    assert!(in_memory < 4.0 + 0.01, "{in_memory} bytes an entry");
    let records = map.dirty_blocks();
    let stored: usize = records
        .iter()
        .map(|record| {
            let key = record.key("orders", 0).encode().expect("short");
            key.len() + record.value(Uuid::nil()).expect("no tombstone").len()
        })
        .sum();
    let stored = stored as f64 / entries;
    assert!((3.6..3.7).contains(&stored), "{stored} bytes an entry");
}

#[test]
fn a_dense_topic_is_one_entry() {
    let mut map = OffsetMap::new(MapStart::Complete);
    for batch in 0..10_000 {
        map.push(batch * 500, 7 + batch * 500, 500).expect("grows");
    }
    assert_eq!(map.entries(), 1);
    assert_eq!(map.dirty_blocks().len(), 1);
    assert!(map.dirty_blocks().is_empty());
    assert!(map.bytes() < 512, "{} bytes", map.bytes());
}

#[test]
fn offsets_up_to_the_last_one_fit() {
    let mut map = OffsetMap::new(MapStart::Complete);
    map.push(0, 0, 1).expect("first");
    map.push(i64::MAX - 9, i64::MAX - 9, 9).expect("last");
    assert_eq!(map.downstream(5), Exact(i64::MAX - 9));
    assert_eq!(map.downstream(i64::MAX), Exact(i64::MAX));
    assert_eq!(map.upstream(i64::MAX - 1), Exact(i64::MAX - 1));
    let again = map.clone();
    map.mark_unknown();
    map.truncate_upstream(i64::MAX - 5);
    assert_eq!(map.downstream(i64::MAX - 6), Exact(i64::MAX - 6));
    assert_eq!(again.segments().last().map(|last| last.length), Some(9));
}

#[test]
fn more_blocks_than_allowed_are_forgotten_from_the_oldest() {
    let mut map = transactional(129 + 128);
    let block = map.sealed.pop_front().expect("full");
    map.sealed = std::iter::repeat_n(block, BLOCKS_MAX).collect();
    map.sealed_entries = BLOCKS_MAX * 128;
    let end = (map.upstream_end(), map.downstream_end());
    for run in 0..128 {
        map.push(end.0 + 1 + run * 2, end.1 + run, 1)
            .expect("grows");
    }
    assert_eq!(map.sealed.len(), BLOCKS_MAX);
    assert_eq!(
        map.start(),
        MapStart::From {
            upstream: 128 * 101 - 1,
            downstream: 128 * 100
        }
    );
    assert_eq!(map.downstream(5), Unknown(BelowMap));
}

#[test]
fn a_log_start_that_moves_forgets_whole_blocks_below_it() {
    let mut map = transactional(1_000);
    map.trim_upstream(300 * 101);
    let start = 256 * 101 - 1;
    assert_eq!(
        map.start(),
        MapStart::From {
            upstream: start,
            downstream: 25_600
        }
    );
    assert_eq!(map.downstream(start - 1), Unknown(BelowMap));
    assert_eq!(map.downstream(start), Exact(25_600));
    assert_eq!(map.entries(), 1_000 - 256);
    map.trim_upstream(i64::MAX);
    assert_eq!(map.entries(), 1_000 % 128, "the newest block stays");
    assert_eq!(map.downstream(i64::MAX), Exact(100_000));
}

#[test]
fn a_source_that_lost_its_tail_is_cut_and_goes_on() {
    let mut map = transactional(1_000);
    map.truncate_upstream(500 * 101 + 40);
    assert_eq!(
        (map.upstream_end(), map.downstream_end()),
        (50_540, 100_000)
    );
    assert_eq!(map.downstream(50_539), Exact(50_039));
    assert_eq!(map.downstream(50_540), Exact(100_000));
    assert_eq!(map.upstream(70_000), Exact(50_540), "lost on the source");
    map.push(50_540, 100_000, 10).expect("goes on");
    assert_eq!(map.downstream(50_540), Exact(100_000));
    assert_eq!(map.upstream(70_000), Exact(50_540));
    assert_eq!(map.entries(), 502);
}

#[test]
fn a_restart_removes_what_is_stored() {
    let mut map = transactional(300);
    assert_eq!(map.dirty_blocks().len(), 3);
    map.restart(MapStart::Complete);
    assert_eq!(map.downstream(5), Unknown(NothingReplicated));
    map.push(0, 30_000, 1).expect("another topic");
    let records = map.dirty_blocks();
    let values: Vec<_> = records
        .iter()
        .map(|record| record.value(Uuid::nil()).is_some())
        .collect();
    assert_eq!(values, [false, false, true], "the block at 0 is replaced");
}

#[test]
fn a_source_that_lost_more_than_was_copied_starts_over_there() {
    let start = MapStart::From {
        upstream: 100,
        downstream: 70,
    };
    for copied in [0, 5] {
        let mut map = OffsetMap::new(start);
        map.push(102, 71, 5).expect("first");
        map.truncate_upstream(100 + copied - 5);
        let end = map.upstream_end();
        map.push(end, 80, 1).expect("goes on");
        assert_eq!(map.downstream(end), Exact(80));
        assert_eq!(map.upstream(75), Exact(end), "nothing is unknown");
        assert_eq!(map.entries(), 1);
    }
}

#[test]
fn an_unknown_gap_stays_unknown_when_the_block_behind_it_is_cut() {
    let mut map = transactional(128);
    map.mark_unknown();
    map.push(20_000, 20_000, 5).expect("a block of its own");
    map.push(20_006, 20_005, 5).expect("grows");
    assert_eq!(map.tail.base.upstream, 128 * 101 - 1);
    map.truncate_upstream(15_000);
    assert_eq!(map.entries(), 128);
    assert_eq!(map.downstream(14_999), AtLeast(12_800));
    assert_eq!(map.downstream(15_000), Exact(20_010));
}

#[test]
fn a_run_that_grows_is_stored_again() {
    let mut map = transactional(300);
    assert_eq!(map.dirty_blocks().len(), 3);
    let (upstream, downstream) = (map.upstream_end(), map.downstream_end());
    map.push(upstream, downstream, 1).expect("continues");
    assert_eq!(map.entries(), 300);
    assert_eq!(map.dirty_blocks().len(), 1);
}

#[test]
fn what_the_target_lost_is_to_be_copied_again() {
    for (end, upstream) in [(7, 18), (6, 18), (4, 15), (3, 14), (2, 12), (0, 10)] {
        let mut map = two_transactions();
        assert_eq!(map.truncate_downstream(end), Some(upstream), "cut at {end}");
        assert_eq!((map.upstream_end(), map.downstream_end()), (upstream, end));
        map.push(upstream, end, 1).expect("goes on");
    }
    let mut taken_over = OffsetMap::new(MapStart::From {
        upstream: 50,
        downstream: 40,
    });
    taken_over.push(50, 40, 5).expect("first");
    assert_eq!(
        taken_over.truncate_downstream(30),
        None,
        "what lay there is not known"
    );
    assert_eq!(taken_over.downstream(52), Exact(42), "nothing changed");
    assert_eq!(taken_over.truncate_downstream(42), Some(52));
}
