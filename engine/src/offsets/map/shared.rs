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

    /// See [`OffsetMap::truncate_downstream`]. Writer only.
    pub fn truncate_downstream(&self, end: i64) -> Option<i64> {
        self.write(|map| map.truncate_downstream(end))
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
    use std::collections::BTreeMap;
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use uuid::Uuid;

    use super::super::{MapHead, MapKey, MapTable};
    use super::*;

    /// Runs of the writer, at least.
    const RUNS_MIN: u64 = 60_000;
    /// Looks of each reader and of the storing thread, at least.
    const LOOKS_MIN: [u64; 3] = [5_000, 5_000, 300];
    const DEADLINE: Duration = Duration::from_secs(60);

    /// Ends the other threads, also when the writer fails.
    struct Done(AtomicBool);

    struct Writing<'a>(&'a Done);

    impl Drop for Writing<'_> {
        fn drop(&mut self) {
            self.0.0.store(true, Ordering::Release);
        }
    }

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

    #[test]
    fn ends_are_of_one_moment_when_every_run_is_new() {
        let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
        let done = Done(AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.0.load(Ordering::Acquire) {
                    let (upstream, downstream) = shared.ends();
                    assert_eq!(upstream, downstream * 2);
                }
            });
            let _writing = Writing(&done);
            for run in 0..300_000 {
                let written = shared.acknowledged(run * 2 + 1, run, 1);
                written.expect("in order");
            }
        });
        assert_eq!(shared.ends(), (600_000, 300_000));
    }

    /// The writer skips every multiple of 101, so that every answer can be judged. Meanwhile two threads ask, and one stores
    /// what changed, with a write that fails now and then.
    #[test]
    fn readers_see_answers_that_grow_and_never_pass_the_end() {
        let shared = SharedMap::new(OffsetMap::new(MapStart::Complete));
        let (done, looks) = (
            Done(AtomicBool::new(false)),
            [const { AtomicU64::new(0) }; 3],
        );
        let mut stored = BTreeMap::new();
        std::thread::scope(|scope| {
            let (shared, done, looks) = (&shared, &done, &looks);
            for (seed, looked) in (1..).zip(&looks[..2]) {
                scope.spawn(move || read(shared, done, looked, seed));
            }
            let stored = &mut stored;
            scope.spawn(move || {
                while !done.0.load(Ordering::Acquire) {
                    let fails = looks[2].fetch_add(1, Ordering::Relaxed) % 3 == 0;
                    store(shared, stored, fails);
                    std::thread::yield_now();
                }
            });
            let _writing = Writing(done);
            let (mut upstream, start) = (0, Instant::now());
            for run in 0.. {
                if run >= RUNS_MIN {
                    if seen(looks) || start.elapsed() > DEADLINE {
                        break;
                    }
                    std::thread::yield_now();
                }
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
        });
        assert!(seen(&looks), "too few looks: {looks:?}");
        let (upstream, downstream) = shared.ends();
        let entries = shared.read(OffsetMap::entries);
        assert_eq!(i64::try_from(entries), Ok((upstream + 100) / 101));
        store(&shared, &mut stored, false);
        let mut table = MapTable::new();
        for (key, value) in &stored {
            table.apply(Some(key), Some(value)).expect("as written");
        }
        let loaded = table.take("orders", 0).expect("has a head");
        assert_eq!(loaded.lost, []);
        assert_eq!(loaded.map.downstream_end(), downstream);
        assert!(shared.read(|map| map.segments().eq(loaded.map.segments())));
    }

    fn seen(looks: &[AtomicU64; 3]) -> bool {
        let looks = looks.iter().map(|looks| looks.load(Ordering::Relaxed));
        looks.zip(LOOKS_MIN).all(|(looks, min)| looks >= min)
    }

    fn read(shared: &SharedMap, done: &Done, looks: &AtomicU64, seed: i64) {
        let (mut ends, mut asked) = ((0, 0), seed);
        while !done.0.load(Ordering::Acquire) {
            let now = shared.ends();
            assert!(now.0 >= ends.0 && now.1 >= ends.1, "{ends:?}, then {now:?}");
            assert_eq!(now.1, copy_of(now.0), "ends of one moment: {now:?}");
            ends = now;
            if ends.1 == 0 {
                continue;
            }
            asked = asked.wrapping_mul(48_271) % 2_147_483_647;
            // Half of the questions are near the end.
            let back = if asked % 2 == 0 { 300 } else { ends.0 };
            let upstream = (ends.0 + 100 - asked % (back + 100)).max(0);
            let answer = shared.translate(upstream).offset();
            let after = shared.ends();
            let answer = answer.expect("something is copied");
            assert!(
                answer <= after.1,
                "{upstream} is at {answer}, the end at {after:?}"
            );
            let next = shared.translate(upstream + 1).offset();
            assert!(next >= Some(answer), "{upstream} went back");
            if upstream < ends.0 {
                assert_eq!(answer, copy_of(upstream), "{upstream}");
            }
            looks.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn store(shared: &SharedMap, stored: &mut BTreeMap<Vec<u8>, Vec<u8>>, fails: bool) {
        let (records, extent) = shared.dirty_blocks();
        if fails {
            return shared.mark_dirty(&records);
        }
        let topic_id = Uuid::nil();
        for record in &records {
            let key = record.key("orders", 0).encode().expect("short");
            stored.insert(key, record.value(topic_id).expect("nothing is trimmed"));
        }
        let head = MapHead {
            topic_id,
            extent,
            remote_topic_id: Uuid::nil(),
            producer_id: -1,
            producer_epoch: -1,
            stored: extent.upstream_end,
            storing: extent.upstream_end,
            leader_epoch: 3,
            claimed: true,
        };
        let (topic, partition) = ("orders", 0);
        let key = MapKey::Head { topic, partition };
        stored.insert(key.encode().expect("short"), head.encode());
    }

    /// Copies below `upstream`: all but the multiples of 101.
    fn copy_of(upstream: i64) -> i64 {
        upstream - (upstream + 100) / 101
    }
}
