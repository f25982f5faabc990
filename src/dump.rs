//! `crosscurrent dump TOPIC`: the records of internal topics, as lines.

mod format;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use engine::batch::RawBatch;
use engine::cluster::{Cluster, OffsetAt};
use engine::wire::Security;
use serde_json::json;
use topology::{ClusterConfig, HostPort};
use tracing::{error, warn};

use crate::cli::LogFormat;
use crate::config::{self, Fault};
use crate::logging;
use crate::tools::{self, EXIT_CONFIG, Output};
use format::Formatter;

/// Looks for new records, with `--follow`.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(200);
/// `client.id` without a configuration.
const CLIENT_ID: &str = "crosscurrent-dump";

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent dump east.checkpoints.internal --bootstrap-server west-1:9092
      Checkpoint{consumerGroupId=g, topicPartition=east.orders-0, upstreamOffset=100, downstreamOffset=51, metadata=}
  crosscurrent dump heartbeats --file mm2.properties --cluster west --follow
      the same for heartbeats, and those to come, until Ctrl-C
  crosscurrent dump mm2-offsets.east.internal --bootstrap-server west-1:9092
      key, tab and value as JSON: the position of each partition of the source, as Connect stores it
  crosscurrent dump heartbeats --bootstrap-server west-1:9093 --command-config client.properties
      from a cluster with TLS or passwords: security.protocol, ssl.* and sasl.* as for Kafka's own tools
  crosscurrent dump mm2-offset-map.east.internal --bootstrap-server west-1:9092 --json
      one JSON object a line, with partition, offset, timestamp and fields

Prints exactly the lines of Kafka's HeartbeatFormatter, CheckpointFormatter and OffsetSyncFormatter (KIP-597), of
kafka-console-consumer.sh with print.key=true for mm2-offsets topics, and lines of our own for mm2-offset-map
topics. The topic's name says which; give --formatter for a topic with another name.

A topic is read from its first record to its end as of now, a partition after the other. As Kafka's formatters
do, this ends at a record that cannot be decoded, which a tombstone of a checkpoint is, too; the error names
topic, partition and offset. --skip-message-on-error goes on behind it.

Exit codes:
  0  all was printed, or nobody reads the output any more
  1  there is no such topic, it cannot be read, or a record cannot be decoded
  2  bad command line or configuration";

/// Arguments of `dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The topic.
    topic: String,
    /// Brokers of the cluster, separated by commas.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = server,
        required_unless_present = "file"
    )]
    bootstrap_server: Vec<HostPort>,
    /// Keys of a client, `security.protocol`, `ssl.*` and `sasl.*`: how the servers are reached, as for Kafka's own tools.
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    command_config: Option<PathBuf>,
    /// Take the cluster from this mm2.properties file instead.
    #[arg(
        long,
        value_name = "FILE",
        requires = "cluster",
        conflicts_with = "bootstrap_server"
    )]
    file: Option<PathBuf>,
    /// The cluster's alias in the file.
    #[arg(long, value_name = "ALIAS", requires = "file")]
    cluster: Option<String>,
    /// What the records are; default: by the topic's name.
    #[arg(long, value_enum, value_name = "KIND")]
    formatter: Option<Formatter>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Begin with the first record, which is the default.
    #[arg(long)]
    from_beginning: bool,
    /// Go on with what is written later, until Ctrl-C.
    #[arg(long)]
    follow: bool,
    /// Report a record that cannot be decoded on standard error, and go on.
    #[arg(long)]
    skip_message_on_error: bool,
}

fn server(text: &str) -> Result<HostPort, String> {
    HostPort::parse(text).ok_or_else(|| "write HOST:PORT, for instance west-1:9092".to_owned())
}

/// How a file of client keys says that servers are reached.
fn security(file: &Path) -> Result<Security, Vec<Fault>> {
    let keys = config::read_properties(file)?;
    let own = |(key, text): (&str, &str)| (key.to_owned(), text.to_owned());
    Security::read(keys.iter().map(own)).map_err(|faults| {
        let line = |key: &str| keys.origin(key).map(|origin| origin.line);
        let faults = faults.iter();
        faults
            .map(|fault| Fault::of(file, line(&fault.key), fault.to_string()))
            .collect()
    })
}

