//! What the demo says on standard output: lines for people, or JSON for programs.

use std::time::Duration;

use actors::PartitionState;
use serde_json::{Value, json};

use super::proof::Proof;
use super::sample::{FlowSample, Sample};

/// Milliseconds with as many digits as tell something.
pub(crate) fn millis(micros: u64) -> String {
    let millis = super::sample::as_f64(micros) / 1e3;
    if millis < 10.0 {
        format!("{millis:.1}")
    } else {
        format!("{millis:.0}")
    }
}

/// `12 s left`; what the phase is otherwise.
pub(crate) fn left(sample: &Sample) -> String {
    match (sample.phase, sample.left) {
        (super::sample::Phase::Running, Some(left)) => {
            format!("{} s left", left.as_secs_f64().ceil())
        }
        (super::sample::Phase::Running, None) => "until Ctrl-C".to_owned(),
        (phase, _) => phase.as_str().to_owned(),
    }
}

/// `12 running, 1 halted`: only states that occur.
pub(crate) fn states(counts: &[u64; 5]) -> String {
    let occur: Vec<String> = PartitionState::ALL
        .iter()
        .zip(counts)
        .filter(|(_, count)| **count > 0)
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    occur.join(", ")
}

/// What was started, for people.
pub(crate) fn start(sample: &Sample) -> String {
    let clusters = sample
        .clusters
        .each_ref()
        .map(|cluster| format!("{} {}", cluster.alias, cluster.bootstrap));
    format!(
        "{}  (bootstrap servers for any Kafka tool; run {:08x})",
        clusters.join("  "),
        sample.run
    )
}

/// What the first crossing took, over both flows.
pub(crate) fn first(sample: &Sample) -> String {
    let first = sample.flows.iter().filter_map(|flow| flow.first_crossing);
    first
        .min()
        .map_or("first record is on its way".to_owned(), |first| {
            format!("first record crossed after {:.2} s", first.as_secs_f64())
        })
}

/// One line per second: both flows.
pub(crate) fn progress(sample: &Sample) -> String {
    let flows = sample.flows.each_ref().map(|flow| {
        let FlowSample { label, records, records_rate, bytes_rate, lag, latency, .. } = flow;
        format!(
            "{label} {records} records {records_rate:.0}/s {:.1} MB/s lag {lag} p50 {} p99 {} max {} ms",
            bytes_rate / 1e6,
            millis(latency.p50_us),
            millis(latency.p99_us),
            millis(latency.max_us),
        )
    });
    let mut line = format!(
        "{:5.1} s  {}  {}",
        sample.elapsed.as_secs_f64(),
        left(sample),
        flows.join("  |  ")
    );
    for topic in &sample.topics {
        if let Some(reason) = &topic.reason {
            line += &format!("\n         {} {}-{reason}", topic.flow, topic.topic);
        }
    }
    line
}

/// What ends the demo for people.
pub(crate) fn summary(sample: &Sample, proof: &Proof) -> String {
    let mut text = String::new();
    for flow in &sample.flows {
        let FlowSample {
            label,
            latency,
            first_crossing,
            ..
        } = flow;
        let first = first_crossing.map_or("never".to_owned(), |first| {
            format!("after {:.2} s", first.as_secs_f64())
        });
        text += &format!(
            "{label}: first record crossed {first}; producer to consumer p50 {} ms, p99 {} ms, max {} ms\n",
            millis(latency.p50_us),
            millis(latency.p99_us),
            millis(latency.max_us),
        );
    }
    for finding in &proof.findings {
        text += &format!("{finding}\n");
    }
    for stray in &proof.strays {
        text += &format!("{stray}: should not be there\n");
    }
    if !proof.stopped_cleanly {
        text += "crosscurrent did not stop cleanly\n";
    }
    text + if proof.holds() {
        "proved: each side holds every record of the other exactly once and in order, and no topic came home"
    } else {
        "NOT proved: see above"
    }
}

/// The first JSON object: what was started.
pub(crate) fn json_start(sample: &Sample, config: &str) -> Value {
    let clusters = sample
        .clusters
        .each_ref()
        .map(|cluster| json!({"alias": cluster.alias, "bootstrap": cluster.bootstrap}));
    json!({"type": "start", "run": format!("{:08x}", sample.run), "clusters": clusters, "config": config})
}

/// One JSON object per second.
pub(crate) fn json_progress(sample: &Sample) -> Value {
    json!({
        "type": "progress",
        "phase": sample.phase.as_str(),
        "elapsed_seconds": seconds(sample.elapsed),
        "left_seconds": sample.left.map(seconds),
        "clusters": sample.clusters.each_ref().map(|cluster| json!({
            "alias": cluster.alias,
            "records_written": cluster.written,
            "records_written_per_second": cluster.written_rate.round(),
            "records_read": cluster.read,
            "records_read_per_second": cluster.read_rate.round(),
        })),
        "flows": flows(sample),
        "topics": sample.topics.iter().map(|topic| json!({
            "flow": &*topic.flow,
            "topic": &*topic.topic,
            "records": topic.records,
            "lag_records": topic.lag,
            "partitions": json_states(&topic.states),
            "reason": topic.reason,
        })).collect::<Vec<_>>(),
    })
}

