//! Taking a lane over, before its first batch: nobody else can write to it afterwards, and what its predecessor wrote is known.
//!
//! 1. The flow is ours still ([`crate::lease`]).
//! 2. The lane's transactional id gets a new epoch, with a marker in the partition (`docs/spec/real-kafka.md` 1): a late write
//!    of a dead or sleeping predecessor is refused. Without the permission, the recorded producer id with the next epoch
//!    fences from our first batch on.
//! 3. Only now the target's tail is read, from the last stored pair of offsets on, and laid beside the source
//!    ([`engine::offsets::TailMatch`]). Copying goes on behind it.
//!
//! An idle partition pays nothing: it is claimed when it has something to write, and anew after a rest.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context};
use engine::cluster::{ErrorCode, FenceError, OffsetAt};
use engine::lane::raw::window::Window;
use engine::offsets::{Tail, TailMatch};
use tokio::time::{Instant, sleep};
use topology::IsolationLevel;
use tracing::{debug, warn};

use super::prepare::PrepareError;
use super::{Assignment, Backlog, CLAIM_AGE_MAX, REST_MAX, Replicator};
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;

/// Epochs of a producer id end here; the coordinator gives another id then (`docs/spec/real-kafka.md` 1, third hole).
const EPOCH_MAX: i16 = i16::MAX - 1;
/// Bound on waiting until the target's last records are replicated.
const REPLICATED_PATIENCE: Duration = Duration::from_secs(30);
/// Takeovers of one lane in a row that wrote nothing: more than anybody lives to see.
const MARKERS_MAX: i64 = 1_000;
const REPLICATED_POLL: Duration = Duration::from_millis(10);

/// A lane that is ours.
pub(super) struct Claimed {
    pub window: Window,
    /// First upstream offset to copy; none when the lane had no history: the position stays.
    pub resume_at: Option<i64>,
}

/// The transactional id of a lane. A permission for the prefix `crosscurrent-<source>-` covers all of a flow
/// (README, Permissions).
fn transactional_id(flow: &Flow, at: &Assignment) -> String {
    let source = flow.config.id.source.as_str();
    format!("crosscurrent-{source}-{}-{}", at.remote_topic, at.partition)
}

/// Takes the lane over. `position` is where the source is read.
pub(super) async fn claim(
    flow: Arc<Flow>,
    at: Assignment,
    position: i64,
) -> Result<Claimed, PrepareError> {
    let Ok(_turn) = flow.claims.acquire().await else {
        return Err(PrepareError::Retry("stopping".to_owned()));
    };
    flow.lease.check(&flow.target).await?;
    let map = &at.map;
    let remote = flow
        .target
        .leader_or_refresh(&at.remote_topic, at.partition)
        .await?;
    if map.writes_to(remote.topic_id) {
        warn!(
            topic = %at.remote_topic, partition = at.partition,
            "the remote topic was deleted and created again: the copy goes on in the new one"
        );
    }
    let (target, topic) = (&flow.target, &at.remote_topic);
    let log_end = target.offset(topic, at.partition, OffsetAt::LogEnd).await?;
    mend(&flow, &at, log_end).await?;
    let producer = fence(&flow, &at).await?;
    let end = replicated_end(&flow, &at).await?;
    mend(&flow, &at, end).await?;
    let resume_at = match map.anchor() {
        Some((upstream, downstream)) => {
            let tail = match compare(&flow, &at, (upstream, downstream), end).await? {
                Some(tail) => tail,
                None => unseen(&flow, &at, upstream, end - downstream),
            };
            tell(&at, &tail, (downstream, end));
            if let Some(leader_epoch) = tail.leader_epoch {
                map.enter_epoch(leader_epoch);
            }
            for run in &tail.runs {
                if run.behind_foreign {
                    map.map.mark_unknown();
                }
                // What does not grow was compared already, by an earlier attempt of this claim.
                let (upstream, downstream) = (run.segment.upstream.0, run.segment.downstream.0);
                _ = map
                    .map
                    .acknowledged(upstream, downstream, run.segment.length);
            }
            if tail.ends_foreign {
                map.map.mark_unknown();
            }
            map.map.settle(tail.upstream_end, end);
            Some(tail.upstream_end)
        }
        None => {
            map.begin(position, end);
            None
        }
    };
    map.taken_over((producer.id, producer.epoch), producer.fenced);
    if !map.is_noted() {
        // Else a crash before the next flush would leave nothing to compare from.
        flow.maps
            .flush(&flow, flow.config.target.request_timeout)
            .await?;
    }
    Ok(Claimed {
        window: Window::new(producer.id, producer.epoch, Some(end)),
        resume_at,
    })
}

