//! What a cluster is started with.

use std::collections::BTreeMap;

use crate::clock::Clock;

/// How a cluster is laid out. `Settings::default()` is one broker on a free port with Kafka's defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of brokers, node ids from 1. Default: 1.
    pub brokers: i32,
    /// Server properties as in a broker's `server.properties`, for all brokers.
    pub properties: BTreeMap<String, String>,
    /// Ports of the first listener by broker, in order; 0 or none: a free one. Default: none.
    pub ports: Vec<u16>,
    /// Default: the machine's time.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: 1,
            properties: BTreeMap::new(),
            ports: Vec::new(),
            clock: Clock::real(),
        }
    }
}
