//! Which keys of the file have no effect, and why: said once at start, where MM2 is silent.

use std::collections::BTreeSet;
use std::fmt;

use security::Security;

use super::derive::MirrorProperties;
use super::error::KeyAt;
use super::keys::{
    CLIENT_KEYS, DEDICATED_KEYS, FLOW_ONLY_KEYS, REMOVED_KEYS, Use, WORKER_KEYS, WORKER_PREFIXES,
    common_client_key, connector_key, find,
};
use crate::alias::{ClusterAlias, FlowId};

const CLIENT_PREFIXES: [&str; 3] = ["consumer.", "producer.", "admin."];

/// A key of the file without effect. Shown as `key (line 3): hint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReport {
    /// The key and its line.
    pub at: KeyAt,
    /// What to write instead, where that can be said.
    pub hint: Option<String>,
}

impl fmt::Display for KeyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}: {hint}", self.at),
            None => self.at.fmt(f),
        }
    }
}

/// What becomes of a key, the best last: a key that two readings fit is taken the better way.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Unknown(Option<String>),
    Ignored,
    Acts,
}

impl From<Use> for Fate {
    fn from(used: Use) -> Self {
        match used {
            Use::Acts => Self::Acts,
            Use::Ignored => Self::Ignored,
        }
    }
}

/// The unknown and the ignored keys, in the order of their lines.
pub(super) fn report(mirror: &MirrorProperties) -> (Vec<KeyReport>, Vec<KeyReport>) {
    let (mut unknown, mut ignored) = (Vec::new(), Vec::new());
    let places = Places::of(mirror);
    for (key, value) in mirror.raw().iter() {
        let at = KeyAt::of(mirror.raw(), key);
        match places.fate(key, value) {
            Fate::Unknown(hint) => unknown.push(KeyReport { at, hint }),
            Fate::Ignored => ignored.push(KeyReport { at, hint: None }),
            Fate::Acts => {}
        }
    }
    for reports in [&mut unknown, &mut ignored] {
        reports.sort_by_key(|report| report.at.line);
    }
    (unknown, ignored)
}

/// Where keys can stand.
struct Places<'a> {
    clusters: &'a [ClusterAlias],
    /// The prefix of every possible flow, the flow, and whether it exists.
    flows: Vec<(String, FlowId, bool)>,
    /// A flow for hints: the first that exists, or the first that could.
    example: FlowId,
}

impl<'a> Places<'a> {
    fn of(mirror: &'a MirrorProperties) -> Self {
        let existing: BTreeSet<_> = mirror.cluster_pairs().into_iter().collect();
        let place = |flow: FlowId| (format!("{flow}."), flow.clone(), existing.contains(&flow));
        let flows: Vec<_> = mirror.all_pairs().map(place).collect();
        let example = flows.iter().find(|(.., exists)| *exists).or(flows.first());
        let example = example.map_or_else(|| FlowId::new("S", "T"), |(_, flow, _)| flow.clone());
        Self {
            clusters: mirror.clusters(),
            flows,
            example,
        }
    }

    fn fate(&self, key: &str, value: &str) -> Fate {
        let top_level = self.top_level(key);
        let mut prefixed = None;
        for alias in self.clusters {
            if let Some(rest) = key
                .strip_prefix(alias.as_str())
                .and_then(|key| key.strip_prefix('.'))
            {
                prefixed = prefixed.max(Some(self.of_cluster(rest)));
            }
        }
        for (prefix, flow, exists) in &self.flows {
            if let Some(rest) = key.strip_prefix(prefix.as_str()) {
                let is_off = !exists && !is_boolean(value);
                prefixed = prefixed.max(Some(of_flow(flow, rest, is_off)));
            }
        }
        match (top_level, prefixed) {
            // The hint of the prefix's reading is the one that fits.
            (Fate::Unknown(_), Some(prefixed)) => prefixed,
            (top_level, Some(prefixed)) => top_level.max(prefixed),
            (top_level, None) => top_level,
        }
    }

