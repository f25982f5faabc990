//! Log levels that can be changed while the process runs, under the names that Connect's operators know.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::EnvFilter;

use super::{OUR_TARGETS, QUIET};
use crate::rest::now_ms;

/// The name of what every other logger inherits from.
pub(crate) const ROOT: &str = "root";
/// Loggers that may be set: each is a directive that every log line is compared with.
const LOGGERS_MAX: usize = 100;
/// What of ours does the work of the Java packages that operators set; longer names first.
const PACKAGES: [(&str, &[&str]); 4] = [
    (
        "org.apache.kafka.connect.mirror",
        &["actors", "batch", "engine", "topology"],
    ),
    (
        "org.apache.kafka.connect",
        &["actors", "batch", "crosscurrent", "engine", "topology"],
    ),
    ("org.apache.kafka.clients", &["engine"]),
    ("org.apache.kafka.common", &["engine"]),
];

/// Puts a filter to work.
pub(super) type Apply = Box<dyn Fn(EnvFilter) + Send + Sync>;

/// The levels of this process.
pub(crate) struct Levels {
    apply: Apply,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// `RUST_LOG` or the default, without what was set since.
    words: Vec<String>,
    /// What was set: its level and when, in epoch milliseconds.
    set: BTreeMap<String, (&'static str, i64)>,
}

/// One logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Logger {
    pub(crate) level: &'static str,
    /// Epoch milliseconds; none: as at the start.
    pub(crate) last_modified: Option<i64>,
}

/// Why a level is not set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LevelError {
    /// Connect's text.
    #[error("invalid log level '{0}'.")]
    UnknownLevel(String),
    #[error("Logger {0} not found.")]
    NoLogger(String),
    #[error(
        "there are {LOGGERS_MAX} loggers with a level of their own already: set root, or one of those"
    )]
    TooMany,
}

impl Levels {
    /// `words` are the directives of the start.
    pub(super) fn new(words: &str, apply: Apply) -> Self {
        let words = words.split(',').map(|word| word.trim().to_owned());
        let state = State {
            words: words.filter(|word| !word.is_empty()).collect(),
            set: BTreeMap::new(),
        };
        Self {
            apply,
            state: Mutex::new(state),
        }
    }

