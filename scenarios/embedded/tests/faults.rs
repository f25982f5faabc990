//! Faults on request, seen from a raw connection. Time stands still unless a test moves it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

mod wire;

use std::time::Duration;

use embedded::{
    After, ApiKey, BrokerError, Clock, Effect, EmbeddedCluster, Fault, FaultHandle, ResponseError,
    Settings,
};
use kafka_protocol::messages::{FetchRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest};
use wire::{
    Lost, PATIENCE, START_MS, Wire, await_that, fetch_request, is_sound, offsets_request,
    produce_request, records,
};

/// A cluster of one broker with topic `t` of two partitions, and a connection to it.
fn cluster() -> (EmbeddedCluster, Clock, Wire) {
    let clock = Clock::owned(START_MS);
    let settings = Settings {
        clock: clock.clone(),
        ..Settings::default()
    };
    let cluster = EmbeddedCluster::start_with(settings).unwrap();
    let mut wire = Wire::connect(&cluster, 1);
    wire.create("t", 2, 1, &[]);
    (cluster, clock, wire)
}

fn end_of(cluster: &EmbeddedCluster, partition: i32) -> i64 {
    let (code, offset) = Wire::connect_as(cluster, 1, "looker")
        .offset("t", partition, -1)
        .unwrap();
    assert_eq!(code, 0);
    offset
}

fn await_hits(handle: &FaultHandle, hits: u64) {
    await_that("hits", || handle.hits() == hits);
}

#[test]
fn an_error_hits_its_partition_and_leaves_the_others() {
    let (cluster, _clock, mut wire) = cluster();
    let code = ResponseError::KafkaStorageError.code();
    let fault = Fault::new(Effect::Error(ResponseError::KafkaStorageError));
    let handle = cluster.inject(fault.on_partition("t", 1).of_client("wire").times(3));
    let request = produce_request(&[("t", 0, records(2)), ("t", 1, records(2))], -1, 1_000);
    let answer = wire.ask(10, &request).unwrap();
    let codes: Vec<i16> = answer
        .responses
        .iter()
        .flat_map(|topic| &topic.partition_responses)
        .map(|row| row.error_code)
        .collect();
    assert_eq!(codes, [0, code]);
    assert_eq!((end_of(&cluster, 0), end_of(&cluster, 1)), (2, 0));
    assert_eq!(wire.fetch("t", 1, 0).unwrap().error_code, code);
    assert_eq!(wire.fetch("t", 0, 0).unwrap().error_code, 0);
    assert_eq!(wire.offset("t", 1, -1).unwrap().0, code);
    assert_eq!(handle.hits(), 3);
    // Used up.
    assert_eq!(wire.produce("t", 1, records(1)).unwrap().base_offset, 0);
    assert_eq!(handle.hits(), 3);
}

#[test]
fn an_error_answers_a_waiting_fetch_at_once_and_a_session_too() {
    let (cluster, _clock, mut wire) = cluster();
    let mut open = fetch_request("t", 1, 0, 0);
    open.session_epoch = 0;
    let session_id = wire.ask(12, &open).unwrap().session_id;
    assert_ne!(session_id, 0);
    let fault = Fault::new(Effect::Error(ResponseError::NotLeaderOrFollower)).on_api(ApiKey::Fetch);
    let handle = cluster.inject(fault.on_partition("t", 1));
    let next = FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(60_000)
        .with_min_bytes(1)
        .with_session_id(session_id)
        .with_session_epoch(1);
    let answer = wire.ask(12, &next).unwrap();
    let code = ResponseError::NotLeaderOrFollower.code();
    assert_eq!(answer.responses[0].partitions[0].error_code, code);
    assert_eq!(handle.hits(), 1);
}

