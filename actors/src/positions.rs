//! Where replication goes on after a restart.
//!
//! A partition's *safe position* is the highest upstream offset below which everything is acknowledged by the target. It
//! is stored on a timer in Connect's own offset format in `mm2-offsets.<source>.internal` on the target
//! (`docs/spec/mm2.md` 3.5), so that a takeover from MM2, and a way back, need no conversion. Storing never holds up
//! replication: it reads the registry.

mod constants;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::clock::sleep;
use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context};
use engine::batch::{BatchBuilder, Codec};
use engine::cluster::ClusterError;
use engine::offsets::{
    OffsetTable, SourceOffset, SourceOffsetKey, SourcePartition, UpstreamOffset, partition_for_key,
};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use self::constants::Constants;
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;
use crate::offset_maps::MAP_FLUSH_INTERVAL;
use crate::registry::PartitionKey;
use crate::supervisor::{ChildSpec, Placement, RunningChild, StartContext, TICK_INTERVAL};

/// Records per batch: well below 1 MiB with topic names of 249 characters.
const RECORDS_PER_BATCH: i32 = 2_000;
/// Pause between two attempts at the last flush.
const FLUSH_RETRY: Duration = Duration::from_millis(100);

/// A record of the offsets topic; no value is a tombstone.
type KeyValue = (Vec<u8>, Option<Vec<u8>>);

/// The positions of one flow that are stored.
#[derive(Debug, Default)]
pub struct Positions {
    /// Partitions of the offsets topic; 0 until it was looked at.
    partitions: AtomicU32,
    stored: Mutex<HashMap<PartitionKey, i64>>,
    constants: Constants,
}

impl Positions {
    /// Makes sure that the flow's state is ours alone ([`crate::Lease`]), and reads it to its end: the offsets topic, which is
    /// created unless it is there, and the offset maps.
    ///
    /// # Errors
    /// [`LeaseError`] when it cannot be read whole: to start without positions would copy everything again.
    pub async fn load(&self, flow: &Flow) -> Result<OffsetTable, LeaseError> {
        let config = &flow.config;
        let topic = config.offset_storage_topic.as_str();
        let partitions = self.find_or_create(flow, topic).await?;
        flow.maps.create_topic(flow).await?;
        let maps = config.offset_map_topic();
        let mut state: Vec<_> = (0..partitions).map(|at| (topic, at)).collect();
        state.push((&maps, 0));
        // From here on nobody else changes what is read now.
        let id = format!("crosscurrent-{}", config.id.source.as_str());
        if let Some(why) = flow.lease.take(&flow.target, &id, &state).await? {
            flow.note_unfenced(&id, &why);
        }
        flow.maps.load(flow).await?;
        let mut table = OffsetTable::new();
        for partition in 0..partitions {
            let apply = |record: engine::cluster::StoredRecord| {
                if let Err(error) = table.apply(record.key.as_deref(), record.value.as_deref()) {
                    warn!(topic, partition, offset = record.offset, %error, "skipping a malformed record");
                }
            };
            flow.target.read_log(topic, partition, apply).await?;
        }
        self.constants.load(flow, &table);
        let source = config.id.source.as_str();
        let mut stored = self.stored.lock().await;
        for (at, last) in table.source_offsets(&config.connector_names.source) {
            if at.cluster == source {
                let (flow, topic) = (flow.label.clone(), at.topic.as_str().into());
                stored.insert(
                    PartitionKey {
                        flow,
                        topic,
                        partition: at.partition,
                    },
                    last.0,
                );
            }
        }
        drop(stored);
        Ok(table)
    }

    async fn find_or_create(&self, flow: &Flow, topic: &str) -> Result<i32, ClusterError> {
        let mut found = partition_count(flow, topic).await?;
        if found.is_none() {
            let config = &flow.config;
            let factor = config.offset_storage_replication_factor;
            flow.target
                .create_compacted_topic(topic, config.offset_storage_partitions, factor)
                .await?;
            found = partition_count(flow, topic).await?;
        }
        let Some(partitions) = found.filter(|count| *count > 0) else {
            return Err(flow
                .target
                .leader_or_refresh(topic, 0)
                .await
                .err()
                .unwrap_or_else(|| ClusterError::Unreadable {
                    alias: flow.target.alias().into(),
                    what: topic.to_owned(),
                    reason: "it was just created and is not listed yet".to_owned(),
                }));
        };
        self.partitions
            .store(partitions.unsigned_abs(), Ordering::Relaxed);
        Ok(partitions)
    }

