//! What leaves a log: retention, DeleteRecords, truncation.

use batch::{Marker, marker, records};

use super::producers::Producers;
use super::segment::{Roll, Segment, Stored};
use super::{Log, LogSettings, ReadError};

impl Log {
    /// Deletes what clients deleted, then by size, then by time, always whole segments from the
    /// start and never above the high watermark (`cleanup.policy` without `delete`: only the
    /// first). The active segment is closed first if it has to go too. Answers how many batches are
    /// gone.
    pub(crate) fn retain(&mut self, settings: &LogSettings, now_ms: i64) -> u64 {
        self.roll = Roll::new(settings);
        let start_offset = self.start_offset;
        let mut deleted = self.delete_while(|_, end| end <= start_offset);
        if !settings.cleanup_delete {
            return deleted;
        }
        if let Ok(limit) = u64::try_from(settings.retention_bytes) {
            let mut above = self.bytes().saturating_sub(limit);
            deleted += self.delete_while(|segment, _| match above.checked_sub(segment.bytes()) {
                Some(rest) if above > 0 => {
                    above = rest;
                    true
                }
                _ => false,
            });
        }
        if settings.retention_ms >= 0 {
            deleted += self.delete_while(|segment, _| {
                now_ms.saturating_sub(segment.largest_timestamp_ms()) > settings.retention_ms
            });
        }
        deleted
    }

    /// Deletes segments from the start while `old(segment, offset behind it)`.
    fn delete_while(&mut self, mut old: impl FnMut(&Segment, i64) -> bool) -> u64 {
        let (high_watermark, end_offset) = (self.high_watermark(), self.end_offset);
        let ends = self.segments.iter().skip(1).map(|next| next.base_offset);
        let ends = ends.chain([end_offset]);
        let last = self.segments.len().saturating_sub(1);
        let gone = self
            .segments
            .iter()
            .zip(ends)
            .enumerate()
            .take_while(|(index, (segment, end))| {
                let empty_active = *index == last && segment.is_empty();
                !empty_active && *end <= high_watermark && old(segment, *end)
            })
            .count();
        let batches: usize = self.segments.drain(..gone).map(|s| s.batches.len()).sum();
        if gone > 0 {
            let start = self
                .segments
                .first()
                .map_or(end_offset, |first| first.base_offset);
            self.raise_start(start);
            self.producers.start_at(start);
        }
        batches as u64
    }

    /// DeleteRecords: moves the start to `before`, to the high watermark for -1, and answers it. The
    /// batches go with their segments, at the next [`Self::retain`].
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] above the high watermark, or below -1.
    pub(crate) fn delete_records(&mut self, before: i64) -> Result<i64, ReadError> {
        let high_watermark = self.high_watermark();
        let before = if before == -1 { high_watermark } else { before };
        if !(0..=high_watermark).contains(&before) {
            return Err(ReadError::OutOfRange);
        }
        self.raise_start(before);
        Ok(self.start_offset)
    }

    fn raise_start(&mut self, offset: i64) {
        if offset > self.start_offset {
            self.start_offset = offset;
            self.first_dirty_offset = self.first_dirty_offset.max(offset);
            self.epochs.start_at(offset);
        }
    }

    /// Cuts the log off at `offset`, as a replica does that follows another history. A batch that
    /// holds `offset` goes as a whole. What is known of producers is learned again from what is
    /// left.
    pub(crate) fn truncate_to(&mut self, offset: i64) {
        let offset = offset.max(0);
        if offset >= self.end_offset {
            return;
        }
        self.segments.retain(|segment| segment.base_offset < offset);
        if let Some(active) = self.segments.last_mut() {
            let mut batches = std::mem::take(&mut active.batches);
            batches.retain(|batch| batch.header.last_offset() < offset);
            active.replace(batches);
        }
        self.end_offset = offset;
        self.start_offset = self.start_offset.min(offset);
        self.first_dirty_offset = self.first_dirty_offset.min(offset);
        self.epochs.truncate_to(offset);
        let mut producers = Producers::default();
        let held = self.held_high_watermark.is_some();
        for batch in self.segments.iter().flat_map(|segment| &segment.batches) {
            match end_of_transaction(batch) {
                Some((commit, coordinator_epoch)) => {
                    producers.ended(&batch.header, commit, coordinator_epoch, held);
                }
                None if batch.header.is_control() => {} // emptied by the cleaner: nothing to tell
                None => producers.appended(&batch.header),
            }
        }
        self.producers = producers;
    }
}

/// What a marker says: commit or not, and its coordinator's epoch.
fn end_of_transaction(batch: &Stored) -> Option<(bool, i32)> {
    let raw = batch.raw();
    let commit = match marker(&raw).ok()?? {
        Marker::Commit => true,
        Marker::Abort => false,
        Marker::Other { .. } => return None,
    };
    let record = records(&raw.body, raw.header.count()).next()?.ok()?;
    let epoch = record.value?.get(2..)?.first_chunk()?;
    Some((commit, i32::from_be_bytes(*epoch)))
}
