//! What is known of one cluster, and the requests that ask or change it.
//!
//! [`Cluster`] keeps one control connection per broker (never a data connection: a broker serves a
//! connection one request at a time, so anything behind a long poll waits) and a cache of leaders
//! that several threads read. Admin requests are methods beside it, a file per kind.

mod admin;
mod bulk_offsets;
mod cache;
mod configs;
mod coordinators;
mod cursor;
mod error;
mod fencing;
mod groups;
mod log;
mod offsets;

pub use admin::{NewTopic, TopicListing};
pub use cache::{BrokerAddress, Leader};
pub use configs::{ConfigChange, ConfigEntry, ConfigSource};
pub use cursor::{LOG_READ_BYTES_MAX, LogCursor};
pub use error::{ClusterError, ErrorCode, Refusal};
pub use fencing::{FENCE_PATIENCE, FenceError, Fenced};
pub use groups::{
    Committed, GroupKind, GroupList, GroupListing, GroupOffset, GroupState, NewOffset, PerGroup,
};
pub use log::StoredRecord;
pub use offsets::OffsetAt;

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use dashmap::{DashMap, DashSet};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::wire::{ConnectOptions, Connection, WireError};

/// Highest Metadata version used: 12 knows topic ids, also in the request.
const METADATA_VERSION_MAX: i16 = 12;
/// Controller unknown: nothing was heard yet.
const NO_BROKER: i32 = -1;

/// One Kafka cluster as we see it. Shared by all actors of the flows that touch it.
pub struct Cluster {
    alias: Arc<str>,
    bootstrap: Vec<(String, u16)>,
    options: ConnectOptions,
    /// Bound on the answer to a request that changes topics.
    admin_timeout: Duration,
    /// Where the tasks of control connections run, whoever asks for them: the control thread
    /// outlives every data thread.
    runtime: Handle,
    controls: DashMap<i32, Connection>,
    /// Held while a control connection is made, so that a thousand lanes that need one broker dial it once.
    dialling: DashMap<i32, Arc<Mutex<()>>>,
    bootstrap_connection: Mutex<Option<Connection>>,
    next_bootstrap: AtomicUsize,
    brokers: DashMap<i32, BrokerAddress>,
    controller: AtomicI32,
    id: OnceLock<Arc<str>>,
    topics: DashMap<Arc<str>, cache::TopicLeaders>,
    coordinators: coordinators::Coordinators,
    /// Topics that [`Cluster::refresh`] asks for.
    tracked: DashSet<Arc<str>>,
    /// When the last refresh began; held while one is under way, so that a thousand partitions
    /// that lose one broker cause one request.
    refreshed: Mutex<Option<Instant>>,
}

impl Cluster {
    /// A cluster that nothing was asked of yet; connections are made when they are needed. `admin_timeout` bounds the
    /// answers to requests that change topics (MM2: the admin client's `request.timeout.ms`); `options` those to all others.
    pub fn new(
        alias: &str,
        bootstrap: Vec<(String, u16)>,
        options: ConnectOptions,
        admin_timeout: Duration,
        runtime: Handle,
    ) -> Arc<Self> {
        Arc::new(Self {
            alias: alias.into(),
            bootstrap,
            options,
            admin_timeout,
            runtime,
            controls: DashMap::new(),
            dialling: DashMap::new(),
            bootstrap_connection: Mutex::default(),
            next_bootstrap: AtomicUsize::new(0),
            brokers: DashMap::new(),
            controller: AtomicI32::new(NO_BROKER),
            id: OnceLock::new(),
            topics: DashMap::new(),
            coordinators: coordinators::Coordinators::default(),
            tracked: DashSet::new(),
            refreshed: Mutex::default(),
        })
    }

    /// The cluster's alias.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The id that the brokers' cluster has given itself; none until one of them has said it.
    pub fn id(&self) -> Option<&str> {
        self.id.get().map(|id| &**id)
    }

    /// How connections to this cluster are made, for whoever opens data connections.
    pub fn connect_options(&self) -> &ConnectOptions {
        &self.options
    }

