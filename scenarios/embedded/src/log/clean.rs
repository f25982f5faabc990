//! What the log cleaner leaves (Kafka's `LogCleanerManager`, `Cleaner` and
//! `MemoryRecords.filterTo`; `docs/spec/real-kafka.md` 5, "What the cleaner really leaves").

use std::collections::{HashMap, HashSet, VecDeque};

use batch::{
    BatchHeader, DECOMPRESSED_BYTES_MAX, Marker, RecordView, attribute, compress, decompress,
    marker, records, write_record,
};
use bytes::Bytes;

use super::assemble::Front;
use super::producers::{Aborted, Producers};
use super::segment::{Roll, Segment, Stored};
use super::validate::timestamp_ms;
use super::{Log, LogSettings};

/// What of a batch the cleaner does not keep.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Retention {
    /// It goes.
    Delete,
    /// It goes if no record of it stays.
    DeleteEmpty,
    /// Its header stays even without records, for what it says of its producer.
    RetainEmpty,
}

/// One round of cleaning.
struct Round<'a> {
    producers: &'a Producers,
    /// Latest offset of each key in the dirty part.
    latest: HashMap<Bytes, i64>,
    /// The round cleans up to here, exclusively.
    end_offset: i64,
    delete_retention_ms: i64,
    now_ms: i64,
}

impl Log {
    /// Runs the cleaner on a compacted log, if it is dirty enough: `min.cleanable.dirty.ratio`, or
    /// `max.compaction.lag.ms` is over. `force` closes the active segment first, which is never
    /// cleaned, and asks for no ratio. Nothing at or above the last stable offset is cleaned.
    pub(crate) fn compact(&mut self, settings: &LogSettings, now_ms: i64, force: bool) {
        self.roll = Roll::new(settings);
        if !settings.cleanup_compact {
            return;
        }
        if force {
            self.roll();
        }
        let end_offset = self.first_uncleanable_offset(settings, now_ms);
        if end_offset <= self.first_dirty_offset
            || !(force || self.is_dirty(settings, end_offset, now_ms))
        {
            return;
        }
        let round = Round {
            producers: &self.producers,
            latest: self.latest_offsets(end_offset),
            end_offset,
            delete_retention_ms: settings.delete_retention_ms,
            now_ms,
        };
        let mut transactions = Transactions::new(self.aborted_below(end_offset));
        let cleaned = self
            .segments
            .partition_point(|s| s.base_offset < end_offset);
        let mut groups: Vec<(Segment, u64)> = Vec::new();
        for segment in self.segments.get(..cleaned).unwrap_or_default() {
            let batches = { segment.batches.iter() }
                .filter_map(|batch| round.clean(batch, &mut transactions))
                .collect();
            join(&mut groups, segment, batches, settings.segment_bytes);
        }
        let kept = transactions.kept;
        self.segments
            .splice(..cleaned, groups.into_iter().map(|(segment, _)| segment));
        self.producers.replace_aborted_below(end_offset, &kept);
        self.first_dirty_offset = end_offset;
    }

    /// The active segment, what a transaction holds open and what is younger than
    /// `min.compaction.lag.ms` is not cleaned.
    fn first_uncleanable_offset(&self, settings: &LogSettings, now_ms: i64) -> i64 {
        let stable = self.last_stable_offset();
        let closed = self.segments.len().saturating_sub(1);
        let mut end_offset = self.start_offset;
        for (segment, next) in self
            .segments
            .iter()
            .zip(self.segments.iter().skip(1))
            .take(closed)
        {
            let youngest_ms = now_ms.saturating_sub(settings.min_compaction_lag_ms);
            let young = settings.min_compaction_lag_ms > 0
                && segment.base_offset >= self.first_dirty_offset
                && segment.largest_timestamp_ms() > youngest_ms;
            if young || next.base_offset > stable {
                break;
            }
            end_offset = next.base_offset;
        }
        end_offset
    }

