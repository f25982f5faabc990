//! The group coordinator: classic groups, KIP-848 groups and committed offsets, as Kafka 4.3 keeps them.
//!
//! One map holds the groups of all brokers; which broker may serve a group is asked of the internal topic's partitions each time. When
//! the leader epoch of a group's partition has changed, the group is first cut back to what its log would say
//! ([`Group::reload`]): that is what another broker, or a restarted one, knows.

mod classic;
mod consumer;
mod group;
mod offsets;
mod settings;
mod table;

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;

use crate::api::coordinators::{OFFSETS_TOPIC, coordinated_here, coordinator_of};
use crate::cluster::{Shared, StartError};
use crate::server::Incoming;
use crate::settings::Settings;
use crate::state::Status;

pub(crate) use classic::{Classic, Joining, Synced};
pub(crate) use consumer::{Beat, Consumers, Described, Image, Refusal};
pub(crate) use group::{Committer, Group, Kind, Known};
pub(crate) use offsets::Committed;
pub(crate) use settings::GroupSettings;
pub(crate) use table::Table;

/// Groups whose broker does not serve are looked at again after this long.
const ABSENT_BROKER_PAUSE_MS: i64 = 200;

/// Now, and the rules.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) now_ms: i64,
    pub(crate) settings: &'a GroupSettings,
}

/// Who speaks: client id and `/address`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) id: StrBytes,
    pub(crate) host: StrBytes,
}

/// All groups of the cluster. Lock order: this, then the cluster's state, then a partition.
#[derive(Debug)]
pub(crate) struct Groups {
    settings: GroupSettings,
    table: Mutex<Table>,
    /// When [`run`] acts next.
    next_ms: AtomicI64,
    /// Tells [`run`] that something is due earlier.
    earlier: Notify,
}

impl Groups {
    /// No groups yet.
    ///
    /// # Errors
    /// [`StartError::Property`] on an impossible value of a property that concerns groups.
    pub(crate) fn new(settings: &Settings) -> Result<Self, StartError> {
        Ok(Self {
            settings: GroupSettings::read(&settings.properties)?,
            table: Mutex::default(),
            next_ms: AtomicI64::new(0),
            earlier: Notify::new(),
        })
    }

    pub(crate) fn settings(&self) -> &GroupSettings {
        &self.settings
    }

    /// Never held across an await.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works on the group `id` as its coordinator.
    ///
    /// # Errors
    /// NOT_COORDINATOR if another broker is.
    pub(crate) fn with<R>(
        &self,
        incoming: &Incoming,
        id: &StrBytes,
        work: impl FnOnce(&mut Table, &At<'_>) -> R,
    ) -> Result<R, ResponseError> {
        let coordinator = coordinated_here(incoming, OFFSETS_TOPIC, id)?;
        let at = At {
            now_ms: incoming.shared.clock.now_ms(),
            settings: &self.settings,
        };
        let mut table = self.table();
        table.load(id, coordinator.epoch, &at);
        let result = work(&mut table, &at);
        // It may be new.
        let deadline = table.load(id, coordinator.epoch, &at);
        let deadline = deadline.and_then(|group| group.deadline());
        if deadline.is_some_and(|deadline| deadline < self.next_ms.load(Ordering::Acquire)) {
            self.earlier.notify_one();
        }
        Ok(result)
    }

    /// Every group that the asked broker coordinates and whose log knows it.
    pub(crate) fn for_each_here(&self, incoming: &Incoming, mut visit: impl FnMut(&str, &Group)) {
        for (id, group) in self.table().all_shown() {
            if coordinated_here(incoming, OFFSETS_TOPIC, id).is_ok() {
                visit(id, group);
            }
        }
    }

    /// A transaction is over: its pending offsets count, or are forgotten. Called by the transaction coordinator where it writes
    /// the markers.
    pub(crate) fn complete_transaction(&self, producer_id: i64, commit: bool) {
        for group in self.table().values_mut() {
            group.offsets.complete(producer_id, commit);
        }
    }

    /// A topic was deleted: so are its offsets, in all groups.
    pub(crate) fn forget_topic(&self, name: &str) {
        for group in self.table().values_mut() {
            group.offsets.forget_topic(name);
        }
    }

    /// Does what is due in the groups whose coordinator serves. Gives the next moment at which something will be.
    fn tick(&self, shared: &Shared, expire_offsets: bool) -> i64 {
        let at = At {
            now_ms: shared.clock.now_ms(),
            settings: &self.settings,
        };
        let mut next = i64::MAX;
        let mut table = self.table();
        table.retain(|id, group| {
            let coordinator = coordinator_of(shared, OFFSETS_TOPIC, id).filter(|coordinator| {
                let state = shared.state();
                let broker = state.brokers.get(&coordinator.node_id);
                broker.is_some_and(|broker| broker.status == Status::Up)
            });
            let Some(coordinator) = coordinator else {
                next = next.min(at.now_ms.saturating_add(ABSENT_BROKER_PAUSE_MS));
                return true;
            };
            if !group.loaded_in(coordinator.epoch, &at) {
                return false;
            }
            group.expire(&at);
            if let Some(deadline) = group.deadline() {
                next = next.min(deadline);
            }
            !(expire_offsets && group.expire_offsets(&at))
        });
        // Published before the lock is released, so that no earlier deadline is missed.
        self.next_ms.store(next, Ordering::Release);
        next
    }
}

/// Drives the groups' timers for as long as the cluster lives.
pub(crate) async fn run(shared: Arc<Shared>) {
    let interval = shared.groups.settings.retention_check_interval_ms;
    let mut check_ms = shared.clock.now_ms().saturating_add(interval);
    loop {
        let check = shared.clock.now_ms() >= check_ms;
        if check {
            check_ms = shared.clock.now_ms().saturating_add(interval);
        }
        let next = shared.groups.tick(&shared, check);
        tokio::select! {
            () = shared.clock.until(next.min(check_ms)) => {}
            () = shared.groups.earlier.notified() => {}
        }
    }
}
