//! `crosscurrent verify FILE`: is the target what the source is?

mod compare;
mod findings;
mod plan;
mod progress;
mod recent;
mod side;
mod state;
mod walk;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;
use tracing::error;

use crate::cli::LogFormat;
use crate::tools::{self, EXIT_CONFIG, FlowArgs, Output};
use findings::Findings;
use plan::Plan;
use progress::Progress;
use state::State;
use workers::Outcome;

/// Records differ.
const EXIT_DIFFERENT: u8 = 1;
/// Something could not be compared, and what could is equal.
const EXIT_INCOMPLETE: u8 = 3;

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent verify mm2.properties
      every topic that the flows of the file copy
  crosscurrent verify mm2.properties --flow 'east->west' --topic orders
      one topic of one flow
  crosscurrent verify mm2.properties --resume verify.json
      notes down how far it is; after a Ctrl-C, the same command goes on there
  crosscurrent verify mm2.properties --sample 100
      only one batch at each of 100 random places of every partition: seconds instead of hours

Compares key, value, headers and timestamp of every record, in order, partition by partition, over the range that
both sides have. Where both hold the same compressed bytes, records are not decoded. Records are what a consumer
with the flow's isolation.level gets: markers are none, nor are records of aborted transactions under
read_committed. The first difference of each kind is named with both offsets.

Not a difference, but counted: what is not copied yet, what retention has deleted on one side, what compaction has
removed. The stored offset map tells where each copy is; without one (MirrorMaker 2 made the copy) records are
aligned by their contents. Memory does not grow with the topic. Works while the flow runs.

One line a partition on standard output, and a line at the end; progress on standard error.

Exit codes:
  0  equal
  1  there are differences
  2  bad command line or configuration
  3  no difference was found, but something could not be compared: a cluster is unreachable, a topic or a partition is
     missing on the target, nothing of it is copied yet, a batch is damaged, or standard output cannot be written";

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    of: FlowArgs,
    /// Only this topic, under its name on the source. May be given many times.
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Partitions that are compared at the same time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// Compare one batch at each of N random places of every partition. Needs a stored offset map.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "resume")]
    sample: Option<u32>,
    /// Take the places of an earlier --sample again; it is printed at the start.
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    seed: Option<u64>,
    /// Note down in this file how far the comparison is, and go on there if it exists.
    #[arg(long, value_name = "STATEFILE")]
    resume: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Compares.
pub(crate) fn run(args: &VerifyArgs, log_format: LogFormat) -> ExitCode {
    let flows = match args.of.flows(log_format) {
        Ok(flows) => flows,
        Err(code) => return code,
    };
    let state = match State::open(args.resume.as_deref()) {
        Ok(state) => state,
        Err(error) => {
            error!("--resume: {error:#}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    let sample = args.sample.map(|places| workers::Sample {
        places,
        seed: args.seed.unwrap_or_else(rand::random),
    });
    let compared = tools::block_on(Plan::make(&flows, &args.topics))
        .and_then(|plan| report(args, log_format, plan, sample, state));
    match compared {
        Ok(code) => code,
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_INCOMPLETE)
        }
    }
}

/// Does what is planned, and prints what comes out.
fn report(
    args: &VerifyArgs,
    log_format: LogFormat,
    plan: Plan,
    sample: Option<workers::Sample>,
    mut state: State,
) -> anyhow::Result<ExitCode> {
    let mut out = Output::new();
    let mut print = |line: &dyn std::fmt::Display| -> anyhow::Result<()> {
        // With nobody to read it, the exit code still tells.
        out.line(line)?;
        out.flush()?;
        Ok(())
    };
    if let Some(sample) = sample {
        let (seed, places) = (sample.seed, sample.places);
        if args.json {
            print(&json!({"type": "sample", "seed": seed, "places": places}))?;
        } else {
            print(&format_args!(
                "{places} random places of each partition, --seed {seed}"
            ))?;
        }
    }
    let mut total = Findings::default();
    let (mut different, mut failed, partitions) = (0u64, 0u64, plan.jobs.len());
    let progress = Progress::new(log_format == LogFormat::Text && !args.json);
    let threads = usize::from(args.parallel);
    workers::work(
        plan,
        threads,
        sample,
        &mut state,
        &progress,
        |job, outcome| {
            let name = format!("{} {}-{}", job.flow, job.topic, job.partition);
            match outcome {
                Outcome::Compared(findings) => {
                    total.add(findings);
                    different += u64::from(!findings.are_equal());
                }
                Outcome::Failed(_) => failed += 1,
            }
            let line = match (outcome, args.json) {
                (Outcome::Compared(findings), false) => format!("{name}: {findings}"),
                (Outcome::Failed(why), false) => format!("{name}: NOT COMPARED: {why}"),
                (outcome, true) => {
                    let mut fields = match outcome {
                        Outcome::Compared(findings) => findings.json(),
                        Outcome::Failed(why) => [("not_compared".to_owned(), json!(why))]
                            .into_iter()
                            .collect(),
                    };
                    fields.insert("type".to_owned(), "partition".into());
                    fields.insert("flow".to_owned(), job.flow.as_str().into());
                    fields.insert("topic".to_owned(), job.topic.as_str().into());
                    fields.insert("remote_topic".to_owned(), job.remote.as_str().into());
                    fields.insert("partition".to_owned(), job.partition.into());
                    serde_json::Value::from(fields).to_string()
                }
            };
            progress.above(|| print(&line))
        },
    )?;
    let seconds = progress.finish();
    if args.json {
        let mut fields = total.json();
        fields.insert("type".to_owned(), "summary".into());
        fields.insert("partitions".to_owned(), partitions.into());
        fields.insert("partitions_different".to_owned(), different.into());
        fields.insert("partitions_not_compared".to_owned(), failed.into());
        fields.insert("seconds".to_owned(), seconds.into());
        print(&serde_json::Value::from(fields))?;
    } else {
        let (mb, seconds) = (total.bytes as f64 / 1e6, seconds.max(0.001));
        print(&format_args!(
            "{partitions} partitions, {different} different, {failed} not compared: {} equal records, {mb:.1} MB in {seconds:.1} s",
            total.equal
        ))?;
    }
    Ok(match (different, failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(EXIT_INCOMPLETE),
        _ => ExitCode::from(EXIT_DIFFERENT),
    })
}
