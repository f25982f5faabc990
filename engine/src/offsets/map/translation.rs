//! Questions and answers: places in both logs, and what an offset of one is in the other.

/// What an offset of one log is in the other.
///
/// Answers never go down as the asked offset goes up, whatever their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use]
pub enum Translation {
    /// The first replicated record at or after the asked offset is here. If there is none yet this is the other log's end
    /// as far as the map knows it: never beyond what was replicated, never extrapolated.
    Exact(i64),
    /// Not known exactly. Reading from here reads everything, some of it perhaps twice.
    AtLeast(i64),
    /// No answer.
    Unknown(UnknownReason),
}

impl Translation {
    /// Where to read from, exact or not.
    pub fn offset(self) -> Option<i64> {
        match self {
            Self::Exact(offset) | Self::AtLeast(offset) => Some(offset),
            Self::Unknown(_) => None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnknownReason {
    /// No record of this source was copied so far.
    NothingReplicated,
    /// Somebody else copied what lies there, or the map no longer reaches that far back.
    BelowMap,
}

impl UnknownReason {
    /// For people, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NothingReplicated => "nothing replicated yet",
            Self::BelowMap => "below the offset map",
        }
    }
}

impl std::fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A place in both logs at once: what is below it here is what is below it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct At {
    pub(super) upstream: i64,
    pub(super) downstream: i64,
}

impl At {
    /// This place, moved up on both sides; `None` where an offset would not fit.
    pub(super) fn plus(self, upstream: u64, downstream: u64) -> Option<Self> {
        Some(Self {
            upstream: self.upstream.checked_add_unsigned(upstream)?,
            downstream: self.downstream.checked_add_unsigned(downstream)?,
        })
    }

    /// At or above `other` on both sides.
    pub(super) fn is_behind(self, other: Self) -> bool {
        self.upstream >= other.upstream && self.downstream >= other.downstream
    }

    /// Above `other` on both sides.
    pub(super) fn is_beyond(self, other: Self) -> bool {
        self.upstream > other.upstream && self.downstream > other.downstream
    }
}

/// The log in which a question is asked. The answer is for the other one, by the same rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Upstream,
    Downstream,
}

impl Side {
    #[inline]
    pub(super) fn asked(self, at: At) -> i64 {
        match self {
            Self::Upstream => at.upstream,
            Self::Downstream => at.downstream,
        }
    }

    #[inline]
    pub(super) fn answer(self, at: At) -> i64 {
        match self {
            Self::Upstream => at.downstream,
            Self::Downstream => at.upstream,
        }
    }
}
