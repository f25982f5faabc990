//! The target's side of a replicator: sending, acknowledgements, recovery, rewriting.

use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context};
use engine::batch::{MergeError, RawBatch, ReencodeError, Reencoded, reencode};
use engine::cluster::{ClusterError, ErrorCode, Leader, Refusal};
use engine::lane::raw::produce::{Outcome, ProduceBatch};
use engine::lane::raw::window::{Acked, Event, Outgoing, Submission};
use engine::wire::WireError;
use tokio::time::Instant;
use tracing::warn;

use super::{Assignment, Backlog, JobDone, Replicator, load_rules};
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::is_overtaken;
use crate::links;
use crate::offset_maps::PartitionMap;
use crate::target_link::Produce;

/// Batches of one partition that pool threads may have at once: enough to keep a window full.
const JOBS_OUT_MAX: usize = 8;
/// Wait before a full pool is asked again.
const BUSY_RETRY: Duration = Duration::from_millis(20);

impl Replicator {
    /// Sends what may be sent: in order, as far as the window has room.
    pub(super) fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.start.kill_switch.fired() {
            return; // somebody else may write by now
        }
        if self.window.is_none() {
            return self.pump_unclaimed(ctx);
        }
        self.renew_link();
        let paused = self.claim_is_old();
        while let (Some(window), Some(front)) = (self.window.as_mut(), self.backlog.front()) {
            let sendable = match front {
                Backlog::Rewrite { .. } | Backlog::Merging { .. } => false,
                Backlog::Skip { .. } => true,
                Backlog::Ready(_) => self.target.is_some() && window.has_room() && !paused,
            };
            if !sendable {
                break;
            }
            // The last slot, and more than one batch waits for it: the window is the limit.
            if window.room() == 1 && self.backlog.len() >= 2 {
                self.merge_inline();
            }
            let Some(window) = self.window.as_mut() else {
                break;
            };
            match self.backlog.pop_front() {
                Some(Backlog::Skip {
                    upstream_last,
                    credit_bytes,
                }) => {
                    if !window.skip_to(upstream_last) {
                        self.skipped(upstream_last);
                    }
                    self.credit.give_back(credit_bytes);
                }
                Some(Backlog::Ready(outgoing)) => {
                    let submission = window.push(outgoing);
                    self.send(submission, ctx);
                }
                Some(Backlog::Rewrite { .. } | Backlog::Merging { .. }) | None => break,
            }
        }
        self.count_waiting();
        if self.counted_waiting {
            self.merge_in_pool(ctx);
        }
    }

    /// A link ends when it rests; the next batch gets another one.
    fn renew_link(&mut self) {
        let in_flight = self
            .window
            .as_ref()
            .is_some_and(|window| window.in_flight());
        if let Some((leader, link)) = &mut self.target
            && !in_flight
            && !link.connected()
        {
            *link = links::target(&self.flow, &leader.broker);
        }
    }

    fn send(&mut self, submission: Submission, ctx: &mut Context<Self>) {
        let Some((leader, link)) = &self.target else {
            return;
        };
        self.sent_at = Instant::now();
        let produce = Produce {
            batch: ProduceBatch {
                topic: self.at.remote_topic.clone(),
                topic_id: leader.topic_id,
                partition: self.at.partition,
                header: submission.header,
                body: submission.body,
            },
            ticket: submission.ticket,
            replicator: ctx.address(),
        };
        if let Err(error) = link.try_send(produce)
            && let Some(window) = self.window.as_mut()
        {
            let reason = format!("the target link takes nothing: {error}");
            let event = window.answered(
                submission.ticket,
                Outcome::Retry {
                    reason,
                    refresh: true,
                },
            );
            self.digest(event, ctx);
        }
    }

    fn send_due(&mut self, ctx: &mut Context<Self>) {
        if self.start.kill_switch.fired() || self.target.is_none() {
            return;
        }
        let due = self
            .window
            .as_mut()
            .map(engine::lane::raw::window::Window::due);
        for submission in due.unwrap_or_default() {
            self.send(submission, ctx);
        }
    }

    /// Does what an answer means.
    pub(super) fn digest(&mut self, event: Event, ctx: &mut Context<Self>) {
        match event {
            Event::None => {}
            Event::Acked(acked) => {
                self.acknowledge(&acked);
                self.send_due(ctx);
                self.pump(ctx);
            }
            Event::Probe => self.send_due(ctx),
            Event::Recover { reason, refresh } => {
                let reason = format!("target cluster {}: {reason}", self.flow.target.alias());
                self.find_target_later(reason, refresh, ctx);
            }
            Event::Refused { refusal, too_large } => self.refused(refusal, too_large, ctx),
            Event::Fenced(refusal) if is_overtaken(Some(refusal.code)) => self.halt(
                &format!("another process copies this partition: the target answers {refusal}; stop one of both, then restart this one"),
                ctx,
            ),
            Event::Fenced(refusal) => self.fail(&format!("the target answers {refusal}"), ctx),
            Event::Lost => self.lost(ctx),
        }
    }

    fn acknowledge(&mut self, acked: &[Acked]) {
        self.target_backoff.reset();
        self.set_target_trouble(None);
        let now = now_ms();
        for acked in acked {
            let outgoing = &acked.outgoing;
            let records = u64::try_from(outgoing.records()).unwrap_or(0);
            let bytes = u64::try_from(outgoing.batch.header.total_bytes()).unwrap_or(0);
            self.settle_epoch(outgoing.upstream_last);
            note(&self.at.map, acked);
            self.status
                .acknowledged(outgoing.upstream_last, records, bytes, now);
            let newest = outgoing.batch.header.max_timestamp_ms();
            if newest >= 0 {
                self.status.acknowledged_after(now.saturating_sub(newest));
            }
            self.credit.give_back(outgoing.credit_bytes);
        }
    }

    fn find_target_later(&mut self, reason: String, refresh: bool, ctx: &mut Context<Self>) {
        self.target = None;
        self.set_target_trouble(Some(reason));
        let noticed = refresh.then(Instant::now);
        ctx.run_later(self.target_backoff.next_delay(), move |this, ctx| {
            this.find_target(noticed, ctx);
        });
    }

    /// Looks for the leader of the remote partition, after asking for news if something was `noticed`; then sends what is due.
    pub(super) fn find_target(&mut self, noticed: Option<Instant>, ctx: &mut Context<Self>) {
        let (flow, at) = (self.flow.clone(), self.at.clone());
        let look = async move {
            if let Some(noticed) = noticed {
                flow.target.refresh(&at.remote_topic, noticed).await?;
            }
            flow.target
                .leader_or_refresh(&at.remote_topic, at.partition)
                .await
        };
        let found =
            wrap_future::<_, Self>(look).map(|leader: Result<Leader, ClusterError>, this, ctx| {
                match leader {
                    Ok(leader) if this.at.map.is_elsewhere(leader.topic_id) => {
                        this.fail("the remote topic was deleted and created again", ctx);
                    }
                    Ok(leader) => {
                        let link = links::target(&this.flow, &leader.broker);
                        this.target = Some((leader, link));
                        this.go_on(ctx);
                        if this.window.as_ref().is_some_and(|window| window.is_empty()) {
                            this.set_target_trouble(None);
                        }
                    }
                    Err(error) => this.find_target_later(error.to_string(), true, ctx),
                }
            });
        ctx.spawn(found);
    }

    /// Sends what is due; learns before, if need be, what of it the target has stored already.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let Some(window) = self.window.as_ref() else {
            return;
        };
        if !window.in_doubt() {
            self.send_due(ctx);
            return self.pump(ctx);
        }
        let (producer_id, from) = (window.producer_id(), window.next_downstream());
        let (flow, at) = (self.flow.clone(), self.at.clone());
        let ask = async move { what_is_stored(&flow, &at, producer_id, from).await };
        let asked = wrap_future::<_, Self>(ask).map(|stored, this, ctx| match stored {
            Ok(stored) => {
                let event = match (stored, this.window.as_mut()) {
                    // Unless another search was quicker and has sent already.
                    (Some(last_sequence), Some(window)) if window.in_doubt() => {
                        window.learned(last_sequence)
                    }
                    // Not to be had: the probe alone decides.
                    _ => Event::None,
                };
                match event {
                    Event::None => {
                        this.send_due(ctx);
                        this.pump(ctx);
                    }
                    event => this.digest(event, ctx),
                }
            }
            Err(error) => this.find_target_later(error.to_string(), true, ctx),
        });
        ctx.spawn(asked);
    }

    /// The target will not take the oldest batch as it is. If the topic's configs have changed, judge everything anew
    /// by them; otherwise an operator decides.
    fn refused(&mut self, refusal: Refusal, too_large: bool, ctx: &mut Context<Self>) {
        let taken_back = self
            .window
            .as_mut()
            .map(|window| window.take_back())
            .unwrap_or_default();
        let head = taken_back.first();
        let (first, last) = head.map_or((self.position, self.position), |o| {
            (o.upstream_first, o.upstream_last)
        });
        // A target that does not tell its limits is asked with ever smaller batches.
        let smaller = head
            .filter(|head| too_large && head.records() > 1)
            .map(|head| head.batch.header.total_bytes() - 1);
        for outgoing in taken_back {
            self.credit.give_back(outgoing.credit_bytes);
        }
        let (flow, topic) = (self.flow.clone(), self.at.remote_topic.clone());
        self.target = None;
        self.set_target_trouble(Some(format!(
            "the target refuses offsets {first} to {last}: {refusal}"
        )));
        let reload = async move { load_rules(&flow, &topic).await };
        let reloaded = wrap_future::<_, Self>(reload).map(move |rules, this, ctx| match rules {
            Ok(told) if told != this.told_rules => {
                this.told_rules = told;
                this.rules = told;
                this.rewind(first, ctx);
            }
            Ok(_) if let Some(bytes) = smaller => {
                this.rules.max_message_bytes = bytes;
                this.rewind(first, ctx);
            }
            Ok(_) => {
                let what = if too_large { "raise max.message.bytes of" } else { "correct the configuration of" };
                let topic = &this.at.remote_topic;
                let reason = format!(
                    "the target refuses the batch of source offsets {first} to {last}: {refusal}; {what} {topic} \
                     on {} or skip the records, then restart",
                    this.flow.target.alias()
                );
                this.halt(&reason, ctx);
            }
            Err(error) => this.fail(&error.to_string(), ctx),
        });
        ctx.spawn(reloaded);
    }

    /// Reads again from `position` on. Nothing from there on is stored on the target.
    fn rewind(&mut self, position: i64, ctx: &mut Context<Self>) {
        warn!(
            partition = %self.start.name, position, max_message_bytes = self.rules.max_message_bytes,
            "the remote topic takes other batches than thought: reading again"
        );
        self.drop_backlog();
        self.position = position;
        self.last_fetched_epoch = self.at.map.leader_epoch().unwrap_or(-1);
        self.epochs.clear();
        self.follow(None, ctx);
        self.find_target(None, ctx);
    }

    /// No batch of the window follows what the target holds: it lost records that it had acknowledged.
    fn lost(&mut self, ctx: &mut Context<Self>) {
        let producer_id = self
            .window
            .as_ref()
            .map_or(-1, |window| window.producer_id());
        let (flow, at) = (self.flow.clone(), self.at.clone());
        let ask = async move {
            flow.target
                .last_sequence(&at.remote_topic, at.partition, producer_id)
                .await
        };
        let asked = wrap_future::<_, Self>(ask).map(|last, this, ctx| {
            let known = match last {
                Ok(Some((_, sequence))) => format!("its last sequence of ours is {sequence}"),
                Ok(None) => "it knows nothing of our producer".to_owned(),
                Err(error) => error.to_string(),
            };
            // The next claim finds out what is missing, and copies it again.
            let reason = format!(
                "the log of {}-{} on {} was cut: it lacks records that it had acknowledged ({known})",
                this.at.remote_topic,
                this.at.partition,
                this.flow.target.alias()
            );
            this.fail(&reason, ctx);
        });
        ctx.spawn(asked);
    }

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
            let id = self.next_job;
            self.next_job += 1;
            let reply = Reply {
                job: id,
                to: Some(ctx.address()),
            };
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

    /// A job's number, and whom it tells.
    pub(super) fn new_job(&mut self, ctx: &mut Context<Self>) -> (Reply, u64) {
        let job = self.next_job;
        self.next_job += 1;
        (
            Reply {
                job,
                to: Some(ctx.address()),
            },
            job,
        )
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

/// Enters an acknowledged batch in the map. No lock and no allocation, unless there is a hole.
fn note(map: &PartitionMap, acked: &Acked) {
    let outgoing = &acked.outgoing;
    let Some(base) = acked.downstream_base else {
        return map.unknown_up_to(outgoing.upstream_last + 1);
    };
    let mut downstream = base;
    for run in outgoing.upstream_runs() {
        map.stored(run, downstream);
        downstream += i64::from(run.count);
    }
    map.map.settle(outgoing.upstream_last + 1, downstream);
}

/// The target's last sequence of a producer id, or that it holds none of it at or behind `from`; none if that cannot be
/// had: no READ on the remote topic, or a broker before 2.8.
async fn what_is_stored(
    flow: &Flow,
    at: &Assignment,
    producer_id: i64,
    from: Option<i64>,
) -> Result<Option<Option<i32>>, ClusterError> {
    let (target, topic) = (&flow.target, &at.remote_topic);
    let stored = match target.last_sequence(topic, at.partition, producer_id).await {
        Ok(Some((_, last_sequence))) => Ok(Some(Some(last_sequence))),
        Ok(None) => match from {
            Some(from) => target
                .last_sequence_in_log(topic, at.partition, producer_id, from)
                .await
                .map(Some),
            None => Ok(None),
        },
        Err(error) => Err(error),
    };
    match stored {
        Err(ClusterError::Wire(WireError::Unsupported { .. })) => Ok(None),
        Err(error) if error.code() == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED) => Ok(None),
        other => other,
    }
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
