//! Cases MM-* of docs/spec/mm2.md 12.4, and its worked example 1.5.

use std::sync::Arc;

use super::*;
use crate::config::{ClientKind, ClientOwner, ConfigProvider, Side, client_properties};
use crate::policy::ReplicationPolicy;

/// Upstream's fake provider: any path, `password` is `secret2`.
#[derive(Debug)]
struct Fake;

impl ConfigProvider for Fake {
    fn get(&self, _path: &str, key: &str) -> Option<String> {
        (key == "password").then(|| "secret2".to_owned())
    }
}

fn mirror(pairs: &[(&str, &str)]) -> MirrorProperties {
    let mut providers = ConfigProviders::default();
    providers.add("fake", Arc::new(Fake));
    MirrorProperties::new(pairs.iter().copied().collect(), providers).unwrap()
}

fn connector(mirror: &MirrorProperties, source: &str, target: &str) -> Properties {
    mirror.connector_properties(&FlowId::new(source, target), Connector::Source)
}

#[track_caller]
fn check(properties: &Properties, expected: &[(&str, &str)]) {
    for (key, value) in expected {
        assert_eq!(properties.get(key), Some(*value), "{key}");
    }
}

fn pairs(lines: &[(&str, &str)]) -> Vec<String> {
    mirror(lines)
        .cluster_pairs()
        .iter()
        .map(FlowId::to_string)
        .collect()
}

#[test]
fn mm_01_cluster_config_properties() {
    let mirror = mirror(&[
        ("clusters", "a, b"),
        ("a.bootstrap.servers", "servers-one"),
        ("b.bootstrap.servers", "servers-two"),
        ("security.protocol", "SSL"),
        ("replication.factor", "4"),
    ]);
    check(
        &connector(&mirror, "a", "b"),
        &[
            ("source.cluster.bootstrap.servers", "servers-one"),
            ("target.cluster.bootstrap.servers", "servers-two"),
            ("security.protocol", "SSL"),
            ("replication.factor", "4"),
        ],
    );
}

#[test]
fn mm_02_replication_config_properties() {
    let mirror = mirror(&[("clusters", "a, b"), ("a->b.tasks.max", "123")]);
    check(&connector(&mirror, "a", "b"), &[("tasks.max", "123")]);
}

#[test]
fn mm_03_client_config_properties() {
    let mirror = mirror(&[
        ("clusters", "a, b"),
        ("config.providers", "fake"),
        ("replication.policy.separator", "__"),
        ("ssl.key.password", "${fake:secret:password}"),
        ("security.protocol", "SSL"),
        ("a.security.protocol", "PLAINTEXT"),
        ("a.producer.security.protocol", "SSL"),
        ("a.bootstrap.servers", "one:9092, two:9092"),
        ("b.bootstrap.servers", "three:9092, four:9092"),
        ("metrics.reporter", "x"),
        ("a.xxx", "yyy"),
        ("xxx", "zzz"),
    ]);
    let client = mirror.client_config(&"a".into());
    let policy = ReplicationPolicy::from_properties(&client).unwrap();
    assert_eq!(policy.remote_topic(&"b".into(), "topic1"), "b__topic1");
    check(
        &client,
        &[
            ("admin.bootstrap.servers", "one:9092, two:9092"),
            ("admin.security.protocol", "PLAINTEXT"),
            ("producer.security.protocol", "SSL"),
            ("ssl.key.password", "secret2"),
            ("admin.ssl.key.password", "secret2"),
        ],
    );
    // The connector's own clients get neither the unrelated keys nor the resolved secret.
    let connector = connector(&mirror, "a", "b");
    let client = |kind| {
        client_properties(
            &connector,
            kind,
            Side::Source,
            ClientOwner::Connector,
            "test",
        )
    };
    for kind in [
        ClientKind::Admin,
        ClientKind::Consumer,
        ClientKind::Producer,
    ] {
        assert!(!client(kind).contains("xxx") && !client(kind).contains("metrics.reporter"));
    }
    check(
        &client(ClientKind::Admin),
        &[("ssl.key.password", "${fake:secret:password}")],
    );
}

