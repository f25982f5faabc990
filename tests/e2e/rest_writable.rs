//! `run --rest-writable`: a flow goes on with another configuration.

use scenarios::client::{Isolation, numbered, unique};
use scenarios::{Kind, on_every_kind};
use serde_json::json;

use crate::flows::{Flow, await_copy, stop};
use crate::rest::Served;

on_every_kind! {
    a_changed_filter_acts_at_once_and_doubles_nothing,
}

/// Goal: topics that a changed filter lets through are copied at once, those copied before go on where they were, a pause
/// stays one, and at the next start the file counts.
fn a_changed_filter_acts_at_once_and_doubles_nothing(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (first, second) = (unique("filter-first"), unique("filter-second"));
    for topic in [&first, &second] {
        east.create_topic(topic, 2, 1, &[]).unwrap();
        east.produce(topic, &numbered(0..1_000, 2, 50)).unwrap();
    }
    let flow = Flow::new(&first, pair.east, pair.west, &first);
    let copied = |topic: &str| {
        let remote = flow.remote(topic);
        await_copy(&east, topic, &west, &remote, Isolation::ReadCommitted);
    };
    let mut served = Served::run(&flow, &["--rest-writable"]);
    copied(&first);
    served.order("PUT", "/pause", 202);
    served.await_partitions("stopped", 2);
    let both = json!({"topics": format!("{first},{second}")}).to_string();
    let answer = served.ask("PATCH", "/config", &both);
    assert_eq!(answer.status, 200, "{answer:?}");
    let status = served.ask("GET", "/status", "").json();
    assert_eq!(status["connector"]["state"], "PAUSED");
    east.produce(&first, &numbered(1_000..2_000, 2, 50))
        .unwrap();
    served.order("PUT", "/resume", 202);
    // Equal to the record: nothing was copied twice.
    copied(&first);
    copied(&second);
    stop(&mut served.product);

    let mut served = Served::run(&flow, &["--rest-writable"]);
    let config = served.ask("GET", "/config", "").json();
    assert_eq!(config["topics"], first);
    east.produce(&first, &numbered(2_000..3_000, 2, 50))
        .unwrap();
    copied(&first);
    stop(&mut served.product);
}
