//! Offsets of many partitions at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use engine::cluster::{ErrorCode, OffsetAt};
use scenarios::client::{numbered, unique};
use scenarios::{Kind, on_every_kind};

use crate::{engine_of, runtime};

on_every_kind! {
    offsets_come_from_every_leader_at_once,
    a_moved_leader_is_found_again,
}

fn offsets_come_from_every_leader_at_once(kind: Kind) {
    const PARTITIONS: i32 = 200;
    let pair = kind.shared_pair().unwrap();
    let topic = unique("wide");
    let client = pair.east.client().unwrap();
    client.create_topic(&topic, PARTITIONS, 1, &[]).unwrap();
    client
        .produce(&topic, &numbered(0..1_000, PARTITIONS, 10))
        .unwrap();
    client.delete_records(&topic, &[(3, 2)]).unwrap();
    let runtime = runtime();
    let cluster = engine_of(&pair.east.bootstrap(), &runtime);
    let name: Arc<str> = topic.as_str().into();
    let mut asked: Vec<_> = (0..PARTITIONS).map(|at| (name.clone(), at)).collect();
    asked.push((name.clone(), PARTITIONS));
    asked.push(("not-there".into(), 0));
    runtime.block_on(async {
        for (at, first_two_gone, others) in [(OffsetAt::Latest, 5, 5), (OffsetAt::Earliest, 2, 0)] {
            let started = Instant::now();
            let found = cluster.offsets(&asked, at).await.unwrap();
            eprintln!("{} offsets in {:?}", found.len(), started.elapsed());
            assert_eq!(found.len(), asked.len());
            let found: BTreeMap<_, _> = found.into_iter().collect();
            for partition in 0..PARTITIONS {
                let expected = if partition == 3 {
                    first_two_gone
                } else {
                    others
                };
                assert_eq!(
                    found[&(name.clone(), partition)],
                    Ok(expected),
                    "{partition}"
                );
            }
            for missing in &asked[PARTITIONS as usize..] {
                let refusal = found[missing].as_ref().unwrap_err();
                assert_eq!(refusal.code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
            }
        }
    });
}

fn a_moved_leader_is_found_again(kind: Kind) {
    let cluster = kind.start("trio", 3, &[]).unwrap();
    let client = cluster.client().unwrap();
    client.create_topic("orders", 6, 3, &[]).unwrap();
    client.produce("orders", &numbered(0..60, 6, 10)).unwrap();
    let runtime = runtime();
    let engine = engine_of(&cluster.bootstrap(), &runtime);
    let asked: Vec<_> = (0..6).map(|at| (Arc::from("orders"), at)).collect();
    let all_known = |at| {
        let found = runtime.block_on(engine.offsets(&asked, at)).unwrap();
        assert_eq!(found.len(), asked.len());
        found.iter().all(|(_, offset)| *offset == Ok(10))
    };
    assert!(all_known(OffsetAt::Latest));
    for node in 1..=3 {
        // A controlled shutdown: the leaders move at once, and the old one is gone.
        cluster.broker(node).stop().unwrap();
        let started = Instant::now();
        while !all_known(OffsetAt::Latest) {
            assert!(started.elapsed().as_secs() < 30, "after broker {node} left");
        }
        cluster.broker(node).start().unwrap();
    }
}
