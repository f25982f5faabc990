//! Where every record of a partition went: the exact map between its offsets and those of its copy.
//!
//! The map is a list of runs: the source's offsets `[u, u + n)` are the target's `[d, d + n)`. A new run begins where one of the
//! logs skips an offset and the other does not: a hole left by compaction, a transaction's marker, an aborted transaction, a
//! marker that fences a lane. A topic with none of these is one run. Source of the rules: `docs/spec/mm2.md` 5.3 (what MM2
//! answers approximately) and `docs/spec/real-kafka.md` 1 (fencing markers).
//!
//! **Cost.** Runs are packed in blocks of 128; with one marker for every 100 records an entry takes 3.9 bytes of memory and 3.7
//! bytes on the target (a test measures both), 29 at the very most. A question is a binary search over the blocks and a walk
//! through one.
//! **Bounds.** What lies below the source's log start is forgotten ([`OffsetMap::trim_upstream`]), and so is the oldest of more
//! than [`BLOCKS_MAX`] full blocks, that is of 16,777,216 entries (64 MB of such transactions).
//!
//! A map belongs to one incarnation of a source topic, that is to its topic id. Pure: no I/O, no clock.

mod block;
mod cut;
mod dirty;
mod records;
mod shared;
mod table;
mod translation;

use std::collections::VecDeque;

use block::{Block, Entry};
use translation::{At, Side};

use super::{DownstreamOffset, UpstreamOffset};
pub use dirty::BlockRecord;
pub use records::{MapBlock, MapExtent, MapHead, MapKey, MapRecordError};
pub use shared::SharedMap;
pub use table::{LoadedMap, LostRuns, MapTable};
pub use translation::{Translation, UnknownReason};

/// Full blocks of a map; beyond, the oldest is dropped as if the source's log start had moved.
pub const BLOCKS_MAX: usize = 1 << 17;

/// What came before a map's first run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapStart {
    /// Nothing of this source was copied before.
    Complete,
    /// Everything below was copied or passed over, but the map does not say where to: another program copied it, or the
    /// source's log start has passed it and the map forgot it.
    From {
        /// The first upstream offset that the map speaks of.
        upstream: i64,
        /// The first downstream offset that the map speaks of.
        downstream: i64,
    },
}

impl MapStart {
    fn at(self) -> At {
        match self {
            Self::Complete => At::default(),
            Self::From {
                upstream,
                downstream,
            } => At {
                upstream: upstream.max(0),
                downstream: downstream.max(0),
            },
        }
    }
}

/// A run: `length` records whose offsets follow each other in both logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Offset of the first record on the source.
    pub upstream: UpstreamOffset,
    /// Offset of its copy on the target.
    pub downstream: DownstreamOffset,
    /// Number of records, at least 1.
    pub length: u64,
}

/// Why a run can not be in a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// It begins below what the map says is settled: records went back, or were stored before others that were sent earlier.
    #[error(
        "a run from {upstream} to {downstream} begins below the map's end, {upstream_end} to {downstream_end}: \
         its offsets are not the next ones, rebuild the map"
    )]
    NotBehind {
        /// Upstream offset of the run.
        upstream: i64,
        /// Downstream offset of the run.
        downstream: i64,
        /// See [`OffsetMap::upstream_end`].
        upstream_end: i64,
        /// See [`OffsetMap::downstream_end`].
        downstream_end: i64,
    },
    /// It has no records, or more than offsets can count.
    #[error("a run of {length} records from {upstream} to {downstream} can not be in a log")]
    Length {
        /// Upstream offset of the run.
        upstream: i64,
        /// Downstream offset of the run.
        downstream: i64,
        /// Its number of records.
        length: u64,
    },
}

/// The map of one partition.
///
/// Invariants: runs grow strictly on both sides; the ends are at or behind the last run's; both ends grow, but for
/// [`truncate_upstream`](Self::truncate_upstream).
#[derive(Debug, Clone)]
pub struct OffsetMap {
    start: MapStart,
    /// Full blocks, oldest first. The first one's base is the start. Where one does not begin at the end of the one before,
    /// a block is missing.
    sealed: VecDeque<Block>,
    /// The newest block, but for its last entry.
    tail: Block,
    /// The last entry, which grows. `None`: the map is empty.
    last: Option<Entry>,
    /// Everything below is settled.
    end: At,
    /// It is not known what lies between the last entry and `end`.
    unknown: bool,
    sealed_entries: usize,
    packed_bytes: usize,
    /// Base of the oldest block that is to be stored, upstream; all behind it are as well.
    dirty_from: i64,
    /// Upstream bases of blocks that are stored and no longer exist.
    removed: Vec<i64>,
}

