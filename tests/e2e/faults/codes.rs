//! Error codes: those that pass, and those that somebody has to look at.

use embedded::{ApiKey, Effect, Fault, ResponseError};

use super::{Stage, await_hits, await_line};
use crate::flows::{await_exact, await_ids};
use scenarios::client::numbered;

/// Codes after which asking again may help, whatever was asked; some are never sent by 4.3.1 in answer to some of the requests below,
/// which is no reason to lose a partition over them.
const PASSING: [ResponseError; 17] = [
    ResponseError::UnknownServerError,
    ResponseError::UnknownTopicOrPartition,
    ResponseError::LeaderNotAvailable,
    ResponseError::NotLeaderOrFollower,
    ResponseError::RequestTimedOut,
    ResponseError::ReplicaNotAvailable,
    ResponseError::NetworkException,
    ResponseError::NotEnoughReplicas,
    ResponseError::NotEnoughReplicasAfterAppend,
    ResponseError::KafkaStorageError,
    ResponseError::FencedLeaderEpoch,
    ResponseError::UnknownLeaderEpoch,
    ResponseError::OffsetNotAvailable,
    ResponseError::PreferredLeaderNotAvailable,
    ResponseError::UnknownTopicId,
    ResponseError::InconsistentTopicId,
    ResponseError::BrokerNotAvailable,
];

/// Codes after which a client gives up, or looks after itself. A copy that runs for months outlives their cause: rights that were taken
/// away and are given back, a broker of another release that was there for an hour.
const STANDING: [ResponseError; 10] = [
    ResponseError::OffsetOutOfRange,
    ResponseError::CorruptMessage,
    ResponseError::InvalidTopicException,
    ResponseError::TopicAuthorizationFailed,
    ResponseError::ClusterAuthorizationFailed,
    ResponseError::UnsupportedVersion,
    ResponseError::InvalidRequest,
    ResponseError::UnsupportedForMessageFormat,
    ResponseError::SecurityDisabled,
    ResponseError::FetchSessionTopicIdError,
];

/// Goal: every code, in answer to ListOffsets on both sides and to Fetch: its partition says that it waits, for what, and comes through
/// exactly. Method: a topic for each code, all in one flow.
#[test]
fn every_code_is_named_and_survived() {
    const RECORDS: u64 = 50;
    const TIMES: u64 = 2;
    let stage = Stage::new("every", 1, 1);
    let source = stage.client_of_source();
    let mut cases = Vec::new();
    for code in PASSING.into_iter().chain(STANDING) {
        let topic = format!("{}-{}", stage.topic, code.code());
        source.create_topic(&topic, 1, 1, &[]).unwrap();
        source
            .produce(&topic, &numbered(0..RECORDS, 1, 100))
            .unwrap();
        let remote = stage.flow.remote(&topic);
        let fault = |api, topic: &str| {
            let fault = Fault::new(Effect::Error(code)).on_api(api);
            fault.on_topic(topic).times(TIMES)
        };
        let faults = [
            stage.at_source(fault(ApiKey::ListOffsets, &topic)),
            stage.at_target(fault(ApiKey::ListOffsets, &remote)),
            stage.at_source(fault(ApiKey::Fetch, &topic)),
        ];
        cases.push((code, topic, remote, faults));
    }
    let mut product = stage.flow.run_logging("info,actors=debug");
    for (code, topic, remote, faults) in &cases {
        for (fault, what) in
            faults
                .iter()
                .zip(["offsets of the source", "offsets of the target", "Fetch"])
        {
            await_hits(&format!("{code:?}: {what}"), fault, TIMES);
        }
        await_exact(&stage.client, remote, 0..RECORDS);
        let (at, name) = (format!("/{topic}-0"), format!("({})", code.code()));
        let refused = |alias: &str| format!("cluster {alias} refused ListOffsets");
        let mut asked = vec![refused(&stage.flow.source)];
        // A lane is taken over once its partition is served: these pass without a word.
        let passing = [
            ResponseError::UnknownTopicOrPartition,
            ResponseError::LeaderNotAvailable,
            ResponseError::NotLeaderOrFollower,
        ];
        if !passing.contains(code) {
            asked.push(refused(&stage.flow.target));
        }
        for what in &asked {
            await_line(&mut product, &["waiting", &at, what, &name]);
        }
        match code {
            // The position is in the log: so the log is just being cut, or another broker elected.
            ResponseError::OffsetOutOfRange => {
                await_line(&mut product, &["waiting", &at, "truncated or elected"]);
            }
            _ => await_line(&mut product, &["waiting", &at, "answers", &name]),
        }
    }
    super::finish(&mut product);
}

