//! `crosscurrent connect`: connectors come and go by REST, and stay over restarts of the process.

use std::time::Duration;

use scenarios::client::{Isolation, KafkaClient, numbered, unique};
use scenarios::{Cluster, Kind, Product, await_ok, on_every_kind};
use serde_json::{Value, json};

use crate::flows::{PATIENCE, await_copy};
use crate::http::{Answer, address_in, ask};

on_every_kind! {
    created_by_post_it_copies,
    paused_stays_paused_over_a_restart,
    stopped_it_lets_its_offsets_be_moved,
    deleted_it_is_gone_and_its_positions_stay,
    changed_it_goes_on_where_it_was,
    a_second_worker_takes_over_and_the_first_starts_nothing,
}

const BYTES: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";

/// A worker with storage topics of its own on `west`, for connectors that copy from `east`.
pub(crate) struct Worker {
    pub(crate) product: Product,
    pub(crate) address: String,
    pub(crate) name: String,
    pub(crate) east: String,
    pub(crate) west: String,
}

/// A worker's file, for us and for Connect itself.
pub(crate) fn worker_properties(name: &str, west: &str) -> String {
    format!(
        "bootstrap.servers = {west}\ngroup.id = {name}\nkey.converter = {BYTES}\nvalue.converter = {BYTES}\n\
         header.converter = {BYTES}\noffset.storage.topic = {name}-offsets\nconfig.storage.topic = {name}-configs\n\
         status.storage.topic = {name}-status\noffset.storage.replication.factor = 1\n\
         config.storage.replication.factor = 1\nstatus.storage.replication.factor = 1\noffset.flush.interval.ms = 1000\n"
    )
}

impl Worker {
    /// Starts the program, and waits for nothing.
    pub(crate) fn launch(name: &str, west: &dyn Cluster) -> Product {
        let properties = worker_properties(name, &west.bootstrap());
        let program = env!("CARGO_BIN_EXE_crosscurrent");
        Product::connect(program, &properties, &["--rest", "127.0.0.1:0"]).unwrap()
    }

    pub(crate) fn start(name: &str, east: &dyn Cluster, west: &dyn Cluster) -> Self {
        let mut product = Self::launch(name, west);
        product
            .await_output("REST and metrics url", PATIENCE)
            .unwrap();
        let address = address_in(&product.output()).unwrap();
        Self {
            product,
            address,
            name: name.to_owned(),
            east: east.bootstrap(),
            west: west.bootstrap(),
        }
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.product.restart().unwrap();
        await_ok("REST", PATIENCE, || {
            let output = self.product.output_of_this_start();
            self.address = address_in(&output).ok_or(output)?;
            Ok::<(), String>(())
        })
        .unwrap();
    }

    pub(crate) fn stop(&mut self) {
        let status = self.product.stop(PATIENCE).unwrap();
        assert!(status.success(), "{status}\n{}", self.product.output());
    }

    pub(crate) fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        ask(&self.address, method, path, &body)
    }

    pub(crate) fn order(&self, method: &str, path: &str, body: &Value, status: u16) -> Answer {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        answer
    }

    /// A connector's configuration; the flow's source alias is the worker's name.
    pub(crate) fn config(&self, class: &str, more: &[(&str, &str)]) -> Value {
        config(&self.name, class, &self.east, &self.west, more)
    }

    pub(crate) fn await_status(&self, connector: &str, state: &str, tasks: &[&str]) {
        await_ok(&format!("{connector} {state}"), PATIENCE, || {
            let status = self.ask(
                "GET",
                &format!("/connectors/{connector}/status"),
                &Value::Null,
            );
            let found = status.json();
            let states: Vec<&str> = (found["tasks"].as_array().into_iter().flatten())
                .filter_map(|task| task["state"].as_str())
                .collect();
            if found["connector"]["state"] == state && states == tasks {
                Ok(())
            } else {
                Err(format!("{found}"))
            }
        })
        .unwrap();
    }
}

pub(crate) fn config(
    alias: &str,
    class: &str,
    east: &str,
    west: &str,
    more: &[(&str, &str)],
) -> Value {
    let mut config = json!({
        "connector.class": format!("org.apache.kafka.connect.mirror.{class}"),
        "source.cluster.alias": alias,
        "target.cluster.alias": format!("{alias}-west"),
        "source.cluster.bootstrap.servers": east,
        "target.cluster.bootstrap.servers": west,
        "tasks.max": "2",
        "replication.factor": "1",
        "offset-syncs.topic.replication.factor": "1",
        "checkpoints.topic.replication.factor": "1",
        "heartbeats.topic.replication.factor": "1",
        "heartbeats.replication.enabled": "false",
        "refresh.topics.interval.seconds": "1",
    });
    for (key, value) in more {
        config[*key] = json!(value);
    }
    config
}

struct Setting {
    worker: Worker,
    east: KafkaClient,
    west: KafkaClient,
    topic: String,
}

