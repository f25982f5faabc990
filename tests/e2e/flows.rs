//! Configurations and waits that tests share.

use std::time::Duration;

use scenarios::client::{Isolation, KafkaClient};
use scenarios::{Product, RealCluster, await_ok};

/// Bound on any wait; tests end long before it unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An `mm2.properties` with every replication factor 1, quick refreshes, and the topics of one test only.
pub(crate) fn properties(
    east: &RealCluster,
    west: &RealCluster,
    topics: &str,
    more: &str,
) -> String {
    format!(
        "clusters = east, west\n\
         east.bootstrap.servers = {}\n\
         west.bootstrap.servers = {}\n\
         east->west.enabled = true\n\
         topics = {topics}\n\
         replication.factor = 1\n\
         heartbeats.topic.replication.factor = 1\n\
         offset-syncs.topic.replication.factor = 1\n\
         checkpoints.topic.replication.factor = 1\n\
         offset.storage.replication.factor = 1\n\
         config.storage.replication.factor = 1\n\
         status.storage.replication.factor = 1\n\
         refresh.topics.interval.seconds = 1\n\
         east.offset.flush.interval.ms = 1000\n\
         west.offset.flush.interval.ms = 1000\n\
         {more}\n",
        east.bootstrap(),
        west.bootstrap(),
    )
}

/// Starts the product.
pub(crate) fn run(properties: &str) -> Product {
    Product::run(env!("CARGO_BIN_EXE_crosscurrent"), properties).unwrap()
}

/// Waits until `copy` on `target` holds exactly what a consumer of `topic` on `source` reads.
pub(crate) fn await_copy(
    source: &KafkaClient,
    topic: &str,
    target: &KafkaClient,
    copy: &str,
    isolation: Isolation,
) {
    let what = format!("{copy} to equal {topic}");
    let patience = Duration::from_secs(10);
    await_ok(&what, PATIENCE, || {
        source.check_copy(topic, target, copy, isolation, patience)
    })
    .unwrap();
}