    /// A control connection to any broker: a known one if there is one, else from the bootstrap list,
    /// each entry tried once, starting behind the last that failed.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] with the last reason when no broker answers.
    pub async fn any(&self) -> Result<Connection, ClusterError> {
        if let Some(open) = self
            .controls
            .iter()
            .find(|entry| !entry.value().is_closed())
        {
            return Ok(open.value().clone());
        }
        let mut held = self.bootstrap_connection.lock().await;
        if let Some(open) = held.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(open.clone());
        }
        let mut last = None;
        for _ in 0..self.bootstrap.len() {
            let at = self.next_bootstrap.load(Ordering::Relaxed) % self.bootstrap.len();
            let Some((host, port)) = self.bootstrap.get(at) else {
                break;
            };
            match self.connect(host.clone(), *port).await {
                Ok(connection) => {
                    *held = Some(connection.clone());
                    return Ok(connection);
                }
                Err(error) => {
                    last = Some(error);
                    self.next_bootstrap.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        // The bootstrap list may be stale; any broker that was heard of is as good.
        let known: Vec<_> = self
            .brokers
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        for broker in known {
            match self.connect(broker.host.to_string(), broker.port).await {
                Ok(connection) => {
                    *held = Some(connection.clone());
                    return Ok(connection);
                }
                Err(error) => last = Some(error),
            }
        }
        Err(ClusterError::Unreachable {
            alias: self.alias.clone(),
            last,
        })
    }

    /// The control connection to one broker.
    ///
    /// # Errors
    /// [`ClusterError::UnknownBroker`] when no Metadata answer named it, or why connecting failed.
    pub async fn broker(&self, id: i32) -> Result<Connection, ClusterError> {
        if let Some(open) = self.open_control(id) {
            return Ok(open);
        }
        let gate = self.dialling.entry(id).or_default().clone();
        let _dialling = gate.lock().await;
        if let Some(open) = self.open_control(id) {
            return Ok(open);
        }
        let address = self
            .address(id)
            .ok_or_else(|| ClusterError::UnknownBroker {
                alias: self.alias.clone(),
                broker: id,
            })?;
        let connection = self.connect(address.host.to_string(), address.port).await?;
        self.controls.insert(id, connection.clone());
        Ok(connection)
    }

    fn open_control(&self, id: i32) -> Option<Connection> {
        let known = self.controls.get(&id)?;
        (!known.is_closed()).then(|| known.clone())
    }

    /// Closes all control connections: an answer that does not come holds up what is asked behind it. The next requests get
    /// new ones.
    pub async fn close_controls(&self, reason: &str) {
        let held = self.bootstrap_connection.lock().await.take();
        let controls: Vec<_> = self
            .controls
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        for connection in controls.into_iter().chain(held) {
            connection.close(reason);
        }
    }

    async fn connect(&self, host: String, port: u16) -> Result<Connection, WireError> {
        let options = self.options.clone();
        let broker = format!("{host}:{port}");
        let task = self
            .runtime
            .spawn(async move { Connection::connect(&host, port, &options).await });
        task.await.unwrap_or_else(|error| {
            Err(WireError::Connect {
                broker,
                reason: error.to_string(),
            })
        })
    }

    /// Sends a request to the controller's broker (any broker of a KRaft cluster forwards, a
    /// ZooKeeper one needs the controller itself).
    pub(crate) async fn ask_controller<R: Request>(
        &self,
        api: &'static str,
        body: &R,
        ours_max: i16,
    ) -> Result<R::Response, ClusterError> {
        let connection = match self.controller.load(Ordering::Relaxed) {
            NO_BROKER => self.any().await?,
            id => match self.broker(id).await {
                Ok(connection) => connection,
                Err(_) => self.any().await?,
            },
        };
        Ok(connection
            .request(api, body, ours_max, self.admin_timeout)
            .await?)
    }

    /// Asks any broker.
    pub(crate) async fn ask_any<R: Request>(
        &self,
        api: &'static str,
        body: &R,
        ours_max: i16,
    ) -> Result<R::Response, ClusterError> {
        let connection = self.any().await?;
        Ok(connection
            .request(api, body, ours_max, self.options.request_timeout)
            .await?)
    }

    /// Asks the leader of a partition.
    pub(crate) async fn ask_leader<R: Request>(
        &self,
        topic: &str,
        partition: i32,
        api: &'static str,
        body: &R,
        ours_max: i16,
    ) -> Result<R::Response, ClusterError> {
        let leader = self.leader_or_refresh(topic, partition).await?;
        let connection = self.broker(leader.broker.id).await?;
        Ok(connection
            .request(api, body, ours_max, self.options.request_timeout)
            .await?)
    }

    /// One Metadata request: `None` asks for every topic. Never creates topics: `allow_auto_topic_creation`
    /// defaults to true on the wire, and a look-up must not create (`docs/spec/real-kafka.md` 11).
    pub(crate) async fn metadata(
        &self,
        topics: Option<Vec<Arc<str>>>,
    ) -> Result<MetadataResponse, ClusterError> {
        let by_name = |name: Arc<str>| {
            let name = TopicName(StrBytes::from_string(name.to_string()));
            MetadataRequestTopic::default().with_name(Some(name))
        };
        let request = MetadataRequest::default()
            .with_topics(topics.map(|names| names.into_iter().map(by_name).collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self
            .ask_any("Metadata", &request, METADATA_VERSION_MAX)
            .await?;
        self.remember_brokers(&answer);
        Ok(answer)
    }

    fn remember_brokers(&self, answer: &MetadataResponse) {
        self.controller
            .store(answer.controller_id.0, Ordering::Relaxed);
        if let Some(id) = &answer.cluster_id {
            self.id.get_or_init(|| id.as_str().into());
        }
        for broker in &answer.brokers {
            let Some(address) = BrokerAddress::new(broker) else {
                continue;
            };
            let moved = self.brokers.insert(address.id, address.clone());
            if moved.is_some_and(|old| old != address)
                && let Some((_, old)) = self.controls.remove(&address.id)
            {
                old.close("the broker has a new address");
            }
        }
        // A broker that left is forgotten; an empty list means that the broker asked is starting up.
        if !answer.brokers.is_empty() {
            self.brokers
                .retain(|id, _| answer.brokers.iter().any(|known| known.node_id.0 == *id));
        }
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("alias", &self.alias)
            .finish_non_exhaustive()
    }
}
