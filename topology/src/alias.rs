//! Cluster aliases and the flows between them.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A cluster's short name, the prefix of its remote topics elsewhere.
///
/// Cheap to clone. Any text without a comma (docs/spec/mm2.md 1.3); [`is_legal_in_topics`]
/// tells whether it can be part of a topic name.
///
/// [`is_legal_in_topics`]: Self::is_legal_in_topics
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterAlias(Arc<str>);

impl ClusterAlias {
    /// An alias of this text, unchecked.
    pub fn new(alias: &str) -> Self {
        Self(alias.into())
    }

    /// The alias as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is not empty and consists of what Kafka allows in topic names.
    pub fn is_legal_in_topics(&self) -> bool {
        !self.0.is_empty() && self.0.bytes().all(is_topic_byte)
    }
}

/// Whether Kafka allows this byte in a topic name: ASCII letters, digits, `.`, `_` and `-`.
pub(crate) fn is_topic_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

impl Borrow<str> for ClusterAlias {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ClusterAlias {
    fn from(alias: &str) -> Self {
        Self::new(alias)
    }
}

impl fmt::Display for ClusterAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// One direction of replication, shown and written in keys as `source->target`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowId {
    /// The cluster that is read.
    pub source: ClusterAlias,
    /// The cluster that is written to.
    pub target: ClusterAlias,
}

impl FlowId {
    /// The flow from `source` to `target`.
    pub fn new(source: impl Into<ClusterAlias>, target: impl Into<ClusterAlias>) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
        }
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}->{}", self.source, self.target)
    }
}

impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_01_flows_are_equal_by_source_and_target() {
        let flow = FlowId::new("source", "target");
        assert_eq!(flow, FlowId::new("source", "target"));
        assert_ne!(flow, FlowId::new("error-source", "target"));
        assert_eq!(flow.to_string(), "source->target");
    }

    #[test]
    fn topic_names_allow_letters_digits_dot_underscore_and_dash() {
        assert!(ClusterAlias::new("us-east_1.A").is_legal_in_topics());
        for illegal in ["", "us east", "süd", "a/b", "a->b"] {
            assert!(
                !ClusterAlias::new(illegal).is_legal_in_topics(),
                "{illegal:?}"
            );
        }
    }
}
