//! Stored records: lost, damaged, torn and made up.

use proptest::prelude::*;

use super::*;

const TOPIC_ID: Uuid = Uuid::from_u128(0x1234);

type Record = (Vec<u8>, Option<Vec<u8>>);

fn head(map: &OffsetMap) -> MapHead {
    MapHead {
        topic_id: TOPIC_ID,
        extent: map.extent(),
        remote_topic_id: Uuid::nil(),
        producer_id: 4_711,
        producer_epoch: 3,
        stored: 90,
        storing: 120,
        leader_epoch: 3,
        claimed: true,
    }
}

/// Blocks, then the head.
fn records(map: &mut OffsetMap) -> Vec<Record> {
    let blocks = map.dirty_blocks();
    let mut records: Vec<_> = blocks
        .iter()
        .map(|block| {
            let key = block.key("orders", 0).encode().expect("short");
            (key, block.value(TOPIC_ID))
        })
        .collect();
    let key = MapKey::Head {
        topic: "orders",
        partition: 0,
    };
    records.push((key.encode().expect("short"), Some(head(map).encode())));
    records
}

fn load(records: &[Record]) -> LoadedMap {
    let mut table = MapTable::new();
    for (key, value) in records {
        // What can not be read is as if it was not there.
        if let Err(error) = table.apply(Some(key), value.as_deref()) {
            assert!(matches!(error, MapRecordError::Damaged { .. }), "{error}");
        }
    }
    table.take("orders", 0).expect("has a head")
}

#[test]
fn records_are_as_documented_to_the_byte() {
    let mut map = OffsetMap::new(MapStart::From {
        upstream: 5,
        downstream: 2,
    });
    map.push(10, 2, 3).expect("grows");
    map.settle(15, 6);
    let [(block_key, Some(block)), (head_key, Some(head))] = &records(&mut map)[..] else {
        panic!("one block and the head")
    };
    assert_eq!(
        block_key[..],
        *b"\0\0\x01\0\x06orders\0\0\0\0\0\0\0\0\0\0\0\x05"
    );
    assert_eq!(head_key[..], *b"\0\0\0\0\x06orders\0\0\0\0");
    let long = |n: i64| n.to_be_bytes();
    let id = TOPIC_ID.as_bytes();
    let places = [long(5), long(2), long(13), long(5)].concat();
    let mut expected = [&[0, 0], &id[..], &[0, 1], &places, &[10, 0, 3]].concat();
    expected.extend(crc_fast::crc32_iscsi(&expected).to_be_bytes());
    assert_eq!(*block, expected);
    let places = [long(5), long(2), long(15), long(6), long(13), long(5)].concat();
    let epoch = 3i32.to_be_bytes();
    let lane = [
        &[0; 16][..],
        &long(4_711),
        &[0, 3],
        &long(90),
        &long(120),
        &epoch,
        &[1],
    ]
    .concat();
    let rest = [&[0][..], &long(1), &lane].concat();
    assert_eq!(*head, [&[0, 0], &id[..], &[1], &places, &rest].concat());
    assert_eq!(MapHead::decode(head), Ok(super::stored::head(&map)));
}

#[test]
fn a_lost_block_is_an_unknown_gap_and_is_said() {
    let mut map = transactional(1_000);
    let all = records(&mut map);
    for lost in 0..8 {
        let mut some = all.clone();
        some.remove(lost);
        let loaded = load(&some);
        let first = i64::try_from(lost).expect("small") * 128;
        let end = (first + 128).min(1_000);
        let from = At {
            upstream: (first * 101 - 1).max(0),
            downstream: first * 100,
        };
        let to = (end * 101 - 1, end * 100);
        let expected = LostRuns {
            upstream: from.upstream..to.0,
            downstream: from.downstream..to.1,
        };
        assert_eq!(loaded.lost, [expected]);
        for offset in (0..101_200).step_by(7) {
            let (exact, answer) = (map.downstream(offset), loaded.map.downstream(offset));
            if (from.upstream..to.0).contains(&offset) {
                assert_eq!(answer, AtLeast(from.downstream), "block {lost}, {offset}");
            } else {
                assert_eq!(answer, exact, "block {lost}, {offset}");
            }
        }
        let mut goes_on = loaded.map;
        goes_on.push(101_000, 100_000, 5).expect("goes on");
        assert_eq!(goes_on.downstream(101_001), Exact(100_001));
    }
}

