//! Writes to one target broker.

mod queues;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message};
use bytes::Bytes;
use engine::cluster::BrokerAddress;
use engine::lane::raw::produce::{self, Outcome, ProduceBatch, ProduceVersions};
use engine::wire::{Connection, WireError};

use crate::flow::Flow;
use crate::kill_switch::KillSwitch;
use crate::links;
use crate::replicator::{Answered, Replicator};
use queues::Queues;

/// Produce requests in flight on one connection. A broker serves them one after the other; five hide the
/// network's round trip and match the window of a partition.
pub const REQUESTS_IN_FLIGHT: usize = 5;
/// Most bytes of batches in one request; far below a broker's `socket.request.max.bytes` (100 MB). A single batch
/// may be larger.
pub const REQUEST_BYTES_MAX: usize = 8 << 20;
/// Messages that may wait. Each replicator has at most five batches here, so this is room for 13,000
/// partitions on one broker and thread; one that finds no room waits and tries again.
const MAILBOX_CAPACITY: usize = 1 << 16;
/// A link that wrote nothing for so long ends.
const IDLE_AFTER: Duration = Duration::from_secs(60);

/// One batch to write.
#[derive(Debug)]
pub(crate) struct Produce {
    /// The batch, stamped.
    pub batch: ProduceBatch,
    /// Comes back with the answer.
    pub ticket: u64,
    /// Gets the answer.
    pub replicator: Addr<Replicator>,
}

impl Message for Produce {
    type Result = ();
}

/// Builds the next requests from what has come in; follows the batches of one fetch in the mailbox, so that
/// all its partitions travel together.
#[derive(Debug)]
struct Pump;

impl Message for Pump {
    type Result = ();
}

/// One connection to one target broker, for all partitions of a flow on this thread that it leads.
///
/// Takes at most one batch of each partition into a request: a broker stores one of two and drops the other
/// silently. The order of a partition's batches is kept. A connection that fails takes everything with it: each batch is
/// answered with [`Outcome::Retry`], and the link ends; replicators look for the leader anew.
///
/// Bounds: [`REQUESTS_IN_FLIGHT`], [`REQUEST_BYTES_MAX`], five batches a partition (its window), [`MAILBOX_CAPACITY`].
pub(crate) struct TargetLink {
    flow: Arc<Flow>,
    broker: BrokerAddress,
    kill_switch: KillSwitch,
    connection: Option<(Connection, ProduceVersions)>,
    connecting: bool,
    queues: Queues<Produce>,
    in_flight: usize,
    throttled: bool,
    pump_queued: bool,
    /// Why nothing is taken any more; set until the last answers are in.
    ended: Option<WireError>,
    /// Something was written since the last look.
    used: bool,
}

