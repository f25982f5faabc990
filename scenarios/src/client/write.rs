//! Writing records: options, plain writes and transactions.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rdkafka::producer::{BaseProducer, Producer};

use super::record::TestRecord;
use super::{KafkaClient, config};
use crate::Error;
use crate::error::refused;

mod delivery;

use delivery::{DELIVERY_PATIENCE, Deliveries, write};

/// The producers that a client keeps, by what they were made for.
pub(super) type Producers = Mutex<HashMap<WriteOptions, BaseProducer<Deliveries>>>;

/// Compression of record batches (`compression.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Codec {
    /// Every codec, uncompressed first.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// How records are put into batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WriteOptions {
    /// Compression. Default: none.
    pub codec: Codec,
    /// Most records in a batch, at least 1. Default: 10,000, librdkafka's own.
    pub batch_records_max: u32,
    /// How long a batch waits for more records. Unit: milliseconds. Default: 5.
    pub linger_ms: u32,
    /// Producer id and sequence numbers in the batches (`enable.idempotence`). Default: true, as in Java.
    pub idempotent: bool,
    /// How long one answer is waited for, before it is asked again: a frozen broker holds up everything else that is written at
    /// once for as long (`socket.timeout.ms`, `api.version.request.timeout.ms`). Unit: milliseconds. Default: 10,000.
    pub answer_timeout_ms: u32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            codec: Codec::None,
            batch_records_max: 10_000,
            linger_ms: 5,
            idempotent: true,
            answer_timeout_ms: 10_000,
        }
    }
}

impl KafkaClient {
    /// Writes the records with the default options; returns when all are acknowledged by all replicas.
    ///
    /// # Errors
    /// As [`KafkaClient::produce_with`].
    pub fn produce(&self, topic: &str, records: &[TestRecord]) -> Result<(), Error> {
        self.produce_with(topic, records, WriteOptions::default())
    }

    /// Writes the records, in order per partition; returns when all are acknowledged by all replicas.
    ///
    /// After a topic was deleted and created again by somebody else, use a new client: this one keeps
    /// its producer id and sequence numbers.
    ///
    /// # Errors
    /// [`Error::Kafka`] with the first failed delivery; [`Error::Impossible`] for a record that librdkafka
    /// would write differently (see [`crate::client`]), before anything is sent.
    pub fn produce_with(
        &self,
        topic: &str,
        records: &[TestRecord],
        options: WriteOptions,
    ) -> Result<(), Error> {
        // A producer id takes a second to get, so one producer of each kind is kept. A producer that has
        // failed is not: its sequence numbers may have a gap.
        let kept = self
            .producers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&options);
        let producer = kept.map_or_else(|| self.producer(options, &[]), Ok)?;
        write(&producer, topic, records)?;
        self.producers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(options, producer);
        Ok(())
    }

    /// Lets go of kept producers: a topic created anew does not know their sequence numbers.
    pub(super) fn forget_producers(&self) {
        self.producers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// A writer of transactions. Fences any earlier writer with the same `transactional_id`.
    ///
    /// # Errors
    /// [`Error::Kafka`] if the coordinator does not answer.
    pub fn transactional(&self, transactional_id: &str) -> Result<TransactionalWriter, Error> {
        let extra = [("transactional.id", transactional_id)];
        let producer = self.producer(WriteOptions::default(), &extra)?;
        producer
            .init_transactions(DELIVERY_PATIENCE)
            .map_err(refused("start transactions"))?;
        Ok(TransactionalWriter { producer })
    }

    fn producer(
        &self,
        options: WriteOptions,
        extra: &[(&str, &str)],
    ) -> Result<BaseProducer<Deliveries>, Error> {
        let mut config = config(&self.bootstrap);
        config
            .set("acks", "all")
            .set("compression.type", options.codec.name());
        config.set(
            "batch.num.messages",
            options.batch_records_max.max(1).to_string(),
        );
        config.set("linger.ms", options.linger_ms.to_string());
        config.set("enable.idempotence", options.idempotent.to_string());
        for wait in ["socket.timeout.ms", "api.version.request.timeout.ms"] {
            config.set(wait, options.answer_timeout_ms.to_string());
        }
        // A missing topic is an error soon, not after 30 s: it is created before it is written to.
        config.set("topic.metadata.propagation.max.ms", "5000");
        for (key, value) in extra {
            config.set(*key, *value);
        }
        let producer = config.create_with_context(Deliveries::default());
        producer.map_err(refused(format!("set up a producer of {}", self.bootstrap)))
    }
}

/// Writes transactions, one at a time. Dropped in the middle of one, it leaves it open until the broker's
/// timeout: what a crashed producer does.
pub struct TransactionalWriter {
    producer: BaseProducer<Deliveries>,
}

impl TransactionalWriter {
    /// Begins a transaction.
    ///
    /// # Errors
    /// [`Error::Kafka`] if one is open or the writer was fenced.
    pub fn begin(&self) -> Result<(), Error> {
        self.producer
            .begin_transaction()
            .map_err(refused("begin a transaction"))
    }

    /// Writes records in the open transaction; returns when all are stored.
    ///
    /// # Errors
    /// As [`KafkaClient::produce_with`].
    pub fn produce(&self, topic: &str, records: &[TestRecord]) -> Result<(), Error> {
        write(&self.producer, topic, records)
    }

    /// Commits.
    ///
    /// # Errors
    /// [`Error::Kafka`] if the coordinator refuses.
    pub fn commit(&self) -> Result<(), Error> {
        self.producer
            .commit_transaction(DELIVERY_PATIENCE)
            .map_err(refused("commit"))
    }

    /// Aborts: the records stay in the log, and `read_committed` readers never see them.
    ///
    /// # Errors
    /// [`Error::Kafka`] if the coordinator refuses.
    pub fn abort(&self) -> Result<(), Error> {
        self.producer
            .abort_transaction(DELIVERY_PATIENCE)
            .map_err(refused("abort"))
    }
}