/// Goal: every code in answer to Metadata, on both sides, and coordinators that are away at first: nothing is stopped, lost or doubled.
#[test]
fn every_code_of_metadata_is_survived() {
    let stage = Stage::new("metadata", 1, 2);
    let coordinator = Effect::Error(ResponseError::CoordinatorNotAvailable);
    let coordinator = Fault::new(coordinator)
        .on_api(ApiKey::FindCoordinator)
        .times(3);
    let coordinators = stage.at_target(coordinator);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    for code in PASSING.into_iter().chain(STANDING) {
        let what = format!("{code:?}");
        let metadata = Fault::new(Effect::Error(code)).on_api(ApiKey::Metadata);
        let metadata = [
            stage.at_source(metadata.clone().times(1)),
            stage.at_target(metadata.times(1)),
        ];
        // What makes the product ask who leads.
        let moved = Effect::Error(ResponseError::NotLeaderOrFollower);
        let asked = [
            stage.at_source(stage.fetch(moved.clone(), 0).times(1)),
            stage.at_target(stage.produce(moved, 0).times(1)),
        ];
        for fault in metadata.iter().chain(&asked) {
            await_hits(&what, fault, 1);
        }
        stage.await_going_on(&what, &[0, 1]);
    }
    assert!(
        !product.output().contains("has it no more"),
        "{}",
        product.output()
    );
    assert_eq!(coordinators.hits(), 3, "coordinators that are away");
    stage.finish(&mut product, load);
}

/// Goal: every retriable code in answer to Fetch, Produce and Metadata, for partition 0: it comes through each exactly, and partition
/// 1 never stops. Method: one code after the other, on all three at once.
#[test]
fn retriable_codes_pass() {
    let stage = Stage::new("passing", 1, 2);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    for code in PASSING {
        let what = format!("{code:?}");
        let fetch = stage.at_source(stage.fetch(Effect::Error(code), 0).times(2));
        let produce = stage.at_target(stage.produce(Effect::Error(code), 0).times(2));
        let metadata = Fault::new(Effect::Error(code))
            .on_api(ApiKey::Metadata)
            .times(1);
        let metadata = [stage.at_source(metadata.clone()), stage.at_target(metadata)];
        await_hits(&what, &fetch, 2);
        await_hits(&what, &produce, 2);
        drop((fetch, produce, metadata));
        stage.await_going_on(&what, &[0, 1]);
    }
    stage.finish(&mut product, load);
}

/// Goal: a topic that the source lists with an error is not taken for one that is gone: nothing is stopped, started or doubled.
#[test]
fn a_listing_with_an_error_stops_nothing() {
    let stage = Stage::new("listed", 1, 2);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    for code in [
        ResponseError::UnknownTopicOrPartition,
        ResponseError::LeaderNotAvailable,
    ] {
        let untold = stage.at_source(Fault::new(Effect::Error(code)).on_api(ApiKey::Metadata));
        await_hits("rounds", &untold, 3);
        stage.await_going_on("listed with an error", &[0, 1]);
    }
    let told = "the topic's running partitions go on";
    await_line(&mut product, &[told, "UNKNOWN_TOPIC_OR_PARTITION (3)"]);
    await_line(&mut product, &["the topic is well again"]);
    let lines = product.output().matches(told).count();
    assert!(lines <= 2, "said {lines} times:\n{}", product.output());
    assert!(
        !product.output().contains("has it no more"),
        "{}",
        product.output()
    );
    stage.finish(&mut product, load);
}

