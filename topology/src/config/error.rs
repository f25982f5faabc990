//! What can be wrong with a configuration file. Every text names the key and says what to write.

use std::fmt;

use crate::alias::{ClusterAlias, FlowId};
use crate::filter::PatternError;
use crate::properties::Properties;

/// A key as the user wrote it, with its line if it was written at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyAt {
    /// The key in the file, or the derived key where nothing in the file led to it.
    pub key: String,
    /// Unit: lines, counted from 1. `None` for a key that is not in the file.
    pub line: Option<usize>,
}

impl KeyAt {
    /// The place that the value of a (derived) key came from.
    pub(crate) fn of(properties: &Properties, key: &str) -> Self {
        match properties.origin(key) {
            Some(origin) => Self {
                key: origin.key.to_string(),
                line: Some(origin.line),
            },
            None => Self {
                key: key.to_owned(),
                line: None,
            },
        }
    }
}

impl fmt::Display for KeyAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} (line {line})", self.key),
            None => f.write_str(&self.key),
        }
    }
}

/// One fault of a configuration. [`KeyAt`] says where; the text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No `clusters`, or an empty list.
    #[error("clusters is not set; list the alias of every cluster, as in `clusters = A, B`")]
    MissingClusters,
    /// A key of a worker's file without which nothing can start.
    #[error("{key} is not set; a Connect worker needs it")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// An alias that cannot be used.
    #[error("{at}: alias `{alias}` {problem}")]
    Alias {
        /// The alias.
        alias: ClusterAlias,
        /// The `clusters` key.
        at: KeyAt,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// A flow needs a cluster that has no address.
    #[error(
        "{alias}.bootstrap.servers is not set, but flow {flow} needs it; \
         write `{alias}.bootstrap.servers = HOST:PORT`"
    )]
    MissingBootstrapServers {
        /// The cluster without address.
        alias: ClusterAlias,
        /// The first flow that needs it.
        flow: FlowId,
    },
    /// A value that is not of the key's type or range.
    #[error("{at}: {value} is not valid; {expected}")]
    InvalidValue {
        /// The key.
        at: KeyAt,
        /// The value in backquotes; `[hidden]` for a password-like key.
        value: String,
        /// What to write.
        expected: String,
    },
    /// A value that MM2 understands and this version does not. Going on without it would do
    /// something else than was asked, so it is refused.
    #[error("{at}: {value} is not supported by this version, only {supported}")]
    Unsupported {
        /// The key.
        at: KeyAt,
        /// As in [`InvalidValue`](Self::InvalidValue).
        value: String,
        /// What is supported.
        supported: String,
    },
    /// How a cluster's connections are secured: a key, or the file that it names.
    #[error("{at}: {what}")]
    Security {
        /// The key.
        at: KeyAt,
        /// What is wrong, and what to write.
        what: String,
    },
    /// An item of a regex list that is no regex.
    #[error("{at}: {source}; in a properties file a backslash is written twice")]
    Pattern {
        /// The key of the list.
        at: KeyAt,
        /// The item.
        source: PatternError,
    },
    /// `--clusters` names an alias that is not in `clusters`.
    #[error("--clusters: no cluster `{alias}`; clusters has {known}")]
    UnknownTarget {
        /// The alias given.
        alias: String,
        /// The aliases of the file.
        known: String,
    },
    /// Nothing to do. Starts with MM2's own text.
    #[error("No source->target replication flows. {hint}")]
    NoFlows {
        /// The key to set.
        hint: String,
    },
    /// Records would be copied round these flows for ever (docs/spec/mm2.md 2.2).
    #[error(
        "flows {} would copy the same records round and round, because their replication policies \
         leave no alias in the topic names to stop at; use DefaultReplicationPolicy with one \
         separator that is in no alias, disable one of the flows, or choose their `topics` so that no \
         topic is in all of them (without look-around and possessive quantifiers, which cannot be \
         proved)",
        join(flows)
    )]
    Loop {
        /// The flows of the loop, in order.
        flows: Vec<FlowId>,
    },
}

fn join(flows: &[FlowId]) -> String {
    let flows: Vec<_> = flows.iter().map(FlowId::to_string).collect();
    flows.join(" and ")
}