impl Replicator {
    /// Sends nothing yet: takes the lane over as soon as there is something to send.
    pub(super) fn pump_unclaimed(&mut self, ctx: &mut Context<Self>) {
        if self.claiming {
            return;
        }
        // Before the tail is compared the map may not move past anything: a predecessor may have copied it.
        while self.compared
            && let Some(Backlog::Skip {
                upstream_last,
                credit_bytes,
            }) = (self.backlog).pop_front_if(|front| matches!(front, Backlog::Skip { .. }))
        {
            self.skipped(upstream_last);
            self.credit.give_back(credit_bytes);
        }
        let wanted = !self.backlog.is_empty() || (self.passed_over && !self.compared);
        if wanted && !self.flow.drain.fired() {
            self.claim(ctx);
        }
    }

    /// The position moves past something that is not copied, with nothing on its way before it.
    pub(super) fn skipped(&mut self, upstream_last: i64) {
        self.settle_epoch(upstream_last);
        let (_, downstream) = self.at.map.map.ends();
        self.at.map.map.settle(upstream_last + 1, downstream);
        self.status.acknowledged(upstream_last, 0, 0, now_ms());
    }

    fn claim(&mut self, ctx: &mut Context<Self>) {
        self.claiming = true;
        let position = self.status.next_to_acknowledge();
        let claim = claim(self.flow.clone(), self.at.clone(), position);
        let claimed = wrap_future::<_, Self>(claim).map(move |claimed, this, ctx| {
            this.claiming = false;
            match claimed {
                Ok(claimed) => this.claimed(position, claimed, ctx),
                Err(PrepareError::Halt(reason)) => this.halt(&reason, ctx),
                Err(PrepareError::Retry(reason)) => {
                    this.set_target_trouble(Some(reason));
                    let delay = this.target_backoff.next_delay();
                    ctx.run_later(delay, |this, ctx| this.pump(ctx));
                }
            }
        });
        ctx.spawn(claimed);
    }

    fn claimed(&mut self, position: i64, claimed: Claimed, ctx: &mut Context<Self>) {
        self.window = Some(claimed.window);
        self.compared = true;
        self.claimed_at = Instant::now();
        self.sent_at = Instant::now();
        self.target_backoff.reset();
        self.set_target_trouble(None);
        // Records at the target's end that are none of the source's may be copies of what it has lost since we read it, or of an
        // earlier topic of that name; and what was read may be just those. So it is read again, which tells whether the log is
        // the same.
        let foreign = self.at.map.ends_unknown();
        let elsewhere = |resume_at: &i64| *resume_at != position || foreign;
        if let Some(resume_at) = claimed.resume_at.filter(elsewhere) {
            self.drop_backlog();
            self.position = resume_at;
            self.last_fetched_epoch = self.at.map.leader_epoch().unwrap_or(-1);
            self.epochs.clear();
            self.status.start_at(resume_at);
            self.follow(None, ctx);
        }
        self.pass_over();
        self.find_target(None, ctx);
    }

    /// Gives up a lane that rests, or that was claimed long ago and has nothing on its way.
    pub(super) fn rest(&mut self) {
        let rests = self.window.as_ref().is_some_and(Window::is_empty)
            && (self.sent_at.elapsed() > REST_MAX || self.claim_is_old());
        if rests {
            self.window = None;
        }
    }

    /// Nothing more is sent, until the lane is claimed again.
    pub(super) fn claim_is_old(&self) -> bool {
        self.claimed_at.elapsed() > CLAIM_AGE_MAX
    }
}

/// Who writes to the lane from now on.
struct Producer {
    id: i64,
    epoch: i16,
    /// A marker keeps earlier owners out already.
    fenced: bool,
}

