//! `crosscurrent connect FILE`: a Connect worker whose connectors are MirrorMaker 2's.
//!
//! The config topic is the truth: REST writes to it, and what is read back is planned ([`plan`]), run and written down
//! ([`deployment`]).

mod configs;
mod deployment;
mod plan;
mod providers;
mod records;
mod statuses;
mod store;
mod tasks;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actors::{Backoff, Worker};
use anyhow::Context;
use tokio::time::{Instant, interval, sleep};
use topology::{ConfigProviders, ConnectWorker, KeyReport};
use tracing::{debug, error, info, warn};

use self::deployment::Deployment;
use crate::cli::{ConnectArgs, LogFormat};
use crate::config::{self, Fault};
use crate::console::Watch;
use crate::logging;
use crate::rest::{Api, ConnectMode, Rest, RestConfig};
use crate::signals::Signals;
pub(crate) use configs::{Configs, Connector};
pub(crate) use deployment::END_LIMIT;
pub(crate) use plan::Idle;
pub(crate) use providers::of as providers;
pub(crate) use records::{ConfigRecord, Restart, Settings};
pub(crate) use store::{Store, StoreError};

/// A bad command line or configuration, as clap exits too.
const EXIT_CONFIG: u8 = 2;
/// Stopped, but not cleanly.
const EXIT_UNCLEAN: u8 = 1;
/// Bound on draining and storing positions after the first signal.
const STOP_LIMIT: Duration = Duration::from_secs(9);
/// Of it, how much is kept for writing that nothing runs any more.
const STATES_RESERVE: Duration = Duration::from_secs(1);
/// Changes that come in this time are one restart of a flow.
const SETTLE: Duration = Duration::from_millis(200);
/// Time between two looks for what others wrote, and at what has changed here.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks at partitions that do not run, in [`LOOK_INTERVAL`]s.
const WATCH_EVERY: u64 = 5;
const RETRY_BASE: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// Keys without effect that are named at start; the rest is counted.
const KEYS_NAMED_MAX: usize = 50;

/// Runs until a signal comes.
pub(crate) fn run(args: &ConnectArgs, format: LogFormat) -> ExitCode {
    let (file, rest) = match read(args) {
        Ok((file, rest)) => (Arc::new(file), rest),
        Err(faults) => {
            logging::report(format, &faults);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    report_keys(&args.file, &file.keys_without_effect());
    match actix::System::new().block_on(run_worker(file, &rest)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_UNCLEAN),
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_UNCLEAN)
        }
    }
}

fn read(args: &ConnectArgs) -> Result<(ConnectWorker, RestConfig), Vec<Fault>> {
    let path = &args.file;
    let raw = config::read_properties(path)?;
    let providers = config::providers(path, &raw)?;
    let file =
        ConnectWorker::read(raw, providers).map_err(|errors| config::faults(path, &errors))?;
    // Its keys are resolved already; where they stand is known by them as well.
    let rest = RestConfig::read(
        file.properties(),
        &ConfigProviders::default(),
        args.rest.as_ref(),
    )
    .map_err(|faults| config::rest_faults(path, faults))?;
    let off = "--rest off: a Connect worker without REST cannot be told anything; leave it out";
    let rest = rest.ok_or_else(|| vec![Fault::of(path, None, off.to_owned())])?;
    Ok((file, rest))
}

fn report_keys(file: &Path, keys: &[KeyReport]) {
    for key in keys.iter().take(KEYS_NAMED_MAX) {
        warn!(file = %file.display(), %key, "key without effect");
    }
    if let Some(more @ 1..) = keys.len().checked_sub(KEYS_NAMED_MAX) {
        warn!(file = %file.display(), more, "keys without effect; not named one by one");
    }
}

/// Waits for the storage topics as long as it takes, and shows why. None: a signal came first.
async fn open(
    file: &ConnectWorker,
    signals: &mut Signals,
    api: &Api,
) -> anyhow::Result<Option<Store>> {
    let cluster = Store::cluster(file);
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_MAX);
    let mut said = String::new();
    loop {
        let opened = tokio::select! {
            opened = Store::open(file, cluster.clone()) => opened,
            () = signals.next() => return Ok(None),
        };
        match opened {
            Ok(store) => return Ok(Some(store)),
            Err(error @ StoreError::Partitions(..)) => return Err(error.into()),
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    warn!(
                        error = text,
                        "the storage topics cannot be used yet, trying on"
                    );
                    api.still_starting(&format!("The storage topics cannot be used yet: {text}"));
                    said = text;
                }
            }
        }
        tokio::select! {
            () = sleep(backoff.next_delay()) => {}
            () = signals.next() => return Ok(None),
        }
    }
}

/// True if everything was acknowledged and stored at the end.
async fn run_worker(file: Arc<ConnectWorker>, rest: &RestConfig) -> anyhow::Result<bool> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    let worker = Worker::new().context("cannot start threads")?;
    let registry = worker.registry().clone();
    let rest = Rest::serve(rest, |worker_id| Api::of_connect(registry, worker_id))
        .context("REST cannot listen")?;
    let Some(store) = open(&file, &mut signals, rest.api()).await? else {
        rest.stop().await;
        return Ok(true);
    };
    let store = Arc::new(store);
    info!(
        group = file.group_id,
        connectors = store.configs().names().count(),
        "storage topics read"
    );
    rest.api().opened(ConnectMode {
        file: file.clone(),
        store: store.clone(),
    });
    let worker_id = rest.api().worker_id.clone();
    let mut deployment = Deployment::new(
        worker,
        file.clone(),
        store.clone(),
        rest.api().clone(),
        worker_id.clone(),
    );
    deployment.reconcile().await;
    let mut watch = Watch::default();
    let mut ticks = interval(LOOK_INTERVAL);
    let mut looks = 0_u64;
    let mut due = false;
    loop {
        tokio::select! {
            () = signals.next() => break,
            () = store.changed() => {
                deployment.obey();
                sleep(SETTLE).await;
                due = true;
            }
            _ = ticks.tick() => {
                if let Err(error) = store.follow().await {
                    debug!(%error, "the config topic cannot be read on");
                }
                looks += 1;
                if looks.is_multiple_of(WATCH_EVERY) {
                    let worker = deployment.worker();
                    watch.look(&worker.flows(), worker.registry(), std::time::Instant::now());
                }
            }
        }
        if due {
            // A worker that was overtaken must start nothing: it would take flows from the other one.
            match store.check().await {
                Ok(()) => {
                    deployment.reconcile().await;
                    due = false;
                }
                Err(error) => debug!(%error, "connectors are not looked at yet"),
            }
        }
        deployment.record().await;
    }
    rest.stopping();
    info!("stopping: a second signal ends at once");
    deployment.record().await;
    let names = deployment.names();
    let deadline = Instant::now() + STOP_LIMIT - STATES_RESERVE;
    let end = async {
        let clean = deployment.stop(deadline).await;
        let states = Deployment::record_end(&store, &worker_id, &names);
        if tokio::time::timeout(STATES_RESERVE, states).await.is_err() {
            warn!("states not written in time");
        }
        clean
    };
    let clean = tokio::select! {
        clean = end => clean,
        () = signals.next() => false,
    };
    rest.stop().await;
    info!(clean, "stopped");
    Ok(clean)
}
