use embedded::{EmbeddedCluster, Listener, Operation, Protocol, ResourcePattern};
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    BrokerId, CreateAclsRequest, CreateTopicsRequest, DeleteAclsRequest, DescribeAclsRequest,
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, TopicName,
};

use crate::client::Client;
use crate::{cluster, metadata};

const TOPIC_AUTHORIZATION_FAILED: i16 = 29;
const CLUSTER_AUTHORIZATION_FAILED: i16 = 31;
const INVALID_REQUEST: i16 = 42;
const SECURITY_DISABLED: i16 = 54;

/// With an authorizer; the plaintext listener's users are super users.
fn authorized() -> EmbeddedCluster {
    let listeners = vec![
        Listener::plaintext(),
        Listener::new("SASL", Protocol::SaslPlaintext),
    ];
    let properties = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS;User:admin"),
    ];
    cluster(listeners, &properties)
}

fn alice(cluster: &EmbeddedCluster) -> Client {
    let mut client = Client::plain(&cluster.bootstrap_of("SASL").unwrap());
    assert_eq!(
        client
            .login_plain("alice", "wonderland")
            .unwrap()
            .error_code,
        0
    );
    client
}

fn create_topic(admin: &mut Client, name: &'static str) {
    let topic = CreatableTopic::default()
        .with_name(TopicName(name.into()))
        .with_num_partitions(1)
        .with_replication_factor(1);
    let answer = admin.ask(
        7,
        &CreateTopicsRequest::default()
            .with_topics(vec![topic])
            .with_timeout_ms(5000),
    );
    assert_eq!(answer.unwrap().topics[0].error_code, 0);
}

fn list_offsets(client: &mut Client, topic: &'static str) -> i16 {
    let partition = ListOffsetsPartition::default()
        .with_timestamp(-1)
        .with_current_leader_epoch(-1);
    let topic = ListOffsetsTopic::default()
        .with_name(TopicName(topic.into()))
        .with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_topics(vec![topic]);
    client.ask(7, &request).unwrap().topics[0].partitions[0].error_code
}

#[test]
fn permissions_take_effect_at_once() {
    let cluster = authorized();
    create_topic(&mut Client::plain(&cluster.bootstrap()), "orders");
    let mut client = alice(&cluster);
    let by_name = |client: &mut Client, name: &'static str| {
        let topic = MetadataRequestTopic::default().with_name(Some(TopicName(name.into())));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(true)
            .with_include_topic_authorized_operations(true);
        let topic = client.ask(12, &request).unwrap().topics.remove(0);
        (topic.error_code, topic.topic_authorized_operations)
    };
    assert_eq!(
        metadata(&mut client).unwrap().topics.len(),
        0,
        "left out of all"
    );
    assert_eq!(by_name(&mut client, "orders").0, TOPIC_AUTHORIZATION_FAILED);
    assert_eq!(
        by_name(&mut client, "missing").0,
        TOPIC_AUTHORIZATION_FAILED
    );
    assert_eq!(
        list_offsets(&mut client, "orders"),
        TOPIC_AUTHORIZATION_FAILED
    );
    let pattern = || ResourcePattern::topic("ord").prefixed();
    cluster.allow("User:alice", Operation::Read, pattern());
    assert_eq!(metadata(&mut client).unwrap().topics.len(), 1);
    let read_and_describe = 1 << 3 | 1 << 8;
    assert_eq!(by_name(&mut client, "orders"), (0, read_and_describe));
    assert_eq!(list_offsets(&mut client, "orders"), 0);
    assert_ne!(
        by_name(&mut client, "ordinary").0,
        0,
        "reading does not allow to create"
    );
    cluster.deny(
        "User:*",
        Operation::Describe,
        ResourcePattern::topic("orders"),
    );
    assert_eq!(
        list_offsets(&mut client, "orders"),
        TOPIC_AUTHORIZATION_FAILED
    );
    assert_eq!(
        cluster.revoke(
            "User:*",
            Operation::Describe,
            &ResourcePattern::topic("orders")
        ),
        1
    );
    assert_eq!(list_offsets(&mut client, "orders"), 0);
    assert_eq!(cluster.revoke("User:alice", Operation::Read, &pattern()), 1);
    assert_eq!(
        list_offsets(&mut client, "orders"),
        TOPIC_AUTHORIZATION_FAILED
    );
}

