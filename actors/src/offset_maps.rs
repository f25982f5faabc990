//! Where every record's copy is, and where a lane goes on.
//!
//! The map of a partition (`engine::offsets::SharedMap`) grows with every acknowledgement. It is stored in a compacted topic on
//! the target about once a second, what changed only, so that after a crash little has to be compared
//! ([`crate::replicator`]'s claim), and so that translation knows the past at once.

mod lane;
mod opened;
mod owners;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use engine::cluster::ClusterError;
use engine::offsets::MapTable;
use tracing::{info, warn};
use uuid::Uuid;

pub use lane::PartitionMap;
pub use opened::Opened;
use opened::{Place, again, found, fresh};
pub use owners::Owners;
use writer::{Flushed, Writer};

use crate::flow::Flow;
use crate::lease::LeaseError;

/// How often changed maps are stored. What was written since is compared after a crash.
pub const MAP_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const PARTITION: i32 = 0;
const PARTITIONS: i32 = 1;

/// All maps of one pair of clusters. Flows of several source connectors of the pair share them.
#[derive(Debug, Default)]
pub struct OffsetMaps {
    open: DashMap<(Arc<str>, i32), Arc<PartitionMap>>,
    /// Which flow copies a partition.
    pub owners: Owners,
    /// What was stored when the flow started, as far as no replicator has asked for it.
    loaded: Mutex<MapTable>,
    is_loaded: AtomicBool,
    flushed: tokio::sync::Mutex<Flushed>,
}

impl OffsetMaps {
    /// The topic that holds the maps of a flow.
    pub fn topic(&self, flow: &Flow) -> String {
        flow.config.offset_map_topic()
    }

    /// Creates the topic unless it is there.
    ///
    /// # Errors
    /// [`ClusterError`] when the target refuses.
    pub async fn create_topic(&self, flow: &Flow) -> Result<(), ClusterError> {
        let factor = flow.config.offset_storage_replication_factor;
        flow.target
            .create_compacted_topic(&flow.config.offset_map_topic(), PARTITIONS, factor)
            .await
    }

    /// Reads what is stored, to the end.
    ///
    /// # Errors
    /// [`ClusterError`] when it cannot be read whole.
    pub async fn load(&self, flow: &Flow) -> Result<(), ClusterError> {
        let topic = flow.config.offset_map_topic();
        let began = Instant::now();
        let mut table = MapTable::new();
        let mut records = 0u64;
        flow.target
            .read_log(&topic, PARTITION, |record| {
                records += 1;
                if let Err(error) = table.apply(record.key.as_deref(), record.value.as_deref()) {
                    warn!(topic, offset = record.offset, %error, "skipping a malformed record");
                }
            })
            .await?;
        if records > 0 {
            let seconds = began.elapsed().as_secs_f64();
            info!(flow = %flow.label, records, seconds, "offset maps read");
        }
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner) = table;
        self.is_loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// What was stored is read, and so the flow's lease was taken: before, nothing is known and nothing may be written.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Acquire)
    }

    /// Looks at the map of every partition that is or was being copied by `flow`, by source topic and partition. `look`
    /// must be quick, and not call this again.
    pub fn each(&self, flow: &Flow, mut look: impl FnMut(&(Arc<str>, i32), &Arc<PartitionMap>)) {
        for entry in &self.open {
            let at @ (topic, partition) = entry.key();
            if !(self.owners).is_of_another(&flow.label, topic, *partition) {
                look(at, entry.value());
            }
        }
    }

    /// The map of a partition and the place to go on at. `position` is the next upstream offset by Connect's offsets topic,
    /// `others` what it says under the names of other connectors, who may have had the partition last.
    pub fn open(
        &self,
        flow: &Flow,
        (topic, partition): (&str, i32),
        topic_id: Uuid,
        position: Option<i64>,
        others: &[i64],
    ) -> Opened {
        let at = Place {
            flow: &flow.label,
            topic,
            partition,
        };
        let key = (Arc::from(topic), partition);
        if let Some(open) = self.open.get(&key) {
            return again(&at, open.clone(), topic_id, position);
        }
        let stored = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(topic, partition);
        let opened = match stored {
            Some(stored) => found(&at, topic_id, (position, others), stored),
            None => fresh(topic_id, position),
        };
        self.open.insert(key, opened.map.clone());
        opened
    }

    /// The map of a partition that is or was being copied by this process.
    pub fn get(&self, topic: &str, partition: i32) -> Option<Arc<PartitionMap>> {
        self.open
            .get(&(Arc::from(topic), partition))
            .map(|map| map.clone())
    }

    /// The position to be stored now for a partition of which everything up to `settled` is copied or passed over. It may be an
    /// older one, of which it is not known whether it was stored. None: none now. The maps have to be
    /// [stored](Self::flush) before it, and [`Self::position_stored`] told afterwards.
    pub(crate) fn store_position(&self, topic: &str, partition: i32, settled: i64) -> Option<i64> {
        self.get(topic, partition)?.store(settled)
    }

    /// The position is stored.
    pub(crate) fn position_stored(&self, topic: &str, partition: i32, position: i64) {
        if let Some(open) = self.get(topic, partition) {
            open.position_stored(position);
        }
    }

    /// An operator is about to move stored positions of these partitions.
    ///
    /// # Errors
    /// As [`Self::flush`]; nothing must be moved then.
    pub(crate) async fn before_moving<'a>(
        &self,
        flow: &Flow,
        partitions: impl Iterator<Item = (&'a str, i32)>,
        patience: Duration,
    ) -> Result<(), LeaseError> {
        for (topic, partition) in partitions {
            if let Some(open) = self.get(topic, partition) {
                open.disown_position();
            }
        }
        self.flush(flow, patience).await.map(drop)
    }

    /// Stores the maps that have changed. Returns how many. `patience` bounds the answer to one request.
    ///
    /// # Errors
    /// [`LeaseError`]; what was not stored is tried again at the next call.
    pub async fn flush(&self, flow: &Flow, patience: Duration) -> Result<usize, LeaseError> {
        let mut flushed = self.flushed.lock().await;
        let mut writer = Writer::new(flow, flow.config.offset_map_topic(), patience);
        let open: Vec<_> = self
            .open
            .iter()
            .map(|entry| (entry.key().clone(), entry.value().clone()))
            .collect();
        for (key, partition) in open {
            let changes = partition.changes();
            let lane = partition.lane();
            let (upstream, downstream) = partition.map.ends();
            let state = (changes, upstream, downstream);
            // Without an anchor nothing was ever written to the lane, but a position is stored or to be stored, or what is stored is
            // of an earlier incarnation of the topic.
            let begun = lane.anchored
                || lane.storing.is_some()
                || lane.loaded
                || flushed.contains_key(&key);
            if begun && flushed.get(&key) != Some(&state) {
                writer.put(key, state, partition, &mut flushed).await?;
            }
        }
        writer.write(&mut flushed).await?;
        Ok(writer.stored)
    }
}
