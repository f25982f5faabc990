//! Creates and grows remote topics (`docs/spec/mm2.md` 4.4, 4.5). Never shrinks, never deletes.

use std::collections::{BTreeMap, HashMap};

use engine::cluster::{ClusterError, ConfigEntry, ConfigSource, NewTopic, TopicListing};
use topology::PatternList;
use tracing::info;

use crate::flow::Flow;

/// Why some partitions of a source topic cannot be copied now.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    /// In words.
    pub reason: String,
    /// The first partition that has no counterpart; those below it are ready.
    pub from: i32,
}

impl Blocked {
    fn whole(reason: String) -> Self {
        Self { reason, from: 0 }
    }
}

/// Makes sure that each source topic has a remote topic with at least as many partitions.
///
/// Returns the source topics for which that cannot be had now, with the reason; the others are ready.
pub(super) async fn create_missing(
    flow: &Flow,
    source: &BTreeMap<String, i32>,
) -> Result<BTreeMap<String, Blocked>, ClusterError> {
    let existing: HashMap<String, TopicListing> = flow
        .target
        .topics()
        .await?
        .into_iter()
        .map(|topic| (topic.name.clone(), topic))
        .collect();
    let (mut missing, mut untold) = (Vec::new(), BTreeMap::new());
    let mut short = BTreeMap::new();
    for (topic, partitions) in source {
        let remote = flow.config.remote_topic(topic);
        match existing.get(&remote) {
            None => missing.push((topic.clone(), remote, *partitions)),
            Some(TopicListing {
                error: Some(code), ..
            }) => {
                let target = flow.target.alias();
                let reason = format!("target cluster {target} answers {code} for {remote}");
                untold.insert(topic.clone(), Blocked::whole(reason));
            }
            Some(listing) if listing.partitions < *partitions => {
                short.insert(remote, (topic.clone(), listing.partitions, *partitions));
            }
            Some(_) => {}
        }
    }
    let mut blocked = create(flow, missing).await?;
    blocked.extend(grow(flow, short).await?);
    blocked.extend(untold);
    Ok(blocked)
}

async fn create(
    flow: &Flow,
    missing: Vec<(String, String, i32)>,
) -> Result<BTreeMap<String, Blocked>, ClusterError> {
    let mut blocked = BTreeMap::new();
    if missing.is_empty() {
        return Ok(blocked);
    }
    let names: Vec<String> = missing.iter().map(|(topic, ..)| topic.clone()).collect();
    let mut configs = flow.source.topic_configs(&names).await?;
    let mut new = Vec::new();
    let mut source_of = HashMap::new();
    for (topic, remote, partitions) in missing {
        match configs.remove(&topic) {
            Some(Ok(entries)) => {
                source_of.insert(remote.clone(), topic);
                new.push(NewTopic {
                    name: remote,
                    partitions,
                    replication_factor: flow.config.replication_factor,
                    configs: copied_configs(flow, entries),
                });
            }
            Some(Err(refusal)) => {
                let reason = format!("cannot read the configs of {topic} on the source: {refusal}");
                blocked.insert(topic, Blocked::whole(reason));
            }
            None => {
                blocked.insert(
                    topic,
                    Blocked::whole("the source does not tell the topic's configs".to_owned()),
                );
            }
        }
    }
    for (remote, refusal) in flow.target.create_topics(&new).await? {
        match refusal {
            None => info!(flow = %flow.label, topic = remote, "remote topic created"),
            Some(refusal) => {
                let target = flow.target.alias();
                let reason = format!("cannot create topic {remote} on {target}: {refusal}");
                if let Some(topic) = source_of.remove(&remote) {
                    blocked.insert(topic, Blocked::whole(reason));
                }
            }
        }
    }
    Ok(blocked)
}

/// What a new remote topic takes over: what is set on the source and not excluded (`incremental=false` of 4.5).
fn copied_configs(flow: &Flow, entries: Vec<ConfigEntry>) -> Vec<(String, String)> {
    let config = &flow.config;
    let kept = entries.into_iter().filter_map(|entry| {
        let wanted = entry.source != ConfigSource::Default || config.use_defaults_from_source;
        let ours = wanted && follows(&config.config_properties_exclude, &entry);
        Some((entry.name, entry.value?)).filter(|_| ours)
    });
    kept.collect()
}

/// A remote topic's config follows this one of its source. A name that the patterns cannot decide in bounded time is left
/// alone.
pub(super) fn follows(excluded: &PatternList, entry: &ConfigEntry) -> bool {
    entry.source != ConfigSource::StaticBroker
        && !entry.read_only
        && !entry.sensitive
        && !excluded.matches(&entry.name).unwrap_or(true)
}

async fn grow(
    flow: &Flow,
    short: BTreeMap<String, (String, i32, i32)>,
) -> Result<BTreeMap<String, Blocked>, ClusterError> {
    let mut blocked = BTreeMap::new();
    if short.is_empty() {
        return Ok(blocked);
    }
    let counts: Vec<(String, i32)> = short
        .iter()
        .map(|(remote, (_, _, partitions))| (remote.clone(), *partitions))
        .collect();
    for (remote, refusal) in flow.target.create_partitions(&counts).await? {
        match (refusal, short.get(&remote)) {
            (None, _) => info!(flow = %flow.label, topic = remote, "remote topic has grown"),
            (Some(refusal), Some((topic, has, partitions))) => {
                let target = flow.target.alias();
                let reason = format!(
                    "cannot grow topic {remote} on {target} to {partitions} partitions: {refusal}"
                );
                blocked.insert(topic.clone(), Blocked { reason, from: *has });
            }
            (Some(_), None) => {}
        }
    }
    Ok(blocked)
}
