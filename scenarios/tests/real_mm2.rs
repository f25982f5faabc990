//! Real MirrorMaker 2 between two embedded clusters, and a Connect worker on one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use embedded::{EmbeddedCluster, Operation, ResourcePattern, Settings};
use scenarios::client::{Isolation, KafkaClient, OddRecords, TestRecord, numbered};
use scenarios::kafka::JavaTools;
use scenarios::process::Process;
use scenarios::{await_ok, await_that, server_properties};

/// MM2 needs some ten seconds for its first record, more on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// What both directions have in common: everything once a second.
const COMMON: &str = "replication.factor = 1
checkpoints.topic.replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
refresh.topics.interval.seconds = 1
refresh.groups.interval.seconds = 1
sync.topic.configs.interval.seconds = 1
sync.topic.acls.interval.seconds = 1
emit.heartbeats.interval.seconds = 1
emit.checkpoints.interval.seconds = 1
sync.group.offsets.enabled = true
sync.group.offsets.interval.seconds = 1
offset.flush.interval.ms = 1000
offset.lag.max = 0
tasks.max = 2
";

/// Everybody is a super user, so that ACLs are there to be synced and refuse nothing.
fn start() -> EmbeddedCluster {
    let properties = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
    ];
    EmbeddedCluster::start_with(Settings {
        properties: server_properties(1, &properties),
        ..Settings::default()
    })
    .unwrap()
}

fn mirror_maker(east: &EmbeddedCluster, west: &EmbeddedCluster, extra: &str) -> Process {
    let java = JavaTools::open().unwrap();
    let text = format!(
        "clusters = east, west\neast.bootstrap.servers = {}\nwest.bootstrap.servers = {}\neast->west.enabled = true\n\
         west->east.enabled = true\n{COMMON}{extra}",
        east.bootstrap(),
        west.bootstrap()
    );
    let file = java.file("mm2.properties", &text).unwrap();
    java.start("org.apache.kafka.connect.mirror.MirrorMaker", &[&file])
        .unwrap()
}

/// Waits until the copy has as many records as the topic has, then compares record by record.
fn await_copy(
    source: &KafkaClient,
    topic: &str,
    target: &KafkaClient,
    copy: &str,
    mm2: &mut Process,
) {
    let equal = await_ok(&format!("{topic} -> {copy}"), PATIENCE, || {
        mm2.check_running()
            .map_err(|error| format!("{error:?}"))
            .unwrap();
        let checked = source.check_copy(topic, target, copy, Isolation::ReadCommitted, PATIENCE);
        checked.map_err(|error| format!("{error:?}"))
    });
    assert!(
        equal.is_ok(),
        "{equal:?}
{}",
        mm2.log_tail()
    );
}

