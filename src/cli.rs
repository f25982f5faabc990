//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Replicates Apache Kafka topics between clusters: a drop-in replacement for MirrorMaker 2.
#[derive(Debug, Parser)]
#[command(name = "crosscurrent", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// How log lines look on standard error. Their level is set by RUST_LOG (default: info).
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the flows of an mm2.properties file until stopped by SIGTERM or SIGINT.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  crosscurrent run mm2.properties
      every flow of the file, as connect-mirror-maker.sh does
  crosscurrent run mm2.properties --clusters west
      only flows into west; run one such process near each cluster
  RUST_LOG=debug crosscurrent --log-format json run mm2.properties
      more log lines, one JSON object each

A minimal mm2.properties:
  clusters = east, west
  east.bootstrap.servers = east-1:9092, east-2:9092
  west.bootstrap.servers = west-1:9092
  east->west.enabled = true
  west->east.enabled = true

Exit codes:
  0  stopped by a signal, everything in flight acknowledged and positions stored
  1  stopped, but not everything was acknowledged or stored in time: it is copied again at the next start
  2  bad command line or configuration; nothing was written anywhere";

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration: MirrorMaker 2's dedicated-mode file.
    pub(crate) file: PathBuf,
    /// Run only flows into these target clusters; default: all.
    #[arg(long, value_name = "ALIAS", num_args = 1..)]
    pub(crate) clusters: Vec<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
