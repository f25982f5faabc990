//! Reads from one source broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use engine::batch::{RawBatch, batches};
use engine::cluster::{BrokerAddress, ErrorCode};
use engine::lane::raw::credit::Credit;
use engine::lane::raw::fetch::{
    self, FetchAnswer, FetchLimits, FetchSession, Fetched, Slot, Wanted,
};
use engine::wire::{Connection, WireError};
use topology::IsolationLevel;

use crate::flow::Flow;
use crate::kill_switch::KillSwitch;
use crate::links;
use crate::replicator::{Chunk, FollowEnd, FollowEnded, Replicator};

/// Most bytes in one Fetch answer. Larger ones save nothing and cost memory and smoothness.
pub const FETCH_BYTES_MAX: usize = 8 << 20;
/// Least bytes asked for, however little of the budget is left: partitions without credit are not asked for anyway.
const FETCH_BYTES_MIN: usize = 1 << 20;
/// Most bytes of one partition in one answer, as Kafka's `max.partition.fetch.bytes`.
pub const PARTITION_FETCH_BYTES_MAX: usize = 1 << 20;
/// How long a broker may wait for news, as Kafka's `fetch.max.wait.ms`.
const FETCH_WAIT: Duration = Duration::from_millis(500);
/// How long while a partition waits for credit: it wants to be asked for again as soon as it has some.
const FETCH_WAIT_SHORT: Duration = Duration::from_millis(10);
/// The same while that has gone on for long: a target that is down must not keep us busy.
const FETCH_WAIT_SHORT_MAX: Duration = Duration::from_millis(160);
/// Messages that may wait: two for each partition that is followed or given up at once.
const MAILBOX_CAPACITY: usize = 1 << 16;
/// A link without partitions ends after so long.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// Read a partition from here on.
#[derive(Debug)]
pub(crate) struct Follow {
    /// Names this following, unique within the replicator.
    pub follow_id: u64,
    /// Where to begin; the link moves it on.
    pub wanted: Wanted,
    /// The partition's account.
    pub credit: Arc<Credit>,
    /// Gets the batches.
    pub replicator: Addr<Replicator>,
}

impl Message for Follow {
    type Result = ();
}

/// Stop reading a partition.
#[derive(Debug)]
pub(crate) struct Unfollow {
    /// As in [`Follow`].
    pub follow_id: u64,
    /// Whose.
    pub replicator: Addr<Replicator>,
}

impl Message for Unfollow {
    type Result = ();
}

/// One connection with one Fetch session to one source broker, for all partitions of a flow on this thread that it
/// leads. One request is in flight at any time; the next leaves before the last answer is handed out.
///
/// Bounds: [`FETCH_BYTES_MAX`] per answer, a partition's credit and the process's budget for what is on its way.
pub(crate) struct SourceLink {
    flow: Arc<Flow>,
    broker: BrokerAddress,
    kill_switch: KillSwitch,
    connection: Option<(Connection, FetchSession)>,
    connecting: bool,
    follows: BTreeMap<Slot, Follow>,
    next_slot: u32,
    in_flight: bool,
    throttled: bool,
    retry_queued: bool,
    /// Partitions that had credit at the last look, and how long to wait while others have none.
    wanted_last: usize,
    short_wait: Duration,
}

impl SourceLink {
    /// Starts a link on this thread's arbiter.
    pub(crate) fn start(
        flow: Arc<Flow>,
        broker: BrokerAddress,
        kill_switch: KillSwitch,
    ) -> Addr<Self> {
        let link = Self {
            flow,
            broker,
            kill_switch,
            connection: None,
            connecting: false,
            follows: BTreeMap::new(),
            next_slot: 0,
            in_flight: false,
            throttled: false,
            retry_queued: false,
            wanted_last: 0,
            short_wait: FETCH_WAIT_SHORT,
        };
        Actor::start(link)
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        if self.connecting {
            return;
        }
        self.connecting = true;
        let connect = links::open(
            self.flow.source.clone(),
            self.broker.clone(),
            FetchSession::new,
        );
        let connected =
            wrap_future::<_, Self>(connect).map(|result: Result<_, WireError>, link, ctx| {
                link.connecting = false;
                match result {
                    Ok(connection) => {
                        link.connection = Some(connection);
                        link.fetch(ctx);
                    }
                    Err(error) => link.fail(&error, ctx),
                }
            });
        ctx.spawn(connected);
    }

