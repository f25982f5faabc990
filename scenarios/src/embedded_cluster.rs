//! The embedded cluster as a kind: brokers in this process.

use std::sync::Arc;

use embedded::{EmbeddedCluster, Settings};

use crate::{Broker, Cluster, Error, Properties};

/// A cluster of [`embedded`] brokers. Tests of faults own one; the others ask [`crate::Kind::start`].
#[derive(Debug)]
pub struct Embedded {
    alias: String,
    cluster: Arc<EmbeddedCluster>,
    brokers: Vec<EmbeddedBroker>,
}

#[derive(Debug)]
struct EmbeddedBroker {
    name: String,
    node_id: i32,
    cluster: Arc<EmbeddedCluster>,
}

impl Embedded {
    /// Starts brokers on free ports with these server properties ([`crate::server_properties`]).
    ///
    /// # Errors
    /// [`Error::Impossible`] naming the property or port.
    pub fn start(alias: &str, brokers: u32, properties: Properties) -> Result<Self, Error> {
        let settings = Settings {
            brokers: i32::try_from(brokers).unwrap_or(i32::MAX),
            properties,
            ..Settings::default()
        };
        Self::start_with(alias, settings)
    }

    /// Starts brokers with these settings.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub fn start_with(alias: &str, settings: Settings) -> Result<Self, Error> {
        let cluster = EmbeddedCluster::start_with(settings);
        let cluster = Arc::new(cluster.map_err(impossible(&format!("start {alias}")))?);
        let broker = |node_id| EmbeddedBroker {
            name: format!("{alias} node {node_id}"),
            node_id,
            cluster: Arc::clone(&cluster),
        };
        let brokers = cluster.node_ids().into_iter().map(broker).collect();
        Ok(Self {
            alias: alias.to_owned(),
            cluster,
            brokers,
        })
    }

    /// The cluster itself, for what only this kind can do: faults, elections, damage.
    pub fn cluster(&self) -> &EmbeddedCluster {
        &self.cluster
    }
}

impl Cluster for Embedded {
    fn alias(&self) -> &str {
        &self.alias
    }

    fn cluster_id(&self) -> &str {
        self.cluster.cluster_id()
    }

    fn brokers(&self) -> Vec<&dyn Broker> {
        self.brokers.iter().map(|one| one as &dyn Broker).collect()
    }

    #[expect(clippy::panic, reason = "the number stands in the test's own source")]
    fn broker(&self, node_id: u32) -> &dyn Broker {
        let same = |broker: &&EmbeddedBroker| broker.node_id() == node_id;
        match self.brokers.iter().find(same) {
            Some(broker) => broker,
            None => panic!("{} has no broker {node_id}", self.alias),
        }
    }

    fn bootstrap_of(&self, listener: &str) -> Option<String> {
        self.cluster.bootstrap_of(listener)
    }

    /// An embedded broker logs nothing.
    fn dump_logs(&self) {}
}

impl EmbeddedBroker {
    fn with<T>(
        &self,
        what: &str,
        act: impl FnOnce(embedded::Broker<'_>) -> Result<T, embedded::BrokerError>,
    ) -> Result<T, Error> {
        let result = self.cluster.broker(self.node_id).and_then(act);
        result.map_err(impossible(&format!("{what} {}", self.name)))
    }
}

impl Broker for EmbeddedBroker {
    fn name(&self) -> &str {
        &self.name
    }

    fn node_id(&self) -> u32 {
        u32::try_from(self.node_id).unwrap_or_default()
    }

    fn bootstrap(&self) -> String {
        self.cluster
            .broker(self.node_id)
            .map_or_else(|_| String::new(), |broker| broker.bootstrap())
    }

    fn is_running(&self) -> bool {
        self.cluster
            .broker(self.node_id)
            .is_ok_and(|broker| broker.is_running())
    }

    fn kill(&self) -> Result<(), Error> {
        self.with("kill", |broker| {
            broker.kill();
            Ok(())
        })
    }

    fn stop(&self) -> Result<(), Error> {
        self.with("stop", |broker| broker.stop())
    }

    fn start(&self) -> Result<(), Error> {
        self.with("start", |broker| broker.start())
    }

    fn freeze(&self) -> Result<(), Error> {
        self.with("freeze", |broker| broker.freeze())
    }

    fn thaw(&self) -> Result<(), Error> {
        self.with("thaw", |broker| broker.thaw())
    }

    fn batches(&self, topic: &str, partition: i32) -> Result<u64, Error> {
        let count = self.cluster.batches(topic, partition);
        count.map_err(impossible("count batches"))
    }
}

/// An embedded cluster's refusal with its reasons, as ours.
fn impossible<E: std::error::Error>(what: &str) -> impl FnOnce(E) -> Error {
    move |error| {
        let mut text = format!("cannot {what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            text += &format!(": {cause}");
            source = cause.source();
        }
        Error::Impossible(text)
    }
}
