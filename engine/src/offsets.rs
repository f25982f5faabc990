//! What MirrorMaker 2 and Connect keep in internal topics, to the byte. Pure codecs, no I/O.
//!
//! Sources: `docs/spec/mm2.md` 3.1 to 3.7, and records written by MirrorMaker 2 of Kafka 4.3.1.

mod checkpoint;
mod checkpoint_table;
mod connect;
mod heartbeat;
mod java_json;
mod map;
mod offset_sync;
mod offset_table;
mod partitioner;
mod schema;
mod sync_queue;
mod sync_store;
mod tail;

pub use checkpoint::Checkpoint;
pub use checkpoint_table::CheckpointTable;
pub use connect::{ConnectError, SourceOffset, SourceOffsetKey, SourcePartition};
pub use heartbeat::Heartbeat;
pub use map::{
    BLOCKS_MAX, BlockRecord, LoadedMap, LostRuns, MapBlock, MapError, MapExtent, MapHead, MapKey,
    MapRecordError, MapStart, MapTable, OffsetMap, Segment, SharedMap, Translation, UnknownReason,
};
pub use offset_sync::OffsetSync;
pub use offset_table::{Applied, OffsetTable};
pub use partitioner::{murmur2, partition_for_key};
pub use schema::SchemaError;
pub use sync_queue::SyncQueue;
pub use sync_store::{OffsetSyncStore, SyncTranslation};
pub use tail::{LOOK_AHEAD_MAX, Tail, TailError, TailMatch, TailRun};

/// JSON as Connect writes it to its topics: compact, Jackson's escapes, members in the order of a Java hash map.
pub fn connect_json(value: &serde_json::Value) -> Vec<u8> {
    let mut out = Vec::new();
    java_json::write(&mut out, value);
    out
}

/// Offset of a record on the source cluster of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamOffset(pub i64);

/// Offset of a record on the target cluster of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DownstreamOffset(pub i64);

impl std::fmt::Display for UpstreamOffset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for DownstreamOffset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
