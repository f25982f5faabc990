//! The source's side of a replicator: following the leader, taking batches in, and what to do when the log is not
//! what it was.

use std::mem;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context};
use engine::batch::{AbortedTransactions, DropReason, RawBatch, ReencodeReason, Verdict, classify};
use engine::cluster::{ClusterError, ErrorCode, Leader, OffsetAt};
use engine::lane::raw::fetch::Wanted;
use engine::lane::raw::window::{Outgoing, Window};
use tokio::time::Instant;
use topology::{AutoOffsetReset, IsolationLevel};
use tracing::warn;
use uuid::Uuid;

use super::{Backlog, Chunk, FollowEnd, FollowEnded, Following, Replicator};
use crate::clock::now_ms;
use crate::links;
use crate::registry::PartitionState;
use crate::source_link::{Follow, PARTITION_FETCH_BYTES_MAX, Unfollow};

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
    /// Looks for the leader, after asking for news if something was `noticed`, and reads from it.
    pub(super) fn follow(&mut self, noticed: Option<Instant>, ctx: &mut Context<Self>) {
        self.unfollow(ctx);
        self.following = Following::Looking;
        self.search += 1;
        let search = self.search;
        let (flow, at, known) = (self.flow.clone(), self.at.clone(), self.topic_id);
        let look = async move {
            let (source, topic) = (&flow.source, &at.source_topic);
            if let Some(noticed) = noticed {
                source.refresh(topic, noticed).await?;
            }
            let leader = source.leader_or_refresh(topic, at.partition).await?;
            if noticed.is_some() || !is_another(known, &leader) {
                return Ok(leader);
            }
            // Too much depends on it to believe what was heard some time ago.
            source.refresh(topic, Instant::now()).await?;
            source.leader_or_refresh(topic, at.partition).await
        };
        let found = wrap_future::<_, Self>(look).map(
            move |leader: Result<Leader, ClusterError>, this, ctx| match leader {
                _ if this.search != search => {}
                Ok(leader) => this.follow_leader(&leader, ctx),
                Err(error) => this.follow_later(error.to_string(), ctx),
            },
        );
        ctx.spawn(found);
    }

    /// Has the source link read the partition no more. What is on its way from it is thrown away.
    pub(super) fn unfollow(&mut self, ctx: &mut Context<Self>) {
        if let Following::On { follow_id, link } =
            mem::replace(&mut self.following, Following::Nothing)
        {
            let unfollow = Unfollow {
                follow_id,
                replicator: ctx.address(),
            };
            // A link that is gone, or full, forgets us at its next delivery.
            drop(link.try_send(unfollow));
        }
    }

    fn follow_leader(&mut self, leader: &Leader, ctx: &mut Context<Self>) {
        if self.flow.drain.fired() {
            return;
        }
        let known = self.topic_id.replace(leader.topic_id);
        if is_another(known, leader) {
            // The remote topic keeps the old incarnation's records; the new one's follow them, from its first.
            warn!(partition = %self.start.name, "the source topic was deleted and created again: copying the new one from its start");
            return self.reposition(Reposition::Recreated, ctx);
        }
        let link = links::source(&self.flow, &leader.broker);
        self.next_follow_id += 1;
        let follow = Follow {
            follow_id: self.next_follow_id,
            wanted: Wanted {
                topic: self.at.source_topic.clone(),
                topic_id: leader.topic_id,
                partition: self.at.partition,
                offset: self.position,
                leader_epoch: leader.epoch,
                last_fetched_epoch: self.last_fetched_epoch,
                bytes_max: i32::try_from(PARTITION_FETCH_BYTES_MAX).unwrap_or(i32::MAX),
            },
            credit: self.credit.clone(),
            replicator: ctx.address(),
        };
        match link.try_send(follow) {
            Ok(()) => {
                self.following = Following::On {
                    follow_id: self.next_follow_id,
                    link,
                };
                // Whether it works shows with the first answer; no news is good news on an idle partition.
                self.set_source_trouble(None);
            }
            Err(error) => self.follow_later(format!("the source link takes nothing: {error}"), ctx),
        }
    }

    fn follow_later(&mut self, reason: String, ctx: &mut Context<Self>) {
        self.following = Following::Looking;
        self.set_source_trouble(Some(reason));
        let noticed = Instant::now();
        ctx.run_later(self.source_backoff.next_delay(), move |this, ctx| {
            this.follow(Some(noticed), ctx);
        });
    }

    pub(super) fn follow_ended(&mut self, ended: FollowEnded, ctx: &mut Context<Self>) {
        match &self.following {
            Following::On { follow_id, .. } if *follow_id == ended.follow_id => {}
            _ => return, // an earlier one
        }
        self.following = Following::Nothing;
        match ended.end {
            FollowEnd::LinkDown(reason) => self.follow_later(reason, ctx),
            FollowEnd::Draining => {
                self.drop_backlog();
                self.status.set_state(PartitionState::Stopped, "draining");
            }
            FollowEnd::Refused(ErrorCode::OFFSET_OUT_OF_RANGE) => {
                self.reposition(Reposition::OutOfRange, ctx);
            }
            FollowEnd::Refused(code) => {
                let broker = self.flow.source.alias();
                self.follow_later(format!("source cluster {broker} answers {code}"), ctx);
            }
            FollowEnd::Diverging { epoch, end_offset } => self.diverged(epoch, end_offset, ctx),
            FollowEnd::Unreadable { offset, reason } => self.halt(
                &format!(
                    "cannot read the source's batch at offset {offset}: {reason}; repair or skip it there"
                ),
                ctx,
            ),
        }
    }

    /// The source elected a leader that lacks what we had read: go on where both histories agree. What was copied of the
    /// lost history stays on the target; nothing of the new one is missing.
    fn diverged(&mut self, epoch: i32, end_offset: i64, ctx: &mut Context<Self>) {
        let records = self.position.saturating_sub(end_offset);
        warn!(
            partition = %self.start.name, position = self.position, end_offset, records,
            "the source's log was truncated (unclean election): the copy keeps records that the source lost"
        );
        let reason = format!("the source's log was truncated behind epoch {epoch}");
        // What is on its way is forgotten here; the next claim finds what arrived.
        let position = end_offset.min(self.status.next_to_acknowledge());
        self.at.map.moved_back(position, Some(epoch));
        self.start_over_at(position, &reason, ctx);
    }

    /// Finds a place to go on when the position is not in the log.
    fn reposition(&mut self, why: Reposition, ctx: &mut Context<Self>) {
        self.following = Following::Looking;
        self.search += 1;
        let search = self.search;
        let (flow, at, epoch) = (self.flow.clone(), self.at.clone(), self.last_fetched_epoch);
        let look = async move {
            let (source, topic) = (&flow.source, &at.source_topic);
            let start = source
                .offset(topic, at.partition, OffsetAt::Earliest)
                .await?;
            let end = source.offset(topic, at.partition, OffsetAt::Latest).await?;
            let epoch_end = match why {
                Reposition::OutOfRange if epoch >= 0 => {
                    Some(source.end_of_epoch(topic, at.partition, epoch).await?)
                }
                _ => None,
            };
            Ok(Log {
                start,
                end,
                epoch_end: epoch_end.filter(|(_, end)| *end >= 0),
            })
        };
        let found =
            wrap_future::<_, Self>(look).map(move |log: Result<Log, ClusterError>, this, ctx| {
                match log {
                    _ if this.search != search => {}
                    Ok(log) => this.go_on_in(why, &log, ctx),
                    Err(error) => {
                        this.set_source_trouble(Some(error.to_string()));
                        ctx.run_later(this.source_backoff.next_delay(), move |this, ctx| {
                            this.reposition(why, ctx);
                        });
                    }
                }
            });
        ctx.spawn(found);
    }

    fn go_on_in(&mut self, why: Reposition, log: &Log, ctx: &mut Context<Self>) {
        let (position, start, end) = (self.position, log.start, log.end);
        if let Some((epoch, epoch_end)) = log.epoch_end
            && (start..position).contains(&epoch_end)
        {
            return self.diverged(epoch, epoch_end, ctx);
        }
        let name = self.start.name.clone();
        match why {
            Reposition::Recreated => {
                self.at.map.recreated(self.topic_id.unwrap_or_default());
                return self.start_over_at(start, "the source topic was created again", ctx);
            }
            // Right by now: a leader change was under way. Not at once, the next answer may be the same.
            Reposition::OutOfRange if (start..=end).contains(&position) => {
                self.last_fetched_epoch = -1;
                return self.follow_later(
                    "the source's log is being truncated or elected".to_owned(),
                    ctx,
                );
            }
            Reposition::OutOfRange if position < start => {
                let records = u64::try_from(start - position).unwrap_or(0);
                warn!(
                    partition = %name, position, log_start = start, records,
                    "records were deleted on the source before they were copied (retention, or DeleteRecords)"
                );
                self.status.count_skipped(records);
                self.position = start;
                self.passed_over = true;
                self.pass_over();
                self.pump(ctx);
            }
            Reposition::OutOfRange => {
                let reset = self.flow.config.auto_offset_reset;
                warn!(
                    partition = %name, position, end, ?reset,
                    "the position lies beyond the end of the source's log (truncated, or created again while we were away)"
                );
                let position = match reset {
                    AutoOffsetReset::Earliest => start,
                    AutoOffsetReset::Latest => end,
                    AutoOffsetReset::None => {
                        return self.halt(
                            &format!(
                                "position {position} lies beyond the source's end {end} and auto.offset.reset \
                                 is none: reset the stored offset, or set earliest or latest"
                            ),
                            ctx,
                        );
                    }
                };
                let reason = "the position lies beyond the end of the source's log";
                self.at.map.moved_back(position, None);
                return self.start_over_at(position, reason, ctx);
            }
        }
        self.follow(None, ctx);
    }

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

    /// Throws away what was fetched and not sent; it is fetched again after a restart.
    pub(super) fn drop_backlog(&mut self) {
        self.rewrites_waiting = 0;
        for waiting in mem::take(&mut self.backlog) {
            self.credit.give_back(waiting.credit_bytes());
        }
    }
}

