//! Random source logs through the real engine, killed at random moments, between embedded clusters. At the end every copy is there
//! once and in order, and the offset maps answer for **every** offset of both logs as a comparison of the logs by brute force does.
//!
//! `EXACT_SEEDS=a..b` runs these seeds, `EXACT_JOBS` of them at a time; `EXACT_SHOW=1` tells acts, `EXACT_KEEP=1` keeps the
//! engine's log of a run that failed, `EXACT_SHRINK=1` looks for fewer acts that fail as well.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

mod child;
mod histories;
mod judge;
mod ledger;
mod plan;
mod run;
mod wire;

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use judge::Verdict;
use plan::Plan;

/// Runs of a reduced plan before it counts as one that does not fail: much depends on moments.
const TRIES: usize = 3;

fn setting<T: std::str::FromStr>(name: &str, otherwise: T) -> T {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("EXACT_SEEDS") else {
        let first = u64::from(std::process::id()) * 1_000;
        return first..first + 6;
    };
    match text.split_once("..") {
        Some((from, to)) => from.parse().unwrap()..to.parse().unwrap(),
        None => {
            let seed = text.parse().unwrap();
            seed..seed + 1
        }
    }
}

/// Goal: what the module says, for random seeds.
#[test]
fn copies_and_maps_are_exact_whatever_happens() {
    let seeds = seeds();
    eprintln!(
        "seeds {seeds:?}: EXACT_SEEDS={}..{} repeats them",
        seeds.start, seeds.end
    );
    let next = AtomicU64::new(seeds.start);
    let total = Mutex::new((Verdict::default(), Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..setting("EXACT_JOBS", 3) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let plan = Plan::new(seed);
                    let began = Instant::now();
                    let verdict = run::run(&plan);
                    let (sum, failed) = &mut *total.lock().unwrap();
                    let seconds = began.elapsed().as_secs_f64();
                    eprintln!(
                        "seed {seed}: {seconds:.1} s, {} acts, {} records, {} exact, {} at least, {} faults",
                        plan.acts.len(), verdict.records, verdict.exact, verdict.at_least, verdict.faults.len()
                    );
                    for fault in &verdict.faults {
                        eprintln!("seed {seed}: {fault}");
                    }
                    if !verdict.faults.is_empty() {
                        failed.push(plan);
                    }
                    sum.records += verdict.records;
                    sum.exact += verdict.exact;
                    sum.at_least += verdict.at_least;
                }
            });
        }
    });
    let (sum, failed) = total.into_inner().unwrap();
    eprintln!(
        "{} records, {} exact answers, {} lower bounds",
        sum.records, sum.exact, sum.at_least
    );
    if setting("EXACT_SHRINK", 0) > 0
        && let Some(plan) = failed.first()
    {
        let plan = shrink(plan.clone());
        eprintln!("reduced: {:?}", plan.setup);
        plan.acts.iter().for_each(|act| eprintln!("  {act:?}"));
    }
    let failed: Vec<u64> = failed.iter().map(|plan| plan.seed).collect();
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}

/// Leaves acts out, many at a time, then few, as long as it fails.
fn shrink(mut plan: Plan) -> Plan {
    let mut chunk = plan.acts.len() / 2;
    while chunk > 0 {
        let mut at = 0;
        while at < plan.acts.len() {
            let mut less = plan.clone();
            less.acts.drain(at..(at + chunk).min(plan.acts.len()));
            if (0..TRIES).any(|_| !run::run(&less).faults.is_empty()) {
                eprintln!("{} acts still fail", less.acts.len());
                plan = less;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    plan
}
