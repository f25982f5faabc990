//! The conversation with a real Connect worker 4.3.1, recorded, is had with ours: the same status and the same body, but for
//! the differences that docs/rest.md argues.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use scenarios::client::{Isolation, numbered};
use scenarios::{Cluster, Kind, Product, on_every_kind};
use serde_json::{Value, json};

use crate::connect::worker_properties;
use crate::flows::PATIENCE;
use crate::http::{address_in, ask_as};

on_every_kind! {
    recorded_conversation,
}

/// One request and its answer a line, without stack traces, plugins and loggers.
const CONVERSATION: &str = include_str!("golden/connect-rest.jsonl");
/// The config topic after it.
const CONFIGS: &str = include_str!("../../src/connect/golden/connect-configs.jsonl");
const EAST: &str = "127.0.0.1:50000";
const WEST: &str = "127.0.0.1:50100";
/// What is read may take so long to become what was ordered.
const SETTLE: Duration = Duration::from_secs(4);

/// Cases of which ours answers another status, and why.
const OTHER_STATUS: [(&str, u16, &str); 10] = [
    ("031-", 400, BAD_REQUEST),
    ("032-", 400, BAD_REQUEST),
    ("033-", 400, BAD_REQUEST),
    ("034-", 400, BAD_REQUEST),
    ("036-", 400, BAD_REQUEST),
    (
        "038-",
        200,
        "a connector with a slash in its name can be addressed",
    ),
    (
        "039-",
        200,
        "a connector with a slash in its name can be addressed",
    ),
    ("106-", 404, NO_SUCH_TOPIC),
    (
        "182-",
        405,
        "OPTIONS is for web pages, which may not change anything",
    ),
    ("185-", 404, "no page of Jetty's"),
];
const BAD_REQUEST: &str = "a fault of the request is no fault of the server";
const NO_SUCH_TOPIC: &str = "the topic of this connector, with a record that is too large, is not there: it has no task that fails";

/// Cases that answer the same status with another body, and why.
const OTHER_BODY: [(&str, &str); 2] = [("105-", NO_SUCH_TOPIC), ("107-", NO_SUCH_TOPIC)];
/// Cases that are not asked, since ours would do it: the connector with a slash in its name would be gone.
const LEFT_OUT: [&str; 1] = ["040-"];

#[derive(Debug)]
struct Case {
    name: String,
    method: String,
    path: String,
    body: String,
    content_type: String,
    status: u16,
    answer: Value,
}

fn cases(replace: &[(&str, &str)]) -> Vec<Case> {
    let all = replace
        .iter()
        .fold(CONVERSATION.to_owned(), |text, (from, to)| {
            text.replace(from, to)
        });
    let case = |line: &str| {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let kind = case["content_type"].as_str().unwrap_or("application/json");
        Case {
            name: text("case"),
            method: text("method"),
            path: text("path"),
            body: text("body"),
            content_type: kind.to_owned(),
            status: u16::try_from(case["status"].as_u64().unwrap()).unwrap(),
            answer: case["answer"].clone(),
        }
    };
    all.lines().map(case).collect()
}

/// Without what is another one's by nature, and lists whose order says nothing in it.
fn plain(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.remove("commit");
        if let Some(trace) = members.get_mut("trace") {
            *trace = json!("why");
        }
        members
            .values_mut()
            .for_each(|member| *member = plain(member.take()));
    }
    if let Some(items) = value.as_array_mut() {
        items.iter_mut().for_each(|item| *item = plain(item.take()));
        items.sort_by_key(Value::to_string);
    }
    value
}

/// What our config topic holds, with the recorded addresses.
fn west_configs(west: &dyn Cluster, replace: &[(&str, &str)]) -> Vec<(String, Value)> {
    let client = west.client().unwrap();
    let contents = client
        .read_all("connect-configs", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        replace
            .iter()
            .fold(text, |text, (from, to)| text.replace(from, to))
    };
    let records = contents.values().flatten().map(|read| {
        let record = &read.record;
        let value = record
            .value
            .as_ref()
            .map(|value| serde_json::from_str(&text(value)).unwrap());
        (
            text(record.key.as_ref().unwrap()),
            value.unwrap_or_default(),
        )
    });
    ordered(records.collect())
}

