//! `crosscurrent verify`: finds what is different, and nothing else.

use scenarios::client::{Codec, Isolation, OddRecords, TestRecord, WriteOptions, numbered, unique};
use scenarios::{Kind, on_every_kind};
use serde_json::{Value, json};

use super::{File, Ran, crosscurrent};
use crate::flows::{Flow, PATIENCE, await_copy, stop};

on_every_kind! {
    a_copy_with_markers_and_aborts_is_equal,
    a_compacted_copy_is_equal,
    each_kind_of_difference_is_found_with_its_offsets,
    long_stretches_are_found,
    retention_and_lag_are_no_differences,
    a_comparison_goes_on_where_it_was,
    what_cannot_be_compared_is_said,
}

fn verify(file: &File, more: &[&str]) -> Ran {
    let path = file.path();
    let arguments: Vec<&str> = ["verify", &path, "--json"]
        .iter()
        .chain(more)
        .copied()
        .collect();
    crosscurrent(&arguments)
}

fn differences(ran: &Ran) -> Value {
    ran.of_type("partition")["differences"].clone()
}

/// Goal: markers of transactions and of takeovers, aborted records, holes and batches cut anew are no differences, and `--sample`
/// finds the same. Method: the product copies, is stopped, and goes on under a new owner of its lanes.
fn a_copy_with_markers_and_aborts_is_equal(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    for (isolation, level) in [
        (Isolation::ReadCommitted, "read_committed"),
        (Isolation::ReadUncommitted, "read_uncommitted"),
    ] {
        let topic = unique("verified");
        east.create_topic(&topic, 2, 1, &[]).unwrap();
        let flow = Flow::new(&format!("vf-{level}"), pair.east, pair.west, &topic)
            .with(&format!("SOURCE.consumer.isolation.level = {level}"));
        let file = File::of(&flow);
        let remote = flow.remote(&topic);
        for round in 0..2u64 {
            let mut product = flow.run();
            let options = WriteOptions {
                codec: Codec::Lz4,
                ..WriteOptions::default()
            };
            let base = round * 10_000;
            east.produce_with(&topic, &numbered(base..base + 2_000, 2, 100), options)
                .unwrap();
            let odd: Vec<_> = OddRecords::new(2).take(500).collect();
            east.produce(&topic, &odd).unwrap();
            let writer = east.transactional(&unique("verified")).unwrap();
            for (at, commits) in [true, false, true, false, true].into_iter().enumerate() {
                let base = base + 5_000 + 100 * at as u64;
                writer.begin().unwrap();
                writer
                    .produce(&topic, &numbered(base..base + 50, 2, 100))
                    .unwrap();
                if commits {
                    writer.commit()
                } else {
                    writer.abort()
                }
                .unwrap();
            }
            await_copy(&east, &topic, &west, &remote, isolation);
            stop(&mut product);
        }
        let expected = west
            .read_all(&remote, Isolation::ReadUncommitted, PATIENCE)
            .unwrap();
        let expected: usize = expected.values().map(Vec::len).sum();
        let ran = verify(&file, &["--topic", &topic]).ended_with(0);
        let summary = ran.of_type("summary");
        assert_eq!(summary["equal_records"], expected, "{}", ran.output);
        assert_eq!(summary["differences"], json!({}), "{}", ran.output);
        for left_out in [
            "lag_offsets",
            "deleted_on_target_offsets",
            "compacted_on_source_records",
        ] {
            assert_eq!(summary[left_out], 0, "{left_out}: {}", ran.output);
        }
        let ran = verify(&file, &["--sample", "20", "--seed", "7"]).ended_with(0);
        let sampled = ran.of_type("summary")["equal_records"].as_u64().unwrap();
        assert!(sampled > 20, "{}", ran.output);
        let again = verify(&file, &["--sample", "20", "--seed", "7"]).ended_with(0);
        assert_eq!(again.of_type("summary")["equal_records"], sampled);

        // Somebody else writes to the copy: a record once more, and one of his own.
        let last = crate::flows::read(&west, &remote)
            .remove(&1)
            .unwrap()
            .pop()
            .unwrap();
        let foreign = TestRecord {
            value: Some(b"foreign".to_vec()),
            ..last.record.clone()
        };
        west.produce(&remote, &[last.record, foreign]).unwrap();
        let found = verify(&file, &["--topic", &topic]).ended_with(1);
        let found = &found.of_type("summary")["differences"];
        let of = |name: &str| found[name]["count"].as_u64();
        assert_eq!((of("doubled"), of("extra")), (Some(1), Some(1)), "{found}");
    }
}

