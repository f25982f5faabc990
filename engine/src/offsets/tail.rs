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

/// Source records that are looked through for one target record, at most.
pub const LOOK_AHEAD_MAX: usize = 1 << 16;

/// One record, as far as it can be compared.
#[derive(Clone, Copy, Debug)]
struct Seen {
    offset: i64,
    leader_epoch: i32,
    /// As consumers see it; none where the log gave its own time.
    timestamp_ms: Option<i64>,
    /// Of key, value and headers as they are encoded.
    hash: u64,
    /// Offsets right before it, since the record before, where its log has nothing any more.
    missing: u64,
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
/// A target record that is not the next source record is left aside: somebody else wrote it, or the source has lost the record
/// since (compaction, retention). A source record is passed over only where the target shows that its copy was there: offsets
/// are missing (compaction or retention of the remote topic), no more records than that, and the next record is the copy of one
/// behind it. So what is not proven to be copied is copied (again), and nothing is lost.
///
/// Bounds: the records of what was fed and not matched yet; of the source, a batch more than [`LOOK_AHEAD_MAX`].
#[derive(Debug)]
pub struct TailMatch {
    from_upstream: i64,
    from_downstream: i64,
    target: VecDeque<Seen>,
    source: VecDeque<Seen>,
    source_ended: bool,
    place: Place,
    /// Offsets that are missing on the target between the last match and the record before the front of `target`.
    missing_before: u64,
    tail: Tail,
}

/// How far the target's log was fed.
#[derive(Debug)]
struct Place {
    next: i64,
    /// Offsets below that are missing, behind the last record.
    missing: u64,
}

impl Place {
    /// Something is at `offset`, up to `end`.
    fn pass(&mut self, offset: i64, end: i64) {
        self.missing += u64::try_from(offset.saturating_sub(self.next)).unwrap_or(0);
        self.next = end.max(self.next);
    }
}

/// What the target's tail holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Copies of source records, in order.
    pub runs: Vec<TailRun>,
    /// Behind the last of them: the source offset to go on at.
    pub upstream_end: i64,
    /// Leader epoch, on the source, of the last of them.
    pub leader_epoch: Option<i32>,
    /// Records that are no copies of what the source holds.
    pub foreign_records: u64,
    /// Some of these are behind the last run.
    pub ends_foreign: bool,
}

/// Copies whose offsets follow each other in both logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TailRun {
    /// Their offsets.
    pub segment: Segment,
    /// Between the run before and this one are records that are no copies of what the source holds.
    pub behind_foreign: bool,
}

impl TailMatch {
    /// Begins at the last known place: everything below `upstream` is copied, to below `downstream`.
    pub fn new(upstream: i64, downstream: i64) -> Self {
        Self {
            from_upstream: upstream,
            from_downstream: downstream,
            target: VecDeque::new(),
            source: VecDeque::new(),
            source_ended: false,
            place: Place {
                next: downstream,
                missing: 0,
            },
            missing_before: 0,
            tail: Tail {
                upstream_end: upstream,
                ..Tail::default()
            },
        }
    }

    /// The next batch of the target's log.
    ///
    /// # Errors
    /// [`TailError`]
    pub fn target(&mut self, batch: &RawBatch) -> Result<(), TailError> {
        let from = self.from_downstream;
        let (target, place) = (&mut self.target, &mut self.place);
        let header = &batch.header;
        if header.is_control() {
            place.pass(header.base_offset(), header.next_offset());
        }
        each_record(batch, |mut seen| {
            // The target's own clock says nothing about the source's record.
            if header.timestamp_type() == TimestampType::LogAppendTime {
                seen.timestamp_ms = None;
            }
            if seen.offset >= from {
                place.pass(seen.offset, seen.offset.saturating_add(1));
                seen.missing = std::mem::take(&mut place.missing);
                target.push_back(seen);
            }
        })?;
        place.pass(header.next_offset(), header.next_offset());
        self.advance();
        Ok(())
    }

