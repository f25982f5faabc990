//! Where every record's copy is, and where a lane goes on.
//!
//! The map of a partition (`engine::offsets::SharedMap`) grows with every acknowledgement. It is stored in a compacted topic on
//! the target about once a second, what changed only, so that after a crash little has to be compared
//! ([`crate::replicator`]'s claim), and so that translation knows the past at once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use engine::batch::{BatchBuilder, Codec, OffsetRun};
use engine::cluster::ClusterError;
use engine::offsets::{
    BlockRecord, LoadedMap, MapExtent, MapHead, MapKey, MapStart, MapTable, OffsetMap, SharedMap,
    Translation, UnknownReason,
};
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
const PARTITIONS: i32 = 1;

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
    /// Which incarnation of the source topic, and of the remote topic; nil on clusters that do not say.
    topic_id: Uuid,
    remote_topic_id: Uuid,
    /// Who wrote last: producer id and epoch.
    producer: Option<(i64, i16)>,
    /// The end of the target's log is known, as of `map`'s downstream end.
    anchored: bool,
    /// The position that is stored in Connect's offsets topic, and the one that is being stored: a process may
    /// die between the two topics, so either is ours. Any other was put there by somebody else.
    stored: Option<i64>,
    storing: Option<i64>,
    /// Leader epoch of the source's last record that is settled.
    leader_epoch: Option<i32>,
    /// A process before us has stored it.
    loaded: bool,
}

/// A stored position that no topic has.
const NOBODYS: i64 = i64::MAX;
/// Stands for no position and no producer in a head.
const NONE: i64 = -1;

fn some(position: i64) -> Option<i64> {
    (position != NONE).then_some(position)
}

impl Lane {
    fn read(&mut self, head: &MapHead) {
        *self = Self {
            topic_id: head.topic_id,
            remote_topic_id: head.remote_topic_id,
            producer: (head.producer_id >= 0).then_some((head.producer_id, head.producer_epoch)),
            anchored: head.claimed,
            stored: some(head.stored),
            storing: some(head.storing),
            leader_epoch: Some(head.leader_epoch).filter(|epoch| *epoch >= 0),
            loaded: true,
        };
    }

    fn head(&self, extent: MapExtent) -> MapHead {
        let (producer_id, producer_epoch) = self.producer.unwrap_or((NONE, -1));
        MapHead {
            topic_id: self.topic_id,
            extent,
            remote_topic_id: self.remote_topic_id,
            producer_id,
            producer_epoch,
            stored: self.stored.unwrap_or(NONE),
            storing: self.storing.unwrap_or(NONE),
            leader_epoch: self.leader_epoch.unwrap_or(-1),
            claimed: self.anchored,
        }
    }
}

/// All maps of one flow.
#[derive(Debug, Default)]
pub struct OffsetMaps {
    open: DashMap<(Arc<str>, i32), Arc<PartitionMap>>,
    /// What was stored when the flow started, as far as no replicator has asked for it.
    loaded: Mutex<MapTable>,
    is_loaded: AtomicBool,
    flushed: tokio::sync::Mutex<Flushed>,
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
    fn new(topic_id: Uuid, map: OffsetMap) -> Self {
        Self {
            map: SharedMap::new(map),
            lane: Mutex::new(Lane {
                topic_id,
                ..Lane::default()
            }),
            changes: AtomicU64::new(0),
        }
    }

    /// A map that another process keeps, as it was stored.
    pub(crate) fn of_another(LoadedMap { head, map, .. }: LoadedMap) -> Self {
        let known = Self::new(head.topic_id, map);
        known.change(|lane| lane.read(&head));
        known
    }

