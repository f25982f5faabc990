//! A real Prometheus scrapes the product under load, and the expressions of Strimzi's MirrorMaker 2 dashboard and alert rules
//! (docs/spec/metrics.md 3, 4), and of our own dashboard and alerts, give values.
//!
//! Needs the programs `prometheus` and `promtool`, on the PATH or in the folder that `PROMETHEUS_HOME` names (Debian has both in its package
//! `prometheus`). Without them the tests say so and pass.

use std::path::PathBuf;
use std::process::Command;

use scenarios::client::unique;
use scenarios::process::Process;
use scenarios::{Kind, await_ok, await_that, on_every_kind};
use serde_json::Value;
use tempfile::TempDir;

use crate::flows::{Flow, PATIENCE, run_with, stop};
use crate::http::{address_in, ask, send};
use crate::load::Load;

on_every_kind! {
    expressions_of_dashboards_and_alerts_give_values,
}

const DASHBOARD: &str = include_str!("../../docs/grafana-dashboard.json");
const ALERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alerts.yaml");

/// What Strimzi's PodMonitor adds to every series (docs/spec/metrics.md 4).
const LABELS: &str = "namespace: kafka, pod: mm2-mirrormaker2-0, kubernetes_pod_name: mm2-mirrormaker2-0, \
                      strimzi_io_kind: KafkaMirrorMaker2, strimzi_io_cluster: mm2";
const SEL: &str = r#"strimzi_io_kind=~"KafkaMirrorMaker2", strimzi_io_cluster="mm2""#;

/// Expressions of Strimzi's dashboard; `SEL` as there. Without the three `jvm_*`, and the processor time of containers, which
/// cAdvisor has: there is no JVM here, and `process_*` says the same.
const STRIMZI: &[&str] = &[
    r#"kafka_connect_worker_connector_count{strimzi_io_kind="KafkaMirrorMaker2"}"#,
    "sum(kafka_connect_worker_connector_count{SEL})",
    "sum(kafka_connect_worker_task_count{SEL})",
    "sum(kafka_connect_mirror_mirrorsourceconnector_record_rate{SEL})",
    "sum(kafka_connect_mirror_mirrorsourceconnector_byte_rate{SEL})",
    "sum(kafka_connect_mirror_mirrorsourceconnector_record_age_ms{SEL}) by (partition, topic)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_record_age_ms_avg{SEL}) by (partition, topic)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_record_age_ms_min{SEL}) by (partition, topic)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_record_age_ms_max{SEL}) by (partition, topic)",
    r#"sum(kafka_consumer_fetch_manager_records_lag{SEL, clientid=~".*replication-consumer\""}) by (topic, partition)"#,
    r#"topk(20, sum(kafka_consumer_fetch_manager_records_lag{SEL, clientid=~".*replication-consumer\""}) by (partition, topic))"#,
    "sum(rate(kafka_consumer_incoming_byte_total{SEL}[5m])) by (kubernetes_pod_name)",
    "sum(rate(kafka_producer_outgoing_byte_total{SEL}[5m])) by (kubernetes_pod_name)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms{SEL}) by (partition, topic)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_avg{SEL}) by (partition, topic)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_min{SEL}) by (partition, topic)",
    "sum(kafka_connect_mirror_mirrorsourceconnector_replication_latency_ms_max{SEL}) by (partition, topic)",
    "sum by (source, target, topic, partition, group) (kafka_connect_mirror_mirrorcheckpointconnector_checkpoint_latency_ms{SEL})",
    r#"sum(kafka_producer_buffer_available_bytes{clientid=~"\".*SourceConnector-[0-9]+\""})"#,
    r#"sum(kafka_connect_connector_task_offset_commit_avg_time_ms{connector=~"\".*SourceConnector\"", task=~"[0-9]+"}) / count(kafka_connect_connector_task_offset_commit_avg_time_ms{connector=~"\".*SourceConnector\"", task=~"[0-9]+"})"#,
    r#"sum(kafka_connect_source_task_source_record_active_count{connector=~"\".*SourceConnector\""})"#,
    "sum(kafka_connect_coordinator_assigned_connectors{SEL}) by (kubernetes_pod_name)",
    "sum(kafka_connect_coordinator_assigned_tasks{SEL}) by (kubernetes_pod_name)",
    "sum(kafka_connect_worker_rebalance_rebalancing{SEL})",
    // Alerts, without the comparison: a healthy flow is not beyond it.
    "sum(kafka_connect_worker_connector_failed_task_count) by (namespace, pod)",
    "sum(kafka_connect_connector_status) by (namespace, pod)",
    "sum(rate(process_cpu_seconds_total{SEL}[5m])) by (kubernetes_pod_name)",
    "sum(process_resident_memory_bytes{SEL}) by (kubernetes_pod_name)",
];

/// Strimzi's alerts that ask us; both mean that something has failed.
const STRIMZI_ALERTS: &[&str] = &[
    r#"sum(kafka_connect_connector_status{status="failed"}) by (namespace, pod) > 0"#,
    "sum(kafka_connect_worker_connector_failed_task_count) by (namespace, pod) > 0",
];

/// One of Prometheus' programs.
fn program(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("PROMETHEUS_HOME").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = home.into_iter().chain(std::env::split_paths(&path));
    let found = folders
        .map(|folder| folder.join(name))
        .find(|at| at.is_file());
    if found.is_none() {
        eprintln!(
            "skipped: no `{name}` on the PATH or in PROMETHEUS_HOME; Debian's package `prometheus` has it"
        );
    }
    found
}

/// Prometheus on a port of its own.
struct Prometheus {
    address: String,
    process: Process,
    _folder: TempDir,
}

