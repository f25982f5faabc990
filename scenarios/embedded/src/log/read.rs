//! Fetches and offsets by timestamp (Kafka's `LocalLog.read`, `LogSegment` and `TimeIndex`;
//! `docs/spec/real-kafka.md` 5).

use batch::{Codec, DECOMPRESSED_BYTES_MAX, decompress};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;

use super::Log;
use super::segment::{Segment, Stored};
use super::validate::timestamp_of;
use super::walk::{Reading, read_records};

/// Whom a read is for, and so how far it may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// A consumer, read_uncommitted: up to the high watermark.
    Uncommitted,
    /// A consumer, read_committed: up to the last stable offset, with the aborted transactions.
    Committed,
    /// A follower: up to the end.
    LogEnd,
}

/// What a read found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Batches, whole but for the last; empty if there is nothing to read.
    pub records: Bytes,
    /// Under [`Isolation::Committed`], (producer id, first offset) of every aborted transaction that
    /// reaches into the range, in the order of their markers, as the broker's index lists them.
    pub aborted: Vec<(i64, i64)>,
    /// The first batch does not fit, although there is room for some bytes: no records, and a broker leaves
    /// out the list of aborted transactions as well.
    pub first_is_cut: bool,
}

/// Why nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// OFFSET_OUT_OF_RANGE (1): below the start or above the end.
    OutOfRange,
}

impl Log {
    /// Reads from the batch that holds `offset`, or the next one, which may begin below `offset`.
    ///
    /// With `min_one` the first batch comes whole even if it is larger than `max_bytes`; without, a
    /// first batch that does not fit yields nothing. Further batches are cut at `max_bytes`. A read
    /// never crosses a segment. One batch is not copied, several are.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] outside of start..=end; the end itself, and offsets between the
    /// isolation's limit and the end, yield nothing.
    pub(crate) fn read(
        &self,
        offset: i64,
        max_bytes: usize,
        min_one: bool,
        isolation: Isolation,
    ) -> Result<Slice, ReadError> {
        if offset < self.start_offset || offset > self.end_offset {
            return Err(ReadError::OutOfRange);
        }
        let limit = self.limit(isolation);
        let first = (offset < limit).then(|| self.locate(offset)).flatten();
        let Some((segment, batches, upper_offset)) = first else {
            return Ok(Slice::default());
        };
        let readable = batches.partition_point(|b| b.header.last_offset() < limit);
        let batches = batches.get(..readable).unwrap_or_default();
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(Slice::default());
        };
        let fits = min_one || first.bytes.len() <= max_bytes;
        if !fits && max_bytes > 0 {
            return Ok(Slice {
                first_is_cut: true,
                ..Slice::default()
            });
        }
        let there = last.position + last.bytes.len() as u64 - first.position;
        // Without any room no batch is asked for, but the range is looked at.
        let bytes = if fits {
            max_bytes.max(first.bytes.len())
        } else {
            0
        };
        let bytes = bytes.min(usize::try_from(there).unwrap_or(usize::MAX));
        let aborted = match isolation {
            Isolation::Committed => {
                let upper = segment
                    .upper_bound(first.position, bytes)
                    .unwrap_or(upper_offset);
                let aborted = self.producers.aborted_between(offset, upper);
                aborted
                    .iter()
                    .map(|a| (a.producer_id, a.first_offset))
                    .collect()
            }
            Isolation::Uncommitted | Isolation::LogEnd => Vec::new(),
        };
        Ok(Slice {
            records: joined(batches, bytes),
            aborted,
            first_is_cut: false,
        })
    }

    /// The first record at or behind the start whose timestamp is at least `timestamp_ms`: (offset,
    /// timestamp, leader epoch). `None` if there is none, or if `isolation` may not see it yet.
    ///
    /// # Errors
    /// INVALID_RECORD, UNKNOWN_SERVER_ERROR: a batch on the way holds what cannot be read.
    pub(crate) fn offset_for_timestamp(
        &self,
        timestamp_ms: i64,
        isolation: Isolation,
    ) -> Result<Option<Found>, ResponseError> {
        // the first segment that reaches the timestamp decides, as on a broker
        let mut segments = self.segments.iter();
        let Some(segment) = segments.find(|s| s.largest_timestamp_ms() >= timestamp_ms) else {
            return Ok(None);
        };
        let wanted = |offset, at| offset >= self.start_offset && at >= timestamp_ms;
        let reaching = segment.batches.iter();
        for batch in reaching.filter(|batch| batch.header.max_timestamp_ms() >= timestamp_ms) {
            if let Some(found) = find_record(batch, wanted)? {
                return Ok(Some(found).filter(|(offset, _, _)| *offset < self.limit(isolation)));
            }
        }
        Ok(None)
    }

    /// The first record with the log's largest timestamp: (offset, timestamp, leader epoch). `None`
    /// if the log is empty, or if `isolation` may not see that record yet.
    ///
    /// # Errors
    /// As [`Log::offset_for_timestamp`].
    pub(crate) fn max_timestamp(
        &self,
        isolation: Isolation,
    ) -> Result<Option<Found>, ResponseError> {
        let Some(largest) = self.segments.iter().map(Segment::max_timestamp_ms).max() else {
            return Ok(None);
        };
        let segments = self.segments.iter();
        let mut segments = segments.filter(|s| s.max_timestamp_ms() == largest);
        let mut batches = segments
            .next()
            .into_iter()
            .flat_map(|segment| &segment.batches);
        let Some(batch) = batches.find(|b| b.header.max_timestamp_ms() == largest) else {
            return Ok(None);
        };
        let found = find_record(batch, |_, timestamp_ms| timestamp_ms == largest)?;
        Ok(found.filter(|(offset, _, _)| *offset < self.limit(isolation)))
    }

    /// Up to where, exclusively, a reader may see.
    fn limit(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::Uncommitted => self.high_watermark(),
            Isolation::Committed => self.last_stable_offset(),
            Isolation::LogEnd => self.end_offset,
        }
    }

    /// Base offset of the batch that holds `offset`, or of the next one; `offset` if there is none.
    pub(super) fn batch_at(&self, offset: i64) -> i64 {
        let batch = self
            .locate(offset)
            .and_then(|(_, batches, _)| batches.first());
        batch.map_or(offset, |batch| batch.header.base_offset())
    }

    /// The batches from the one that holds `offset`, or the next one, to the end of their segment,
    /// and where that segment ends at the latest.
    fn locate(&self, offset: i64) -> Option<(&Segment, &[Stored], i64)> {
        let behind = self.segments.partition_point(|s| s.base_offset <= offset);
        let segments = self.segments.get(behind.saturating_sub(1)..)?;
        for (index, segment) in segments.iter().enumerate() {
            let batches = segment
                .batches
                .get(segment.find(offset)..)
                .unwrap_or_default();
            if !batches.is_empty() {
                let next = segments.get(index + 1).map(|next| next.base_offset);
                return Some((segment, batches, next.unwrap_or(self.end_offset)));
            }
        }
        None
    }
}

