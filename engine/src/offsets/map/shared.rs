//! One map, one writer, many readers.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{BlockRecord, MapError, MapExtent, MapStart, OffsetMap, Translation};

/// No run is open: the next one takes the lock.
const CLOSED: i64 = i64::MIN;
/// Looks at ends that are being changed, before a reader lets another thread run.
const SPINS_MAX: u32 = 64;

/// A map that a replicator writes and others read.
///
/// On a dense topic the writer takes no lock: while a run continues the last one, only an atomic moves. A discontinuity, or a
/// change of the ends without a run, takes a lock for the time of one entry, and so do readers for one question.
///
/// One writer at a time: [`acknowledged`](Self::acknowledged), [`settle`](Self::settle), [`mark_unknown`](Self::mark_unknown),
/// and what cuts or replaces the map are for the partition's replicator. Everybody may do the rest.
#[derive(Debug)]
pub struct SharedMap {
    /// Everything, but for what `open` is ahead of its last run.
    map: Mutex<OffsetMap>,
    /// Upstream end of the last run, while the map's ends are that run's; else [`CLOSED`].
    open: AtomicI64,
    /// Downstream minus upstream offset in the last run.
    delta: AtomicI64,
    /// The map's ends while no run is open.
    upstream_end: AtomicI64,
    downstream_end: AtomicI64,
    /// Odd while the fields above change, but for `open` alone.
    version: AtomicU64,
}

impl SharedMap {
    /// Shares `map`.
    pub fn new(map: OffsetMap) -> Self {
        let shared = Self {
            open: AtomicI64::new(CLOSED),
            delta: AtomicI64::new(0),
            upstream_end: AtomicI64::new(0),
            downstream_end: AtomicI64::new(0),
            version: AtomicU64::new(0),
            map: Mutex::new(OffsetMap::new(MapStart::Complete)),
        };
        shared.write(|held| *held = map);
        shared
    }

    /// See [`OffsetMap::push`]. Writer only.
    ///
    /// # Errors
    /// As [`OffsetMap::push`].
    pub fn acknowledged(
        &self,
        upstream: i64,
        downstream: i64,
        length: u64,
    ) -> Result<(), MapError> {
        if self.grow(upstream, downstream, length).is_some() {
            return Ok(());
        }
        self.write(|map| map.push(upstream, downstream, length))
    }

