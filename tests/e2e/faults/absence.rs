//! Answers that never come: the product waits for them as long as its `request.timeout.ms` says.

use std::time::{Duration, Instant};

use embedded::{After, ApiKey, Effect, Fault};
use scenarios::await_that;

use super::{Stage, await_hits};
use crate::flows::{PATIENCE, await_exact};
use scenarios::client::numbered;

/// Goal: a Fetch connection that goes half-open, a Produce whose answer is lost without a word, and a broker that takes a
/// Metadata request and never answers: the other broker's partitions go on meanwhile, and in the end all is there, once and in order.
#[test]
fn connections_that_go_silent() {
    let stage = Stage::new("silent", 2, 4).impatient();
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
    let since = Instant::now();
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
    assert!(
        since.elapsed() < DEFAULT_TIMEOUT,
        "silence took {:?}: request.timeout.ms has no effect",
        since.elapsed()
    );
    super::finish(&mut product);
}

/// What `request.timeout.ms` would be.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Goal: requests on the data connections are lost on the way, again and again, and their connections with them: each is noticed
/// when its time is up, and nothing is lost, doubled or out of order.
#[test]
fn requests_that_are_lost() {
    let stage = Stage::new("dropped", 1, 2).impatient();
    let mut product = stage.flow.run();
    let load = stage.load();
    stage.await_going_on("started", &[0, 1]);
    let fetch = stage.at_source(stage.fetch(Effect::Drop, 0).times(2));
    await_hits("Fetch lost", &fetch, 2);
    stage.await_going_on("Fetch lost", &[0, 1]);
    let produce = stage.at_target(stage.produce(Effect::Drop, 0).times(2));
    await_hits("Produce lost", &produce, 2);
    stage.await_going_on("Produce lost", &[0, 1]);
    let both = [
        stage.at_source(stage.fetch(Effect::Drop, 1).times(1)),
        stage.at_target(stage.produce(Effect::Drop, 1).times(1)),
    ];
    for lost in &both {
        await_hits("both lost", lost, 1);
    }
    stage.await_going_on("both lost", &[0, 1]);
    stage.finish(&mut product, load);
}
