//! What the demo is started with: its clusters, and the configuration that a user would write.

use embedded::{EmbeddedCluster, Settings};

use super::load::BACKLOG_BYTES_MAX;

/// The clusters' aliases.
pub(crate) const ALIASES: [&str; 2] = ["east", "west"];

/// What is kept of the topic in all its partitions: reader and flow may be as far behind as [`BACKLOG_BYTES_MAX`], twice over.
const TOPIC_BYTES: usize = 2 * BACKLOG_BYTES_MAX;
/// Smallest segment that brokers allow.
const SEGMENT_BYTES_MIN: usize = 1 << 20;

/// Topic configuration that bounds the memory of a topic with so many partitions. Retention spares the newest segment, so
/// that up to two segments more may be there.
pub(crate) fn topic_configs(partitions: i32) -> [(&'static str, String); 2] {
    let share = TOPIC_BYTES / usize::try_from(partitions).unwrap_or(1).max(1);
    let segment = (share / 4).max(SEGMENT_BYTES_MIN);
    [
        ("retention.bytes", share.to_string()),
        ("segment.bytes", segment.to_string()),
    ]
}

/// Starts a cluster of one broker for the demo.
///
/// # Errors
/// The port is taken, or the system gives no threads.
pub(crate) fn start(alias: &str, port: u16) -> anyhow::Result<EmbeddedCluster> {
    let properties = [
        ("auto.create.topics.enable", "false"),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        // Retention has to keep up with a fast writer.
        ("log.retention.check.interval.ms", "1000"),
    ];
    crate::embedded::start(
        alias,
        Settings {
            brokers: 1,
            properties: properties
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ports: vec![port],
            ..Settings::default()
        },
    )
}

/// The file that a user would write to replicate everything both ways, between clusters of one broker.
pub(crate) fn mm2_properties(bootstraps: [&str; 2]) -> String {
    let [east, west] = bootstraps;
    format!(
        "\
clusters = east, west
east.bootstrap.servers = {east}
west.bootstrap.servers = {west}

east->west.enabled = true
west->east.enabled = true
topics = .*

# clusters of one broker
replication.factor = 1
checkpoints.topic.replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1

# quicker than usual, for a short demo
refresh.topics.interval.seconds = 1
emit.heartbeats.interval.seconds = 1
east.offset.flush.interval.ms = 1000
west.offset.flush.interval.ms = 1000
"
    )
}

#[cfg(test)]
mod tests {
    use topology::{MirrorConfig, Properties};

    use super::*;

    #[test]
    fn the_configuration_is_one_that_run_takes_without_remarks() {
        let text = mm2_properties(["127.0.0.1:9092", "127.0.0.1:9192"]);
        let properties = Properties::parse(text.as_bytes()).expect("well-formed");
        let config = MirrorConfig::read(properties, &[]).expect("no faults");
        let flows: Vec<String> = config
            .flows()
            .iter()
            .map(|flow| flow.id.to_string())
            .collect();
        assert_eq!(flows, ["east->west", "west->east"]);
        assert!(config.unknown_keys().is_empty());
    }

    #[test]
    fn a_topic_keeps_more_than_anybody_may_be_behind() {
        for partitions in [1, 3, 16, 1_000] {
            let [(_, retention), _] = topic_configs(partitions);
            let kept = retention.parse::<usize>().expect("a number")
                * usize::try_from(partitions).expect("small");
            assert!(kept > BACKLOG_BYTES_MAX);
        }
    }
}
