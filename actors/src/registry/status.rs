//! The live status of one partition.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::delay::{Delay, DelayWindow};
use super::figures::FlowFigures;
use super::{
    FirstCopied, FlowTotals, PartitionKey, PartitionSnapshot, PartitionState, ReasonLabels,
};

/// Stands for an offset that is not known yet. Not -1: that is "nothing acknowledged of a log that starts at 0".
const UNKNOWN: i64 = i64::MIN;

/// The live status of one partition. Its replicator resolves it once and then only stores to atomics;
/// whoever looks takes a [`PartitionSnapshot`], whose figures may be a batch apart from each other.
#[derive(Debug)]
pub struct PartitionStatus {
    key: PartitionKey,
    state: Mutex<(PartitionState, Cow<'static, str>)>,
    position: AtomicI64,
    acked: AtomicI64,
    high_watermark: AtomicI64,
    records: AtomicU64,
    bytes: AtomicU64,
    skipped_records: AtomicU64,
    restarts: AtomicU64,
    runs: AtomicU64,
    updated_at_ms: AtomicI64,
    reencoded: Reasons,
    dropped: Reasons,
    age: Delay,
    latency: Delay,
    first_copy: FirstCopy,
    flow: Arc<FlowFigures>,
}

/// What was on the source when this process first looked. Unit: offsets.
#[derive(Debug)]
struct FirstCopy {
    /// Where its log began.
    begin: AtomicI64,
    /// Where it ended; lowered if the log is cut.
    goal: AtomicI64,
    /// The first offset that was not on the target.
    resumed: AtomicI64,
}

/// Counters by reason.
#[derive(Debug)]
struct Reasons {
    labels: &'static [&'static str],
    counts: Box<[AtomicU64]>,
}

impl PartitionStatus {
    pub(super) fn new(key: PartitionKey, labels: ReasonLabels, flow: Arc<FlowFigures>) -> Self {
        Self {
            key,
            state: Mutex::new((PartitionState::Starting, Cow::Borrowed("not started yet"))),
            position: AtomicI64::new(UNKNOWN),
            acked: AtomicI64::new(UNKNOWN),
            high_watermark: AtomicI64::new(UNKNOWN),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            skipped_records: AtomicU64::new(0),
            restarts: AtomicU64::new(0),
            runs: AtomicU64::new(0),
            updated_at_ms: AtomicI64::new(0),
            reencoded: Reasons::new(labels.reencode),
            dropped: Reasons::new(labels.drop),
            age: Delay::default(),
            latency: Delay::default(),
            first_copy: FirstCopy {
                begin: AtomicI64::new(UNKNOWN),
                goal: AtomicI64::new(UNKNOWN),
                resumed: AtomicI64::new(UNKNOWN),
            },
            flow,
        }
    }

    /// Which partition this is.
    pub fn key(&self) -> &PartitionKey {
        &self.key
    }

    /// Changes state and reason together. Takes a lock: for changes, not for batches.
    pub fn set_state(&self, state: PartitionState, reason: impl Into<Cow<'static, str>>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = (state, reason.into());
    }

