//! One partition's log: what a broker 4.3.1 does with a batch, without disk, clock or network.
//!
//! The rules are the broker's own (`docs/spec/batches.md` 1, `docs/spec/real-kafka.md` 2 to 5). All
//! is synchronous, time is passed in, and nothing that a client can send panics.
//!
//! - [`append`]: a produced batch, from the bytes to the log; [`validate`] judges the bytes,
//!   [`producers`] the sequence, epoch and transaction.
//! - [`read`]: fetches, and offsets by timestamp.
//! - [`retain`]: retention, DeleteRecords, truncation; [`clean`]: what the log cleaner leaves.
//!
//! Known differences: a batch of the cluster's own and a marker keep their create time on a
//! LogAppendTime topic, and the cleaner's map of keys has no bound (`log.cleaner.dedupe.buffer.size`).

mod append;
mod assemble;
mod clean;
mod epochs;
mod producers;
mod read;
mod retain;
mod segment;
mod settings;
#[cfg(test)]
mod tests;
mod validate;
mod walk;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

use epochs::Epochs;
use producers::Producers;
use segment::{Roll, Segment};

pub(crate) use producers::ProducerView;
#[cfg(test)]
pub(crate) use read::Slice;
pub(crate) use read::{Isolation, ReadError};
pub(crate) use settings::LogSettings;

/// A Produce request's part for one partition, and what of the broker's state decides about it.
pub(crate) struct Append<'a> {
    /// The records field; `None` if the request has null there.
    pub records: Option<Bytes>,
    /// Version of the Produce request.
    pub version: i16,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// Epoch of the leader that appends.
    pub leader_epoch: i32,
    /// Name of the topic: it stands in messages, and internal topics are refused (row 27).
    pub topic: &'a str,
    /// Number of the partition, for messages.
    pub partition: i32,
    /// The topic's configuration.
    pub settings: &'a LogSettings,
    /// The client id is `__admin_client`, which may write to internal topics (row 27).
    pub internal_client: bool,
    /// The partition is part of the producer's ongoing transaction, as the coordinator says. Only
    /// looked at for transactional batches that do not continue a transaction of this log.
    pub transaction_verified: bool,
}

/// A batch that is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// Offset of its first record; of the first time, for a duplicate.
    pub base_offset: i64,
    /// Offset of its last record.
    pub last_offset: i64,
    /// The time that the broker stamped on a LogAppendTime topic, the batch's max timestamp for a
    /// duplicate, else -1.
    pub log_append_time_ms: i64,
    /// Start of the log.
    pub log_start_offset: i64,
    /// The batch was in the log already and was not stored again.
    pub duplicate: bool,
}

/// Whom a refusal concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The partition gets the error.
    Partition,
    /// Every partition of the request gets the error and nothing is stored: the broker stumbles over
    /// the bytes before it looks at partitions. Ask [`Log::inspect`] for all of them first.
    Request,
    /// The broker never answers the request (null records).
    NoAnswer,
}

/// Why a batch is not in the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    /// The code.
    pub error: ResponseError,
    /// error_message, for Produce v8 and above; mostly null on a real broker.
    pub message: Option<String>,
    /// (index in the batch, message), for Produce v8 and above.
    pub record_errors: Vec<(i32, Option<String>)>,
    /// Whom it concerns.
    pub scope: Scope,
    /// Where the log begins, for Produce v5 and above; -1 where a broker does not tell.
    pub log_start_offset: i64,
}

impl Refused {
    /// A code and nothing else.
    fn bare(error: ResponseError) -> Self {
        Self {
            error,
            message: None,
            record_errors: Vec::new(),
            scope: Scope::Partition,
            log_start_offset: -1,
        }
    }
}

/// What of a batch the broker wants to know before any log is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inspected {
    /// The transactional bit of the first batch: without a transactional id in the request the whole
    /// request is TRANSACTIONAL_ID_AUTHORIZATION_FAILED (row 13).
    pub transactional: bool,
    /// Its producer id, or -1.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// Its base sequence, or -1.
    pub base_sequence: i32,
}

/// The log of one partition. Empty it owns no heap memory.
///
/// Invariants: `start <= end`; batches are ordered and do not overlap, but for the damage that a
/// real broker accepts too (row 10b); segments are ordered, and only the last one grows.
#[derive(Debug, Default)]
pub(crate) struct Log {
    segments: Vec<Segment>,
    start_offset: i64,
    end_offset: i64,
    held_high_watermark: Option<i64>,
    epochs: Epochs,
    producers: Producers,
    roll: Roll,
    /// `message.timestamp.type`, as it was seen last.
    log_append_time: bool,
    /// Below it, the cleaner has been.
    first_dirty_offset: i64,
}

impl Log {
    /// An empty log that starts at offset 0.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The first offset that clients may read.
    pub(crate) fn start_offset(&self) -> i64 {
        self.start_offset
    }

    /// The offset of the next record.
    pub(crate) fn end_offset(&self) -> i64 {
        self.end_offset
    }

