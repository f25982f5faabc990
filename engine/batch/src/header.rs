//! The 61 bytes in front of every v2 batch.

use crate::codec::{Codec, CodecError};

/// Length of a v2 batch header: everything in front of the first record (`docs/spec/batches.md` 1).
pub const HEADER_BYTES: usize = 61;

/// Bytes in front of the part that the length field counts: base offset and the length itself.
pub(crate) const LOG_OVERHEAD: usize = 12;
/// Smallest legal length field of a v2 batch: a header without records.
pub(crate) const LENGTH_MIN: i32 = 49;

/// Where the fields start. The CRC covers everything from [`field::ATTRIBUTES`] to the end of the
/// batch.
pub mod field {
    /// 8 bytes.
    pub const BASE_OFFSET: usize = 0;
    /// 4 bytes: what follows them.
    pub const LENGTH: usize = 8;
    /// 4 bytes.
    pub const LEADER_EPOCH: usize = 12;
    /// 1 byte.
    pub const MAGIC: usize = 16;
    /// 4 bytes.
    pub const CRC: usize = 17;
    /// 2 bytes.
    pub const ATTRIBUTES: usize = 21;
    /// 4 bytes.
    pub const LAST_OFFSET_DELTA: usize = 23;
    /// 8 bytes.
    pub const BASE_TIMESTAMP: usize = 27;
    /// 8 bytes.
    pub const MAX_TIMESTAMP: usize = 35;
    /// 8 bytes.
    pub const PRODUCER_ID: usize = 43;
    /// 2 bytes.
    pub const PRODUCER_EPOCH: usize = 51;
    /// 4 bytes.
    pub const BASE_SEQUENCE: usize = 53;
    /// 4 bytes.
    pub const COUNT: usize = 57;
}

/// Bits of the attributes field.
pub mod attribute {
    /// The codec, see [`crate::Codec`].
    pub const CODEC_MASK: i16 = 0x07;
    /// Timestamps are the broker's.
    pub const LOG_APPEND_TIME: i16 = 0x08;
    /// Written inside a transaction.
    pub const TRANSACTIONAL: i16 = 0x10;
    /// Markers, no data.
    pub const CONTROL: i16 = 0x20;
    /// The base timestamp is a deadline of the log cleaner (KIP-534).
    pub const DELETE_HORIZON: i16 = 0x40;
}

/// Why bytes are not a v2 batch. All but [`BatchError::OldFormat`] mean damaged data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than a header; never returned by [`crate::batches`], which takes it for a
    /// cut-off tail.
    #[error("batch header needs 61 bytes, but only {bytes} are there")]
    Short {
        /// How many bytes there were.
        bytes: usize,
    },
    /// Message format v0 or v1: brokers refuse it in Produce v3 and above (row 2), so another lane
    /// must carry it.
    #[error(
        "batch at offset {base_offset} has the old message format v{magic}; \
         replicate the topic with the record lane"
    )]
    OldFormat {
        /// Offset field of the old message set entry.
        base_offset: i64,
        /// 0 or 1.
        magic: i8,
    },
    /// A magic byte that no Kafka version writes.
    #[error(
        "batch at offset {base_offset} has unknown magic {magic}; \
         check the source log for corruption"
    )]
    UnknownMagic {
        /// Base offset field.
        base_offset: i64,
        /// The byte at position 16.
        magic: i8,
    },
    /// A length field that no batch can have.
    #[error(
        "batch at offset {base_offset} states an impossible length of {length} bytes; \
         check the source log for corruption"
    )]
    Length {
        /// Base offset field.
        base_offset: i64,
        /// The length field: bytes behind itself.
        length: i32,
    },
    /// Negative or overflowing offsets, with which a position could run backwards.
    #[error(
        "batch at offset {base_offset} states an impossible last offset delta of \
         {last_offset_delta}; check the source log for corruption"
    )]
    Offsets {
        /// Base offset field.
        base_offset: i64,
        /// Last offset delta field.
        last_offset_delta: i32,
    },
}

/// What a batch's timestamps mean (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// Set by the producer, one per record.
    #[default]
    CreateTime,
    /// Set by the broker: every record counts as written at the batch's max timestamp.
    LogAppendTime,
}

/// A v2 batch header, copied out of the fetched bytes; accessors decode on demand.
///
/// Invariants, checked by [`BatchHeader::parse`]: magic is 2, the length is at least that of a
/// header, and `0 <= base_offset <= last_offset < i64::MAX`. Nothing else is checked: not the CRC,
/// not the codec, not the count.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader([u8; HEADER_BYTES]);