#[test]
fn a_cut_where_a_block_is_lost_stays_unknown() {
    let mut map = transactional(1_000);
    let mut some = records(&mut map);
    some.remove(2);
    let mut map = load(&some).map;
    map.truncate_upstream(300 * 101);
    assert_eq!(map.entries(), 256);
    assert_eq!(map.downstream(299 * 101), AtLeast(25_600));
    assert_eq!(map.downstream(300 * 101), Exact(100_000));
}

#[test]
fn without_any_block_everything_is_an_unknown_gap() {
    let mut map = transactional(1_000);
    let loaded = load(&records(&mut map)[8..]);
    assert_eq!(loaded.lost.len(), 1);
    assert_eq!(loaded.map.downstream(77), AtLeast(0));
    assert_eq!(loaded.map.downstream(100_999), Exact(100_000));
}

#[test]
fn a_damaged_block_is_found_and_counts_as_lost() {
    let mut map = transactional(300);
    let mut damaged = records(&mut map);
    let value = damaged[1].1.as_mut().expect("a block");
    let middle = value.len() / 2;
    value[middle] ^= 4;
    let loaded = load(&damaged);
    assert_eq!(loaded.lost.len(), 1);
    assert_eq!(loaded.map.downstream(200 * 101), AtLeast(12_800));
    assert_eq!(loaded.map.downstream(299 * 101), Exact(29_900));
}

#[test]
fn blocks_newer_than_their_head_are_cut_to_it() {
    let mut map = transactional(1_000);
    let stored = records(&mut map);
    let expected: Vec<_> = map.segments().collect();
    for transaction in 1_000..1_500 {
        map.push(transaction * 101, transaction * 100, 100)
            .expect("grows");
    }
    let mut torn = stored.clone();
    torn.extend(records(&mut map));
    torn.pop();
    let mut loaded = load(&torn);
    assert_eq!(loaded.lost, []);
    assert!(loaded.map.segments().eq(expected));
    assert_eq!(loaded.map.extent(), loaded.head.extent);
    torn.extend(records(&mut loaded.map));
    let again = load(&torn);
    assert_eq!(again.map.extent(), loaded.head.extent);
    assert_eq!(again.map.dirty_from, i64::MAX, "what was too new is gone");
    assert!(again.map.removed.is_empty());
}

#[test]
fn a_head_older_than_a_truncation_loses_exactness_and_no_record() {
    let mut map = transactional(1_000);
    let mut torn = records(&mut map);
    map.truncate_upstream(50_540);
    torn.extend(records(&mut map));
    torn.pop();
    let loaded = load(&torn);
    assert_eq!(loaded.lost.len(), 1);
    assert_eq!(loaded.map.downstream(50_000), map.downstream(50_000));
    assert_eq!(loaded.map.downstream(60_000), AtLeast(50_040));
}

#[test]
fn blocks_of_another_incarnation_are_ignored_and_removed() {
    let mut old = transactional(300);
    let mut all = records(&mut old);
    let mut map = OffsetMap::new(MapStart::Complete);
    map.push(0, 30_000, 1).expect("first");
    let another = Uuid::from_u128(9);
    for block in map.dirty_blocks() {
        let key = block.key("orders", 0).encode().expect("short");
        all.push((key, block.value(another)));
    }
    let newer = MapHead {
        topic_id: another,
        ..head(&map)
    };
    let (key, _) = all[3].clone();
    all.push((key, Some(newer.encode())));
    let mut loaded = load(&all);
    assert_eq!(loaded.head, newer);
    assert_eq!(loaded.lost, []);
    assert_eq!(loaded.map.entries(), 1);
    let removed = loaded.map.dirty_blocks();
    assert_eq!(removed.len(), 2);
    assert!(removed.iter().all(|record| record.value(another).is_none()));
}

#[test]
fn blocks_of_another_incarnation_fill_no_hole() {
    let mut old = transactional(300);
    let mut all = records(&mut old);
    let (key, _) = all[3].clone();
    let another = MapHead {
        topic_id: Uuid::from_u128(9),
        ..head(&old)
    };
    all.push((key, Some(another.encode())));
    let loaded = load(&all);
    assert_eq!(loaded.map.segments().count(), 0);
    assert_eq!(loaded.map.downstream(500), AtLeast(0));
}

#[test]
fn a_stray_block_behind_the_head_is_no_loss() {
    let mut map = transactional(300);
    let mut all = records(&mut map);
    for transaction in 300..1_000 {
        map.push(transaction * 101, transaction * 100, 100)
            .expect("grows");
    }
    let later = records(&mut map);
    all.push(later[later.len() - 2].clone());
    let loaded = load(&all);
    assert_eq!(loaded.lost, []);
    assert_eq!(loaded.map.extent(), loaded.head.extent);
}

