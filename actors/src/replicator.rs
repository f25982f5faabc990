//! Copies one partition: the actor that owns its position, its window and its state.

mod backlog;
mod claim;
mod following;
mod jobs;
mod merge;
mod messages;
mod moved_log;
mod prepare;
mod recovery;
mod source;
mod state;
mod target;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, Handler};
use engine::batch::TargetRules;
use engine::cluster::Leader;
use engine::lane::raw::credit::Credit;
use engine::lane::raw::merging::LowestRoundTrip;
use engine::lane::raw::window::Window;
use tokio::time::Instant;
use uuid::Uuid;

use self::backlog::Backlog;
use self::jobs::JobDone;
pub(crate) use messages::{Answered, Chunk, FollowEnd, FollowEnded};
pub(crate) use prepare::{load_all_rules, load_rules};
pub(crate) use source::{DROP_LABELS, REENCODE_LABELS};

use crate::backoff::Backoff;
use crate::flow::Flow;
use crate::links;
use crate::offset_maps::PartitionMap;
use crate::registry::{PartitionState, PartitionStatus};
use crate::source_link::SourceLink;
use crate::supervisor::{ChildSpec, Placement, RunningChild, StartContext};
use crate::target_link::TargetLink;

/// Messages that may wait: chunks, which credit bounds to far fewer, the five answers of a window, rewritten batches.
const MAILBOX_CAPACITY: usize = 4_096;
/// How often a replicator looks after itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// First and longest wait before a broker is asked again.
const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(3);
/// After this rest a lane is given up, and claimed again for the next batch: a broker may have forgotten its producer id by then
/// (`producer.id.expiration.ms`, 1 day by default), or another process may have taken over.
const REST_MAX: Duration = Duration::from_secs(300);
/// A lane that never rests is claimed anew in this interval: its transactional id expires
/// (`transactional.id.expiration.ms`, 7 days by default) though the lane writes.
const CLAIM_AGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// An answer that is later than any request can be: the link is given up. Twice the target's request timeout where that is longer.
const ANSWER_DEADLINE_MIN: Duration = Duration::from_secs(60);

/// Which partition a replicator copies, and where it begins.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Topic on the source.
    pub source_topic: Arc<str>,
    /// Its copy on the target.
    pub remote_topic: Arc<str>,
    /// Partition, the same on both.
    pub partition: i32,
    /// First upstream offset to copy; none: `auto.offset.reset` decides.
    pub resume_at: Option<i64>,
    /// Where each record's copy is.
    pub map: Arc<PartitionMap>,
}

enum Following {
    Nothing,
    /// Looking for the leader, or waiting to look again.
    Looking,
    On {
        follow_id: u64,
        link: Addr<SourceLink>,
    },
}

/// The actor of one partition, and the unit of restart.
///
/// Invariants: batches reach the target in the source's order; the acknowledged position never passes a record that
/// the target has not acknowledged; nothing is written after the kill switch has fired.
/// Bounds: its credit, five batches in flight ([`Window`]), 4,096 messages, and a deadline for every answer.
pub struct Replicator {
    flow: Arc<Flow>,
    at: Assignment,
    status: Arc<PartitionStatus>,
    /// Which of the partition's replicators this is.
    run: u64,
    start: StartContext,
    credit: Arc<Credit>,
    /// What the target accepts, as it told, and as its refusals taught.
    told_rules: TargetRules,
    rules: TargetRules,
    /// Next upstream offset to take in.
    position: i64,
    last_fetched_epoch: i32,
    /// Where the source's log starts, and up to where the map was trimmed.
    log_start: i64,
    trimmed: i64,
    /// Leader epochs of what was taken in and is not settled: (first offset, epoch), each other than the one before.
    epochs: VecDeque<(i64, i32)>,
    topic_id: Option<Uuid>,
    following: Following,
    next_follow_id: u64,
    /// Which search for the leader counts; an earlier one's result is thrown away.
    search: u64,
    backlog: VecDeque<Backlog>,
    next_job: u64,
    /// Jobs that the pool has.
    jobs_out: Vec<u64>,
    /// Batches in the backlog that no pool thread has yet.
    rewrites_waiting: usize,
    /// The position is known.
    prepared: bool,
    /// None while the lane is not ours ([`claim`]).
    window: Option<Window>,
    claiming: bool,
    /// The target's tail holds nothing that the map does not know of.
    compared: bool,
    /// Something was deleted on the source before it was fetched.
    passed_over: bool,
    claimed_at: Instant,
    /// None while the leader is looked for.
    target: Option<(Leader, Addr<TargetLink>)>,
    sent_at: Instant,
    round_trip: LowestRoundTrip,
    merge_paused_until: Option<Instant>,
    counted_waiting: bool,
    source_backoff: Backoff,
    target_backoff: Backoff,
    source_trouble: Option<String>,
    target_trouble: Option<String>,
    /// An operator has paused the flow, and that is shown.
    shown_paused: bool,
}

impl Replicator {
    /// How the supervisor starts the replicator of `at`. Started again, it goes on behind what the last start had
    /// acknowledged.
    pub fn spec(flow: Arc<Flow>, at: Assignment, status: Arc<PartitionStatus>) -> ChildSpec {
        let name = format!("{}/{}-{}", flow.label, at.source_topic, at.partition);
        let placement = Placement::Data(name.as_str().into());
        let mut first = true;
        ChildSpec::new(name, placement, move |start| {
            if !std::mem::take(&mut first) {
                status.count_restart();
            }
            let mut at = at.clone();
            if let Some(acked) = status.snapshot().acked {
                at.resume_at = Some(acked + 1);
            }
            let (flow, status) = (flow.clone(), status.clone());
            let (arbiter, start) = (start.arbiter.clone(), start.clone());
            RunningChild::of(Self::start_in_arbiter(&arbiter, move |_| {
                Self::new(flow, at, status, start)
            }))
        })
    }

