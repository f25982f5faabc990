//! Rates and delays over the last 30 to 60 seconds, as Kafka's own (two samples of 30 s).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::{DelayWindow, PartitionKey, PartitionSnapshot, Registry};

/// Length of one sample, MM2's `metrics.sample.window.ms`.
const SAMPLE: Duration = Duration::from_secs(30);

/// The windows of all partitions.
#[derive(Debug)]
pub(crate) struct Windows {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// When the sample before began, and the one that runs.
    began: [Instant; 2],
    partitions: HashMap<PartitionKey, Samples>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Samples {
    /// Records and bytes when either sample began.
    records: [u64; 2],
    bytes: [u64; 2],
    /// Delays of the sample before.
    age: DelayWindow,
    latency: DelayWindow,
}

/// One partition over its window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Window {
    pub(crate) records_per_second: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) age: DelayWindow,
    pub(crate) latency: DelayWindow,
}

impl Windows {
    /// They begin at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        let held = Held {
            began: [now; 2],
            partitions: HashMap::new(),
        };
        Self {
            held: Mutex::new(held),
        }
    }

    /// Begins a new sample if one is over. Call often.
    pub(crate) fn pass(&self, registry: &Registry, now: Instant) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let [_, current] = held.began;
        if now.duration_since(current) < SAMPLE {
            return;
        }
        held.began = [current, now];
        let mut partitions = HashMap::with_capacity(held.partitions.len());
        registry.for_each(|status| {
            let (records, bytes) = status.counted();
            let known = held
                .partitions
                .get(status.key())
                .copied()
                .unwrap_or_default();
            let (age, latency) = status.take_delays();
            let samples = Samples {
                records: [known.records[1], records],
                bytes: [known.bytes[1], bytes],
                age,
                latency,
            };
            partitions.insert(status.key().clone(), samples);
        });
        held.partitions = partitions;
    }

    /// The window of a partition.
    pub(crate) fn of(&self, at: &PartitionSnapshot, now: Instant) -> Window {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.of(at, now)
    }

    /// The windows of many.
    pub(crate) fn of_all(&self, all: &[PartitionSnapshot], now: Instant) -> Vec<Window> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|at| held.of(at, now)).collect()
    }
}

impl Held {
    fn of(&self, at: &PartitionSnapshot, now: Instant) -> Window {
        let samples = self.partitions.get(&at.key).copied().unwrap_or_default();
        let seconds = now.duration_since(self.began[0]).as_secs_f64().max(1.0);
        let per_second = |count: u64, then: u64| count.saturating_sub(then) as f64 / seconds;
        Window {
            records_per_second: per_second(at.records, samples.records[0]),
            bytes_per_second: per_second(at.bytes, samples.bytes[0]),
            age: at.age.with(samples.age),
            latency: at.latency.with(samples.latency),
        }
    }
}
