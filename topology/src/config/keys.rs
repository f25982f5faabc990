//! The keys that MM2 and its clients define, and which of them this version acts on.
//!
//! Source of the connector keys: docs/spec/mm2.md 1.6-1.8, corrected by what Apache Kafka 4.3.1
//! answers under `/connector-plugins/.../config`. Keys that only the Connect framework defines are
//! apart, because MM2 drops them at the top level of its file (docs/spec/mm2.md 1.4 D).

use super::error::ConfigError;
use super::value;
use crate::properties::Properties;

/// Kafka's type of a key, as far as a text can violate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyType {
    Boolean,
    Short,
    Int,
    Long,
    Double,
    /// STRING, CLASS, LIST and PASSWORD: any text.
    Text,
}

/// Whether this version acts on a key that MM2 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Acts,
    Ignored,
}

use KeyType::{Boolean, Double, Int, Long, Short, Text};
use Use::{Acts, Ignored};

/// The union of the key tables of MM2's three connectors, sorted.
pub(crate) const CONNECTOR_KEYS: &[(&str, KeyType, Use)] = &[
    ("admin.timeout.ms", Long, Acts),
    ("checkpoints.topic.replication.factor", Short, Acts),
    ("config.action.reload", Text, Ignored),
    ("config.properties.exclude", Text, Acts),
    ("config.property.filter.class", Text, Acts),
    ("connector.class", Text, Ignored),
    ("connector.plugin.version", Text, Ignored),
    ("consumer.poll.timeout.ms", Long, Ignored),
    ("emit.checkpoints.enabled", Boolean, Acts),
    ("emit.checkpoints.interval.seconds", Long, Acts),
    ("emit.heartbeats.enabled", Boolean, Acts),
    ("emit.heartbeats.interval.seconds", Long, Acts),
    ("emit.offset-syncs.enabled", Boolean, Acts),
    ("enabled", Boolean, Acts),
    ("errors.log.enable", Boolean, Ignored),
    ("errors.log.include.messages", Boolean, Ignored),
    ("errors.retry.delay.max.ms", Long, Ignored),
    ("errors.retry.timeout", Long, Ignored),
    ("errors.tolerance", Text, Ignored),
    ("forwarding.admin.class", Text, Ignored),
    ("group.filter.class", Text, Acts),
    ("groups", Text, Acts),
    ("groups.exclude", Text, Acts),
    ("header.converter", Text, Acts),
    ("header.converter.plugin.version", Text, Ignored),
    ("heartbeats.replication.enabled", Boolean, Acts),
    ("heartbeats.topic.replication.factor", Short, Acts),
    ("key.converter", Text, Acts),
    ("key.converter.plugin.version", Text, Ignored),
    ("metric.names.formats", Text, Ignored),
    ("metric.reporters", Text, Ignored),
    ("name", Text, Acts),
    ("offset-syncs.topic.location", Text, Acts),
    ("offset-syncs.topic.replication.factor", Short, Acts),
    ("offset.lag.max", Long, Acts),
    ("predicates", Text, Acts),
    ("refresh.groups.enabled", Boolean, Acts),
    ("refresh.groups.interval.seconds", Long, Acts),
    ("refresh.topics.enabled", Boolean, Acts),
    ("refresh.topics.interval.seconds", Long, Acts),
    ("replication.factor", Int, Acts),
    ("replication.policy.class", Text, Acts),
    (
        "replication.policy.internal.topic.separator.enabled",
        Boolean,
        Acts,
    ),
    ("replication.policy.separator", Text, Acts),
    ("sasl.client.callback.handler.class", Text, Acts),
    ("sasl.jaas.config", Text, Acts),
    ("sasl.kerberos.kinit.cmd", Text, Ignored),
    ("sasl.kerberos.min.time.before.relogin", Long, Ignored),
    ("sasl.kerberos.service.name", Text, Ignored),
    ("sasl.kerberos.ticket.renew.jitter", Double, Ignored),
    ("sasl.kerberos.ticket.renew.window.factor", Double, Ignored),
    ("sasl.login.callback.handler.class", Text, Acts),
    ("sasl.login.class", Text, Acts),
    ("sasl.login.connect.timeout.ms", Int, Ignored),
    ("sasl.login.read.timeout.ms", Int, Ignored),
    ("sasl.login.refresh.buffer.seconds", Short, Ignored),
    ("sasl.login.refresh.min.period.seconds", Short, Ignored),
    ("sasl.login.refresh.window.factor", Double, Ignored),
    ("sasl.login.refresh.window.jitter", Double, Ignored),
    ("sasl.login.retry.backoff.max.ms", Long, Ignored),
    ("sasl.login.retry.backoff.ms", Long, Ignored),
    ("sasl.mechanism", Text, Acts),
    ("sasl.oauthbearer.assertion.algorithm", Text, Ignored),
    ("sasl.oauthbearer.assertion.claim.aud", Text, Ignored),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Int, Ignored),
    ("sasl.oauthbearer.assertion.claim.iss", Text, Ignored),
    (
        "sasl.oauthbearer.assertion.claim.jti.include",
        Boolean,
        Ignored,
    ),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Int, Ignored),
    ("sasl.oauthbearer.assertion.claim.sub", Text, Ignored),
    ("sasl.oauthbearer.assertion.file", Text, Ignored),
    ("sasl.oauthbearer.assertion.private.key.file", Text, Ignored),
    (
        "sasl.oauthbearer.assertion.private.key.passphrase",
        Text,
        Ignored,
    ),
    ("sasl.oauthbearer.assertion.template.file", Text, Ignored),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        Text,
        Ignored,
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        Text,
        Ignored,
    ),
    ("sasl.oauthbearer.clock.skew.seconds", Int, Ignored),
    ("sasl.oauthbearer.expected.audience", Text, Ignored),
    ("sasl.oauthbearer.expected.issuer", Text, Ignored),
    ("sasl.oauthbearer.header.urlencode", Boolean, Ignored),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Ignored),
    (
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        Long,
        Ignored,
    ),
    (
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        Long,
        Ignored,
    ),
    ("sasl.oauthbearer.jwks.endpoint.url", Text, Ignored),
    ("sasl.oauthbearer.jwt.retriever.class", Text, Ignored),
    ("sasl.oauthbearer.jwt.validator.class", Text, Ignored),
    ("sasl.oauthbearer.scope", Text, Ignored),
    ("sasl.oauthbearer.scope.claim.name", Text, Ignored),
    ("sasl.oauthbearer.sub.claim.name", Text, Ignored),
    ("sasl.oauthbearer.token.endpoint.url", Text, Acts),
    ("security.protocol", Text, Acts),
    ("source.cluster.alias", Text, Acts),
    ("ssl.cipher.suites", Text, Acts),
    ("ssl.enabled.protocols", Text, Acts),
    ("ssl.endpoint.identification.algorithm", Text, Acts),
    ("ssl.engine.factory.class", Text, Acts),
    ("ssl.key.password", Text, Acts),
    ("ssl.keymanager.algorithm", Text, Ignored),
    ("ssl.keystore.certificate.chain", Text, Acts),
    ("ssl.keystore.key", Text, Acts),
    ("ssl.keystore.location", Text, Acts),
    ("ssl.keystore.password", Text, Acts),
    ("ssl.keystore.type", Text, Acts),
    ("ssl.protocol", Text, Ignored),
    ("ssl.provider", Text, Ignored),
    ("ssl.secure.random.implementation", Text, Ignored),
    ("ssl.trustmanager.algorithm", Text, Ignored),
    ("ssl.truststore.certificates", Text, Acts),
    ("ssl.truststore.location", Text, Acts),
    ("ssl.truststore.password", Text, Acts),
    ("ssl.truststore.type", Text, Acts),
    ("sync.group.offsets.enabled", Boolean, Acts),
    ("sync.group.offsets.interval.seconds", Long, Acts),
    ("sync.topic.acls.enabled", Boolean, Ignored),
    ("sync.topic.acls.interval.seconds", Long, Ignored),
    ("sync.topic.configs.enabled", Boolean, Acts),
    ("sync.topic.configs.interval.seconds", Long, Acts),
    ("target.cluster.alias", Text, Acts),
    ("tasks.max", Int, Ignored),
    ("tasks.max.enforce", Boolean, Ignored),
    ("topic.filter.class", Text, Acts),
    ("topics", Text, Acts),
    ("topics.exclude", Text, Acts),
    ("transforms", Text, Acts),
    ("value.converter", Text, Acts),
    ("value.converter.plugin.version", Text, Ignored),
];