/// The last JSON object.
pub(crate) fn json_summary(sample: &Sample, proof: &Proof) -> Value {
    json!({
        "type": "summary",
        "proved": proof.holds(),
        "elapsed_seconds": seconds(sample.elapsed),
        "flows": flows(sample),
        "findings": proof.findings.iter().map(|finding| json!({
            "topic": finding.what,
            "written": finding.written,
            "stored": finding.stored,
            "read": finding.read,
            "lost": finding.faults.lost,
            "doubled": finding.faults.doubled,
            "out_of_order": finding.faults.out_of_order,
            "foreign": finding.faults.foreign,
        })).collect::<Vec<_>>(),
        "strays": proof.strays,
        "stopped_cleanly": proof.stopped_cleanly,
    })
}

fn flows(sample: &Sample) -> [Value; 2] {
    sample.flows.each_ref().map(|flow| {
        json!({
            "flow": &*flow.label,
            "records": flow.records,
            "records_per_second": flow.records_rate.round(),
            "bytes_per_second": flow.bytes_rate.round(),
            "lag_records": flow.lag,
            "latency_ms": {
                "p50": super::sample::as_f64(flow.latency.p50_us) / 1e3,
                "p99": super::sample::as_f64(flow.latency.p99_us) / 1e3,
                "max": super::sample::as_f64(flow.latency.max_us) / 1e3,
            },
            "first_crossing_seconds": flow.first_crossing.map(seconds),
            "trouble": flow.trouble,
            "partitions": json_states(&flow.states),
        })
    })
}

fn json_states(counts: &[u64; 5]) -> Value {
    let states = PartitionState::ALL.iter().zip(counts);
    states
        .map(|(state, count)| (state.to_string(), json!(count)))
        .collect()
}

/// With milliseconds.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::super::ledger::Faults;
    use super::super::proof::Finding;
    use super::super::reader::Latency;
    use super::super::sample::{Phase, TopicSample};
    use super::*;

    fn sample() -> Sample {
        let mut sample = Sample {
            phase: Phase::Running,
            left: Some(Duration::from_millis(7_100)),
            ..Sample::default()
        };
        sample.flows[0] = FlowSample {
            label: "east->west".into(),
            records: 1_000,
            records_rate: 99.6,
            bytes_rate: 1.26e6,
            lag: 3,
            latency: Latency {
                p50_us: 1_240,
                p99_us: 12_400,
                max_us: 99_900,
            },
            ..FlowSample::default()
        };
        sample.topics.push(TopicSample {
            flow: "east->west".into(),
            topic: "orders".into(),
            records: 1,
            lag: 2,
            states: [0, 2, 0, 1, 0],
            reason: Some("2: too large".to_owned()),
        });
        sample
    }

    #[test]
    fn a_line_tells_rates_latencies_and_what_does_not_run() {
        let line = progress(&sample());
        for needed in [
            "8 s left",
            "east->west 1000 records 100/s 1.3 MB/s lag 3 p50 1.2 p99 12 max 100 ms",
            "\n         east->west orders-2: too large",
        ] {
            assert!(line.contains(needed), "no {needed:?} in {line}");
        }
    }

    #[test]
    fn json_has_the_same_figures() {
        let object = json_progress(&sample());
        assert_eq!(object["flows"][0]["records_per_second"], 100.0);
        assert_eq!(object["flows"][0]["latency_ms"]["p50"], 1.24);
        assert_eq!(object["topics"][0]["partitions"]["halted"], 1);
        assert_eq!(object["topics"][0]["reason"], "2: too large");
        assert_eq!(object["left_seconds"], 7.1);
    }

    #[test]
    fn the_summary_says_what_is_wrong() {
        let mut proof = Proof {
            stopped_cleanly: true,
            ..Proof::default()
        };
        proof.findings.push(Finding {
            what: "east.orders on west".to_owned(),
            written: 5,
            read: 4,
            stored: 4,
            faults: Faults {
                lost: 1,
                ..Faults::default()
            },
        });
        proof.strays.push("east.orders on east".to_owned());
        let text = summary(&sample(), &proof);
        for needed in [
            "5 written, 4 stored, 4 read; 1 lost, 0 doubled",
            "east.orders on east: should not",
            "NOT proved",
        ] {
            assert!(text.contains(needed), "no {needed:?} in {text}");
        }
        let object = json_summary(&sample(), &proof);
        assert_eq!(
            (&object["proved"], &object["findings"][0]["lost"]),
            (&json!(false), &json!(1))
        );
    }
}
