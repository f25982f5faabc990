//! Consumer groups that fail over read each record once: at any distance from the end, whatever the topic is like and whatever
//! happened before.

use std::time::{Duration, Instant};

use scenarios::client::{Contents, Isolation, KafkaClient, Moved, TestRecord, numbered, unique};
use scenarios::{Cluster, Kind, Pair, await_ok, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_copy, read, stop};
use crate::sources::{QUICK_COMPACTION, keyed};

on_every_kind! {
    a_plain_topic,
    after_three_kills_and_a_restart_of_the_target,
    a_transactional_topic_read_committed,
    a_transactional_topic_read_uncommitted,
    a_compacted_topic,
    from_the_latest_record_on,
    with_a_source_that_lost_its_beginning,
}

/// Records of the experiments. The bench `failover` does it with more.
const RECORDS: u64 = 20_000;
/// Groups commit so far from the end.
const DISTANCES: [i64; 12] = [0, 1, 2, 3, 10, 99, 100, 101, 1_000, 5_000, 12_345, 19_999];

/// One topic with one partition, and what moves its groups.
struct Stage {
    east: KafkaClient,
    west: KafkaClient,
    topic: String,
    flow: Flow,
    isolation: Isolation,
}

impl Stage {
    fn new(source: &dyn Cluster, target: &dyn Cluster, name: &str, lines: &[&str]) -> Self {
        let topic = unique(name);
        let (east, west) = (source.client().unwrap(), target.client().unwrap());
        east.create_topic(&topic, 1, 1, &[]).unwrap();
        let mut flow = Flow::new(&topic, source, target, &topic)
            .with("sync.group.offsets.enabled = true")
            .with(&format!("groups = {topic}.*"));
        for line in lines {
            flow = flow.with(line);
        }
        Self {
            east,
            west,

            topic,
            flow,
            isolation: Isolation::ReadUncommitted,
        }
    }

    fn produce(&self, ids: std::ops::Range<u64>) {
        self.east
            .produce(&self.topic, &numbered(ids, 1, 50))
            .unwrap();
    }

    fn copy(&self) -> String {
        self.flow.remote(&self.topic)
    }

    fn await_copy(&self) {
        await_copy(
            &self.east,
            &self.topic,
            &self.west,
            &self.copy(),
            self.isolation,
        );
    }

    /// Groups commit on the source; waits until each has an offset on the copy that is exact.
    fn groups_move(&self, run: &str) -> Duration {
        let end = self.east.end_offsets(&self.topic).unwrap()[0];
        let start = self.east.watermarks(&self.topic).unwrap()[0].0;
        let groups: Vec<(String, i64)> = DISTANCES
            .iter()
            .map(|distance| (end - distance).max(start))
            .map(|offset| (format!("{}-{run}-{offset}", self.topic), offset))
            .collect();
        for (group, offset) in &groups {
            self.east
                .commit_offsets(group, &self.topic, &[(0, *offset)])
                .unwrap();
        }
        let since = Instant::now();
        let read = |client: &KafkaClient, topic: &str| -> Contents {
            client.read_all(topic, self.isolation, PATIENCE).unwrap()
        };
        let contents = (
            read(&self.east, &self.topic),
            read(&self.west, &self.copy()),
        );
        await_ok("groups on the copy", PATIENCE, || {
            for (group, offset) in &groups {
                let committed = self.west.committed(group, &self.copy()).unwrap_or_default();
                let begins_at = committed.get(&0).copied();
                let moved =
                    Moved::judge(group, (0, *offset), begins_at, (&contents.0, &contents.1));
                if !moved.is_exact() {
                    return Err(moved.to_string());
                }
            }
            Ok(())
        })
        .unwrap();
        since.elapsed()
    }
}

/// Goal: what MM2 reads 424,006 records again for, here none; and soon.
fn a_plain_topic(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let stage = Stage::new(pair.east, pair.west, "failover", &[]);
    stage.produce(0..RECORDS);
    let mut product = stage.flow.run();
    stage.await_copy();
    let took = stage.groups_move("first");
    stage.produce(RECORDS..RECORDS + 1_000);
    stage.await_copy();
    let again = stage.groups_move("second");
    stop(&mut product);
    eprintln!("first sync seen after {took:?}, second after {again:?}");
}

/// Goal: markers of takeovers lie in the copy, and a target broker forgot what it knew.
fn after_three_kills_and_a_restart_of_the_target(kind: Kind) {
    let pair = Pair::start(kind).unwrap();
    let stage = Stage::new(&*pair.east, &*pair.west, "killed", &[]);
    let mut product = stage.flow.run();
    for step in 0..4 {
        stage.produce(step * RECORDS / 4..(step + 1) * RECORDS / 4);
        let seen = || {
            stage
                .west
                .end_offsets(&stage.copy())
                .map_or(0, |ends| ends.first().copied().unwrap_or(0))
        };
        let goal = i64::try_from(step * RECORDS / 4).unwrap();
        await_that("copying", PATIENCE, || seen() > goal).unwrap();
        if step < 3 {
            product.kill().unwrap();
            product.restart().unwrap();
        }
    }
    pair.west.broker(1).kill().unwrap();
    pair.west.broker(1).start().unwrap();
    stage.await_copy();
    // Fewer than there are markers: the copy is long enough before it is complete.
    stage.produce(RECORDS..RECORDS + 2);
    stage.await_copy();
    stage.groups_move("all");
    stop(&mut product);
}

