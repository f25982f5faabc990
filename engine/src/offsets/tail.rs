//! What of a remote topic's tail is a copy of which source records.
//!
//! A process that dies has usually written more than it noted down. Before a lane writes again, it lays the target's log behind
//! the last known pair of offsets beside the source's log and goes on behind the last record that both have: no record
//! twice, without transactions.

use std::collections::VecDeque;
use std::hash::Hasher;

use batch::{
    Codec, CodecError, DECOMPRESSED_BYTES_MAX, RawBatch, RecordError, TimestampType, decompress,
    records,
};

use super::{DownstreamOffset, Segment, UpstreamOffset};

/// Why a batch's records cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum TailError {
    /// Its codec is unknown or its data damaged.
    #[error("cannot decompress the batch at offset {offset}: {source}")]
    Codec {
        /// Offset of the batch, in its own log.
        offset: i64,
        /// What the codec says.
        source: CodecError,
    },
    /// Its records are not what its header says.
    #[error("cannot read the batch at offset {offset}: {source}")]
    Record {
        /// Offset of the batch, in its own log.
        offset: i64,
        /// What is wrong.
        source: RecordError,
    },
}

/// One record, as far as it can be compared.
#[derive(Clone, Copy, Debug)]
struct Seen {
    offset: i64,
    /// As consumers see it; none where the log gave its own time.
    timestamp_ms: Option<i64>,
    /// Of key, value and headers as they are encoded.
    hash: u64,
}

impl Seen {
    fn equals(&self, other: &Self) -> bool {
        let same_time = match (self.timestamp_ms, other.timestamp_ms) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.hash == other.hash && same_time
    }
}

/// Lays two logs side by side. Feed it with [`Self::target`] and, whenever it [`wants_source`](Self::wants_source), with
/// [`Self::source`]; then take the [`Tail`].
///
/// A target record that is not the next source record is left aside, never the reverse: so what is not proven to be copied is
/// copied (again), and nothing is lost. Records are left aside when somebody else wrote to the remote topic, or when the source has
/// compacted the record away since.
///
/// Bounds: the records of what was fed and not matched yet.
#[derive(Debug)]
pub struct TailMatch {
    from_upstream: i64,
    target: VecDeque<Seen>,
    source: VecDeque<Seen>,
    source_ended: bool,
    tail: Tail,
}

/// What the target's tail holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Copies of source records, in order.
    pub segments: Vec<Segment>,
    /// Behind the last of them: the source offset to go on at.
    pub upstream_end: i64,
    /// Records that are no copies of what the source holds.
    pub foreign_records: u64,
}

impl TailMatch {
    /// Begins at the last known place: everything below `upstream` is copied.
    pub fn new(upstream: i64) -> Self {
        Self {
            from_upstream: upstream,
            target: VecDeque::new(),
            source: VecDeque::new(),
            source_ended: false,
            tail: Tail {
                upstream_end: upstream,
                ..Tail::default()
            },
        }
    }

    /// The next batch of the target's log. `from` is the first offset that counts.
    ///
    /// # Errors
    /// [`TailError`]
    pub fn target(&mut self, batch: &RawBatch, from: i64) -> Result<(), TailError> {
        let target = &mut self.target;
        each_record(batch, |mut seen| {
            // The target's own clock says nothing about the source's record.
            if batch.header.timestamp_type() == TimestampType::LogAppendTime {
                seen.timestamp_ms = None;
            }
            if seen.offset >= from {
                target.push_back(seen);
            }
        })?;
        self.advance();
        Ok(())
    }

    /// The next batch of the source's log, of those that are copied; none at its end.
    ///
    /// # Errors
    /// [`TailError`]
    pub fn source(&mut self, batch: Option<&RawBatch>) -> Result<(), TailError> {
        let (source, from) = (&mut self.source, self.from_upstream);
        match batch {
            Some(batch) => each_record(batch, |seen| {
                if seen.offset >= from {
                    source.push_back(seen);
                }
            })?,
            None => self.source_ended = true,
        }
        self.advance();
        Ok(())
    }

    /// There are target records left, and nothing to compare them with.
    pub fn wants_source(&self) -> bool {
        !self.target.is_empty() && self.source.is_empty() && !self.source_ended
    }

    /// The result, once all was fed.
    pub fn finish(mut self) -> Tail {
        self.source_ended = true;
        self.advance();
        self.tail
    }

    fn advance(&mut self) {
        while let Some(target) = self.target.front() {
            match self.source.front() {
                Some(source) if source.equals(target) => {
                    self.tail.matched(source.offset, target.offset);
                    self.source.pop_front();
                }
                None if !self.source_ended => return,
                _ => self.tail.foreign_records += 1,
            }
            self.target.pop_front();
        }
    }
}

