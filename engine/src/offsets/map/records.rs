//! A stored map, to the byte: records of the compacted topic `mm2-offset-map.<source>.internal` on the target.
//!
//! | record | key | value |
//! | --- | --- | --- |
//! | head | version INT16 = 0, kind INT8 = 0, topic STRING, partition INT32 | version INT16 = 0, topic id UUID, start kind INT8, start, end, mapped end (INT64 upstream, INT64 downstream each), unknown INT8, entries INT64, remote topic id UUID, producer id INT64, producer epoch INT16, stored INT64, storing INT64, leader epoch INT32, claimed INT8 |
//! | block | the same with kind = 1, then base INT64 | version INT16 = 0, topic id UUID, count INT16, base, end (as above), packed entries, CRC-32C INT32 of all before it |
//!
//! Types as in `docs/spec/mm2.md` 3.1. The map's owner writes a head behind the blocks that it speaks of.

use uuid::Uuid;

use super::MapStart;
use super::block::{Block, ENTRIES_PER_BLOCK, ENTRY_BYTES_MAX};
use super::translation::At;
use crate::offsets::schema::{SchemaError, put_string};

const VERSION: i16 = 0;
const HEAD: i8 = 0;
const BLOCK: i8 = 1;
/// Kinds of start.
const COMPLETE: u8 = 0;
const FROM: u8 = 1;
const CRC_BYTES: usize = 4;

/// Why a record is not one of a stored map. Skip it and say so: what it held becomes an unknown gap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapRecordError {
    /// It has no key.
    #[error("a record without a key can not be of an offset map")]
    NoKey,
    /// A field is cut off or is no text.
    #[error("offset map: {0}")]
    Schema(#[from] SchemaError),
    /// A later program wrote it.
    #[error(
        "offset map: version {0} is not known, run the newer program or let the map be rebuilt"
    )]
    Version(i16),
    /// Neither a head nor a block.
    #[error("offset map: a record of kind {0} is not known")]
    Kind(i8),
    /// The block's bytes are not those that were written.
    #[error("offset map: the block's checksum is {stated:08x}, its bytes have {computed:08x}")]
    Damaged {
        /// CRC-32C in the record.
        stated: u32,
        /// CRC-32C of the record.
        computed: u32,
    },
    /// A number is out of its range.
    #[error("offset map: {0} is out of range")]
    Range(&'static str),
}

/// Key of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MapKey<'a> {
    /// Of the one head of a partition.
    Head {
        /// The topic under its name on the source.
        topic: &'a str,
        /// The partition.
        partition: i32,
    },
    /// Of a block.
    Block {
        /// The topic under its name on the source.
        topic: &'a str,
        /// The partition.
        partition: i32,
        /// Upstream offset from which on the block answers.
        base: i64,
    },
}

impl<'a> MapKey<'a> {
    /// The key's bytes.
    ///
    /// # Errors
    /// The topic is longer than 32,767 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, SchemaError> {
        let (kind, topic, partition) = match *self {
            Self::Head { topic, partition } => (HEAD, topic, partition),
            Self::Block {
                topic, partition, ..
            } => (BLOCK, topic, partition),
        };
        let mut out = Vec::with_capacity(2 + 1 + 2 + topic.len() + 4 + 8);
        out.extend(VERSION.to_be_bytes());
        out.extend(kind.to_be_bytes());
        put_string(&mut out, "topic", topic)?;
        out.extend(partition.to_be_bytes());
        if let Self::Block { base, .. } = self {
            out.extend(base.to_be_bytes());
        }
        Ok(out)
    }

    /// Reads a key.
    ///
    /// # Errors
    /// It is not a map's.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, MapRecordError> {
        let mut fields = Fields(bytes);
        fields.version()?;
        let kind = i8::from_be_bytes(fields.array("kind")?);
        let topic = fields.string("topic")?;
        let partition = i32::from_be_bytes(fields.array("partition")?);
        match kind {
            HEAD => Ok(Self::Head { topic, partition }),
            BLOCK => Ok(Self::Block {
                topic,
                partition,
                base: fields.int64("base")?,
            }),
            kind => Err(MapRecordError::Kind(kind)),
        }
    }
}