/// Goal: codes at the start (creating topics, configs, producer ids, offsets, positions) delay it and are named, and that is all.
#[test]
fn codes_at_the_start_delay_it() {
    let stage = Stage::new("starting", 1, 2);
    let source = stage.client_of_source();
    source
        .produce(&stage.topic, &scenarios::client::numbered(0..1_000, 2, 100))
        .unwrap();
    let codes = [
        (ApiKey::CreateTopics, ResponseError::NotController),
        (ApiKey::CreateTopics, ResponseError::RequestTimedOut),
        (ApiKey::CreateTopics, ResponseError::PolicyViolation),
        (
            ApiKey::DescribeConfigs,
            ResponseError::UnknownTopicOrPartition,
        ),
        (
            ApiKey::InitProducerId,
            ResponseError::CoordinatorLoadInProgress,
        ),
        (
            ApiKey::InitProducerId,
            ResponseError::CoordinatorNotAvailable,
        ),
        (ApiKey::InitProducerId, ResponseError::NotCoordinator),
        (
            ApiKey::InitProducerId,
            ResponseError::ClusterAuthorizationFailed,
        ),
        (ApiKey::ListOffsets, ResponseError::LeaderNotAvailable),
        (ApiKey::ListOffsets, ResponseError::NotLeaderOrFollower),
        (ApiKey::ListOffsets, ResponseError::OffsetNotAvailable),
    ];
    let inject = |(api, code)| stage.at_target(Fault::new(Effect::Error(code)).on_api(api));
    let mut product = None;
    let mut last = None;
    for code in codes {
        // In place before the last one ends, so that nothing slips through between them.
        let handle = inject(code);
        drop(last.take());
        product.get_or_insert_with(|| stage.flow.run());
        await_hits(&format!("{code:?}"), &handle, handle.hits() + 1);
        last = Some(handle);
    }
    drop(last);
    let mut product = product.unwrap();
    await_exact(&stage.client, &stage.remote, 0..1_000);
    super::finish(&mut product);
}

/// Goal: what does not pass: a denied right is waited for under its name and taken up when it is given; a batch that the target
/// refuses for good halts its partition under its name, until a restart. The other partition goes on meanwhile.
#[test]
fn denied_and_refused() {
    let stage = Stage::new("denied", 1, 2);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    let denied = Effect::Error(ResponseError::TopicAuthorizationFailed);
    let sides = [
        stage.at_source(stage.fetch(denied.clone(), 0)),
        stage.at_target(stage.produce(denied, 0)),
    ];
    for (handle, alias) in sides
        .into_iter()
        .zip([&stage.flow.source, &stage.flow.target])
    {
        await_hits(alias, &handle, 3);
        stage.await_going_on(alias, &[1]);
    }
    // The whole topic, by the authorizer.
    let read = stage.at_source(
        Fault::new(Effect::DenyAuthorization)
            .on_topic(&stage.topic)
            .on_api(ApiKey::Fetch),
    );
    await_line(
        &mut product,
        &[
            "partitions do not run",
            "waiting",
            "TOPIC_AUTHORIZATION_FAILED (29)",
        ],
    );
    drop(read);
    let write = stage.at_target(
        Fault::new(Effect::DenyAuthorization)
            .on_topic(&stage.remote)
            .on_api(ApiKey::Produce),
    );
    await_hits("write denied", &write, 3);
    drop(write);
    stage.await_going_on("rights are back", &[0, 1]);
    let refused = stage.at_target(stage.produce(Effect::Error(ResponseError::InvalidRecord), 0));
    await_line(
        &mut product,
        &[
            "halted: an operator",
            &format!("{}-0", stage.topic),
            "INVALID_RECORD (87)",
        ],
    );
    stage.await_going_on("partition 0 halted", &[1]);
    drop(refused);
    crate::flows::stop(&mut product);
    product.restart().unwrap();
    stage.await_going_on("restarted", &[0, 1]);
    let ids = load.stop();
    let found = await_ids(&stage.client, &stage.remote, ids);
    assert!(found.is_exact(), "{found}");
    super::finish(&mut product);
}