#[test]
fn an_error_of_another_api_stands_in_its_rows() {
    let (cluster, _clock, mut wire) = cluster();
    let fault = Fault::new(Effect::Error(ResponseError::RequestTimedOut));
    let handle = cluster.inject(fault.clone().on_api(ApiKey::Metadata));
    let answer = wire.metadata("t").unwrap();
    assert_eq!(
        answer.topics[0].error_code,
        ResponseError::RequestTimedOut.code()
    );
    assert_eq!(answer.brokers.len(), 1);
    handle.clear();
    assert_eq!(wire.metadata("t").unwrap().topics[0].error_code, 0);

    // Nothing is done.
    let handle = cluster.inject(fault.on_api(ApiKey::CreateTopics));
    let topic = kafka_protocol::messages::create_topics_request::CreatableTopic::default()
        .with_name(wire::named("new"))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let request = kafka_protocol::messages::CreateTopicsRequest::default().with_topics(vec![topic]);
    let answer = wire.ask(7, &request).unwrap();
    assert_eq!(
        answer.topics[0].error_code,
        ResponseError::RequestTimedOut.code()
    );
    drop(handle);
    assert!(cluster.leader("new", 0).is_err());
}

#[test]
fn a_delay_does_not_hold_up_the_next_request() {
    let (cluster, clock, mut wire) = cluster();
    let handle = cluster.inject(Fault::new(Effect::Delay(Duration::from_millis(100))));
    for _ in 0..3 {
        wire.send(7, &offsets_request("t", 0, -1));
    }
    assert!(wire.is_silent());
    assert_eq!(handle.hits(), 3);
    clock.advance(Duration::from_millis(99));
    assert!(wire.is_silent());
    clock.advance(Duration::from_millis(1));
    // The connection's creation was request 1.
    for number in 2..=4 {
        let (correlation_id, _) = wire.receive::<ListOffsetsRequest>(7, PATIENCE).unwrap();
        assert_eq!(correlation_id, number);
    }
    // What follows a late answer stays behind it, also without the fault.
    wire.send(7, &offsets_request("t", 0, -1));
    assert!(wire.is_silent());
    handle.clear();
    wire.send(7, &offsets_request("t", 0, -1));
    assert!(wire.is_silent());
    clock.advance(Duration::from_millis(100));
    for number in 5..=6 {
        let (correlation_id, _) = wire.receive::<ListOffsetsRequest>(7, PATIENCE).unwrap();
        assert_eq!(correlation_id, number);
    }
}

#[test]
fn a_narrow_line_carries_so_many_bytes_per_second_each_way() {
    let (cluster, clock, mut wire) = cluster();
    let handle = cluster.inject(Fault::new(Effect::Bandwidth(10_000)).of_client("wire"));
    let batch = records(90);
    assert!((9_000..11_000).contains(&batch.len()));
    wire.send(10, &produce_request(&[("t", 0, batch)], -1, 60_000));
    await_hits(&handle, 1);
    clock.advance(Duration::from_millis(900));
    assert!(wire.is_silent());
    assert_eq!(end_of(&cluster, 0), 0, "the request is still on its way");
    clock.advance(Duration::from_millis(300));
    await_that("the write", || end_of(&cluster, 0) == 90);
    // The answer takes the line for a moment of its own.
    clock.advance(Duration::from_millis(100));
    assert!(wire.receive::<ProduceRequest>(10, PATIENCE).is_ok());

    let request = fetch_request("t", 0, 0, 0);
    wire.send(12, &request);
    await_hits(&handle, 2);
    clock.advance(Duration::from_millis(100)); // so long is the request on its way at most
    assert!(wire.is_silent());
    clock.advance(Duration::from_millis(800));
    assert!(wire.is_silent());
    clock.advance(Duration::from_millis(400));
    let (_, answer) = wire.receive::<FetchRequest>(12, PATIENCE).unwrap();
    let records = answer.responses[0].partitions[0].records.as_ref().unwrap();
    assert!(records.len() > 9_000);
}