/// Prints the topic.
pub(crate) fn run(args: &DumpArgs, log_format: LogFormat) -> ExitCode {
    let Some(formatter) = args.formatter.or_else(|| Formatter::of(&args.topic)) else {
        error!(
            topic = args.topic,
            "the topic's name does not say what its records are; give --formatter"
        );
        return ExitCode::from(EXIT_CONFIG);
    };
    let place = match (&args.file, &args.cluster) {
        (Some(file), Some(alias)) => {
            let config = match tools::read_config(file, log_format) {
                Ok(config) => config,
                Err(code) => return code,
            };
            let mut sides = (config.flows().iter()).flat_map(|flow| [&flow.source, &flow.target]);
            let found = sides
                .find(|side| side.alias.as_str() == alias && !side.bootstrap_servers.is_empty());
            let Some(found) = found else {
                error!("--cluster: no flow of the file has a cluster `{alias}`");
                return ExitCode::from(EXIT_CONFIG);
            };
            Some(found.clone())
        }
        _ => None,
    };
    let security = match args.command_config.as_deref().map(security).transpose() {
        Ok(security) => security.unwrap_or_default(),
        Err(faults) => {
            logging::report(log_format, &faults);
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match tools::block_on(dump(args, formatter, place, security)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dump(
    args: &DumpArgs,
    formatter: Formatter,
    place: Option<ClusterConfig>,
    security: Security,
) -> anyhow::Result<()> {
    let cluster = match place {
        Some(place) => tools::cluster(&place),
        None => {
            let servers = args.bootstrap_server.as_slice();
            let names: Vec<_> = servers.iter().map(ToString::to_string).collect();
            tools::cluster_at(&names.join(","), servers, CLIENT_ID, security)
        }
    };
    let topic = &args.topic;
    let mut places = Vec::new();
    for partition in 0..partitions(&cluster, topic).await? {
        let start = cluster.offset(topic, partition, OffsetAt::Earliest).await?;
        places.push((partition, start));
    }
    let mut printer = Printer {
        args,
        formatter,
        out: Output::new(),
    };
    loop {
        for (partition, next) in &mut places {
            let end = cluster.offset(topic, *partition, OffsetAt::Latest).await?;
            let mut cursor = cluster.cursor(topic, *partition, *next, end, false);
            while let Some(batches) = cursor.next().await? {
                for batch in &batches {
                    if !printer.print(*partition, *next, batch)? {
                        return Ok(());
                    }
                }
            }
            *next = end.max(*next);
        }
        if !printer.out.flush()? || !args.follow {
            return Ok(());
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

struct Printer<'a> {
    args: &'a DumpArgs,
    formatter: Formatter,
    out: Output,
}

impl Printer<'_> {
    /// Prints the records of a batch at or behind `from`. False when nobody reads any more.
    fn print(&mut self, partition: i32, from: i64, batch: &RawBatch) -> anyhow::Result<bool> {
        let mut read = true;
        let topic = &self.args.topic;
        tools::each_record(batch, |seen| -> anyhow::Result<()> {
            if seen.offset < from || !read {
                return Ok(());
            }
            match self.formatter.decode(seen.record.key, seen.record.value) {
                Ok(decoded) if self.args.json => {
                    let line = json!({
                        "topic": topic, "partition": partition, "offset": seen.offset,
                        "timestamp": seen.timestamp_ms, "record": decoded.json,
                    });
                    read = self.out.line(&line)?;
                }
                Ok(decoded) => read = self.out.line(&decoded.line)?,
                Err(error) if self.args.skip_message_on_error => {
                    let offset = seen.offset;
                    warn!(topic, partition, offset, "not printed: {error:#}");
                }
                Err(error) => {
                    self.out.flush()?; // what is before it
                    let at = format!("{topic}-{partition}, offset {}", seen.offset);
                    return Err(error.context(format!("the record at {at} cannot be decoded")));
                }
            }
            Ok(())
        })
        .with_context(|| format!("{topic}-{partition}"))?;
        Ok(read)
    }
}

/// How many partitions the topic has.
async fn partitions(cluster: &Cluster, topic: &str) -> anyhow::Result<i32> {
    let all = cluster.topics().await?;
    let alias = cluster.alias();
    match all.into_iter().find(|listed| listed.name == topic) {
        Some(found) => match found.error {
            Some(error) => bail!("cluster {alias} cannot tell about {topic} now: {error}"),
            None => Ok(found.partitions),
        },
        None => bail!("cluster {alias} has no topic {topic}, or may not show it to us"),
    }
}
