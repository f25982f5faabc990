//! Small logs: reading and writing internal topics, a few records at a time.
//!
//! Not for data: this asks for one partition at a time and copies what it reads.

use std::sync::Arc;
use std::time::Duration;

use batch::{Codec, DECOMPRESSED_BYTES_MAX, RawBatch, batches, decompress, next_sequence, records};
use bytes::Bytes;

use super::{Cluster, ClusterError, OffsetAt, Refusal};
use crate::lane::raw::fetch::{self, FetchLimits, FetchSession, Slot, Wanted};
use crate::lane::raw::produce::{self, Outcome, ProduceBatch, ProduceVersions};
use crate::wire::WireError;

/// Bytes asked for per request while reading an internal topic.
pub const LOG_READ_BYTES_MAX: i32 = 1 << 20;
/// How long a broker may wait while we read to the end of a log.
const LOG_READ_WAIT: Duration = Duration::from_millis(500);
/// Answers without progress before reading is given up: a log whose end cannot be reached.
const EMPTY_ANSWERS_MAX: u32 = 20;

/// A record of an internal topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its offset.
    pub offset: i64,
    /// Key.
    pub key: Option<Bytes>,
    /// Value; none is a tombstone.
    pub value: Option<Bytes>,
}

impl Cluster {
    /// Reads a partition from its first record to its end as of now, calling `each` per record.
    ///
    /// # Errors
    /// [`ClusterError`] when it cannot be read to the end.
    pub async fn read_log(
        &self,
        topic: &str,
        partition: i32,
        mut each: impl FnMut(StoredRecord),
    ) -> Result<(), ClusterError> {
        let start = self.offset(topic, partition, OffsetAt::Earliest).await?;
        let end = self.offset(topic, partition, OffsetAt::Latest).await?;
        self.read_batches(topic, partition, start, end, |batch, from| {
            self.read_batch(topic, partition, batch, from, &mut each)
        })
        .await
    }

    /// The last sequence that a producer id has written to a partition at or behind `from`, by the headers in the log; none
    /// if it has written nothing there. For a broker that has forgotten the producer id though its batches are in the log.
    ///
    /// # Errors
    /// [`ClusterError`] when the log cannot be read to its very end, also while some of it is not replicated yet: try again.
    pub async fn last_sequence_in_log(
        &self,
        topic: &str,
        partition: i32,
        producer_id: i64,
        from: i64,
    ) -> Result<Option<i32>, ClusterError> {
        let log_end = self.offset(topic, partition, OffsetAt::LogEnd).await?;
        let end = self.offset(topic, partition, OffsetAt::Latest).await?;
        if end < log_end {
            return Err(self.unreadable(
                topic,
                partition,
                &"its last records are not replicated yet",
            ));
        }
        let mut last = None;
        self.read_batches(topic, partition, from, end, |batch, _| {
            let header = &batch.header;
            if header.producer_id() == producer_id && header.base_offset() >= from {
                last = Some(next_sequence(
                    header.base_sequence(),
                    header.last_offset_delta(),
                ));
            }
            Ok(())
        })
        .await?;
        Ok(last)
    }

    /// Reads whole batches from `offset` up to `end`, calling `each` with the batch and the offset asked for.
    async fn read_batches(
        &self,
        topic: &str,
        partition: i32,
        mut offset: i64,
        end: i64,
        mut each: impl FnMut(&RawBatch, i64) -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        if offset >= end {
            return Ok(());
        }
        let leader = self.leader_or_refresh(topic, partition).await?;
        let connection = self.broker(leader.broker.id).await?;
        let mut session = FetchSession::new(connection.versions())?;
        let limits = FetchLimits {
            wait_ms: i32::try_from(LOG_READ_WAIT.as_millis()).unwrap_or(i32::MAX),
            bytes_max: LOG_READ_BYTES_MAX,
            read_committed: false,
        };
        let name: Arc<str> = topic.into();
        let mut empty_answers = 0;
        while offset < end {
            let wanted = Wanted {
                topic: name.clone(),
                topic_id: leader.topic_id,
                partition,
                offset,
                leader_epoch: leader.epoch,
                last_fetched_epoch: -1,
                bytes_max: LOG_READ_BYTES_MAX,
            };
            let frame = session.request(&[(Slot(0), wanted)], limits, connection.client_id())?;
            let timeout = self.options.request_timeout + LOG_READ_WAIT;
            let bytes = connection.send(frame, timeout).await?.await?;
            let answer = session
                .answer(bytes)
                .map_err(|reason| connection.malformed(fetch::API, reason))?;
            let before = offset;
            for fetched in answer.partitions {
                self.accept(fetch::API, topic, partition, fetched.error.0)?;
                for found in batches(&fetched.records) {
                    let found = found.map_err(|e| self.unreadable(topic, partition, &e))?;
                    offset = offset.max(found.header.next_offset());
                    each(&found, before)?;
                }
            }
            empty_answers = if offset == before {
                empty_answers + 1
            } else {
                0
            };
            if empty_answers > EMPTY_ANSWERS_MAX {
                return Err(self.unreadable(topic, partition, &"its end cannot be reached"));
            }
        }
        Ok(())
    }

