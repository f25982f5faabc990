//! `crosscurrent connect` where the worker's own cluster is secured, and connectors have keys of their own.

use std::collections::BTreeMap;

use scenarios::client::{numbered, unique};
use scenarios::{Kind, Product, Way, await_ok, on_every_kind};
use serde_json::{Value, json};

use super::refused::await_reason;
use super::{CANARY, Clusters, PASSWORD, Side, await_copied, clusters, mutual, plain, scram_ssl};
use crate::connect::{Worker, config, worker_properties};
use crate::flows::PATIENCE;
use crate::http::address_in;

on_every_kind! {
    a_secured_worker_runs_connectors_with_keys_of_their_own,
}

/// Goal: storage topics, records, groups and heartbeats go through TLS and SASL, and a restarted worker finds all of it; a connector
/// whose password is wrong says so, and copies once it is mended.
fn a_secured_worker_runs_connectors_with_keys_of_their_own(kind: Kind) {
    let Clusters { east, west } = clusters(kind);
    let (name, group) = (unique("guarded"), unique("guarded-group"));
    let own = Side::new(west, Way::Sasl, plain(west));
    // As Connect wants it: the worker, and the clients of its connectors.
    let prefixes = ["", "producer.", "consumer.", "admin."];
    let security: String = prefixes.iter().map(|prefix| own.lines(prefix)).collect();
    let properties = worker_properties(&name, &west.bootstrap(own.way)) + &security;
    let (source, target) = (east.cluster().client(), west.cluster().client());
    let (source, target) = (source.unwrap(), target.unwrap());
    source.create_topic(&name, 2, 1, &[]).unwrap();
    source.produce(&name, &numbered(0..1_000, 2, 50)).unwrap();
    source
        .commit_offsets(&group, &name, &[(0, 500), (1, 100)])
        .unwrap();

    let program = env!("CARGO_BIN_EXE_crosscurrent");
    let mut product = Product::connect(program, &properties, &["--rest", "127.0.0.1:0"]).unwrap();
    product
        .await_output("REST and metrics url", PATIENCE)
        .unwrap();
    let address = address_in(&product.output()).unwrap();
    let mut worker = Worker {
        product,
        address,
        name: name.clone(),
        east: east.bootstrap(Way::SaslSsl),
        west: west.bootstrap(Way::MutualSsl),
    };
    let from = scram_ssl(east, "SCRAM-SHA-512", PASSWORD);
    let wrong = scram_ssl(east, "SCRAM-SHA-512", "canary-wrong");
    let to = mutual(west, "copier");
    let with_keys = |class: &str, from: &super::Keys, more: &[(&str, &str)]| -> Value {
        let mut all = config(&name, class, &worker.east, &worker.west, more);
        for (side, keys) in [("source", from), ("target", &to)] {
            for (key, value) in keys {
                all[format!("{side}.cluster.{key}")] = json!(value);
            }
        }
        all
    };
    let source_config = |from| with_keys("MirrorSourceConnector", from, &[("topics", &name)]);
    let refused = source_config(&wrong);
    let accepted = source_config(&from);
    let groups = [
        ("topics", name.as_str()),
        ("groups", &group),
        ("emit.checkpoints.interval.seconds", "1"),
        ("sync.group.offsets.enabled", "true"),
        ("sync.group.offsets.interval.seconds", "1"),
    ];
    let checkpoint = with_keys("MirrorCheckpointConnector", &from, &groups);
    let heartbeat = with_keys("MirrorHeartbeatConnector", &from, &[("tasks.max", "1")]);

    worker.order("PUT", "/connectors/src/config", &refused, 201);
    await_reason(&worker.address, &["SCRAM-SHA-512", "Authentication failed"]);
    worker.order("PUT", "/connectors/src/config", &accepted, 200);
    worker.order("PUT", "/connectors/cp/config", &checkpoint, 201);
    worker.order("PUT", "/connectors/hb/config", &heartbeat, 201);
    let copy = format!("{name}.{name}");
    await_copied(&target, &copy, 0..1_000);
    worker.await_status("src", "RUNNING", &["RUNNING", "RUNNING"]);
    worker.await_status("hb", "RUNNING", &["RUNNING"]);
    let expected: BTreeMap<i32, i64> = [(0, 500), (1, 100)].into();
    await_ok("the group on the target", PATIENCE, || {
        match target.committed(&group, &copy) {
            Ok(found) if found == expected => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();

    worker.restart();
    source
        .produce(&name, &numbered(1_000..1_500, 2, 50))
        .unwrap();
    await_copied(&target, &copy, 0..1_500);
    worker.stop();
    let output = worker.product.output();
    assert!(!output.contains(CANARY), "{output}");
}
