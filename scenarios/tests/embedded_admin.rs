//! The admin side of embedded clusters, seen by an independent client (librdkafka).

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::time::Duration;

use embedded::{Clock, EmbeddedCluster, Settings};
use rdkafka::ClientConfig;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use scenarios::await_that;

const PATIENCE: Duration = Duration::from_secs(20);

struct Client {
    runtime: tokio::runtime::Runtime,
    admin: AdminClient<DefaultClientContext>,
    config: ClientConfig,
}

fn client(cluster: &EmbeddedCluster) -> Client {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Client {
        runtime: runtime.unwrap(),
        admin: config.create().unwrap(),
        config,
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(PATIENCE))
        .request_timeout(Some(PATIENCE))
}

impl Client {
    fn create(&self, topic: &NewTopic<'_>) -> Result<String, (String, RDKafkaErrorCode)> {
        let created = self.admin.create_topics([topic], &options());
        self.runtime.block_on(created).unwrap().remove(0)
    }

    fn partitions(&self, topic: &str) -> usize {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(Some(topic), PATIENCE)
            .unwrap();
        metadata
            .topics()
            .first()
            .map_or(0, |topic| topic.partitions().len())
    }

    /// Value and source (by name) of a topic's entry.
    fn entry(&self, topic: &str, name: &str) -> (Option<String>, String) {
        let resource = ResourceSpecifier::Topic(topic);
        let described = self.admin.describe_configs([&resource], &options());
        let described = self.runtime.block_on(described).unwrap().remove(0).unwrap();
        let entry = described.get(name).unwrap();
        (entry.value.clone(), format!("{:?}", entry.source))
    }

    fn write(&self, topic: &str, records: usize) {
        let producer: BaseProducer = self.config.create().unwrap();
        for index in 0..records {
            let key = index.to_string();
            let record = BaseRecord::to(topic).partition(0).key(&key).payload("v");
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    fn watermarks(&self, topic: &str) -> (i64, i64) {
        let consumer: BaseConsumer = self.config.create().unwrap();
        consumer.fetch_watermarks(topic, 0, PATIENCE).unwrap()
    }
}

#[test]
fn topics_are_created_grown_and_deleted() {
    let cluster = EmbeddedCluster::start(3).unwrap();
    let client = client(&cluster);
    let orders = NewTopic::new("orders", 3, TopicReplication::Fixed(3)).set("retention.ms", "5000");
    client.create(&orders).unwrap();
    assert_eq!(client.partitions("orders"), 3);
    assert_eq!(
        client.create(&orders).unwrap_err().1,
        RDKafkaErrorCode::TopicAlreadyExists
    );
    let collides = NewTopic::new("orders.x", 1, TopicReplication::Fixed(4));
    assert_eq!(
        client.create(&collides).unwrap_err().1,
        RDKafkaErrorCode::InvalidReplicationFactor
    );
    let nonsense = NewTopic::new("n", 1, TopicReplication::Fixed(1)).set("nonsense", "1");
    assert_eq!(
        client.create(&nonsense).unwrap_err().1,
        RDKafkaErrorCode::InvalidConfig
    );

    let five = NewPartitions::new("orders", 5);
    let grown = client.admin.create_partitions([&five], &options());
    client.runtime.block_on(grown).unwrap().remove(0).unwrap();
    assert_eq!(client.partitions("orders"), 5);

    let deleted = client.admin.delete_topics(&["orders", "nope"], &options());
    let deleted = client.runtime.block_on(deleted).unwrap();
    let codes: Vec<_> = deleted
        .into_iter()
        .map(|result| result.map_err(|(_, code)| code))
        .collect();
    assert!(codes.contains(&Ok("orders".to_owned())), "{codes:?}");
    assert!(
        codes.contains(&Err(RDKafkaErrorCode::UnknownTopicOrPartition)),
        "{codes:?}"
    );
    await_that("orders is gone", PATIENCE, || {
        client.partitions("orders") == 0
    })
    .unwrap();
}

#[test]
fn configurations_are_described_and_changed() {
    let properties = [("log.retention.ms".to_owned(), "777".to_owned())];
    let cluster = EmbeddedCluster::start_with(Settings {
        properties: properties.into(),
        ..Settings::default()
    })
    .unwrap();
    let client = client(&cluster);
    client
        .create(&NewTopic::new("t", 1, TopicReplication::Fixed(1)))
        .unwrap();
    let behind = (Some("777".to_owned()), "StaticBroker".to_owned());
    assert_eq!(client.entry("t", "retention.ms"), behind);
    let change = AlterConfig::new(ResourceSpecifier::Topic("t")).set("retention.ms", "888");
    let changed = client.admin.alter_configs([&change], &options());
    client.runtime.block_on(changed).unwrap().remove(0).unwrap();
    let own = (Some("888".to_owned()), "DynamicTopic".to_owned());
    assert_eq!(client.entry("t", "retention.ms"), own);
}

#[test]
fn a_topic_comes_on_sight_unless_forbidden() {
    let cluster = EmbeddedCluster::start(1).unwrap();
    let client = client(&cluster);
    client.write("seen", 1);
    assert_eq!(client.partitions("seen"), 1);
}

#[test]
fn records_leave_by_request_and_by_age() {
    let clock = Clock::owned(1_800_000_000_000);
    let cluster = EmbeddedCluster::start_with(Settings {
        clock: clock.clone(),
        ..Settings::default()
    })
    .unwrap();
    let client = client(&cluster);
    let topic = NewTopic::new("t", 1, TopicReplication::Fixed(1))
        .set("retention.ms", "600000")
        .set("message.timestamp.type", "LogAppendTime");
    client.create(&topic).unwrap();
    client.write("t", 10);
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset("t", 0, Offset::Offset(4))
        .unwrap();
    let deleted = client.admin.delete_records(&before, &options());
    client.runtime.block_on(deleted).unwrap();
    assert_eq!(client.watermarks("t"), (4, 10));
    // A broker looks every five minutes.
    clock.advance(Duration::from_secs(301));
    assert_eq!(client.watermarks("t"), (4, 10));
    clock.advance(Duration::from_secs(301));
    await_that("old records are gone", PATIENCE, || {
        client.watermarks("t") == (10, 10)
    })
    .unwrap();
}
