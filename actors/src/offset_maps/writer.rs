//! Writes what of the maps is to be stored, in batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::batch::{BatchBuilder, Codec};
use engine::cluster::ClusterError;
use engine::offsets::{BlockRecord, MapKey};
use tracing::warn;

use super::PARTITION;
use super::lane::{Lane, PartitionMap};
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;

/// Bytes per stored batch, well below Kafka's default limit of 1 MiB.
const BATCH_BYTES_MAX: usize = 512 << 10;

/// What of each map is stored: (changes, upstream end, downstream end).
pub(super) type Flushed = BTreeMap<(Arc<str>, i32), (u64, i64, i64)>;

/// Gathers records of many maps into batches.
pub(super) struct Writer<'a> {
    flow: &'a Flow,
    topic: String,
    patience: Duration,
    builder: BatchBuilder,
    /// What the batch holds, to be noted when it is stored.
    waiting: Vec<Waiting>,
    /// How many maps were stored.
    pub(super) stored: usize,
}

struct Waiting {
    key: (Arc<str>, i32),
    state: (u64, i64, i64),
    partition: Arc<PartitionMap>,
    lane: Lane,
    blocks: Vec<BlockRecord>,
}

impl Drop for Writer<'_> {
    /// Also when a write failed, or was given up: what was not stored is due again.
    fn drop(&mut self) {
        for waiting in &self.waiting {
            waiting.partition.map.mark_dirty(&waiting.blocks);
        }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(flow: &'a Flow, topic: String, patience: Duration) -> Self {
        Self {
            flow,
            topic,
            patience,
            builder: BatchBuilder::new(Codec::None),
            waiting: Vec::new(),
            stored: 0,
        }
    }

    /// Blocks first, the head behind them.
    pub(super) async fn put(
        &mut self,
        key: (Arc<str>, i32),
        state: (u64, i64, i64),
        partition: Arc<PartitionMap>,
        flushed: &mut Flushed,
    ) -> Result<(), LeaseError> {
        let (blocks, extent) = partition.map.dirty_blocks();
        // Behind the map: its leader epoch may be newer, not older.
        let lane = partition.lane();
        let head = MapKey::Head {
            topic: &key.0,
            partition: key.1,
        };
        let mut records: Vec<_> = blocks
            .iter()
            .map(|block| (block.key(&key.0, key.1), block.value(lane.topic_id)))
            .collect();
        records.push((head, Some(lane.head(extent).encode())));
        let encoded: Result<Vec<_>, _> = (records.into_iter())
            .map(|(key, value)| key.encode().map(|key| (key, value)))
            .collect();
        self.waiting.push(Waiting {
            key,
            state,
            partition,
            lane,
            blocks,
        });
        // Names of topics are no longer than 249 bytes.
        for (key, value) in encoded.unwrap_or_default() {
            if self.builder.plain_bytes() >= BATCH_BYTES_MAX {
                self.send().await?;
            }
            let pushed = (self.builder).push(now_ms(), Some(&key), value.as_deref(), &[]);
            if let Err(error) = pushed {
                warn!(topic = self.topic, %error, "an offset map is not stored");
            }
        }
        if self.builder.plain_bytes() >= BATCH_BYTES_MAX {
            self.write(flushed).await?;
        }
        Ok(())
    }

    /// Stores what was gathered, and notes it.
    pub(super) async fn write(&mut self, flushed: &mut Flushed) -> Result<(), LeaseError> {
        self.send().await?;
        self.stored += self.waiting.len();
        for stored in self.waiting.drain(..) {
            stored.partition.note(&stored.lane);
            flushed.insert(stored.key, stored.state);
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<(), LeaseError> {
        if self.builder.count() == 0 {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.builder, BatchBuilder::new(Codec::None));
        let batch = full.build().map_err(|error| ClusterError::Unreadable {
            alias: self.flow.target.alias().into(),
            what: self.topic.clone(),
            reason: error.to_string(),
        })?;
        let (target, lease) = (&self.flow.target, &self.flow.lease);
        lease
            .append(target, &self.topic, PARTITION, batch, self.patience)
            .await
    }
}
