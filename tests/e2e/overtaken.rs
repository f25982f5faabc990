//! A process sleeps, another one takes its work over, the first one wakes.

use nix::sys::signal::Signal;
use scenarios::client::unique;
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_ids, stop};
use crate::load::Load;

on_every_kind! {
    a_sleeper_that_wakes_is_refused,

}

/// `OVERTAKEN_ROUNDS=20` for a long run.
fn rounds() -> usize {
    std::env::var("OVERTAKEN_ROUNDS").map_or(2, |rounds| rounds.parse().unwrap())
}

/// Goal: a process stopped in the middle of its work (SIGSTOP) and woken after another one went on is refused by the
/// broker, says so, and nothing it does doubles or loses a record. Then it is ended, the other one sleeps, and so on.
fn a_sleeper_that_wakes_is_refused(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("sleeper");
    east.create_topic(&topic, 3, 1, &[]).unwrap();
    let flow = Flow::new(&topic, pair.east, pair.west, &topic);
    let copy = flow.remote(&topic);
    let copied = || {
        west.end_offsets(&copy)
            .map_or(0, |ends| ends.iter().sum::<i64>())
    };
    let load = Load::start(pair.east, &topic, 3);
    let mut owner = flow.run();
    for round in 1..=rounds() {
        let seen = copied();
        await_that(&format!("copying in round {round}"), PATIENCE, || {
            copied() > seen + 2_000
        })
        .unwrap();
        owner.process().signal(Signal::SIGSTOP).unwrap();
        let seen = copied();
        let heir = flow.run();
        await_that(
            &format!("the heir of round {round} copies"),
            PATIENCE,
            || copied() > seen + 2_000,
        )
        .unwrap();
        owner.process().signal(Signal::SIGCONT).unwrap();
        owner.await_output("another process", PATIENCE).unwrap();
        let seen = copied();
        await_that(
            &format!("the heir of round {round} goes on"),
            PATIENCE,
            || copied() > seen + 2_000,
        )
        .unwrap();
        owner.kill().unwrap();
        owner = heir;
    }
    let ids = load.stop();
    let found = await_ids(&west, &copy, ids);
    stop(&mut owner);
    assert_eq!(
        (found.lost, found.doubled, found.disordered, found.foreign),
        (0, 0, 0, 0),
        "{found}"
    );
    eprintln!("{} rounds, {} records", rounds(), found.found);
}