/// Keys of source connectors that the Connect framework defines: known, but only with a flow's
/// prefix. `(key or prefix, use)`; a prefix ends with a dot.
pub(crate) const FLOW_ONLY_KEYS: &[(&str, Use)] = &[
    ("use.defaults.from", Acts),
    ("consumer.", Acts),
    ("producer.", Ignored),
    ("admin.", Acts),
    ("source.consumer.", Acts),
    ("source.producer.", Ignored),
    ("source.admin.", Acts),
    ("target.consumer.", Ignored),
    ("target.producer.", Acts),
    ("target.admin.", Acts),
    ("source.cluster.", Acts),
    ("target.cluster.", Acts),
    ("producer.override.", Acts),
    ("consumer.override.", Ignored),
    ("admin.override.", Ignored),
    ("exactly.once.support", Ignored),
    ("transaction.boundary", Ignored),
    ("transaction.boundary.interval.ms", Ignored),
    ("offsets.storage.topic", Ignored),
    ("topic.creation.", Ignored),
    ("transforms.", Ignored),
    ("predicates.", Ignored),
    ("key.converter.", Ignored),
    ("value.converter.", Ignored),
    ("header.converter.", Ignored),
];

/// Beginnings of top-level keys that MM2 hands to every worker (docs/spec/mm2.md 1.4 C).
pub(crate) const WORKER_PREFIXES: &[&str] = &[
    "offset.storage",
    "config.storage",
    "status.storage",
    "key.converter",
    "value.converter",
    "header.converter",
    "task",
    "worker",
    "replication.policy",
];