/// What a head says about its map. See [`OffsetMap::extent`](super::OffsetMap::extent).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapExtent {
    /// What came before the map.
    pub start: MapStart,
    /// See [`OffsetMap::upstream_end`](super::OffsetMap::upstream_end).
    pub upstream_end: i64,
    /// See [`OffsetMap::downstream_end`](super::OffsetMap::downstream_end).
    pub downstream_end: i64,
    /// Upstream end of the last run: blocks go no further.
    pub mapped_upstream_end: i64,
    /// Downstream end of the last run.
    pub mapped_downstream_end: i64,
    /// See [`OffsetMap::mark_unknown`](super::OffsetMap::mark_unknown): between the mapped and the settled end.
    pub unknown: bool,
    /// See [`OffsetMap::entries`](super::OffsetMap::entries).
    pub entries: u64,
}

/// The record that makes blocks a map, and says where the partition's lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapHead {
    /// The source topic's id: which incarnation of it the map belongs to. Nil where the source has no topic ids.
    pub topic_id: Uuid,
    /// The map.
    pub extent: MapExtent,
    /// The remote topic's id: which incarnation of the copy the map belongs to. Nil where the target has no topic ids.
    pub remote_topic_id: Uuid,
    /// Producer id of the lane; -1: none.
    pub producer_id: i64,
    /// Epoch of the lane's producer id; -1: none.
    pub producer_epoch: i16,
    /// The last upstream offset that the stored position speaks of, as far as it is known to be stored; -1: no position.
    pub stored: i64,
    /// The same of the position that may be stored by now: it is stored behind this head. Any other position was put there by
    /// somebody else.
    pub storing: i64,
    /// Leader epoch, on the source, of what lies right below the upstream end; -1: not known. With it the source tells whether its
    /// log was cut below that end meanwhile (KIP-320).
    pub leader_epoch: i32,
    /// The lane was written to. If not, nothing of this incarnation is on the target, and the downstream end says nothing.
    pub claimed: bool,
}

impl MapHead {
    /// The value's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let extent = &self.extent;
        let mut out = Vec::with_capacity(123);
        out.extend(VERSION.to_be_bytes());
        out.extend(self.topic_id.as_bytes());
        out.push(match extent.start {
            MapStart::Complete => COMPLETE,
            MapStart::From { .. } => FROM,
        });
        let start = extent.start.at();
        for offset in [
            start.upstream,
            start.downstream,
            extent.upstream_end,
            extent.downstream_end,
            extent.mapped_upstream_end,
            extent.mapped_downstream_end,
        ] {
            out.extend(offset.to_be_bytes());
        }
        out.push(u8::from(extent.unknown));
        out.extend(extent.entries.to_be_bytes());
        out.extend(self.remote_topic_id.as_bytes());
        out.extend(self.producer_id.to_be_bytes());
        out.extend(self.producer_epoch.to_be_bytes());
        out.extend(self.stored.to_be_bytes());
        out.extend(self.storing.to_be_bytes());
        out.extend(self.leader_epoch.to_be_bytes());
        out.push(u8::from(self.claimed));
        out
    }

    /// Reads a value.
    ///
    /// # Errors
    /// It is not a head's.
    pub fn decode(bytes: &[u8]) -> Result<Self, MapRecordError> {
        let mut fields = Fields(bytes);
        fields.version()?;
        let topic_id = Uuid::from_bytes(fields.array("topic id")?);
        let [kind] = fields.array("start kind")?;
        let start = fields.place("start")?;
        let start = match kind {
            COMPLETE => MapStart::Complete,
            FROM => MapStart::From {
                upstream: start.upstream,
                downstream: start.downstream,
            },
            _ => return Err(MapRecordError::Range("start kind")),
        };
        let (end, mapped_end) = (fields.place("end")?, fields.place("mapped end")?);
        if !end.is_behind(mapped_end) || !mapped_end.is_behind(start.at()) {
            return Err(MapRecordError::Range("end"));
        }
        let [unknown] = fields.array("unknown")?;
        let extent = MapExtent {
            start,
            upstream_end: end.upstream,
            downstream_end: end.downstream,
            mapped_upstream_end: mapped_end.upstream,
            mapped_downstream_end: mapped_end.downstream,
            unknown: unknown != 0,
            entries: u64::from_be_bytes(fields.array("entries")?),
        };
        Ok(Self {
            topic_id,
            extent,
            remote_topic_id: Uuid::from_bytes(fields.array("remote topic id")?),
            producer_id: fields.int64("producer id")?,
            producer_epoch: i16::from_be_bytes(fields.array("producer epoch")?),
            stored: fields.int64("stored")?,
            storing: fields.int64("storing")?,
            leader_epoch: i32::from_be_bytes(fields.array("leader epoch")?),
            claimed: fields.array::<1>("claimed")? != [0],
        })
    }
}

