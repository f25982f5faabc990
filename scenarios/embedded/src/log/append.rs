//! Appending: a client's batch, a marker, a batch of the cluster's own.

use batch::{BatchHeader, RawBatch, attribute, field};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;

use super::assemble::{End, marker, put};
use super::producers::Judged;
use super::segment::{Roll, Segment};
use super::validate::{attributes, next_batch, one_batch, validate};
use super::{Append, Appended, Inspected, Log, LogSettings, Refused, Scope};

/// Topics that only brokers write (row 27).
const INTERNAL_TOPICS: [&str; 3] = [
    "__consumer_offsets",
    "__transaction_state",
    "__share_group_state",
];

impl Log {
    /// Whether a records field begins with a transactional batch: ask it for every partition of a request before
    /// anything else.
    ///
    /// # Errors
    /// With [`Scope::Request`] the whole request fails, with [`Scope::NoAnswer`] it is never answered.
    pub(crate) fn begins_transactional(records: Option<&Bytes>) -> Result<bool, Refused> {
        let records = records.ok_or_else(no_answer)?;
        let Some(bytes) = next_batch(records, Scope::Request)? else {
            return Ok(false);
        };
        let batch = records.get(..bytes).unwrap_or_default();
        Ok(batch.get(field::MAGIC) == Some(&2) && front(batch).transactional)
    }

    /// What stands at the front of a records field that passes the checks that precede the log's own.
    ///
    /// # Errors
    /// With [`Scope::Request`] the whole request fails, with [`Scope::NoAnswer`] it is never
    /// answered; another error concerns the partition.
    pub(crate) fn inspect(records: Option<&Bytes>, version: i16) -> Result<Inspected, Refused> {
        Ok(front(&one_batch(records.ok_or_else(no_answer)?, version)?))
    }

    /// Appends a client's batch, or says why not, in the order in which a broker looks.
    ///
    /// # Errors
    /// Every row of `docs/spec/batches.md` 1 that the broker refuses, with its code, texts and
    /// [`Scope`]. Nothing is stored then, but the active segment may have been closed.
    pub(crate) fn append(&mut self, append: &Append<'_>) -> Result<Appended, Refused> {
        let records = append.records.as_ref().ok_or_else(no_answer)?;
        let batch = one_batch(records, append.version)?;
        let log_start_offset = self.start_offset;
        self.append_one(&batch, append).map_err(|refused| {
            let tells_nothing = matches!(
                refused.error,
                ResponseError::CorruptMessage
                    | ResponseError::MessageTooLarge
                    | ResponseError::RecordListTooLarge
                    | ResponseError::InvalidTopicException
            );
            Refused {
                log_start_offset: if tells_nothing { -1 } else { log_start_offset },
                ..refused
            }
        })
    }

    fn append_one(&mut self, batch: &Bytes, append: &Append<'_>) -> Result<Appended, Refused> {
        self.check_transaction(&front(batch), append)?;
        if !append.internal_client && INTERNAL_TOPICS.contains(&append.topic) {
            return Err(Refused::bare(ResponseError::InvalidTopicException)); // row 27
        }
        let bytes = validate(batch, self.end_offset, append)?;
        let header = BatchHeader::parse(&bytes);
        let header = header.map_err(|_| Refused::bare(ResponseError::UnknownServerError))?;
        self.configure(append.settings);
        self.roll_for(&header, append.now_ms); // a broker does this before it looks at the producer
        if header.producer_id() >= 0 {
            let judged = self.producers.judge(&header);
            if let Judged::Duplicate(known) = judged.map_err(Refused::bare)? {
                return Ok(Appended {
                    base_offset: known.first_offset,
                    last_offset: known.last_offset,
                    log_append_time_ms: known.timestamp_ms,
                    log_start_offset: self.start_offset,
                    duplicate: true,
                });
            }
        }
        let appended = Appended {
            base_offset: header.base_offset(),
            last_offset: header.last_offset(),
            log_append_time_ms: if append.settings.log_append_time {
                append.now_ms
            } else {
                -1
            },
            log_start_offset: self.start_offset,
            duplicate: false,
        };
        self.store(header, bytes, append.leader_epoch, append.now_ms);
        self.producers.appended(&header);
        Ok(appended)
    }

    /// The topic's configuration as it is now: call it before [`Self::append_marker`].
    pub(crate) fn configure(&mut self, settings: &LogSettings) {
        self.roll = Roll::new(settings);
        self.log_append_time = settings.log_append_time;
    }

    /// The coordinator is about to be asked about a batch that continues no open transaction: its sequence is remembered
    /// whatever the answer is.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH (47) if a later epoch is known: the coordinator is not asked.
    pub(crate) fn start_verification(
        &mut self,
        batch: &Inspected,
        version: i16,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if (self.producers).fences(batch.producer_id, batch.producer_epoch) {
            return Err(ResponseError::InvalidProducerEpoch);
        }
        self.producers.verify(batch, version, now_ms);
        Ok(())
    }

