//! The REST API of flows whose clusters are not there: what Connect answers, odd requests, secrets, the address.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::net::TcpListener;

use nix::sys::signal::Signal;
use scenarios::await_that;
use scenarios::process::Process;
use serde_json::{Value, json};

use crate::http::{address_in, ask, ask_as, send};
use crate::program::{Folder, PATIENCE, STOP_PATIENCE, closed_port, command, one_flow};

const SOURCE: &str = "/connectors/a-%3Eb.MirrorSourceConnector";

pub(crate) struct Running {
    folder: Folder,
    process: Process,
    pub(crate) address: String,
}

impl Running {
    pub(crate) fn start(more: &str) -> Self {
        Self::start_with(more, &[])
    }

    /// With more arguments.
    pub(crate) fn start_with(more: &str, arguments: &[&str]) -> Self {
        Self::listening(more, &[&["--rest", "127.0.0.1:0"], arguments].concat())
    }

    /// As the file or the command line says.
    fn listening(more: &str, arguments: &[&str]) -> Self {
        let (source, target) = (closed_port(), closed_port());
        let folder = Folder::with(one_flow(&source, &target, more));
        let file = folder.file();
        let all: Vec<&str> = [&["run", &*file], arguments].concat();
        let mut process = folder.spawn(command(&all));
        let mut address = None;
        await_that("an address", PATIENCE, || {
            process.check_running().unwrap();
            address = address_in(&folder.output());
            address.is_some()
        })
        .unwrap();
        Self {
            folder,
            process,
            address: address.unwrap(),
        }
    }

    /// Ends it, in order; there was no panic.
    pub(crate) fn stop(mut self) -> String {
        self.process.signal(Signal::SIGTERM).unwrap();
        let status = self.process.wait(STOP_PATIENCE).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.process.log_tail());
        let output = self.folder.output();
        assert!(!output.contains("a panic"), "{output}");
        output
    }
}

/// Goal: requests that were recorded from Connect 4.3.1 get its status and its body, to the byte of every text.
/// `mm2-source` and `mm2-checkpoint` of the recording are connectors of the flow here.
#[test]
fn recorded_requests_are_answered_as_by_connect() {
    let running = Running::start("");
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/connect-rest.json")).unwrap();
    for case in &cases {
        let text = |member: &str| case[member].as_str().unwrap_or_default();
        let path = text("path").replace("mm2-source", "MirrorSourceConnector");
        let body = match &case["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            json => json.to_string(),
        };
        let kind = case["content_type"].as_str().unwrap_or("application/json");
        let answer = ask_as(&running.address, text("method"), &path, kind, &body);
        let seen = answer.body.replace("MirrorSourceConnector", "mm2-source");
        let seen = seen.replace("a->b.mm2-source", "mm2-source");
        let seen: Value = serde_json::from_str(&seen).unwrap_or(Value::String(answer.body.clone()));
        match text("case") {
            // Differences, argued in docs/rest.md.
            "085-unknown-put-topics-reset" => assert_eq!(answer.status, 403),
            name => assert_eq!(
                (u64::from(answer.status), &seen),
                (case["status"].as_u64().unwrap(), &case["answer"]),
                "{name}"
            ),
        }
    }
    assert!(cases.len() >= 25, "{}", cases.len());
    running.stop();
}

