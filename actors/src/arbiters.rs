//! The threads that data actors live on, replaceable while they are blocked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix::{Arbiter, ArbiterHandle, System};

/// Abandoned threads that may be blocked at the same time before no more are replaced. Each holds a
/// stack and whatever its actors own, so replacing without end would turn one bad handler into a
/// machine without memory.
pub const ABANDONED_ARBITERS_MAX: usize = 16;

/// One life of one place in the pool. A replaced arbiter keeps its slot and gets a new generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArbiterId {
    /// Place in the pool, from 0.
    pub slot: usize,
    /// How often the arbiter of this slot has been replaced.
    pub generation: u64,
}

/// Why an arbiter was not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// [`ABANDONED_ARBITERS_MAX`] threads are blocked already.
    #[error("{ABANDONED_ARBITERS_MAX} data arbiters are blocked already; restart the process")]
    TooManyBlocked,
    /// The pool has no such slot.
    #[error("no data arbiter in slot {0}")]
    NoSuchSlot(usize),
    /// The system gave no thread or no event loop.
    #[error("no thread for a data arbiter; raise the limits of the process")]
    Spawn(#[source] io::Error),
}

/// The data arbiters of this process: one thread each, shared by all flows.
///
/// Names are pinned to a slot by hash, so a replicator and the links it talks to can share a thread.
/// Clones are the same pool; the threads stop when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct DataArbiters {
    pool: Arc<Mutex<Pool>>,
}

#[derive(Debug)]
struct Pool {
    slots: Vec<Slot>,
    /// Replaced while blocked; forgotten when the thread has come back and ended.
    blocked: Vec<ArbiterHandle>,
    abandoned_total: u64,
}

#[derive(Debug)]
struct Slot {
    arbiter: Arbiter,
    generation: u64,
}

// === impl DataArbiters ===

impl DataArbiters {
    /// Starts `count` arbiters. Call on a thread of a running actix `System`.
    ///
    /// # Errors
    /// There is no `System` on this thread, or the system gave no thread.
    pub fn new(count: NonZeroUsize) -> io::Result<Self> {
        let mut pool = Pool {
            slots: Vec::new(),
            blocked: Vec::new(),
            abandoned_total: 0,
        };
        for _ in 0..count.get() {
            pool.slots.push(Slot {
                arbiter: start_arbiter()?,
                generation: 0,
            });
        }
        Ok(Self {
            pool: Arc::new(Mutex::new(pool)),
        })
    }