/// The first `bytes` bytes of `batches`.
fn joined(batches: &[Stored], bytes: usize) -> Bytes {
    match batches.first() {
        Some(only) if only.bytes.len() >= bytes => only.bytes.slice(..bytes),
        _ => {
            let mut joined = BytesMut::with_capacity(bytes);
            for batch in batches {
                let part = batch.bytes.len().min(bytes - joined.len());
                joined.extend_from_slice(batch.bytes.get(..part).unwrap_or_default());
                if joined.len() == bytes {
                    break;
                }
            }
            joined.freeze()
        }
    }
}

/// Offset, timestamp and leader epoch of a record.
pub(crate) type Found = (i64, i64, i32);

/// The first record of a batch that `wanted(offset, timestamp)` wants. As a broker does: an uncompressed batch is read up to
/// that record, a compressed one as a whole.
///
/// # Errors
/// The code of the first record that cannot be read: a broker accepts some of these.
fn find_record(
    stored: &Stored,
    wanted: impl Fn(i64, i64) -> bool,
) -> Result<Option<Found>, ResponseError> {
    let batch = stored.raw();
    let header = &batch.header;
    let unknown = |_| ResponseError::UnknownServerError;
    let codec = header.codec().map_err(unknown)?;
    let plain = decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX).map_err(unknown)?;
    let reading = match codec {
        Codec::None => Reading::InPlace,
        _ => Reading::Streamed,
    };
    let mut first = None;
    for record in read_records(&plain, header.count(), reading) {
        let record = record?;
        let offset = header
            .base_offset()
            .saturating_add(i64::from(record.offset_delta));
        let timestamp_ms = timestamp_of(header, record.timestamp_delta_ms);
        if first.is_none() && wanted(offset, timestamp_ms) {
            first = Some((offset, timestamp_ms, header.leader_epoch()));
            if codec == Codec::None {
                break;
            }
        }
    }
    Ok(first)
}
