//! Walking the records of a decompressed batch: borrowed slices, nothing copied, every length
//! checked.

use bytes::BufMut;

use crate::varint::{read_varint, read_varlong, varlong_bytes, write_varlong};

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordProblem {
    /// The batch states a negative number of records.
    Count,
    /// The bytes end inside the record, or a length is no legal varint.
    CutOff,
    /// A length below zero where null is not allowed, or below -1.
    Length,
    /// The record is longer than its fields.
    Slack,
    /// More bytes follow the last record.
    Trailing,
}

impl std::fmt::Display for RecordProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Count => "the batch states a negative count",
            Self::CutOff => "the bytes end inside it",
            Self::Length => "a field has an impossible length",
            Self::Slack => "it is longer than its fields",
            Self::Trailing => "bytes follow the last record",
        })
    }
}

/// The records of a batch are not what its header says: damaged data (row 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read record {index} of the batch: {problem}; check the source log for corruption")]
pub struct RecordError {
    /// Number of the record in the batch, from 0.
    pub index: i32,
    /// What is wrong with it.
    pub problem: RecordProblem,
}

/// One record, borrowed from the decompressed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Record attributes, unused by Kafka so far.
    pub attributes: i8,
    /// Milliseconds relative to the batch's base timestamp. Negative in batches with a delete
    /// horizon.
    pub timestamp_delta_ms: i64,
    /// Offset relative to the batch's base offset.
    pub offset_delta: i32,
    /// Key; `None` is null, not empty.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is null: a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Number of headers.
    pub header_count: i32,
    /// The headers, encoded; checked.
    headers: &'a [u8],
    /// Everything behind the deltas, from the key's length on: what a re-encode copies as it is.
    pub(crate) fields: &'a [u8],
}

impl<'a> RecordView<'a> {
    /// Key, value and headers as they are encoded: what [`write_record`] takes.
    pub fn fields(&self) -> &'a [u8] {
        self.fields
    }

    /// The record's headers in their order, duplicates included.
    pub fn headers(&self) -> RecordHeaders<'a> {
        RecordHeaders { rest: self.headers }
    }
}

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHeader<'a> {
    /// Name: UTF-8 by Kafka's protocol, which nobody enforces; may be empty and need not be unique.
    pub name: &'a [u8],
    /// Value; `None` is null, not empty.
    pub value: Option<&'a [u8]>,
}

/// Iterator over a record's headers.
#[derive(Clone, Debug)]
pub struct RecordHeaders<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = RecordHeader<'a>;

    fn next(&mut self) -> Option<RecordHeader<'a>> {
        header(&mut self.rest).ok() // checked when the record was read: only the end fails
    }
}

/// Walks the `count` records in `body`, which is decompressed. The last item is an error if bytes
/// are left over.
pub fn records(body: &[u8], count: i32) -> Records<'_> {
    Records {
        rest: body,
        index: 0,
        count,
    }
}

/// Iterator made by [`records`]. Yields nothing more after an error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: i32,
    count: i32,
}

impl<'a> Records<'a> {
    fn read(&mut self) -> Result<Option<RecordView<'a>>, RecordProblem> {
        match self.count {
            ..0 => Err(RecordProblem::Count),
            count if self.index < count => record(&mut self.rest).map(Some),
            _ if self.rest.is_empty() => Ok(None),
            _ => Err(RecordProblem::Trailing),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RecordView<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.index;
        let record = self.read();
        if record.is_err() {
            *self = Self {
                rest: &[],
                index: 0,
                count: 0,
            };
        } else if index < self.count {
            self.index += 1;
        }
        record
            .map_err(|problem| RecordError { index, problem })
            .transpose()
    }
}

impl std::iter::FusedIterator for Records<'_> {}

/// Appends one record whose key, value and headers are encoded already, as [`RecordView::fields`]
/// holds them. Offsets and timestamps are the caller's: unlike [`crate::BatchBuilder`], this writes
/// the holes of a compacted batch too.
pub fn write_record(out: &mut Vec<u8>, timestamp_delta_ms: i64, offset_delta: i32, fields: &[u8]) {
    let offset_delta = i64::from(offset_delta);
    let front = 1 + varlong_bytes(timestamp_delta_ms) + varlong_bytes(offset_delta);
    write_varlong(out, (front + fields.len()) as i64);
    out.put_i8(0); // attributes: Kafka uses none
    write_varlong(out, timestamp_delta_ms);
    write_varlong(out, offset_delta);
    out.put_slice(fields);
}

/// One record off the front of `bytes` (KIP-98, message format v2).
fn record<'a>(bytes: &mut &'a [u8]) -> Result<RecordView<'a>, RecordProblem> {
    let mut rest = required(bytes)?;
    let (&attributes, after) = rest.split_first().ok_or(RecordProblem::CutOff)?;
    rest = after;
    let timestamp_delta_ms = read_varlong(&mut rest).ok_or(RecordProblem::CutOff)?;
    let offset_delta = read_varint(&mut rest).ok_or(RecordProblem::CutOff)?;
    let fields = rest;
    let (key, value) = (nullable(&mut rest)?, nullable(&mut rest)?);
    let header_count = read_varint(&mut rest).ok_or(RecordProblem::CutOff)?;
    if header_count < 0 {
        return Err(RecordProblem::Length);
    }
    let headers = rest;
    for _ in 0..header_count {
        header(&mut rest)?; // takes at least two bytes or fails, so a huge count ends soon
    }
    if !rest.is_empty() {
        return Err(RecordProblem::Slack);
    }
    let attributes = attributes.cast_signed();
    Ok(RecordView {
        attributes,
        timestamp_delta_ms,
        offset_delta,
        key,
        value,
        header_count,
        headers,
        fields,
    })
}

fn header<'a>(bytes: &mut &'a [u8]) -> Result<RecordHeader<'a>, RecordProblem> {
    Ok(RecordHeader {
        name: required(bytes)?,
        value: nullable(bytes)?,
    })
}

/// A length and that many bytes; null is not allowed.
fn required<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], RecordProblem> {
    nullable(bytes)?.ok_or(RecordProblem::Length)
}

/// A length and that many bytes; -1 is null.
fn nullable<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordProblem> {
    let length = read_varint(bytes).ok_or(RecordProblem::CutOff)?;
    if length == -1 {
        return Ok(None);
    }
    let length = usize::try_from(length).map_err(|_| RecordProblem::Length)?;
    let (field, rest) = bytes
        .split_at_checked(length)
        .ok_or(RecordProblem::CutOff)?;
    *bytes = rest;
    Ok(Some(field))
}
