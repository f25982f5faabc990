//! A deployment of MirrorMaker 2 in real Kafka Connect is taken over, and given back.

use std::net::TcpListener;
use std::time::Duration;

use scenarios::client::{Isolation, numbered, unique};
use scenarios::kafka::JavaTools;
use scenarios::process::Process;
use scenarios::{Kind, await_ok, on_every_kind};
use serde_json::{Value, json};

use crate::connect::{Worker, config, worker_properties};
use crate::flows::await_copy;
use crate::http::{Answer, ask};

on_every_kind! {
    connect_is_continued_and_continues,
}

/// A JVM with Jetty on a crowded machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// Kafka Connect 4.3.1 itself.
struct RealConnect {
    process: Process,
    address: String,
}

impl RealConnect {
    fn start(properties: &str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let java = JavaTools::open().unwrap();
        let text = format!("{properties}listeners = http://{address}\n");
        let file = java.file("worker.properties", &text).unwrap();
        let class = "org.apache.kafka.connect.cli.ConnectDistributed";
        let process = java.start(class, &[&file]).unwrap();
        Self { process, address }
    }

    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.process.check_running().unwrap();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        ask(&self.address, method, path, &body)
    }

    fn await_up(&mut self) {
        let address = self.address.clone();
        await_ok("Connect's REST", PATIENCE, || {
            self.process.check_running().map_err(|e| e.to_string())?;
            std::net::TcpStream::connect(&address).map_err(|e| e.to_string())?;
            let answer = ask(&address, "GET", "/connectors", "");
            if answer.status == 200 {
                Ok(())
            } else {
                Err(answer.body)
            }
        })
        .unwrap();
    }

    /// Waits until the answer is what `is_it` wants.
    fn await_answer(&mut self, path: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let address = self.address.clone();
        await_ok(path, PATIENCE, || {
            let answer = ask(&address, "GET", path, "");
            let found: Value = serde_json::from_str(&answer.body).map_err(|e| e.to_string())?;
            if is_it(&found) {
                Ok(found)
            } else {
                Err(answer.body)
            }
        })
        .unwrap()
    }

    fn stop(mut self) {
        self.process.terminate(PATIENCE).unwrap();
    }
}

/// States of connector and tasks, without where and why.
fn states(status: &Value) -> Value {
    let tasks: Vec<&Value> = (status["tasks"].as_array().into_iter().flatten())
        .map(|task| &task["state"])
        .collect();
    json!([status["connector"]["state"], tasks])
}

/// Goal: what real Connect runs is stopped; on the same storage topics the same connectors are in the same states, and copying
/// goes on at the stored offsets without a record copied twice. Then the same the other way.
fn connect_is_continued_and_continues(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("continued");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..1_000, 2, 50)).unwrap();
    let (from, to) = (pair.east.bootstrap(), pair.west.bootstrap());
    let properties = worker_properties(&topic, &to);
    let remote = format!("{topic}.{topic}");

    let mut connect = RealConnect::start(&properties);
    connect.await_up();
    for (name, class, more) in [
        (
            "mm2-source",
            "MirrorSourceConnector",
            vec![("topics", topic.as_str())],
        ),
        (
            "mm2-checkpoint",
            "MirrorCheckpointConnector",
            vec![
                ("topics", topic.as_str()),
                ("groups", "none-of-them"),
                ("tasks.max", "1"),
            ],
        ),
        (
            "mm2-heartbeat",
            "MirrorHeartbeatConnector",
            vec![("tasks.max", "1")],
        ),
    ] {
        let config = config(&topic, class, &from, &to, &more);
        let path = format!("/connectors/{name}/config");
        let answer = connect.ask("PUT", &path, &config);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    await_copy(&east, &topic, &west, &remote, Isolation::ReadUncommitted);
    connect.await_answer("/connectors/mm2-heartbeat/status", |status| {
        states(status) == json!(["RUNNING", ["RUNNING"]])
    });
    assert_eq!(
        connect
            .ask("PUT", "/connectors/mm2-heartbeat/pause", &Value::Null)
            .status,
        202
    );
    let copied = |offsets: &Value| {
        let all = offsets["offsets"].as_array().into_iter().flatten();
        all.filter(|one| one["offset"]["offset"] == 499).count() == 2
    };
    connect.await_answer("/connectors/mm2-source/offsets", copied);
    let expected = [
        ("mm2-source", json!(["RUNNING", ["RUNNING", "RUNNING"]])),
        ("mm2-checkpoint", json!(["RUNNING", []])),
        ("mm2-heartbeat", json!(["PAUSED", ["PAUSED"]])),
    ];
    let mut configs = Vec::new();
    for (name, expected) in &expected {
        let status = format!("/connectors/{name}/status");
        connect.await_answer(&status, |status| states(status) == *expected);
        let path = format!("/connectors/{name}");
        configs.push(connect.ask("GET", &path, &Value::Null).json());
    }
    let mut too_early = Worker::launch(&topic, pair.west);
    too_early.await_output("has members", PATIENCE).unwrap();
    too_early.kill().unwrap();
    connect.stop();

    east.produce(&topic, &numbered(1_000..2_000, 2, 50))
        .unwrap();
    let mut ours = Worker::start(&topic, pair.east, pair.west);
    for ((name, expected), before) in expected.iter().zip(&configs) {
        let after = ours.ask("GET", &format!("/connectors/{name}"), &Value::Null);
        assert_eq!(after.json(), *before);
        await_ok(name, PATIENCE, || {
            let status = ours.ask("GET", &format!("/connectors/{name}/status"), &Value::Null);
            if states(&status.json()) == *expected {
                Ok(())
            } else {
                Err(status.body)
            }
        })
        .unwrap();
    }
    await_copy(&east, &topic, &west, &remote, Isolation::ReadCommitted);
    ours.stop();

    east.produce(&topic, &numbered(2_000..3_000, 2, 50))
        .unwrap();
    let mut connect = RealConnect::start(&properties);
    connect.await_up();
    for ((name, expected), before) in expected.iter().zip(&configs) {
        let status = format!("/connectors/{name}/status");
        connect.await_answer(&status, |status| states(status) == *expected);
        let after = connect.ask("GET", &format!("/connectors/{name}"), &Value::Null);
        assert_eq!(after.json(), *before);
    }
    await_copy(&east, &topic, &west, &remote, Isolation::ReadCommitted);
    connect.stop();
}
