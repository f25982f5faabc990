//! What goes wrong on the way from a group's commit to the target, between two embedded clusters.

use std::collections::BTreeMap;

use embedded::{ApiKey, Effect, Fault, ResponseError};

use scenarios::client::{KafkaClient, numbered, unique};
use scenarios::{Cluster, Embedded, Product, await_that, server_properties};

use super::{await_committed, await_copied, commit};
use crate::flows::{Flow, PATIENCE, stop};
use crate::internal_topics::{checkpoints_in, offset_syncs};

/// Two clusters of their own with 100 records on the source, and a flow that syncs groups.
struct Stage {
    east: Embedded,
    west: Embedded,
    flow: Flow,
    topic: String,
    copy: String,
    group: String,
    source: KafkaClient,
    target: KafkaClient,
}

impl Stage {
    fn new(name: &str) -> Self {
        let start = |alias| Embedded::start(alias, 1, server_properties(1, &[])).unwrap();
        let (east, west) = (start("east"), start("west"));
        let (source, target) = (east.client().unwrap(), west.client().unwrap());
        let topic = unique(name);
        source.create_topic(&topic, 1, 1, &[]).unwrap();
        source.produce(&topic, &numbered(0..100, 1, 20)).unwrap();
        let flow = Flow::new(name, &east, &west, &topic).with("sync.group.offsets.enabled = true");
        let (copy, group) = (flow.remote(&topic), format!("{topic}-group"));
        Self {
            east,
            west,
            flow,
            topic,
            copy,
            group,
            source,
            target,
        }
    }

    fn run(&self) -> Product {
        let product = self.flow.run();
        await_copied(&self.source, &self.topic, &self.target, &self.copy);
        product
    }

    fn checkpoints(&self) -> String {
        format!("{}.checkpoints.internal", self.flow.source)
    }

    fn commit(&self, offset: i64) -> BTreeMap<i32, i64> {
        let offsets = BTreeMap::from([(0, offset)]);
        let (from, to) = ((&self.source, &*self.topic), (&self.target, &*self.copy));
        commit(from, to, &self.group, &offsets)
    }

    fn committed(&self) -> BTreeMap<i32, i64> {
        self.target.committed(&self.group, &self.copy).unwrap()
    }

    fn await_committed(&self, expected: &BTreeMap<i32, i64>) {
        await_committed(&self.target, &self.group, &self.copy, expected);
    }
}

/// Goal: without READ on the checkpoints topic, groups are followed all the same, and it is said.
#[test]
fn ks_02_checkpoints_that_may_not_be_read() {
    let stage = Stage::new("ks02");
    let forbidden = Fault::new(Effect::Error(ResponseError::TopicAuthorizationFailed));
    let forbidden = forbidden
        .on_api(ApiKey::Fetch)
        .on_topic(&stage.checkpoints());
    // There is something to read.
    let mut product = stage.run();
    stage.await_committed(&stage.commit(10));
    stop(&mut product);
    let forbidden = stage
        .west
        .cluster()
        .inject(forbidden.of_client("connector-producer-"));
    product.restart().unwrap();
    product
        .await_output("checkpoints cannot be read", PATIENCE)
        .unwrap();
    stage.await_committed(&stage.commit(50));
    assert!(forbidden.hits() > 0);
    stop(&mut product);
}

/// Goal: before the old checkpoints are read, none is written and no group is moved; then both are.
#[test]
fn kt_09_nothing_before_checkpoints_are_read() {
    let stage = Stage::new("kt09");
    let mut product = stage.run();
    stage.await_committed(&stage.commit(10));
    stop(&mut product);
    let written = checkpoints_in(&stage.target, &stage.checkpoints());
    let broken = Fault::new(Effect::Error(ResponseError::UnknownServerError));
    let broken = broken.on_api(ApiKey::Fetch).on_topic(&stage.checkpoints());
    let broken = stage
        .west
        .cluster()
        .inject(broken.of_client("connector-producer-"));
    product.restart().unwrap();
    let before = stage.committed();
    let there = stage.commit(50);
    await_that("several attempts", PATIENCE, || broken.hits() >= 3).unwrap();
    assert_eq!(stage.committed(), before);
    broken.clear();
    stage.await_committed(&there);
    let all = checkpoints_in(&stage.target, &stage.checkpoints());
    assert_eq!(all[..written.len()], written);
    assert_eq!(all.len(), written.len() + 1, "{all:?}");
    stop(&mut product);
}

