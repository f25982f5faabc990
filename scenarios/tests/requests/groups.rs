//! Groups: who is in them, what they have committed, and commits for them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::embedded::{After, ApiKey, Effect, EmbeddedCluster, Fault, ResponseError, Settings};
use engine::cluster::{
    Cluster, ClusterError, Committed, ErrorCode, GroupKind, GroupState, NewOffset,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use scenarios::client::{numbered, unique};
use scenarios::{Kind, on_every_kind};

use crate::{engine_of, runtime};

on_every_kind! {
    a_group_with_members_refuses_and_an_empty_one_takes_the_commit,
    every_kind_of_group_is_listed_with_its_state,
    a_thousand_groups_in_few_requests,
    a_group_that_is_not_there_has_no_offsets_and_no_state,
    a_group_that_must_not_be_seen_is_not_taken_for_absent,
    groups_outlive_their_coordinator,
}

const PATIENCE: Duration = Duration::from_secs(30);
const PROTOCOLS: [&str; 2] = ["classic", "consumer"];

/// A consumer in `group`, with partitions.
fn member(bootstrap: &str, group: &str, protocol: &str, topic: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", group)
        .set("group.protocol", protocol)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&[topic]).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while consumer.assignment().unwrap().count() == 0 {
        assert!(Instant::now() < deadline, "no partition for {group}");
        drop(consumer.poll(Duration::from_millis(50)));
    }
    consumer
}

fn new_offset(topic: &str, partition: i32, offset: i64) -> NewOffset {
    NewOffset {
        topic: topic.into(),
        partition,
        offset,
        metadata: format!("from the test, {offset}"),
    }
}

/// The code that all offsets of a commit were answered with.
fn code_of(result: Result<Vec<Committed>, ClusterError>) -> Option<ErrorCode> {
    let rows = result.unwrap();
    let code = |row: &Committed| row.refusal.as_ref().map(|refusal| refusal.code);
    let first = code(&rows[0]);
    assert!(rows.iter().all(|row| code(row) == first), "{rows:?}");
    first
}

async fn state_of(cluster: &Cluster, group: &str) -> GroupState {
    let states = cluster.group_states(&[group.into()]).await.unwrap();
    assert_eq!(states.len(), 1);
    states[0].1.clone().unwrap()
}

async fn offsets_of(cluster: &Cluster, group: &str) -> BTreeMap<(String, i32), (i64, String)> {
    let found = cluster.group_offsets(&[group.into()]).await.unwrap();
    assert_eq!((found.len(), &*found[0].0), (1, group));
    let rows = found.into_iter().next().unwrap().1.unwrap();
    rows.into_iter()
        .map(|row| {
            (
                (row.topic.to_string(), row.partition),
                (row.offset, row.metadata),
            )
        })
        .collect()
}

/// Goal: while somebody is in a group nothing is committed for it, in either protocol; before and after, it is.
fn a_group_with_members_refuses_and_an_empty_one_takes_the_commit(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let bootstrap = pair.west.bootstrap();
    let topic = unique("topic");
    let client = pair.west.client().unwrap();
    client.create_topic(&topic, 2, 1, &[]).unwrap();
    client.produce(&topic, &numbered(0..40, 2, 10)).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&bootstrap, &runtime);
    for protocol in PROTOCOLS {
        let group = unique(protocol);
        let commit = |offset| {
            let offsets = [new_offset(&topic, 0, offset), new_offset(&topic, 1, offset)];
            runtime.block_on(cluster.commit_offsets(&group, &offsets))
        };
        let state = || runtime.block_on(state_of(&cluster, &group));
        assert_eq!(state(), GroupState::Absent);
        assert_eq!(code_of(commit(5)), None);
        assert_eq!(state(), GroupState::Empty);

        let consumer = member(&bootstrap, &group, protocol, &topic);
        assert!(state().may_have_members(), "{}", state());
        let refused = Some(ErrorCode::UNKNOWN_MEMBER_ID);
        assert_eq!(code_of(commit(1)), refused, "{protocol}");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&topic, 1, Offset::Offset(7))
            .unwrap();
        consumer.commit(&list, CommitMode::Sync).unwrap();
        let found = runtime.block_on(offsets_of(&cluster, &group));
        assert_eq!(found[&(topic.clone(), 0)], (5, "from the test, 5".into()));
        assert_eq!(found[&(topic.clone(), 1)].0, 7);

        drop(consumer); // leaves
        let deadline = Instant::now() + PATIENCE;
        while state() != GroupState::Empty {
            assert!(Instant::now() < deadline, "{group} is {}", state());
        }
        assert_eq!(code_of(commit(9)), None, "{protocol}");
        let found = runtime.block_on(offsets_of(&cluster, &group));
        assert!(found.values().all(|(offset, _)| *offset == 9), "{found:?}");
    }
}

