//! The product is killed.

use std::time::Instant;

use scenarios::client::unique;
use scenarios::{Cluster, Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_ids, stop};
use crate::load::Load;

on_every_kind! {
    killed_under_load,
    killed_where_transactions_cannot_be,
}

/// Records copied before each kill: more than half a second's load, sometimes with maps stored and sometimes without.
const COPIED_BEFORE: i64 = 3_000;
/// Markers of the lanes that are taken over: no records.
const MARKERS: i64 = 3;

/// `KILLS=20` for a long run.
fn kills() -> usize {
    std::env::var("KILLS").map_or(5, |kills| kills.parse().unwrap())
}

/// Goal: killed again and again under load, nothing is lost, nothing comes twice and the order is kept: each start goes on right
/// behind what the last one had written.
fn killed_under_load(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    kill_under_load(pair.east, pair.west, kills());
}

/// Goal: the same on a target of one broker with Kafka's own defaults, which cannot keep the state of transactions: its partitions
/// are not fenced, and nothing comes twice all the same.
fn killed_where_transactions_cannot_be(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let three = [("transaction.state.log.replication.factor", "3")];
    let target = kind.start("lonely", 1, &three).unwrap();
    let output = kill_under_load(pair.east, &*target, 2);
    assert!(
        output.contains("no transactional ids on the target"),
        "{output}"
    );
}

/// What the product said.
fn kill_under_load(source: &dyn Cluster, target: &dyn Cluster, kills: usize) -> String {
    let (east, west) = (source.client().unwrap(), target.client().unwrap());
    let topic = unique("killed");
    east.create_topic(&topic, 3, 1, &[]).unwrap();
    let flow =
        Flow::new(&topic, source, target, &topic).with("TARGET.offset.flush.interval.ms = 200");
    let copy = flow.remote(&topic);
    let load = Load::start(source, &topic, 3);
    let mut product = flow.run();
    let copied = || -> i64 { west.end_offsets(&copy).map_or(0, |ends| ends.iter().sum()) };
    let (mut seen, mut pauses) = (0, Vec::new());
    for kill in 1..=kills {
        let what = format!("copying before kill {kill}");
        await_that(&what, PATIENCE, || copied() > seen + COPIED_BEFORE).unwrap();
        product.kill().unwrap();
        seen = copied();
        let since = Instant::now();
        product.restart().unwrap();
        let what = format!("copying after kill {kill}");
        await_that(&what, PATIENCE, || copied() > seen + MARKERS).unwrap();
        pauses.push(since.elapsed());
    }
    let ids = load.stop();
    let found = await_ids(&west, &copy, ids);
    stop(&mut product);
    assert_eq!(
        (found.lost, found.doubled, found.disordered, found.foreign),
        (0, 0, 0, 0),
        "{found}"
    );
    pauses.sort();
    let (middle, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    eprintln!(
        "{kills} kills, {} records; copying again after {middle:?}, {longest:?} at most",
        found.found
    );
    product.output()
}
