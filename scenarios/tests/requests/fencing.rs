//! Taking lanes over: the last owner's late writes are refused.

use std::time::{Duration, Instant};

use ::embedded::{After, ApiKey, Effect, EmbeddedCluster, Fault, ResponseError, Settings};
use batch::{BatchBuilder, Codec, ProducerStamp, RawBatch};
use engine::cluster::{Cluster, ClusterError, ErrorCode, FenceError, Fenced, OffsetAt};
use kafka_protocol::messages::CreateAclsRequest;
use kafka_protocol::messages::create_acls_request::AclCreation;
use scenarios::client::unique;
use scenarios::{Kind, RawClient, on_every_kind};

use crate::{engine_of, runtime};

on_every_kind! {
    a_late_write_of_the_last_owner_is_refused,
    of_owners_that_race_the_last_one_owns,
    without_the_permission_that_is_what_is_said,
    a_refresh_keeps_the_producer_id_and_raises_the_epoch,
    lanes_are_taken_over_many_at_once,
    a_takeover_finds_the_next_coordinator,
    a_missing_partition_is_an_error_and_leaves_nothing_open,
}

/// A batch of one record.
fn batch() -> RawBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder
        .push(1_700_000_000_000, None, Some(b"late"), &[])
        .unwrap();
    builder.build().unwrap()
}

async fn write(
    cluster: &Cluster,
    topic: &str,
    owner: Fenced,
    sequence: i32,
) -> Result<(), ClusterError> {
    let producer = ProducerStamp {
        producer_id: owner.producer_id,
        producer_epoch: owner.epoch,
        base_sequence: sequence,
        transactional: false,
    };
    let patience = Duration::from_secs(30);
    (cluster.append(topic, 0, batch(), producer, patience)).await
}

async fn log_end(cluster: &Cluster, topic: &str) -> i64 {
    cluster.offset(topic, 0, OffsetAt::Latest).await.unwrap()
}

#[track_caller]
fn assert_refused(result: Result<(), ClusterError>, what: &str) {
    let code = result.err().and_then(|error| error.code());
    assert_eq!(code, Some(ErrorCode::INVALID_PRODUCER_EPOCH), "{what}");
}

/// Goal: from the moment a takeover returns, nothing of an earlier owner enters the log.
/// Method: an owner writes as fast as it can while another one takes over; after that its next write and a resend of its
/// last are refused, and the log grows by the new owner's writes alone. Many rounds: the race is about microseconds.
fn a_late_write_of_the_last_owner_is_refused(kind: Kind) {
    const ROUNDS: usize = 60;
    let pair = kind.shared_pair().unwrap();
    let topic = unique("lane");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    // Its connections are its own: a takeover must not queue behind these writes.
    let other = engine_of(&pair.east.bootstrap(), &runtime);
    runtime.block_on(async {
        let mut owner = cluster.fence(&topic, &topic, 0).await.unwrap();
        assert_eq!(log_end(&cluster, &topic).await, 1, "the marker");
        for round in 0..ROUNDS {
            let zombie = {
                let (other, topic) = (other.clone(), topic.clone());
                tokio::spawn(async move {
                    let mut sequence = 0;
                    loop {
                        match write(&other, &topic, owner, sequence).await {
                            Ok(()) => sequence += 1,
                            refused => return (sequence, refused),
                        }
                    }
                })
            };
            let next = cluster.fence(&topic, &topic, 0).await.unwrap();
            let tail = log_end(&cluster, &topic).await;
            assert_eq!(next.producer_id, owner.producer_id, "round {round}");
            assert!(next.epoch > owner.epoch, "round {round}");
            let (written, refused) = zombie.await.unwrap();
            assert_refused(refused, "the write that ran into the takeover");
            assert_refused(
                write(&cluster, &topic, owner, written).await,
                "the next one",
            );
            assert_refused(
                write(&cluster, &topic, owner, (written - 1).max(0)).await,
                "a resend",
            );
            assert_eq!(log_end(&cluster, &topic).await, tail, "round {round}");
            write(&cluster, &topic, next, 0).await.unwrap();
            assert_eq!(log_end(&cluster, &topic).await, tail + 1, "round {round}");
            owner = next;
        }
    });
}

