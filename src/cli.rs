//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Replicates Apache Kafka topics between clusters: a drop-in replacement for MirrorMaker 2.
#[derive(Debug, Parser)]
#[command(
    name = "crosscurrent",
    version,
    arg_required_else_help = true,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    /// How lines on standard error look. Faults in the command line itself are always text.
    ///
    /// RUST_LOG sets which log lines there are: a level (error, warn, info, debug, trace, off; default: info), or a list
    /// such as `info,actors=debug`.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  crosscurrent run mm2.properties
  crosscurrent run mm2.properties --clusters west
  crosscurrent demo            see it work: no Kafka, no Java, no Docker needed
  crosscurrent help run        all about `run`: examples, a minimal file, exit codes";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the flows of an mm2.properties file until stopped by SIGTERM, SIGINT or SIGHUP.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Run a Kafka Connect worker whose connectors are MirrorMaker 2's, from a worker.properties file.
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(ConnectArgs),
    /// Print the records of MirrorMaker 2's internal topics as Kafka's formatters do.
    #[command(after_help = crate::dump::EXAMPLES)]
    Dump(crate::dump::DumpArgs),
    /// Compare source and target record by record; the exit code says whether they are equal.
    #[command(after_help = crate::verify::EXAMPLES)]
    Verify(crate::verify::VerifyArgs),
    /// Print what a consumer group's offsets are on the other cluster.
    #[command(after_help = crate::translate::EXAMPLES)]
    Translate(crate::translate::TranslateArgs),
    /// Print where consumer groups are on both sides, and why they are not synced.
    #[command(after_help = crate::groups::EXAMPLES)]
    Groups(crate::groups::GroupsArgs),
    /// Show what a running process does: flows, states, rates, lag, latency, progress of the first copy.
    #[command(after_help = crate::status::EXAMPLES)]
    Status(crate::status::StatusArgs),
    /// See it work: two Kafka clusters in this process, active/active, with a proof at the end.
    #[cfg(feature = "demo")]
    #[command(after_help = crate::demo::EXAMPLES)]
    Demo(crate::demo::DemoArgs),
    /// Run Kafka clusters in this process, in memory, for tests and for trying things out.
    #[cfg(feature = "demo")]
    #[command(after_help = crate::embedded::EXAMPLES)]
    Embedded(crate::embedded::EmbeddedArgs),
    #[cfg(not(feature = "demo"))]
    #[command(hide = true)]
    Demo(LeftOut),
    #[cfg(not(feature = "demo"))]
    #[command(hide = true)]
    Embedded(LeftOut),
}

/// Arguments of a command that was left out: all are read over.
#[cfg(not(feature = "demo"))]
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct LeftOut {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// Says how to get the commands that this binary was built without, and ends the process as any bad command line does.
#[cfg(not(feature = "demo"))]
pub(crate) fn left_out() -> std::process::ExitCode {
    use clap::CommandFactory;
    let what = "this crosscurrent was built without `demo` and `embedded`; build it with them: \
                cargo build --release -p crosscurrent --features demo";
    Cli::command()
        .error(clap::error::ErrorKind::InvalidSubcommand, what)
        .exit()
}

const RUN_EXAMPLES: &str = "\
Examples:
  crosscurrent run mm2.properties
      every flow of the file, as connect-mirror-maker.sh does
  crosscurrent run mm2.properties --clusters west
      only flows into west; run one such process near each cluster
  crosscurrent run mm2.properties --rest 0.0.0.0:8083
      REST API and metrics for other machines; curl localhost:8083/connectors?expand=status
  crosscurrent run mm2.properties --rest-writable
      ... and configurations can be changed: curl -X PATCH -H 'content-type: application/json' \\
      localhost:8083/connectors/east-%3Ewest.MirrorSourceConnector/config -d '{\"topics\": \"orders.*\"}'
  RUST_LOG=info,actors=debug crosscurrent run mm2.properties --log-format json
      more log lines, one JSON object each

A minimal mm2.properties:
  clusters = east, west
  east.bootstrap.servers = east-1:9092, east-2:9092
  west.bootstrap.servers = west-1:9092
  east->west.enabled = true
  west->east.enabled = true

Everything is written to standard error: log lines, and at a terminal (with --log-format text) a
summary per flow every 5 seconds. Every fault of a bad file is reported at once, as FILE:LINE: what,
or with --log-format json as an object with `file`, `line` and `message`.

A cluster that cannot be reached is no fault: it is tried again for ever, and reported.

SIGTERM, SIGINT (Ctrl-C) or SIGHUP: take in nothing more, wait for what is on its way, store positions, end
within 10 seconds. A second one ends at once.

Exit codes:
  0  stopped by a signal, everything in flight acknowledged and positions stored
  1  stopped, but not everything was acknowledged or stored in time: it is copied again at the next
     start; or the system gives no threads or signals
  2  bad command line or configuration; no broker was contacted and nothing written anywhere";

/// Arguments of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The configuration: MirrorMaker 2's dedicated-mode file.
    pub(crate) file: PathBuf,
    /// Run only flows into these target clusters, given by alias; default: all. Put it behind FILE.
    #[arg(long, value_name = "ALIAS", num_args = 1..)]
    pub(crate) clusters: Vec<String>,
    /// Where the REST API and the metrics are served, or `off`; port 0 takes a free one and says which. Begin with
    /// https:// for TLS; the file has its keys, and those of passwords. Default: `listeners` of the file, else
    /// 127.0.0.1:8083.
    #[arg(long, value_name = "HOST:PORT|off")]
    pub(crate) rest: Option<Listen>,
    /// Let REST change the configurations of connectors: their flow goes on with them at once, until this process ends.
    /// At the next start the file counts.
    #[arg(long)]
    pub(crate) rest_writable: bool,
}

const CONNECT_EXAMPLES: &str = "\
Examples:
  crosscurrent connect worker.properties
      the connectors of the config topic, as connect-distributed.sh runs them; more by POST /connectors
  curl localhost:8083/connectors?expand=status
  curl -X POST -H 'content-type: application/json' localhost:8083/connectors -d @mm2-source.json

A minimal worker.properties:
  bootstrap.servers = west-1:9092
  group.id = connect-mm2
  config.storage.topic = connect-configs
  offset.storage.topic = connect-offsets
  status.storage.topic = connect-status

A deployment of Kafka Connect is continued where it was: stop its workers, then start this with their file. It
has one node so far. The way back is the same.

Exit codes: as of `crosscurrent run`";

/// Arguments of `connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The worker's configuration, as connect-distributed.sh takes it.
    pub(crate) file: PathBuf,
    /// Where the REST API and the metrics are served; port 0 takes a free one and says which. Default: `listeners` of the
    /// file, else 127.0.0.1:8083.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) rest: Option<Listen>,
}

/// Where REST listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Off,
    /// A listener as in the file, `http://HOST:PORT`.
    On(String),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let (scheme, address) = text.split_once("://").unwrap_or(("http", text));
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty());
        match port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(_)) => Ok(Self::On(format!("{scheme}://{address}"))),
            _ => Err("write HOST:PORT, as in 127.0.0.1:8083, or off".to_owned()),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}