    fn is_dirty(&self, settings: &LogSettings, end_offset: i64, now_ms: i64) -> bool {
        let (mut clean, mut dirty, mut overdue) = (0u64, 0u64, false);
        let lag_ms = settings.max_compaction_lag_ms;
        for segment in self
            .segments
            .iter()
            .take_while(|s| s.base_offset < end_offset)
        {
            if segment.base_offset < self.first_dirty_offset {
                clean += segment.bytes();
            } else {
                dirty += segment.bytes();
                let first_ms = segment.first_timestamp_ms();
                overdue |= first_ms > 0 && lag_ms > 0 && first_ms < now_ms.saturating_sub(lag_ms);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes, as Kafka's")]
        let ratio = dirty as f64 / (clean + dirty).max(1) as f64;
        dirty > 0 && (overdue || ratio > settings.min_cleanable_dirty_ratio)
    }

    fn aborted_below(&self, end_offset: i64) -> Vec<Aborted> {
        self.producers.aborted_between(0, end_offset)
    }

    /// The latest offset of each key in the dirty part, without what was aborted.
    fn latest_offsets(&self, end_offset: i64) -> HashMap<Bytes, i64> {
        let mut latest = HashMap::new();
        let mut transactions = Transactions::new(self.aborted_below(end_offset));
        for batch in self.segments.iter().flat_map(|s| &s.batches) {
            let header = &batch.header;
            if header.base_offset() >= end_offset {
                break;
            }
            if transactions.can_discard(batch) || header.is_control() {
                continue;
            }
            let Some(plain) = plain(batch) else { continue };
            for record in records(&plain, header.count()).flatten() {
                let offset = offset(header, &record);
                if let Some(key) = record.key.filter(|_| offset >= self.first_dirty_offset) {
                    latest.insert(plain.slice_ref(key), offset);
                }
            }
        }
        latest
    }
}

impl Round<'_> {
    /// What is left of a batch; `None` if nothing is.
    fn clean(&self, batch: &Stored, transactions: &mut Transactions) -> Option<Bytes> {
        let header = &batch.header;
        let horizon_ms = header
            .has_delete_horizon()
            .then(|| header.base_timestamp_ms());
        let can_discard = transactions.can_discard(batch);
        let over = horizon_ms.is_some_and(|horizon_ms| horizon_ms <= self.now_ms);
        let discard = can_discard && (!header.is_control() || over);
        let retention = if header.producer_id() >= 0 && self.producers.is_last_of_producer(header)
            || header.next_offset() == self.end_offset
        {
            Retention::RetainEmpty
        } else if discard {
            Retention::Delete
        } else {
            Retention::DeleteEmpty
        };
        if retention == Retention::Delete {
            return None;
        }
        let Some(plain) = plain(batch) else {
            return Some(batch.bytes.clone()); // damaged: a broker's cleaner gives up here
        };
        let (mut kept, mut tombstones) = (Vec::new(), false);
        for record in records(&plain, header.count()).flatten() {
            if !discard && self.keeps(header, horizon_ms, &record) {
                tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return (retention == Retention::RetainEmpty)
                .then(|| emptied(header))
                .flatten();
        }
        let sets_horizon =
            horizon_ms.is_none() && (tombstones || can_discard && header.is_control());
        if kept.len() as i64 == i64::from(header.count()) && !sets_horizon {
            return Some(batch.bytes.clone());
        }
        let new_horizon_ms = self.now_ms.saturating_add(self.delete_retention_ms);
        rewritten(
            header,
            &kept,
            horizon_ms.or(sets_horizon.then_some(new_horizon_ms)),
        )
    }

    /// The latest record of its key stays; a tombstone until the horizon of its batch.
    fn keeps(
        &self,
        header: &BatchHeader,
        horizon_ms: Option<i64>,
        record: &RecordView<'_>,
    ) -> bool {
        if header.is_control() {
            return true;
        }
        let Some(key) = record.key else { return false };
        let latest = self
            .latest
            .get(key)
            .is_none_or(|latest| offset(header, record) >= *latest);
        latest && (record.value.is_some() || horizon_ms.is_none_or(|at| self.now_ms < at))
    }
}

fn offset(header: &BatchHeader, record: &RecordView<'_>) -> i64 {
    header
        .base_offset()
        .saturating_add(i64::from(record.offset_delta))
}

fn plain(batch: &Stored) -> Option<Bytes> {
    let raw = batch.raw();
    decompress(raw.header.codec().ok()?, &raw.body, DECOMPRESSED_BYTES_MAX).ok()
}

/// A header without records: 61 bytes, base timestamp -1.
fn emptied(header: &BatchHeader) -> Option<Bytes> {
    const KEPT: i16 = attribute::LOG_APPEND_TIME | attribute::TRANSACTIONAL | attribute::CONTROL;
    let front = Front {
        attributes: header.attributes() & KEPT,
        base_timestamp_ms: -1,
        count: 0,
        ..Front::of(header)
    };
    front.with_body(&[])
}

/// The batch with the records that are left, at their offsets. With a delete horizon, that stands
/// in the base timestamp, and the deltas count from it.
fn rewritten(
    header: &BatchHeader,
    kept: &[RecordView<'_>],
    horizon_ms: Option<i64>,
) -> Option<Bytes> {
    const KEPT: i16 = attribute::CODEC_MASK
        | attribute::LOG_APPEND_TIME
        | attribute::TRANSACTIONAL
        | attribute::CONTROL;
    let timestamps = || kept.iter().map(|record| timestamp_ms(header, record));
    let base_timestamp_ms = horizon_ms.or_else(|| timestamps().next()).unwrap_or(-1);
    let mut out = Vec::with_capacity(kept.iter().map(|r| r.fields().len() + 16).sum());
    for (record, timestamp_ms) in kept.iter().zip(timestamps()) {
        let delta_ms = timestamp_ms.wrapping_sub(base_timestamp_ms);
        write_record(&mut out, delta_ms, record.offset_delta, record.fields());
    }
    let horizon = horizon_ms.map_or(0, |_| attribute::DELETE_HORIZON);
    let front = Front {
        attributes: header.attributes() & KEPT | horizon,
        base_timestamp_ms,
        max_timestamp_ms: timestamps().fold(-1, i64::max),
        count: i32::try_from(kept.len()).ok()?,
        ..Front::of(header)
    };
    front.with_body(&compress(header.codec().ok()?, out).ok()?)
}

/// Small segments become one, as long as they were no larger than a segment together.
fn join(groups: &mut Vec<(Segment, u64)>, segment: &Segment, batches: Vec<Bytes>, limit: u64) {
    let written_ms = segment.written_ms();
    let target = match groups.last_mut() {
        Some((_, bytes)) if bytes.saturating_add(segment.bytes()) <= limit => {
            *bytes += segment.bytes();
            groups.last_mut()
        }
        _ => {
            groups.push((Segment::new(segment.base_offset), segment.bytes()));
            groups.last_mut()
        }
    };
    if let Some((target, _)) = target {
        for bytes in batches {
            if let Ok(header) = BatchHeader::parse(&bytes) {
                target.push(header, bytes, 0);
            }
        }
        target.set_written_ms(written_ms);
    }
}

/// Which batches belong to aborted transactions, and which markers have nothing left to say
/// (Kafka's `CleanedTransactionMetadata`).
struct Transactions {
    /// By first offset; those not reached yet.
    ahead: VecDeque<Aborted>,
    /// Reached and not ended; whether any batch of it was seen.
    aborting: HashMap<i64, (Aborted, bool)>,
    /// Producers of which a batch was seen that is not aborted.
    committing: HashSet<i64>,
    /// What is to stay in the index: aborted transactions that still had batches.
    kept: Vec<Aborted>,
}

impl Transactions {
    fn new(mut aborted: Vec<Aborted>) -> Self {
        aborted.sort_unstable_by_key(|aborted| aborted.first_offset);
        Self {
            ahead: aborted.into(),
            aborting: HashMap::new(),
            committing: HashSet::new(),
            kept: Vec::new(),
        }
    }

    /// A data batch that was aborted, or a marker of a transaction of which no batch is left. To be
    /// asked for every batch once, in order.
    fn can_discard(&mut self, batch: &Stored) -> bool {
        let (header, producer_id) = (&batch.header, batch.header.producer_id());
        while let Some(aborted) = self
            .ahead
            .pop_front_if(|a| a.first_offset <= header.last_offset())
        {
            self.aborting
                .entry(aborted.producer_id)
                .or_insert((aborted, false));
        }
        if !header.is_control() {
            if !header.is_transactional() {
                return false;
            }
            return match self.aborting.get_mut(&producer_id) {
                Some((_, seen)) => {
                    *seen = true;
                    true
                }
                None => {
                    self.committing.insert(producer_id);
                    false
                }
            };
        }
        match marker(&batch.raw()) {
            Ok(Some(Marker::Abort)) => match self.aborting.remove(&producer_id) {
                Some((aborted, true)) => {
                    self.kept.push(aborted);
                    false
                }
                _ => true,
            },
            Ok(Some(Marker::Commit)) => !self.committing.remove(&producer_id),
            Ok(None) => true, // emptied in an earlier round
            Ok(Some(Marker::Other { .. })) | Err(_) => false,
        }
    }
}
