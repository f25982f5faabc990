//! What all actors of one flow share.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use engine::batch::TargetRules;
use engine::cluster::{Cluster, FenceError};
use engine::lane::raw::credit::Budget;
use tokio::sync::Semaphore;
use topology::FlowConfig;

use crate::checkpoints::Groups;
use crate::control::Control;
use crate::kill_switch::KillSwitch;
use crate::lease::Lease;
use crate::offset_maps::OffsetMaps;
use crate::offset_syncs::OffsetSyncs;
use crate::positions::Positions;
use crate::reencode_pool::ReencodePool;
use crate::registry::Registry;

/// One flow: its configuration, its two clusters and what its actors share. Read-only but for the caches.
#[derive(Debug)]
pub struct Flow {
    /// `a->b`, the label of logs, metrics and the registry; `a->b:NAME` if a flow of another source connector has that already.
    /// Nothing is stored under it.
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
    /// What an operator wants of it.
    pub control: Control,
    /// Where each partition's safe position is stored.
    pub positions: Positions,
    /// Where each record's copy is; shared by the flows of one pair of clusters.
    pub maps: Arc<OffsetMaps>,
    /// What is written of it for MM2's readers.
    pub syncs: OffsetSyncs,
    /// What becomes of consumer groups.
    pub groups: Groups,
    /// The flow that copies the other way, if it runs in this process.
    pub(crate) reverse: RwLock<Weak<Flow>>,
    /// Who may store positions, maps and what follows from them; shared as the maps are.
    pub lease: Arc<Lease>,
    /// Lanes that are taken over at once.
    pub claims: Semaphore,
    /// Lanes cannot be fenced, as was found out then.
    pub unfenced: Mutex<Option<Instant>>,
    /// What keeps the whole flow from getting on, for people; none while it is well.
    pub trouble: Mutex<Option<String>>,
}

/// Lanes of one flow that are taken over at once: enough to keep a coordinator busy.
pub(crate) const CLAIMS_MAX: usize = 64;
/// After this time it is tried again whether lanes can be fenced.
const UNFENCED_AGE_MAX: Duration = Duration::from_secs(60);

impl Flow {
    /// The flow that copies the other way, if it runs in this process.
    pub(crate) fn reverse(&self) -> Option<Arc<Self>> {
        let reverse = self.reverse.read().unwrap_or_else(PoisonError::into_inner);
        reverse.upgrade()
    }

    pub(crate) fn set_reverse(&self, flow: Option<&Arc<Self>>) {
        let mut reverse = self.reverse.write().unwrap_or_else(PoisonError::into_inner);
        *reverse = flow.map(Arc::downgrade).unwrap_or_default();
    }

    /// Everything that was fetched is acknowledged.
    pub(crate) fn is_drained(&self) -> bool {
        let mut drained = true;
        self.registry.for_each(|status| {
            drained &= status.key().flow != self.label || status.is_drained();
        });
        drained
    }

    /// It was found out not long ago that lanes cannot be fenced.
    pub(crate) fn is_unfenced(&self) -> bool {
        let since = self.unfenced.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| since.elapsed() < UNFENCED_AGE_MAX)
    }

    /// Notes that lanes cannot be fenced; says once that a sleeping predecessor is kept out only from our first batch on.
    pub(crate) fn note_unfenced(&self, transactional_id: &str, error: &FenceError) {
        let mut since = self.unfenced.lock().unwrap_or_else(PoisonError::into_inner);
        if since.replace(Instant::now()).is_none() {
            tracing::warn!(
                flow = %self.label, transactional_id, %error,
                "no transactional ids on the target (for ids that begin with crosscurrent-, WRITE and DESCRIBE are needed): run no \
                 second process of this flow, and what a paused one writes when it wakes may come twice"
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