    /// Stores the positions that have changed, each behind the map that reaches it and names it. Returns how many. `patience`
    /// bounds the answer to one request.
    ///
    /// # Errors
    /// [`LeaseError`] of the first partition of the offsets topic that cannot be written; what was not written is
    /// tried again at the next call.
    pub async fn flush(&self, flow: &Flow, patience: Duration) -> Result<usize, LeaseError> {
        let Some(partitions) = NonZeroU32::new(self.partitions.load(Ordering::Relaxed)) else {
            return Ok(0);
        };
        let mut stored = self.stored.lock().await;
        let (mut count, behind) = Self::flush_due(flow, partitions, &mut stored, patience).await?;
        if behind {
            count += Self::flush_due(flow, partitions, &mut stored, patience)
                .await?
                .0;
        }
        self.flush_constants(flow, partitions, patience).await?;
        Ok(count)
    }

    /// A checkpoint or a heartbeat is on the target: its offset is stored with the next flush.
    pub(crate) fn emitted(&self, key: &SourceOffsetKey) {
        self.constants.emitted(key);
    }

    async fn flush_constants(
        &self,
        flow: &Flow,
        partitions: NonZeroU32,
        patience: Duration,
    ) -> Result<(), LeaseError> {
        let mut due: BTreeMap<u32, Vec<Box<[u8]>>> = BTreeMap::new();
        for key in self.constants.due() {
            let partition = partition_for_key(&key, partitions);
            due.entry(partition).or_default().push(key);
        }
        for (partition, mut keys) in due {
            while !keys.is_empty() {
                let rest =
                    keys.split_off(keys.len().min(RECORDS_PER_BATCH.unsigned_abs() as usize));
                let records: Vec<KeyValue> = (keys.iter())
                    .map(|key| (key.to_vec(), Some(constants::value())))
                    .collect();
                Self::append(flow, partition, batch_of(flow, &records)?, patience).await?;
                self.constants.stored(keys);
                keys = rest;
            }
        }
        Ok(())
    }

    /// True: an earlier answer was missing, and what may be stored was stored for certain before something newer is.
    async fn flush_due(
        flow: &Flow,
        partitions: NonZeroU32,
        stored: &mut HashMap<PartitionKey, i64>,
        patience: Duration,
    ) -> Result<(usize, bool), LeaseError> {
        let mut behind = false;
        let mut due: BTreeMap<u32, Vec<(PartitionKey, i64, Vec<u8>)>> = BTreeMap::new();
        for snapshot in flow.registry.snapshots() {
            let Some(acked) = snapshot.acked.filter(|acked| *acked >= 0) else {
                continue;
            };
            if snapshot.key.flow != flow.label || stored.get(&snapshot.key) == Some(&acked) {
                continue;
            }
            let at = snapshot.key;
            let Some(position) = flow.maps.store_position(&at.topic, at.partition, acked) else {
                continue;
            };
            behind |= position != acked;
            let key = encode_key(flow, &at);
            let partition = partition_for_key(&key, partitions);
            due.entry(partition).or_default().push((at, position, key));
        }
        flow.maps.flush(flow, patience).await?;
        let mut count = 0;
        for (partition, positions) in due {
            let mut builder = BatchBuilder::new(Codec::None);
            let mut written = Vec::new();
            let mut note = |written: &mut Vec<(PartitionKey, i64)>| {
                for (at, position) in written.drain(..) {
                    let (topic, partition) = (&at.topic, at.partition);
                    flow.maps.position_stored(topic, partition, position);
                    stored.insert(at, position);
                    count += 1;
                }
            };
            for (at, position, key) in positions {
                let value = SourceOffset::new(UpstreamOffset(position)).encode();
                if builder
                    .push(now_ms(), Some(&key), Some(&value), &[])
                    .is_err()
                {
                    break; // the rest goes with the next flush
                }
                written.push((at, position));
                if builder.count() >= RECORDS_PER_BATCH {
                    Self::append(
                        flow,
                        partition,
                        std::mem::replace(&mut builder, BatchBuilder::new(Codec::None)),
                        patience,
                    )
                    .await?;
                    note(&mut written);
                }
            }
            if builder.count() > 0 {
                Self::append(flow, partition, builder, patience).await?;
                note(&mut written);
            }
        }
        Ok((count, behind))
    }