impl Setting {
    /// A topic with 1,000 records, and a worker without connectors.
    fn new(kind: Kind, what: &str) -> Self {
        let pair = kind.shared_pair().unwrap();
        let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
        let topic = unique(what);
        east.create_topic(&topic, 2, 1, &[]).unwrap();
        east.produce(&topic, &numbered(0..1_000, 2, 50)).unwrap();
        let worker = Worker::start(&topic, pair.east, pair.west);
        Self {
            worker,
            east,
            west,
            topic,
        }
    }

    fn create_source(&self) {
        let config = self
            .worker
            .config("MirrorSourceConnector", &[("topics", &self.topic)]);
        let body = json!({"name": "src", "config": config});
        self.worker.order("POST", "/connectors", &body, 201);
    }

    fn remote(&self) -> String {
        format!("{0}.{0}", self.topic)
    }

    fn await_copy(&self) {
        let committed = Isolation::ReadCommitted;
        await_copy(
            &self.east,
            &self.topic,
            &self.west,
            &self.remote(),
            committed,
        );
    }

    fn produce(&self, records: std::ops::Range<u64>) {
        self.east
            .produce(&self.topic, &numbered(records, 2, 50))
            .unwrap();
    }
}

/// Goal: three connectors are created by POST, copy, and show tasks, topics and states as Connect does.
fn created_by_post_it_copies(kind: Kind) {
    let mut at = Setting::new(kind, "posted");
    let worker = &at.worker;
    assert_eq!(
        worker.ask("GET", "/connectors", &Value::Null).json(),
        json!([])
    );
    let root = worker.order("GET", "/", &Value::Null, 200).json();
    let west = kind.shared_pair().unwrap().west.cluster_id();
    assert_eq!(root["kafka_cluster_id"], west);
    at.create_source();
    let heartbeat = worker.config("MirrorHeartbeatConnector", &[("tasks.max", "1")]);
    worker.order("PUT", "/connectors/hb/config", &heartbeat, 201);
    at.await_copy();
    worker.await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    worker.await_status("hb", "RUNNING", &["RUNNING"]);
    let tasks = worker
        .order("GET", "/connectors/src/tasks", &Value::Null, 200)
        .json();
    assert_eq!(
        tasks[1]["config"]["task.assigned.partitions"],
        format!("{}-1", at.topic)
    );
    await_ok("topics in use", PATIENCE, || {
        let topics = worker.ask("GET", "/connectors/src/topics", &Value::Null);
        if topics.json() == json!({"src": {"topics": [at.remote()]}}) {
            Ok::<(), String>(())
        } else {
            Err(topics.body)
        }
    })
    .unwrap();
    let twice = json!({"name": "src", "config": worker.config("MirrorSourceConnector", &[])});
    worker.order("POST", "/connectors", &twice, 409);
    let transforms = worker.config("MirrorSourceConnector", &[("transforms", "route")]);
    let refused = worker.order("PUT", "/connectors/other/config", &transforms, 400);
    assert!(refused.body.contains("transforms"), "{refused:?}");
    let nulls = worker.config("MirrorSourceConnector", &[]);
    let with_null = |key: &str| {
        let mut config = nulls.clone();
        config[key] = Value::Null;
        config
    };
    for key in ["my.own", "groups"] {
        let config = with_null(key);
        let refused = worker.order("PUT", "/connectors/hb2/config", &config, 400);
        let null = "Null value can not be supplied as the configuration value.";
        assert!(refused.body.contains(null), "{refused:?}");
        worker.order(
            "POST",
            "/connectors",
            &json!({"name": "hb2", "config": config}),
            400,
        );
    }
    let unset = json!({"tasks.max": null});
    let patched = worker.order("PATCH", "/connectors/hb/config", &unset, 200);
    assert!(
        patched.json()["config"].get("tasks.max").is_none(),
        "{patched:?}"
    );
    at.worker.stop();
}

/// Goal: a paused connector is paused after a restart of the process, copies nothing, and resumes without a record twice.
fn paused_stays_paused_over_a_restart(kind: Kind) {
    let mut at = Setting::new(kind, "paused");
    at.create_source();
    at.await_copy();
    at.worker
        .await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    at.worker
        .order("PUT", "/connectors/src/pause", &Value::Null, 202);
    at.worker
        .await_status("src", "PAUSED", &["PAUSED", "PAUSED"]);
    at.worker.restart();
    at.worker
        .await_status("src", "PAUSED", &["PAUSED", "PAUSED"]);
    let before = at.west.end_offsets(&at.remote()).unwrap();
    at.produce(1_000..2_000);
    // The absence of an event: a flow that did not know it is paused would have begun by now.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(at.west.end_offsets(&at.remote()).unwrap(), before);
    at.worker
        .order("PUT", "/connectors/src/resume", &Value::Null, 202);
    at.await_copy();
    at.worker
        .await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    at.worker.stop();
}

