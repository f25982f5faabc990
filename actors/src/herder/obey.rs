//! Pausing, stopping and going on, as an operator wants it.

use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Addr, AsyncContext, Context};
use futures_util::future::join_all;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Herder;
use crate::control::TargetState;
use crate::flow::Flow;
use crate::positions::flush_until;
use crate::registry::{PartitionKey, PartitionState};
use crate::supervisor::{Supervisor, Unsupervise, Unsupervised};

/// Time between two looks at what is wanted.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// Bound on waiting for what is on its way, as Connect's `task.shutdown.graceful.timeout.ms`. What is late is no loss: the
/// next start finds it on the target.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const DRAIN_POLL: Duration = Duration::from_millis(20);
/// Bound on storing positions.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

impl Herder {
    /// Does what an operator wants by now. Links look for themselves whether they may fetch.
    pub(super) fn obey(&mut self, ctx: &mut Context<Self>) {
        let control = &self.flow.control.source;
        let wanted = control.wanted();
        if wanted == self.obeyed || self.flow.drain.fired() {
            return;
        }
        let ending = self.obeyed == TargetState::Stopped && !control.has_ended();
        if ending {
            return; // first the one, then the other
        }
        if self.obeyed == TargetState::Stopped && wanted == TargetState::Paused {
            return; // nothing runs, so there is nothing to pause
        }
        info!(flow = %self.flow.label, state = wanted.as_str(), "an operator wants");
        if let Some(planned) = self.next_round.take() {
            ctx.cancel_future(planned);
        }
        self.rounds += 1;
        let before = std::mem::replace(&mut self.obeyed, wanted);
        match wanted {
            TargetState::Paused => {}
            TargetState::Stopped => self.stop_all(ctx),
            TargetState::Running => {
                if before == TargetState::Stopped {
                    control.set_ended(false);
                    self.stored = None; // an operator may have moved positions
                }
                self.round(ctx);
            }
        }
    }

    fn stop_all(&mut self, ctx: &mut Context<Self>) {
        self.flow.control.source.set_ended(false);
        let end = end_all(self.flow.clone(), self.supervisor.clone());
        ctx.spawn(wrap_future::<_, Self>(end).map(|(), this, _| {
            this.running.clear();
            this.leaving.clear();
            this.taken.clear();
            this.flow.maps.owners.release_all(&this.flow.label);
            this.flow.control.source.set_ended(true);
        }));
    }
}

/// Waits for what is on its way, stores positions and ends every replicator of the flow, also of an earlier herder.
async fn end_all(flow: std::sync::Arc<Flow>, supervisor: Addr<Supervisor>) {
    let deadline = Instant::now() + DRAIN_LIMIT;
    while !flow.is_drained() && Instant::now() < deadline {
        sleep(DRAIN_POLL).await;
    }
    if let Err(error) = flush_until(&flow, Instant::now() + FLUSH_LIMIT).await {
        warn!(flow = %flow.label, %error, "positions not stored");
    }
    let keys: Vec<PartitionKey> = partitions(&flow);
    let ends = keys.iter().map(|key| {
        let name = format!("{}/{}-{}", flow.label, key.topic, key.partition);
        supervisor.send(Unsupervise { name: name.into() })
    });
    let late = (join_all(ends).await.iter())
        .filter(|ended| matches!(ended, Ok(Unsupervised::StillRunning)))
        .count();
    if late > 0 {
        warn!(flow = %flow.label, late, "partitions have not ended in time");
    }
    for key in keys {
        let status = flow.registry.partition(key);
        status.forget_position();
        status.set_state(PartitionState::Stopped, "stopped by an operator");
    }
}

fn partitions(flow: &Flow) -> Vec<PartitionKey> {
    let mut keys = Vec::new();
    flow.registry.for_each(|status| {
        if status.key().flow == flow.label {
            keys.push(status.key().clone());
        }
    });
    keys
}
