//! Brokers come and go: crash, controlled shutdown, start, freeze; and partitions that are moved by hand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{EmbeddedCluster, Shared, StartError};
use crate::elections;
use crate::server;
use crate::state::{Partition, Status, Topic};

/// How long connections of a stopped broker may go on, so that requests that waited get the answer that names the new leader.
/// A real broker takes 1 to 2.5 s to end (docs/spec/real-kafka.md 6).
const SHUTDOWN_GRACE: Duration = Duration::from_millis(50);

/// Default of `broker.session.timeout.ms`.
const SESSION_TIMEOUT_MS: i64 = 9_000;

/// Default of `producer.id.expiration.ms`: one day.
const PRODUCER_EXPIRATION_MS: i64 = 86_400_000;

/// Why something could not be done to a broker or a partition.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// The cluster has no such broker.
    #[error("broker {0}: the cluster has no such broker")]
    Unknown(i32),
    /// The broker is in no state to do that.
    #[error("broker {node_id} is {is}: it must be {wanted}")]
    Status {
        /// The broker.
        node_id: i32,
        /// What it is.
        is: &'static str,
        /// What it had to be.
        wanted: &'static str,
    },
    /// The cluster has no such topic or partition.
    #[error("partition {topic}-{partition}: the cluster has no such partition")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A broker that is no replica of the partition, or not in sync where it has to be.
    #[error("partition {topic}-{partition}: broker {node_id} is not {wanted}")]
    NotReplica {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The broker.
        node_id: i32,
        /// "a replica" or "in sync".
        wanted: &'static str,
    },
    /// An offset that the log does not hold.
    #[error("partition {topic}-{partition}: offset {offset} is outside of {start} to {end}")]
    OutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset asked for.
        offset: i64,
        /// The log's start.
        start: i64,
        /// The log's end.
        end: i64,
    },
    /// The broker's ports are taken.
    #[error("broker {node_id} cannot start")]
    Start {
        /// The broker.
        node_id: i32,
        /// Which port, and why.
        #[source]
        source: StartError,
    },
}

/// One broker of an [`EmbeddedCluster`], running or not. Its verbs are those of a real broker's process; times go by the cluster's
/// [`crate::Clock`]. What 4.3.1 does in each case: docs/spec/real-kafka.md 6.
#[derive(Debug, Clone, Copy)]
pub struct Broker<'a> {
    shared: &'a Arc<Shared>,
    node_id: i32,
}