    /// Moves the open run's end, if these records begin there.
    fn grow(&self, upstream: i64, downstream: i64, length: u64) -> Option<()> {
        let end = upstream.checked_add_unsigned(length)?;
        downstream.checked_add_unsigned(length)?;
        let continues = length > 0
            && upstream >= 0
            && downstream.checked_sub(upstream)? == self.delta.load(Ordering::Acquire);
        let grown = continues
            && self
                .open
                .compare_exchange(upstream, end, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        grown.then_some(())
    }

    /// See [`OffsetMap::settle`]. Writer only. Takes no lock if nothing changes.
    pub fn settle(&self, upstream_end: i64, downstream_end: i64) {
        let (upstream, downstream) = self.ends();
        if upstream_end > upstream || downstream_end > downstream {
            self.write(|map| map.settle(upstream_end, downstream_end));
        }
    }

    /// See [`OffsetMap::mark_unknown`]. Writer only.
    pub fn mark_unknown(&self) {
        self.write(OffsetMap::mark_unknown);
    }

    /// See [`OffsetMap::truncate_upstream`]. Writer only.
    pub fn truncate_upstream(&self, end: i64) {
        self.write(|map| map.truncate_upstream(end));
    }

    /// See [`OffsetMap::restart`]. Writer only.
    pub fn restart(&self, start: MapStart) {
        self.write(|map| map.restart(start));
    }

    /// See [`OffsetMap::trim_upstream`].
    pub fn trim_upstream(&self, log_start: i64) {
        self.lock().trim_upstream(log_start);
    }

    /// What is to be stored, and what the head behind it says: see [`OffsetMap::dirty_blocks`] and [`OffsetMap::extent`].
    pub fn dirty_blocks(&self) -> (Vec<BlockRecord>, MapExtent) {
        let mut map = self.lock();
        (map.dirty_blocks(), map.extent())
    }

    /// See [`OffsetMap::mark_dirty`].
    pub fn mark_dirty(&self, records: &[BlockRecord]) {
        self.lock().mark_dirty(records);
    }

    /// The map's upstream and downstream end, of the same moment. Takes no lock.
    pub fn ends(&self) -> (i64, i64) {
        let mut spins = 0;
        loop {
            let version = self.version.load(Ordering::Acquire);
            let ends = match self.open.load(Ordering::Acquire) {
                CLOSED => (
                    self.upstream_end.load(Ordering::Acquire),
                    self.downstream_end.load(Ordering::Acquire),
                ),
                open => (open, open.wrapping_add(self.delta.load(Ordering::Acquire))),
            };
            // Acquire loads stay in order: had a writer come between, its version would be seen.
            if version & 1 == 0 && version == self.version.load(Ordering::Acquire) {
                return ends;
            }
            spins += 1;
            if spins % SPINS_MAX == 0 {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// See [`OffsetMap::downstream`].
    pub fn translate(&self, upstream: i64) -> Translation {
        self.read(|map| map.downstream(upstream))
    }

    /// See [`OffsetMap::upstream`].
    pub fn translate_back(&self, downstream: i64) -> Translation {
        self.read(|map| map.upstream(downstream))
    }

    /// Looks at the map as it is at this moment. The writer waits at its next discontinuity: be quick.
    pub fn read<T>(&self, look: impl FnOnce(&OffsetMap) -> T) -> T {
        look(&self.lock())
    }

    /// The map, up to date. An open run may grow on meanwhile; whoever holds the lock sees the end that it had.
    fn lock(&self) -> MutexGuard<'_, OffsetMap> {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.open.load(Ordering::Acquire);
        if open != CLOSED {
            map.extend_to(open);
        }
        map
    }

    /// Changes the map's last run or ends.
    fn write<T>(&self, change: impl FnOnce(&mut OffsetMap) -> T) -> T {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        // From here on nobody can grow the run without the lock.
        self.publish(|| {
            let open = self.open.swap(CLOSED, Ordering::AcqRel);
            if open != CLOSED {
                map.extend_to(open);
            }
            self.set_ends(&map);
        });
        let result = change(&mut map);
        self.publish(|| {
            self.set_ends(&map);
            if map.is_open() {
                let delta = map.downstream_end().wrapping_sub(map.upstream_end());
                self.delta.store(delta, Ordering::Release);
                self.open.store(map.upstream_end(), Ordering::Release);
            }
        });
        result
    }

    fn set_ends(&self, map: &OffsetMap) {
        self.upstream_end
            .store(map.upstream_end(), Ordering::Release);
        self.downstream_end
            .store(map.downstream_end(), Ordering::Release);
    }

    fn publish(&self, change: impl FnOnce()) {
        self.version.fetch_add(1, Ordering::AcqRel);
        change();
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// Runs of the writer.
    const RUNS: u64 = 60_000;

    #[test]
    fn an_open_run_grows_without_the_lock() {
        let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
        shared.acknowledged(0, 0, 10).expect("first");
        let held = shared.map.lock().expect("not poisoned");
        shared.acknowledged(10, 10, 5).expect("continues");
        shared.settle(15, 15);
        assert_eq!(shared.ends(), (15, 15));
        drop(held);
        assert_eq!(shared.translate(12), Translation::Exact(12));
        assert_eq!(shared.read(OffsetMap::entries), 1);
    }

    #[test]
    fn what_the_map_would_refuse_is_refused() {
        let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
        shared.acknowledged(0, 5, 10).expect("first");
        for (upstream, downstream, length) in [(10, 14, 1), (9, 14, 1), (10, 15, 0), (9, 15, 1)] {
            assert!(shared.acknowledged(upstream, downstream, length).is_err());
        }
        assert_eq!(shared.ends(), (10, 15));
        shared.acknowledged(10, 15, 1).expect("still open");
        assert!(
            shared.acknowledged(11, 16, 1 << 63).is_err(),
            "does not fit"
        );
        assert_eq!(shared.ends(), (11, 16));
    }

    #[test]
    fn what_was_settled_or_is_unknown_closes_the_run() {
        let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
        shared.acknowledged(0, 0, 10).expect("first");
        shared.settle(11, 10);
        assert!(shared.acknowledged(10, 10, 1).is_err(), "a marker is there");
        shared.acknowledged(11, 10, 1).expect("behind the marker");
        shared.mark_unknown();
        shared.acknowledged(15, 15, 1).expect("behind the gap");
        assert_eq!(shared.translate(13), Translation::AtLeast(11));
        assert_eq!(shared.read(OffsetMap::entries), 3);
    }

    /// The writer's record at `upstream` (never a multiple of 101) goes to `upstream - upstream / 101 - 1`: a marker before
    /// every 100 records. So every answer that a reader gets can be judged.
    #[test]
    fn readers_see_answers_that_grow_and_never_pass_the_end() {
        let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for seed in 1..3_i64 {
                let (shared, done) = (&shared, &done);
                scope.spawn(move || {
                    let (mut ends, mut asked) = ((0, 0), seed);
                    while !done.load(Ordering::Acquire) {
                        let now = shared.ends();
                        assert!(now.0 >= ends.0 && now.1 >= ends.1, "{ends:?} then {now:?}");
                        assert_eq!(now.1, copy_of(now.0), "ends of one moment: {now:?}");
                        ends = now;
                        asked = asked.wrapping_mul(48_271) % 2_147_483_647;
                        let upstream = asked % (ends.0 + 200);
                        let answer = shared.translate(upstream);
                        let after = shared.ends();
                        if ends.1 == 0 {
                            continue;
                        }
                        let answer = answer.offset().expect("something is copied");
                        let next = shared.translate(upstream + 1).offset();
                        assert!(next >= Some(answer), "{upstream} went back");
                        assert!(
                            answer <= after.1,
                            "{upstream} to {answer}, the end is {after:?}"
                        );
                        if upstream < ends.0 {
                            assert_eq!(answer, copy_of(upstream), "{upstream}");
                        }
                    }
                });
            }
            let mut upstream = 0;
            for run in 0..RUNS {
                if upstream % 101 == 0 {
                    shared.settle(upstream + 1, copy_of(upstream));
                    upstream += 1;
                }
                let left = 101 - upstream % 101;
                let length = left.min(1 + i64::try_from(run % 29).expect("small"));
                shared
                    .acknowledged(upstream, copy_of(upstream), length.unsigned_abs())
                    .expect("in order");
                upstream += length;
            }
            done.store(true, Ordering::Release);
        });
        let entries = shared.read(OffsetMap::entries);
        assert_eq!(
            entries,
            usize::try_from(shared.ends().0)
                .expect("small")
                .div_ceil(101)
        );
    }

    /// Copies below `upstream`: all but the multiples of 101.
    fn copy_of(upstream: i64) -> i64 {
        upstream - (upstream + 100) / 101
    }
}
