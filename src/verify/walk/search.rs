//! Logs that have come apart for longer than a window: reading on until they meet.

use std::collections::{HashMap, VecDeque};

use super::align::{meeting, positions};
use super::{SEARCH_RECORDS, WINDOW_BYTES, WINDOW_RECORDS, Walk};
use crate::verify::findings::{Kind, Place};
use crate::verify::side::{Entry, Side};

impl Walk<'_> {
    /// Nothing near by: reads on on both sides, in turns and ever further, until one has what the other's window holds.
    pub(super) async fn search(&mut self) -> anyhow::Result<()> {
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
