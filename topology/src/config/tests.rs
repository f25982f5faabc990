//! Typed values and faults, from whole files.

use std::time::Duration;

use super::*;
use crate::filter::TopicVerdict;
use crate::policy::{IDENTITY_POLICY_CLASS, PolicyKind};

const CLUSTERS: &str = "clusters = A, B\nA.bootstrap.servers = a1:9092, a2:9092\n\
                        B.bootstrap.servers = [::1]:9092\n";
/// As [`CLUSTERS`], with the one flow A->B; three lines more, so further lines start at 6.
const ONE_FLOW: &str = "clusters = A, B\nA.bootstrap.servers = a1:9092, a2:9092\n\
                        B.bootstrap.servers = [::1]:9092\nemit.heartbeats.enabled = false\n\
                        A->B.enabled = true\n";

fn read(file: &str, targets: &[&str]) -> Result<MirrorConfig, ConfigErrors> {
    let targets: Vec<_> = targets.iter().map(|&target| target.to_owned()).collect();
    MirrorConfig::read(Properties::parse(file.as_bytes()).unwrap(), &targets)
}

/// The flow A->B of `ONE_FLOW` with more lines.
fn flow(lines: &str) -> FlowConfig {
    read(&format!("{ONE_FLOW}{lines}"), &[]).unwrap().flows()[0].clone()
}

/// The errors of `ONE_FLOW` with more lines.
fn errors(lines: &str) -> Vec<String> {
    let errors = read(&format!("{ONE_FLOW}{lines}"), &[]).unwrap_err();
    errors.iter().map(ConfigError::to_string).collect()
}

#[test]
fn defaults() {
    let flow = flow("");
    assert_eq!(flow.id.to_string(), "A->B");
    assert!(flow.replication_enabled);
    assert_eq!(flow.source.alias.as_str(), "A");
    assert_eq!(flow.source.bootstrap_servers.len(), 2);
    assert_eq!(flow.target.bootstrap_servers[0].to_string(), "[::1]:9092");
    assert_eq!(
        flow.source.client_id,
        "A->B|MirrorSourceConnector-0|replication-consumer"
    );
    assert_eq!(
        flow.target.client_id,
        "connector-producer-MirrorSourceConnector-0"
    );
    assert_eq!(
        flow.source.admin_client_id,
        "A->B|MirrorSourceConnector|replication-source-admin"
    );
    assert_eq!(
        flow.target.admin_client_id,
        "A->B|MirrorSourceConnector|replication-target-admin"
    );
    assert_eq!(
        (flow.policy.kind(), flow.policy.separator()),
        (PolicyKind::Default, ".")
    );
    assert_eq!(flow.replication_factor, 2);
    assert_eq!(flow.refresh_topics_interval, Some(Duration::from_secs(600)));
    assert_eq!(flow.emit_heartbeats_interval, None);
    assert_eq!(flow.heartbeats_topic_replication_factor, 3);
    assert!(flow.heartbeats_replication);
    assert_eq!(flow.offset_storage_topic, "mm2-offsets.A.internal");
    assert_eq!(flow.offset_storage_replication_factor, 3);
    assert_eq!(flow.offset_storage_partitions, 25);
    assert_eq!(flow.offset_flush_interval, Duration::from_secs(60));
    assert_eq!(flow.isolation_level, IsolationLevel::ReadUncommitted);
    assert_eq!(flow.auto_offset_reset, AutoOffsetReset::Earliest);
    assert_eq!(flow.admin_timeout, Duration::from_secs(60));
    assert_eq!(flow.config_properties_exclude.items().len(), 8);
    assert!(!flow.use_defaults_from_source);
    assert_eq!(
        flow.sync_topic_configs_interval,
        Some(Duration::from_secs(600))
    );
    assert_eq!(flow.connector_names.checkpoint, "MirrorCheckpointConnector");
    assert_eq!(flow.remote_topic("t"), "A.t");
    let beating = read(CLUSTERS, &[]).unwrap();
    let intervals: Vec<_> = beating
        .flows()
        .iter()
        .map(|f| f.emit_heartbeats_interval)
        .collect();
    assert_eq!(intervals, [Some(Duration::from_secs(1)); 2]);
    assert!(beating.flows().iter().all(|flow| !flow.replication_enabled));
}

