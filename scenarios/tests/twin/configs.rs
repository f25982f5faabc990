//! Configs of topics: set, append, subtract, delete, describe.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::Message;

use crate::random::{Random, Topic};
use crate::world::{Operation, World, text};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

/// Key, operation, value. Nothing here deletes records in the background or rolls segments by the clock:
/// that would make answers depend on time.
const CHANGES: &[(&str, i8, Option<&str>)] = &[
    ("retention.ms", SET, Some("999999999999")),
    ("retention.ms", SET, Some("-1")),
    ("retention.ms", DELETE, Some("")),
    ("retention.ms", DELETE, None),
    ("retention.ms", SET, None),
    ("retention.ms", SET, Some("")),
    ("retention.ms", SET, Some("soon")),
    ("retention.ms", SET, Some("-2")),
    ("retention.ms", SET, Some(" 999999999998 ")),
    ("retention.ms", APPEND, Some("1")),
    ("retention.bytes", SET, Some("99999999999999999999")),
    ("retention.bytes", SET, Some("1000000000")),
    ("max.message.bytes", SET, Some("1200")),
    ("max.message.bytes", SET, Some("300")),
    ("max.message.bytes", SET, Some("-1")),
    ("max.message.bytes", DELETE, None),
    ("cleanup.policy", SET, Some("compact")),
    ("cleanup.policy", SET, Some("compact,delete")),
    ("cleanup.policy", SET, Some("")),
    ("cleanup.policy", SET, Some("shred")),
    ("cleanup.policy", SET, Some("DELETE")),
    ("cleanup.policy", APPEND, Some("compact")),
    ("cleanup.policy", APPEND, Some("delete")),
    ("cleanup.policy", APPEND, Some("shred")),
    ("cleanup.policy", SUBTRACT, Some("compact")),
    ("cleanup.policy", SUBTRACT, Some("delete")),
    ("cleanup.policy", DELETE, None),
    ("message.timestamp.type", SET, Some("LogAppendTime")),
    ("message.timestamp.type", SET, Some("CreateTime")),
    ("message.timestamp.type", SET, Some("never")),
    ("message.timestamp.before.max.ms", SET, Some("86400000")),
    (
        "message.timestamp.after.max.ms",
        SET,
        Some("9223372036854775807"),
    ),
    ("message.timestamp.after.max.ms", DELETE, None),
    ("compression.type", SET, Some("uncompressed")),
    ("compression.type", SET, Some("producer")),
    ("compression.type", SET, Some("zip")),
    ("min.insync.replicas", SET, Some("2")),
    ("min.insync.replicas", SET, Some("1")),
    ("min.insync.replicas", SET, Some("0")),
    ("min.insync.replicas", DELETE, None),
    ("min.cleanable.dirty.ratio", SET, Some("0.7")),
    ("min.cleanable.dirty.ratio", SET, Some("1.5")),
    ("unclean.leader.election.enable", SET, Some("true")),
    ("unclean.leader.election.enable", SET, Some("maybe")),
    ("segment.bytes", SET, Some("1000")),
    ("segment.bytes", SET, Some("10485760")),
    ("leader.replication.throttled.replicas", APPEND, Some("0:1")),
    ("leader.replication.throttled.replicas", SET, Some("*")),
    ("leader.replication.throttled.replicas", SET, Some("x")),
    ("remote.storage.enable", SET, Some("true")),
    ("message.format.version", SET, Some("3.0")),
    ("no.such.key", SET, Some("1")),
    ("no.such.key", DELETE, None),
    ("", SET, Some("1")),
    ("retention.ms", 7, Some("1")),
];

#[derive(Clone, Debug)]
pub(crate) struct AlterConfigs {
    version: i16,
    resource_type: i8,
    topic: Topic,
    changes: Vec<(&'static str, i8, Option<&'static str>)>,
    twice: bool,
    validate_only: bool,
}

impl AlterConfigs {
    pub(crate) fn random(random: &mut Random) -> Self {
        let count = random.or(1, 25, &[0, 2, 3]);
        let topic = random.topic();
        Self {
            version: random.version(IncrementalAlterConfigsRequest::VERSIONS),
            resource_type: random.or(2, 4, &[1, 0, 3]),
            topic: random.or(topic, 6, &[Topic::Named(""), Topic::Named("a b")]),
            changes: (0..count).map(|_| random.of(CHANGES)).collect(),
            twice: random.chance(4),
            validate_only: random.chance(15),
        }
    }
}

impl Operation for AlterConfigs {
    fn run(&self, world: &mut World) -> String {
        let change = |(name, operation, value): &(&str, i8, Option<&str>)| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(*operation)
                .with_value(value.map(text))
        };
        let resource = AlterConfigsResource::default()
            .with_resource_type(self.resource_type)
            .with_resource_name(text(&world.topic(self.topic)))
            .with_configs(self.changes.iter().map(change).collect());
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(vec![resource; if self.twice { 2 } else { 1 }])
            .with_validate_only(self.validate_only);
        let text = world.ask(self.version, &request).1;
        world.settle_metadata();
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DescribeConfigs {
    version: i16,
    resource_type: i8,
    topic: Topic,
    keys: Option<Vec<&'static str>>,
    synonyms: bool,
}

impl DescribeConfigs {
    pub(crate) fn random(random: &mut Random) -> Self {
        let keys = match random.below(4) {
            0 => Some(vec!["retention.ms", "cleanup.policy", "no.such.key"]),
            1 => Some(vec!["max.message.bytes"]),
            2 => Some(vec![]),
            _ => None,
        };
        let topic = random.topic();
        Self {
            version: random.version(DescribeConfigsRequest::VERSIONS),
            resource_type: random.or(2, 4, &[0, 3]),
            topic: random.or(topic, 10, &[Topic::Named(""), Topic::Named("a b")]),
            keys,
            synonyms: random.chance(40),
        }
    }
}

impl Operation for DescribeConfigs {
    fn run(&self, world: &mut World) -> String {
        let keys = self
            .keys
            .as_ref()
            .map(|keys| keys.iter().map(|key| text(key)).collect());
        let resource = DescribeConfigsResource::default()
            .with_resource_type(self.resource_type)
            .with_resource_name(text(&world.topic(self.topic)))
            .with_configuration_keys(keys);
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(self.synonyms);
        world.ask(self.version, &request).1
    }
}
