//! Kafka clusters inside one process: real sockets, the real protocol, memory instead of disks.

mod api;
mod clock;
mod cluster;
mod config;
mod housekeeping;
mod log;
mod security;
mod server;
mod settings;
mod state;

pub use clock::Clock;
pub use cluster::{BROKERS_MAX, EmbeddedCluster, StartError};
pub use settings::Settings;
