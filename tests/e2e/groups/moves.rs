//! Groups that go over and come back, that MM2 left behind, whose topic is gone, whose process was overtaken.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use scenarios::client::{KafkaClient, TestRecord, numbered, unique};
use scenarios::{Kind, Product, await_that, on_every_kind};
use serde_json::{Value, json};

use super::{assert_monotonic, await_committed, await_copied, commit, syncing};
use crate::flows::{Flow, PATIENCE, now_ms, read, run_with, stop};
use crate::internal_topics::checkpoints;
use crate::tools::{File, crosscurrent};

on_every_kind! {
    a_group_moves_there_and_back,
    a_group_moves_there_and_back_between_processes,
    groups_that_mirror_maker_left_behind,
    a_missing_remote_topic_keeps_no_other_back,
    a_sleeper_that_wakes_moves_no_group,
}

/// Goal: failover and failback. A group goes on reading the copy, and finds itself further on the source: for a topic of the
/// target that the source has a copy of, the reverse flow's map answers (KT-01).
fn a_group_moves_there_and_back(kind: Kind) {
    there_and_back(kind, "back", |flow| vec![flow.run()]);
}

/// Goal: the same with a process for each direction, as MM2 is mostly run: then the map is read where the other one stores it.
fn a_group_moves_there_and_back_between_processes(kind: Kind) {
    there_and_back(kind, "apart", |flow| {
        let into = |cluster: &str| run_with(&flow.properties(), &["--clusters", cluster]);
        vec![into(&flow.target), into(&flow.source)]
    });
}

fn there_and_back(kind: Kind, name: &str, run: impl Fn(&Flow) -> Vec<Product>) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique(name), unique("back-group"));
    east.create_topic(&topic, 2, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 2, 50)).unwrap();
    let flow = syncing(&topic, &pair, &format!(".*{topic}")).with("TARGET->SOURCE.enabled = true");
    let mut products = run(&flow);
    let copy = flow.remote(&topic);
    await_copied(&east, &topic, &west, &copy);
    let at = BTreeMap::from([(0, 10), (1, 20)]);
    let there = commit((&east, &topic), (&west, &copy), &group, &at);
    await_committed(&west, &group, &copy, &there);
    // It reads on over there.
    let further: Vec<_> = there
        .iter()
        .map(|(at, offset)| (*at, offset + 15))
        .collect();
    west.commit_offsets(&group, &copy, &further).unwrap();
    let home = BTreeMap::from([(0, 25), (1, 35)]);
    await_committed(&east, &group, &topic, &home);
    // And once more from here.
    let at = BTreeMap::from([(0, 40), (1, 50)]);
    let there = commit((&east, &topic), (&west, &copy), &group, &at);
    await_committed(&west, &group, &copy, &there);
    for product in &mut products {
        stop(product);
    }
    assert_eq!(east.committed(&group, &topic).unwrap(), at);
}