/// Goal: of a stopped connector offsets can be read, moved and reset, also after a restart of the process.
fn stopped_it_lets_its_offsets_be_moved(kind: Kind) {
    let mut at = Setting::new(kind, "stopped");
    at.create_source();
    at.await_copy();
    at.worker
        .await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    at.worker
        .order("PUT", "/connectors/src/stop", &Value::Null, 204);
    at.worker.await_status("src", "STOPPED", &[]);
    at.worker.restart();
    at.worker.await_status("src", "STOPPED", &[]);
    let offsets = at
        .worker
        .order("GET", "/connectors/src/offsets", &Value::Null, 200)
        .json();
    assert_eq!(offsets["offsets"].as_array().unwrap().len(), 2, "{offsets}");
    let partition = json!({"cluster": at.topic, "partition": 0, "topic": at.topic});
    let change = json!({"offsets": [{"partition": partition, "offset": {"offset": 399}}]});
    await_ok("offsets that may be moved", PATIENCE, || {
        let answer = at.worker.ask("PATCH", "/connectors/src/offsets", &change);
        if answer.status == 200 {
            Ok::<(), String>(())
        } else {
            Err(answer.body)
        }
    })
    .unwrap();
    let before = at.west.end_offsets(&at.remote()).unwrap();
    at.worker
        .order("PUT", "/connectors/src/resume", &Value::Null, 202);
    // From 400 to 499 again, as asked.
    await_ok("copied again", PATIENCE, || {
        let ends = at.west.end_offsets(&at.remote()).unwrap();
        if ends[0] >= before[0] + 100 {
            Ok::<(), String>(())
        } else {
            Err(format!("{ends:?}"))
        }
    })
    .unwrap();
    at.worker.stop();
}

/// Goal: a deleted connector ends and is gone from all answers; created anew it goes on where it was.
fn deleted_it_is_gone_and_its_positions_stay(kind: Kind) {
    let mut at = Setting::new(kind, "deleted");
    at.create_source();
    at.await_copy();
    at.worker
        .order("DELETE", "/connectors/src", &Value::Null, 204);
    at.worker
        .order("DELETE", "/connectors/src", &Value::Null, 404);
    at.worker
        .order("GET", "/connectors/src/status", &Value::Null, 404);
    at.worker.restart();
    assert_eq!(
        at.worker.ask("GET", "/connectors", &Value::Null).json(),
        json!([])
    );
    at.produce(1_000..1_500);
    at.create_source();
    at.await_copy();
    at.worker.stop();
}

/// Goal: a changed configuration takes effect, and no record is lost or copied twice; a secret is neither shown nor lost.
fn changed_it_goes_on_where_it_was(kind: Kind) {
    let mut at = Setting::new(kind, "changed");
    at.create_source();
    at.await_copy();
    let second = format!("{}-second", at.topic);
    at.east.create_topic(&second, 1, 1, &[]).unwrap();
    at.east.produce(&second, &numbered(0..100, 1, 50)).unwrap();
    let both = json!({"topics": format!("{},{second}", at.topic), "my.password": "swordfish"});
    at.worker
        .order("PATCH", "/connectors/src/config", &both, 200);
    let shown = at
        .worker
        .order("GET", "/connectors/src/config", &Value::Null, 200);
    assert!(!shown.body.contains("swordfish"), "{shown:?}");
    at.worker
        .order("PUT", "/connectors/src/config", &shown.json(), 200);
    at.produce(1_000..2_000);
    at.await_copy();
    let remote = format!("{}.{second}", at.topic);
    await_copy(
        &at.east,
        &second,
        &at.west,
        &remote,
        Isolation::ReadCommitted,
    );
    at.worker
        .await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    at.worker.stop();
}

/// Goal: a second worker on the same storage topics takes all over, once and for all: the first refuses changes and starts
/// nothing when connectors change, and no record is lost or copied twice.
fn a_second_worker_takes_over_and_the_first_starts_nothing(kind: Kind) {
    let at = Setting::new(kind, "second");
    at.create_source();
    at.await_copy();
    let pair = kind.shared_pair().unwrap();
    let mut second = Worker::start(&at.topic, pair.east, pair.west);
    second.await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    at.produce(1_000..1_500);
    at.await_copy();
    let refused = at.worker.ask("PUT", "/connectors/src/pause", &Value::Null);
    assert_eq!(refused.status, 409, "{refused:?}");
    let more = json!({"offset.lag.max": "7"});
    second.order("PATCH", "/connectors/src/config", &more, 200);
    await_ok("the change at the first worker", PATIENCE, || {
        let config = at
            .worker
            .ask("GET", "/connectors/src/config", &Value::Null)
            .json();
        if config["offset.lag.max"] == "7" {
            Ok(())
        } else {
            Err(config.to_string())
        }
    })
    .unwrap();
    at.produce(1_500..2_000);
    at.await_copy();
    // Long enough for a first worker that does not know to start the changed flow: it looks each second.
    std::thread::sleep(Duration::from_secs(3));
    let starts = |worker: &Worker| {
        let output = worker.product.output();
        output.matches("connect::deployment: flow flow=").count()
    };
    assert_eq!((starts(&at.worker), starts(&second)), (1, 2));
    at.produce(2_000..2_500);
    at.await_copy();
    second.await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    second.stop();
}
