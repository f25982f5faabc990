//! Offset maps as they are stored.

use anyhow::{Context, Result};
use engine::offsets::{MapHead, MapKey, MapStart, OffsetMap};
use uuid::Uuid;

/// Records of a transaction, which a marker follows.
pub const TRANSACTION: i64 = 100;
const TOPIC_ID: Uuid = Uuid::from_u128(0x5eed);

/// The map of a topic with so many transactions: an entry each.
///
/// # Errors
/// The numbers are too large for offsets.
pub fn transactional(transactions: i64) -> Result<OffsetMap> {
    let mut map = OffsetMap::new(MapStart::Complete);
    for at in 0..transactions {
        map.push(
            at * (TRANSACTION + 1),
            at * TRANSACTION,
            TRANSACTION.unsigned_abs(),
        )?;
    }
    Ok(map)
}

/// Keys and values of the stored maps of `topic`, each of its `partitions` with so many entries.
///
/// # Errors
/// As [`transactional`].
pub fn map_records(topic: &str, partitions: i32, entries: i64) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut map = transactional(entries)?;
    let blocks = map.dirty_blocks();
    let head = MapHead {
        topic_id: TOPIC_ID,
        extent: map.extent(),
        remote_topic_id: Uuid::nil(),
        producer_id: 1,
        producer_epoch: 0,
        stored: map.upstream_end(),
        storing: map.upstream_end(),
        leader_epoch: 3,
        claimed: true,
    };
    let mut records = Vec::new();
    for partition in 0..partitions {
        for block in &blocks {
            let key = block.key(topic, partition).encode()?;
            records.push((key, block.value(TOPIC_ID).context("a tombstone")?));
        }
        let key = MapKey::Head { topic, partition }.encode()?;
        records.push((key, head.encode()));
    }
    Ok(records)
}
