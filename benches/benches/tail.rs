//! Latency of a live stream: append time on the target minus append time on the source, as `docs/spec/baseline.md`
//! measures it, and the processor time that the product takes meanwhile. `--seconds N`, `--rate N`.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use crosscurrent_benches::{Args, Pair, Report, read};
use hdrhistogram::Histogram;
use rdkafka::config::ClientConfig;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const TOPIC: &str = "events";
const COPY: &str = "east.events";
const PARTITIONS: i32 = 4;
const VALUE_BYTES: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);
/// Appended by the broker, on one clock. Batches pass unchanged, the target's broker restamps them.
const APPEND_TIME: [(&str, &str); 1] = [("message.timestamp.type", "LogAppendTime")];
/// Brokers just started interpret their code; their first seconds are theirs, not the product's. Written, not counted.
const WARM_SECONDS: u64 = 15;
/// What MM2 needs for half of the records (`docs/spec/baseline.md`).
const P99_MS_MAX: f64 = 7.0;

fn main() -> Result<()> {
    let args = Args::read();
    let seconds: u64 = args.number("--seconds", 30, 2)?;
    let rate: u64 = args.number("--rate", 1_000, 500)?;
    let program = args.program()?;
    let pair = Pair::start()?;
    pair.source
        .create_topic(TOPIC, PARTITIONS, 1, &APPEND_TIME)?;
    pair.target
        .create_topic(COPY, PARTITIONS, 1, &APPEND_TIME)?;
    let mut product = pair.replicate(&program, TOPIC)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", pair.east.cluster().bootstrap())
        .set("linger.ms", "0")
        .create()?;
    // Warm: one record per partition has arrived, so connections and sessions are open.
    for partition in 0..PARTITIONS {
        send(&producer, partition)?;
    }
    let copied = || {
        let ends = pair.target.end_offsets(COPY).unwrap_or_default();
        ends.iter().sum::<i64>()
    };
    let before = product.await_usage("the first records", PATIENCE, || copied() == 4)?;
    let warm = i64::try_from(rate * if args.full { WARM_SECONDS } else { 1 })?;
    let warm = warm - warm % i64::from(PARTITIONS);
    let records = warm + i64::try_from(rate * seconds)?;
    let start = Instant::now();
    for n in 0..records {
        send(&producer, i32::try_from(n % i64::from(PARTITIONS))?)?;
        let due = start + Duration::from_nanos(1_000_000_000 / rate) * u32::try_from(n + 1)?;
        producer.poll(Duration::ZERO);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let after = product.usage()?;
    producer.flush(PATIENCE)?;
    let total = records + i64::from(PARTITIONS);
    product.await_usage("the last records", PATIENCE, || copied() >= total)?;
    product.stop()?;

    let appended = |cluster, topic| -> Result<Vec<Vec<i64>>> {
        let mut times = vec![Vec::new(); usize::try_from(PARTITIONS)?];
        read(cluster, topic, |message| {
            let partition = usize::try_from(message.partition()).unwrap_or(usize::MAX);
            if let (Some(times), Some(time)) =
                (times.get_mut(partition), message.timestamp().to_millis())
            {
                times.push(time);
            }
        })?;
        Ok(times)
    };
    let (source, target) = (
        appended(&pair.source, TOPIC)?,
        appended(&pair.target, COPY)?,
    );
    let mut latency_ms = Histogram::<u64>::new(3)?;
    let skip = usize::try_from(1 + warm / i64::from(PARTITIONS))?;
    for (source, target) in source.iter().zip(&target) {
        ensure!(
            source.len() == target.len(),
            "{} records, copied {}",
            source.len(),
            target.len()
        );
        for (source, target) in source.iter().zip(target).skip(skip) {
            let ms = u64::try_from(target - source).context("copied before it was written")?;
            latency_ms.record(ms)?;
        }
    }
    ensure!(
        latency_ms.len() == (records - warm).unsigned_abs(),
        "{} latencies",
        latency_ms.len()
    );
    let mut report = Report::new("tail");
    report.add("records_per_second", rate as f64);
    report.add("records", latency_ms.len() as f64);
    let quantile = |quantile| latency_ms.value_at_quantile(quantile) as f64;
    report.add("latency_ms_mean", latency_ms.mean());
    report.add("latency_ms_p50", quantile(0.5));
    report.promise("latency_ms_p99", quantile(0.99), P99_MS_MAX);
    report.add("latency_ms_p999", quantile(0.999));
    report.add("latency_ms_max", latency_ms.max() as f64);
    let cores = (after.cpu_seconds - before.cpu_seconds) / (after.seconds - before.seconds);
    report.add("cpu_cores", cores);
    report.add("rss_mb_peak", after.rss_mb_peak);
    report.print(args.json);
    Ok(())
}

fn send(producer: &BaseProducer, partition: i32) -> Result<()> {
    let value = [b'v'; VALUE_BYTES];
    let record = BaseRecord::<(), _>::to(TOPIC)
        .partition(partition)
        .payload(&value[..]);
    producer.send(record).map_err(|(error, _)| error)?;
    Ok(())
}
