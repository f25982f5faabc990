//! Sending records and checking that each was stored.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};

use crate::Error;
use crate::client::record::TestRecord;
use crate::error::refused;

/// How long all records of one call may take to be acknowledged.
pub(super) const DELIVERY_PATIENCE: Duration = Duration::from_secs(120);

/// How long to wait for room when librdkafka's queue is full, before trying again.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(50);

/// Longest wait for one round of delivery reports.
const REPORT_WAIT: Duration = Duration::from_millis(10);

/// Counts the deliveries of one producer.
#[derive(Default)]
pub(crate) struct Deliveries {
    stored: AtomicUsize,
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.stored.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert_with(|| error.clone());
            }
        }
    }
}

/// Sends all records and waits until every one is reported as stored.
pub(super) fn write(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    records: &[TestRecord],
) -> Result<(), Error> {
    if let Some(record) = records.iter().find(|record| record.timestamp_ms <= 0) {
        return Err(Error::Impossible(format!(
            "librdkafka cannot write this timestamp: {record:?}"
        )));
    }
    let what = || refused(format!("write {} records to topic {topic}", records.len()));
    let deliveries = producer.context();
    let before = deliveries.stored.load(Ordering::Relaxed);
    for record in records {
        let mut message = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(record.partition)
            .timestamp(record.timestamp_ms)
            .headers(headers(record));
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        loop {
            match producer.send(message) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                    message = refused;
                    producer.poll(FULL_QUEUE_WAIT);
                }
                Err((error, _)) => return Err(what()(error)),
            }
        }
    }
    let end = Instant::now() + DELIVERY_PATIENCE;
    while producer.in_flight_count() > 0 {
        // Not `flush`, which looks once in 100 ms only.
        producer.poll(REPORT_WAIT);
        if Instant::now() >= end {
            return Err(what()(KafkaError::Flush(
                RDKafkaErrorCode::OperationTimedOut,
            )));
        }
    }
    let failed = deliveries
        .failed
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(error) = failed {
        return Err(what()(error));
    }
    let stored = deliveries.stored.load(Ordering::Relaxed) - before;
    if stored == records.len() {
        return Ok(());
    }
    Err(Error::Differs(format!(
        "{stored} of {} records reported as stored",
        records.len()
    )))
}

fn headers(record: &TestRecord) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(record.headers.len());
    record.headers.iter().fold(empty, |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: value.as_deref(),
        })
    })
}
