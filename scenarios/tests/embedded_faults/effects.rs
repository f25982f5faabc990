//! What each fault looks like to librdkafka, that it counts its hits, and that it ends.

use std::time::{Duration, Instant};

use embedded::{After, ApiKey, Effect, Fault, ResponseError};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use scenarios::client::{Isolation, WriteOptions, numbered, tally};
use scenarios::raw::RawError;
use scenarios::{KafkaClient, RawClient};

use super::{PATIENCE, cluster};

/// How long an impatient client waits for one answer.
const IMPATIENT: Duration = Duration::from_millis(1_500);

/// A client that gives up early.
fn impatient(bootstrap: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "impatient");
    config
        .set("socket.timeout.ms", "1000")
        .set("reconnect.backoff.max.ms", "100");
    config.create().unwrap()
}

/// The code behind a refusal.
fn code<T>(result: Result<T, scenarios::Error>) -> Option<RDKafkaErrorCode> {
    match result {
        Err(scenarios::Error::Kafka { source, .. }) => match source {
            KafkaError::AdminOp(code) => Some(code),
            other => other.rdkafka_error_code(),
        },
        _ => None,
    }
}

/// Goal: a long way and a narrow one take their time, and no longer than they last.
#[test]
fn delay_and_bandwidth_take_time() {
    let (cluster, client) = cluster(1);
    client.create_topic("slow", 1, 1, &[]).unwrap();
    let took = |work: &dyn Fn()| {
        let since = Instant::now();
        work();
        since.elapsed()
    };
    let look = || drop(client.watermarks("slow").unwrap());
    look();
    let delay = Duration::from_millis(300);
    let handle = cluster.inject(Fault::new(Effect::Delay(delay)).on_api(ApiKey::ListOffsets));
    let late = took(&look);
    // The cluster's clock counts whole milliseconds.
    let delay = delay - Duration::from_millis(2);
    assert!(late >= delay && handle.hits() >= 1, "{late:?}");
    handle.clear();
    let soon = took(&look);
    assert!(soon < late, "{soon:?}, with the fault {late:?}");
    // 100 kB at 100 kB/s.
    let write = |first: u64| {
        client
            .produce("slow", &numbered(first..first + 1_000, 1, 100))
            .unwrap()
    };
    let narrow = cluster.inject(Fault::new(Effect::Bandwidth(100_000)).on_api(ApiKey::Produce));
    let slow = took(&|| write(0));
    assert!(
        slow >= Duration::from_millis(900) && narrow.hits() >= 1,
        "{slow:?}"
    );
    narrow.clear();
    let quick = took(&|| write(1_000));
    assert!(quick < slow, "{quick:?}, with the fault {slow:?}");
}

/// Goal: silence of every kind times out, and a new connection helps once it is over; refused connections fail.
#[test]
fn silence_and_refusal_time_out() {
    let (cluster, client) = cluster(1);
    client.create_topic("still", 1, 1, &[]).unwrap();
    let effects = [
        Effect::Drop,
        Effect::HalfOpen,
        Effect::NeverAnswer,
        Effect::LoseAnswer(After::Silent),
        Effect::Refuse,
        Effect::Reset,
    ];
    for effect in effects {
        let handle = cluster.inject(Fault::new(effect.clone()));
        let stranger = impatient(&cluster.bootstrap());
        let answer = stranger.fetch_metadata(Some("still"), IMPATIENT);
        let code = answer.err().and_then(|error| error.rdkafka_error_code());
        let expected = [
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::BrokerTransportFailure,
        ];
        assert!(
            code.is_some_and(|code| expected.contains(&code)),
            "{effect:?}: {code:?}"
        );
        assert!(handle.hits() >= 1, "{effect:?}");
        handle.clear();
        let again = stranger.fetch_metadata(Some("still"), PATIENCE);
        assert_eq!(again.unwrap().topics().len(), 1, "{effect:?} is over");
    }
    let broker = cluster.broker(1).unwrap();
    broker.freeze().unwrap();
    let stranger = impatient(&cluster.bootstrap());
    assert!(stranger.fetch_metadata(Some("still"), IMPATIENT).is_err());
    broker.thaw().unwrap();
    stranger.fetch_metadata(Some("still"), PATIENCE).unwrap();
}

