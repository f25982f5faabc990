//! Brokers that crash, stop, start and freeze, and leaders that move: what a client gets to see (docs/spec/real-kafka.md 5, 6).

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

mod wire;

use std::time::Duration;

use embedded::{BrokerError, Clock, EmbeddedCluster, ResponseError, Settings};
use kafka_protocol::messages::{FetchRequest, ProduceRequest};
use wire::{
    Lost, PATIENCE, START_MS, Wire, await_that, fetch_request, produce_request, records, sequenced,
};

fn cluster(brokers: i32) -> (EmbeddedCluster, Clock) {
    let clock = Clock::owned(START_MS);
    let settings = Settings {
        brokers,
        clock: clock.clone(),
        ..Settings::default()
    };
    (EmbeddedCluster::start_with(settings).unwrap(), clock)
}

/// A topic with one partition on all brokers: its leader's node id, and the others.
fn replicated(cluster: &EmbeddedCluster, topic: &str) -> (i32, Vec<i32>) {
    let all = cluster.node_ids();
    let replicas = i16::try_from(all.len()).unwrap();
    Wire::connect(cluster, 1).create(topic, 1, replicas, &[]);
    let (leader, epoch) = cluster.leader(topic, 0).unwrap();
    assert_eq!(epoch, 0);
    let others = all.into_iter().filter(|node_id| *node_id != leader);
    (leader, others.collect())
}

/// Goal: a crash closes connections at once and is noticed only after the session timeout; until then metadata and hints name
/// the dead broker.
#[test]
fn a_killed_broker_is_named_until_its_session_ends() {
    let (cluster, clock) = cluster(3);
    let (leader, others) = replicated(&cluster, "t");
    let mut at_leader = Wire::connect(&cluster, leader);
    let mut at_other = Wire::connect(&cluster, others[0]);
    assert_eq!(
        at_leader.produce("t", 0, records(3)).unwrap().base_offset,
        0
    );

    cluster.broker(leader).unwrap().kill();
    let lost = at_leader.produce("t", 0, records(1)).unwrap_err();
    assert!(matches!(lost, Lost::Closed | Lost::Reset), "{lost:?}");
    let address = cluster.broker(leader).unwrap().bootstrap();
    assert!(std::net::TcpStream::connect(address).is_err());

    clock.advance(Duration::from_millis(8_999));
    let row = at_other.produce("t", 0, records(1)).unwrap();
    assert_eq!(row.error_code, ResponseError::NotLeaderOrFollower.code());
    assert_eq!(row.current_leader.leader_id.0, leader);
    assert_eq!(at_other.partition("t", 0).leader_id.0, leader);
    assert_eq!(at_other.metadata("t").unwrap().brokers.len(), 3);

    clock.advance(Duration::from_millis(1));
    await_that("another leader", || {
        cluster.leader("t", 0).unwrap().0 != leader
    });
    let partition = at_other.partition("t", 0);
    assert_eq!(partition.leader_epoch, 1);
    assert_eq!(partition.isr_nodes.len(), 2);
    assert_eq!(partition.offline_replicas, [leader]);
    assert_eq!(at_other.metadata("t").unwrap().brokers.len(), 2);
    let new = partition.leader_id.0;
    assert_eq!(
        Wire::connect(&cluster, new)
            .produce("t", 0, records(1))
            .unwrap()
            .base_offset,
        3
    );

    cluster.broker(leader).unwrap().start().unwrap();
    // Back in sync; leadership stays where it is until somebody elects.
    assert_eq!(cluster.leader("t", 0).unwrap(), (new, 1));
    assert_eq!(cluster.in_sync("t", 0).unwrap().len(), 3);
    cluster.move_leader("t", 0, leader).unwrap();
    assert_eq!(cluster.leader("t", 0).unwrap(), (leader, 2));
}

