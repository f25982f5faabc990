//! Heartbeats, in MM2's bytes.

use scenarios::client::{KafkaClient, ReadRecord};
use scenarios::{Kind, await_ok, on_every_kind};

use crate::flows::{Flow, PATIENCE, now_ms, read, stop};

on_every_kind! {
    heartbeats_hold_mm2s_bytes_and_travel,
}

/// Goal: each flow beats on its target every second, the first time after one interval, and beats travel on with the
/// flow. Method: the bytes of docs/spec/mm2.md 3.2, written by hand here.
fn heartbeats_hold_mm2s_bytes_and_travel(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let flow = Flow::new("hb", pair.east, pair.west, "none")
        .with("TARGET->SOURCE.enabled = true")
        .with("heartbeats.replication.enabled = true");
    let started_ms = now_ms();
    let mut product = flow.run();
    // (cluster, topic, whose beats): east->west beats on west; west's copy of east's topic holds what west->east beat.
    let places = [
        (&west, "heartbeats", ("hb-east", "hb-west")),
        (&east, "heartbeats", ("hb-west", "hb-east")),
        (&west, "hb-east.heartbeats", ("hb-west", "hb-east")),
        (&east, "hb-west.heartbeats", ("hb-east", "hb-west")),
    ];
    for (client, topic, key) in places {
        let seen = await_beats(client, topic, key, 4);
        let times: Vec<i64> = seen.iter().map(|beat| check_bytes(topic, beat)).collect();
        let first = times[0] - started_ms;
        assert!(
            (1_000..15_000).contains(&first),
            "{topic}: first beat {first} ms after the start, interval 1000"
        );
        for pair in times.windows(2) {
            let interval = pair[1] - pair[0];
            assert!(
                (500..5_000).contains(&interval),
                "{topic}: {interval} ms between beats, wanted 1000: {times:?}"
            );
        }
    }
    stop(&mut product);
    let config = west.topic_config("heartbeats").unwrap();
    assert_eq!(
        config.get("cleanup.policy").map(String::as_str),
        Some("compact")
    );
}

/// Waits until `count` beats of the flow are there, and returns them all.
fn await_beats(
    client: &KafkaClient,
    topic: &str,
    (source, target): (&str, &str),
    count: usize,
) -> Vec<ReadRecord> {
    let key = Some([string(source), string(target)].concat());
    let look = || {
        if !client.topics().is_ok_and(|topics| topics.contains(topic)) {
            return Err(format!("no topic {topic}"));
        }
        let mut contents = read(client, topic);
        assert_eq!(contents.len(), 1, "{topic} has one partition");
        let mut beats = contents.remove(&0).unwrap_or_default();
        beats.retain(|beat| beat.record.key == key);
        if beats.len() >= count {
            Ok(beats)
        } else {
            Err(format!("{} beats", beats.len()))
        }
    };
    await_ok(
        &format!("{count} beats {source}->{target} in {topic}"),
        PATIENCE,
        look,
    )
    .unwrap()
}

/// Value: INT16 version 0, INT64 time; the record's timestamp is that time. Returns it.
fn check_bytes(topic: &str, beat: &ReadRecord) -> i64 {
    let value = beat.record.value.clone().unwrap();
    let expected = [&[0, 0][..], &beat.record.timestamp_ms.to_be_bytes()].concat();
    assert_eq!(value, expected, "{topic}, offset {}", beat.offset);
    assert!(beat.record.headers.is_empty(), "{:?}", beat.record);
    beat.record.timestamp_ms
}

/// Kafka's STRING: INT16 length, UTF-8.
fn string(text: &str) -> Vec<u8> {
    let length = i16::try_from(text.len()).unwrap();
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}
