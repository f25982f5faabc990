//! Follows consumer groups: their offsets on the source become checkpoints, and offsets on the target.
//!
//! Everything is a round (`docs/spec/mm2.md` 6, KIP-382, KIP-545): ask what groups have committed, translate what changed by the
//! exact map, write the checkpoints that are due, commit what the target may take. A round compares with what was seen before,
//! so one that failed half-way is made up for by the next.

mod discovery;
mod log_starts;
mod reverse;
mod round;
mod routes;
mod status;
mod sync;
mod topic;
mod translated;

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context};
use tokio::time::Instant;
use topology::{FlowConfig, Pace};
use tracing::{debug, error, info, warn};

pub use status::{Group, GroupPartition, GroupStatus, Groups, NotSynced, SyncState};
pub use topic::{read_checkpoints, read_offset_syncs};
pub use translated::Translated;

use crate::backoff::Backoff;
use crate::flow::Flow;
use crate::lease::LeaseError;
use crate::supervisor::{ChildSpec, Placement, RunningChild, StartContext, TICK_INTERVAL};
use round::Rounds;

/// Time between two rounds where the file sets none. With what a round takes a commit is followed well within a second.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// From the beginning of one round to that of the next, so many times what was computed: at most a tenth of the time is
/// spent on that, however many groups there are.
const COMPUTED_FACTOR: u32 = 10;
/// And so many times what the source's brokers took to answer: at most half of the time they are busy for us.
const ANSWERED_FACTOR: u32 = 2;
/// Between two rounds, whatever they took.
const REST_MIN: Duration = Duration::from_millis(10);
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
        if !flow.maps.is_loaded() || !flow.control.checkpoint.may_run() {
            ctx.run_later(WAIT, |this, ctx| this.round(rounds, ctx));
            return;
        }
        let began = Instant::now();
        let round = async move {
            let result = tokio::select! {
                result = rounds.round(&flow) => result,
                () = flow.drain.wait() => Ok(Looked::default()),
            };
            (rounds, result)
        };
        let done = wrap_future::<_, Self>(round).map(move |(rounds, result), this, ctx| {
            let failed = std::mem::replace(&mut this.failing, result.is_err());
            let flow = &this.flow.label;
            let rest = match result {
                Ok(looked) => {
                    if failed {
                        info!(%flow, "consumer groups are followed again");
                    }
                    this.backoff.reset();
                    next_in(interval(&this.flow), looked, began.elapsed())
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

/// What a look at the source cost.
#[derive(Clone, Copy, Debug, Default)]
struct Looked {
    /// Until all brokers had answered.
    answered: Duration,
    /// Comparing and translating.
    computed: Duration,
}

/// Rest before the next round, where this one has taken `spent`, with all that followed from its look.
fn next_in(interval: Duration, looked: Looked, spent: Duration) -> Duration {
    let between = interval
        .max(looked.computed * COMPUTED_FACTOR)
        .max(looked.answered * ANSWERED_FACTOR);
    between.saturating_sub(spent).max(REST_MIN)
}

/// Time between the beginnings of two rounds, unless they take long.
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

/// Whether a flow has checkpoints at all. MM2: whether `MirrorCheckpointConnector.taskConfigs` gives tasks; KAFKA-18021.
pub(crate) fn are_wanted(config: &FlowConfig) -> bool {
    config.replication_enabled && config.offsets.emit_checkpoints.is_some()
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

#[cfg(test)]
mod tests {
    use topology::{MirrorConfig, Properties};

    use super::*;

    fn wanted(lines: &str) -> bool {
        let file = format!(
            "clusters = a, b\na.bootstrap.servers = a:1\nb.bootstrap.servers = b:1\n{lines}"
        );
        let properties = Properties::parse(file.as_bytes()).unwrap();
        let config = MirrorConfig::read(properties, &[]).unwrap();
        let mut flows = config.flows().iter();
        let forth = flows.find(|flow| flow.id.source.as_str() == "a").unwrap();
        are_wanted(forth)
    }

    #[test]
    fn kx_01_kx_02_emit_checkpoints_decides() {
        assert!(!wanted(
            "a->b.enabled = true\nemit.checkpoints.enabled = false\n"
        ));
        assert!(wanted(
            "a->b.enabled = true\nemit.checkpoints.enabled = true\n"
        ));
    }

    #[test]
    fn kx_05_kx_06_a_flow_that_is_off_has_none() {
        assert!(!wanted("a->b.enabled = false\n"));
        assert!(wanted("a->b.enabled = true\n"));
    }

    #[test]
    fn a_round_that_took_long_is_followed_by_a_longer_rest() {
        let ms = Duration::from_millis;
        let rest = |answered, computed, spent| {
            let (answered, computed) = (ms(answered), ms(computed));
            next_in(ms(500), Looked { answered, computed }, ms(spent))
        };
        assert_eq!(rest(10, 5, 20), ms(480));
        assert_eq!(rest(10, 5, 600), REST_MIN, "much was committed");
        assert_eq!(rest(200, 5, 210), ms(290), "a source far away");
        assert_eq!(rest(400, 5, 410), ms(390), "busy brokers");
        assert_eq!(rest(100, 100, 200), ms(800), "many groups");
    }
}
