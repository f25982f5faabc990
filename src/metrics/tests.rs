use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{PartitionKey, Worker};
use topology::{MirrorConfig, Properties};

use super::table::{MM2, Metric, NATIVE, PROCESS};
use crate::rest::{Api, now_ms};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
const BEGIN: &str = "<!-- made from src/metrics/table.rs: begin -->\n";
const END: &str = "<!-- end -->";

/// Looks at a flow `a->b` whose clusters are not there, with this many partitions that have copied something.
fn with_api(partitions: i32, look: impl FnOnce(&Api)) {
    actix::System::new().block_on(async {
        let (api, worker) = api(partitions);
        look(&api);
        worker.stop(Duration::from_secs(1)).await;
    });
}

fn api(partitions: i32) -> (Api, Worker) {
    let file = "clusters = a, b\na.bootstrap.servers = 127.0.0.1:1\nb.bootstrap.servers = 127.0.0.1:1\n\
                a->b.enabled = true\na->b.tasks.max = 2\n";
    let config = MirrorConfig::read(Properties::parse(file.as_bytes()).unwrap(), &[]).unwrap();
    let worker = Worker::start(config.flows()).unwrap();
    for number in 0..partitions {
        let status = worker.registry().partition(PartitionKey {
            flow: "a->b".into(),
            topic: format!("a-topic-of-usual-length-{}", number / 10).into(),
            partition: number % 10,
        });
        status.start_at(0);
        status.saw_log(0, 1_200);
        status.fetched(1_000, 1_200);
        status.fetched_after(12);
        status.acknowledged(899, 900, 123_456, 1_795_353_638_426);
        status.acknowledged_after(15);
        status.count_reencoded(1);
    }
    for flow in worker.flows() {
        worker.registry().flow(&flow.label).stores.record(7);
        let at = (Arc::from("orders"), 0);
        (flow.groups).note_checkpoint(&"g-1".into(), &at, &"a.orders".into(), 67, now_ms());
    }
    let api = Api::new(&worker, &config, Arc::from("127.0.0.1:8083"), None);
    (api, worker)
}

/// Name to type.
type Kinds<'a> = BTreeMap<&'a str, &'a str>;
/// Name to the names of the labels, and one whole set of labels.
type Series<'a> = BTreeMap<&'a str, (Vec<&'a str>, &'a str)>;

/// Name to type, and name to the names of the labels and one whole set of labels.
fn parse(text: &str) -> (Kinds<'_>, Series<'_>) {
    let (mut kinds, mut series) = (BTreeMap::new(), BTreeMap::new());
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(kinds.insert(name, kind).is_none(), "{name} is there twice");
        } else if !line.starts_with('#') {
            let (name, labels) = match line.split_once('{') {
                Some((name, rest)) => (name, rest.rsplit_once('}').unwrap().0),
                None => (line.split(' ').next().unwrap(), ""),
            };
            let names = labels
                .split("\",")
                .filter_map(|pair| Some(pair.split_once('=')?.0));
            series.entry(name).or_insert((names.collect(), labels));
        }
    }
    (kinds, series)
}

/// Goal: names, types, names of labels and the odd quoted values are those that real MM2 showed behind the JMX exporter
/// (recorded; figures are not compared, nor the client id of a Connect worker, which is the flow's here).
#[test]
fn mm2_series_look_as_recorded() {
    with_api(10, |api| {
        let text = api.metrics();
        let (kinds, series) = parse(&text);
        let golden = include_str!("golden/connect-prometheus.txt");
        let (golden_kinds, golden_series) = parse(golden);
        assert_eq!(golden_kinds.len(), MM2.len());
        for (name, kind) in golden_kinds {
            assert_eq!(kinds.get(name), Some(&kind), "{name}");
        }
        for (name, (names, labels)) in golden_series {
            let (our_names, our_labels) = series.get(name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(*our_names, names, "{name}");
            for wanted in labels
                .split("\",")
                .filter(|pair| pair.contains("MirrorSourceConnector"))
            {
                let wanted = wanted.trim_end_matches('"');
                assert!(
                    our_labels.contains(wanted),
                    "{name}: {wanted} is not in {our_labels}"
                );
            }
        }
    });
}

/// Goal: every family of the table is there, with the labels that the table names, and no other.
#[test]
fn every_family_is_in_the_table() {
    with_api(10, |api| {
        let text = api.metrics();
        let (kinds, series) = parse(&text);
        let table: BTreeMap<&str, &Metric> = NATIVE
            .iter()
            .chain(PROCESS)
            .chain(MM2)
            .map(|metric| (metric.name, metric))
            .collect();
        assert_eq!(
            table.keys().collect::<Vec<_>>(),
            kinds.keys().collect::<Vec<_>>()
        );
        for (name, (labels, _)) in series {
            let histogram = ["_bucket", "_sum", "_count"]
                .into_iter()
                .find_map(|ending| table.get(name.strip_suffix(ending)?));
            let metric = table
                .get(name)
                .or(histogram)
                .unwrap_or_else(|| panic!("{name}"));
            let labels: Vec<_> = labels.into_iter().filter(|label| *label != "le").collect();
            assert_eq!(labels.join(", "), metric.labels, "{name}");
        }
    });
}

/// Goal: `docs/metrics.md` lists what there is. `UPDATE_DOCS=1` writes it.
#[test]
fn the_document_is_up_to_date() {
    let rows = |metrics: &[Metric]| -> String {
        let row = |m: &Metric| {
            format!(
                "| `{}` | {} | {} | {} |\n",
                m.name, m.kind, m.labels, m.help
            )
        };
        let rows: String = metrics.iter().map(row).collect();
        format!("| Name | Type | Labels | Meaning |\n|---|---|---|---|\n{rows}")
    };
    let made = format!(
        "{BEGIN}\n## Our own\n\n{}\n## The process's\n\n{}\n## MirrorMaker 2's\n\n{}\n{END}",
        rows(NATIVE),
        rows(PROCESS),
        rows(MM2)
    );
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).unwrap();
    let after = rest.split_once(END).unwrap().1;
    let wanted = format!("{before}{made}{after}");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &wanted).unwrap();
    } else {
        assert!(
            wanted == document,
            "docs/metrics.md is old: run this test with UPDATE_DOCS=1"
        );
    }
}