/// Goal: a controlled shutdown moves leaders first, and who waits is told where to.
#[test]
fn a_stopped_broker_hands_over_first() {
    let (cluster, _clock) = cluster(3);
    let (leader, others) = replicated(&cluster, "t");
    let mut waiting = Wire::connect(&cluster, leader);
    waiting.send::<FetchRequest>(17, &{
        let mut request = fetch_request("t", 0, 0, 60_000);
        let id = Wire::connect(&cluster, leader)
            .metadata("t")
            .unwrap()
            .topics[0]
            .topic_id;
        request.topics[0].topic_id = id;
        request.topics[0].topic = Default::default();
        request.topics[0].partitions[0].current_leader_epoch = 0;
        request
    });
    assert!(waiting.is_silent());
    cluster.broker(leader).unwrap().stop().unwrap();
    let (_, answer) = waiting.receive::<FetchRequest>(17, PATIENCE).unwrap();
    let row = &answer.responses[0].partitions[0];
    assert_eq!(row.error_code, ResponseError::FencedLeaderEpoch.code());
    assert_eq!(
        row.current_leader.leader_id.0,
        cluster.leader("t", 0).unwrap().0
    );
    assert_eq!(answer.node_endpoints.len(), 1);
    assert_eq!(
        waiting.receive::<FetchRequest>(17, PATIENCE).unwrap_err(),
        Lost::Closed
    );

    let mut other = Wire::connect(&cluster, others[0]);
    let partition = other.partition("t", 0);
    assert_ne!(partition.leader_id.0, leader);
    assert_eq!(partition.isr_nodes.len(), 2);
    assert_eq!(other.metadata("t").unwrap().brokers.len(), 2);
    assert_ne!(cluster.controller(), 1_000);
}

/// Goal: without another replica, nobody leads after a shutdown, and the dead one still seems to after a crash.
#[test]
fn a_single_replica_has_no_successor() {
    let (cluster, clock) = cluster(2);
    let mut one = Wire::connect(&cluster, 1);
    one.create("a", 2, 1, &[]);
    let (leader, _) = cluster.leader("a", 0).unwrap();
    let other = 3 - leader;
    assert_eq!(cluster.leader("a", 1).unwrap().0, other);
    cluster.broker(leader).unwrap().stop().unwrap();
    let mut wire = Wire::connect(&cluster, other);
    let partition = wire.partition("a", 0);
    assert_eq!(partition.leader_id.0, -1);
    assert_eq!(
        partition.error_code,
        ResponseError::LeaderNotAvailable.code()
    );
    cluster.broker(leader).unwrap().start().unwrap();
    assert_eq!(cluster.leader("a", 0).unwrap(), (leader, 2));

    cluster.broker(leader).unwrap().kill();
    assert_eq!(wire.partition("a", 0).leader_id.0, leader);
    clock.advance(Duration::from_secs(9));
    await_that("no leader", || cluster.leader("a", 0).unwrap().0 == -1);
}

/// Goal: a restarted broker knows only the last batch of a producer; a new leader knows five (docs/spec/real-kafka.md 3).
#[test]
fn a_restart_forgets_all_but_the_last_batch_of_a_producer() {
    let (cluster, _clock) = cluster(2);
    Wire::connect(&cluster, 1).create("alone", 1, 1, &[]);
    Wire::connect(&cluster, 1).create("both", 1, 2, &[]);
    let window = |topic: &str| -> Vec<i16> {
        let (leader, _) = cluster.leader(topic, 0).unwrap();
        let mut wire = Wire::connect(&cluster, leader);
        let codes = (0..5).map(|number| {
            let row = wire
                .produce(topic, 0, sequenced(2, 4_000, 2 * number))
                .unwrap();
            if row.error_code == 0 {
                assert_eq!(row.base_offset, i64::from(2 * number));
            }
            row.error_code
        });
        codes.collect()
    };
    for topic in ["alone", "both"] {
        assert_eq!(window(topic), [0; 5], "{topic}");
        assert_eq!(window(topic), [0; 5], "{topic}, resent");
    }
    let (leader, _) = cluster.leader("both", 0).unwrap();
    cluster.broker(leader).unwrap().restart().unwrap();
    assert_eq!(window("both"), [0; 5], "after a move");

    let (leader, _) = cluster.leader("alone", 0).unwrap();
    cluster.broker(leader).unwrap().kill();
    cluster.broker(leader).unwrap().start().unwrap();
    assert_eq!(window("alone"), [45, 45, 45, 45, 0], "after a restart");
}