    /// The source's log starts here. Brokers answer with the batch around it, of which what is below was not copied any more.
    pub fn source_starts(&mut self, log_start: i64) {
        self.from_upstream = self.from_upstream.max(log_start);
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

    /// There are target records left, and not enough to compare them with.
    pub fn wants_source(&self) -> bool {
        !self.target.is_empty() && !self.source_ended
    }

    /// The result, once all was fed.
    pub fn finish(mut self) -> Tail {
        self.source_ended = true;
        self.advance();
        self.tail
    }

    /// Goes on as far as what was fed allows: until no target record is left, or more of the source is needed.
    fn advance(&mut self) {
        while let Some(target) = self.target.front() {
            let missing = self.missing_before.saturating_add(target.missing);
            let looked_through = usize::try_from(missing).unwrap_or(usize::MAX);
            let looked_through = looked_through.min(LOOK_AHEAD_MAX) + 1;
            let mut candidates = self.source.iter().take(looked_through);
            match candidates.position(|source| source.equals(target)) {
                Some(passed_over) => {
                    self.source.drain(..passed_over);
                    if let Some(source) = self.source.pop_front() {
                        self.tail.matched(&source, target.offset);
                    }
                    self.missing_before = 0;
                }
                None if self.source.len() < looked_through && !self.source_ended => return,
                None => {
                    self.tail.foreign_records += 1;
                    self.tail.ends_foreign = true;
                    self.missing_before = missing;
                }
            }
            self.target.pop_front();
        }
    }
}

impl Tail {
    fn matched(&mut self, source: &Seen, downstream: i64) {
        let upstream = source.offset;
        self.upstream_end = upstream + 1;
        self.leader_epoch = Some(source.leader_epoch);
        let behind_foreign = std::mem::take(&mut self.ends_foreign);
        let continues = |last: &&mut TailRun| {
            let last = last.segment;
            let place = |offset: i64| offset.checked_add_unsigned(last.length);
            place(last.upstream.0) == Some(upstream) && place(last.downstream.0) == Some(downstream)
        };
        match self.runs.last_mut().filter(continues) {
            Some(last) => last.segment.length += 1,
            None => self.runs.push(TailRun {
                segment: Segment {
                    upstream: UpstreamOffset(upstream),
                    downstream: DownstreamOffset(downstream),
                    length: 1,
                },
                behind_foreign,
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
            leader_epoch: header.leader_epoch(),
            missing: 0,
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
        (tail.runs.iter())
            .map(|run| run.segment)
            .map(|segment| (segment.upstream.0, segment.downstream.0, segment.length))
            .collect()
    }

    /// Lays logs of one batch each side by side, from upstream 100 and downstream 50 on.
    fn lay(target: &[&str], source: &[&str]) -> Tail {
        let mut tail = TailMatch::new(100, 50);
        if !target.is_empty() {
            tail.target(&batch(50, target, Codec::Lz4)).unwrap();
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
        assert!(tail.runs[1].behind_foreign && !tail.runs[0].behind_foreign && !tail.ends_foreign);
        assert_eq!((tail.upstream_end, tail.foreign_records), (102, 1));
    }

    /// What the target lacks is copied, though what follows it is there: twice rather than never.
    #[test]
    fn what_the_target_lacks_is_never_passed_over() {
        let tail = lay(&["b", "c"], &["a", "b", "c"]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (100, 2));
    }

    /// The cleaner of the remote topic, or its retention, took a copy: that shows, and what it was a copy of is passed over.
    #[test]
    fn what_the_target_had_and_lost_is_passed_over() {
        let mut tail = TailMatch::new(100, 50);
        tail.target(&batch(51, &["b"], Codec::None)).unwrap();
        tail.target(&batch(53, &["c"], Codec::None)).unwrap();
        for (offset, value) in (100..).zip(["a", "b", "x", "y", "c", "d"]) {
            if tail.wants_source() {
                tail.source(Some(&batch(offset, &[value], Codec::None)))
                    .unwrap();
            }
        }
        let tail = tail.finish();
        assert_eq!(segments(&tail), [(101, 51, 1)], "two are more than one");
        assert_eq!((tail.upstream_end, tail.foreign_records), (102, 1));
        assert!(tail.ends_foreign);
    }

    /// Deleted records may still be in the batch that has the first one that is not.
    #[test]
    fn what_the_source_deleted_is_not_waited_for() {
        let mut tail = TailMatch::new(100, 50);
        tail.source_starts(102);
        tail.target(&batch(50, &["a", "c", "d"], Codec::None))
            .unwrap();
        let source = batch(100, &["a", "b", "c", "d", "e"], Codec::None);
        tail.source(Some(&source)).unwrap();
        let tail = tail.finish();
        assert_eq!(segments(&tail), [(102, 51, 2)]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (104, 1));
        assert!(tail.runs[0].behind_foreign);
    }

    #[test]
    fn a_source_that_ended_leaves_the_rest_aside() {
        let tail = lay(&["a", "b"], &["a"]);
        assert_eq!((tail.upstream_end, tail.foreign_records), (101, 1));
    }

    /// Brokers answer with the batch around the offset that was asked for.
    #[test]
    fn records_below_the_known_place_do_not_count() {
        let mut tail = TailMatch::new(102, 52);
        tail.target(&batch(50, &["x", "y", "c"], Codec::None))
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
            TailMatch::new(0, 50).target(&cut),
            Err(TailError::Record { offset: 50, .. })
        ));
    }
}
