//! Kafka's own clients in Java move to the copy, and read what is kept about it.

use std::collections::BTreeSet;

use scenarios::client::{numbered, unique};
use scenarios::kafka::JavaTools;
use scenarios::{Cluster, Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, stop};

on_every_kind! {
    consumers_read_each_record_once,
    the_mirror_client_translates_offsets,
}

const RECORDS: u64 = 2_000;
const READ_AT_HOME: usize = 700;

/// Goal: a Java consumer reads some records at the source, ends, goes on at the target, and over both each record is read
/// once; by the classic group protocol and by the new one.
fn consumers_read_each_record_once(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("moving");
    east.create_topic(&topic, 3, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic)
        .with("sync.group.offsets.enabled = true")
        .with(&format!("groups = {topic}.*"));
    let copy = flow.remote(&topic);
    east.produce(&topic, &numbered(0..RECORDS, 3, 50)).unwrap();
    let mut product = flow.run();
    for protocol in ["classic", "consumer"] {
        let group = format!("{topic}-{protocol}");
        let at_home = consume(pair.east, &topic, &group, protocol, READ_AT_HOME);
        let stands = || east.committed(&group, &topic).unwrap_or_default();
        await_that("its commit", PATIENCE, || {
            stands().values().sum::<i64>() > 0
        })
        .unwrap();
        let stood = stands();
        await_that(
            &format!("{group} at {stood:?} on the copy"),
            PATIENCE,
            || {
                // A plain topic's first copy has its offsets.
                let moved = west.committed(&group, &copy).unwrap_or_default();
                stood
                    .iter()
                    .all(|(partition, offset)| moved.get(partition) == Some(offset))
            },
        )
        .unwrap();
        let left = usize::try_from(RECORDS).unwrap() - at_home.len();
        let away = consume(pair.west, &copy, &group, protocol, left);
        let both: BTreeSet<u64> = at_home.iter().chain(&away).copied().collect();
        assert_eq!(
            both.len(),
            at_home.len() + away.len(),
            "{protocol}: read twice"
        );
        assert_eq!(both.len() as u64, RECORDS, "{protocol}: missed");
    }
    stop(&mut product);
}

/// The ids that a console consumer prints.
fn consume(
    cluster: &dyn Cluster,
    topic: &str,
    group: &str,
    protocol: &str,
    records: usize,
) -> Vec<u64> {
    let (bootstrap, records) = (cluster.bootstrap(), records.to_string());
    let protocol = format!("group.protocol={protocol}");
    let arguments = [
        "--bootstrap-server",
        &bootstrap,
        "--topic",
        topic,
        "--group",
        group,
        "--from-beginning",
        "--max-messages",
        &records,
        "--timeout-ms",
        "60000",
        "--command-property",
        &protocol,
        "--formatter-property",
        "print.key=true",
        "--formatter-property",
        "print.value=false",
    ];
    let tool = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    let finished = JavaTools::open().unwrap().run(tool, &arguments).unwrap();
    assert_eq!(finished.code, 0, "{}", finished.output);
    let ids = finished
        .output
        .lines()
        .filter_map(|line| line.trim().parse().ok());
    ids.collect()
}

/// Goal: `MirrorClient` and `RemoteClusterUtils` find heartbeats, checkpoints, the remote topic, and the exact offsets.
fn the_mirror_client_translates_offsets(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let east = pair.east.client().unwrap();
    let west = pair.west.client().unwrap();
    let topic = unique("translated");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic)
        .with("heartbeats.replication.enabled = true")
        .with("emit.heartbeats.interval.seconds = 1")
        .with(&format!("groups = {topic}.*"));
    let (copy, source) = (flow.remote(&topic), &flow.source);
    east.produce(&topic, &numbered(0..RECORDS, 2, 50)).unwrap();
    let groups = [format!("{topic}-a"), format!("{topic}-b")];
    east.commit_offsets(&groups[0], &topic, &[(0, 17), (1, 1_000)])
        .unwrap();
    east.commit_offsets(&groups[1], &topic, &[(1, 501)])
        .unwrap();
    let mut product = flow.run();
    let checkpoints = format!("{source}.checkpoints.internal");
    await_that("checkpoints", PATIENCE, || {
        west.end_offsets(&checkpoints)
            .is_ok_and(|ends| ends.first() >= Some(&3))
    })
    .unwrap();
    let heartbeats = format!("{source}.heartbeats");
    await_that("heartbeats", PATIENCE, || {
        west.end_offsets(&heartbeats)
            .is_ok_and(|ends| ends.first() > Some(&0))
    })
    .unwrap();
    let finished = JavaTools::open()
        .unwrap()
        .run_source(
            "Mirror",
            include_str!("java/Mirror.java"),
            &[&pair.west.bootstrap(), source, &groups[0], &groups[1]],
        )
        .unwrap();
    assert_eq!(finished.code, 0, "{}", finished.output);
    let line = |start: &str| -> &str {
        let found = finished.output.lines().find(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("{start} in\n{}", finished.output))
    };
    assert!(line("heartbeats ").contains(&heartbeats));
    assert!(line("checkpoints ").contains(&checkpoints));
    assert!(line("upstream ").contains(source.as_str()));
    assert_eq!(line("hops "), "hops 1");
    assert!(line("remote ").contains(&copy));
    for by in ["client", "utils"] {
        let expected = [
            format!("{by} {} {{{copy}-0=17, {copy}-1=1000}}", groups[0]),
            format!("{by} {} {{{copy}-1=501}}", groups[1]),
        ];
        for (group, expected) in groups.iter().zip(expected) {
            assert_eq!(line(&format!("{by} {group} ")), expected);
        }
    }
    stop(&mut product);
}
