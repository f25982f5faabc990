//! What consumer groups read again, and skip, when they move to the copy; and how soon they can (`docs/spec/baseline.md`, the
//! failover rows). `--records N`; `--mm2` measures MirrorMaker 2 afterwards, on clusters of its own, with every interval
//! of 1 s instead of 60.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use crosscurrent_benches::{Args, Pair, Report, load};
use scenarios::await_that;
use scenarios::client::Codec;

const TOPIC: &str = "orders";
const COPY: &str = "east.orders";
const BATCH_RECORDS: u32 = 100;
const PATIENCE: Duration = Duration::from_secs(600);
/// How long groups may take; what has no offset on the copy then is counted as read again from its start.
const GROUPS_PATIENCE: Duration = Duration::from_secs(60);
const LINES: &str = "sync.group.offsets.enabled = true\ngroups = g-.*\n";
const MM2_LINES: &str = "emit.checkpoints.interval.seconds = 1\nsync.group.offsets.interval.seconds = 1\n\
    refresh.groups.interval.seconds = 1\neast.offset.flush.interval.ms = 1000\nwest.offset.flush.interval.ms = 1000\n";
/// What this project promises.
const FIRST_SYNC_SECONDS_MAX: f64 = 2.0;

fn main() -> Result<()> {
    let args = Args::read();
    let records: u64 = args.number("--records", 400_000, 5_000)?;
    let program = args.program()?;
    let mut report = Report::new("failover");
    report.add("records", records as f64);

    let pair = prepared(records)?;
    let product = pair.replicate_with(&program, TOPIC, LINES)?;
    let moved = groups_move(&pair, records)?;
    product.stop()?;
    report.promise("read_again_records", moved.read_again as f64, 0.0);
    report.promise("skipped_records", moved.skipped as f64, 0.0);
    report.promise("first_sync_seconds", moved.seconds, FIRST_SYNC_SECONDS_MAX);
    drop(pair);

    if args.has("--mm2") {
        let pair = prepared(records)?;
        let mirror_maker = pair.mirror(TOPIC, &format!("{LINES}{MM2_LINES}"))?;
        let moved = groups_move(&pair, records)?;
        drop(mirror_maker);
        report.add("mm2_read_again_records", moved.read_again as f64);
        report.add("mm2_skipped_records", moved.skipped as f64);
        report.add("mm2_first_sync_seconds", moved.seconds);
    }
    report.print(args.json);
    Ok(())
}

fn prepared(records: u64) -> Result<Pair> {
    let pair = Pair::start()?;
    pair.source.create_topic(TOPIC, 1, 1, &[])?;
    load(&pair.source, TOPIC, records, 1, BATCH_RECORDS, Codec::Lz4)?;
    Ok(pair)
}

struct Moved {
    read_again: u64,
    skipped: u64,
    seconds: f64,
}

/// Twelve groups commit between the end and the start of the source; a copy of a plain topic has its offsets.
fn groups_move(pair: &Pair, records: u64) -> Result<Moved> {
    let copied = || {
        pair.target
            .end_offsets(COPY)
            .is_ok_and(|ends| ends == [records.cast_signed()])
    };
    await_that("the copy", PATIENCE, copied)?;
    let distances = [
        0, 1, 10, 100, 1_000, 1_900, 10_000, 33_333, 82_000, 200_000, 300_000, 399_999,
    ];
    let groups: Vec<(String, i64)> = distances
        .iter()
        .map(|distance| (records.cast_signed() - distance * records.cast_signed() / 400_000).max(0))
        .enumerate()
        .map(|(at, offset)| (format!("g-{at}"), offset))
        .collect();
    for (group, offset) in &groups {
        pair.source.commit_offsets(group, TOPIC, &[(0, *offset)])?;
    }
    let since = Instant::now();
    let mut found = vec![None; groups.len()];
    while found.iter().any(Option::is_none) && since.elapsed() < GROUPS_PATIENCE {
        for ((group, _), found) in groups.iter().zip(&mut found) {
            if found.is_none() {
                *found = pair.target.committed(group, COPY)?.get(&0).copied();
            }
        }
    }
    let seconds = since.elapsed().as_secs_f64();
    let (mut read_again, mut skipped) = (0, 0);
    for ((group, offset), found) in groups.iter().zip(&found) {
        let begins_at = found.unwrap_or(0);
        ensure!(
            begins_at <= records.cast_signed(),
            "{group} begins behind the end, at {begins_at}"
        );
        read_again += (offset - begins_at).max(0).unsigned_abs();
        skipped += (begins_at - offset).max(0).unsigned_abs();
    }
    Ok(Moved {
        read_again,
        skipped,
        seconds,
    })
}
