//! `crosscurrent translate` and `crosscurrent groups`.

use scenarios::client::{Isolation, TestRecord, numbered, unique};
use scenarios::{Kind, on_every_kind};
use serde_json::{Value, json};

use super::{File, Ran, crosscurrent};
use crate::flows::{Flow, await_copy, stop};

on_every_kind! {
    offsets_are_translated_both_ways,
    groups_are_shown_with_the_reason_why_they_are_not_synced,
    what_has_no_translation_says_why,
}

fn run(command: &str, file: &File, more: &[&str]) -> Ran {
    let path = file.path();
    let arguments = [command, &path, "--json"];
    crosscurrent(
        &arguments
            .into_iter()
            .chain(more.iter().copied())
            .collect::<Vec<_>>(),
    )
}

/// A topic whose source offsets have holes, aborted transactions and their markers, copied as committed.
struct Copied {
    topic: String,
    file: File,
    flow: Flow,
    east: scenarios::KafkaClient,
    west: scenarios::KafkaClient,
    /// (source offset, target offset) of every record.
    pairs: Vec<(i64, i64)>,
}

impl Copied {
    fn new(kind: Kind, name: &str, line: &str) -> Self {
        let pair = kind.shared_pair().unwrap();
        let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
        let topic = unique(name);
        east.create_topic(&topic, 1, 1, &[]).unwrap();
        let writer = east.transactional(&topic).unwrap();
        for at in 0..10u64 {
            writer.begin().unwrap();
            writer
                .produce(&topic, &numbered(10 * at..10 * at + 10, 1, 20))
                .unwrap();
            if at % 3 == 1 {
                writer.abort()
            } else {
                writer.commit()
            }
            .unwrap();
        }
        let flow = Flow::new(name, pair.east, pair.west, &topic)
            .with("SOURCE.consumer.isolation.level = read_committed")
            .with(line);
        let remote = flow.remote(&topic);
        let mut product = flow.run();
        await_copy(&east, &topic, &west, &remote, Isolation::ReadCommitted);
        stop(&mut product);
        let read = |client: &scenarios::KafkaClient, topic: &str| {
            let patience = std::time::Duration::from_secs(20);
            let mut all = client
                .read_all(topic, Isolation::ReadCommitted, patience)
                .unwrap();
            all.remove(&0).unwrap()
        };
        let both = read(&east, &topic).into_iter().zip(read(&west, &remote));
        let pairs = both
            .map(|(source, target)| (source.offset, target.offset))
            .collect();
        Self {
            file: File::of(&flow),
            topic,
            flow,
            east,
            west,
            pairs,
        }
    }

    fn remote(&self) -> String {
        self.flow.remote(&self.topic)
    }
}

fn only(ran: &Ran) -> Value {
    let all = ran.json();
    assert_eq!(all.len(), 1, "{}", ran.output);
    all[0].clone()
}

/// Goal: for every place, also those between records, the answer is where the first record behind it is; and back.
fn offsets_are_translated_both_ways(kind: Kind) {
    let copied = Copied::new(kind, "translated", "");
    assert_eq!(copied.pairs.len(), 70);
    let end = copied.pairs.last().unwrap().0 + 1;
    for source in (0..=end).step_by(7).chain([end]) {
        let group = unique("translated");
        copied
            .east
            .commit_offsets(&group, &copied.topic, &[(0, source)])
            .unwrap();
        let behind = copied.pairs.iter().find(|(at, _)| *at >= source);
        let found = only(&run("translate", &copied.file, &["--group", &group]).ended_with(0));
        let translated = found["translated"]["offset"].as_i64().unwrap();
        match behind {
            Some((_, target)) => assert_eq!(translated, *target, "{source}: {found}"),
            // Behind the last record: behind its copy, and not behind the target's end.
            None => {
                let (last, end) = (
                    copied.pairs[69].1,
                    copied.west.watermarks(&copied.remote()).unwrap()[0].1,
                );
                assert!((last + 1..=end).contains(&translated), "{found}");
            }
        }
        assert_eq!(found["translated"]["kind"], "exact", "{found}");
        assert_eq!(found["translated_topic"], copied.remote().as_str());

        copied
            .west
            .commit_offsets(&group, &copied.remote(), &[(0, translated)])
            .unwrap();
        let back = run("translate", &copied.file, &["--group", &group, "--reverse"]).ended_with(0);
        let back = only(&back);
        assert_eq!(back["translated_topic"], copied.topic.as_str(), "{back}");
        if let Some((at, _)) = behind {
            assert_eq!(
                back["translated"],
                json!({"kind": "exact", "offset": at, "reason": null})
            );
        }
    }
    let group = unique("translated");
    copied
        .east
        .commit_offsets(&group, &copied.topic, &[(0, 0)])
        .unwrap();
    let path = copied.file.path();
    let ran = crosscurrent(&["translate", &path, "--group", &group]).ended_with(0);
    let (topic, remote, first) = (&copied.topic, copied.remote(), copied.pairs[0].1);
    let line =
        format!("translated-east->translated-west  {group}  {topic}-0 0 -> {remote}-0 {first}\n");
    assert_eq!(ran.output, line);
}

