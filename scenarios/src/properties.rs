//! Server properties with which every kind of cluster starts.

use std::collections::BTreeMap;

/// Server properties by name.
pub type Properties = BTreeMap<String, String>;

/// The properties of every node in a cluster of `brokers` brokers that differ from Kafka's defaults, and what a test
/// asks for in `extra`, which wins.
///
/// * Tests want to see a missing topic, and records of 1970 must not be deleted as expired:
///   `auto.create.topics.enable=false`, `log.retention.ms=-1`.
/// * Internal topics have as many replicas as there are brokers, at most 3: with fewer brokers than their replication
///   factor says, coordinators stay unavailable for ever.
/// * Quick: internal topics of 1 or 5 partitions, no wait at a group's first rebalance, a dead broker seen after
///   `broker.session.timeout.ms=2000`.
pub fn server_properties(brokers: u32, extra: &[(&str, &str)]) -> Properties {
    let replicas = brokers.clamp(1, 3).to_string();
    let in_sync = brokers.saturating_sub(1).clamp(1, 2).to_string();
    let defaults = [
        ("auto.create.topics.enable", "false"),
        ("log.retention.ms", "-1"),
        ("offsets.topic.replication.factor", &*replicas),
        ("transaction.state.log.replication.factor", &replicas),
        ("transaction.state.log.min.isr", &in_sync),
        (
            "share.coordinator.state.topic.replication.factor",
            &replicas,
        ),
        ("share.coordinator.state.topic.min.isr", &in_sync),
        ("offsets.topic.num.partitions", "5"),
        ("transaction.state.log.num.partitions", "5"),
        ("share.coordinator.state.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("broker.session.timeout.ms", "2000"),
        ("broker.heartbeat.interval.ms", "500"),
    ];
    let own = |&(key, value): &(&str, &str)| (key.to_owned(), value.to_owned());
    defaults.iter().chain(extra).map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_properties_win() {
        let properties = server_properties(3, &[("log.retention.ms", "5"), ("x", "y")]);
        assert_eq!(properties["log.retention.ms"], "5");
        assert_eq!(properties["x"], "y");
        assert_eq!(properties["auto.create.topics.enable"], "false");
    }

    #[test]
    fn internal_topics_live_with_the_brokers_there_are() {
        for (brokers, replicas, in_sync) in
            [(1, "1", "1"), (2, "2", "1"), (3, "3", "2"), (5, "3", "2")]
        {
            let properties = server_properties(brokers, &[]);
            assert_eq!(
                properties["transaction.state.log.replication.factor"],
                replicas
            );
            assert_eq!(properties["transaction.state.log.min.isr"], in_sync);
        }
    }
}
