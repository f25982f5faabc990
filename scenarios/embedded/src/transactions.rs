//! The transaction coordinator: who owns a transactional id, which partitions its transaction has, and how it ends.
//!
//! - [`transaction`]: the state of one transactional id, pure. [`limits`]: the server properties.
//! - [`markers`]: control batches into the partitions. [`timers`]: timeouts and expiry.
//!
//! One registry serves all brokers; who may answer for an id is asked before (`coordinators::coordinated_here`). A broker keeps the
//! same in `__transaction_state`, where the next coordinator reads it, so nothing is lost when a broker dies. Lock order: this
//! registry, then state, then a partition.
//!
//! Known differences from a broker: no records are written to `__transaction_state`; markers are in the logs before EndTxn is
//! answered, unless a partition has no leader or [`Transactions::hold_markers`]; Produce v12 and above answers
//! CONCURRENT_TRANSACTIONS (51) at once where a broker first waits up to 0.1 s; a tool sees WriteTxnMarkers v1 only.

mod limits;
mod markers;
mod timers;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kafka_protocol::error::ResponseError;

use crate::api::coordinators::{TRANSACTIONS_TOPIC, coordinator_of};
use crate::cluster::Shared;

pub(crate) use limits::{Limits, TransactionVersion};
pub(crate) use markers::write as write_marker;
pub(crate) use timers::run;
pub(crate) use transaction::{Phase, Producer, Style, TopicPartition, Transaction};

/// The transactional ids of a cluster, and the producer ids it has given out.
#[derive(Debug)]
pub(crate) struct Transactions {
    limits: Limits,
    registry: Mutex<Registry>,
    next_producer_id: AtomicI64,
}

#[derive(Debug, Default)]
struct Registry {
    by_id: BTreeMap<String, Transaction>,
    /// Markers are not written for now.
    held: bool,
}

/// Whose transaction a request is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) transactional_id: &'a str,
    pub(crate) producer: Producer,
}

impl Transactions {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            registry: Mutex::default(),
            next_producer_id: AtomicI64::new(0),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A producer id that nobody has.
    pub(crate) fn new_producer_id(&self) -> i64 {
        self.next_producer_id.fetch_add(1, Ordering::Relaxed)
    }

