//! A thousand groups: how long the target is behind.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use scenarios::client::{Isolation, RawGroups, numbered, unique};
use scenarios::{Kind, Product, await_that, on_every_kind};

use super::syncing;
use crate::flows::{Flow, PATIENCE, await_copy, stop};

on_every_kind! {
    a_thousand_groups_are_followed,
    idle_groups_cost_little,
}

const GROUPS: usize = 1_000;
/// `GROUPS_ROUNDS=20` for a long run.
fn rounds() -> i64 {
    std::env::var("GROUPS_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap())
}
/// The promise is a second; this machine may be busy with a debug build and other tests.
const P99_MAX: Duration = Duration::from_secs(3);

/// `CROSSCURRENT_PROGRAM` for figures of another build.
fn run(flow: &Flow) -> Product {
    let ours = env!("CARGO_BIN_EXE_crosscurrent").to_owned();
    let program = std::env::var("CROSSCURRENT_PROGRAM").unwrap_or(ours);
    Product::run_logging(
        program,
        &flow.properties(),
        "info,actors::checkpoints=trace",
    )
    .unwrap()
}

/// Partitions that each of the idle groups has committed.
const PARTITIONS: i32 = 20;
/// `IDLE_PARTITIONS=100` for 100,000 places.
fn partitions() -> i32 {
    std::env::var("IDLE_PARTITIONS").map_or(PARTITIONS, |count| count.parse().unwrap())
}
/// How long idleness is measured.
const IDLE: Duration = Duration::from_secs(5);
/// Of one core, in a debug build on a busy machine.
const IDLE_SHARE_MAX: f64 = 0.9;

/// Goal: groups that do not move are asked, and nothing else is done for them.
fn idle_groups_cost_little(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, partitions) = (unique("idle"), partitions());
    east.create_topic(&topic, partitions, 1, &[]).unwrap();
    let records = u64::try_from(partitions).unwrap() * 10;
    east.produce(&topic, &numbered(0..records, partitions, 20))
        .unwrap();
    let flow = syncing(&topic, &pair, &topic).with(&format!("groups = {topic}-.*"));
    let mut source = RawGroups::connect(&pair.east.bootstrap()).unwrap();
    let mut target = RawGroups::connect(&pair.west.bootstrap()).unwrap();
    let names: Vec<_> = (0..GROUPS).map(|at| format!("{topic}-{at}")).collect();
    let places: Vec<_> = (0..partitions).map(|at| (&*topic, at, 5, "")).collect();
    for name in &names {
        source.commit(name, &places).unwrap();
    }
    let began = Instant::now();
    let mut product = run(&flow);
    await_that("all groups on the target", PATIENCE, || {
        let found = target.committed(&names).unwrap();
        let whole = usize::try_from(partitions).unwrap();
        found
            .values()
            .filter(|places| places.len() == whole)
            .count()
            == GROUPS
    })
    .unwrap();
    let first = began.elapsed();
    let written = west.end_offsets(&format!("{}.checkpoints.internal", flow.source));
    let before = product.process().cpu_time().unwrap();
    std::thread::sleep(IDLE);
    let spent = product.process().cpu_time().unwrap() - before;
    let still = west.end_offsets(&format!("{}.checkpoints.internal", flow.source));
    let share = spent.as_secs_f64() / IDLE.as_secs_f64();
    stop(&mut product);
    eprintln!(
        "{kind:?}: {GROUPS} groups of {partitions} partitions: on the target after {first:?}, then {:.1} % of a core",
        share * 100.0
    );
    let output = product.output();
    let last = output
        .lines()
        .rfind(|line| line.contains("checkpoints::round"));
    eprintln!("{}", last.unwrap_or_default());
    assert_eq!(
        written.unwrap(),
        still.unwrap(),
        "checkpoints of idle groups"
    );
    assert!(share < IDLE_SHARE_MAX, "{share}");
}

/// Goal: from a commit on the source to the commit on the target, for each of a thousand groups that all move.
fn a_thousand_groups_are_followed(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("many");
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..1_000, 1, 20)).unwrap();
    let flow = syncing(&topic, &pair, &topic).with(&format!("groups = {topic}-.*"));
    let mut product = run(&flow);
    let copy = flow.remote(&topic);
    await_that("the copy", PATIENCE, || {
        west.topics().unwrap().contains(&copy)
    })
    .unwrap();
    await_copy(&east, &topic, &west, &copy, Isolation::ReadUncommitted);
    let shift = west.end_offsets(&copy).unwrap()[0] - 1_000;
    let names: Vec<_> = (0..GROUPS).map(|at| format!("{topic}-{at}")).collect();
    let mut source = RawGroups::connect(&pair.east.bootstrap()).unwrap();
    let mut target = RawGroups::connect(&pair.west.bootstrap()).unwrap();
    let mut delays = Vec::new();
    // The first round finds the groups; that takes longer, and is not counted.
    for round in 0..=rounds() {
        let mut waiting = HashMap::new();
        let mut random: u64 = 88_172_645_463_325_252 + u64::try_from(round).unwrap();
        for chunk in names.chunks(100) {
            for name in chunk {
                let at = [(&*topic, 0, 1 + round * 10, "")];
                source.commit(name, &at).unwrap();
                waiting.insert(name.clone(), Instant::now());
            }
            // Spread over the time between two rounds.
            random ^= random << 13;
            random ^= random >> 7;
            std::thread::sleep(Duration::from_millis(random % 100));
        }
        let expected = 1 + round * 10 + shift;
        let deadline = Instant::now() + PATIENCE;
        while !waiting.is_empty() {
            assert!(
                Instant::now() < deadline,
                "{} groups are behind",
                waiting.len()
            );
            let still: Vec<_> = waiting.keys().cloned().collect();
            let found = target.committed(&still).unwrap();
            let now = Instant::now();
            for (group, places) in found {
                let places: BTreeMap<_, _> = places;
                let place = places.get(&(copy.clone(), 0)).map(|(offset, _)| *offset);
                if place == Some(expected) {
                    let committed = waiting.remove(&group).unwrap();
                    if round > 0 {
                        delays.push(now - committed);
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    stop(&mut product);
    delays.sort_unstable();
    let at = |share: usize| delays[(delays.len() - 1) * share / 1_000];
    let (p50, p99, max) = (at(500), at(990), at(1_000));
    eprintln!(
        "{kind:?}: {} commits followed: p50 {p50:?}, p99 {p99:?}, max {max:?}",
        delays.len()
    );
    assert!(p99 < P99_MAX, "p99 {p99:?}");
}
