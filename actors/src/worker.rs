//! One process: all its flows, started and stopped together.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use actix::clock::sleep;
use actix::{Actor, Addr, spawn};
use dashmap::DashMap;
use engine::cluster::Cluster;
use engine::lane::raw::credit::Budget;
use engine::wire::{BufferPool, ConnectOptions};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use topology::{ClusterConfig, FlowConfig};
use tracing::{debug, info, warn};

use crate::arbiters::DataArbiters;
use crate::checkpoints::{self, CheckpointsActor, Groups};
use crate::control::Control;
use crate::flow::{CLAIMS_MAX, Flow};
use crate::heartbeat::HeartbeatActor;
use crate::herder::Herder;
use crate::kill_switch::KillSwitch;
use crate::lease::Lease;
use crate::offset_maps::OffsetMaps;
use crate::offset_syncs::{OffsetSyncs, OffsetSyncsActor};
use crate::positions::{Positions, flush_until};
use crate::reencode_pool::ReencodePool;
use crate::registry::{ReasonLabels, Registry};
use crate::replicator::{DROP_LABELS, REENCODE_LABELS};
use crate::supervisor::{RestartPolicy, Supervise, Supervisor};

/// Fetched bytes that may be on their way in this process. Bounds resident memory.
pub const BUDGET_BYTES: usize = 48 << 20;
/// Threads that move data: one moves more than 1 GB/s, so more only help on large machines.
const DATA_THREADS_MAX: usize = 4;
/// Bound on connecting to a broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Looks at the budget while draining.
const DRAIN_POLL: Duration = Duration::from_millis(10);
/// Of the time for stopping, how much is kept for storing positions.
const FLUSH_RESERVE: Duration = Duration::from_secs(3);

/// All flows of this process. Lives on the thread of the actix `System`.
pub struct Worker {
    running: Vec<Running>,
    arbiters: DataArbiters,
    reencoders: ReencodePool,
    pool: BufferPool,
    registry: Registry,
    budget: Arc<Budget>,
    kill_switch: KillSwitch,
}

/// A flow, and what ends it.
struct Running {
    flow: Arc<Flow>,
    supervisor: Addr<Supervisor>,
    kill_switch: KillSwitch,
}