async fn fence(flow: &Flow, at: &Assignment) -> Result<Producer, PrepareError> {
    let id = transactional_id(flow, at);
    let known = at.map.producer();
    if flow.is_unfenced() {
        return unfenced(flow, known).await;
    }
    let (target, topic) = (&flow.target, &at.remote_topic);
    let fenced = match known {
        Some(_) => target.fence(&id, topic, at.partition).await,
        None => target.fence_new(&id, topic, at.partition).await,
    };
    match fenced {
        Ok(owner) if known.is_none_or(|(known, _)| known == owner.producer_id) => Ok(Producer {
            id: owner.producer_id,
            epoch: owner.epoch,
            fenced: true,
        }),
        // The id has expired, or its epochs ran out: the marker does not concern the old producer id.
        Ok(owner) => match known {
            Some((known, epoch)) if epoch < EPOCH_MAX => {
                debug!(
                    transactional_id = id,
                    "the fence is not proven: going on with the recorded producer id"
                );
                Ok(Producer {
                    id: known,
                    epoch: epoch + 1,
                    fenced: false,
                })
            }
            _ => Ok(Producer {
                id: owner.producer_id,
                epoch: owner.epoch,
                fenced: true,
            }),
        },
        Err(error @ (FenceError::NotPermitted(_) | FenceError::NotOffered)) => {
            flow.note_unfenced(&id, &error);
            unfenced(flow, known).await
        }
        // Whoever overtook us in the middle of it: the lease tells whether it is another process.
        Err(error @ (FenceError::Overtaken(_) | FenceError::Failed(_))) => {
            Err(PrepareError::Retry(error.to_string()))
        }
    }
}

/// The way without transactional ids: the recorded producer id, one epoch on, keeps the predecessor out from our first batch on.
async fn unfenced(flow: &Flow, known: Option<(i64, i16)>) -> Result<Producer, PrepareError> {
    let (id, epoch) = match known {
        Some((id, epoch)) if epoch < EPOCH_MAX => (id, epoch + 1),
        _ => flow.target.new_producer_id().await?,
    };
    Ok(Producer {
        id,
        epoch,
        fenced: false,
    })
}

/// The end of the target's log, once all of it is replicated: what is not might still be lost.
async fn replicated_end(flow: &Flow, at: &Assignment) -> Result<i64, PrepareError> {
    let deadline = Instant::now() + REPLICATED_PATIENCE;
    let (target, topic) = (&flow.target, &at.remote_topic);
    loop {
        let log_end = target.offset(topic, at.partition, OffsetAt::LogEnd).await?;
        let end = target.offset(topic, at.partition, OffsetAt::Latest).await?;
        if end >= log_end {
            return Ok(end);
        }
        if Instant::now() > deadline {
            return Err(PrepareError::Retry(format!(
                "the last records of {topic}-{} on {} are not replicated",
                at.partition,
                target.alias()
            )));
        }
        sleep(REPLICATED_POLL).await;
    }
}

/// A target whose log ends at `end`, below the map's end, has lost records that it had acknowledged, in an election of a
/// leader that lacked them: they are to be copied again.
async fn mend(flow: &Flow, at: &Assignment, end: i64) -> Result<(), PrepareError> {
    let (topic, partition) = (&at.remote_topic, at.partition);
    let Some((upstream, downstream)) = at.map.anchor().filter(|(_, known)| end < *known) else {
        return Ok(());
    };
    let held = end_of_records(flow, at, end).await?;
    let Some(resume_at) = at.map.map.truncate_downstream(held) else {
        return Err(PrepareError::Halt(format!(
            "the log of {topic}-{partition} on {} ends at {end}, it lacks records that it had acknowledged, and which they \
             were is not known: compare both clusters, then restart",
            flow.target.alias()
        )));
    };
    warn!(
        topic = %topic, partition, end, lost = downstream - held, from = resume_at, to = upstream,
        "the target lost records that it had acknowledged: copying them again"
    );
    Ok(())
}

/// Behind the last record below `end`. The markers of takeovers that came after the loss stand in the place of records that the
/// map knows there.
async fn end_of_records(flow: &Flow, at: &Assignment, end: i64) -> Result<i64, PrepareError> {
    let (target, topic) = (&flow.target, &at.remote_topic);
    let start = target
        .offset(topic, at.partition, OffsetAt::Earliest)
        .await?;
    let from = start.max(end - MARKERS_MAX);
    let mut cursor = target.cursor(topic, at.partition, from, end, false);
    let mut held = from;
    while let Some(batches) = cursor.next().await? {
        let data = batches.iter().filter(|batch| !batch.header.is_control());
        held = data
            .map(|batch| batch.header.next_offset())
            .fold(held, i64::max);
    }
    Ok(held.min(end))
}

