//! The topics that MM2's readers look at: which there are, where, and what is in them, to the byte.

use scenarios::client::{Isolation, KafkaClient, numbered, unique};
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_copy, now_ms, read, stop};

on_every_kind! {
    it_05_without_offset_syncs_there_is_no_topic_for_them,
    it_06_offset_syncs_on_the_target,
    internal_topics_are_compacted_and_written_as_documented,
}

/// A record of a checkpoints topic, read by the words of docs/spec/mm2.md 3.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checkpoint {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub upstream: i64,
    pub downstream: i64,
    pub metadata: String,
    pub timestamp_ms: i64,
}

/// A record of an offset-syncs topic (3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetSync {
    pub topic: String,
    pub partition: i32,
    pub upstream: i64,
    pub downstream: i64,
}

fn string(from: &mut &[u8]) -> String {
    let (length, rest) = from.split_at(2);
    let (text, rest) = rest.split_at(usize::from(u16::from_be_bytes(length.try_into().unwrap())));
    *from = rest;
    String::from_utf8(text.to_vec()).unwrap()
}

fn int32(from: &mut &[u8]) -> i32 {
    let (bytes, rest) = from.split_at(4);
    *from = rest;
    i32::from_be_bytes(bytes.try_into().unwrap())
}

fn int64(from: &mut &[u8]) -> i64 {
    let (bytes, rest) = from.split_at(8);
    *from = rest;
    i64::from_be_bytes(bytes.try_into().unwrap())
}

/// All checkpoints of the flow, oldest first.
pub(crate) fn checkpoints(target: &KafkaClient, flow: &Flow) -> Vec<Checkpoint> {
    checkpoints_in(target, &format!("{}.checkpoints.internal", flow.source))
}

pub(crate) fn checkpoints_in(target: &KafkaClient, topic: &str) -> Vec<Checkpoint> {
    if !target.topics().unwrap().contains(topic) {
        return Vec::new(); // not yet
    }
    let records = read(target, topic).into_values().flatten();
    let checkpoint = |read: scenarios::client::ReadRecord| {
        assert!(read.record.headers.is_empty());
        let (key, value) = (read.record.key.unwrap(), read.record.value.unwrap());
        let (mut key, mut value) = (&key[..], &value[..]);
        assert_eq!(value.split_off(..2), Some(&[0, 0][..]), "version");
        let checkpoint = Checkpoint {
            group: string(&mut key),
            topic: string(&mut key),
            partition: int32(&mut key),
            upstream: int64(&mut value),
            downstream: int64(&mut value),
            metadata: string(&mut value),
            timestamp_ms: read.record.timestamp_ms,
        };
        assert!(key.is_empty() && value.is_empty());
        checkpoint
    };
    records.map(checkpoint).collect()
}

/// All offset syncs on `host`, oldest first.
pub(crate) fn offset_syncs(source: &KafkaClient, flow: &Flow) -> Vec<OffsetSync> {
    offset_syncs_in(
        source,
        &format!("mm2-offset-syncs.{}.internal", flow.target),
    )
}

fn offset_syncs_in(host: &KafkaClient, topic: &str) -> Vec<OffsetSync> {
    if !host.topics().unwrap().contains(topic) {
        return Vec::new(); // not yet
    }
    let records = read(host, topic).into_values().flatten();
    let sync = |read: scenarios::client::ReadRecord| {
        assert!(read.record.headers.is_empty());
        assert!((now_ms() - read.record.timestamp_ms).abs() < 600_000);
        let (key, value) = (read.record.key.unwrap(), read.record.value.unwrap());
        let (mut key, mut value) = (&key[..], &value[..]);
        let sync = OffsetSync {
            topic: string(&mut key),
            partition: int32(&mut key),
            upstream: int64(&mut value),
            downstream: int64(&mut value),
        };
        assert!(key.is_empty() && value.is_empty());
        sync
    };
    records.map(sync).collect()
}

fn await_topic(client: &KafkaClient, topic: &str) {
    await_that(&format!("topic {topic}"), PATIENCE, || {
        client.topics().unwrap().contains(topic)
    })
    .unwrap();
}

