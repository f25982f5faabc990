//! Faults of the embedded cluster, seen by librdkafka: it gets through them, and what it was told is true.
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

#[path = "embedded_faults/effects.rs"]
mod effects;
#[path = "embedded_faults/quota.rs"]
mod quota;

use std::time::Duration;

use embedded::{After, ApiKey, Effect, EmbeddedCluster, Fault, ResponseError, Settings};
use scenarios::KafkaClient;
use scenarios::client::{Isolation, WriteOptions, numbered, tally};

const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster whose dead brokers are noticed after a second, and a client of it.
fn cluster(brokers: i32) -> (EmbeddedCluster, KafkaClient) {
    let mut settings = Settings {
        brokers,
        ..Settings::default()
    };
    let timeout = ("broker.session.timeout.ms".to_owned(), "1000".to_owned());
    // The numbered records are of 2023: Kafka's default of a week would have them expire within a second.
    let keep = ("log.retention.ms".to_owned(), "-1".to_owned());
    settings.properties.extend([timeout, keep]);
    let cluster = EmbeddedCluster::start_with(settings).unwrap();
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    (cluster, client)
}

/// Goal: an idempotent producer gets through crashes, shutdowns, lost answers, resets and errors with every record exactly once.
/// Method: one thread writes in small batches while brokers and faults come and go; at the end every id is there once, in order.
#[test]
fn an_idempotent_producer_survives_crashes_and_lost_answers() {
    let (cluster, client) = cluster(3);
    client.create_topic("orders", 3, 3, &[]).unwrap();
    let records = numbered(0..6_000, 3, 100);
    let options = WriteOptions {
        batch_records_max: 10,
        linger_ms: 1,
        ..WriteOptions::default()
    };
    let lost = cluster.inject(
        Fault::new(Effect::LoseAnswer(After::Closed))
            .on_api(ApiKey::Produce)
            .times(4),
    );
    let refused = cluster.inject(
        Fault::new(Effect::Error(ResponseError::NotLeaderOrFollower))
            .on_partition("orders", 1)
            .on_api(ApiKey::Produce)
            .times(5),
    );
    let reset = cluster.inject(Fault::new(Effect::Reset).on_api(ApiKey::Produce).times(6));
    let delay =
        cluster.inject(Fault::new(Effect::Delay(Duration::from_millis(5))).on_api(ApiKey::Produce));
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| client.produce_with("orders", &records, options));
        let (leader, _) = cluster.leader("orders", 0).unwrap();
        let leader = cluster.broker(leader).unwrap();
        leader.kill();
        scenarios::await_that("another leader", PATIENCE, || {
            cluster.leader("orders", 0).unwrap().0 != leader.node_id()
        })
        .unwrap();
        leader.start().unwrap();
        let (next, _) = cluster.leader("orders", 0).unwrap();
        cluster.broker(next).unwrap().restart().unwrap();
        writing.join().unwrap().unwrap();
    });
    assert_eq!((lost.hits(), refused.hits(), reset.hits()), (4, 5, 6));
    assert!(delay.hits() > 100, "{} answers were late", delay.hits());
    let read = client
        .read_all("orders", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    let tally = tally(&read, 0..6_000);
    assert!(tally.is_exact(), "{tally}");
}

/// Goal: a producer without sequences doubles what an answer was lost for: the fault is real, and the tally sees it.
#[test]
fn a_lost_answer_doubles_records_of_a_plain_producer() {
    let (cluster, client) = cluster(1);
    client.create_topic("plain", 1, 1, &[]).unwrap();
    let fault = Fault::new(Effect::LoseAnswer(After::Closed)).on_api(ApiKey::Produce);
    let handle = cluster.inject(fault.times(1));
    let options = WriteOptions {
        idempotent: false,
        ..WriteOptions::default()
    };
    client
        .produce_with("plain", &numbered(0..100, 1, 100), options)
        .unwrap();
    assert_eq!(handle.hits(), 1);
    let read = client
        .read_all("plain", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    let tally = tally(&read, 0..100);
    assert!(tally.doubled > 0 && tally.lost == 0, "{tally}");
}

/// Goal: a reader gets through a narrow line, throttling, errors and damage on the way.
#[test]
fn a_reader_survives_throttling_and_damage() {
    let (cluster, client) = cluster(1);
    client.create_topic("read", 2, 1, &[]).unwrap();
    client.produce("read", &numbered(0..2_000, 2, 100)).unwrap();
    let fetch = |effect| Fault::new(effect).on_api(ApiKey::Fetch);
    let throttled = cluster.inject(
        fetch(Effect::Throttle {
            ms: 100,
            mute: true,
        })
        .times(2),
    );
    let narrow = cluster.inject(fetch(Effect::Bandwidth(500_000)));
    let error = Effect::Error(ResponseError::NotLeaderOrFollower);
    let refused = cluster.inject(fetch(error).on_partition("read", 1).times(2));
    let read = client
        .read_all("read", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    let tally = tally(&read, 0..2_000);
    assert!(tally.is_exact(), "{tally}");
    assert_eq!((throttled.hits(), refused.hits()), (2, 2));
    assert!(narrow.hits() > 2);
}

/// Goal: damage of the log is found by a reader that checks sums.
#[test]
fn a_damaged_log_is_noticed() {
    let (cluster, client) = cluster(1);
    client.create_topic("bad", 1, 1, &[]).unwrap();
    client.produce("bad", &numbered(0..10, 1, 100)).unwrap();
    cluster.corrupt("bad", 0, 3).unwrap();
    let read = client.read_all("bad", Isolation::ReadCommitted, Duration::from_secs(3));
    assert!(
        read.is_err(),
        "ten records with a wrong checksum were taken"
    );
}
