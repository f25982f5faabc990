//! The groups of a recording of MM2 4.3.1, played again.

use std::collections::{BTreeMap, BTreeSet};

use scenarios::client::{Isolation, KafkaClient, RawGroups, numbered};
use scenarios::{Kind, Pair, await_ok, await_that, on_every_kind};

use crate::flows::{PATIENCE, await_copy, read, run_with, stop};
use crate::internal_topics::{Checkpoint, checkpoints_in};

on_every_kind! {
    the_recorded_groups_are_synced_as_mirror_maker_does,
}

/// Keys and values of `a.checkpoints.internal` as MM2 4.3.1 wrote them: hex, a record a line.
const RECORDED: &str = include_str!("../golden/group-sync-checkpoints.txt");

/// What groups had committed on the source: group, partition of `orders`, offset, metadata.
const SOURCE: [(&str, i32, i64, &str); 17] = [
    ("console-consumer-7", 0, 9, ""),
    ("g-active-source", 0, 400, ""),
    ("g-active-source", 1, 400, ""),
    ("g-active-target", 0, 600, ""),
    ("g-ahead", 0, 300, ""),
    ("g-behind", 0, 700, "m7"),
    ("g-deleted", 0, 100, ""),
    ("g-kip848", 0, 400, ""),
    ("g-kip848", 1, 400, ""),
    ("g-mixed", 0, 10, ""),
    ("g-new", 0, 500, "meta"),
    ("g-new", 1, 1000, ""),
    ("g-partial", 0, 900, ""),
    ("g-partial", 1, 900, ""),
    ("g-past-end", 0, 5000, ""),
    ("g-rewind", 0, 800, ""),
    ("g-zero", 0, 0, ""),
];

/// Committed later on the source.
const LATER: [(&str, i32, i64, &str); 2] = [("g-rewind", 0, 200, ""), ("g-behind", 0, 1000, "m10")];

/// What groups had on the target by themselves, in the source's offsets.
const TARGET: [(&str, i32, i64, &str); 3] = [
    ("g-ahead", 0, 950, "target's own"),
    ("g-behind", 0, 10, "target's own"),
    ("g-partial", 0, 990, ""),
];

fn properties(pair: &Pair) -> String {
    let (from, to) = (pair.east.bootstrap(), pair.west.bootstrap());
    format!(
        "clusters = a, b\na.bootstrap.servers = {from}\nb.bootstrap.servers = {to}\n\
         a->b.enabled = true\ntopics.exclude = mm2.*\\\\.internal, .*\\\\.replica, __.*, skip-.*\n\
         replication.factor = 1\ncheckpoints.topic.replication.factor = 1\n\
         heartbeats.topic.replication.factor = 1\noffset-syncs.topic.replication.factor = 1\n\
         offset.storage.replication.factor = 1\nsync.group.offsets.enabled = true\n\
         refresh.topics.interval.seconds = 1\n"
    )
}

/// Goal: the same groups get offsets, with the same metadata, and the same checkpoints are written, byte for byte but for the
/// translated offset, which is exact here.
fn the_recorded_groups_are_synced_as_mirror_maker_does(kind: Kind) {
    let pair = Pair::start(kind).unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let mut source = RawGroups::connect(&pair.east.bootstrap()).unwrap();
    let mut target = RawGroups::connect(&pair.west.bootstrap()).unwrap();
    for (topic, partitions) in [("orders", 2), ("empty", 1), ("skip-me", 1)] {
        east.create_topic(topic, partitions, 1, &[]).unwrap();
    }
    east.produce("orders", &numbered(0..2_000, 2, 20)).unwrap();
    let properties = properties(&pair);
    let mut product = run_with(&properties, &[]);
    await_that("the copy", PATIENCE, || {
        west.topics().unwrap().contains("a.orders")
    })
    .unwrap();
    await_copy(
        &east,
        "orders",
        &west,
        "a.orders",
        Isolation::ReadUncommitted,
    );
    let places = Places::new(&east, &west);
    for (group, partition, offset, metadata) in TARGET {
        let offset = places.of(partition, offset);
        target
            .commit(group, &[("a.orders", partition, offset, metadata)])
            .unwrap();
    }
    let member = west.join("g-active-target", "a.orders", PATIENCE).unwrap();
    for group in ["g-mixed", "g-only-skipped"] {
        source.commit(group, &[("skip-me", 0, 0, "")]).unwrap();
    }
    source
        .commit("g-empty-topic", &[("empty", 0, 0, "")])
        .unwrap();
    for (group, partition, offset, metadata) in SOURCE {
        source
            .commit(group, &[("orders", partition, offset, metadata)])
            .unwrap();
    }
    let mut expected: BTreeMap<(&str, i32), (i64, &str)> = BTreeMap::new();
    for (group, partition, offset, metadata) in SOURCE.into_iter().chain(TARGET) {
        // The member has left nothing; the excluded one nothing either; g-ahead and g-partial are further.
        if !["g-active-target", "console-consumer-7"].contains(&group) {
            let place = (places.of(partition, offset), metadata);
            let known = expected.entry((group, partition)).or_insert(place);
            if place.0 > known.0 {
                *known = place;
            }
        }
    }
    await_groups(&mut target, &expected);
    for (group, partition, offset, metadata) in LATER {
        source
            .commit(group, &[("orders", partition, offset, metadata)])
            .unwrap();
    }
    // g-rewind stays; g-active-target comes, as its member has gone.
    expected.insert(("g-behind", 0), (places.of(0, 1_000), "m10"));
    member.leave();
    expected.insert(("g-active-target", 0), (places.of(0, 600), ""));
    await_groups(&mut target, &expected);
    await_ok("the recorded checkpoints", PATIENCE, || {
        compare(&west, &places)
    })
    .unwrap();
    stop(&mut product);
    compare(&west, &places).unwrap();
}