/// Goal: codes arrive as they were sent, where librdkafka hands them on, and are gone with the fault.
#[test]
fn codes_arrive() {
    let (cluster, client) = cluster(1);
    client.create_topic("codes", 1, 1, &[]).unwrap();
    let creating = [
        (
            ResponseError::PolicyViolation,
            RDKafkaErrorCode::PolicyViolation,
        ),
        (
            ResponseError::InvalidReplicationFactor,
            RDKafkaErrorCode::InvalidReplicationFactor,
        ),
        (
            ResponseError::ClusterAuthorizationFailed,
            RDKafkaErrorCode::ClusterAuthorizationFailed,
        ),
    ];
    for (sent, seen) in creating {
        let handle = cluster.inject(Fault::new(Effect::Error(sent)).on_api(ApiKey::CreateTopics));
        assert_eq!(code(client.create_topic("more", 1, 1, &[])), Some(seen));
        assert!(handle.hits() >= 1);
    }
    client.create_topic("more", 1, 1, &[]).unwrap();
    let producing = [
        (
            ResponseError::InvalidRecord,
            RDKafkaErrorCode::InvalidRecord,
        ),
        (
            ResponseError::MessageTooLarge,
            RDKafkaErrorCode::MessageSizeTooLarge,
        ),
        (
            ResponseError::TopicAuthorizationFailed,
            RDKafkaErrorCode::TopicAuthorizationFailed,
        ),
    ];
    let plain = WriteOptions {
        idempotent: false,
        ..WriteOptions::default()
    };
    for (sent, seen) in producing {
        let fault = Fault::new(Effect::Error(sent)).on_api(ApiKey::Produce);
        let handle = cluster.inject(fault.on_partition("codes", 0));
        let written = client.produce_with("codes", &numbered(0..1, 1, 10), plain);
        assert_eq!(code(written), Some(seen));
        assert!(handle.hits() >= 1);
    }
    // What passes is tried again, behind the caller's back.
    for passing in [
        ResponseError::NotLeaderOrFollower,
        ResponseError::LeaderNotAvailable,
        ResponseError::NotEnoughReplicas,
        ResponseError::RequestTimedOut,
        ResponseError::KafkaStorageError,
    ] {
        let fault = Fault::new(Effect::Error(passing))
            .on_api(ApiKey::Produce)
            .times(1);
        let handle = cluster.inject(fault);
        client.produce("codes", &numbered(0..1, 1, 10)).unwrap();
        assert_eq!(handle.hits(), 1, "{passing:?}");
    }
    let ends = client.end_offsets("codes").unwrap();
    assert_eq!(
        ends,
        [5],
        "five were taken, and nothing of what was refused"
    );
    let passing = Fault::new(Effect::Error(ResponseError::CoordinatorLoadInProgress)).times(2);
    let handle = cluster.inject(passing.on_api(ApiKey::InitProducerId));
    let stranger = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    stranger.produce("codes", &numbered(5..6, 1, 10)).unwrap();
    assert_eq!(handle.hits(), 2);
}

/// Goal: an answer that is lost after the work was done: the topic is there, the offset is committed.
#[test]
fn work_is_done_though_its_answer_is_lost() {
    let (cluster, client) = cluster(1);
    let lose = |api| {
        cluster.inject(
            Fault::new(Effect::LoseAnswer(After::Closed))
                .on_api(api)
                .times(1),
        )
    };
    let handle = lose(ApiKey::CreateTopics);
    // librdkafka may ask again; then it hears that the topic is there.
    drop(client.create_topic("done", 1, 1, &[]));
    assert_eq!(handle.hits(), 1);
    assert!(client.topics().unwrap().contains("done"));
    client.produce("done", &numbered(0..10, 1, 10)).unwrap();
    let handle = lose(ApiKey::OffsetCommit);
    drop(client.commit_offsets("group", "done", &[(0, 7)]));
    assert_eq!(handle.hits(), 1);
    assert_eq!(client.committed("group", "done").unwrap().get(&0), Some(&7));
}

