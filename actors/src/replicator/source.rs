//! The source's side of a replicator: taking batches in, and how far the position may follow.

use actix::Context;
use engine::batch::{AbortedTransactions, DropReason, RawBatch, ReencodeReason, Verdict, classify};
use engine::lane::raw::window::{Outgoing, Window};
use topology::IsolationLevel;

use super::{Backlog, Chunk, Following, Replicator};
use crate::clock::now_ms;

/// The reasons that a registry of partitions counts, in the order of the places used here.
pub(crate) const REENCODE_LABELS: &[&str] = &[
    "resume_inside_batch",
    "gap",
    "log_append_time",
    "codec",
    "oversize",
];
/// As [`REENCODE_LABELS`], for batches that are not copied.
pub(crate) const DROP_LABELS: &[&str] = &["below_position", "control", "empty", "aborted"];

fn reencode_place(reason: ReencodeReason) -> usize {
    match reason {
        ReencodeReason::ResumeInsideBatch => 0,
        ReencodeReason::Gap => 1,
        ReencodeReason::LogAppendTime => 2,
        ReencodeReason::Codec => 3,
        ReencodeReason::Oversize => 4,
    }
}

fn drop_place(reason: DropReason) -> usize {
    match reason {
        DropReason::BelowPosition => 0,
        DropReason::Control => 1,
        DropReason::Empty => 2,
        DropReason::Aborted => 3,
    }
}

impl Replicator {
    /// Judges what was fetched and queues it for the target.
    pub(super) fn take_in(&mut self, chunk: Chunk, ctx: &mut Context<Self>) {
        let current = matches!(&self.following, Following::On { follow_id, .. } if *follow_id == chunk.follow_id);
        if !current || self.flow.drain.fired() {
            return self.credit.give_back(chunk.credit_bytes);
        }
        self.source_backoff.reset();
        self.set_source_trouble(None);
        let read_committed = self.flow.config.isolation_level == IsolationLevel::ReadCommitted;
        let mut aborted = AbortedTransactions::new(chunk.aborted);
        let mut newest = -1;
        for batch in chunk.batches {
            let header = &batch.header;
            newest = header.max_timestamp_ms();
            let verdict = if read_committed {
                match aborted.is_aborted(&batch) {
                    Ok(true) => Verdict::Drop(DropReason::Aborted),
                    Ok(false) => classify(header, self.position, &self.rules),
                    Err(error) => {
                        return self
                            .halt(&format!("cannot read a transaction marker: {error}"), ctx);
                    }
                }
            } else {
                classify(header, self.position, &self.rules)
            };
            let (first, next, epoch) = (
                header.base_offset(),
                header.next_offset(),
                header.leader_epoch(),
            );
            if epoch != self.last_fetched_epoch {
                self.epochs.push_back((first, epoch));
            }
            self.queue(batch, verdict);
            self.position = self.position.max(next);
            self.last_fetched_epoch = epoch;
        }
        if newest >= 0 {
            (self.status).fetched_after(now_ms().saturating_sub(newest));
        }
        self.status.saw_log(chunk.log_start, chunk.high_watermark);
        self.status.fetched(self.position, chunk.high_watermark);
        self.log_start = chunk.log_start;
        self.submit_jobs(ctx);
        self.pump(ctx);
    }

    fn queue(&mut self, batch: RawBatch, verdict: Verdict) {
        let header = &batch.header;
        let (credit_bytes, upstream_last) = (header.total_bytes(), header.last_offset());
        let waiting = match verdict {
            Verdict::Pass => Backlog::Ready(Outgoing {
                upstream_first: header.base_offset(),
                runs: Vec::new(),
                upstream_last,
                credit_bytes,
                batch,
            }),
            Verdict::Drop(reason) => {
                self.status.count_dropped(drop_place(reason));
                Backlog::Skip {
                    upstream_last,
                    credit_bytes,
                }
            }
            Verdict::Reencode(reason) => {
                self.status.count_reencoded(reencode_place(reason));
                self.rewrites_waiting += 1;
                Backlog::Rewrite {
                    batch,
                    from_offset: self.position,
                    job: None,
                }
            }
        };
        self.backlog.push_back(waiting);
    }

    /// With nothing on its way, the map moves past what was deleted, as soon as the tail was compared.
    pub(super) fn pass_over(&mut self) {
        let idle = self.backlog.is_empty() && self.window.as_ref().is_none_or(Window::is_empty);
        if self.passed_over && self.compared && idle {
            self.passed_over = false;
            if self.position > self.status.next_to_acknowledge() {
                self.skipped(self.position - 1);
            }
        }
    }

    /// The map is about to move past `upstream_last`.
    pub(super) fn settle_epoch(&mut self, upstream_last: i64) {
        while let Some((_, epoch)) = self
            .epochs
            .pop_front_if(|(first, _)| *first <= upstream_last)
        {
            self.at.map.enter_epoch(epoch);
        }
    }
}
