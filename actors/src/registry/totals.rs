//! Sums over a flow's partitions.

use super::PartitionState;

/// How far what was on the source at the first look is copied: what came later is not in it. Unit: offsets, so holes and
/// transaction markers count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FirstCopied {
    /// In the source's log at the first look.
    pub total: u64,
    /// Of these, on the target, whoever copied them.
    pub copied: u64,
    /// Copied since this process looked first, also behind `total`: what a rate is made of.
    pub advanced: u64,
}

/// Sums over the partitions of one flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowTotals {
    /// Partitions in the registry.
    pub partitions: u64,
    /// Partitions by state, in the order of [`PartitionState::ALL`].
    pub states: [u64; 5],
    /// Sum of the known lags.
    pub lag_records: u64,
    /// Sum of [`PartitionSnapshot::records`](super::PartitionSnapshot::records).
    pub records: u64,
    /// Sum of [`PartitionSnapshot::bytes`](super::PartitionSnapshot::bytes).
    pub bytes: u64,
    /// Batches written anew, for any reason.
    pub reencoded: u64,
    /// Batches not copied, for any reason.
    pub dropped: u64,
    /// Sum of [`PartitionSnapshot::skipped_records`](super::PartitionSnapshot::skipped_records).
    pub skipped_records: u64,
    /// Sum of [`PartitionSnapshot::restarts`](super::PartitionSnapshot::restarts).
    pub restarts: u64,
    /// Sum of [`PartitionSnapshot::first_copy`](super::PartitionSnapshot::first_copy).
    pub first_copy: FirstCopied,
    /// Partitions that are not in `first_copy`, because their source was not looked at yet, or not since a stop.
    pub unseen: u64,
}

impl FlowTotals {
    /// Partitions in one state.
    pub fn in_state(&self, state: PartitionState) -> u64 {
        PartitionState::ALL
            .iter()
            .zip(self.states)
            .find(|(s, _)| **s == state)
            .map_or(0, |(_, n)| n)
    }
}