/// Goal: a flow that cannot reach its clusters is shown as it is: alive, not ready, with the reason.
#[test]
fn a_flow_without_clusters_is_alive_and_not_ready() {
    let running = Running::start("");
    let get = |path: &str| ask(&running.address, "GET", path, "");
    assert_eq!(get("/v1/live").status, 200);
    await_that("a reason", PATIENCE, || {
        get("/v1/ready").body.contains("is unreachable")
    })
    .unwrap();
    assert_eq!(get("/v1/ready").status, 503);
    let flows = get("/v1/flows").json();
    assert_eq!(
        (&flows[0]["flow"], &flows[0]["wanted"]),
        (&json!("a->b"), &json!("RUNNING"))
    );
    assert_eq!(get("/").json()["kafka_cluster_id"], Value::Null);
    let names = get("/connectors").json();
    assert_eq!(names[0], "a->b.MirrorSourceConnector");
    assert_eq!(
        names.as_array().unwrap().len(),
        6,
        "heartbeats of b->a are a flow, too"
    );
    let source = get(SOURCE).json();
    assert_eq!(
        (&source["type"], &source["tasks"]),
        (&json!("source"), &json!([]))
    );
    let expanded = get("/connectors?expand=status&expand=info").json();
    let members = &expanded["a->b.MirrorHeartbeatConnector"];
    assert_eq!(members["status"]["tasks"][0]["state"], "RUNNING");
    assert!(members["info"]["config"]["connector.class"].is_string());
    assert_eq!(
        get("/connectors?expand=nope").json()["a->b.MirrorSourceConnector"],
        json!({})
    );
    assert!(
        get("/metrics")
            .body
            .contains("crosscurrent_flow_troubled{flow=\"a->b\"} 1\n")
    );
    running.stop();
}

/// Goal: every path of the OpenAPI document answers, and the document names the types.
#[test]
fn the_openapi_document_is_served_and_true() {
    let running = Running::start("");
    let document = ask(&running.address, "GET", "/v1/openapi.json", "").json();
    let paths = document["paths"].as_object().unwrap();
    // Connect's are asked in `rest_fuzz`.
    let ours = |path: &&String| path.starts_with("/v1/") || *path == "/metrics";
    assert_eq!(paths.keys().filter(ours).count(), 8);
    for path in paths.keys().filter(ours) {
        let answer = ask(&running.address, "GET", path, "");
        let documented = &paths[path]["get"]["responses"][answer.status.to_string()];
        assert!(documented.is_object(), "{path}: {answer:?}");
    }
    let schemas = &document["components"]["schemas"];
    assert!(schemas["PartitionView"]["properties"]["reason"].is_object());
    assert!(schemas["GroupPartitionView"]["properties"]["translated"].is_object());
    let mut ids: Vec<_> = (paths.values())
        .filter_map(|path| path["get"]["operationId"].as_str())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "{ids:?}");
    running.stop();
}

/// Goal: what is wrong in a query is said with the parameter's name; what filters let nothing through is an empty page.
#[test]
fn bad_values_of_queries_are_named() {
    let running = Running::start("");
    let get = |path: &str| ask(&running.address, "GET", path, "");
    for (path, said) in [
        ("groups?limit=0", "limit: write 1 to 1000"),
        ("groups?limit=x", "limit: write 1 to 1000"),
        ("groups?offset=-1", "offset: write 0 to"),
        (
            "groups?state=nope",
            "state: write one of excluded, synced, ahead, due, behind",
        ),
        ("groups?limit=1&limit=2", "duplicate field `limit`"),
        ("groups/partitions?limit=1001", "limit: write 1 to 1000"),
        ("groups/partitions?state=", "state: write one of"),
        ("partitions?limit=1001", "limit: write 1 to 1000"),
        ("partitions?offset=1e3", "offset: write 0 to"),
        ("translations", "topic: missing"),
        ("translations?topic=&partition=0&offset=0", "topic: missing"),
        ("translations?topic=t&offset=0", "partition: missing"),
        (
            "translations?topic=t&partition=2147483648&offset=0",
            "partition: write 0 to 2147483647",
        ),
        (
            "translations?topic=t&partition=-1&offset=0",
            "partition: write 0",
        ),
        ("translations?topic=t&partition=0", "offset: missing"),
        (
            "translations?topic=t&partition=0&offset=9223372036854775808",
            "offset: write 0 to 9223372036854775807",
        ),
        (
            "translations?topic=t&partition=0&offset=0&flow=b-%3Ea",
            "flow: write one of a->b",
        ),
    ] {
        let answer = get(&format!("/v1/{path}"));
        assert_eq!(answer.status, 400, "{path}: {answer:?}");
        assert_eq!(answer.json()["error_code"], 400);
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(said), "{path}: {message}");
    }
    let empty = json!({"total": 0, "offset": 0, "groups": []});
    assert_eq!(get("/v1/groups").json(), empty);
    assert_eq!(
        get("/v1/groups?flow=none&group=%2F&state=due").json(),
        empty
    );
    assert_eq!(
        get("/v1/groups/partitions?topic=t&offset=7").json(),
        json!({"total": 0, "offset": 7, "partitions": []})
    );
    let unknown =
        json!({"offset": null, "kind": "unknown", "reason": "the flow has not started yet"});
    assert_eq!(
        get("/v1/translations?topic=t&partition=3&offset=9").json(),
        json!([{
            "flow": "a->b", "topic": "t", "partition": 3, "offset": 9, "remote_topic": "a.t", "translated": unknown,
        }])
    );
    let flows = get("/v1/flows").json();
    assert_eq!(flows[0]["group_states"]["synced"], 0);
    assert_eq!(flows[0]["group_reasons"], json!([]));
    running.stop();
}

