//! The smallest server properties with which a node starts and behaves as users know it.

use std::collections::BTreeMap;
use std::path::Path;

/// What a node does in its cluster (KRaft, KIP-500).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Broker and controller in one JVM: a cluster of one.
    Combined,
    /// Broker only; may be killed without losing the controller.
    Broker,
    /// Controller only.
    Controller,
}

/// Everything that the properties of one node depend on.
pub(super) struct NodeSettings<'a> {
    pub(super) role: Role,
    pub(super) node_id: u32,
    /// Port of the PLAINTEXT listener; unused by a controller.
    pub(super) port: u16,
    /// Node id and port of the controller.
    pub(super) controller: (u32, u16),
    /// Brokers in the cluster, for the replication factors of Kafka's internal topics.
    pub(super) brokers: u32,
    pub(super) data: &'a Path,
    /// Further properties; they win.
    pub(super) extra: &'a [(String, String)],
}

impl NodeSettings<'_> {
    /// The text of `server.properties`.
    pub(super) fn properties(&self) -> String {
        let (controller_id, controller_port) = self.controller;
        let plaintext = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        let control = format!("CONTROLLER://127.0.0.1:{controller_port}");
        let (roles, listeners) = match self.role {
            Role::Combined => ("broker,controller", format!("{plaintext},{control}")),
            Role::Broker => ("broker", plaintext),
            Role::Controller => ("controller", control),
        };
        let replicas = self.brokers.min(3).to_string();
        let in_sync = self.brokers.saturating_sub(1).clamp(1, 2).to_string();
        let mut all: BTreeMap<&str, String> = BTreeMap::new();
        let mut set = |key, value: &str| all.insert(key, value.to_owned());
        set("process.roles", roles);
        set("node.id", &self.node_id.to_string());
        set(
            "controller.quorum.voters",
            &format!("{controller_id}@127.0.0.1:{controller_port}"),
        );
        set("listeners", &listeners);
        set("controller.listener.names", "CONTROLLER");
        set("log.dirs", &self.data.display().to_string());
        // With fewer brokers than these say, coordinators stay unavailable for ever.
        set("offsets.topic.replication.factor", &replicas);
        set("transaction.state.log.replication.factor", &replicas);
        set("transaction.state.log.min.isr", &in_sync);
        set(
            "share.coordinator.state.topic.replication.factor",
            &replicas,
        );
        set("share.coordinator.state.topic.min.isr", &in_sync);
        // Quick: few internal partitions, no wait at a group's first rebalance, a dead broker soon seen.
        set("offsets.topic.num.partitions", "5");
        set("transaction.state.log.num.partitions", "5");
        set("share.coordinator.state.topic.num.partitions", "1");
        set("group.initial.rebalance.delay.ms", "0");
        set("log.cleaner.dedupe.buffer.size", "4194304");
        set("broker.session.timeout.ms", "2000");
        set("broker.heartbeat.interval.ms", "500");
        set("num.network.threads", "2");
        set("num.io.threads", "4");
        // Tests want to see a missing topic, and records of 1970 must not be deleted as expired.
        set("auto.create.topics.enable", "false");
        set("log.retention.ms", "-1");
        for (key, value) in self.extra {
            all.insert(key, value.clone());
        }
        // Java reads a backslash in a properties file as an escape.
        let line =
            |(key, value): (&str, String)| format!("{key}={}\n", value.replace('\\', "\\\\"));
        all.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_properties_win() {
        let extra = [("log.retention.ms".to_owned(), "5".to_owned())];
        let settings = NodeSettings {
            role: Role::Broker,
            node_id: 2,
            port: 1234,
            controller: (100, 99),
            brokers: 3,
            data: Path::new("/d"),
            extra: &extra,
        };
        let text = settings.properties();
        assert!(text.contains("log.retention.ms=5\n"));
        assert!(!text.contains("log.retention.ms=-1"));
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:1234\n"));
        assert!(text.contains("controller.quorum.voters=100@127.0.0.1:99\n"));
        assert!(text.contains("transaction.state.log.min.isr=2\n"));
    }
}
