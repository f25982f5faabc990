//! What of a map is still to be stored.

use uuid::Uuid;

use super::OffsetMap;
use super::block::Block;
use super::records::{self, MapExtent, MapKey};

/// A block to be stored, or to be removed from what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRecord {
    base: i64,
    /// `None`: a tombstone.
    block: Option<Block>,
}

impl BlockRecord {
    /// The record's key, for the map of this partition.
    pub fn key<'a>(&self, topic: &'a str, partition: i32) -> MapKey<'a> {
        MapKey::Block {
            topic,
            partition,
            base: self.base,
        }
    }

    /// The record's value, for the incarnation of the topic that the map belongs to; `None` is a tombstone.
    pub fn value(&self, topic_id: Uuid) -> Option<Vec<u8>> {
        let block = self.block.as_ref()?;
        Some(records::encode_block(topic_id, block))
    }
}

impl OffsetMap {
    /// What [`MapHead`](super::MapHead) says about the map. To be stored behind the blocks of the same moment.
    pub fn extent(&self) -> MapExtent {
        let mapped_end = self.mapped_end();
        MapExtent {
            start: self.start,
            upstream_end: self.end.upstream,
            downstream_end: self.end.downstream,
            mapped_upstream_end: mapped_end.upstream,
            mapped_downstream_end: mapped_end.downstream,
            unknown: self.unknown,
            entries: self.entries() as u64,
        }
    }

    /// Blocks that changed since the last call, oldest first, behind tombstones of those that are gone: usually one. Store
    /// them in this order and the head behind them, in one batch if they fit; if not, a crash in between costs exactness at
    /// the map's end and no more. If that fails, [`mark_dirty`](Self::mark_dirty) them.
    pub fn dirty_blocks(&mut self) -> Vec<BlockRecord> {
        let gone = std::mem::take(&mut self.removed).into_iter();
        let gone = gone.filter(|base| self.bases_from(*base).next() != Some(*base));
        let mut records: Vec<_> = gone.map(|base| BlockRecord { base, block: None }).collect();
        records.extend(self.blocks_from(self.dirty_from).map(|block| BlockRecord {
            base: block.base.upstream,
            block: Some(block),
        }));
        self.dirty_from = i64::MAX;
        records
    }

    /// These could not be stored: the next [`dirty_blocks`](Self::dirty_blocks) has them again, as they are then.
    pub fn mark_dirty(&mut self, records: &[BlockRecord]) {
        for record in records {
            match record.block {
                Some(_) => self.dirty_from = self.dirty_from.min(record.base),
                None => self.removed.push(record.base),
            }
        }
    }

    /// The newest block changes.
    pub(super) fn touch(&mut self) {
        self.dirty_from = self.dirty_from.min(self.tail.base.upstream);
    }

    /// Upstream bases of all blocks.
    pub(super) fn bases(&self) -> impl Iterator<Item = i64> + '_ {
        self.bases_from(self.start.at().upstream)
    }

    fn bases_from(&self, base: i64) -> impl Iterator<Item = i64> + '_ {
        let from = self.index_of(base);
        let sealed = self.sealed.range(from..).map(|block| block.base.upstream);
        let tail = self.last.map(|_| self.tail.base.upstream);
        sealed.chain(tail.filter(move |tail| *tail >= base))
    }

    fn blocks_from(&self, base: i64) -> impl Iterator<Item = Block> + '_ {
        let from = self.index_of(base);
        let tail = self.last.map(|last| {
            let mut block = self.tail.clone();
            block.push(last);
            block
        });
        let tail = tail.filter(move |block| block.base.upstream >= base);
        self.sealed.range(from..).cloned().chain(tail)
    }

    fn index_of(&self, base: i64) -> usize {
        self.sealed
            .partition_point(|block| block.base.upstream < base)
    }
}
