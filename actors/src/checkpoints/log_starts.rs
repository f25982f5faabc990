//! Where the logs of remote topics begin: nobody can read below, so no translation is below.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::cluster::{ClusterError, ErrorCode, OffsetAt};
use tokio::time::Instant;

use crate::flow::Flow;

/// All starts are asked for again when they are older: retention moves them.
const AGE_MAX: Duration = Duration::from_secs(30);
/// Those that were not told are asked for again when they are older.
const UNKNOWN_AGE_MAX: Duration = Duration::from_secs(2);

/// A remote topic and partition.
type At = (Arc<str>, i32);

/// Where a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogStart {
    /// Here.
    At(i64),
    /// There is no such log.
    Missing,
    /// It was not told.
    Unknown,
}

/// The starts of all logs that groups read.
#[derive(Debug, Default)]
pub(super) struct LogStarts {
    known: HashMap<At, LogStart>,
    asked_all: Option<Instant>,
    asked_unknown: Option<Instant>,
    /// Goes up whenever one that was known changes.
    generation: u64,
}

impl LogStarts {
    /// Asks for those in `new` that are not known, and for all if that is due.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker of the target answers.
    pub(super) async fn ask(
        &mut self,
        flow: &Flow,
        new: impl Iterator<Item = At>,
    ) -> Result<(), ClusterError> {
        let is_old = |asked: Option<Instant>, age| asked.is_none_or(|at| at.elapsed() >= age);
        let mut wanted: Vec<At> = new.filter(|at| !self.known.contains_key(at)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let all = is_old(self.asked_all, AGE_MAX);
        let unknown = is_old(self.asked_unknown, UNKNOWN_AGE_MAX);
        let again = self
            .known
            .iter()
            .filter(|(_, start)| all || unknown && !matches!(start, LogStart::At(_)));
        wanted.extend(again.map(|(at, _)| at.clone()));
        if wanted.is_empty() {
            return Ok(());
        }
        for (at, start) in flow.target.offsets(&wanted, OffsetAt::Earliest).await? {
            let start = match start {
                Ok(offset) => LogStart::At(offset),
                Err(refusal) if refusal.code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                    LogStart::Missing
                }
                // A leader that is away for a moment does not move the log's start.
                Err(_) => self.of(&at),
            };
            let before = self.known.insert(at, start);
            if before.is_some_and(|before| before != start) {
                self.generation += 1;
            }
        }
        let now = Instant::now();
        if all {
            self.asked_all = Some(now);
        }
        if unknown {
            self.asked_unknown = Some(now);
        }
        Ok(())
    }

    /// Where a log begins, as far as it was asked for.
    pub(super) fn of(&self, at: &At) -> LogStart {
        self.known.get(at).copied().unwrap_or(LogStart::Unknown)
    }

    /// Notes that a broker says that there is no such log.
    pub(super) fn is_missing(&mut self, at: At) {
        self.known.insert(at, LogStart::Missing);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}
