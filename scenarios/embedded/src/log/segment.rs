//! Segments: the "files" of a log. An answer never crosses one, retention deletes whole ones, the
//! cleaner leaves the last one alone (Kafka's `LogSegment`).

use batch::{BatchHeader, HEADER_BYTES, RawBatch};
use bytes::Bytes;

use super::LogSettings;

/// Bytes between two entries of the offset index: `index.interval.bytes`, Kafka's default.
const INDEX_INTERVAL_BYTES: u64 = 4096;

/// A batch as it lies in the log.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// Its header, parsed.
    pub(super) header: BatchHeader,
    /// All of it.
    pub(super) bytes: Bytes,
    /// Where it starts in its segment.
    pub(super) position: u64,
}

impl Stored {
    pub(super) fn raw(&self) -> RawBatch {
        RawBatch {
            header: self.header,
            body: self.bytes.slice(HEADER_BYTES.min(self.bytes.len())..),
        }
    }

    fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

/// When the active segment is closed: of the topic's configuration, as it was seen last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roll {
    segment_bytes: u64,
    segment_ms: i64,
}

impl Roll {
    pub(super) fn new(settings: &LogSettings) -> Self {
        let lag_ms = settings.max_compaction_lag_ms;
        let lagging = settings.cleanup_compact && lag_ms > 0;
        Self {
            segment_bytes: settings.segment_bytes,
            // what is never closed is never cleaned
            segment_ms: if lagging {
                settings.segment_ms.min(lag_ms)
            } else {
                settings.segment_ms
            },
        }
    }
}

impl Default for Roll {
    fn default() -> Self {
        Self::new(&LogSettings::default())
    }
}

/// Consecutive batches.
#[derive(Debug)]
pub(super) struct Segment {
    /// No batch in it starts below; the first one may start above.
    pub(super) base_offset: i64,
    pub(super) batches: Vec<Stored>,
    /// Time of the first and of the last append; `None` before.
    written_ms: Option<(i64, i64)>,
    /// Max timestamp of the first batch that was ever in it: its age counts from there.
    first_timestamp_ms: i64,
    max_timestamp_ms: i64,
    /// Kafka's sparse offset index: (last offset of a batch, its position).
    index: Vec<(i64, u64)>,
    bytes_since_index: u64,
}

impl Segment {
    pub(super) fn new(base_offset: i64) -> Self {
        Self {
            base_offset,
            batches: Vec::new(),
            written_ms: None,
            first_timestamp_ms: -1,
            max_timestamp_ms: -1,
            index: Vec::new(),
            bytes_since_index: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batches.last().map_or(0, Stored::end)
    }

    /// Latest timestamp of its records, -1 if they have none.
    pub(super) fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }

    /// What retention and a search by time take for its latest timestamp: the time of the last
    /// append, if no record has a timestamp.
    pub(super) fn largest_timestamp_ms(&self) -> i64 {
        match self.max_timestamp_ms {
            0.. => self.max_timestamp_ms,
            _ => self.written_ms.map_or(-1, |(_, last)| last),
        }
    }

    /// From what its age counts for `max.compaction.lag.ms`; -1 if unknown.
    pub(super) fn first_timestamp_ms(&self) -> i64 {
        self.first_timestamp_ms
    }

    /// Time of the first and the last append.
    pub(super) fn written_ms(&self) -> Option<(i64, i64)> {
        self.written_ms
    }

    /// Takes over the times of a segment that went into this one.
    pub(super) fn set_written_ms(&mut self, written_ms: Option<(i64, i64)>) {
        self.written_ms = written_ms.or(self.written_ms);
    }

    /// The batch that is to come needs a new segment.
    pub(super) fn is_full_for(&self, header: &BatchHeader, now_ms: i64, roll: Roll) -> bool {
        let Some((created_ms, _)) = self.written_ms.filter(|_| !self.is_empty()) else {
            return false;
        };
        let age_ms = match self.first_timestamp_ms {
            0.. => header
                .max_timestamp_ms()
                .saturating_sub(self.first_timestamp_ms),
            _ => now_ms.saturating_sub(created_ms),
        };
        self.bytes() + header.total_bytes() as u64 > roll.segment_bytes
            || age_ms > roll.segment_ms
            || header.last_offset() - self.base_offset > i64::from(i32::MAX)
    }

    pub(super) fn push(&mut self, header: BatchHeader, bytes: Bytes, now_ms: i64) {
        let position = self.bytes();
        if position == 0 {
            self.first_timestamp_ms = header.max_timestamp_ms();
        }
        if self.bytes_since_index > INDEX_INTERVAL_BYTES {
            self.index.push((header.last_offset(), position));
            self.bytes_since_index = 0;
        }
        self.bytes_since_index += bytes.len() as u64;
        self.max_timestamp_ms = self.max_timestamp_ms.max(header.max_timestamp_ms());
        let created_ms = self.written_ms.map_or(now_ms, |(created, _)| created);
        self.written_ms = Some((created_ms, now_ms));
        self.batches.push(Stored {
            header,
            bytes,
            position,
        });
    }

    /// Keeps its place and its times, with other batches.
    pub(super) fn replace(&mut self, batches: Vec<Stored>) {
        let written_ms = self.written_ms;
        *self = Self::new(self.base_offset);
        for batch in batches {
            self.push(batch.header, batch.bytes, 0);
        }
        self.written_ms = written_ms;
    }

    /// Number of the first batch whose last offset is at or above `offset`.
    pub(super) fn find(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|b| b.header.last_offset() < offset)
    }

    /// An offset that a read of `bytes` from `position` cannot pass, as the sparse index knows it;
    /// `None` if the index ends before.
    pub(super) fn upper_bound(&self, position: u64, bytes: usize) -> Option<i64> {
        let end = position + bytes as u64;
        let entry = self.index.partition_point(|(_, position)| *position < end);
        self.index.get(entry).map(|(offset, _)| *offset)
    }
}