/// Where the source's records are on the target, by their contents.
struct Places(BTreeMap<i32, Vec<i64>>);

impl Places {
    fn new(east: &KafkaClient, west: &KafkaClient) -> Self {
        let mut copies = read(west, "a.orders");
        let places = read(east, "orders")
            .into_iter()
            .map(|(partition, records)| {
                let copies = copies.remove(&partition).unwrap();
                let there = records.iter().zip(&copies).map(|(record, copy)| {
                    assert_eq!(record.record.value, copy.record.value);
                    copy.offset
                });
                let mut there: Vec<_> = there.collect();
                there.push(there[there.len() - 1] + 1);
                (partition, there)
            });
        Self(places.collect())
    }

    fn of(&self, partition: i32, offset: i64) -> i64 {
        let places = &self.0[&partition];
        let at = usize::try_from(offset).unwrap().min(places.len() - 1);
        places[at]
    }
}

/// Waits until these groups have just these offsets and metadata on the target.
fn await_groups(target: &mut RawGroups, expected: &BTreeMap<(&str, i32), (i64, &str)>) {
    let names: BTreeSet<_> = (SOURCE.iter().map(|row| row.0))
        .chain(["g-only-skipped", "g-empty-topic"])
        .collect();
    let names: Vec<_> = names.into_iter().collect();
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|((group, partition), (offset, metadata))| {
            let at = (String::from(*group), String::from("a.orders"), *partition);
            (at, (*offset, String::from(*metadata)))
        })
        .collect();
    await_ok("the groups on the target", PATIENCE, || {
        let mut found = BTreeMap::new();
        for (group, places) in target.committed(&names).unwrap() {
            for ((topic, partition), place) in places {
                found.insert((group.clone(), topic, partition), place);
            }
        }
        if found == expected {
            return Ok(());
        }
        let differs = |(at, place): &(&_, &_)| expected.get(*at) != Some(*place);
        let wrong: Vec<_> = found.iter().filter(differs).collect();
        let missing = expected.keys().filter(|at| !found.contains_key(*at));
        Err(format!(
            "{wrong:?}, missing {:?}",
            missing.collect::<Vec<_>>()
        ))
    })
    .unwrap();
}

/// All checkpoints of the recording are there, with keys, upstream offsets and metadata as recorded.
fn compare(west: &KafkaClient, places: &Places) -> Result<(), String> {
    let ours = checkpoints_in(west, "a.checkpoints.internal");
    let ours: BTreeSet<_> = ours.iter().map(bytes).collect();
    let mut recorded = BTreeSet::new();
    for line in RECORDED.lines() {
        let (key, value) = line.split_once(' ').unwrap();
        // The translated offset stands at bytes 10 to 18 of the value: ours is the exact one.
        let upstream = i64::from_str_radix(&value[4..20], 16).unwrap();
        let partition = i32::from_str_radix(&key[key.len() - 8..], 16).unwrap();
        let exact = places.of(partition, upstream);
        let value = format!("{}{exact:016x}{}", &value[..20], &value[36..]);
        recorded.insert(format!("{key} {value}"));
    }
    if ours == recorded {
        return Ok(());
    }
    let more: Vec<_> = ours.difference(&recorded).collect();
    let less: Vec<_> = recorded.difference(&ours).collect();
    Err(format!("not recorded: {more:?}, missing: {less:?}"))
}

fn bytes(checkpoint: &Checkpoint) -> String {
    let string = |text: &str| {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{:04x}{hex}", text.len())
    };
    let Checkpoint {
        group,
        topic,
        partition,
        upstream,
        downstream,
        metadata,
        ..
    } = checkpoint;
    let key = format!("{}{}{partition:08x}", string(group), string(topic));
    let metadata = string(metadata);
    format!("{key} 0000{upstream:016x}{downstream:016x}{metadata}")
}
