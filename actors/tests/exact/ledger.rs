//! What was written to a partition that is read from, by the answers to its writers.

use std::collections::{HashMap, HashSet};

/// A record, by its offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    pub(crate) offset: i64,
    /// Offset of its batch.
    pub(crate) base: i64,
    pub(crate) id: u64,
    /// Its transaction was aborted.
    pub(crate) aborted: bool,
}

/// One partition of the topic's present incarnation.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In order of offsets. What the cleaner or DeleteRecords took is still here.
    pub(crate) live: Vec<Written>,
    /// Lost by an election, or of an earlier incarnation: copies may be there.
    pub(crate) dead: HashSet<u64>,
    /// Where copies were that the target has deleted.
    pub(crate) expired: HashMap<u64, i64>,
    /// Their copies went with a remote topic that was deleted.
    pub(crate) gone: HashSet<u64>,
    /// Something was deleted here before its time.
    pub(crate) was_deleted: bool,
    /// Records of somebody else in the remote partition.
    pub(crate) foreign: HashSet<u64>,
    /// Behind the last marker: what is below is never cut, or a transaction would be open again.
    pub(crate) floor: i64,
    /// An election lost records of this incarnation.
    pub(crate) was_cut: bool,
    /// End of the log as the answers tell.
    pub(crate) end: i64,
}

impl Ledger {
    /// Where the log can be cut so that about `keep` stays: followers have whole batches.
    pub(crate) fn cut_near(&self, keep: i64) -> i64 {
        let at = self.live.partition_point(|written| written.offset < keep);
        self.live.get(at).map_or(keep, |first| first.base)
    }

    /// The source lost everything from `end` on.
    pub(crate) fn cut(&mut self, end: i64) {
        let at = self.live.partition_point(|written| written.offset < end);
        self.dead
            .extend(self.live.drain(at..).map(|written| written.id));
        self.end = self.end.min(end);
        self.was_cut = true;
    }

    /// The topic was created again.
    pub(crate) fn restart(&mut self) {
        self.cut(0);
        (self.floor, self.end, self.was_cut) = (0, 0, false);
    }
}