fn every_kind_of_group_is_listed_with_its_state(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let bootstrap = pair.west.bootstrap();
    let topic = unique("topic");
    let client = pair.west.client().unwrap();
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&bootstrap, &runtime);
    let groups = ["classic", "consumer", "simple"].map(unique);
    let members = [0, 1].map(|at| member(&bootstrap, &groups[at], PROTOCOLS[at], &topic));
    runtime.block_on(async {
        let offsets = [new_offset(&topic, 0, 3)];
        assert_eq!(
            code_of(cluster.commit_offsets(&groups[2], &offsets).await),
            None
        );
        let listed = cluster.list_groups().await.unwrap();
        assert!(listed.unanswered.is_empty());
        let known: BTreeMap<_, _> = listed.groups.iter().map(|g| (&*g.id, g)).collect();
        let [classic, consumer, simple] = [0, 1, 2].map(|at| known[&*groups[at]]);
        assert_eq!(
            (classic.kind, classic.state),
            (GroupKind::Classic, GroupState::Stable)
        );
        assert_eq!(classic.protocol_type, "consumer");
        assert_eq!(
            (consumer.kind, consumer.state),
            (GroupKind::Consumer, GroupState::Stable)
        );
        assert_eq!(
            (simple.kind, simple.state),
            (GroupKind::Classic, GroupState::Empty)
        );
        assert_eq!(simple.protocol_type, "");
        assert!(
            [classic, consumer, simple]
                .iter()
                .all(|g| g.is_of_consumers())
        );
    });
    drop(members);
}

/// Goal: 1,000 groups cost a few requests each way, not a thousand.
/// Method: committed, read back and described in bulk; the time is far below what one by one could take.
fn a_thousand_groups_in_few_requests(kind: Kind) {
    const GROUPS: i64 = 1_000;
    let pair = kind.shared_pair().unwrap();
    let topic = unique("topic");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, 4, 1, &[]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    let prefix = unique("many");
    let groups: Vec<Arc<str>> = (0..GROUPS)
        .map(|at| format!("{prefix}-{at}").into())
        .collect();
    runtime.block_on(async {
        let started = Instant::now();
        let offsets = |at| {
            (0..4)
                .map(|p| new_offset(&topic, p, at))
                .collect::<Vec<_>>()
        };
        let commits = groups.iter().cloned().zip((0..GROUPS).map(offsets));
        let committed = cluster.commit_many(commits.collect()).await;
        assert_eq!(committed.len(), groups.len());
        for (group, result) in committed {
            assert_eq!(code_of(result), None, "{group}");
        }
        eprintln!("{GROUPS} groups committed in {:?}", started.elapsed());

        let started = Instant::now();
        let mut found = cluster.group_offsets(&groups).await.unwrap();
        eprintln!("{GROUPS} groups fetched in {:?}", started.elapsed());
        assert_eq!(found.len(), groups.len());
        found.sort_by_key(|(group, _)| group[prefix.len() + 1..].parse::<i64>().unwrap());
        for (at, (group, rows)) in (0..).zip(found) {
            let rows = rows.unwrap();
            assert_eq!(rows.len(), 4, "{group}");
            assert!(rows.iter().all(|row| row.offset == at), "{group}: {rows:?}");
            assert!(rows.iter().all(|row| row.leader_epoch == -1), "{group}");
        }
        let started = Instant::now();
        let states = cluster.group_states(&groups).await.unwrap();
        eprintln!("{GROUPS} groups described in {:?}", started.elapsed());
        assert_eq!(states.len(), groups.len());
        let empty = |(_, state): &(_, Result<_, _>)| state == &Ok(GroupState::Empty);
        assert!(states.iter().all(empty));
    });
}

