//! Reading a stretch of one partition's log, batch by batch, off the hot path: internal topics, the tail of a remote
//! topic before a lane writes, two logs side by side.

use std::sync::Arc;
use std::time::Duration;

use batch::{AbortedTransactions, RawBatch, batches};

use super::{Cluster, ClusterError, ErrorCode, Leader};
use crate::lane::raw::fetch::{self, FetchLimits, FetchSession, Slot, Wanted};
use crate::wire::Connection;

/// Bytes asked for per request.
pub const LOG_READ_BYTES_MAX: i32 = 1 << 20;
/// How long a broker may wait for records that must be there.
const WAIT: Duration = Duration::from_millis(500);
/// Answers without progress before reading is given up: a log whose end cannot be reached.
const EMPTY_ANSWERS_MAX: u32 = 20;
/// Answers without a byte after which a readable stretch holds nothing: its end is a hole, of cleaned and cut logs.
const HOLE_ANSWERS: u32 = 2;
/// Leader changes and lost connections in a row that are survived.
const RETRIES_MAX: u32 = 5;

/// A place in a partition's log, and how far to read. Whole batches come out, in order; the first may begin below the
/// place, as brokers answer with the batch around it.
///
/// Bounds: one request in flight, [`LOG_READ_BYTES_MAX`] (or one larger batch) in memory.
pub struct LogCursor<'a> {
    cluster: &'a Cluster,
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    end: i64,
    read_committed: bool,
    /// The last answer held no bytes, and said that all up to the end may be read.
    hollow: bool,
    open: Option<(Leader, Connection, FetchSession)>,
}

impl Cluster {
    /// Reads `topic`-`partition` from `offset` up to `end` (exclusive). With `read_committed` records of open transactions are
    /// waited for, and those of aborted ones left out.
    pub fn cursor(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        end: i64,
        read_committed: bool,
    ) -> LogCursor<'_> {
        LogCursor {
            cluster: self,
            topic: topic.into(),
            partition,
            offset,
            end,
            read_committed,
            hollow: false,
            open: None,
        }
    }
}

impl LogCursor<'_> {
    /// The next offset to be read.
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// The next batches; none at the end. Control batches are among them, batches of aborted transactions are not when
    /// reading committed.
    ///
    /// # Errors
    /// [`ClusterError`] when it cannot be read on: also when what is wanted is not there any more (OFFSET_OUT_OF_RANGE).
    pub async fn next(&mut self) -> Result<Option<Vec<RawBatch>>, ClusterError> {
        let (mut empty, mut retries) = (0, 0);
        while self.offset < self.end {
            let before = self.offset;
            match self.fetch().await {
                Ok(found) if !found.is_empty() => return Ok(Some(found)),
                // All of it was left out, or it is not replicated yet.
                Ok(_) => empty = if self.offset == before { empty + 1 } else { 0 },
                Err(error) if retries < RETRIES_MAX && is_passing(&error) => {
                    retries += 1;
                    self.open = None;
                    tracing::debug!(topic = %self.topic, partition = self.partition, %error, "reading on");
                    let noticed = tokio::time::Instant::now();
                    tokio::time::sleep(Duration::from_millis(100) * retries).await;
                    self.cluster.refresh(&self.topic, noticed).await?;
                }
                Err(error) => return Err(error),
            }
            if self.hollow && empty >= HOLE_ANSWERS {
                self.offset = self.end;
            }
            if empty > EMPTY_ANSWERS_MAX {
                return Err(self.unreadable(&"its end cannot be reached"));
            }
        }
        Ok(None)
    }

    async fn fetch(&mut self) -> Result<Vec<RawBatch>, ClusterError> {
        let (leader, connection, session) = match &mut self.open {
            Some(open) => open,
            None => {
                let leader = self
                    .cluster
                    .leader_or_refresh(&self.topic, self.partition)
                    .await?;
                let connection = self.cluster.broker(leader.broker.id).await?;
                let session = FetchSession::new(connection.versions())?;
                self.open.insert((leader, connection, session))
            }
        };
        let limits = FetchLimits {
            wait_ms: i32::try_from(WAIT.as_millis()).unwrap_or(i32::MAX),
            bytes_max: LOG_READ_BYTES_MAX,
            read_committed: self.read_committed,
        };
        let wanted = Wanted {
            topic: self.topic.clone(),
            topic_id: leader.topic_id,
            partition: self.partition,
            offset: self.offset,
            leader_epoch: leader.epoch,
            last_fetched_epoch: -1,
            bytes_max: LOG_READ_BYTES_MAX,
        };
        let frame = session.request(&[(Slot(0), wanted)], limits, connection.client_id())?;
        let timeout = self.cluster.options.request_timeout + WAIT;
        let bytes = connection.send(frame, timeout).await?.await?;
        let answer = session
            .answer(bytes)
            .map_err(|reason| connection.malformed(fetch::API, reason))?;
        let mut found = Vec::new();
        for fetched in answer.partitions {
            self.cluster
                .accept(fetch::API, &self.topic, self.partition, fetched.error.0)?;
            self.hollow = fetched.records.is_empty() && fetched.high_watermark >= self.end;
            let mut aborted = AbortedTransactions::new(fetched.aborted);
            for batch in batches(&fetched.records) {
                let batch = batch.map_err(|error| self.unreadable(&error))?;
                self.offset = self.offset.max(batch.header.next_offset());
                let left_out = self.read_committed
                    && aborted
                        .is_aborted(&batch)
                        .map_err(|error| self.unreadable(&error))?;
                if !left_out {
                    found.push(batch);
                }
            }
        }
        Ok(found)
    }

    fn unreadable(&self, reason: &dyn std::fmt::Display) -> ClusterError {
        self.cluster.unreadable(&self.topic, self.partition, reason)
    }
}

/// Gone after a look for the leader, or with another connection.
fn is_passing(error: &ClusterError) -> bool {
    match error {
        ClusterError::Refused { refusal, .. } => matches!(
            refusal.code,
            ErrorCode::NOT_LEADER_OR_FOLLOWER
                | ErrorCode::LEADER_NOT_AVAILABLE
                | ErrorCode::UNKNOWN_LEADER_EPOCH
                | ErrorCode::FENCED_LEADER_EPOCH
        ),
        ClusterError::Wire(_) => true,
        _ => false,
    }
}
