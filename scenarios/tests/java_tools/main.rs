//! Kafka's own command-line tools, unmodified, against the embedded cluster: their output and exit codes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod configs;
mod groups;
mod records;
mod security;
mod topics;
mod transactions;

use std::time::Duration;

use embedded::{EmbeddedCluster, Settings};
use scenarios::kafka::{Finished, JavaTools};
use scenarios::server_properties;

/// How long librdkafka may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster of three brokers on which groups move quickly.
fn three_brokers() -> EmbeddedCluster {
    let quick = [("group.consumer.heartbeat.interval.ms", "200")];
    EmbeddedCluster::start_with(Settings {
        brokers: 3,
        properties: server_properties(3, &quick),
        ..Settings::default()
    })
    .unwrap()
}

/// The tools, told how to reach a cluster.
struct Tools {
    java: &'static JavaTools,
    bootstrap: String,
    /// The file of `--command-config`.
    config: Option<String>,
}

impl Tools {
    fn of(cluster: &EmbeddedCluster) -> Self {
        Self {
            java: JavaTools::open().unwrap(),
            bootstrap: cluster.bootstrap(),
            config: None,
        }
    }

    /// Runs a tool of `org.apache.kafka.tools` (or a class named in full); arguments are parted by spaces.
    fn run(&self, tool: &str, arguments: &str) -> Finished {
        self.run_with_input(tool, arguments, "")
    }

    fn run_with_input(&self, tool: &str, arguments: &str, input: &str) -> Finished {
        let class = match tool.starts_with("kafka.") {
            true => tool.to_owned(),
            false => format!("org.apache.kafka.tools.{tool}"),
        };
        let mut reach = vec!["--bootstrap-server", &self.bootstrap];
        if let Some(config) = &self.config {
            reach.extend(["--command-config", config]);
        }
        let arguments_of_tool = arguments.split_whitespace();
        let all: Vec<&str> = match tool {
            // Its sub-command comes first.
            "ClusterTool" => arguments_of_tool.chain(reach).collect(),
            _ => reach.into_iter().chain(arguments_of_tool).collect(),
        };
        let finished = self.java.run_with_input(&class, &all, input).unwrap();
        println!("{tool} {arguments}: {}\n{}", finished.code, finished.output);
        finished
    }

    /// The output of a tool that must succeed.
    fn ok(&self, tool: &str, arguments: &str) -> String {
        let finished = self.run(tool, arguments);
        assert_eq!(finished.code, 0, "{tool} {arguments}: {}", finished.output);
        finished.output
    }

    /// The output of a tool that must fail.
    fn fails(&self, tool: &str, arguments: &str) -> String {
        let finished = self.run(tool, arguments);
        assert_eq!(finished.code, 1, "{tool} {arguments}: {}", finished.output);
        finished.output
    }

    /// Produces these lines by the console producer.
    fn produce(&self, arguments: &str, lines: &str) {
        let finished = self.run_with_input("ConsoleProducer", arguments, lines);
        assert_eq!(finished.code, 0, "{arguments}: {}", finished.output);
        assert!(!finished.output.contains("ERROR"), "{}", finished.output);
    }
}

/// The columns of a table's rows, without its head and what stands around it: rows whose first columns are `first`.
fn rows(output: &str, first: &[&str]) -> Vec<Vec<String>> {
    let rows = output.lines().map(|line| {
        let columns = line.split_whitespace().map(str::to_owned);
        columns.collect::<Vec<_>>()
    });
    let wanted = |row: &Vec<String>| {
        let start: Vec<&str> = row.iter().take(first.len()).map(String::as_str).collect();
        start == first
    };
    rows.filter(wanted).collect()
}