#[test]
fn values() {
    let flow = flow(
        "replication.factor = -1\nA->B.replication.factor = 4\n\
         refresh.topics.interval.seconds = 30\nA->B.emit.heartbeats.enabled = true\n\
         emit.heartbeats.interval.seconds = 5\nheartbeats.topic.replication.factor = 1\n\
         heartbeats.replication.enabled = FALSE\nB.offset.storage.topic = offsets\n\
         offset.storage.replication.factor = 1\nB.offset.storage.replication.factor = 2\n\
         offset.storage.partitions = 7\nB.offset.flush.interval.ms = 1500\n\
         A.consumer.isolation.level = read_committed\n\
         A->B.source.consumer.auto.offset.reset = none\nadmin.timeout.ms = 5000\n\
         config.properties.exclude = a.*\nA->B.use.defaults.from = source\nA->B.name = mine\n\
         sync.topic.configs.interval.seconds = 7\nB.producer.client.id = p\nA.admin.client.id = ad\n",
    );
    assert_eq!(flow.replication_factor, 4);
    assert_eq!(flow.refresh_topics_interval, Some(Duration::from_secs(30)));
    assert_eq!(flow.emit_heartbeats_interval, Some(Duration::from_secs(5)));
    assert_eq!(flow.heartbeats_topic_replication_factor, 1);
    assert!(!flow.heartbeats_replication);
    assert_eq!(flow.offset_storage_topic, "offsets");
    assert_eq!(
        flow.offset_storage_replication_factor, 1,
        "the top level wins for storage keys"
    );
    assert_eq!(flow.offset_storage_partitions, 7);
    assert_eq!(flow.offset_flush_interval, Duration::from_millis(1500));
    assert_eq!(flow.isolation_level, IsolationLevel::ReadCommitted);
    assert_eq!(flow.auto_offset_reset, AutoOffsetReset::None);
    assert_eq!(flow.admin_timeout, Duration::from_secs(5));
    assert_eq!(flow.config_properties_exclude.items(), ["a.*"]);
    assert!(flow.use_defaults_from_source);
    assert_eq!(
        flow.sync_topic_configs_interval,
        Some(Duration::from_secs(7))
    );
    assert_eq!(flow.connector_names.source, "mine");
    assert_eq!(flow.target.client_id, "p");
    assert_eq!(
        flow.source.admin_client_id,
        "ad|A->B|mine|replication-source-admin"
    );
    let identity = self::flow(&format!(
        "replication.policy.class = {IDENTITY_POLICY_CLASS}\n"
    ));
    assert_eq!(identity.policy.kind(), PolicyKind::Identity);
    assert_eq!(identity.remote_topic("t"), "t");
}

/// Source, target, source's admin, target's admin: milliseconds.
fn request_timeouts(lines: &str) -> [u128; 4] {
    let FlowConfig { source, target, .. } = flow(lines);
    [
        source.request_timeout,
        target.request_timeout,
        source.admin_request_timeout,
        target.admin_request_timeout,
    ]
    .map(|timeout| timeout.as_millis())
}

