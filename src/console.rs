//! What a person sees of the flows: a summary per flow at a terminal, and log lines when partitions do not run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{Flow, FlowTotals, PartitionSnapshot, PartitionState, Registry};
use tracing::{info, warn};

use crate::first_copy::FirstCopy;

/// Time between two summaries, and between two looks at partitions that do not run.
pub(crate) const SUMMARY_INTERVAL: Duration = Duration::from_secs(5);
/// What has not changed is said again after so long: a log that is read from its end must show it.
const REMIND_INTERVAL: Duration = Duration::from_secs(60);
/// States that keep a partition from running, the worse one first.
const TROUBLED: [PartitionState; 2] = [PartitionState::Halted, PartitionState::Waiting];

/// The summary at a terminal, and the totals at the end.
pub(crate) struct Summary {
    started: Instant,
    /// The last summary; for rates.
    last: HashMap<Arc<str>, Last>,
}

/// When a summary was made, and what was by then.
#[derive(Clone, Copy)]
struct Last {
    at: Instant,
    records: u64,
    bytes: u64,
    /// Offsets, for the first copy.
    advanced: u64,
}

impl Summary {
    /// Of a process that started at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            started: now,
            last: HashMap::new(),
        }
    }

    /// A line per flow: records and MB per second since the last call, lag, states, how far the first copy is; then
    /// one partition for each state that keeps partitions from running, with its reason.
    pub(crate) fn lines(
        &mut self,
        flows: &[Arc<Flow>],
        registry: &Registry,
        now: Instant,
    ) -> Vec<String> {
        let totals = registry.flow_totals();
        let mut lines = Vec::new();
        for flow in flows.iter().filter(|flow| flow.config.replication_enabled) {
            let none = FlowTotals::default();
            let total = totals.get(&flow.label).unwrap_or(&none);
            let (records, bytes, offsets) = self.rates(&flow.label, total, now);
            let copy = FirstCopy::new(total.first_copy, total.unseen, offsets).said();
            let copy = copy.map_or_else(String::new, |said| format!("  first copy {said}"));
            lines.push(format!(
                "{}  {} records  {records:.0} records/s  {:.1} MB/s  lag {}  {}{copy}",
                flow.label,
                total.records,
                bytes / 1e6,
                total.lag_records,
                states(total),
            ));
            if let Some(trouble) = flow.trouble() {
                lines.push(format!("  waiting: {trouble}"));
            }
            for example in examples(flow, total, registry) {
                let PartitionSnapshot {
                    key, state, reason, ..
                } = example;
                lines.push(format!(
                    "  {state}: {}-{}: {reason}",
                    key.topic, key.partition
                ));
            }
        }
        lines
    }

    /// Records, bytes and offsets per second since the last call, or since the start.
    fn rates(&mut self, flow: &Arc<str>, total: &FlowTotals, now: Instant) -> (f64, f64, f64) {
        let this = Last {
            at: now,
            records: total.records,
            bytes: total.bytes,
            advanced: total.first_copy.advanced,
        };
        let last = self.last.insert(flow.clone(), this).unwrap_or(Last {
            at: self.started,
            records: 0,
            bytes: 0,
            advanced: 0,
        });
        let seconds = now.duration_since(last.at).as_secs_f64().max(0.001);
        // A partition that left took its counts along.
        let rate = |now: u64, then: u64| per_second(now.saturating_sub(then), seconds);
        (
            rate(this.records, last.records),
            rate(this.bytes, last.bytes),
            rate(this.advanced, last.advanced),
        )
    }

    /// What each flow has done, as the last log lines.
    pub(crate) fn log_totals(&self, flows: &[Arc<Flow>], registry: &Registry, clean: bool) {
        let totals = registry.flow_totals();
        let seconds = self.started.elapsed().as_secs();
        for flow in flows.iter().filter(|flow| flow.config.replication_enabled) {
            let none = FlowTotals::default();
            let total = totals.get(&flow.label).unwrap_or(&none);
            info!(
                flow = %flow.label, clean, seconds, partitions = total.partitions, records = total.records,
                bytes = total.bytes, lag_records = total.lag_records, skipped_records = total.skipped_records,
                reencoded_batches = total.reencoded, restarts = total.restarts, "stopped"
            );
        }
    }
}

/// Halted and waiting partitions, in the order of [`TROUBLED`].
type Counts = [u64; TROUBLED.len()];

