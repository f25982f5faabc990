//! The numbers behind the view: taken a few times a second, shown by any of [`super::view`], [`super::lines`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Flow, FlowTotals, PartitionSnapshot, PartitionState, Registry};

use super::ledger::Faults;
use super::reader::Latency;

/// Rates are of this time until now.
const RATE_WINDOW: Duration = Duration::from_secs(2);

/// What the demo is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The first record is on its way.
    #[default]
    Starting,
    /// Records are written, read and copied.
    Running,
    /// Nothing is written any more; the last records cross.
    Draining,
    /// crosscurrent stops, and what is in the topics is compared with what was written.
    Proving,
}

impl Phase {
    /// For people and for JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Draining => "draining",
            Self::Proving => "proving",
        }
    }
}

/// One cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterSample {
    pub(crate) alias: &'static str,
    pub(crate) bootstrap: String,
    /// Records that its producer wrote.
    pub(crate) written: u64,
    /// Unit: records per second.
    pub(crate) written_rate: f64,
    /// Records that its consumer group read, local and remote.
    pub(crate) read: u64,
    /// Unit: records per second.
    pub(crate) read_rate: f64,
}

/// One flow.
#[derive(Debug, Clone, Default)]
pub(crate) struct FlowSample {
    pub(crate) label: Arc<str>,
    /// Records that the target acknowledged, of all topics.
    pub(crate) records: u64,
    /// Unit: records per second.
    pub(crate) records_rate: f64,
    /// Of batches as stored, so after compression. Unit: bytes per second.
    pub(crate) bytes_rate: f64,
    /// Records that are on the source and not on the target.
    pub(crate) lag: u64,
    /// From producer to consumer on the other side.
    pub(crate) latency: Latency,
    /// After the start of the program.
    pub(crate) first_crossing: Option<Duration>,
    /// What keeps the whole flow from getting on.
    pub(crate) trouble: Option<String>,
    /// In the order of [`PartitionState::ALL`].
    pub(crate) states: [u64; 5],
}

/// One topic of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSample {
    pub(crate) flow: Arc<str>,
    pub(crate) topic: Arc<str>,
    /// Records that the target acknowledged.
    pub(crate) records: u64,
    pub(crate) lag: u64,
    /// In the order of [`PartitionState::ALL`].
    pub(crate) states: [u64; 5],
    /// Of one partition that waits or is halted.
    pub(crate) reason: Option<String>,
}

/// All of it at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) run: u32,
    pub(crate) phase: Phase,
    /// Since the start of the program.
    pub(crate) elapsed: Duration,
    /// Of the time for writing; `None` without a limit.
    pub(crate) left: Option<Duration>,
    /// `east`, `west`.
    pub(crate) clusters: [ClusterSample; 2],
    /// From each cluster, in their order.
    pub(crate) flows: [FlowSample; 2],
    /// By flow and topic.
    pub(crate) topics: Vec<TopicSample>,
    /// Wrong already, whatever comes.
    pub(crate) faults: Faults,
}

/// How fast a count grows.
#[derive(Debug, Default)]
pub(crate) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Takes the count as it is now; gives its growth over [`RATE_WINDOW`]. Unit: per second.
    pub(crate) fn at(&mut self, now: Instant, count: u64) -> f64 {
        self.0.push_back((now, count));
        // The oldest one is the last that is not within the window.
        while let Some((second, _)) = self.0.get(1)
            && now.duration_since(*second) >= RATE_WINDOW
        {
            self.0.pop_front();
        }
        let (then, before) = self.0.front().copied().unwrap_or((now, count));
        let seconds = now.duration_since(then).as_secs_f64();
        if seconds == 0.0 {
            return 0.0;
        }
        as_f64(count.saturating_sub(before)) / seconds
    }
}