    /// All loggers that have a name here: the root, ours, and what was set.
    pub(crate) fn all(&self) -> BTreeMap<String, Logger> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = OUR_TARGETS.iter().copied().chain([ROOT]);
        ours.chain(state.set.keys().map(String::as_str))
            .map(|name| (name.to_owned(), state.logger(name)))
            .collect()
    }

    /// Sets a level, and says which loggers have it now: a Java package stands for what does its work here.
    ///
    /// # Errors
    /// [`LevelError`]; nothing is changed then.
    pub(crate) fn set(&self, name: &str, level: &str) -> Result<BTreeSet<String>, LevelError> {
        let unknown = || LevelError::UnknownLevel(level.to_owned());
        let level = read_level(level).ok_or_else(unknown)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "_:.$-".contains(c);
        if name.is_empty() || !name.chars().all(legal) {
            return Err(LevelError::NoLogger(name.to_owned()));
        }
        let mut affected = BTreeSet::from([name.to_owned()]);
        let of_package = |package: &str| {
            let rest = name.strip_prefix(package);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if let Some((_, targets)) = PACKAGES.iter().find(|(package, _)| of_package(package)) {
            affected.extend(targets.iter().map(|target| (*target).to_owned()));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let more = affected
            .iter()
            .filter(|name| !state.set.contains_key(*name));
        if state.set.len() + more.count() > LOGGERS_MAX {
            return Err(LevelError::TooMany);
        }
        let now = now_ms();
        state
            .set
            .extend(affected.iter().map(|name| (name.clone(), (level, now))));
        (self.apply)(state.filter());
        Ok(affected)
    }
}

impl State {
    /// Its own level, or that of the next one above it.
    fn logger(&self, name: &str) -> Logger {
        let set = self.set.get(name);
        let last_modified = set.map(|(_, at)| *at);
        if let Some((level, _)) = set {
            return Logger {
                level,
                last_modified,
            };
        }
        let at_start = self
            .words
            .iter()
            .find_map(|word| match word.split_once('=') {
                Some((target, level)) if target == name => read_level(level),
                _ => None,
            });
        let root = || match self.set.get(ROOT) {
            Some((level, _)) => Some(*level),
            None => self.words.iter().find_map(|word| read_level(word)),
        };
        Logger {
            level: at_start.or_else(root).unwrap_or("ERROR"),
            last_modified,
        }
    }

    fn filter(&self) -> EnvFilter {
        let root = self.set.get(ROOT).map(|(level, _)| (*level).to_owned());
        let is_set = root.is_some();
        let kept = (self.words.iter()).filter(|word| !is_set || read_level(word).is_none());
        let set = (self.set.iter())
            .filter(|(name, _)| *name != ROOT)
            .map(|(name, (level, _))| format!("{name}={level}"));
        let quiet = QUIET.iter().map(|word| (*word).to_owned());
        let directives = kept.cloned().chain(root).chain(quiet).chain(set);
        directives
            .filter_map(|directive| directive.parse().ok())
            .fold(EnvFilter::default(), EnvFilter::add_directive)
    }
}

/// A level by the name that Java's loggers have for it, in any case.
fn read_level(text: &str) -> Option<&'static str> {
    let levels = ["OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
    if text.eq_ignore_ascii_case("FATAL") {
        return Some("ERROR"); // there is nothing above
    }
    if text.eq_ignore_ascii_case("ALL") {
        return Some("TRACE"); // nor below
    }
    levels
        .into_iter()
        .find(|level| level.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn levels(words: &str) -> (Levels, Arc<Mutex<String>>) {
        let applied = Arc::new(Mutex::new(String::new()));
        let shown = applied.clone();
        let apply: Apply = Box::new(move |filter| *shown.lock().unwrap() = filter.to_string());
        (Levels::new(words, apply), applied)
    }

    #[test]
    fn a_package_stands_for_what_does_its_work() {
        let (levels, applied) = levels("info,actors=warn");
        let before = levels.all();
        assert_eq!(
            (before[ROOT].level, before["actors"].level),
            ("INFO", "WARN")
        );
        let affected = levels
            .set("org.apache.kafka.connect.mirror", "debug")
            .unwrap();
        let names: Vec<_> = affected.iter().map(String::as_str).collect();
        let ours = ["actors", "batch", "engine"];
        assert_eq!(
            names,
            [&ours[..], &["org.apache.kafka.connect.mirror", "topology"]].concat()
        );
        let after = levels.all();
        for name in ours {
            assert_eq!(after[name].level, "DEBUG");
            assert!(after[name].last_modified.is_some());
        }
        let applied = applied.lock().unwrap();
        assert!(
            applied.contains("actors=debug") && applied.contains("info"),
            "{applied}"
        );
        assert!(applied.contains("actix_http=off"), "{applied}");
    }

    #[test]
    fn the_root_leaves_others_as_they_are() {
        let (levels, applied) = levels("info,engine=trace");
        levels.set(ROOT, "FATAL").unwrap();
        assert_eq!(levels.all()[ROOT].level, "ERROR");
        levels.set("x", "all").unwrap();
        assert_eq!(levels.all()["x"].level, "TRACE");
        assert_eq!(levels.all()["engine"].level, "TRACE");
        assert_eq!(levels.all()["actors"].level, "ERROR");
        assert!(!applied.lock().unwrap().contains("info"));
    }

    #[test]
    fn what_cannot_be_set_changes_nothing() {
        let (levels, applied) = levels("info");
        let unknown = LevelError::UnknownLevel("LOUD".to_owned());
        assert_eq!(levels.set("actors", "LOUD"), Err(unknown));
        assert!(levels.set("a=b,c", "INFO").is_err() && levels.set("", "INFO").is_err());
        assert_eq!(*applied.lock().unwrap(), "");
        let many = (0..200)
            .map(|n| levels.set(&format!("x{n}"), "INFO"))
            .filter(Result::is_ok);
        assert_eq!(many.count(), LOGGERS_MAX);
        assert_eq!(levels.set("y", "INFO"), Err(LevelError::TooMany));
    }
}
