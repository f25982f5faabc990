//! Scripted children that panic, stall, fail or halt on demand.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread::ThreadId;

use actix::{Addr, Message, System};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(5);
const TICK: Duration = Duration::from_millis(10);

/// Quick, but with a silence that a loaded machine does not reach by accident.
fn quick() -> RestartPolicy {
    RestartPolicy {
        health_interval: Duration::from_millis(10),
        stuck_after: Duration::from_secs(1),
        probe_deadline: Duration::from_secs(10),
        backoff_base: Duration::from_millis(20),
        backoff_max: Duration::from_millis(160),
        healthy_after: Duration::from_secs(600),
    }
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        sleep(POLL).await;
    }
}

// === A scripted child ===

#[derive(Debug)]
enum Act {
    Panic,
    Fail,
    Halt,
    StopTicking,
    Block(mpsc::Receiver<()>),
}

impl Message for Act {
    type Result = ();
}

/// Answers how often it was asked since this start of the child: a restart shows as 1.
struct Count;

impl Message for Count {
    type Result = usize;
}

struct Scripted {
    context: StartContext,
    ticking: bool,
    counted: usize,
    fail_at_once: bool,
}

impl Actor for Scripted {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.context.stop_on_kill(ctx);
        if self.fail_at_once {
            self.context.progress.failed("scripted failure at start");
        }
        ctx.run_interval(TICK, |this, _| {
            if this.ticking {
                this.context.progress.tick();
            }
        });
    }
}

impl Handler<Act> for Scripted {
    type Result = ();

    fn handle(&mut self, act: Act, _: &mut Context<Self>) {
        match act {
            Act::Panic => panic!("scripted panic in {}", self.context.name),
            Act::Fail => self.context.progress.failed("scripted failure"),
            Act::Halt => self.context.progress.halted("scripted halt"),
            Act::StopTicking => self.ticking = false,
            Act::Block(released) => drop(released.recv()),
        }
    }
}

impl Handler<Count> for Scripted {
    type Result = usize;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> usize {
        self.counted += 1;
        self.counted
    }
}

/// The test's side of one child.
#[derive(Clone, Default)]
struct Script {
    addr: Arc<Mutex<Option<Addr<Scripted>>>>,
    switches: Arc<Mutex<Vec<KillSwitch>>>,
    started_at: Arc<Mutex<Vec<Instant>>>,
    thread: Arc<Mutex<Option<ThreadId>>>,
    panic_starts: Arc<AtomicUsize>,
    failing_starts: Arc<AtomicUsize>,
    overlaps: Arc<AtomicUsize>,
}

