//! Both clusters of a flow, with the offset maps that are stored between them.

use std::collections::HashMap;
use std::sync::Arc;

use actors::{NotSynced, PartitionMap};
use engine::cluster::{Cluster, OffsetAt, TopicListing};
use engine::offsets::MapTable;
use topology::{FlowConfig, OffsetSyncsLocation};
use tracing::warn;
use uuid::Uuid;

use super::answer::Answer;
use crate::tools;

/// The partition of the topic of offset maps that holds them all.
const MAP_PARTITION: i32 = 0;

/// A partition of one cluster.
pub(crate) type At = (Arc<str>, i32);

/// A flow, connected.
pub(crate) struct Pair {
    pub(crate) flow: FlowConfig,
    pub(crate) source: Arc<Cluster>,
    pub(crate) target: Arc<Cluster>,
    topics: HashMap<String, TopicListing>,
    remotes: HashMap<String, TopicListing>,
    /// By topic on the source and partition.
    maps: HashMap<(String, i32), PartitionMap>,
}

impl Pair {
    /// Reads what is stored. Call it inside a runtime.
    ///
    /// # Errors
    /// A cluster does not answer.
    pub(crate) async fn open(flow: &FlowConfig) -> anyhow::Result<Self> {
        let (source, target) = (tools::cluster(&flow.source), tools::cluster(&flow.target));
        let by_name = |topics: Vec<TopicListing>| -> HashMap<_, _> {
            let named = topics.into_iter().map(|topic| (topic.name.clone(), topic));
            named.collect()
        };
        let (topics, remotes) = tokio::join!(source.topics(), target.topics());
        let (topics, remotes) = (by_name(topics?), by_name(remotes?));
        let mut table = stored_maps(flow, &target, &remotes).await?;
        let stored: Vec<_> = table
            .partitions()
            .map(|(topic, partition)| (topic.to_owned(), partition))
            .collect();
        let maps = stored.into_iter().filter_map(|at| {
            let loaded = table.take(&at.0, at.1)?;
            Some((at, PartitionMap::of_another(loaded)))
        });
        Ok(Self {
            maps: maps.collect(),
            flow: flow.clone(),
            source,
            target,
            topics,
            remotes,
        })
    }

    /// The name of a source topic's copy, if the flow copies it and the copy is there.
    pub(crate) fn remote(&self, topic: &str) -> Option<String> {
        let remote = self.flow.remote_topic(topic);
        let copied = self.flow.replicates(topic) && self.topics.contains_key(topic);
        (copied && self.remotes.contains_key(&remote)).then_some(remote)
    }

    /// The source topic whose copy this is.
    pub(crate) fn original(&self, remote: &str) -> Option<String> {
        let topic = self.flow.policy.upstream_topic(remote)?;
        (self.remote(topic).as_deref() == Some(remote)).then(|| topic.to_owned())
    }

    /// What a place on the source is on the target. `log_start` is the target's.
    pub(crate) fn forward(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        log_start: i64,
    ) -> Answer {
        let map = match self.map(topic, partition) {
            Ok(map) => map,
            Err(answer) => return answer,
        };
        let beyond = offset.saturating_sub(map.map.ends().0);
        Answer::of(map.translate(offset), beyond, log_start)
    }

    /// What a place on the target is on the source. `log_start` is the source's.
    pub(crate) fn back(&self, topic: &str, partition: i32, offset: i64, log_start: i64) -> Answer {
        let map = match self.map(topic, partition) {
            Ok(map) => map,
            Err(answer) => return answer,
        };
        let beyond = offset.saturating_sub(map.map.ends().1);
        Answer::of(map.translate_back(offset), beyond, log_start)
    }

    /// What lies there may have been copied by another program: there is no map, or it begins further up.
    pub(crate) fn is_below_map(&self, topic: &str, partition: i32, answer: &Answer) -> bool {
        match (self.map(topic, partition), answer) {
            (Ok(_), Answer::Unknown(NotSynced::BelowMap, _)) => true,
            (Ok(_), _) => false,
            (Err(_), _) => !self.maps.contains_key(&(topic.to_owned(), partition)),
        }
    }

    /// There is such a topic on the source, or on the target.
    pub(crate) fn lists(&self, on: OffsetSyncsLocation, topic: &str) -> bool {
        match on {
            OffsetSyncsLocation::Source => self.topics.contains_key(topic),
            OffsetSyncsLocation::Target => self.remotes.contains_key(topic),
        }
    }

    fn map(&self, topic: &str, partition: i32) -> Result<&PartitionMap, Answer> {
        let no_map = "no offset map of it is stored: crosscurrent has not copied anything of it";
        let unknown =
            |reason: &str| Answer::Unknown(NotSynced::NothingReplicated, reason.to_owned());
        let map = self.maps.get(&(topic.to_owned(), partition));
        let map = map.ok_or_else(|| unknown(no_map))?;
        let now = self
            .topics
            .get(topic)
            .map_or(Uuid::nil(), |listed| listed.id);
        if map.topic_id().is_some_and(|id| now != id && !now.is_nil()) {
            return Err(unknown(
                "the source topic was created anew, and nothing of it is copied yet",
            ));
        }
        Ok(map)
    }
}

/// The stored offset maps of a flow; empty where there are none.
///
/// # Errors
/// They cannot be read.
pub(crate) async fn stored_maps(
    flow: &FlowConfig,
    target: &Cluster,
    remotes: &HashMap<String, TopicListing>,
) -> anyhow::Result<MapTable> {
    let topic = flow.offset_map_topic();
    let mut table = MapTable::new();
    if remotes.contains_key(&topic) {
        let apply = |record: engine::cluster::StoredRecord| {
            if let Err(error) = table.apply(record.key.as_deref(), record.value.as_deref()) {
                warn!(topic, offset = record.offset, %error, "skipping a malformed record");
            }
        };
        target.read_log(&topic, MAP_PARTITION, apply).await?;
    }
    Ok(table)
}

/// Offsets of partitions; those that are refused are left out.
///
/// # Errors
/// The cluster does not answer.
pub(crate) async fn log_offsets(
    cluster: &Cluster,
    partitions: &[At],
    at: OffsetAt,
) -> anyhow::Result<HashMap<At, i64>> {
    if partitions.is_empty() {
        return Ok(HashMap::new());
    }
    let found = cluster.offsets(partitions, at).await?;
    let found = found
        .into_iter()
        .filter_map(|(at, offset)| Some((at, offset.ok()?)));
    Ok(found.collect())
}
