//! What others can ask and order while flows run: Connect's REST API, our own below `/v1`, and `/metrics`.
//!
//! The server has a thread of its own. It reads what actors publish, so that no request can hold up copying; what
//! changes something sets a wish or asks a supervisor.

mod auth;
mod changes;
mod connect;
mod connectors;
mod cors;
mod edits;
mod errors;
mod flows;
mod found;
mod groups;
mod listeners;
mod loggers;
mod native;
mod offsets;
mod openapi;
mod paging;
mod partitions;
mod plugins;
mod server;
mod tls;
mod translations;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::spawn;
use actix_web::dev::ServerHandle;
use actix_web::web;
use actors::{Flow, Registry, Worker};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{interval, timeout};
use topology::{ConnectWorker, MirrorConfig};
use tracing::{error, info, warn};

use crate::connect::{Idle, Store};
use crate::metrics::{self, Windows};
pub(crate) use changes::{name_into, unmasked};
pub(crate) use connect::running;
use connectors::KINDS;
pub(crate) use connectors::{CONNECT_VERSION, ConnectorView, StateView, of_task};
pub(crate) use edits::{Edit, Edits, NewConfig};
pub(crate) use errors::ApiError;
pub(crate) use listeners::{KeyFault, RestConfig};
pub(crate) use plugins::Given;
use server::{STOP_PATIENCE, Sockets};
use tls::Tls;

/// How often the control thread shows that it is alive.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Between two looks at files of certificates.
const RENEW_INTERVAL: Duration = Duration::from_secs(10);

/// What runs now.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) connectors: Vec<ConnectorView>,
    pub(crate) flows: Vec<Arc<Flow>>,
    /// Of a Connect worker: connectors that no flow runs.
    pub(crate) idle: BTreeMap<String, Idle>,
}

/// What makes REST that of a Connect worker: what changes connectors is written to the storage topics.
pub(crate) struct ConnectMode {
    pub(crate) file: Arc<ConnectWorker>,
    pub(crate) store: Arc<Store>,
}

/// What requests see.
pub(crate) struct Api {
    shown: RwLock<Arc<Shown>>,
    /// Not set: connectors are made from a file, or the worker is `starting`.
    connect: OnceLock<ConnectMode>,
    /// Of a Connect worker whose storage topics are not read yet: why not. Without them it can say nothing about connectors.
    starting: watch::Sender<Option<String>>,
    /// Without `connect`: the file's connectors may be changed.
    edits: Option<Edits>,
    /// The server's address.
    pub(crate) worker_id: Arc<str>,
    pub(crate) registry: Registry,
    pub(crate) windows: Windows,
    pub(crate) started: Instant,
    stopping: AtomicBool,
    /// Epoch milliseconds.
    last_beat: AtomicI64,
}

/// The running server.
pub(crate) struct Rest {
    api: web::Data<Api>,
    servers: Vec<ServerHandle>,
}

impl Api {
    /// Of a worker that was just started.
    pub(crate) fn new(
        worker: &Worker,
        file: &MirrorConfig,
        worker_id: Arc<str>,
        edits: Option<Edits>,
    ) -> Self {
        let api = Self {
            edits,
            ..Self::of(worker.registry().clone(), worker_id)
        };
        api.show_file(worker, file);
        api
    }

    /// Of a Connect worker that is starting: until [`Self::opened`], requests wait, but for those that ask whether it is well.
    pub(crate) fn of_connect(registry: Registry, worker_id: Arc<str>) -> Self {
        let api = Self::of(registry, worker_id);
        api.still_starting("The storage topics are being read.");
        api
    }

    fn of(registry: Registry, worker_id: Arc<str>) -> Self {
        Self {
            shown: RwLock::default(),
            connect: OnceLock::new(),
            starting: watch::Sender::default(),
            edits: None,
            worker_id,
            registry,
            windows: Windows::new(Instant::now()),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            last_beat: AtomicI64::new(now_ms()),
        }
    }

    /// Why a Connect worker is not there yet.
    pub(crate) fn still_starting(&self, why: &str) {
        self.starting.send_replace(Some(why.to_owned()));
    }

    /// A Connect worker has read its storage topics.
    pub(crate) fn opened(&self, connect: ConnectMode) {
        self.connect.get_or_init(|| connect);
        self.starting.send_replace(None);
    }