    /// Row 16: a transactional batch continues an open transaction of this log, or the coordinator
    /// knows that the partition is part of one.
    fn check_transaction(&mut self, front: &Inspected, append: &Append<'_>) -> Result<(), Refused> {
        let (producer_id, epoch) = (front.producer_id, front.producer_epoch);
        // without a producer id a broker asks nobody (row 13)
        let asks = front.transactional && producer_id >= 0;
        if !asks || self.has_open_transaction(producer_id, epoch) {
            return Ok(());
        }
        self.start_verification(front, append.version, append.now_ms)
            .map_err(Refused::bare)?;
        if append.transaction_verified {
            return Ok(());
        }
        Err(match append.version {
            11 => Refused::bare(ResponseError::TransactionAbortable),
            _ => Refused {
                message: Some("Partition was not added to the transaction".to_owned()),
                ..Refused::bare(ResponseError::InvalidTxnState)
            },
        })
    }

    /// Ends the producer's transaction with a marker, and fences its lower epochs. Answers the
    /// marker's offset, or -1 if the log knows a later epoch of the producer or of the coordinator:
    /// nothing is written then (a broker answers INVALID_PRODUCER_EPOCH or
    /// TRANSACTION_COORDINATOR_FENCED).
    pub(crate) fn append_marker(
        &mut self,
        producer_id: i64,
        epoch: i16,
        commit: bool,
        coordinator_epoch: i32,
        leader_epoch: i32,
        now_ms: i64,
    ) -> i64 {
        let end = End {
            producer_id,
            producer_epoch: epoch,
            commit,
            coordinator_epoch,
        };
        let offset = self.end_offset;
        let bytes = marker(&end, offset, leader_epoch, now_ms, self.log_append_time);
        let bytes = bytes.unwrap_or_default();
        let Ok(header) = BatchHeader::parse(&bytes) else {
            return -1; // the offsets are used up
        };
        if self
            .producers
            .fences_marker(producer_id, epoch, coordinator_epoch)
        {
            return -1;
        }
        self.roll_for(&header, now_ms);
        self.store(header, bytes, leader_epoch, now_ms);
        let held = self.held_high_watermark.is_some();
        self.producers
            .ended(&header, commit, coordinator_epoch, held);
        offset
    }

    /// Appends a batch of the cluster's own, as its coordinators write to internal topics: no rule is
    /// applied, but transactional offsets do open their producer's transaction. Answers its base
    /// offset.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "tests write what a coordinator would")
    )]
    pub(crate) fn append_own(&mut self, batch: RawBatch, leader_epoch: i32, now_ms: i64) -> i64 {
        let offset = self.end_offset;
        let mut bytes = BytesMut::with_capacity(batch.header.total_bytes());
        bytes.extend_from_slice(batch.header.as_bytes());
        bytes.extend_from_slice(&batch.body);
        put(&mut bytes, field::BASE_OFFSET, &offset.to_be_bytes());
        put(&mut bytes, field::LEADER_EPOCH, &leader_epoch.to_be_bytes());
        if let Ok(header) = BatchHeader::parse(&bytes) {
            self.roll_for(&header, now_ms);
            self.store(header, bytes.freeze(), leader_epoch, now_ms);
            self.producers.appended(&header);
        }
        offset
    }

    /// Closes the active segment if `header`'s batch does not fit in it.
    fn roll_for(&mut self, header: &BatchHeader, now_ms: i64) {
        let active = self.segments.last();
        if active.is_some_and(|s| s.is_full_for(header, now_ms, self.roll)) {
            self.roll();
        }
    }

    /// Puts a batch that carries the end offset behind all others.
    fn store(&mut self, header: BatchHeader, bytes: Bytes, leader_epoch: i32, now_ms: i64) {
        self.epochs.assign(leader_epoch, header.base_offset());
        if self.segments.is_empty() {
            self.segments.push(Segment::new(self.end_offset));
        }
        if let Some(active) = self.segments.last_mut() {
            active.push(header, bytes, now_ms);
        }
        self.end_offset = header.next_offset();
    }
}

/// What stands at the front of a batch; -1 where it is too short.
fn front(batch: &[u8]) -> Inspected {
    let id = batch
        .get(field::PRODUCER_ID..)
        .and_then(|bytes| bytes.first_chunk());
    let epoch = batch
        .get(field::PRODUCER_EPOCH..)
        .and_then(|bytes| bytes.first_chunk());
    let sequence = batch
        .get(field::BASE_SEQUENCE..)
        .and_then(|bytes| bytes.first_chunk());
    Inspected {
        transactional: attributes(batch) & attribute::TRANSACTIONAL != 0,
        producer_id: id.map_or(-1, |id| i64::from_be_bytes(*id)),
        producer_epoch: epoch.map_or(-1, |epoch| i16::from_be_bytes(*epoch)),
        base_sequence: sequence.map_or(-1, |sequence| i32::from_be_bytes(*sequence)),
    }
}

fn no_answer() -> Refused {
    Refused {
        scope: Scope::NoAnswer,
        ..Refused::bare(ResponseError::UnknownServerError)
    }
}
