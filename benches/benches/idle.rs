//! What many partitions cost while nothing happens, and how long they take to start: the first time, when the
//! target's broker has to create all of them, and again, when it does not. `--topics N`, `--seconds N`.

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
/// Between two looks at all partitions, which the target's broker has to answer.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Timestamp of the first record of each partition; the second is one later. Unit: milliseconds.
const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;

fn main() -> Result<()> {
    let args = Args::read();
    let topics: usize = args.number("--topics", 100, 3)?;
    let seconds: u64 = args.number("--seconds", 30, 1)?;
    let program = args.program()?;
    let pair = Pair::start()?;
    let names: Vec<String> = (0..topics).map(|n| format!("idle-{n}")).collect();
    for name in &names {
        pair.source.create_topic(name, PARTITIONS, 1, &[])?;
    }
    let copies: Vec<String> = names.iter().map(|name| format!("east.{name}")).collect();
    let all = topics * usize::try_from(PARTITIONS)?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", pair.west.cluster().bootstrap())
        .set("group.id", "benches")
        .create()?;
    // That a partition has started shows by a record that waited for it.
    let start = |timestamp_ms| -> Result<_> {
        for name in &names {
            pair.source.produce(name, &one_each(timestamp_ms))?;
        }
        let mut product = pair.replicate(&program, "idle-.*")?;
        let usage = product.await_usage("a record on every partition", PATIENCE, || {
            thread::sleep(LOOK_EVERY);
            holding(&consumer, &copies, timestamp_ms) == all
        })?;
        Ok((product, usage))
    };
    let (product, first) = start(FIRST_TIMESTAMP_MS)?;
    product.stop()?;
    let (mut product, again) = start(FIRST_TIMESTAMP_MS + 1)?;

    // What belongs to the start (positions stored, first rounds) is over after a while.
    thread::sleep(Duration::from_secs(seconds.min(10)));
    let before = product.usage()?;
    thread::sleep(Duration::from_secs(seconds));
    let after = product.usage()?;
    product.stop()?;

    let mut report = Report::new("idle");
    report.add("partitions", all as f64);
    report.add("first_start_seconds", first.seconds);
    report.add("first_start_cpu_seconds", first.cpu_seconds);
    report.add("start_seconds", again.seconds);
    report.add("start_cpu_seconds", again.cpu_seconds);
    let cores = (after.cpu_seconds - before.cpu_seconds) / (after.seconds - before.seconds);
    report.add("idle_cpu_cores", cores);
    report.add("rss_mb_peak", after.rss_mb_peak);
    report.print(args.json);
    Ok(())
}

/// A record for every partition of a topic.
fn one_each(timestamp_ms: i64) -> Vec<TestRecord> {
    let record = |partition| TestRecord {
        partition,
        value: Some(b"here".to_vec()),
        timestamp_ms,
        ..TestRecord::default()
    };
    (0..PARTITIONS).map(record).collect()
}

/// Counts the partitions that hold a record of this time or later, with one request for all of them.
fn holding(consumer: &BaseConsumer, topics: &[String], timestamp_ms: i64) -> usize {
    let Ok(metadata) = consumer.fetch_metadata(None, PATIENCE) else {
        return 0;
    };
    let there = |name: &str| metadata.topics().iter().any(|topic| topic.name() == name);
    // An unknown topic fails the whole request.
    if !topics.iter().all(|topic| there(topic)) {
        return 0;
    }
    let mut wanted = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..PARTITIONS {
            // librdkafka takes the time where the offset belongs, and answers with the offset.
            let time = Offset::Offset(timestamp_ms);
            if wanted.add_partition_offset(topic, partition, time).is_err() {
                return 0;
            }
        }
    }
    let found = consumer.offsets_for_times(wanted, PATIENCE);
    found.map_or(0, |found| {
        let offsets = found.elements().into_iter().map(|element| element.offset());
        offsets.filter(|at| matches!(at, Offset::Offset(_))).count()
    })
}