impl OffsetMap {
    /// An empty map.
    pub fn new(start: MapStart) -> Self {
        Self {
            start,
            sealed: VecDeque::new(),
            tail: Block::new(start.at()),
            last: None,
            end: start.at(),
            unknown: false,
            sealed_entries: 0,
            packed_bytes: 0,
            dirty_from: i64::MAX,
            removed: Vec::new(),
        }
    }

    /// Records that the target stored `length` records of the source from `upstream` on at `downstream` on. Settles what is
    /// below their end. A run that continues the last one on both sides costs no entry.
    ///
    /// # Errors
    /// The run is empty, or does not begin at or behind both ends; then nothing changed.
    pub fn push(&mut self, upstream: i64, downstream: i64, length: u64) -> Result<(), MapError> {
        let at = At {
            upstream,
            downstream,
        };
        if !at.is_behind(self.end) {
            return Err(MapError::NotBehind {
                upstream,
                downstream,
                upstream_end: self.end.upstream,
                downstream_end: self.end.downstream,
            });
        }
        let Some(end) = at.plus(length, length).filter(|_| length > 0) else {
            return Err(MapError::Length {
                upstream,
                downstream,
                length,
            });
        };
        match &mut self.last {
            Some(last) if last.end() == at => {
                last.length += length;
                self.touch();
            }
            _ => self.append(at, length, self.unknown),
        }
        self.unknown = false;
        self.end = end;
        Ok(())
    }

    /// Everything below `upstream_end` (exclusive) is settled: copied, or deliberately not (markers, aborted transactions,
    /// holes). `downstream_end` is the end of the target's log as far as it is known, with markers that fence lanes. It must
    /// not count records that are still to be reported. An end that is not higher changes nothing.
    pub fn settle(&mut self, upstream_end: i64, downstream_end: i64) {
        self.end.upstream = self.end.upstream.max(upstream_end);
        self.end.downstream = self.end.downstream.max(downstream_end);
    }

    /// What lies between the last run and the next one, or what is settled while there is none, was written by somebody else, or
    /// is not known: answers inside that gap are lower bounds. A gap that is empty in one of the logs hides nothing and stays
    /// exact. Settling more does not narrow it: what is there may be copies of what the source has lost just before the next run.
    pub fn mark_unknown(&mut self) {
        self.unknown = true;
    }

    /// The downstream offset of the first replicated record at or after `upstream`:
    ///
    /// - of a copied record: its copy's, [`Translation::Exact`];
    /// - between two runs: the next run's, exact; [`Translation::AtLeast`] if what is there is not known;
    /// - behind the last run: [`downstream_end`](Self::downstream_end), also beyond [`upstream_end`](Self::upstream_end);
    /// - below a map that is not [`MapStart::Complete`], and in an empty one that is: [`Translation::Unknown`].
    ///
    /// It may be below the target's log start: that is for the caller to look at.
    pub fn downstream(&self, upstream: i64) -> Translation {
        self.translate(Side::Upstream, upstream)
    }

    /// The upstream offset of the first record whose copy is at or after `downstream`, by the rules of
    /// [`downstream`](Self::downstream) with the logs exchanged. For a way back to the source.
    pub fn upstream(&self, downstream: i64) -> Translation {
        self.translate(Side::Downstream, downstream)
    }

    /// Below it (exclusive) the source's log is settled.
    pub fn upstream_end(&self) -> i64 {
        self.end.upstream
    }

    /// End (exclusive) of the target's log as far as the map knows it.
    pub fn downstream_end(&self) -> i64 {
        self.end.downstream
    }

    /// What came before.
    pub fn start(&self) -> MapStart {
        self.start
    }

    /// Number of entries: runs, and unknown gaps that end before a run begins.
    pub fn entries(&self) -> usize {
        self.sealed_entries + self.tail.count + usize::from(self.last.is_some())
    }

