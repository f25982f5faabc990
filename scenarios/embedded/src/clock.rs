//! Time as the cluster sees it: the machine's, or a test's own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::Instant;

/// What all waits and timestamps of an embedded cluster go by. Clones show the same time.
///
/// [`Clock::real`] follows the machine; [`Clock::owned`] stands still until its owner calls [`Clock::advance`], so that a test decides
/// when a session ends, a segment expires or a transaction times out. Delays of the network (latency, bandwidth, throttling)
/// go by it too.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    /// Wall-clock time at a moment of the monotonic clock, so that it never steps.
    Real {
        started_ms: i64,
        started: Instant,
    },
    Owned(Arc<Mutex<watch::Sender<i64>>>),
}

impl Clock {
    /// The machine's time, from now on without steps.
    pub fn real() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self(Kind::Real {
            started_ms: milliseconds(since),
            started: Instant::now(),
        })
    }

    /// A clock that stands at `now_ms` (milliseconds since 1970) until [`Clock::advance`].
    pub fn owned(now_ms: i64) -> Self {
        Self(Kind::Owned(Arc::new(Mutex::new(watch::Sender::new(
            now_ms,
        )))))
    }

    /// Milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Kind::Real {
                started_ms,
                started,
            } => started_ms.saturating_add(milliseconds(started.elapsed())),
            Kind::Owned(time) => *time.lock().unwrap_or_else(PoisonError::into_inner).borrow(),
        }
    }

    /// Moves an owned clock; everything that waits for a moment up to then goes on. A real clock does not move.
    pub fn advance(&self, by: Duration) {
        if let Kind::Owned(time) = &self.0 {
            let time = time.lock().unwrap_or_else(PoisonError::into_inner);
            time.send_modify(|now| *now = now.saturating_add(milliseconds(by)));
        }
    }

    /// Waits until `moment_ms`.
    pub(crate) async fn until(&self, moment_ms: i64) {
        match &self.0 {
            Kind::Real {
                started_ms,
                started,
            } => {
                let wait = u64::try_from(moment_ms.saturating_sub(*started_ms)).unwrap_or(0);
                tokio::time::sleep_until(*started + Duration::from_millis(wait)).await;
            }
            Kind::Owned(time) => {
                let mut watch = time
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .subscribe();
                // The sender lives as long as `self`.
                watch.wait_for(|now| *now >= moment_ms).await.ok();
            }
        }
    }

    /// Waits for `wait_ms` from now.
    pub(crate) async fn pause(&self, wait_ms: i64) {
        self.until(self.now_ms().saturating_add(wait_ms)).await;
    }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