/// Goal: what the source has compacted away after it was copied is counted, with and without a map.
fn a_compacted_copy_is_equal(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let source = kind
        .start("compacting", 1, &[("log.cleaner.backoff.ms", "500")])
        .unwrap();
    let (east, west) = (source.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("shrinking");
    let quick = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "1500"),
    ];
    let keyed = |round: u64| -> Vec<_> {
        let mut records = numbered(round * 100..round * 100 + 100, 1, 50);
        for (key, record) in (0..).zip(&mut records) {
            let key: u64 = key % 40 + round;
            record.key = Some(key.to_string().into_bytes());
            record.timestamp_ms = crate::flows::now_ms();
        }
        records
    };
    east.create_topic(&topic, 1, 1, &[("cleanup.policy", "compact")])
        .unwrap();
    let flow = Flow::new("vc", &*source, pair.west, &topic).with("config.properties.exclude = .*");
    let file = File::of(&flow);
    let remote = flow.remote(&topic);
    let mut product = flow.run();
    east.produce(&topic, &keyed(0)).unwrap();
    scenarios::await_that("all copied", PATIENCE, || {
        west.watermarks(&remote)
            .is_ok_and(|ends| ends.first().is_some_and(|end| end.1 >= 100))
    })
    .unwrap();
    // One after the other, each copied before it can be compacted away.
    for round in 1..10 {
        east.produce(&topic, &keyed(round)).unwrap();
        scenarios::await_that("all copied", PATIENCE, || {
            west.watermarks(&remote).is_ok_and(|ends| {
                ends.first()
                    .is_some_and(|end| end.1 >= (100 * (round + 1)).cast_signed())
            })
        })
        .unwrap();
    }
    stop(&mut product);
    east.set_topic_config(&topic, &quick).unwrap();
    let mut round = 10;
    scenarios::await_ok("holes", PATIENCE, || {
        // The segment in use is never cleaned.
        east.produce(&topic, &keyed(round)[..1]).unwrap();
        round += 1;
        let left = crate::flows::read(&east, &topic)[&0].len();
        if left < 700 {
            Ok(())
        } else {
            Err(format!("{left} left"))
        }
    })
    .unwrap();
    let both = |ran: &Ran| {
        let summary = ran.of_type("summary");
        assert_eq!(summary["differences"], json!({}), "{}", ran.output);
        let compacted = summary["compacted_on_source_records"].as_u64().unwrap();
        let equal = summary["equal_records"].as_u64().unwrap();
        assert_eq!(equal + compacted, 1_000, "{}", ran.output);
        assert!(compacted > 250, "{}", ran.output);
        assert!(
            summary["lag_offsets"].as_u64().unwrap() > 0,
            "{}",
            ran.output
        );
    };
    both(&verify(&file, &[]).ended_with(0));
    west.delete_topic(&format!("mm2-offset-map.{}.internal", flow.source))
        .unwrap();
    both(&verify(&file, &[]).ended_with(0));
}

/// A source topic and what is written as its copy, by hand: no map is stored.
struct ByHand {
    topic: String,
    file: File,
    east: scenarios::KafkaClient,
    west: scenarios::KafkaClient,
    remote: String,
}

impl ByHand {
    fn new(kind: Kind, name: &str) -> Self {
        let pair = kind.shared_pair().unwrap();
        let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
        let topic = unique(name);
        let flow = Flow::new("vh", pair.east, pair.west, &topic);
        let remote = flow.remote(&topic);
        east.create_topic(&topic, 1, 1, &[]).unwrap();
        west.create_topic(&remote, 1, 1, &[]).unwrap();
        let file = File::of(&flow);
        Self {
            topic,
            file,
            east,
            west,
            remote,
        }
    }

