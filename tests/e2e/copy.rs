//! What is written on one side is read on the other.

use std::collections::BTreeMap;

use scenarios::client::{Codec, Isolation, OddRecords, WriteOptions, numbered, unique};
use scenarios::shared_pair;

use crate::flows::{PATIENCE, await_copy, properties, run};

/// Goal: two clusters that replicate to each other hold each other's records, and nothing comes home.
#[test]
fn active_active_converges_without_cycles() {
    let pair = shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("active");
    for client in [&east, &west] {
        client.create_topic(&topic, 2, 1, &[]).unwrap();
    }
    east.produce(&topic, &numbered(0..1_000, 2, 100)).unwrap();
    west.produce(&topic, &numbered(1_000..2_000, 2, 100))
        .unwrap();
    let text = properties(
        &pair.east,
        &pair.west,
        &format!(".*{topic}"),
        "west->east.enabled = true",
    );
    let mut product = run(&text);
    await_copy(
        &east,
        &topic,
        &west,
        &format!("east.{topic}"),
        Isolation::ReadCommitted,
    );
    await_copy(
        &west,
        &topic,
        &east,
        &format!("west.{topic}"),
        Isolation::ReadCommitted,
    );
    for (client, twice) in [(&east, "west.east"), (&west, "east.west")] {
        let names = client.topics().unwrap();
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with(twice) && name.ends_with(&topic)),
            "{names:?}"
        );
    }
    assert!(product.stop(PATIENCE).unwrap().success());
}

/// Goal: every codec, and records that are odd in every way that a producer can make them.
#[test]
fn odd_records_in_every_codec_arrive_unchanged() {
    let pair = shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let prefix = unique("odd");
    let mut topics = BTreeMap::new();
    for codec in Codec::ALL {
        let topic = format!("{prefix}-{}", codec.name());
        east.create_topic(&topic, 4, 1, &[]).unwrap();
        topics.insert(topic, codec);
    }
    let mut product = run(&properties(
        &pair.east,
        &pair.west,
        &format!("{prefix}.*"),
        "",
    ));
    for (topic, codec) in &topics {
        let options = WriteOptions {
            codec: *codec,
            ..WriteOptions::default()
        };
        let records: Vec<_> = OddRecords::new(4).take(40_000).collect();
        east.produce_with(topic, &records, options).unwrap();
    }
    for topic in topics.keys() {
        await_copy(
            &east,
            topic,
            &west,
            &format!("east.{topic}"),
            Isolation::ReadCommitted,
        );
    }
    assert!(product.stop(PATIENCE).unwrap().success());
}
