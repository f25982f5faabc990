//! Active/active replication between two real Kafka clusters, live, with a proof at the end (`make demo`).
//!
//! Starts `east` and `west`, starts the `crosscurrent` binary between them, writes to the topic `orders` on
//! both sides, and shows once a second what has crossed. Then it stops writing and checks that each side holds
//! every record of the other exactly once and in order, and that nothing came home. Ends with 1 if not.

mod flow;
mod proof;

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use scenarios::{Cluster, Error, Kind, Pair, Product, await_ok};

use flow::{Flow, TOPIC};

/// How long the last records may take to cross after writing has ended.
const DRAIN_PATIENCE: Duration = Duration::from_secs(90);

/// How long the product may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Two real Kafka clusters, active/active, with a proof at the end.
#[derive(Parser)]
struct Arguments {
    /// How long to write.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The crosscurrent binary. Default: the one beside this program.
    #[arg(long)]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo failed: {error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    println!("starting two Kafka clusters (the first time, Kafka is fetched) ...");
    let start = Instant::now();
    let Pair { east, west } = Pair::start(Kind::Real)?;
    println!(
        "east {} and west {}: up in {:.1?}",
        east.bootstrap(),
        west.bootstrap(),
        start.elapsed()
    );

    let flows = [Flow::new(&*east, &*west)?, Flow::new(&*west, &*east)?];
    let program = arguments.program.clone().unwrap_or_else(beside_us);
    let mut product = Product::run(&program, &properties(&*east, &*west))?;
    println!(
        "{} run mm2.properties: east->west and west->east",
        program.display()
    );

    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    thread::scope(|scope| {
        let writers = flows
            .each_ref()
            .map(|flow| scope.spawn(|| flow.write_until(end)));
        let shown = show_until(&flows, &mut product, end);
        for writer in writers {
            writer
                .join()
                .map_err(|_| Error::Earlier("a writer panicked".to_owned()))??;
        }
        shown
    })?;

    let drain = Instant::now();
    await_ok("the last records to cross", DRAIN_PATIENCE, || {
        product
            .process()
            .check_running()
            .map_err(|e| format!("{e:?}"))?;
        let [here, there] = flows.each_ref().map(Flow::progress);
        if here.is_complete() && there.is_complete() {
            Ok(())
        } else {
            Err(format!("{here}   {there}"))
        }
    })?;
    println!("all crossed {:.1?} after the last write", drain.elapsed());
    let memory = product.process().rss_bytes_peak()? >> 20;
    let processor = product.process().cpu_time()?;
    let status = product.stop(STOP_PATIENCE)?;
    println!(
        "crosscurrent ended with {status}: {memory} MiB at most, {processor:.1?} of processor time"
    );
    proof::show(&flows)
}

/// Shows progress once a second; fails as soon as the product has ended.
fn show_until(flows: &[Flow; 2], product: &mut Product, end: Instant) -> Result<(), Error> {
    let start = Instant::now();
    for second in 1.. {
        let next = (start + Duration::from_secs(second)).min(end);
        thread::sleep(next.saturating_duration_since(Instant::now()));
        product.process().check_running()?;
        println!(
            "{second:4} s   {}   {}",
            flows[0].progress(),
            flows[1].progress()
        );
        if Instant::now() >= end {
            break;
        }
    }
    Ok(())
}

/// The `crosscurrent` that was built together with this program.
fn beside_us() -> PathBuf {
    std::env::current_exe()
        .unwrap_or_default()
        .with_file_name("crosscurrent")
}

/// What a user writes to replicate `orders` both ways, with clusters of one broker.
fn properties(east: &dyn Cluster, west: &dyn Cluster) -> String {
    let mut text = format!(
        "clusters = east, west\n\
         east.bootstrap.servers = {}\n\
         west.bootstrap.servers = {}\n",
        east.bootstrap(),
        west.bootstrap()
    );
    for flow in ["east->west", "west->east"] {
        text += &format!("{flow}.enabled = true\n{flow}.topics = {TOPIC}\n");
    }
    for topic in [
        "",
        "checkpoints.topic.",
        "heartbeats.topic.",
        "offset-syncs.topic.",
    ] {
        text += &format!("{topic}replication.factor = 1\n");
    }
    for storage in ["offset", "status", "config"] {
        text += &format!("{storage}.storage.replication.factor = 1\n");
    }
    text += "refresh.topics.interval.seconds = 1\n\
             emit.heartbeats.interval.seconds = 1\n\
             offset.flush.interval.ms = 1000\n";
    text
}
