//! What consumer groups find on the target: checkpoints, and offsets to go on at.
//!
//! Names that begin with `it_` are MM2's integration tests (docs/spec/mm2.md 12.13).

mod faults;
mod golden;
mod many;
mod moves;
mod shown;

use std::collections::{BTreeMap, BTreeSet};

use scenarios::client::{Isolation, KafkaClient, numbered, unique};
use scenarios::{Kind, SharedPair, await_ok, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_copy, read, stop};
use crate::internal_topics::{Checkpoint, checkpoints, offset_syncs};

on_every_kind! {
    it_02_an_empty_partition_keeps_its_place,
    it_03_one_way_replication_with_group_sync,
    it_04_frequent_offset_syncs,
    it_07_no_checkpoints_if_no_records_are_copied,
    it_08_restart,
    it_09_groups_far_behind_and_back_again,
    members_on_the_target_are_left_alone,
}

/// A flow that syncs groups as soon as it can.
fn syncing(name: &str, pair: &SharedPair, topics: &str) -> Flow {
    Flow::new(name, pair.east, pair.west, topics).with("sync.group.offsets.enabled = true")
}

/// Waits until the group's offsets of `topic` are these.
fn await_committed(client: &KafkaClient, group: &str, topic: &str, expected: &BTreeMap<i32, i64>) {
    await_ok(
        &format!("{group} at {expected:?} of {topic}"),
        PATIENCE,
        || match client.committed(group, topic) {
            Ok(found) if found == *expected => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .unwrap();
}

fn ends(client: &KafkaClient, topic: &str) -> BTreeMap<i32, i64> {
    (0..).zip(client.end_offsets(topic).unwrap()).collect()
}

/// Commits these offsets on the source; returns where the same records are in the copy, by their contents.
fn commit(
    (east, topic): (&KafkaClient, &str),
    (west, copy): (&KafkaClient, &str),
    group: &str,
    offsets: &BTreeMap<i32, i64>,
) -> BTreeMap<i32, i64> {
    let list: Vec<_> = offsets.iter().map(|(at, offset)| (*at, *offset)).collect();
    east.commit_offsets(group, topic, &list).unwrap();
    let (source, target) = (read(east, topic), read(west, copy));
    let ends = ends(west, copy);
    let there = |(at, offset): (&i32, &i64)| {
        let next = source[at].iter().find(|read| read.offset >= *offset);
        let Some(next) = next else {
            return (*at, ends[at]);
        };
        let mut copies = target[at].iter();
        let same = copies.find(|read| read.record.value == next.record.value);
        (*at, same.unwrap().offset)
    };
    offsets.iter().map(there).collect()
}

/// [`await_copy`], once the remote topic is there.
fn await_copied(east: &KafkaClient, topic: &str, west: &KafkaClient, copy: &str) {
    await_that(&format!("topic {copy}"), PATIENCE, || {
        west.topics().is_ok_and(|all| all.contains(copy))
    })
    .unwrap();
    await_copy(east, topic, west, copy, Isolation::ReadUncommitted);
}

/// MM2's `assertMonotonicCheckpoints`: of each group and partition, downstream offsets only go down if upstream ones do.
fn assert_monotonic(all: &[Checkpoint]) {
    let mut last: BTreeMap<_, &Checkpoint> = BTreeMap::new();
    for next in all {
        let at = (&next.group, &next.topic, next.partition);
        if let Some(last) = last.insert(at, next) {
            assert!(
                next.downstream >= last.downstream || next.upstream < last.upstream,
                "{last:?}, then {next:?}"
            );
        }
    }
}

/// Goal: an empty partition of the source says nothing, so the group's place there is its own affair on the target.
fn it_02_an_empty_partition_keeps_its_place(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it02"), unique("it02-group"));
    east.create_topic(&topic, 10, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..90, 9, 50)).unwrap();
    let mut product = syncing(&topic, &pair, &topic).run();
    let copy = format!("{topic}-east.{topic}");
    await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
    let mut all = commit(
        (&east, &topic),
        (&west, &copy),
        &group,
        &ends(&east, &topic),
    );
    all.remove(&9);
    await_committed(&west, &group, &copy, &all);
    west.commit_offsets(&group, &copy, &[(9, 0)]).unwrap();
    east.produce(&topic, &numbered(90..180, 9, 50)).unwrap();
    await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
    let mut all = commit(
        (&east, &topic),
        (&west, &copy),
        &group,
        &ends(&east, &topic),
    );
    all.insert(9, 0);
    await_committed(&west, &group, &copy, &all);
    stop(&mut product);
}

/// Goal: a group that has read everything on the source finds itself at the end on the target, in every partition, exactly;
/// a second topic follows; the group never reads a record twice.
fn it_03_one_way_replication_with_group_sync(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it03"), unique("it03-group"));
    let flow = syncing(&topic, &pair, &format!("{topic}.*")).with("offset.lag.max = 10");
    let mut product = flow.run();
    for topic in [topic.clone(), format!("{topic}-2")] {
        east.create_topic(&topic, 10, 1, &[]).unwrap();
        east.produce(&topic, &numbered(0..100, 10, 50)).unwrap();
        let copy = flow.remote(&topic);
        await_copied(&east, &topic, &west, &copy);
        // In the middle, at the end, and at the end again with more records.
        let middle = (0..10).map(|partition| (partition, 5)).collect();
        let there = commit((&east, &topic), (&west, &copy), &group, &middle);
        await_committed(&west, &group, &copy, &there);
        for more in [100..100, 100..200] {
            east.produce(&topic, &numbered(more, 10, 50)).unwrap();
            await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
            let all = ends(&east, &topic);
            let there = commit((&east, &topic), (&west, &copy), &group, &all);
            assert_eq!(there, ends(&west, &copy));
            await_committed(&west, &group, &copy, &there);
        }
    }
    assert_monotonic(&checkpoints(&west, &flow));
    stop(&mut product);
    let foreign = format!("{}.{topic}", flow.target);
    assert!(!east.topics().unwrap().contains(&foreign));
}

/// Goal: with `offset.lag.max=0`, MM2's readers find the last record of each partition in the offset syncs.
fn it_04_frequent_offset_syncs(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it04"), unique("it04-group"));
    east.create_topic(&topic, 10, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 10, 50)).unwrap();
    // The flush of what was delayed has no part in it.
    let flow = syncing(&topic, &pair, &topic)
        .with("offset.lag.max = 0")
        .with("TARGET.offset.flush.interval.ms = 600000");
    let mut product = flow.run();
    let copy = flow.remote(&topic);
    await_copied(&east, &topic, &west, &copy);
    let all = commit(
        (&east, &topic),
        (&west, &copy),
        &group,
        &ends(&east, &topic),
    );
    await_committed(&west, &group, &copy, &all);
    let last = |ends: BTreeMap<i32, i64>| ends.into_iter().map(|(at, end)| (at, end - 1));
    let pairs = last(ends(&east, &topic)).zip(last(ends(&west, &copy)));
    let expected: BTreeMap<_, _> = pairs
        .map(|((at, up), (_, down))| (at, (up, down)))
        .collect();
    await_ok("a sync of each last record", PATIENCE, || {
        let found: BTreeMap<_, _> = (offset_syncs(&east, &flow).into_iter())
            .filter(|sync| sync.topic == topic)
            .map(|sync| (sync.partition, (sync.upstream, sync.downstream)))
            .collect();
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .unwrap();
    stop(&mut product);
}

/// Goal: nothing is said of a partition of which nothing was copied.
fn it_07_no_checkpoints_if_no_records_are_copied(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it07"), unique("it07-group"));
    let empty = format!("{topic}-empty");
    for topic in [&topic, &empty] {
        east.create_topic(topic, 1, 1, &[]).unwrap();
        // Whatever the group has committed: the empty topic's end.
        east.commit_offsets(&group, topic, &[(0, 0)]).unwrap();
    }
    east.produce(&topic, &numbered(0..10, 1, 50)).unwrap();
    let flow = syncing(&topic, &pair, &format!("{topic}.*"));
    let mut product = flow.run();
    let (copy, empty_copy) = (flow.remote(&topic), flow.remote(&empty));
    await_that("both copies", PATIENCE, || {
        let all = west.topics().unwrap();
        all.contains(&copy) && all.contains(&empty_copy)
    })
    .unwrap();
    await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
    let end = ends(&east, &topic);
    let there = commit((&east, &topic), (&west, &copy), &group, &end);
    await_committed(&west, &group, &copy, &there);
    let with = |copy: &str| {
        let all = checkpoints(&west, &flow);
        let mut of_group = all.iter().filter(|found| found.group == group);
        of_group.any(|found| found.topic == copy)
    };
    assert!(with(&copy) && !with(&empty_copy));
    assert_eq!(
        west.committed(&group, &empty_copy).unwrap(),
        BTreeMap::new()
    );
    east.produce(&empty, &numbered(0..10, 1, 50)).unwrap();
    await_copy(
        &east,
        &empty,
        &west,
        &empty_copy,
        Isolation::ReadUncommitted,
    );
    let end = ends(&east, &empty);
    let there = commit((&east, &empty), (&west, &empty_copy), &group, &end);
    await_committed(&west, &group, &empty_copy, &there);
    assert!(with(&copy) && with(&empty_copy));
    stop(&mut product);
}

/// Goal: after an orderly end and after a crash, groups go on as before, and checkpoints do not go back.
fn it_08_restart(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it08"), unique("it08-group"));
    east.create_topic(&topic, 3, 1, &[]).unwrap();
    let flow = syncing(&topic, &pair, &topic).with("offset.lag.max = 10");
    let copy = flow.remote(&topic);
    let mut product = flow.run();
    for round in 0..3 {
        east.produce(&topic, &numbered(round * 100..round * 100 + 100, 3, 50))
            .unwrap();
        await_copied(&east, &topic, &west, &copy);
        let all = ends(&east, &topic);
        let there = commit((&east, &topic), (&west, &copy), &group, &all);
        await_committed(&west, &group, &copy, &there);
        if round == 0 {
            stop(&mut product);
        }
        if round < 2 {
            product.restart().unwrap();
        }
    }
    stop(&mut product);
    let all = checkpoints(&west, &flow);
    assert_monotonic(&all);
    let of_group = |found: &&Checkpoint| found.group == group;
    let groups: BTreeSet<_> = all
        .iter()
        .filter(of_group)
        .map(|found| found.partition)
        .collect();
    assert_eq!(groups, BTreeSet::from([0, 1, 2]));
}

/// Goal: a group at nine tenths of a log, far behind its end, and then at one tenth: checkpoints follow, also back.
fn it_09_groups_far_behind_and_back_again(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it09"), unique("it09-group"));
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let copy = flow.remote(&topic);
    let mut product = flow.run();
    for round in 0..20 {
        east.produce(&topic, &numbered(round * 500..round * 500 + 500, 2, 20))
            .unwrap();
    }
    await_copied(&east, &topic, &west, &copy);
    for tenths in [2, 9, 1] {
        let ends = ends(&east, &topic);
        let at = ends
            .iter()
            .map(|(at, end)| (*at, end * tenths / 10))
            .collect();
        let there = commit((&east, &topic), (&west, &copy), &group, &at);
        await_ok(&format!("checkpoints at {there:?}"), PATIENCE, || {
            let all = checkpoints(&west, &flow);
            let of_group = all.iter().filter(|found| found.group == group);
            let last: BTreeMap<_, _> = of_group
                .map(|found| (found.partition, found.downstream))
                .collect();
            if last == there {
                Ok(())
            } else {
                Err(format!("{last:?}"))
            }
        })
        .unwrap();
    }
    assert_monotonic(&checkpoints(&west, &flow));
    // `sync.group.offsets.enabled` is not set.
    assert_eq!(west.committed(&group, &copy).unwrap(), BTreeMap::new());
    stop(&mut product);
}

/// Goal: a group with a member on the target is not touched (KAFKA-19794), and is synced once it has left.
fn members_on_the_target_are_left_alone(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("member"), unique("member-group"));
    let other = format!("{group}-other");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    let flow = syncing(&topic, &pair, &topic);
    let mut product = flow.run();
    let copy = flow.remote(&topic);
    await_copied(&east, &topic, &west, &copy);
    let member = west.join(&group, &copy, PATIENCE).unwrap();
    let at = BTreeMap::from([(0, 60)]);
    let there = commit((&east, &topic), (&west, &copy), &group, &at);
    // The same commit of a group without members shows when a round was made.
    let same = commit((&east, &topic), (&west, &copy), &other, &at);
    await_committed(&west, &other, &copy, &same);
    assert_eq!(west.committed(&group, &copy).unwrap(), BTreeMap::new());
    member.leave();
    await_committed(&west, &group, &copy, &there);
    // It moves on there; the source's later commit is behind, and then before it.
    west.commit_offsets(&group, &copy, &[(0, there[&0] + 20)])
        .unwrap();
    let behind = BTreeMap::from([(0, 70)]);
    commit((&east, &topic), (&west, &copy), &group, &behind);
    let same = commit((&east, &topic), (&west, &copy), &other, &behind);
    await_committed(&west, &other, &copy, &same);
    assert_eq!(west.committed(&group, &copy).unwrap()[&0], there[&0] + 20);
    let before = BTreeMap::from([(0, 95)]);
    let there = commit((&east, &topic), (&west, &copy), &group, &before);
    await_committed(&west, &group, &copy, &there);
    stop(&mut product);
}
