//! `run --rest-writable`: what may be changed, what may not, and what is kept.

use serde_json::{Value, json};

use crate::http::{Answer, ask};
use crate::program::{Folder, command, one_flow};
use crate::rest::Running;

const SOURCE: &str = "/connectors/a-%3Eb.MirrorSourceConnector";

fn config(running: &Running, method: &str, body: &Value) -> Answer {
    let path = format!("{SOURCE}/config");
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    ask(&running.address, method, &path, &body)
}

/// Goal: a configuration that was read can be changed and sent back; it is shown, secrets stay what they are, and which
/// connectors there are stays the file's matter.
#[test]
fn a_configuration_is_changed_and_shown() {
    let running = Running::start_with("a->b.password = hunter2\n", &["--rest-writable"]);
    let mut whole = config(&running, "GET", &Value::Null).json();
    assert_eq!(whole["password"], "[hidden]");
    whole["topics"] = json!("payments");
    let answer = config(&running, "PUT", &whole);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["config"], whole);
    let answer = config(
        &running,
        "PATCH",
        &json!({"topics.exclude": "x.*", "password": null}),
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let now = config(&running, "GET", &Value::Null).json();
    assert_eq!(
        (&now["topics"], &now["topics.exclude"]),
        (&json!("payments"), &json!("x.*"))
    );
    assert_eq!(now["password"], Value::Null);
    for (method, path, body) in [
        ("POST", "/connectors", r#"{"name":"x","config":{}}"#),
        ("DELETE", SOURCE, ""),
    ] {
        let answer = ask(&running.address, method, path, body);
        assert_eq!(answer.status, 409, "{method} {path}");
        assert!(
            answer.body.contains("which connectors there are"),
            "{answer:?}"
        );
    }
    let output = running.stop();
    assert!(output.contains("until this process ends"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

/// Goal: what is wrong is refused with its key, and the configuration stays as it was.
#[test]
fn what_is_wrong_changes_nothing() {
    let running = Running::start_with("", &["--rest-writable"]);
    let before = config(&running, "GET", &Value::Null).json();
    for (key, value, said) in [
        ("topics", json!("a["), "topics"),
        ("offset.lag.max", json!("many"), "offset.lag.max"),
        ("transforms", json!("r"), "transforms"),
        ("tasks.max", json!("0"), "tasks.max"),
        ("target.cluster.alias", json!("c"), "stays with b"),
        (
            "connector.class",
            json!("MirrorHeartbeatConnector"),
            "stays a",
        ),
        (
            "connector.class",
            json!("com.example.Sink"),
            "com.example.Sink",
        ),
        ("name", json!("other"), "doesn't match"),
        ("password", json!("[hidden]"), "password"),
        ("topics", json!(["a"]), "must be a text"),
    ] {
        let answer = config(&running, "PATCH", &json!({key: value}));
        assert_eq!(answer.status, 400, "{key}: {answer:?}");
        assert!(answer.body.contains(said), "{key}: {answer:?}");
    }
    assert_eq!(config(&running, "PUT", &json!({})).status, 400);
    assert_eq!(config(&running, "GET", &Value::Null).json(), before);
    let unknown = ask(&running.address, "PUT", "/connectors/none/config", "{}");
    assert_eq!(unknown.status, 404, "{unknown:?}");
    running.stop();
}

/// Goal: without REST nothing can be written through it.
#[test]
fn writable_and_off_do_not_go_together() {
    let folder = Folder::with(one_flow("127.0.0.1:1", "127.0.0.1:2", ""));
    let mut command = command(&["run", &folder.file(), "--rest", "off", "--rest-writable"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--rest-writable: there is no REST"), "{said}");
}