#[test]
fn request_timeouts_are_those_of_the_client_that_asks() {
    assert_eq!(request_timeouts(""), [30_000; 4]);
    for (line, expected) in [
        (
            "A.consumer.request.timeout.ms = 2000",
            [2_000, 30_000, 30_000, 30_000],
        ),
        (
            "A->B.consumer.request.timeout.ms = 2000",
            [2_000, 30_000, 30_000, 30_000],
        ),
        (
            "A->B.source.consumer.request.timeout.ms = 2000",
            [2_000, 30_000, 30_000, 30_000],
        ),
        (
            "B.producer.request.timeout.ms = 2000",
            [30_000, 2_000, 30_000, 30_000],
        ),
        (
            "A->B.producer.override.request.timeout.ms = 2000",
            [30_000, 2_000, 30_000, 30_000],
        ),
        (
            "A.admin.request.timeout.ms = 2000",
            [30_000, 30_000, 2_000, 30_000],
        ),
        (
            "A->B.admin.request.timeout.ms = 2000",
            [30_000, 30_000, 2_000, 2_000],
        ),
        (
            "A->B.target.admin.request.timeout.ms = 2000",
            [30_000, 30_000, 30_000, 2_000],
        ),
        // Not the consumer's, and not a common key (docs/spec/mm2.md 1.9).
        ("B.consumer.request.timeout.ms = 2000", [30_000; 4]),
        ("A->B.source.cluster.request.timeout.ms = 2000", [30_000; 4]),
    ] {
        assert_eq!(request_timeouts(line), expected, "{line}");
    }
    let over =
        "A.consumer.request.timeout.ms = 9000\nA->B.source.consumer.request.timeout.ms = 2000\n";
    assert_eq!(request_timeouts(over)[0], 2_000, "the nearer one wins");
    for (asked, counts) in [("0", 1_000), ("1", 1_000), ("2147483647", 2_147_483_647)] {
        let line = format!("A.consumer.request.timeout.ms = {asked}");
        assert_eq!(request_timeouts(&line)[0], counts, "{line}");
    }
    for wrong in ["-1", "2147483648", "30s", ""] {
        let found = errors(&format!("B.producer.request.timeout.ms = {wrong}"));
        assert!(found[0].contains("request.timeout.ms"), "{found:?}");
    }
}

#[test]
fn sc_03_config_property_matching() {
    let flow = flow("config.properties.exclude = prop2\n");
    assert_eq!(flow.config_properties_exclude.matches("prop1"), Ok(false));
    assert_eq!(flow.config_properties_exclude.matches("prop2"), Ok(true));
}

#[test]
fn sx_01_replicates_heartbeats_by_default() {
    let flow = flow("");
    assert!(flow.replicates("heartbeats") && flow.replicates("us-west.heartbeats"));
}

#[test]
fn sx_02_replicates_heartbeats_despite_filter() {
    let refusing = "topics.exclude = .*\n";
    let plain = flow(refusing);
    assert_eq!(plain.verdict("heartbeats"), TopicVerdict::Heartbeats);
    assert!(plain.replicates("us-west.heartbeats") && !plain.replicates("orders"));
    let separated = flow(&format!("{refusing}replication.policy.separator = _\n"));
    assert!(separated.replicates("heartbeats") && !separated.replicates("us-west.heartbeats"));
}

#[test]
fn sx_03_does_not_replicate_heartbeats_when_disabled() {
    let flow = flow("heartbeats.replication.enabled = false\ntopics =\n");
    assert!(!flow.replicates("heartbeats") && !flow.replicates("us-west.heartbeats"));
}

#[test]
fn sx_04_replicates_heartbeats_when_the_filter_allows() {
    let flow = flow("heartbeats.replication.enabled = false\n");
    assert_eq!(flow.verdict("heartbeats"), TopicVerdict::Included);
    assert!(flow.replicates("us-west.heartbeats"));
}

#[test]
fn sx_05_no_cycles() {
    let flow = flow("");
    for cycle in [
        "B.topic1",
        "B.A.topic1",
        "A.B.topic1",
        "B.A.B.topic1",
        "A.B.A.topic1",
    ] {
        assert_eq!(flow.verdict(cycle), TopicVerdict::Cycle, "{cycle}");
    }
    assert!(flow.replicates("topic1") && flow.replicates("A.topic1"));
}

#[test]
fn sx_06_identity_replication() {
    let flow = flow(&format!(
        "replication.policy.class = {IDENTITY_POLICY_CLASS}\n"
    ));
    for yes in [
        "B.topic1",
        "B.A.topic1",
        "A.B.topic1",
        "B.A.B.topic1",
        "A.B.A.topic1",
        "topic1",
        "other.topic1",
        "heartbeats",
        "other.heartbeats",
    ] {
        assert!(flow.replicates(yes), "{yes}");
    }
    for no in [
        "B.heartbeats",
        "B.A.heartbeats",
        "A.B.heartbeats",
        "A.B.A.heartbeats",
    ] {
        assert_eq!(flow.verdict(no), TopicVerdict::Cycle, "{no}");
    }
}

