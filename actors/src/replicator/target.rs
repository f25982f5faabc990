//! The target's side of a replicator: sending, and what answers mean.

use actix::{AsyncContext, Context};
use engine::lane::raw::produce::{Outcome, ProduceBatch};
use engine::lane::raw::window::{Acked, Event, Submission, Window};
use tokio::time::Instant;

use super::{Backlog, Replicator};
use crate::clock::now_ms;
use crate::lease::is_overtaken;
use crate::links;
use crate::offset_maps::PartitionMap;
use crate::target_link::Produce;

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

    pub(super) fn send_due(&mut self, ctx: &mut Context<Self>) {
        if self.start.kill_switch.fired() || self.target.is_none() {
            return;
        }
        let due = self.window.as_mut().map(Window::due);
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
