//! What the exact offset map costs: a question, a batch that is acknowledged, and a start that reads it from its records.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use crosscurrent_benches::{Args, Report, TRANSACTION, map_records, transactional};
use engine::offsets::{MapStart, MapTable, OffsetMap, SharedMap};
use hdrhistogram::Histogram;

/// A look at the clock is dearer than one of the small calls.
const CALLS_PER_SAMPLE: u32 = 16;
const TOPIC: &str = "orders";

fn main() -> Result<()> {
    let args = Args::read();
    let entries: i64 = args.number("--entries", 10_000_000, 10_000)?;
    let partitions: i32 = args.number("--partitions", 1_000, 10)?;
    let samples: u32 = args.number("--samples", 100_000, 10)?;
    let mut report = Report::new("offset_map");
    let mut checksum = 0;

    let shapes = [
        // The same records without markers: one entry.
        ("dense", dense(entries * TRANSACTION)?),
        ("transactional", transactional(entries)?),
        ("compacted", compacted(entries)?),
    ];
    for (name, map) in &shapes {
        report.add(format!("{name}_entries"), map.entries() as f64);
        let per_entry = map.bytes() as f64 / map.entries() as f64;
        report.add(format!("{name}_entry_bytes"), per_entry);
        let mut random = Random(1);
        measure(&mut report, &format!("{name}_downstream"), samples, || {
            let asked = random.below(map.upstream_end());
            checksum ^= map.downstream(black_box(asked)).offset().unwrap_or(-1);
            Ok(())
        })?;
        measure(&mut report, &format!("{name}_upstream"), samples, || {
            let asked = random.below(map.downstream_end());
            checksum ^= map.upstream(black_box(asked)).offset().unwrap_or(-1);
            Ok(())
        })?;
    }
    drop(shapes);

    let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
    let mut at = 0;
    measure(&mut report, "acknowledged_dense", samples, || {
        shared.acknowledged(black_box(at), at, 100)?;
        at += 100;
        Ok(())
    })?;
    measure(&mut report, "ends_dense", samples, || {
        checksum ^= black_box(&shared).ends().0;
        Ok(())
    })?;
    let mut transaction = at / TRANSACTION;
    let offset = transaction;
    measure(&mut report, "acknowledged_transaction", samples, || {
        // A batch and its marker.
        let (upstream, downstream) = (transaction * 101 - offset, transaction * 100);
        shared.acknowledged(black_box(upstream), downstream, 100)?;
        shared.settle(upstream + 101, downstream + 100);
        transaction += 1;
        Ok(())
    })?;
    ensure!(shared.read(OffsetMap::entries) >= 1, "nothing was recorded");

    load(&mut report, partitions, entries / i64::from(partitions))?;
    report.add("checksum", checksum as f64);
    report.print(args.json);
    Ok(())
}

/// A start: all records of the topic, then every partition's map.
fn load(report: &mut Report, partitions: i32, entries: i64) -> Result<()> {
    let records = map_records(TOPIC, partitions, entries)?;
    let bytes: usize = records.iter().map(|(k, v)| k.len() + v.len()).sum();
    report.add("load_records", records.len() as f64);
    report.add("load_bytes", bytes as f64);

    let (start, cpu) = (Instant::now(), thread_cpu_ns()?);
    let mut table = MapTable::new();
    for (key, value) in &records {
        table.apply(Some(key), Some(value))?;
    }
    let mut maps = Vec::new();
    for partition in 0..partitions {
        maps.push(table.take(TOPIC, partition).context("has a head")?);
    }
    report.add("load_ms", start.elapsed().as_secs_f64() * 1e3);
    report.add("load_cpu_ms", (thread_cpu_ns()? - cpu) as f64 / 1e6);
    let loaded: usize = maps.iter().map(|loaded| loaded.map.entries()).sum();
    let in_memory: usize = maps.iter().map(|loaded| loaded.map.bytes()).sum();
    ensure!(
        maps.iter().all(|loaded| loaded.lost.is_empty()),
        "lost runs"
    );
    report.add("load_entries", loaded as f64);
    report.add("load_memory_bytes", in_memory as f64);
    Ok(())
}

fn dense(records: i64) -> Result<OffsetMap> {
    let mut map = OffsetMap::new(MapStart::Complete);
    map.push(0, 0, records.unsigned_abs())?;
    Ok(map)
}

/// Runs of 1 to 4 records with holes of 1 to 200 offsets between.
fn compacted(runs: i64) -> Result<OffsetMap> {
    let mut map = OffsetMap::new(MapStart::Complete);
    let mut random = Random(2);
    for _ in 0..runs {
        let upstream = map.upstream_end() + 1 + random.below(200);
        let length = 1 + random.below(4).unsigned_abs();
        map.push(upstream, map.downstream_end(), length)?;
    }
    Ok(map)
}

/// The same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: i64) -> i64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let scaled = (u128::from(self.0) * u128::from(end.unsigned_abs())) >> 64;
        i64::try_from(scaled).unwrap_or(i64::MAX)
    }
}

/// Calls `call` and reports nanoseconds per call.
fn measure(
    report: &mut Report,
    name: &str,
    samples: u32,
    mut call: impl FnMut() -> Result<()>,
) -> Result<()> {
    let mut nanos = Histogram::<u64>::new(3)?;
    for _ in 0..samples {
        let start = Instant::now();
        for _ in 0..CALLS_PER_SAMPLE {
            call()?;
        }
        let per_call = start.elapsed().as_nanos() / u128::from(CALLS_PER_SAMPLE);
        nanos.record(u64::try_from(per_call)?)?;
    }
    for (quantile, label) in [(0.5, "p50"), (0.99, "p99")] {
        let value = nanos.value_at_quantile(quantile) as f64;
        report.add(format!("{name}_ns_{label}"), value);
    }
    Ok(())
}

/// Time that this thread ran on a processor so far. Unit: nanoseconds.
fn thread_cpu_ns() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split_whitespace().next();
    Ok(first.context("schedstat is empty")?.parse()?)
}