    fn top_level(&self, key: &str) -> Fate {
        let flow = &self.example;
        if let Some(used) = find(DEDICATED_KEYS, key) {
            return used.into();
        }
        if let Some((_, used)) = connector_key(key) {
            return used.into();
        }
        if WORKER_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            return find(WORKER_KEYS, key).map_or(Fate::Ignored, Fate::from);
        }
        let hint = if let Some((prefix, _)) = key.split_once("->") {
            let known = self.clusters.iter().any(|alias| alias.as_str() == prefix);
            let part = if known { "its target" } else { "its source" };
            Some(format!(
                "no such flow; {part} is not in clusters, or source and target are one"
            ))
        } else if find(FLOW_ONLY_KEYS, key).is_some() {
            Some(format!("has no effect at top level; write `{flow}.{key}`"))
        } else if find(WORKER_KEYS, key).is_some() {
            Some(format!(
                "has no effect at top level; write `{}.{key}`",
                flow.target
            ))
        } else if find(CLIENT_KEYS, key).is_some() {
            Some(format!(
                "has no effect at top level; write `{}.consumer.{key}` or the like",
                flow.source
            ))
        } else if let Some(alias) = key.strip_suffix(".bootstrap.servers") {
            Some(format!("`{alias}` is not in clusters"))
        } else {
            removed(key)
        };
        Fate::Unknown(hint)
    }

    fn of_cluster(&self, key: &str) -> Fate {
        if let Some(used) = common_client_key(key).or_else(|| of_client(key)) {
            return used.into();
        }
        if let Some(used) = find(WORKER_KEYS, key) {
            return used.into();
        }
        if find(CLIENT_KEYS, key).is_some() {
            return Fate::Ignored; // the worker's own clients
        }
        let of_client = CLIENT_PREFIXES.iter().any(|prefix| key.starts_with(prefix));
        if !of_client && (connector_key(key).is_some() || find(FLOW_ONLY_KEYS, key).is_some()) {
            let flow = &self.example;
            return Fate::Unknown(Some(format!(
                "has no effect for a cluster; write `{flow}.{key}`"
            )));
        }
        Fate::Unknown(removed(key))
    }
}

fn is_boolean(value: &str) -> bool {
    value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
}

/// `is_off`: the flow does not exist, and the value is none that could switch it on.
fn of_flow(flow: &FlowId, key: &str, is_off: bool) -> Fate {
    if is_off && matches!(key, "enabled" | "emit.heartbeats.enabled") {
        let hint = "is neither true nor false, which counts as false; mind white space at the end";
        return Fate::Unknown(Some(hint.to_owned()));
    }
    if let Some((_, used)) = connector_key(key) {
        return used.into();
    }
    let side = ["source.", "target."]
        .iter()
        .find_map(|side| key.strip_prefix(side));
    let client = of_client(side.unwrap_or(key));
    let cluster = side
        .and_then(|rest| rest.strip_prefix("cluster."))
        .and_then(common_client_key);
    match client.or(cluster) {
        Some(used) => return used.into(),
        None if side.is_some() || CLIENT_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {
            let of_connect = find(FLOW_ONLY_KEYS, key).filter(|_| key.contains(".override."));
            return of_connect.map_or(Fate::Unknown(None), Fate::from);
        }
        None => {}
    }
    if let Some(used) = find(FLOW_ONLY_KEYS, key) {
        return used.into();
    }
    if find(WORKER_KEYS, key).is_some() {
        let hint = format!("never reaches the worker; write `{}.{key}`", flow.target);
        return Fate::Unknown(Some(hint));
    }
    Fate::Unknown(removed(key))
}

/// A setting behind `consumer.`, `producer.` or `admin.`.
fn of_client(key: &str) -> Option<Use> {
    let setting = CLIENT_PREFIXES
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))?;
    // All connections to a cluster are secured as those that carry records.
    if key.starts_with("admin.") && Security::is_key(setting) {
        return common_client_key(setting).map(|_| Use::Ignored);
    }
    common_client_key(setting).or_else(|| find(CLIENT_KEYS, setting))
}

