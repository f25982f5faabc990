//! What happens to the logs themselves.

use embedded::{After, ApiKey, Effect, Fault, ResponseError};
use scenarios::client::{numbered, tally};

use super::{Stage, await_hits, await_line, finish};
use crate::flows::{await_contents, await_exact, await_ids, read};

/// Goal: batches that are damaged on the way are fetched again; one that is damaged in the source's log stops its partition under a
/// name, nothing of it is passed on, and the other partition goes on.
#[test]
fn damage_is_noticed() {
    let stage = Stage::new("damage", 1, 2);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    for _ in 0..2 {
        let once = stage.east.cluster().corrupt_once(&stage.topic, 0);
        await_hits("damage on the way", &once, 1);
        stage.await_going_on("damage on the way", &[0, 1]);
    }
    let ids = load.stop();
    await_exact(&stage.client, &stage.remote, ids.clone());
    // A bad disk: partition 0 is held up while its next batch is damaged where it lies.
    let held = stage.at_source(stage.fetch(Effect::Error(ResponseError::NotLeaderOrFollower), 0));
    // A Fetch that waits for news already would bring them.
    await_hits("partition 0 held up", &held, 1);
    let source = stage.client_of_source();
    source
        .produce(&stage.topic, &numbered(ids.end..ids.end + 200, 2, 100))
        .unwrap();
    let end = source.end_offsets(&stage.topic).unwrap()[0];
    stage
        .east
        .cluster()
        .corrupt(&stage.topic, 0, end - 1)
        .unwrap();
    drop(held);
    await_line(
        &mut product,
        &[&format!("{}-0", stage.topic), "CORRUPT_MESSAGE (2)"],
    );
    await_line(
        &mut product,
        &["partitions do not run", "CORRUPT_MESSAGE (2)"],
    );
    scenarios::await_that("partition 1 to its end", crate::flows::PATIENCE, || {
        stage.copied().get(1) == source.end_offsets(&stage.topic).unwrap().get(1)
    })
    .unwrap();
    let found = tally(&read(&stage.client, &stage.remote), 0..ids.end + 200);
    assert_eq!(
        (found.lost, found.doubled, found.disordered, found.foreign),
        (100, 0, 0, 0),
        "{found}"
    );
    finish(&mut product);
}

/// Goal: records that go before they are copied, by retention and by DeleteRecords: said with their number, skipped, and what follows
/// is exact. The other partition loses nothing.
#[test]
fn retention_overtakes_the_copy() {
    let stage = Stage::new("overrun", 1, 2);
    let mut product = stage.flow.run();
    let source = stage.client_of_source();
    source
        .produce(&stage.topic, &numbered(0..200, 2, 100))
        .unwrap();
    await_exact(&stage.client, &stage.remote, 0..200);
    let hold =
        || stage.at_source(stage.fetch(Effect::Error(ResponseError::NotLeaderOrFollower), 0));
    let held = hold();
    await_hits("held", &held, 1);
    source
        .produce(&stage.topic, &numbered(200..400, 2, 100))
        .unwrap();
    source
        .produce(&stage.topic, &numbered(400..600, 2, 100))
        .unwrap();
    let start = stage
        .east
        .cluster()
        .expire_records(&stage.topic, 0, 200)
        .unwrap();
    assert_eq!(start, 200, "the first batch of two");
    drop(held);
    await_line(
        &mut product,
        &[
            "records were deleted on the source",
            &format!("{}-0", stage.topic),
            "records=100",
        ],
    );
    scenarios::await_that("what is left", crate::flows::PATIENCE, || {
        stage.copied() == [200, 300]
    })
    .unwrap();
    let held = hold();
    await_hits("held", &held, 1);
    source
        .produce(&stage.topic, &numbered(600..800, 2, 100))
        .unwrap();
    // Within a batch.
    stage
        .east
        .cluster()
        .delete_records(&stage.topic, 0, 350)
        .unwrap();
    drop(held);
    await_line(
        &mut product,
        &["records were deleted on the source", "records=50"],
    );
    source
        .produce(&stage.topic, &numbered(800..1_000, 2, 100))
        .unwrap();
    scenarios::await_that("the end", crate::flows::PATIENCE, || {
        stage.copied() == [350, 500]
    })
    .unwrap();
    let found = tally(&read(&stage.client, &stage.remote), 0..1_000);
    assert_eq!(
        (found.lost, found.doubled, found.disordered, found.foreign),
        (150, 0, 0, 0),
        "{found}"
    );
    finish(&mut product);
}

