//! `/metrics` in Prometheus' text format: our own names, and those of MirrorMaker 2 behind the JMX exporter that Strimzi's
//! dashboard and alerts ask for (docs/spec/metrics.md 2 to 4).
//!
//! Everything is read when it is asked for, from what actors publish: the hot path knows nothing of it.

mod latency;
mod mm2;
mod native;
mod process;
mod table;
mod text;
mod windows;

use std::sync::Arc;
use std::time::Instant;

use actors::{Flow, FlowTotals, PartitionSnapshot, Registry};

use crate::rest::ConnectorView;
pub(crate) use latency::quantiles;
use text::Text;
pub(crate) use windows::{FlowWindow, Window, Windows};

/// With more partitions, series of single partitions are left out: a scrape has to stay within what Prometheus takes.
pub(crate) const PARTITIONS_MAX: usize = 20_000;

/// The same for groups' partitions, of which each has four series.
pub(crate) const GROUP_PARTITIONS_MAX: usize = 10_000;

/// What a scrape looks at.
pub(crate) struct Scrape<'a> {
    pub(crate) flows: &'a [Arc<Flow>],
    pub(crate) connectors: &'a [ConnectorView],
    pub(crate) registry: &'a Registry,
    pub(crate) windows: &'a Windows,
    pub(crate) started: Instant,
}

/// A partition with what is shown of it.
struct Seen {
    at: PartitionSnapshot,
    window: Window,
}

/// A flow with what is shown of it.
struct SeenFlow<'a> {
    flow: &'a Flow,
    totals: FlowTotals,
    window: FlowWindow,
}

/// The whole answer.
pub(crate) fn render(scrape: &Scrape<'_>) -> String {
    let now = Instant::now();
    let all = scrape.registry.snapshots();
    let left_out = if all.len() > PARTITIONS_MAX {
        all.len()
    } else {
        0
    };
    let windows = scrape.windows.of_all(&all, now);
    let seen: Vec<Seen> = (all.into_iter().zip(windows))
        .map(|(at, window)| Seen { at, window })
        .collect();
    let mut totals = scrape.registry.flow_totals();
    let flows: Vec<_> = (scrape.flows.iter())
        .map(|flow| {
            let totals = totals.remove(&flow.label).unwrap_or_default();
            let window = (scrape.windows).of_flow(scrape.registry, &flow.label, &totals, now);
            SeenFlow {
                flow,
                totals,
                window,
            }
        })
        .collect();
    let mut text = Text::default();
    native::write(&mut text, scrape, &flows, &seen, left_out);
    process::write(&mut text);
    mm2::write(&mut text, scrape, &flows, &seen, left_out);
    text.into_string()
}

#[cfg(test)]
mod tests;
