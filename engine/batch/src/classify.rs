//! What becomes of a batch, judged by its header alone: the rules of `docs/spec/batches.md` 1.

use crate::codec::Codec;
use crate::header::{BatchHeader, TimestampType};

/// The part of a target topic and its cluster that decides what its brokers accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetRules {
    /// The topic's `message.timestamp.type`. Default: CreateTime.
    pub timestamp_type: TimestampType,
    /// The topic's `max.message.bytes`; a batch of exactly this size is accepted (row 6). Unit:
    /// bytes. Default: Kafka's own, 1 MiB and a batch overhead of 12.
    pub max_message_bytes: usize,
    /// The topic's `segment.bytes`, which no batch may exceed (row 7). Unit: bytes. Default:
    /// Kafka's own, 1 GiB.
    pub segment_bytes: usize,
    /// The brokers take zstd: Produce v7 and above (row 23). Default: true.
    pub zstd: bool,
    /// What a LogAppendTime batch brings to a CreateTime topic: false, the times that the source's
    /// consumers saw, as MM2 delivers them (needs a re-encode); true, the producers' own times,
    /// which the batch still holds (passes). Default: false. Row 17.
    pub restore_create_time: bool,
}

impl Default for TargetRules {
    fn default() -> Self {
        Self {
            timestamp_type: TimestampType::CreateTime,
            max_message_bytes: (1 << 20) + 12,
            segment_bytes: 1 << 30,
            zstd: true,
            restore_create_time: false,
        }
    }
}

impl TargetRules {
    /// Largest batch that the target takes, in bytes with its header.
    pub fn batch_bytes_max(&self) -> usize {
        self.max_message_bytes.min(self.segment_bytes)
    }

    /// Consumers of the copy would see other timestamps than consumers of the source did (row 17).
    pub(crate) fn needs_append_time(&self, header: &BatchHeader) -> bool {
        header.timestamp_type() == TimestampType::LogAppendTime
            && self.timestamp_type == TimestampType::CreateTime
            && !self.restore_create_time
    }

    /// The codec to write instead of `codec`: lz4 where zstd is refused (row 23).
    pub(crate) fn accepted_codec(&self, codec: Codec) -> Codec {
        if codec == Codec::Zstd && !self.zstd {
            Codec::Lz4
        } else {
            codec
        }
    }
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it with a patched header ([`crate::stamp`]).
    Pass,
    /// Send nothing; the source position moves to [`BatchHeader::next_offset`].
    Drop(DropReason),
    /// Send what [`crate::reencode`] makes of it.
    Reencode(ReencodeReason),
}

/// Why a batch is not replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It ends below the first offset wanted: already replicated.
    BelowPosition,
    /// Transaction markers belong to the source's coordinator (row 12).
    Control,
    /// Compaction removed its last record (row 9).
    Empty,
    /// Under read_committed: its transaction was aborted. Decided by
    /// [`crate::AbortedTransactions`].
    Aborted,
}

impl DropReason {
    /// Every reason, to resolve metric handles once.
    pub const ALL: [Self; 4] = [
        Self::BelowPosition,
        Self::Control,
        Self::Empty,
        Self::Aborted,
    ];

    /// Stable label for metrics and states.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BelowPosition => "below_position",
            Self::Control => "control",
            Self::Empty => "empty",
            Self::Aborted => "aborted",
        }
    }
}

/// Why a batch cannot pass as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReencodeReason {
    /// Its first records lie below the first offset wanted; passing it would duplicate them.
    ResumeInsideBatch,
    /// Compaction left holes, and brokers refuse those in a Produce (rows 10, 10b).
    Gap,
    /// Its records have to take over the append time (row 17).
    LogAppendTime,
    /// The target does not take its codec (row 23), or nobody knows it: re-encoding then says so.
    Codec,
    /// Larger than the target takes (rows 6, 7).
    Oversize,
}

impl ReencodeReason {
    /// Every reason, to resolve metric handles once.
    pub const ALL: [Self; 5] = [
        Self::ResumeInsideBatch,
        Self::Gap,
        Self::LogAppendTime,
        Self::Codec,
        Self::Oversize,
    ];

    /// Stable label for metrics and states.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResumeInsideBatch => "resume_inside_batch",
            Self::Gap => "gap",
            Self::LogAppendTime => "log_append_time",
            Self::Codec => "codec",
            Self::Oversize => "oversize",
        }
    }
}

/// Judges a batch. `from_offset` is the first offset wanted: a fetch answers with the whole batch
/// around it.
///
/// Total over the rows of `docs/spec/batches.md` 1. What the header does not show passes here and
/// is judged by the broker's answer: rows 20 and 26 (timestamps out of range, keys missing on a
/// compacted topic). Rows 1, 8 and 27 are about requests and topic names, row 16 about
/// transactions. A batch with several reasons shows the first; re-encoding settles them all.
pub fn classify(header: &BatchHeader, from_offset: i64, target: &TargetRules) -> Verdict {
    if header.last_offset() < from_offset {
        return Verdict::Drop(DropReason::BelowPosition);
    }
    if header.is_control() {
        return Verdict::Drop(DropReason::Control);
    }
    if header.count() <= 0 {
        return Verdict::Drop(DropReason::Empty);
    }
    if header.base_offset() < from_offset {
        return Verdict::Reencode(ReencodeReason::ResumeInsideBatch);
    }
    if !header.is_dense() {
        // never patch lastOffsetDelta instead: that damages the target's log (row 10b)
        return Verdict::Reencode(ReencodeReason::Gap);
    }
    if target.needs_append_time(header) {
        return Verdict::Reencode(ReencodeReason::LogAppendTime);
    }
    if header
        .codec()
        .map_or(true, |codec| target.accepted_codec(codec) != codec)
    {
        return Verdict::Reencode(ReencodeReason::Codec);
    }
    if header.total_bytes() > target.batch_bytes_max() {
        return Verdict::Reencode(ReencodeReason::Oversize);
    }
    Verdict::Pass
}
