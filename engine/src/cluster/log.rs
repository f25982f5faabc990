//! Small logs: reading and writing internal topics, a few records at a time.
//!
//! Not for data: this asks for one partition at a time.

use std::time::Duration;

use batch::{
    Codec, DECOMPRESSED_BYTES_MAX, ProducerStamp, RawBatch, decompress, next_sequence, records,
    stamp,
};
use bytes::Bytes;

use super::{Cluster, ClusterError, OffsetAt, Refusal};
use crate::lane::raw::produce::{self, Outcome, ProduceBatch, ProduceVersions};
use crate::wire::WireError;

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
        each: impl FnMut(StoredRecord),
    ) -> Result<(), ClusterError> {
        let from = i64::MIN;
        (self.read_log_from(topic, partition, from, each).await).map(drop)
    }

    /// Reads on behind what was read before, to the end as of now, which is returned: the next call's `from`.
    ///
    /// # Errors
    /// As [`Self::read_log`].
    pub async fn read_log_from(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        mut each: impl FnMut(StoredRecord),
    ) -> Result<i64, ClusterError> {
        let start = self.offset(topic, partition, OffsetAt::Earliest).await?;
        let end = self.offset(topic, partition, OffsetAt::Latest).await?;
        let from = from.max(start);
        self.read_batches(topic, partition, from, end, |batch| {
            self.read_batch(topic, partition, batch, from, &mut each)
        })
        .await?;
        Ok(end)
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
        self.read_batches(topic, partition, from, end, |batch| {
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

    async fn read_batches(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        end: i64,
        mut each: impl FnMut(&RawBatch) -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        let mut cursor = self.cursor(topic, partition, offset, end, false);
        while let Some(found) = cursor.next().await? {
            found.iter().try_for_each(&mut each)?;
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

    pub(crate) fn unreadable(
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

    /// Appends one batch to a partition, acknowledged by all in-sync replicas, as the producer `owner`. The broker may wait
    /// `patience` for its replicas, at most the cluster's request timeout; an answer that does not come closes the
    /// connection, so that the next attempt has another one.
    ///
    /// # Errors
    /// [`ClusterError`]; the batch may nevertheless be in the log.
    pub async fn append(
        &self,
        topic: &str,
        partition: i32,
        batch: RawBatch,
        owner: ProducerStamp,
        patience: Duration,
    ) -> Result<(), ClusterError> {
        let leader = self.leader_or_refresh(topic, partition).await?;
        let connection = self.broker(leader.broker.id).await?;
        let versions = ProduceVersions::new(connection.versions())?;
        let batch = ProduceBatch {
            topic: topic.into(),
            topic_id: leader.topic_id,
            partition,
            header: stamp(&batch.header, owner),
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
