//! What an operator asks for, as plain values: configuration, aliases, flows, names, filters.
//!
//! This crate reads MM2's dedicated file (`mm2.properties`) with MM2's own rules and turns it into
//! one [`FlowConfig`] per replication flow. It does no I/O: the caller reads the file and hands
//! over bytes.
//!
//! ```
//! let file = b"clusters = A, B\n\
//!     A.bootstrap.servers = a1:9092\n\
//!     B.bootstrap.servers = b1:9092\n\
//!     A->B.enabled = true\n\
//!     A->B.topics = orders.*\n\
//!     emit.heartbeats.enabled = false\n";
//! let config = topology::MirrorConfig::read(topology::Properties::parse(file)?, &[])?;
//! let flow = &config.flows()[0];
//! assert_eq!(flow.id.to_string(), "A->B");
//! assert!(flow.replicates("orders-eu") && !flow.replicates("B.orders"));
//! assert_eq!(flow.remote_topic("orders"), "A.orders");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The steps, each usable alone:
//!
//! 1. [`Properties`]: Java's file syntax; every value keeps the line that it came from.
//! 2. [`MirrorProperties`]: MM2's derivations, as flat maps: which flows exist, what each cluster,
//!    worker, connector and client gets (docs/spec/mm2.md 1.4, 1.9).
//! 3. [`FlowConfig`]: typed and checked. All faults are reported at once ([`ConfigErrors`]), each
//!    with its key and line. MM2 only logs a bad connector key and runs on without the connector;
//!    here it ends the start.
//! 4. [`LoopProof`]: why no record can travel in circles; a configuration without proof is refused.
//!
//! Names are [`ReplicationPolicy`]'s; which topics are copied, [`FlowConfig::verdict`]'s.

mod alias;
mod config;
pub mod connect_def;
mod cycle;
mod filter;
mod policy;
mod properties;

pub use alias::{ClusterAlias, FlowId};
pub use config::{
    AutoOffsetReset, ClientKind, ClientOwner, ClusterConfig, ConfigError, ConfigErrors,
    ConfigProvider, ConfigProviders, ConnectWorker, Connector, ConnectorNames, ConnectorSet,
    DURATION_MAX, FlowConfig, FlowProperties, GroupFilter, HostPort, IsolationLevel, KeyAt,
    KeyReport, MirrorConfig, MirrorProperties, OffsetConfig, OffsetSyncsLocation, Pace,
    REQUEST_TIMEOUT_MIN, Side, StorageTopic, client_properties, identify, is_secret,
};
pub use cycle::LoopProof;
pub use filter::{
    BACKTRACK_LIMIT, PatternError, PatternList, TopicFilter, TopicVerdict, Undecided,
};
pub use policy::{
    DEFAULT_POLICY_CLASS, DEFAULT_SEPARATOR, IDENTITY_POLICY_CLASS, PolicyKind, ReplicationPolicy,
};
pub use properties::{Origin, Properties, PropertiesError};
