//! Writes MM2's offset syncs, so that Java's clients and a way back to MM2 find what they know.
//!
//! MM2 looks at each acknowledged record ([`engine::offsets::SyncQueue`] has its rule); this looks at the offset maps once a
//! second and shows the rule the last run of each map that has grown. So a partition has at most one sync a second, and
//! an idle one costs two atomic loads a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context};
use engine::batch::{BatchBuilder, Codec, ProducerStamp, RawBatch};
use engine::cluster::{Cluster, ClusterError};
use engine::offsets::{OffsetMap, OffsetSync, SyncQueue};
use tokio::sync::Mutex;
use tokio::time::Instant;
use topology::OffsetSyncsLocation;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;
use crate::supervisor::{ChildSpec, Placement, RunningChild, StartContext, TICK_INTERVAL};

/// How often maps are looked at, unless `offset.flush.interval.ms` is shorter.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// However short the flush interval is.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(10);
const RETRY_BASE: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Bytes per batch, well below Kafka's default limit of 1 MiB.
const BATCH_BYTES_MAX: usize = 512 << 10;
const PARTITION: i32 = 0;
const PARTITIONS: i32 = 1;

/// The offset syncs of one flow that are written, and those that are to be.
#[derive(Debug)]
pub struct OffsetSyncs {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    queue: SyncQueue,
    /// Each map's ends when it was looked at last.
    ends: HashMap<(Arc<str>, i32), (i64, i64)>,
}

impl OffsetSyncs {
    /// Nothing was seen yet. `lag_max`: MM2's `offset.lag.max`.
    pub fn new(lag_max: u64) -> Self {
        let held = Held {
            queue: SyncQueue::new(lag_max),
            ends: HashMap::new(),
        };
        Self {
            held: Mutex::new(held),
        }
    }

    /// Writes the syncs that are due, or with `all` those of every partition that has changed. Returns how many. `patience`
    /// bounds the answer to one request.
    ///
    /// # Errors
    /// [`LeaseError`]; what was not written is tried again at the next call.
    pub async fn flush(
        &self,
        flow: &Flow,
        all: bool,
        patience: Duration,
    ) -> Result<usize, LeaseError> {
        let mut held = self.held.lock().await;
        let Held { queue, ends } = &mut *held;
        // Whoever wrote before, and was given up, holds the lock no more.
        queue.answered(false);
        flow.maps.each(flow, |at, partition| {
            let now = partition.map.ends();
            match ends.get_mut(at) {
                Some(seen) if *seen == now => return,
                Some(seen) => *seen = now,
                None => drop(ends.insert(at.clone(), now)),
            }
            if let Some(run) = partition.map.read(OffsetMap::last_run) {
                queue.see(&at.0, at.1, &run);
            }
        });
        if all {
            queue.promote_delayed();
        }
        let Some(syncs) = queue.take() else {
            return Ok(0);
        };
        write(flow, &syncs, patience).await?;
        queue.answered(true);
        Ok(syncs.len())
    }
}

/// The cluster that has the topic.
fn host(flow: &Flow) -> &Cluster {
    match flow.config.offsets.offset_syncs_location {
        OffsetSyncsLocation::Source => &flow.source,
        OffsetSyncsLocation::Target => &flow.target,
    }
}

async fn write(flow: &Flow, syncs: &[OffsetSync], patience: Duration) -> Result<(), LeaseError> {
    let (host, topic) = (host(flow), flow.config.offset_syncs_topic());
    let now = now_ms();
    let mut builder = BatchBuilder::new(Codec::None);
    for sync in syncs {
        // Names of topics are no longer than 249 bytes.
        let Ok(key) = sync.encode_key() else { continue };
        let pushed = builder.push(now, Some(&key), Some(&sync.encode_value()), &[]);
        pushed.map_err(|error| unreadable(host, &topic, &error))?;
        if builder.plain_bytes() >= BATCH_BYTES_MAX {
            let full = std::mem::replace(&mut builder, BatchBuilder::new(Codec::None));
            append(flow, &topic, full, patience).await?;
        }
    }
    append(flow, &topic, builder, patience).await
}