/// Goal: what is to be changed in the file is refused with the reason, and nothing else happens.
#[test]
fn configurations_are_those_of_the_file() {
    let running = Running::start("");
    let config = format!("{SOURCE}/config");
    for (method, path, body) in [
        ("POST", "/connectors", r#"{"name":"x","config":{}}"#),
        ("PUT", &*config, "{}"),
        ("PATCH", &*config, "{}"),
        ("DELETE", SOURCE, ""),
    ] {
        let answer = ask(&running.address, method, path, body);
        assert_eq!(answer.status, 409, "{method} {path}");
        assert!(answer.body.contains("change the file"), "{answer:?}");
    }
    let origin = "PUT /connectors/MirrorSourceConnector/stop HTTP/1.1\r\nHost: x\r\nOrigin: http://evil.example\r\n\
                  Connection: close\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(
        send(&running.address, origin.as_bytes()).unwrap().status,
        403
    );
    let status = ask(&running.address, "GET", &format!("{SOURCE}/status"), "").json();
    assert_eq!(status["connector"]["state"], "RUNNING");
    running.stop();
}

/// Goal: a worker that listens on all addresses names itself by the machine's name, as others can ask it, not 0.0.0.0.
#[test]
fn listening_everywhere_it_has_the_machines_name() {
    let host = nix::unistd::gethostname().unwrap();
    for listeners in ["http://0.0.0.0:0", "http://:0", "http://[::]:0"] {
        let running = Running::listening(&format!("listeners = {listeners}\n"), &[]);
        let port = running.address.rsplit(':').next().unwrap();
        let at = format!("127.0.0.1:{port}");
        let status = ask(&at, "GET", &format!("{SOURCE}/status"), "").json();
        let expected = format!("{}:{port}", host.to_string_lossy());
        assert_eq!(status["connector"]["worker_id"], expected, "{listeners}");
        running.stop();
    }
}

/// Goal: no answer shows a secret of the file.
#[test]
fn secrets_are_in_no_answer() {
    let running = Running::start(
        "sasl.jaas.config = x password=\"hunter2\";\nb.producer.ssl.key.password = hunter2\nmy.api.key = hunter2\n\
         a->b.password = hunter2\na->b.consumer.ssl.keystore.key = hunter2\n",
    );
    for path in [
        SOURCE,
        "/connectors/a-%3Eb.MirrorCheckpointConnector/config",
        "/connectors/a-%3Eb.MirrorHeartbeatConnector/tasks",
        "/connectors?expand=info&expand=status",
        "/v1/flows",
        "/metrics",
    ] {
        let answer = ask(&running.address, "GET", path, "");
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.body.contains("hunter2"), "{path}: {}", answer.body);
    }
    let config = ask(&running.address, "GET", &format!("{SOURCE}/config"), "").json();
    assert_eq!(config["password"], "[hidden]");
    running.stop();
}

