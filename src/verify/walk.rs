//! Two logs, laid side by side.
//!
//! Records are taken in pairs for as long as they are equal; whole batches where their bytes are. At a pair that is not, the
//! offset map says which of the two has no counterpart. Where it does not know, the nearest place at which both logs go on
//! alike is looked for, first near by, then as far as it takes.
//!
//! Bounds: two windows of [`WINDOW_RECORDS`] records or [`WINDOW_BYTES`], what is fetched for them, what is remembered to tell
//! doubled records and those out of order.

use std::collections::{HashMap, VecDeque};

use engine::batch::{RawBatch, TimestampType};
use engine::offsets::{OffsetMap, Translation};

use super::findings::{Findings, Kind, Place};
use super::progress::Watch;
use super::recent::Recent;
use super::side::{Entry, Side};

/// Records of each side in which the place is looked for at which both go on alike, before a whole log is searched.
const WINDOW_RECORDS: usize = 1 << 16;
/// The same in bytes; one larger batch may be in it.
const WINDOW_BYTES: usize = 16 << 20;
/// The first window, and by how much the next is larger.
const WINDOW_FIRST: usize = 64;
const WINDOW_GROWTH: usize = 4;
/// How far is looked when the two records are alike in part: most likely one is a changed copy of the other.
const WINDOW_ALIKE: usize = 1 << 10;
/// So many changed copies in a row, and the next ones are taken for changed without looking.
const STREAK_MAX: u32 = 64;
/// Records opened at a time while a whole log is searched.
const SEARCH_RECORDS: usize = 1 << 10;

/// What is known beside the logs.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) map: Option<&'a OffsetMap>,
    /// Source offsets below it are said to be copied, or left out on purpose.
    pub(crate) settled: i64,
    /// Holes are no differences.
    pub(crate) source_compacted: bool,
    pub(crate) target_compacted: bool,
}

/// Where the other side's record is, by the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counterpart {
    At(i64),
    None,
    Unknown,
}

impl Known<'_> {
    fn copy_of(&self, upstream: i64) -> Counterpart {
        let Some(map) = self.map.filter(|map| upstream < map.upstream_end()) else {
            return Counterpart::Unknown;
        };
        match map.downstream(upstream) {
            Translation::Exact(at) if map.upstream(at) == Translation::Exact(upstream) => {
                Counterpart::At(at)
            }
            Translation::Exact(_) => Counterpart::None,
            _ => Counterpart::Unknown,
        }
    }

    fn original_of(&self, downstream: i64) -> Counterpart {
        let Some(map) = self.map.filter(|map| downstream < map.downstream_end()) else {
            return Counterpart::Unknown;
        };
        match map.upstream(downstream) {
            Translation::Exact(at) if map.downstream(at) == Translation::Exact(downstream) => {
                Counterpart::At(at)
            }
            Translation::Exact(_) => Counterpart::None,
            _ => Counterpart::Unknown,
        }
    }
}