async fn append(
    flow: &Flow,
    topic: &str,
    builder: BatchBuilder,
    patience: Duration,
) -> Result<(), LeaseError> {
    if builder.count() == 0 {
        return Ok(());
    }
    let host = host(flow);
    let built: Result<RawBatch, _> = builder.build();
    let batch = built.map_err(|error| unreadable(host, topic, &error))?;
    flow.lease.check(&flow.target).await?;
    let nobody = ProducerStamp::NONE;
    Ok(host
        .append(topic, PARTITION, batch, nobody, patience)
        .await?)
}

fn unreadable(host: &Cluster, topic: &str, error: &dyn std::fmt::Display) -> ClusterError {
    ClusterError::Unreadable {
        alias: host.alias().into(),
        what: topic.to_owned(),
        reason: error.to_string(),
    }
}

/// Creates the topic, and writes to it. MM2: `OffsetSyncWriter` with the topic of `MirrorSourceConnector.start`.
pub struct OffsetSyncsActor {
    flow: Arc<Flow>,
    start: StartContext,
    backoff: Backoff,
    writing: bool,
    /// When everything that changed was written last.
    all_written: Instant,
    /// The last attempt failed, and that was said.
    failing: bool,
}

impl OffsetSyncsActor {
    /// How the supervisor starts it.
    pub fn spec(flow: Arc<Flow>) -> ChildSpec {
        let name = format!("{}/offset-syncs", flow.label);
        ChildSpec::new(name, Placement::Control, move |start| {
            let (flow, arbiter, start) = (flow.clone(), start.arbiter.clone(), start.clone());
            RunningChild::of(Self::start_in_arbiter(&arbiter, move |_| Self {
                flow,
                start,
                backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
                writing: false,
                all_written: Instant::now(),
                failing: false,
            }))
        })
    }

    fn create_topic(&mut self, ctx: &mut Context<Self>) {
        let flow = self.flow.clone();
        if !flow.maps.is_loaded() {
            // What keeps the flow from starting is said by the herder.
            ctx.run_later(LOOK_INTERVAL, Self::create_topic);
            return;
        }
        let create = async move {
            let factor = flow.config.offsets.offset_syncs_topic_replication_factor;
            let topic = flow.config.offset_syncs_topic();
            host(&flow)
                .create_compacted_topic(&topic, PARTITIONS, factor)
                .await
        };
        let created = wrap_future::<_, Self>(create).map(|result, this, ctx| match result {
            Ok(()) => {
                this.backoff.reset();
                this.tell(None);
                let interval = this.flow.config.offset_flush_interval;
                let interval = interval.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL);
                ctx.run_interval(interval, Self::look);
            }
            Err(error) => {
                this.tell(Some(&format!("cannot create their topic: {error}")));
                ctx.run_later(this.backoff.next_delay(), Self::create_topic);
            }
        });
        ctx.spawn(created);
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let flow = self.flow.clone();
        if flow.drain.fired() || flow.lease.is_lost() || self.writing {
            return; // the last flush is the worker's
        }
        self.writing = true;
        let all = self.all_written.elapsed() >= flow.config.offset_flush_interval;
        let flush = async move {
            let patience = host(&flow).connect_options().request_timeout;
            tokio::select! {
                result = flow.syncs.flush(&flow, all, patience) => result,
                () = flow.drain.wait() => Ok(0),
            }
        };
        let flushed = wrap_future::<_, Self>(flush).map(move |result, this, _| {
            this.writing = false;
            match result {
                Ok(count) => {
                    if all {
                        this.all_written = Instant::now();
                    }
                    debug!(flow = %this.flow.label, count, "offset syncs written");
                    this.tell(None);
                }
                Err(error) => this.tell(Some(&error.to_string())),
            }
        });
        ctx.spawn(flushed);
    }

    /// Says when it begins to fail and when it is well again, not every attempt.
    fn tell(&mut self, error: Option<&str>) {
        let failed = std::mem::replace(&mut self.failing, error.is_some());
        let flow = &self.flow.label;
        match error {
            Some(error) if !failed => {
                warn!(%flow, error, "offset syncs are not written, trying on");
            }
            None if failed => info!(%flow, "offset syncs are written again"),
            _ => {}
        }
    }
}

impl Actor for OffsetSyncsActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start.stop_on_kill(ctx);
        ctx.run_interval(TICK_INTERVAL, |this, _| this.start.progress.tick());
        self.create_topic(ctx);
    }
}
