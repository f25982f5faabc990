//! An offset on the other side: for the commands and for REST the same words.

use actors::NotSynced;
use engine::offsets::Translation;
use serde::Serialize;
use utoipa::ToSchema;

/// An offset on the other side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What was read so far on the one side is what is below it on the other.
    Exact(i64),
    /// Reading from here reads everything, some of it perhaps twice; and why it is not exact.
    AtLeast(i64, String),
    /// There is none, and why in words.
    Unknown(NotSynced, String),
}

/// The same, for JSON.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AnswerView {
    /// Where to read from; null if it is unknown.
    offset: Option<i64>,
    /// `exact`; `at least`: reading from there reads everything, some of it perhaps twice; or `unknown`.
    kind: &'static str,
    /// Why it is not exact.
    reason: Option<String>,
}

impl Answer {
    /// What a map has answered. `beyond`: by how much the asked offset is beyond what it knows of. `log_start`: where the other
    /// log begins, nobody can read below; 0 where that is not asked for.
    pub(crate) fn of(translated: Translation, beyond: i64, log_start: i64) -> Self {
        match translated {
            Translation::Exact(at) if beyond > 0 => {
                let reason = format!("the last {beyond} offsets were not copied yet");
                Self::AtLeast(at.max(log_start), reason)
            }
            Translation::Exact(at) => Self::Exact(at.max(log_start)),
            Translation::AtLeast(at) => {
                let reason = "the map does not know what was copied there";
                Self::AtLeast(at.max(log_start), reason.to_owned())
            }
            Translation::Unknown(reason) => Self::Unknown(reason.into(), reason.to_string()),
        }
    }

    /// The offset, if there is one.
    pub(crate) fn offset(&self) -> Option<i64> {
        match self {
            Self::Exact(offset) | Self::AtLeast(offset, _) => Some(*offset),
            Self::Unknown(..) => None,
        }
    }

    /// For JSON.
    pub(crate) fn view(&self) -> AnswerView {
        let (kind, reason) = match self {
            Self::Exact(_) => ("exact", None),
            Self::AtLeast(_, reason) => ("at least", Some(reason)),
            Self::Unknown(_, reason) => ("unknown", Some(reason)),
        };
        AnswerView {
            offset: self.offset(),
            kind,
            reason: reason.cloned(),
        }
    }
}

impl From<NotSynced> for Answer {
    fn from(why_not: NotSynced) -> Self {
        let reason = why_not.to_string();
        Self::Unknown(why_not, reason)
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(offset) => write!(f, "{offset}"),
            Self::AtLeast(offset, reason) => write!(f, "at least {offset} ({reason})"),
            Self::Unknown(_, reason) => write!(f, "unknown ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::offsets::UnknownReason;

    use super::*;

    #[test]
    fn only_what_was_copied_is_exact_and_nothing_is_below_the_log() {
        assert_eq!(
            Answer::of(Translation::Exact(7), 0, 3).to_string(),
            "7",
            "the asked offset is within the map"
        );
        assert_eq!(Answer::of(Translation::Exact(7), 0, 9), Answer::Exact(9));
        assert_eq!(
            Answer::of(Translation::Exact(7), 2, 0).to_string(),
            "at least 7 (the last 2 offsets were not copied yet)"
        );
        let lower = Answer::of(Translation::AtLeast(7), 0, 9);
        assert_eq!((lower.offset(), lower.view().kind), (Some(9), "at least"));
        let none = Answer::of(Translation::Unknown(UnknownReason::BelowMap), 0, 9);
        assert_eq!(
            (none.offset(), none.view().kind, none.to_string()),
            (None, "unknown", "unknown (below the offset map)".to_owned())
        );
    }
}
