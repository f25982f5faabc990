//! What is known about every partition, readable without asking an actor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

mod delay;
mod figures;

pub use delay::{Delay, DelayWindow, Delays};
pub use figures::{FlowFigures, Latencies, LatencyCounts};

/// Stands for an offset that is not known yet. Not -1: that is "nothing acknowledged of a log that starts at 0".
const UNKNOWN: i64 = i64::MIN;

/// One partition of one flow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The flow's label, `east->west`.
    pub flow: Arc<str>,
    /// The topic's name on the source cluster.
    pub topic: Arc<str>,
    /// The partition's number, equal on both clusters.
    pub partition: i32,
}

/// What a partition is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartitionState {
    /// Finding its position, its leaders and its producer id.
    Starting,
    /// Copying, or caught up.
    Running,
    /// Cannot copy now and tries again by itself: no leader, broker unreachable, target topic missing.
    Waiting,
    /// Would lose or repeat data by going on; an operator decides.
    Halted,
    /// Ended on purpose: paused, stopped, or handed to another node.
    Stopped,
}

impl PartitionState {
    /// All states, in the order of [`FlowTotals::states`].
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Running,
        Self::Waiting,
        Self::Halted,
        Self::Stopped,
    ];

    /// The label in logs, metrics and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for PartitionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The reasons that are counted, as labels; a reason is counted by its place in the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReasonLabels {
    /// Why a batch was decoded and written anew instead of passed as bytes.
    pub reencode: &'static [&'static str],
    /// Why a batch was not copied at all, as control batches.
    pub drop: &'static [&'static str],
}

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

/// What a partition's status was at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionSnapshot {
    /// Which partition.
    pub key: PartitionKey,
    /// What it is doing.
    pub state: PartitionState,
    /// Why it is in that state, in words.
    pub reason: Cow<'static, str>,
    /// The next upstream offset to fetch.
    pub position: Option<i64>,
    /// The highest upstream offset below which, itself included, the target has acknowledged everything; -1 when
    /// the log starts at 0 and nothing is acknowledged.
    pub acked: Option<i64>,
    /// End of the partition on the source: the offset that its next record will get.
    pub high_watermark: Option<i64>,
    /// Offsets between what is acknowledged and the high watermark. Like a consumer's lag it counts
    /// offsets, so holes and transaction markers are in it.
    pub lag_records: Option<u64>,
    /// Records acknowledged by the target since this process started.
    pub records: u64,
    /// Bytes of batches acknowledged by the target, as stored, since this process started.
    pub bytes: u64,
    /// Batches written anew, by reason; reasons that never occurred are left out.
    pub reencoded: Vec<(&'static str, u64)>,
    /// Batches not copied, by reason; reasons that never occurred are left out.
    pub dropped: Vec<(&'static str, u64)>,
    /// Records that were left out by policy and are missing on the target.
    pub skipped_records: u64,
    /// Restarts of the replicator since this process started.
    pub restarts: u64,
    /// When the replicator last stored something. Unit: epoch milliseconds; 0: never.
    pub updated_at_ms: i64,
    /// From a batch's newest record to its being fetched.
    pub age: DelayWindow,
    /// From a batch's newest record to the target's acknowledgement.
    pub latency: DelayWindow,
    /// How far what was on the source at the first look is copied; none before that look.
    pub first_copy: Option<FirstCopied>,
}

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
    /// Sum of [`PartitionSnapshot::records`].
    pub records: u64,
    /// Sum of [`PartitionSnapshot::bytes`].
    pub bytes: u64,
    /// Batches written anew, for any reason.
    pub reencoded: u64,
    /// Batches not copied, for any reason.
    pub dropped: u64,
    /// Sum of [`PartitionSnapshot::skipped_records`].
    pub skipped_records: u64,
    /// Sum of [`PartitionSnapshot::restarts`].
    pub restarts: u64,
    /// Sum of [`PartitionSnapshot::first_copy`].
    pub first_copy: FirstCopied,
    /// Partitions that are not in `first_copy`, because their source was not looked at yet, or not since a stop.
    pub unseen: u64,
}

/// All partitions of this process, for REST, metrics and the console. Clones are the same registry.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    partitions: Arc<DashMap<PartitionKey, Arc<PartitionStatus>>>,
    flows: Arc<DashMap<Arc<str>, Arc<FlowFigures>>>,
    labels: ReasonLabels,
}

// === impl Registry ===

impl Registry {
    /// An empty registry that counts the given reasons.
    pub fn new(labels: ReasonLabels) -> Self {
        Self {
            partitions: Arc::default(),
            flows: Arc::default(),
            labels,
        }
    }

    /// The status of a partition, created as [`PartitionState::Starting`] at the first call. Keep the
    /// result: this is not for the hot path. Counters outlive restarts of the replicator.
    pub fn partition(&self, key: PartitionKey) -> Arc<PartitionStatus> {
        let fresh = || {
            let flow = self.flow(&key.flow);
            Arc::new(PartitionStatus::new(key.clone(), self.labels, flow))
        };
        Arc::clone(&self.partitions.entry(key.clone()).or_insert_with(fresh))
    }

