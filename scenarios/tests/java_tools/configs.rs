//! `kafka-configs`.

use scenarios::kafka::Finished;

use crate::{Tools, three_brokers};

const TOOL: &str = "kafka.admin.ConfigCommand";

#[test]
fn configs_of_topics_brokers_and_others_are_added_described_and_deleted() {
    let cluster = three_brokers();
    let tools = Tools::of(&cluster);
    tools.ok("TopicCommand", "--create --topic orders");
    let topic = "--entity-type topics --entity-name orders";
    let add = "--alter --add-config retention.ms=5000,cleanup.policy=[compact,delete]";
    let added = tools.ok(TOOL, &format!("{add} {topic}"));
    assert!(added.contains("Completed updating config for topic orders."));
    let described = tools.ok(TOOL, &format!("--describe {topic}"));
    for line in [
        "cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:cleanup.policy=compact,delete, \
         DEFAULT_CONFIG:log.cleanup.policy=delete}",
        "retention.ms=5000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=5000, \
         STATIC_BROKER_CONFIG:log.retention.ms=-1, DEFAULT_CONFIG:log.retention.hours=168}",
    ] {
        assert!(described.contains(line), "{line} in {described}");
    }
    tools.ok(
        TOOL,
        &format!("--alter --delete-config retention.ms {topic}"),
    );
    let all = tools.ok(TOOL, &format!("--describe --all {topic}"));
    assert!(all.contains("retention.ms=-1 sensitive=false synonyms={STATIC_BROKER_CONFIG:"));
    assert!(all.contains("max.message.bytes=1048588 sensitive=false"));
    let wrong = tools.fails(
        TOOL,
        &format!("--alter --add-config retention.ms=abc {topic}"),
    );
    assert!(
        wrong.contains(
            "Invalid value abc for configuration retention.ms: Not a number of type LONG"
        )
    );

    for (entity, add, name, described) in [
        (
            "brokers --entity-name 1",
            "log.cleaner.threads=2",
            "log.cleaner.threads",
            "log.cleaner.threads=2 sensitive=false \
          synonyms={DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2, DEFAULT_CONFIG:log.cleaner.threads=1}",
        ),
        (
            "brokers --entity-default",
            "message.max.bytes=2000000",
            "message.max.bytes",
            "message.max.bytes=2000000 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=2000000}",
        ),
        (
            "groups --entity-name readers",
            "consumer.heartbeat.interval.ms=6000",
            "consumer.heartbeat.interval.ms",
            "DYNAMIC_GROUP_CONFIG:consumer.heartbeat.interval.ms=6000",
        ),
        (
            "users --entity-name bob --entity-type clients --entity-name app",
            "consumer_byte_rate=2048",
            "consumer_byte_rate",
            "Quota configs for user-principal 'bob', client-id 'app' are consumer_byte_rate=2048.0",
        ),
        (
            "users --entity-name carol",
            "SCRAM-SHA-256=[iterations=5000,password=new]",
            "SCRAM-SHA-256",
            "SCRAM credential configs for user-principal 'carol' are SCRAM-SHA-256=iterations=5000",
        ),
    ] {
        tools.ok(
            TOOL,
            &format!("--alter --add-config {add} --entity-type {entity}"),
        );
        let found = tools.ok(TOOL, &format!("--describe --entity-type {entity}"));
        assert!(found.contains(described), "{described} in {found}");
        tools.ok(
            TOOL,
            &format!("--alter --delete-config {name} --entity-type {entity}"),
        );
        let Finished { output, .. } =
            tools.run(TOOL, &format!("--describe --entity-type {entity}"));
        assert!(!output.contains(described), "{output}");
    }
}
