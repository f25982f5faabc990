//! Translation by offset syncs alone, as MM2 does it (`docs/spec/mm2.md` 5.2, 5.3). Pure: no I/O, no clock.
//!
//! For offsets that MM2 copied before we took over: our own map does not reach there.

use std::collections::HashMap;
use std::sync::Arc;

use super::OffsetSync;

/// Syncs that are kept of a partition. The 64th can be 2^63 older than the first.
const SYNCS_MAX: usize = 64;

/// A pair of offsets, with an identity: MM2 compares references.
#[derive(Debug, Clone, Copy)]
struct Sync {
    id: u64,
    upstream: i64,
    downstream: i64,
}

impl Sync {
    fn is(self, other: Self) -> bool {
        self.id == other.id
    }

    /// Invariant B: not too much older than `older` at a higher index, in Java's arithmetic.
    fn is_recent(self, older: Self, i: usize, j: usize) -> bool {
        let bound = (older.upstream)
            .wrapping_add(power(j))
            .wrapping_sub(power(i));
        self.is(older) || bound < 0 || self.upstream <= bound
    }

    /// Invariant C: far enough from `older`.
    fn is_separate(self, older: Self, i: usize) -> bool {
        let bound = (older.upstream).wrapping_add(power(i.saturating_sub(2)));
        self.is(older) || (bound >= 0 && self.upstream >= bound)
    }
}

/// Java's `1L << exponent`.
fn power(exponent: usize) -> i64 {
    1i64.wrapping_shl(u32::try_from(exponent).unwrap_or(u32::MAX))
}

/// MM2's answer for an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncTranslation {
    /// There is no sync of the partition.
    NoSync,
    /// It is older than every sync that is kept. MM2: -1.
    TooOld,
    /// Reading from here reads everything, and perhaps some records twice.
    At(i64),
}

/// The syncs of all partitions that matter. MM2: `OffsetSyncStore`.
#[derive(Debug)]
pub struct OffsetSyncStore {
    must_read_to_end: bool,
    read_to_end: bool,
    next_id: u64,
    partitions: HashMap<(Arc<str>, i32), [Sync; SYNCS_MAX]>,
}

impl OffsetSyncStore {
    /// An empty store. `must_read_to_end`: checkpoints of an earlier process are not known, so nothing older than the last sync of
    /// the initial read is translated: it might go back.
    pub fn new(must_read_to_end: bool) -> Self {
        Self {
            must_read_to_end,
            read_to_end: false,
            next_id: 0,
            partitions: HashMap::new(),
        }
    }

    /// The initial read is over.
    pub fn set_read_to_end(&mut self) {
        self.read_to_end = true;
    }

    /// Takes the next sync of the topic.
    pub fn apply(&mut self, sync: &OffsetSync) {
        let new = Sync {
            id: self.next_id,
            upstream: sync.upstream_offset.0,
            downstream: sync.downstream_offset.0,
        };
        self.next_id += 1;
        let clear = !self.read_to_end && self.must_read_to_end;
        let key = (Arc::from(sync.topic.as_str()), sync.partition);
        (self.partitions.entry(key))
            .and_modify(|syncs| {
                if clear
                    || syncs
                        .first()
                        .is_some_and(|last| new.upstream < last.upstream)
                {
                    *syncs = [new; SYNCS_MAX];
                } else {
                    *syncs = updated(syncs, new);
                }
            })
            .or_insert([new; SYNCS_MAX]);
    }

    /// Where a group that has committed `upstream` on the source goes on.
    pub fn translate(&self, topic: &str, partition: i32, upstream: i64) -> SyncTranslation {
        if !self.read_to_end {
            return SyncTranslation::NoSync;
        }
        let Some(syncs) = self.partitions.get(&(Arc::from(topic), partition)) else {
            return SyncTranslation::NoSync;
        };
        let at_or_before = syncs.iter().find(|sync| sync.upstream <= upstream);
        match at_or_before {
            None => SyncTranslation::TooOld,
            Some(sync) if sync.upstream == upstream => SyncTranslation::At(sync.downstream),
            // Never more: what lies between may have been dropped.
            Some(sync) => SyncTranslation::At(sync.downstream.saturating_add(1)),
        }
    }

    /// Upstream and downstream offset of the last sync of a partition.
    pub fn latest(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let syncs = self.partitions.get(&(Arc::from(topic), partition))?;
        syncs.first().map(|sync| (sync.upstream, sync.downstream))
    }

    #[cfg(test)]
    fn syncs(&self, topic: &str, partition: i32) -> Option<&[Sync; SYNCS_MAX]> {
        self.partitions.get(&(Arc::from(topic), partition))
    }
}

