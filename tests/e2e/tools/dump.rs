//! `crosscurrent dump` beside Kafka's own formatters.

use std::time::Duration;

use scenarios::client::{TestRecord, numbered, unique};
use scenarios::kafka::JavaTools;
use scenarios::{Kind, await_that, on_every_kind};
use serde_json::json;

use super::{File, crosscurrent};
use crate::flows::{Flow, PATIENCE, await_exact, stop};

on_every_kind! {
    lines_are_those_of_kafkas_formatters,
    a_flows_own_topics_are_printed,
    faults_name_topic_and_offset,
}

const FORMATTERS: &str = "org.apache.kafka.connect.mirror.formatters";

/// Kafka's STRING: INT16 length, UTF-8.
fn string(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap();
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

fn record(key: Vec<u8>, value: Option<Vec<u8>>) -> TestRecord {
    TestRecord {
        key: Some(key),
        value,
        timestamp_ms: 1_700_000_000_000,
        ..TestRecord::default()
    }
}

fn numbers(numbers: &[i64]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect()
}

/// Two heartbeats, checkpoints or offset syncs each, by docs/spec/mm2.md 3.2 to 3.4.
fn records() -> [(&'static str, &'static str, Vec<TestRecord>); 3] {
    let beat = |time: i64| {
        record(
            [string("A"), string("Bü")].concat(),
            Some([vec![0, 0], numbers(&[time])].concat()),
        )
    };
    let checkpoint = |group: &str, metadata: &str| {
        let key = [string(group), string("A.t"), vec![0, 0, 0, 3]].concat();
        record(
            key,
            Some([vec![0, 0], numbers(&[100, 51]), string(metadata)].concat()),
        )
    };
    let sync = |up, down| {
        record(
            [string("t"), vec![0, 0, 0, 2]].concat(),
            Some(numbers(&[up, down])),
        )
    };
    [
        (
            "heartbeats",
            "HeartbeatFormatter",
            vec![beat(1_700_000_000_000), beat(-1)],
        ),
        (
            "checkpoints.internal",
            "CheckpointFormatter",
            vec![checkpoint("g", ""), checkpoint("ß, {x}", "meta, data")],
        ),
        (
            "offset-syncs",
            "OffsetSyncFormatter",
            vec![sync(100, 50), sync(-1, i64::MAX)],
        ),
    ]
}

/// Goal: the same bytes as `kafka-console-consumer.sh --formatter ...`.
fn lines_are_those_of_kafkas_formatters(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.west.client().unwrap();
    let server = pair.west.bootstrap();
    let java = JavaTools::open().unwrap();
    for (name, class, records) in records() {
        let (topic, class) = (unique(name), format!("{FORMATTERS}.{class}"));
        client.create_topic(&topic, 1, 1, &[]).unwrap();
        client.produce(&topic, &records).unwrap();
        let arguments = [
            "--bootstrap-server",
            &server,
            "--topic",
            &topic,
            "--formatter",
            &class,
            "--from-beginning",
            "--max-messages",
            "2",
            "--timeout-ms",
            "20000",
        ];
        let theirs = java.run(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            &arguments,
        );
        let theirs = theirs.unwrap().output;
        let theirs: Vec<_> = theirs.lines().filter(|line| line.contains('{')).collect();
        assert_eq!(theirs.len(), 2, "{theirs:?}");
        // Kafka's class names choose a formatter here, too.
        let arguments = [
            "dump",
            &topic,
            "--bootstrap-server",
            &server,
            "--formatter",
            &class,
        ];
        let ours = crosscurrent(&arguments).ended_with(0);
        // Java writes what is not ASCII as the machine's settings have it.
        let ascii = |line: &str| line.replace(|letter: char| !letter.is_ascii(), "?");
        let mine: Vec<_> = ours.output.lines().map(ascii).collect();
        let theirs: Vec<_> = theirs
            .into_iter()
            .map(ascii)
            .map(|line| line.replace("??", "?"))
            .collect();
        assert_eq!(mine, theirs, "{topic}");
    }
}

/// Goal: what the product itself wrote is printed, by the names of its topics: positions, heartbeats, maps.
fn a_flows_own_topics_are_printed(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("dumped");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    let flow = Flow::new("dump", pair.east, pair.west, &topic);
    let mut product = flow.run();
    await_exact(&west, &flow.remote(&topic), 0..100);
    stop(&mut product);
    let file = File::of(&flow);
    let dump = |topic: &str, more: &[&str]| {
        let path = file.path();
        let arguments = ["dump", topic, "--file", &path, "--cluster", &flow.target];
        let arguments: Vec<_> = arguments.iter().chain(more).copied().collect();
        crosscurrent(&arguments).ended_with(0)
    };
    let positions = flow.positions_topic();
    let (key, value) = (
        format!(
            r#"["MirrorSourceConnector",{{"cluster":"dump-east","partition":0,"topic":"{topic}"}}]"#
        ),
        r#"{"offset":99}"#,
    );
    let line = format!("{key}\t{value}");
    let printed = dump(&positions, &[]).output;
    assert!(
        printed.lines().any(|one| one == line),
        "no {line} in {printed}"
    );
    let printed = dump(&positions, &["--json"]).json();
    let last = printed
        .iter()
        .rfind(|one| one["record"]["key"][1]["topic"] == topic.as_str())
        .unwrap();
    assert_eq!(last["record"]["value"], json!({"offset": 99}), "{last}");
    assert_eq!(last["topic"], positions.as_str());
    assert!(
        last["timestamp"].as_i64().unwrap() > 1_600_000_000_000,
        "{last}"
    );

    let maps = dump(
        &format!("mm2-offset-map.{}.internal", flow.source),
        &["--json"],
    )
    .json();
    let head = |one: &&serde_json::Value| {
        one["record"]["kind"] == "head" && one["record"]["topic"] == topic.as_str()
    };
    let head = maps.iter().rfind(head).unwrap();
    assert_eq!(head["record"]["upstreamEnd"], 100, "{head}");
    assert!(
        maps.iter().any(|one| one["record"]["kind"] == "block"),
        "{maps:?}"
    );
    let lines = dump(&format!("mm2-offset-map.{}.internal", flow.source), &[]).output;
    let start = format!("OffsetMapHead{{topicPartition={topic}-0, topicId=");
    assert!(
        lines.lines().any(|line| line.starts_with(&start)),
        "{lines}"
    );
}

/// Goal: an operator sees where a record that cannot be decoded is; what is in front of it is printed; `--follow` goes on.
fn faults_name_topic_and_offset(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let client = pair.west.client().unwrap();
    let server = pair.west.bootstrap();
    let topic = unique("checkpoints.internal");
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let [_, (_, _, good), _] = records();
    client.produce(&topic, &good[..1]).unwrap();
    client
        .produce(&topic, &[record(good[0].key.clone().unwrap(), None)])
        .unwrap();
    client.produce(&topic, &good[1..]).unwrap();
    let dump = |more: &[&str]| {
        let arguments = [
            "dump",
            &topic,
            "--bootstrap-server",
            &server,
            "--formatter",
            "checkpoints",
        ];
        crosscurrent(&arguments.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let ran = dump(&[]).ended_with(1);
    assert_eq!(ran.output.lines().count(), 1, "{}", ran.output);
    assert!(
        ran.errors.contains(&format!("{topic}-0, offset 1")),
        "{}",
        ran.errors
    );
    assert!(ran.errors.contains("tombstone"), "{}", ran.errors);
    let ran = dump(&["--skip-message-on-error"]).ended_with(0);
    assert_eq!(ran.output.lines().count(), 2, "{}", ran.output);
    assert!(ran.errors.contains("offset=1"), "{}", ran.errors);

    let ran = crosscurrent(&[
        "dump",
        "heartbeats-gone-heartbeats",
        "--bootstrap-server",
        &server,
    ])
    .ended_with(1);
    assert!(
        ran.errors
            .contains("has no topic heartbeats-gone-heartbeats"),
        "{}",
        ran.errors
    );
    crosscurrent(&["dump", "orders", "--bootstrap-server", &server]).ended_with(2);

    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_crosscurrent"));
    command.args([
        "dump",
        &topic,
        "--bootstrap-server",
        &server,
        "--formatter",
        "checkpoints",
    ]);
    command.args(["--follow", "--skip-message-on-error"]);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut process = scenarios::process::Process::spawn("dump", command, &log).unwrap();
    let printed = || {
        std::fs::read_to_string(&log)
            .unwrap()
            .matches("Checkpoint{")
            .count()
    };
    await_that("what is there", PATIENCE, || printed() == 2).unwrap();
    client.produce(&topic, &good).unwrap();
    await_that("what was written then", PATIENCE, || printed() == 4).unwrap();
    process.check_running().unwrap();
    process.kill().unwrap();
    drop(process.wait(Duration::from_secs(10)));
}
