//! Where every record's copy is, and where a lane goes on.
//!
//! The map of a partition (`engine::offsets::SharedMap`) grows with every acknowledgement. It is stored in a compacted topic on
//! the target about once a second, what changed only, so that after a crash little has to be compared
//! ([`crate::replicator`]'s claim), and so that translation knows the past at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use engine::batch::{BatchBuilder, Codec};
use engine::cluster::ClusterError;
use engine::offsets::{MapHead, MapStart, MapTable, SharedMap};
use tracing::{info, warn};
use uuid::Uuid;

use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;

/// How often changed maps are stored. What was written since is compared after a crash.
pub const MAP_FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Bytes per stored batch, well below Kafka's default limit of 1 MiB.
const BATCH_BYTES_MAX: usize = 512 << 10;
const PARTITION: i32 = 0;

/// The map of one partition with what else a lane has to find again.
#[derive(Debug)]
pub struct PartitionMap {
    /// The pairs of offsets.
    pub map: SharedMap,
    lane: Mutex<Lane>,
    /// Raised by every change that is to be stored, other than the map's growth.
    changes: AtomicU64,
}

/// What is stored beside the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lane {
    /// Which incarnation of the source topic; nil on clusters that do not say.
    topic_id: Uuid,
    /// Who wrote last: producer id and epoch.
    producer: Option<(i64, i16)>,
    /// The end of the target's log is known, as of `map`'s downstream end.
    anchored: bool,
    /// The position that is stored in Connect's offsets topic, and the one that is being stored: a process may
    /// die between the two topics, so either is ours. Any other was put there by somebody else.
    stored: Option<i64>,
    storing: Option<i64>,
}

/// All maps of one flow.
#[derive(Debug, Default)]
pub struct OffsetMaps {
    open: DashMap<(Arc<str>, i32), Arc<PartitionMap>>,
    /// What was stored when the flow started, as far as no replicator has asked for it.
    loaded: Mutex<MapTable>,
    /// What of each map is stored: (changes, upstream end, downstream end).
    flushed: tokio::sync::Mutex<BTreeMap<(Arc<str>, i32), (u64, i64, i64)>>,
}

/// Where a partition goes on.
#[derive(Debug)]
pub struct Opened {
    /// Its map.
    pub map: Arc<PartitionMap>,
    /// First upstream offset to copy; none: `auto.offset.reset` decides.
    pub resume_at: Option<i64>,
}

