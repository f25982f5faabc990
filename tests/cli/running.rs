//! Clusters that cannot be reached are no reason to end: they are tried again for ever, and said to be unreachable.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::process::Stdio;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::await_that;
use scenarios::process::Process;

use crate::program::{Folder, NoBroker, PATIENCE, STOP_PATIENCE, closed_port, command, one_flow};

fn await_text(folder: &Folder, process: &mut Process, text: &str) {
    let seen = await_that(text, PATIENCE, || {
        process.check_running().unwrap();
        folder.output().contains(text)
    });
    assert!(seen.is_ok(), "no {text:?} in {}", folder.output());
}

/// One signal ends it in time and cleanly: nothing was on its way.
fn stop(process: &mut Process, signal: Signal) {
    process.signal(signal).unwrap();
    let status = process.wait(STOP_PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{}", process.log_tail());
}

#[test]
fn closed_ports_are_named_and_waited_for() {
    let (source, target) = (closed_port(), closed_port());
    let folder = Folder::with(one_flow(
        &source,
        &target,
        "replication.facter = 1\ntasks.max = 2\n",
    ));
    let mut process = folder.spawn(command(&["run", &folder.file()]));
    let reason =
        format!("cluster b is unreachable: cannot connect to broker {target}: connection refused");
    await_text(&folder, &mut process, &reason);
    stop(&mut process, Signal::SIGTERM);
    let output = folder.output();
    let of_key = |key: &str| output.lines().filter(|line| line.contains(key)).count();
    assert_eq!(
        (
            of_key("replication.facter (line 5)"),
            of_key("tasks.max (line 6)")
        ),
        (1, 1),
        "{output}"
    );
    assert!(output.contains("stopped flow=a->b clean=true"), "{output}");
}

/// Goal: many attempts, few lines.
#[test]
fn attempts_go_on_but_are_not_logged_one_by_one() {
    let broker = NoBroker::slamming();
    let folder = Folder::with(one_flow(&broker.address, &broker.address, ""));
    let mut process = folder.spawn(command(&["run", &folder.file()]));
    await_that("attempts", PATIENCE, || broker.accepted() >= 12).unwrap();
    process.check_running().unwrap();
    stop(&mut process, Signal::SIGINT);
    let output = folder.output();
    // The flow a->b, its heartbeats, and the heartbeats of b->a: once each.
    assert_eq!(
        output
            .lines()
            .filter(|line| line.contains("is unreachable"))
            .count(),
        3,
        "{output}"
    );
}

#[test]
fn a_broker_that_never_answers_does_not_hold_up_the_end() {
    let broker = NoBroker::silent();
    let folder = Folder::with(one_flow(&broker.address, &broker.address, ""));
    let mut process = folder.spawn(command(&["run", &folder.file()]));
    await_that("a connection", PATIENCE, || broker.accepted() >= 1).unwrap();
    stop(&mut process, Signal::SIGTERM);
}

/// `--clusters` leaves the flows into other targets alone.
#[test]
fn only_flows_into_the_given_targets_run() {
    let (a, b) = (NoBroker::slamming(), NoBroker::slamming());
    let folder = Folder::with(one_flow(&a.address, &b.address, "b->a.enabled = true\n"));
    let mut process = folder.spawn(command(&["run", &folder.file(), "--clusters", "a"]));
    await_text(&folder, &mut process, "cluster a is unreachable");
    stop(&mut process, Signal::SIGTERM);
    let output = folder.output();
    assert!(
        output.contains("flow=b->a") && !output.contains("flow=a->b"),
        "{output}"
    );
}

#[test]
fn json_logs_are_one_object_a_line() {
    let (source, target) = (closed_port(), closed_port());
    let folder = Folder::with(one_flow(&source, &target, "replication.facter = 1\n"));
    let mut process = folder.spawn(command(&["--log-format", "json", "run", &folder.file()]));
    await_text(&folder, &mut process, "is unreachable");
    stop(&mut process, Signal::SIGTERM);
    for line in folder.output().lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect(line);
        for member in ["timestamp", "level", "message", "target"] {
            assert!(object[member].is_string(), "no {member} in {line}");
        }
    }
}

#[test]
fn a_rust_log_that_cannot_be_used_is_said() {
    let closed = closed_port();
    let folder = Folder::with(one_flow(&closed, &closed, ""));
    let mut odd = command(&["run", &folder.file()]);
    odd.env("RUST_LOG", "verbose");
    let mut process = folder.spawn(odd);
    await_text(&folder, &mut process, "RUST_LOG is ignored");
    await_text(&folder, &mut process, "is unreachable");
    assert!(
        folder.output().contains("`verbose` is no level"),
        "{}",
        folder.output()
    );
    stop(&mut process, Signal::SIGTERM);
}

/// Goal: no log line at any level shows a secret of the file.
#[test]
fn secrets_are_in_no_log_line() {
    let closed = closed_port();
    let secrets = "sasl.jaas.config = x required password=\"hunter2\";\nssl.truststore.password = hunter2\n\
                   b.producer.ssl.key.password = hunter2\nmy.api.key = hunter2\na->b.password = hunter2\n";
    let folder = Folder::with(one_flow(&closed, &closed, secrets));
    let mut loud = command(&["run", &folder.file()]);
    loud.env("RUST_LOG", "trace");
    let mut process = folder.spawn(loud);
    await_text(&folder, &mut process, "is unreachable");
    stop(&mut process, Signal::SIGTERM);
    let output = folder.output();
    assert!(output.contains("key=my.api.key"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

/// Goal: nor when they are used. Method: a broker that closes each connection, reached with TLS and a password.
#[test]
fn secrets_in_use_are_in_no_log_line() {
    let broker = NoBroker::slamming();
    let stores = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/stores");
    let secrets = format!(
        "security.protocol = SASL_SSL\nsasl.mechanism = SCRAM-SHA-512\n\
         sasl.jaas.config = x.ScramLoginModule required username=\"u\" password=\"hunter2\";\n\
         ssl.truststore.location = {stores}/trust.p12\nssl.truststore.password = canary-store\n\
         b.ssl.keystore.location = {stores}/java.jks\nb.ssl.keystore.password = canary-store\n\
         b.ssl.key.password = canary-key\n"
    );
    let folder = Folder::with(one_flow(&broker.address, &broker.address, &secrets));
    let mut loud = command(&["run", &folder.file()]);
    loud.env("RUST_LOG", "trace");
    let mut process = folder.spawn(loud);
    await_text(&folder, &mut process, "during the TLS handshake");
    stop(&mut process, Signal::SIGTERM);
    let output = folder.output();
    assert!(
        !output.contains("hunter2") && !output.contains("canary"),
        "{output}"
    );
}

/// Goal: when nobody reads standard error any more, the process goes on and ends in order.
#[test]
fn a_closed_standard_error_is_survived() {
    let broker = NoBroker::slamming();
    let folder = Folder::with(one_flow(&broker.address, &broker.address, ""));
    let mut loud = command(&["run", &folder.file()]);
    let mut child = loud
        .env("RUST_LOG", "trace")
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let before = broker.accepted();
    let went_on = await_that("more attempts", PATIENCE, || {
        broker.accepted() >= before + 8
    });
    let started = Instant::now();
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let ended = await_that("its end", PATIENCE, || child.try_wait().unwrap().is_some());
    drop(child.kill()); // only has an effect if the wait was in vain
    went_on.unwrap();
    ended.unwrap();
    assert!(started.elapsed() < STOP_PATIENCE);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
