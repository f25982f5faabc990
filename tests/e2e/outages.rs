//! The target is away.

use std::time::{Duration, Instant};

use scenarios::client::{numbered, unique};
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_contents, await_exact, check_contents, read, stop};
use crate::load::Load;

on_every_kind! {
    target_down_under_load,
    target_comes_late,
}

/// How long the target is down, and how many records are written meanwhile: half a minute, as when a machine is rebooted.
fn outage(kind: Kind) -> (Duration, u64) {
    match kind {
        Kind::Real => (Duration::from_secs(30), 20_000),
        Kind::Embedded => (Duration::from_secs(2), 5_000),
    }
}

/// Goal: a target that is down under load, and back: nothing lost, nothing doubled.
fn target_down_under_load(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let target = kind.start("outage", 1, &[]).unwrap();
    let (east, west) = (pair.east.client().unwrap(), target.client().unwrap());
    let topic = unique("outage");
    east.create_topic(&topic, 4, 1, &[]).unwrap();
    let flow = Flow::new("outage", pair.east, &*target, &topic);
    let mut product = flow.run();
    let load = Load::start(pair.east, &topic, 4);
    let copy = flow.remote(&topic);
    await_that("copying before the outage", PATIENCE, || {
        west.end_offsets(&copy)
            .is_ok_and(|ends| ends.iter().sum::<i64>() > 2_000)
    })
    .unwrap();
    let ((outage, records), since, before) = (outage(kind), Instant::now(), load.written());
    target.broker(1).stop().unwrap();
    await_that("load during the outage", PATIENCE, || {
        since.elapsed() > outage && load.written() > before + records
    })
    .unwrap();
    assert!(
        product.process().exited().unwrap().is_none(),
        "the product gave up"
    );
    target.broker(1).start().unwrap();
    load.await_more(1_000);
    load.stop();
    let expected = read(&east, &topic);
    await_contents(&expected, &west, &copy);
    stop(&mut product);
    check_contents(&expected, &west, &copy);
}

/// Goal: a target that cannot be reached at the start, and comes later.
fn target_comes_late(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let target = kind.start("late", 1, &[]).unwrap();
    let east = pair.east.client().unwrap();
    let topic = unique("late");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..1_000, 2, 100)).unwrap();
    let flow = Flow::new("late", pair.east, &*target, &topic);
    target.broker(1).stop().unwrap();
    let mut product = flow.run();
    product
        .await_output(&format!("cluster {} is unreachable", flow.target), PATIENCE)
        .unwrap();
    target.broker(1).start().unwrap();
    let west = target.client().unwrap();
    await_that("remote topic", PATIENCE, || {
        west.topics()
            .is_ok_and(|all| all.contains(&flow.remote(&topic)))
    })
    .unwrap();
    await_exact(&west, &flow.remote(&topic), 0..1_000);
    stop(&mut product);
}