/// Only what a request has ordered: tasks come when they come, and keys and levels are the affair of Connect alone. What is
/// ordered twice in a row counts once.
fn ordered(records: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let is_order = |(key, value): &(String, Value)| {
        let stops = key.starts_with("commit-") && value["tasks"] == 0;
        let order = ["connector-", "target-state-", "restart-connector-"];
        stops || order.iter().any(|prefix| key.starts_with(prefix))
    };
    let mut orders: Vec<_> = records.into_iter().filter(is_order).collect();
    orders.dedup();
    orders
}

/// Goal: every request of the recorded conversation gets the recorded status and body, and leaves the recorded orders in the
/// config topic.
fn recorded_conversation(kind: Kind) {
    let (a, b) = (
        kind.start("a", 1, &[]).unwrap(),
        kind.start("b", 1, &[]).unwrap(),
    );
    let east = a.client().unwrap();
    east.create_topic("orders", 2, 1, &[]).unwrap();
    east.produce("orders", &numbered(0..600, 2, 50)).unwrap();
    east.commit_offsets("g-1", "orders", &[(0, 100), (1, 200)])
        .unwrap();
    let properties = worker_properties("connect", &b.bootstrap());
    let program = env!("CARGO_BIN_EXE_crosscurrent");
    let mut product = Product::connect(program, &properties, &["--rest", "127.0.0.1:0"]).unwrap();
    product
        .await_output("REST and metrics url", PATIENCE)
        .unwrap();
    let address = address_in(&product.output()).unwrap();
    let cases = cases(&[
        ("vsfCsz2-TLyf-X5qwy-wkw", b.cluster_id()),
        (EAST, &a.bootstrap()),
        (WEST, &b.bootstrap()),
        ("127.0.0.1:50300", &address),
    ]);
    let mut differences = BTreeMap::new();
    for case in &cases {
        let other = |name: &str| case.name.starts_with(name);
        if LEFT_OUT.iter().any(|name| other(name)) {
            continue;
        }
        let status = OTHER_STATUS
            .iter()
            .find(|(name, ..)| other(name))
            .map_or(case.status, |(_, status, _)| *status);
        let same_body = status == case.status && !OTHER_BODY.iter().any(|(name, _)| other(name));
        let deadline = Instant::now() + SETTLE;
        loop {
            let answer = ask_as(
                &address,
                &case.method,
                &case.path,
                &case.content_type,
                &case.body,
            );
            let body: Value = serde_json::from_str(&answer.body).unwrap_or(json!(answer.body));
            let (body, expected) = (plain(body), plain(case.answer.clone()));
            if answer.status == status && (!same_body || body == expected) {
                break;
            }
            // What changes something is said once; what is asked settles.
            let asks = case.method == "GET" || case.path.contains("/restart");
            if !asks || Instant::now() > deadline {
                differences.insert(
                    case.name.clone(),
                    format!(
                        "{} {}: {} {body}\n    expected {status} {expected}",
                        case.method, case.path, answer.status
                    ),
                );
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let shown: Vec<_> = differences
        .iter()
        .map(|(name, what)| format!("{name} {what}"))
        .collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    let written = west_configs(&*b, &[(&a.bootstrap(), EAST), (&b.bootstrap(), WEST)]);
    let recorded = CONFIGS.lines().map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let value = record["value_text"]
            .as_str()
            .map(|text| serde_json::from_str(text).unwrap());
        (
            record["key_text"].as_str().unwrap().to_owned(),
            value.unwrap_or_default(),
        )
    });
    assert!(written.len() > 30, "{written:?}");
    assert_eq!(written, ordered(recorded.collect()));
    let status = product.stop(PATIENCE).unwrap();
    assert!(status.success(), "{status}");
}