/// Rates by what they are of.
#[derive(Debug, Default)]
pub(crate) struct Rates(HashMap<(&'static str, usize), Rate>);

impl Rates {
    /// As [`Rate::at`] for the count `what` of cluster or flow `index`.
    pub(crate) fn at(&mut self, what: &'static str, index: usize, now: Instant, count: u64) -> f64 {
        self.0.entry((what, index)).or_default().at(now, count)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn as_f64(count: u64) -> f64 {
    count as f64
}

/// What the product says of a flow; the rest of the sample is left as it is.
pub(crate) fn flow(
    flow: &Flow,
    total: &FlowTotals,
    (index, rates, now): (usize, &mut Rates, Instant),
) -> FlowSample {
    FlowSample {
        label: flow.label.clone(),
        records: total.records,
        records_rate: rates.at("records", index, now, total.records),
        bytes_rate: rates.at("bytes", index, now, total.bytes),
        lag: total.lag_records,
        trouble: flow.trouble(),
        states: total.states,
        ..FlowSample::default()
    }
}

/// What the product says of every topic.
pub(crate) fn topics(registry: &Registry) -> Vec<TopicSample> {
    by_topic(registry.snapshots())
}

fn by_topic(partitions: Vec<PartitionSnapshot>) -> Vec<TopicSample> {
    let mut topics: BTreeMap<(Arc<str>, Arc<str>), TopicSample> = BTreeMap::new();
    for one in partitions {
        let key = (one.key.flow.clone(), one.key.topic.clone());
        let topic = topics.entry(key).or_insert_with(|| TopicSample {
            flow: one.key.flow.clone(),
            topic: one.key.topic.clone(),
            records: 0,
            lag: 0,
            states: [0; 5],
            reason: None,
        });
        topic.records += one.records;
        topic.lag += one.lag_records.unwrap_or(0);
        for (state, count) in PartitionState::ALL.iter().zip(&mut topic.states) {
            *count += u64::from(*state == one.state);
        }
        // A halted one needs somebody; a waiting one helps itself.
        let worse = one.state == PartitionState::Halted && !one.reason.is_empty();
        if worse || (one.state == PartitionState::Waiting && topic.reason.is_none()) {
            topic.reason = Some(format!("{}: {}", one.key.partition, one.reason));
        }
    }
    topics.into_values().collect()
}

#[cfg(test)]
mod tests {
    use actors::{PartitionKey, ReasonLabels};

    use super::*;

    #[test]
    fn a_rate_is_of_the_last_two_seconds() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut rate = Rate::default();
        assert_eq!(rate.at(start, 50), 0.0, "one look is no rate");
        assert_eq!(rate.at(at(500), 100), 100.0);
        assert_eq!(rate.at(at(1_000), 1_050), 1_000.0);
        for millis in (1_500..=6_000).step_by(500) {
            rate.at(at(millis), 1_050);
        }
        assert_eq!(rate.at(at(6_500), 1_050), 0.0, "long ago");
        assert_eq!(
            rate.at(at(7_000), 1_000),
            0.0,
            "a partition left with its count"
        );
        assert!(rate.0.len() < 10, "bounded");
    }

    #[test]
    fn a_topic_says_why_it_does_not_run() {
        let registry = Registry::new(ReasonLabels::default());
        let partition = |partition| {
            registry.partition(PartitionKey {
                flow: "east->west".into(),
                topic: "orders".into(),
                partition,
            })
        };
        for index in 0..4 {
            let one = partition(index);
            one.start_at(0);
            one.fetched(0, 10);
            one.acknowledged(6, 7, 70, 1);
            one.set_state(PartitionState::Running, "");
        }
        let running = topics(&registry);
        assert_eq!(running.len(), 1);
        assert_eq!((running[0].records, running[0].lag), (28, 12));
        assert_eq!(
            (running[0].states, &running[0].reason),
            ([0, 4, 0, 0, 0], &None)
        );
        partition(1).set_state(PartitionState::Waiting, "no leader");
        partition(2).set_state(PartitionState::Halted, "too large");
        partition(3).set_state(PartitionState::Waiting, "no leader");
        let troubled = topics(&registry);
        assert_eq!(troubled[0].states, [0, 1, 2, 1, 0]);
        assert_eq!(troubled[0].reason.as_deref(), Some("2: too large"));
    }
}
