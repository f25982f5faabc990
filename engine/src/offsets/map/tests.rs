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
    assert_eq!([17, 29].map(|at| map.downstream(at)), [AtLeast(6); 2]);
    assert_eq!(
        [30, 32, 33].map(|at| map.downstream(at)),
        [41; 3].map(Exact),
        "what was settled bounds what is not known"
    );
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
