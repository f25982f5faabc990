//! The header patch of a batch that passes.

use crate::crc::crc_after_patch;
use crate::header::{BatchHeader, attribute, field};

/// The producer that a batch is written as. Always ours: a source's own triple would be judged
/// against the target's state and could be swallowed as a duplicate (row 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Producer id, or -1 for none.
    pub producer_id: i64,
    /// Its epoch, or -1.
    pub producer_epoch: i16,
    /// Sequence of the batch's first record, or -1; at least 0 with a producer id (row 14).
    pub base_sequence: i32,
    /// Part of our open transaction. The Produce request must then carry its transactional id (row
    /// 13).
    pub transactional: bool,
}

impl ProducerStamp {
    /// Neither idempotent nor transactional.
    pub const NONE: Self = Self {
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        transactional: false,
    };
}

/// The header under which a batch goes to the target; the body stays as it is.
///
/// Sets what rows 3, 4, 12 to 15, 17, 24 and 25 of `docs/spec/batches.md` 1 demand: base offset 0,
/// leader epoch -1, attributes reduced to codec and our own transactional bit, our producer fields.
/// The CRC follows from the old one: a body that was damaged before stays detectably damaged.
/// Stamping again, as for a resend, is fine.
pub fn stamp(header: &BatchHeader, stamp: ProducerStamp) -> BatchHeader {
    let transactional = if stamp.transactional {
        attribute::TRANSACTIONAL
    } else {
        0
    };
    let attributes = header.attributes() & attribute::CODEC_MASK | transactional;
    let mut bytes = *header.as_bytes();
    bytes[field::BASE_OFFSET..][..8].copy_from_slice(&0i64.to_be_bytes());
    bytes[field::LEADER_EPOCH..][..4].copy_from_slice(&(-1i32).to_be_bytes());
    bytes[field::ATTRIBUTES..][..2].copy_from_slice(&attributes.to_be_bytes());
    bytes[field::PRODUCER_ID..][..8].copy_from_slice(&stamp.producer_id.to_be_bytes());
    bytes[field::PRODUCER_EPOCH..][..2].copy_from_slice(&stamp.producer_epoch.to_be_bytes());
    bytes[field::BASE_SEQUENCE..][..4].copy_from_slice(&stamp.base_sequence.to_be_bytes());
    let crc = crc_after_patch(header, &bytes);
    bytes[field::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
    BatchHeader::from_bytes(bytes)
}

/// Sequence behind `count` records that start at `sequence`; 0 follows 2^31 - 1, as in Java's
/// `DefaultRecordBatch.incrementSequence`. Both are at least 0.
pub fn next_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(next_sequence(0, 5), 5);
        assert_eq!(next_sequence(i32::MAX, 1), 0);
        // docs/spec/real-kafka.md 3: "batch at 2^31 - 2 with 3 records, next sequence 1: accepted"
        assert_eq!(next_sequence(i32::MAX - 1, 3), 1);
        assert_eq!(next_sequence(i32::MAX, i32::MAX), i32::MAX - 1);
    }
}
