//! Writes one cluster's records at a steady rate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::reader::Reading;
use super::record::Stamper;
use super::{TOPIC, clients};

/// Time between two bursts. Shorter than the linger, so that bursts do not show in the latency.
const BURST_INTERVAL: Duration = Duration::from_millis(1);
/// Bytes that may be written and not read on both sides yet; beyond, the writer waits. Far below what retention keeps, so
/// that a slow reader loses nothing.
pub(crate) const BACKLOG_BYTES_MAX: usize = 16 << 20;
/// How long the last records may take to be acknowledged.
const FLUSH_PATIENCE: Duration = Duration::from_secs(20);

/// What a writer is told and what it tells. Shared with its thread.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Lets the steady stream begin. Before, there is one record per partition: what the first crossing takes is measured
    /// with it, and stays out of the latencies.
    pub(crate) go: AtomicBool,
    /// Ends the stream.
    pub(crate) stop: AtomicBool,
    /// Records acknowledged by the cluster.
    acknowledged: AtomicU64,
    refused: Mutex<Option<KafkaError>>,
}

impl Stream {
    /// Records acknowledged by the cluster.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    fn refusal(&self) -> Option<KafkaError> {
        self.refused
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What to write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Unit: records per second.
    pub(crate) rate: u32,
    /// Unit: bytes of a record's value.
    pub(crate) record_bytes: usize,
    pub(crate) partitions: i32,
}

impl Load {
    /// Records that may be written and not read yet.
    fn backlog_max(&self) -> u64 {
        u64::try_from(BACKLOG_BYTES_MAX / self.record_bytes.max(1)).map_or(1, |most| most.max(1))
    }
}

/// Counts what the cluster acknowledges.
struct Acknowledgements(Arc<Stream>);

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => _ = self.0.acknowledged.fetch_add(1, Relaxed),
            Err((error, _)) => {
                let mut refused = self
                    .0
                    .refused
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                refused.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// A cluster's writer; runs on a thread of its own.
pub(crate) struct Writer {
    pub(crate) alias: &'static str,
    pub(crate) bootstrap: String,
    pub(crate) load: Load,
    pub(crate) stamper: Arc<Stamper>,
    pub(crate) stream: Arc<Stream>,
    /// Those who read what is written here, on this side and on the other.
    pub(crate) readings: [Arc<Reading>; 2],
}

impl Writer {
    /// Writes until told to stop, and until everything is acknowledged. Gives the number of records per partition: their
    /// sequences are 0 up to this.
    ///
    /// # Errors
    /// The cluster refuses a record, or acknowledges too late.
    pub(crate) fn run(self) -> anyhow::Result<Vec<u64>> {
        let Self { alias, stream, .. } = &self;
        let producer: BaseProducer<_> = clients::config(&self.bootstrap)
            .set("enable.idempotence", "true")
            .set("compression.codec", "lz4")
            .set("linger.ms", "2")
            .create_with_context(Acknowledgements(stream.clone()))
            .with_context(|| format!("cannot set up a producer of {alias}"))?;
        let mut lines = Lines {
            writer: &self,
            producer: &producer,
            next: vec![0; usize::try_from(self.load.partitions).unwrap_or(0)],
            value: Vec::with_capacity(self.load.record_bytes),
        };
        for partition in 0..self.load.partitions {
            lines.write(partition)?;
        }
        while !stream.go.load(Relaxed) && !stream.stop.load(Relaxed) {
            producer.poll(BURST_INTERVAL);
        }
        let hellos = u64::try_from(self.load.partitions).unwrap_or(0);
        let (mut started, mut sent) = (Instant::now(), 0_u64);
        while !stream.stop.load(Relaxed) {
            if let Some(error) = stream.refusal() {
                return Err(error).with_context(|| format!("{alias} refuses a record"));
            }
            let read = self.readings.iter().map(|reading| reading.seen()).min();
            let room = self
                .load
                .backlog_max()
                .saturating_sub((hellos + sent).saturating_sub(read.unwrap_or(0)));
            let due = due(self.load.rate, started.elapsed()).saturating_sub(sent);
            if due > room {
                // What could not be written is not made up for later.
                started = Instant::now() - time_for(self.load.rate, sent + room);
            }
            for _ in 0..due.min(room) {
                let partition = sent % hellos.max(1);
                lines.write(i32::try_from(partition).unwrap_or(0))?;
                sent += 1;
            }
            producer.poll(BURST_INTERVAL); // takes all that time
        }
        producer
            .flush(FLUSH_PATIENCE)
            .with_context(|| format!("{alias} does not acknowledge the last records"))?;
        match stream.refusal() {
            Some(error) => Err(error).with_context(|| format!("{alias} refuses a record")),
            None => Ok(lines.next),
        }
    }
}

/// Records that are due after `elapsed`.
fn due(rate: u32, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(rate) * elapsed.as_micros() / 1_000_000).unwrap_or(u64::MAX)
}

/// When as many records are due.
fn time_for(rate: u32, records: u64) -> Duration {
    let micros = u128::from(records) * 1_000_000 / u128::from(rate.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

/// The partitions' lines of records.
struct Lines<'a> {
    writer: &'a Writer,
    producer: &'a BaseProducer<Acknowledgements>,
    next: Vec<u64>,
    value: Vec<u8>,
}

impl Lines<'_> {
    fn write(&mut self, partition: i32) -> anyhow::Result<()> {
        let Writer {
            alias,
            load,
            stamper,
            stream,
            ..
        } = self.writer;
        let next = usize::try_from(partition)
            .ok()
            .and_then(|index| self.next.get_mut(index));
        let Some(next) = next else {
            bail!("{alias} has no partition {partition}");
        };
        stamper.write(&mut self.value, alias, *next, load.record_bytes);
        loop {
            let record = BaseRecord::<(), _>::to(TOPIC)
                .partition(partition)
                .payload(self.value.as_slice());
            match self.producer.send(record) {
                Ok(()) => {
                    *next += 1;
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.producer.poll(BURST_INTERVAL);
                    if let Some(error) = stream.refusal() {
                        return Err(error).with_context(|| format!("{alias} refuses a record"));
                    }
                }
                Err((error, _)) => {
                    return Err(error).with_context(|| format!("cannot write to {alias}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_any_time() {
        let second = Duration::from_secs(1);
        assert_eq!(
            (due(10_000, second), due(10_000, second / 1000)),
            (10_000, 10)
        );
        assert_eq!(due(3, second * 100_000), 300_000);
        for records in [0, 1, 7, 10_000_000] {
            let at = time_for(5_000, records);
            assert_eq!(due(5_000, at), records);
        }
    }

    #[test]
    fn a_backlog_is_never_nothing() {
        let load = |record_bytes| Load {
            rate: 1,
            record_bytes,
            partitions: 1,
        };
        assert_eq!(load(1 << 10).backlog_max(), 16_384);
        assert_eq!(load(1 << 30).backlog_max(), 1);
    }
}
