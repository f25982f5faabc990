//! What one batch costs on its way: judged, stamped (against a checksum over all of it), rewritten, and taken
//! through a partition's window. Nanoseconds per call, from memory and not from the cache (`docs/spec/batches.md` 2).

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};
use batch::{
    BatchBuilder, Codec, ProducerStamp, RawBatch, TargetRules, Verdict, batches, classify,
    reencode, stamp,
};
use crosscurrent_benches::{Args, Report, record};
use engine::lane::raw::produce::Outcome;
use engine::lane::raw::window::{Event, Outgoing, Window};
use hdrhistogram::Histogram;

const CODECS: [(Codec, &str); 5] = [
    (Codec::None, "none"),
    (Codec::Gzip, "gzip"),
    (Codec::Snappy, "snappy"),
    (Codec::Lz4, "lz4"),
    (Codec::Zstd, "zstd"),
];
/// Bytes before compression and records of a batch.
const SHAPES: [(&str, usize, usize); 3] = [
    ("16k", 16_000, 100),
    ("100k", 100_000, 1_000),
    ("1m", 1_000_000, 1_000),
];
/// Larger than the caches. Unit: bytes.
const WORKING_SET_BYTES: usize = 48 << 20;
const BATCHES_MAX: usize = 4_096;
/// A look at the clock is dearer than one of the small calls.
const CALLS_PER_SAMPLE: usize = 16;
const STAMP: ProducerStamp = ProducerStamp {
    producer_id: 4_711,
    producer_epoch: 0,
    base_sequence: 12_345,
    transactional: false,
};

fn main() -> Result<()> {
    let args = Args::read();
    let samples: usize = args.number("--samples", 20_000, 10)?;
    let mut report = Report::new("hot_path");
    let mut checksum = 0;
    for (codec, name) in CODECS {
        for (shape, bytes, record_bytes) in SHAPES {
            let set = working_set(codec, bytes, record_bytes, args.full)?;
            let label = |call: &str| format!("{call}_{name}_{shape}");
            measure(&mut report, &label("classify"), samples, &set, |batch| {
                let verdict = classify(&batch.header, 0, black_box(&TargetRules::default()));
                checksum += u64::from(verdict == Verdict::Pass);
            })?;
            measure(&mut report, &label("stamp"), samples, &set, |batch| {
                checksum ^= u64::from(stamp(&batch.header, STAMP).crc());
            })?;
            // One whole pass over the memory per call: fewer calls, or it takes minutes.
            let few = (samples / 20).max(1);
            measure(&mut report, &label("full_crc"), few, &set, |batch| {
                checksum += u64::from(batch.crc_is_valid());
            })?;
            let fewest = (samples / 2_000).max(1);
            measure(&mut report, &label("reencode"), fewest, &set, |batch| {
                // From the second record on: as after a restart in the middle of a batch.
                let written = reencode(batch, 1, &TargetRules::default());
                checksum += written.map_or(0, |batches| batches.len() as u64);
            })?;
        }
    }
    let set = working_set(Codec::Lz4, 100_000, 1_000, args.full)?;
    let mut window = Window::new(STAMP.producer_id, 0, None);
    measure(&mut report, "window_push_and_ack", samples, &set, |batch| {
        let submission = window.push(Outgoing {
            runs: Vec::new(),
            batch: batch.clone(),
            upstream_first: batch.header.base_offset(),
            upstream_last: batch.header.last_offset(),
            credit_bytes: batch.header.total_bytes(),
        });
        let stored = Outcome::Stored { base_offset: 0 };
        if let Event::Acked(acked) = window.answered(submission.ticket, stored) {
            checksum += acked.len() as u64;
        }
    })?;
    report.add("checksum", checksum as f64);
    report.print(args.json);
    Ok(())
}

/// Batches as a broker sends them, more than the caches hold (a few if this is only a proof that the bench runs).
fn working_set(
    codec: Codec,
    bytes: usize,
    record_bytes: usize,
    full: bool,
) -> Result<Vec<RawBatch>> {
    let mut set = Vec::new();
    let mut filled = 0;
    let one = one_batch(codec, bytes, record_bytes)?;
    while filled == 0 || full && filled < WORKING_SET_BYTES && set.len() < BATCHES_MAX {
        // The same bytes at another place in memory.
        let copy = [one.header.as_bytes(), &one.body[..]].concat();
        filled += copy.len();
        for batch in batches(&copy.into()) {
            set.push(batch?);
        }
    }
    ensure!(
        set.iter().all(RawBatch::crc_is_valid),
        "the batches are damaged"
    );
    Ok(set)
}

fn one_batch(codec: Codec, bytes: usize, record_bytes: usize) -> Result<RawBatch> {
    let mut builder = BatchBuilder::new(codec);
    for id in 0..u64::try_from(bytes / record_bytes)? {
        let value = record(id);
        let value = value
            .get(..record_bytes.min(value.len()))
            .unwrap_or_default();
        builder.push(1_700_000_000_000, Some(&id.to_be_bytes()), Some(value), &[])?;
    }
    Ok(builder.build()?)
}

/// Calls `call` for one batch after the other and reports nanoseconds per call.
fn measure(
    report: &mut Report,
    name: &str,
    samples: usize,
    set: &[RawBatch],
    mut call: impl FnMut(&RawBatch),
) -> Result<()> {
    let mut nanos = Histogram::<u64>::new(3)?;
    let mut turn = set.iter().cycle();
    for _ in 0..samples {
        let start = Instant::now();
        for batch in turn.by_ref().take(CALLS_PER_SAMPLE) {
            call(black_box(batch));
        }
        let per_call = start.elapsed().as_nanos() / CALLS_PER_SAMPLE as u128;
        nanos.record(u64::try_from(per_call)?)?;
    }
    report.add(
        format!("{name}_ns_p50"),
        nanos.value_at_quantile(0.5) as f64,
    );
    report.add(
        format!("{name}_ns_p99"),
        nanos.value_at_quantile(0.99) as f64,
    );
    Ok(())
}