#[test]
fn a_partition_without_head_has_no_map() {
    let mut map = transactional(300);
    let mut all = records(&mut map);
    let (key, _) = all[3].clone();
    all.push((key, None));
    let mut table = MapTable::new();
    for (key, value) in &all {
        table
            .apply(Some(key), value.as_deref())
            .expect("as written");
    }
    assert_eq!(table.partitions().count(), 0);
    assert!(table.take("orders", 0).is_none());
    assert!(table.take("other", 0).is_none());
}

#[test]
fn foreign_records_are_refused() {
    let mut table = MapTable::new();
    let mut apply = |key: Option<&[u8]>, value: &[u8]| table.apply(key, Some(value));
    assert_eq!(apply(None, b""), Err(MapRecordError::NoKey));
    let key = b"\0\x01\0\0\x01a\0\0\0\0";
    assert_eq!(apply(Some(key), b""), Err(MapRecordError::Version(1)));
    let key = b"\0\0\x07\0\x01a\0\0\0\0";
    assert_eq!(apply(Some(key), b""), Err(MapRecordError::Kind(7)));
    let key = b"\0\0\0\0\x01a\0\0\0\0";
    assert!(matches!(
        apply(Some(key), b"\0"),
        Err(MapRecordError::Schema(_))
    ));
    assert!(matches!(
        apply(Some(&key[..9]), b""),
        Err(MapRecordError::Schema(_))
    ));
    assert!(matches!(
        apply(Some(b"\0\0\0\0\x01\xff\0\0\0\0"), b""),
        Err(MapRecordError::Schema(_))
    ));
}

/// Changes bytes of a record's value, and corrects the checksum if told to: then only the ranges can tell.
fn spoil(value: &mut [u8], changes: &[(usize, u8)], honest: bool) {
    for (at, byte) in changes {
        let length = value.len().max(1);
        if let Some(spoiled) = value.get_mut(at % length) {
            *spoiled = *byte;
        }
    }
    if let Some((bytes, crc)) = value.split_last_chunk_mut::<4>()
        && !honest
    {
        *crc = crc_fast::crc32_iscsi(bytes).to_be_bytes();
    }
}

fn interesting() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(0x7f),
        Just(0x80),
        Just(0xff),
        any::<u8>()
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_stored_bytes_make_it_panic(
        transactions in 1..600i64,
        spoiled in proptest::collection::vec(
            (any::<usize>(), proptest::collection::vec((any::<usize>(), interesting()), 1..6), any::<bool>()),
            0..6,
        ),
        random in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..40), proptest::collection::vec(any::<u8>(), 0..120)),
            0..4,
        ),
        offsets in proptest::collection::vec(prop_oneof![any::<i64>(), 0..70_000i64], 1..50),
    ) {
        let mut map = transactional(transactions);
        let mut all = records(&mut map);
        for (which, changes, honest) in &spoiled {
            let count = all.len();
            let (key, value) = &mut all[which % count];
            if which % 17 == 0 {
                let at = changes[0].0 % key.len();
                key[at] = changes[0].1;
            }
            spoil(value.as_mut().expect("no tombstone"), changes, *honest);
        }
        let mut table = MapTable::new();
        for (key, value) in &all {
            let _applied = table.apply(Some(key), value.as_deref());
        }
        for (key, value) in &random {
            let _applied = table.apply(Some(key), Some(value));
        }
        let partitions: Vec<_> = table.partitions().map(|(topic, partition)| (topic.to_owned(), partition)).collect();
        for (topic, partition) in partitions {
            let mut map = table.take(&topic, partition).expect("has a head").map;
            let mut offsets = offsets.clone();
            offsets.sort_unstable();
            for round in 0..4 {
                for side in [Side::Upstream, Side::Downstream] {
                    let mut before = None;
                    for offset in &offsets {
                        let answer = map.translate(side, *offset).offset();
                        prop_assert!(answer >= before, "{:?} {} went back", side, offset);
                        before = answer.or(before);
                    }
                }
                let _segments = map.segments().count();
                let (upstream, downstream) = (map.upstream_end(), map.downstream_end());
                match round {
                    0 => { let _pushed = map.push(upstream, downstream, 3); }
                    1 => map.truncate_upstream(offsets[offsets.len() / 2]),
                    _ => map.trim_upstream(offsets[offsets.len() / 2]),
                }
                let _stored = records(&mut map);
            }
            map.restart(MapStart::Complete);
        }
    }
}
