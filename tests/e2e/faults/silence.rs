//! Connections that stay open and say nothing. Slow, as the product waits 30 s for a Fetch and 35 s for a Produce, for which it has no
//! configuration key; so all silences are in one test.

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
    let leader =
        |side: &scenarios::Embedded, topic: &str, at| side.cluster().leader(topic, at).unwrap().0;
    let (east, west) = (&stage.east, &stage.west);
    // Partition 0's source broker, and partition 0's target broker; what neither of them leads goes on.
    let (deaf, mute) = (
        leader(east, &stage.topic, 0),
        leader(west, &stage.remote, 0),
    );
    let half_open = stage.at_source(
        Fault::new(Effect::HalfOpen)
            .on_broker(deaf)
            .on_api(ApiKey::Fetch)
            .times(1),
    );
    let lost = Fault::new(Effect::LoseAnswer(After::Silent))
        .on_broker(mute)
        .on_api(ApiKey::Produce);
    let lost = stage.at_target(lost.on_topic(&stage.remote).times(1));
    let hung = stage.at_source(
        Fault::new(Effect::NeverAnswer)
            .on_api(ApiKey::Metadata)
            .for_duration(Duration::from_secs(3)),
    );
    await_hits("half-open", &half_open, 1);
    let going_on: Vec<usize> = (0..4)
        .filter(|at| {
            let partition = i32::try_from(*at).unwrap();
            leader(east, &stage.topic, partition) != deaf
                && leader(west, &stage.remote, partition) != mute
        })
        .collect();
    let mut next = 400;
    let mut more = || {
        source
            .produce(&stage.topic, &numbered(next..next + 400, 4, 100))
            .unwrap();
        next += 400;
        next
    };
    more();
    await_hits("answer lost", &lost, 1);
    for _ in 0..3 {
        let end = more();
        let per_partition = i64::try_from(end / 4).unwrap();
        await_that("the other partitions", PATIENCE, || {
            let ends = stage.copied();
            going_on.iter().all(|at| ends[*at] == per_partition)
        })
        .unwrap();
    }
    await_hits("no Metadata", &hung, 1);
    let end = more();
    await_exact(&stage.client, &stage.remote, 0..end);
    super::finish(&mut product);
}