/// Goal: `emit.offset-syncs.enabled=false` copies as ever, and makes neither offset syncs nor what builds on them.
fn it_05_without_offset_syncs_there_is_no_topic_for_them(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("it05");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let lines = flow.properties();
    let lines = lines
        .lines()
        .filter(|line| !line.starts_with("offset-syncs"));
    let lines: Vec<_> = lines.chain(["emit.offset-syncs.enabled = false"]).collect();
    let mut product = crate::flows::run_with(&lines.join("\n"), &[]);
    let copy = flow.remote(&topic);
    await_topic(&west, &copy);
    await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
    stop(&mut product);
    let syncs = format!("mm2-offset-syncs.{}.internal", flow.target);
    let checkpoints = format!("{}.checkpoints.internal", flow.source);
    assert!(!east.topics().unwrap().contains(&syncs));
    assert!(!west.topics().unwrap().contains(&checkpoints));
}

/// Goal: `offset-syncs.topic.location=target` (KIP-716): under its other name there, and nothing on the source.
fn it_06_offset_syncs_on_the_target(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("it06"), unique("it06-group"));
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    east.commit_offsets(&group, &topic, &[(0, 100)]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic)
        .with("SOURCE->TARGET.offset-syncs.topic.location = target");
    let mut product = flow.run();
    let copy = flow.remote(&topic);
    let syncs = format!("mm2-offset-syncs.{}.internal", flow.source);
    await_topic(&west, &copy);
    await_topic(&west, &syncs);
    let end = west_end_after_copy(&east, &topic, &west, &copy);
    await_that("a sync and a checkpoint", PATIENCE, || {
        let expected = OffsetSync {
            topic: topic.clone(),
            partition: 0,
            upstream: 99,
            downstream: end - 1,
        };
        let all = checkpoints(&west, &flow);
        let found = |found: &Checkpoint| found.group == group && found.downstream == end;
        offset_syncs_in(&west, &syncs).last() == Some(&expected) && all.iter().any(found)
    })
    .unwrap();
    stop(&mut product);
    let other = format!("mm2-offset-syncs.{}.internal", flow.target);
    let all = east.topics().unwrap();
    assert!(!all.contains(&syncs) && !all.contains(&other));
}

fn west_end_after_copy(east: &KafkaClient, topic: &str, west: &KafkaClient, copy: &str) -> i64 {
    await_copy(east, topic, west, copy, Isolation::ReadUncommitted);
    west.end_offsets(copy).unwrap()[0]
}

/// Goal: one partition, compacted; syncs that are true pairs of records, the last one within a flush interval; checkpoints with
/// the time at which the group was asked.
fn internal_topics_are_compacted_and_written_as_documented(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("internal"), unique("internal-group"));
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let copy = flow.remote(&topic);
    let began_ms = now_ms();
    let mut product = flow.run();
    await_topic(&west, &copy);
    // Less than offset.lag.max, so that the flush has to do it.
    for round in 0..3 {
        east.produce(&topic, &numbered(round * 30..round * 30 + 30, 1, 20))
            .unwrap();
        let end = west_end_after_copy(&east, &topic, &west, &copy);
        let upstream = i64::try_from(round).unwrap() * 30 + 29;
        await_that("a sync of the last record", PATIENCE, || {
            let all = offset_syncs(&east, &flow);
            (all.last()).is_some_and(|last| (last.upstream, last.downstream) == (upstream, end - 1))
        })
        .unwrap();
    }
    east.commit_offsets(&group, &topic, &[(0, 90)]).unwrap();
    await_that("a checkpoint", PATIENCE, || {
        let all = checkpoints(&west, &flow);
        all.iter().any(|found| found.group == group)
    })
    .unwrap();
    stop(&mut product);
    for found in checkpoints(&west, &flow) {
        assert!(
            (began_ms..=now_ms()).contains(&found.timestamp_ms),
            "{found:?}"
        );
    }
    let (source, target) = (read(&east, &topic), read(&west, &copy));
    for sync in offset_syncs(&east, &flow) {
        let record = source[&0].iter().find(|read| read.offset == sync.upstream);
        let same = target[&0]
            .iter()
            .find(|read| read.offset == sync.downstream);
        assert_eq!(
            record.unwrap().record.value,
            same.unwrap().record.value,
            "{sync:?}"
        );
    }
    let syncs = format!("mm2-offset-syncs.{}.internal", flow.target);
    let checkpoints = format!("{}.checkpoints.internal", flow.source);
    for (client, topic) in [(&east, &syncs), (&west, &checkpoints)] {
        let config = client.topic_config(topic).unwrap();
        assert_eq!(config["cleanup.policy"], "compact", "{topic}");
        assert_eq!(client.end_offsets(topic).unwrap().len(), 1);
    }
}
