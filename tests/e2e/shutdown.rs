//! How the product ends.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use scenarios::client::unique;
use scenarios::{Kind, Product, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_contents, read, stop, stored_positions};
use crate::load::Load;

on_every_kind! {
    signals_drain_and_store,
    signals_while_the_target_is_frozen,
    signal_while_the_target_is_dead,
    signal_while_the_source_is_away,
}

/// The promise of `--help`: what is in flight is drained and stored within this.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// Goal: SIGTERM, SIGINT and SIGHUP under load: ends with 0 within ten seconds, everything that was copied is stored as copied.
fn signals_drain_and_store(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let topic = unique("signal");
        east.create_topic(&topic, 2, 1, &[]).unwrap();
        let flow = Flow::new(&topic, pair.east, pair.west, &topic)
            .with("TARGET.offset.flush.interval.ms = 600000");
        let load = Load::start(pair.east, &topic, 2);
        let mut product = flow.run();
        await_copied(&west, &flow.remote(&topic), 3_000);
        let code = end(&mut product, &[signal]);
        assert_eq!(code, Some(0), "{signal}\n{}", product.output());
        let copied = west.end_offsets(&flow.remote(&topic)).unwrap();
        let stored = stored_positions(&west, &flow, &topic);
        for (partition, end) in (0..).zip(copied) {
            assert_eq!(
                stored.get(&partition),
                Some(&(end - 1)),
                "{topic}-{partition}: {end} records copied"
            );
        }
        load.stop();
        product.restart().unwrap();
        await_contents(&read(&east, &topic), &west, &flow.remote(&topic));
        stop(&mut product);
    }
}

/// Goal: a signal while the target does not answer ends within ten seconds and says by its code 1 that not everything is
/// stored; a second signal ends at once.
fn signals_while_the_target_is_frozen(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let target = kind.start("frozen", 1, &[]).unwrap();
    let (east, west) = (pair.east.client().unwrap(), target.client().unwrap());
    let topic = unique("frozen");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow = Flow::new("frozen", pair.east, &*target, &topic);
    let load = Load::start(pair.east, &topic, 2);
    let mut product = flow.run();
    await_copied(&west, &flow.remote(&topic), 1_000);
    target.broker(1).freeze().unwrap();
    load.await_more(1_000);
    assert_eq!(
        end(&mut product, &[Signal::SIGTERM]),
        Some(1),
        "frozen target\n{}",
        product.output()
    );

    target.broker(1).thaw().unwrap();
    product.restart().unwrap();
    await_more_copied(&west, &flow.remote(&topic), 1_000);
    target.broker(1).freeze().unwrap();
    load.await_more(1_000);
    product.process().signal(Signal::SIGTERM).unwrap();
    await_that("first signal taken", PATIENCE, || {
        product
            .output()
            .matches("stopping: a second signal")
            .count()
            == 2
    })
    .unwrap();
    let since = Instant::now();
    product.process().signal(Signal::SIGINT).unwrap();
    let code = product.process().wait(PATIENCE).unwrap().code();
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "a second signal took {:?}",
        since.elapsed()
    );
    assert_eq!(code, Some(1));

    load.stop();
}

/// Goal: as above, of a target that is dead.
fn signal_while_the_target_is_dead(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let target = kind.start("dead", 1, &[]).unwrap();
    let (east, west) = (pair.east.client().unwrap(), target.client().unwrap());
    let topic = unique("dead");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    let flow = Flow::new("dead", pair.east, &*target, &topic);
    let load = Load::start(pair.east, &topic, 2);
    let mut product = flow.run();
    await_copied(&west, &flow.remote(&topic), 1_000);
    target.broker(1).kill().unwrap();
    load.await_more(1_000);
    assert_eq!(
        end(&mut product, &[Signal::SIGTERM]),
        Some(1),
        "dead target\n{}",
        product.output()
    );
    load.stop();
}

/// Goal: a signal while the source is dead: what was copied is stored, so this is a clean end.
fn signal_while_the_source_is_away(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let source = kind.start("gone", 1, &[]).unwrap();
    let (east, west) = (source.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("gone");
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &scenarios::client::numbered(0..1_000, 2, 50))
        .unwrap();
    let flow = Flow::new("gone", &*source, pair.west, &topic);
    let mut product = flow.run();
    await_copied(&west, &flow.remote(&topic), 1_000);
    source.broker(1).kill().unwrap();
    assert_eq!(
        end(&mut product, &[Signal::SIGTERM]),
        Some(0),
        "{}",
        product.output()
    );
    assert_eq!(
        stored_positions(&west, &flow, &topic)
            .into_values()
            .sum::<i64>(),
        998,
        "last offsets 499 and 499"
    );
}

fn await_copied(client: &scenarios::KafkaClient, topic: &str, records: i64) {
    scenarios::await_ok(
        &format!("{records} records in {topic}"),
        PATIENCE,
        || match client.end_offsets(topic) {
            Ok(ends) if !ends.is_empty() && ends.iter().sum::<i64>() >= records => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .unwrap();
}

/// Waits until the product, which was just started, is at work: it has copied more than was there.
fn await_more_copied(client: &scenarios::KafkaClient, topic: &str, records: i64) {
    let there = scenarios::await_ok("the target's ends", PATIENCE, || client.end_offsets(topic));
    await_copied(client, topic, there.unwrap().iter().sum::<i64>() + records);
}

/// Sends the signals and returns the exit code, which must come in time.
fn end(product: &mut Product, signals: &[Signal]) -> Option<i32> {
    let since = Instant::now();
    for signal in signals {
        product.process().signal(*signal).unwrap();
    }
    let status = product.process().wait(PATIENCE).unwrap();
    assert!(
        since.elapsed() <= STOP_LIMIT,
        "took {:?} to end\n{}",
        since.elapsed(),
        product.output()
    );
    status.code()
}