/// Lays the target's log from `downstream` to `end` beside the source's from `upstream` on; none if we may not read it.
async fn compare(
    flow: &Flow,
    at: &Assignment,
    (upstream, downstream): (i64, i64),
    end: i64,
) -> Result<Option<Tail>, PrepareError> {
    let mut tail = TailMatch::new(upstream, downstream);
    let (topic, partition) = (&at.source_topic, at.partition);
    // The target was truncated or its records expired meanwhile: what is left of the tail is compared.
    let target_start = flow
        .target
        .offset(&at.remote_topic, partition, OffsetAt::Earliest)
        .await?;
    let from = downstream.max(target_start);
    let mut target = flow
        .target
        .cursor(&at.remote_topic, partition, from, end, false);
    let mut source = None;
    loop {
        let batches = match target.next().await {
            Ok(Some(batches)) => batches,
            Ok(None) => break,
            Err(error) if error.code() == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        for batch in &batches {
            tail.target(batch)
                .map_err(|error| unreadable(flow.target.alias(), at, &error))?;
        }
        while tail.wants_source() {
            let source = match &mut source {
                Some(source) => source,
                None => {
                    let start = flow
                        .source
                        .offset(topic, partition, OffsetAt::Earliest)
                        .await?;
                    tail.source_starts(start);
                    let committed = flow.config.isolation_level == IsolationLevel::ReadCommitted;
                    let readable = if committed {
                        OffsetAt::LastStable
                    } else {
                        OffsetAt::Latest
                    };
                    let latest = flow.source.offset(topic, partition, readable).await?;
                    source.insert(flow.source.cursor(
                        topic,
                        partition,
                        upstream.max(start),
                        latest,
                        committed,
                    ))
                }
            };
            match source.next().await? {
                None => feed(flow, at, &mut tail, None)?,
                Some(batches) => {
                    for batch in &batches {
                        feed(flow, at, &mut tail, Some(batch))?;
                    }
                }
            }
        }
    }
    Ok(Some(tail.finish()))
}

/// The target's tail may not be read: what is in it is copied again, and that is said.
fn unseen(flow: &Flow, at: &Assignment, upstream: i64, offsets: i64) -> Tail {
    // One is the marker that we left just now.
    if offsets > 1 {
        warn!(
            topic = %at.remote_topic, partition = at.partition, offsets,
            "no READ on the remote topic on {}: what was written to it since the last stored map is copied again",
            flow.target.alias()
        );
    }
    Tail {
        upstream_end: upstream,
        foreign_records: u64::try_from(offsets - 1).unwrap_or(0),
        ends_foreign: offsets > 1,
        ..Tail::default()
    }
}

fn feed(
    flow: &Flow,
    at: &Assignment,
    tail: &mut TailMatch,
    batch: Option<&engine::batch::RawBatch>,
) -> Result<(), PrepareError> {
    tail.source(batch)
        .map_err(|error| unreadable(flow.source.alias(), at, &error))
}

fn unreadable(cluster: &str, at: &Assignment, error: &dyn std::fmt::Display) -> PrepareError {
    let (topic, partition) = (&at.source_topic, at.partition);
    PrepareError::Halt(format!(
        "cannot compare {topic}-{partition} with its copy: cluster {cluster}: {error}"
    ))
}

fn tell(at: &Assignment, tail: &Tail, (from, end): (i64, i64)) {
    let copied: u64 = tail.runs.iter().map(|run| run.segment.length).sum();
    let (topic, partition, foreign) = (&at.remote_topic, at.partition, tail.foreign_records);
    if foreign > 0 {
        warn!(
            topic = %topic, partition, from, end, copied, foreign,
            "the copy holds records that are none of the source's: somebody else wrote there, or the source has lost them since"
        );
    } else if copied > 0 {
        debug!(topic = %topic, partition, copied, resume_at = tail.upstream_end, "found what was written before");
    }
}

impl From<LeaseError> for PrepareError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Halt(error.to_string()),
            LeaseError::Withdrawn { .. } => Self::Retry(error.to_string()),
            LeaseError::Failed(error) => error.into(),
        }
    }
}