    /// Returns when a Connect worker has read its storage topics; at once for the flows of a file.
    async fn started(&self) {
        // Fails when the sender is gone, which is ours.
        _ = self.starting.subscribe().wait_for(Option::is_none).await;
    }

    /// As [`Self::still_starting`] said it last.
    fn starting(&self) -> Option<String> {
        self.starting.borrow().clone()
    }

    /// None: connectors are made from a file.
    pub(crate) fn connect(&self) -> Option<&ConnectMode> {
        self.connect.get()
    }

    /// From now on the flows of a file run as they do now.
    pub(crate) fn show_file(&self, worker: &Worker, file: &MirrorConfig) {
        let flows = worker.flows();
        let connectors = flows.iter().filter_map(|flow| {
            let supervisor = worker.supervisor(flow)?;
            let of = |kind| ConnectorView::of_file(flow, supervisor, file, kind, &self.worker_id);
            Some(KINDS.map(of))
        });
        self.show(Shown {
            connectors: connectors.flatten().collect(),
            flows,
            ..Shown::default()
        });
    }

    /// From now on this is what runs.
    pub(crate) fn show(&self, shown: Shown) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }

    /// What runs now, for one answer: meanwhile it may be replaced.
    pub(crate) fn shown(&self) -> Arc<Shown> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }

    /// The text of `/metrics`.
    pub(crate) fn metrics(&self) -> String {
        let shown = self.shown();
        metrics::render(&metrics::Scrape {
            flows: &shown.flows,
            connectors: &shown.connectors,
            registry: &self.registry,
            windows: &self.windows,
            started: self.started,
        })
    }
}

impl Rest {
    /// Serves the flows of `worker`. None, with a warning, if an address cannot be had: flows go on without.
    pub(crate) fn start(
        config: &RestConfig,
        worker: &Worker,
        file: &MirrorConfig,
        edits: Option<Edits>,
    ) -> Option<Self> {
        let refused = |error: io::Error| {
            warn!(
                %error,
                "REST and metrics are off, the flows run: give another address with --rest HOST:PORT, or --rest off"
            );
        };
        let api = |worker_id| Api::new(worker, file, worker_id, edits);
        Self::serve(config, api).map_err(refused).ok()
    }

    /// Serves what `api` makes, told the `worker_id`.
    ///
    /// # Errors
    /// An address cannot be had; the text names it.
    pub(crate) fn serve(
        config: &RestConfig,
        api: impl FnOnce(Arc<str>) -> Api,
    ) -> io::Result<Self> {
        let sockets = Sockets::bind(config)?;
        let api = web::Data::new(api(sockets.worker_id(&config.advertised).into()));
        for url in sockets.urls() {
            info!(url, "REST and metrics");
        }
        for url in sockets.admin_urls() {
            info!(url, "REST for log levels");
        }
        let servers = sockets.serve(config, &api)?.into_iter().map(|server| {
            let handle = server.handle();
            spawn(async move {
                if let Err(error) = server.await {
                    error!(%error, "the REST server has ended");
                }
            });
            handle
        });
        let servers = servers.collect();
        spawn(beat(api.clone()));
        let tls = config.tls();
        if !tls.is_empty() {
            spawn(renew(tls));
        }
        Ok(Self { api, servers })
    }

    /// What requests see.
    pub(crate) fn api(&self) -> &web::Data<Api> {
        &self.api
    }

    /// From now on the process is not ready.
    pub(crate) fn stopping(&self) {
        self.api.stopping.store(true, Ordering::Release);
    }

    /// Ends open requests.
    pub(crate) async fn stop(self) {
        let all = join_all(self.servers.iter().map(|server| server.stop(true)));
        // What is late ends with the process.
        _ = timeout(STOP_PATIENCE, all).await;
    }
}

/// Shows from the control thread that it runs, and lets the windows of the metrics pass.
async fn beat(api: web::Data<Api>) {
    let mut ticks = interval(BEAT_INTERVAL);
    loop {
        ticks.tick().await;
        api.last_beat.store(now_ms(), Ordering::Release);
        api.windows.pass(&api.registry, Instant::now());
    }
}

/// Reads certificates again when their files change.
async fn renew(all: Vec<Arc<Tls>>) {
    let mut ticks = interval(RENEW_INTERVAL);
    loop {
        ticks.tick().await;
        for tls in all.clone() {
            // Files may be far away. One look ends before the next begins.
            if web::block(move || tls.renew(SystemTime::now()))
                .await
                .is_err()
            {
                return; // the process ends
            }
        }
    }
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
