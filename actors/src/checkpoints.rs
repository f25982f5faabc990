//! Follows consumer groups: their offsets on the source become checkpoints, and offsets on the target.
//!
//! Everything is a round (`docs/spec/mm2.md` 6, KIP-382, KIP-545): ask what groups have committed, translate what changed by the
//! exact map, write the checkpoints that are due, commit what the target may take. A round compares with what was seen before,
//! so one that failed half-way is made up for by the next.

mod discovery;
mod log_starts;
mod round;
mod routes;
mod status;
mod sync;
mod topic;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context};
use tokio::time::Instant;
use topology::Pace;
use tracing::{debug, error, info, warn};

pub use status::{Group, GroupPartition, GroupStatus, Groups, NotSynced};

use crate::backoff::Backoff;
use crate::flow::Flow;
use crate::lease::LeaseError;
use crate::supervisor::{ChildSpec, Placement, RunningChild, StartContext, TICK_INTERVAL};
use round::Rounds;

/// Time between two rounds where the file sets none. With what a round takes a commit is followed well within a second.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// Of a rest, this part was spent on the round before: large clusters are asked less often.
const REST_FACTOR: u32 = 9;
/// The flow is not ready yet.
const WAIT: Duration = Duration::from_millis(100);
const RETRY_BASE: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Makes the rounds of one flow. MM2: `MirrorCheckpointConnector` with its tasks.
pub struct CheckpointsActor {
    flow: Arc<Flow>,
    start: StartContext,
    backoff: Backoff,
    /// The last round failed, and that was said.
    failing: bool,
}

impl CheckpointsActor {
    /// How the supervisor starts it.
    pub fn spec(flow: Arc<Flow>) -> ChildSpec {
        let name = format!("{}/checkpoints", flow.label);
        ChildSpec::new(name, Placement::Control, move |start| {
            let (flow, arbiter, start) = (flow.clone(), start.arbiter.clone(), start.clone());
            RunningChild::of(Self::start_in_arbiter(&arbiter, move |_| Self {
                flow,
                start,
                backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
                failing: false,
            }))
        })
    }

    fn round(&mut self, mut rounds: Box<Rounds>, ctx: &mut Context<Self>) {
        let flow = self.flow.clone();
        if flow.drain.fired() {
            return;
        }
        if !flow.maps.is_loaded() {
            ctx.run_later(WAIT, |this, ctx| this.round(rounds, ctx));
            return;
        }
        let began = Instant::now();
        let round = async move {
            let result = tokio::select! {
                result = rounds.round(&flow) => result,
                () = flow.drain.wait() => Ok(()),
            };
            (rounds, result)
        };
        let done = wrap_future::<_, Self>(round).map(move |(rounds, result), this, ctx| {
            let failed = std::mem::replace(&mut this.failing, result.is_err());
            let flow = &this.flow.label;
            let rest = match result {
                Ok(()) => {
                    if failed {
                        info!(%flow, "consumer groups are followed again");
                    }
                    this.backoff.reset();
                    interval(&this.flow).max(began.elapsed() * REST_FACTOR)
                }
                Err(LeaseError::Lost) => {
                    error!(%flow, "consumer groups are no longer followed: {}", LeaseError::Lost);
                    return;
                }
                Err(error) => {
                    if failed {
                        debug!(%flow, %error, "consumer groups still not followed");
                    } else {
                        warn!(%flow, %error, "cannot follow consumer groups, trying on");
                    }
                    this.backoff.next_delay()
                }
            };
            ctx.run_later(rest, |this, ctx| this.round(rounds, ctx));
        });
        ctx.spawn(done);
    }
}

/// Time between the beginnings of two looks, unless they take long.
fn interval(flow: &Flow) -> Duration {
    let offsets = &flow.config.offsets;
    let paces = [offsets.emit_checkpoints, offsets.sync_group_offsets];
    let each = paces.into_iter().flatten().map(|pace| match pace {
        Pace::AsSoonAsPossible => ROUND_INTERVAL,
        Pace::Every(interval) => interval,
    });
    each.min().unwrap_or(ROUND_INTERVAL)
}

/// Whether something with this pace is due that was done at `last`.
fn is_due(pace: Pace, last: Option<Instant>) -> bool {
    match (pace, last) {
        (Pace::AsSoonAsPossible, _) | (_, None) => true,
        (Pace::Every(interval), Some(last)) => last.elapsed() >= interval,
    }
}

impl Actor for CheckpointsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start.stop_on_kill(ctx);
        // Requests have deadlines of their own, so that a round always ends and this may tick meanwhile.
        ctx.run_interval(TICK_INTERVAL, |this, _| this.start.progress.tick());
        self.round(Box::default(), ctx);
    }
}
