//! The topic of stored maps, read to its end.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::OffsetMap;
use super::block::Block;
use super::records::{self, MapHead, MapKey, MapRecordError};
use super::translation::At;

/// Heads and blocks of all partitions. Feed it the topic's records in order; the last record of a key wins.
///
/// Blocks stay packed as they were read: 10 million entries are 80,000 records, and no entry is looked at.
#[derive(Debug, Default)]
pub struct MapTable {
    topics: HashMap<String, HashMap<i32, Stored>>,
}

#[derive(Debug, Default)]
struct Stored {
    head: Option<MapHead>,
    /// By upstream base.
    blocks: BTreeMap<i64, (Uuid, Block)>,
}

/// A map as it was stored.
#[derive(Debug)]
pub struct LoadedMap {
    /// Its head.
    pub head: MapHead,
    /// The map, with an unknown gap for everything in `lost`.
    pub map: OffsetMap,
    /// Runs that the head speaks of and no block holds. Say so; they can be rebuilt from the two logs.
    pub lost: Vec<LostRuns>,
}

/// A range of offsets whose runs are lost; ends are exclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRuns {
    /// On the source.
    pub upstream: std::ops::Range<i64>,
    /// On the target.
    pub downstream: std::ops::Range<i64>,
}

impl LostRuns {
    fn between(from: At, to: At) -> Self {
        Self {
            upstream: from.upstream..to.upstream,
            downstream: from.downstream..to.downstream,
        }
    }
}

impl MapTable {
    /// A table without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record; a `value` of `None` is a tombstone.
    ///
    /// # Errors
    /// Key or value is malformed. With a readable key its older value is forgotten, as it was replaced; else nothing changed.
    pub fn apply(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<(), MapRecordError> {
        match MapKey::decode(key.ok_or(MapRecordError::NoKey)?)? {
            MapKey::Head { topic, partition } => {
                let stored = self.stored(topic, partition);
                stored.head = None;
                stored.head = value.map(MapHead::decode).transpose()?;
            }
            MapKey::Block {
                topic,
                partition,
                base,
            } => {
                let blocks = &mut self.stored(topic, partition).blocks;
                blocks.remove(&base);
                if let Some((topic_id, block)) = value.map(records::decode_block).transpose()? {
                    if block.base.upstream != base {
                        return Err(MapRecordError::Range("base"));
                    }
                    blocks.insert(base, (topic_id, block));
                }
            }
        }
        Ok(())
    }

    /// Partitions that have a head, in no order.
    pub fn partitions(&self) -> impl Iterator<Item = (&str, i32)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            let with_head = partitions
                .iter()
                .filter(|(_, stored)| stored.head.is_some());
            with_head.map(|(partition, _)| (topic.as_str(), *partition))
        })
    }

    /// Takes a partition's map out; `None` if it has no head. Blocks of another incarnation of the topic, or that the head
    /// does not speak of, are no part of it, and its first [`OffsetMap::dirty_blocks`] removes them.
    pub fn take(&mut self, topic: &str, partition: i32) -> Option<LoadedMap> {
        let Stored { head, blocks } = self.topics.get_mut(topic)?.remove(&partition)?;
        let head = head?;
        let extent = head.extent;
        let mapped_end = At {
            upstream: extent.mapped_upstream_end,
            downstream: extent.mapped_downstream_end,
        };
        let mut map = OffsetMap::new(extent.start);
        let mut lost = Vec::new();
        let mut reached = extent.start.at();
        for (base, (topic_id, block)) in blocks {
            let belongs = topic_id == head.topic_id
                && block.base.is_behind(reached)
                && mapped_end.is_beyond(block.base);
            if !belongs {
                map.removed.push(base);
                continue;
            }
            if block.base != reached {
                lost.push(LostRuns::between(reached, block.base));
            }
            reached = block.end;
            map.push_sealed(block);
        }
        map.cut(mapped_end.upstream);
        if map.mapped_end() != mapped_end {
            lost.push(LostRuns::between(map.mapped_end(), mapped_end));
        } else if reached == mapped_end {
            map.dirty_from = i64::MAX; // as it was stored
        }
        if mapped_end.is_beyond(map.mapped_end()) {
            map.append(mapped_end, 0, true);
        }
        let settled = map.mapped_end();
        map.unknown = extent.unknown || settled != mapped_end;
        map.end = At {
            upstream: extent.upstream_end.max(settled.upstream),
            downstream: extent.downstream_end.max(settled.downstream),
        };
        Some(LoadedMap { head, map, lost })
    }

    fn stored(&mut self, topic: &str, partition: i32) -> &mut Stored {
        let partitions = self.topics.entry(topic.to_owned()).or_default();
        partitions.entry(partition).or_default()
    }
}