/// Goal: throttling slows a writer down by what was said, once the connection is muted.
#[test]
fn a_throttled_writer_waits() {
    let (cluster, client) = cluster(1);
    client.create_topic("paced", 1, 1, &[]).unwrap();
    client.produce("paced", &numbered(0..1, 1, 10)).unwrap();
    let throttle = Effect::Throttle {
        ms: 400,
        mute: true,
    };
    let handle = cluster.inject(Fault::new(throttle).on_api(ApiKey::Produce).times(1));
    let since = Instant::now();
    client.produce("paced", &numbered(1..2, 1, 10)).unwrap();
    client.produce("paced", &numbered(2..3, 1, 10)).unwrap();
    assert!(
        since.elapsed() >= Duration::from_millis(400),
        "{:?}",
        since.elapsed()
    );
    assert_eq!(handle.hits(), 1);
    assert_eq!(client.end_offsets("paced").unwrap(), [3]);
}

/// Goal: rights that are taken, and given back; a session that has ended closes its connection, and a new one is served.
#[test]
fn rights_and_sessions_end() {
    let (cluster, client) = cluster(1);
    client.create_topic("mine", 1, 1, &[]).unwrap();
    let handle = cluster.inject(Fault::new(Effect::DenyAuthorization).on_topic("mine"));
    let plain = WriteOptions {
        idempotent: false,
        ..WriteOptions::default()
    };
    let written = client.produce_with("mine", &numbered(0..1, 1, 10), plain);
    assert_eq!(
        code(written),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    assert!(handle.hits() >= 1);
    handle.clear();
    client
        .produce_with("mine", &numbered(0..1, 1, 10), plain)
        .unwrap();

    let handle = cluster.inject(Fault::new(Effect::ExpireCredentials).times(1));
    let mut raw = RawClient::connect(&cluster.broker(1).unwrap().bootstrap()).unwrap();
    let request = kafka_protocol::messages::MetadataRequest::default();
    let answer = raw.send(12, &request);
    assert!(matches!(answer, Err(RawError::Closed)), "{answer:?}");
    assert_eq!(handle.hits(), 1);
    raw.reconnect().unwrap();
    raw.send(12, &request).unwrap();
}

/// Goal: what happens to logs is seen by a reader: leaders, truncation, both ways of deleting, recreation, compaction, damage on the way.
#[test]
fn logs_are_what_was_made_of_them() {
    let (cluster, client) = cluster(2);
    client.create_topic("log", 1, 2, &[]).unwrap();
    for first in [0, 100, 200] {
        client
            .produce("log", &numbered(first..first + 100, 1, 10))
            .unwrap();
    }
    let leader = client.leaders("log").unwrap()[0];
    cluster.move_leader("log", 0, 3 - leader).unwrap();
    assert_eq!(client.leaders("log").unwrap(), [3 - leader]);
    assert_eq!(client.watermarks("log").unwrap(), [(0, 300)]);
    assert_eq!(
        cluster.expire_records("log", 0, 150).unwrap(),
        100,
        "whole batches"
    );
    assert_eq!(client.watermarks("log").unwrap(), [(100, 300)]);
    cluster.delete_records("log", 0, 150).unwrap();
    assert_eq!(client.watermarks("log").unwrap(), [(150, 300)]);
    cluster.unclean_election("log", 0, leader, 200).unwrap();
    assert_eq!(client.watermarks("log").unwrap(), [(150, 200)]);
    let read = |topic| client.read_all(topic, Isolation::ReadCommitted, PATIENCE);
    let found = tally(&read("log").unwrap(), 150..200);
    assert!(found.is_exact(), "{found}");
    let damage = cluster.corrupt_once("log", 0);
    drop(read("log")); // an error, or a second attempt: as librdkafka likes
    assert_eq!(damage.hits(), 1);
    assert_eq!(tally(&read("log").unwrap(), 150..200).lost, 0);
    cluster.recreate_topic("log").unwrap();
    assert_eq!(client.watermarks("log").unwrap(), [(0, 0)]);

    client
        .create_topic("keyed", 1, 1, &[("cleanup.policy", "compact")])
        .unwrap();
    for _ in 0..3 {
        client.produce("keyed", &numbered(0..50, 1, 10)).unwrap();
    }
    cluster.compact_now("keyed").unwrap();
    let left = read("keyed").unwrap();
    assert_eq!(
        (left[&0].len(), left[&0][0].offset),
        (50, 100),
        "one record of each key, the last"
    );
}
