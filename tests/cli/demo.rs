//! `crosscurrent demo` and `crosscurrent embedded`, as a user and as their clients see them.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::Signal;
use scenarios::client::{Isolation, numbered, tally};
use scenarios::process::Process;
use scenarios::{KafkaClient, await_that};
use serde_json::Value;

use crate::program::{Folder, PATIENCE, command};

/// The demo with a small load, and without log lines between the lines that are looked at.
fn demo(arguments: &[&str]) -> Command {
    let mut command = command(&["demo", "--rate", "1000"]);
    command.args(arguments).env("RUST_LOG", "off");
    command
}

/// Waits until the program has written a line with this in it.
fn await_line(folder: &Folder, process: &mut Process, text: &str) -> String {
    let find = || {
        let output = folder.output();
        let mut whole = output
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        whole
            .find(|line| line.contains(text))
            .map(ToOwned::to_owned)
    };
    let seen = await_that(text, PATIENCE, || {
        process.check_running().unwrap();
        find().is_some()
    });
    assert!(seen.is_ok(), "no {text:?} in {}", folder.output());
    find().unwrap()
}

/// Goal: the demo proves what it claims, and says so to programs.
#[test]
fn a_short_demo_proves_exactly_once_in_json() {
    let folder = Folder::with("");
    let (code, output) = folder.run(demo(&["--seconds", "2", "--partitions", "3", "--json"]));
    assert_eq!(code, 0, "{output}");
    let objects: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let of_type = |wanted: &str| objects.iter().filter(|one| one["type"] == wanted).count();
    assert_eq!((of_type("start"), of_type("summary")), (1, 1), "{output}");
    assert!(of_type("progress") >= 2, "{output}");

    let start = objects.first().unwrap();
    assert!(
        start["config"]
            .as_str()
            .unwrap()
            .contains("east->west.enabled = true"),
        "{start}"
    );
    assert!(
        start["clusters"][1]["bootstrap"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:"),
        "{start}"
    );
    let summary = objects.last().unwrap();
    assert_eq!(summary["proved"], true, "{summary}");
    let findings = summary["findings"].as_array().unwrap();
    let topics: Vec<&str> = findings
        .iter()
        .map(|one| one["topic"].as_str().unwrap())
        .collect();
    assert_eq!(
        topics,
        [
            "orders on east",
            "west.orders on east",
            "orders on west",
            "east.orders on west"
        ]
    );
    for finding in findings {
        let written = finding["written"].as_u64().unwrap();
        // Two seconds at 1,000 a second, on however busy a machine.
        assert!((100..=2_200).contains(&written), "{finding}");
        assert_eq!(
            (&finding["read"], &finding["stored"]),
            (&finding["written"], &finding["written"])
        );
        for fault in ["lost", "doubled", "out_of_order", "foreign"] {
            assert_eq!(finding[fault], 0, "{finding}");
        }
    }
    for flow in summary["flows"].as_array().unwrap() {
        let latency = &flow["latency_ms"];
        let [p50, p99, max] = ["p50", "p99", "max"].map(|name| latency[name].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{flow}");
        assert!(
            flow["first_crossing_seconds"].as_f64().unwrap() > 0.0,
            "{flow}"
        );
        assert_eq!(flow["lag_records"], 0, "{flow}");
    }
}

#[test]
fn lines_for_people_tell_where_what_and_that_it_is_proved() {
    let folder = Folder::with("");
    let (code, output) = folder.run(demo(&["--seconds", "2", "--no-tty", "--show-config"]));
    assert_eq!(code, 0, "{output}");
    for needed in [
        "clusters = east, west",
        "east 127.0.0.1:",
        "MB/s lag ",
        "east->west",
        "west->east",
        "first record crossed after",
        "east.orders on west: ",
        "0 lost, 0 doubled, 0 out of order, 0 foreign",
        "proved: each side holds every record of the other exactly once",
    ] {
        assert!(output.contains(needed), "no {needed:?} in {output}");
    }
}

/// Goal: a user who has seen enough gets the proof, and the positions are stored.
#[test]
fn a_signal_ends_the_writing_and_the_proof_follows() {
    let folder = Folder::with("");
    let mut process = folder.spawn(demo(&["--seconds", "0", "--no-tty"]));
    await_line(&folder, &mut process, "until Ctrl-C");
    process.signal(Signal::SIGINT).unwrap();
    let status = process.wait(PATIENCE).unwrap();
    let output = folder.output();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.contains("proved: each side"), "{output}");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = Folder::with("");
    for arguments in [
        vec![
            "embedded".to_owned(),
            "--cluster".to_owned(),
            format!("east:{port}"),
        ],
        vec!["demo".to_owned(), "--ports".to_owned(), format!("0,{port}")],
    ] {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let (code, output) = folder.run(command(&arguments));
        assert_eq!(code, 1, "{output}");
        assert!(
            output.contains(&format!("127.0.0.1:{port}")) && output.contains("in use"),
            "{output}"
        );
    }
}

/// Goal: the address that is printed serves any Kafka client until the end.
#[test]
fn clients_use_an_embedded_cluster_until_it_is_stopped() {
    let folder = Folder::with("");
    let mut process = folder.spawn(command(&[
        "embedded",
        "--cluster",
        "dev:0",
        "--cluster",
        "other:0",
        "--topics",
        "orders:3,payments",
        "--json",
    ]));
    let line = await_line(&folder, &mut process, "\"dev\"");
    let place: Value = serde_json::from_str(&line).expect(&line);
    await_line(&folder, &mut process, "\"other\"");
    let client = KafkaClient::connect(place["bootstrap"].as_str().unwrap()).unwrap();
    assert_eq!(client.leaders("orders").unwrap(), [1, 1, 1]);
    assert_eq!(client.leaders("payments").unwrap(), [1]);
    client.produce("orders", &numbered(0..100, 3, 50)).unwrap();
    let contents = client
        .read_all("orders", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    assert!(tally(&contents, 0..100).is_exact());
    process.signal(Signal::SIGTERM).unwrap();
    assert_eq!(process.wait(PATIENCE).unwrap().code(), Some(0));
}

#[test]
fn bad_arguments_say_what_to_write() {
    for (arguments, what) in [
        (&["demo", "--rate", "0"][..], "--rate"),
        (&["demo", "--ports", "9092"], "9092,9192"),
        (&["demo", "--record-bytes", "1"], "write a number from 64"),
        (&["demo", "--partitions", "1000"], "--partitions"),
        (&["embedded"], "--cluster"),
        (&["embedded", "--cluster", "east"], "east:9092"),
        (
            &["embedded", "--cluster", "east:1", "--brokers", "9"],
            "--brokers",
        ),
        (
            &["embedded", "--cluster", "east:1", "--topics", "orders:0"],
            "orders:3",
        ),
        (
            &["embedded", "--cluster", "east:1", "--property", "x"],
            "KEY=VALUE",
        ),
    ] {
        let (code, output) = Folder::with("").run(command(arguments));
        assert_eq!(code, 2, "{arguments:?}: {output}");
        assert!(output.contains(what), "{arguments:?}: {output}");
    }
}

#[test]
fn help_has_examples_and_exit_codes() {
    for name in ["demo", "embedded"] {
        let (code, output) = Folder::with("").run(command(&[name, "--help"]));
        assert_eq!(code, 0, "{output}");
        assert!(
            output.contains("Examples:") && output.contains("Exit codes:"),
            "{output}"
        );
    }
}
