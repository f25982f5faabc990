//! Watches the actors of one flow and restarts those that end, fail or fall silent.

mod child;
mod messages;
mod policy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::clock::{Instant, sleep, timeout};
use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context, Handler, MessageResult, ResponseFuture};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

pub use child::{ChildSpec, Placement, RunningChild, StartContext};
pub use messages::{
    ChildState, ChildStatus, Observe, RestartCounts, RestartNow, RestartReason, Supervise,
    SuperviseError, Unsupervise, Unsupervised,
};
pub use policy::{RestartPolicy, TICK_INTERVAL};

use crate::arbiters::{ArbiterId, DataArbiters, ReplaceError};
use crate::kill_switch::KillSwitch;
use child::{Child, Health, Phase, stop_on_kill};

/// Messages that may wait for a supervisor; requests are rare, and `send` waits for room.
const MAILBOX_CAPACITY: usize = 256;
/// How long [`Unsupervise`] waits for the child to end.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// Time between two looks at a child that is ending.
const END_POLL: Duration = Duration::from_millis(5);

/// Owns the children of one flow. Lives on the control arbiter, which nothing may block.
///
/// `actix::Supervisor` is not enough: it revives the same value after `Context::stop`, while a panic
/// in a handler ends the supervisor together with its actor. This one holds no actor: it looks at
/// address, progress and arbiter once per `health_interval`.
///
/// Invariants: a start's kill switch is fired before its replacement starts; a child has at most one
/// start whose switch has not fired; what happens to one child touches no other, except when a blocked
/// thread takes all children on it along.
#[derive(Debug)]
pub struct Supervisor {
    flow: Arc<str>,
    policy: RestartPolicy,
    arbiters: DataArbiters,
    kill_switch: KillSwitch,
    children: BTreeMap<Arc<str>, Child>,
    probes: BTreeSet<ArbiterId>,
}

impl Supervisor {
    /// A supervisor without children. `flow` labels its logs; when `parent` fires, the supervisor and
    /// all its children end. The children end as well when the supervisor does.
    pub fn new(
        flow: impl Into<Arc<str>>,
        parent: &KillSwitch,
        arbiters: DataArbiters,
        policy: RestartPolicy,
    ) -> Self {
        Self {
            flow: flow.into(),
            policy,
            arbiters,
            kill_switch: parent.child(),
            children: BTreeMap::new(),
            probes: BTreeSet::new(),
        }
    }

    fn check(&mut self, ctx: &mut Context<Self>) {
        if self.kill_switch.fired() {
            return; // the children end because they shall, and so does this supervisor
        }
        let mut unwell = Vec::new();
        for (name, child) in &mut self.children {
            match child.look(&self.policy, &self.arbiters) {
                Health::Progressing => {}
                health => unwell.push((Arc::clone(name), health)),
            }
        }
        for (name, health) in unwell {
            match health {
                Health::Progressing => {}
                Health::Halted(reason) => self.halt(&name, reason, ctx),
                Health::Failed(reason) => {
                    self.restart_later(&name, RestartReason::Failed, reason, ctx);
                }
                Health::Exited => {
                    let reason = "ended by itself or by a panic in a handler".to_owned();
                    self.restart_later(&name, RestartReason::Exited, reason, ctx);
                }
                Health::Moved => {
                    let reason = "its data arbiter was replaced".to_owned();
                    self.restart_now(&name, RestartReason::Blocked, reason, ctx);
                }
                Health::Stuck(Some(home)) => self.probe(&name, home, ctx),
                // The control arbiter is running this very line, so it is not blocked.
                Health::Stuck(None) => {
                    let reason = self.silence();
                    self.restart_later(&name, RestartReason::Stuck, reason, ctx);
                }
            }
        }
    }

    /// Finds out whether a silent child is alone in that or its whole thread is blocked.
    fn probe(&mut self, name: &str, home: ArbiterId, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.suspect(ctx);
        if !self.probes.insert(home) {
            return; // another child on the same thread asked already
        }
        let (answer, answered) = oneshot::channel();
        // An arbiter that is gone drops the function, which counts as no answer, at once.
        self.arbiters.post(home, move || _ = answer.send(()));
        let probe = wrap_future::<_, Self>(timeout(self.policy.probe_deadline, answered));
        ctx.spawn(probe.map(move |outcome, this, ctx| {
            this.probed(home, matches!(outcome, Ok(Ok(()))), ctx);
        }));
    }