pub(super) fn encode_block(topic_id: Uuid, block: &Block) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + 16 + 2 + 32 + block.packed.len() + CRC_BYTES);
    out.extend(VERSION.to_be_bytes());
    out.extend(topic_id.as_bytes());
    let count = i16::try_from(block.count).unwrap_or(i16::MAX); // at most 128
    out.extend(count.to_be_bytes());
    for at in [block.base, block.end] {
        out.extend(at.upstream.to_be_bytes());
        out.extend(at.downstream.to_be_bytes());
    }
    out.extend(&block.packed);
    let crc = crc_fast::crc32_iscsi(&out);
    out.extend(crc.to_be_bytes());
    out
}

/// Reads a block's value. Its entries stay packed: they were written as the checksum says.
pub(super) fn decode_block(value: &[u8]) -> Result<(Uuid, Block), MapRecordError> {
    let mut fields = Fields(value);
    fields.version()?;
    let topic_id = Uuid::from_bytes(fields.array("topic id")?);
    let count = i16::from_be_bytes(fields.array("count")?);
    let (base, end) = (fields.place("base")?, fields.place("end")?);
    let Some((packed, crc)) = fields.0.split_last_chunk::<CRC_BYTES>() else {
        return Err(fields.short("checksum", CRC_BYTES).into());
    };
    let stated = u32::from_be_bytes(*crc);
    let computed = crc_fast::crc32_iscsi(value.get(..value.len() - CRC_BYTES).unwrap_or_default());
    if stated != computed {
        return Err(MapRecordError::Damaged { stated, computed });
    }
    let count = usize::try_from(count).map_err(|_| MapRecordError::Range("count"))?;
    if !(1..=ENTRIES_PER_BLOCK).contains(&count) || packed.len() > count * ENTRY_BYTES_MAX {
        return Err(MapRecordError::Range("count"));
    }
    if !end.is_beyond(base) {
        return Err(MapRecordError::Range("end"));
    }
    let block = Block {
        base,
        end,
        count,
        packed: packed.to_vec(),
    };
    Ok((topic_id, block))
}

/// What a block's value says of itself. For looking at the topic; a map is read by [`MapTable`](super::MapTable).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapBlock {
    /// As [`MapHead::topic_id`].
    pub topic_id: Uuid,
    /// Source offsets that the block answers for.
    pub upstream: std::ops::Range<i64>,
    /// Target offsets that the block answers for.
    pub downstream: std::ops::Range<i64>,
    /// Entries, 1 to 128.
    pub entries: usize,
}

impl MapBlock {
    /// Reads a value.
    ///
    /// # Errors
    /// It is not a block's, or damaged.
    pub fn decode(value: &[u8]) -> Result<Self, MapRecordError> {
        let (topic_id, block) = decode_block(value)?;
        Ok(Self {
            topic_id,
            upstream: block.base.upstream..block.end.upstream,
            downstream: block.base.downstream..block.end.downstream,
            entries: block.count,
        })
    }
}

/// Reads fields one after the other, without copying.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn version(&mut self) -> Result<(), MapRecordError> {
        match i16::from_be_bytes(self.array("version")?) {
            VERSION => Ok(()),
            version => Err(MapRecordError::Version(version)),
        }
    }

    fn int64(&mut self, field: &'static str) -> Result<i64, SchemaError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    /// Two offsets, neither negative.
    fn place(&mut self, field: &'static str) -> Result<At, MapRecordError> {
        let at = At {
            upstream: self.int64(field)?,
            downstream: self.int64(field)?,
        };
        let is_valid = at.is_behind(At::default());
        is_valid.then_some(at).ok_or(MapRecordError::Range(field))
    }

    fn string(&mut self, field: &'static str) -> Result<&'a str, SchemaError> {
        let length = i16::from_be_bytes(self.array(field)?);
        let needed =
            usize::try_from(length).map_err(|_| SchemaError::NegativeLength { field, length })?;
        let short = self.short(field, needed);
        let (text, rest) = self.0.split_at_checked(needed).ok_or(short)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| SchemaError::NotUtf8 { field })
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SchemaError> {
        let short = self.short(field, N);
        let (bytes, rest) = self.0.split_first_chunk().ok_or(short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn short(&self, field: &'static str, needed: usize) -> SchemaError {
        SchemaError::Short {
            field,
            needed,
            left: self.0.len(),
        }
    }
}
