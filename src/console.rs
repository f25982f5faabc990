//! The summary line per flow that a person at a terminal sees.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actors::{FlowTotals, PartitionState, Worker};

/// Time between two summaries.
pub(crate) const SUMMARY_INTERVAL: Duration = Duration::from_secs(5);

/// What the last summary saw, for rates.
#[derive(Default)]
pub(crate) struct Summary {
    last: HashMap<Arc<str>, (Instant, u64, u64)>,
}

impl Summary {
    /// One line per flow: what it is doing, records and MB per second since the last call, lag.
    pub(crate) fn lines(&mut self, worker: &Worker, now: Instant) -> Vec<String> {
        let totals = worker.registry().flow_totals();
        let mut lines = Vec::new();
        for flow in worker
            .flows()
            .iter()
            .filter(|flow| flow.config.replication_enabled)
        {
            let none = FlowTotals::default();
            let total = totals.get(&flow.label).unwrap_or(&none);
            let last = self
                .last
                .insert(flow.label.clone(), (now, total.records, total.bytes));
            let rates = last.map(|(then, records, bytes)| {
                let seconds = now.duration_since(then).as_secs_f64().max(0.001);
                (
                    per_second(total.records - records, seconds),
                    per_second(total.bytes - bytes, seconds),
                )
            });
            let (records, bytes) = rates.unwrap_or_default();
            lines.push(format!(
                "{}  {} records  {records:.0}/s  {:.1} MB/s  lag {}  {}",
                flow.label,
                total.records,
                bytes / 1e6,
                total.lag_records,
                flow.trouble()
                    .map_or_else(|| states(total), |trouble| format!("waiting: {trouble}")),
            ));
        }
        lines
    }
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
