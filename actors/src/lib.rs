//! Who does the work of a replication flow, and who restarts whom.
//!
//! Each flow has one [`Supervisor`] on the control arbiter. Its children live there or on one of the
//! [`DataArbiters`], report signs of life through [`Progress`], and end when their [`KillSwitch`]
//! fires. What REST and metrics show about a partition is read from the [`Registry`], never asked of
//! an actor.

mod arbiters;
mod backoff;
mod kill_switch;
mod progress;
mod registry;
mod supervisor;

pub use arbiters::{ABANDONED_ARBITERS_MAX, ArbiterId, DataArbiters, ReplaceError};
pub use backoff::Backoff;
pub use kill_switch::KillSwitch;
pub use progress::{Progress, Verdict};
pub use registry::{
    FlowTotals, PartitionKey, PartitionSnapshot, PartitionState, PartitionStatus, ReasonLabels,
    Registry,
};
pub use supervisor::{
    ChildSpec, ChildState, ChildStatus, Observe, Placement, RestartCounts, RestartNow,
    RestartPolicy, RestartReason, RunningChild, StartContext, Supervise, SuperviseError,
    Supervisor, TICK_INTERVAL, Unsupervise, Unsupervised,
};