/// Goal: the source elects a leader that lacks what was copied, and the topic is created anew, and compacted: all records of every
/// history are in the copy, once, and the log says what happened.
#[test]
fn the_source_is_cut_recreated_and_compacted() {
    let stage = Stage::new("history", 2, 2);
    let mut product = stage.flow.run();
    let source = stage.client_of_source();
    source
        .produce(&stage.topic, &numbered(0..1_000, 2, 100))
        .unwrap();
    source
        .produce(&stage.topic, &numbered(1_000..2_000, 2, 100))
        .unwrap();
    await_exact(&stage.client, &stage.remote, 0..2_000);
    let (leader, _) = stage.east.cluster().leader(&stage.topic, 0).unwrap();
    stage
        .east
        .cluster()
        .unclean_election(&stage.topic, 0, 3 - leader, 500)
        .unwrap();
    // The new history is longer than the old one was.
    let fresh = stage.client_of_source();
    for first in [2_000, 3_000, 4_000] {
        fresh
            .produce(&stage.topic, &numbered(first..first + 1_000, 2, 100))
            .unwrap();
    }
    await_line(
        &mut product,
        &[
            "truncated (unclean election)",
            &format!("{}-0", stage.topic),
            "records=500",
        ],
    );
    await_exact(&stage.client, &stage.remote, 0..5_000);
    stage.east.cluster().recreate_topic(&stage.topic).unwrap();
    let fresh = stage.client_of_source();
    fresh
        .produce(&stage.topic, &numbered(5_000..6_000, 2, 100))
        .unwrap();
    await_exact(&stage.client, &stage.remote, 0..6_000);
    await_line(
        &mut product,
        &["deleted and created again", &format!("{}-0", stage.topic)],
    );

    // Another topic, compacted while it is held up: the copy has holes where the source has them.
    let keyed = format!("{}-keyed", stage.topic);
    let held = stage.at_source(
        Fault::new(Effect::Error(ResponseError::NotLeaderOrFollower)).on_api(ApiKey::Fetch),
    );
    source
        .create_topic(&keyed, 1, 1, &[("cleanup.policy", "compact")])
        .unwrap();
    for round in 0..3 {
        let mut records = numbered(0..100, 1, 100);
        records.retain(|record| record.timestamp_ms % 3 <= 2 - round);
        source.produce(&keyed, &records).unwrap();
    }
    await_hits("held", &held, 1);
    stage.east.cluster().compact_now(&keyed).unwrap();
    drop(held);
    let left = read(&source, &keyed);
    assert_eq!(left[&0].len(), 100, "one record of each key");
    assert!(left[&0].last().unwrap().offset > 150, "no holes");
    await_contents(&left, &stage.client, &stage.flow.remote(&keyed));
    finish(&mut product);
}

/// Goal: the target elects a leader that lacks acknowledged records: they are copied again, and nothing else is.
#[test]
fn the_target_loses_acknowledged_records() {
    let stage = Stage::new("lost", 2, 2);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    let (leader, _) = stage.west.cluster().leader(&stage.remote, 0).unwrap();
    let keep = stage.copied()[0] - GONE;
    stage
        .west
        .cluster()
        .unclean_election(&stage.remote, 0, 3 - leader, keep)
        .unwrap();
    await_line(
        &mut product,
        &[
            "the target lost records that it had acknowledged",
            &stage.remote,
        ],
    );
    stage.await_going_on("copied again", &[0, 1]);
    let ids = load.stop();
    await_exact(&stage.client, &stage.remote, ids);
    finish(&mut product);
}

/// Records that the target's new leader lacks.
const GONE: i64 = 50;

/// Goal: the store of positions answers with errors for a while; what was copied is stored in the end.
#[test]
fn positions_are_stored_when_they_can_be() {
    let stage = Stage::new("positions", 1, 1);
    let mut product = stage.flow.run();
    let source = stage.client_of_source();
    source
        .produce(&stage.topic, &numbered(0..100, 1, 100))
        .unwrap();
    await_exact(&stage.client, &stage.remote, 0..100);
    let positions = stage.flow.positions_topic();
    let error = Effect::Error(ResponseError::NotEnoughReplicas);
    let refused = stage.at_target(
        Fault::new(error)
            .on_api(ApiKey::Produce)
            .on_topic(&positions),
    );
    source
        .produce(&stage.topic, &numbered(100..200, 1, 100))
        .unwrap();
    await_hits("positions refused", &refused, 1);
    await_ids(&stage.client, &stage.remote, 0..200);
    drop(refused);
    scenarios::await_that("the position", crate::flows::PATIENCE, || {
        crate::flows::stored_positions(&stage.client, &stage.flow, &stage.topic).get(&0)
            == Some(&199)
    })
    .unwrap();
    finish(&mut product);
}

/// Goal: a target that lost the last positions without a word, as the product is told to end: they are stored at another attempt on
/// another connection, and the end is clean, long before `request.timeout.ms` is over.
#[test]
fn positions_that_are_lost_at_the_end_are_stored_all_the_same() {
    let stage = Stage::new("last", 1, 1);
    let mut product = stage.flow.run();
    let source = stage.client_of_source();
    let positions = Fault::new(Effect::LoseAnswer(After::Silent))
        .on_api(ApiKey::Produce)
        .on_topic(&stage.flow.positions_topic());
    let lost = stage.at_target(positions.times(1));
    source
        .produce(&stage.topic, &numbered(0..100, 1, 100))
        .unwrap();
    await_hits("positions lost", &lost, 1);
    source
        .produce(&stage.topic, &numbered(100..200, 1, 100))
        .unwrap();
    await_exact(&stage.client, &stage.remote, 0..200);
    finish(&mut product);
    assert_eq!(
        crate::flows::stored_positions(&stage.client, &stage.flow, &stage.topic).get(&0),
        Some(&199)
    );
}