#[test]
fn a_dropped_request_is_not_done_and_its_connection_is_silent() {
    let (cluster, _clock, mut wire) = cluster();
    let fault = Fault::new(Effect::Drop).on_api(ApiKey::Produce).times(1);
    let handle = cluster.inject(fault);
    wire.send(10, &produce_request(&[("t", 0, records(1))], -1, 1_000));
    assert!(wire.is_silent());
    wire.send(7, &offsets_request("t", 0, -1));
    assert!(wire.is_silent());
    assert_eq!(end_of(&cluster, 0), 0);
    assert_eq!(handle.hits(), 1);
}

#[test]
fn a_lost_answer_means_that_the_work_is_done() {
    for (after, lost) in [
        (After::Closed, Lost::Closed),
        (After::Silent, Lost::Silence),
    ] {
        let (cluster, _clock, mut wire) = cluster();
        let fault = Fault::new(Effect::LoseAnswer(after)).on_partition("t", 0);
        let handle = cluster.inject(fault);
        wire.send(10, &produce_request(&[("t", 0, records(4))], -1, 1_000));
        let answer = wire.receive::<ProduceRequest>(10, wire::SILENCE);
        assert_eq!(answer.unwrap_err(), lost);
        drop(handle);
        assert_eq!(end_of(&cluster, 0), 4);
    }
}

#[test]
fn a_reset_is_a_reset() {
    let (cluster, _clock, mut wire) = cluster();
    let handle = cluster.inject(Fault::new(Effect::Reset).of_client("wi"));
    assert_eq!(wire.offset("t", 0, -1).unwrap_err(), Lost::Reset);
    assert_eq!(handle.hits(), 1);
    assert_eq!(end_of(&cluster, 0), 0, "another client");
}

#[test]
fn a_half_open_connection_stays_so() {
    let (cluster, _clock, mut wire) = cluster();
    let mut waiting = Wire::connect(&cluster, 1);
    waiting.send(12, &fetch_request("t", 0, 0, 60_000));
    assert!(waiting.is_silent());
    let handle = cluster.inject(Fault::new(Effect::HalfOpen).of_client("wire"));
    wire.send(10, &produce_request(&[("t", 0, records(1))], -1, 1_000));
    assert!(wire.is_silent());
    // An answer to what was asked before does not come either.
    let mut writer = Wire::connect_as(&cluster, 1, "writer");
    writer.produce("t", 0, records(1)).unwrap();
    assert!(waiting.is_silent());
    handle.clear();
    wire.send(7, &offsets_request("t", 0, -1));
    assert!(wire.is_silent() && waiting.is_silent());
    assert_eq!(
        Wire::connect(&cluster, 1).offset("t", 0, -1).unwrap(),
        (0, 1)
    );
}

#[test]
fn a_held_request_is_answered_when_the_fault_ends() {
    let (cluster, clock, mut wire) = cluster();
    let handle = cluster.inject(Fault::new(Effect::NeverAnswer).of_client("wire"));
    wire.send(10, &produce_request(&[("t", 0, records(1))], -1, 1_000));
    assert!(wire.is_silent());
    assert_eq!(end_of(&cluster, 0), 0);
    handle.clear();
    assert!(wire.receive::<ProduceRequest>(10, PATIENCE).is_ok());
    assert_eq!(end_of(&cluster, 0), 1);

    let fault = Fault::new(Effect::NeverAnswer).for_duration(Duration::from_secs(5));
    let _handle = cluster.inject(fault);
    wire.send(7, &offsets_request("t", 0, -1));
    clock.advance(Duration::from_millis(4_999));
    assert!(wire.is_silent());
    clock.advance(Duration::from_millis(1));
    assert!(wire.receive::<ListOffsetsRequest>(7, PATIENCE).is_ok());
}