/// Goal: two takeovers at once end with one owner, and who does not own the lane learns it.
/// Method: both at once, from two engines; of those that succeeded, only the one with the highest epoch can write.
fn of_owners_that_race_the_last_one_owns(kind: Kind) {
    const ROUNDS: usize = 40;
    let pair = kind.shared_pair().unwrap();
    let topic = unique("race");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let runtime = runtime();
    let engines = [(); 2].map(|()| engine_of(&pair.east.bootstrap(), &runtime));
    let mut overtaken = 0;
    runtime.block_on(async {
        for round in 0..ROUNDS {
            let take = |at: usize| engines[at].fence(&topic, &topic, 0);
            let (one, other) = tokio::join!(take(0), take(1));
            let mut owners = Vec::new();
            for result in [one, other] {
                match result {
                    Ok(owner) => owners.push(owner),
                    Err(FenceError::Overtaken(_)) => overtaken += 1,
                    Err(error) => panic!("round {round}: {error}"),
                }
            }
            owners.sort_by_key(|owner| owner.epoch);
            let owner = owners.pop().unwrap();
            for earlier in owners {
                assert_refused(
                    write(&engines[0], &topic, earlier, 0).await,
                    "the earlier one",
                );
            }
            write(&engines[1], &topic, owner, 0).await.unwrap();
        }
    });
    eprintln!("{overtaken} of {ROUNDS} races were lost on the way");
}

/// The cluster is open but for one transactional id, which an entry reserves for somebody else.
fn without_the_permission_that_is_what_is_said(kind: Kind) {
    let extra = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("allow.everyone.if.no.acl.found", "true"),
    ];
    let cluster = kind.start("guarded", 1, &extra).unwrap();
    cluster
        .client()
        .unwrap()
        .create_topic("orders", 1, 1, &[])
        .unwrap();
    let reserved = AclCreation::default()
        .with_resource_type(5) // transactional id
        .with_resource_name("theirs".into())
        .with_resource_pattern_type(3) // literal
        .with_principal("User:somebody".into())
        .with_host("*".into())
        .with_operation(4) // write
        .with_permission_type(3); // allow
    let request = CreateAclsRequest::default().with_creations(vec![reserved]);
    let mut raw = RawClient::connect(&cluster.bootstrap()).unwrap();
    let answer = raw.send(3, &request).unwrap();
    assert_eq!(answer.results[0].error_code, 0, "{answer:?}");

    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    runtime.block_on(async {
        engine.fence("ours", "orders", 0).await.unwrap();
        // An entry takes a moment to reach the broker from the controller.
        let deadline = Instant::now() + Duration::from_secs(10);
        let error = loop {
            match engine.fence("theirs", "orders", 0).await {
                Ok(_) if Instant::now() < deadline => {}
                result => break result.unwrap_err(),
            }
        };
        let code = ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
        assert!(
            matches!(&error, FenceError::NotPermitted(refusal) if refusal.code == code),
            "{error}"
        );
        // The way without the permission stays: an id of one's own.
        let (producer_id, epoch) = engine.new_producer_id().await.unwrap();
        let owner = Fenced { producer_id, epoch };
        write(&engine, "orders", owner, 0).await.unwrap();
    });
}

fn a_refresh_keeps_the_producer_id_and_raises_the_epoch(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let topic = unique("refreshed");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    runtime.block_on(async {
        let refresh = |owner: Fenced| cluster.refresh_fence(&topic, owner.producer_id, owner.epoch);
        let first = cluster.fence(&topic, &topic, 0).await.unwrap();
        for sequence in 0..3 {
            write(&cluster, &topic, first, sequence).await.unwrap();
        }
        let ours = |owner: Fenced| cluster.still_owns(&topic, owner);
        ours(first).await.unwrap();
        let second = refresh(first).await.unwrap();
        // After a refresh there is nothing that could be ended; that is no "no".
        ours(second).await.unwrap();
        assert_eq!(second.producer_id, first.producer_id);
        assert_eq!(second.epoch, first.epoch + 1);
        // Asked again, as after a lost answer: the same.
        assert_eq!(refresh(first).await.unwrap(), second);
        write(&cluster, &topic, second, 0).await.unwrap();
        assert_refused(write(&cluster, &topic, first, 3).await, "the old epoch");
        // One marker, four records: a refresh leaves nothing in the log.
        assert_eq!(log_end(&cluster, &topic).await, 5);

        let stranger = cluster.fence(&topic, &topic, 0).await.unwrap();
        assert_eq!(stranger.producer_id, first.producer_id);
        for lost in [first, second] {
            let answer = ours(lost).await;
            assert!(
                matches!(answer, Err(FenceError::Overtaken(_))),
                "{answer:?}"
            );
        }
        let error = refresh(second).await.unwrap_err();
        assert!(
            matches!(&error, FenceError::Overtaken(refusal)
                if refusal.code == ErrorCode::PRODUCER_FENCED),
            "{error}"
        );
    });
}

