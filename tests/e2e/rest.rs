//! Orders given through REST act on the flow.

use std::time::Duration;

use scenarios::client::{Isolation, numbered, unique};
use scenarios::{Kind, Product, await_ok, await_that, on_every_kind};
use serde_json::{Value, json};

use crate::flows::{Flow, PATIENCE, await_copy, run_with, stop, stored_positions};
use crate::http::{Answer, address_in, ask};

on_every_kind! {
    pause_holds_and_resume_goes_on,
    restarts_lose_and_double_nothing,
    moved_offsets_are_honoured,
    stored_offsets_are_altered_as_by_connect,
}

/// A flow with REST, and its source connector.
pub(crate) struct Served {
    pub(crate) product: Product,
    pub(crate) address: String,
    connector: String,
    source: String,
}

impl Served {
    pub(crate) fn run(flow: &Flow, more: &[&str]) -> Self {
        let arguments = [&["--rest", "127.0.0.1:0"], more].concat();
        let mut product = run_with(&flow.properties(), &arguments);
        product
            .await_output("REST and metrics url", PATIENCE)
            .unwrap();
        let address = address_in(&product.output()).unwrap();
        let connector = format!(
            "/connectors/{}-%3E{}.MirrorSourceConnector",
            flow.source, flow.target
        );
        Self {
            product,
            address,
            connector,
            source: flow.source.clone(),
        }
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(
            &self.address,
            method,
            &format!("{}{path}", self.connector),
            body,
        )
    }

    pub(crate) fn order(&self, method: &str, path: &str, status: u16) {
        let answer = self.ask(method, path, "");
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }

    /// Waits until no partition, or every one, is in this state.
    pub(crate) fn await_partitions(&self, state: &str, count: usize) {
        await_ok(&format!("{count} partitions {state}"), PATIENCE, || {
            let page = ask(
                &self.address,
                "GET",
                &format!("/v1/partitions?state={state}"),
                "",
            )
            .json();
            if page["total"] == count {
                Ok(())
            } else {
                Err(page.to_string())
            }
        })
        .unwrap();
    }

    /// Stops the connector and waits until its offsets may be altered.
    fn stop_connector(&self) {
        self.order("PUT", "/stop", 204);
        self.await_partitions("stopped", 2);
        let status = self.ask("GET", "/status", "").json();
        assert_eq!(
            (&status["connector"]["state"], &status["tasks"]),
            (&json!("STOPPED"), &json!([]))
        );
        // The stop has been stored when nothing is refused any more.
        let none = json!({"cluster": self.source, "partition": 0, "topic": "none"});
        let nothing = json!({"offsets": [{"partition": none, "offset": null}]});
        await_that("offsets that may be altered", PATIENCE, || {
            self.ask("PATCH", "/offsets", &nothing.to_string()).status == 200
        })
        .unwrap();
    }
}

/// Goal: a paused flow copies nothing and shows it; resumed, it goes on without a loss or a copy too many.
fn pause_holds_and_resume_goes_on(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("paused");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..1_000, 2, 50)).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let mut served = Served::run(&flow, &[]);
    await_copy(
        &east,
        &topic,
        &west,
        &flow.remote(&topic),
        Isolation::ReadCommitted,
    );
    let root = ask(&served.address, "GET", "/", "").json();
    assert_eq!(root["kafka_cluster_id"], pair.west.cluster_id());
    let before = west.end_offsets(&flow.remote(&topic)).unwrap();
    served.order("PUT", "/pause", 202);
    // At once: a fetch is still waiting at the source for just these records.
    east.produce(&topic, &numbered(1_000..2_000, 2, 50))
        .unwrap();
    served.await_partitions("stopped", 2);
    // This is the absence of an event.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(west.end_offsets(&flow.remote(&topic)).unwrap(), before);
    let status = served.ask("GET", "/status", "").json();
    assert_eq!(status["connector"]["state"], "PAUSED");
    assert_eq!(status["tasks"][0]["state"], "PAUSED");
    served.order("PUT", "/resume", 202);
    await_copy(
        &east,
        &topic,
        &west,
        &flow.remote(&topic),
        Isolation::ReadCommitted,
    );
    served.await_partitions("running", 2);
    stop(&mut served.product);
}