    /// What is stored now, of all connectors that share the topic.
    ///
    /// # Errors
    /// [`ClusterError`] when the topic cannot be read whole.
    pub async fn read(&self, flow: &Flow) -> Result<OffsetTable, ClusterError> {
        let topic = flow.config.offset_storage_topic.as_str();
        let mut table = OffsetTable::new();
        let partitions = partition_count(flow, topic).await?.unwrap_or(0);
        for partition in 0..partitions {
            let apply = |record: engine::cluster::StoredRecord| {
                // Said when the flow started.
                drop(table.apply(record.key.as_deref(), record.value.as_deref()));
            };
            flow.target.read_log(topic, partition, apply).await?;
        }
        Ok(table)
    }

    /// Stores what an operator wants stored (KIP-875); an offset of none is a reset. The source connector must have
    /// ended: what it copies would be stored over it. The next start of a partition goes on where it is told to.
    ///
    /// # Errors
    /// [`LeaseError`]; some of the changes may be stored then.
    pub async fn alter(
        &self,
        flow: &Flow,
        changes: &[(SourceOffsetKey, Option<SourceOffset>)],
        patience: Duration,
    ) -> Result<(), LeaseError> {
        let config = &flow.config;
        if self.partitions.load(Ordering::Relaxed) == 0 {
            // It was stopped before it could start, so nobody has made sure yet that the state is ours.
            self.load(flow).await?;
        }
        let loaded = self.partitions.load(Ordering::Relaxed);
        let partitions = NonZeroU32::new(loaded).unwrap_or(NonZeroU32::MIN);
        let table = self.read(flow).await?;
        let ours: Vec<_> = (changes.iter())
            .filter(|(key, _)| key.connector == config.connector_names.source)
            .filter_map(|(key, offset)| Some((key.source_partition()?, offset)))
            .filter(|(at, _)| at.cluster == config.id.source.as_str())
            .collect();
        // What another connector copies now goes on as it is.
        let is_free = |at: &SourcePartition| {
            !(flow.maps.owners).is_held_by_another(&flow.label, &at.topic, at.partition)
        };
        let moved = (ours.iter())
            .filter(|(at, _)| is_free(at))
            .map(|(at, _)| (at.topic.as_str(), at.partition));
        flow.maps.before_moving(flow, moved, patience).await?;
        let mut due: BTreeMap<u32, Vec<KeyValue>> = BTreeMap::new();
        for (key, offset) in changes {
            let others = match offset {
                None => table.other_keys(key).map(<[u8]>::to_vec).collect(),
                Some(_) => Vec::new(),
            };
            for raw in std::iter::once(key.encode()).chain(others) {
                let value = offset.as_ref().map(SourceOffset::encode);
                let partition = partition_for_key(&raw, partitions);
                due.entry(partition).or_default().push((raw, value));
            }
        }
        for (partition, records) in due {
            for some in records.chunks(RECORDS_PER_BATCH.unsigned_abs() as usize) {
                Self::append(flow, partition, batch_of(flow, some)?, patience).await?;
            }
        }
        for (key, offset) in changes
            .iter()
            .filter(|(key, _)| constants::is_of(flow, key))
        {
            match offset {
                None => self.constants.reset(key),
                Some(_) => self.constants.stored(vec![key.encode().into()]),
            }
        }
        let mut stored = self.stored.lock().await;
        for (at, offset) in ours {
            let last = offset.as_ref().and_then(SourceOffset::last_replicated);
            if is_free(&at)
                && let Some(open) = flow.maps.get(&at.topic, at.partition)
            {
                open.moved_by_operator(last.map(|last| last.0.saturating_add(1)));
            }
            stored.remove(&PartitionKey {
                flow: flow.label.clone(),
                topic: at.topic.as_str().into(),
                partition: at.partition,
            });
        }
        Ok(())
    }

    async fn append(
        flow: &Flow,
        partition: u32,
        builder: BatchBuilder,
        patience: Duration,
    ) -> Result<(), LeaseError> {
        let topic = flow.config.offset_storage_topic.as_str();
        let batch = builder.build().map_err(|error| ClusterError::Unreadable {
            alias: flow.target.alias().into(),
            what: topic.to_owned(),
            reason: error.to_string(),
        })?;
        let partition = i32::try_from(partition).unwrap_or(0);
        flow.lease
            .append(&flow.target, topic, partition, batch, patience)
            .await
    }
}

/// The last flush, tried again until `deadline`: an answer that is lost takes a third of what is left, so that there is time
/// for another attempt on another connection. To write a position twice does no harm.
///
/// # Errors
/// Why the last attempt failed.
pub(crate) async fn flush_until(flow: &Flow, deadline: Instant) -> Result<usize, LeaseError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match flow.positions.flush(flow, left / 3).await {
            Err(LeaseError::Failed(error)) if Instant::now() + FLUSH_RETRY < deadline => {
                debug!(flow = %flow.label, %error, "positions not stored, trying again");
                sleep(FLUSH_RETRY).await;
            }
            result => return result,
        }
    }
}