/// Goal: a frozen follower holds acks=all until the request times out (stored all the same), leaves the ISR when its session
/// ends, and comes back.
#[test]
fn a_frozen_follower_holds_acks_all() {
    let (cluster, clock) = cluster(2);
    let (leader, others) = replicated(&cluster, "t");
    let follower = cluster.broker(others[0]).unwrap();
    let mut wire = Wire::connect(&cluster, leader);
    let mut frozen = Wire::connect(&cluster, others[0]);
    follower.freeze().unwrap();
    frozen.send(12, &kafka_protocol::messages::MetadataRequest::default());
    assert!(frozen.is_silent());

    wire.send::<ProduceRequest>(10, &produce_request(&[("t", 0, records(2))], -1, 3_000));
    assert!(wire.is_silent());
    clock.advance(Duration::from_secs(3));
    let (_, answer) = wire.receive::<ProduceRequest>(10, PATIENCE).unwrap();
    let row = &answer.responses[0].partition_responses[0];
    assert_eq!(
        (row.error_code, row.base_offset),
        (ResponseError::RequestTimedOut.code(), 0)
    );
    assert_eq!(
        wire.offset("t", 0, -1).unwrap(),
        (0, 0),
        "the high watermark is held"
    );
    assert!(wire.fetch("t", 0, 0).unwrap().records.unwrap().is_empty());

    wire.send::<ProduceRequest>(10, &produce_request(&[("t", 0, records(2))], -1, 30_000));
    assert!(wire.is_silent());
    clock.advance(Duration::from_secs(6));
    let (_, answer) = wire.receive::<ProduceRequest>(10, PATIENCE).unwrap();
    let row = &answer.responses[0].partition_responses[0];
    assert_eq!((row.error_code, row.base_offset), (0, 2));
    assert_eq!(cluster.in_sync("t", 0).unwrap(), [leader]);
    assert_eq!(wire.offset("t", 0, -1).unwrap(), (0, 4));

    follower.thaw().unwrap();
    assert_eq!(cluster.in_sync("t", 0).unwrap().len(), 2);
    assert!(
        frozen
            .receive::<kafka_protocol::messages::MetadataRequest>(12, PATIENCE)
            .is_ok()
    );
    assert_eq!(
        cluster.leader("t", 0).unwrap(),
        (leader, 0),
        "an ISR is no election"
    );
}

/// Goal: a frozen leader answers nothing, others lead when its session ends, and a write that waited there is not acknowledged.
#[test]
fn a_frozen_leader_is_replaced() {
    let (cluster, clock) = cluster(3);
    let (leader, others) = replicated(&cluster, "t");
    let mut wire = Wire::connect(&cluster, leader);
    cluster.broker(others[0]).unwrap().freeze().unwrap();
    wire.send::<ProduceRequest>(10, &produce_request(&[("t", 0, records(1))], -1, 60_000));
    assert!(wire.is_silent());
    cluster.broker(leader).unwrap().freeze().unwrap();
    clock.advance(Duration::from_secs(9));
    await_that("another leader", || {
        cluster.leader("t", 0).unwrap().0 == others[1]
    });
    assert!(wire.is_silent());
    cluster.broker(leader).unwrap().thaw().unwrap();
    let (_, answer) = wire.receive::<ProduceRequest>(10, PATIENCE).unwrap();
    let row = &answer.responses[0].partition_responses[0];
    assert_eq!(row.error_code, ResponseError::NotLeaderOrFollower.code());
}

