//! Cutting a Fetch answer into batches, without copying a payload.

use bytes::{Buf, Bytes};

use crate::crc::crc32c_of_batch;
use crate::header::{BatchError, BatchHeader, HEADER_BYTES, LENGTH_MIN, LOG_OVERHEAD, field};

/// Smallest length field of any message format, as Java's `LegacyRecord.RECORD_OVERHEAD_V0`.
const LENGTH_MIN_OLD: i32 = 14;

/// One batch: its header, copied, and its records, a slice of the fetched buffer.
///
/// Invariant: `body.len() == header.total_bytes() - HEADER_BYTES`. A clone costs one reference
/// count; the fetched buffer stays alive as long as any of its batches.
#[derive(Clone, Debug)]
pub struct RawBatch {
    /// The first 61 bytes.
    pub header: BatchHeader,
    /// Everything behind the header: the records, compressed as a whole if there is a codec.
    pub body: Bytes,
}

impl RawBatch {
    /// Whether header and records still are what was checksummed. Reads the whole payload: not for
    /// the hot path.
    pub fn crc_is_valid(&self) -> bool {
        crc32c_of_batch(self.header.as_bytes(), &self.body) == self.header.crc()
    }
}

/// Walks the records field of one partition in a Fetch answer.
///
/// Ends silently at a tail that the byte limit cut off, which may be shorter than a header
/// (`docs/spec/real-kafka.md` 5, limits); [`Batches::cut_off_bytes`] tells how much that was.
pub fn batches(records: &Bytes) -> Batches {
    Batches {
        rest: records.clone(),
    }
}

/// Iterator made by [`batches`]. Yields nothing more after an error.
#[derive(Clone, Debug)]
pub struct Batches {
    rest: Bytes,
}

impl Batches {
    /// Bytes not yet cut into batches; once the iterator has ended without an error, the size of
    /// the cut-off tail.
    pub fn cut_off_bytes(&self) -> usize {
        self.rest.len()
    }

    /// The next whole batch; `None` at the end or at a cut-off tail. Checks in the order of Java's
    /// `ByteBufferLogInputStream`: length, then magic, then completeness.
    fn cut(&mut self) -> Result<Option<RawBatch>, BatchError> {
        let Some(start) = self.rest.first_chunk::<{ field::MAGIC + 1 }>() else {
            return Ok(None);
        };
        let mut start = start.as_slice();
        let (base_offset, length, _leader_epoch) =
            (start.get_i64(), start.get_i32(), start.get_i32());
        let magic = start.get_i8();
        let length_min = if matches!(magic, 0 | 1) {
            LENGTH_MIN_OLD
        } else {
            LENGTH_MIN
        };
        let Some(total) = usize::try_from(length)
            .ok()
            .filter(|_| length >= length_min)
        else {
            return Err(BatchError::Length {
                base_offset,
                length,
            });
        };
        let total = total + LOG_OVERHEAD;
        match magic {
            2 => {}
            0 | 1 => return Err(BatchError::OldFormat { base_offset, magic }),
            _ => return Err(BatchError::UnknownMagic { base_offset, magic }),
        }
        if self.rest.len() < total {
            return Ok(None);
        }
        let header = BatchHeader::parse(&self.rest)?;
        let mut whole = self.rest.split_to(total);
        whole.advance(HEADER_BYTES);
        Ok(Some(RawBatch {
            header,
            body: whole,
        }))
    }
}

impl Iterator for Batches {
    type Item = Result<RawBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let cut = self.cut();
        if cut.is_err() {
            self.rest.clear(); // what follows a damaged length cannot be found
        }
        cut.transpose()
    }
}

impl std::iter::FusedIterator for Batches {}
