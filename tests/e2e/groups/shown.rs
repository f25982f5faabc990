//! Groups and translations as REST shows them: what the commands say that ask both clusters, and what the clusters have.

use std::collections::BTreeMap;

use scenarios::client::{KafkaClient, numbered, unique};
use scenarios::{Kind, await_ok, on_every_kind};
use serde_json::{Value, json};

use super::{await_committed, await_copied, commit, ends, syncing};
use crate::flows::{Flow, PATIENCE, read, stop};
use crate::http::ask;
use crate::rest::Served;
use crate::tools::{File, crosscurrent};

on_every_kind! {
    groups_are_shown_as_they_are,
    translations_are_those_of_the_copies,
}

fn get(served: &Served, path: &str) -> Value {
    let answer = ask(&served.address, "GET", path, "");
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.json()
}

/// What `crosscurrent translate` or `groups` prints of a group, once the map that they read is stored as far as that.
fn printed(command: &str, file: &File, group: &str) -> Vec<Value> {
    let (path, mut rows) = (file.path(), Vec::new());
    await_ok(&format!("{command} of {group}"), PATIENCE, || {
        let ran = crosscurrent(&[command, &path, "--group", group, "--json"]);
        rows = ran.json();
        let exact = |row: &Value| row["translated"]["kind"] == "exact";
        match !rows.is_empty() && rows.iter().all(exact) {
            true => Ok(()),
            false => Err(ran.output),
        }
    })
    .unwrap();
    rows
}

/// Waits until the page of groups shows this one in this state, for this reason.
fn await_group(served: &Served, group: &str, state: &str, reason: &Value) -> Value {
    let mut found = Value::Null;
    await_ok(&format!("{group} {state} {reason}"), PATIENCE, || {
        let page = get(served, &format!("/v1/groups?group={group}"));
        found = page["groups"][0].clone();
        if found["state"] == state && found["reason"] == *reason {
            Ok(())
        } else {
            Err(page.to_string())
        }
    })
    .unwrap();
    found
}

/// A topic of two partitions whose copies have other offsets: the markers of transactions are not copied.
fn copied(flow: &Flow, (east, topic): (&KafkaClient, &str), west: &KafkaClient) -> Served {
    east.create_topic(topic, 2, 1, &[]).unwrap();
    let writer = east.transactional(topic).unwrap();
    for at in 0..6u64 {
        writer.begin().unwrap();
        let records = numbered(20 * at..20 * at + 20, 2, 20);
        writer.produce(topic, &records).unwrap();
        writer.commit().unwrap();
    }
    let served = Served::run(flow, &[]);
    let copy = flow.remote(topic);
    await_copied(east, topic, west, &copy);
    served
}