    fn change(&self, change: impl FnOnce(&mut Lane)) {
        change(&mut self.lane.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.fetch_add(1, Ordering::Release);
    }

    fn lane(&self) -> Lane {
        *self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The incarnation of the source topic that the map belongs to; none on clusters that do not say.
    pub fn topic_id(&self) -> Option<Uuid> {
        Some(self.lane().topic_id).filter(|id| !id.is_nil())
    }

    /// Who wrote to the lane last, as far as it is known: producer id and epoch.
    pub fn producer(&self) -> Option<(i64, i16)> {
        self.lane().producer
    }

    /// The pair of ends from which the target's tail is to be compared; none for a lane that nothing is known of.
    pub fn anchor(&self) -> Option<(i64, i64)> {
        self.lane().anchored.then(|| self.map.ends())
    }

    /// Where the copy of a source offset is. A lane that another program had, and that has copied nothing since, knows nothing
    /// of the target's log yet.
    pub fn translate(&self, upstream: i64) -> Translation {
        self.unless_blank(|map| map.translate(upstream))
    }

    /// Which source offset a copy comes from, by the same rules.
    pub fn translate_back(&self, downstream: i64) -> Translation {
        self.unless_blank(|map| map.translate_back(downstream))
    }

    fn unless_blank(&self, ask: impl FnOnce(&SharedMap) -> Translation) -> Translation {
        let is_blank =
            |map: &OffsetMap| map.entries() == 0 && matches!(map.start(), MapStart::From { .. });
        if self.anchor().is_none() && self.map.read(is_blank) {
            Translation::Unknown(UnknownReason::BelowMap)
        } else {
            ask(&self.map)
        }
    }

    /// A lane was taken over. Without an [`anchor`](Self::anchor) until now, it has to be stored before its first batch.
    pub fn taken_over(&self, producer: (i64, i16)) {
        self.change(|lane| {
            lane.producer = Some(producer);
            lane.anchored = true;
        });
    }

    /// The source topic was deleted and created again: nothing of the old one's offsets holds any more.
    pub fn recreated(&self, topic_id: Uuid) {
        self.map.restart(MapStart::Complete);
        self.change(|lane| {
            lane.topic_id = topic_id;
            lane.anchored = false;
            lane.leader_epoch = None;
        });
    }

    /// The remote topic has another id than the one that the lane was taken over in.
    pub fn is_elsewhere(&self, remote_topic_id: Uuid) -> bool {
        is_another(self.lane().remote_topic_id, remote_topic_id)
    }

    /// The lane is about to be taken over in this incarnation of the remote topic. If that is another one, nothing of the old
    /// one's offsets holds any more; what was copied into it stays gone.
    pub fn writes_to(&self, remote_topic_id: Uuid) -> bool {
        let known = self.lane().remote_topic_id;
        let another = is_another(known, remote_topic_id);
        if another {
            let (upstream, _) = self.map.ends();
            self.map.restart(MapStart::From {
                upstream,
                downstream: 0,
            });
        }
        self.change(|lane| {
            lane.remote_topic_id = remote_topic_id;
            lane.anchored &= !another;
        });
        another
    }

    /// The source lost what is at and above `upstream`, or is to be copied again from there on; `leader_epoch` is that of what
    /// lies below.
    pub fn moved_back(&self, upstream: i64, leader_epoch: Option<i32>) {
        self.map.truncate_upstream(upstream);
        self.change(|lane| lane.leader_epoch = leader_epoch);
    }

    /// Leader epoch of the source's last record that is settled.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.lane().leader_epoch
    }

    /// What is settled next has this epoch. Called before it is settled: an epoch that is too new is right as well, when the source
    /// is asked whether it has lost something, and one that is too old is not.
    pub fn enter_epoch(&self, leader_epoch: i32) {
        self.change(|lane| lane.leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0));
    }

    /// An operator stores another position: nothing is compared at the next start, which begins there.
    /// `next`: the first upstream offset to copy; none: `auto.offset.reset` decides.
    pub(crate) fn moved_by_operator(&self, next: Option<i64>) {
        self.map.truncate_upstream(next.unwrap_or(0));
        self.map.mark_unknown();
        self.change(|lane| {
            lane.anchored = false;
            lane.leader_epoch = None;
        });
    }

    /// No stored position is ours from now on, also for a process that comes after us.
    fn disown_position(&self) {
        self.change(|lane| (lane.stored, lane.storing) = (Some(NOBODYS), Some(NOBODYS)));
    }

    /// The target stored these source records from `downstream` on.
    pub fn stored(&self, run: OffsetRun, downstream: i64) {
        let length = u64::from(run.count.unsigned_abs());
        if let Err(error) = (self.map).acknowledged(run.upstream_first, downstream, length) {
            // Cannot be by the window's rules; what is not entered is answered for as not known.
            warn!(%error, "an acknowledged run is not entered in the offset map");
            self.map.mark_unknown();
        }
    }

    /// The first batch of a lane that nothing was known of comes at these ends.
    pub fn begin(&self, upstream: i64, downstream: i64) {
        // Nothing is known of what lies below, on either side.
        if matches!(self.map.read(OffsetMap::start), MapStart::From { .. })
            && self.map.read(OffsetMap::entries) == 0
        {
            self.map.restart(MapStart::From {
                upstream,
                downstream,
            });
        }
        self.map.settle(upstream, downstream);
    }

    /// Records were stored, and no answer told where: everything below `upstream_end` is copied.
    pub fn unknown_up_to(&self, upstream_end: i64) {
        let (_, downstream) = self.map.ends();
        self.map.mark_unknown();
        self.map.settle(upstream_end, downstream);
    }
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

    /// Looks at the map of every partition that is or was being copied by this process, by source topic and partition. `look`
    /// must be quick, and not call this again.
    pub fn each(&self, mut look: impl FnMut(&(Arc<str>, i32), &Arc<PartitionMap>)) {
        for entry in &self.open {
            look(entry.key(), entry.value());
        }
    }

