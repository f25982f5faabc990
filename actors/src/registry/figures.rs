//! What is measured of a flow as a whole.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Delay;

/// Figures of one flow. They begin with the flow.
#[derive(Debug, Default)]
pub struct FlowFigures {
    /// How old each batch's newest record was when the target acknowledged the batch.
    pub latency: Latencies,
    /// What it took to store positions.
    pub stores: Delay,
}

/// Up to here each millisecond has a bucket of its own; from here on each power of two has half as many, as in an
/// HdrHistogram: a value is known to 1/64, which is 1.6 %.
const EXACT: usize = 128;
const EXACT_BITS: u32 = EXACT.ilog2();
const HALF: usize = EXACT / 2;
/// 49 days. What is older is counted as that old.
const MS_MAX: u64 = (1 << 32) - 1;
const BUCKETS: usize = EXACT + (32 - EXACT_BITS as usize) * HALF;

/// Counts of latencies in fixed buckets, 14 KB: noting one is an addition without a lock.
#[derive(Debug)]
pub struct Latencies {
    counts: Box<[AtomicU64]>,
    sum_ms: AtomicU64,
}

/// [`Latencies`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyCounts {
    counts: Box<[u64]>,
    sum_ms: u64,
}

fn bucket(ms: u64) -> usize {
    let ms = ms.min(MS_MAX);
    let shift = (ms | (EXACT as u64 - 1)).ilog2() + 1 - EXACT_BITS;
    // The greatest is 25 powers of two times 64, and 127.
    usize::try_from(ms >> shift).unwrap_or(0) + shift as usize * HALF
}

/// The greatest value of a bucket.
fn highest(bucket: usize) -> u64 {
    if bucket < EXACT {
        return bucket as u64;
    }
    let shift = (bucket - EXACT) / HALF + 1;
    let place = bucket - shift * HALF;
    ((place as u64 + 1) << shift) - 1
}

// === impl Latencies ===

impl Default for Latencies {
    fn default() -> Self {
        Self {
            counts: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_ms: AtomicU64::new(0),
        }
    }
}

impl Latencies {
    /// Counts one. Unit: milliseconds; less than none, by clocks that differ, counts as none.
    pub(crate) fn record(&self, ms: i64) {
        let ms = u64::try_from(ms).unwrap_or(0);
        if let Some(count) = self.counts.get(bucket(ms)) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_ms.fetch_add(ms.min(MS_MAX), Relaxed);
    }

    /// All of them so far.
    pub fn read(&self) -> LatencyCounts {
        LatencyCounts {
            counts: self
                .counts
                .iter()
                .map(|count| count.load(Relaxed))
                .collect(),
            sum_ms: self.sum_ms.load(Relaxed),
        }
    }
}

// === impl LatencyCounts ===

impl Default for LatencyCounts {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS].into(),
            sum_ms: 0,
        }
    }
}

impl LatencyCounts {
    /// Those that are not in `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.counts.iter().zip(&earlier.counts);
        Self {
            counts: counts
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
            sum_ms: self.sum_ms.saturating_sub(earlier.sum_ms),
        }
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum. Unit: milliseconds.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// Buckets that hold any, from the shortest on: the greatest value that belongs there, in milliseconds, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> {
        let all = self.counts.iter().enumerate();
        all.filter(|(_, count)| **count > 0)
            .map(|(place, count)| (highest(place), *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_and_are_narrow() {
        let mut last = None;
        for place in 0..BUCKETS {
            let (lowest, highest) = (last.map_or(0, |last| last + 1), highest(place));
            assert_eq!((bucket(lowest), bucket(highest)), (place, place));
            assert!((highest - lowest) * 64 <= lowest, "{lowest} to {highest}");
            last = Some(highest);
        }
        assert_eq!(last, Some(MS_MAX));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_came_since_is_told_apart() {
        let latencies = Latencies::default();
        for ms in [-3, 0, 7, 7, 90_000] {
            latencies.record(ms);
        }
        let earlier = latencies.read();
        assert_eq!((earlier.count(), earlier.sum_ms()), (5, 90_014));
        latencies.record(7);
        latencies.record(i64::MAX);
        let since = latencies.read().since(&earlier);
        assert_eq!(since.buckets().collect::<Vec<_>>(), [(7, 1), (MS_MAX, 1)]);
        assert_eq!(LatencyCounts::default().since(&since).count(), 0);
    }
}
