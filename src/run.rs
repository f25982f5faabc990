//! `crosscurrent run FILE`.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use actors::Worker;
use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use topology::{MirrorConfig, Properties};
use tracing::{error, info, warn};

use crate::cli::RunArgs;
use crate::console::{SUMMARY_INTERVAL, Summary};

/// A bad command line or configuration, as clap exits too.
const EXIT_CONFIG: u8 = 2;
/// Stopped, but not cleanly.
const EXIT_UNCLEAN: u8 = 1;
/// Bound on draining and storing positions after the first signal.
const STOP_LIMIT: Duration = Duration::from_secs(9);

/// Runs until a signal comes.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let config = match read_config(args) {
        Ok(config) => config,
        Err(error) => {
            // For people: no time stamp, no level, every fault on its own line.
            _ = writeln!(stderr(), "{error:#}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match actix::System::new().block_on(run_flows(&config)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_UNCLEAN),
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_UNCLEAN)
        }
    }
}

fn read_config(args: &RunArgs) -> anyhow::Result<MirrorConfig> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file)
        .with_context(|| format!("cannot read the configuration file {file}"))?;
    let properties = Properties::parse(&bytes).with_context(|| format!("{file}"))?;
    let config =
        MirrorConfig::read(properties, &args.clusters).with_context(|| format!("{file}"))?;
    report_keys(&args.file, &config);
    Ok(config)
}

/// Once at the start: keys without effect, so that a misspelt one does not turn into a silent default.
fn report_keys(file: &Path, config: &MirrorConfig) {
    for key in config.unknown_keys() {
        warn!(file = %file.display(), %key, "unknown key, kept without effect");
    }
    for key in config.ignored_keys() {
        warn!(file = %file.display(), %key, "MirrorMaker 2 key without effect in this version");
    }
}

async fn run_flows(config: &MirrorConfig) -> anyhow::Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for flow in config.flows() {
        info!(
            flow = %flow.id,
            replication = flow.replication_enabled,
            heartbeats = flow.emit_heartbeats_interval.is_some(),
            "flow"
        );
    }
    let worker = Worker::start(config.flows()).context("cannot start threads")?;
    let mut summary = Summary::default();
    let mut ticks = tokio::time::interval(SUMMARY_INTERVAL);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick() => {
                if stderr().is_terminal() {
                    for line in summary.lines(&worker, Instant::now()) {
                        _ = writeln!(stderr(), "{line}");
                    }
                }
            }
        }
    }
    info!("stopping: a second signal ends at once");
    tokio::select! {
        clean = worker.stop(STOP_LIMIT) => Ok(clean),
        _ = terminate.recv() => Ok(false),
        _ = interrupt.recv() => Ok(false),
    }
}