#[test]
fn refused_connections_are_closed_on_accept() {
    let (cluster, clock, mut wire) = cluster();
    let handle = cluster.inject(
        Fault::new(Effect::Refuse)
            .on_broker(1)
            .until(START_MS + 1_000),
    );
    let lost = Wire::connect(&cluster, 1).offset("t", 0, -1).unwrap_err();
    assert!(matches!(lost, Lost::Closed | Lost::Reset), "{lost:?}");
    assert_eq!(
        wire.offset("t", 0, -1).unwrap(),
        (0, 0),
        "an old connection lives on"
    );
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        Wire::connect(&cluster, 1).offset("t", 0, -1).unwrap(),
        (0, 0)
    );
    assert_eq!(handle.hits(), 1);
}

#[test]
fn a_throttled_produce_is_stored_and_answered_and_its_connection_muted() {
    let (cluster, clock, mut wire) = cluster();
    let fault = Fault::new(Effect::Throttle {
        ms: 1_278,
        mute: true,
    });
    let handle = cluster.inject(fault.of_client("wire").times(1));
    let request = produce_request(&[("t", 0, records(1))], -1, 1_000);
    let answer = wire.ask(9, &request).unwrap();
    assert_eq!(answer.throttle_time_ms, 1_278);
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    wire.send(7, &offsets_request("t", 0, -1));
    clock.advance(Duration::from_millis(1_277));
    assert!(wire.is_silent());
    assert!(
        Wire::connect(&cluster, 1).offset("t", 0, -1).is_ok(),
        "another connection"
    );
    clock.advance(Duration::from_millis(1));
    assert!(wire.receive::<ListOffsetsRequest>(7, PATIENCE).is_ok());
    assert_eq!(handle.hits(), 1);
}

#[test]
fn a_throttled_fetch_has_no_topics_and_its_session_goes_on() {
    let (cluster, _clock, mut wire) = cluster();
    let mut open = fetch_request("t", 0, 0, 0);
    open.session_epoch = 0;
    let session_id = wire.ask(12, &open).unwrap().session_id;
    wire.produce("t", 0, records(3)).unwrap();
    let fault = Fault::new(Effect::Throttle {
        ms: 500,
        mute: false,
    })
    .on_api(ApiKey::Fetch);
    let handle = cluster.inject(fault.times(1));
    let next = |epoch| {
        FetchRequest::default()
            .with_replica_id((-1).into())
            .with_min_bytes(1)
            .with_session_id(session_id)
            .with_session_epoch(epoch)
    };
    let throttled = wire.ask(12, &next(1)).unwrap();
    assert_eq!((throttled.throttle_time_ms, throttled.error_code), (500, 0));
    assert!(throttled.responses.is_empty());
    let answer = wire.ask(12, &next(2)).unwrap();
    assert_eq!(answer.session_id, session_id);
    let row = &answer.responses[0].partitions[0];
    assert!(!row.records.as_ref().unwrap().is_empty());
    assert_eq!(row.high_watermark, 3);
    assert_eq!(handle.hits(), 1);

    // Any other API: `throttle_time_ms` and nothing else.
    let _handle = cluster.inject(Fault::new(Effect::Throttle { ms: 7, mute: false }));
    let metadata = wire.metadata("t").unwrap();
    assert_eq!((metadata.throttle_time_ms, metadata.brokers.len()), (7, 1));
}

#[test]
fn a_quota_lets_a_burst_pass_and_then_throttles() {
    let (cluster, clock, mut wire) = cluster();
    let fault = Fault::new(Effect::Quota(10_000)).of_client("wire");
    let _handle = cluster.inject(fault);
    let request = produce_request(&[("t", 0, records(450))], -1, 1_000);
    // About 50,000 bytes each; ten seconds' worth is 100,000.
    assert_eq!(wire.ask(9, &request).unwrap().throttle_time_ms, 0);
    let throttles: Vec<i32> = (0..2)
        .map(|_| {
            let ms = wire.ask(9, &request).unwrap().throttle_time_ms;
            clock.advance(Duration::from_millis(u64::try_from(ms).unwrap()));
            ms
        })
        .collect();
    assert!(
        (0..1_000).contains(&throttles[0]) && (3_000..7_000).contains(&throttles[1]),
        "{throttles:?}"
    );
    // Fetching has a quota of its own.
    assert!(!wire.fetch("t", 0, 0).unwrap().records.unwrap().is_empty());
}