    /// What can be said of an InitProducerId without knowing the id.
    ///
    /// # Errors
    /// INVALID_REQUEST (42) for an empty id, INVALID_TRANSACTION_TIMEOUT (50).
    pub(crate) fn check_initialize(
        &self,
        transactional_id: &str,
        timeout_ms: i32,
    ) -> Result<(), ResponseError> {
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout_ms <= 0 || i64::from(timeout_ms) > self.limits.timeout_max_ms {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        Ok(())
    }

    /// InitProducerId with a transactional id, after [`Self::check_initialize`]. `expected`: who asks believes to be its owner.
    ///
    /// # Errors
    /// As [`Transaction::initialize`].
    pub(crate) fn initialize(
        &self,
        shared: &Shared,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<Producer>,
    ) -> Result<Producer, ResponseError> {
        let now_ms = shared.clock.now_ms();
        let mut registry = self.registry();
        let new = || Transaction::new(self.new_producer_id(), timeout_ms, now_ms);
        registry
            .by_id
            .entry(transactional_id.to_owned())
            .or_insert_with(new);
        registry.settle(shared, transactional_id);
        let transaction = registry
            .by_id
            .get_mut(transactional_id)
            .ok_or(ResponseError::UnknownServerError)?;
        let version = self.limits.version;
        let result = transaction.initialize(expected, timeout_ms, now_ms, version, || {
            self.new_producer_id()
        });
        registry.settle(shared, transactional_id); // an open transaction was aborted
        result
    }

    /// Adds partitions to the owner's transaction, and opens it if it is not.
    ///
    /// # Errors
    /// INVALID_REQUEST (42) for an empty id, INVALID_PRODUCER_ID_MAPPING (49) for an unknown one, and as [`Transaction::add`].
    pub(crate) fn add(
        &self,
        shared: &Shared,
        owner: Owner<'_>,
        partitions: &BTreeSet<TopicPartition>,
        style: Style,
    ) -> Result<(), ResponseError> {
        let now_ms = shared.clock.now_ms();
        self.with(shared, owner, |transaction| {
            transaction.add(
                owner.producer,
                partitions,
                style,
                now_ms,
                self.limits.version,
            )
        })
    }

    /// Whether each of `partitions` is part of the owner's open transaction.
    ///
    /// # Errors
    /// As [`Self::add`]. By partition: TRANSACTION_ABORTABLE (120) if it is not.
    pub(crate) fn verify(
        &self,
        shared: &Shared,
        owner: Owner<'_>,
        partition: &TopicPartition,
    ) -> Result<(), ResponseError> {
        self.with(shared, owner, |transaction| {
            transaction.verify(owner.producer, partition)
        })
    }

    /// EndTxn. The markers are written when this returns, unless a partition has no leader or they are held.
    ///
    /// # Errors
    /// As [`Self::add`], and as [`Transaction::end`].
    pub(crate) fn end(
        &self,
        shared: &Shared,
        owner: Owner<'_>,
        commit: bool,
        style: Style,
    ) -> Result<Producer, ResponseError> {
        let now_ms = shared.clock.now_ms();
        self.with(shared, owner, |transaction| {
            let new_id = || self.new_producer_id();
            let version = self.limits.version;
            transaction.end(owner.producer, commit, style, now_ms, version, new_id)
        })
    }

    fn with<R>(
        &self,
        shared: &Shared,
        owner: Owner<'_>,
        work: impl FnOnce(&mut Transaction) -> Result<R, ResponseError>,
    ) -> Result<R, ResponseError> {
        if owner.transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let mut registry = self.registry();
        // What could not be written before may be possible now.
        registry.settle(shared, owner.transactional_id);
        let transaction = registry
            .by_id
            .get_mut(owner.transactional_id)
            .ok_or(ResponseError::InvalidProducerIdMapping)?;
        let result = work(transaction);
        registry.settle(shared, owner.transactional_id);
        result
    }

    /// A copy of one id's state.
    pub(crate) fn find(&self, transactional_id: &str) -> Option<Transaction> {
        self.registry().by_id.get(transactional_id).cloned()
    }

    /// Copies of all ids' states, by id.
    pub(crate) fn all(&self) -> Vec<(String, Transaction)> {
        let registry = self.registry();
        let rows = registry.by_id.iter();
        rows.map(|(id, transaction)| (id.clone(), transaction.clone()))
            .collect()
    }

    /// While held, transactions stay in PrepareCommit or PrepareAbort and their owners get CONCURRENT_TRANSACTIONS (51), as while a
    /// broker's markers are on their way. Afterwards everything that waits is written, on the cluster's own thread, so that no
    /// marker comes between a Produce request's verification and its append.
    pub(crate) fn hold_markers(shared: &Arc<Shared>, hold: bool) {
        shared.transactions.registry().held = hold;
        if !hold {
            let shared_then = Arc::clone(shared);
            shared
                .runtime()
                .spawn(async move { shared_then.transactions.settle_all(&shared_then) });
        }
    }

    /// Writes every marker that waits and can be written: call it when partitions have got leaders.
    pub(crate) fn settle_all(&self, shared: &Shared) {
        let mut registry = self.registry();
        let ending = |(id, transaction): (&String, &Transaction)| {
            transaction.ending().is_some().then(|| id.clone())
        };
        let ids: Vec<String> = registry.by_id.iter().filter_map(ending).collect();
        for id in ids {
            registry.settle(shared, &id);
        }
    }

    /// Aborts what has been open for longer than its timeout.
    pub(crate) fn abort_timed_out(&self, shared: &Shared) {
        let now_ms = shared.clock.now_ms();
        let mut registry = self.registry();
        let ids: Vec<String> = registry.by_id.keys().cloned().collect();
        for id in ids {
            // Without a coordinator there is nobody to do it.
            let served = coordinator_of(shared, TRANSACTIONS_TOPIC, &id).is_some();
            let transaction = registry.by_id.get_mut(&id).filter(|_| served);
            if transaction.is_some_and(|found| found.time_out(now_ms, self.limits.version)) {
                registry.settle(shared, &id);
            }
        }
    }

    /// Forgets the transactional ids that nobody has used for `transactional.id.expiration.ms`.
    pub(crate) fn expire(&self, shared: &Shared) {
        let now_ms = shared.clock.now_ms();
        let expiration_ms = self.limits.id_expiration_ms;
        let mut registry = self.registry();
        registry
            .by_id
            .retain(|_, transaction| !transaction.is_expired(now_ms, expiration_ms));
    }
}

impl Registry {
    /// Writes the markers of an ending transaction and completes it, as far as that is possible now.
    fn settle(&mut self, shared: &Shared, transactional_id: &str) {
        let held = self.held;
        let Some(transaction) = self.by_id.get_mut(transactional_id) else {
            return;
        };
        let Some((producer, commit)) = transaction.ending() else {
            return;
        };
        let Some(coordinator) = coordinator_of(shared, TRANSACTIONS_TOPIC, transactional_id) else {
            return;
        };
        let now_ms = shared.clock.now_ms();
        transaction.mark(now_ms, |partition| {
            !held && markers::written(shared, partition, producer, commit, coordinator.epoch)
        });
    }
}
