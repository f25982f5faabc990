//! What a map forgets: the source's lost tail, what is below its log start, or everything.

use super::block::Block;
use super::translation::At;
use super::{MapStart, OffsetMap};

impl OffsetMap {
    /// The source lost its log from `end` on (an unclean election): what was copied of that is on the target and nowhere
    /// else. Runs are cut there, and [`upstream_end`](Self::upstream_end) goes back; the target's end does not.
    pub fn truncate_upstream(&mut self, end: i64) {
        let end = end.max(0);
        if end >= self.end.upstream {
            return;
        }
        self.end.upstream = end;
        if end < self.mapped_end().upstream
            && let Some(last) = self.last.take()
        {
            self.tail.push(last);
            self.seal();
            self.cut(end);
        }
        if let MapStart::From { upstream, .. } = &mut self.start
            && end < *upstream
        {
            *upstream = end;
            self.unknown = false;
            self.tail = Block::new(self.start.at());
        }
    }

    /// The target lost its log from `end` on, though it had acknowledged it (an unclean election): runs are cut there, and the
    /// records they spoke of are to be copied again. Returns the upstream offset to go on at; `None`: the map does not know
    /// what was lost, and nothing changed.
    pub fn truncate_downstream(&mut self, end: i64) -> Option<i64> {
        let end = end.max(0);
        if end >= self.end.downstream {
            return Some(self.end.upstream);
        }
        let upstream = if end >= self.mapped_end().downstream {
            self.end.upstream // nothing of ours
        } else {
            self.upstream(end).offset()?
        };
        self.truncate_upstream(upstream);
        self.end.downstream = end.max(self.mapped_end().downstream);
        self.touch();
        Some(upstream)
    }

    /// Takes the newest full block apart, to write on in it, without what is at or above `end`; blocks of which nothing is
    /// left are gone.
    pub(super) fn cut(&mut self, end: i64) {
        while let Some(block) = self.sealed.pop_back() {
            self.uncount(&block);
            if self.reopen(&block, end) {
                return;
            }
            let before = self
                .sealed
                .back()
                .map_or(self.start.at(), |block| block.end);
            // A block is missing before it, or the first entry that was cut had the end in its gap.
            self.unknown =
                block.base != before || block.base.upstream < end && block.begins_unknown();
            self.removed.push(block.base.upstream);
        }
        self.tail = Block::new(self.start.at());
    }

    /// Makes `block` the newest one, without what is at or above `end`. False: that is nothing.
    fn reopen(&mut self, block: &Block, end: i64) -> bool {
        self.tail = Block::new(block.base);
        for entry in block.entries() {
            if entry.at.upstream >= end {
                self.unknown = entry.unknown && entry.before.upstream < end;
                break;
            }
            let length = entry.length.min(end.abs_diff(entry.at.upstream));
            self.append(entry.at, length, entry.unknown);
            if length < entry.length {
                self.unknown = false;
                break;
            }
        }
        self.last.is_some()
    }

    /// The source's log starts at `log_start` now: whole blocks below it are forgotten, and the map starts behind them. The
    /// newest block stays.
    pub fn trim_upstream(&mut self, log_start: i64) {
        while let Some(oldest) = self.sealed.front()
            && oldest.end.upstream <= log_start
        {
            self.drop_oldest();
        }
    }

    pub(super) fn drop_oldest(&mut self) {
        if let Some(block) = self.sealed.pop_front() {
            self.uncount(&block);
            self.removed.push(block.base.upstream);
            let At {
                upstream,
                downstream,
            } = block.end;
            self.start = MapStart::From {
                upstream,
                downstream,
            };
        }
    }

    /// Forgets everything, for another incarnation of the topic or a map that has to be rebuilt. Unlike a new map this one
    /// still removes what is stored of the old one.
    pub fn restart(&mut self, start: MapStart) {
        let mut removed = std::mem::take(&mut self.removed);
        removed.extend(self.bases());
        *self = Self::new(start);
        self.removed = removed;
    }
}
