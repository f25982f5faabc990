//! `status` of a process whose clusters are not there, and of none.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::process::{Command, Output};

use scenarios::await_that;
use serde_json::Value;

use crate::program::{PATIENCE, closed_port, command};
use crate::rest::Running;

fn status(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut all: Command = command(&["status"]);
    let Output {
        status,
        stdout,
        stderr,
    } = all.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn nobody_there_is_exit_code_2() {
    let nobody = closed_port();
    let (code, out, error) = status(&[&nobody]);
    assert_eq!((code, &*out), (Some(2), ""));
    assert!(
        error.contains(&format!("cannot ask http://{nobody}")),
        "{error}"
    );
    assert!(!error.contains("panicked"), "{error}");
    let (code, ..) = status(&["https://localhost:1"]);
    assert_eq!(code, Some(2));
    let (code, ..) = status(&[&nobody, "--watch", "0"]);
    assert_eq!(code, Some(2));
}

#[test]
fn help_has_examples_and_exit_codes() {
    let (code, out, _) = status(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("Examples:") && out.contains("Exit codes"),
        "{out}"
    );
}

/// Goal: a flow that waits for its clusters is shown with its reason, as lines and as JSON, once and again and again; it is well.
#[test]
fn a_flow_that_waits_is_shown_with_its_reason() {
    let running = Running::start("");
    let address = running.address.clone();
    let mut seen = String::new();
    await_that("the reason", PATIENCE, || {
        let (code, out, error) = status(&[&address]);
        assert_eq!((code, &*error), (Some(0), ""));
        seen = out;
        seen.contains("is unreachable")
    })
    .unwrap();
    assert!(seen.starts_with("a->b  0 partitions: none\n"), "{seen}");
    let (code, out, _) = status(&[&address, "--json"]);
    let one: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &one["ok"]), (Some(0), &Value::Bool(true)));
    let flows = one["flows"].as_array().unwrap();
    assert!(flows.iter().any(|flow| flow["flow"] == "a->b"), "{out}");

    // Two looks, one line each; it ends when nobody reads any more.
    let mut watching = command(&["status", &address, "--json", "--watch", "1"]);
    let mut child = watching
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    for line in lines.take(2) {
        let look: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!(look["ok"], true);
    }
    await_that("its end", PATIENCE, || child.try_wait().unwrap().is_some()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));

    running.stop();
}
