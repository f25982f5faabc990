//! The storage topics: created as Connect creates them, read from their start and followed, written under a lease.
//!
//! Nothing is decided on memory: a change is decided on what the topic says at that moment, appended to it, and takes effect
//! when it was read back. So what another tool writes counts as what came through REST.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use actors::{Lease, LeaseError};
use engine::batch::{BatchBuilder, Codec, RawBatch};
use engine::cluster::{Cluster, ClusterError, ErrorCode, NewTopic};
use engine::offsets::partition_for_key;
use engine::wire::{BufferPool, ConnectOptions};
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use topology::{ConnectWorker, StorageTopic};
use tracing::{info, warn};

use super::configs::Configs;
use super::records::{ConfigRecord, Restart, StatusRecord};
use super::statuses::Statuses;
use crate::rest::now_ms;

/// Bound on connecting to a broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bound on the answer to one write.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);
/// The config topic's only partition.
const CONFIGS: i32 = 0;

/// Why the storage topics were not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Another process has the storage topics now.
    #[error(
        "another worker has taken over the storage topics: stop one of both, then restart this one"
    )]
    Lost,
    /// What we were allowed to do is not allowed any more.
    #[error(transparent)]
    Withdrawn(Box<LeaseError>),
    /// A broker does not answer, or refuses.
    #[error(transparent)]
    Failed(#[from] ClusterError),
    /// The config topic would be read in any order.
    #[error(
        "topic {0} has {1} partitions; Connect's config topic has exactly one: name another in config.storage.topic"
    )]
    Partitions(String, i32),
    /// Kafka Connect itself runs on these topics.
    #[error(
        "group {0} has members: Kafka Connect workers run on these storage topics; stop them first"
    )]
    Occupied(String),
    /// A record larger than a batch may be.
    #[error("cannot build the records: {0}")]
    Unwritable(String),
}

impl From<LeaseError> for StoreError {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Lost => Self::Lost,
            LeaseError::Failed(error) => Self::Failed(error),
            LeaseError::Withdrawn { .. } => Self::Withdrawn(Box::new(error)),
        }
    }
}

/// The storage topics of one worker.
pub(crate) struct Store {
    cluster: Arc<Cluster>,
    config_topic: String,
    status_topic: String,
    status_partitions: NonZeroU32,
    lease: Lease,
    /// Where reading the config topic goes on. Held during a change, so that changes come one after the other.
    next: AsyncMutex<i64>,
    configs: RwLock<Arc<Configs>>,
    statuses: RwLock<Arc<Statuses>>,
    restarts: Mutex<Vec<(String, Restart)>>,
    changed: Notify,
}

impl Store {
    /// The connections for the storage topics.
    pub(crate) fn cluster(worker: &ConnectWorker) -> Arc<Cluster> {
        let bootstrap = worker.bootstrap_servers.iter();
        let options = ConnectOptions {
            client_id: worker.client_id.as_str().into(),
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: worker.request_timeout,
            pool: BufferPool::default(),
            security: worker.security.clone(),
        };
        Cluster::new(
            &worker.group_id,
            bootstrap.map(|at| (at.host.clone(), at.port)).collect(),
            options,
            worker.request_timeout,
            Handle::current(),
        )
    }

