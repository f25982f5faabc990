//! Reads on one cluster what was written there and what came across, and checks each record as it passes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::ledger::{Faults, Ledger};
use super::record::Stamper;
use super::{TOPIC, clients};

/// The consumer group, on both clusters.
pub(crate) const GROUP: &str = "orders-readers";
/// Longest wait for a record before flags are looked at.
const POLL: Duration = Duration::from_millis(50);
/// Latencies above are counted as this. Unit: microseconds; an hour.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Precision of latencies: 0.1 %.
const DIGITS: u8 = 3;

/// One topic as the group on one cluster sees it. Shared with the reader's thread.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Its name where it is read.
    pub(crate) topic: String,
    /// Where its records were written first.
    pub(crate) origin: &'static str,
    seen: AtomicU64,
    /// Nanoseconds of the run, 0 for none yet.
    first_ns: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledgers: Vec<Ledger>,
    latency: Histogram<u64>,
}

/// From the producer's hands to the consumer's. Unit: microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) max_us: u64,
}

impl Reading {
    /// # Errors
    /// None that can happen: the histogram's bounds are constants.
    pub(crate) fn new(
        topic: String,
        origin: &'static str,
        partitions: i32,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            topic,
            origin,
            seen: AtomicU64::new(0),
            first_ns: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                ledgers: (0..partitions).map(|_| Ledger::default()).collect(),
                latency: Histogram::new_with_max(LATENCY_US_MAX, DIGITS)?,
            }),
        })
    }

    /// Different records of this run that were read.
    pub(crate) fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// When the first record was read, after the start of the run.
    pub(crate) fn first(&self) -> Option<Duration> {
        let nanos = self.first_ns.load(Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// Of all records but the first of each partition: those wait for the flow to start.
    pub(crate) fn latency(&self) -> Latency {
        let inner = self.lock();
        Latency {
            p50_us: inner.latency.value_at_quantile(0.5),
            p99_us: inner.latency.value_at_quantile(0.99),
            max_us: inner.latency.max(),
        }
    }

    /// Read so far and wrong already, whatever comes.
    pub(crate) fn faults_so_far(&self) -> Faults {
        let inner = self.lock();
        let mut sum = Faults::default();
        for ledger in &inner.ledgers {
            sum += ledger.faults(ledger.highest());
        }
        sum
    }

    /// What is wrong when as many records were written to each partition.
    pub(crate) fn faults(&self, written: &[u64]) -> Faults {
        let inner = self.lock();
        let mut sum = Faults::default();
        for (ledger, written) in inner.ledgers.iter().zip(written) {
            sum += ledger.faults(*written);
        }
        sum
    }

    /// The offset behind what was read of each partition.
    pub(crate) fn next_offsets(&self) -> Vec<i64> {
        let inner = self.lock();
        inner.ledgers.iter().map(Ledger::next_offset).collect()
    }

    fn take(&self, stamper: &Stamper, partition: i32, offset: i64, value: &[u8]) {
        let now_ns = stamper.now_ns();
        let stamp = stamper.read(value, self.origin);
        let mut inner = self.lock();
        let Inner { ledgers, latency } = &mut *inner;
        let ledger = usize::try_from(partition)
            .ok()
            .and_then(|index| ledgers.get_mut(index));
        let Some(ledger) = ledger else { return };
        let before = ledger.seen();
        if !ledger.take(offset, stamp.map(|stamp| stamp.sequence)) {
            return;
        }
        if ledger.seen() == before {
            return;
        }
        if let Some(stamp) = stamp.filter(|stamp| stamp.sequence > 0) {
            latency.saturating_record(now_ns.saturating_sub(stamp.sent_ns) / 1_000);
        }
        drop(inner);
        if self.seen.fetch_add(1, Relaxed) == 0 {
            self.first_ns.store(now_ns.max(1), Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The consumer group of one cluster, of one member; runs on a thread of its own.
pub(crate) struct Reader {
    pub(crate) alias: &'static str,
    pub(crate) bootstrap: String,
    pub(crate) stamper: Arc<Stamper>,
    /// What was written here, and what came across.
    pub(crate) readings: [Arc<Reading>; 2],
    pub(crate) stop: Arc<AtomicBool>,
}

impl Reader {
    /// Reads until told to stop, then leaves the group.
    ///
    /// # Errors
    /// The cluster refuses; a broker that is away is waited for.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let Self { alias, .. } = self;
        let consumer: BaseConsumer = clients::config(&self.bootstrap)
            .set("group.id", GROUP)
            .set("auto.offset.reset", "earliest")
            .set("auto.commit.interval.ms", "1000")
            .set("check.crcs", "true")
            .set("fetch.queue.backoff.ms", "5")
            // A new assignment waits for the fetch that is on its way.
            .set("fetch.wait.max.ms", "50")
            // The remote topic is not there yet: find it soon.
            .set("topic.metadata.refresh.interval.ms", "100")
            .create()
            .with_context(|| format!("cannot set up a consumer of {alias}"))?;
        let topics = self
            .readings
            .each_ref()
            .map(|reading| reading.topic.as_str());
        consumer
            .subscribe(&topics)
            .with_context(|| format!("cannot join group {GROUP} on {alias}"))?;
        while !self.stop.load(Relaxed) {
            match consumer.poll(POLL) {
                None => {}
                Some(Ok(record)) => {
                    let reading = self
                        .readings
                        .iter()
                        .find(|reading| reading.topic == record.topic());
                    if let Some(reading) = reading {
                        let value = record.payload().unwrap_or_default();
                        reading.take(&self.stamper, record.partition(), record.offset(), value);
                    }
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    return Err(error).with_context(|| format!("cannot read {TOPIC} on {alias}"));
                }
            }
        }
        Ok(())
    }
}

/// The client goes on by itself: a remote topic that is not there yet, a broker that is away.
fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::OperationTimedOut
                | Code::Resolve
        )
    )
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn records_are_checked_and_timed_as_they_pass() {
        let stamper = Stamper::new(5, Instant::now());
        let reading = Reading::new("east.orders".to_owned(), "east", 2).expect("constants");
        assert_eq!(reading.first(), None);
        let mut value = Vec::new();
        for (partition, offset, sequence) in [(0, 0, 0), (1, 0, 0), (0, 1, 1), (0, 1, 1), (0, 2, 1)]
        {
            stamper.write(&mut value, "east", sequence, 64);
            reading.take(&stamper, partition, offset, &value);
        }
        reading.take(&stamper, 1, 1, b"somebody else's");
        reading.take(&stamper, 9, 0, &value);
        assert_eq!(reading.seen(), 3);
        assert!(reading.first().is_some());
        let faults = reading.faults(&[2, 2]);
        let expected = Faults {
            lost: 1,
            doubled: 1,
            out_of_order: 0,
            foreign: 1,
        };
        assert_eq!(faults, expected);
        assert_eq!(
            reading.faults_so_far().lost,
            0,
            "what may still come is not lost"
        );
        assert_eq!(reading.next_offsets(), [3, 2]);
        assert!(reading.latency().max_us < 60_000_000);
    }
}
