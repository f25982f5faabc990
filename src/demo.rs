//! `crosscurrent demo`: active/active replication between two embedded clusters, live, with a proof at the end.
//!
//! Everything is in this process: the clusters, crosscurrent's own worker, and for each cluster a producer and a consumer
//! group made of librdkafka, which check what the worker does without sharing its code.

pub(crate) mod clients;
mod ledger;
mod lines;
mod load;
mod proof;
mod reader;
mod record;
mod run;
mod sample;
pub(crate) mod screen;
mod settings;
mod sides;
mod view;

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use tracing::error;

use crate::cli::LogFormat;
use crate::logging::{self, Writer, recent::Recent};
use record::RECORD_BYTES_MIN;

/// The topic on both sides.
const TOPIC: &str = "orders";
/// Without `RUST_LOG`: what is well is in the view.
const LOG_FILTER: &str = "warn";
/// Most partitions: each has a segment in memory on both sides.
const PARTITIONS_MAX: i64 = 64;
/// Largest record; brokers refuse batches of more than 1 MB.
const RECORD_BYTES_MAX: usize = 500_000;

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent demo
      20 seconds, a live view, a proof at the end
  crosscurrent demo --seconds 0 --ports 9092,9192
      until Ctrl-C; meanwhile, point any Kafka tool at localhost:9092 (east) and localhost:9192 (west):
      every topic that you create on one side comes up on the other
  crosscurrent demo --rate 50000 --record-bytes 200 --partitions 8
      more load
  crosscurrent demo --json
      one JSON object a second on standard output: `start`, `progress` ..., `summary`

Starts the Kafka clusters east and west in this process and crosscurrent between them, both ways. On each side
a producer writes to the topic `orders`, and a consumer group reads `orders` and the other side's copy of it.
At the end, each side must hold every record of the other exactly once and in order, and no topic may
have come home. Nothing is written to disk; no Java, no Docker.

Ctrl-C or q ends the writing early, and the proof follows; a second Ctrl-C ends at once.

Exit codes:
  0  proved
  1  not proved, or the demo could not be run
  2  bad command line";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long to write; 0: until Ctrl-C.
    #[arg(long, value_name = "N", default_value_t = 20)]
    seconds: u64,
    /// Records per second on each side, at most: a producer waits for slow readers.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// Size of a record's value.
    #[arg(long, value_name = "BYTES", default_value_t = 512, value_parser = record_bytes)]
    record_bytes: usize,
    /// Partitions of the topic.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..=PARTITIONS_MAX))]
    partitions: i32,
    /// Ports of the clusters on loopback; 0: a free one.
    #[arg(long, value_name = "EAST,WEST", default_value = "0,0", value_parser = ports)]
    ports: Ports,
    /// Lines instead of the live view; so it is, too, when standard input or output is no terminal.
    #[arg(long)]
    no_tty: bool,
    /// JSON instead of the live view: one object a second and a last one.
    #[arg(long)]
    json: bool,
    /// Print the configuration that crosscurrent runs with, which is one that `run` takes.
    #[arg(long)]
    show_config: bool,
}

/// Of east and west.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports([u16; 2]);

fn ports(text: &str) -> Result<Ports, String> {
    let ports = text.split_once(',').and_then(|(east, west)| {
        let port = |text: &str| text.trim().parse().ok();
        Some(Ports([port(east)?, port(west)?]))
    });
    ports.ok_or_else(|| "write two ports, for instance 9092,9192".to_owned())
}

fn record_bytes(text: &str) -> Result<usize, String> {
    let fits = |bytes: &usize| (RECORD_BYTES_MIN..=RECORD_BYTES_MAX).contains(bytes);
    text.parse()
        .ok()
        .filter(fits)
        .ok_or_else(|| format!("write a number from {RECORD_BYTES_MIN} to {RECORD_BYTES_MAX}"))
}

/// Runs the demo to its proof.
pub(crate) fn run(args: &DemoArgs, format: LogFormat) -> ExitCode {
    let started = Instant::now();
    let live = !args.no_tty && !args.json && screen::is_possible();
    let recent = Recent::default();
    let kept = live && stderr().is_terminal();
    let writer = if kept {
        Writer::Recent(recent.clone())
    } else {
        Writer::StandardError
    };
    logging::init(format, LOG_FILTER, writer);
    let outcome =
        actix::System::new().block_on(run::run(args, live.then_some(recent.clone()), started));
    if kept {
        for line in recent.lines() {
            eprintln!("{line}");
        }
    }
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) if kept => {
            eprintln!("demo failed: {error:#}");
            ExitCode::FAILURE
        }
        Err(error) => {
            error!("demo failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