/// A comparison that is under way.
pub(crate) struct Walk<'a> {
    source: Side<'a>,
    target: Side<'a>,
    known: Known<'a>,
    pub(crate) findings: Findings,
    /// Behind the last pair.
    next: Place,
    /// Until the next pair: what one side has in front of the other's first record was deleted there, by retention.
    pub(crate) source_begins_later: bool,
    pub(crate) target_begins_later: bool,
    recent: Recent,
    /// Records of one side only, so far: should the other have them elsewhere, they are out of order.
    missing: HashMap<u64, Vec<Place>>,
    extra: HashMap<u64, Vec<Place>>,
    unplaced: usize,
    pairs_since_unplaced: u64,
    changed_in_a_row: u32,
    timed: Option<bool>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(source: Side<'a>, target: Side<'a>, known: Known<'a>) -> Self {
        let next = Place {
            source: source.start(),
            target: target.start(),
        };
        Self {
            source,
            target,
            known,
            findings: Findings::default(),
            next,
            source_begins_later: false,
            target_begins_later: false,
            recent: Recent::default(),
            missing: HashMap::new(),
            extra: HashMap::new(),
            unplaced: 0,
            pairs_since_unplaced: 0,
            changed_in_a_row: 0,
            timed: None,
        }
    }

    /// To the end. `watch` hears of the findings so far.
    ///
    /// # Errors
    /// A log cannot be read, or is damaged; or `watch` has ended it.
    pub(crate) async fn run(&mut self, watch: &mut Watch<'_>) -> anyhow::Result<()> {
        loop {
            let (source, target) = tokio::join!(self.source.fetch(), self.target.fetch());
            self.source_begins_later |= std::mem::take(&mut self.source.overtaken);
            self.target_begins_later |= std::mem::take(&mut self.target.overtaken);
            match (source?, target?) {
                (true, true) => {}
                (true, false) => break self.rest_of_source().await?,
                (false, true) => break self.rest_of_target().await?,
                (false, false) => break,
            }
            let mut paired = self.pair_batches();
            if !paired {
                self.source.open(1, WINDOW_BYTES).await?;
                self.target.open(1, WINDOW_BYTES).await?;
                paired = self.pair_records();
            }
            let differs = !self.source.window().is_empty() && !self.target.window().is_empty();
            let resumable = paired && self.unplaced == 0;
            self.findings.bytes += std::mem::take(&mut self.source.bytes);
            watch.tick(&self.findings, self.next, resumable)?;
            if differs && !paired {
                self.mismatch().await?;
            }
        }
        self.place_all();
        self.findings.bytes += std::mem::take(&mut self.source.bytes);
        Ok(())
    }

    /// Takes the next batches of both sides if they are the same, byte by byte.
    fn pair_batches(&mut self) -> bool {
        let same = match (self.source.whole_batch(), self.target.whole_batch()) {
            (Some(source), Some(target)) => are_same(source, target),
            _ => false,
        };
        if !same {
            return false;
        }
        let (Some(source), Some(target)) = (self.source.pop_batch(), self.target.pop_batch())
        else {
            return false;
        };
        let records = u64::from(source.header.count().unsigned_abs());
        self.findings.equal += records;
        self.findings.equal_in_bulk += records;
        self.paired(
            records,
            source.header.next_offset(),
            target.header.next_offset(),
        );
        self.recent.push_batch(target);
        true
    }

    /// Takes records of both sides while they are the same. True if there were any.
    fn pair_records(&mut self) -> bool {
        let mut records = 0;
        while let (Some(source), Some(target)) =
            (self.source.window().front(), self.target.window().front())
        {
            if !source.equals(target) {
                break;
            }
            let (Some(source), Some(target)) = (self.source.pop(), self.target.pop()) else {
                break;
            };
            records += 1;
            self.paired(1, source.offset + 1, target.offset + 1);
            self.recent.push_entry(target);
        }
        self.findings.equal += records;
        records > 0
    }

    fn paired(&mut self, records: u64, source: i64, target: i64) {
        self.next = Place { source, target };
        self.source_begins_later = false;
        self.target_begins_later = false;
        self.changed_in_a_row = 0;
        self.pairs_since_unplaced += records;
        if self.unplaced > 0 && self.pairs_since_unplaced > WINDOW_RECORDS as u64 {
            self.place_all();
        }
    }

    /// Both sides have a record, and not the same.
    async fn mismatch(&mut self) -> anyhow::Result<()> {
        let (Some(source), Some(target)) =
            (self.source.window().front(), self.target.window().front())
        else {
            return Ok(());
        };
        let (upstream, downstream) = (source.offset, target.offset);
        let copy = self.known.copy_of(upstream);
        let original = self.known.original_of(downstream);
        match (copy, original) {
            (Counterpart::At(at), _) if at == downstream => self.changed(),
            (Counterpart::At(at), _) if at < downstream => {
                let hole = self.known.target_compacted;
                self.skip_source(hole);
            }
            (_, Counterpart::At(at)) if at < upstream => {
                let hole = self.known.source_compacted;
                self.skip_target(hole);
            }
            (Counterpart::None, _) => self.skip_source(false),
            (Counterpart::At(_), Counterpart::None) => self.skip_target(false),
            _ => return self.align().await,
        }
        Ok(())
    }

    /// Goes to the nearest place at which both sides go on alike.
    async fn align(&mut self) -> anyhow::Result<()> {
        let fronts = self
            .source
            .window()
            .front()
            .zip(self.target.window().front());
        let alike = fronts.is_some_and(|(source, target)| are_alike(source, target));
        if alike && self.changed_in_a_row >= STREAK_MAX {
            self.changed();
            return Ok(());
        }
        let limit = if alike { WINDOW_ALIKE } else { WINDOW_RECORDS };
        let timed = self.is_timed();
        let mut count = WINDOW_FIRST;
        let complete = loop {
            let more_source = self.source.open(count, WINDOW_BYTES).await?;
            let more_target = self.target.open(count, WINDOW_BYTES).await?;
            let (sources, targets) = (self.source.window(), self.target.window());
            if let Some((source, target)) = meeting(sources, targets, count, timed) {
                self.skip_to(source, target);
                return Ok(());
            }
            let longest = sources.len().max(targets.len());
            let complete = !more_source && !more_target && longest <= count;
            if complete || longest < count || count >= limit {
                break complete;
            }
            count *= WINDOW_GROWTH;
        };
        if alike {
            self.changed();
        } else if complete {
            // What is left of the source may be lag.
            while !self.target.window().is_empty() {
                self.skip_target(false);
            }
        } else {
            self.search().await?;
        }
        Ok(())
    }

    /// Nothing near by: reads on on both sides, in turns and ever further, until one has what the other's window holds.
    async fn search(&mut self) -> anyhow::Result<()> {
        let timed = self.is_timed();
        let (sources, targets) = (self.source.window(), self.target.window());
        if let Some((source, target)) = meeting(sources, targets, usize::MAX, timed) {
            self.skip_to(source, target);
            return Ok(());
        }
        let sources = positions(self.source.window(), timed);
        let targets = positions(self.target.window(), timed);
        let mut source = Search::of(&self.source);
        let mut target = Search::of(&self.target);
        let mut budget = WINDOW_RECORDS;
        loop {
            let recent = &mut self.recent;
            let doubled = |hash| recent.contains(hash, timed);
            if let Some((window, at)) = target
                .find(budget, timed, &sources, self.source.window(), doubled)
                .await?
            {
                for _ in 0..window {
                    self.skip_source(false);
                }
                self.leave_target(&target, at);
                return Ok(());
            }
            if let Some((window, at)) = source
                .find(budget, timed, &targets, self.target.window(), |_| false)
                .await?
            {
                for _ in 0..window {
                    self.skip_target(false);
                }
                self.leave_source(&source, at);
                return Ok(());
            }
            if source.ended && target.ended {
                // Nothing in common any more. What is left of the source may be lag.
                let end = self.target.end();
                self.leave_target(&target, end);
                return Ok(());
            }
            budget = budget.saturating_mul(2);
        }
    }

    /// Everything of the target up to `at` is not the source's.
    fn leave_target(&mut self, passed: &Search<'_>, at: i64) {
        while !self.target.window().is_empty() {
            self.skip_target(false);
        }
        if self.source_begins_later {
            self.findings.below_target += passed.passed;
        } else {
            let place = Place {
                source: self.next.source,
                target: passed.from,
            };
            let extra = passed.passed - passed.doubled;
            self.findings
                .note_many(Kind::Doubled, passed.doubled, place);
            self.findings.note_many(Kind::Extra, extra, place);
        }
        self.target.jump(at);
    }

    /// Everything of the source up to `at` is not on the target.
    fn leave_source(&mut self, passed: &Search<'_>, at: i64) {
        while !self.source.window().is_empty() {
            self.skip_source(false);
        }
        if self.target_begins_later {
            self.findings.below_source += passed.passed;
        } else {
            let place = Place {
                source: passed.from,
                target: self.next.target,
            };
            self.findings.note_many(Kind::Missing, passed.passed, place);
        }
        self.source.jump(at);
    }

    /// So many records of each window have no counterpart, and behind them both go on alike.
    fn skip_to(&mut self, source: usize, target: usize) {
        if source == target {
            for _ in 0..source {
                let fronts = self
                    .source
                    .window()
                    .front()
                    .zip(self.target.window().front());
                if fronts.is_some_and(|(source, target)| are_alike(source, target)) {
                    self.changed();
                } else {
                    self.skip_source(false);
                    self.skip_target(false);
                }
            }
            return;
        }
        // Offsets that the other side has skipped.
        let hole = |side: &Side<'_>, index: usize, next: i64| {
            let offset = side.window().get(index).map_or(next, |entry| entry.offset);
            usize::try_from(offset - next)
                .unwrap_or(0)
                .saturating_sub(index)
        };
        let source_hole = hole(&self.source, source, self.next.source);
        let target_hole = hole(&self.target, target, self.next.target);
        for index in 0..source {
            self.skip_source(self.known.target_compacted && index < target_hole);
        }
        for index in 0..target {
            self.skip_target(self.known.source_compacted && index < source_hole);
        }
    }

    /// The next record of the source has no copy. `compacted`: the target has a hole for it.
    fn skip_source(&mut self, compacted: bool) {
        let Some(entry) = self.source.pop() else {
            return;
        };
        if self.target_begins_later {
            self.findings.below_source += 1;
            return;
        }
        if compacted {
            self.findings.compacted_target += 1;
            return;
        }
        let hash = entry.hash(self.is_timed());
        let place = Place {
            source: entry.offset,
            target: self.next.target,
        };
        match take(&mut self.extra, hash) {
            Some(elsewhere) => {
                self.unplaced -= 1;
                let target = elsewhere.target;
                self.findings
                    .note(Kind::OutOfOrder, Place { target, ..place });
            }
            None => {
                self.missing.entry(hash).or_default().push(place);
                self.has_unplaced();
            }
        }
    }

    /// The next record of the target has no original. `compacted`: the source has a hole for it.
    fn skip_target(&mut self, compacted: bool) {
        let Some(entry) = self.target.pop() else {
            return;
        };
        if self.source_begins_later {
            self.findings.below_target += 1;
            return;
        }
        let timed = self.is_timed();
        let hash = entry.hash(timed);
        let place = Place {
            source: self.next.source,
            target: entry.offset,
        };
        if let Some(elsewhere) = take(&mut self.missing, hash) {
            self.unplaced -= 1;
            let source = elsewhere.source;
            self.findings
                .note(Kind::OutOfOrder, Place { source, ..place });
        } else if self.recent.contains(hash, timed) {
            self.findings.note(Kind::Doubled, place);
        } else if compacted {
            self.findings.compacted_source += 1;
        } else {
            self.extra.entry(hash).or_default().push(place);
            self.has_unplaced();
        }
    }

    fn has_unplaced(&mut self) {
        self.unplaced += 1;
        self.pairs_since_unplaced = 0;
        if self.unplaced > WINDOW_RECORDS {
            self.place_all();
        }
    }

    /// What one side only has had until now stays so.
    fn place_all(&mut self) {
        for (kind, unplaced) in [
            (Kind::Missing, &mut self.missing),
            (Kind::Extra, &mut self.extra),
        ] {
            for place in unplaced.drain().flat_map(|(_, places)| places) {
                self.findings.note(kind, place);
            }
        }
        self.unplaced = 0;
    }

    /// The next record of the target is a changed copy of the source's.
    fn changed(&mut self) {
        let (Some(source), Some(target)) = (self.source.pop(), self.target.pop()) else {
            return;
        };
        let place = Place {
            source: source.offset,
            target: target.offset,
        };
        let in_a_row = self.changed_in_a_row;
        self.paired(1, source.offset + 1, target.offset + 1);
        self.changed_in_a_row = in_a_row + 1;
        let differs = source.view(|mine| {
            target.view(|theirs| {
                let headers = mine.headers().eq(theirs.headers());
                [
                    (Kind::Key, mine.key != theirs.key),
                    (Kind::Value, mine.value != theirs.value),
                    (Kind::Headers, !headers),
                    (Kind::Timestamp, !source.has_time_of(&target)),
                ]
            })
        });
        for (kind, differs) in differs.flatten().into_iter().flatten() {
            if differs {
                self.findings.note(kind, place);
            }
        }
    }

    /// The target has ended.
    async fn rest_of_source(&mut self) -> anyhow::Result<()> {
        loop {
            let more = self.source.open(SEARCH_RECORDS, WINDOW_BYTES).await?;
            while let Some(offset) = self.source.window().front().map(|entry| entry.offset) {
                if offset >= self.known.settled {
                    self.findings.lag = self.source.end().abs_diff(offset);
                    return Ok(());
                }
                let hole = match self.known.copy_of(offset) {
                    Counterpart::At(at) => at < self.target.end(),
                    _ => self.known.map.is_none(),
                };
                self.skip_source(hole && self.known.target_compacted);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// The source has ended.
    async fn rest_of_target(&mut self) -> anyhow::Result<()> {
        loop {
            let more = self.target.open(SEARCH_RECORDS, WINDOW_BYTES).await?;
            while let Some(offset) = self.target.window().front().map(|entry| entry.offset) {
                let hole = match self.known.original_of(offset) {
                    Counterpart::At(at) => at < self.source.end(),
                    Counterpart::None => false,
                    Counterpart::Unknown => self.next.source < self.source.end(),
                };
                self.skip_target(hole && self.known.source_compacted);
            }
            if !more {
                return Ok(());
            }
        }
    }

    /// Whether timestamps tell records apart: not where the target's log gives its own.
    fn is_timed(&mut self) -> bool {
        let first = self.target.window().front();
        *self
            .timed
            .get_or_insert_with(|| first.is_none_or(|entry| entry.timestamp_ms.is_some()))
    }
}

/// A way ahead on one side.
struct Search<'a> {
    ahead: Side<'a>,
    /// The first offset that is looked at.
    from: i64,
    /// Records that were passed over, and how many of them are copies of what was paired before.
    passed: u64,
    doubled: u64,
    ended: bool,
}

impl<'a> Search<'a> {
    fn of(side: &Side<'a>) -> Self {
        let ahead = side.ahead();
        Self {
            from: ahead.start(),
            ahead,
            passed: 0,
            doubled: 0,
            ended: false,
        }
    }

    /// Reads on for `budget` records, for one that is in the other side's `window`: its index there, and where it is here.
    async fn find(
        &mut self,
        budget: usize,
        timed: bool,
        positions: &HashMap<u64, usize>,
        window: &VecDeque<Entry>,
        mut doubled: impl FnMut(u64) -> bool,
    ) -> anyhow::Result<Option<(usize, i64)>> {
        let mut read = 0;
        while read < budget && !self.ended {
            let more = self.ahead.open(SEARCH_RECORDS, WINDOW_BYTES).await?;
            while let Some(entry) = self.ahead.pop() {
                read += 1;
                let hash = entry.hash(timed);
                let found = positions.get(&hash);
                let found = found.filter(|at| window.get(**at).is_some_and(|it| it.equals(&entry)));
                if let Some(at) = found {
                    return Ok(Some((*at, entry.offset)));
                }
                self.passed += 1;
                self.doubled += u64::from(doubled(hash));
            }
            self.ended = !more;
        }
        Ok(None)
    }
}

/// Where in a window a record is, by its hash; the first of equal ones.
fn positions<'e>(entries: impl IntoIterator<Item = &'e Entry>, timed: bool) -> HashMap<u64, usize> {
    let mut positions = HashMap::new();
    for (at, entry) in entries.into_iter().enumerate() {
        positions.entry(entry.hash(timed)).or_insert(at);
    }
    positions
}

