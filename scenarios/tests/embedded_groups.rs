//! Groups of the embedded cluster and librdkafka: members, rebalances, offsets, in both protocols.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use embedded::{EmbeddedCluster, Settings};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use scenarios::KafkaClient;
use scenarios::client::numbered;

const PATIENCE: Duration = Duration::from_secs(30);

/// A step of polling.
const TICK: Duration = Duration::from_millis(20);

/// Both group protocols of KIP-848.
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

fn cluster(brokers: i32) -> EmbeddedCluster {
    let properties = [
        ("group.initial.rebalance.delay.ms", "0"),
        ("group.consumer.heartbeat.interval.ms", "100"),
        ("group.min.session.timeout.ms", "1000"),
    ];
    let settings = Settings {
        brokers,
        properties: properties
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..Settings::default()
    };
    EmbeddedCluster::start_with(settings).unwrap()
}

fn consumer(cluster: &EmbeddedCluster, group: &str, protocol: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", group)
        .set("group.protocol", protocol)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    if protocol == "classic" {
        config.set("session.timeout.ms", "6000");
        config.set("heartbeat.interval.ms", "100");
    }
    config.create().unwrap()
}

/// Polls all until `done` or the deadline; counts records by consumer.
fn poll(what: &str, consumers: &[&BaseConsumer], mut done: impl FnMut(&[usize]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut counts = vec![0; consumers.len()];
    while !done(&counts) {
        assert!(
            Instant::now() < deadline,
            "{what}: {counts:?} records in {PATIENCE:?}"
        );
        for (consumer, count) in consumers.iter().zip(&mut counts) {
            match consumer.poll(TICK) {
                Some(Ok(_)) => *count += 1,
                Some(Err(error)) => println!("{what}: {error}"),
                None => {}
            }
        }
    }
}

fn assigned(consumer: &BaseConsumer) -> usize {
    consumer.assignment().map_or(0, |list| list.count())
}

fn filled(brokers: i32) -> (EmbeddedCluster, KafkaClient) {
    let cluster = cluster(brokers);
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("t", 4, 1, &[]).unwrap();
    client.produce("t", &numbered(0..400, 4, 1)).unwrap();
    (cluster, client)
}

/// Goal: two consumers share a topic, one leaves and the other has all; what was committed is where the next one begins.
#[test]
fn two_consumers_share_commit_and_leave() {
    for protocol in PROTOCOLS {
        let (cluster, client) = filled(3);
        let first = consumer(&cluster, "g", protocol);
        first.subscribe(&["t"]).unwrap();
        poll("alone", &[&first], |counts| counts[0] == 400);
        assert_eq!(assigned(&first), 4, "{protocol}");
        first.commit_consumer_state(CommitMode::Sync).unwrap();
        let committed = client.committed("g", "t").unwrap();
        assert_eq!(committed.values().sum::<i64>(), 400, "{protocol}");

        let second = consumer(&cluster, "g", protocol);
        second.subscribe(&["t"]).unwrap();
        let shared = |_: &[usize]| assigned(&first) == 2 && assigned(&second) == 2;
        poll("sharing", &[&first, &second], shared);
        client.produce("t", &numbered(400..800, 4, 1)).unwrap();
        poll("both", &[&first, &second], |counts| counts == [200, 200]);
        second.commit_consumer_state(CommitMode::Sync).unwrap();
        drop(first);
        // What the first read and did not commit is read again, by the second.
        poll("rest", &[&second], |counts| counts[0] == 200);
        assert_eq!(assigned(&second), 4);
        second.commit_consumer_state(CommitMode::Sync).unwrap();
        let committed = client.committed("g", "t").unwrap();
        let expected: BTreeMap<i32, i64> = (0..4).map(|partition| (partition, 200)).collect();
        assert_eq!(committed, expected, "{protocol}");
    }
}

/// Goal: a position that a member moved to is kept, and a commit is where a new member starts.
#[test]
fn seeking_and_starting_from_a_commit() {
    for protocol in PROTOCOLS {
        let (cluster, client) = filled(1);
        client
            .commit_offsets("g", "t", &[(0, 90), (1, 100), (2, 100), (3, 100)])
            .unwrap();
        let member = consumer(&cluster, "g", protocol);
        member.subscribe(&["t"]).unwrap();
        poll("from the commit", &[&member], |counts| counts[0] == 10);
        member.seek("t", 1, Offset::Offset(95), PATIENCE).unwrap();
        poll("from the seek", &[&member], |counts| counts[0] == 5);
    }
}

/// Goal: nobody commits into a group with members from outside; without members everybody may (docs/spec/real-kafka.md 8).
#[test]
fn section_8_simple_commits() {
    for protocol in PROTOCOLS {
        let (cluster, client) = filled(1);
        client.commit_offsets("g", "t", &[(0, 1)]).unwrap();
        let member = consumer(&cluster, "g", protocol);
        member.subscribe(&["t"]).unwrap();
        poll("joining", &[&member], |counts| counts[0] > 0);
        let refused = client.commit_offsets("g", "t", &[(0, 2)]).unwrap_err();
        let text = format!("{refused:?}");
        assert!(text.contains("UnknownMemberId"), "{protocol}: {text}");
        drop(member);
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = client.commit_offsets("g", "t", &[(0, 2)]) {
            assert!(Instant::now() < deadline, "{protocol}: {error:?}");
        }
        assert_eq!(client.committed("g", "t").unwrap()[&0], 2);
    }
}

/// Goal: a group goes from one protocol to the other when it is empty, with its offsets.
#[test]
fn an_empty_group_changes_its_kind() {
    let (cluster, _client) = filled(1);
    for protocol in ["classic", "consumer", "classic", "consumer"] {
        let member = consumer(&cluster, "g", protocol);
        member.subscribe(&["t"]).unwrap();
        poll("joining", &[&member], |_| assigned(&member) == 4);
        drop(member);
    }
}

/// Goal: a subscription by regex (RE2, in the broker) finds topics, also later ones.
#[test]
fn a_pattern_finds_topics_that_come_later() {
    for protocol in PROTOCOLS {
        let (cluster, client) = filled(1);
        client.create_topic("other", 2, 1, &[]).unwrap();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap())
            .set("group.id", "g")
            .set("group.protocol", protocol)
            .set("topic.metadata.refresh.interval.ms", "200");
        let member: BaseConsumer = config.create().unwrap();
        member.subscribe(&["^t.*"]).unwrap();
        poll("first", &[&member], |_| assigned(&member) == 4);
        client.create_topic("t-later", 3, 1, &[]).unwrap();
        poll("later", &[&member], |_| assigned(&member) == 7);
    }
}

