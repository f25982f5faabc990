//! What is written on one side is read on the other.

use std::collections::BTreeMap;

use scenarios::client::{Codec, Isolation, OddRecords, WriteOptions, numbered, unique};
use scenarios::{Kind, on_every_kind};

use crate::flows::{Flow, await_copy, stop};

on_every_kind! {
    active_active_converges_without_cycles,
    odd_records_in_every_codec_arrive_unchanged,
}

/// Goal: two clusters that replicate to each other hold each other's records, and nothing comes home.
fn active_active_converges_without_cycles(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("active");
    for client in [&east, &west] {
        client.create_topic(&topic, 2, 1, &[]).unwrap();
    }
    east.produce(&topic, &numbered(0..1_000, 2, 100)).unwrap();
    west.produce(&topic, &numbered(1_000..2_000, 2, 100))
        .unwrap();
    let flow = Flow::new("aa", pair.east, pair.west, &format!(".*{topic}"))
        .with("TARGET->SOURCE.enabled = true");
    let mut product = flow.run();
    let (here, there) = (format!("aa-west.{topic}"), format!("aa-east.{topic}"));
    await_copy(&east, &topic, &west, &there, Isolation::ReadCommitted);
    await_copy(&west, &topic, &east, &here, Isolation::ReadCommitted);
    // A second look after more records: a cycle would need a refresh to begin.
    east.produce(&topic, &numbered(2_000..3_000, 2, 100))
        .unwrap();
    await_copy(&east, &topic, &west, &there, Isolation::ReadCommitted);
    for (client, twice) in [(&east, "aa-west.aa-east"), (&west, "aa-east.aa-west")] {
        let names = client.topics().unwrap();
        assert!(
            !names
                .iter()
                .any(|name| name.starts_with(twice) && name.ends_with(&topic)),
            "{names:?}"
        );
    }
    stop(&mut product);
}

/// Odd records in each codec; the clusters hold all of them twice, 7 kB each.
fn odd_records(kind: Kind) -> usize {
    match kind {
        Kind::Real => 40_000,
        Kind::Embedded => 4_000,
    }
}

/// Goal: records in every codec, odd in every way that a producer can make them.
fn odd_records_in_every_codec_arrive_unchanged(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let prefix = unique("odd");
    let mut topics = BTreeMap::new();
    for codec in Codec::ALL {
        let topic = format!("{prefix}-{}", codec.name());
        east.create_topic(&topic, 4, 1, &[]).unwrap();
        topics.insert(topic, codec);
    }
    let flow = Flow::new("odd", pair.east, pair.west, &format!("{prefix}.*"));
    let mut product = flow.run();
    for (topic, codec) in &topics {
        let options = WriteOptions {
            codec: *codec,
            ..WriteOptions::default()
        };
        let records: Vec<_> = OddRecords::new(4).take(odd_records(kind)).collect();
        east.produce_with(topic, &records, options).unwrap();
    }
    for topic in topics.keys() {
        await_copy(
            &east,
            topic,
            &west,
            &flow.remote(topic),
            Isolation::ReadCommitted,
        );
    }
    stop(&mut product);
}