/// Goal: of each group REST shows the state, the reason, and for each partition what is committed on the source, where that is on
/// the target and what the target has; the same as the commands say, and as the target's own coordinator.
fn groups_are_shown_as_they_are(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("shown");
    let flow = syncing(&topic, &pair, &topic).with("groups.exclude = .*-left-out");
    let file = File::of(&flow);
    let mut served = copied(&flow, (&east, &topic), &west);
    let (from, copy) = ((&*topic, &east), flow.remote(&topic));
    let at = BTreeMap::from([(0, 13), (1, 51)]);
    let group = |name: &str| format!("{topic}-{name}");
    let commit = |group: &str| commit((from.1, from.0), (&west, &copy), group, &at);

    // Synced: every figure is that of the clusters.
    let synced = group("synced");
    let there = commit(&synced);
    await_committed(&west, &synced, &copy, &there);
    let shown = await_group(&served, &synced, "synced", &Value::Null);
    assert_eq!(shown["partitions"], 2, "{shown}");
    assert_eq!(shown["states"]["synced"], 2, "{shown}");
    assert_eq!(
        shown["translations"],
        json!({"exact": 2, "at_least": 0, "unknown": 0})
    );
    let source_ends = ends(&east, &topic);
    let lags: i64 = at.iter().map(|(at, offset)| source_ends[at] - offset).sum();
    assert_eq!(shown["lag"], lags, "{shown}");
    for time in ["checked_at_ms", "emitted_at_ms", "synced_at_ms"] {
        assert!(shown[time].as_i64() > Some(1_700_000_000_000), "{shown}");
    }
    let page = get(&served, &format!("/v1/groups/partitions?group={synced}"));
    let rows = page["partitions"].as_array().unwrap();
    let translated = printed("translate", &file, &synced);
    let compared = printed("groups", &file, &synced);
    assert_eq!(
        (rows.len(), translated.len(), compared.len()),
        (2, 2, 2),
        "{page}"
    );
    for (row, (partition, offset)) in rows.iter().zip(&at) {
        let there = there[partition];
        assert_ne!(there, *offset, "the copy has other offsets");
        assert_eq!(row["target"]["committed"], there, "{row}");
        assert_eq!(row["checkpoint"], there, "{row}");
        assert_eq!(
            row["translated"],
            json!({"offset": there, "kind": "exact", "reason": null})
        );
        let (by_map, by_clusters) = (
            &translated[usize::try_from(*partition).unwrap()],
            &compared[usize::try_from(*partition).unwrap()],
        );
        for member in ["flow", "group", "topic", "partition", "translated"] {
            assert_eq!(row[member], by_map[member], "{row}, {by_map}");
        }
        for member in [
            "flow",
            "group",
            "topic",
            "partition",
            "remote_topic",
            "source",
            "translated",
            "state",
            "reason",
        ] {
            assert_eq!(row[member], by_clusters[member], "{row}, {by_clusters}");
        }
        assert_eq!(by_clusters["target"]["committed"], there);
    }

    // In the way, left out, further on: the command that asks both clusters gives the same words.
    let member = west.join(&group("active"), &copy, PATIENCE).unwrap();
    let further: Vec<_> = ends(&west, &copy).into_iter().collect();
    west.commit_offsets(&group("ahead"), &copy, &further)
        .unwrap();
    let others = [
        (group("active"), "behind", "active-on-target"),
        (group("ahead"), "ahead", "target-ahead"),
        (group("left-out"), "excluded", "filtered-group"),
    ];
    for (group, state, reason) in &others {
        commit(group);
        let shown = await_group(&served, group, state, &json!(reason));
        for row in printed("groups", &file, group) {
            for member in ["state", "reason", "message"] {
                assert_eq!(row[member], shown[member], "{row}, {shown}");
            }
        }
    }
    let behind = get(&served, "/v1/groups?state=behind&limit=1000").to_string();
    assert!(behind.contains(&others[0].0) && !behind.contains(&synced));
    let flow_view = &get(&served, "/v1/flows")[0];
    assert!(flow_view["group_states"]["behind"].as_u64() >= Some(1));
    let reasons = flow_view["group_reasons"].as_array().unwrap();
    let active = |reason: &&Value| reason["reason"] == "active-on-target";
    assert!(reasons.iter().any(|reason| active(&reason)), "{flow_view}");
    let status = crosscurrent(&["status", &served.address]).ended_with(0);
    assert!(status.output.contains("\n  groups: "), "{}", status.output);

    // Once nobody is there it is synced, and that is shown.
    member.leave();
    await_committed(&west, &others[0].0, &copy, &there);
    await_group(&served, &others[0].0, "synced", &Value::Null);
    stop(&mut served.product);
}

/// Goal: for every place, also those between records, REST gives where the first record behind it is; beyond what is copied a
/// lower bound; for what is not copied the reason.
fn translations_are_those_of_the_copies(kind: Kind) {
    let pair = kind.shared_pair().unwrap();
    let (east, west) = (pair.east.client().unwrap(), pair.west.client().unwrap());
    let topic = unique("placed");
    let flow = syncing(&topic, &pair, &topic);
    let mut served = copied(&flow, (&east, &topic), &west);
    let ask = |topic: &str, partition: i32, offset: i64| {
        let place = format!("topic={topic}&partition={partition}&offset={offset}");
        let found = get(&served, &format!("/v1/translations?{place}"));
        assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
        found[0].clone()
    };
    let copy = flow.remote(&topic);
    let (sources, copies) = (read(&east, &topic), read(&west, &copy));
    for (partition, records) in &sources {
        let pairs: Vec<_> = records.iter().zip(&copies[partition]).collect();
        let last = pairs.last().unwrap().0.offset;
        for place in 0..=last {
            let (_, behind) = pairs
                .iter()
                .find(|(record, _)| record.offset >= place)
                .unwrap();
            let exact = json!({"offset": behind.offset, "kind": "exact", "reason": null});
            let found = ask(&topic, *partition, place);
            assert_eq!(found["translated"], exact, "{place}: {found}");
            assert_eq!(found["remote_topic"], copy.as_str());
        }
        // Far behind the end of the log: the end, and nothing is extrapolated.
        let beyond = ask(&topic, *partition, last + 1_000);
        assert_eq!(beyond["translated"]["kind"], "at least", "{beyond}");
        let end = beyond["translated"]["offset"].as_i64().unwrap();
        let after_last = pairs.last().unwrap().1.offset + 1;
        assert!(
            (after_last..=ends(&west, &copy)[partition]).contains(&end),
            "{beyond}"
        );
    }
    let unknown = ask("elsewhere", 0, 1)["translated"].clone();
    assert_eq!(
        (&unknown["kind"], &unknown["reason"]),
        (
            &json!("unknown"),
            &json!("the topic is not copied by this flow")
        )
    );
    let unknown = ask(&topic, 7, 1)["translated"].clone();
    assert_eq!(unknown["kind"], "unknown", "no such partition: {unknown}");
    stop(&mut served.product);
}