fn lanes_are_taken_over_many_at_once(kind: Kind) {
    const LANES: i32 = 400;
    let pair = kind.shared_pair().unwrap();
    let topic = unique("lanes");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, LANES, 1, &[]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    let started = Instant::now();
    let owners = runtime.block_on(async {
        let mut lanes = tokio::task::JoinSet::new();
        for partition in 0..LANES {
            let (cluster, topic) = (cluster.clone(), topic.clone());
            lanes.spawn(async move {
                let id = format!("{topic}-{partition}");
                cluster.fence(&id, &topic, partition).await.unwrap()
            });
        }
        lanes.join_all().await
    });
    eprintln!("{LANES} lanes in {:?}", started.elapsed());
    let ids: std::collections::BTreeSet<_> = owners.iter().map(|o| o.producer_id).collect();
    assert_eq!(ids.len(), owners.len(), "each lane has an id of its own");
    for (earliest, end) in client.watermarks(&topic).unwrap() {
        assert_eq!((earliest, end), (0, 1));
    }
}

/// Goal: the death of a coordinator is no reason to give up, nor is one that was right a minute ago.
fn a_takeover_finds_the_next_coordinator(kind: Kind) {
    let extra = [
        ("transaction.state.log.replication.factor", "3"),
        ("transaction.state.log.num.partitions", "3"),
    ];
    let cluster = kind.start("trio", 3, &extra).unwrap();
    let client = cluster.client().unwrap();
    client.create_topic("orders", 1, 3, &[]).unwrap();
    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    runtime.block_on(async {
        let mut last = engine.fence("lane", "orders", 0).await.unwrap();
        for node in 1..=3 {
            cluster.broker(node).kill().unwrap();
            let started = Instant::now();
            // The partition's leader may be the dead one too: the marker waits for the next.
            let next = engine.fence("lane", "orders", 0).await.unwrap();
            eprintln!(
                "taken over {:?} after broker {node} died",
                started.elapsed()
            );
            assert_eq!(next.producer_id, last.producer_id);
            cluster.broker(node).start().unwrap();
            let refused = loop {
                match write(&engine, "orders", last, 0).await {
                    Err(error) if error.code().is_none() => {
                        let now = tokio::time::Instant::now();
                        engine.refresh("orders", now).await.unwrap();
                    }
                    result => break result,
                }
            };
            assert_refused(refused, "the owner before the crash");
            last = next;
        }
    });
}

fn a_missing_partition_is_an_error_and_leaves_nothing_open(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let topic = unique("small");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, 1, 1, &[]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    runtime.block_on(async {
        let error = cluster.fence(&topic, &topic, 7).await.unwrap_err();
        assert!(
            matches!(&error, FenceError::Failed(failed)
                if failed.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
            "{error}"
        );
        let owner = cluster.fence(&topic, &topic, 0).await.unwrap();
        write(&cluster, &topic, owner, 0).await.unwrap();
    });
}

/// Goal: no answer that is lost, and no passing error, makes a takeover fail or succeed wrongly.
/// Method: faults that real brokers cannot be made to show on command, one kind after the other.
#[test]
fn embedded_takeovers_go_through_lost_answers_and_passing_errors() {
    let cluster = EmbeddedCluster::start_with(Settings::default()).unwrap();
    let client = scenarios::KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("orders", 1, 1, &[]).unwrap();
    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    let passing = [
        Effect::LoseAnswer(After::Closed),
        Effect::Reset,
        Effect::Error(ResponseError::NotCoordinator),
        Effect::Error(ResponseError::CoordinatorNotAvailable),
        Effect::Error(ResponseError::CoordinatorLoadInProgress),
        Effect::Error(ResponseError::ConcurrentTransactions),
    ];
    runtime.block_on(async {
        let mut last = engine.fence("lane", "orders", 0).await.unwrap();
        for api in [
            ApiKey::InitProducerId,
            ApiKey::AddPartitionsToTxn,
            ApiKey::EndTxn,
        ] {
            for effect in &passing {
                let fault = Fault::new(effect.clone()).on_api(api).times(2);
                let injected = cluster.inject(fault);
                let next = engine.fence("lane", "orders", 0).await.unwrap();
                assert_eq!(injected.hits(), 2, "{api:?} {effect:?}");
                assert_eq!(next.producer_id, last.producer_id);
                assert_refused(
                    write(&engine, "orders", last, 0).await,
                    &format!("{api:?} {effect:?}"),
                );
                write(&engine, "orders", next, 0).await.unwrap();
                last = next;
            }
        }
    });
}
