//! The smallest server properties with which a node starts and behaves as users know it.

use std::path::Path;

use embedded::{Listener, Protocol};

use crate::properties::Properties;

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
    /// Further listeners of brokers, with their ports.
    pub(super) listeners: &'a [(Listener, u16)],
    /// Node id and port of the controller.
    pub(super) controller: (u32, u16),
    pub(super) data: &'a Path,
    /// What all nodes and all kinds of cluster have, and what the test asks for; this wins.
    pub(super) common: &'a Properties,
}

impl NodeSettings<'_> {
    /// The text of `server.properties`.
    pub(super) fn properties(&self) -> String {
        let (controller_id, controller_port) = self.controller;
        let mut plaintext = format!("PLAINTEXT://127.0.0.1:{}", self.port);
        let mut protocols = "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned();
        for (listener, port) in self.listeners {
            let (name, protocol) = (&listener.name, name_of(listener.protocol));
            plaintext += &format!(",{name}://127.0.0.1:{port}");
            protocols += &format!(",{name}:{protocol}");
        }
        let control = format!("CONTROLLER://127.0.0.1:{controller_port}");
        let (roles, listeners) = match self.role {
            Role::Combined => ("broker,controller", format!("{plaintext},{control}")),
            Role::Broker => ("broker", plaintext),
            Role::Controller => ("controller", control),
        };
        let mut all = Properties::new();
        let mut set = |key: &str, value: &str| all.insert(key.to_owned(), value.to_owned());
        set("process.roles", roles);
        set("node.id", &self.node_id.to_string());
        set(
            "controller.quorum.voters",
            &format!("{controller_id}@127.0.0.1:{controller_port}"),
        );
        set("listeners", &listeners);
        set("listener.security.protocol.map", &protocols);
        set("controller.listener.names", "CONTROLLER");
        set("log.dirs", &self.data.display().to_string());
        // A small machine runs several of these.
        set("log.cleaner.dedupe.buffer.size", "4194304");
        set("num.network.threads", "2");
        set("num.io.threads", "4");
        all.extend(self.common.clone());
        // Java reads a backslash in a properties file as an escape.
        let line =
            |(key, value): (String, String)| format!("{key}={}\n", value.replace('\\', "\\\\"));
        all.into_iter().map(line).collect()
    }
}

fn name_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Plaintext => "PLAINTEXT",
        Protocol::SaslPlaintext => "SASL_PLAINTEXT",
        Protocol::Ssl => "SSL",
        Protocol::SaslSsl => "SASL_SSL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::server_properties;

    #[test]
    fn common_properties_win() {
        let common = server_properties(3, &[("num.io.threads", "8")]);
        let settings = NodeSettings {
            role: Role::Broker,
            node_id: 2,
            port: 1234,
            listeners: &[(Listener::new("OUT", Protocol::SaslSsl), 1235)],
            controller: (100, 99),
            data: Path::new("/d"),
            common: &common,
        };
        let text = settings.properties();
        assert!(text.contains("num.io.threads=8\n"));
        assert!(!text.contains("num.io.threads=4"));
        assert!(text.contains("log.retention.ms=-1\n"));
        assert!(text.contains("listeners=PLAINTEXT://127.0.0.1:1234,OUT://127.0.0.1:1235\n"));
        let map = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,OUT:SASL_SSL\n";
        assert!(text.contains(map));
        assert!(text.contains("controller.quorum.voters=100@127.0.0.1:99\n"));
    }
}