impl BatchHeader {
    /// Reads the header at the start of `bytes`; what follows it is not looked at.
    ///
    /// # Errors
    /// As [`BatchError`] lists them.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = bytes
            .first_chunk()
            .map(|bytes| Self(*bytes))
            .ok_or(BatchError::Short { bytes: bytes.len() })?;
        let (base_offset, last_offset_delta) = (header.base_offset(), header.last_offset_delta());
        match header.magic() {
            2 => {}
            magic @ 0..=1 => return Err(BatchError::OldFormat { base_offset, magic }),
            magic => return Err(BatchError::UnknownMagic { base_offset, magic }),
        }
        if header.length() < LENGTH_MIN {
            return Err(BatchError::Length {
                base_offset,
                length: header.length(),
            });
        }
        let next = base_offset
            .checked_add(i64::from(last_offset_delta))
            .and_then(|last| last.checked_add(1));
        if base_offset < 0 || last_offset_delta < 0 || next.is_none() {
            return Err(BatchError::Offsets {
                base_offset,
                last_offset_delta,
            });
        }
        Ok(header)
    }

    /// A header that this crate writes itself; its callers keep the invariants of the type.
    pub(crate) fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        Self(bytes)
    }

    /// The header as it goes over the wire.
    pub fn as_bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.0
    }

    /// Offset of the batch's first slot; that record itself may have been compacted away.
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(self.at::<{ field::BASE_OFFSET }, 8>())
    }

    /// The length field: bytes behind it.
    fn length(&self) -> i32 {
        i32::from_be_bytes(self.at::<{ field::LENGTH }, 4>())
    }

    /// Size of the whole batch in bytes, header included; what `max.message.bytes` is compared with
    /// (row 6).
    pub fn total_bytes(&self) -> usize {
        usize::try_from(self.length()).unwrap_or(0) + LOG_OVERHEAD
    }

    /// Leader epoch under which the batch was appended; `last_fetched_epoch` of the next Fetch. -1
    /// if unknown.
    pub fn leader_epoch(&self) -> i32 {
        i32::from_be_bytes(self.at::<{ field::LEADER_EPOCH }, 4>())
    }

    /// Message format, always 2.
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(self.at::<{ field::MAGIC }, 1>())
    }

    /// CRC-32C of everything from the attributes to the end of the batch.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.at::<{ field::CRC }, 4>())
    }

    /// Codec, timestamp type, transactional, control and delete-horizon bits.
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.at::<{ field::ATTRIBUTES }, 2>())
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// [`CodecError::Unknown`] for the codec bits 5 to 7, which no Kafka version writes.
    pub fn codec(&self) -> Result<Codec, CodecError> {
        Codec::from_attributes(self.attributes())
    }

    /// Written inside a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes() & attribute::TRANSACTIONAL != 0
    }

    /// Holds a transaction marker or another control record, no data.
    pub fn is_control(&self) -> bool {
        self.attributes() & attribute::CONTROL != 0
    }

    /// Who set the timestamps.
    pub fn timestamp_type(&self) -> TimestampType {
        match self.attributes() & attribute::LOG_APPEND_TIME {
            0 => TimestampType::CreateTime,
            _ => TimestampType::LogAppendTime,
        }
    }

    /// The log cleaner has put a tombstone deadline into [`Self::base_timestamp_ms`] (KIP-534).
    /// Record timestamps are still relative to that field.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes() & attribute::DELETE_HORIZON != 0
    }

    /// Offset of the last slot, relative to the base offset. At least 0.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.at::<{ field::LAST_OFFSET_DELTA }, 4>())
    }

    /// What record timestamps are relative to, in milliseconds; -1 if the records have none.
    pub fn base_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(self.at::<{ field::BASE_TIMESTAMP }, 8>())
    }

    /// Latest timestamp, in milliseconds; the timestamp of every record under LogAppendTime. -1 if
    /// there is none.
    pub fn max_timestamp_ms(&self) -> i64 {
        i64::from_be_bytes(self.at::<{ field::MAX_TIMESTAMP }, 8>())
    }

    /// Id of an idempotent or transactional producer, else -1.
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.at::<{ field::PRODUCER_ID }, 8>())
    }

    /// Epoch of that producer, else -1.
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.at::<{ field::PRODUCER_EPOCH }, 2>())
    }

    /// Sequence of the first record, else -1.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.at::<{ field::BASE_SEQUENCE }, 4>())
    }

    /// Stated number of records. 0 for a batch that compaction emptied; a damaged header may say
    /// anything.
    pub fn count(&self) -> i32 {
        i32::from_be_bytes(self.at::<{ field::COUNT }, 4>())
    }

    /// Offset of the batch's last slot.
    pub fn last_offset(&self) -> i64 {
        self.base_offset() + i64::from(self.last_offset_delta())
    }

    /// Where to go on reading behind this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Every slot still holds its record. Deltas are distinct and within 0..=last, so equality is
    /// exact (row 10).
    pub fn is_dense(&self) -> bool {
        i64::from(self.count()) == i64::from(self.last_offset_delta()) + 1
    }

    /// `N` bytes at the constant position `AT`; a field outside the header does not compile into a
    /// valid read.
    fn at<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= HEADER_BYTES) };
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.0[AT..AT + N]);
        bytes
    }
}

impl std::fmt::Debug for BatchHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchHeader")
            .field("base_offset", &self.base_offset())
            .field("last_offset_delta", &self.last_offset_delta())
            .field("count", &self.count())
            .field("total_bytes", &self.total_bytes())
            .field("leader_epoch", &self.leader_epoch())
            .field("crc", &self.crc())
            .field("attributes", &format_args!("{:#06x}", self.attributes()))
            .field("base_timestamp_ms", &self.base_timestamp_ms())
            .field("max_timestamp_ms", &self.max_timestamp_ms())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .finish()
    }
}