#[test]
fn mm_04_includes_connector_config_properties() {
    let given = [
        ("tasks.max", "100"),
        ("topics", "topic-1"),
        ("groups", "group-2"),
        ("replication.policy.separator", "__"),
        ("config.properties.exclude", "property-3"),
        ("metric.reporters", "FakeMetricsReporter"),
        (
            "topic.filter.class",
            "org.apache.kafka.connect.mirror.DefaultTopicFilter",
        ),
    ];
    let mut all = vec![("clusters", "source, target"), ("xxx", "yyy")];
    all.extend(given);
    let mirror = mirror(&all);
    let properties = connector(&mirror, "source", "target");
    check(&properties, &given);
    assert!(!properties.contains("xxx") && !properties.contains("clusters"));
    let flow = FlowId::new("source", "target");
    let checkpoint = mirror.connector_properties(&flow, Connector::Checkpoint);
    let name = "org.apache.kafka.connect.mirror.MirrorCheckpointConnector";
    check(
        &checkpoint,
        &[("groups", "group-2"), ("connector.class", name)],
    );
}

#[test]
fn mm_05_includes_topic_filter_properties() {
    let mirror = mirror(&[
        ("clusters", "source, target"),
        ("source->target.topics", "topic1, topic2"),
        ("source->target.topics.exclude", "topic3"),
    ]);
    let properties = connector(&mirror, "source", "target");
    let items: Vec<_> = value::list(properties.get("topics").unwrap()).collect();
    assert_eq!(items, ["topic1", "topic2"]);
    check(&properties, &[("topics.exclude", "topic3")]);
}

const WORKERS: &[(&str, &str)] = &[
    ("clusters", "a, b"),
    ("config.providers", "fake"),
    ("replication.policy.separator", "__"),
    ("offset.storage.replication.factor", "123"),
    ("b.status.storage.replication.factor", "456"),
    ("b.producer.client.id", "client-one"),
    ("b.security.protocol", "PLAINTEXT"),
    ("b.producer.security.protocol", "SASL"),
    ("ssl.truststore.password", "secret1"),
    ("ssl.key.password", "${fake:secret:password}"),
    ("b.xxx", "yyy"),
    ("b->a.topics", "${fake:secret:password}"),
];

#[test]
fn mm_06_worker_configs() {
    let mirror = mirror(WORKERS);
    check(
        &mirror.worker_properties(&FlowId::new("b", "a")),
        &[
            ("client.id", "b->a"),
            ("group.id", "b-mm2"),
            ("offset.storage.topic", "mm2-offsets.b.internal"),
            ("offset.storage.replication.factor", "123"),
            ("replication.policy.separator", "__"),
            ("config.providers", "fake"),
        ],
    );
    check(
        &mirror.worker_properties(&FlowId::new("a", "b")),
        &[
            ("client.id", "a->b"),
            ("status.storage.replication.factor", "456"),
            ("producer.client.id", "client-one"),
            ("producer.security.protocol", "SASL"),
            ("consumer.security.protocol", "PLAINTEXT"),
            ("ssl.truststore.password", "secret1"),
            ("producer.ssl.truststore.password", "secret1"),
            ("ssl.key.password", "secret2"),
            ("producer.ssl.key.password", "secret2"),
            ("replication.policy.separator", "__"),
            ("key.converter", BYTE_ARRAY_CONVERTER),
        ],
    );
}

#[test]
fn mm_16_lazy_config_resolution() {
    let properties = connector(&mirror(WORKERS), "b", "a");
    let unresolved = "${fake:secret:password}";
    check(
        &properties,
        &[("ssl.key.password", unresolved), ("topics", unresolved)],
    );
}

#[test]
fn mm_07_six_flows_by_default() {
    let expected = ["a->b", "a->c", "b->a", "b->c", "c->a", "c->b"];
    assert_eq!(pairs(&[("clusters", "a, b, c")]), expected);
}

#[test]
fn mm_08_no_flows_with_heartbeats_off() {
    let none = [""; 0];
    assert_eq!(
        pairs(&[
            ("clusters", "a, b, c"),
            ("emit.heartbeats.enabled", "false")
        ]),
        none
    );
}

#[test]
fn mm_09_two_disabled_heartbeats() {
    let lines = [
        ("clusters", "a, b, c"),
        ("a->b.emit.heartbeats.enabled", "false"),
        ("a->c.emit.heartbeats.enabled", "false"),
    ];
    assert_eq!(pairs(&lines), ["b->a", "b->c", "c->a", "c->b"]);
}

