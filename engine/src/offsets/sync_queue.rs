//! When a pair of offsets goes to the offset-syncs topic (`docs/spec/mm2.md` 5.1). Pure: no I/O, no clock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{DownstreamOffset, OffsetSync, Segment, UpstreamOffset};

/// A source topic and partition.
type At = (Arc<str>, i32);
/// Upstream and downstream offset of one record.
type Pair = (i64, i64);

/// What was seen of one partition. MM2: `OffsetSyncWriter.PartitionState`.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    previous: Option<Pair>,
    last_sync_downstream: Option<i64>,
}

impl Seen {
    /// Looks at the last records of a partition, and says whether a sync is due at once. MM2 looks at each single record; this
    /// one at the last of `run`, whose records follow each other on both sides: so a gap is where the run does not reach
    /// back to what was seen before, and the rule is MM2's where every record is shown.
    fn see(&mut self, run: &Segment, lag_max: u64) -> bool {
        let (upstream, downstream) = last_of(run);
        let due = match (self.previous, self.last_sync_downstream) {
            (Some((up, down)), Some(synced)) => {
                let gap = run.upstream.0 > up.saturating_add(1);
                let lag = downstream.saturating_sub(synced.saturating_add(1));
                gap || upstream <= up
                    || downstream < down
                    || u64::try_from(lag).is_ok_and(|lag| lag >= lag_max)
            }
            _ => true,
        };
        if due {
            self.last_sync_downstream = Some(downstream);
        }
        self.previous = Some((upstream, downstream));
        due
    }
}

fn last_of(run: &Segment) -> Pair {
    let last = i64::try_from(run.length.saturating_sub(1)).unwrap_or(i64::MAX);
    (
        run.upstream.0.saturating_add(last),
        run.downstream.0.saturating_add(last),
    )
}

/// Offset syncs of one flow that are to be written. MM2: `OffsetSyncWriter`.
///
/// A sync that is due at once is *pending*; a newer pair for which none is due is *delayed*, until
/// [`promote_delayed`](Self::promote_delayed). Pending syncs leave in one batch, one batch at a time. One that could not be written
/// is pending again, unless there is a newer one (MM2: lost).
#[derive(Debug)]
pub struct SyncQueue {
    lag_max: u64,
    seen: HashMap<At, Seen>,
    pending: BTreeMap<At, Pair>,
    delayed: BTreeMap<At, Pair>,
    sending: Option<Vec<(At, Pair)>>,
}

impl SyncQueue {
    /// An empty queue. `lag_max`: MM2's `offset.lag.max`, in records of the target.
    pub fn new(lag_max: u64) -> Self {
        Self {
            lag_max,
            seen: HashMap::new(),
            pending: BTreeMap::new(),
            delayed: BTreeMap::new(),
            sending: None,
        }
    }

    /// `run` holds the last record of a partition that the target has acknowledged. MM2: `maybeQueueOffsetSyncs`.
    pub fn see(&mut self, topic: &Arc<str>, partition: i32, run: &Segment) {
        let at = (topic.clone(), partition);
        let pair = last_of(run);
        if self
            .seen
            .entry(at.clone())
            .or_default()
            .see(run, self.lag_max)
        {
            self.delayed.remove(&at);
            self.pending.insert(at, pair);
        } else {
            self.delayed.insert(at, pair);
        }
    }

    /// Everything that changed is due now. MM2: at each commit of its task, once in `offset.flush.interval.ms`.
    pub fn promote_delayed(&mut self) {
        self.pending.append(&mut self.delayed);
    }

    /// What is to be written now; none while the last batch is not [`answered`](Self::answered). MM2: `firePendingOffsetSyncs`.
    pub fn take(&mut self) -> Option<Vec<OffsetSync>> {
        if self.sending.is_some() || self.pending.is_empty() {
            return None;
        }
        let sending: Vec<_> = std::mem::take(&mut self.pending).into_iter().collect();
        let sync = |((topic, partition), (upstream, downstream)): &(At, Pair)| OffsetSync {
            topic: topic.to_string(),
            partition: *partition,
            upstream_offset: UpstreamOffset(*upstream),
            downstream_offset: DownstreamOffset(*downstream),
        };
        let syncs = sending.iter().map(sync).collect();
        self.sending = Some(sending);
        Some(syncs)
    }

