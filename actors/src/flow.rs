//! What all actors of one flow share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use engine::batch::TargetRules;
use engine::cluster::Cluster;
use engine::lane::raw::credit::Budget;
use tokio::sync::Semaphore;
use topology::FlowConfig;

use crate::kill_switch::KillSwitch;
use crate::lease::Lease;
use crate::offset_maps::OffsetMaps;
use crate::positions::Positions;
use crate::reencode_pool::ReencodePool;
use crate::registry::Registry;

/// One flow: its configuration, its two clusters and what its actors share. Read-only but for the caches.
#[derive(Debug)]
pub struct Flow {
    /// `a->b`, the label of logs, metrics and the registry.
    pub label: Arc<str>,
    /// The configuration.
    pub config: FlowConfig,
    /// Read from.
    pub source: Arc<Cluster>,
    /// Written to.
    pub target: Arc<Cluster>,
    /// Where every partition's state is kept.
    pub registry: Registry,
    /// Fetched bytes that may be on their way, shared by all flows of the process.
    pub budget: Arc<Budget>,
    /// Threads that rewrite batches, shared by all flows of the process.
    pub reencoders: ReencodePool,
    /// What each remote topic's brokers accept; refreshed when a broker says otherwise.
    pub rules: DashMap<Arc<str>, TargetRules>,
    /// Partitions with more than one batch waiting for a slot of their window.
    pub waiting: AtomicUsize,
    /// Fires when the flow is to stop taking in and to finish what is on its way.
    pub drain: KillSwitch,
    /// Where each partition's safe position is stored.
    pub positions: Positions,
    /// Where each record's copy is.
    pub maps: OffsetMaps,
    /// Who may store both.
    pub lease: Lease,
    /// Lanes that are taken over at once.
    pub claims: Semaphore,
    /// It was said that lanes cannot be fenced.
    pub unfenced_said: AtomicBool,
    /// What keeps the whole flow from getting on, for people; none while it is well.
    pub trouble: Mutex<Option<String>>,
}

/// Lanes of one flow that are taken over at once: enough to keep a coordinator busy.
pub(crate) const CLAIMS_MAX: usize = 64;

impl Flow {
    /// Says once that a sleeping predecessor of a lane is kept out only from our first batch on.
    pub(crate) fn say_unfenced(&self, transactional_id: &str) {
        if !self.unfenced_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                flow = %self.label, transactional_id,
                "no transactional ids on the target (allow WRITE and DESCRIBE on ids that begin with crosscurrent-): what a \
                 paused process writes when it wakes may come twice"
            );
        }
    }

    /// Publishes what keeps the whole flow from getting on.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        let mut shown = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *shown != trouble {
            match &trouble {
                // One trouble has many wordings: two brokers in turn, reset here and refused there.
                Some(reason) if shown.is_some() => {
                    tracing::debug!(flow = %self.label, %reason, "still waiting");
                }
                Some(reason) => tracing::warn!(flow = %self.label, %reason, "waiting"),
                None => tracing::info!(flow = %self.label, "well again"),
            }
            *shown = trouble;
        }
    }

    /// What keeps the whole flow from getting on.
    pub fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
