//! Sessions that end: connections log in again, in place (KIP-368).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use scenarios::client::unique;
use scenarios::{Kind, Way, await_ok, await_that, on_every_kind};

use super::{Clusters, PASSWORD, Side, clusters, flow, plain, scram_ssl};
use crate::flows::{PATIENCE, await_exact, stop};
use crate::load::Load;

on_every_kind! {
    sessions_are_renewed_under_load,
}

/// Several sessions of two seconds; a connection that does not log in again is cut in the first.
const SEVERAL_SESSIONS: Duration = Duration::from_secs(9);

/// A process's ends of its connections to these ports, by the operating system's own tables.
fn connected_to(process: u32, bootstrap: &str) -> BTreeSet<String> {
    const ESTABLISHED: &str = "01";
    let (_, port) = bootstrap.rsplit_once(':').unwrap();
    let port = format!("{:04X}", port.parse::<u16>().unwrap());
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let opened = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let opened: BTreeSet<_> = opened.map(|link| link.display().to_string()).collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let own = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, local, remote, state, .., inode] = fields.get(..10)? else {
            return None;
        };
        let (_, to) = remote.rsplit_once(':')?;
        let is_own = to == port && *state == ESTABLISHED;
        let is_own = is_own && opened.contains(&format!("socket:[{inode}]"));
        is_own.then(|| (*local).to_owned())
    });
    own.collect()
}

/// Goal: while records are written all the time, sessions of two seconds cost no connection, no record and no order: through
/// TLS with SCRAM on one side, with PLAIN on the other.
fn sessions_are_renewed_under_load(kind: Kind) {
    let Clusters { east, west } = clusters(kind);
    let from = scram_ssl(east, "SCRAM-SHA-512", PASSWORD);
    let from = Side::new(east, Way::SaslSsl, from);
    let to = Side::new(west, Way::Sasl, plain(west));
    let topic = unique("sessions");
    let (source, target) = (east.cluster().client(), west.cluster().client());
    let (source, target) = (source.unwrap(), target.unwrap());
    source.create_topic(&topic, 4, 1, &[]).unwrap();
    let flow = flow(&topic, &from, &to, &topic);
    let mut product = flow.run();
    let copy = flow.remote(&topic);
    let load = Load::start(east.cluster(), &topic, 4);
    await_that("copying", PATIENCE, || {
        let ends = target.end_offsets(&copy);
        ends.is_ok_and(|ends| ends.iter().sum::<i64>() > 2_000)
    })
    .unwrap();
    let id = product.process().id();
    let sides = [
        from.cluster.bootstrap(from.way),
        to.cluster.bootstrap(to.way),
    ];
    let open = || sides.each_ref().map(|at| connected_to(id, at));
    let before = open();
    assert!(before.iter().all(|side| !side.is_empty()), "{before:?}");
    let since = Instant::now();
    await_ok("several sessions", PATIENCE, || {
        let left = SEVERAL_SESSIONS.saturating_sub(since.elapsed());
        if left.is_zero() {
            Ok(())
        } else {
            Err(format!("{left:?} left"))
        }
    })
    .unwrap();
    let after = open();
    for (before, after) in before.iter().zip(&after) {
        let lost: Vec<_> = before.difference(after).collect();
        assert!(
            lost.is_empty(),
            "{lost:?} of {before:?}\n{}",
            product.output()
        );
    }
    let ids = load.stop();
    await_exact(&target, &copy, ids);
    stop(&mut product);
    assert!(
        !product.output().contains("is closed"),
        "{}",
        product.output()
    );
}