impl Worker {
    /// A process without flows.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn new() -> io::Result<Self> {
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let threads = |count: usize| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        Ok(Self {
            running: Vec::new(),
            arbiters: DataArbiters::new(threads((cores - 1).min(DATA_THREADS_MAX)))?,
            reencoders: ReencodePool::start(threads(cores))?,
            pool: BufferPool::default(),
            registry: Registry::new(ReasonLabels {
                reencode: REENCODE_LABELS,
                drop: DROP_LABELS,
            }),
            budget: Budget::new(BUDGET_BYTES),
            kill_switch: KillSwitch::new(),
        })
    }

    /// Starts the flows. Returns at once: unreachable clusters are retried for ever and shown as such.
    ///
    /// # Errors
    /// The system gives no threads.
    pub fn start(configs: &[FlowConfig]) -> io::Result<Self> {
        let mut worker = Self::new()?;
        worker.running = configs
            .iter()
            .map(|config| worker.prepare(config))
            .collect();
        worker.introduce_flows();
        worker.running.iter().for_each(Running::start);
        Ok(worker)
    }

    /// Starts a flow beside those that run. Flows of one pair of clusters must have different source connectors, and the same
    /// names for topics: they share the lease and the offset maps. Returns at once.
    pub fn add(&mut self, config: &FlowConfig) -> Arc<Flow> {
        let one = self.prepare(config);
        let flow = one.flow.clone();
        self.running.push(one);
        self.introduce_flows();
        self.running.last().into_iter().for_each(Running::start);
        flow
    }

    /// Ends one flow: takes in nothing more, waits for what is on its way, stores positions and forgets its partitions, within
    /// `limit`. True if everything was acknowledged and stored; what was not is found on the target at the next start.
    /// Nothing happens if there is no such flow.
    pub async fn remove(&mut self, flow: &Flow, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let is_it = |one: &Running| std::ptr::eq(&raw const *one.flow, flow);
        let Some(at) = self.running.iter().position(is_it) else {
            return true;
        };
        let one = self.running.swap_remove(at);
        one.flow.drain.fire();
        let drain_until = deadline - FLUSH_RESERVE.min(limit / 2);
        while !one.flow.is_drained() && Instant::now() < drain_until {
            sleep(DRAIN_POLL).await;
        }
        let drained = one.flow.is_drained();
        let clean = store_last(one.flow.clone(), deadline).await && drained;
        one.kill_switch.fire();
        while one.supervisor.connected() && Instant::now() < deadline {
            sleep(DRAIN_POLL).await;
        }
        one.flow.maps.owners.release_all(&one.flow.label);
        self.registry.remove_flow(&one.flow.label);
        self.introduce_flows();
        clean
    }

    fn prepare(&self, config: &FlowConfig) -> Running {
        let label = self.label_for(config);
        let (lease, maps) = self.shared_with(config);
        let kill_switch = self.kill_switch.child();
        let flow = Arc::new(Flow {
            label: label.clone(),
            source: cluster(&config.source, &self.pool),
            target: cluster(&config.target, &self.pool),
            config: config.clone(),
            registry: self.registry.clone(),
            budget: self.budget.clone(),
            reencoders: self.reencoders.clone(),
            rules: DashMap::new(),
            waiting: AtomicUsize::new(0),
            drain: kill_switch.child(),
            control: Control::default(),
            positions: Positions::default(),
            maps,
            syncs: OffsetSyncs::new(config.offsets.offset_lag_max),
            groups: Groups::default(),
            reverse: RwLock::default(),
            lease,
            claims: Semaphore::new(CLAIMS_MAX),
            unfenced: Mutex::default(),
            trouble: Mutex::default(),
        });
        let arbiters = self.arbiters.clone();
        let supervisor =
            Supervisor::new(label, &kill_switch, arbiters, RestartPolicy::default()).start();
        Running {
            flow,
            supervisor,
            kill_switch,
        }
    }

    /// The flow's aliases, with the source connector's name if they are taken.
    fn label_for(&self, config: &FlowConfig) -> Arc<str> {
        let label = config.id.to_string();
        if (self.running.iter()).any(|one| *one.flow.label == *label) {
            format!("{label}:{}", config.connector_names.source).into()
        } else {
            label.into()
        }
    }

    /// The lease and the maps of a flow's pair. Both are named after the source, whoever copies: a lease of its own for each
    /// connector would shut the others out.
    fn shared_with(&self, config: &FlowConfig) -> (Arc<Lease>, Arc<OffsetMaps>) {
        let beside = self.running.iter().map(|one| &one.flow).find(|flow| {
            // What another process has taken is begun anew.
            flow.config.id == config.id
                && flow.config.replication_enabled == config.replication_enabled
                && !flow.lease.is_lost()
        });
        match beside {
            Some(flow) => (flow.lease.clone(), flow.maps.clone()),
            None => Default::default(),
        }
    }

    /// Tells each flow which one copies the other way.
    fn introduce_flows(&self) {
        for Running { flow, .. } in &self.running {
            let id = &flow.config.id;
            let reverse = self.running.iter().find(|other| {
                let other = &other.flow.config;
                let copies = other.replication_enabled;
                copies && other.id.source == id.target && other.id.target == id.source
            });
            flow.set_reverse(reverse.map(|other| &other.flow));
        }
    }

    /// Every partition's state.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The flows of this process.
    pub fn flows(&self) -> Vec<Arc<Flow>> {
        self.running.iter().map(|one| one.flow.clone()).collect()
    }

    /// The flow's supervisor, for restarts.
    pub fn supervisor(&self, flow: &Flow) -> Option<&Addr<Supervisor>> {
        let mut running = self.running.iter();
        let one = running.find(|one| std::ptr::eq(&raw const *one.flow, flow))?;
        Some(&one.supervisor)
    }

    /// Takes in nothing more, waits for what is on its way, stores positions and ends, within `limit`.
    /// True if everything was acknowledged and stored.
    pub async fn stop(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        for one in &self.running {
            one.flow.drain.fire();
        }
        let drain_until = deadline - FLUSH_RESERVE.min(limit / 2);
        while self.budget.used() > 0 && Instant::now() < drain_until {
            sleep(DRAIN_POLL).await;
        }
        let mut clean = self.budget.used() == 0;
        if !clean {
            warn!(
                bytes = self.budget.used(),
                "not everything was acknowledged in time: it is copied again at the next start"
            );
        }
        // All at once: a target that does not answer must not cost the others' positions.
        let flushes: Vec<_> = (self.running.iter())
            .map(|one| spawn(store_last(one.flow.clone(), deadline)))
            .collect();
        for flush in flushes {
            clean &= flush.await.unwrap_or(false);
        }
        self.kill_switch.fire();
        clean
    }
}