#[test]
fn denied_access_has_the_code_of_its_api() {
    let (cluster, _clock, mut wire) = cluster();
    wire.create("u", 1, 1, &[]);
    let handle = cluster.inject(Fault::new(Effect::DenyAuthorization).on_topic("t"));
    let denied = ResponseError::TopicAuthorizationFailed.code();
    assert_eq!(wire.produce("t", 0, records(1)).unwrap().error_code, denied);
    assert_eq!(wire.fetch("t", 0, 0).unwrap().error_code, denied);
    assert_eq!(wire.offset("t", 0, -1).unwrap().0, denied);
    assert_eq!(wire.metadata("t").unwrap().topics[0].error_code, denied);
    assert_eq!(handle.hits(), 4);
    assert_eq!(wire.produce("u", 0, records(1)).unwrap().error_code, 0);
    assert_eq!(handle.hits(), 4);
}

#[test]
fn expired_credentials_close_the_connection() {
    let (cluster, _clock, mut wire) = cluster();
    let handle = cluster.inject(Fault::new(Effect::ExpireCredentials).times(1));
    wire.send(12, &MetadataRequest::default());
    assert_eq!(
        wire.receive::<MetadataRequest>(12, PATIENCE).unwrap_err(),
        Lost::Closed
    );
    assert_eq!(handle.hits(), 1);
}

#[test]
fn damage_on_the_way_and_damage_of_the_log() {
    let (cluster, _clock, mut wire) = cluster();
    wire.produce("t", 0, records(3)).unwrap();
    wire.produce("t", 0, records(3)).unwrap();
    let sound =
        |wire: &mut Wire, offset| is_sound(&wire.fetch("t", 0, offset).unwrap().records.unwrap());
    let handle = cluster.corrupt_once("t", 0);
    assert!(!sound(&mut wire, 0));
    assert!(sound(&mut wire, 0));
    assert_eq!(handle.hits(), 1);
    cluster.corrupt("t", 0, 4).unwrap();
    assert!(!sound(&mut wire, 0) && !sound(&mut wire, 3));
    assert!(matches!(
        cluster.corrupt("t", 0, 9),
        Err(BrokerError::OutOfRange { .. })
    ));
}

#[test]
fn retention_and_delete_records_move_the_start() {
    let (cluster, _clock, mut wire) = cluster();
    for _ in 0..3 {
        wire.produce("t", 0, records(4)).unwrap();
    }
    assert_eq!(
        cluster.expire_records("t", 0, 6).unwrap(),
        4,
        "whole batches"
    );
    assert_eq!(wire.offset("t", 0, -2).unwrap(), (0, 4));
    let row = wire.fetch("t", 0, 2).unwrap();
    assert_eq!(row.error_code, ResponseError::OffsetOutOfRange.code());
    assert_eq!(cluster.delete_records("t", 0, 6).unwrap(), 6);
    assert_eq!(wire.offset("t", 0, -2).unwrap(), (0, 6));
    assert_eq!(cluster.expire_records("t", 0, 12).unwrap(), 12);
    assert!(matches!(
        cluster.delete_records("t", 0, 13),
        Err(BrokerError::OutOfRange { .. })
    ));
}

#[test]
fn a_recreated_topic_is_another_topic() {
    let (cluster, _clock, mut wire) = cluster();
    wire.produce("t", 0, records(4)).unwrap();
    let before = wire.metadata("t").unwrap().topics[0].topic_id;
    cluster.recreate_topic("t").unwrap();
    let after = wire.metadata("t").unwrap().topics[0].clone();
    assert_ne!(after.topic_id, before);
    assert_eq!(after.partitions.len(), 2);
    assert_eq!(wire.offset("t", 0, -1).unwrap(), (0, 0));
    assert!(cluster.recreate_topic("missing").is_err());
}