impl PartitionMap {
    fn new(topic_id: Uuid, map: SharedMap) -> Self {
        Self {
            map,
            lane: Mutex::new(Lane {
                topic_id,
                ..Lane::default()
            }),
            changes: AtomicU64::new(0),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Lane)) {
        change(&mut self.lane.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn lane(&self) -> Lane {
        *self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who wrote to the lane last, as far as it is known: producer id and epoch.
    pub fn producer(&self) -> Option<(i64, i16)> {
        self.lane().producer
    }

    /// The pair of ends from which the target's tail is to be compared; none for a lane that nothing is known of.
    pub fn anchor(&self) -> Option<(i64, i64)> {
        self.lane().anchored.then(|| self.map.ends())
    }

    /// A lane was taken over. With [`Self::anchor`] it has to be stored before its first batch.
    pub fn taken_over(&self, producer: (i64, i16)) {
        self.change(|lane| {
            lane.producer = Some(producer);
            lane.anchored = true;
        });
    }

    /// The source topic was deleted and created again: nothing of the old one's offsets holds any more.
    pub fn recreated(&self, topic_id: Uuid) {
        self.map.reset(MapStart::Complete);
        self.change(|lane| {
            lane.topic_id = topic_id;
            lane.anchored = false;
        });
    }

    /// The source lost what is at and above `upstream`, or an operator had the position moved back there.
    pub fn moved_back(&self, upstream: i64) {
        self.map.truncate_upstream(upstream);
        self.change(|_| {});
    }

    /// A position is about to be written to Connect's offsets topic.
    fn storing(&self, position: i64) {
        self.change(|lane| {
            lane.stored = lane.storing.or(lane.stored);
            lane.storing = Some(position);
        });
    }
}

impl OffsetMaps {
    /// Reads what is stored, to the end.
    ///
    /// # Errors
    /// [`ClusterError`] when it cannot be read whole.
    pub async fn load(&self, flow: &Flow) -> Result<(), ClusterError> {
        let topic = flow.config.offset_map_topic();
        let began = std::time::Instant::now();
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
        Ok(())
    }

    /// The map of a partition and the place to go on at. `position` is the next upstream offset by Connect's offsets topic.
    pub fn open(
        &self,
        flow: &Flow,
        (topic, partition): (&str, i32),
        topic_id: Uuid,
        position: Option<i64>,
    ) -> Opened {
        let key = (Arc::from(topic), partition);
        if let Some(open) = self.open.get(&key) {
            let (map, resume_at) = (open.clone(), Some(open.map.ends().0));
            return Opened { map, resume_at };
        }
        let stored = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(topic, partition);
        let opened = match stored {
            Some((head, map)) => found(flow, (topic, partition), topic_id, position, &head, map),
            None => fresh(topic_id, position),
        };
        self.open.insert(key, opened.map.clone());
        opened
    }

    /// The map of a partition that is being copied.
    pub fn get(&self, topic: &str, partition: i32) -> Option<Arc<PartitionMap>> {
        self.open
            .get(&(Arc::from(topic), partition))
            .map(|map| map.clone())
    }

    /// Forgets a partition that the source has no more. What is stored stays.
    pub fn close(&self, topic: &str, partition: i32) {
        self.open.remove(&(Arc::from(topic), partition));
    }

    /// Notes that these positions are about to be stored, and stores the maps first. A partition's position
    /// is the offset of the last record that was copied.
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub async fn before_positions<'a>(
        &self,
        flow: &Flow,
        positions: impl Iterator<Item = (&'a str, i32, i64)>,
    ) -> Result<(), LeaseError> {
        for (topic, partition, position) in positions {
            if let Some(open) = self.get(topic, partition) {
                open.storing(position);
            }
        }
        self.flush(flow).await.map(drop)
    }

    /// Stores the maps that have changed. Returns how many.
    ///
    /// # Errors
    /// [`LeaseError`]; what was not stored is tried again at the next call.
    pub async fn flush(&self, flow: &Flow) -> Result<usize, LeaseError> {
        let topic = flow.config.offset_map_topic();
        let mut flushed = self.flushed.lock().await;
        let open: Vec<_> = self
            .open
            .iter()
            .map(|entry| (entry.key().clone(), entry.value().clone()))
            .collect();
        let mut count = 0;
        let mut builder = BatchBuilder::new(Codec::None);
        let mut waiting = Vec::new();
        for (key, partition) in open {
            let changes = partition.changes.load(Ordering::Acquire);
            let lane = partition.lane();
            if !lane.anchored {
                continue; // nothing was ever written to it
            }
            let (upstream, downstream) = partition.map.ends();
            let state = (changes, upstream, downstream);
            if flushed.get(&key) == Some(&state) {
                continue;
            }
            let head = MapHead {
                topic_id: lane.topic_id,
                producer: lane.producer,
                stored: lane.stored,
                storing: lane.storing,
                ..MapHead::default()
            };
            let changed = partition.map.changed_records(&key.0, key.1, head);
            let mut fits = true;
            for record in &changed.records {
                fits &= builder
                    .push(now_ms(), Some(&record.key), record.value.as_deref(), &[])
                    .is_ok();
            }
            waiting.push((key, state, partition, changed));
            count += 1;
            if builder.plain_bytes() >= BATCH_BYTES_MAX || !fits {
                let full = std::mem::replace(&mut builder, BatchBuilder::new(Codec::None));
                write(flow, &topic, full, &mut waiting, &mut flushed).await?;
            }
        }
        if builder.count() > 0 {
            write(flow, &topic, builder, &mut waiting, &mut flushed).await?;
        }
        Ok(count)
    }
}
