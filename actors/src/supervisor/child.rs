//! One supervised child: how it is started, where it lives and how it does.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{
    Actor, ActorContext, Addr, Arbiter, ArbiterHandle, AsyncContext, Context, SpawnHandle,
};

use super::messages::{ChildState, ChildStatus, RestartCounts};
use super::policy::RestartPolicy;
use crate::arbiters::{ArbiterId, DataArbiters};
use crate::backoff::Backoff;
use crate::kill_switch::KillSwitch;
use crate::progress::{Progress, Verdict};

/// Where a child lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// On the supervisor's own arbiter: for what is rare and small, as checkpoints.
    Control,
    /// On the data arbiter that this key is pinned to; children with equal keys share a thread.
    Data(Arc<str>),
}

/// How to start one child, any number of times.
pub struct ChildSpec {
    name: Arc<str>,
    placement: Placement,
    start: Box<StartFn>,
}

type StartFn = dyn FnMut(&StartContext) -> RunningChild + Send;

impl ChildSpec {
    /// `start` runs on the supervisor's thread, must not block, and starts the child's actor in
    /// [`StartContext::arbiter`]. A panic in it counts as an exit. `name` is unique per supervisor.
    pub fn new(
        name: impl Into<Arc<str>>,
        placement: Placement,
        start: impl FnMut(&StartContext) -> RunningChild + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            placement,
            start: Box::new(start),
        }
    }

    /// The child's name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSpec")
            .field("name", &self.name)
            .field("placement", &self.placement)
            .finish_non_exhaustive()
    }
}

/// What one start of a child gets; clone it into the actor.
#[derive(Debug, Clone)]
pub struct StartContext {
    /// The child's name.
    pub name: Arc<str>,
    /// Where to start the actor (`Actor::start_in_arbiter`).
    pub arbiter: ArbiterHandle,
    /// Fires when this start of the child has to end. Check it before every write to the target: a
    /// replacement may already be at work.
    pub kill_switch: KillSwitch,
    /// The child's sign of life, fresh for this start.
    pub progress: Arc<Progress>,
}

impl StartContext {
    /// Stops the actor of `ctx` when the kill switch fires. Call in `Actor::started`.
    ///
    /// An actor that is inside `ctx.wait(..)` does not see it until that wait is over, so no wait may
    /// be without a bound.
    pub fn stop_on_kill<A: Actor<Context = Context<A>>>(&self, ctx: &mut Context<A>) {
        stop_on_kill(&self.kill_switch, ctx);
    }
}

/// Stops the actor of `ctx` when `kill_switch` fires.
pub(super) fn stop_on_kill<A: Actor<Context = Context<A>>>(
    kill_switch: &KillSwitch,
    ctx: &mut Context<A>,
) {
    let kill_switch = kill_switch.clone();
    let fired = wrap_future::<_, A>(async move { kill_switch.wait().await });
    ctx.spawn(fired.map(|(), _, ctx| ctx.stop()));
}

/// A started child, as far as its supervisor needs to know it.
pub struct RunningChild {
    alive: Box<dyn Fn() -> bool>,
}

impl RunningChild {
    /// `alive` says whether the child still runs; it is called at every look and must not block.
    pub fn new(alive: impl Fn() -> bool + 'static) -> Self {
        Self {
            alive: Box::new(alive),
        }
    }

    /// A child that runs as long as its address is connected.
    pub fn of<A: Actor<Context = Context<A>>>(addr: Addr<A>) -> Self {
        Self::new(move || addr.connected())
    }
}

impl fmt::Debug for RunningChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningChild")
            .field("alive", &(self.alive)())
            .finish()
    }
}

/// What a look at a child found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Health {
    Progressing,
    Exited,
    Failed(String),
    Halted(String),
    /// Silent for too long; on the named arbiter, or on the supervisor's own.
    Stuck(Option<ArbiterId>),
    /// Its arbiter was replaced under it.
    Moved,
}

/// One start of a child.
#[derive(Debug)]
pub(super) struct Run {
    running: RunningChild,
    progress: Arc<Progress>,
    kill_switch: KillSwitch,
    home: Option<ArbiterId>,
    ticks_seen: u64,
    silent: Duration,
    healthy: Duration,
}

impl Run {
    /// Whether the child has not ended yet.
    pub(super) fn is_alive(&self) -> bool {
        (self.running.alive)()
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    Running(Run),
    /// Kill switch fired, arbiter being probed.
    Stuck(Run),
    Restarting(SpawnHandle),
    Halted,
}

#[derive(Debug)]
pub(super) struct Child {
    spec: ChildSpec,
    pub(super) backoff: Backoff,
    pub(super) phase: Phase,
    pub(super) restarts: RestartCounts,
    pub(super) last_reason: Option<String>,
}

impl Child {
    pub(super) fn new(spec: ChildSpec, policy: &RestartPolicy) -> Self {
        Self {
            spec,
            backoff: Backoff::new(policy.backoff_base, policy.backoff_max),
            phase: Phase::Halted,
            restarts: RestartCounts::default(),
            last_reason: None,
        }
    }