/// Goal: whatever a coordinator answers to a commit, the group arrives once that has passed.
#[test]
fn refused_commits_are_made_up_for() {
    let stage = Stage::new("refused");
    let mut product = stage.run();
    stage.await_committed(&stage.commit(1));
    let mut offset = 1;
    for code in [
        ResponseError::NotCoordinator,
        ResponseError::CoordinatorNotAvailable,
        ResponseError::CoordinatorLoadInProgress,
        ResponseError::UnknownMemberId,
        ResponseError::GroupAuthorizationFailed,
        ResponseError::UnknownTopicOrPartition,
        ResponseError::UnknownServerError,
    ] {
        offset += 10;
        let fault = Fault::new(Effect::Error(code)).on_api(ApiKey::OffsetCommit);
        let fault = fault.of_client("connector-producer-").times(1);
        let fault = stage.west.cluster().inject(fault);
        stage.await_committed(&stage.commit(offset));
        assert_eq!(fault.hits(), 1, "{code:?}");
    }
    stop(&mut product);
}

/// Goal: the source's coordinators and brokers stumble; no commit is missed for long.
#[test]
fn a_source_that_stumbles_is_asked_again() {
    let stage = Stage::new("stumbles");
    let mut product = stage.run();
    let mut offset = 0;
    for (code, api) in [
        (ResponseError::NotCoordinator, ApiKey::OffsetFetch),
        (
            ResponseError::CoordinatorLoadInProgress,
            ApiKey::OffsetFetch,
        ),
        (ResponseError::GroupAuthorizationFailed, ApiKey::OffsetFetch),
        (
            ResponseError::CoordinatorNotAvailable,
            ApiKey::FindCoordinator,
        ),
        (ResponseError::CoordinatorNotAvailable, ApiKey::ListGroups),
    ] {
        offset += 10;
        let fault = Fault::new(Effect::Error(code)).on_api(api);
        let fault = fault.of_client(&stage.flow.source).times(1);
        let fault = stage.east.cluster().inject(fault);
        stage.await_committed(&stage.commit(offset));
        // A coordinator that is known is not looked for; groups are listed every other second.
        if api != ApiKey::FindCoordinator {
            await_that(&format!("{code:?}"), PATIENCE, || fault.hits() == 1).unwrap();
        }
    }
    stop(&mut product);
}

/// Goal: an offset sync whose answer is lost is written again, and copying does not care.
#[test]
fn offset_syncs_that_cannot_be_written_are_written_later() {
    let stage = Stage::new("syncs");
    let topic = format!("mm2-offset-syncs.{}.internal", stage.flow.target);
    let refused = Fault::new(Effect::Error(ResponseError::TopicAuthorizationFailed));
    let refused = refused.on_api(ApiKey::Produce).on_topic(&topic);
    let refused = stage
        .east
        .cluster()
        .inject(refused.of_client(&stage.flow.source));
    let mut product = stage.run();
    product
        .await_output("offset syncs are not written", PATIENCE)
        .unwrap();
    assert!(refused.hits() > 0);
    refused.clear();
    product
        .await_output("offset syncs are written again", PATIENCE)
        .unwrap();
    await_that("the last sync", PATIENCE, || {
        let last = offset_syncs(&stage.source, &stage.flow).pop();
        last.is_some_and(|last| last.topic == stage.topic && last.upstream == 99)
    })
    .unwrap();
    stop(&mut product);
}
