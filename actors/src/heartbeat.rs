//! Proves a flow alive.

use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, AsyncContext, Context};
use engine::batch::{BatchBuilder, Codec, ProducerStamp};
use engine::offsets::{Heartbeat, SourceOffsetKey};
use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::supervisor::{ChildSpec, Placement, RunningChild, StartContext, TICK_INTERVAL};

const RETRY_BASE: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);
const PARTITION: i32 = 0;
const PARTITIONS: i32 = 1;
/// An interval of 0 means as fast as possible in MM2; this is as fast as we go.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// Writes a heartbeat to `heartbeats` on the target each interval; the first comes after one interval
/// (`docs/spec/mm2.md` 7, KIP-382). MM2: `MirrorHeartbeatConnector`.
pub struct HeartbeatActor {
    flow: Arc<Flow>,
    start: StartContext,
    interval: Duration,
    backoff: Backoff,
    writing: bool,
    /// The last attempt failed, and that was said.
    failing: bool,
}

impl HeartbeatActor {
    /// How the supervisor starts it.
    pub fn spec(flow: Arc<Flow>, interval: Duration) -> ChildSpec {
        let name = format!("{}/heartbeat", flow.label);
        ChildSpec::new(name, Placement::Control, move |start| {
            let (flow, arbiter, start) = (flow.clone(), start.arbiter.clone(), start.clone());
            let interval = interval.max(INTERVAL_MIN);
            let backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
            RunningChild::of(Self::start_in_arbiter(&arbiter, move |_| Self {
                flow,
                start,
                interval,
                backoff,
                writing: false,
                failing: false,
            }))
        })
    }

    fn create_topic(&mut self, ctx: &mut Context<Self>) {
        let flow = self.flow.clone();
        let create = async move {
            let topic = flow.config.policy.heartbeats_topic();
            let factor = flow.config.heartbeats_topic_replication_factor;
            flow.target
                .create_compacted_topic(topic, PARTITIONS, factor)
                .await
        };
        let created = wrap_future::<_, Self>(create).map(|result, this, ctx| match result {
            Ok(()) => {
                this.backoff.reset();
                this.tell(None);
                ctx.run_interval(this.interval, Self::beat);
            }
            Err(error) => {
                this.tell(Some(&format!(
                    "cannot create the heartbeats topic: {error}"
                )));
                ctx.run_later(this.backoff.next_delay(), Self::create_topic);
            }
        });
        ctx.spawn(created);
    }

    fn beat(&mut self, ctx: &mut Context<Self>) {
        if !self.flow.control.heartbeat.may_run() {
            return;
        }
        if self.flow.drain.fired() || std::mem::replace(&mut self.writing, true) {
            return; // the last one still waits for a broker: heartbeats do not queue up
        }
        let flow = self.flow.clone();
        let write = async move {
            let batch = encode(&flow).map_err(|error| error.to_string())?;
            let topic = flow.config.policy.heartbeats_topic();
            flow.target
                .append(
                    topic,
                    PARTITION,
                    batch,
                    ProducerStamp::NONE,
                    flow.config.target.request_timeout,
                )
                .await
                .map_err(|error| error.to_string())?;
            let (config, id) = (&flow.config, &flow.config.id);
            flow.positions.emitted(&SourceOffsetKey::heartbeat(
                &config.connector_names.heartbeat,
                id.source.as_str(),
                id.target.as_str(),
            ));
            Ok(())
        };
        let written = wrap_future::<_, Self>(write).map(|result: Result<(), String>, this, _| {
            this.writing = false;
            this.tell(result.err().as_deref());
        });
        ctx.spawn(written);
    }

    /// Says when heartbeats begin to fail and when they are well again, not every attempt.
    fn tell(&mut self, error: Option<&str>) {
        let failed = std::mem::replace(&mut self.failing, error.is_some());
        match error {
            Some(error) if !failed => {
                warn!(flow = %self.flow.label, error, "heartbeats are not written, trying on")
            }
            None if failed => info!(flow = %self.flow.label, "heartbeats are written again"),
            _ => {}
        }
    }
}

fn encode(flow: &Flow) -> Result<engine::batch::RawBatch, Box<dyn std::error::Error>> {
    let now = now_ms();
    let heartbeat = Heartbeat {
        source_cluster_alias: flow.config.id.source.as_str().to_owned(),
        target_cluster_alias: flow.config.id.target.as_str().to_owned(),
        timestamp_ms: now,
    };
    let mut builder = BatchBuilder::new(Codec::None);
    builder.push(
        now,
        Some(&heartbeat.encode_key()?),
        Some(&heartbeat.encode_value()),
        &[],
    )?;
    Ok(builder.build()?)
}

impl Actor for HeartbeatActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start.stop_on_kill(ctx);
        ctx.run_interval(TICK_INTERVAL, |this, _| this.start.progress.tick());
        self.create_topic(ctx);
    }
}
