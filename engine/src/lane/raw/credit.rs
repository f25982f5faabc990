//! Back-pressure is byte credit: what was fetched and is not yet acknowledged.
//!
//! A partition without credit is left out of the next Fetch, so mailboxes and backlogs are bounded by
//! construction (`docs/spec/batches.md` 5).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most that one partition may have on its way, however few partitions there are.
pub const PARTITION_BYTES_MAX: usize = 4 << 20;
/// Least that a partition is granted, however many there are: room for a small fetch.
pub const PARTITION_BYTES_MIN: usize = 64 << 10;

/// The bytes that all partitions of a process may have on their way together.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
    partitions: AtomicUsize,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            partitions: AtomicUsize::new(0),
        })
    }

    /// Bytes that may still be fetched.
    pub fn left(&self) -> usize {
        self.limit.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Bytes on their way now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Opens the account of one partition.
    pub fn open(self: &Arc<Self>) -> Arc<Credit> {
        self.partitions.fetch_add(1, Ordering::Relaxed);
        Arc::new(Credit {
            budget: self.clone(),
            outstanding: AtomicUsize::new(0),
        })
    }

    /// What each partition may have outstanding now.
    fn share(&self) -> usize {
        let partitions = self.partitions.load(Ordering::Relaxed).max(1);
        (self.limit / partitions).clamp(PARTITION_BYTES_MIN, PARTITION_BYTES_MAX)
    }
}

/// One partition's account: the source link spends, the replicator gives back.
///
/// May be overdrawn by one answer, since a broker sends its first batch whole however large it is.
#[derive(Debug)]
pub struct Credit {
    budget: Arc<Budget>,
    outstanding: AtomicUsize,
}

impl Credit {
    /// Bytes that the next Fetch may ask for; 0 while the share is used up.
    ///
    /// When the whole budget is used up, a partition with nothing on its way still gets the least share: else partitions
    /// whose target is down would hold everything and starve those that are well.
    pub fn available(&self) -> usize {
        let outstanding = self.outstanding.load(Ordering::Relaxed);
        match (self.budget.left(), outstanding) {
            (0, 0) => PARTITION_BYTES_MIN,
            (0, _) => 0,
            _ => self.budget.share().saturating_sub(outstanding),
        }
    }

    /// Books fetched bytes.
    pub fn spend(&self, bytes: usize) {
        self.outstanding.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns bytes that were acknowledged, dropped or thrown away.
    pub fn give_back(&self, bytes: usize) {
        let bytes = bytes.min(self.outstanding.load(Ordering::Relaxed));
        self.outstanding.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        self.budget
            .used
            .fetch_sub(*self.outstanding.get_mut(), Ordering::Relaxed);
        self.budget.partitions.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back() {
        let budget = Budget::new(16 << 20);
        let (one, two) = (budget.open(), budget.open());
        assert_eq!(one.available(), PARTITION_BYTES_MAX);
        one.spend(PARTITION_BYTES_MAX + 1);
        assert_eq!(one.available(), 0, "overdrawn by one answer at most");
        assert_eq!(
            two.available(),
            PARTITION_BYTES_MAX,
            "one partition does not starve another"
        );
        one.give_back(1_000_000);
        assert_eq!(budget.used(), PARTITION_BYTES_MAX + 1 - 1_000_000);
        drop(one);
        assert_eq!(
            budget.used(),
            0,
            "an account that closes returns everything"
        );
    }

    #[test]
    fn stalled_partitions_do_not_starve_the_others() {
        let budget = Budget::new(16 << 20);
        let stalled: Vec<_> = (0..8).map(|_| budget.open()).collect();
        let well = budget.open();
        for partition in &stalled {
            partition.spend(partition.available() + (1 << 20)); // overdrawn by one answer each
        }
        assert_eq!(budget.left(), 0);
        assert!(stalled.iter().all(|partition| partition.available() == 0));
        assert_eq!(well.available(), PARTITION_BYTES_MIN);
        well.spend(PARTITION_BYTES_MIN);
        assert_eq!(well.available(), 0, "one answer at a time");
        well.give_back(PARTITION_BYTES_MIN);
        assert_eq!(well.available(), PARTITION_BYTES_MIN);
    }

    #[test]
    fn shares_shrink_with_the_number_of_partitions() {
        let budget = Budget::new(16 << 20);
        let many: Vec<_> = (0..64).map(|_| budget.open()).collect();
        assert_eq!(many[0].available(), (16 << 20) / 64);
        let more: Vec<_> = (0..1_000).map(|_| budget.open()).collect();
        assert_eq!(more[0].available(), PARTITION_BYTES_MIN);
    }
}
