//! The product is killed.

use std::collections::BTreeSet;

use scenarios::client::unique;
use scenarios::{Kind, await_that, on_every_kind};

use crate::flows::{Flow, PATIENCE, all_positions, await_ids, read, stop};
use crate::load::Load;

on_every_kind! {
    killed_under_load,
}

const KILLS: usize = 5;
const PARTITIONS: u64 = 3;
/// Records copied before each kill: more than half a second's load, so that positions were flushed twice.
const COPIED_BEFORE: i64 = 3_000;

/// Goal: killed five times under load, nothing is lost, the order is kept, and each start goes on at a stored position,
/// so that what comes twice lies behind that. Method: id / partitions is the upstream offset, so the copy shows every
/// step back.
fn killed_under_load(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("killed");
    east.create_topic(&topic, 3, 1, &[]).unwrap();
    let flow = Flow::new("kill", pair.east, pair.west, &topic)
        .with("TARGET.offset.flush.interval.ms = 200");
    let copy = flow.remote(&topic);
    let load = Load::start(pair.east, &topic, 3);
    let mut product = flow.run();
    let mut seen = 0;
    for kill in 1..=KILLS {
        await_that(&format!("copying before kill {kill}"), PATIENCE, || {
            west.end_offsets(&copy)
                .is_ok_and(|ends| ends.iter().sum::<i64>() > seen + COPIED_BEFORE)
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
        (found.lost, found.disordered, found.foreign),
        (0, 0, 0),
        "{found}"
    );
    let positions = all_positions(&west, &flow, &topic);
    let mut steps_back = 0;
    for (partition, records) in read(&west, &copy) {
        // A start without a stored position begins at 0.
        let starts: BTreeSet<i64> = positions[&partition]
            .iter()
            .map(|stored| stored + 1)
            .chain([0])
            .collect();
        let mut expected = 0;
        for read in records {
            let key = String::from_utf8(read.record.key.unwrap()).unwrap();
            let upstream = i64::try_from(key.parse::<u64>().unwrap() / PARTITIONS).unwrap();
            if upstream != expected {
                steps_back += 1;
                assert!(
                    upstream < expected && starts.contains(&upstream),
                    "{copy}-{partition}: at offset {} upstream offset {upstream} follows {}, no stored position",
                    read.offset,
                    expected - 1
                );
            }
            expected = upstream + 1;
        }
    }
    assert!(
        steps_back <= KILLS * 3,
        "{steps_back} steps back after {KILLS} kills"
    );
    eprintln!(
        "{KILLS} kills, {} records: {} came twice, {steps_back} steps back",
        found.found, found.doubled
    );
}
