//! The records of a real Connect 4.3.1 worker, read and written again (recorded; see tests/e2e/golden for how).

use super::*;

const CONFIGS: &str = include_str!("../golden/connect-configs.jsonl");
const STATUSES: &str = include_str!("../golden/connect-status.jsonl");

fn bytes(hex: &Value) -> Option<Vec<u8>> {
    let hex = hex.as_str()?;
    let pair = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    Some((0..hex.len()).step_by(2).map(pair).collect())
}

/// Key and value of each record.
fn records(log: &str) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let lines = log.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        (
            bytes(&record["key_hex"]).unwrap(),
            bytes(&record["value_hex"]),
        )
    });
    lines.collect()
}

fn json(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap())
}

#[test]
fn recorded_configs_are_written_as_they_were() {
    for (key, value) in records(CONFIGS) {
        let record = ConfigRecord::decode(Some(&key), value.as_deref()).unwrap();
        let Some(written) = record.encode() else {
            continue;
        };
        assert_eq!(written.0, key);
        // The order of a request's members is kept by some of Connect's records, and nothing depends on it.
        assert_eq!(json(written.1.as_deref()), json(value.as_deref()));
        let is_map = json(value.as_deref()).get("properties").is_some();
        assert!(is_map || written.1 == value);
    }
}

#[test]
fn recorded_statuses_are_written_as_they_were() {
    for (key, value) in records(STATUSES) {
        let record = StatusRecord::decode(Some(&key), value.as_deref()).unwrap();
        assert_eq!(record.encode(), (key, value));
    }
}

#[test]
fn names_with_dashes_and_blanks() {
    let record = ConfigRecord::decode(Some(b"task-a-1-b-12"), None).unwrap();
    assert_eq!(record, ConfigRecord::Task("a-1-b".to_owned(), 12, None));
    let key = b"status-topic-t-1:connector-spaced name/1:connector-x";
    let StatusRecord::Topic {
        topic, connector, ..
    } = StatusRecord::decode(Some(key), None).unwrap()
    else {
        panic!("no topic");
    };
    assert_eq!((&*topic, &*connector), ("t-1", "spaced name/1:connector-x"));
}

#[test]
fn what_is_malformed_is_an_error() {
    for (key, value, error) in [
        (&b"\xff"[..], None, RecordError::Key),
        (b"nonsense-x", None, RecordError::UnknownKey),
        (b"task-x", None, RecordError::NoTask),
        (b"task-x-y", None, RecordError::NoTask),
        (b"connector-x", Some(&b"{}"[..]), RecordError::Value),
        (
            b"connector-x",
            Some(b"{\"properties\":{\"a\":1}}"),
            RecordError::Value,
        ),
        (b"commit-x", Some(b"{\"tasks\":-1}"), RecordError::Value),
        (
            b"target-state-x",
            Some(b"{\"state\":\"DANCING\"}"),
            RecordError::Value,
        ),
    ] {
        assert_eq!(
            ConfigRecord::decode(Some(key), value),
            Err(error),
            "{key:?}"
        );
    }
    // An older worker's record.
    let older = ConfigRecord::decode(Some(b"target-state-x"), Some(b"{\"state\":\"PAUSED\"}"));
    let paused = ConfigRecord::Target("x".to_owned(), Some(TargetState::Paused));
    assert_eq!(older, Ok(paused));
}
