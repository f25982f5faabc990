//! Batches that pool threads rewrite or join: handed over, and put back in their place.

use std::time::Duration;

use actix::{AsyncContext, Context, Message};
use engine::batch::{MergeError, RawBatch, ReencodeError, Reencoded, reencode};
use engine::lane::raw::window::Outgoing;

use super::{Backlog, Replicator};

/// Batches of one partition that pool threads may have at once: enough to keep a window full.
const JOBS_OUT_MAX: usize = 8;
/// Wait before a full pool is asked again.
const BUSY_RETRY: Duration = Duration::from_millis(20);

impl Replicator {
    /// Hands batches that need rewriting to the pool, a few ahead of their turn.
    pub(super) fn submit_jobs(&mut self, ctx: &mut Context<Self>) {
        if self.rewrites_waiting == 0 {
            return; // the hot path ends here: nothing is looked at per batch
        }
        for waiting in &mut self.backlog {
            if self.jobs_out.len() >= JOBS_OUT_MAX {
                return;
            }
            let Backlog::Rewrite {
                batch,
                from_offset,
                job: job @ None,
            } = waiting
            else {
                continue;
            };
            let reply = Reply::to(ctx, &mut self.next_job);
            let id = reply.job();
            let (batch, from_offset, rules) = (batch.clone(), *from_offset, self.rules);
            let work =
                move || reply.send(Rewritten::Reencoded(reencode(&batch, from_offset, &rules)));
            if !self.flow.reencoders.submit(Box::new(work)) {
                // The pool is busy with others. Our own jobs bring us back here when they are done, or this does.
                if self.jobs_out.is_empty() {
                    ctx.run_later(BUSY_RETRY, Self::submit_jobs);
                }
                return;
            }
            self.jobs_out.push(id);
            self.rewrites_waiting -= 1;
            *job = Some(id);
        }
    }

    pub(super) fn job_done(&mut self, done: JobDone, ctx: &mut Context<Self>) {
        // A job that the full pool gave back answers too, as it is dropped: it never was out.
        let Some(out) = self.jobs_out.iter().position(|job| *job == done.job) else {
            return;
        };
        self.jobs_out.swap_remove(out);
        self.submit_jobs(ctx);
        let at = self
            .backlog
            .iter()
            .position(|waiting| waiting.job() == Some(done.job));
        let Some(at) = at else { return }; // thrown away meanwhile
        match done.result {
            Rewritten::Reencoded(Ok(batches)) => self.replace(at, batches),
            // Damaged on the way, or at the source: a fresh fetch tells.
            Rewritten::Reencoded(Err(error @ ReencodeError::Corrupt { .. })) => {
                return self.fail(&error.to_string(), ctx);
            }
            Rewritten::Reencoded(Err(error)) => return self.halt(&error.to_string(), ctx),
            Rewritten::Merged(result) => self.merged(at, result.map_err(|error| error.to_string())),
            Rewritten::Panicked => match self.backlog.get(at) {
                Some(Backlog::Merging { .. }) => self.merged(at, Err("a panic".to_owned())),
                _ => return self.fail("rewriting a batch panicked", ctx),
            },
        }
        self.pump(ctx);
    }

    /// Puts the results in the place of what they were made from.
    fn replace(&mut self, at: usize, batches: Vec<Reencoded>) {
        let Some(Backlog::Rewrite { batch, .. }) = self.backlog.remove(at) else {
            return;
        };
        let (mut credit_bytes, upstream_last) =
            (batch.header.total_bytes(), batch.header.last_offset());
        if batches.is_empty() {
            self.backlog.insert(
                at,
                Backlog::Skip {
                    upstream_last,
                    credit_bytes,
                },
            );
        }
        for reencoded in batches.into_iter().rev() {
            let outgoing = Outgoing {
                upstream_first: reencoded.upstream_first,
                runs: if reencoded.runs.len() > 1 {
                    reencoded.runs
                } else {
                    Vec::new()
                },
                upstream_last: reencoded.upstream_next - 1,
                // Comes back with the last one, which holds the fetched bytes no longer than the others.
                credit_bytes: std::mem::take(&mut credit_bytes),
                batch: reencoded.batch,
            };
            self.backlog.insert(at, Backlog::Ready(outgoing));
        }
    }
}

/// A pool thread is done with a job.
#[derive(Debug)]
pub(super) struct JobDone {
    job: u64,
    result: Rewritten,
}

impl Message for JobDone {
    type Result = ();
}

/// What became of a job.
#[derive(Debug)]
pub(super) enum Rewritten {
    Reencoded(Result<Vec<Reencoded>, ReencodeError>),
    Merged(Result<RawBatch, MergeError>),
    Panicked,
}

/// Tells what became of a job, also when it panics: dropped unsent, it says so.
pub(super) struct Reply {
    job: u64,
    to: Option<actix::Addr<Replicator>>,
}

impl Reply {
    /// Of the job with the number `next_job`.
    pub(super) fn to(ctx: &mut Context<Replicator>, next_job: &mut u64) -> Self {
        let job = *next_job;
        *next_job += 1;
        Self {
            job,
            to: Some(ctx.address()),
        }
    }

    /// The job's number.
    pub(super) fn job(&self) -> u64 {
        self.job
    }

    pub(super) fn send(mut self, result: Rewritten) {
        self.tell(result);
    }

    fn tell(&mut self, result: Rewritten) {
        if let Some(to) = self.to.take() {
            // Room for it by construction (JOBS_OUT_MAX); a replicator that is gone needs no answer.
            drop(to.try_send(JobDone {
                job: self.job,
                result,
            }));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.tell(Rewritten::Panicked);
    }
}
