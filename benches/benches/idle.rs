//! What many partitions cost while nothing happens, and how long they take to start. `--topics N`, `--seconds N`.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use crosscurrent_benches::{Args, Pair, Report};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use scenarios::client::TestRecord;

const PARTITIONS: i32 = 10;
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    let args = Args::read();
    let topics: usize = args.number("--topics", 100, 3)?;
    let seconds: u64 = args.number("--seconds", 30, 1)?;
    let program = args.program()?;
    let pair = Pair::start()?;
    let names: Vec<String> = (0..topics).map(|n| format!("idle-{n}")).collect();
    for name in &names {
        pair.source.create_topic(name, PARTITIONS, 1, &[])?;
        // One record in each, so that a partition's start shows on the target.
        let records: Vec<TestRecord> = (0..PARTITIONS)
            .map(|partition| TestRecord {
                partition,
                value: Some(b"here".to_vec()),
                timestamp_ms: 1_700_000_000_000,
                ..TestRecord::default()
            })
            .collect();
        pair.source.produce(name, &records)?;
    }

    let mut product = pair.replicate(&program, "idle-.*")?;
    let started = started_partitions(&pair.west.bootstrap(), &names)?;
    let all = topics * usize::try_from(PARTITIONS)?;
    let start =
        product.await_usage("a record on every partition", PATIENCE, || started() == all)?;
    // What belongs to the start (positions stored, first rounds) is over after a flush interval.
    thread::sleep(Duration::from_secs(seconds.min(10)));
    let before = product.usage()?;
    thread::sleep(Duration::from_secs(seconds));
    let after = product.usage()?;
    product.stop()?;

    let mut report = Report::new("idle");
    report.add("partitions", all as f64);
    report.add("start_seconds", start.seconds);
    report.add("start_cpu_seconds", start.cpu_seconds);
    let cores = (after.cpu_seconds - before.cpu_seconds) / (after.seconds - before.seconds);
    report.add("idle_cpu_cores", cores);
    report.add("rss_mb_peak", after.rss_mb_peak);
    report.print(args.json);
    Ok(())
}

/// Counts the copies' partitions that hold a record, with one request for all of them.
fn started_partitions(bootstrap: &str, names: &[String]) -> Result<impl Fn() -> usize + use<>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "benches")
        .set("topic.metadata.refresh.fast.interval.ms", "20")
        .create()?;
    let copies: Vec<String> = names.iter().map(|name| format!("east.{name}")).collect();
    Ok(move || {
        // An unknown topic fails the whole request, so look which ones there are first.
        let Ok(metadata) = consumer.fetch_metadata(None, PATIENCE) else {
            return 0;
        };
        let there: BTreeMap<&str, usize> = metadata
            .topics()
            .iter()
            .map(|topic| (topic.name(), topic.partitions().len()))
            .collect();
        let mut wanted = TopicPartitionList::new();
        for copy in &copies {
            if there.contains_key(copy.as_str()) {
                for partition in 0..PARTITIONS {
                    // From the epoch on: the first record's offset, or the end if there is none.
                    let time = Offset::Offset(0);
                    drop(wanted.add_partition_offset(copy, partition, time));
                }
            }
        }
        if there.len() < copies.len() || wanted.count() < copies.len() * 10 {
            return 0;
        }
        let found = consumer.offsets_for_times(wanted, PATIENCE);
        found.map_or(0, |found| {
            let elements = found.elements();
            let holds = |at: &Offset| *at == Offset::Offset(0);
            elements
                .iter()
                .filter(|element| holds(&element.offset()))
                .count()
        })
    })
}