/// Goal: 10,000 partitions are all there. How long a scrape takes is printed, not judged: machines differ.
#[test]
fn ten_thousand_partitions_are_shown() {
    with_api(10_000, |api| {
        let took = (0..3).map(|_| {
            let began = Instant::now();
            let text = api.metrics();
            let counted = text
                .matches("crosscurrent_partition_records_total{")
                .count();
            assert_eq!(counted, 10_000);
            (began.elapsed(), text.len())
        });
        let (took, bytes) = took.min().unwrap();
        println!("/metrics of 10,000 partitions: {took:?}, {bytes} bytes");
    });
}

/// Goal: above the bound single partitions are left out, and that is said; flows stay.
#[test]
fn too_many_partitions_are_left_out() {
    with_api(i32::try_from(super::PARTITIONS_MAX).unwrap() + 1, |api| {
        let text = api.metrics();
        assert!(!text.contains("crosscurrent_partition_records_total{"));
        assert!(!text.contains("kafka_consumer_fetch_manager_records_lag{"));
        assert!(text.contains("crosscurrent_partitions_left_out 20001\n"));
        assert!(text.contains("crosscurrent_flow_records_total{flow=\"a->b\"} 18000900\n"));
    });
}

/// Goal: every metric that our dashboard or our alerts name exists.
#[test]
fn dashboard_and_alerts_name_what_exists() {
    let known = |name: &str| {
        let endings = ["", "_bucket", "_sum", "_count"];
        (NATIVE.iter().chain(PROCESS).chain(MM2)).any(|metric| {
            let parts = if metric.kind == "histogram" {
                &endings[1..]
            } else {
                &endings[..1]
            };
            name.strip_prefix(metric.name)
                .is_some_and(|rest| parts.contains(&rest))
        })
    };
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    for (file, least) in [("grafana-dashboard.json", 20), ("alerts.yaml", 9)] {
        let text =
            std::fs::read_to_string(format!("{}/docs/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let named: std::collections::BTreeSet<&str> = text
            .split(word)
            .filter(|name| {
                ["crosscurrent_", "kafka_", "process_"]
                    .iter()
                    .any(|begin| name.starts_with(begin))
            })
            .collect();
        let missing: Vec<_> = named.iter().filter(|name| !known(name)).collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
        assert!(named.len() >= least, "{file}: only {named:?}");
    }
}

/// Goal: buckets are cumulative, and the last one is the count.
#[test]
fn a_histogram_adds_up() {
    with_api(10, |api| {
        let text = api.metrics();
        let value = |line: &str| {
            let begin = format!("crosscurrent_flow_latency_seconds_{line} ");
            let found = text.lines().find_map(|line| line.strip_prefix(&begin));
            found.unwrap_or_else(|| panic!("no {begin}")).to_owned()
        };
        // Ten batches of 15 ms.
        assert_eq!(value("bucket{flow=\"a->b\",le=\"0.01\"}"), "0");
        assert_eq!(value("bucket{flow=\"a->b\",le=\"0.025\"}"), "10");
        assert_eq!(value("bucket{flow=\"a->b\",le=\"+Inf\"}"), "10");
        assert_eq!(value("count{flow=\"a->b\"}"), "10");
        assert_eq!(value("sum{flow=\"a->b\"}"), "0.15");
    });
}