impl EmbeddedCluster {
    /// A broker by its node id; the first is 1.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`].
    pub fn broker(&self, node_id: i32) -> Result<Broker<'_>, BrokerError> {
        let shared = self.shared();
        match shared.state().brokers.contains_key(&node_id) {
            true => Ok(Broker { shared, node_id }),
            false => Err(BrokerError::Unknown(node_id)),
        }
    }

    /// Node ids of all brokers, running or not.
    pub fn node_ids(&self) -> Vec<i32> {
        self.shared().state().brokers.keys().copied().collect()
    }

    /// Record batches, control batches included, in a partition's log.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`].
    pub fn batches(&self, topic: &str, partition: i32) -> Result<u64, BrokerError> {
        let found = self.shared().state().partition(topic, partition);
        let (_, found) = found.map_err(|_| BrokerError::UnknownPartition {
            topic: topic.to_owned(),
            partition,
        })?;
        let count = found.lock().log.batches().count();
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// The broker that clients are told to be the controller.
    pub fn controller(&self) -> i32 {
        self.shared().state().controller
    }

    /// Who leads a partition (-1: nobody), in which epoch.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`].
    pub fn leader(&self, topic: &str, partition: i32) -> Result<(i32, i32), BrokerError> {
        let (_, found) = find(self.shared(), topic, partition)?;
        let data = found.lock();
        Ok((data.leadership.leader, data.leadership.epoch))
    }

    /// The in-sync replicas of a partition.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`].
    pub fn in_sync(&self, topic: &str, partition: i32) -> Result<Vec<i32>, BrokerError> {
        let (_, found) = find(self.shared(), topic, partition)?;
        Ok(found.lock().leadership.isr.clone())
    }

    /// Lets an in-sync replica lead, as a reassignment or an election of the preferred leader does: a new leader epoch, nothing
    /// lost. Nothing happens if it leads already.
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`]; [`BrokerError::NotReplica`] if `to` is not in sync.
    pub fn move_leader(&self, topic: &str, partition: i32, to: i32) -> Result<(), BrokerError> {
        let (found_topic, found) = find(self.shared(), topic, partition)?;
        // Held throughout, so that `to` cannot leave the ISR on the way.
        let mut state = self.shared().state();
        {
            let mut data = found.lock();
            if !data.leadership.isr.contains(&to) || !state.registered.contains(&to) {
                return Err(not_replica(topic, partition, to, "in sync"));
            }
            if data.leadership.leader == to {
                return Ok(());
            }
            let in_sync_min = data.leadership.in_sync_min(&found_topic);
            data.lead(to, in_sync_min);
        }
        found.wake();
        elections::settle(&mut state);
        Ok(())
    }

    /// Elects a replica that had read the log only up to `keep`: what follows is lost, although it may have been acknowledged.
    /// A new leader epoch; only the new leader is in sync, until others catch up (at once, if they are up).
    ///
    /// # Errors
    /// [`BrokerError::UnknownPartition`]; [`BrokerError::NotReplica`]; [`BrokerError::Status`] if `to` is not up;
    /// [`BrokerError::OutOfRange`] if `keep` is outside of the log.
    pub fn unclean_election(
        &self,
        topic: &str,
        partition: i32,
        to: i32,
        keep: i64,
    ) -> Result<(), BrokerError> {
        self.broker(to)?.expect(&[Status::Up], "up")?;
        let (found_topic, found) = find(self.shared(), topic, partition)?;
        let mut state = self.shared().state();
        {
            let mut data = found.lock();
            if !data.leadership.replicas.contains(&to) {
                return Err(not_replica(topic, partition, to, "a replica"));
            }
            let (start, end) = (data.log.start_offset(), data.log.end_offset());
            if !(start..=end).contains(&keep) {
                return Err(out_of_range(topic, partition, keep, (start, end)));
            }
            data.log.hold_high_watermark(None);
            data.log.truncate_to(keep);
            data.leadership.isr = vec![to];
            data.leadership.elr.clear();
            let in_sync_min = data.leadership.in_sync_min(&found_topic);
            data.lead(to, in_sync_min);
        }
        found.wake();
        elections::settle(&mut state);
        Ok(())
    }
}

impl Broker<'_> {
    /// Kafka's node id.
    pub fn node_id(&self) -> i32 {
        self.node_id
    }

    /// `host:port` of its first listener, for `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        let state = self.shared.state();
        let address = state
            .brokers
            .get(&self.node_id)
            .and_then(|broker| broker.addresses.first());
        address.map(SocketAddr::to_string).unwrap_or_default()
    }

    /// True from a start to the next kill or stop; also when frozen.
    pub fn is_running(&self) -> bool {
        self.status() != Status::Down
    }

    /// A crash: its sockets close at once, unanswered requests stay so. Metadata and hints go on naming it until
    /// `broker.session.timeout.ms` (default 9000) has passed; only then the ISR shrinks and others lead.
    /// Returns when its connections are closed. Nothing happens if it is down.
    pub fn kill(&self) {
        if self.change(Status::Down).is_none() {
            return;
        }
        self.shared.faults.thaw(self.node_id);
        self.close();
        self.plan_end_of_session();
    }

    /// A controlled shutdown: another in-sync replica leads first (nobody, if there is none), then its sockets close. Requests that
    /// wait get an answer that names the new leader. Returns when its connections are closed. Nothing happens if it is down.
    ///
    /// # Errors
    /// [`BrokerError::Status`] if it is frozen: such a process does not hear that it shall end.
    pub fn stop(&self) -> Result<(), BrokerError> {
        match self.status() {
            Status::Down => return Ok(()),
            Status::Frozen => return Err(self.refused("frozen", "up")),
            Status::Up => {}
        }
        elections::withdraw(&mut self.shared.state(), self.node_id);
        std::thread::sleep(SHUTDOWN_GRACE);
        self.change(Status::Down);
        self.close();
        elections::settle(&mut self.shared.state());
        Ok(())
    }

    /// Starts it again on its ports and data. As on a real cluster an old session has to end first, here without waiting for it:
    /// what it led before a crash is led by others now. It joins the ISR, leads again only what nobody else could lead, and there has
    /// forgotten all but the last batch of each producer. Nothing happens if it runs.
    ///
    /// # Errors
    /// [`BrokerError::Start`] if its port was taken meanwhile.
    pub fn start(&self) -> Result<(), BrokerError> {
        if self.is_running() {
            return Ok(());
        }
        elections::withdraw(&mut self.shared.state(), self.node_id);
        server::open(self.shared, self.node_id).map_err(|source| BrokerError::Start {
            node_id: self.node_id,
            source,
        })?;
        let now_ms = self.shared.clock.now_ms();
        let expiration_ms = self
            .shared
            .number("producer.id.expiration.ms", PRODUCER_EXPIRATION_MS);
        let mut state = self.shared.state();
        if let Some(broker) = state.brokers.get_mut(&self.node_id) {
            broker.incarnation += 1;
        }
        for partition in elections::settle(&mut state) {
            let mut data = partition.lock();
            if data.leadership.leader == self.node_id {
                data.log.restart(now_ms, expiration_ms);
            }
        }
        Ok(())
    }

    /// [`Broker::stop`], then [`Broker::start`].
    ///
    /// # Errors
    /// As those two.
    pub fn restart(&self) -> Result<(), BrokerError> {
        self.stop()?;
        self.start()
    }

    /// Its sockets stay open and accept, and nothing is answered, as with a stopped process or a dead switch. As a follower it holds
    /// high watermarks: acks=all waits. After `broker.session.timeout.ms` it leaves every ISR and others lead.
    /// Nothing happens if it is frozen.
    ///
    /// # Errors
    /// [`BrokerError::Status`] if it is down.
    pub fn freeze(&self) -> Result<(), BrokerError> {
        self.expect(&[Status::Up, Status::Frozen], "running")?;
        if self.change(Status::Frozen).is_some() {
            self.shared.faults.freeze(self.node_id);
            elections::settle(&mut self.shared.state());
            self.plan_end_of_session();
        }
        Ok(())
    }

    /// Ends [`Broker::freeze`]: it answers what has piled up, is registered again and joins the ISR. Nothing happens if it is not
    /// frozen.
    ///
    /// # Errors
    /// [`BrokerError::Status`] if it is down.
    pub fn thaw(&self) -> Result<(), BrokerError> {
        self.expect(&[Status::Up, Status::Frozen], "running")?;
        if self.change(Status::Up).is_some() {
            {
                let mut state = self.shared.state();
                if !state.registered.contains(&self.node_id) {
                    state.registered.push(self.node_id);
                }
                elections::settle(&mut state);
            }
            self.shared.faults.thaw(self.node_id);
        }
        Ok(())
    }

    fn status(&self) -> Status {
        let state = self.shared.state();
        let broker = state.brokers.get(&self.node_id);
        broker.map_or(Status::Down, |broker| broker.status)
    }

    fn expect(&self, allowed: &[Status], wanted: &'static str) -> Result<(), BrokerError> {
        match self.status() {
            is if allowed.contains(&is) => Ok(()),
            Status::Up => Err(self.refused("up", wanted)),
            Status::Frozen => Err(self.refused("frozen", wanted)),
            Status::Down => Err(self.refused("down", wanted)),
        }
    }

    fn refused(&self, is: &'static str, wanted: &'static str) -> BrokerError {
        BrokerError::Status {
            node_id: self.node_id,
            is,
            wanted,
        }
    }

    /// The status before, if it was another one. What was planned for the old status is void.
    fn change(&self, to: Status) -> Option<Status> {
        let mut state = self.shared.state();
        let broker = state.brokers.get_mut(&self.node_id)?;
        let before = std::mem::replace(&mut broker.status, to);
        if before == to {
            return None;
        }
        broker.incarnation += 1;
        Some(before)
    }

    /// Closes its sockets; returns when they are closed.
    fn close(&self) {
        let listening = self.shared.listening().remove(&self.node_id);
        if let Some(listening) = listening {
            listening.close();
        }
        self.shared.sessions.forget(self.node_id);
        // A silent follower holds high watermarks from now on.
        elections::settle(&mut self.shared.state());
    }

    /// Gives the broker up once its session has ended, unless it was started, stopped or thawed before.
    fn plan_end_of_session(&self) {
        let clock = self.shared.clock.clone();
        let timeout_ms = self
            .shared
            .number("broker.session.timeout.ms", SESSION_TIMEOUT_MS);
        let end_ms = clock.now_ms().saturating_add(timeout_ms);
        let (node_id, incarnation) = (self.node_id, self.incarnation());
        let shared = Arc::downgrade(self.shared);
        self.shared.runtime().spawn(async move {
            clock.until(end_ms).await;
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut state = shared.state();
            let broker = state.brokers.get(&node_id);
            if broker.is_some_and(|broker| broker.incarnation == incarnation) {
                elections::withdraw(&mut state, node_id);
            }
        });
    }

    fn incarnation(&self) -> u64 {
        let state = self.shared.state();
        let broker = state.brokers.get(&self.node_id);
        broker.map_or(0, |broker| broker.incarnation)
    }
}

impl Shared {
    /// A server property that is a number, or Kafka's default.
    pub(crate) fn number(&self, key: &str, default: i64) -> i64 {
        let value = self.settings.properties.get(key);
        value
            .and_then(|value| value.trim().parse().ok())
            .unwrap_or(default)
    }
}

/// A partition, or which one is missing.
pub(crate) fn find(
    shared: &Shared,
    topic: &str,
    partition: i32,
) -> Result<(Arc<Topic>, Arc<Partition>), BrokerError> {
    let found = shared.state().partition(topic, partition);
    found.map_err(|_| BrokerError::UnknownPartition {
        topic: topic.to_owned(),
        partition,
    })
}

pub(crate) fn out_of_range(
    topic: &str,
    partition: i32,
    offset: i64,
    (start, end): (i64, i64),
) -> BrokerError {
    BrokerError::OutOfRange {
        topic: topic.to_owned(),
        partition,
        offset,
        start,
        end,
    }
}

fn not_replica(topic: &str, partition: i32, node_id: i32, wanted: &'static str) -> BrokerError {
    BrokerError::NotReplica {
        topic: topic.to_owned(),
        partition,
        node_id,
        wanted,
    }
}