#[test]
fn idempotent_producers_need_one_topic_to_write_to() {
    let cluster = authorized();
    let mut client = alice(&cluster);
    let request = InitProducerIdRequest::default()
        .with_transactional_id(None)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let mut ask = || client.ask(4, &request).unwrap().error_code;
    assert_eq!(ask(), CLUSTER_AUTHORIZATION_FAILED);
    cluster.allow(
        "User:alice",
        Operation::Write,
        ResourcePattern::topic("not there yet"),
    );
    assert_eq!(ask(), 0);
}

fn creation(name: &'static str) -> AclCreation {
    AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(name.into())
        .with_resource_pattern_type(3)
        .with_principal("User:alice".into())
        .with_host("*".into())
        .with_operation(3)
        .with_permission_type(3)
}

#[test]
fn entries_by_clients() {
    let cluster = authorized();
    let mut admin = Client::plain(&cluster.bootstrap());
    let create = |client: &mut Client, creations: Vec<AclCreation>| {
        let answer = client
            .ask(3, &CreateAclsRequest::default().with_creations(creations))
            .unwrap();
        answer
            .results
            .iter()
            .map(|result| result.error_code)
            .collect::<Vec<_>>()
    };
    let creations = vec![
        creation("orders"),
        creation("orders"),
        creation("ord").with_resource_pattern_type(4),
        creation(""),
        creation("x").with_resource_type(1),
        creation("x").with_resource_type(4),
        creation("kafka-cluster")
            .with_resource_type(4)
            .with_operation(8),
        creation("x").with_resource_pattern_type(2),
        creation("x").with_operation(1),
        creation("x").with_permission_type(1),
        creation("x").with_principal("alice".into()),
    ];
    let bad = INVALID_REQUEST;
    assert_eq!(
        create(&mut admin, creations),
        [0, 0, 0, bad, bad, bad, 0, bad, bad, bad, bad]
    );
    let unknown =
        CreateAclsRequest::default().with_creations(vec![creation("x").with_operation(99)]);
    assert!(
        Client::plain(&cluster.bootstrap())
            .ask(3, &unknown)
            .is_err(),
        "closed"
    );
    let mut client = alice(&cluster);
    assert_eq!(
        create(&mut client, vec![creation("x")]),
        [CLUSTER_AUTHORIZATION_FAILED]
    );
    let any = DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let described = client.ask(3, &any).unwrap();
    assert_eq!(
        described.error_code, 0,
        "alice may describe the cluster now"
    );
    let names = described.resources.iter().map(|row| {
        (
            row.resource_type,
            row.resource_name.as_str(),
            row.acls.len(),
        )
    });
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [(2, "ord", 1), (2, "orders", 1), (4, "kafka-cluster", 1)]
    );
    let matching = DeleteAclsFilter::default()
        .with_resource_type_filter(2)
        .with_resource_name_filter(Some("orders".into()))
        .with_pattern_type_filter(2)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1);
    let delete = DeleteAclsRequest::default().with_filters(vec![matching]);
    assert_eq!(
        client.ask(3, &delete).unwrap().filter_results[0].error_code,
        CLUSTER_AUTHORIZATION_FAILED
    );
    let deleted = admin.ask(3, &delete).unwrap();
    assert_eq!(deleted.filter_results[0].matching_acls.len(), 2);
    assert_eq!(admin.ask(3, &any).unwrap().resources.len(), 1);
}

#[test]
fn without_an_authorizer_there_are_no_entries() {
    let cluster = cluster(vec![Listener::plaintext()], &[]);
    let mut client = Client::plain(&cluster.bootstrap());
    let create = CreateAclsRequest::default().with_creations(vec![creation("orders")]);
    assert_eq!(
        client.ask(3, &create).unwrap().results[0].error_code,
        SECURITY_DISABLED
    );
    let any = DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1);
    assert_eq!(client.ask(3, &any).unwrap().error_code, SECURITY_DISABLED);
}
