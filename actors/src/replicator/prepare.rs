//! What a replicator needs before it reads.

use std::sync::Arc;

use engine::batch::{TargetRules, TimestampType};
use engine::cluster::{Cluster, ClusterError, ConfigEntry, ErrorCode, OffsetAt, Refusal};
use engine::lane::raw::produce::ProduceVersions;
use topology::AutoOffsetReset;

use super::Assignment;
use crate::flow::Flow;

/// Everything that the brokers had to be asked for.
pub(super) struct Prepared {
    pub rules: TargetRules,
    pub position: i64,
}

/// Why there is no start now.
pub(super) enum PrepareError {
    /// Try again.
    Retry(String),
    /// An operator decides.
    Halt(String),
}

impl From<ClusterError> for PrepareError {
    fn from(error: ClusterError) -> Self {
        Self::Retry(error.to_string())
    }
}

/// What the target accepts, and the place to begin.
pub(super) async fn prepare(flow: Arc<Flow>, at: Assignment) -> Result<Prepared, PrepareError> {
    flow.target
        .leader_or_refresh(&at.remote_topic, at.partition)
        .await?;
    let known = flow.rules.get(&at.remote_topic).map(|rules| *rules);
    let rules = match known {
        Some(rules) => rules,
        None => load_rules(&flow, &at.remote_topic).await?,
    };
    let position = match at.resume_at {
        Some(position) => position,
        None => {
            let reset = match flow.config.auto_offset_reset {
                AutoOffsetReset::Earliest => OffsetAt::Earliest,
                AutoOffsetReset::Latest => OffsetAt::Latest,
                AutoOffsetReset::None => return Err(PrepareError::Halt(no_position(&flow, &at))),
            };
            flow.source
                .offset(&at.source_topic, at.partition, reset)
                .await?
        }
    };
    Ok(Prepared { rules, position })
}

fn no_position(flow: &Flow, at: &Assignment) -> String {
    format!(
        "no position of {}-{} is stored in {} and auto.offset.reset is none: set it to earliest or latest",
        at.source_topic, at.partition, flow.config.offset_storage_topic
    )
}

/// Asks what the brokers of a remote topic accept, and keeps it for the flow's other partitions.
///
/// # Errors
/// As [`load_all_rules`].
pub(crate) async fn load_rules(
    flow: &Flow,
    remote_topic: &str,
) -> Result<TargetRules, ClusterError> {
    load_all_rules(flow, &[remote_topic.to_owned()]).await?;
    let rules = flow.rules.get(remote_topic).map(|rules| *rules);
    rules.ok_or_else(|| ClusterError::Refused {
        alias: flow.target.alias().into(),
        api: "DescribeConfigs",
        what: remote_topic.to_owned(),
        refusal: Refusal {
            code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            message: None,
        },
    })
}

/// As [`load_rules`], for many topics in few requests.
///
/// # Errors
/// [`ClusterError`] when the target does not answer. A target that will not say (no DESCRIBE_CONFIGS) is taken for one
/// with Kafka's defaults; its answers to our batches tell the rest.
pub(crate) async fn load_all_rules(
    flow: &Flow,
    remote_topics: &[String],
) -> Result<(), ClusterError> {
    let zstd = takes_zstd(&flow.target).await?;
    for (topic, answer) in flow.target.topic_configs(remote_topics).await? {
        let mut rules = TargetRules {
            zstd,
            ..TargetRules::default()
        };
        match answer {
            Ok(entries) => apply(&mut rules, &entries),
            // Just created, and not known to that broker yet: no rules are better than wrong ones.
            Err(refusal) if refusal.code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                flow.rules.remove(topic.as_str());
                continue;
            }
            Err(refusal) => {
                tracing::warn!(topic, %refusal, "the target does not tell the topic's configs: assuming defaults");
            }
        }
        flow.rules.insert(topic.into(), rules);
    }
    Ok(())
}

async fn takes_zstd(target: &Cluster) -> Result<bool, ClusterError> {
    let connection = target.any().await?;
    Ok(ProduceVersions::new(connection.versions())?.zstd())
}

fn apply(rules: &mut TargetRules, entries: &[ConfigEntry]) {
    for entry in entries {
        let value = entry.value.as_deref().unwrap_or_default();
        match entry.name.as_str() {
            "message.timestamp.type" if value == "LogAppendTime" => {
                rules.timestamp_type = TimestampType::LogAppendTime;
            }
            "max.message.bytes" => {
                rules.max_message_bytes = value.parse().unwrap_or(rules.max_message_bytes);
            }
            "segment.bytes" => rules.segment_bytes = value.parse().unwrap_or(rules.segment_bytes),
            _ => {}
        }
    }
}