    /// Consumers read below it: the end, unless held.
    pub(crate) fn high_watermark(&self) -> i64 {
        let held = self.held_high_watermark.unwrap_or(i64::MAX);
        held.clamp(self.start_offset, self.end_offset)
    }

    /// read_committed consumers read below it: the first record of a transaction that is open, or
    /// whose end is not replicated, at most the high watermark. If clients have deleted that record,
    /// it is the batch at the start of the log, which may begin below the start.
    pub(crate) fn last_stable_offset(&self) -> i64 {
        let high_watermark = self.high_watermark();
        match self.producers.first_unstable_offset(high_watermark) {
            Some(offset) if offset < self.start_offset => self.batch_at(self.start_offset),
            Some(offset) => offset.min(high_watermark),
            None => high_watermark,
        }
    }

    /// Holds the high watermark at an offset, as an in-sync follower that does not fetch; `None`
    /// lets it follow the end.
    pub(crate) fn hold_high_watermark(&mut self, at: Option<i64>) {
        self.held_high_watermark = at;
        self.producers.replicated_to(at.unwrap_or(i64::MAX));
    }

    /// The leader epoch of the record at `offset`, -1 if the log knows none.
    pub(crate) fn epoch_at(&self, offset: i64) -> i32 {
        self.epochs.at(offset)
    }

    /// The latest epoch that this log has seen.
    pub(crate) fn latest_epoch(&self) -> Option<i32> {
        self.epochs.latest()
    }

    /// OffsetForLeaderEpoch: the largest known epoch up to `epoch`, and where it ends; -1 and -1 if
    /// there is none. `current_epoch` is the partition's, which ends where the log does.
    pub(crate) fn end_of_epoch(&self, epoch: i32, current_epoch: i32) -> (i32, i64) {
        self.epochs.end_of(epoch, current_epoch, self.end_offset)
    }

    /// Fetch v12: where a reader that has read up to `offset` under `last_fetched_epoch` left this
    /// log's history, as (epoch, end offset); `None` if it did not.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] for an epoch that this log has not reached, and for an offset below
    /// its start.
    pub(crate) fn diverging(
        &self,
        offset: i64,
        last_fetched_epoch: i32,
        current_epoch: i32,
    ) -> Result<Option<(i32, i64)>, ReadError> {
        let (epoch, end) = self.end_of_epoch(last_fetched_epoch, current_epoch);
        if epoch < 0 || end < 0 || offset < self.start_offset {
            return Err(ReadError::OutOfRange);
        }
        Ok((epoch < last_fetched_epoch || end < offset).then_some((epoch, end)))
    }

    /// A leader takes over: its epoch starts at the end of the log.
    pub(crate) fn begin_epoch(&mut self, epoch: i32) {
        self.epochs.assign(epoch, self.end_offset);
    }

    /// Closes the active segment: the next batch starts a new one.
    pub(crate) fn roll(&mut self) {
        if self.segments.last().is_some_and(|s| !s.is_empty()) {
            self.segments.push(Segment::new(self.end_offset));
        }
    }

    /// What a restarted broker forgets: all but the last batch of each producer, and the producers
    /// whose last *record timestamp* is `producer_expiration_ms` old.
    pub(crate) fn restart(&mut self, now_ms: i64, producer_expiration_ms: i64) {
        self.producers.forget_all_but_last();
        self.expire_producers(now_ms, producer_expiration_ms);
    }

    /// Forgets producers without an open transaction that have not written for `expiration_ms`
    /// (`producer.id.expiration.ms`), by the timestamps of their records.
    pub(crate) fn expire_producers(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.expire(now_ms, expiration_ms);
    }

    /// DescribeProducers: every producer that the log knows, by id.
    pub(crate) fn producers(&self) -> Vec<ProducerView> {
        self.producers.views()
    }

    /// The producer has written to this partition in a transaction that is still open.
    pub(crate) fn has_open_transaction(&self, producer_id: i64, epoch: i16) -> bool {
        self.producers.has_open_transaction(producer_id, epoch)
    }

    /// Size of all batches, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum()
    }

    /// Every stored batch in order, also those that start below [`Self::start_offset`].
    pub(crate) fn batches(&self) -> impl Iterator<Item = &Bytes> {
        let batches = self.segments.iter().flat_map(|s| &s.batches);
        batches.map(|batch| &batch.bytes)
    }

    /// Fault: flips a bit of the records in the batch that holds `offset`, or of the next batch;
    /// false if there is none, or none with records.
    pub(crate) fn corrupt(&mut self, offset: i64) -> bool {
        let batches = self.segments.iter_mut().flat_map(|s| &mut s.batches);
        let Some(batch) = { batches }.find(|b| b.header.last_offset() >= offset) else {
            return false;
        };
        let mut bytes = batch.bytes.to_vec(); // answers under way keep the sound copy
        let flipped = match bytes
            .get_mut(batch::HEADER_BYTES..)
            .and_then(<[u8]>::last_mut)
        {
            Some(byte) => {
                *byte ^= 0x55;
                true
            }
            None => false,
        };
        batch.bytes = bytes.into();
        flipped
    }
}
