//! Who does the work of a replication flow, and who restarts whom.
//!
//! Each flow has one [`Supervisor`] on the control arbiter. Its children live there or on one of the
//! [`DataArbiters`], report signs of life through [`Progress`], and end when their [`KillSwitch`]
//! fires. What REST and metrics show about a partition is read from the [`Registry`], never asked of
//! an actor.

mod arbiters;
mod backoff;
mod checkpoints;
mod clock;
mod control;
mod flow;
mod heartbeat;
mod herder;
mod kill_switch;
mod lease;
mod links;
mod offset_maps;
mod offset_syncs;
mod positions;
mod progress;
mod reencode_pool;
mod registry;
mod replicator;
mod source_link;
mod supervisor;
mod target_link;
mod worker;

pub use arbiters::{ABANDONED_ARBITERS_MAX, ArbiterId, DataArbiters, ReplaceError};
pub use backoff::Backoff;
pub use checkpoints::{
    CheckpointsActor, Group, GroupPartition, GroupStatus, Groups, NotSynced, SyncState, Translated,
    read_checkpoints, read_offset_syncs,
};
pub use control::{Control, ControlledConnector, TargetState};
pub use flow::Flow;
pub use heartbeat::HeartbeatActor;
pub use herder::{AssignedFn, Herder};
pub use kill_switch::KillSwitch;
pub use lease::{Lease, LeaseError};
pub use offset_maps::{MAP_FLUSH_INTERVAL, OffsetMaps, Opened, Owners, PartitionMap};
pub use offset_syncs::{OffsetSyncs, OffsetSyncsActor};
pub use positions::{PositionStore, Positions};
pub use progress::{Progress, Verdict};
pub use reencode_pool::{Job, ReencodePool};
pub use registry::{
    Delay, DelayWindow, Delays, FirstCopied, FlowFigures, FlowTotals, Latencies, LatencyCounts,
    PartitionKey, PartitionSnapshot, PartitionState, PartitionStatus, ReasonLabels, Registry,
};
pub use replicator::{Assignment, Replicator};
pub use source_link::{FETCH_BYTES_MAX, PARTITION_FETCH_BYTES_MAX};
pub use supervisor::{
    ChildSpec, ChildState, ChildStatus, Observe, Placement, RestartCounts, RestartNow,
    RestartPolicy, RestartReason, RunningChild, StartContext, Supervise, SuperviseError,
    Supervisor, TICK_INTERVAL, Unsupervise, Unsupervised,
};
pub use target_link::{REQUEST_BYTES_MAX, REQUESTS_IN_FLIGHT};
pub use worker::{BUDGET_BYTES, Worker};