#[test]
fn default_filter_and_internal_topics() {
    let flow = flow("");
    for (topic, verdict) in [
        ("__consumer_offsets", TopicVerdict::Internal),
        ("mm2-offset-syncs.B.internal", TopicVerdict::Internal),
        ("X.checkpoints.internal", TopicVerdict::Internal),
        (".hidden", TopicVerdict::Internal),
        ("orders.replica", TopicVerdict::Excluded),
        ("orders.internal", TopicVerdict::Included),
    ] {
        assert_eq!(flow.verdict(topic), verdict, "{topic}");
    }
    let listed = self::flow("A->B.topics = orders\n");
    assert_eq!(listed.verdict("order"), TopicVerdict::NotIncluded);
}

#[test]
fn every_fault_is_reported_at_once_with_its_line() {
    let errors = errors(
        "replication.factor = two\nA->B.tasks.max = 0\nrefresh.topics.interval.seconds = 0\n\
         A->B.topics = ok, a[\noffset.storage.replication.factor = abc\n\
         sync.topic.acls.enabled = maybe\n",
    );
    let starts = [
        "replication.factor (line 6): `two` is not valid; write ",
        "A->B.tasks.max (line 7): `0` is not valid; write a whole number from 1 ",
        "refresh.topics.interval.seconds (line 8): `0` is not valid; write seconds, at least 1",
        "A->B.topics (line 9): `a[` is no regular expression: ",
        "offset.storage.replication.factor (line 10): `abc` is not valid; ",
        "sync.topic.acls.enabled (line 11): `maybe` is not valid; write true or false",
    ];
    for start in starts {
        assert!(
            errors.iter().any(|error| error.starts_with(start)),
            "{start}: {errors:#?}"
        );
    }
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
}

#[test]
fn one_fault_each() {
    let starts_with = |lines: &str, start: &str| {
        let errors = errors(lines);
        assert_eq!(errors.len(), 1, "{errors:#?}");
        assert!(
            errors[0].starts_with(start),
            "{start:?} but {:?}",
            errors[0]
        );
    };
    starts_with(
        "replication.factor = 0\n",
        "replication.factor (line 6): `0` is not valid",
    );
    starts_with(
        "replication.policy.class = com.example.Nope\n",
        "replication.policy.class (line 6)",
    );
    starts_with(
        "A->B.enabled = yes\nA->B.emit.heartbeats.enabled = true\n",
        "A->B.enabled (line 6)",
    );
    starts_with(
        "B.bootstrap.servers = localhost\n",
        "B.bootstrap.servers (line 6): `localhost`",
    );
    starts_with(
        "A.bootstrap.servers = h:99999\n",
        "A.bootstrap.servers (line 6): `h:99999`",
    );
    starts_with(
        "A.consumer.isolation.level = x\n",
        "A.consumer.isolation.level (line 6)",
    );
    starts_with(
        "A->B.consumer.auto.offset.reset = by_duration:P1D\n",
        "A->B.consumer.auto.off",
    );
    starts_with(
        "B.offset.flush.interval.ms = 0\n",
        "B.offset.flush.interval.ms (line 6)",
    );
    starts_with(
        "offset.storage.partitions = 0\n",
        "offset.storage.partitions (line 6)",
    );
    starts_with(
        "B.offset.storage.topic = a b\n",
        "B.offset.storage.topic (line 6)",
    );
    starts_with("admin.timeout.ms = -1\n", "admin.timeout.ms (line 6)");
    starts_with(
        "offset-syncs.topic.location = elsewhere\n",
        "offset-syncs.topic.location (line 6)",
    );
    starts_with(
        "dedicated.mode.enable.internal.rest = maybe\n",
        "dedicated.mode.enable",
    );
    starts_with(
        "source.cluster.alias = X\n",
        "source.cluster.alias (line 6): `X`",
    );
    starts_with(
        "topic.filter.class = com.example.F\n",
        "topic.filter.class (line 6)",
    );
    starts_with(
        "A->B.transforms = mask\n",
        "A->B.transforms (line 6): `mask` is not supported",
    );
    starts_with(
        "B.key.converter = com.example.Json\n",
        "B.key.converter (line 6)",
    );
    starts_with(
        "A.security.protocol = SSL\nA.ssl.truststore.location = /no/where\n",
        "A.ssl.truststore.location (line 7): /no/where cannot be read",
    );
    starts_with(
        "B.producer.security.protocol = SASL\n",
        "B.producer.security.protocol (line 6)",
    );
    starts_with(
        "A->B.topics = ${file:/x:y}\n",
        "A->B.topics (line 6): `${file:/x:y}` is not valid",
    );
    starts_with(
        "replication.factor = ${env:RF}\n",
        "replication.factor (line 6): `${env:RF}` is",
    );
    starts_with(
        "sasl.login.refresh.window.factor = x\n",
        "sasl.login.refresh.window.factor (line",
    );
}

