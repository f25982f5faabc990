//! When a child counts as stuck, and how fast it comes back.

use std::time::Duration;

/// Time between two looks at all children.
const HEALTH_INTERVAL: Duration = Duration::from_millis(500);
/// Silence after which a child counts as stuck; longer than any one batch or request may take.
const STUCK_AFTER: Duration = Duration::from_secs(60);
/// Time in which an arbiter must run a trivial function, or it counts as blocked.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// First wait before a restart.
const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// Longest wait before a restart.
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Health that lasts this long makes the next wait start from the base again.
const HEALTHY_AFTER: Duration = Duration::from_secs(120);

/// How often a child's own timer should tick its [`crate::Progress`]: well below `stuck_after`.
pub const TICK_INTERVAL: Duration = Duration::from_secs(5);

/// The times a supervisor goes by. `Default` is for production; tests shorten them.
///
/// `stuck_after` and `healthy_after` are measured in completed looks at the child, not on a clock: when
/// the whole process was suspended, nobody is taken for stuck on waking up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Time between two looks at all children. Default: 500 ms.
    pub health_interval: Duration,
    /// Silence after which a child counts as stuck. Default: 60 s.
    pub stuck_after: Duration,
    /// Time an arbiter has to run a trivial function. Default: 5 s.
    pub probe_deadline: Duration,
    /// First wait before a restart. Default: 250 ms.
    pub backoff_base: Duration,
    /// Longest wait before a restart. Default: 60 s.
    pub backoff_max: Duration,
    /// Health after which past failures are forgotten. Default: 120 s.
    pub healthy_after: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            health_interval: HEALTH_INTERVAL,
            stuck_after: STUCK_AFTER,
            probe_deadline: PROBE_DEADLINE,
            backoff_base: BACKOFF_BASE,
            backoff_max: BACKOFF_MAX,
            healthy_after: HEALTHY_AFTER,
        }
    }
}