/// Worker keys, written with the target's alias (docs/spec/mm2.md 1.10).
pub(crate) const WORKER_KEYS: &[(&str, Use)] = &[
    ("offset.storage.topic", Acts),
    ("offset.storage.replication.factor", Acts),
    ("offset.storage.partitions", Acts),
    ("offset.flush.interval.ms", Acts),
    ("key.converter", Acts),
    ("value.converter", Acts),
    ("header.converter", Acts),
    ("offset.storage.", Ignored),
    ("status.storage.", Ignored),
    ("config.storage.", Ignored),
    ("replication.policy.", Ignored),
    ("key.converter.", Ignored),
    ("value.converter.", Ignored),
    ("header.converter.", Ignored),
    ("config.providers", Ignored),
    ("config.providers.", Ignored),
    ("exactly.once.source.support", Ignored),
    ("group.id", Ignored),
    ("offset.flush.timeout.ms", Ignored),
    ("task.shutdown.graceful.timeout.ms", Ignored),
    ("tasks.max", Ignored),
    ("tasks.max.enforce", Ignored),
    ("connect.protocol", Ignored),
    ("worker.sync.timeout.ms", Ignored),
    ("worker.unsync.backoff.ms", Ignored),
    ("scheduled.rebalance.max.delay.ms", Ignored),
    ("rebalance.timeout.ms", Ignored),
    ("session.timeout.ms", Ignored),
    ("heartbeat.interval.ms", Ignored),
    ("inter.worker.", Ignored),
    ("topic.creation.enable", Ignored),
    ("topic.tracking.enable", Ignored),
    ("topic.tracking.allow.reset", Ignored),
    ("connector.client.config.override.policy", Ignored),
    ("plugin.path", Ignored),
    ("plugin.discovery", Ignored),
    ("metrics.num.samples", Ignored),
    ("metrics.sample.window.ms", Ignored),
    ("metrics.recording.level", Ignored),
    ("metrics.context.", Ignored),
    ("metric.reporters", Ignored),
    ("metric.names.formats", Ignored),
    ("forwarding.admin.class", Ignored),
    ("listeners", Ignored),
    ("admin.listeners", Ignored),
    ("rest.", Ignored),
    ("access.control.", Ignored),
    ("response.http.headers.config", Ignored),
];

