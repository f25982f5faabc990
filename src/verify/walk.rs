//! Two logs, laid side by side.
//!
//! Records are taken in pairs for as long as they are equal; whole batches where their bytes are. At a pair that is not, the
//! offset map says which of the two has no counterpart. Where it does not know, the nearest place at which both logs go on
//! alike is looked for, first near by, then as far as it takes.
//!
//! Bounds: two windows of [`WINDOW_RECORDS`] records or [`WINDOW_BYTES`], what is fetched for them, what is remembered to tell
//! doubled records and those out of order.

mod align;
mod known;
mod search;

use std::collections::HashMap;

use super::findings::{Findings, Kind, Place};
use super::progress::Watch;
use super::recent::Recent;
use super::side::Side;
use align::{are_alike, are_same, meeting};
use known::Counterpart;
pub(crate) use known::Known;

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
/// Records opened at a time where a log is read on to its end.
const SEARCH_RECORDS: usize = 1 << 10;

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

fn take(places: &mut HashMap<u64, Vec<Place>>, hash: u64) -> Option<Place> {
    let found = places.get_mut(&hash)?;
    let place = found.pop();
    if found.is_empty() {
        places.remove(&hash);
    }
    place
}