/// Goal: connector and tasks are restarted in the midst of copying, stopped and resumed: every record is there once.
fn restarts_lose_and_double_nothing(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("restarted");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let mut served = Served::run(&flow, &[]);
    served.await_partitions("running", 2);
    for round in 0..4 {
        east.produce(
            &topic,
            &numbered(round * 2_000..(round + 1) * 2_000, 2, 100),
        )
        .unwrap();
        match round {
            0 => served.order("POST", "/restart", 204),
            1 => served.order("POST", "/restart?includeTasks=true", 202),
            2 => served.order("POST", "/tasks/0/restart", 204),
            _ => {
                served.order("PUT", "/stop", 204);
                served.await_partitions("stopped", 2);
                served.order("PUT", "/resume", 202);
            }
        }
    }
    await_copy(
        &east,
        &topic,
        &west,
        &flow.remote(&topic),
        Isolation::ReadCommitted,
    );
    served.await_partitions("running", 2);
    let page = ask(&served.address, "GET", "/v1/partitions", "").json();
    assert!(
        page["partitions"][0]["restarts"].as_u64() >= Some(1),
        "{page}"
    );
    stop(&mut served.product);
}

/// Goal: a stored offset that is moved back is copied from again, one that is reset from the start, and one that is moved on skips
/// what lies between; also when the process ends between the order and going on.
fn moved_offsets_are_honoured(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("moved");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..1_000, 2, 50)).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let remote = flow.remote(&topic);
    let mut served = Served::run(&flow, &[]);
    await_copy(&east, &topic, &west, &remote, Isolation::ReadCommitted);
    let at =
        |partition: i32| json!({"cluster": flow.source, "topic": topic, "partition": partition});
    let alter = |served: &Served, changes: Value| {
        let answer = served.ask(
            "PATCH",
            "/offsets",
            &json!({"offsets": changes}).to_string(),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let refused = served.ask(
        "PATCH",
        "/offsets",
        &json!({"offsets": [{"partition": at(0), "offset": {"offset": 1}}]}).to_string(),
    );
    assert_eq!(refused.status, 400, "it runs: {refused:?}");

    served.stop_connector();
    alter(
        &served,
        json!([
            {"partition": at(0), "offset": {"offset": 399}},
            {"partition": at(1), "offset": null},
        ]),
    );
    served.order("PUT", "/resume", 202);
    await_records(&west, &remote, [500 + 100, 500 + 500]);

    served.stop_connector();
    alter(
        &served,
        json!([{"partition": at(0), "offset": {"offset": 449}}]),
    );
    stop(&mut served.product);
    assert_eq!(
        stored_positions(&west, &flow, &topic).get(&0),
        Some(&449),
        "the end stores nothing over it"
    );
    let mut served = Served::run(&flow, &[]);
    await_records(&west, &remote, [600 + 50, 1_000]);

    served.stop_connector();
    alter(
        &served,
        json!([{"partition": at(0), "offset": {"offset": 509}}]),
    );
    east.produce(&topic, &numbered(1_000..1_100, 2, 50))
        .unwrap();
    served.order("PUT", "/resume", 202);
    await_records(&west, &remote, [650 + 40, 1_050]);
    stop(&mut served.product);
}

/// Waits until the partitions hold this many records, and no more come.
fn await_records(client: &scenarios::KafkaClient, topic: &str, records: [usize; 2]) {
    let count = || {
        let contents = client.read_all(topic, Isolation::ReadCommitted, PATIENCE)?;
        Ok::<_, scenarios::Error>(
            [0, 1].map(|partition| contents.get(&partition).map_or(0, Vec::len)),
        )
    };
    await_ok(
        &format!("{records:?} records in {topic}"),
        PATIENCE,
        || match count() {
            Ok(found) if found == records => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .unwrap();
}

/// Goal: the recorded conversation about offsets of a stopped connector: same status, same texts, same offsets.
fn stored_offsets_are_altered_as_by_connect(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("offsets");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..600, 2, 50)).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let mut served = Served::run(&flow, &[]);
    await_copy(
        &east,
        &topic,
        &west,
        &flow.remote(&topic),
        Isolation::ReadCommitted,
    );
    served.stop_connector();
    let cases: Vec<Value> =
        serde_json::from_str(include_str!("golden/connect-offsets.json")).unwrap();
    for case in &cases {
        let ours = |text: String| {
            text.replace("\"orders\"", &format!("\"{topic}\""))
                .replace("topic=orders", &format!("topic={topic}"))
                .replace("\"a\"", &format!("\"{}\"", flow.source))
                .replace("cluster=a,", &format!("cluster={},", flow.source))
        };
        let body = match &case["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            json => ours(json.to_string()),
        };
        let method = case["method"].as_str().unwrap();
        let answer = served.ask(method, "/offsets", &body);
        let mut wanted: Value = serde_json::from_str(&ours(case["answer"].to_string())).unwrap();
        let mut seen = answer.json();
        for offsets in [&mut wanted, &mut seen] {
            if let Some(list) = offsets["offsets"].as_array_mut() {
                list.sort_by_key(Value::to_string);
            }
        }
        let status = case["status"].as_u64().unwrap();
        assert_eq!(
            (u64::from(answer.status), seen),
            (status, wanted),
            "{}",
            case["case"]
        );
    }
    stop(&mut served.product);
}
