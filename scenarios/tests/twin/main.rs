//! Twin test: a seeded list of requests, right and odd ones, goes to two clusters, and every answer and
//! everything that the clusters hold afterwards must be the same.
//!
//! Goal: the embedded cluster answers as Apache Kafka 4.3.1 does, also when several things are wrong at once.
//! Method: `list.rs` turns a seed into operations that name topics, producers and members by slots;
//! `world.rs` resolves them against what each cluster has handed out; `normal.rs` takes out what differs by
//! nature. Two real clusters prove that nothing else differs by nature.
//!
//! `TWIN_SEEDS=7..9` chooses seeds; a failing seed is made shorter and shown with both answers. With
//! `TWIN_SHOW=1` all answers of the first cluster are printed. `TWIN_ALL=1` goes on behind a seed that
//! fails and shows, as found, the first difference of each kind of operation. `TWIN_SKIP=Fetch,Metadata` leaves these
//! operations out of the lists.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests may fail loudly, as tests do"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers of a test's own making, all small"
)]

mod compare;
mod configs;
mod contents;
mod fetch;
mod frames;
mod groups;
mod list;
mod normal;
mod offsets;
mod produce;
mod random;
mod records;
mod topics;
mod transactions;
mod world;

use std::env;
use std::ops::Range;
use std::time::Instant;

use scenarios::{Cluster, Kind, RealCluster};

use crate::compare::{Side, compare, compare_all, shrink};

/// Seeds of a run without `TWIN_SEEDS`.
const SEEDS: Range<u64> = 1..6;

/// Nothing may happen in the background that makes an answer depend on time.
const QUIET: [(&str, &str); 5] = [
    ("log.cleaner.backoff.ms", "86400000"),
    ("log.retention.check.interval.ms", "86400000"),
    // A new assignment with the heartbeat that calls for it, not up to a second later.
    ("group.consumer.min.assignment.interval.ms", "0"),
    ("group.consumer.assignment.interval.ms", "0"),
    ("group.consumer.assignor.offload.enable", "false"),
];

fn seeds() -> Range<u64> {
    let Ok(text) = env::var("TWIN_SEEDS") else {
        return SEEDS;
    };
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or_else(|| panic!("TWIN_SEEDS is {text:?}; write it as 7..9"))
}

fn must_agree(sides: &[Side; 2]) {
    let all = env::var_os("TWIN_ALL").is_some();
    let skip = env::var("TWIN_SKIP").unwrap_or_default();
    let skip: Vec<&str> = skip.split(',').collect();
    let mut different = Vec::new();
    for seed in seeds() {
        let start = Instant::now();
        let steps = list::list(seed, &skip);
        if all {
            let found = compare_all(sides, seed, &steps);
            if !found.is_empty() {
                different.push(seed);
            }
            let differences = found.len();
            eprintln!(
                "seed {seed}: {differences} differences after {:?}",
                start.elapsed()
            );
            for difference in found {
                eprintln!("{}", difference.without_those_before());
            }
            continue;
        }
        if let Some(difference) = compare(sides, seed, &steps) {
            eprintln!(
                "seed {seed} differs at operation {}; making it shorter",
                difference.at
            );
            panic!("{}", shrink(sides, difference));
        }
        eprintln!(
            "seed {seed}: {} operations agree after {:?}",
            steps.len(),
            start.elapsed()
        );
    }
    assert!(different.is_empty(), "seeds that differ: {different:?}");
}

/// Goal: the embedded cluster answers as Kafka 4.3.1 does, and its logs end up the same.
#[test]
fn the_embedded_cluster_answers_as_kafka_does() {
    let clusters = [("embedded", Kind::Embedded), ("real", Kind::Real)]
        .map(|(name, kind)| (name, kind.start(name, 1, &QUIET).unwrap()));
    must_agree(&clusters.each_ref().map(|(name, cluster)| Side {
        name,
        address: cluster.bootstrap(),
    }));
}

#[test]
#[ignore = "checks the test itself: run it after a change of the generator or of what is normalised"]
fn two_real_clusters_agree() {
    let clusters = ["east", "west"].map(|alias| RealCluster::start_with(alias, 1, &QUIET).unwrap());
    must_agree(&clusters.each_ref().map(|cluster| Side {
        name: "real",
        address: cluster.bootstrap(),
    }));
}

#[test]
#[ignore = "checks the test itself: run it after a change of the comparison or of shrinking"]
fn a_broker_that_differs_is_found() {
    let other = [&QUIET[..], &[("compression.type", "uncompressed")]].concat();
    let sides = [
        RealCluster::start_with("usual", 1, &QUIET),
        RealCluster::start_with("other", 1, &other),
    ]
    .map(Result::unwrap);
    let steps = list::list(1, &[]);
    let of = |cluster: &RealCluster| Side {
        name: "real",
        address: cluster.bootstrap(),
    };
    let found =
        compare(&sides.each_ref().map(of), 1, &steps).expect("a difference in the first answer");
    let report = shrink(&sides.each_ref().map(of), found).to_string();
    // CreateTopics answers with the configs; one operation is enough to see it.
    assert!(report.contains("differ at operation 0\n"), "{report}");
    assert!(
        report.contains("- real:\n") && report.contains("uncompressed"),
        "{report}"
    );
}
