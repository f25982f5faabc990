//! `crosscurrent embedded`: Kafka clusters in this process, until stopped.

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;
use embedded::{EmbeddedCluster, Settings};
use tracing::error;

use crate::demo::clients;
use crate::signals::Signals;

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent embedded --cluster east:9092
      one broker at 127.0.0.1:9092, for a test or for any Kafka tool
  crosscurrent embedded --cluster east:9092 --cluster west:9192 --brokers 3
      two clusters of three brokers each: ports 9092 to 9094 and 9192 to 9194
  crosscurrent embedded --cluster dev:0 --topics orders:6,payments:1 --property auto.create.topics.enable=false --json
      on a free port, with two topics; the address as JSON

Clusters speak the protocol of Kafka 4.3.1 on loopback and keep everything in memory: it is gone at the end.
One line per cluster on standard output says where it is, once it serves. SIGTERM, SIGINT (Ctrl-C) or
SIGHUP ends them.

Exit codes:
  0  stopped by a signal
  1  a cluster could not be started, for instance because a port is taken
  2  bad command line";

/// Arguments of `embedded`.
#[derive(Debug, Args)]
pub(crate) struct EmbeddedArgs {
    /// A cluster and the port of its first broker; further brokers have the ports behind it. Port 0: free ports.
    #[arg(long = "cluster", value_name = "ALIAS:PORT", required = true)]
    clusters: Vec<Place>,
    /// Brokers of each cluster.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=i64::from(embedded::BROKERS_MAX)))]
    brokers: i32,
    /// A server property, as in a broker's server.properties, for all brokers. May be given many times.
    #[arg(long = "property", value_name = "KEY=VALUE")]
    properties: Vec<Property>,
    /// Topics to create on every cluster, each with its number of partitions.
    #[arg(long, value_name = "NAME:PARTITIONS", value_delimiter = ',')]
    topics: Vec<TopicOrder>,
    /// Say where the clusters are as one JSON object per line.
    #[arg(long)]
    json: bool,
}

/// `east:9092`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    alias: String,
    port: u16,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (alias, port) = text
            .rsplit_once(':')
            .filter(|(alias, _)| !alias.is_empty())
            .ok_or("write ALIAS:PORT, for instance east:9092")?;
        let port = port
            .parse()
            .map_err(|_| format!("`{port}` is no port; write a number from 0 to 65535"))?;
        Ok(Self {
            alias: alias.to_owned(),
            port,
        })
    }
}

/// `log.retention.ms=1000`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Property(String, String);

impl FromStr for Property {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
        Ok(Self(key.trim().to_owned(), value.trim().to_owned()))
    }
}

/// `orders:3`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TopicOrder {
    name: String,
    partitions: i32,
}

impl FromStr for TopicOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, partitions) = text.rsplit_once(':').unwrap_or((text, "1"));
        let partitions = partitions
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| {
                format!("`{partitions}` is no number of partitions; write for instance orders:3")
            })?;
        Ok(Self {
            name: name.to_owned(),
            partitions,
        })
    }
}

/// Runs until a signal comes.
pub(crate) fn run(args: &EmbeddedArgs) -> ExitCode {
    match actix::System::new().block_on(serve(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &EmbeddedArgs) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    let mut clusters = Vec::new();
    for Place { alias, port } in &args.clusters {
        let cluster = start(
            alias,
            Settings {
                brokers: args.brokers,
                properties: args
                    .properties
                    .iter()
                    .map(|Property(key, value)| (key.clone(), value.clone()))
                    .collect(),
                ports: ports(*port, args.brokers)?,
                ..Settings::default()
            },
        )?;
        let orders = args.topics.iter();
        let orders: Vec<clients::Order<'_>> = orders
            .map(|topic| (topic.name.as_str(), topic.partitions, [].as_slice()))
            .collect();
        if !orders.is_empty() {
            clients::create_topics(&cluster.bootstrap(), &orders).await?;
        }
        say(alias, &cluster, args.json);
        clusters.push(cluster);
    }
    signals.next().await;
    Ok(())
}

/// Starts a cluster.
///
/// # Errors
/// The cluster's, with its alias: a taken port is named.
pub(crate) fn start(alias: &str, settings: Settings) -> anyhow::Result<EmbeddedCluster> {
    EmbeddedCluster::start_with(settings).with_context(|| format!("cannot start cluster {alias}"))
}

/// The ports of a cluster whose first broker has `first`; none for free ones.
fn ports(first: u16, brokers: i32) -> anyhow::Result<Vec<u16>> {
    if first == 0 {
        return Ok(Vec::new());
    }
    let last = u16::try_from(i32::from(first) + brokers - 1);
    let Ok(last) = last else {
        bail!("{brokers} brokers from port {first}: the last port would be above 65535");
    };
    Ok((first..=last).collect())
}

/// One line on standard output. With nobody to read it, the cluster serves on.
fn say(alias: &str, cluster: &EmbeddedCluster, json: bool) {
    use std::io::{Write, stdout};
    let (id, bootstrap) = (cluster.cluster_id(), cluster.bootstrap());
    _ = if json {
        let line = serde_json::json!({"cluster": alias, "cluster_id": id, "bootstrap": bootstrap});
        writeln!(stdout(), "{line}")
    } else {
        writeln!(stdout(), "{alias}: {bootstrap}")
    };
    _ = stdout().flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_or_say_what_to_write() {
        let east = Place {
            alias: "east".to_owned(),
            port: 9092,
        };
        assert_eq!("east:9092".parse(), Ok(east));
        for bad in ["east", ":9092", "east:", "east:65536", "east:-1"] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
        let property = Property("a.b".to_owned(), "c=d".to_owned());
        assert_eq!("a.b = c=d".parse(), Ok(property));
        assert!("a.b".parse::<Property>().is_err());
        let orders = |partitions| TopicOrder {
            name: "orders".to_owned(),
            partitions,
        };
        assert_eq!("orders:3".parse(), Ok(orders(3)));
        assert_eq!("orders".parse(), Ok(orders(1)));
        for bad in ["orders:0", "orders:x", "orders:-1"] {
            assert!(bad.parse::<TopicOrder>().is_err(), "{bad}");
        }
    }

    #[test]
    fn brokers_have_ports_in_a_row() {
        assert_eq!(ports(9092, 3).expect("they fit"), [9092, 9093, 9094]);
        assert!(ports(0, 3).expect("free ones").is_empty());
        assert_eq!(ports(65_535, 1).expect("the last"), [65_535]);
        assert!(ports(65_535, 2).is_err());
    }
}