    fn write(&self, source: &[TestRecord], target: &[TestRecord]) {
        self.east.produce(&self.topic, source).unwrap();
        self.west.produce(&self.remote, target).unwrap();
    }

    fn verify(&self, more: &[&str]) -> Ran {
        verify(&self.file, more)
    }
}

/// Goal: one of each is reported as what it is, at the right offsets; the rest is equal.
fn each_kind_of_difference_is_found_with_its_offsets(kind: Kind) {
    let by_hand = ByHand::new(kind, "tampered");
    let source = numbered(0..1_000, 1, 100);
    let mut target = source.clone();
    target[100].value = Some(b"other".to_vec());
    target[200].key = Some(b"other".to_vec());
    target[300].headers = vec![("new".to_owned(), None)];
    target[400].timestamp_ms += 1;
    target.remove(500); // from here on, target offset = source offset - 1
    target.insert(599, numbered(5_000..5_001, 1, 100).remove(0)); // equal offsets again
    target.insert(700, source[690].clone()); // + 1
    target.swap(801, 802);
    by_hand.write(&source, &target);
    let ran = by_hand.verify(&[]).ended_with(1);
    let at = |source: i64, target: i64| json!({"count": 1, "first": {"source": source, "target": target}});
    let expected = json!({
        "different_value": at(100, 100),
        "different_key": at(200, 200),
        "different_headers": at(300, 300),
        "different_timestamp": at(400, 400),
        "missing": at(500, 500),
        "extra": at(600, 599),
        "doubled": at(700, 700),
        "out_of_order": at(800, 802),
    });
    let found = differences(&ran);
    for (name, expected) in expected.as_object().unwrap() {
        if name == "out_of_order" {
            assert_eq!(found[name]["count"], 1, "{}", ran.output);
            continue; // either of the two may be the one that moved
        }
        assert_eq!(&found[name], expected, "{name}: {}", ran.output);
    }
    assert_eq!(found.as_object().unwrap().len(), 8, "{}", ran.output);
    assert_eq!(
        ran.of_type("partition")["equal_records"],
        994,
        "{}",
        ran.output
    );

    // The same as text.
    let path = by_hand.file.path();
    let ran = crosscurrent(&["verify", &path]).ended_with(1);
    let expected = "different value: 1, the first at source offset 100, target offset 100";
    assert!(ran.output.contains(expected), "{}", ran.output);
    assert!(
        ran.output.contains("DIFFERENT: 994 equal records"),
        "{}",
        ran.output
    );
}

/// Goal: stretches longer than what is looked through in memory are found, too: what a crash of MirrorMaker 2 doubles, what
/// somebody else wrote, what was never copied.
fn long_stretches_are_found(kind: Kind) {
    let by_hand = ByHand::new(kind, "stretches");
    let source = numbered(0..320_000, 1, 20);
    let foreign = numbered(1_000_000..1_080_000, 1, 20);
    let target = [
        &source[..50_000],
        &source[20_000..50_000], // again
        &source[50_000..100_000],
        &foreign,
        &source[100_000..110_000],
        &source[190_000..], // 80,000 are missing
    ]
    .concat();
    by_hand.write(&source, &target);
    let ran = by_hand.verify(&[]).ended_with(1);
    let of = |count: u64, source: i64, target: i64| json!({"count": count, "first": {"source": source, "target": target}});
    let expected = json!({
        "doubled": of(30_000, 50_000, 50_000),
        "extra": of(80_000, 100_000, 130_000),
        "missing": of(80_000, 110_000, 220_000),
    });
    assert_eq!(differences(&ran), expected, "{}", ran.output);
    assert_eq!(ran.of_type("partition")["equal_records"], 240_000);
}