/// Top-level keys of the dedicated file itself (docs/spec/mm2.md 1.3).
pub(crate) const DEDICATED_KEYS: &[(&str, Use)] = &[
    ("clusters", Acts),
    ("bootstrap.servers", Acts),
    ("dedicated.mode.enable.internal.rest", Ignored),
    ("config.providers", Acts),
    ("config.providers.", Acts),
    ("listeners", Acts),
    ("listeners.https.", Acts),
    ("admin.listeners", Acts),
    ("admin.listeners.https.", Acts),
    ("rest.advertised.host.name", Acts),
    ("rest.advertised.port", Acts),
    ("rest.advertised.listener", Acts),
    ("rest.basic.auth.file", Acts),
    ("rest.basic.auth.metrics.free", Acts),
    ("rest.extension.classes", Acts),
    ("rest.", Ignored),
    ("access.control.allow.origin", Acts),
    ("access.control.allow.methods", Acts),
    ("access.control.", Ignored),
    ("response.http.headers.config", Acts),
    ("ssl.client.auth", Acts),
];

/// Settings of Kafka's consumers, producers and admin clients, behind `consumer.`, `producer.` and
/// `admin.`. Those of security are in [`CONNECTOR_KEYS`].
pub(crate) const CLIENT_KEYS: &[(&str, Use)] = &[
    ("bootstrap.servers", Acts),
    ("client.id", Acts),
    ("isolation.level", Acts),
    ("auto.offset.reset", Acts),
    ("request.timeout.ms", Acts),
    ("acks", Ignored),
    ("allow.auto.create.topics", Ignored),
    ("auto.commit.interval.ms", Ignored),
    ("batch.size", Ignored),
    ("bootstrap.controllers", Ignored),
    ("buffer.memory", Ignored),
    ("check.crcs", Ignored),
    ("client.dns.lookup", Ignored),
    ("client.rack", Ignored),
    ("compression.gzip.level", Ignored),
    ("compression.lz4.level", Ignored),
    ("compression.type", Ignored),
    ("compression.zstd.level", Ignored),
    ("config.providers", Ignored),
    ("connections.max.idle.ms", Ignored),
    ("default.api.timeout.ms", Ignored),
    ("delivery.timeout.ms", Ignored),
    ("enable.auto.commit", Ignored),
    ("enable.idempotence", Ignored),
    ("enable.metrics.push", Ignored),
    ("exclude.internal.topics", Ignored),
    ("fetch.max.bytes", Ignored),
    ("fetch.max.wait.ms", Ignored),
    ("fetch.min.bytes", Ignored),
    ("group.id", Ignored),
    ("group.instance.id", Ignored),
    ("group.protocol", Ignored),
    ("group.remote.assignor", Ignored),
    ("heartbeat.interval.ms", Ignored),
    ("interceptor.classes", Ignored),
    ("key.deserializer", Ignored),
    ("key.serializer", Ignored),
    ("linger.ms", Ignored),
    ("max.block.ms", Ignored),
    ("max.in.flight.requests.per.connection", Ignored),
    ("max.partition.fetch.bytes", Ignored),
    ("max.poll.interval.ms", Ignored),
    ("max.poll.records", Ignored),
    ("max.request.size", Ignored),
    ("metadata.max.age.ms", Ignored),
    ("metadata.max.idle.ms", Ignored),
    ("metadata.recovery.rebootstrap.trigger.ms", Ignored),
    ("metadata.recovery.strategy", Ignored),
    ("metric.reporters", Ignored),
    ("metrics.num.samples", Ignored),
    ("metrics.recording.level", Ignored),
    ("metrics.sample.window.ms", Ignored),
    ("partition.assignment.strategy", Ignored),
    ("partitioner.adaptive.partitioning.enable", Ignored),
    ("partitioner.availability.timeout.ms", Ignored),
    ("partitioner.class", Ignored),
    ("partitioner.ignore.keys", Ignored),
    ("receive.buffer.bytes", Ignored),
    ("reconnect.backoff.max.ms", Ignored),
    ("reconnect.backoff.ms", Ignored),
    ("retries", Ignored),
    ("retry.backoff.max.ms", Ignored),
    ("retry.backoff.ms", Ignored),
    ("security.providers", Ignored),
    ("send.buffer.bytes", Ignored),
    ("session.timeout.ms", Ignored),
    ("socket.connection.setup.timeout.max.ms", Ignored),
    ("socket.connection.setup.timeout.ms", Ignored),
    ("transaction.timeout.ms", Ignored),
    ("transactional.id", Ignored),
    ("value.deserializer", Ignored),
    ("value.serializer", Ignored),
];

