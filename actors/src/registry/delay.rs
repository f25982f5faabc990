//! Delays as MM2 shows them: the last, and mean, least and greatest of a window (docs/spec/mm2.md 8.1).

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Length of one of the two samples that make a window, Kafka's default of `metrics.sample.window.ms`.
const SAMPLE: Duration = Duration::from_secs(30);

/// Delays since somebody last took them. Unit: milliseconds.
#[derive(Debug, Default)]
pub struct Delay {
    last: AtomicI64,
    count: AtomicU64,
    sum: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
}

/// Delays over a window of time. Unit: milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DelayWindow {
    /// The last one; it stays when the window begins anew.
    pub last: i64,
    /// How many are in the window; without any the figures below say nothing.
    pub count: u64,
    /// Of all of them.
    pub sum: i64,
    /// The shortest.
    pub min: i64,
    /// The longest.
    pub max: i64,
}

/// Delays that are noted seldom, by one writer: their window, the last 30 to 60 seconds, moves on by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delays {
    current: DelayWindow,
    before: DelayWindow,
    /// When `current` began. Unit: epoch milliseconds.
    began_ms: i64,
}

// === impl Delay ===

impl Delay {
    /// Notes one. Unit: milliseconds.
    pub fn record(&self, delay_ms: i64) {
        self.last.store(delay_ms, Relaxed);
        self.sum.fetch_add(delay_ms, Relaxed);
        if self.count.fetch_add(1, Relaxed) == 0 {
            self.min.store(delay_ms, Relaxed);
            self.max.store(delay_ms, Relaxed);
        } else {
            self.min.fetch_min(delay_ms, Relaxed);
            self.max.fetch_max(delay_ms, Relaxed);
        }
    }

    /// What was noted since the last [`Self::take`].
    pub fn read(&self) -> DelayWindow {
        DelayWindow {
            last: self.last.load(Relaxed),
            count: self.count.load(Relaxed),
            sum: self.sum.load(Relaxed),
            min: self.min.load(Relaxed),
            max: self.max.load(Relaxed),
        }
    }

    /// What was noted since the last call; the window begins anew. What comes meanwhile may be counted in either.
    pub fn take(&self) -> DelayWindow {
        let taken = self.read();
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        taken
    }
}

// === impl DelayWindow ===

impl DelayWindow {
    /// Both windows as one; `self` is the newer one.
    #[must_use]
    pub fn with(self, older: Self) -> Self {
        if self.count == 0 || older.count == 0 {
            let seen = if self.count == 0 { older } else { self };
            return Self {
                last: self.last,
                ..seen
            };
        }
        Self {
            last: self.last,
            count: self.count + older.count,
            sum: self.sum.saturating_add(older.sum),
            min: self.min.min(older.min),
            max: self.max.max(older.max),
        }
    }

    /// The mean; none of an empty window.
    pub fn mean(&self) -> Option<i64> {
        self.sum.checked_div(i64::try_from(self.count).ok()?)
    }

    fn add(&mut self, delay_ms: i64) {
        let one = Self {
            last: delay_ms,
            count: 1,
            sum: delay_ms,
            min: delay_ms,
            max: delay_ms,
        };
        *self = one.with(*self);
    }
}

// === impl Delays ===

impl Delays {
    /// Notes one at this time. Unit of both: milliseconds, since the epoch.
    pub(crate) fn record(&mut self, delay_ms: i64, now_ms: i64) {
        let window = self.moved_to(now_ms);
        *self = window;
        self.current.add(delay_ms);
    }

    /// The window at this time. Unit: epoch milliseconds. None if there never was one.
    pub fn at(&self, now_ms: i64) -> Option<DelayWindow> {
        let ever = self.began_ms != 0;
        let moved = self.moved_to(now_ms);
        ever.then(|| moved.current.with(moved.before))
    }

    fn moved_to(self, now_ms: i64) -> Self {
        let sample = i64::try_from(SAMPLE.as_millis()).unwrap_or(i64::MAX);
        let age = now_ms.saturating_sub(self.began_ms);
        if age < sample {
            return self;
        }
        let empty = DelayWindow {
            last: self.current.last,
            ..DelayWindow::default()
        };
        Self {
            current: empty,
            before: if age < sample.saturating_mul(2) {
                self.current
            } else {
                empty
            },
            began_ms: now_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_moves_on_by_itself_and_keeps_the_last() {
        let mut delays = Delays::default();
        assert_eq!(delays.at(5), None);
        let start = 1_700_000_000_000;
        delays.record(10, start);
        delays.record(30, start + 1_000);
        let seen = |delays: &Delays, seconds: i64| {
            let window = delays.at(start + seconds * 1_000).unwrap_or_default();
            (window.last, window.mean(), window.min, window.max)
        };
        assert_eq!(seen(&delays, 2), (30, Some(20), 10, 30));
        delays.record(50, start + 31_000);
        assert_eq!(seen(&delays, 32), (50, Some(30), 10, 50), "two samples");
        assert_eq!(seen(&delays, 62), (50, Some(50), 50, 50));
        let (last, mean, ..) = seen(&delays, 200);
        assert_eq!((last, mean), (50, None), "an empty window");
    }
}
