//! Rewriting a batch that cannot pass: the only place where records are decompressed and compressed
//! again.

use crate::builder::{BatchBuilder, BuildError};
use crate::classify::TargetRules;
use crate::codec::{Codec, CodecError, DECOMPRESSED_BYTES_MAX, decompress};
use crate::header::BatchHeader;
use crate::raw::RawBatch;
use crate::record::{RecordError, records};

/// Why a batch could not be rewritten. All but [`ReencodeError::RecordTooLarge`] and
/// [`ReencodeError::Build`] mean damaged data, which is not given a valid checksum.
#[derive(Debug, thiserror::Error)]
pub enum ReencodeError {
    /// The payload is not what was checksummed.
    #[error("batch at offset {base_offset} fails its CRC; check the source log for corruption")]
    Corrupt {
        /// Upstream base offset of the batch.
        base_offset: i64,
    },
    /// The codec is unknown, the data damaged or too large.
    #[error("cannot decompress the batch at offset {base_offset}")]
    Codec {
        /// Upstream base offset of the batch.
        base_offset: i64,
        /// What the codec says.
        #[source]
        source: CodecError,
    },
    /// The records are not what the header says.
    #[error("cannot read the records of the batch at offset {base_offset}")]
    Record {
        /// Upstream base offset of the batch.
        base_offset: i64,
        /// Which record, and what is wrong.
        #[source]
        source: RecordError,
    },
    /// Offsets inside the batch repeat, run backwards or leave it: a damaged log (row 10b, and the
    /// "new" row of `docs/spec/real-kafka.md` 4).
    #[error(
        "batch at offset {base_offset} holds a record out of order, with offset delta \
         {offset_delta}; check the source log for corruption"
    )]
    OffsetOrder {
        /// Upstream base offset of the batch.
        base_offset: i64,
        /// Delta of the first record that is out of order.
        offset_delta: i32,
    },
    /// One record alone is larger than the target takes: raise `max.message.bytes` there, or decide
    /// by policy to leave it out, which is to send `before` and to re-encode again from `offset +
    /// 1`.
    #[error(
        "record at offset {offset} needs a batch of {bytes} bytes, but the target topic takes \
         {limit}; raise max.message.bytes there"
    )]
    RecordTooLarge {
        /// Upstream offset of the record.
        offset: i64,
        /// Size of a batch that holds it alone, in bytes.
        bytes: usize,
        /// What the target takes, in bytes.
        limit: usize,
        /// What the batch holds in front of it, ready to send.
        before: Vec<Reencoded>,
    },
    /// The new batch could not be written.
    #[error("cannot rewrite the batch at offset {base_offset}")]
    Build {
        /// Upstream base offset of the batch.
        base_offset: i64,
        /// What the builder says.
        #[source]
        source: BuildError,
    },
}

/// Records with consecutive upstream offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRun {
    /// Upstream offset of the first of them.
    pub upstream_first: i64,
    /// How many there are; at least 1.
    pub count: i32,
}

/// A rewritten batch, dense and acceptable to the target once stamped, and where its records came
/// from.
#[derive(Clone, Debug)]
pub struct Reencoded {
    /// The batch: base offset 0, no producer yet.
    pub batch: RawBatch,
    /// Upstream offset of its first record.
    pub upstream_first: i64,
    /// Upstream offset of its last record.
    pub upstream_last: i64,
    /// Where the source position stands once this batch is acknowledged: at the next record of the
    /// source batch that is to be written, or behind the whole source batch, holes at its end
    /// included.
    pub upstream_next: i64,
    /// The upstream offsets of all its records, in order: one run per hole and one more. Their
    /// counts add up to the batch's count.
    pub runs: Vec<OffsetRun>,
}

/// A record on its way from one batch to another. Small, as there is one for every record of the
/// batch.
struct Kept<'a> {
    timestamp_ms: i64,
    /// Key, value and headers as they are encoded.
    fields: &'a [u8],
    offset_delta: i32,
    attributes: i8,
}

/// How much the front of a record takes in a usual batch: length, attributes and deltas. Only a
/// first guess.
const FRONT_BYTES_GUESS: usize = 8;

/// Rewrites one batch so that the target takes it, whatever stands in its way.
///
/// Holes are closed, records below `from_offset` left out, append times made create times, a
/// refused codec replaced by lz4; otherwise the codec stays. A result above the target's limit is
/// halved until it fits. Keys, values and headers are copied byte for byte. The source's CRC is
/// checked first, as the result gets a new one.
///
/// Empty if nothing of the batch is to be replicated: no record at or above `from_offset`, or a
/// control batch, or one that compaction emptied. The source position then moves to the batch's
/// `next_offset`.
///
/// # Errors
/// As [`ReencodeError`] lists them.
pub fn reencode(
    batch: &RawBatch,
    from_offset: i64,
    target: &TargetRules,
) -> Result<Vec<Reencoded>, ReencodeError> {
    let header = &batch.header;
    let base_offset = header.base_offset();
    if !batch.crc_is_valid() {
        return Err(ReencodeError::Corrupt { base_offset });
    }
    if header.is_control() || header.count() == 0 {
        return Ok(Vec::new());
    }
    let at_batch = |source| ReencodeError::Codec {
        base_offset,
        source,
    };
    let codec = header.codec().map_err(at_batch)?;
    let plain = decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX).map_err(at_batch)?;
    let kept = keep(header, &plain, from_offset, target)?;
    let (codec, limit) = (target.accepted_codec(codec), target.batch_bytes_max());
    let mut writer = Writer {
        codec,
        limit,
        base_offset,
        written: Vec::new(),
    };
    writer.write_in_halves(&kept, header.next_offset())?;
    Ok(writer.written)
}

