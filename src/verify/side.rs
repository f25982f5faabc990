//! One side of a comparison: a stretch of a partition's log, batch by batch, opened into records where needed.

use std::collections::VecDeque;
use std::hash::Hasher;

use anyhow::{Context, bail};
use bytes::Bytes;
use engine::batch::{RawBatch, RecordView, TimestampType, records, write_record};
use engine::cluster::{Cluster, ErrorCode, LogCursor, OffsetAt};

use crate::tools;

/// A record, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    /// As consumers see it; none where the log gives its own time.
    pub(crate) timestamp_ms: Option<i64>,
    /// Key, value and headers, encoded.
    pub(crate) fields: Bytes,
}

impl Entry {
    /// Key, value and headers are the same.
    pub(crate) fn has_fields_of(&self, other: &Self) -> bool {
        self.fields == other.fields
    }

    /// The timestamps are the same, or one of the logs keeps none.
    pub(crate) fn has_time_of(&self, other: &Self) -> bool {
        match (self.timestamp_ms, other.timestamp_ms) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        }
    }

    /// The same record.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        self.has_time_of(other) && self.has_fields_of(other)
    }

    /// Equal records have equal ones. `timed`: by the timestamp, too.
    pub(crate) fn hash(&self, timed: bool) -> u64 {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(&self.fields);
        if timed {
            hasher.write_i64(self.timestamp_ms.unwrap_or(-1));
        }
        hasher.finish()
    }

    /// Calls `with` with the record's parts; not at all if they cannot be read, which they were once.
    pub(crate) fn view<T>(&self, with: impl FnOnce(RecordView<'_>) -> T) -> Option<T> {
        let mut encoded = Vec::with_capacity(self.fields.len() + 16);
        write_record(&mut encoded, 0, 0, &self.fields);
        let record = records(&encoded, 1).next()?.ok()?;
        Some(with(record))
    }
}

/// Which log, and which part of it.
#[derive(Clone)]
pub(crate) struct Stretch<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) topic: &'a str,
    pub(crate) partition: i32,
    /// The first offset that counts.
    pub(crate) from: i64,
    /// Behind the last.
    pub(crate) end: i64,
    pub(crate) read_committed: bool,
    /// The log's own times count for nothing: it is a copy.
    pub(crate) is_copy: bool,
}

/// Reads a [`Stretch`].
pub(crate) struct Side<'a> {
    stretch: Stretch<'a>,
    cursor: LogCursor<'a>,
    /// Fetched, not opened; none is empty or a control batch.
    batches: VecDeque<RawBatch>,
    /// Opened, and in front of all batches.
    open: VecDeque<Entry>,
    /// Bytes of the batches that were fetched.
    pub(crate) bytes: u64,
    /// Retention has deleted what was to be read next; for whoever looks, and resets it.
    pub(crate) overtaken: bool,
}

impl<'a> Side<'a> {
    pub(crate) fn new(stretch: Stretch<'a>) -> Self {
        let cursor = cursor(&stretch, stretch.from);
        Self {
            stretch,
            cursor,
            batches: VecDeque::new(),
            open: VecDeque::new(),
            bytes: 0,
            overtaken: false,
        }
    }

    /// Another reader of what lies behind all that this one has opened.
    pub(crate) fn ahead(&self) -> Self {
        let unopened = self.batches.front().map(|batch| batch.header.base_offset());
        let from = unopened.unwrap_or_else(|| self.cursor.offset());
        Self::new(Stretch {
            from: from.max(self.stretch.from),
            ..self.stretch.clone()
        })
    }

    /// Goes on at `offset`, which is not below what was taken.
    pub(crate) fn jump(&mut self, offset: i64) {
        self.stretch.from = offset;
        self.cursor = cursor(&self.stretch, offset);
        self.batches.clear();
        self.open.clear();
    }

    /// The first offset that counts.
    pub(crate) fn start(&self) -> i64 {
        self.stretch.from
    }

    /// Behind the last offset.
    pub(crate) fn end(&self) -> i64 {
        self.stretch.end
    }

    /// The batch that comes next, if no record stands in front of it.
    pub(crate) fn whole_batch(&self) -> Option<&RawBatch> {
        let whole = |batch: &&RawBatch| {
            let header = &batch.header;
            header.base_offset() >= self.stretch.from && header.next_offset() <= self.stretch.end
        };
        self.batches
            .front()
            .filter(|_| self.open.is_empty())
            .filter(whole)
    }