impl ConfigError {
    /// The value of `key` is not of its type or range.
    pub(crate) fn invalid(properties: &Properties, key: &str, expected: impl Into<String>) -> Self {
        let expected = expected.into();
        Self::InvalidValue {
            at: KeyAt::of(properties, key),
            value: shown(properties, key),
            expected,
        }
    }

    /// The value of `key` is one that this version cannot do.
    pub(crate) fn unsupported(
        properties: &Properties,
        key: &str,
        supported: impl Into<String>,
    ) -> Self {
        let supported = supported.into();
        Self::Unsupported {
            at: KeyAt::of(properties, key),
            value: shown(properties, key),
            supported,
        }
    }

    /// The key that is to blame. None if something is missing rather than wrong, or several are.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Alias { at, .. }
            | Self::InvalidValue { at, .. }
            | Self::Unsupported { at, .. }
            | Self::Security { at, .. }
            | Self::Pattern { at, .. } => Some(&at.key),
            Self::Missing { key } => Some(key),
            Self::MissingClusters
            | Self::MissingBootstrapServers { .. }
            | Self::UnknownTarget { .. }
            | Self::NoFlows { .. }
            | Self::Loop { .. } => None,
        }
    }

    /// The line of the file to look at, for `file:line`. `None` if something is missing rather
    /// than wrong.
    pub fn line(&self) -> Option<usize> {
        match self {
            Self::Alias { at, .. }
            | Self::InvalidValue { at, .. }
            | Self::Unsupported { at, .. }
            | Self::Security { at, .. }
            | Self::Pattern { at, .. } => at.line,
            Self::MissingClusters
            | Self::Missing { .. }
            | Self::MissingBootstrapServers { .. }
            | Self::UnknownTarget { .. }
            | Self::NoFlows { .. }
            | Self::Loop { .. } => None,
        }
    }
}

/// Characters of a value that an error shows.
const SHOWN_CHARS_MAX: usize = 120;

/// The value in backquotes, cut to a readable length, or `[hidden]`.
fn shown(properties: &Properties, key: &str) -> String {
    let written = properties.origin(key).map_or(key, |origin| &origin.key);
    if is_secret(key) || is_secret(written) {
        return "[hidden]".to_owned();
    }
    let value = properties.get(key).unwrap_or_default();
    let head: String = value.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if head.len() < value.len() { "..." } else { "" };
    format!("`{}{more}`", head.escape_debug())
}

/// Whether a value of this key must never be shown: Kafka's PASSWORD keys, and whatever else is
/// named like one.
pub fn is_secret(key: &str) -> bool {
    const SECRET: &[&str] = &[
        "password",
        "passphrase",
        "passwd",
        "secret",
        "token",
        "jaas",
        "credential",
        "apikey",
        "api.key",
        "keystore.key",
        "keystore.certificate.chain",
        "truststore.certificates",
        "private.key",
    ];
    let key = key.to_ascii_lowercase();
    SECRET.iter().any(|secret| key.contains(secret))
}

/// All faults of a configuration that could be found at once, in the order in which they were
/// found, each once. Never empty when returned as an error. Shown one a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Adds an error that is not there yet: a bad top-level value is found once per flow. Of
    /// several complaints about one value the first is enough.
    pub(crate) fn push(&mut self, error: ConfigError) {
        let value_at = |error: &ConfigError| match error {
            ConfigError::InvalidValue { at, .. }
            | ConfigError::Unsupported { at, .. }
            | ConfigError::Security { at, .. } => Some(at.clone()),
            _ => None,
        };
        let at = value_at(&error);
        let is_same = |known: &ConfigError| {
            *known == error
                || (at.as_ref().is_some_and(|at| at.line.is_some()) && value_at(known) == at)
        };
        if !self.0.iter().any(is_same) {
            self.0.push(error);
        }
    }

    /// The value, or `None` after keeping the error.
    pub(crate) fn take<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn extend(&mut self, other: Self) {
        other.0.into_iter().for_each(|error| self.push(error));
    }

    /// The errors.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let line_end = if at == 0 { "" } else { "\n" };
            write!(f, "{line_end}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
