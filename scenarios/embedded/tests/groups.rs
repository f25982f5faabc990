//! Groups that come or go without a record in the log: those who write find one thing, those who look another (docs in
//! `groups/table.rs`), as on Kafka 4.3.1.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

mod wire;

use embedded::{EmbeddedCluster, ResponseError};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest, FindCoordinatorRequest, GroupId,
    JoinGroupRequest, ListGroupsRequest, OffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;
use wire::{Wire, await_that, named};

/// One byte more than `offset.metadata.max.bytes`.
const METADATA_BYTES: usize = 4_097;

fn group() -> GroupId {
    StrBytes::from_static_str("g").into()
}

/// A broker with topic `t` that coordinates all groups.
fn coordinator() -> (EmbeddedCluster, Wire) {
    let cluster = EmbeddedCluster::start(1).unwrap();
    let mut wire = Wire::connect(&cluster, 1);
    wire.create("t", 1, 1, &[]);
    let find = FindCoordinatorRequest::default()
        .with_coordinator_keys(vec![StrBytes::from_static_str("g")]);
    await_that("the coordinator", || {
        let answer = Wire::connect(&cluster, 1).ask(4, &find).unwrap();
        answer.coordinators[0].error_code == 0
    });
    (cluster, wire)
}

/// The error code.
fn commit(wire: &mut Wire, metadata_bytes: usize) -> i16 {
    let partition = OffsetCommitRequestPartition::default()
        .with_committed_metadata(Some(StrBytes::from_string("m".repeat(metadata_bytes))));
    let topic = OffsetCommitRequestTopic::default()
        .with_name(named("t"))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_topics(vec![topic]);
    let answer = wire.ask(9, &request).unwrap();
    answer.topics[0].partitions[0].error_code
}

/// The error text of a heartbeat, or none.
fn heartbeat(wire: &mut Wire, epoch: i32) -> Option<String> {
    let joins = epoch == 0;
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(StrBytes::from_static_str("member"))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(if joins { 60_000 } else { -1 })
        .with_subscribed_topic_names(joins.then(|| vec![named("t")]))
        .with_topic_partitions(joins.then(Vec::new));
    let answer = wire.ask(1, &request).unwrap();
    answer.error_message.map(|text| text.to_string())
}

/// What DescribeGroups would call the state, or the error text, and what ListGroups says of types.
fn seen(wire: &mut Wire) -> (String, Vec<String>) {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let described = wire.ask(1, &request).unwrap().groups.remove(0);
    let described = described.error_message.unwrap_or(described.group_state);
    let listed = wire.ask(5, &ListGroupsRequest::default()).unwrap().groups;
    let types = listed.iter().map(|row| row.group_type.to_string());
    (described.to_string(), types.collect())
}

#[test]
fn a_commit_of_which_nothing_is_kept_makes_a_group_for_writers() {
    let (_cluster, mut wire) = coordinator();
    let missing = Some("Consumer group g not found.".to_owned());
    assert_eq!(heartbeat(&mut wire, 1), missing);
    assert_eq!(
        commit(&mut wire, METADATA_BYTES),
        ResponseError::OffsetMetadataTooLarge.code()
    );
    let classic = "Group g is not a consumer group.".to_owned();
    assert_eq!(heartbeat(&mut wire, 1), Some(classic.clone()));
    assert_eq!(seen(&mut wire), ("Group g not found.".to_owned(), vec![]));

    assert_eq!(commit(&mut wire, 0), 0);
    assert_eq!(seen(&mut wire), (classic, vec!["classic".to_owned()]));
}

#[test]
fn an_unknown_classic_member_ends_an_emptied_group_for_writers() {
    let (_cluster, mut wire) = coordinator();
    assert_eq!(heartbeat(&mut wire, 0), None);
    assert_eq!(heartbeat(&mut wire, -1), None);
    let consumer = ("Empty".to_owned(), vec!["consumer".to_owned()]);
    assert_eq!(seen(&mut wire), consumer);

    let protocol =
        JoinGroupRequestProtocol::default().with_name(StrBytes::from_static_str("range"));
    let join = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(30_000)
        .with_member_id(StrBytes::from_static_str("stranger"))
        .with_protocol_type(StrBytes::from_static_str("consumer"))
        .with_protocols(vec![protocol]);
    let code = wire.ask(9, &join).unwrap().error_code;
    assert_eq!(code, ResponseError::UnknownMemberId.code());
    let missing = Some("Consumer group g not found.".to_owned());
    assert_eq!(heartbeat(&mut wire, 1), missing);
    assert_eq!(seen(&mut wire), consumer);

    assert_eq!(commit(&mut wire, 0), 0);
    assert_eq!(seen(&mut wire).1, ["classic"]);
}
