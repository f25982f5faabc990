//! The embedded cluster: how quickly it starts, what many partitions cost, and how fast the product copies from one to
//! another. Both clusters live in this process, the product in one of its own. `--records N`, `--batch-records N`.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use crosscurrent_benches::{Args, RECORD_BYTES, Report, Running, checksum, load};
use embedded::{EmbeddedCluster, Settings};
use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::protocol::StrBytes;
use scenarios::client::Codec;
use scenarios::{KafkaClient, RawClient};

const TOPIC: &str = "orders";
const COPY: &str = "east.orders";
const PARTITIONS: u64 = 8;
const BATCH_RECORDS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(600);
const STARTS: usize = 21;
const TOPICS: usize = 1_000;
/// What this project promises.
const RECORDS_PER_SECOND_MIN: f64 = 300_000.0;
const START_MS_MAX: f64 = 50.0;
const TOPICS_MB_MAX: f64 = 200.0;

fn main() -> Result<()> {
    let args = Args::read();
    let records = args.number("--records", 1_000_000, 5_000)?;
    let batch_records = args.number("--batch-records", BATCH_RECORDS, BATCH_RECORDS)?;
    let program = args.program()?;
    let mut report = Report::new("embedded");
    report.promise("start_ms_median", start_ms()?, START_MS_MAX);
    let topics = if args.full { TOPICS } else { 10 };
    report.promise("topics_mb", topics_mb(topics)?, TOPICS_MB_MAX);
    for codec in [Codec::None, Codec::Lz4] {
        let start = || EmbeddedCluster::start_with(Settings::default());
        let (east, west) = (start()?, start()?);
        let client = |cluster: &EmbeddedCluster| KafkaClient::connect(&cluster.bootstrap());
        let (source, target) = (client(&east).map_err(said)?, client(&west).map_err(said)?);
        let keep = [("retention.ms", "-1")]; // the records are of 2023
        let partitions = i32::try_from(PARTITIONS)?;
        source
            .create_topic(TOPIC, partitions, 1, &keep)
            .map_err(said)?;
        target
            .create_topic(COPY, partitions, 1, &keep)
            .map_err(said)?;
        let written = load(&source, TOPIC, records, PARTITIONS, batch_records, codec)?;

        let own_before = own_cpu_seconds()?;
        let mut product = Running::start(&source, &target, &program, TOPIC)?;
        let copied = || -> u64 {
            let ends = target.end_offsets(COPY).unwrap_or_default();
            ends.iter()
                .map(|end| u64::try_from(*end).unwrap_or(0))
                .sum()
        };
        let first = product.await_usage("the first record", PATIENCE, || copied() > 0)?;
        let last = product.await_usage("the last record", PATIENCE, || copied() >= records)?;
        let own = own_cpu_seconds()? - own_before;
        product.stop()?;
        ensure!(
            copied() == records,
            "{} records copied, {records} written",
            copied()
        );
        let found = checksum(&target, COPY)?;
        ensure!(
            found == written,
            "the copy differs: {found:?}, written {written:?}"
        );

        let name = codec.name();
        // From the start of the process: a small drain is over at the first look.
        let rate = records as f64 / last.seconds;
        report.add(format!("{name}_first_record_seconds"), first.seconds);
        // A few thousand records say nothing about speed.
        match args.full {
            true => report.promise_at_least(
                format!("{name}_records_per_second"),
                rate,
                RECORDS_PER_SECOND_MIN,
            ),
            false => report.add(format!("{name}_records_per_second"), rate),
        }
        let gb = (records * u64::try_from(RECORD_BYTES)?) as f64 / 1e9;
        report.add(
            format!("{name}_product_cpu_seconds_per_gb"),
            last.cpu_seconds / gb,
        );
        report.add(format!("{name}_clusters_cpu_seconds_per_gb"), own / gb);
        report.add(format!("{name}_product_rss_mb_peak"), last.rss_mb_peak);
    }
    report.print(args.json);
    Ok(())
}

fn start_ms() -> Result<f64> {
    let mut times = Vec::with_capacity(STARTS);
    for _ in 0..STARTS {
        let since = Instant::now();
        let cluster = EmbeddedCluster::start(1)?;
        // Started is what answers.
        RawClient::connect(&cluster.bootstrap())?
            .send(0, &kafka_protocol::messages::ApiVersionsRequest::default())?;
        times.push(since.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times.get(STARTS / 2).copied().context("no starts")
}

/// What topics of eight partitions each take, in millions of bytes of this process.
fn topics_mb(topics: usize) -> Result<f64> {
    let cluster = EmbeddedCluster::start(1)?;
    let mut client = RawClient::connect(&cluster.bootstrap())?;
    let before = resident_bytes()?;
    for first in (0..topics).step_by(100) {
        let named = |index: usize| {
            CreatableTopic::default()
                .with_name(StrBytes::from_string(format!("topic-{index}")).into())
                .with_num_partitions(8)
                .with_replication_factor(1)
        };
        let orders = (first..topics.min(first + 100)).map(named).collect();
        let request = CreateTopicsRequest::default()
            .with_topics(orders)
            .with_timeout_ms(30_000);
        let answer = client.send(5, &request)?;
        let refused = answer.topics.iter().find(|topic| topic.error_code != 0);
        ensure!(refused.is_none(), "refused: {refused:?}");
    }
    Ok(resident_bytes()?.saturating_sub(before) as f64 / 1e6)
}

fn resident_bytes() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text
        .split_whitespace()
        .nth(1)
        .context("statm is short")?
        .parse()?;
    Ok(pages * 4096)
}

/// User and system time of this process.
fn own_cpu_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = text.rsplit_once(')').context("stat has no name")?;
    let ticks: Vec<u64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<u64>() as f64 / 100.0)
}

/// The scenarios' errors say everything in their `Debug` text.
fn said(error: scenarios::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}