fn spend(counter: &AtomicUsize) -> bool {
    counter
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

impl Script {
    fn spec(&self, name: &str, placement: Placement) -> ChildSpec {
        let script = self.clone();
        ChildSpec::new(name, placement, move |context| {
            let mut switches = script.switches.lock().expect("not poisoned");
            if switches.iter().any(|earlier| !earlier.fired()) || context.kill_switch.fired() {
                script.overlaps.fetch_add(1, Ordering::SeqCst);
            }
            switches.push(context.kill_switch.clone());
            drop(switches);
            script
                .started_at
                .lock()
                .expect("not poisoned")
                .push(Instant::now());
            assert!(
                !spend(&script.panic_starts),
                "scripted panic while starting"
            );
            let fail_at_once = spend(&script.failing_starts);
            let (context, thread) = (context.clone(), Arc::clone(&script.thread));
            let addr = Scripted::start_in_arbiter(&context.arbiter.clone(), move |_| {
                *thread.lock().expect("not poisoned") = Some(std::thread::current().id());
                Scripted {
                    context,
                    ticking: true,
                    counted: 0,
                    fail_at_once,
                }
            });
            *script.addr.lock().expect("not poisoned") = Some(addr.clone());
            RunningChild::of(addr)
        })
    }

    fn addr(&self) -> Addr<Scripted> {
        self.addr
            .lock()
            .expect("not poisoned")
            .clone()
            .expect("started")
    }

    fn act(&self, act: Act) {
        self.addr().try_send(act).expect("room in the mailbox");
    }

    async fn count(&self) -> Option<usize> {
        let answer = timeout(PATIENCE, self.addr().send(Count)).await;
        answer
            .expect("the child answers or is gone, but hangs")
            .ok()
    }

    fn starts(&self) -> usize {
        self.started_at.lock().expect("not poisoned").len()
    }

    fn thread(&self) -> Option<ThreadId> {
        *self.thread.lock().expect("not poisoned")
    }

    fn assert_no_overlap(&self) {
        assert_eq!(
            self.overlaps.load(Ordering::SeqCst),
            0,
            "started before the old switch fired"
        );
    }
}

// === A flow under test ===

struct Flow {
    kill_switch: KillSwitch,
    arbiters: DataArbiters,
    supervisor: Addr<Supervisor>,
}

impl Flow {
    fn start(arbiters: usize, policy: RestartPolicy) -> Self {
        let count = NonZeroUsize::new(arbiters).expect("not zero");
        Self::on(DataArbiters::new(count).expect("arbiters start"), policy)
    }

    fn on(arbiters: DataArbiters, policy: RestartPolicy) -> Self {
        let kill_switch = KillSwitch::new();
        let supervisor = Supervisor::new("a->b", &kill_switch, arbiters.clone(), policy).start();
        Self {
            kill_switch,
            arbiters,
            supervisor,
        }
    }

    async fn child(&self, name: &str, key: &str) -> Script {
        let script = Script::default();
        self.supervise(&script, name, Placement::Data(key.into()))
            .await;
        script
    }

    async fn supervise(&self, script: &Script, name: &str, placement: Placement) {
        let spec = script.spec(name, placement);
        self.supervisor
            .send(Supervise(spec))
            .await
            .expect("supervisor runs")
            .expect("new name");
    }

    async fn status(&self, name: &str) -> ChildStatus {
        let all = self
            .supervisor
            .send(Observe)
            .await
            .expect("supervisor runs");
        all.into_iter()
            .find(|child| &*child.name == name)
            .expect("known child")
    }

    async fn restarted(&self, name: &str, script: &Script, reason: RestartReason, times: u64) {
        until(
            &format!("{name} is restarted as {}", reason.as_str()),
            async || {
                let status = self.status(name).await;
                status.restarts.of(reason) == times && status.state == ChildState::Running
            },
        )
        .await;
        until("it answers", async || script.count().await.is_some()).await;
        script.assert_no_overlap();
    }

    /// A pin key that lives on another arbiter than `key`.
    fn key_apart_from(&self, key: &str) -> String {
        let slot = |key: &str| self.arbiters.pin(key).expect("pinned").0.slot;
        (0..)
            .map(|n| format!("apart-{n}"))
            .find(|other| slot(other) != slot(key))
            .expect("found")
    }
}

fn run(test: impl AsyncFnOnce()) {
    System::new().block_on(async { test().await });
}

#[test]
fn a_panic_in_a_handler_restarts_that_child_alone() {
    run(async || {
        let flow = Flow::start(1, quick());
        let victim = flow.child("victim", "one thread").await;
        let sibling = flow.child("sibling", "one thread").await;
        assert_eq!(
            (sibling.count().await, victim.count().await),
            (Some(1), Some(1))
        );
        assert_eq!(victim.thread(), sibling.thread());
        victim.act(Act::Panic);
        flow.restarted("victim", &victim, RestartReason::Exited, 1)
            .await;
        assert_eq!(victim.starts(), 2);
        assert_eq!(sibling.count().await, Some(2), "the sibling lost its state");
        assert_eq!(flow.status("sibling").await.restarts.total(), 0);
        assert_eq!(
            victim.thread(),
            sibling.thread(),
            "the thread survives a panic"
        );
    });
}

#[test]
fn children_of_the_control_arbiter_are_restarted_too() {
    run(async || {
        let flow = Flow::start(1, quick());
        let (panics, stalls) = (Script::default(), Script::default());
        flow.supervise(&panics, "panics", Placement::Control).await;
        flow.supervise(&stalls, "stalls", Placement::Control).await;
        assert_eq!(panics.count().await, Some(1));
        assert_eq!(panics.thread(), Some(std::thread::current().id()));
        panics.act(Act::Panic);
        flow.restarted("panics", &panics, RestartReason::Exited, 1)
            .await;
        stalls.act(Act::StopTicking);
        flow.restarted("stalls", &stalls, RestartReason::Stuck, 1)
            .await;
        assert_eq!(flow.status("stalls").await.arbiter, None);
    });
}

#[test]
fn a_failing_child_waits_longer_each_time_up_to_the_cap() {
    run(async || {
        let flow = Flow::start(1, quick());
        let script = Script::default();
        script.failing_starts.store(6, Ordering::SeqCst);
        flow.supervise(&script, "fails", Placement::Data("k".into()))
            .await;
        flow.restarted("fails", &script, RestartReason::Failed, 6)
            .await;
        let starts = script.started_at.lock().expect("not poisoned").clone();
        for (gap, ceiling_ms) in starts.windows(2).zip([20, 40, 80, 160, 160, 160]) {
            let waited = gap[1] - gap[0];
            assert!(
                waited >= Duration::from_millis(ceiling_ms / 2),
                "{waited:?} of {ceiling_ms}"
            );
        }
        let status = flow.status("fails").await;
        assert_eq!((status.failures, status.restarts.total()), (6, 6));
        assert_eq!(
            status.last_reason.as_deref(),
            Some("scripted failure at start")
        );
    });
}

#[test]
fn lasting_health_resets_the_backoff() {
    run(async || {
        let policy = RestartPolicy {
            healthy_after: Duration::from_millis(200),
            ..quick()
        };
        let flow = Flow::start(1, policy);
        let script = Script::default();
        script.failing_starts.store(3, Ordering::SeqCst);
        flow.supervise(&script, "recovers", Placement::Data("k".into()))
            .await;
        until("three failures are known", async || script.starts() == 4).await;
        until("health is rewarded", async || {
            flow.status("recovers").await.failures == 0
        })
        .await;
        assert_eq!(
            flow.status("recovers").await.restarts.failed,
            3,
            "counts are kept"
        );
        script.act(Act::Fail);
        flow.restarted("recovers", &script, RestartReason::Failed, 4)
            .await;
    });
}

#[test]
fn a_halted_child_waits_for_an_operator() {
    run(async || {
        let flow = Flow::start(1, quick());
        let halts = flow.child("halts", "k").await;
        let fails = flow.child("fails", "k").await;
        halts.act(Act::Halt);
        until("it is halted", async || {
            flow.status("halts").await.state == ChildState::Halted
        })
        .await;
        for times in 1..=3 {
            fails.act(Act::Fail);
            flow.restarted("fails", &fails, RestartReason::Failed, times)
                .await;
        }
        assert_eq!(halts.starts(), 1, "restarted though halted");
        let status = flow.status("halts").await;
        assert_eq!(status.restarts.total(), 0);
        assert_eq!(status.last_reason.as_deref(), Some("scripted halt"));
        until("the halted actor ended", async || !halts.addr().connected()).await;

        let name: Arc<str> = "halts".into();
        assert_eq!(flow.supervisor.send(RestartNow { name }).await, Ok(true));
        flow.restarted("halts", &halts, RestartReason::Requested, 1)
            .await;
        let name: Arc<str> = "nobody".into();
        assert_eq!(flow.supervisor.send(RestartNow { name }).await, Ok(false));
    });
}

#[test]
fn a_silent_child_on_a_live_arbiter_is_restarted_alone() {
    run(async || {
        let flow = Flow::start(1, quick());
        let silent = flow.child("silent", "one thread").await;
        let sibling = flow.child("sibling", "one thread").await;
        assert_eq!(sibling.count().await, Some(1));
        let (old, home) = (silent.addr(), flow.status("silent").await.arbiter);
        silent.act(Act::StopTicking);
        flow.restarted("silent", &silent, RestartReason::Stuck, 1)
            .await;
        until("the old actor heard its kill switch", async || {
            !old.connected()
        })
        .await;
        assert_eq!(flow.status("silent").await.arbiter, home);
        assert_eq!(flow.arbiters.abandoned_total(), 0);
        assert_eq!(sibling.count().await, Some(2), "the sibling lost its state");
    });
}

#[test]
fn a_blocked_arbiter_is_replaced_and_all_its_children_run_again() {
    run(async || {
        let quick = RestartPolicy {
            probe_deadline: Duration::from_millis(200),
            ..quick()
        };
        let flow = Flow::start(2, quick.clone());
        // Too patient to notice by itself: it can only find its child moved.
        let patient = RestartPolicy {
            stuck_after: 10 * PATIENCE,
            ..quick
        };
        let other_flow = Flow::on(flow.arbiters.clone(), patient);
        let blocker = flow.child("blocker", "shared").await;
        let neighbour = flow.child("neighbour", "shared").await;
        let foreign = other_flow.child("foreign", "shared").await;
        let apart = flow.child("apart", &flow.key_apart_from("shared")).await;
        for script in [&blocker, &neighbour, &foreign, &apart] {
            assert_eq!(script.count().await, Some(1));
        }
        let blocked_thread = blocker.thread();
        assert_eq!(foreign.thread(), blocked_thread);
        let (release, released) = mpsc::channel();
        let old = blocker.addr();
        blocker.act(Act::Block(released));

        flow.restarted("blocker", &blocker, RestartReason::Blocked, 1)
            .await;
        flow.restarted("neighbour", &neighbour, RestartReason::Blocked, 1)
            .await;
        other_flow
            .restarted("foreign", &foreign, RestartReason::Blocked, 1)
            .await;
        for script in [&blocker, &neighbour, &foreign] {
            assert_ne!(
                script.thread(),
                blocked_thread,
                "still on the blocked thread"
            );
            assert_eq!(script.thread(), blocker.thread());
        }
        assert_eq!(flow.arbiters.abandoned_total(), 1);
        assert_eq!(
            apart.count().await,
            Some(2),
            "a child on another thread lost its state"
        );
        assert_eq!(flow.status("apart").await.restarts.total(), 0);

        assert!(old.connected(), "still inside its handler");
        drop(release);
        until("the abandoned thread came back and ended", async || {
            !old.connected()
        })
        .await;
        assert_eq!(flow.status("blocker").await.restarts.total(), 1);
    });
}

#[test]
fn a_start_that_panics_is_tried_again() {
    run(async || {
        let flow = Flow::start(1, quick());
        let (script, bystander) = (Script::default(), flow.child("bystander", "k").await);
        script.panic_starts.store(2, Ordering::SeqCst);
        flow.supervise(&script, "hesitant", Placement::Data("k".into()))
            .await;
        flow.restarted("hesitant", &script, RestartReason::Exited, 2)
            .await;
        assert_eq!(bystander.starts(), 1);
    });
}

#[test]
fn unsupervise_ends_the_child_and_forgets_it() {
    run(async || {
        let flow = Flow::start(1, quick());
        let (leaves, stays) = (
            flow.child("leaves", "k").await,
            flow.child("stays", "k").await,
        );
        let twice = Script::default().spec("leaves", Placement::Control);
        let name: Arc<str> = "leaves".into();
        let refused = flow
            .supervisor
            .send(Supervise(twice))
            .await
            .expect("supervisor runs");
        assert_eq!(
            refused,
            Err(SuperviseError::AlreadySupervised { name: name.clone() })
        );

        let unsupervise = || flow.supervisor.send(Unsupervise { name: name.clone() });
        assert_eq!(unsupervise().await, Ok(Unsupervised::Ended));
        assert!(!leaves.addr().connected());
        assert_eq!(unsupervise().await, Ok(Unsupervised::Unknown));
        assert!(
            flow.supervisor
                .send(Observe)
                .await
                .expect("runs")
                .iter()
                .all(|c| c.name != name)
        );
        assert!(stays.addr().connected());
    });
}

#[test]
fn unsupervise_calls_off_a_restart_that_is_on_its_way() {
    run(async || {
        let far = Duration::from_millis(500);
        let flow = Flow::start(
            1,
            RestartPolicy {
                backoff_base: far,
                backoff_max: far,
                ..quick()
            },
        );
        let (fails, later) = (
            flow.child("fails", "k").await,
            flow.child("later", "k").await,
        );
        fails.act(Act::Fail);
        until("it waits", async || {
            flow.status("fails").await.state == ChildState::Restarting
        })
        .await;
        let gone = flow
            .supervisor
            .send(Unsupervise {
                name: "fails".into(),
            })
            .await;
        assert_eq!(gone, Ok(Unsupervised::Ended));
        // The same name again: a timer left over would start it a second time.
        flow.supervise(&fails, "fails", Placement::Data("k".into()))
            .await;
        for times in 1..=2 {
            later.act(Act::Fail);
            flow.restarted("later", &later, RestartReason::Failed, times)
                .await;
        }
        assert_eq!(fails.starts(), 2);
        fails.assert_no_overlap();
    });
}

#[test]
fn the_flow_switch_ends_the_supervisor_and_all_children() {
    run(async || {
        let flow = Flow::start(2, quick());
        let one = flow.child("one", "a").await;
        let two = Script::default();
        flow.supervise(&two, "two", Placement::Control).await;
        flow.kill_switch.fire();
        until("all have ended", async || {
            !flow.supervisor.connected() && !one.addr().connected() && !two.addr().connected()
        })
        .await;
        assert_eq!((one.starts(), two.starts()), (1, 1));
    });
}

// === One child, look by look ===

/// A child without an actor, started once after one failure, and its progress.
fn child_to_look_at(policy: &RestartPolicy) -> (Child, Arc<crate::Progress>, DataArbiters) {
    let arbiters = DataArbiters::new(NonZeroUsize::MIN).expect("arbiters start");
    let progress = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&progress);
    let spec = ChildSpec::new("child", Placement::Control, move |context| {
        *seen.lock().expect("not poisoned") = Some(Arc::clone(&context.progress));
        RunningChild::new(|| true)
    });
    let mut child = Child::new(spec, policy);
    child.backoff.next_delay();
    child.start(&arbiters, &KillSwitch::new()).expect("started");
    let progress = progress
        .lock()
        .expect("not poisoned")
        .take()
        .expect("started");
    (child, progress, arbiters)
}