fn removed(key: &str) -> Option<String> {
    REMOVED_KEYS
        .iter()
        .find(|(name, _)| *name == key)
        .map(|(_, hint)| (*hint).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ConfigProviders;
    use crate::properties::Properties;

    fn fate_of(line: &str) -> Fate {
        let file = format!("clusters = A, B\nA->B.enabled = true\n{line}");
        let raw = Properties::parse(file.as_bytes()).unwrap();
        let (key, value) = raw.iter().find(|(key, _)| line.starts_with(key)).unwrap();
        let mirror = MirrorProperties::new(raw.clone(), ConfigProviders::default()).unwrap();
        Places::of(&mirror).fate(key, value)
    }

    #[test]
    fn keys_that_act() {
        for line in [
            "replication.factor=1",
            "A.bootstrap.servers=a:1",
            "A.security.protocol=PLAINTEXT",
            "A.consumer.isolation.level=read_committed",
            "B.producer.request.timeout.ms=5000",
            "A->B.topics=x",
            "A->B.groups=x",
            "sync.group.offsets.enabled=true",
            "offset.lag.max=0",
            "A->B.use.defaults.from=source",
            "B->A.emit.heartbeats.enabled=false",
            "A->B.source.consumer.auto.offset.reset=latest",
            "B.offset.flush.interval.ms=1",
            "offset.storage.replication.factor=1",
            "config.providers=file",
            "config.providers.file.class=x",
            "listeners=x",
            "listeners.https.ssl.keystore.location=x",
        ] {
            assert_eq!(fate_of(line), Fate::Acts, "{line}");
        }
    }

    #[test]
    fn keys_that_mm2_knows_and_this_version_ignores() {
        for line in [
            "tasks.max=2",
            "sync.topic.acls.enabled=true",
            "A->B.sync.topic.acls.interval.seconds=9",
            "B.producer.linger.ms=5",
            "B.exactly.once.source.support=enabled",
            "ssl.provider=x",
            "A->B.producer.override.linger.ms=1",
            "status.storage.replication.factor=1",
            "dedicated.mode.enable.internal.rest=true",
            "rest.x=y",
        ] {
            assert_eq!(fate_of(line), Fate::Ignored, "{line}");
        }
    }

    #[test]
    fn unknown_keys_come_with_a_hint() {
        for (line, hint) in [
            ("replication.facter=1", None),
            ("A->B.topic=x", None),
            ("A.consumer.isolation=x", None),
            ("A->B.consumer.isolation=x", None),
            ("A->B.source.isolation.level=x", None),
            ("A->C.enabled=true", Some("its target is not in clusters")),
            ("X->B.topics=t", Some("its source is not in clusters")),
            ("A->A.enabled=true", Some("source and target are one")),
            ("C.bootstrap.servers=c:1", Some("`C` is not in clusters")),
            (
                "use.defaults.from=source",
                Some("write `A->B.use.defaults.from`"),
            ),
            (
                "consumer.isolation.level=x",
                Some("write `A->B.consumer.isolation.level`"),
            ),
            (
                "offset.flush.interval.ms=1",
                Some("write `B.offset.flush.interval.ms`"),
            ),
            (
                "A->B.offset.storage.topic=x",
                Some("write `B.offset.storage.topic`"),
            ),
            ("A.topics=x", Some("write `A->B.topics`")),
            ("topics.blacklist=x", Some("write topics.exclude")),
            ("A->B.topics.blacklist=x", Some("write topics.exclude")),
        ] {
            match (fate_of(line), hint) {
                (Fate::Unknown(None), None) => {}
                (Fate::Unknown(Some(text)), Some(hint)) if text.contains(hint) => {}
                (other, _) => panic!("{line}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_flow_switched_on_with_another_word_is_reported() {
        let file = b"clusters = A, B\nemit.heartbeats.enabled = false\nA->B.enabled = true \n";
        let raw = Properties::parse(file).unwrap();
        let mirror = MirrorProperties::new(raw, ConfigProviders::default()).unwrap();
        let (unknown, ignored) = report(&mirror);
        assert_eq!((unknown.len(), ignored.len()), (1, 0));
        let shown = unknown[0].to_string();
        assert!(
            shown.starts_with("A->B.enabled (line 3): is neither true nor false"),
            "{shown}"
        );
    }
}