/// The nearest indices, of the first `count`, at which both sides have the same record. One that is there more than once on a
/// side, as content without a key may be, counts only where the next one is the same, too, as long as there is a better one.
fn meeting(
    source: &VecDeque<Entry>,
    target: &VecDeque<Entry>,
    count: usize,
    timed: bool,
) -> Option<(usize, usize)> {
    let hashes: Vec<u64> = target
        .iter()
        .take(count)
        .map(|entry| entry.hash(timed))
        .collect();
    let mut repeated = HashMap::new();
    let sources = source.iter().take(count).map(|entry| entry.hash(timed));
    let mut first = HashMap::new();
    for (at, hash) in sources.enumerate() {
        first.entry(hash).or_insert(at);
        *repeated.entry(hash).or_insert(0) += 1;
    }
    for hash in &hashes {
        *repeated.entry(*hash).or_insert(0) += 1;
    }
    let (mut sure, mut likely): (Option<(usize, usize)>, Option<(usize, usize)>) = (None, None);
    for (at, (entry, hash)) in target.iter().zip(&hashes).enumerate() {
        if sure.is_some_and(|(source, target)| at >= source + target) {
            break;
        }
        let Some(&found) = first.get(hash) else {
            continue;
        };
        if !source.get(found).is_some_and(|it| it.equals(entry)) {
            continue;
        }
        let goes_on = match (source.get(found + 1), target.get(at + 1)) {
            (Some(source), Some(target)) => source.equals(target),
            _ => true,
        };
        let is_only = repeated.get(hash) == Some(&2);
        let best = if goes_on || is_only {
            &mut sure
        } else {
            &mut likely
        };
        if best.is_none_or(|(source, target)| found + at < source + target) {
            *best = Some((found, at));
        }
    }
    sure.or(likely)
}