fn a_transactional_topic_read_committed(kind: Kind) {
    transactional(kind, Isolation::ReadCommitted, "read_committed");
}

fn a_transactional_topic_read_uncommitted(kind: Kind) {
    transactional(kind, Isolation::ReadUncommitted, "read_uncommitted");
}

/// Goal: a marker after every ten records, every third transaction aborted, is no matter at any distance.
fn transactional(kind: Kind, isolation: Isolation, level: &str) {
    let pair = kind.shared_pair().unwrap();
    let line = format!("SOURCE.consumer.isolation.level = {level}");
    let mut stage = Stage::new(pair.east, pair.west, level, &[&line]);
    stage.isolation = isolation;
    let writer = stage.east.transactional(&stage.topic).unwrap();
    for step in 0..200 {
        writer.begin().unwrap();
        let records = numbered(step * 10..step * 10 + 10, 1, 50);
        writer.produce(&stage.topic, &records).unwrap();
        if step % 3 == 2 {
            writer.abort().unwrap();
        } else {
            writer.commit().unwrap();
        }
    }
    let mut product = stage.flow.run();
    stage.await_copy();
    stage.groups_move("all");
    stop(&mut product);
}

/// Goal: holes that compaction left before and after the copying are no matter at any distance.
fn a_compacted_topic(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let source = kind
        .start("compacts", 1, &[("log.cleaner.backoff.ms", "500")])
        .unwrap();
    let line = "config.properties.exclude = .*";
    let stage = Stage::new(&*source, pair.west, "holes", &[line]);
    stage
        .east
        .set_topic_config(&stage.topic, &QUICK_COMPACTION)
        .unwrap();
    let mut round = 0;
    let holes = || -> i64 {
        let read = read(&stage.east, &stage.topic);
        let offsets: Vec<i64> = read[&0].iter().map(|read| read.offset).collect();
        let steps = offsets.windows(2).map(|pair| pair[1] - pair[0] - 1);
        steps.sum()
    };
    await_that("holes on the source", PATIENCE, || {
        let records = keyed(round).into_iter().map(|record| TestRecord {
            partition: 0,
            ..record
        });
        let records: Vec<_> = records.collect();
        stage.east.produce(&stage.topic, &records).unwrap();
        round += 1;
        round > 5 && holes() > 1_000
    })
    .unwrap();
    // From here on the source stays as it is.
    let keep = [("cleanup.policy", "delete")];
    stage.east.set_topic_config(&stage.topic, &keep).unwrap();
    let mut product = stage.flow.run();
    stage.await_copy();
    stage.groups_move("all");
    stop(&mut product);
}

/// Goal: what came before the first start is not copied, and a group that stands there begins with the first copied record.
fn from_the_latest_record_on(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let line = "SOURCE.consumer.auto.offset.reset = latest";
    let stage = Stage::new(pair.east, pair.west, "latest", &[line]);
    stage.produce(0..1_000);
    let mut product = stage.flow.run();
    // Copying has begun when a record arrives; those before are not among what is copied.
    let mut written = 1_000;
    await_that("the first record", PATIENCE, || {
        stage.produce(written..written + 1);
        written += 1;
        stage
            .west
            .end_offsets(&stage.copy())
            .is_ok_and(|ends| ends.first() > Some(&0))
    })
    .unwrap();
    stage.produce(written..written + 500);
    let end = stage.east.end_offsets(&stage.topic).unwrap()[0];
    let copied = || {
        stage
            .west
            .read_all(&stage.copy(), stage.isolation, PATIENCE)
            .unwrap()[&0]
            .len()
    };
    let all = stage
        .east
        .read_all(&stage.topic, stage.isolation, PATIENCE)
        .unwrap();
    let last = all[&0].last().unwrap().record.clone();
    await_that("the last record", PATIENCE, || {
        let read = stage
            .west
            .read_all(&stage.copy(), stage.isolation, PATIENCE)
            .unwrap();
        read[&0].last().is_some_and(|read| read.record == last)
    })
    .unwrap();
    let first = end - i64::try_from(copied()).unwrap();
    for offset in [0, first - 1, first, first + 1, end] {
        let group = format!("{}-{offset}", stage.topic);
        stage
            .east
            .commit_offsets(&group, &stage.topic, &[(0, offset)])
            .unwrap();
        let expected = (offset - first).max(0);
        await_that(&format!("group {group} at {expected}"), PATIENCE, || {
            let committed = stage.west.committed(&group, &stage.copy());
            committed.is_ok_and(|committed| committed.get(&0) == Some(&expected))
        })
        .unwrap();
    }
    stop(&mut product);
}

/// Goal: retention that passes the source's start changes nothing for groups behind it.
fn with_a_source_that_lost_its_beginning(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let stage = Stage::new(pair.east, pair.west, "expired", &[]);
    stage.produce(0..RECORDS);
    let mut product = stage.flow.run();
    stage.await_copy();
    stage
        .east
        .delete_records(&stage.topic, &[(0, 15_000)])
        .unwrap();
    stage.produce(RECORDS..RECORDS + 100);
    let last = i64::try_from(RECORDS + 100).unwrap();
    await_that("all copied", PATIENCE, || {
        stage
            .west
            .end_offsets(&stage.copy())
            .is_ok_and(|ends| ends.first() >= Some(&last))
    })
    .unwrap();
    stage.groups_move("all");
    stop(&mut product);
}