    /// Creates the topics unless they are there, makes sure that nobody else writes to them, and reads them.
    ///
    /// # Errors
    /// [`StoreError`]; all but [`StoreError::Partitions`] may pass.
    pub(crate) async fn open(
        worker: &ConnectWorker,
        cluster: Arc<Cluster>,
    ) -> Result<Self, StoreError> {
        check_group(&cluster, &worker.group_id).await?;
        let topics = [
            &worker.config_storage,
            &worker.offset_storage,
            &worker.status_storage,
        ];
        let [configs, _, statuses] = create(&cluster, topics).await?;
        let config_topic = worker.config_storage.name.clone();
        if configs != 1 {
            return Err(StoreError::Partitions(config_topic, configs));
        }
        let status_topic = worker.status_storage.name.clone();
        let lease = Lease::default();
        // No alias of a flow has a colon, so that no flow's lease has this name.
        let id = format!("crosscurrent-connect:{}", worker.group_id);
        let mut state: Vec<_> = (0..statuses)
            .map(|at| (status_topic.as_str(), at))
            .collect();
        state.push((&config_topic, CONFIGS));
        if let Some(why) = lease.take(&cluster, &id, &state).await? {
            warn!(
                transactional_id = id, %why,
                "no transactional ids on the worker's cluster: run no second worker on these storage topics"
            );
        }
        let store = Self {
            cluster,
            config_topic,
            status_topic,
            status_partitions: u32::try_from(statuses)
                .ok()
                .and_then(NonZeroU32::new)
                .unwrap_or(NonZeroU32::MIN),
            lease,
            next: AsyncMutex::new(i64::MIN),
            configs: RwLock::default(),
            statuses: RwLock::default(),
            restarts: Mutex::default(),
            changed: Notify::new(),
        };
        store.read_statuses(statuses).await?;
        store.follow().await?;
        // Wishes of the past were granted by whoever ran then.
        store.take_restarts();
        Ok(store)
    }

    /// The id of the worker's cluster; opening has asked for it.
    pub(crate) fn cluster_id(&self) -> Option<&str> {
        self.cluster.id()
    }

    /// What the config topic says, as far as it was read.
    pub(crate) fn configs(&self) -> Arc<Configs> {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        configs.clone()
    }

    /// What the status topic says.
    pub(crate) fn statuses(&self) -> Arc<Statuses> {
        let statuses = self.statuses.read().unwrap_or_else(PoisonError::into_inner);
        statuses.clone()
    }

    /// Waits until something new was read.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether no other worker has the topics, asked of the cluster.
    ///
    /// # Errors
    /// [`StoreError::Lost`] if one has; others if that cannot be known.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        Ok(self.lease.check(&self.cluster).await?)
    }

    /// Wishes to restart that were read since the last call.
    pub(crate) fn take_restarts(&self) -> Vec<(String, Restart)> {
        let mut restarts = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut restarts)
    }

    /// Reads what was written to the config topic since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn follow(&self) -> Result<(), StoreError> {
        let mut next = self.next.lock().await;
        self.read_on(&mut next).await
    }

    /// Lets `decide` see what the config topic says now, writes the records that it wants written, and reads them back. No
    /// other change of this process comes between.
    ///
    /// # Errors
    /// Those of `decide`, and [`StoreError`]; what was to be written may be in the topic then.
    pub(crate) async fn change<T, E: From<StoreError>>(
        &self,
        decide: impl FnOnce(&Configs) -> Result<(Vec<ConfigRecord>, T), E>,
    ) -> Result<T, E> {
        let mut next = self.next.lock().await;
        self.read_on(&mut next).await?;
        let (records, result) = decide(&self.configs())?;
        let all: Vec<_> = records.iter().filter_map(ConfigRecord::encode).collect();
        if !all.is_empty() {
            let topic = self.config_topic.as_str();
            self.append(topic, CONFIGS, &all).await?;
            self.read_on(&mut next).await?;
        }
        Ok(result)
    }

    async fn read_on(&self, next: &mut i64) -> Result<(), StoreError> {
        let topic = self.config_topic.as_str();
        let mut configs = None;
        let mut restarts = Vec::new();
        let apply = |record: engine::cluster::StoredRecord| match ConfigRecord::decode(
            record.key.as_deref(),
            record.value.as_deref(),
        ) {
            Ok(decoded) => {
                let configs = configs.get_or_insert_with(|| Configs::clone(&self.configs()));
                restarts.extend(configs.apply(decoded));
            }
            Err(error) => {
                warn!(topic, offset = record.offset, %error, "skipping a malformed record");
            }
        };
        *next = (self.cluster)
            .read_log_from(topic, CONFIGS, *next, apply)
            .await?;
        if let Some(configs) = configs {
            *self.configs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(configs);
            let mut due = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
            due.extend(restarts);
            drop(due);
            self.changed.notify_one();
        }
        Ok(())
    }

    async fn read_statuses(&self, partitions: i32) -> Result<(), StoreError> {
        let topic = self.status_topic.as_str();
        let mut statuses = Statuses::default();
        for partition in 0..partitions {
            let apply = |record: engine::cluster::StoredRecord| match StatusRecord::decode(
                record.key.as_deref(),
                record.value.as_deref(),
            ) {
                Ok(decoded) => statuses.apply(decoded),
                Err(error) => {
                    warn!(topic, partition, offset = record.offset, %error, "skipping a malformed record");
                }
            };
            self.cluster.read_log(topic, partition, apply).await?;
        }
        *self
            .statuses
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(statuses);
        Ok(())
    }

    /// Writes states and topics in use.
    ///
    /// # Errors
    /// [`StoreError`]; those before it are written.
    pub(crate) async fn put(&self, records: Vec<StatusRecord>) -> Result<(), StoreError> {
        let mut by_partition = std::collections::BTreeMap::<u32, Vec<StatusRecord>>::new();
        for record in records {
            let partition = partition_for_key(&record.encode().0, self.status_partitions);
            by_partition.entry(partition).or_default().push(record);
        }
        for (partition, records) in by_partition {
            let all: Vec<_> = records.iter().map(StatusRecord::encode).collect();
            let partition = i32::try_from(partition).unwrap_or(0);
            self.append(&self.status_topic, partition, &all).await?;
            let mut statuses = self
                .statuses
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let statuses = Arc::make_mut(&mut statuses);
            records
                .into_iter()
                .for_each(|record| statuses.apply(record));
        }
        Ok(())
    }

    async fn append(
        &self,
        topic: &str,
        partition: i32,
        records: &[(Vec<u8>, Option<Vec<u8>>)],
    ) -> Result<(), StoreError> {
        let batch = batch_of(records)?;
        self.lease
            .append(&self.cluster, topic, partition, batch, WRITE_PATIENCE)
            .await?;
        Ok(())
    }
}