impl TargetLink {
    /// Starts a link on this thread's arbiter; it connects at once.
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
            queues: Queues::default(),
            in_flight: 0,
            throttled: false,
            pump_queued: false,
            ended: None,
            used: false,
        };
        Actor::start(link)
    }

    fn connect(&mut self, ctx: &mut Context<Self>) {
        if self.connecting || self.connection.is_some() {
            return;
        }
        self.connecting = true;
        let connect = links::open(
            self.flow.target.clone(),
            self.broker.clone(),
            ProduceVersions::new,
        );
        let connected =
            wrap_future::<_, Self>(connect).map(|result: Result<_, WireError>, link, ctx| {
                link.connecting = false;
                match result {
                    Ok(connection) => {
                        link.connection = Some(connection);
                        link.pump(ctx);
                    }
                    Err(error) => link.fail(&error, ctx),
                }
            });
        ctx.spawn(connected);
    }

    /// Sends what may be sent now.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if self.kill_switch.fired() {
            return ctx.stop();
        }
        let Some((connection, versions)) = self.connection.clone() else {
            return self.connect(ctx);
        };
        // How long the broker may wait for the in-sync replicas, as a producer's.
        let timeout = self.flow.config.target.request_timeout;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        while self.in_flight < REQUESTS_IN_FLIGHT && !self.throttled && !self.queues.is_empty() {
            let mut request = self.queues.next_request(REQUEST_BYTES_MAX);
            let mut batches: Vec<ProduceBatch> = request.iter().map(|p| p.batch.clone()).collect();
            let (frame, version) =
                produce::encode(&mut batches, versions, connection.client_id(), timeout_ms);
            drop(batches);
            match connection.try_send(frame, produce::answer_deadline(timeout)) {
                Ok(pending) => {
                    self.in_flight += 1;
                    let sent = Instant::now();
                    // A broker serves a connection's requests in turn: of the time until the answer, those in
                    // front had their part. Without this a busy broker next door looks like a far one, joining
                    // sets in, and as joined batches keep it busy, never ends.
                    let in_turn = u32::try_from(self.in_flight).unwrap_or(u32::MAX).max(1);
                    let answered = wrap_future::<_, Self>(pending).map(move |bytes, link, ctx| {
                        link.in_flight -= 1;
                        let round_trip = sent.elapsed() / in_turn;
                        link.answered(&mut request, bytes, version, round_trip, ctx);
                    });
                    ctx.spawn(answered);
                }
                Err(error) => {
                    answer_all(&mut request, &lost(&error));
                    return self.fail(&error, ctx);
                }
            }
        }
    }

    fn answered(
        &mut self,
        request: &mut Vec<Produce>,
        bytes: Result<Bytes, WireError>,
        version: i16,
        round_trip: Duration,
        ctx: &mut Context<Self>,
    ) {
        let decoded = bytes.and_then(|bytes| {
            produce::decode(bytes, version).map_err(|reason| WireError::Malformed {
                broker: format!("{}:{}", self.broker.host, self.broker.port),
                api: produce::API,
                reason,
            })
        });
        let answer = match decoded {
            Ok(answer) => answer,
            Err(error) => {
                answer_all(request, &lost(&error));
                return self.fail(&error, ctx);
            }
        };
        let mut partitions = answer.partitions;
        for produce in request.drain(..) {
            let at = partitions
                .iter()
                .position(|partition| partition.is_for(&produce.batch));
            let outcome = match at {
                Some(at) => partitions.swap_remove(at).outcome,
                None => Outcome::Retry {
                    reason: "the broker's answer leaves the partition out".to_owned(),
                    refresh: true,
                },
            };
            tell(&produce, outcome, Some(round_trip));
        }
        if let Ok(throttle @ 1..) = u64::try_from(answer.throttle_ms) {
            // KIP-219: the broker reads nothing from this connection for so long.
            self.throttled = true;
            ctx.run_later(Duration::from_millis(throttle), |link, ctx| {
                link.throttled = false;
                link.pump(ctx);
            });
        }
        self.pump(ctx);
    }

    /// Answers everything that waits and ends; requests in flight fail by themselves with the connection.
    fn fail(&mut self, error: &WireError, ctx: &mut Context<Self>) {
        if let Some((connection, _)) = self.connection.take() {
            connection.close(&error.to_string());
        }
        answer_all(&mut self.queues.drain(), &lost(error));
        if self.in_flight == 0 {
            ctx.stop();
        } else {
            // The answers to what is in flight come now, as failures; each comes here again, the last one stops.
            self.ended.get_or_insert_with(|| error.clone());
        }
    }
}

fn lost(error: &WireError) -> Outcome {
    Outcome::Retry {
        reason: error.to_string(),
        refresh: true,
    }
}

fn answer_all(request: &mut Vec<Produce>, outcome: &Outcome) {
    for produce in request.drain(..) {
        tell(&produce, outcome.clone(), None);
    }
}

fn tell(produce: &Produce, outcome: Outcome, round_trip: Option<Duration>) {
    let answer = Answered {
        ticket: produce.ticket,
        outcome,
        round_trip,
    };
    // The mailbox has room for every ticket of a window. A replicator that is gone needs no answer.
    if let Err(error) = produce.replicator.try_send(answer) {
        tracing::debug!(topic = %produce.batch.topic, partition = produce.batch.partition, %error, "answer not taken");
    }
}

impl Actor for TargetLink {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
        let kill_switch = self.kill_switch.clone();
        let killed = wrap_future::<_, Self>(async move { kill_switch.wait().await });
        ctx.spawn(killed.map(|(), _, ctx| ctx.stop()));
        ctx.run_interval(IDLE_AFTER, |link, ctx| {
            if !std::mem::take(&mut link.used) && link.in_flight == 0 && link.queues.is_empty() {
                ctx.stop();
            }
        });
        self.connect(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some((connection, _)) = self.connection.take() {
            connection.close("the link has ended");
        }
        let outcome = Outcome::Retry {
            reason: "the link has ended".to_owned(),
            refresh: true,
        };
        answer_all(&mut self.queues.drain(), &outcome);
    }
}

impl Handler<Produce> for TargetLink {
    type Result = ();

    fn handle(&mut self, produce: Produce, ctx: &mut Self::Context) {
        if let Some(error) = &self.ended {
            return tell(&produce, lost(error), None);
        }
        self.used = true;
        let partition = (produce.batch.topic.clone(), produce.batch.partition);
        self.queues
            .push(partition, produce.batch.wire_bytes(), produce);
        if !self.pump_queued {
            self.pump_queued = true;
            ctx.notify(Pump);
        }
    }
}

impl Handler<Pump> for TargetLink {
    type Result = ();

    fn handle(&mut self, _: Pump, ctx: &mut Self::Context) {
        self.pump_queued = false;
        self.pump(ctx);
    }
}