/// Says in the log when partitions of a flow do not run: when that begins or gets much worse, once in
/// [`REMIND_INTERVAL`] while it lasts, and when it is over. A few lines per flow, however many partitions.
#[derive(Default)]
pub(crate) struct Watch {
    /// What was said last of each flow in trouble, and when.
    said: HashMap<Arc<str>, (Counts, Instant)>,
}

impl Watch {
    /// Looks at every flow; call every [`SUMMARY_INTERVAL`].
    pub(crate) fn look(&mut self, flows: &[Arc<Flow>], registry: &Registry, now: Instant) {
        let totals = registry.flow_totals();
        for flow in flows.iter().filter(|flow| flow.config.replication_enabled) {
            let none = FlowTotals::default();
            let total = totals.get(&flow.label).unwrap_or(&none);
            let counts = TROUBLED.map(|state| total.in_state(state));
            let trouble = flow.trouble();
            let said = self.said.get(&flow.label).copied();
            if counts == Counts::default() && trouble.is_none() {
                self.said.remove(&flow.label);
                if said.is_some_and(|(counts, _)| counts != Counts::default()) {
                    let partitions = total.partitions;
                    info!(flow = %flow.label, partitions, "no partition waits any more");
                }
            } else if is_due(said, counts, now) {
                self.said.insert(flow.label.clone(), (counts, now));
                // The flow said its own trouble when it began.
                let reason = trouble.filter(|_| said.is_some());
                say(flow, total, reason.as_deref(), registry);
            }
        }
    }
}

/// Whether there is something new, or enough time has passed to say it again. While a broker is away one partition
/// after the other finds out: only a count that has doubled is news, but each halted partition is.
fn is_due(said: Option<(Counts, Instant)>, counts: Counts, now: Instant) -> bool {
    let Some((said, at)) = said else { return true };
    let [halted, others @ ..] = counts;
    let [halted_said, others_said @ ..] = said;
    halted > halted_said
        || others
            .iter()
            .zip(others_said)
            .any(|(count, said)| *count > said.saturating_mul(2))
        || now.duration_since(at) >= REMIND_INTERVAL
}

fn say(flow: &Flow, total: &FlowTotals, trouble: Option<&str>, registry: &Registry) {
    if let Some(reason) = trouble {
        warn!(flow = %flow.label, reason, "still waiting");
    }
    for example in examples(flow, total, registry) {
        let PartitionSnapshot {
            key, state, reason, ..
        } = example;
        let count = total.in_state(state);
        warn!(
            flow = %flow.label, %state, count, of = total.partitions, topic = %key.topic,
            partition = key.partition, %reason, "partitions do not run; one of them and its reason"
        );
    }
}

/// The first partition in each troubled state that occurs.
fn examples(flow: &Flow, total: &FlowTotals, registry: &Registry) -> Vec<PartitionSnapshot> {
    if TROUBLED.iter().all(|state| total.in_state(*state) == 0) {
        return Vec::new(); // the usual case costs no walk over all partitions
    }
    let snapshots = registry.snapshots();
    let first = |state| {
        snapshots
            .iter()
            .find(|one| one.state == state && one.key.flow == flow.label)
    };
    TROUBLED
        .iter()
        .filter_map(|state| first(*state).cloned())
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// `12 running, 1 halted`: only states that occur.
fn states(total: &FlowTotals) -> String {
    let occur: Vec<String> = PartitionState::ALL
        .into_iter()
        .filter(|state| total.in_state(*state) > 0)
        .map(|state| format!("{} {state}", total.in_state(state)))
        .collect();
    if occur.is_empty() {
        "no partitions".to_owned()
    } else {
        occur.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spreading_trouble_is_said_a_few_times_and_each_halted_partition_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(is_due(None, [0, 1], start));
        let mut said = ([0, 0], start);
        let mut lines = 0;
        for look in 1..12 {
            let (counts, now) = ([0, look * 30], at(look * 5));
            if is_due(Some(said), counts, now) {
                said = (counts, now);
                lines += 1;
            }
        }
        assert_eq!(lines, 3, "at 30, 90 and 210 partitions");
        assert!(!is_due(Some(([1, 9], start)), [1, 8], at(5)));
        assert!(
            is_due(Some(([1, 9], start)), [2, 8], at(5)),
            "one more is halted"
        );
        assert!(is_due(Some(([1, 9], start)), [1, 9], at(60)), "a reminder");
    }
}