/// The records at or above `from_offset`, with the timestamps that the target's consumers are to
/// see.
fn keep<'a>(
    header: &BatchHeader,
    plain: &'a [u8],
    from_offset: i64,
    target: &TargetRules,
) -> Result<Vec<Kept<'a>>, ReencodeError> {
    let base_offset = header.base_offset();
    let append_time_ms = target
        .needs_append_time(header)
        .then(|| header.max_timestamp_ms());
    let (mut kept, mut delta_min) = (Vec::new(), 0);
    for record in records(plain, header.count()) {
        let record = record.map_err(|source| ReencodeError::Record {
            base_offset,
            source,
        })?;
        let offset_delta = record.offset_delta;
        if offset_delta < delta_min || offset_delta > header.last_offset_delta() {
            return Err(ReencodeError::OffsetOrder {
                base_offset,
                offset_delta,
            });
        }
        delta_min = offset_delta.saturating_add(1);
        if base_offset + i64::from(offset_delta) >= from_offset {
            // wraps as Java's addition does; only damaged data gets there
            let create_time_ms = header
                .base_timestamp_ms()
                .wrapping_add(record.timestamp_delta_ms);
            let timestamp_ms = append_time_ms.unwrap_or(create_time_ms);
            let (fields, attributes) = (record.fields, record.attributes);
            kept.push(Kept {
                timestamp_ms,
                fields,
                offset_delta,
                attributes,
            });
        }
    }
    Ok(kept)
}

/// Writes the records of one source batch.
struct Writer {
    codec: Codec,
    limit: usize,
    /// Upstream base offset of the source batch.
    base_offset: i64,
    written: Vec<Reencoded>,
}

impl Writer {
    /// Writes `kept` as one batch, or as two halves if that is too large, and so on, the left half
    /// first. `upstream_next` is the first upstream offset behind `kept` that is still to be
    /// written.
    fn write_in_halves(
        &mut self,
        kept: &[Kept<'_>],
        upstream_next: i64,
    ) -> Result<(), ReencodeError> {
        let ([first, ..], [.., last]) = (kept, kept) else {
            return Ok(());
        };
        let batch = self.write(kept).map_err(|source| ReencodeError::Build {
            base_offset: self.base_offset,
            source,
        })?;
        let (bytes, limit) = (batch.header.total_bytes(), self.limit);
        let (upstream_first, upstream_last) = (self.offset(first), self.offset(last));
        if bytes <= limit {
            let runs = self.runs(kept);
            self.written.push(Reencoded {
                batch,
                upstream_first,
                upstream_last,
                upstream_next,
                runs,
            });
            return Ok(());
        }
        drop(batch); // the halves need the memory
        match kept.split_at(kept.len() / 2) {
            ([], _) => {
                let before = std::mem::take(&mut self.written);
                Err(ReencodeError::RecordTooLarge {
                    offset: upstream_first,
                    bytes,
                    limit,
                    before,
                })
            }
            (left, right) => {
                self.write_in_halves(
                    left,
                    right
                        .first()
                        .map_or(upstream_next, |kept| self.offset(kept)),
                )?;
                self.write_in_halves(right, upstream_next)
            }
        }
    }

    fn write(&self, kept: &[Kept<'_>]) -> Result<RawBatch, BuildError> {
        let bytes = kept
            .iter()
            .map(|kept| kept.fields.len() + FRONT_BYTES_GUESS)
            .sum();
        let mut builder = BatchBuilder::with_capacity(self.codec, bytes);
        for kept in kept {
            builder.push_fields(kept.attributes, kept.timestamp_ms, kept.fields)?;
        }
        builder.build()
    }

    fn runs(&self, kept: &[Kept<'_>]) -> Vec<OffsetRun> {
        let mut runs: Vec<OffsetRun> = Vec::new();
        for offset in kept.iter().map(|kept| self.offset(kept)) {
            match runs.last_mut() {
                Some(run) if run.upstream_first + i64::from(run.count) == offset => run.count += 1,
                _ => runs.push(OffsetRun {
                    upstream_first: offset,
                    count: 1,
                }),
            }
        }
        runs
    }

    fn offset(&self, kept: &Kept<'_>) -> i64 {
        self.base_offset + i64::from(kept.offset_delta)
    }
}