impl Running {
    /// Starts the flow's actors.
    fn start(&self) {
        let Self {
            flow, supervisor, ..
        } = self;
        let config = &flow.config;
        let mut children = Vec::new();
        if config.replication_enabled {
            children.push(Herder::spec(
                flow.clone(),
                supervisor.clone(),
                Arc::new(|_, _| true),
            ));
            if config.offsets.emit_offset_syncs {
                children.push(OffsetSyncsActor::spec(flow.clone()));
            }
            if checkpoints::are_wanted(config) {
                children.push(CheckpointsActor::spec(flow.clone()));
            }
        }
        if let Some(interval) = config.emit_heartbeats_interval {
            children.push(HeartbeatActor::spec(flow.clone(), interval));
        }
        for child in children {
            let name = child.name().clone();
            // The supervisor is new and its mailbox empty.
            if let Err(error) = supervisor.try_send(Supervise(child)) {
                warn!(%name, %error, "not started");
            }
        }
    }
}

/// True if the flow's positions were stored.
async fn store_last(flow: Arc<Flow>, deadline: Instant) -> bool {
    if !flow.config.replication_enabled {
        return true;
    }
    match timeout_at(deadline, flush_until(&flow, deadline)).await {
        Ok(Ok(count)) => {
            info!(flow = %flow.label, count, "positions stored");
            flush_syncs(&flow, deadline).await;
            return true;
        }
        Ok(Err(error)) => warn!(flow = %flow.label, %error, "positions not stored"),
        Err(_) => warn!(flow = %flow.label, "positions not stored in time"),
    }
    false
}

/// MM2's last commit writes what was delayed. For readers of offset syncs only: that it fails costs them a few records.
async fn flush_syncs(flow: &Flow, deadline: Instant) {
    if !flow.config.offsets.emit_offset_syncs || !flow.maps.is_loaded() {
        return;
    }
    let patience = deadline.saturating_duration_since(Instant::now());
    match timeout_at(deadline, flow.syncs.flush(flow, true, patience)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => debug!(flow = %flow.label, %error, "offset syncs not written"),
        Err(_) => debug!(flow = %flow.label, "offset syncs not written in time"),
    }
}

fn cluster(config: &ClusterConfig, pool: &BufferPool) -> Arc<Cluster> {
    let bootstrap = config
        .bootstrap_servers
        .iter()
        .map(|at| (at.host.clone(), at.port))
        .collect();
    let options = ConnectOptions {
        client_id: config.client_id.as_str().into(),
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: config.request_timeout,
        pool: pool.clone(),
        security: config.security.clone(),
    };
    Cluster::new(
        config.alias.as_str(),
        bootstrap,
        options,
        config.admin_request_timeout,
        Handle::current(),
    )
}
