//! Joining what waits, when the window is the limit (`engine::lane::raw::merging`).

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::Context;
use engine::batch::{Codec, OffsetRun, RawBatch, merge};
use engine::lane::raw::merging::{MERGED_BYTES_MAX, is_part, is_worthwhile};
use engine::lane::raw::window::Outgoing;
use tokio::time::Instant;

use super::jobs::{Reply, Rewritten};
use super::{Backlog, Replicator};

/// After a joining that failed, batches pass as they are for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// Batches joined at once.
const PARTS_MAX: usize = 4_096;

impl Replicator {
    /// How many entries at the front of the backlog can and should be joined now; 0 for none.
    fn mergeable(&self, wanted: impl Fn(Codec) -> bool) -> usize {
        let Some(Backlog::Ready(head)) = self.backlog.front() else {
            return 0;
        };
        let Ok(codec) = head.batch.header.codec() else {
            return 0;
        };
        let waiting = self.flow.waiting.load(Ordering::Relaxed);
        let lowest = self.round_trip.lowest();
        if !wanted(codec)
            || self
                .merge_paused_until
                .is_some_and(|until| Instant::now() < until)
            || !is_worthwhile(&head.batch.header, waiting, lowest)
        {
            return 0;
        }
        let limit = MERGED_BYTES_MAX.min(self.rules.batch_bytes_max() / 8 * 7);
        let (mut bytes, mut parts, mut count) = (0, 0, 0);
        for (at, waiting) in self.backlog.iter().enumerate() {
            match waiting {
                Backlog::Skip { .. } => {}
                Backlog::Ready(outgoing) => {
                    let header = &outgoing.batch.header;
                    bytes += header.total_bytes();
                    let fits = bytes <= limit && is_part(header);
                    if !fits || parts == PARTS_MAX || header.codec().ok() != Some(codec) {
                        break;
                    }
                    parts += 1;
                    count = at + 1;
                }
                Backlog::Rewrite { .. } | Backlog::Merging { .. } => break,
            }
        }
        if parts >= 2 { count } else { 0 }
    }

    /// Takes the first entries out, joined as far as the source's side is concerned.
    fn take_run(&mut self, count: usize) -> Vec<Outgoing> {
        let mut run: Vec<Outgoing> = Vec::with_capacity(count);
        for waiting in self.backlog.drain(..count) {
            match (waiting, run.last_mut()) {
                (Backlog::Ready(outgoing), _) => run.push(outgoing),
                (
                    Backlog::Skip {
                        upstream_last,
                        credit_bytes,
                    },
                    Some(last),
                ) => {
                    last.upstream_last = upstream_last;
                    last.credit_bytes += credit_bytes;
                }
                _ => {} // a run begins with a batch and holds nothing else
            }
        }
        run
    }

    /// Joins uncompressed batches on the spot, when one slot is free and more than one batch waits for it.
    pub(super) fn merge_inline(&mut self) {
        let count = self.mergeable(|codec| codec == Codec::None);
        if count == 0 {
            return;
        }
        let run = self.take_run(count);
        let batches: Vec<RawBatch> = run.iter().map(|outgoing| outgoing.batch.clone()).collect();
        match merge(&batches, &self.rules, self.rules.batch_bytes_max()) {
            Ok(merged) => self
                .backlog
                .push_front(Backlog::Ready(joined(&run, merged))),
            Err(error) => self.put_back(0, run, &error.to_string()),
        }
    }

    /// Has compressed batches joined by the pool while the window is full. A pool that is busy lets them pass as they are.
    pub(super) fn merge_in_pool(&mut self, ctx: &mut Context<Self>) {
        let count = self.mergeable(|codec| codec != Codec::None);
        if count == 0 {
            return;
        }
        let reply = Reply::to(ctx, &mut self.next_job);
        let job = reply.job();
        let run = self.take_run(count);
        let batches: Vec<RawBatch> = run.iter().map(|outgoing| outgoing.batch.clone()).collect();
        let rules = self.rules;
        let work = move || {
            let merged = merge(&batches, &rules, rules.batch_bytes_max());
            reply.send(Rewritten::Merged(merged));
        };
        if self.flow.reencoders.submit(Box::new(work)) {
            self.jobs_out.push(job);
            self.backlog
                .push_front(Backlog::Merging { parts: run, job });
        } else {
            self.put_back(0, run, "the rewriting threads are busy");
        }
    }

    /// The pool has joined what stands at `at`, or could not.
    pub(super) fn merged(&mut self, at: usize, result: Result<RawBatch, String>) {
        let Some(Backlog::Merging { parts, .. }) = self.backlog.remove(at) else {
            return;
        };
        match result {
            Ok(merged) => self
                .backlog
                .insert(at, Backlog::Ready(joined(&parts, merged))),
            Err(reason) => self.put_back(at, parts, &reason),
        }
    }

    /// Lets the batches pass as they are: nothing is lost but the gain.
    fn put_back(&mut self, at: usize, run: Vec<Outgoing>, reason: &str) {
        tracing::debug!(partition = %self.start.name, reason, "batches pass unjoined");
        self.merge_paused_until = Some(Instant::now() + PAUSE);
        for outgoing in run.into_iter().rev() {
            self.backlog.insert(at, Backlog::Ready(outgoing));
        }
    }

    /// Counts this partition among those that wait for a slot, or not any more.
    pub(super) fn count_waiting(&mut self) {
        let waits = self.backlog.len() >= 2
            && self
                .window
                .as_ref()
                .is_some_and(|window| !window.has_room());
        if waits != self.counted_waiting {
            self.counted_waiting = waits;
            if waits {
                self.flow.waiting.fetch_add(1, Ordering::Relaxed);
            } else {
                self.flow.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

fn joined(run: &[Outgoing], batch: RawBatch) -> Outgoing {
    Outgoing {
        batch,
        upstream_first: run.first().map_or(0, |first| first.upstream_first),
        runs: joined_runs(run),
        upstream_last: run.last().map_or(0, |last| last.upstream_last),
        credit_bytes: run.iter().map(|outgoing| outgoing.credit_bytes).sum(),
    }
}

/// The upstream offsets of joined batches; empty if none is missing between them.
fn joined_runs(run: &[Outgoing]) -> Vec<OffsetRun> {
    let mut joined: Vec<OffsetRun> = Vec::new();
    for next in run.iter().flat_map(Outgoing::upstream_runs) {
        match joined.last_mut() {
            Some(last) if last.upstream_first + i64::from(last.count) == next.upstream_first => {
                last.count += next.count;
            }
            _ => joined.push(next),
        }
    }
    if joined.len() == 1 {
        Vec::new()
    } else {
        joined
    }
}
