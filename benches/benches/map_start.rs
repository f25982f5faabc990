//! A start with large offset maps: until the first record of a small topic is copied, with and without them.
//! `--partitions N`, `--entries N` (of all together).

use std::time::Duration;

use anyhow::Result;
use crosscurrent_benches::{Args, Pair, Report, Usage, map_records};
use scenarios::client::{TestRecord, numbered};

const MAPS: &str = "mm2-offset-map.east.internal";
const TOPIC: &str = "orders";
const COPY: &str = "east.orders";
const PATIENCE: Duration = Duration::from_secs(120);
/// Records written at once.
const STEP: usize = 2_000;

fn main() -> Result<()> {
    let args = Args::read();
    let partitions: i32 = args.number("--partitions", 1_000, 10)?;
    let entries: i64 = args.number("--entries", 10_000_000, 10_000)?;
    let program = args.program()?;
    let pair = Pair::start()?;
    pair.source.create_topic(TOPIC, 1, 1, &[])?;
    let compacted = [("cleanup.policy", "compact")];
    pair.target.create_topic(MAPS, 1, 1, &compacted)?;
    let mut report = Report::new("map_start");

    let first = start(&pair, &program, 0)?;
    report.add("without_maps_seconds", first.seconds);
    report.add("without_maps_cpu_seconds", first.cpu_seconds);
    report.add("without_maps_rss_mb_peak", first.rss_mb_peak);

    let records = map_records("large", partitions, entries / i64::from(partitions))?;
    report.add("records", records.len() as f64);
    for chunk in records.chunks(STEP) {
        let records: Vec<_> = chunk
            .iter()
            .map(|(key, value)| TestRecord {
                key: Some(key.clone()),
                value: Some(value.clone()),
                timestamp_ms: 1_700_000_000_000,
                ..TestRecord::default()
            })
            .collect();
        pair.target.produce(MAPS, &records)?;
    }
    let second = start(&pair, &program, 1)?;
    report.add("with_maps_seconds", second.seconds);
    report.add("with_maps_cpu_seconds", second.cpu_seconds);
    report.add("with_maps_rss_mb_peak", second.rss_mb_peak);
    report.print(args.json);
    Ok(())
}

/// From the start until one more record is copied.
fn start(pair: &Pair, program: &std::path::Path, id: u64) -> Result<Usage> {
    let copied = || {
        pair.target
            .end_offsets(COPY)
            .unwrap_or_default()
            .iter()
            .sum::<i64>()
    };
    let before = copied();
    pair.source.produce(TOPIC, &numbered(id..id + 1, 1, 100))?;
    let mut product = pair.replicate(program, TOPIC)?;
    // The second start leaves a marker before its record.
    let goal = before + if before > 0 { 2 } else { 1 };
    let usage = product.await_usage("the record", PATIENCE, || copied() >= goal)?;
    product.stop()?;
    Ok(usage)
}
