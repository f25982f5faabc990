//! read_committed: which batches belong to aborted transactions (`docs/spec/batches.md` 1, end).

use std::collections::{HashSet, VecDeque};

use crate::codec::{CodecError, decompress};
use crate::raw::RawBatch;
use crate::record::{RecordError, records};

/// What a control batch may decompress to; a marker takes less than 100 bytes.
const CONTROL_BYTES_MAX: usize = 64 << 10;

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// Ends an aborted transaction of the batch's producer.
    Abort,
    /// Ends a committed transaction of the batch's producer.
    Commit,
    /// Another control record, as Raft's; of no meaning for data.
    Other {
        /// The type in the record's key.
        kind: i16,
    },
}

/// Why a control batch could not be read. Guessing is no way out: with a missed ABORT, the
/// producer's next committed records would be dropped.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The payload is not what was checksummed.
    #[error("control batch at offset {offset} fails its CRC; check the source log for corruption")]
    Corrupt {
        /// Upstream offset of the batch.
        offset: i64,
    },
    /// The codec is unknown or the data damaged.
    #[error("cannot decompress the control batch at offset {offset}")]
    Codec {
        /// Upstream offset of the batch.
        offset: i64,
        /// What the codec says.
        #[source]
        source: CodecError,
    },
    /// The record is not what the header says.
    #[error("cannot read the control batch at offset {offset}")]
    Record {
        /// Upstream offset of the batch.
        offset: i64,
        /// What is wrong with the record.
        #[source]
        source: RecordError,
    },
    /// A control record's key holds version and type, two bytes each.
    #[error(
        "control batch at offset {offset} has a key of less than 4 bytes; \
         check the source log for corruption"
    )]
    Key {
        /// Upstream offset of the batch.
        offset: i64,
    },
}

/// Reads a control batch's first record; `None` for a data batch, and for one that compaction
/// emptied.
///
/// # Errors
/// As [`MarkerError`] lists them.
pub fn marker(batch: &RawBatch) -> Result<Option<Marker>, MarkerError> {
    let (header, offset) = (&batch.header, batch.header.base_offset());
    if !header.is_control() || header.count() == 0 {
        return Ok(None);
    }
    if !batch.crc_is_valid() {
        return Err(MarkerError::Corrupt { offset });
    }
    let unreadable = |source| MarkerError::Codec { offset, source };
    let plain = decompress(
        header.codec().map_err(unreadable)?,
        &batch.body,
        CONTROL_BYTES_MAX,
    )
    .map_err(unreadable)?;
    let Some(record) = records(&plain, header.count()).next() else {
        return Ok(None);
    };
    let record = record.map_err(|source| MarkerError::Record { offset, source })?;
    match record.key {
        Some([_, _, high, low, ..]) => Ok(Some(match i16::from_be_bytes([*high, *low]) {
            0 => Marker::Abort,
            1 => Marker::Commit,
            kind => Marker::Other { kind },
        })),
        _ => Err(MarkerError::Key { offset }),
    }
}

/// The aborted transactions that reach into one partition's part of one Fetch answer.
///
/// Make one for each answer, as Java's `CompletedFetch` does: the broker lists every aborted
/// transaction of the range again, also one that began before it.
#[derive(Clone, Debug, Default)]
pub struct AbortedTransactions {
    /// (first offset, producer id), ordered; those not yet reached.
    ahead: VecDeque<(i64, i64)>,
    /// Producers inside an aborted transaction at this point of the log.
    open: HashSet<i64>,
}

impl AbortedTransactions {
    /// From the answer's `aborted_transactions`: pairs of (producer id, first offset) in any order.
    pub fn new(transactions: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut ahead: Vec<_> = transactions
            .into_iter()
            .map(|(id, first_offset)| (first_offset, id))
            .collect();
        ahead.sort_unstable();
        Self {
            ahead: ahead.into(),
            open: HashSet::new(),
        }
    }

    /// Whether `batch` holds records of an aborted transaction. Ask for every batch of the answer
    /// once, in order, before [`crate::classify`]: also for batches that are dropped for other
    /// reasons, since markers end transactions.
    ///
    /// # Errors
    /// As [`marker`].
    pub fn is_aborted(&mut self, batch: &RawBatch) -> Result<bool, MarkerError> {
        let (header, producer_id) = (&batch.header, batch.header.producer_id());
        if producer_id < 0 {
            return Ok(false);
        }
        while let Some((_, id)) = self
            .ahead
            .pop_front_if(|(first_offset, _)| *first_offset <= header.last_offset())
        {
            self.open.insert(id);
        }
        if header.is_control() {
            if marker(batch)? == Some(Marker::Abort) {
                self.open.remove(&producer_id);
            }
            return Ok(false);
        }
        Ok(header.is_transactional() && self.open.contains(&producer_id))
    }
}
