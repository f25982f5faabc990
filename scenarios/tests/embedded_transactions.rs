//! Transactions of the embedded cluster and librdkafka, whose transactional producer knows nothing of how they are made.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use embedded::{EmbeddedCluster, Settings};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use scenarios::client::{Isolation, numbered, tally, unique};
use scenarios::{KafkaClient, Kind};

const PATIENCE: Duration = Duration::from_secs(30);

/// What is true of any Kafka cluster: the functions below, by the bootstrap address of a cluster of one broker.
const TRUE_ANYWHERE: [fn(&str); 3] = [
    only_committed_records_are_read,
    a_second_owner_fences_the_first,
    offsets_share_the_fate_of_their_transaction,
];

/// Goal: the embedded cluster does to a transactional producer what Kafka does.
#[test]
fn librdkafka_transacts_with_the_embedded_cluster() {
    let cluster = EmbeddedCluster::start(1).unwrap();
    for test in TRUE_ANYWHERE {
        test(&cluster.bootstrap());
    }
}

/// The same with a cluster that still has `transaction.version` 0.
#[test]
fn librdkafka_transacts_with_transaction_version_0() {
    let cluster = start(1, &[("transaction.version", "0")]);
    for test in TRUE_ANYWHERE {
        test(&cluster.bootstrap());
    }
}

/// Goal: what the other tests expect is what Kafka does.
#[test]
fn real_kafka_agrees() {
    let pair = Kind::Real.shared_pair().unwrap();
    let bootstrap = pair.east.client().unwrap().bootstrap().to_owned();
    for test in TRUE_ANYWHERE {
        test(&bootstrap);
    }
}

fn start(brokers: i32, properties: &[(&str, &str)]) -> EmbeddedCluster {
    let properties = properties
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    EmbeddedCluster::start_with(Settings {
        brokers,
        properties: properties.collect(),
        ..Settings::default()
    })
    .unwrap()
}

/// Waits until the partitions can be read up to these offsets, markers included.
fn await_ends(client: &KafkaClient, topic: &str, ends: &[i64]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = client.end_offsets(topic).unwrap();
        if found == ends {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} instead of {ends:?}");
    }
}

fn only_committed_records_are_read(bootstrap: &str) {
    let client = KafkaClient::connect(bootstrap).unwrap();
    let topic = unique("transactions");
    client.create_topic(&topic, 2, 1, &[]).unwrap();
    let writer = client.transactional(&topic).unwrap();
    for (ids, commit) in [(0..10, true), (10..20, false), (20..30, true)] {
        writer.begin().unwrap();
        writer.produce(&topic, &numbered(ids, 2, 20)).unwrap();
        if commit {
            writer.commit().unwrap();
        } else {
            writer.abort().unwrap();
        }
    }
    let read = |isolation| client.read_all(&topic, isolation, PATIENCE).unwrap();
    assert!(tally(&read(Isolation::ReadUncommitted), 0..30).is_exact());
    let committed = tally(&read(Isolation::ReadCommitted), 0..30);
    assert_eq!(
        (committed.found, committed.first_lost),
        (20, Some(10)),
        "{committed}"
    );
    // Ten records of each transaction over two partitions, and three markers.
    assert_eq!(client.end_offsets(&topic).unwrap(), [18, 18]);
}

fn a_second_owner_fences_the_first(bootstrap: &str) {
    let client = KafkaClient::connect(bootstrap).unwrap();
    let topic = unique("fenced");
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let first = client.transactional(&topic).unwrap();
    first.begin().unwrap();
    first.produce(&topic, &numbered(0..5, 1, 20)).unwrap();
    let second = client.transactional(&topic).unwrap();
    let refused = format!("{:?}", first.commit().unwrap_err());
    assert!(refused.to_lowercase().contains("fenced"), "{refused}");
    second.begin().unwrap();
    second.produce(&topic, &numbered(5..10, 1, 20)).unwrap();
    second.commit().unwrap();
    let read = client.read_all(&topic, Isolation::ReadCommitted, PATIENCE);
    let committed = tally(&read.unwrap(), 0..10);
    assert_eq!((committed.found, committed.lost), (5, 5), "{committed}");
}

fn offsets_share_the_fate_of_their_transaction(bootstrap: &str) {
    let client = KafkaClient::connect(bootstrap).unwrap();
    let (topic, group) = (unique("offsets"), unique("group"));
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let consumer: BaseConsumer = config.clone().set("group.id", &group).create().unwrap();
    let producer: BaseProducer = config.set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let mut committed = BTreeMap::new();
    for (offset, commit) in [(7, true), (9, false), (11, true)] {
        producer.begin_transaction().unwrap();
        let record = BaseRecord::<(), str>::to(&topic).payload("value");
        producer.send(record).unwrap();
        producer.flush(PATIENCE).unwrap();
        let mut offsets = TopicPartitionList::new();
        let next = Offset::Offset(offset);
        offsets.add_partition_offset(&topic, 0, next).unwrap();
        let members = consumer.group_metadata().unwrap();
        producer
            .send_offsets_to_transaction(&offsets, &members, PATIENCE)
            .unwrap();
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
            committed.insert(0, offset);
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        // Asks for stable offsets: it waits for the group's marker.
        assert_eq!(client.committed(&group, &topic).unwrap(), committed);
    }
}

/// Goal: what a crashed producer left open holds readers up until its timeout, and is then aborted.
#[test]
fn an_abandoned_transaction_is_aborted_when_its_time_is_up() {
    let properties = [(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "100",
    )];
    let cluster = start(1, &properties);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("open", 1, 1, &[]).unwrap();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "abandoned")
        .set("transaction.timeout.ms", "5000");
    let producer: BaseProducer = config.create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    let lost = BaseRecord::<(), str>::to("open").payload("never committed");
    producer.send(lost).unwrap();
    producer.flush(PATIENCE).unwrap();
    drop(producer);
    client.produce("open", &numbered(10..20, 1, 20)).unwrap();
    assert_eq!(client.end_offsets("open").unwrap(), [0], "stable so far");
    await_ends(&client, "open", &[12]);
    let read = client.read_all("open", Isolation::ReadCommitted, PATIENCE);
    let committed = tally(&read.unwrap(), 10..20);
    assert!(committed.is_exact(), "{committed}");
}

/// Goal: a transaction outlives its coordinator and the leader of its partition, whichever broker they are.
#[test]
fn a_transaction_outlives_each_broker() {
    let properties = [("broker.session.timeout.ms", "500")];
    let cluster = start(3, &properties);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("replicated", 3, 3, &[]).unwrap();
    let writer = client.transactional("survivor").unwrap();
    for (round, node_id) in (0..).zip(cluster.node_ids()) {
        let ids = round * 30..(round + 1) * 30;
        writer.begin().unwrap();
        writer.produce("replicated", &numbered(ids, 3, 20)).unwrap();
        let broker = cluster.broker(node_id).unwrap();
        broker.kill();
        writer.commit().unwrap();
        broker.start().unwrap();
    }
    // The last commit was answered before partitions that had lost their leader got the marker.
    await_ends(&client, "replicated", &[33; 3]);
    let read = client.read_all("replicated", Isolation::ReadCommitted, PATIENCE);
    let committed = tally(&read.unwrap(), 0..90);
    assert!(committed.is_exact(), "{committed}");
}
