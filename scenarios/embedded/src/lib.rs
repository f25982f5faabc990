//! Kafka clusters inside one process: real sockets, the real protocol, memory instead of disks.

mod api;
mod brokers;
mod clock;
mod cluster;
mod elections;
mod faults;
mod groups;
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
