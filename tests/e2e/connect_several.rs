//! Several source connectors for one pair of aliases on one worker, with one checkpoint connector.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use scenarios::client::{Isolation, KafkaClient, numbered, unique};
use scenarios::{Kind, await_ok, on_every_kind};
use serde_json::{Value, json};

use crate::connect::Worker;
use crate::flows::{PATIENCE, await_copy, read};
use crate::http::address_in;

on_every_kind! {
    topics_of_both_are_copied_and_groups_translated,
    one_comes_and_goes_while_the_other_copies,
    what_both_ask_for_is_copied_once_and_taken_over,
}

const RUNS: [&str; 2] = ["RUNNING", "RUNNING"];

struct Setting {
    worker: Worker,
    east: KafkaClient,
    west: KafkaClient,
}

impl Setting {
    fn new(kind: Kind, what: &str, topics: &[&str]) -> Self {
        let pair = kind.shared_pair().unwrap();
        let worker = Worker::start(&unique(what), pair.east, pair.west);
        let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
        let at = Self { worker, east, west };
        for topic in topics {
            let topic = at.topic(topic);
            at.east.create_topic(&topic, 2, 1, &[]).unwrap();
            at.east.produce(&topic, &numbered(0..1_000, 2, 50)).unwrap();
        }
        at
    }

    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.worker.name)
    }

    fn remote(&self, name: &str) -> String {
        format!("{}.{}", self.worker.name, self.topic(name))
    }

    fn create(&self, name: &str, class: &str, more: &[(&str, &str)]) {
        let config = self.worker.config(class, more);
        let body = json!({"name": name, "config": config});
        self.worker.order("POST", "/connectors", &body, 201);
    }

    fn create_source(&self, name: &str, topics: &[&str]) {
        let topics: Vec<_> = topics.iter().map(|topic| self.topic(topic)).collect();
        self.create(
            name,
            "MirrorSourceConnector",
            &[("topics", &topics.join(","))],
        );
    }

    fn create_checkpoints(&self) -> String {
        let group = self.topic("group");
        let more = [
            ("groups", &*group),
            ("sync.group.offsets.enabled", "true"),
            ("sync.group.offsets.interval.seconds", "1"),
            ("emit.checkpoints.interval.seconds", "1"),
        ];
        self.create("checkpoints", "MirrorCheckpointConnector", &more);
        group
    }

    fn produce(&self, name: &str, ids: std::ops::Range<u64>) {
        (self.east.produce(&self.topic(name), &numbered(ids, 2, 50))).unwrap();
    }

    /// Waits until the copy holds each record of the source, in order, once.
    fn await_exact(&self, name: &str) {
        let (topic, remote) = (self.topic(name), self.remote(name));
        await_ok("the remote topic", PATIENCE, || {
            self.west.end_offsets(&remote)
        })
        .unwrap();
        await_copy(
            &self.east,
            &topic,
            &self.west,
            &remote,
            Isolation::ReadCommitted,
        );
    }

    /// Commits `offset` in partition 0 on the source, and waits until the group is before the same record on the target.
    fn await_synced(&self, group: &str, name: &str, offset: i64) {
        let (topic, remote) = (self.topic(name), self.remote(name));
        (self.east.commit_offsets(group, &topic, &[(0, offset)])).unwrap();
        let (source, target) = (read(&self.east, &topic), read(&self.west, &remote));
        let next = (source[&0].iter())
            .find(|read| read.offset >= offset)
            .unwrap();
        let same = (target[&0].iter()).find(|read| read.record.value == next.record.value);
        let expected = BTreeMap::from([(0, same.unwrap().offset)]);
        await_ok(
            &format!("{group} of {name} at {offset}"),
            PATIENCE,
            || match self.west.committed(group, &remote) {
                Ok(found) if found == expected => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .unwrap();
    }

    /// Waits until partitions of the connector that stand aside name `by`, as many as `count`.
    fn await_aside(&self, name: &str, by: &str, count: usize) {
        await_ok(&format!("{count} of {name} left to {by}"), PATIENCE, || {
            let path = format!("/v1/partitions?topic={}", self.topic(name));
            let answer = self.worker.ask("GET", &path, &Value::Null);
            let reason = format!("connector {by} copies it");
            let found = answer.body.matches(&reason).count();
            if found == count {
                Ok(())
            } else {
                Err(answer.body)
            }
        })
        .unwrap();
    }

    fn kill_and_start(&mut self) {
        self.worker.product.kill().unwrap();
        self.worker.product.restart().unwrap();
        await_ok("REST", PATIENCE, || {
            let output = self.worker.product.output_of_this_start();
            self.worker.address = address_in(&output).ok_or(output)?;
            Ok::<(), String>(())
        })
        .unwrap();
    }
}

/// Goal: two source connectors and one checkpoint connector of a pair: each topic is copied once, each connector shows its own,
/// groups are translated over the topics of both, also when the one with which checkpoints go is stopped, then deleted; and
/// after kill -9.
fn topics_of_both_are_copied_and_groups_translated(kind: Kind) {
    let mut at = Setting::new(kind, "both", &["a", "b"]);
    at.create_source("s1", &["a"]);
    at.create_source("s2", &["b"]);
    let group = at.create_checkpoints();
    for (source, topic) in [("s1", "a"), ("s2", "b")] {
        at.worker.await_status(source, "RUNNING", &RUNS);
        at.await_exact(topic);
        let tasks = (at.worker).order(
            "GET",
            &format!("/connectors/{source}/tasks"),
            &Value::Null,
            200,
        );
        let assigned = &tasks.json()[0]["config"]["task.assigned.partitions"];
        assert_eq!(*assigned, format!("{}-0", at.topic(topic)), "{tasks:?}");
    }
    at.await_synced(&group, "a", 100);
    at.await_synced(&group, "b", 150);

    at.kill_and_start();
    for topic in ["a", "b"] {
        at.produce(topic, 1_000..1_500);
        at.await_exact(topic);
    }
    at.worker
        .order("PUT", "/connectors/s1/stop", &Value::Null, 204);
    at.worker.await_status("s1", "STOPPED", &[]);
    at.await_synced(&group, "a", 200);
    at.await_synced(&group, "b", 250);
    at.worker
        .order("DELETE", "/connectors/s1", &Value::Null, 204);
    at.produce("b", 1_500..2_000);
    at.await_exact("b");
    at.await_synced(&group, "b", 600);
    at.worker.await_status("s2", "RUNNING", &RUNS);
    at.worker.stop();
}

/// Goal: one connector is stopped, deleted, created again and killed with the worker, all under load, and no record of either
/// is lost or copied twice.
fn one_comes_and_goes_while_the_other_copies(kind: Kind) {
    let mut at = Setting::new(kind, "goes", &["a", "b"]);
    at.create_source("s1", &["a"]);
    at.create_source("s2", &["b"]);
    let done = AtomicBool::new(false);
    let topics = ["a", "b"].map(|name| at.topic(name));
    let east = at.east.bootstrap().to_owned();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let east = KafkaClient::connect(&east).unwrap();
            let mut next = 1_000;
            while !done.load(Ordering::Acquire) && next < 100_000 {
                for topic in &topics {
                    east.produce(topic, &numbered(next..next + 100, 2, 50))
                        .unwrap();
                }
                next += 100;
            }
        });
        at.worker.await_status("s1", "RUNNING", &RUNS);
        at.worker
            .order("PUT", "/connectors/s1/stop", &Value::Null, 204);
        at.worker.await_status("s1", "STOPPED", &[]);
        at.worker
            .order("PUT", "/connectors/s1/resume", &Value::Null, 202);
        at.worker.await_status("s1", "RUNNING", &RUNS);
        at.worker
            .order("DELETE", "/connectors/s1", &Value::Null, 204);
        at.create_source("s1", &["a"]);
        at.worker.await_status("s1", "RUNNING", &RUNS);
        at.worker.await_status("s2", "RUNNING", &RUNS);
        at.kill_and_start();
        at.worker.await_status("s1", "RUNNING", &RUNS);
        done.store(true, Ordering::Release);
    });
    at.await_exact("a");
    at.await_exact("b");
    at.worker.stop();
}

