//! A tree of stop signals.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Children that a node holds before it first looks for dropped ones.
const PRUNE_FROM: usize = 16;

/// Tells an actor and everything it started (loops, threads, requests) to end.
///
/// A switch fires its children, never its parent: a flow's ends all its replicators, a replicator's
/// ends only its own fetch loop. Clones are the same switch. Firing is final; a restarted child gets a
/// fresh switch. Dropping a switch does not fire it.
#[derive(Debug, Clone, Default)]
pub struct KillSwitch {
    node: Arc<Node>,
}

#[derive(Debug, Default)]
struct Node {
    fired: AtomicBool,
    waiters: Notify,
    children: Mutex<Children>,
}

#[derive(Debug, Default)]
struct Children {
    nodes: Vec<Weak<Node>>,
    prune_at: usize,
}

impl KillSwitch {
    /// The root of a new tree, not fired.
    pub fn new() -> Self {
        Self::default()
    }

    /// A new switch that fires when this one does; it is born fired if this one already has.
    pub fn child(&self) -> Self {
        let child = Self::new();
        let mut children = self.node.children();
        // Looked at under the lock that `fire` takes to collect the children: a switch that fires
        // meanwhile either finds this child in the list, or is seen here.
        if self.fired() {
            child.node.fired.store(true, Ordering::Release);
            return child;
        }
        if children.nodes.len() >= children.prune_at.max(PRUNE_FROM) {
            children.nodes.retain(|node| node.strong_count() > 0);
            children.prune_at = children.nodes.len() * 2;
        }
        children.nodes.push(Arc::downgrade(&child.node));
        child
    }

    /// Fires this switch and all below it. Later calls do nothing.
    pub fn fire(&self) {
        let mut pending = vec![Arc::clone(&self.node)];
        while let Some(node) = pending.pop() {
            let children = {
                let mut children = node.children();
                node.fired.store(true, Ordering::Release);
                std::mem::take(&mut children.nodes)
            };
            node.waiters.notify_waiters();
            pending.extend(children.iter().filter_map(Weak::upgrade));
        }
    }

    /// Whether this switch, or one above it, has fired. One atomic load: fit for hot loops.
    pub fn fired(&self) -> bool {
        self.node.fired.load(Ordering::Acquire)
    }

    /// Ends when the switch fires; at once if it has.
    pub async fn wait(&self) {
        // Registered before the look at the flag, so that firing in between still wakes this waiter.
        let notified = self.node.waiters.notified();
        if !self.fired() {
            notified.await;
        }
    }
}

impl Node {
    fn children(&self) -> std::sync::MutexGuard<'_, Children> {
        // Nothing under this lock can leave the list half changed, so a poisoned one is as good.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_parent_fires_its_children_and_never_the_reverse() {
        let flow = KillSwitch::new();
        let (one, two) = (flow.child(), flow.child());
        let below_one = one.child();
        one.fire();
        assert!(one.fired() && below_one.fired());
        assert!(!flow.fired() && !two.fired());
        flow.fire();
        assert!(two.fired());
        assert!(flow.child().fired(), "born fired");
    }

    #[test]
    fn dropped_children_do_not_pile_up() {
        let flow = KillSwitch::new();
        let kept = flow.child();
        for _ in 0..10_000 {
            drop(flow.child());
        }
        assert!(flow.node.children().nodes.len() <= 2 * PRUNE_FROM);
        flow.fire();
        assert!(kept.fired());
    }

    #[test]
    fn wait_ends_on_fire_from_another_thread() {
        actix_rt::System::new().block_on(async {
            for _ in 0..200 {
                let flow = KillSwitch::new();
                let child = flow.child();
                let firing = std::thread::spawn(move || flow.fire());
                let woken = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
                assert!(woken.is_ok(), "a waiter was not woken");
                firing.join().expect("fires without panic");
            }
        });
    }

    #[test]
    fn a_child_born_while_the_parent_fires_is_never_missed() {
        for _ in 0..500 {
            let flow = KillSwitch::new();
            let firing = std::thread::spawn({
                let flow = flow.clone();
                move || flow.fire()
            });
            let children = [(); 8].map(|()| flow.child());
            firing.join().expect("fires without panic");
            assert!(children.iter().all(KillSwitch::fired));
        }
    }
}