/// Goal: malformed requests get a 4xx, or a closed connection; never a 5xx or a panic; and the server goes on.
#[test]
fn malformed_requests_are_refused() {
    let running = Running::start("");
    let address = &running.address;
    let seed = std::env::var("FUZZ_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0x5eed_u64);
    println!("FUZZ_SEED={seed}");
    let mut state = seed;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let methods = ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "BREW"];
    let pieces = [
        "connectors",
        "MirrorSourceConnector",
        "nope",
        "%",
        "%2",
        "%2F",
        "%00",
        "%ff",
        "..",
        "tasks",
        "0",
        "-1",
        "99999999999999999999",
        "status",
        "restart",
        "offsets",
        "config",
        "topics",
        "v1",
        "partitions",
        "metrics",
        "connector-plugins",
        "validate",
        "admin",
        "loggers",
        "root",
        "?expand=%ff",
        "?limit=0",
        "?limit=-1",
        "?limit=999999999999999999999",
        "?offset=1e9",
        "?state=x",
        "?=&&=",
        "\u{e4}",
        "a b",
        "<script>",
        "\\",
        "\"",
    ];
    let bodies = [
        "",
        "{",
        "null",
        "[]",
        "\"x\"",
        "{\"offsets\":1}",
        "{\"offsets\":[1]}",
        "{\"offsets\":[{\"partition\":[]}]}",
        "\u{0}",
        "{\"level\":1}",
        "{\"offsets\":[{\"partition\":{\"cluster\":\"a\"},\"offset\":{\"offset\":1e400}}]}",
    ];
    let mut answered = 0;
    for _ in 0..600 {
        let method = methods[random(methods.len())];
        let path: String = (0..=random(4))
            .map(|_| format!("/{}", pieces[random(pieces.len())]))
            .collect();
        let body = bodies[random(bodies.len())];
        let lie = if random(8) == 0 { "x" } else { "" };
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}{lie}\r\n\r\n{body}"
        );
        let Some(answer) = send(address, request.as_bytes()) else {
            continue;
        };
        answered += 1;
        // Without clusters, ready and stored offsets cannot be: that is no fault of the server.
        let known =
            answer.status == 501 || answer.body.contains("unreachable") || path.contains("ready");
        assert!(answer.status < 500 || known, "{request:?}: {answer:?}");
    }
    assert!(answered > 300, "{answered}");
    let huge = "x".repeat(2 << 20);
    let answer = ask(address, "PATCH", &format!("{SOURCE}/offsets"), &huge);
    assert_eq!(answer.status, 413, "{answer:?}");
    let head = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20));
    if let Some(answer) = send(address, head.as_bytes()) {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    assert_eq!(ask(address, "GET", "/v1/live", "").status, 200);
    running.stop();
}

/// Goal: an address that is taken costs REST, with a clear warning, and not the flows; `off` is silent.
#[test]
fn a_taken_address_is_said_and_flows_run() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let closed = closed_port();
    let listeners = format!("listeners = http://{address}\n");
    for (more, arguments, said) in [
        ("", vec!["--rest", &*address], true),
        (&*listeners, vec![], true),
        (&*listeners, vec!["--rest", "off"], false),
    ] {
        let folder = Folder::with(one_flow(&closed, &closed, more));
        let file = folder.file();
        let all: Vec<&str> = ["run", &file].into_iter().chain(arguments).collect();
        let mut process = folder.spawn(command(&all));
        await_that("flows", PATIENCE, || {
            folder.output().contains("is unreachable")
        })
        .unwrap();
        process.signal(Signal::SIGTERM).unwrap();
        assert_eq!(process.wait(STOP_PATIENCE).unwrap().code(), Some(0));
        let output = folder.output();
        assert_eq!(
            output.contains("REST and metrics are off, the flows run"),
            said,
            "{output}"
        );
        assert_eq!(
            output.contains(&address),
            said || output.contains("unknown key"),
            "{output}"
        );
    }
}