/// One may be a changed copy of the other.
fn are_alike(source: &Entry, target: &Entry) -> bool {
    if source.has_fields_of(target) {
        return true;
    }
    let same_time = source.timestamp_ms.is_some() && source.timestamp_ms == target.timestamp_ms;
    let parts = source.view(|mine| {
        target.view(|theirs| {
            let key = mine.key.is_some() && mine.key == theirs.key;
            let value =
                mine.value.is_some_and(|value| !value.is_empty()) && mine.value == theirs.value;
            key || value
        })
    });
    same_time || parts.flatten() == Some(true)
}

/// The batches have the same records, without a look at them.
fn are_same(source: &RawBatch, target: &RawBatch) -> bool {
    let (mine, theirs) = (&source.header, &target.header);
    let own_time =
        [mine, theirs].map(|header| header.timestamp_type() == TimestampType::CreateTime);
    own_time == [true, true]
        && mine.count() == theirs.count()
        && mine.is_dense()
        && theirs.is_dense()
        && mine.base_timestamp_ms() == theirs.base_timestamp_ms()
        && mine.codec().ok() == theirs.codec().ok()
        && mine.codec().is_ok()
        && source.body == target.body
}

fn take(places: &mut HashMap<u64, Vec<Place>>, hash: u64) -> Option<Place> {
    let found = places.get_mut(&hash)?;
    let place = found.pop();
    if found.is_empty() {
        places.remove(&hash);
    }
    place
}