    fn read_batch(
        &self,
        topic: &str,
        partition: i32,
        found: &RawBatch,
        from: i64,
        each: &mut impl FnMut(StoredRecord),
    ) -> Result<(), ClusterError> {
        let header = &found.header;
        if header.is_control() {
            return Ok(());
        }
        let codec = header
            .codec()
            .map_err(|e| self.unreadable(topic, partition, &e))?;
        let body = if codec == Codec::None {
            found.body.clone()
        } else {
            decompress(codec, &found.body, DECOMPRESSED_BYTES_MAX)
                .map_err(|e| self.unreadable(topic, partition, &e))?
        };
        for record in records(&body, header.count()) {
            let record = record.map_err(|e| self.unreadable(topic, partition, &e))?;
            let offset = header.base_offset() + i64::from(record.offset_delta);
            if offset >= from {
                each(StoredRecord {
                    offset,
                    key: record.key.map(|key| body.slice_ref(key)),
                    value: record.value.map(|value| body.slice_ref(value)),
                });
            }
        }
        Ok(())
    }

    fn unreadable(
        &self,
        topic: &str,
        partition: i32,
        reason: &dyn std::fmt::Display,
    ) -> ClusterError {
        ClusterError::Unreadable {
            alias: self.alias.clone(),
            what: format!("{topic}-{partition}"),
            reason: reason.to_string(),
        }
    }

    /// Appends one batch to a partition (acks from all in-sync replicas, not idempotent). `batch` is as built:
    /// without producer id. The broker may wait `patience` for its replicas, at most the cluster's request timeout; an
    /// answer that does not come closes the connection, so that the next attempt has another one.
    ///
    /// # Errors
    /// [`ClusterError`]; the batch may nevertheless be in the log.
    pub async fn append(
        &self,
        topic: &str,
        partition: i32,
        batch: RawBatch,
        patience: Duration,
    ) -> Result<(), ClusterError> {
        let leader = self.leader_or_refresh(topic, partition).await?;
        let connection = self.broker(leader.broker.id).await?;
        let versions = ProduceVersions::new(connection.versions())?;
        let batch = ProduceBatch {
            topic: topic.into(),
            topic_id: leader.topic_id,
            partition,
            header: batch.header,
            body: batch.body,
        };
        let timeout = patience.min(self.options.request_timeout);
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let (frame, version) =
            produce::encode(&mut [batch], versions, connection.client_id(), timeout_ms);
        let limit = produce::answer_deadline(timeout);
        let answer = async { connection.send(frame, limit).await?.await };
        // A connection looks at the deadline of its oldest request, and a longer one may be stuck in front of this one.
        let Ok(bytes) = tokio::time::timeout(limit, answer).await else {
            connection.close(&format!("no answer to {} within {limit:?}", produce::API));
            return Err(connection.close_reason().into());
        };
        let bytes = bytes?;
        let answer = produce::decode(bytes, version)
            .map_err(|reason| connection.malformed(produce::API, reason))?;
        let outcome = answer
            .partitions
            .into_iter()
            .next()
            .map(|partition| partition.outcome);
        let refusal = match outcome {
            Some(Outcome::Stored { .. }) => return Ok(()),
            Some(Outcome::TooLarge(r) | Outcome::Refused(r) | Outcome::Fenced(r)) => r,
            Some(Outcome::OutOfOrder) => Refusal {
                code: super::ErrorCode(45),
                message: None,
            },
            Some(Outcome::Retry { reason, refresh }) => {
                if refresh {
                    self.refresh(topic, tokio::time::Instant::now()).await?;
                }
                return Err(self.unreadable(topic, partition, &format!("cannot write: {reason}")));
            }
            None => {
                let error: WireError =
                    connection.malformed(produce::API, "the answer is empty".to_owned());
                return Err(error.into());
            }
        };
        Err(ClusterError::Refused {
            alias: self.alias.clone(),
            api: produce::API,
            what: format!("{topic}-{partition}"),
            refusal,
        })
    }
}