    /// What was [taken](Self::take) is written, or it is not known to be.
    pub fn answered(&mut self, written: bool) {
        for (at, pair) in self.sending.take().unwrap_or_default() {
            if !written {
                self.pending.entry(at).or_insert(pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(upstream: i64, downstream: i64) -> Segment {
        run(upstream, downstream, 1)
    }

    fn run(upstream: i64, downstream: i64, length: u64) -> Segment {
        Segment {
            upstream: UpstreamOffset(upstream),
            downstream: DownstreamOffset(downstream),
            length,
        }
    }

    fn topic() -> Arc<str> {
        "topic".into()
    }

    fn pairs(syncs: Option<Vec<OffsetSync>>) -> Vec<Pair> {
        let pair = |sync: &OffsetSync| (sync.upstream_offset.0, sync.downstream_offset.0);
        syncs.iter().flatten().map(pair).collect()
    }

    fn key() -> At {
        (topic(), 0)
    }

    /// Shows records one by one, each answered before the next, as MM2's test does with its `reset`.
    fn syncs_of(lag_max: u64, records: &[(i64, i64, bool)]) {
        let mut seen = Seen::default();
        for (upstream, downstream, expected) in records {
            let due = seen.see(&record(*upstream, *downstream), lag_max);
            assert_eq!(due, *expected, "({upstream}, {downstream})");
        }
    }

    #[test]
    fn tk_02_offset_sync() {
        syncs_of(
            50,
            &[
                (0, 100, true),
                (2, 102, true),
                (3, 152, false),
                (4, 153, true),
                (5, 154, false),
                (6, 203, false),
                (7, 204, true),
                (2, 206, true),
                (3, 207, false),
                (4, 3, true),
                (5, 4, false),
            ],
        );
        // Without a reset, the flag stays up in MM2: here the sync stays pending until it is taken, with its newest pair.
        let mut queue = SyncQueue::new(50);
        queue.see(&topic(), 0, &record(5, 4));
        assert_eq!(pairs(queue.take()), [(5, 4)]);
        queue.answered(true);
        for (upstream, downstream) in [(7, 6), (7, 6), (8, 7), (10, 57)] {
            queue.see(&topic(), 0, &record(upstream, downstream));
            assert!(
                queue.pending.contains_key(&key()),
                "({upstream}, {downstream})"
            );
        }
        assert_eq!(pairs(queue.take()), [(10, 57)]);
        queue.answered(true);
        queue.see(&topic(), 0, &record(11, 58));
        assert_eq!(pairs(queue.take()), []);
    }

    #[test]
    fn tk_03_zero_offset_sync() {
        let records = [
            (0, 100),
            (2, 102),
            (3, 153),
            (4, 154),
            (5, 155),
            (6, 207),
            (2, 208),
            (3, 209),
            (4, 3),
            (5, 4),
            (7, 6),
            (7, 6),
            (8, 7),
            (10, 57),
            (11, 58),
        ];
        syncs_of(0, &records.map(|(up, down)| (up, down, true)));
    }

    #[test]
    fn tk_07_send_sync_event() {
        let mut queue = SyncQueue::new(100);
        queue.see(&topic(), 0, &record(0, 100));
        assert_eq!(pairs(queue.take()), [(0, 100)]);
        queue.answered(true);
        assert_eq!(pairs(queue.take()), [], "sent once");
        queue.promote_delayed();
        assert_eq!(pairs(queue.take()), [], "nothing was delayed");
    }

    #[test]
    fn ow_01_maybe_queue_offset_syncs() {
        let mut queue = SyncQueue::new(2);
        queue.see(&topic(), 0, &record(0, 1));
        assert_eq!(queue.pending.get(&key()), Some(&(0, 1)));
        assert!(queue.delayed.is_empty());
        queue.see(&topic(), 0, &record(1, 2));
        assert_eq!(queue.delayed.get(&key()), Some(&(1, 2)));
        let last = queue
            .seen
            .get(&key())
            .and_then(|seen| seen.last_sync_downstream);
        assert_eq!(last, Some(1));
    }

    #[test]
    fn ow_02_fire_pending_offset_syncs() {
        let mut queue = SyncQueue::new(1);
        queue.see(&topic(), 0, &record(0, 100));
        assert_eq!(pairs(queue.take()), [(0, 100)]);
        queue.see(&topic(), 0, &record(2, 102));
        assert!(queue.take().is_none(), "the first is not answered");
        let last = queue
            .seen
            .get(&key())
            .and_then(|seen| seen.last_sync_downstream);
        assert_eq!(last, Some(102));
        queue.answered(true);
        assert_eq!(pairs(queue.take()), [(2, 102)]);
    }

    #[test]
    fn ow_03_promote_delayed_offset_syncs() {
        let mut queue = SyncQueue::new(50);
        queue.see(&topic(), 0, &record(0, 100));
        assert_eq!(pairs(queue.take()), [(0, 100)]);
        queue.answered(true);
        queue.see(&topic(), 0, &record(1, 101));
        queue.promote_delayed();
        assert!(queue.delayed.is_empty());
        assert_eq!(pairs(queue.take()), [(1, 101)]);
    }

    #[test]
    fn a_run_that_goes_on_is_due_when_the_lag_is_reached() {
        let mut seen = Seen::default();
        assert!(seen.see(&run(0, 10, 1_000), 100));
        assert!(!seen.see(&run(0, 10, 1_100), 100), "1109 - 1010 < 100");
        assert!(seen.see(&run(0, 10, 1_101), 100));
        assert!(seen.see(&run(1_105, 1_111, 1), 100), "a gap");
        assert!(!seen.see(&run(1_106, 1_113, 1), 100), "only the target's");
        assert!(seen.see(&run(0, 10, 500), 100), "the source lost its tail");
    }

    #[test]
    fn what_could_not_be_written_is_pending_again_unless_there_is_a_newer_one() {
        let mut queue = SyncQueue::new(0);
        let other: Arc<str> = "other".into();
        queue.see(&topic(), 0, &record(0, 0));
        queue.see(&other, 0, &record(5, 5));
        assert_eq!(pairs(queue.take()), [(5, 5), (0, 0)]);
        queue.see(&topic(), 0, &record(1, 1));
        queue.answered(false);
        assert_eq!(pairs(queue.take()), [(5, 5), (1, 1)]);
    }
}