    /// The arbiter that `key` is pinned to; the same key gives the same slot for the life of the pool.
    /// One whose thread has ended is replaced first.
    ///
    /// # Errors
    /// The thread has ended and no other could be started.
    pub fn pin(&self, key: &str) -> Result<(ArbiterId, ArbiterHandle), ReplaceError> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut pool = self.lock();
        let count = u64::try_from(pool.slots.len()).unwrap_or(u64::MAX).max(1);
        let index = usize::try_from(hasher.finish() % count).unwrap_or(0);
        let slot = pool
            .slots
            .get_mut(index)
            .ok_or(ReplaceError::NoSuchSlot(index))?;
        if !slot.arbiter.handle().alive() {
            *slot = slot.successor()?;
        }
        Ok((
            ArbiterId {
                slot: index,
                generation: slot.generation,
            },
            slot.arbiter.handle(),
        ))
    }

    /// Whether `id` has not been replaced.
    pub fn is_current(&self, id: ArbiterId) -> bool {
        self.lock()
            .slots
            .get(id.slot)
            .is_some_and(|slot| slot.generation == id.generation)
    }

    /// Posts `task` to the arbiter `id`; false if it was replaced or its thread has ended.
    pub fn post(&self, id: ArbiterId, task: impl FnOnce() + Send + 'static) -> bool {
        let pool = self.lock();
        pool.slots
            .get(id.slot)
            .is_some_and(|slot| slot.generation == id.generation && slot.arbiter.spawn_fn(task))
    }

    /// Abandons the blocked arbiter `id` and puts a fresh one into its slot. The old thread cannot be
    /// ended from outside; should it ever come back, it finds its children's kill switches fired, and
    /// ends. Returns false if another supervisor replaced it first.
    ///
    /// # Errors
    /// Too many abandoned threads are still blocked, or no thread could be started; the slot is then
    /// unchanged.
    pub fn replace(&self, id: ArbiterId) -> Result<bool, ReplaceError> {
        let mut guard = self.lock();
        let pool = &mut *guard;
        pool.blocked.retain(ArbiterHandle::alive);
        let slot = pool
            .slots
            .get_mut(id.slot)
            .ok_or(ReplaceError::NoSuchSlot(id.slot))?;
        if slot.generation != id.generation {
            return Ok(false);
        }
        if pool.blocked.len() >= ABANDONED_ARBITERS_MAX {
            return Err(ReplaceError::TooManyBlocked);
        }
        let fresh = slot.successor()?;
        let old = std::mem::replace(slot, fresh).arbiter.handle();
        pool.abandoned_total += 1;
        if old.stop() {
            pool.blocked.push(old); // the stop waits in its queue until the thread comes back
        }
        Ok(true)
    }

    /// Number of slots.
    pub fn count(&self) -> usize {
        self.lock().slots.len()
    }

    /// Threads abandoned since the start. More than zero means that a handler blocks: a bug.
    pub fn abandoned_total(&self) -> u64 {
        self.lock().abandoned_total
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        // No method leaves the pool half changed, so a poisoned lock guards a sound value.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn successor(&self) -> Result<Self, ReplaceError> {
        let arbiter = start_arbiter().map_err(ReplaceError::Spawn)?;
        Ok(Self {
            arbiter,
            generation: self.generation + 1,
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for slot in &self.slots {
            slot.arbiter.stop();
        }
    }
}

fn start_arbiter() -> io::Result<Arbiter> {
    if System::try_current().is_none() {
        return Err(io::Error::other(
            "data arbiters need a running actix system on this thread",
        ));
    }
    Arbiter::try_new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pool(count: usize) -> DataArbiters {
        DataArbiters::new(NonZeroUsize::new(count).expect("not zero")).expect("arbiters start")
    }

    #[test]
    fn without_a_system_it_says_so() {
        let error = DataArbiters::new(NonZeroUsize::MIN).expect_err("no system here");
        assert!(error.to_string().contains("actix system"), "{error}");
    }

    #[test]
    fn a_key_stays_on_its_slot_and_keys_spread() {
        actix::System::new().block_on(async {
            let pool = pool(4);
            let slot = |key: &str| pool.pin(key).expect("pinned").0.slot;
            let slots: Vec<_> = (0..64).map(|n| slot(&format!("orders-{n}"))).collect();
            assert_eq!(
                slots,
                (0..64)
                    .map(|n| slot(&format!("orders-{n}")))
                    .collect::<Vec<_>>()
            );
            assert!(
                (0..4).all(|wanted| slots.contains(&wanted)),
                "unused slot: {slots:?}"
            );
        });
    }

    #[test]
    fn a_blocked_arbiter_is_replaced_once_and_the_bound_holds() {
        actix::System::new().block_on(async {
            let pool = pool(1);
            let (mut releases, mut first) = (Vec::new(), None);
            for _ in 0..ABANDONED_ARBITERS_MAX {
                let (id, _) = pool.pin("orders-0").expect("pinned");
                first.get_or_insert(id);
                let (release, blocked) = mpsc::channel::<()>();
                let (enter, entered) = mpsc::channel();
                assert!(pool.post(id, move || {
                    enter.send(()).expect("received");
                    assert!(blocked.recv().is_err(), "nobody sends");
                }));
                entered
                    .recv_timeout(PATIENCE)
                    .expect("blocked before it is replaced");
                releases.push(release);
                assert!(pool.replace(id).expect("below the bound"));
                assert!(!pool.is_current(id) && !pool.replace(id).expect("replaced before"));
            }
            assert!(
                !pool.post(first.expect("set"), || ()),
                "posted to an abandoned arbiter"
            );
            let (id, handle) = pool.pin("orders-0").expect("pinned");
            assert!(matches!(
                pool.replace(id),
                Err(ReplaceError::TooManyBlocked)
            ));
            let (ran, running) = mpsc::channel();
            assert!(handle.spawn_fn(move || ran.send(()).expect("received")));
            running
                .recv_timeout(PATIENCE)
                .expect("the fresh arbiter runs");

            releases.pop(); // one blocked thread comes back, ends, and makes room again
            let deadline = std::time::Instant::now() + PATIENCE;
            while matches!(pool.replace(id), Err(ReplaceError::TooManyBlocked)) {
                assert!(
                    std::time::Instant::now() < deadline,
                    "no room after a thread came back"
                );
                actix::clock::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(pool.abandoned_total(), ABANDONED_ARBITERS_MAX as u64 + 1);
        });
    }

    #[test]
    fn an_ended_arbiter_is_replaced_when_pinned() {
        actix::System::new().block_on(async {
            let pool = pool(1);
            let (ended, handle) = pool.pin("orders-0").expect("pinned");
            handle.stop();
            let deadline = std::time::Instant::now() + PATIENCE;
            while pool.pin("orders-0").expect("pinned").0 == ended {
                assert!(
                    std::time::Instant::now() < deadline,
                    "still on the ended arbiter"
                );
                actix::clock::sleep(Duration::from_millis(5)).await;
            }
            assert_eq!(pool.abandoned_total(), 0);
        });
    }
}
