//! What MM2's own clients are configured with (docs/spec/mm2.md 1.9).

use std::fmt;

use super::keys::is_common_client_key;
use crate::properties::Properties;

/// Which cluster of a flow a client talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The cluster that is read.
    Source,
    /// The cluster that is written to.
    Target,
}

/// Which of Kafka's clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Reads records.
    Consumer,
    /// Writes records.
    Producer,
    /// Everything else.
    Admin,
}

/// Who owns a client: part of its `client.id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOwner {
    /// A connector.
    Connector,
    /// A task of it; `None` where the task has no index, shown `?`.
    Task(Option<u32>),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Target => "target",
        })
    }
}

impl fmt::Display for ClientKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consumer => "consumer",
            Self::Producer => "producer",
            Self::Admin => "admin",
        })
    }
}

/// The properties of one client, from its connector's (see
/// [`MirrorProperties::connector_properties`]). `role` is the last part of the client id, such as
/// `replication-consumer`.
///
/// `source.cluster.` counts only for the address and security; `consumer.` and, above it,
/// `source.consumer.` count for any key. A consumer never commits (`enable.auto.commit` is false)
/// and starts at `earliest` unless told otherwise.
///
/// [`MirrorProperties::connector_properties`]: crate::MirrorProperties::connector_properties
pub fn client_properties(
    connector: &Properties,
    kind: ClientKind,
    side: Side,
    owner: ClientOwner,
    role: &str,
) -> Properties {
    let mut client = connector
        .stripped(&format!("{side}.cluster."))
        .filtered(is_common_client_key);
    client.extend(connector.stripped(&format!("{kind}.")));
    client.extend(connector.stripped(&format!("{side}.{kind}.")));
    if kind == ClientKind::Consumer {
        client.insert("enable.auto.commit", "false");
        client.insert_default("auto.offset.reset", "earliest");
    }
    let id = client_id(connector, owner, role);
    let id = match client.get("client.id") {
        Some(user) => format!("{user}|{id}"),
        None => id,
    };
    client.insert("client.id", id);
    client
}

fn client_id(connector: &Properties, owner: ClientOwner, role: &str) -> String {
    let source = connector.get("source.cluster.alias").unwrap_or_default();
    let target = connector.get("target.cluster.alias").unwrap_or("target");
    let name = connector.get("name").unwrap_or_default();
    let task = match owner {
        ClientOwner::Connector => String::new(),
        ClientOwner::Task(Some(index)) => format!("-{index}"),
        ClientOwner::Task(None) => "-?".to_owned(),
    };
    format!("{source}->{target}|{name}{task}|{role}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: (&str, &str) = ("client.id", "source1->target2|ConnectorName|test");

    /// The client of a connector with these keys beside the base keys of docs/spec/mm2.md 12.3.
    fn client(kind: ClientKind, side: Side, keys: &[(&str, &str)]) -> Properties {
        let base = [
            ("name", "ConnectorName"),
            ("connector.class", "ConnectorClass"),
            ("source.cluster.alias", "source1"),
            ("target.cluster.alias", "target2"),
        ];
        let connector = base.iter().chain(keys).copied().collect();
        client_properties(&connector, kind, side, ClientOwner::Connector, "test")
    }

    #[track_caller]
    fn check(kind: ClientKind, side: Side, keys: &[(&str, &str)], expected: &[(&str, &str)]) {
        let mut all: Properties = expected.iter().chain(&[ID]).copied().collect();
        if kind == ClientKind::Consumer {
            all.insert("enable.auto.commit", "false");
        }
        assert_eq!(client(kind, side, keys), all);
    }

    #[test]
    fn cc_01_source_consumer_config() {
        let address = ("source.cluster.bootstrap.servers", "localhost:2345");
        let expected = ("bootstrap.servers", "localhost:2345");
        check(
            ClientKind::Consumer,
            Side::Source,
            &[("consumer.max.poll.interval.ms", "120000"), address],
            &[
                ("auto.offset.reset", "earliest"),
                ("max.poll.interval.ms", "120000"),
                expected,
            ],
        );
        check(
            ClientKind::Consumer,
            Side::Source,
            &[("consumer.auto.offset.reset", "latest"), address],
            &[("auto.offset.reset", "latest"), expected],
        );
    }

    #[test]
    fn cc_02_source_consumer_config_with_source_prefix() {
        check(
            ClientKind::Consumer,
            Side::Source,
            &[
                ("source.consumer.auto.offset.reset", "latest"),
                ("source.consumer.max.poll.interval.ms", "100"),
            ],
            &[
                ("auto.offset.reset", "latest"),
                ("max.poll.interval.ms", "100"),
            ],
        );
    }

    #[test]
    fn cc_03_cc_04_source_producer_config() {
        for key in ["producer.acks", "source.producer.acks"] {
            check(
                ClientKind::Producer,
                Side::Source,
                &[(key, "1")],
                &[("acks", "1")],
            );
        }
    }

    #[test]
    fn cc_05_cc_06_cc_07_cc_08_admin_configs() {
        for side in [Side::Source, Side::Target] {
            for prefix in ["admin".to_owned(), format!("{side}.admin")] {
                let key = format!("{prefix}.connections.max.idle.ms");
                let expected = [("connections.max.idle.ms", "10000")];
                check(ClientKind::Admin, side, &[(&key, "10000")], &expected);
            }
        }
    }

    #[test]
    fn sc_09_sc_10_keys_of_the_other_side_do_not_count() {
        let keys = [
            ("source.producer.batch.size", "1"),
            ("target.producer.acks", "1"),
            ("producer.max.poll.interval.ms", "1"),
            ("fetch.min.bytes", "1"),
            ("source.cluster.request.timeout.ms", "1"),
        ];
        let both = ("max.poll.interval.ms", "1");
        check(
            ClientKind::Producer,
            Side::Source,
            &keys,
            &[("batch.size", "1"), both],
        );
        check(
            ClientKind::Producer,
            Side::Target,
            &keys,
            &[("acks", "1"), both],
        );
    }

    #[test]
    fn a_side_overrides_both_sides_and_a_user_id_comes_first() {
        let keys = [
            ("admin.client.id", "both"),
            ("source.admin.client.id", "mine"),
            ("source.cluster.client.id", "dropped"),
        ];
        let id = |side| {
            client(ClientKind::Admin, side, &keys)
                .get("client.id")
                .map(str::to_owned)
        };
        assert_eq!(id(Side::Source), Some(format!("mine|{}", ID.1)));
        assert_eq!(id(Side::Target), Some(format!("both|{}", ID.1)));
        let connector = Properties::default();
        let task = client_id(&connector, ClientOwner::Task(None), "r");
        assert_eq!(task, "->target|-?|r");
    }
}
