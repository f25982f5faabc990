//! Answers that never come. Slow, as the product waits 30 s for a Fetch and 35 s for a Produce, for which it has no configuration key; so
//! all of them are in one test, in the file that is run first.

use std::time::Duration;

use embedded::{After, ApiKey, Effect, Fault};
use scenarios::await_that;

use super::{Stage, await_hits};
use crate::flows::{PATIENCE, await_exact};
use scenarios::client::numbered;

/// Goal: a Fetch connection that goes half-open, a Produce whose answer is lost without a word, and a broker that takes a
/// Metadata request and never answers: the other broker's partitions go on meanwhile, and in the end all is there, once and in order.
#[test]
fn connections_that_go_silent() {
    let stage = Stage::new("silent", 2, 4);
    let mut product = stage.flow.run();
    let source = stage.client_of_source();
    source
        .produce(&stage.topic, &numbered(0..400, 4, 100))
        .unwrap();
    await_exact(&stage.client, &stage.remote, 0..400);
    // Each partition has another pair of leaders.
    let (east, west) = (stage.east.cluster(), stage.west.cluster());
    for (partition, from, to) in [(0, 1, 1), (1, 1, 2), (2, 2, 1), (3, 2, 2)] {
        east.move_leader(&stage.topic, partition, from).unwrap();
        west.move_leader(&stage.remote, partition, to).unwrap();
    }
    let mut next = 400;
    let mut more = || {
        let records = numbered(next..next + 400, 4, 100);
        source.produce(&stage.topic, &records).unwrap();
        next += 400;
        next
    };
    let end = more();
    await_exact(&stage.client, &stage.remote, 0..end);
    let half_open = Fault::new(Effect::HalfOpen).on_broker(1);
    let half_open = stage.at_source(half_open.on_api(ApiKey::Fetch).times(1));
    let lost = stage.produce(Effect::LoseAnswer(After::Silent), 3);
    let lost = stage.at_target(lost.times(1));
    let hung = Fault::new(Effect::NeverAnswer).on_api(ApiKey::Metadata);
    let hung = stage.at_source(hung.for_duration(Duration::from_secs(3)));
    more();
    await_hits("half-open", &half_open, 1);
    await_hits("answer lost", &lost, 1);
    for _ in 0..3 {
        let end = i64::try_from(more() / 4).unwrap();
        let what = format!("{end} records in partition 2, whose brokers answer");
        await_that(&what, PATIENCE, || stage.copied()[2] == end).unwrap();
    }
    await_hits("no Metadata", &hung, 1);
    let end = more();
    await_exact(&stage.client, &stage.remote, 0..end);
    super::finish(&mut product);
}