    /// What may be fetched now: all partitions with credit.
    fn wanted(&mut self) -> Vec<(Slot, Wanted)> {
        let mut wanted = Vec::with_capacity(self.follows.len());
        for (slot, follow) in &mut self.follows {
            let available = follow.credit.available().min(PARTITION_FETCH_BYTES_MAX);
            if available > 0 {
                // Asked in whole steps: a limit that changes with every byte would defeat the session.
                let step = PARTITION_FETCH_BYTES_MAX / 4;
                let bytes_max = available
                    .next_multiple_of(step)
                    .min(PARTITION_FETCH_BYTES_MAX);
                follow.wanted.bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
                wanted.push((*slot, follow.wanted.clone()));
            }
        }
        wanted
    }

    fn fetch(&mut self, ctx: &mut Context<Self>) {
        if self.kill_switch.fired() {
            return self.drained(ctx);
        }
        if self.in_flight || self.throttled || self.follows.is_empty() {
            return;
        }
        if !self.flow.control.source.may_run() {
            return self.fetch_later(ctx);
        }
        if self.connection.is_none() {
            return self.connect(ctx);
        }
        let left = self.flow.budget.left();
        let wanted = self.wanted();
        self.adapt_wait(wanted.len());
        if wanted.is_empty() {
            return self.fetch_later(ctx);
        }
        let all = wanted.len() == self.follows.len();
        let wait = if all { FETCH_WAIT } else { self.short_wait };
        let limits = FetchLimits {
            wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            bytes_max: i32::try_from(left.clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX))
                .unwrap_or(i32::MAX),
            read_committed: self.flow.config.isolation_level == IsolationLevel::ReadCommitted,
        };
        let timeout = self.flow.config.source.request_timeout;
        let Some((connection, session)) = self.connection.as_mut() else {
            return;
        };
        let sent = session
            .request(&wanted, limits, connection.client_id())
            .and_then(|frame| connection.try_send(frame, wait + timeout));
        match sent {
            Ok(pending) => {
                self.in_flight = true;
                let answered = wrap_future::<_, Self>(pending).map(|bytes, link, ctx| {
                    link.in_flight = false;
                    match bytes {
                        Ok(bytes) => link.answered(bytes, ctx),
                        Err(error) => link.fail(&error, ctx),
                    }
                });
                ctx.spawn(answered);
            }
            Err(error) => self.fail(&error, ctx),
        }
    }

    /// Waits longer while no partition gets credit back.
    fn adapt_wait(&mut self, wanted: usize) {
        let gained = wanted > self.wanted_last || wanted == self.follows.len();
        self.short_wait = if gained {
            FETCH_WAIT_SHORT
        } else {
            (self.short_wait * 2).min(FETCH_WAIT_SHORT_MAX)
        };
        self.wanted_last = wanted;
    }

    /// No partition has credit: look again shortly.
    fn fetch_later(&mut self, ctx: &mut Context<Self>) {
        if !self.retry_queued {
            self.retry_queued = true;
            ctx.run_later(self.short_wait, |link, ctx| {
                link.retry_queued = false;
                link.fetch(ctx);
            });
        }
    }

    fn answered(&mut self, bytes: bytes::Bytes, ctx: &mut Context<Self>) {
        let Some((connection, session)) = self.connection.as_mut() else {
            return;
        };
        let answer = match session.answer(bytes) {
            Ok(answer) => answer,
            Err(reason) => {
                let error = connection.malformed(fetch::API, reason);
                return self.fail(&error, ctx);
            }
        };
        if let Ok(throttle @ 1..) = u64::try_from(answer.throttle_ms) {
            // KIP-219: an empty answer with a throttle time is not the end of the data.
            self.throttled = true;
            ctx.run_later(Duration::from_millis(throttle), |link, ctx| {
                link.throttled = false;
                link.fetch(ctx);
            });
        }
        let deliveries = self.digest(answer);
        // The next request is on its way while the replicators work on this answer.
        self.fetch(ctx);
        let mut gone = false;
        for delivery in deliveries {
            gone |= !delivery.deliver();
        }
        if gone {
            // A replicator that panicked could not unfollow; its account is settled with the last reference.
            self.follows
                .retain(|_, follow| follow.replicator.connected());
        }
    }

    /// Moves positions on and books credit; what is left is to hand the batches out.
    fn digest(&mut self, answer: FetchAnswer) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(answer.partitions.len());
        let paused = !self.flow.control.source.may_run();
        for mut fetched in answer.partitions {
            if paused {
                // It was asked for before: it is fetched again once the flow goes on.
                fetched.records.clear();
                fetched.aborted.clear();
            }
            let slot = fetched.slot;
            let Some(follow) = self.follows.get_mut(&slot) else {
                continue;
            };
            match read(follow, fetched) {
                Ok(Some(chunk)) => {
                    let replicator = follow.replicator.clone();
                    deliveries.push(Delivery::Chunk(replicator, chunk));
                }
                Ok(None) => {}
                Err(end) => {
                    if let Some(follow) = self.follows.remove(&slot) {
                        deliveries.push(Delivery::End(follow, end));
                    }
                }
            }
        }
        deliveries
    }

    /// Tells every replicator that its partition is not read any more, and ends.
    fn end_all(&mut self, end: &FollowEnd, ctx: &mut Context<Self>) {
        for (_, follow) in std::mem::take(&mut self.follows) {
            Delivery::End(follow, end.clone()).deliver();
        }
        ctx.stop();
    }

    fn fail(&mut self, error: &WireError, ctx: &mut Context<Self>) {
        self.end_all(&FollowEnd::LinkDown(error.to_string()), ctx);
    }

    fn drained(&mut self, ctx: &mut Context<Self>) {
        self.end_all(&FollowEnd::Draining, ctx);
    }
}

