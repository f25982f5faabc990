//! The plugins of the REST API, and log levels.

use serde_json::{Value, json};

use crate::http::ask;
use crate::rest::Running;

/// Goal: truths of a query are read as JAX-RS does: the first counts, blank is the default, what is not "true" is false.
#[test]
fn truths_of_a_query_are_spelled_as_in_java() {
    let running = Running::start("");
    for (query, all) in [
        ("", false),
        ("?connectorsOnly", false),
        ("?connectorsOnly=TRUE", false),
        ("?connectorsOnly=true&connectorsOnly=false", false),
        ("?connectorsOnly=false", true),
        ("?connectorsOnly=FALSE", true),
        ("?connectorsOnly=0", true),
        ("?connectorsonly=false", false),
    ] {
        let path = format!("/connector-plugins{query}");
        let plugins = ask(&running.address, "GET", &path, "").json();
        assert_eq!(plugins.as_array().unwrap().len() > 3, all, "{query}");
    }
    running.stop();
}

/// Goal: null is no value, as Connect says it.
#[test]
fn nulls_are_errors_of_a_validation() {
    let running = Running::start("");
    let path = "/connector-plugins/MirrorHeartbeatConnector/config/validate";
    let config = r#"{"connector.class": "MirrorHeartbeatConnector", "name": "x", "source.cluster.alias": "a", "mine": null,
        "heartbeats.topic.replication.factor": null}"#;
    let report = ask(&running.address, "PUT", path, config).json();
    for key in ["mine", "heartbeats.topic.replication.factor"] {
        let all = report["configs"].as_array().unwrap();
        let found = all.iter().find(|one| one["value"]["name"] == key).unwrap();
        let said = "Null value can not be supplied as the configuration value.";
        assert_eq!(found["value"]["errors"][0], said, "{found}");
    }
    running.stop();
}

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
        (r#"{"level":1}"#, 404),
        (r#"{"level":null}"#, 400),
        (r#"{"level":[]}"#, 400),
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
