//! `status` of a process whose clusters are not there, and of none.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::process::{Command, Output};

use scenarios::await_that;
use serde_json::Value;

use crate::program::{PATIENCE, closed_port, command};
use crate::rest::Running;
use crate::rest_security::{STORES, Served};

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

/// Goal: a process with TLS and passwords is asked if both are right, else the reason is said; no password is.
#[test]
fn tls_and_passwords_are_spoken() {
    let served = Served::start(
        "listeners = https://localhost:0\nlisteners.https.ssl.keystore.location = {stores}/server.pem\n\
         rest.basic.auth.file = {folder}/users\n",
        &[],
    );
    let port = served.addresses[0].rsplit(':').next().unwrap();
    let https = format!("https://localhost:{port}");
    let with_user = format!("https://alice:canary-wonder@localhost:{port}");
    let http = format!("http://alice:canary-wonder@localhost:{port}");
    let (ca, other) = (format!("{STORES}/ca.pem"), format!("{STORES}/expired.pem"));
    let alice = "alice:canary-wonder";
    for (arguments, expected) in [
        (vec![&*with_user, "--ca", &ca], Ok(())),
        (vec![&https, "--ca", &ca, "--user", alice], Ok(())),
        (vec![&https, "--ca", &ca], Err("--user USER:PASSWORD")),
        (
            vec![&https, "--ca", &ca, "--user", "alice:canary-x"],
            Err("--user USER:PASSWORD"),
        ),
        (vec![&with_user, "--ca", &other], Err("--ca FILE")),
        (
            vec![&with_user, "--ca", "/nowhere"],
            Err("cannot read /nowhere"),
        ),
        (vec![&http], Err("not")),
        (vec![&http, "--ca", &ca], Err("write https://")),
        (
            vec!["http://alice:canary-wonder@localhost:x"],
            Err("write http://HOST:PORT"),
        ),
        (vec![&with_user, "--user", alice], Err("one of both")),
    ] {
        let (code, out, error) = status(&arguments);
        assert!(!format!("{out}{error}").contains("canary"), "{out}{error}");
        match expected {
            Ok(()) => assert_eq!((code, &*error), (Some(0), ""), "{arguments:?}"),
            Err(said) => {
                assert_eq!(code, Some(2), "{arguments:?}: {error}");
                assert!(error.contains(said), "{arguments:?}: {error}");
            }
        }
    }
    let mut of_system = command(&["status", &with_user]);
    let known = of_system.env("SSL_CERT_FILE", &ca).output().unwrap();
    assert!(known.status.success(), "{known:?}");
    served.stop();
}
