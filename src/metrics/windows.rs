//! Rates and delays over the last 30 to 60 seconds, as Kafka's own (two samples of 30 s).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actors::{DelayWindow, FlowTotals, LatencyCounts, PartitionKey, PartitionSnapshot, Registry};

use crate::first_copy::FirstCopy;

/// Length of one sample, MM2's `metrics.sample.window.ms`.
const SAMPLE: Duration = Duration::from_secs(30);

/// The windows of all flows and partitions.
#[derive(Debug)]
pub(crate) struct Windows {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// When the sample before began, and the one that runs.
    began: [Instant; 2],
    partitions: HashMap<PartitionKey, Samples>,
    flows: HashMap<Arc<str>, FlowSamples>,
}

/// What was when either sample began, the older one first.
#[derive(Clone, Debug, Default)]
struct FlowSamples {
    records: [u64; 2],
    bytes: [u64; 2],
    advanced: [u64; 2],
    latencies: [LatencyCounts; 2],
    /// Of the sample before.
    stores: DelayWindow,
}

/// One flow over its window.
#[derive(Clone, Debug)]
pub(crate) struct FlowWindow {
    pub(crate) records_per_second: f64,
    pub(crate) bytes_per_second: f64,
    pub(crate) latencies: LatencyCounts,
    /// Storing positions.
    pub(crate) stores: DelayWindow,
    pub(crate) first_copy: FirstCopy,
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
            flows: HashMap::new(),
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
        let totals = registry.flow_totals().into_iter();
        let flows = totals.map(|(label, totals)| {
            let known = held.flows.remove(&label).unwrap_or_default();
            let ([_, records], [_, bytes]) = (known.records, known.bytes);
            let ([_, advanced], [_, latencies]) = (known.advanced, known.latencies);
            let figures = registry.flow(&label);
            let samples = FlowSamples {
                records: [records, totals.records],
                bytes: [bytes, totals.bytes],
                advanced: [advanced, totals.first_copy.advanced],
                latencies: [latencies, figures.latency.read()],
                stores: figures.stores.take(),
            };
            (label, samples)
        });
        held.flows = flows.collect();
    }

    /// The window of a flow.
    pub(crate) fn of_flow(
        &self,
        registry: &Registry,
        label: &Arc<str>,
        totals: &FlowTotals,
        now: Instant,
    ) -> FlowWindow {
        let figures = registry.flow(label);
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let none = FlowSamples::default();
        let then = held.flows.get(label).unwrap_or(&none);
        let rate = |count: u64, then: [u64; 2]| held.per_second(count, then, now);
        let per_second = rate(totals.first_copy.advanced, then.advanced);
        FlowWindow {
            records_per_second: rate(totals.records, then.records),
            bytes_per_second: rate(totals.bytes, then.bytes),
            latencies: figures.latency.read().since(&then.latencies[0]),
            stores: figures.stores.read().with(then.stores),
            first_copy: FirstCopy::new(totals.first_copy, totals.unseen, per_second),
        }
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
        Window {
            records_per_second: self.per_second(at.records, samples.records, now),
            bytes_per_second: self.per_second(at.bytes, samples.bytes, now),
            age: at.age.with(samples.age),
            latency: at.latency.with(samples.latency),
        }
    }

    /// Since the older sample began. What has left takes its counts along.
    fn per_second(&self, count: u64, [then, _]: [u64; 2], now: Instant) -> f64 {
        let seconds = now.duration_since(self.began[0]).as_secs_f64().max(1.0);
        count.saturating_sub(then) as f64 / seconds
    }
}