#[test]
fn mm_12_mm_13_cc_09_invalid_security_protocol() {
    let text = "security.protocol (line 6): `abc` is not valid; write PLAINTEXT, SSL, SASL_PLAINTEXT \
                or SASL_SSL";
    assert_eq!(errors("security.protocol = abc\n"), [text]);
}

#[test]
fn mm_14_cc_10_security_protocol_in_any_case() {
    let file = format!("{ONE_FLOW}security.protocol = plaintext\n");
    let config = read(&file, &[]).unwrap();
    assert_eq!(
        config.properties().raw().get("security.protocol"),
        Some("plaintext")
    );
    let login = "sasl.mechanism = PLAIN\nsasl.jaas.config = x.PlainLoginModule required username=\"a\" password=\"b\";\n";
    let file = format!("{ONE_FLOW}security.protocol = Sasl_PlainText\n{login}");
    let config = read(&file, &[]).unwrap();
    assert_eq!(
        config.properties().raw().get("security.protocol"),
        Some("Sasl_PlainText")
    );
    let flow = &config.flows()[0];
    assert_eq!(format!("{:?}", flow.source.security), "SASL_PLAINTEXT");
    assert_eq!(flow.source.security, flow.target.security);
    let missing = errors("security.protocol = sasl_plaintext\n");
    assert!(
        missing[0].starts_with("sasl.mechanism: is not set") && missing[0].ends_with("(cluster A)"),
        "{missing:#?}"
    );
}

#[test]
fn a_secret_is_never_shown() {
    let name = "A.bootstrap.servers.password"; // no such key; the rule is by name
    let properties = [(name, "hunter2")].into_iter().collect();
    let error = ConfigError::invalid(&properties, name, "write another").to_string();
    assert_eq!(
        error,
        format!("{name}: [hidden] is not valid; write another")
    );
}

/// Answers `RF` with 5.
#[derive(Debug)]
struct Env;

impl ConfigProvider for Env {
    fn get(&self, _path: &str, key: &str) -> Option<String> {
        (key == "RF").then(|| "5".to_owned())
    }
}

#[test]
fn providers_resolve_typed_values() {
    let mut providers = ConfigProviders::default();
    providers.add("env", std::sync::Arc::new(Env));
    let file = format!("{ONE_FLOW}replication.factor = ${{env:RF}}\n");
    let properties = Properties::parse(file.as_bytes()).unwrap();
    let config = MirrorConfig::read_with(properties, &[], providers).unwrap();
    assert_eq!(config.flows()[0].replication_factor, 5);
}