fn batch_of(flow: &Flow, records: &[KeyValue]) -> Result<BatchBuilder, ClusterError> {
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        let pushed = builder.push(now_ms(), Some(key), value.as_deref(), &[]);
        pushed.map_err(|error| ClusterError::Unreadable {
            alias: flow.target.alias().into(),
            what: flow.config.offset_storage_topic.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(builder)
}

async fn partition_count(flow: &Flow, topic: &str) -> Result<Option<i32>, ClusterError> {
    let all = flow.target.topics().await?;
    Ok(all
        .into_iter()
        .find(|listing| listing.name == topic)
        .map(|found| found.partitions))
}

fn encode_key(flow: &Flow, at: &PartitionKey) -> Vec<u8> {
    let partition = SourcePartition {
        cluster: flow.config.id.source.as_str().to_owned(),
        topic: at.topic.to_string(),
        partition: at.partition,
    };
    SourceOffsetKey::source(&flow.config.connector_names.source, &partition).encode()
}

#[derive(Clone, Copy)]
enum What {
    Maps,
    /// And the maps before them.
    Positions,
}

/// Stores positions every `offset.flush.interval.ms` (MM2: `SourceTaskOffsetCommitter`), and offset maps every second.
pub struct PositionStore {
    flow: Arc<Flow>,
    start: StartContext,
    flushing: bool,
    /// The interval ended while something else was being stored.
    positions_due: bool,
    /// The last flush failed, and that was said.
    failing: bool,
}

impl PositionStore {
    /// How the supervisor starts it.
    pub fn spec(flow: Arc<Flow>) -> ChildSpec {
        let name = format!("{}/position-store", flow.label);
        ChildSpec::new(name, Placement::Control, move |start| {
            let (flow, arbiter, start) = (flow.clone(), start.arbiter.clone(), start.clone());
            RunningChild::of(Self::start_in_arbiter(&arbiter, |_| Self {
                flow,
                start,
                flushing: false,
                positions_due: false,
                failing: false,
            }))
        })
    }

    fn flush(&mut self, what: What, ctx: &mut Context<Self>) {
        if self.flow.drain.fired() {
            return; // the last flush is the worker's
        }
        if std::mem::replace(&mut self.flushing, true) {
            // The last one still waits for a broker. Maps will be due again in a second.
            self.positions_due |= matches!(what, What::Positions);
            return;
        }
        let flow = self.flow.clone();
        let flush = async move {
            let patience = flow.config.target.request_timeout;
            let flush = async {
                match what {
                    What::Maps => flow.maps.flush(&flow, patience).await,
                    What::Positions => {
                        let began = Instant::now();
                        let stored = flow.positions.flush(&flow, patience).await;
                        if stored.is_ok() {
                            let took = i64::try_from(began.elapsed().as_millis());
                            let figures = flow.registry.flow(&flow.label);
                            figures.stores.record(took.unwrap_or(i64::MAX));
                        }
                        stored
                    }
                }
            };
            tokio::select! {
                result = flush => result,
                () = flow.drain.wait() => Ok(0),
            }
        };
        let flushed = wrap_future::<_, Self>(flush).map(|result, this, ctx| {
            this.flushing = false;
            if std::mem::take(&mut this.positions_due) {
                this.flush(What::Positions, ctx);
            }
            let failed = std::mem::replace(&mut this.failing, result.is_err());
            let flow = &this.flow.label;
            match result {
                Ok(count) if failed => info!(%flow, count, "positions are stored again"),
                Ok(count) => debug!(%flow, count, "positions stored"),
                Err(error) if failed => debug!(%flow, %error, "positions still not stored"),
                Err(error) => {
                    warn!(%flow, %error, "cannot store positions, trying again at each interval");
                }
            }
        });
        ctx.spawn(flushed);
    }
}

impl Actor for PositionStore {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start.stop_on_kill(ctx);
        // Requests have deadlines of their own, so that a flush always ends and this may tick meanwhile.
        ctx.run_interval(TICK_INTERVAL, |this, _| this.start.progress.tick());
        let interval = self
            .flow
            .config
            .offset_flush_interval
            .max(Duration::from_millis(10));
        ctx.run_interval(interval, |this, ctx| this.flush(What::Positions, ctx));
        ctx.run_interval(MAP_FLUSH_INTERVAL, |this, ctx| this.flush(What::Maps, ctx));
    }
}