    /// What is measured of a flow as a whole, created at the first call.
    pub fn flow(&self, label: &Arc<str>) -> Arc<FlowFigures> {
        Arc::clone(&self.flows.entry(Arc::clone(label)).or_default())
    }

    /// Forgets a partition that left this node; false if it was not there.
    pub fn remove(&self, key: &PartitionKey) -> bool {
        self.partitions.remove(key).is_some()
    }

    /// Forgets all partitions of a flow that ended.
    pub fn remove_flow(&self, flow: &str) {
        self.partitions.retain(|key, _| *key.flow != *flow);
        self.flows.remove(flow);
    }

    /// One partition.
    pub fn get(&self, key: &PartitionKey) -> Option<PartitionSnapshot> {
        self.partitions.get(key).map(|status| status.snapshot())
    }

    /// The source's log end of one partition, as of the last fetch.
    pub fn high_watermark(&self, key: &PartitionKey) -> Option<i64> {
        known(&self.partitions.get(key)?.high_watermark)
    }

    /// All partitions, ordered by flow, topic and partition.
    pub fn snapshots(&self) -> Vec<PartitionSnapshot> {
        let mut all: Vec<_> = self
            .partitions
            .iter()
            .map(|status| status.snapshot())
            .collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// All partitions of a flow, ordered by topic and partition.
    pub fn snapshots_of(&self, flow: &str) -> Vec<PartitionSnapshot> {
        let of_flow = |status: &PartitionStatus| *status.key.flow == *flow;
        let mut all: Vec<_> = self
            .partitions
            .iter()
            .filter(|status| of_flow(status))
            .map(|status| status.snapshot())
            .collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// Calls `each` with every partition, in no order: for windows that are kept elsewhere.
    pub fn for_each(&self, mut each: impl FnMut(&PartitionStatus)) {
        self.partitions.iter().for_each(|status| each(&status));
    }

    /// Sums per flow.
    pub fn flow_totals(&self) -> BTreeMap<Arc<str>, FlowTotals> {
        let mut flows: BTreeMap<Arc<str>, FlowTotals> = BTreeMap::new();
        for status in self.partitions.iter() {
            flows
                .entry(Arc::clone(&status.key.flow))
                .or_default()
                .add(&status);
        }
        flows
    }
}

// === impl PartitionStatus ===

impl PartitionStatus {
    fn new(key: PartitionKey, labels: ReasonLabels, flow: Arc<FlowFigures>) -> Self {
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
}

fn known(offset: &AtomicI64) -> Option<i64> {
    Some(offset.load(Relaxed)).filter(|offset| *offset != UNKNOWN)
}

// === impl Reasons ===

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

// === impl FlowTotals ===

impl FlowTotals {
    /// Partitions in one state.
    pub fn in_state(&self, state: PartitionState) -> u64 {
        PartitionState::ALL
            .iter()
            .zip(self.states)
            .find(|(s, _)| **s == state)
            .map_or(0, |(_, n)| n)
    }

    fn add(&mut self, status: &PartitionStatus) {
        let state = status
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        for (counted, count) in PartitionState::ALL.iter().zip(&mut self.states) {
            *count += u64::from(*counted == state);
        }
        self.partitions += 1;
        self.lag_records = self
            .lag_records
            .saturating_add(status.lag_records().unwrap_or(0));
        self.records += status.records.load(Relaxed);
        self.bytes += status.bytes.load(Relaxed);
        self.reencoded += status.reencoded.total();
        self.dropped += status.dropped.total();
        self.skipped_records += status.skipped_records.load(Relaxed);
        self.restarts += status.restarts.load(Relaxed);
        let sums = &mut self.first_copy;
        match status.first_copy() {
            Some(of) => {
                sums.total = sums.total.saturating_add(of.total);
                sums.copied = sums.copied.saturating_add(of.copied);
                sums.advanced = sums.advanced.saturating_add(of.advanced);
            }
            None => self.unseen += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: ReasonLabels = ReasonLabels {
        reencode: &["gap", "oversize"],
        drop: &["control"],
    };

    fn key(flow: &str, topic: &str, partition: i32) -> PartitionKey {
        PartitionKey {
            flow: flow.into(),
            topic: topic.into(),
            partition,
        }
    }

    #[test]
    fn nothing_is_claimed_before_it_is_known() {
        let registry = Registry::new(LABELS);
        let status = registry.partition(key("a->b", "orders", 0));
        let first = status.snapshot();
        assert_eq!(
            (first.position, first.acked, first.high_watermark),
            (None, None, None)
        );
        assert_eq!(
            (first.lag_records, first.state),
            (None, PartitionState::Starting)
        );

        status.start_at(0);
        assert_eq!(status.snapshot().lag_records, None, "no watermark yet");
        status.fetched(10, 100);
        let fetched = status.snapshot();
        assert_eq!((fetched.acked, fetched.lag_records), (Some(-1), Some(100)));
        let end = |flow| registry.high_watermark(&key(flow, "orders", 0));
        assert_eq!((end("a->b"), end("b->a")), (Some(100), None));
        status.acknowledged(9, 10, 640, 1_700_000_000_000);
        let acked = status.snapshot();
        assert_eq!((acked.acked, acked.lag_records), (Some(9), Some(90)));
        assert_eq!((acked.records, acked.bytes), (10, 640));
        assert_eq!(acked.updated_at_ms, 1_700_000_000_000);
        status.acknowledged(150, 141, 1, 0);
        assert_eq!(
            status.snapshot().lag_records,
            Some(0),
            "the watermark is older than the ack"
        );
    }

    #[test]
    fn the_first_copy_is_what_was_there_at_the_first_look() {
        let registry = Registry::new(LABELS);
        let status = registry.partition(key("a->b", "orders", 0));
        assert_eq!(status.snapshot().first_copy, None);
        // A process before this one had copied half of it.
        status.start_at(150);
        status.saw_log(100, 200);
        let first = |total, copied, advanced| {
            Some(FirstCopied {
                total,
                copied,
                advanced,
            })
        };
        assert_eq!(status.snapshot().first_copy, first(100, 50, 0));
        status.acknowledged(179, 30, 1, 1);
        status.saw_log(110, 250);
        assert_eq!(status.snapshot().first_copy, first(100, 80, 30));
        status.acknowledged(249, 70, 1, 1);
        assert_eq!(
            status.snapshot().first_copy,
            first(100, 100, 100),
            "what came later is not in it"
        );
        status.saw_log(100, 160);
        assert_eq!(
            status.snapshot().first_copy,
            first(60, 60, 100),
            "the log was cut"
        );
        status.forget_position();
        let totals = registry.flow_totals();
        assert_eq!(totals.get("a->b").map(|sums| sums.unseen), Some(1));
    }

    #[test]
    fn a_flow_has_the_latencies_of_its_partitions() {
        let registry = Registry::new(LABELS);
        for partition in 0..4 {
            let status = registry.partition(key("a->b", "orders", partition));
            status.acknowledged_after(i64::from(partition) * 10);
        }
        registry
            .partition(key("b->a", "orders", 0))
            .acknowledged_after(1);
        let forth = registry.flow(&"a->b".into()).latency.read();
        assert_eq!((forth.count(), forth.sum_ms()), (4, 60));
        registry.remove_flow("a->b");
        let again = registry.flow(&"a->b".into()).latency.read();
        assert_eq!(again.count(), 0, "a flow of the same name begins anew");
    }

    #[test]
    fn counters_outlive_a_restart_and_name_their_reasons() {
        let registry = Registry::new(LABELS);
        registry
            .partition(key("a->b", "orders", 0))
            .count_reencoded(1);
        let again = registry.partition(key("a->b", "orders", 0));
        again.count_restart();
        again.count_reencoded(1);
        again.count_dropped(0);
        again.count_skipped(3);
        again.set_state(
            PartitionState::Waiting,
            format!("broker {} is unreachable", 3),
        );
        let seen = registry.get(&key("a->b", "orders", 0)).expect("registered");
        assert_eq!(
            (seen.reencoded, seen.dropped),
            (vec![("oversize", 2)], vec![("control", 1)])
        );
        assert_eq!((seen.skipped_records, seen.restarts), (3, 1));
        assert_eq!(seen.state.to_string(), "waiting");
        assert_eq!(seen.reason, "broker 3 is unreachable");
        assert!(registry.remove(&key("a->b", "orders", 0)));
        assert!(!registry.remove(&key("a->b", "orders", 0)));
        assert_eq!(registry.get(&key("a->b", "orders", 0)), None);
    }

    #[test]
    fn flows_are_summed_apart_and_listed_in_order() {
        let registry = Registry::new(LABELS);
        for (flow, topic, partition) in [
            ("b->a", "orders", 0),
            ("a->b", "orders", 10),
            ("a->b", "orders", 9),
        ] {
            let status = registry.partition(key(flow, topic, partition));
            status.start_at(5);
            status.fetched(5, 25);
            status.acknowledged(9, 5, 100, 1);
            status.count_reencoded(0);
        }
        registry
            .partition(key("a->b", "orders", 9))
            .set_state(PartitionState::Halted, "topic orders was re-created");
        let listed: Vec<_> = registry.snapshots().into_iter().map(|s| s.key).collect();
        assert_eq!(
            listed,
            [
                key("a->b", "orders", 9),
                key("a->b", "orders", 10),
                key("b->a", "orders", 0)
            ]
        );
        let totals = registry.flow_totals();
        let forth = totals.get("a->b").expect("listed");
        assert_eq!((forth.partitions, forth.lag_records), (2, 30));
        assert_eq!((forth.records, forth.bytes, forth.reencoded), (10, 200, 2));
        assert_eq!(forth.in_state(PartitionState::Halted), 1);
        assert_eq!(forth.in_state(PartitionState::Starting), 1);
        assert_eq!(totals.get("b->a").map(|back| back.lag_records), Some(15));
    }
}