#[test]
fn clusters_and_aliases() {
    let error = |file: &str, targets: &[&str]| read(file, targets).unwrap_err().to_string();
    assert!(error("", &[]).starts_with("clusters is not set; "));
    assert!(error("clusters =\n", &[]).starts_with("clusters is not set; "));
    assert!(error("clusters = a,,b\n", &[]).starts_with("clusters (line 1): alias `` is empty"));
    assert!(
        error("clusters = a, b, a\n", &[]).starts_with("clusters (line 1): alias `a` is there")
    );
    let missing = error(
        "clusters = A, B\nA.bootstrap.servers = a:1\nA->B.enabled = true\n",
        &[],
    );
    assert!(
        missing.starts_with("B.bootstrap.servers is not set, but flow A->B needs"),
        "{missing}"
    );
    let unknown = error(ONE_FLOW, &["nope"]);
    assert!(
        unknown.contains("--clusters: no cluster `nope`; clusters has A, B"),
        "{unknown}"
    );
    let illegal = error("clusters = a a, b\nb.bootstrap.servers = b:1\n", &["b"]);
    assert!(
        illegal.contains("alias `a a` becomes part of topic names"),
        "{illegal}"
    );
}

#[test]
fn no_flows_says_what_to_set() {
    let file = format!("{CLUSTERS}emit.heartbeats.enabled = false\nA->B.enabled = yes\n");
    let text =
        "No source->target replication flows. enable at least one, as in `A->B.enabled = true`";
    assert_eq!(read(&file, &[]).unwrap_err().to_string(), text);
    let elsewhere = read(ONE_FLOW, &["A"]).unwrap_err().to_string();
    assert!(
        elsewhere.starts_with("No source->target replication flows. "),
        "{elsewhere}"
    );
    let alone = read("clusters = a\n", &[]).unwrap_err().to_string();
    assert!(alone.contains("at least two aliases"), "{alone}");
}

#[test]
fn a_source_that_only_heartbeats_needs_no_address() {
    let file = "clusters = A, B\nB.bootstrap.servers = b:1\nemit.heartbeats.enabled = false\n\
                A->B.emit.heartbeats.enabled = true\n";
    let config = read(file, &[]).unwrap();
    assert_eq!(config.flows().len(), 1);
    assert!(config.flows()[0].source.bootstrap_servers.is_empty());
}

#[test]
fn only_flows_into_the_given_targets_run() {
    let file = format!("{CLUSTERS}A->B.enabled = true\nB->A.enabled = true\n");
    let ids = |targets: &[&str]| -> Vec<String> {
        read(&file, targets)
            .unwrap()
            .flows()
            .iter()
            .map(|flow| flow.id.to_string())
            .collect()
    };
    assert_eq!(ids(&[]), ["A->B", "B->A"]);
    assert_eq!(ids(&["A"]), ["B->A"]);
    // A fault of a flow that runs elsewhere is reported there.
    let broken = format!("{file}B->A.replication.factor = x\n");
    assert!(read(&broken, &["B"]).is_ok() && read(&broken, &["A"]).is_err());
}

#[test]
fn reports_are_in_the_order_of_lines() {
    let file = format!("{ONE_FLOW}zzz = 1\naaa = 2\ntasks.max = 2\nerrors.tolerance = all\n");
    let config = read(&file, &[]).unwrap();
    let lines = |reports: &[KeyReport]| reports.iter().map(|r| r.at.line).collect::<Vec<_>>();
    assert_eq!(lines(config.unknown_keys()), [Some(6), Some(7)]);
    assert_eq!(lines(config.ignored_keys()), [Some(8), Some(9)]);
}

proptest::proptest! {
    #[test]
    fn no_file_panics(lines in proptest::collection::vec(
        "(A|B|A->B|B->A|x|\\$\\{a:b\\})?\\.?(clusters|topics|enabled|bootstrap\\.servers|name|\
         replication\\.(factor|policy\\.separator)|emit\\.heartbeats\\.interval\\.seconds)\
         = ?([ -~]{0,6}|true|-1|a:1)", 0..8)) {
        let file = format!("{ONE_FLOW}{}\n", lines.join("\n"));
        if let Ok(properties) = Properties::parse(file.as_bytes()) {
            drop(MirrorConfig::read(properties, &[]));
        }
    }
}
