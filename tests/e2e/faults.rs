//! Faults on request, between two embedded clusters under load: the product gets through each, and says what it was.
//!
//! The effect of each fault on an independent client is shown in `scenarios/tests/embedded_faults.rs`.

mod absence;
mod codes;
mod connections;
mod data;

use embedded::{ApiKey, Effect, Fault, FaultHandle};
use scenarios::client::{KafkaClient, WriteOptions, unique};
use scenarios::{Cluster, Embedded, Product, await_ok, await_that, server_properties};

use crate::flows::{Flow, PATIENCE, await_exact, stop};
use crate::load::Load;

/// Records that a partition has to move on by, to count as going on.
const GOING_ON: i64 = 100;
/// Most memory that the product may have used: its budget of 48 MiB in flight, the process itself, and room.
const MEMORY_BYTES_MAX: u64 = 192 << 20;

/// How the product's `client.id` begins on a target: that of MM2's first task (docs/spec/mm2.md 2.4).
const CLIENT_AT_TARGET: &str = "connector-producer-";

/// Two embedded clusters and a flow between them.
struct Stage {
    east: Embedded,
    west: Embedded,
    flow: Flow,
    topic: String,
    remote: String,
    client: KafkaClient,
}

impl Stage {
    /// Clusters of so many brokers, each with a replica of everything, and a topic of so many partitions on the source.
    fn new(name: &str, brokers: u32, partitions: i32) -> Self {
        // Nothing stalls these brokers by accident, so that a dead one may be noticed early.
        let properties = server_properties(brokers, &[("broker.session.timeout.ms", "500")]);
        let start = |alias| Embedded::start(alias, brokers, properties.clone()).unwrap();
        let (east, west) = (start("east"), start("west"));
        let topic = unique(name);
        let replicas = i32::try_from(brokers).unwrap();
        let source = east.client().unwrap();
        source
            .create_topic(&topic, partitions, replicas, &[])
            .unwrap();
        let flow = Flow::new(name, &east, &west, &format!("{topic}.*"))
            .with(&format!("replication.factor = {replicas}"))
            .with("emit.heartbeats.enabled = false");
        let (remote, client) = (flow.remote(&topic), west.client().unwrap());
        Self {
            east,
            west,
            flow,
            topic,
            remote,
            client,
        }
    }

    /// The product waits for answers for a second, not for half a minute.
    fn impatient(mut self) -> Self {
        self.flow = self
            .flow
            .with("SOURCE.consumer.request.timeout.ms = 1000")
            .with("TARGET.producer.request.timeout.ms = 1000");
        self
    }

    /// On the source, for the product alone.
    fn at_source(&self, fault: Fault) -> FaultHandle {
        self.east
            .cluster()
            .inject(fault.of_client(&self.flow.source))
    }

    /// On the target, for the product alone.
    fn at_target(&self, fault: Fault) -> FaultHandle {
        self.west
            .cluster()
            .inject(fault.of_client(CLIENT_AT_TARGET))
    }

    /// Fetches of one partition.
    fn fetch(&self, effect: Effect, partition: i32) -> Fault {
        let fault = Fault::new(effect).on_api(ApiKey::Fetch);
        fault.on_partition(&self.topic, partition)
    }

    /// Writes to one partition's copy.
    fn produce(&self, effect: Effect, partition: i32) -> Fault {
        let fault = Fault::new(effect).on_api(ApiKey::Produce);
        fault.on_partition(&self.remote, partition)
    }

    fn load(&self) -> Load {
        let partitions = self.client_of_source().leaders(&self.topic).unwrap().len();
        // A frozen broker shall hold up what the others are given no longer than it has to.
        let options = WriteOptions {
            answer_timeout_ms: 1_000,
            ..WriteOptions::default()
        };
        let partitions = i32::try_from(partitions).unwrap();
        Load::start_with(&self.east, &self.topic, partitions, options)
    }

    fn client_of_source(&self) -> KafkaClient {
        self.east.client().unwrap()
    }

    /// Records in each partition of the copy; nothing while it is not there.
    fn copied(&self) -> Vec<i64> {
        self.client.end_offsets(&self.remote).unwrap_or_default()
    }

    /// Waits until every one of the partitions has moved on.
    fn await_going_on(&self, what: &str, partitions: &[usize]) {
        let before = self.copied();
        await_ok(
            &format!("{what}: partitions {partitions:?} go on"),
            PATIENCE,
            || {
                let now = self.copied();
                let moved = |at: &usize| {
                    let end = |ends: &[i64]| ends.get(*at).copied();
                    end(&now).is_some_and(|end_now| end_now >= end(&before).unwrap_or(0) + GOING_ON)
                };
                match partitions.iter().all(moved) {
                    true => Ok(()),
                    false => Err(format!("{before:?}, then {now:?}")),
                }
            },
        )
        .unwrap();
    }

    /// Ends the load; every record is in the copy once and in order. Then the product ends in order.
    fn finish(&self, product: &mut Product, load: Load) {
        let ids = load.stop();
        await_exact(&self.client, &self.remote, ids);
        finish(product);
    }
}

/// An orderly end of a product that kept its memory bounded.
fn finish(product: &mut Product) {
    let used = product.process().rss_bytes_peak().unwrap();
    assert!(used < MEMORY_BYTES_MAX, "{used} bytes of memory");
    stop(product);
}

fn await_hits(what: &str, handle: &FaultHandle, hits: u64) {
    await_that(&format!("{what}: {hits} hits"), PATIENCE, || {
        handle.hits() >= hits
    })
    .unwrap();
}

/// Waits for a line of the product's log that holds all of these words.
fn await_line(product: &mut Product, words: &[&str]) {
    await_ok(&format!("a line with {words:?}"), PATIENCE, || {
        let output = product.output();
        let found = output
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)));
        found.then_some(()).ok_or(output)
    })
    .unwrap();
}