/// Goal: a topic that both ask for is copied once, and the other connector says by whom; it takes it over when that one is
/// stopped, keeps it, also over kill -9, and gives it back when it is deleted: nothing is lost or copied twice.
fn what_both_ask_for_is_copied_once_and_taken_over(kind: Kind) {
    let mut at = Setting::new(kind, "asked", &["a"]);
    at.create_source("s1", &["a"]);
    at.worker.await_status("s1", "RUNNING", &RUNS);
    at.await_exact("a");
    at.create_source("s2", &["a"]);
    at.await_aside("a", "s1", 2);
    at.produce("a", 1_000..1_500);
    at.await_exact("a");
    let metrics = at.worker.ask("GET", "/metrics", &Value::Null).body;
    let series = |line: &&str| {
        line.starts_with("kafka_connect_mirror_")
            && line.contains("record_count{")
            && line.contains(&at.remote("a"))
    };
    let series = metrics.lines().filter(series).count();
    assert!(series <= 2, "{series} series of two partitions");

    at.worker
        .order("PUT", "/connectors/s1/stop", &Value::Null, 204);
    at.await_aside("a", "s1", 0);
    at.produce("a", 1_500..2_000);
    at.await_exact("a");
    at.worker
        .order("PUT", "/connectors/s1/resume", &Value::Null, 202);
    at.await_aside("a", "s2", 2);

    // Whoever is first then: what the other one stored last counts.
    at.kill_and_start();
    at.produce("a", 2_000..2_500);
    at.await_exact("a");
    for (gone, other, ids) in [("s2", "s1", 2_500..3_000), ("s1", "s2", 3_000..3_500)] {
        at.worker
            .order("DELETE", &format!("/connectors/{gone}"), &Value::Null, 204);
        at.await_aside("a", gone, 0);
        at.produce("a", ids);
        at.await_exact("a");
        at.worker.await_status(other, "RUNNING", &RUNS);
        at.create_source(gone, &["a"]);
        at.await_aside("a", other, 2);
    }
    at.worker.stop();
}
