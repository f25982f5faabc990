//! What is to be compared, and what is known about it before.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::bail;
use engine::cluster::{Cluster, ErrorCode, TopicListing};
use engine::offsets::{OffsetMap, OffsetTable, SourcePartition};
use topology::{FlowConfig, IsolationLevel};
use uuid::Uuid;

use crate::tools;
use crate::translate::pair::stored_maps;

/// A partition to compare.
pub(crate) struct Job {
    /// `A->B`.
    pub(crate) flow: String,
    /// Index in [`Plan::flows`].
    pub(crate) flow_index: usize,
    /// Name on the source.
    pub(crate) topic: String,
    /// Name on the target.
    pub(crate) remote: String,
    pub(crate) partition: i32,
    /// Ids of both topics.
    pub(crate) ids: [Uuid; 2],
    pub(crate) read_committed: bool,
    pub(crate) source_compacted: bool,
    pub(crate) target_compacted: bool,
    pub(crate) map: Option<OffsetMap>,
    /// Behind the last source offset that is stored as copied.
    pub(crate) position: Option<i64>,
    /// Why it cannot be compared.
    pub(crate) impossible: Option<String>,
}

/// All of it.
pub(crate) struct Plan {
    pub(crate) flows: Vec<FlowConfig>,
    pub(crate) jobs: Vec<Job>,
}

impl Plan {
    /// Asks both clusters of each flow. What is stored about the flow is read before anything of the logs, so that the logs
    /// have what it speaks of.
    ///
    /// # Errors
    /// A cluster does not answer, or a topic that was named is not there.
    pub(crate) async fn make(flows: &[FlowConfig], wanted: &[String]) -> anyhow::Result<Self> {
        let mut plan = Self {
            flows: Vec::new(),
            jobs: Vec::new(),
        };
        let mut named = Vec::new();
        for flow in flows {
            let (source, target) = (tools::cluster(&flow.source), tools::cluster(&flow.target));
            let topics = source.topics().await?;
            let topics: Vec<_> = topics
                .into_iter()
                .filter(|topic| match wanted {
                    [] => flow.replicates(&topic.name),
                    wanted => wanted.contains(&topic.name),
                })
                .collect();
            named.extend(topics.iter().map(|topic| topic.name.clone()));
            plan.add(flow, &source, &target, topics).await?;
        }
        if let Some(topic) = wanted.iter().find(|topic| !named.contains(topic)) {
            bail!("--topic: no source cluster has the topic `{topic}`, or may show it to us");
        }
        Ok(plan)
    }

    async fn add(
        &mut self,
        flow: &FlowConfig,
        source: &Arc<Cluster>,
        target: &Arc<Cluster>,
        topics: Vec<TopicListing>,
    ) -> anyhow::Result<()> {
        let remotes = target.topics().await?;
        let remotes: HashMap<_, _> = remotes
            .into_iter()
            .map(|topic| (topic.name.clone(), topic))
            .collect();
        let mut maps = stored_maps(flow, target, &remotes).await?;
        let positions = positions(flow, target, &remotes).await?;
        let names = topics.iter().map(|topic| topic.name.clone());
        let on_source = compacted(source, names.collect()).await?;
        let names = topics.iter().map(|topic| flow.remote_topic(&topic.name));
        let there = names.filter(|name| remotes.contains_key(name));
        let on_target = compacted(target, there.collect()).await?;
        let flow_index = self.flows.len();
        self.flows.push(flow.clone());
        for topic in topics {
            let remote = flow.remote_topic(&topic.name);
            let listed = remotes.get(&remote);
            for partition in 0..topic.partitions {
                let stored = maps.take(&topic.name, partition);
                // That of a topic that was deleted since says nothing about this one.
                let stored = stored.filter(|stored| {
                    stored.head.topic_id == topic.id
                        || stored.head.topic_id.is_nil()
                        || topic.id.is_nil()
                });
                let at = SourcePartition {
                    cluster: flow.id.source.to_string(),
                    topic: topic.name.clone(),
                    partition,
                };
                let position = positions.last_replicated(&flow.connector_names.source, &at);
                let impossible = match listed {
                    None => Some(format!("{} has no topic {remote}", target.alias())),
                    Some(listed) if listed.partitions <= partition => Some(format!(
                        "{remote} has only {} partitions",
                        listed.partitions
                    )),
                    Some(_) => None,
                };
                self.jobs.push(Job {
                    flow: flow.id.to_string(),
                    flow_index,
                    source_compacted: on_source.get(&topic.name).copied().unwrap_or(true),
                    target_compacted: on_target.get(&remote).copied().unwrap_or(true),
                    topic: topic.name.clone(),
                    remote: remote.clone(),
                    partition,
                    ids: [topic.id, listed.map_or(Uuid::nil(), |listed| listed.id)],
                    read_committed: flow.isolation_level == IsolationLevel::ReadCommitted,
                    map: stored.map(|stored| stored.map),
                    position: position.map(|at| at.0.saturating_add(1)),
                    impossible,
                });
            }
        }
        Ok(())
    }
}

/// Connect's stored positions; none where there are none.
async fn positions(
    flow: &FlowConfig,
    target: &Cluster,
    remotes: &HashMap<String, TopicListing>,
) -> anyhow::Result<OffsetTable> {
    let topic = &flow.offset_storage_topic;
    let mut table = OffsetTable::new();
    let partitions = remotes.get(topic).map_or(0, |listed| listed.partitions);
    for partition in 0..partitions {
        target
            .read_log(topic, partition, |record| {
                // Others' connectors may write what they like there.
                _ = table.apply(record.key.as_deref(), record.value.as_deref());
            })
            .await?;
    }
    Ok(table)
}

/// Which topics are compacted, as far as the cluster tells: it may refuse to.
async fn compacted(
    cluster: &Cluster,
    topics: Vec<String>,
) -> anyhow::Result<HashMap<String, bool>> {
    let answers = match cluster.topic_configs(&topics).await {
        Ok(answers) => answers,
        Err(error) if error.code().is_some_and(|code| code != ErrorCode::NONE) => HashMap::new(),
        Err(error) => return Err(error.into()),
    };
    let told = answers.into_iter().filter_map(|(topic, configs)| {
        let configs = configs.ok()?;
        let policy = configs
            .into_iter()
            .find(|entry| entry.name == "cleanup.policy")?;
        Some((topic, policy.value?.contains("compact")))
    });
    Ok(told.collect())
}
