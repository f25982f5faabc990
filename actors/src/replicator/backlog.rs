//! What was fetched and is not sent yet.

use std::mem;

use engine::batch::RawBatch;
use engine::lane::raw::window::Outgoing;

use super::Replicator;

/// Something that waits for its turn to be sent. The order is the source's.
pub(super) enum Backlog {
    Ready(Outgoing),
    /// Nothing to send; the position moves past it when everything before it is acknowledged.
    Skip {
        upstream_last: i64,
        credit_bytes: usize,
    },
    /// To be rewritten; `job` is set while a pool thread has it.
    Rewrite {
        batch: RawBatch,
        from_offset: i64,
        job: Option<u64>,
    },
    /// Being joined by a pool thread.
    Merging {
        parts: Vec<Outgoing>,
        job: u64,
    },
}

impl Backlog {
    pub(super) fn credit_bytes(&self) -> usize {
        match self {
            Self::Ready(outgoing) => outgoing.credit_bytes,
            Self::Skip { credit_bytes, .. } => *credit_bytes,
            Self::Rewrite { batch, .. } => batch.header.total_bytes(),
            Self::Merging { parts, .. } => parts.iter().map(|part| part.credit_bytes).sum(),
        }
    }

    /// The job that a pool thread does for it.
    pub(super) fn job(&self) -> Option<u64> {
        match self {
            Self::Rewrite { job, .. } => *job,
            Self::Merging { job, .. } => Some(*job),
            Self::Ready(_) | Self::Skip { .. } => None,
        }
    }
}

impl Replicator {
    /// Throws away what was fetched and not sent; it is fetched again after a restart.
    pub(super) fn drop_backlog(&mut self) {
        self.rewrites_waiting = 0;
        for waiting in mem::take(&mut self.backlog) {
            self.credit.give_back(waiting.credit_bytes());
        }
    }
}
