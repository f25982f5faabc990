//! Latencies of a flow: quantiles for people, buckets for Prometheus.

use actors::LatencyCounts;
use hdrhistogram::Histogram;

/// Upper bounds of the buckets. Unit: seconds.
pub(super) const BOUNDS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 3_600.0, 86_400.0,
];

/// Two digits, as exact as what was counted.
const DIGITS: u8 = 2;
/// It grows to what it is given.
const HIGHEST_AT_FIRST: u64 = 60_000;

/// Quantiles of latencies, by batch. Unit: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// None without any.
pub(crate) fn quantiles(counts: &LatencyCounts) -> Option<Quantiles> {
    let mut histogram: Histogram<u64> = Histogram::new_with_max(HIGHEST_AT_FIRST, DIGITS).ok()?;
    histogram.auto(true);
    for (ms, count) in counts.buckets() {
        histogram.record_n(ms, count).ok()?;
    }
    (!histogram.is_empty()).then(|| Quantiles {
        p50: histogram.value_at_quantile(0.5),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    })
}

/// For each of [`BOUNDS`], how many are not greater. A count that lies across a bound is above it.
pub(super) fn cumulated(counts: &LatencyCounts) -> [u64; BOUNDS.len()] {
    BOUNDS.map(|bound| {
        let within = counts
            .buckets()
            .take_while(|(ms, _)| *ms as f64 <= bound * 1e3);
        within.map(|(_, count)| count).sum()
    })
}
