//! Kafka clusters inside one process: real sockets, the real protocol, memory instead of disks.
//!
//! [`EmbeddedCluster`] starts brokers in a millisecond; [`Broker`] is one of them, to be killed, stopped, frozen; a [`Fault`] breaks what
//! it is told to, for as long as its handle lives; a [`Clock`] may belong to the test.
//!
//! ```
//! use std::time::Duration;
//! use embedded::{ApiKey, Effect, EmbeddedCluster, Fault};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = EmbeddedCluster::start(3)?;
//! println!("any Kafka client can use {}", cluster.bootstrap());
//! let slow = cluster.inject(Fault::new(Effect::Delay(Duration::from_millis(80))).on_api(ApiKey::Produce));
//! cluster.broker(2)?.kill();
//! slow.clear();
//! # Ok(())
//! # }
//! ```
//!
//! Known differences from Kafka 4.3.1, of groups:
//! - commits and groups live in memory, not as records in `__consumer_offsets`, so that topic is empty; brokers that take over know
//!   what those records would say;
//! - the coordinator is ready at once: FindCoordinator creates its topic and answers, and nobody is told COORDINATOR_LOAD_IN_PROGRESS;
//! - without `offsets.topic.replication.factor` (or `transaction.state.log.replication.factor`), a cluster of fewer than three brokers
//!   has that many replicas, where Kafka would wait for the third;
//! - a group with members keeps its kind: Kafka would let classic and KIP-848 members meet in one group (online migration);
//! - a regular expression is resolved with each heartbeat of its member, not in the background;
//! - a group that came or went without a record is seen as it is with its own next record; Kafka's coordinator shows it also with the next
//!   record of another group in the same partition of `__consumer_offsets`, of which a client knows nothing;
//! - share groups and streams groups are not offered.
//!
//! Of logs and transactions:
//! - nothing is written to `__transaction_state`; a Produce v12 that must wait for markers is answered CONCURRENT_TRANSACTIONS at once,
//!   where Kafka first waits a moment by itself;
//! - client quotas are stored and described; what throttles is [`Effect::Quota`].
//!
//! Of brokers: a broker that starts again ends its old session at once, where Kafka waits until it expires; a frozen coordinator's timers run on.
//!
//! Of APIs: AlterReplicaLogDirs (there are no directories), delegation tokens, UpdateFeatures and UnregisterBroker are not offered;
//! DescribeLogDirs ends at version 4 and WriteTxnMarkers at 1, which is what the protocol library knows.

mod api;
mod brokers;
mod clock;
mod cluster;
mod config;
mod elections;
mod faults;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod groups;
mod housekeeping;
mod log;
mod security;
mod server;
mod settings;
mod state;
mod transactions;

pub use brokers::{Broker, BrokerError};
pub use clock::Clock;
pub use cluster::{BROKERS_MAX, EmbeddedCluster, StartError};
pub use faults::{After, Effect, Fault, FaultHandle};
pub use kafka_protocol::error::ResponseError;
pub use kafka_protocol::messages::ApiKey;
pub use security::{
    Acl, CertificateError, Operation, PatternType, Permission, ResourcePattern, ResourceType,
    TestCertificates,
};
pub use settings::{ClientAuth, Identity, Listener, Protocol, Settings, Tls};