/// Goal: every state has its own word.
fn groups_are_shown_with_the_reason_why_they_are_not_synced(kind: Kind) {
    let lines = "sync.group.offsets.enabled = true\ngroups.exclude = .*-left-out.*";
    let copied = Copied::new(kind, "grouped", lines);
    let (topic, remote) = (&copied.topic, copied.remote());
    let (source, target) = copied.pairs[30];
    let group = |name: &str, there: Option<i64>| {
        let group = unique(&format!("{topic}-{name}"));
        copied
            .east
            .commit_offsets(&group, topic, &[(0, source)])
            .unwrap();
        if let Some(there) = there {
            copied
                .west
                .commit_offsets(&group, &remote, &[(0, there)])
                .unwrap();
        }
        group
    };
    let groups = [
        (group("synced", Some(target)), "synced", Value::Null),
        (
            group("ahead", Some(target + 5)),
            "ahead",
            json!("target-ahead"),
        ),
        (group("due", None), "due", Value::Null),
        (group("low", Some(target - 5)), "due", Value::Null),
        (group("left-out", None), "excluded", json!("filtered-group")),
    ];
    let all = run("groups", &copied.file, &[]).ended_with(0).json();
    let ends = (
        copied.east.watermarks(topic).unwrap()[0].1,
        copied.west.watermarks(&remote).unwrap()[0].1,
    );
    for (group, state, reason) in groups {
        let found = all.iter().filter(|one| one["group"] == group.as_str());
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{group}: {all:?}");
        assert_eq!(
            (&found[0]["state"], &found[0]["reason"]),
            (&json!(state), &reason),
            "{found:?}"
        );
        assert_eq!(
            found[0]["source"],
            json!({"committed": source, "lag": ends.0 - source})
        );
        assert_eq!(found[0]["translated"]["offset"], target);
        if let Some(there) = found[0]["target"]["committed"].as_i64() {
            assert_eq!(found[0]["target"]["lag"], ends.1 - there, "{found:?}");
        }
        let one = run("groups", &copied.file, &["--group", &group]).ended_with(0);
        assert_eq!(&only(&one), found[0]);
    }
}

/// Goal: no answer is a wrong one: no map, a group without offsets, a topic created anew, offsets that are not copied.
fn what_has_no_translation_says_why(kind: Kind) {
    let copied = Copied::new(kind, "untold", "");
    let topic = &copied.topic;
    let group = unique("untold");
    let translate = || run("translate", &copied.file, &["--group", &group]);
    let ran = translate().ended_with(1);
    assert!(
        ran.errors
            .contains("has committed nothing on a source cluster"),
        "{}",
        ran.errors
    );
    let shown = run("groups", &copied.file, &["--group", &group]).ended_with(0);
    assert_eq!(shown.output, "");

    copied
        .east
        .commit_offsets(&group, topic, &[(0, 0)])
        .unwrap();
    let shown = only(&run("groups", &copied.file, &["--group", &group]).ended_with(0));
    assert_eq!(shown["reason"], "sync-is-off", "{shown}");
    // Written while nothing copies.
    let record = TestRecord {
        timestamp_ms: 1_700_000_000_000,
        ..TestRecord::default()
    };
    copied
        .east
        .produce(topic, &[record.clone(), record])
        .unwrap();
    let end = copied.east.watermarks(topic).unwrap()[0].1;
    copied
        .east
        .commit_offsets(&group, topic, &[(0, end)])
        .unwrap();
    let found = only(&translate().ended_with(0));
    assert_eq!(found["translated"]["kind"], "at least", "{found}");
    let reason = found["translated"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("the last 2 offsets were not copied"),
        "{found}"
    );

    copied.east.delete_topic(topic).unwrap();
    scenarios::await_ok("the topic created anew", crate::flows::PATIENCE, || {
        let created = copied.east.create_topic(topic, 1, 1, &[]);
        created.map_err(|error| format!("{error:?}"))
    })
    .unwrap();
    copied
        .east
        .commit_offsets(&group, topic, &[(0, 0)])
        .unwrap();
    let found = only(&translate().ended_with(1));
    assert_eq!(found["translated"]["kind"], "unknown", "{found}");
    assert!(
        found["translated"]["reason"]
            .as_str()
            .unwrap()
            .contains("created anew"),
        "{found}"
    );

    copied
        .west
        .delete_topic(&format!("mm2-offset-map.{}.internal", copied.flow.source))
        .unwrap();
    let found = only(&translate().ended_with(1));
    assert!(
        found["translated"]["reason"]
            .as_str()
            .unwrap()
            .contains("no offset map"),
        "{found}"
    );
}