#[test]
fn mm_10_enabled_flows_with_heartbeats_off() {
    let lines = [
        ("clusters", "a, b, c, d, e, f"),
        ("emit.heartbeats.enabled", "false"),
        ("a->b.enabled", "true"),
        ("a->c.enabled", "true"),
        ("a->d.enabled", "true"),
        ("a->e.enabled", "false"),
        ("a->f.enabled", "false"),
    ];
    assert_eq!(pairs(&lines), ["a->b", "a->c", "a->d"]);
}

#[test]
fn mm_11_central_local_and_an_emitter() {
    let lines = [
        ("clusters", "central, local_one, local_two, beats_emitter"),
        ("emit.heartbeats.enabled", "false"),
        ("central->local_one.enabled", "true"),
        ("central->local_two.enabled", "true"),
        ("beats_emitter->central.emit.heartbeats.enabled", "true"),
    ];
    let expected = [
        "central->local_one",
        "central->local_two",
        "beats_emitter->central",
    ];
    assert_eq!(pairs(&lines), expected);
}

#[test]
fn flow_selection_is_raw_text() {
    for (text, flows) in [("TRUE", 1), ("true ", 0), ("yes", 0), ("", 0)] {
        let lines = [
            ("clusters", "a, b"),
            ("emit.heartbeats.enabled", "false"),
            ("a->b.enabled", text),
        ];
        assert_eq!(pairs(&lines).len(), flows, "{text:?}");
    }
}

#[test]
fn worked_example() {
    // docs/spec/mm2.md 1.5, all keys of the connector's map.
    let mirror = mirror(&[
        ("clusters", "A, B"),
        ("A.bootstrap.servers", "a1:9092"),
        ("B.bootstrap.servers", "b1:9092"),
        ("B.security.protocol", "SSL"),
        ("B.producer.linger.ms", "50"),
        ("A.consumer.auto.offset.reset", "latest"),
        ("A->B.enabled", "true"),
        ("A->B.topics", "t.*"),
        ("replication.factor", "3"),
        ("offset.storage.replication.factor", "1"),
        ("ssl.truststore.location", "/etc/ts"),
        ("emit.heartbeats.enabled", "false"),
    ]);
    let flow = FlowId::new("A", "B");
    assert_eq!(mirror.cluster_pairs(), std::slice::from_ref(&flow));
    let mut expected: Properties = [
        ("replication.factor", "3"),
        ("emit.heartbeats.enabled", "false"),
        ("ssl.truststore.location", "/etc/ts"),
        ("source.cluster.bootstrap.servers", "a1:9092"),
        ("source.cluster.ssl.truststore.location", "/etc/ts"),
        ("source.consumer.auto.offset.reset", "latest"),
        ("target.cluster.bootstrap.servers", "b1:9092"),
        ("target.cluster.ssl.truststore.location", "/etc/ts"),
        ("target.cluster.security.protocol", "SSL"),
        ("target.producer.linger.ms", "50"),
        ("name", "MirrorSourceConnector"),
        (
            "connector.class",
            "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        ),
        ("source.cluster.alias", "A"),
        ("target.cluster.alias", "B"),
        ("enabled", "true"),
        ("topics", "t.*"),
    ]
    .into_iter()
    .collect();
    for client in CLIENT_PREFIXES {
        for (side, servers) in [("source", "a1:9092"), ("target", "b1:9092")] {
            expected.insert(format!("{side}.{client}.bootstrap.servers"), servers);
            expected.insert(
                format!("{side}.{client}.ssl.truststore.location"),
                "/etc/ts",
            );
        }
        expected.insert(format!("target.{client}.security.protocol"), "SSL");
    }
    let map = mirror.connector_properties(&flow, Connector::Source);
    assert!(map.iter().eq(expected.iter()), "{map:#?}\n{expected:#?}");
    check(
        &mirror.worker_properties(&flow),
        &[
            ("bootstrap.servers", "b1:9092"),
            ("security.protocol", "SSL"),
            ("producer.linger.ms", "50"),
            ("admin.bootstrap.servers", "b1:9092"),
            ("consumer.ssl.truststore.location", "/etc/ts"),
            ("ssl.truststore.location", "/etc/ts"),
            ("offset.storage.replication.factor", "1"),
            ("client.id", "A->B"),
            ("group.id", "A-mm2"),
            ("config.storage.topic", "mm2-configs.A.internal"),
        ],
    );
}