    /// Memory that the map takes. Unit: bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.sealed.capacity() * size_of::<Block>()
            + self.packed_bytes
            + self.tail.packed.capacity()
    }

    /// All runs, oldest first.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + '_ {
        let packed = self.sealed.iter().chain([&self.tail]);
        let entries = packed.flat_map(Block::entries).chain(self.last);
        entries
            .filter(|entry| entry.length > 0)
            .map(|entry| Segment {
                upstream: UpstreamOffset(entry.at.upstream),
                downstream: DownstreamOffset(entry.at.downstream),
                length: entry.length,
            })
    }

    /// The last run; none while nothing was copied.
    pub fn last_run(&self) -> Option<Segment> {
        let run = |entry: Entry| Segment {
            upstream: UpstreamOffset(entry.at.upstream),
            downstream: DownstreamOffset(entry.at.downstream),
            length: entry.length,
        };
        // Behind an unknown gap the last entry may be empty: then it is the run before.
        let blocks = [&self.tail].into_iter().chain(self.sealed.iter().rev());
        let runs = |block: &Block| block.entries().filter(|entry| entry.length > 0).last();
        let last = self.last.filter(|entry| entry.length > 0);
        last.or_else(|| blocks.filter_map(runs).next()).map(run)
    }

    fn translate(&self, side: Side, offset: i64) -> Translation {
        let offset = match (self.start, self.last) {
            (MapStart::Complete, None) => {
                return Translation::Unknown(UnknownReason::NothingReplicated);
            }
            (MapStart::Complete, _) => offset.max(0),
            (MapStart::From { .. }, _) => offset,
        };
        if offset < side.asked(self.start.at()) {
            return Translation::Unknown(UnknownReason::BelowMap);
        }
        let mapped_end = self.mapped_end();
        if offset >= side.asked(mapped_end) {
            let unknown = self.unknown && self.end.is_beyond(mapped_end);
            return if unknown && offset < side.asked(self.end) {
                Translation::AtLeast(side.answer(mapped_end))
            } else {
                Translation::Exact(side.answer(self.end))
            };
        }
        match self.last {
            Some(last) if offset >= side.asked(last.before) => last.translate(side, offset),
            _ => match self.block_of(side, offset) {
                Some(block) => block.translate(side, offset),
                // The first block is missing.
                None => Translation::AtLeast(side.answer(self.start.at())),
            },
        }
    }

    /// The block that answers for `offset`, if the last entry does not.
    fn block_of(&self, side: Side, offset: i64) -> Option<&Block> {
        if offset >= side.asked(self.tail.base) {
            return Some(&self.tail);
        }
        let behind = self
            .sealed
            .partition_point(|block| side.asked(block.base) <= offset);
        self.sealed.get(behind.checked_sub(1)?)
    }

    /// End of the last entry.
    fn mapped_end(&self) -> At {
        self.last.map_or(self.tail.base, Entry::end)
    }

    /// Makes a new last entry, at or behind the one before. A gap that is empty on one side is not unknown.
    fn append(&mut self, at: At, length: u64, unknown: bool) {
        self.touch();
        let before = self.mapped_end();
        if let Some(last) = self.last.take() {
            self.tail.push(last);
            if self.tail.is_full() {
                self.seal();
            }
        }
        self.last = Some(Entry {
            before,
            unknown: unknown && at.is_beyond(before),
            at,
            length,
        });
    }

    /// Begins a new block.
    fn seal(&mut self) {
        let next = Block::new(self.tail.end);
        let mut full = std::mem::replace(&mut self.tail, next);
        full.packed.shrink_to_fit();
        while self.sealed.len() >= BLOCKS_MAX {
            self.drop_oldest();
        }
        self.push_sealed(full);
    }

    fn push_sealed(&mut self, block: Block) {
        self.sealed_entries += block.count;
        self.packed_bytes += block.packed.capacity();
        self.sealed.push_back(block);
    }

    /// The block is no longer one of the full ones.
    fn uncount(&mut self, block: &Block) {
        self.sealed_entries -= block.count;
        self.packed_bytes -= block.packed.capacity();
    }

    /// The last run grew to this upstream end. For [`SharedMap`], which knows it before the map does.
    fn extend_to(&mut self, upstream_end: i64) {
        if upstream_end == self.end.upstream {
            return;
        }
        if let Some(last) = &mut self.last {
            last.length = upstream_end.abs_diff(last.at.upstream);
            self.end = last.end();
            self.touch();
        }
    }

    /// The next run goes on with the last one: nothing was settled behind it and nothing is unknown.
    fn is_open(&self) -> bool {
        !self.unknown && self.last.is_some() && self.mapped_end() == self.end
    }
}

#[cfg(test)]
mod tests;
