//! Topics come, grow, go and come again.

use std::collections::BTreeMap;

use scenarios::client::{numbered, unique};
use scenarios::{Kind, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_exact, read, stop};

on_every_kind! {
    topics_and_partitions_come_and_go,
    configs_follow_their_source,
    recreated_while_running,
    recreated_after_the_flow_gave_it_up,
    recreated_shorter_while_stopped,
    remote_topic_deleted_while_running,
    a_topic_that_cannot_be_created_waits,
}

/// Goal: what is new on the source is followed within a refresh; what is deleted there stops nothing else, and its
/// copy stays.
fn topics_and_partitions_come_and_go(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let prefix = unique("come");
    let (steady, late, doomed) = (
        format!("{prefix}-steady"),
        format!("{prefix}-late"),
        format!("{prefix}-doomed"),
    );
    for topic in [&steady, &doomed] {
        east.create_topic(topic, 1, 1, &[]).unwrap();
        east.produce(topic, &numbered(0..100, 1, 50)).unwrap();
    }
    let flow = Flow::new("come", pair.east, pair.west, &format!("{prefix}.*"));
    let mut product = flow.run();
    for topic in [&steady, &doomed] {
        await_exact(&west, &flow.remote(topic), 0..100);
    }
    east.create_topic(&late, 2, 1, &[("retention.ms", "8640000000000")])
        .unwrap();
    east.produce(&late, &numbered(0..100, 2, 50)).unwrap();
    await_topic(&west, &flow.remote(&late), 2);
    await_exact(&west, &flow.remote(&late), 0..100);
    let config = west.topic_config(&flow.remote(&late)).unwrap();
    assert_eq!(
        config.get("retention.ms").map(String::as_str),
        Some("8640000000000"),
        "configs of a new remote topic"
    );

    east.create_partitions(&late, 4).unwrap();
    let fresh = pair.east.client().unwrap(); // knows the new partitions
    fresh.produce(&late, &numbered(100..200, 4, 50)).unwrap();
    await_topic(&west, &flow.remote(&late), 4);
    await_exact(&west, &flow.remote(&late), 0..200);

    east.delete_topic(&doomed).unwrap();
    product
        .await_output("the source has it no more", PATIENCE)
        .unwrap();
    east.produce(&steady, &numbered(100..200, 1, 50)).unwrap();
    await_exact(&west, &flow.remote(&steady), 0..200);
    await_exact(&west, &flow.remote(&doomed), 0..100);
    stop(&mut product);
}

/// Goal: what is set or removed on the source topic is set or removed on its copy, also what somebody set there by hand;
/// excluded names are never touched.
fn configs_follow_their_source(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("configs");
    let at_first = [("retention.bytes", "1000"), ("retention.ms", "9000000")];
    east.create_topic(&topic, 1, 1, &at_first).unwrap();
    let flow = Flow::new("configs", pair.east, pair.west, &topic)
        .with("sync.topic.configs.interval.seconds = 1")
        .with("config.properties.exclude = min.insync.replicas, delete\\\\.retention\\\\..*");
    let mut product = flow.run();
    let copy = flow.remote(&topic);
    await_topic(&west, &copy, 1);
    let await_configs = |expected: &[(&str, &str)]| {
        let expected: BTreeMap<_, _> = (expected.iter())
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        scenarios::await_ok("what is set on the copy", PATIENCE, || {
            let found = west.topic_config(&copy).unwrap();
            if found == expected {
                Ok(())
            } else {
                Err(format!("{found:?}"))
            }
        })
        .unwrap();
    };
    let by_hand = [
        ("retention.bytes", "2000"),
        ("max.message.bytes", "5000"),
        ("delete.retention.ms", "2000"),
    ];
    west.set_topic_config(&copy, &by_hand).unwrap();
    await_configs(&[
        ("retention.bytes", "1000"),
        ("retention.ms", "9000000"),
        ("delete.retention.ms", "2000"),
    ]);
    // This removes what it does not name.
    east.set_topic_config(&topic, &[("retention.ms", "8000000")])
        .unwrap();
    await_configs(&[("retention.ms", "8000000"), ("delete.retention.ms", "2000")]);
    stop(&mut product);
}

/// Goal: a topic that was deleted and created again is copied from the new one's first record on, behind the old one's
/// copy, although the new one is longer than the old one by then.
fn recreated_while_running(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("again");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..500, 1, 50)).unwrap();
    // A refresh in between would tell the deletion; here the ids have to.
    let flow = Flow::new("again", pair.east, pair.west, &topic)
        .with("refresh.topics.interval.seconds = 600");
    let mut product = flow.run();
    await_exact(&west, &flow.remote(&topic), 0..500);
    east.delete_topic(&topic).unwrap();
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    let fresh = pair.east.client().unwrap();
    fresh.produce(&topic, &numbered(500..1_500, 1, 50)).unwrap();
    await_exact(&west, &flow.remote(&topic), 0..1_500);
    stop(&mut product);
}