#[test]
fn mirror_maker_replicates_both_ways() {
    let clusters = [start(), start()];
    let [east, west] = &clusters;
    let clients = clusters
        .each_ref()
        .map(|cluster| KafkaClient::connect(&cluster.bootstrap()).unwrap());
    let [e, w] = &clients;
    let odd: Vec<TestRecord> = OddRecords::new(3).take(500).collect();
    e.create_topic(
        "orders",
        3,
        1,
        &[("retention.ms", "123456789"), ("cleanup.policy", "compact")],
    )
    .unwrap();
    w.create_topic("orders", 2, 1, &[("max.message.bytes", "2000000")])
        .unwrap();
    e.create_topic("odd", 3, 1, &[]).unwrap();
    e.produce("orders", &numbered(0..3_000, 3, 200)).unwrap();
    w.produce("orders", &numbered(0..1_000, 2, 100)).unwrap();
    e.produce("odd", &odd).unwrap();
    e.commit_offsets("readers", "orders", &[(0, 500), (1, 1_000)])
        .unwrap();
    east.allow(
        "User:alice",
        Operation::Read,
        ResourcePattern::topic("orders"),
    );
    let mut mm2 = mirror_maker(east, west, "");

    await_copy(e, "orders", w, "east.orders", &mut mm2);
    await_copy(w, "orders", e, "west.orders", &mut mm2);
    await_copy(e, "odd", w, "east.odd", &mut mm2);
    // While it runs: more records, partitions, a topic, a transaction.
    e.produce("orders", &numbered(3_000..4_000, 3, 200))
        .unwrap();
    e.create_topic("late", 1, 1, &[]).unwrap();
    let writer = e.transactional("writer").unwrap();
    for commit in [true, false, true] {
        writer.begin().unwrap();
        writer.produce("late", &numbered(0..10, 1, 50)).unwrap();
        if commit {
            writer.commit().unwrap()
        } else {
            writer.abort().unwrap()
        }
    }
    await_copy(e, "orders", w, "east.orders", &mut mm2);
    await_that("late topic", PATIENCE, || {
        w.end_offsets("east.late").is_ok_and(|ends| ends == [30])
    })
    .unwrap();

    let await_text =
        |what: &str, check: &mut dyn FnMut() -> bool| await_that(what, PATIENCE, check).unwrap();
    // Translation is exact at the end only: before it, MM2 knows some offsets and takes the next lower one.
    let ends: BTreeMap<i32, i64> = (0..).zip(e.end_offsets("orders").unwrap()).collect();
    let committed: Vec<(i32, i64)> = ends.clone().into_iter().collect();
    e.commit_offsets("readers", "orders", &committed).unwrap();
    await_text("group offsets", &mut || {
        w.committed("readers", "east.orders")
            .is_ok_and(|synced| synced == ends)
    });
    await_text("topic configs", &mut || {
        let config = w.topic_config("east.orders").unwrap();
        let orders = config.get("retention.ms").zip(config.get("cleanup.policy"));
        let other = e.topic_config("west.orders").unwrap();
        orders.is_some_and(|(ms, policy)| ms == "123456789" && policy == "compact")
            && other
                .get("max.message.bytes")
                .is_some_and(|bytes| bytes == "2000000")
    });
    await_text("internal topics", &mut || {
        let filled = |client: &KafkaClient, topic: &str| {
            client
                .end_offsets(topic)
                .is_ok_and(|ends| ends.iter().sum::<i64>() > 0)
        };
        filled(w, "heartbeats")
            && filled(w, "east.heartbeats")
            && filled(w, "east.checkpoints.internal")
            && filled(e, "mm2-offset-syncs.west.internal")
            && filled(e, "west.heartbeats")
    });
    await_text("acls", &mut || acls(west).contains("east.orders"));
    // Nothing came home, and an orderly end is one.
    let named = |client: &KafkaClient| client.topics().unwrap();
    assert!(
        !named(e)
            .iter()
            .chain(&named(w))
            .any(|topic| topic.contains("east.west.") || topic.contains("west.east."))
    );
    mm2.terminate(PATIENCE).unwrap();
}

/// The ACLs as `kafka-acls` lists them.
fn acls(cluster: &EmbeddedCluster) -> String {
    let java = JavaTools::open().unwrap();
    let arguments = ["--bootstrap-server", &cluster.bootstrap(), "--list"];
    java.run("org.apache.kafka.tools.AclCommand", &arguments)
        .unwrap()
        .output
}

#[test]
fn exactly_once_copies_survive_a_kill() {
    let (east, west) = (start(), start());
    let (e, w) = (
        KafkaClient::connect(&east.bootstrap()).unwrap(),
        KafkaClient::connect(&west.bootstrap()).unwrap(),
    );
    e.create_topic("orders", 2, 1, &[]).unwrap();
    e.produce("orders", &numbered(0..2_000, 2, 100)).unwrap();
    let exactly_once = "east.exactly.once.source.support = enabled\nwest.exactly.once.source.support = enabled\ndedicated.mode.enable.internal.rest = true\nlisteners = http://127.0.0.1:0\n\
        east.scheduled.rebalance.max.delay.ms = 0\nwest.scheduled.rebalance.max.delay.ms = 0\n";
    let mut mm2 = mirror_maker(&east, &west, exactly_once);
    await_that("first records", PATIENCE, || {
        w.end_offsets("east.orders")
            .is_ok_and(|ends| ends.iter().sum::<i64>() > 0)
    })
    .unwrap();
    e.produce("orders", &numbered(2_000..4_000, 2, 100))
        .unwrap();
    mm2.kill().unwrap();
    e.produce("orders", &numbered(4_000..5_000, 2, 100))
        .unwrap();
    let mut mm2 = mirror_maker(&east, &west, exactly_once);
    await_copy(&e, "orders", &w, "east.orders", &mut mm2);
    mm2.terminate(PATIENCE).unwrap();
}