    fn probed(&mut self, home: ArbiterId, answered: bool, ctx: &mut Context<Self>) {
        self.probes.remove(&home);
        let stuck: Vec<_> = self
            .children
            .iter()
            .filter(|(_, child)| child.is_stuck_on(home))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let outcome = if answered {
            Ok(false)
        } else {
            self.arbiters.replace(home)
        };
        match &outcome {
            Ok(false) => {}
            Ok(true) => error!(
                flow = %self.flow, slot = home.slot, generation = home.generation, children = ?stuck,
                abandoned_total = self.arbiters.abandoned_total(),
                "data arbiter is blocked; its thread is abandoned and replaced"
            ),
            Err(error) => error!(
                flow = %self.flow, slot = home.slot, error = error as &dyn std::error::Error,
                "data arbiter is blocked and was not replaced"
            ),
        }
        for name in stuck {
            match &outcome {
                Ok(_) if answered => {
                    let reason = self.silence();
                    self.restart_later(&name, RestartReason::Stuck, reason, ctx);
                }
                // No replacement for now: the next start goes to the blocked thread, and is probed
                // again. The thread may come back, or the system find room for another.
                Ok(_) | Err(ReplaceError::Spawn(_) | ReplaceError::NoSuchSlot(_)) => {
                    let reason = "its data arbiter is blocked".to_owned();
                    self.restart_later(&name, RestartReason::Blocked, reason, ctx);
                }
                Err(error @ ReplaceError::TooManyBlocked) => {
                    self.halt(&name, error.to_string(), ctx);
                }
            }
        }
        // Children that share the thread but were not silent for long enough yet: the next look finds
        // them moved.
    }

    fn halt(&mut self, name: &str, reason: String, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.end(ctx);
        error!(flow = %self.flow, child = name, reason, "child halted; restart it when this is mended");
        child.last_reason = Some(reason);
    }

    fn restart_later(
        &mut self,
        name: &Arc<str>,
        reason: RestartReason,
        detail: String,
        ctx: &mut Context<Self>,
    ) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.end(ctx);
        child.restarts.count(reason);
        let delay = child.backoff.next_delay();
        warn!(
            flow = %self.flow, child = %name, reason = reason.as_str(), detail,
            delay_ms = delay.as_millis(), restarts = child.restarts.total(), "restarting child"
        );
        child.last_reason = Some(detail);
        let name = Arc::clone(name);
        let timer = ctx.run_later(delay, move |this, ctx| this.start(&name, ctx));
        child.phase = Phase::Restarting(timer);
    }

    fn restart_now(
        &mut self,
        name: &Arc<str>,
        reason: RestartReason,
        detail: String,
        ctx: &mut Context<Self>,
    ) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        child.end(ctx);
        child.restarts.count(reason);
        info!(flow = %self.flow, child = %name, reason = reason.as_str(), detail, "restarting child");
        child.last_reason = Some(detail);
        self.start(name, ctx);
    }

    fn start(&mut self, name: &Arc<str>, ctx: &mut Context<Self>) {
        let Some(child) = self.children.get_mut(name) else {
            return;
        };
        if self.kill_switch.fired() {
            return;
        }
        if let Err(reason) = child.start(&self.arbiters, &self.kill_switch) {
            self.restart_later(name, RestartReason::Exited, reason, ctx);
        }
    }

    fn silence(&self) -> String {
        format!("no progress for {:?}", self.policy.stuck_after)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill_switch.fire(); // also after a panic: nobody would watch the children any more
    }
}

// === impl Actor and messages ===

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX_CAPACITY);
        stop_on_kill(&self.kill_switch, ctx);
        ctx.run_interval(self.policy.health_interval, Self::check);
    }
}

impl Handler<Supervise> for Supervisor {
    type Result = Result<(), SuperviseError>;

    fn handle(&mut self, Supervise(spec): Supervise, ctx: &mut Context<Self>) -> Self::Result {
        let name = Arc::clone(spec.name());
        if self.children.contains_key(&name) {
            return Err(SuperviseError::AlreadySupervised { name });
        }
        self.children
            .insert(Arc::clone(&name), Child::new(spec, &self.policy));
        self.start(&name, ctx);
        Ok(())
    }
}

impl Handler<Unsupervise> for Supervisor {
    type Result = ResponseFuture<Unsupervised>;

    fn handle(
        &mut self,
        Unsupervise { name }: Unsupervise,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let Some(mut child) = self.children.remove(&name) else {
            return Box::pin(async { Unsupervised::Unknown });
        };
        let run = child.end(ctx);
        Box::pin(async move {
            let deadline = Instant::now() + END_DEADLINE;
            while run.as_ref().is_some_and(|run| run.is_alive()) {
                if Instant::now() >= deadline {
                    return Unsupervised::StillRunning;
                }
                sleep(END_POLL).await;
            }
            Unsupervised::Ended
        })
    }
}

impl Handler<RestartNow> for Supervisor {
    type Result = bool;

    fn handle(&mut self, RestartNow { name }: RestartNow, ctx: &mut Context<Self>) -> bool {
        let Some(child) = self.children.get_mut(&name) else {
            return false;
        };
        child.backoff.reset();
        self.restart_now(
            &name,
            RestartReason::Requested,
            "requested by an operator".to_owned(),
            ctx,
        );
        true
    }
}

impl Handler<Observe> for Supervisor {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.children.values().map(Child::status).collect())
    }
}