    /// Starts the child with a fresh progress and a fresh switch below `parent`. The last start must
    /// have been ended.
    pub(super) fn start(
        &mut self,
        arbiters: &DataArbiters,
        parent: &KillSwitch,
    ) -> Result<(), String> {
        let (home, arbiter) = match &self.spec.placement {
            Placement::Control => (None, Arbiter::current()),
            Placement::Data(key) => match arbiters.pin(key) {
                Ok((id, arbiter)) => (Some(id), arbiter),
                Err(error) => return Err(error.to_string()),
            },
        };
        let context = StartContext {
            name: Arc::clone(&self.spec.name),
            arbiter,
            kill_switch: parent.child(),
            progress: Arc::new(Progress::new()),
        };
        let start = &mut self.spec.start;
        let Ok(running) = catch_unwind(AssertUnwindSafe(|| start(&context))) else {
            context.kill_switch.fire(); // it may have started half of itself
            return Err("panicked while it was started".to_owned());
        };
        self.phase = Phase::Running(Run {
            running,
            progress: context.progress,
            kill_switch: context.kill_switch,
            home,
            ticks_seen: 0,
            silent: Duration::ZERO,
            healthy: Duration::ZERO,
        });
        Ok(())
    }

    /// Fires the kill switch of the current start, if there is one, and returns that start. A restart
    /// that is on its way is called off.
    pub(super) fn end<A: Actor<Context = Context<A>>>(
        &mut self,
        ctx: &mut Context<A>,
    ) -> Option<Run> {
        match std::mem::replace(&mut self.phase, Phase::Halted) {
            Phase::Running(run) | Phase::Stuck(run) => {
                run.kill_switch.fire();
                Some(run)
            }
            Phase::Restarting(timer) => {
                ctx.cancel_future(timer);
                None
            }
            Phase::Halted => None,
        }
    }

    /// Marks the child stuck and fires its kill switch, in case it can still hear it.
    pub(super) fn suspect<A: Actor<Context = Context<A>>>(&mut self, ctx: &mut Context<A>) {
        if let Some(run) = self.end(ctx) {
            self.phase = Phase::Stuck(run);
        }
    }

    /// Looks at the child; called once per `health_interval`.
    pub(super) fn look(&mut self, policy: &RestartPolicy, arbiters: &DataArbiters) -> Health {
        let Phase::Running(run) = &mut self.phase else {
            return Health::Progressing; // a restart, a probe or an operator is on its way
        };
        match run.progress.verdict() {
            Some(Verdict::Halted(reason)) => return Health::Halted(reason.clone()),
            Some(Verdict::Failed(reason)) => return Health::Failed(reason.clone()),
            None => {}
        }
        // Before `alive`: when an abandoned thread comes back its actors end, which is no exit.
        if run.home.is_some_and(|home| !arbiters.is_current(home)) {
            return Health::Moved;
        }
        if !run.is_alive() {
            return Health::Exited;
        }
        let ticks = run.progress.ticks();
        if ticks == run.ticks_seen {
            run.silent = run.silent.saturating_add(policy.health_interval);
            if run.silent >= policy.stuck_after {
                return Health::Stuck(run.home);
            }
            return Health::Progressing;
        }
        // The silence up to this tick was none after all: a child may tick more rarely than it is
        // looked at.
        let since_last_tick =
            std::mem::take(&mut run.silent).saturating_add(policy.health_interval);
        run.ticks_seen = ticks;
        run.healthy = run.healthy.saturating_add(since_last_tick);
        if run.healthy >= policy.healthy_after {
            self.backoff.reset();
        }
        Health::Progressing
    }

    /// Whether the child waits for the probe of `home`.
    pub(super) fn is_stuck_on(&self, home: ArbiterId) -> bool {
        matches!(&self.phase, Phase::Stuck(run) if run.home == Some(home))
    }

    pub(super) fn status(&self) -> ChildStatus {
        let (state, arbiter) = match &self.phase {
            Phase::Running(run) => (ChildState::Running, run.home),
            Phase::Stuck(run) => (ChildState::Stuck, run.home),
            Phase::Restarting(_) => (ChildState::Restarting, None),
            Phase::Halted => (ChildState::Halted, None),
        };
        ChildStatus {
            name: Arc::clone(&self.spec.name),
            state,
            failures: self.backoff.attempts(),
            restarts: self.restarts,
            last_reason: self.last_reason.clone(),
            arbiter,
        }
    }
}
