//! Names of copies, and which flows run.

use scenarios::client::{numbered, unique};
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_exact, run_with, stop};

on_every_kind! {
    clusters_limits_the_flows,
    identity_policy,
    custom_separator,
}

/// Goal: `--clusters` runs the flows into those clusters only.
fn clusters_limits_the_flows(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("limit");
    for client in [&east, &west] {
        client.create_topic(&topic, 1, 1, &[]).unwrap();
        client.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    }
    let flow =
        Flow::new("limit", pair.east, pair.west, &topic).with("TARGET->SOURCE.enabled = true");
    let back = format!("limit-west.{topic}");
    let mut into_west = run_with(&flow.properties(), &["--clusters", "limit-west"]);
    await_exact(&west, &flow.remote(&topic), 0..100);
    assert!(
        !east.topics().unwrap().contains(&back),
        "a flow into east runs"
    );
    let mut into_east = run_with(&flow.properties(), &["--clusters", "limit-east"]);
    await_that(&format!("topic {back}"), PATIENCE, || {
        east.topics().is_ok_and(|all| all.contains(&back))
    })
    .unwrap();
    await_exact(&east, &back, 0..100);
    stop(&mut into_west);
    stop(&mut into_east);
    await_exact(&west, &flow.remote(&topic), 0..100);
}

/// Goal: MM2's identity policy, one way: the copy has the topic's own name.
fn identity_policy(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("identity");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    let flow = Flow::new("id", pair.east, pair.west, &topic).with(
        "replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
    );
    let mut product = flow.run();
    await_that(&format!("topic {topic}"), PATIENCE, || {
        west.topics().is_ok_and(|all| all.contains(&topic))
    })
    .unwrap();
    await_exact(&west, &topic, 0..100);
    stop(&mut product);
    assert!(!west.topics().unwrap().contains(&flow.remote(&topic)));
}

/// Goal: `replication.policy.separator`.
fn custom_separator(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("separator");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
    let flow =
        Flow::new("sep", pair.east, pair.west, &topic).with("replication.policy.separator = __");
    let mut product = flow.run();
    let copy = format!("sep-east__{topic}");
    await_that(&format!("topic {copy}"), PATIENCE, || {
        west.topics().is_ok_and(|all| all.contains(&copy))
    })
    .unwrap();
    await_exact(&west, &copy, 0..100);
    stop(&mut product);
    assert!(!west.topics().unwrap().contains(&flow.remote(&topic)));
}