/// Goal: the same when the flow noticed the deletion before the topic came again, and had been restarted before: the
/// position that was stored for the old topic says nothing about the new one.
fn recreated_after_the_flow_gave_it_up(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("return");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..500, 1, 50)).unwrap();
    let flow = Flow::new("return", pair.east, pair.west, &topic);
    let mut product = flow.run();
    await_exact(&west, &flow.remote(&topic), 0..500);
    stop(&mut product);
    product.restart().unwrap();
    east.produce(&topic, &numbered(500..600, 1, 50)).unwrap();
    await_exact(&west, &flow.remote(&topic), 0..600);
    east.delete_topic(&topic).unwrap();
    product
        .await_output("the source has it no more", PATIENCE)
        .unwrap();
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    let fresh = pair.east.client().unwrap();
    fresh.produce(&topic, &numbered(600..1_600, 1, 50)).unwrap();
    await_exact(&west, &flow.remote(&topic), 0..1_600);
    // And the new one's position is the one that counts from now on.
    stop(&mut product);
    product.restart().unwrap();
    fresh
        .produce(&topic, &numbered(1_600..1_700, 1, 50))
        .unwrap();
    await_exact(&west, &flow.remote(&topic), 0..1_700);
    stop(&mut product);
}

/// Goal: a topic that was created anew, and is shorter, while the flow was stopped: the stored position lies beyond its
/// end, and as with MM2 `auto.offset.reset` decides, so that all of the new one is copied.
fn recreated_shorter_while_stopped(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("shorter");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..500, 1, 50)).unwrap();
    let flow = Flow::new("shorter", pair.east, pair.west, &topic);
    let mut product = flow.run();
    await_exact(&west, &flow.remote(&topic), 0..500);
    stop(&mut product);
    east.delete_topic(&topic).unwrap();
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    let fresh = pair.east.client().unwrap();
    fresh.produce(&topic, &numbered(500..600, 1, 50)).unwrap();
    product.restart().unwrap();
    await_exact(&west, &flow.remote(&topic), 0..600);
    // The lower position replaces the higher one.
    stop(&mut product);
    product.restart().unwrap();
    fresh.produce(&topic, &numbered(600..1_300, 1, 50)).unwrap();
    await_exact(&west, &flow.remote(&topic), 0..1_300);
    stop(&mut product);
}

/// Goal: a remote topic that somebody deletes while the flow runs is created again, and what is written from then on is
/// copied; nothing else stops.
fn remote_topic_deleted_while_running(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let prefix = unique("cut");
    let (steady, cut) = (format!("{prefix}-steady"), format!("{prefix}-cut"));
    for topic in [&steady, &cut] {
        east.create_topic(topic, 2, 1, &[]).unwrap();
        east.produce(topic, &numbered(0..100, 2, 50)).unwrap();
    }
    let flow = Flow::new("cut", pair.east, pair.west, &format!("{prefix}.*"));
    let mut product = flow.run();
    for topic in [&steady, &cut] {
        await_exact(&west, &flow.remote(topic), 0..100);
    }
    west.delete_topic(&flow.remote(&cut)).unwrap();
    for topic in [&steady, &cut] {
        east.produce(topic, &numbered(100..200, 2, 50)).unwrap();
    }
    await_exact(&west, &flow.remote(&steady), 0..200);
    await_topic(&west, &flow.remote(&cut), 2);
    await_exact(&west, &flow.remote(&cut), 100..200);
    east.produce(&cut, &numbered(200..300, 2, 50)).unwrap();
    await_exact(&west, &flow.remote(&cut), 100..300);
    stop(&mut product);
}

/// Goal: a remote topic that cannot be created keeps its own partitions waiting, says why, and nothing else; once
/// somebody creates it, it is copied.
fn a_topic_that_cannot_be_created_waits(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let prefix = unique("create");
    let (good, bad) = (format!("{prefix}-good"), format!("{prefix}-bad"));
    let flow = Flow::new("create", pair.east, pair.west, &format!("{prefix}.*"))
        .with("replication.factor = 3");
    for topic in [&good, &bad] {
        east.create_topic(topic, 1, 1, &[]).unwrap();
        east.produce(topic, &numbered(0..100, 1, 50)).unwrap();
    }
    west.create_topic(&flow.remote(&good), 1, 1, &[]).unwrap();
    let mut product = flow.run();
    await_exact(&west, &flow.remote(&good), 0..100);
    let reason = format!(
        "cannot create topic {} on {}",
        flow.remote(&bad),
        flow.target
    );
    product.await_output(&reason, PATIENCE).unwrap();
    assert!(!west.topics().unwrap().contains(&flow.remote(&bad)));
    east.produce(&good, &numbered(100..200, 1, 50)).unwrap();
    await_exact(&west, &flow.remote(&good), 0..200);
    west.create_topic(&flow.remote(&bad), 1, 1, &[]).unwrap();
    await_exact(&west, &flow.remote(&bad), 0..100);
    stop(&mut product);
    assert_eq!(read(&west, &flow.remote(&good)).len(), 1);
}

fn await_topic(client: &scenarios::KafkaClient, topic: &str, partitions: usize) {
    scenarios::await_ok(
        &format!("{partitions} partitions of {topic}"),
        PATIENCE,
        || match client.leaders(topic) {
            Ok(leaders) if leaders.len() == partitions => Ok(()),
            other => Err(format!("leaders {other:?}")),
        },
    )
    .unwrap();
}
