use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::log::Log;

/// One partition: its log and who leads it, behind one lock, and whoever waits for news of it.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    data: Mutex<PartitionData>,
    waiting: Mutex<Vec<Arc<Notify>>>,
}

/// What the lock of a partition protects.
#[derive(Debug)]
pub(crate) struct PartitionData {
    pub(crate) log: Log,
    pub(crate) leadership: Leadership,
}

/// Who serves a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leadership {
    /// -1: nobody.
    pub(crate) leader: i32,
    pub(crate) epoch: i32,
    /// In order of preference.
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    /// Eligible leaders outside of the ISR (KIP-966): left it when it was at its minimum, hence have all that was acknowledged.
    pub(crate) elr: Vec<i32>,
}

impl Partition {
    /// A new partition, led by the first of `replicas`, in epoch 0.
    pub(crate) fn new(index: i32, replicas: Vec<i32>) -> Self {
        let leader = replicas.first().copied().unwrap_or(-1);
        let leadership = Leadership {
            leader,
            epoch: 0,
            isr: replicas.clone(),
            elr: Vec::new(),
            replicas,
        };
        let mut log = Log::new();
        log.begin_epoch(0);
        Self {
            index,
            data: Mutex::new(PartitionData { log, leadership }),
            waiting: Mutex::default(),
        }
    }

    /// Never held across an await; see the lock order in the crate's documentation.
    pub(crate) fn lock(&self) -> MutexGuard<'_, PartitionData> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `notify` told of the next change: an append, another leader, the end of the topic. Once.
    pub(crate) fn watch(&self, notify: &Arc<Notify>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|other| Arc::ptr_eq(other, notify)) {
            waiting.push(Arc::clone(notify));
        }
    }

    /// Tells everybody who watches.
    pub(crate) fn wake(&self) {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for notify in waiting {
            notify.notify_one();
        }
    }
}
