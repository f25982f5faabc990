//! What the engine asks of a cluster beyond reading and writing: takeovers, groups, offsets of many partitions.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

#[path = "requests/fencing.rs"]
mod fencing;
#[path = "requests/groups.rs"]
mod groups;
#[path = "requests/offsets.rs"]
mod offsets;

use std::sync::Arc;
use std::time::Duration;

use engine::cluster::Cluster;
use engine::wire::{BufferPool, ConnectOptions, Security};
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// The engine's view of the cluster at `bootstrap`.
fn engine_of(bootstrap: &str, runtime: &Runtime) -> Arc<Cluster> {
    let address = |one: &str| {
        let (host, port) = one.rsplit_once(':').unwrap();
        (host.to_owned(), port.parse().unwrap())
    };
    let options = ConnectOptions {
        client_id: "requests".into(),
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(30),
        pool: BufferPool::default(),
        security: Security::default(),
    };
    Cluster::new(
        "east",
        bootstrap.split(',').map(address).collect(),
        options,
        Duration::from_secs(30),
        runtime.handle().clone(),
    )
}
