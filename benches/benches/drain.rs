//! How long, and with how much processor time and memory, the product copies what is already there
//! (`docs/spec/baseline.md`, first rows). `--records N`, `--batch-records N`, `--tls` (both clusters, certificates on both sides).

use std::time::Duration;

use anyhow::{Result, ensure};
use crosscurrent_benches::{Args, Pair, RECORD_BYTES, Report, checksum, load, topic_bytes};
use scenarios::client::Codec;

const TOPIC: &str = "orders";
const COPY: &str = "east.orders";
const PARTITIONS: u64 = 4;
/// 100 KB before compression: between a producer's default of 16 KB and a tuned one's 512 KB.
const BATCH_RECORDS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(600);
/// What this project promises.
const CPU_SECONDS_PER_GB_MAX: f64 = 0.9;
/// With TLS. A broker sends one TLS record (16 KB) at a time, and as long as it is slower than we are, each wakes us: that costs
/// more than decrypting does, and reading 64 KB at once changes nothing.
const CPU_SECONDS_PER_GB_TLS_MAX: f64 = 1.5;
const RSS_MB_MAX: f64 = 150.0;
const FIRST_RECORD_SECONDS_MAX: f64 = 2.0;

fn main() -> Result<()> {
    let args = Args::read();
    let records = args.number("--records", 1_000_000, 5_000)?;
    let batch_records = args.number("--batch-records", BATCH_RECORDS, BATCH_RECORDS)?;
    let program = args.program()?;
    let pair = Pair::start()?;
    pair.source
        .create_topic(TOPIC, i32::try_from(PARTITIONS)?, 1, &[])?;
    let written = load(
        &pair.source,
        TOPIC,
        records,
        PARTITIONS,
        batch_records,
        Codec::Lz4,
    )?;
    let wire_bytes = topic_bytes(pair.east.cluster(), TOPIC)?;

    let security = match args.has("--tls") {
        true => pair.through_tls()?,
        false => String::new(),
    };
    let mut product = pair.replicate_with(&program, TOPIC, &security)?;
    let copied = || -> u64 {
        // The remote topic is not there at first.
        let ends = pair.target.end_offsets(COPY).unwrap_or_default();
        ends.iter()
            .map(|end| u64::try_from(*end).unwrap_or(0))
            .sum()
    };
    let first = product.await_usage("the first record", PATIENCE, || copied() > 0)?;
    let last = product.await_usage("the last record", PATIENCE, || copied() >= records)?;
    product.stop()?;

    ensure!(
        copied() == records,
        "{} records copied, {records} written",
        copied()
    );
    let found = checksum(&pair.target, COPY)?;
    ensure!(
        found == written,
        "the copy differs: {found:?}, written {written:?}"
    );

    let seconds = last.seconds - first.seconds;
    let gb = (records * u64::try_from(RECORD_BYTES)?) as f64 / 1e9;
    let mut report = Report::new("drain");
    report.add("records", records as f64);
    report.add("gb_before_compression", gb);
    report.add("gb_on_the_wire", wire_bytes as f64 / 1e9);
    report.promise(
        "first_record_seconds",
        first.seconds,
        FIRST_RECORD_SECONDS_MAX,
    );
    report.add("first_record_cpu_seconds", first.cpu_seconds);
    report.add("drain_seconds", seconds);
    report.add("mb_per_second_before_compression", gb * 1e3 / seconds);
    report.add(
        "mb_per_second_on_the_wire",
        wire_bytes as f64 / 1e6 / seconds,
    );
    let cpu_seconds = (last.cpu_seconds - first.cpu_seconds) / gb;
    report.promise(
        "cpu_seconds_per_gb_before_compression",
        cpu_seconds,
        match args.has("--tls") {
            true => CPU_SECONDS_PER_GB_TLS_MAX,
            false => CPU_SECONDS_PER_GB_MAX,
        },
    );
    report.promise("rss_mb_peak", last.rss_mb_peak, RSS_MB_MAX);
    report.print(args.json);
    Ok(())
}