#[test]
fn ticks_that_are_rarer_than_looks_count_as_health_in_full() {
    run(async || {
        let policy = RestartPolicy::default();
        let (mut child, progress, arbiters) = child_to_look_at(&policy);
        let looks_per_tick = TICK_INTERVAL.as_millis() / policy.health_interval.as_millis();
        let looks = policy.healthy_after.as_millis() / policy.health_interval.as_millis();
        for look in 1..=looks {
            assert_eq!(
                child.backoff.attempts(),
                1,
                "forgiven at look {look} of {looks}"
            );
            if look % looks_per_tick == 0 {
                progress.tick();
            }
            assert_eq!(child.look(&policy, &arbiters), Health::Progressing);
        }
        assert_eq!(child.backoff.attempts(), 0);
    });
}

#[test]
fn silence_is_stuck_after_exactly_its_looks() {
    run(async || {
        let policy = RestartPolicy::default();
        let (mut child, progress, arbiters) = child_to_look_at(&policy);
        let looks = policy.stuck_after.as_millis() / policy.health_interval.as_millis();
        for _ in 0..2 {
            progress.tick();
            for _ in 0..looks {
                assert_eq!(child.look(&policy, &arbiters), Health::Progressing);
            }
        }
        assert_eq!(child.look(&policy, &arbiters), Health::Stuck(None));
    });
}