/// Splits a partition's records into batches and moves its position on.
fn read(follow: &mut Follow, fetched: Fetched) -> Result<Option<Chunk>, FollowEnd> {
    if fetched.error != ErrorCode::NONE {
        return Err(FollowEnd::Refused(fetched.error));
    }
    if let Some((epoch, end_offset)) = fetched.diverging {
        return Err(FollowEnd::Diverging { epoch, end_offset });
    }
    let mut found: Vec<RawBatch> = Vec::new();
    let mut unreadable = None;
    for batch in batches(&fetched.records) {
        match batch {
            Ok(batch) => found.push(batch),
            Err(error) => {
                unreadable = Some(error.to_string());
                break;
            }
        }
    }
    if let (true, Some(reason)) = (found.is_empty(), unreadable) {
        return Err(FollowEnd::Unreadable {
            offset: follow.wanted.offset,
            reason,
        });
    }
    if let Some(last) = found.last() {
        follow.wanted.offset = last.header.next_offset().max(follow.wanted.offset);
        follow.wanted.last_fetched_epoch = last.header.leader_epoch();
    }
    let credit_bytes = found.iter().map(|batch| batch.header.total_bytes()).sum();
    follow.credit.spend(credit_bytes);
    Ok(Some(Chunk {
        follow_id: follow.follow_id,
        batches: found,
        credit_bytes,
        aborted: fetched.aborted,
        high_watermark: fetched.high_watermark,
        log_start: fetched.log_start,
    }))
}

/// Something for a replicator.
enum Delivery {
    Chunk(Addr<Replicator>, Chunk),
    End(Follow, FollowEnd),
}

impl Delivery {
    /// False if the replicator is gone. Both kinds fit into its mailbox by construction: credit bounds the chunks.
    fn deliver(self) -> bool {
        match self {
            Self::Chunk(replicator, chunk) => replicator.try_send(chunk).is_ok(),
            Self::End(follow, end) => {
                let ended = FollowEnded {
                    follow_id: follow.follow_id,
                    end,
                };
                follow.replicator.try_send(ended).is_ok()
            }
        }
    }
}

impl Actor for SourceLink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
        let kill_switch = self.kill_switch.clone();
        let killed = wrap_future::<_, Self>(async move { kill_switch.wait().await });
        ctx.spawn(killed.map(|(), link, ctx| link.drained(ctx)));
        ctx.run_interval(IDLE_AFTER, |link, ctx| {
            if link.follows.is_empty() {
                ctx.stop();
            }
        });
        self.connect(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some((connection, _)) = self.connection.take() {
            connection.close("the link has ended");
        }
    }
}

impl Handler<Follow> for SourceLink {
    type Result = ();

    fn handle(&mut self, follow: Follow, ctx: &mut Self::Context) {
        // A replicator that was restarted follows anew; what it left behind must not compete with it.
        self.follows.retain(|_, old| {
            old.wanted.partition != follow.wanted.partition
                || old.wanted.topic != follow.wanted.topic
        });
        let slot = Slot(self.next_slot);
        self.next_slot = self.next_slot.wrapping_add(1);
        self.follows.insert(slot, follow);
        self.fetch(ctx);
    }
}

impl Handler<Unfollow> for SourceLink {
    type Result = ();

    fn handle(&mut self, unfollow: Unfollow, _: &mut Self::Context) {
        self.follows.retain(|_, follow| {
            follow.follow_id != unfollow.follow_id || follow.replicator != unfollow.replicator
        });
    }
}
