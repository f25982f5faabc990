//! What consumer groups find on the target: checkpoints, and offsets to go on at.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use scenarios::client::{Isolation, KafkaClient, numbered, unique};
use scenarios::{Kind, await_ok, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_copy, stop};

on_every_kind! {
    it_03_one_way_replication_with_group_sync,
}

/// A flow that syncs groups as soon as it can.
fn syncing(name: &str, pair: &scenarios::SharedPair, topics: &str) -> Flow {
    Flow::new(name, pair.east, pair.west, topics).with("sync.group.offsets.enabled = true")
}

/// Waits until the group's offsets of `topic` on the target are these; returns how long that took.
fn await_committed(
    client: &KafkaClient,
    group: &str,
    topic: &str,
    expected: &BTreeMap<i32, i64>,
) -> Duration {
    let began = Instant::now();
    await_ok(
        &format!("{group} at {expected:?} of {topic}"),
        PATIENCE,
        || match client.committed(group, topic) {
            Ok(found) if found == *expected => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .unwrap();
    began.elapsed()
}

fn ends(client: &KafkaClient, topic: &str) -> BTreeMap<i32, i64> {
    (0..).zip(client.end_offsets(topic).unwrap()).collect()
}

/// Goal: a group that has read everything on the source finds itself at the end on the target, in every partition, exactly.
fn it_03_one_way_replication_with_group_sync(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it03"), unique("it03-group"));
    east.create_topic(&topic, 10, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 10, 50)).unwrap();
    let flow = syncing(&topic, &pair, &format!("{topic}.*"));
    let read: Vec<_> = ends(&east, &topic).into_iter().collect();
    east.commit_offsets(&group, &topic, &read).unwrap();
    let mut product = flow.run();
    let copy = flow.remote(&topic);
    await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
    await_committed(&west, &group, &copy, &ends(&west, &copy));
    stop(&mut product);
}
