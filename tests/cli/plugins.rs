//! The plugins of the REST API, and log levels.

use serde_json::{Value, json};

use crate::http::ask;
use crate::rest::Running;

/// Goal: what Connect 4.3.1 answered about plugins, validation and wrong levels is answered here, to the letter.
#[test]
fn recorded_questions_about_plugins_are_answered_as_by_connect() {
    let running = Running::start("");
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("golden/connect-plugins.json")).unwrap();
    for case in &cases {
        let text = |member: &str| case[member].as_str().unwrap();
        let body = match &case["body"] {
            Value::Null => String::new(),
            json => json.to_string(),
        };
        let answer = ask(&running.address, text("method"), text("path"), &body);
        let mut seen = answer.json();
        // Of a report, whose keys are compared elsewhere, the rest was kept.
        if let Some(report) = seen.as_object_mut() {
            report.remove("configs");
        }
        assert_eq!(
            (u64::from(answer.status), &seen),
            (case["status"].as_u64().unwrap(), &case["answer"]),
            "{}",
            text("case")
        );
    }
    assert_eq!(cases.len(), 7);
    for name in ["MirrorSource", "MirrorSourceConnector"] {
        let path = format!("/connector-plugins/{name}/config");
        let keys = ask(&running.address, "GET", &path, "").json();
        assert_eq!(
            (keys.as_array().unwrap().len(), &keys[0]["name"]),
            (118, &json!("name"))
        );
    }
    running.stop();
}

/// Goal: a level takes effect at once, for what does the work of the Java package.
#[test]
fn log_levels_are_set_while_the_process_runs() {
    let running = Running::start("");
    let loggers = |method, path: &str, body: &str| {
        ask(
            &running.address,
            method,
            &format!("/admin/loggers{path}"),
            body,
        )
    };
    assert_eq!(loggers("GET", "", "").json()["actors"]["level"], "INFO");
    let package = "/org.apache.kafka.connect.mirror";
    let set = loggers("PUT", package, r#"{"level":"debug"}"#);
    assert_eq!((set.status, &set.json()[0]), (200, &json!("actors")));
    let now = loggers("GET", package, "").json();
    assert_eq!(now["level"], "DEBUG");
    assert!(now["last_modified"].is_i64());
    assert_eq!(loggers("GET", "/actors", "").json()["level"], "DEBUG");
    let cluster = loggers("PUT", "/actors?scope=cluster", r#"{"level":"OFF"}"#);
    assert_eq!((cluster.status, cluster.body.as_str()), (204, ""));
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        (r#"{"level":1}"#, 400),
        ("null", 400),
    ] {
        assert_eq!(loggers("PUT", "/root", body).status, status, "{body}");
    }
    assert_eq!(loggers("PUT", "/a%3Db", r#"{"level":"INFO"}"#).status, 404);
    let output = running.stop();
    assert!(
        output.contains("an operator has set a log level"),
        "{output}"
    );
}