/// Goal: what MM2 copied before us is translated by the offset syncs that it left, until our own map reaches there; and its
/// checkpoints are not taken back.
fn groups_that_mirror_maker_left_behind(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("left");
    let [low, high, end] = ["low", "high", "end"].map(|name| format!("{topic}-{name}"));
    let flow = syncing(&topic, &pair, &topic);
    let copy = flow.remote(&topic);
    let syncs = format!("mm2-offset-syncs.{}.internal", flow.target);
    let checkpoints_topic = format!("{}.checkpoints.internal", flow.source);
    // 100 records, of which the first 10 were gone when MM2 began.
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 20)).unwrap();
    west.create_topic(&copy, 1, 1, &[]).unwrap();
    west.produce(&copy, &numbered(10..100, 1, 20)).unwrap();
    for (client, topic) in [
        (&east, &syncs),
        (&west, &checkpoints_topic),
        (&west, &flow.positions_topic()),
    ] {
        let compacted = [("cleanup.policy", "compact")];
        client.create_topic(topic, 1, 1, &compacted).unwrap();
    }
    let write = |client: &KafkaClient, to: &str, key: Vec<u8>, value: Vec<u8>| {
        let record = TestRecord {
            key: Some(key),
            value: Some(value),
            timestamp_ms: now_ms(),
            ..TestRecord::default()
        };
        client.produce(to, &[record]).unwrap();
    };
    let string = |text: &str| {
        [
            &u16::try_from(text.len()).unwrap().to_be_bytes(),
            text.as_bytes(),
        ]
        .concat()
    };
    for (upstream, downstream) in [(10i64, 0i64), (50, 40), (99, 89)] {
        let key = [string(&topic), vec![0; 4]].concat();
        let value = [upstream.to_be_bytes(), downstream.to_be_bytes()].concat();
        write(&east, &syncs, key, value);
    }
    let key = format!(
        "[\"MirrorSourceConnector\",{{\"cluster\":\"{}\",\"partition\":0,\"topic\":\"{topic}\"}}]",
        flow.source
    );
    let position = b"{\"offset\":99}".to_vec();
    write(&west, &flow.positions_topic(), key.into_bytes(), position);
    // A checkpoint of another day, when MM2 knew more syncs than it left.
    let key = [string(&high), string(&copy), vec![0; 4]].concat();
    let value = [
        vec![0, 0],
        80i64.to_be_bytes().to_vec(),
        69i64.to_be_bytes().to_vec(),
        string(""),
    ];
    write(&west, &checkpoints_topic, key, value.concat());
    for (group, offset) in [(&low, 60), (&high, 80), (&end, 100)] {
        east.commit_offsets(group, &topic, &[(0, offset)]).unwrap();
    }
    let file = File::of(&flow);
    let ask = |command: &str, group: &str| {
        let path = file.path();
        let ran = crosscurrent(&[command, &path, "--group", group, "--json"]).ended_with(0);
        assert_eq!(ran.json().len(), 1, "{}", ran.output);
        ran.json()[0].clone()
    };
    let is_told = |translated: &Value, offset: i64, by: &str| {
        assert_eq!(translated["kind"], "at least", "{translated}");
        assert_eq!(translated["offset"], offset, "{translated}");
        assert!(
            translated["reason"].as_str().unwrap().contains(by),
            "{translated}"
        );
    };
    // What is left is enough for the commands, before crosscurrent has copied anything.
    let by_sync = [(&low, 41), (&end, 90)];
    for (group, offset) in by_sync {
        is_told(
            &ask("translate", group)["translated"],
            offset,
            "offset syncs",
        );
    }
    is_told(&ask("translate", &high)["translated"], 69, "checkpoint");
    assert_eq!(ask("groups", &low)["state"], "due");
    let mut product = flow.run();
    let at = |offset| BTreeMap::from([(0, offset)]);
    // One behind the sync, as MM2 has it; behind the last record, all that MM2 knew.
    await_committed(&west, &low, &copy, &at(41));
    await_committed(&west, &end, &copy, &at(90));
    // The old checkpoint says more than the syncs do now.
    await_committed(&west, &high, &copy, &at(69));
    for (group, offset) in [(&low, 41), (&high, 69), (&end, 90)] {
        let shown = ask("groups", group);
        assert_eq!(shown["translated"]["offset"], offset, "{shown}");
        assert_eq!(
            (&shown["state"], &shown["target"]["committed"]),
            (&json!("synced"), &json!(offset)),
            "{shown}"
        );
    }
    // Our own records are exact.
    east.produce(&topic, &numbered(100..200, 1, 20)).unwrap();
    await_that("the copy", PATIENCE, || read(&west, &copy)[&0].len() == 190).unwrap();
    for group in [&low, &high, &end] {
        let there = commit((&east, &topic), (&west, &copy), group, &at(150));
        await_committed(&west, group, &copy, &there);
    }
    stop(&mut product);
    assert_monotonic(&checkpoints(&west, &flow));
}

/// Goal: a topic that is gone on the target keeps no other from being synced (KAFKA-19107).
fn a_missing_remote_topic_keeps_no_other_back(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("missing"), unique("missing-group"));
    let gone = format!("{topic}-gone");
    // Topics are looked for at the start only: else the remote topic would come back.
    let flow = syncing(&topic, &pair, &format!("{topic}.*")).with("refresh.topics.enabled = false");
    for topic in [&topic, &gone] {
        east.create_topic(topic, 1, 1, &[]).unwrap();
        east.produce(topic, &numbered(0..100, 1, 20)).unwrap();
    }
    let mut product = flow.run();
    for topic in [&topic, &gone] {
        await_copied(&east, topic, &west, &flow.remote(topic));
    }
    west.delete_topic(&flow.remote(&gone)).unwrap();
    await_that("the topic is gone", PATIENCE, || {
        !west.topics().unwrap().contains(&flow.remote(&gone))
    })
    .unwrap();
    east.commit_offsets(&group, &gone, &[(0, 50)]).unwrap();
    let copy = flow.remote(&topic);
    let there = commit(
        (&east, &topic),
        (&west, &copy),
        &group,
        &BTreeMap::from([(0, 70)]),
    );
    await_committed(&west, &group, &copy, &there);
    stop(&mut product);
}

/// Goal: a process that was overtaken moves no group any more.
fn a_sleeper_that_wakes_moves_no_group(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let (topic, group) = (unique("overtaken"), unique("overtaken-group"));
    east.create_topic(&topic, 1, 1, &[]).unwrap();
    east.produce(&topic, &numbered(0..100, 1, 20)).unwrap();
    let flow = syncing(&topic, &pair, &topic);
    let copy = flow.remote(&topic);
    let mut sleeper = flow.run();
    await_copied(&east, &topic, &west, &copy);
    let at = |offset| BTreeMap::from([(0, offset)]);
    let there = commit((&east, &topic), (&west, &copy), &group, &at(10));
    await_committed(&west, &group, &copy, &there);
    sleeper.process().signal(Signal::SIGSTOP).unwrap();
    let mut heir = flow.run();
    let there = commit((&east, &topic), (&west, &copy), &group, &at(20));
    await_committed(&west, &group, &copy, &there);
    stop(&mut heir);
    sleeper.process().signal(Signal::SIGCONT).unwrap();
    commit((&east, &topic), (&west, &copy), &group, &at(30));
    sleeper
        .await_output("consumer groups are no longer followed", PATIENCE)
        .unwrap();
    assert_eq!(west.committed(&group, &copy).unwrap(), there);
    sleeper.kill().unwrap();
}