    /// The map of a partition and the place to go on at. `position` is the next upstream offset by Connect's offsets topic.
    pub fn open(
        &self,
        flow: &Flow,
        (topic, partition): (&str, i32),
        topic_id: Uuid,
        position: Option<i64>,
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
            Some(stored) => found(&at, topic_id, position, stored),
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

    /// Notes that these positions are about to be stored, and stores the maps first: (topic, partition, offset of the last
    /// record that was copied).
    ///
    /// # Errors
    /// As [`Self::flush`].
    pub(crate) async fn before_positions<'a>(
        &self,
        flow: &Flow,
        positions: impl Iterator<Item = (&'a str, i32, i64)>,
        patience: Duration,
    ) -> Result<(), LeaseError> {
        for (topic, partition, position) in positions {
            if let Some(open) = self.get(topic, partition) {
                open.change(|lane| {
                    lane.stored = lane.storing.or(lane.stored);
                    lane.storing = Some(position);
                });
            }
        }
        self.flush(flow, patience).await.map(drop)
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
            let changes = partition.changes.load(Ordering::Acquire);
            let lane = partition.lane();
            let (upstream, downstream) = partition.map.ends();
            let state = (changes, upstream, downstream);
            // Without an anchor nothing was ever written to the lane, but something may have been passed over, or what is stored
            // is of an earlier incarnation of the topic.
            let begun = lane.anchored
                || lane.loaded
                || flushed.contains_key(&key)
                || upstream > 0 && partition.map.read(OffsetMap::start) == MapStart::Complete;
            if begun && flushed.get(&key) != Some(&state) {
                writer.put(key, state, partition, &mut flushed).await?;
            }
        }
        writer.write(&mut flushed).await?;
        Ok(writer.stored)
    }
}

/// What of each map is stored: (changes, upstream end, downstream end).
type Flushed = BTreeMap<(Arc<str>, i32), (u64, i64, i64)>;

/// Gathers records of many maps into batches.
struct Writer<'a> {
    flow: &'a Flow,
    topic: String,
    patience: Duration,
    builder: BatchBuilder,
    /// What the batch holds, to be noted when it is stored.
    waiting: Vec<Waiting>,
    stored: usize,
}

struct Waiting {
    key: (Arc<str>, i32),
    state: (u64, i64, i64),
    partition: Arc<PartitionMap>,
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
    fn new(flow: &'a Flow, topic: String, patience: Duration) -> Self {
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
    async fn put(
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
    async fn write(&mut self, flushed: &mut Flushed) -> Result<(), LeaseError> {
        self.send().await?;
        self.stored += self.waiting.len();
        flushed.extend(
            self.waiting
                .drain(..)
                .map(|stored| (stored.key, stored.state)),
        );
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

/// A partition, for log lines.
struct Place<'a> {
    flow: &'a str,
    topic: &'a str,
    partition: i32,
}

/// A lane that this process had before.
fn again(at: &Place<'_>, map: Arc<PartitionMap>, topic_id: Uuid, position: Option<i64>) -> Opened {
    let lane = map.lane();
    let resume_at = if is_another(lane.topic_id, topic_id) {
        at.tell_recreated();
        map.recreated(topic_id);
        Some(0)
    } else if lane.anchored {
        Some(map.map.ends().0)
    } else {
        position
    };
    Opened { map, resume_at }
}

/// A lane that a process before us had.
fn found(
    at: &Place<'_>,
    topic_id: Uuid,
    position: Option<i64>,
    LoadedMap { head, map, lost }: LoadedMap,
) -> Opened {
    let map = PartitionMap::new(head.topic_id, map);
    map.change(|lane| lane.read(&head));
    if is_another(head.topic_id, topic_id) {
        at.tell_recreated();
        map.recreated(topic_id);
        return Opened {
            map: Arc::new(map),
            resume_at: Some(0),
        };
    }
    for lost in lost {
        let (flow, topic, partition) = (at.flow, at.topic, at.partition);
        let (from, to) = (lost.upstream.start, lost.upstream.end);
        warn!(
            flow,
            topic,
            partition,
            from,
            to,
            "the offset map has lost these offsets: groups there are moved to a lower offset"
        );
    }
    let last = position.map(|next| next - 1);
    let (end, _) = map.map.ends();
    let resume_at = if last == some(head.stored) || last == some(head.storing) {
        Some(end)
    } else {
        let (flow, topic, partition) = (at.flow, at.topic, at.partition);
        warn!(
            flow,
            topic,
            partition,
            position,
            ours = end,
            "the stored position was moved by somebody else: going on there"
        );
        map.change(|lane| {
            lane.anchored = false;
            lane.leader_epoch = None;
        });
        let next = position.unwrap_or(0);
        map.map.truncate_upstream(next);
        map.map.mark_unknown();
        position
    };
    Opened {
        map: Arc::new(map),
        resume_at,
    }
}

/// A lane that nobody had before, or that MM2 had.
fn fresh(topic_id: Uuid, position: Option<i64>) -> Opened {
    let start = match position {
        // Whose copies of what lies below are where is not known.
        Some(upstream) => MapStart::From {
            upstream,
            downstream: 0,
        },
        None => MapStart::Complete,
    };
    Opened {
        map: Arc::new(PartitionMap::new(topic_id, OffsetMap::new(start))),
        resume_at: position,
    }
}

/// Clusters before 2.8 do not tell ids.
fn is_another(known: Uuid, now: Uuid) -> bool {
    known != now && !known.is_nil() && !now.is_nil()
}

impl Place<'_> {
    fn tell_recreated(&self) {
        warn!(
            flow = self.flow,
            topic = self.topic,
            partition = self.partition,
            "the source topic was deleted and created again: copying the new one from its start"
        );
    }
}