impl Prometheus {
    fn start(program: PathBuf, target: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("prometheus.yml");
        let scrape = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{ALERTS}']\nscrape_configs:\n- job_name: mm2\n  static_configs:\n  \
             - {{targets: ['{target}'], labels: {{{LABELS}}}}}\n"
        );
        std::fs::write(&file, scrape).unwrap();
        let address = free_address();
        let mut command = Command::new(program);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"));
        let log = folder.path().join("prometheus.log");
        let process = Process::spawn("prometheus", command, &log).unwrap();
        Self {
            address,
            process,
            _folder: folder,
        }
    }

    fn get(&self, path: &str) -> Option<Value> {
        // While it starts, nobody listens.
        std::net::TcpStream::connect(&self.address).ok()?;
        // In HTTP/1.0 long answers have no chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let answer = send(&self.address, request.as_bytes())?;
        (answer.status == 200).then(|| answer.json())
    }

    /// The values of an expression now.
    fn query(&self, expression: &str) -> Vec<Value> {
        let path = format!("/api/v1/query?query={}", encoded(expression));
        let answer = self.get(&path);
        let result = answer
            .as_ref()
            .and_then(|answer| answer["data"]["result"].as_array());
        result.cloned().unwrap_or_default()
    }
}

/// Where nobody listens yet.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

/// All expressions of our own dashboard, with its variables set as Grafana does.
fn of_our_dashboard() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let expressions = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let set = |text: String| {
        text.replace("$flow", ".*")
            .replace("$instance", ".*")
            .replace("$__rate_interval", "5m")
    };
    expressions.map(set).collect()
}

fn expressions_of_dashboards_and_alerts_give_values(kind: Kind) {
    let Some(prometheus) = program("prometheus") else {
        return;
    };
    let pair = kind.shared_pair().unwrap();
    let (east, topic) = (pair.east.client().unwrap(), unique("scraped"));
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic)
        .with(&format!("groups = {topic}.*"))
        .with("tasks.max = 2");
    let load = Load::start(pair.east, &topic, 2);
    load.await_more(1_000);
    let group = format!("{topic}-group");
    east.commit_offsets(&group, &topic, &[(0, 100), (1, 100)])
        .unwrap();
    let mut product = run_with(&flow.properties(), &["--rest", "127.0.0.1:0"]);
    product
        .await_output("REST and metrics url", PATIENCE)
        .unwrap();
    let address = address_in(&product.output()).unwrap();
    let mut prometheus = Prometheus::start(prometheus, &address);

    let strimzi = STRIMZI.iter().map(|text| text.replace("SEL", SEL));
    let mut missing: Vec<String> = strimzi.chain(of_our_dashboard()).collect();
    let all = missing.len();
    await_ok("values of all expressions", PATIENCE, || {
        prometheus
            .process
            .check_running()
            .map_err(|error| format!("{error:?}"))?;
        missing.retain(|expression| {
            let values = prometheus.query(expression);
            !values
                .iter()
                .any(|value| value["value"][1].as_str() != Some("NaN"))
        });
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join("\n"))
        }
    })
    .unwrap();
    println!("{all} expressions have values under load");
    let tasks = prometheus.query(&format!("sum(kafka_connect_worker_task_count{{{SEL}}})"));
    assert_eq!(
        tasks[0]["value"][1], "5",
        "two that copy, one of checkpoints, one of heartbeats each way"
    );
    for alert in STRIMZI_ALERTS {
        assert_eq!(prometheus.query(alert), [] as [Value; 0], "{alert}");
    }
    let rules = prometheus.get("/api/v1/rules").unwrap();
    let rules = rules["data"]["groups"][0]["rules"]
        .as_array()
        .unwrap()
        .clone();
    assert!(rules.len() >= 5, "{rules:?}");
    await_that("no alert of our own in a healthy flow", PATIENCE, || {
        let alerts = prometheus.get("/api/v1/alerts").unwrap();
        // The load's records are of 2023: their latency is years.
        let others = |alert: &Value| alert["labels"]["alertname"] != "CrosscurrentLatencyHigh";
        let alerts = alerts["data"]["alerts"].as_array();
        alerts.is_some_and(|alerts| !alerts.iter().any(others))
    })
    .unwrap();
    load.stop();
    stop(&mut product);
    drop(prometheus.process.kill());
}

/// Goal: Prometheus' own checker finds no fault in the alerts.
#[test]
fn alerts_are_well_formed() {
    let Some(promtool) = program("promtool") else {
        return;
    };
    let output = Command::new(promtool)
        .args(["check", "rules", ALERTS])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Goal: Prometheus' own checker understands the text of a product, and has no fault to find with our own names.
#[test]
fn the_text_is_well_formed() {
    use std::io::Write;
    let Some(promtool) = program("promtool") else {
        return;
    };
    let pair = Kind::Embedded.shared_pair().unwrap();
    let topic = unique("text");
    pair.east
        .client()
        .unwrap()
        .create_topic(&topic, 2, 1, &[])
        .unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let mut product = run_with(&flow.properties(), &["--rest", "127.0.0.1:0"]);
    product
        .await_output("REST and metrics url", PATIENCE)
        .unwrap();
    let address = address_in(&product.output()).unwrap();
    await_that("its partitions", PATIENCE, || {
        ask(&address, "GET", "/v1/partitions?state=running", "").json()["total"] == 2
    })
    .unwrap();
    let text = ask(&address, "GET", "/metrics", "").body;
    let mut check = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    check
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = check.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("error while linting"), "{said}");
    // It would have MirrorMaker 2's names otherwise; those are given.
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("crosscurrent_"))
        .collect();
    assert_eq!(ours, [] as [&str; 0]);
    stop(&mut product);
}