/// Keys of older releases, and what to write today (docs/spec/mm2.md 1.12).
pub(crate) const REMOVED_KEYS: &[(&str, &str)] = &[
    (
        "topics.blacklist",
        "removed in Kafka 4.0; write topics.exclude",
    ),
    (
        "groups.blacklist",
        "removed in Kafka 4.0; write groups.exclude",
    ),
    (
        "config.properties.blacklist",
        "removed in Kafka 4.0; write config.properties.exclude",
    ),
    (
        "use.incremental.alter.configs",
        "removed in Kafka 4.0; it is always incremental",
    ),
    (
        "add.source.alias.to.metrics",
        "removed in Kafka 4.0; the source is always in the metrics",
    ),
    ("auto.include.jmx.reporter", "removed in Kafka 4.0"),
];

/// Looks a key up in a table whose entries are keys, or prefixes that end with a dot.
pub(crate) fn find(table: &[(&str, Use)], key: &str) -> Option<Use> {
    let exact = table.iter().find(|(name, _)| *name == key);
    let by_prefix = || {
        table
            .iter()
            .find(|(name, _)| name.ends_with('.') && key.starts_with(name))
    };
    exact.or_else(by_prefix).map(|&(_, used)| used)
}

/// The row of a connector key.
pub(crate) fn connector_key(key: &str) -> Option<(KeyType, Use)> {
    let at = CONNECTOR_KEYS
        .binary_search_by_key(&key, |&(name, ..)| name)
        .ok()?;
    CONNECTOR_KEYS
        .get(at)
        .map(|&(_, key_type, used)| (key_type, used))
}

/// Whether a setting of a whole cluster reaches its clients without `consumer.` and the like
/// (docs/spec/mm2.md 1.9): the address, and everything of security.
pub(crate) fn is_common_client_key(key: &str) -> bool {
    let security =
        key == "security.protocol" || key.starts_with("ssl.") || key.starts_with("sasl.");
    key == "bootstrap.servers" || (security && connector_key(key).is_some())
}

/// Whether this version acts on such a key.
pub(crate) fn common_client_key(key: &str) -> Option<Use> {
    let used = connector_key(key).map_or(Acts, |(_, used)| used);
    is_common_client_key(key).then_some(used)
}

/// Checks the type of a connector value that is not acted on, because MM2 would refuse it too.
/// Whoever acts on a value checks it more narrowly.
pub(crate) fn check_ignored(properties: &Properties, key: &str) -> Result<(), ConfigError> {
    let Some((key_type, Ignored)) = connector_key(key) else {
        return Ok(());
    };
    match key_type {
        Boolean => value::boolean(properties, key, false).map(drop),
        Short => value::number(properties, key, 0, i16::MIN..=i16::MAX).map(drop),
        Int if key == "tasks.max" => value::number(properties, key, 1, 1..=i32::MAX).map(drop),
        Int => value::number(properties, key, 0, i32::MIN..=i32::MAX).map(drop),
        Long => value::number(properties, key, 0, i64::MIN..=i64::MAX).map(drop),
        Double => match value::trim(properties.get(key).unwrap_or("0")).parse::<f64>() {
            Ok(_) => Ok(()),
            Err(_) => Err(ConfigError::invalid(
                properties,
                key,
                "write a decimal number",
            )),
        },
        Text => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mm_15_all_config_names() {
        for key in ["topics", "groups", "emit.heartbeats.enabled"] {
            assert!(connector_key(key).is_some(), "{key}");
        }
    }

    #[test]
    fn sc_07_task_keys_are_no_connector_keys() {
        assert_eq!(connector_key("task.assigned.partitions"), None);
    }

    #[test]
    fn the_table_is_sorted() {
        assert!(CONNECTOR_KEYS.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn security_and_address_are_common_to_all_clients() {
        for key in ["bootstrap.servers", "security.protocol", "ssl.key.password"] {
            assert!(is_common_client_key(key), "{key}");
        }
        for key in ["client.id", "ssl.client.auth", "sasl.nope", "topics"] {
            assert!(!is_common_client_key(key), "{key}");
        }
    }
}