fn batch_of(records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Result<RawBatch, StoreError> {
    let unwritable = |error: engine::batch::BuildError| StoreError::Unwritable(error.to_string());
    let mut builder = BatchBuilder::new(Codec::None);
    for (key, value) in records {
        let pushed = builder.push(now_ms(), Some(key), value.as_deref(), &[]);
        pushed.map_err(unwritable)?;
    }
    builder.build().map_err(unwritable)
}

/// A group of Connect's with members is an owner that knows nothing of leases.
async fn check_group(cluster: &Cluster, group_id: &str) -> Result<(), StoreError> {
    let list = cluster.list_groups().await?;
    let mut groups = list.groups.iter();
    let occupied = groups.any(|group| {
        &*group.id == group_id && group.protocol_type == "connect" && group.state.may_have_members()
    });
    if occupied {
        return Err(StoreError::Occupied(group_id.to_owned()));
    }
    Ok(())
}

/// Their numbers of partitions, after creating those that are not there.
async fn create(cluster: &Cluster, topics: [&StorageTopic; 3]) -> Result<[i32; 3], StoreError> {
    let listed = cluster.topics().await?;
    let missing: Vec<NewTopic> = (topics.iter())
        .filter(|topic| !listed.iter().any(|known| known.name == topic.name))
        .map(|topic| NewTopic {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            configs: topic.configs.clone(),
        })
        .collect();
    if !missing.is_empty() {
        for (name, refusal) in cluster.create_topics(&missing).await? {
            match refusal {
                Some(refusal) => {
                    return Err(StoreError::Failed(ClusterError::Refused {
                        alias: cluster.alias().into(),
                        api: "CreateTopics",
                        what: name,
                        refusal,
                    }));
                }
                None => info!(topic = name, "storage topic created"),
            }
        }
    }
    let listed = cluster.topics().await?;
    let mut counts = [0; 3];
    for (topic, count) in topics.iter().zip(&mut counts) {
        let found = listed.iter().find(|known| known.name == topic.name);
        match found {
            Some(found) if found.partitions > 0 => *count = found.partitions,
            _ => {
                return Err(StoreError::Failed(ClusterError::Refused {
                    alias: cluster.alias().into(),
                    api: "Metadata",
                    what: topic.name.clone(),
                    refusal: engine::cluster::Refusal {
                        code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
                        message: None,
                    },
                }));
            }
        }
    }
    Ok(counts)
}
