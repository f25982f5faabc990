//! What is known about every partition, readable without asking an actor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use dashmap::DashMap;

mod delay;
mod figures;
mod status;
mod totals;

pub use delay::{Delay, DelayWindow, Delays};
pub use figures::{FlowFigures, Latencies, LatencyCounts};
pub use status::PartitionStatus;
pub use totals::{FirstCopied, FlowTotals};

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
        self.partitions.get(key)?.high_watermark()
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
        let of_flow = |status: &PartitionStatus| *status.key().flow == *flow;
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
            let totals = flows.entry(status.key().flow.clone()).or_default();
            status.add_to(totals);
        }
        flows
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
