//! The product is killed.

use scenarios::client::unique;
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_ids, stop};
use crate::load::Load;

on_every_kind! {
    killed_under_load,
}

const KILLS: usize = 5;

/// Goal: killed five times under load, nothing is lost, nothing comes twice and the order is kept: each start goes on right
/// behind what the last one had written.
fn killed_under_load(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("killed");
    east.create_topic(&topic, 3, 1, &[]).unwrap();
    let flow = Flow::new("kill", pair.east, pair.west, &topic);
    let copy = flow.remote(&topic);
    let load = Load::start(pair.east, &topic, 3);
    let mut product = flow.run();
    let mut seen = 0;
    for kill in 1..=KILLS {
        // Well into the copying, past at least one flush of positions.
        await_that(&format!("copying before kill {kill}"), PATIENCE, || {
            west.end_offsets(&copy)
                .is_ok_and(|ends| ends.iter().sum::<i64>() > seen + 8_000)
        })
        .unwrap();
        product.kill().unwrap();
        seen = west.end_offsets(&copy).unwrap().iter().sum();
        product.restart().unwrap();
    }
    let ids = load.stop();
    let found = await_ids(&west, &copy, ids);
    stop(&mut product);
    assert_eq!(
        (found.lost, found.doubled, found.disordered, found.foreign),
        (0, 0, 0, 0),
        "{found}"
    );
    eprintln!("{KILLS} kills, {} records", found.found);
}