/// Goal: what a waiting fetch gets when the leader moves.
#[test]
fn a_moved_leader_wakes_fetches() {
    let (cluster, _clock) = cluster(2);
    let (leader, others) = replicated(&cluster, "t");
    let mut without = Wire::connect(&cluster, leader);
    let mut with = Wire::connect(&cluster, leader);
    let mut request = fetch_request("t", 0, 0, 60_000);
    without.send::<FetchRequest>(12, &request);
    request.topics[0].partitions[0].current_leader_epoch = 0;
    with.send::<FetchRequest>(12, &request);
    assert!(without.is_silent() && with.is_silent());
    cluster.move_leader("t", 0, others[0]).unwrap();
    let (_, answer) = without.receive::<FetchRequest>(12, PATIENCE).unwrap();
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    let (_, answer) = with.receive::<FetchRequest>(12, PATIENCE).unwrap();
    let fenced = ResponseError::FencedLeaderEpoch.code();
    assert_eq!(answer.responses[0].partitions[0].error_code, fenced);
    let row = without.produce("t", 0, records(1)).unwrap();
    assert_eq!(row.current_leader.leader_id.0, others[0]);
    assert_eq!(row.current_leader.leader_epoch, 1);
}

/// Goal: the table of docs/spec/real-kafka.md 5: 10 records replicated, 15 lost, 30 written by the new leader, reader at 25.
#[test]
fn an_unclean_election_loses_the_tail() {
    let (cluster, _clock) = cluster(2);
    let (leader, others) = replicated(&cluster, "t");
    let mut wire = Wire::connect(&cluster, leader);
    wire.produce("t", 0, records(10)).unwrap();
    wire.produce("t", 0, records(15)).unwrap();
    cluster.unclean_election("t", 0, others[0], 10).unwrap();
    assert_eq!(cluster.leader("t", 0).unwrap(), (others[0], 1));
    let mut wire = Wire::connect(&cluster, others[0]);
    let out_of_range = ResponseError::OffsetOutOfRange.code();
    assert_eq!(wire.fetch("t", 0, 25).unwrap().error_code, out_of_range);
    assert_eq!(wire.produce("t", 0, records(30)).unwrap().base_offset, 10);
    let silently = wire.fetch("t", 0, 25).unwrap();
    assert_eq!(silently.error_code, 0);
    assert!(!silently.records.unwrap().is_empty());
    let mut request = fetch_request("t", 0, 25, 0);
    request.topics[0].partitions[0].last_fetched_epoch = 0;
    let answer = wire.ask(12, &request).unwrap();
    let diverging = &answer.responses[0].partitions[0].diverging_epoch;
    assert_eq!((diverging.epoch, diverging.end_offset), (0, 10));
    let wrong = cluster.unclean_election("t", 0, others[0], 99);
    assert!(matches!(
        wrong,
        Err(BrokerError::OutOfRange { end: 40, .. })
    ));
}

/// Goal: the controller that clients are told of is one that runs.
#[test]
fn the_controller_moves() {
    let (cluster, _clock) = cluster(3);
    assert_eq!(cluster.controller(), 1);
    cluster.broker(1).unwrap().kill();
    assert_eq!(cluster.controller(), 2);
    cluster.broker(2).unwrap().stop().unwrap();
    assert_eq!(cluster.controller(), 3);
    assert!(matches!(cluster.broker(4), Err(BrokerError::Unknown(4))));
    assert!(matches!(
        cluster.broker(2).unwrap().freeze(),
        Err(BrokerError::Status { .. })
    ));
}

/// Goal: all brokers gone and back: every partition has its leader and its data again.
#[test]
fn a_cluster_that_was_down_comes_back() {
    let (cluster, clock) = cluster(3);
    let (leader, _) = replicated(&cluster, "t");
    Wire::connect(&cluster, leader)
        .produce("t", 0, records(7))
        .unwrap();
    for node_id in 1..=3 {
        cluster.broker(node_id).unwrap().kill();
    }
    clock.advance(Duration::from_secs(9));
    await_that("no leader", || cluster.leader("t", 0).unwrap().0 == -1);
    for node_id in 1..=3 {
        cluster.broker(node_id).unwrap().start().unwrap();
    }
    let (leader, _) = cluster.leader("t", 0).unwrap();
    assert_eq!(cluster.in_sync("t", 0).unwrap().len(), 3);
    let mut wire = Wire::connect(&cluster, leader);
    assert_eq!(wire.offset("t", 0, -1).unwrap(), (0, 7));
    assert_eq!(wire.produce("t", 0, records(1)).unwrap().base_offset, 7);
}