fn a_group_that_is_not_there_has_no_offsets_and_no_state(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    let topic = unique("topic");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    runtime.block_on(async {
        assert!(offsets_of(&cluster, &unique("nobody")).await.is_empty());
        assert_eq!(
            state_of(&cluster, &unique("nobody")).await,
            GroupState::Absent
        );
        // A missing partition is refused; the others of the commit are taken.
        let group = unique("partly");
        let offsets = [new_offset(&topic, 0, 2), new_offset(&topic, 8, 2)];
        let rows = cluster.commit_offsets(&group, &offsets).await.unwrap();
        let code = |at: usize| rows[at].refusal.as_ref().map(|refusal| refusal.code);
        assert_eq!(code(0), None);
        assert_eq!(code(1), Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
        assert_eq!(offsets_of(&cluster, &group).await.len(), 1);
        assert!(
            cluster
                .commit_offsets(&group, &[])
                .await
                .unwrap()
                .is_empty()
        );
    });
}

/// The lists leave out what we may not DESCRIBE: that must not look like a group that is free to be written to.
fn a_group_that_must_not_be_seen_is_not_taken_for_absent(kind: Kind) {
    use kafka_protocol::messages::CreateAclsRequest;
    use kafka_protocol::messages::create_acls_request::AclCreation;
    let extra = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("allow.everyone.if.no.acl.found", "true"),
    ];
    let cluster = kind.start("guarded", 1, &extra).unwrap();
    let reserved = AclCreation::default()
        .with_resource_type(3) // group
        .with_resource_name("theirs".into())
        .with_resource_pattern_type(3) // literal
        .with_principal("User:somebody".into())
        .with_host("*".into())
        .with_operation(3) // read
        .with_permission_type(3); // allow
    let request = CreateAclsRequest::default().with_creations(vec![reserved]);
    let mut raw = scenarios::RawClient::connect(&cluster.bootstrap()).unwrap();
    let answer = raw.send(3, &request).unwrap();
    assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    runtime.block_on(async {
        let groups: [Arc<str>; 2] = ["theirs".into(), "free".into()];
        let refused = ErrorCode::GROUP_AUTHORIZATION_FAILED;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let states: BTreeMap<_, _> = engine
                .group_states(&groups)
                .await
                .unwrap()
                .into_iter()
                .collect();
            match &states[&groups[0]] {
                Err(refusal) if states[&groups[1]] == Ok(GroupState::Absent) => {
                    break assert_eq!(refusal.code, refused);
                }
                // An entry takes a moment to reach the broker from the controller, as a first coordinator does to start.
                _ => assert!(Instant::now() < deadline, "{states:?}"),
            }
        }
        let found: BTreeMap<_, _> = engine
            .group_offsets(&groups)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let code = |group| found[group].as_ref().map_err(|refusal| refusal.code);
        assert_eq!(code(&groups[0]), Err(refused));
        assert_eq!(code(&groups[1]), Ok(&Vec::new()));
    });
}

