//! Brokers are restarted on both sides.

use scenarios::client::unique;
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_contents, check_contents, read, stop};
use crate::load::Load;

on_every_kind! {
    brokers_restarted_under_load,
}

/// Records that a copy has to grow by, to count as going on.
const GOING_ON: i64 = 500;

/// Goal: two brokers a side; each side loses and regains a broker by SIGTERM and another by SIGKILL, under load: the
/// copies equal the sources, nothing lost, nothing doubled. Method: one flow with two replicas everywhere, whose
/// leaders move, and one with a single replica, whose partitions wait for their broker and meet one that has forgotten
/// all but the last batch of a producer (docs/spec/real-kafka.md 3).
fn brokers_restarted_under_load(kind: Kind) {
    let (east, west) = std::thread::scope(|scope| {
        let east = scope.spawn(|| kind.start("east", 2, &[]).unwrap());
        let west = kind.start("west", 2, &[]).unwrap();
        (east.join().unwrap(), west)
    });
    let (source, target) = (east.client().unwrap(), west.client().unwrap());
    let names = [unique("two-replicas"), unique("one-replica")];
    let mut running = Vec::new();
    for (topic, replicas) in names.iter().zip([2, 1]) {
        source.create_topic(topic, 4, replicas, &[]).unwrap();
        let flow = Flow::new(&format!("rf{replicas}"), &*east, &*west, topic)
            .with(&format!("replication.factor = {replicas}"))
            .with("offset.storage.replication.factor = 2")
            .with("emit.heartbeats.enabled = false");
        let product = flow.run();
        running.push((topic, flow, product, Load::start(&*east, topic, 4)));
    }
    let copied = |flow: &Flow, topic: &str| -> i64 {
        target
            .end_offsets(&flow.remote(topic))
            .map_or(0, |ends| ends.iter().sum())
    };
    for (cluster, node_id, kill) in [
        (&east, 1, false),
        (&east, 2, true),
        (&west, 1, false),
        (&west, 2, true),
    ] {
        let what = format!("{} broker {node_id}", cluster.alias());
        for (topic, flow, _, _) in &running {
            let before = copied(flow, topic);
            await_that(
                &format!("copying of {topic} before {what} goes"),
                PATIENCE,
                || copied(flow, topic) > before + GOING_ON,
            )
            .unwrap();
        }
        if kill {
            cluster.broker(node_id).kill().unwrap()
        } else {
            cluster.broker(node_id).stop().unwrap()
        }
        // Two replicas: goes on without the broker.
        let (topic, flow, _, _) = &running[0];
        let before = copied(flow, topic);
        await_that(
            &format!("copying of {topic} without {what}"),
            PATIENCE,
            || copied(flow, topic) > before + GOING_ON,
        )
        .unwrap();
        cluster.broker(node_id).start().unwrap();
        for (topic, flow, _, _) in &running {
            let all_lead = |client: &scenarios::KafkaClient, topic: &str| {
                client
                    .leaders(topic)
                    .is_ok_and(|leaders| leaders.iter().all(|leader| *leader >= 0))
            };
            await_that(
                &format!("leaders of {topic}, {what} back"),
                PATIENCE,
                || all_lead(&source, topic) && all_lead(&target, &flow.remote(topic)),
            )
            .unwrap();
        }
    }
    for (topic, flow, mut product, load) in running {
        load.await_more(1_000);
        load.stop();
        let expected = read(&source, topic);
        await_contents(&expected, &target, &flow.remote(topic));
        stop(&mut product);
        check_contents(&expected, &target, &flow.remote(topic));
    }
}
