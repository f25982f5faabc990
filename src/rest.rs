//! What others can ask and order while flows run: Connect's REST API, our own below `/v1`, and `/metrics`.
//!
//! The server has a thread of its own. It reads what actors publish, so that no request can hold up copying; what
//! changes something sets a wish or asks a supervisor.

mod changes;
mod connect;
mod connectors;
mod errors;
mod found;
mod loggers;
mod native;
mod offsets;
mod plugins;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::spawn;
use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::{Next, NormalizePath, from_fn};
use actix_web::{App, Error, HttpServer, web};
use actors::{Flow, Registry, Worker};
use tokio::time::{interval, timeout};
use topology::{ConnectWorker, MirrorConfig, Properties};
use tracing::{error, info, warn};

use crate::cli::Listen;
use crate::connect::{Idle, Store};
use crate::metrics::{self, Windows};
pub(crate) use connectors::{CONNECT_VERSION, ConnectorView, StateView, of_task};
use errors::{ApiError, plain};

/// Connect's port, on loopback: there is no authentication yet.
const ADDRESS_DEFAULT: &str = "127.0.0.1:8083";
/// Largest body; positions of 5,000 partitions take half of it.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections at once; more wait in the system's queue.
const CONNECTIONS_MAX: usize = 256;
/// Bound on a request's head.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// Bound on one answer, as Connect's.
const ANSWER_PATIENCE: Duration = Duration::from_secs(90);
/// Bound on ending open requests when the process ends.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// How often the control thread shows that it is alive.
const BEAT_INTERVAL: Duration = Duration::from_secs(1);

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
    pub(crate) worker_id: Arc<str>,
}

/// What requests see.
pub(crate) struct Api {
    shown: RwLock<Arc<Shown>>,
    /// None: connectors are made from a file.
    pub(crate) connect: Option<ConnectMode>,
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
    server: ServerHandle,
}

/// Where to listen: `--rest`, else `listeners` of the file, else the default. None: nowhere.
pub(crate) fn address(wanted: Option<&Listen>, properties: &Properties) -> Option<String> {
    match wanted {
        Some(Listen::Off) => return None,
        Some(Listen::On(address)) => return Some(address.clone()),
        None => {}
    }
    let Some(listeners) = properties.get("listeners") else {
        return Some(ADDRESS_DEFAULT.to_owned());
    };
    let first = listeners.split(',').next().unwrap_or_default().trim();
    match first.to_ascii_lowercase().strip_prefix("http://") {
        // As in Connect, no host is every address of the machine.
        Some(port) if port.starts_with(':') => Some(format!("0.0.0.0{port}")),
        Some(address) => Some(address.trim_end_matches('/').to_owned()),
        None => {
            warn!(
                listeners = first,
                "REST is off: only http:// listeners are supported so far; write http://HOST:PORT"
            );
            None
        }
    }
}

impl Api {
    /// Of a worker that was just started; `worker_id` is the server's address.
    pub(crate) fn new(worker: &Worker, config: &MirrorConfig, worker_id: &Arc<str>) -> Self {
        let flows = worker.flows();
        let connectors = flows.iter().filter_map(|flow| {
            let supervisor = worker.supervisor(flow)?;
            let properties = config.properties();
            Some(ConnectorView::of_flow(
                flow, supervisor, properties, worker_id,
            ))
        });
        let connectors = connectors.flatten().collect();
        let shown = Shown {
            connectors,
            flows,
            ..Shown::default()
        };
        Self::of(worker.registry().clone(), shown, None)
    }

    /// Of a Connect worker: nothing is shown until it has looked at its topics.
    pub(crate) fn of_connect(registry: Registry, connect: ConnectMode) -> Self {
        Self::of(registry, Shown::default(), Some(connect))
    }

    fn of(registry: Registry, shown: Shown, connect: Option<ConnectMode>) -> Self {
        Self {
            shown: RwLock::new(Arc::new(shown)),
            connect,
            registry,
            windows: Windows::new(Instant::now()),
            started: Instant::now(),
            stopping: AtomicBool::new(false),
            last_beat: AtomicI64::new(now_ms()),
        }
    }

    /// From now on this is what runs.
    pub(crate) fn show(&self, shown: Shown) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shown);
    }

    /// How a Connect worker names itself; empty for other processes.
    pub(crate) fn worker_id(&self) -> Arc<str> {
        let connect = self.connect.as_ref();
        connect.map_or_else(|| "".into(), |connect| connect.worker_id.clone())
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
    /// Serves the flows of `worker`. None, with a warning, if the address cannot be had: flows go on without.
    pub(crate) fn start(address: &str, worker: &Worker, config: &MirrorConfig) -> Option<Self> {
        let refused = |error: std::io::Error| {
            warn!(
                address, %error,
                "REST and metrics are off, the flows run: give another address with --rest HOST:PORT, or --rest off"
            );
        };
        let api = |local: SocketAddr| Api::new(worker, config, &local.to_string().into());
        Self::serve(address, api).map_err(refused).ok()
    }

    /// Serves what `api` makes, told the address that was had.
    ///
    /// # Errors
    /// The address cannot be had.
    pub(crate) fn serve(address: &str, api: impl FnOnce(SocketAddr) -> Api) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let local = listener.local_addr()?;
        let api = web::Data::new(api(local));
        let shared = api.clone();
        // A place for TLS and passwords: here the listener, in `order` the middleware.
        let server = HttpServer::new(move || {
            App::new()
                .app_data(shared.clone())
                .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
                .wrap(from_fn(order))
                .wrap(NormalizePath::trim())
                .configure(native::routes)
                .configure(connect::routes)
                .configure(plugins::routes)
                .configure(loggers::routes)
                .default_service(web::to(|| async { not_found() }))
        })
        .workers(1)
        .max_connections(CONNECTIONS_MAX)
        .client_request_timeout(HEAD_PATIENCE)
        .shutdown_timeout(STOP_PATIENCE.as_secs())
        .disable_signals()
        .listen(listener)?
        .run();
        let handle = server.handle();
        spawn(async move {
            if let Err(error) = server.await {
                error!(%error, "the REST server has ended");
            }
        });
        spawn(beat(api.clone()));
        info!(url = format!("http://{local}"), "REST and metrics");
        Ok(Self {
            api,
            server: handle,
        })
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
        // What is late ends with the process.
        _ = timeout(STOP_PATIENCE, self.server.stop(true)).await;
    }
}

fn not_found() -> Result<String, ApiError> {
    Err(plain(StatusCode::NOT_FOUND))
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

/// Bounds each answer, and keeps web pages of other origins from ordering anything.
async fn order(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !reads && request.headers().contains_key(header::ORIGIN) {
        let message = "requests of web pages may only read";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message).into());
    }
    match timeout(ANSWER_PATIENCE, next.call(request)).await {
        Ok(answer) => answer,
        Err(_) => {
            let message = "Request timed out: a cluster does not answer";
            Err(ApiError::internal(message).into())
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
