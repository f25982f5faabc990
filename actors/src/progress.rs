//! A child's sign of life, shared with its supervisor.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a child cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Worth another try: the supervisor restarts the child after a backoff.
    Failed(String),
    /// Another try would fail the same way, or do harm: an operator decides.
    Halted(String),
}

/// A child ticks while it is well, and says here why it is not.
///
/// The child ticks from its handlers *and* from a timer ([`crate::TICK_INTERVAL`]), so that an idle
/// one is not taken for a stuck one; the timer must not tick while the child waits for something that
/// has taken too long. Each start gets a fresh value, so a dying predecessor cannot vouch for its
/// replacement.
#[derive(Debug, Default)]
pub struct Progress {
    ticks: AtomicU64,
    verdict: OnceLock<Verdict>,
}

impl Progress {
    /// No tick and no verdict yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// "I got on, or have nothing to do." One relaxed addition: fit for once per batch.
    pub fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks for a restart. `reason` names the broker, topic or file and is logged as it is. The first
    /// verdict stands: what follows a failure is mostly its consequence.
    pub fn failed(&self, reason: impl Into<String>) {
        self.conclude(Verdict::Failed(reason.into()));
    }

    /// Gives up until an operator restarts the child. `reason` says what to do; first verdict stands.
    pub fn halted(&self, reason: impl Into<String>) {
        self.conclude(Verdict::Halted(reason.into()));
    }

    /// Ticks so far; the supervisor compares two readings.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// The first verdict, if there is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        self.verdict.get()
    }

    fn conclude(&self, verdict: Verdict) {
        if let Err(later) = self.verdict.set(verdict) {
            tracing::debug!(first = ?self.verdict.get(), ?later, "later verdict ignored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_verdict_stands() {
        let progress = Progress::new();
        progress.tick();
        assert_eq!((progress.ticks(), progress.verdict()), (1, None));
        progress.halted("topic orders was re-created");
        progress.failed("connection reset");
        let first = Verdict::Halted("topic orders was re-created".to_owned());
        assert_eq!(progress.verdict(), Some(&first));
    }
}
