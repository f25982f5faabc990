//! Ways that are long, narrow, cut or shut.

use std::time::Duration;

use embedded::{After, ApiKey, Effect, Fault};
use scenarios::Cluster;

use super::{Stage, await_hits, await_line};

/// Goal: a source and a target at the other end of WAN lines, one of them narrow: the copy is exact.
#[test]
fn a_long_and_narrow_way() {
    let stage = Stage::new("wan", 1, 2);
    let delay = stage.at_target(Fault::new(Effect::Delay(Duration::from_millis(60))));
    let narrow = stage.at_target(Fault::new(Effect::Bandwidth(2_000_000)).on_api(ApiKey::Produce));
    let far_source = stage.at_source(Fault::new(Effect::Delay(Duration::from_millis(30))));
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("far", &[0, 1]);
    load.await_more(5_000);
    let ids = load.stop();
    crate::flows::await_exact(&stage.client, &stage.remote, ids);
    assert!(delay.hits() > 10 && narrow.hits() > 5 && far_source.hits() > 10);
    super::finish(&mut product);
}

/// Goal: connections that are reset, answers that are lost after the work was done, brokers that take no connections, quotas, and
/// sessions that have ended, on both sides at once and one after the other: nothing lost, doubled or out of order.
#[test]
fn connections_that_are_cut_and_refused() {
    let stage = Stage::new("cut", 2, 4);
    // The topics are created, but the product does not hear of it: that they are there already is no error.
    let created = stage.at_target(
        Fault::new(Effect::LoseAnswer(After::Closed))
            .on_api(ApiKey::CreateTopics)
            .times(1),
    );
    let producer_id = stage.at_target(
        Fault::new(Effect::LoseAnswer(After::Closed))
            .on_api(ApiKey::InitProducerId)
            .times(2),
    );
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("created", &[0, 1, 2, 3]);
    assert_eq!((created.hits(), producer_id.hits()), (1, 2));
    let both = [
        Effect::Reset,
        Effect::LoseAnswer(After::Closed),
        Effect::ExpireCredentials,
        Effect::Throttle {
            ms: 300,
            mute: true,
        },
    ];
    for effect in both {
        let what = format!("{effect:?}");
        let fetch = stage.at_source(Fault::new(effect.clone()).on_api(ApiKey::Fetch).times(3));
        let produce = stage.at_target(Fault::new(effect).on_api(ApiKey::Produce).times(3));
        await_hits(&what, &fetch, 3);
        await_hits(&what, &produce, 3);
        stage.await_going_on(&what, &[0, 1, 2, 3]);
    }
    // Nobody lets the product in, and what it has is cut: it says so, and comes back. The test's own clients keep their connections.
    for (side, alias) in [
        (&stage.east, &stage.flow.source),
        (&stage.west, &stage.flow.target),
    ] {
        let refused = side.cluster().inject(Fault::new(Effect::Refuse));
        let cut = Fault::new(Effect::Reset);
        let cut = match side.alias() {
            "east" => stage.at_source(cut),
            _ => stage.at_target(cut),
        };
        await_hits(&format!("{} shut", side.alias()), &refused, 2);
        await_line(&mut product, &[alias.as_str(), "unreachable"]);
        drop((refused, cut));
        stage.await_going_on(&format!("{} open", side.alias()), &[0, 1, 2, 3]);
    }
    // 200 kB/s, far below what is written; ten seconds' worth may pass before, so this is mostly about nothing breaking.
    let quota = stage.at_target(Fault::new(Effect::Quota(200_000)).on_api(ApiKey::Produce));
    await_hits("quota", &quota, 20);
    drop(quota);
    stage.finish(&mut product, load);
}

/// Goal: leaders move on both sides under load, again and again, and a broker of each side freezes until others lead: nothing
/// lost, doubled or out of order, and the partitions of the other broker go on meanwhile.
#[test]
fn leaders_move_and_brokers_freeze() {
    let stage = Stage::new("moves", 2, 4);
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1, 2, 3]);
    for _ in 0..3 {
        for (side, topic) in [(&stage.east, &stage.topic), (&stage.west, &stage.remote)] {
            for partition in 0..4 {
                let (leader, _) = side.cluster().leader(topic, partition).unwrap();
                side.cluster()
                    .move_leader(topic, partition, 3 - leader)
                    .unwrap();
            }
        }
        stage.await_going_on("leaders moved", &[0, 1, 2, 3]);
    }
    for (side, topic) in [(&stage.east, &stage.topic), (&stage.west, &stage.remote)] {
        let led_by = |node_id| -> Vec<usize> {
            let leads = |at: &usize| {
                let partition = i32::try_from(*at).unwrap();
                side.cluster().leader(topic, partition).unwrap().0 == node_id
            };
            (0..4).filter(leads).collect()
        };
        let (frozen, others) = (led_by(2), led_by(1));
        assert!(
            !frozen.is_empty() && !others.is_empty(),
            "{frozen:?} {others:?}"
        );
        side.broker(2).freeze().unwrap();
        // As followers are asked for acks as well, west's other partitions wait for the ISR to shrink.
        scenarios::await_that("another leader", crate::flows::PATIENCE, || {
            led_by(2).is_empty()
        })
        .unwrap();
        stage.await_going_on(&format!("{} broker 2 frozen", side.alias()), &others);
        side.broker(2).thaw().unwrap();
        stage.await_going_on(&format!("{} broker 2 thawed", side.alias()), &[0, 1, 2, 3]);
    }
    stage.finish(&mut product, load);
}