/// Whether the topic was created again since its id was `known`; brokers that do not tell ids do not say so.
fn is_another(known: Option<Uuid>, leader: &Leader) -> bool {
    let told = |id: &Uuid| !id.is_nil();
    known
        .filter(told)
        .is_some_and(|known| known != leader.topic_id && told(&leader.topic_id))
}

/// What a source's leader says of its log.
struct Log {
    start: i64,
    end: i64,
    /// Where the epoch that was read last ends there: (epoch, end offset).
    epoch_end: Option<(i32, i64)>,
}

/// Why a position is looked for.
#[derive(Clone, Copy, Debug)]
enum Reposition {
    /// The broker says that it is not in the log.
    OutOfRange,
    /// The topic is another one.
    Recreated,
}

impl Backlog {
    pub(super) fn credit_bytes(&self) -> usize {
        match self {
            Self::Ready(outgoing) => outgoing.credit_bytes,
            Self::Skip { credit_bytes, .. } => *credit_bytes,
            Self::Rewrite { batch, .. } => batch.header.total_bytes(),
            Self::Merging { parts, .. } => parts.iter().map(|part| part.credit_bytes).sum(),
        }
    }

    /// The job that a pool thread does for it.
    pub(super) fn job(&self) -> Option<u64> {
        match self {
            Self::Rewrite { job, .. } => *job,
            Self::Merging { job, .. } => Some(*job),
            Self::Ready(_) | Self::Skip { .. } => None,
        }
    }
}