    fn new(
        flow: Arc<Flow>,
        at: Assignment,
        status: Arc<PartitionStatus>,
        start: StartContext,
    ) -> Self {
        let (credit, run) = (flow.budget.open(), status.begin_run());
        // Of what the map speaks. The topic may be another one by now: the first look for its leader tells.
        let topic_id = at.map.topic_id();
        let compared = at.map.anchor().is_none();
        let last_fetched_epoch = at.map.leader_epoch().unwrap_or(-1);
        Self {
            flow,
            at,
            status,
            run,
            start,
            credit,
            told_rules: TargetRules::default(),
            rules: TargetRules::default(),
            position: 0,
            last_fetched_epoch,
            log_start: -1,
            trimmed: -1,
            epochs: VecDeque::new(),
            topic_id,
            following: Following::Nothing,
            next_follow_id: 0,
            search: 0,
            backlog: VecDeque::new(),
            next_job: 0,
            jobs_out: Vec::new(),
            rewrites_waiting: 0,
            prepared: false,
            window: None,
            claiming: false,
            compared,
            passed_over: false,
            claimed_at: Instant::now(),
            target: None,
            sent_at: Instant::now(),
            round_trip: LowestRoundTrip::new(std::time::Instant::now()),
            merge_paused_until: None,
            counted_waiting: false,
            source_backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
            target_backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
            source_trouble: None,
            target_trouble: None,
            shown_paused: false,
        }
    }

    fn prepare(&mut self, ctx: &mut Context<Self>) {
        let prepare = prepare::prepare(self.flow.clone(), self.at.clone());
        let prepared = wrap_future::<_, Self>(prepare).map(|prepared, this, ctx| match prepared {
            Ok(prepared) => {
                this.told_rules = prepared.rules;
                this.rules = prepared.rules;
                this.prepared = true;
                this.position = prepared.position;
                this.at.map.starts_at(prepared.position);
                this.status.start_at(prepared.position);
                this.target_backoff.reset();
                this.target_trouble = None;
                this.show(); // it runs now, also if it never had trouble
                this.follow(None, ctx);
            }
            Err(prepare::PrepareError::Halt(reason)) => this.halt(&reason, ctx),
            Err(prepare::PrepareError::Retry(reason)) => {
                this.set_target_trouble(Some(reason));
                let delay = this.target_backoff.next_delay();
                ctx.run_later(delay, |this, ctx| this.prepare(ctx));
            }
        });
        ctx.spawn(prepared);
    }

    /// Once a second: signs of life, links that died without a word, answers that never came.
    fn look(&mut self, ctx: &mut Context<Self>) {
        self.start.progress.tick();
        let paused = !self.flow.control.source.may_run();
        if std::mem::replace(&mut self.shown_paused, paused) != paused {
            self.show();
        }
        if let Following::On { follow_id, link } = &self.following
            && !link.connected()
        {
            let end = FollowEnd::LinkDown("the source link has ended".to_owned());
            self.follow_ended(
                FollowEnded {
                    follow_id: *follow_id,
                    end,
                },
                ctx,
            );
        }
        self.rest();
        if self.log_start > self.trimmed {
            self.trimmed = self.log_start;
            self.at.map.map.trim_upstream(self.log_start);
        }
        if let Some(window) = self.window.as_mut()
            && window.in_flight()
            && let Some((_, link)) = &self.target
        {
            let deadline = (self.flow.config.target.request_timeout * 2).max(ANSWER_DEADLINE_MIN);
            let late = self.sent_at.elapsed() > deadline;
            if late {
                links::discard_target(link);
            }
            if late || !link.connected() {
                let event = window.disconnected("the target link has ended");
                self.digest(event, ctx);
            }
        }
        if self.flow.drain.fired() {
            self.drop_backlog();
        }
        self.submit_jobs(ctx);
        self.pump(ctx);
    }
}

impl Actor for Replicator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
        self.start.stop_on_kill(ctx);
        self.status.set_state(PartitionState::Starting, "starting");
        ctx.run_interval(LOOK_INTERVAL, Self::look);
        self.prepare(ctx);
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.drop_backlog();
        self.unfollow(ctx);
        let ended = self.start.kill_switch.fired() && self.start.progress.verdict().is_none();
        if ended && self.status.is_run(self.run) {
            self.status.set_state(PartitionState::Stopped, "stopped");
        }
    }
}

impl Drop for Replicator {
    /// Also after a panic, when nothing else is called.
    fn drop(&mut self) {
        if self.counted_waiting {
            self.flow.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Handler<Chunk> for Replicator {
    type Result = ();

    fn handle(&mut self, chunk: Chunk, ctx: &mut Self::Context) {
        self.start.progress.tick();
        self.take_in(chunk, ctx);
    }
}

impl Handler<FollowEnded> for Replicator {
    type Result = ();

    fn handle(&mut self, ended: FollowEnded, ctx: &mut Self::Context) {
        self.follow_ended(ended, ctx);
    }
}

impl Handler<Answered> for Replicator {
    type Result = ();

    fn handle(&mut self, answered: Answered, ctx: &mut Self::Context) {
        self.start.progress.tick();
        if let Some(round_trip) = answered.round_trip {
            self.round_trip
                .record(round_trip, std::time::Instant::now());
        }
        if let Some(window) = self.window.as_mut() {
            let event = window.answered(answered.ticket, answered.outcome);
            self.digest(event, ctx);
        }
    }
}

impl Handler<JobDone> for Replicator {
    type Result = ();

    fn handle(&mut self, done: JobDone, ctx: &mut Self::Context) {
        self.job_done(done, ctx);
    }
}