/// Goal: a coordinator that dies, and one that has moved, cost time and nothing else.
fn groups_outlive_their_coordinator(kind: Kind) {
    let extra = [("offsets.topic.num.partitions", "3")];
    let cluster = kind.start("trio", 3, &extra).unwrap();
    let client = cluster.client().unwrap();
    client.create_topic("orders", 1, 3, &[]).unwrap();
    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    let groups: Vec<Arc<str>> = (0..30).map(|at| format!("group-{at}").into()).collect();
    let commit = |offset| {
        let each = |group: &Arc<str>| (group.clone(), vec![new_offset("orders", 0, offset)]);
        let all = groups.iter().map(each).collect();
        let results = runtime.block_on(engine.commit_many(all));
        results
            .into_iter()
            .all(|(_, result)| result.is_ok_and(|rows| rows[0].refusal.is_none()))
    };
    let fetched = |offset| {
        let found = runtime.block_on(engine.group_offsets(&groups)).unwrap();
        let right = |rows: &Result<Vec<engine::cluster::GroupOffset>, _>| {
            rows.as_ref()
                .is_ok_and(|rows| rows.len() == 1 && rows[0].offset == offset)
        };
        found.len() == groups.len() && found.iter().all(|(_, rows)| right(rows))
    };
    let eventually = |what: &str, mut done: Box<dyn FnMut() -> bool + '_>| {
        let started = Instant::now();
        while !done() {
            assert!(started.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(Duration::from_millis(50));
        }
        eprintln!("{what} after {:?}", started.elapsed());
    };
    eventually("committed", Box::new(|| commit(1)));
    for (node, offset) in [(1, 2), (2, 3)] {
        cluster.broker(node).kill().unwrap();
        eventually("fetched", Box::new(|| fetched(offset - 1)));
        eventually("committed", Box::new(|| commit(offset)));
        cluster.broker(node).start().unwrap();
        eventually("fetched", Box::new(|| fetched(offset)));
    }
    let listed = runtime.block_on(engine.list_groups()).unwrap();
    assert!(listed.unanswered.is_empty(), "{:?}", listed.unanswered);
    assert_eq!(listed.groups.len(), groups.len());
}

/// Goal: what is only asked is asked again after a lost answer or a coordinator that moved; a commit only after the latter,
/// since the group may have gone on meanwhile.
#[test]
fn embedded_requests_are_repeated_where_that_is_harmless() {
    let cluster = EmbeddedCluster::start_with(Settings::default()).unwrap();
    let client = scenarios::KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("orders", 1, 1, &[]).unwrap();
    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    let groups: [Arc<str>; 2] = ["known".into(), "absent".into()];
    let lost = || Effect::LoseAnswer(After::Closed);
    let moved = || Effect::Error(ResponseError::NotCoordinator);
    let once = |api, effect| cluster.inject(Fault::new(effect).on_api(api).times(1));
    runtime.block_on(async {
        let known = [new_offset("orders", 0, 1)];
        let fault = once(ApiKey::OffsetCommit, moved());
        assert_eq!(code_of(engine.commit_offsets("known", &known).await), None);
        assert_eq!(fault.hits(), 1);
        for effect in [lost, moved] {
            let fault = once(ApiKey::OffsetFetch, effect());
            let found = engine.group_offsets(&groups).await.unwrap();
            assert!(found.iter().all(|(_, rows)| rows.is_ok()), "{found:?}");
            assert_eq!(fault.hits(), 1);
            let fault = once(ApiKey::DescribeGroups, effect());
            let states: BTreeMap<_, _> = engine
                .group_states(&groups)
                .await
                .unwrap()
                .into_iter()
                .collect();
            assert_eq!(states[&groups[0]], Ok(GroupState::Empty));
            assert_eq!(states[&groups[1]], Ok(GroupState::Absent));
            assert_eq!(fault.hits(), 1);
        }
        let fault = once(ApiKey::ListGroups, moved());
        assert_eq!(engine.list_groups().await.unwrap().groups.len(), 1);
        assert_eq!(fault.hits(), 1);

        let fault = cluster.inject(Fault::new(lost()).on_api(ApiKey::OffsetCommit).times(5));
        engine.commit_offsets("known", &known).await.unwrap_err();
        assert_eq!(fault.hits(), 1, "sent once");
    });
}
