//! `crosscurrent run FILE`.

mod edited;

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use actors::Worker;
use anyhow::Context;
use tokio::time::interval_at;
use topology::MirrorConfig;
use tracing::{error, info};

use crate::cli::{LogFormat, RunArgs};
use crate::config::{self, Fault};
use crate::console::{SUMMARY_INTERVAL, Summary, Watch};
use crate::logging;
use crate::rest::{Edits, Rest, RestConfig};
use crate::signals::Signals;

/// A bad command line or configuration, as clap exits too.
const EXIT_CONFIG: u8 = 2;
/// Stopped, but not cleanly.
const EXIT_UNCLEAN: u8 = 1;
/// Bound on draining and storing positions after the first signal.
const STOP_LIMIT: Duration = Duration::from_secs(9);

/// Runs until a signal comes.
pub(crate) fn run(args: &RunArgs, format: LogFormat) -> ExitCode {
    let config = match config::read(&args.file, &args.clusters) {
        Ok(config) => config,
        Err(faults) => {
            logging::report(format, &faults);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let rest = match config::read_rest(&args.file, &config, args.rest.as_ref()) {
        Ok(rest) => rest,
        Err(faults) => {
            logging::report(format, &faults);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if args.rest_writable && rest.is_none() {
        let what = "--rest-writable: there is no REST with --rest off; leave one of them out";
        logging::report(format, &[Fault::of(&args.file, None, what.to_owned())]);
        return ExitCode::from(EXIT_CONFIG);
    }
    config::report_keys(&args.file, &config);
    // A summary between JSON objects would break whoever reads them.
    let summaries = format == LogFormat::Text && stderr().is_terminal();
    match actix::System::new().block_on(run_flows(
        config,
        rest.as_ref(),
        args.rest_writable,
        summaries,
    )) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_UNCLEAN),
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_UNCLEAN)
        }
    }
}

/// True if everything was acknowledged and stored at the end.
async fn run_flows(
    mut config: MirrorConfig,
    rest: Option<&RestConfig>,
    writable: bool,
    summaries: bool,
) -> anyhow::Result<bool> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    for flow in config.flows() {
        info!(
            flow = %flow.id,
            replication = flow.replication_enabled,
            heartbeats = flow.emit_heartbeats_interval.is_some(),
            "flow"
        );
    }
    let mut worker = Worker::start(config.flows()).context("cannot start threads")?;
    let (edits, mut wanted) = Edits::new();
    let edits = writable.then_some(edits);
    let rest = rest.and_then(|rest| Rest::start(rest, &worker, &config, edits));
    let (mut summary, mut watch) = (Summary::new(Instant::now()), Watch::default());
    let mut ticks = interval_at(
        tokio::time::Instant::now() + SUMMARY_INTERVAL,
        SUMMARY_INTERVAL,
    );
    loop {
        tokio::select! {
            () = signals.next() => break,
            Some(edit) = wanted.recv() => {
                if let Some(rest) = &rest {
                    edited::apply(&mut worker, &mut config, rest.api(), edit).await;
                }
            }
            _ = ticks.tick() => {
                watch.look(&worker.flows(), worker.registry(), Instant::now());
                if summaries {
                    for line in summary.lines(&worker.flows(), worker.registry(), Instant::now()) {
                        // With nobody to read it, the copying goes on.
                        _ = writeln!(stderr(), "{line}");
                    }
                }
            }
        }
    }
    rest.iter().for_each(Rest::stopping);
    info!("stopping: a second signal ends at once");
    let (flows, registry) = (worker.flows(), worker.registry().clone());
    let clean = tokio::select! {
        clean = worker.stop(STOP_LIMIT) => clean,
        () = signals.next() => false,
    };
    if let Some(rest) = rest {
        rest.stop().await;
    }
    summary.log_totals(&flows, &registry, clean);
    Ok(clean)
}