/// Goal: what retention has deleted on either side and what is not copied yet is counted, not reported.
fn retention_and_lag_are_no_differences(kind: Kind) {
    let source = numbered(0..1_000, 1, 100);
    let by_hand = ByHand::new(kind, "kept");
    by_hand.write(&source, &source[..900]);
    by_hand
        .east
        .delete_records(&by_hand.topic, &[(0, 200)])
        .unwrap();
    let ran = by_hand.verify(&[]).ended_with(0);
    let found = ran.of_type("partition");
    let numbers = |found: &Value| {
        [
            "equal_records",
            "lag_offsets",
            "deleted_on_source_offsets",
            "deleted_on_target_offsets",
        ]
        .map(|name| found[name].as_u64().unwrap())
    };
    assert_eq!(numbers(&found), [700, 100, 200, 0], "{}", ran.output);
    by_hand
        .west
        .delete_records(&by_hand.remote, &[(0, 300)])
        .unwrap();
    let ran = by_hand.verify(&[]).ended_with(0);
    let found = ran.of_type("partition");
    assert_eq!(numbers(&found), [600, 100, 0, 100], "{}", ran.output);
}

/// Goal: `--resume` counts nothing twice, reads nothing twice, and goes on with what was found before.
fn a_comparison_goes_on_where_it_was(kind: Kind) {
    let by_hand = ByHand::new(kind, "resumed");
    let source = numbered(0..2_000, 1, 100);
    let mut target = source.clone();
    target[500].value = None;
    by_hand.write(&source[..1_000], &target[..1_000]);
    let state = by_hand.file.beside("state.json");
    let first = by_hand.verify(&["--resume", &state]).ended_with(1);
    let found = first.of_type("partition");
    assert_eq!(found["equal_records"], 999, "{}", first.output);
    by_hand.write(&source[1_000..], &target[1_000..]);
    // What is compared already is not there any more: it cannot be read again.
    by_hand
        .east
        .delete_records(&by_hand.topic, &[(0, 1_000)])
        .unwrap();
    let second = by_hand.verify(&["--resume", &state]).ended_with(1);
    let again = second.of_type("partition");
    assert_eq!(again["equal_records"], 1_999, "{}", second.output);
    assert_eq!(
        again["differences"], found["differences"],
        "{}",
        second.output
    );
    assert_eq!(again["deleted_on_source_offsets"], 0, "{}", second.output);
    std::fs::write(&state, "{}").unwrap();
    let bad = by_hand.verify(&["--resume", &state]).ended_with(2);
    assert!(
        bad.errors.contains("state.json is no file of verify's"),
        "{}",
        bad.errors
    );
}

/// Goal: "equal" is never said of what was not looked at.
fn what_cannot_be_compared_is_said(kind: Kind) {
    let by_hand = ByHand::new(kind, "waiting");
    by_hand
        .east
        .produce(&by_hand.topic, &numbered(0..10, 1, 10))
        .unwrap();
    let ran = by_hand.verify(&[]).ended_with(3);
    let why = &ran.of_type("partition")["not_compared"];
    assert_eq!(
        why, "nothing of it is copied yet, 10 offsets wait",
        "{}",
        ran.output
    );
    by_hand
        .west
        .produce(&by_hand.remote, &numbered(0..10, 1, 10))
        .unwrap();
    by_hand.verify(&[]).ended_with(0);
    let ran = by_hand.verify(&["--sample", "1"]).ended_with(3);
    assert!(ran.output.contains("--sample needs one"), "{}", ran.output);
    by_hand.west.delete_topic(&by_hand.remote).unwrap();
    scenarios::await_that("the topic gone", PATIENCE, || {
        by_hand
            .west
            .topics()
            .is_ok_and(|all| !all.contains(&by_hand.remote))
    })
    .unwrap();
    let ran = by_hand.verify(&[]).ended_with(3);
    assert!(
        ran.output.contains("has no topic vh-east."),
        "{}",
        ran.output
    );
    let strangers = ByHand::new(kind, "strangers");
    strangers.write(&numbered(0..20, 1, 10), &numbered(1_000..1_020, 1, 10));
    strangers
        .east
        .delete_records(&strangers.topic, &[(0, 5)])
        .unwrap();
    let ran = strangers
        .verify(&["--topic", &strangers.topic])
        .ended_with(3);
    assert!(ran.output.contains("none in common"), "{}", ran.output);
    let ran = by_hand.verify(&["--topic", "nowhere"]).ended_with(3);
    assert!(
        ran.errors.contains("has the topic `nowhere`"),
        "{}",
        ran.errors
    );
}