impl Tail {
    fn matched(&mut self, upstream: i64, downstream: i64) {
        self.upstream_end = upstream + 1;
        let continues = |last: &&mut Segment| {
            let place = |offset: i64| offset.checked_add_unsigned(last.length);
            place(last.upstream.0) == Some(upstream) && place(last.downstream.0) == Some(downstream)
        };
        match self.segments.last_mut().filter(continues) {
            Some(last) => last.length += 1,
            None => self.segments.push(Segment {
                upstream: UpstreamOffset(upstream),
                downstream: DownstreamOffset(downstream),
                length: 1,
            }),
        }
    }
}

fn each_record(batch: &RawBatch, mut each: impl FnMut(Seen)) -> Result<(), TailError> {
    let header = &batch.header;
    let offset = header.base_offset();
    if header.is_control() || header.count() <= 0 {
        return Ok(());
    }
    let unreadable = |source| TailError::Codec { offset, source };
    let codec = header.codec().map_err(unreadable)?;
    let body = match codec {
        Codec::None => batch.body.clone(),
        _ => decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX).map_err(unreadable)?,
    };
    for record in records(&body, header.count()) {
        let record = record.map_err(|source| TailError::Record { offset, source })?;
        let timestamp_ms = match header.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp_ms(),
            TimestampType::CreateTime => header
                .base_timestamp_ms()
                .wrapping_add(record.timestamp_delta_ms),
        };
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(record.fields());
        each(Seen {
            offset: offset.wrapping_add(i64::from(record.offset_delta)),
            timestamp_ms: Some(timestamp_ms),
            hash: hasher.finish(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use batch::{BatchBuilder, batches, field};

    use super::*;

    /// A batch at `offset` with a record for each of `values`, all of one time.
    fn batch(offset: i64, values: &[&str], codec: Codec) -> RawBatch {
        let mut builder = BatchBuilder::new(codec);
        for value in values {
            builder
                .push(1_700_000_000_000, Some(b"k"), Some(value.as_bytes()), &[])
                .unwrap();
        }
        let built = builder.build().unwrap();
        let mut bytes = [built.header.as_bytes(), &built.body[..]].concat();
        bytes[field::BASE_OFFSET..][..8].copy_from_slice(&offset.to_be_bytes());
        batches(&bytes.into()).next().unwrap().unwrap()
    }

    fn segments(tail: &Tail) -> Vec<(i64, i64, u64)> {
        (tail.segments.iter())
            .map(|segment| (segment.upstream.0, segment.downstream.0, segment.length))
            .collect()
    }

    /// Lays logs of one batch each side by side, from upstream 100 and downstream 50 on.
    fn lay(target: &[&str], source: &[&str]) -> Tail {
        let mut tail = TailMatch::new(100);
        if !target.is_empty() {
            tail.target(&batch(50, target, Codec::Lz4), 50).unwrap();
        }
        if tail.wants_source() && !source.is_empty() {
            tail.source(Some(&batch(100, source, Codec::None))).unwrap();
        }
        if tail.wants_source() {
            tail.source(None).unwrap();
        }
        assert!(!tail.wants_source());
        tail.finish()
    }

    #[test]
    fn goes_on_behind_what_both_have() {
        let tail = lay(&["a", "b"], &["a", "b", "c"]);
        assert_eq!(segments(&tail), [(100, 50, 2)]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (102, 0));
    }

    #[test]
    fn an_empty_tail_needs_no_source() {
        let tail = lay(&[], &["a"]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (100, 0));
    }

    /// Somebody else's record is left aside, and ours behind it are found.
    #[test]
    fn a_foreign_record_is_left_aside() {
        let tail = lay(&["a", "x", "b"], &["a", "b", "c"]);
        assert_eq!(segments(&tail), [(100, 50, 1), (101, 52, 1)]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (102, 1));
    }

    /// What the target lacks is copied, though what follows it is there: twice rather than never.
    #[test]
    fn what_the_target_lacks_is_never_passed_over() {
        let tail = lay(&["b", "c"], &["a", "b", "c"]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (100, 2));
    }

    #[test]
    fn a_source_that_ended_leaves_the_rest_aside() {
        let tail = lay(&["a", "b"], &["a"]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (101, 1));
    }

    /// Brokers answer with the batch around the offset that was asked for.
    #[test]
    fn records_below_the_known_place_do_not_count() {
        let mut tail = TailMatch::new(102);
        tail.target(&batch(50, &["x", "y", "c"], Codec::None), 52)
            .unwrap();
        tail.source(Some(&batch(100, &["a", "b", "c", "d"], Codec::Zstd)))
            .unwrap();
        let tail = tail.finish();
        assert_eq!(segments(&tail), [(102, 52, 1)]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (103, 0));
    }

    #[test]
    fn a_damaged_batch_is_an_error() {
        let whole = batch(50, &["a", "b"], Codec::None);
        let cut = RawBatch {
            body: whole.body.slice(..3),
            ..whole
        };
        assert!(matches!(
            TailMatch::new(0).target(&cut, 50),
            Err(TailError::Record { offset: 50, .. })
        ));
    }
}