    /// State and reason.
    pub fn state(&self) -> (PartitionState, Cow<'static, str>) {
        let state = self.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A replicator begins: from now on [`is_run`](Self::is_run) is false for all earlier ones.
    pub fn begin_run(&self) -> u64 {
        self.runs.fetch_add(1, Relaxed) + 1
    }

    /// No replicator has begun since `run`. One that is still ending must not show over its successor.
    pub fn is_run(&self, run: u64) -> bool {
        self.runs.load(Relaxed) == run
    }

    /// The replicator starts, or starts again, at `position`: everything below counts as acknowledged.
    pub fn start_at(&self, position: i64) {
        self.position.store(position, Relaxed);
        self.acked.store(position.saturating_sub(1), Relaxed);
    }

    /// The replicator was stopped by an operator, who may move the stored position: that decides at the next start.
    pub fn forget_position(&self) {
        for offset in [&self.position, &self.acked, &self.high_watermark] {
            offset.store(UNKNOWN, Relaxed);
        }
    }

    /// Everything that was fetched is acknowledged.
    pub fn is_drained(&self) -> bool {
        known(&self.position).is_none_or(|position| position <= self.next_to_acknowledge())
    }

    /// The first upstream offset that is not acknowledged; 0 before the start.
    pub fn next_to_acknowledge(&self) -> i64 {
        known(&self.acked).map_or(0, |acked| acked.saturating_add(1))
    }

    /// The next upstream offset to fetch, and the source's high watermark, after a fetch.
    pub fn fetched(&self, position: i64, high_watermark: i64) {
        self.position.store(position, Relaxed);
        self.high_watermark.store(high_watermark, Relaxed);
    }

    /// The source's log as an answer to a fetch shows it. The first call decides what the first copy is.
    pub fn saw_log(&self, start: i64, high_watermark: i64) {
        let FirstCopy {
            begin,
            goal,
            resumed,
        } = &self.first_copy;
        match known(goal) {
            Some(found) if found <= high_watermark => {}
            Some(_) => goal.store(high_watermark, Relaxed),
            None => {
                begin.store(start.max(0), Relaxed);
                resumed.store(self.next_to_acknowledge(), Relaxed);
                goal.store(high_watermark, Relaxed);
            }
        }
    }

    /// The target acknowledged a batch. `acked` is the highest upstream offset below which, itself
    /// included, everything is acknowledged.
    pub fn acknowledged(&self, acked: i64, records: u64, bytes: u64, now_ms: i64) {
        self.acked.store(acked, Relaxed);
        self.records.fetch_add(records, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
        self.updated_at_ms.store(now_ms, Relaxed);
    }

    /// The last batch of a fetch was this old. Negative for records of the future.
    pub fn fetched_after(&self, delay_ms: i64) {
        self.age.record(delay_ms);
    }

    /// A batch was this old when the target acknowledged it.
    pub fn acknowledged_after(&self, delay_ms: i64) {
        self.latency.record(delay_ms);
        self.flow.latency.record(delay_ms);
    }

    /// Records and bytes acknowledged so far.
    pub fn counted(&self) -> (u64, u64) {
        (self.records.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// Age and latency since the last call, which begins their windows anew. A batch that comes meanwhile may be
    /// counted in either window.
    pub fn take_delays(&self) -> (DelayWindow, DelayWindow) {
        (self.age.take(), self.latency.take())
    }

    /// Something else happened that shows that the replicator is at work.
    pub fn touch(&self, now_ms: i64) {
        self.updated_at_ms.store(now_ms, Relaxed);
    }

    /// Counts a batch that was written anew; `reason` is its place in [`ReasonLabels::reencode`].
    /// A place that the list does not have is counted nowhere.
    pub fn count_reencoded(&self, reason: usize) {
        self.reencoded.count(reason);
    }

    /// Counts a batch that was not copied; `reason` is its place in [`ReasonLabels::drop`].
    /// A place that the list does not have is counted nowhere.
    pub fn count_dropped(&self, reason: usize) {
        self.dropped.count(reason);
    }

    /// Counts records that policy left out.
    pub fn count_skipped(&self, records: u64) {
        self.skipped_records.fetch_add(records, Relaxed);
    }

    /// Counts one more start of the replicator after the first.
    pub fn count_restart(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    /// The status now.
    pub fn snapshot(&self) -> PartitionSnapshot {
        let (state, reason) = self.state();
        PartitionSnapshot {
            key: self.key.clone(),
            state,
            reason,
            position: known(&self.position),
            acked: known(&self.acked),
            high_watermark: known(&self.high_watermark),
            lag_records: self.lag_records(),
            records: self.records.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            reencoded: self.reencoded.read(),
            dropped: self.dropped.read(),
            skipped_records: self.skipped_records.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            updated_at_ms: self.updated_at_ms.load(Relaxed),
            age: self.age.read(),
            latency: self.latency.read(),
            first_copy: self.first_copy(),
        }
    }

    fn first_copy(&self) -> Option<FirstCopied> {
        let next = known(&self.acked)?.saturating_add(1);
        let goal = known(&self.first_copy.goal)?;
        let begin = known(&self.first_copy.begin)?;
        let resumed = known(&self.first_copy.resumed)?;
        let between = |from: i64, to: i64| u64::try_from(to.saturating_sub(from)).unwrap_or(0);
        let total = between(begin, goal);
        Some(FirstCopied {
            total,
            copied: between(begin, next).min(total),
            advanced: between(resumed, next),
        })
    }

    /// `None` until position and high watermark are known. A watermark that is older than the last
    /// acknowledgement gives 0, not less.
    fn lag_records(&self) -> Option<u64> {
        known(&self.position)?;
        let end = known(&self.high_watermark)?;
        let copied_to = self.acked.load(Relaxed).saturating_add(1);
        Some(u64::try_from(end.saturating_sub(copied_to)).unwrap_or(0))
    }

    /// End of the partition on the source, if known.
    pub(super) fn high_watermark(&self) -> Option<i64> {
        known(&self.high_watermark)
    }

    /// Adds its figures to those of its flow.
    pub(super) fn add_to(&self, totals: &mut FlowTotals) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).0;
        for (counted, count) in PartitionState::ALL.iter().zip(&mut totals.states) {
            *count += u64::from(*counted == state);
        }
        totals.partitions += 1;
        let lag = self.lag_records().unwrap_or(0);
        totals.lag_records = totals.lag_records.saturating_add(lag);
        totals.records += self.records.load(Relaxed);
        totals.bytes += self.bytes.load(Relaxed);
        totals.reencoded += self.reencoded.total();
        totals.dropped += self.dropped.total();
        totals.skipped_records += self.skipped_records.load(Relaxed);
        totals.restarts += self.restarts.load(Relaxed);
        let sums = &mut totals.first_copy;
        match self.first_copy() {
            Some(of) => {
                sums.total = sums.total.saturating_add(of.total);
                sums.copied = sums.copied.saturating_add(of.copied);
                sums.advanced = sums.advanced.saturating_add(of.advanced);
            }
            None => totals.unseen += 1,
        }
    }
}

fn known(offset: &AtomicI64) -> Option<i64> {
    Some(offset.load(Relaxed)).filter(|offset| *offset != UNKNOWN)
}

impl Reasons {
    fn new(labels: &'static [&'static str]) -> Self {
        Self {
            labels,
            counts: labels.iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn count(&self, reason: usize) {
        let count = self.counts.get(reason);
        debug_assert!(
            count.is_some(),
            "reason {reason} is not one of {:?}",
            self.labels
        );
        if let Some(count) = count {
            count.fetch_add(1, Relaxed);
        }
    }

    fn read(&self) -> Vec<(&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        self.labels
            .iter()
            .copied()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }
}
