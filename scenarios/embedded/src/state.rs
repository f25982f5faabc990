//! The facts of a cluster: its brokers and topics.

mod partition;
mod topic;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::config::Configs;

pub(crate) use partition::{Leadership, Partition, PartitionData};
pub(crate) use topic::Topic;

/// What is known of a broker.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    pub(crate) node_id: i32,
    pub(crate) rack: Option<String>,
    /// One address per listener, in the order of the cluster's listeners.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) status: Status,
    /// Counts starts, ends, freezes and thaws: what was planned for an earlier one is void.
    pub(crate) incarnation: u64,
}

impl Broker {
    /// Where it listens on this listener, or did.
    pub(crate) fn place(&self, listener: usize) -> Option<Place> {
        let address = self.addresses.get(listener)?;
        Some(Place {
            node_id: self.node_id,
            host: StrBytes::from_string(address.ip().to_string()),
            port: address.port().into(),
            rack: self.rack.clone().map(StrBytes::from_string),
        })
    }
}

/// A broker as answers name it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) node_id: i32,
    pub(crate) host: StrBytes,
    pub(crate) port: i32,
    pub(crate) rack: Option<StrBytes>,
}

/// Whether a broker takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// It serves.
    Up,
    /// Its sockets are open and nothing is answered, as with a stopped process.
    Frozen,
    /// Its sockets are closed.
    Down,
}

/// Brokers and topics, behind one lock. What happens to single partitions is behind their own.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) brokers: BTreeMap<i32, Broker>,
    /// Brokers that the metadata still lists: those up, and those down whose session has not ended.
    pub(crate) registered: Vec<i32>,
    pub(crate) controller: i32,
    pub(crate) topics: BTreeMap<String, Arc<Topic>>,
    pub(crate) ids: HashMap<Uuid, String>,
    pub(crate) configs: Configs,
}

impl State {
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(name)
    }

    pub(crate) fn topic_by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.ids.get(&id).and_then(|name| self.topics.get(name))
    }

    /// A partition by its topic's name.
    pub(crate) fn partition(
        &self,
        topic: &str,
        index: i32,
    ) -> Result<(Arc<Topic>, Arc<Partition>), ResponseError> {
        let topic = self
            .topic(topic)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        let partition = topic
            .partition(index)
            .ok_or(ResponseError::UnknownTopicOrPartition)?;
        Ok((Arc::clone(topic), Arc::clone(partition)))
    }

    /// Adds or replaces a topic (a topic is immutable; new partitions or configs make a new value).
    pub(crate) fn put(&mut self, topic: Topic) {
        self.ids.insert(topic.id, topic.name.clone());
        self.topics.insert(topic.name.clone(), Arc::new(topic));
    }

    /// Removes a topic and wakes whoever waits for its partitions.
    pub(crate) fn remove(&mut self, name: &str) -> Option<Arc<Topic>> {
        let topic = self.topics.remove(name)?;
        self.ids.remove(&topic.id);
        for partition in &topic.partitions {
            partition.wake();
        }
        Some(topic)
    }

    /// Node ids that serve now.
    pub(crate) fn up(&self) -> impl Iterator<Item = i32> + '_ {
        self.brokers
            .values()
            .filter(|broker| broker.status == Status::Up)
            .map(|broker| broker.node_id)
    }

    /// Where the brokers that clients can be sent to listen, on the listener that was asked.
    pub(crate) fn places(&self, listener: usize) -> impl Iterator<Item = Place> + '_ {
        self.registered()
            .filter_map(move |broker| broker.place(listener))
    }

    /// A broker that clients can be sent to.
    pub(crate) fn registered(&self) -> impl Iterator<Item = &Broker> + '_ {
        self.registered
            .iter()
            .filter_map(|node_id| self.brokers.get(node_id))
    }
}