    /// Takes the batch that comes next.
    pub(crate) fn pop_batch(&mut self) -> Option<RawBatch> {
        self.batches.pop_front()
    }

    /// The records that are opened.
    pub(crate) fn window(&self) -> &VecDeque<Entry> {
        &self.open
    }

    /// Takes the next record of those that are opened.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        self.open.pop_front()
    }

    /// Nothing is waiting.
    pub(crate) fn is_drained(&self) -> bool {
        self.open.is_empty() && self.batches.is_empty()
    }

    /// Makes sure that something is waiting; false at the end.
    ///
    /// # Errors
    /// The log cannot be read, or is damaged.
    pub(crate) async fn fetch(&mut self) -> anyhow::Result<bool> {
        while self.is_drained() {
            if !self.fetch_more().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Opens batches until `count` records of at most `bytes` are waiting, or the end is reached. False at the end.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub(crate) async fn open(&mut self, count: usize, bytes: usize) -> anyhow::Result<bool> {
        if self.open.len() >= count {
            return Ok(true);
        }
        let mut held: usize = self.open.iter().map(|entry| entry.fields.len()).sum();
        while self.open.len() < count && (held < bytes || self.open.is_empty()) {
            match self.batches.pop_front() {
                Some(batch) => held += self.open_batch(&batch)?,
                None if !self.fetch_more().await? => return Ok(false),
                None => {}
            }
        }
        Ok(true)
    }

    async fn fetch_more(&mut self) -> anyhow::Result<bool> {
        let Stretch {
            cluster,
            topic,
            partition,
            end,
            ..
        } = self.stretch;
        let found = match self.cursor.next().await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(error) if error.code() == Some(ErrorCode::OFFSET_OUT_OF_RANGE) => {
                let start = cluster.offset(topic, partition, OffsetAt::Earliest).await?;
                if start <= self.cursor.offset() {
                    return Err(error).context("the log's end moved back while it was read");
                }
                self.overtaken = true;
                self.cursor = cursor(&self.stretch, start);
                return Ok(start < end);
            }
            Err(error) => return Err(error.into()),
        };
        for batch in found {
            let header = &batch.header;
            let (base, count) = (header.base_offset(), header.count());
            if !batch.crc_is_valid() {
                let alias = cluster.alias();
                bail!(
                    "{alias}: {topic}-{partition}: the batch at offset {base} fails its checksum"
                );
            }
            self.bytes += header.total_bytes() as u64;
            if count > 0 && !header.is_control() && base < end {
                self.batches.push_back(batch);
            }
        }
        Ok(true)
    }

    fn open_batch(&mut self, batch: &RawBatch) -> anyhow::Result<usize> {
        let mut bytes = 0;
        let stretch = &self.stretch;
        let open = &mut self.open;
        each_entry(batch, stretch.is_copy, |entry| {
            if (stretch.from..stretch.end).contains(&entry.offset) {
                bytes += entry.fields.len();
                open.push_back(entry);
            }
        })
        .with_context(|| {
            let (topic, partition) = (stretch.topic, stretch.partition);
            format!("{}: {topic}-{partition}", stretch.cluster.alias())
        })?;
        Ok(bytes)
    }
}

fn cursor<'a>(stretch: &Stretch<'a>, offset: i64) -> LogCursor<'a> {
    stretch.cluster.cursor(
        stretch.topic,
        stretch.partition,
        offset,
        stretch.end,
        stretch.read_committed,
    )
}

/// Calls `each` for the records of a batch.
///
/// # Errors
/// The batch is damaged.
pub(crate) fn each_entry(
    batch: &RawBatch,
    is_copy: bool,
    mut each: impl FnMut(Entry),
) -> anyhow::Result<()> {
    // The copy's own clock says nothing about the source's record.
    let timeless = is_copy && batch.header.timestamp_type() == TimestampType::LogAppendTime;
    tools::each_record(batch, |seen| {
        each(Entry {
            offset: seen.offset,
            timestamp_ms: (!timeless).then_some(seen.timestamp_ms),
            fields: seen.fields(),
        });
        Ok(())
    })
}
