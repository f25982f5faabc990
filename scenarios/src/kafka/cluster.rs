//! A cluster of real brokers.

use std::path::Path;

use embedded::Listener;

use super::broker::{RealBroker, is_port_taken};
use super::ports::Port;
use super::settings::{NodeSettings, Role};
use super::template::{Template, random_id, template};
use crate::properties::{Properties, server_properties};
use crate::{Broker, Cluster, Error, folders};

/// Attempts to start a cluster whose ports somebody else turned out to use.
const START_ATTEMPTS: usize = 3;

/// Node id of the dedicated controller in a cluster of several brokers.
const CONTROLLER_ID: u32 = 100;

/// An Apache Kafka cluster of its own ports and data, gone when dropped.
///
/// One broker is one combined node. Several brokers get a controller in a JVM of its own, so that any broker,
/// or all of them, can be killed without losing the controller. [`server_properties`] tells what differs from
/// Kafka's defaults.
#[derive(Debug)]
pub struct RealCluster {
    alias: String,
    cluster_id: String,
    brokers: Vec<RealBroker>,
    controller: Option<RealBroker>,
    /// Further listeners by name, with the address of each broker.
    listeners: Vec<(String, Vec<String>)>,
    _ports: Vec<Port>,
}

impl RealCluster {
    /// Starts a cluster of `brokers` brokers (at least 1) and waits until all of them answer.
    ///
    /// The first start on a machine fetches Kafka and builds a class archive: some ten seconds and a download.
    ///
    /// # Errors
    /// [`Error::Missing`] without Java or Maven, [`Error::Exited`] with a node's log, [`Error::Timeout`].
    pub fn start(alias: &str, brokers: u32) -> Result<Self, Error> {
        Self::start_with(alias, brokers, &[])
    }

    /// [`RealCluster::start`] with further server properties for every node; they win over the defaults.
    ///
    /// # Errors
    /// As [`RealCluster::start`]; a property that Kafka refuses shows in the log that the error carries.
    pub fn start_with(alias: &str, brokers: u32, extra: &[(&str, &str)]) -> Result<Self, Error> {
        Self::start_listening(alias, brokers, extra, &[])
    }

    /// [`RealCluster::start_with`] with further listeners on every broker; what they need is among `extra`.
    ///
    /// # Errors
    /// As [`RealCluster::start_with`].
    pub fn start_listening(
        alias: &str,
        brokers: u32,
        extra: &[(&str, &str)],
        listeners: &[Listener],
    ) -> Result<Self, Error> {
        let brokers = brokers.max(1);
        let common = server_properties(brokers, extra);
        let mut attempt = 1;
        loop {
            match Self::start_once(alias, brokers, &common, listeners) {
                Err(Error::Exited { log, .. })
                    if is_port_taken(&log) && attempt < START_ATTEMPTS =>
                {
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn start_once(
        alias: &str,
        brokers: u32,
        common: &Properties,
        listeners: &[Listener],
    ) -> Result<Self, Error> {
        let template = template()?;
        let folder = folders::scratch(alias)?;
        let controller_port = Port::reserve()?;
        let combined = brokers == 1;
        let plan = Plan {
            alias,
            template,
            folder: &folder,
            cluster_id: &random_id(),
            controller: (
                if combined { 1 } else { CONTROLLER_ID },
                controller_port.number(),
            ),
            common,
        };
        let controller = match combined {
            true => None,
            false => {
                let port = controller_port.number();
                Some(plan.node(Role::Controller, CONTROLLER_ID, port, &[])?)
            }
        };
        let mut ports = vec![controller_port];
        let mut nodes = Vec::new();
        let addresses = |one: &Listener| (one.name.clone(), Vec::new());
        let mut reached: Vec<(String, Vec<String>)> = listeners.iter().map(addresses).collect();
        for node_id in 1..=brokers {
            let port = Port::reserve()?;
            let role = if combined {
                Role::Combined
            } else {
                Role::Broker
            };
            let mut own = Vec::new();
            for (listener, (_, addresses)) in listeners.iter().zip(&mut reached) {
                let port = Port::reserve()?;
                addresses.push(format!("127.0.0.1:{}", port.number()));
                own.push((listener.clone(), port.number()));
                ports.push(port);
            }
            nodes.push(plan.node(role, node_id, port.number(), &own)?);
            ports.push(port);
        }
        let cluster = Self {
            alias: alias.to_owned(),
            cluster_id: plan.cluster_id.to_owned(),
            brokers: nodes,
            controller,
            listeners: reached,
            _ports: ports,
        };
        for node in cluster.controller.iter().chain(&cluster.brokers) {
            node.launch()?;
        }
        let node_ids: Vec<u32> = cluster.brokers.iter().map(RealBroker::node_id).collect();
        for broker in &cluster.brokers {
            broker.await_ready(&node_ids)?;
        }
        Ok(cluster)
    }

    /// The broker with this node id, as [`Cluster::broker`], for what only a process has.
    ///
    /// # Panics
    /// If the cluster was not started with so many brokers.
    #[expect(clippy::panic, reason = "the number stands in the test's own source")]
    pub fn broker(&self, node_id: u32) -> &RealBroker {
        let Some(broker) = self.brokers.iter().find(|one| one.node_id() == node_id) else {
            panic!("{} has no broker {node_id}", self.alias)
        };
        broker
    }
}

impl Cluster for RealCluster {
    fn alias(&self) -> &str {
        &self.alias
    }

    fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    fn brokers(&self) -> Vec<&dyn Broker> {
        let any = |broker| broker as &dyn Broker;
        self.brokers.iter().map(any).collect()
    }

    fn broker(&self, node_id: u32) -> &dyn Broker {
        self.broker(node_id)
    }

    fn bootstrap_of(&self, listener: &str) -> Option<String> {
        let mut all = self.listeners.iter();
        let (_, addresses) = all.find(|(name, _)| name == listener)?;
        Some(addresses.join(","))
    }

    fn dump_logs(&self) {
        for node in self.controller.iter().chain(&self.brokers) {
            eprintln!("--- {} ---\n{}", node.name(), node.log_tail());
        }
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dump_logs();
        }
    }
}

/// What all nodes of a cluster have in common while it is laid out.
struct Plan<'a> {
    alias: &'a str,
    template: &'static Template,
    folder: &'a Path,
    cluster_id: &'a str,
    controller: (u32, u16),
    common: &'a Properties,
}

impl Plan<'_> {
    fn node(
        &self,
        role: Role,
        node_id: u32,
        port: u16,
        listeners: &[(Listener, u16)],
    ) -> Result<RealBroker, Error> {
        let data = self.folder.join(format!("data-{node_id}"));
        self.template.format(&data, self.cluster_id, node_id)?;
        let settings = NodeSettings {
            role,
            node_id,
            port,
            listeners,
            controller: self.controller,
            data: &data,
            common: self.common,
        };
        let name = format!("{} node {node_id}", self.alias);
        RealBroker::new(
            name,
            node_id,
            port,
            self.template,
            self.folder,
            data.clone(),
            &settings.properties(),
        )
    }
}