/// Inserts `new` at the front and pushes the others back, dropping as few as the invariants allow.
///
/// Indexes stay below 64: `k` by its loop, `read` because it goes up once at most beyond `k`.
fn updated(old: &[Sync; SYNCS_MAX], new: Sync) -> [Sync; SYNCS_MAX] {
    let mut syncs = *old;
    syncs[0] = new;
    let mut candidate = new;
    let mut read = 0;
    for k in 1..SYNCS_MAX {
        let p = k - 1;
        let before = syncs[p];
        loop {
            let value = old[read];
            let separate = before.is_separate(value, p);
            let separate_next = k == SYNCS_MAX - 1 || value.is_separate(syncs[k + 1], k);
            let duplicate = read < SYNCS_MAX - 1 && value.is(old[read + 1]);
            let promoted = before.is_recent(value, p, k) && separate && separate_next;
            if promoted {
                candidate = value;
            }
            let skip = duplicate || !separate;
            if promoted || skip {
                read += 1;
            }
            if !(read < k && skip) {
                break;
            }
        }
        if before.is_recent(syncs[k], p, k) {
            break;
        }
        syncs[k] = candidate;
    }
    syncs
}

#[cfg(test)]
mod tests {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};

    use super::super::{DownstreamOffset, UpstreamOffset};
    use super::*;

    const TOPIC: &str = "topic1";

    fn sync(upstream: i64, downstream: i64) -> OffsetSync {
        OffsetSync {
            topic: TOPIC.to_owned(),
            partition: 2,
            upstream_offset: UpstreamOffset(upstream),
            downstream_offset: DownstreamOffset(downstream),
        }
    }

    /// Takes a sync; returns how many distinct ones were dropped.
    fn apply(store: &mut OffsetSyncStore, upstream: i64, downstream: i64) -> usize {
        let before = distinct(store);
        store.apply(&sync(upstream, downstream));
        // Looks at all pairs: not after each of a million syncs.
        if store.next_id.is_multiple_of(31) {
            check(store);
        }
        let after = distinct(store);
        before.iter().filter(|old| !after.contains(old)).count()
    }

    /// Invariants B and C; several syncs of one upstream offset are let in, and count as one.
    fn check(store: &OffsetSyncStore) {
        let syncs = store.syncs(TOPIC, 2).unwrap();
        for (j, older) in syncs.iter().enumerate() {
            let newer = syncs[..j].iter().enumerate();
            for (i, newer) in newer.filter(|(_, newer)| newer.upstream != older.upstream) {
                assert!(newer.is_recent(*older, i, j), "B {i} {j} {syncs:?}");
                assert!(newer.is_separate(*older, i), "C {i} {j} {syncs:?}");
            }
        }
    }

    /// Identities, newest first.
    fn distinct(store: &OffsetSyncStore) -> Vec<u64> {
        let syncs = store.syncs(TOPIC, 2);
        let mut ids: Vec<_> = syncs.into_iter().flatten().map(|sync| sync.id).collect();
        ids.dedup();
        ids
    }

    fn upstreams(store: &OffsetSyncStore) -> Vec<i64> {
        let syncs = store.syncs(TOPIC, 2);
        let mut all: Vec<_> = (syncs.into_iter().flatten())
            .map(|sync| sync.upstream)
            .collect();
        all.dedup();
        all
    }

    fn translate(store: &OffsetSyncStore, upstream: i64) -> Option<i64> {
        match store.translate(TOPIC, 2, upstream) {
            SyncTranslation::NoSync => None,
            SyncTranslation::TooOld => Some(-1),
            SyncTranslation::At(offset) => Some(offset),
        }
    }

    /// The spec's "sparse(s, prev)".
    fn sparse(store: &OffsetSyncStore, at: i64, previous: i64) {
        let before = if previous == -1 { -1 } else { previous + 1 };
        let found = [at - 1, at, at + 1, at + 2].map(|offset| translate(store, offset));
        let expected = [before, at, at + 1, at + 1].map(Some);
        assert_eq!(found, expected, "at {at}");
    }

    fn ready() -> OffsetSyncStore {
        let mut store = OffsetSyncStore::new(false);
        store.set_read_to_end();
        store
    }

    #[test]
    fn os_01_offset_translation() {
        let mut store = ready();
        store.apply(&sync(100, 200));
        assert_eq!(translate(&store, 150), Some(201));
        store.apply(&sync(150, 251));
        assert_eq!(translate(&store, 150), Some(251));
        assert_eq!(translate(&store, 5), Some(-1));
        store.apply(&sync(200, 10));
        assert_eq!(translate(&store, 200), Some(10));
        store.apply(&sync(20, 20));
        assert_eq!(translate(&store, 20), Some(20));
    }

    #[test]
    fn os_02_no_translation_if_the_store_is_not_started() {
        let mut store = OffsetSyncStore::new(false);
        assert_eq!(translate(&store, 100), None);
        store.apply(&sync(100, 200));
        assert_eq!([0, 100, 200].map(|o| translate(&store, o)), [None; 3]);
        store.set_read_to_end();
        let found = [0, 100, 200].map(|o| translate(&store, o));
        assert_eq!(found, [Some(-1), Some(200), Some(201)]);
    }

    #[test]
    fn os_03_no_translation_without_a_sync() {
        assert_eq!(translate(&ready(), 0), None);
    }

    #[test]
    fn os_04_past_offset_translation() {
        let mut store = OffsetSyncStore::new(true);
        for offset in (0..=1_000).step_by(10) {
            store.apply(&sync(offset, offset));
        }
        store.set_read_to_end();
        sparse(&store, 1_000, -1);
        for offset in (1_010..=10_000).step_by(10) {
            apply(&mut store, offset, offset);
        }
        let kept = [
            1_000, 4_840, 6_760, 8_680, 9_160, 9_640, 9_880, 9_940, 9_970, 9_990, 10_000,
        ];
        rewind(&mut store, &kept);
    }

    #[test]
    fn os_05_past_offset_translation_without_having_to_read_to_the_end() {
        let mut store = OffsetSyncStore::new(false);
        for offset in (0..=1_000).step_by(10) {
            apply(&mut store, offset, offset);
        }
        store.set_read_to_end();
        assert_eq!(upstreams(&store), [1_000, 990, 960, 900, 840, 720, 480, 0]);
        sparse(&store, 480, 0);
        sparse(&store, 720, 480);
        sparse(&store, 1_000, 990);
        for offset in (1_000..=10_000).step_by(10) {
            apply(&mut store, offset, offset);
        }
        let kept = [
            0, 3_840, 7_680, 8_640, 9_120, 9_600, 9_840, 9_900, 9_960, 9_990, 10_000,
        ];
        rewind(&mut store, &kept);
    }

    fn rewind(store: &mut OffsetSyncStore, kept: &[i64]) {
        let reversed: Vec<_> = kept.iter().rev().copied().collect();
        assert_eq!(upstreams(store), reversed);
        for pair in kept.windows(2) {
            sparse(store, pair[1], pair[0]);
        }
        store.apply(&sync(1_500, 11_000));
        let found = [1_499, 1_500, 2_000].map(|offset| translate(store, offset));
        assert_eq!(found, [Some(-1), Some(11_000), Some(11_001)]);
    }

    #[test]
    fn check_values_of_the_spec() {
        let mut store = ready();
        for offset in 0..=100 {
            apply(&mut store, offset, offset);
        }
        assert_eq!(upstreams(&store), [100, 99, 98, 96, 88, 80, 64, 0]);
        let mut store = ready();
        for offset in (0..=10_000).step_by(100) {
            apply(&mut store, offset, offset);
        }
        let kept = [10_000, 9_900, 9_800, 9_600, 8_800, 8_000, 6_400, 0];
        assert_eq!(upstreams(&store), kept);
        let mut store = ready();
        for offset in 11..=17 {
            apply(&mut store, offset, offset);
        }
        assert_eq!(upstreams(&store), [17, 16, 15, 11]);
        let mut store = OffsetSyncStore::new(false);
        for offset in [175, 275, 375, 475] {
            apply(&mut store, offset, offset);
        }
        assert_eq!(upstreams(&store), [475, 375, 175]);
    }

    /// Feeds syncs with these gaps; none but the first `expired_max` of each may drop more.
    fn spaced(first: i64, expired_max: usize, gaps: impl Iterator<Item = i64>) {
        let mut store = ready();
        let mut at = first;
        apply(&mut store, at, at);
        for gap in gaps {
            at += gap;
            let expired = apply(&mut store, at, at);
            assert!(expired <= expired_max, "{expired} expired at {at}");
            let syncs = store.syncs(TOPIC, 2).unwrap();
            assert_eq!((syncs[0].upstream, syncs[63].upstream), (at, first));
        }
    }

    #[test]
    fn os_06_consistently_spaced_syncs() {
        let mut step = 1;
        while step <= i64::MAX / 100 {
            for first in 0..30 {
                spaced(first, 1, std::iter::repeat_n(step, 99));
            }
            step = step * 2 + 1;
        }
    }

    #[test]
    fn os_07_randomly_spaced_syncs() {
        let seed = rand::random();
        eprintln!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        for n in 1..=53 {
            for base in [0, 65_536] {
                let gaps: Vec<_> = (0..1_024)
                    .map(|_| base + random.random_range(0..1i64 << n))
                    .collect();
                spaced(0, n + 2, gaps.into_iter());
            }
        }
    }

    #[test]
    fn os_08_dropped_syncs_spacing() {
        let seed = rand::random();
        eprintln!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let gaps: Vec<_> = (0..10_000)
            .map(|_| 100 * random.random_range(1..=2))
            .collect();
        spaced(0, 2, gaps.into_iter());
    }
}