/// Goal: groups are listed with state and members, and deleted when nobody is in them.
#[test]
fn groups_are_listed_and_deleted() {
    for protocol in PROTOCOLS {
        let (cluster, client) = filled(3);
        let member = consumer(&cluster, "g", protocol);
        member.subscribe(&["t"]).unwrap();
        poll("joining", &[&member], |_| assigned(&member) == 4);
        client.commit_offsets("simple", "t", &[(0, 1)]).unwrap();
        if protocol == "classic" {
            let listed = member.fetch_group_list(None, PATIENCE).unwrap();
            let mut states: Vec<(&str, &str, usize)> = listed
                .groups()
                .iter()
                .map(|group| (group.name(), group.state(), group.members().len()))
                .collect();
            states.sort_unstable();
            assert_eq!(states, [("g", "Stable", 1), ("simple", "Empty", 0)]);
        }
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .create()
            .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let delete = |group: &str| {
            let options = AdminOptions::new();
            let deleted = runtime.block_on(admin.delete_groups(&[group], &options));
            deleted.unwrap().remove(0).map_err(|(_, code)| code)
        };
        assert_eq!(delete("g"), Err(RDKafkaErrorCode::NonEmptyGroup));
        assert_eq!(delete("none"), Err(RDKafkaErrorCode::GroupIdNotFound));
        assert_eq!(delete("simple"), Ok("simple".to_owned()));
        drop(member);
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = delete("g") {
            assert!(Instant::now() < deadline, "{protocol}: {error:?}");
        }
        assert_eq!(client.committed("g", "t").unwrap(), BTreeMap::new());
    }
}

/// Goal: offsets that are part of a transaction count with its commit, not with its abort.
#[test]
fn offsets_in_transactions() {
    let (cluster, client) = filled(3);
    let member = consumer(&cluster, "g", "classic");
    member.subscribe(&["t"]).unwrap();
    poll("joining", &[&member], |_| assigned(&member) == 4);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .set("transactional.id", "x")
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    for (offset, commit) in [(10, true), (20, false), (30, true)] {
        producer.begin_transaction().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets
            .add_partition_offset("t", 2, Offset::Offset(offset))
            .unwrap();
        let group = member.group_metadata().unwrap();
        producer
            .send_offsets_to_transaction(&offsets, &group, PATIENCE)
            .unwrap();
        if commit {
            producer.commit_transaction(PATIENCE).unwrap();
        } else {
            producer.abort_transaction(PATIENCE).unwrap();
        }
        let expected = if offset == 20 { 10 } else { offset };
        // librdkafka asks for stable offsets, so this waits for the marker.
        assert_eq!(client.committed("g", "t").unwrap()[&2], expected);
    }
}

/// Goal: a deleted topic takes its offsets along; one of the same name begins without (docs/spec/real-kafka.md 8).
#[test]
fn section_8_a_deleted_topic_takes_its_offsets_along() {
    let (_cluster, client) = filled(1);
    client.create_topic("other", 1, 1, &[]).unwrap();
    client.commit_offsets("g", "t", &[(0, 1)]).unwrap();
    client.commit_offsets("g", "other", &[(0, 2)]).unwrap();
    client.delete_topic("t").unwrap();
    client.create_topic("t", 4, 1, &[]).unwrap();
    assert_eq!(client.committed("g", "t").unwrap(), BTreeMap::new());
    assert_eq!(client.committed("g", "other").unwrap()[&0], 2);
}
