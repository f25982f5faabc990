//! Topic configs.

use std::collections::HashMap;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::{Cluster, ClusterError, Refusal};

const RESOURCE_TOPIC: i8 = 2;
const OPERATION_SET: i8 = 0;
const OPERATION_DELETE: i8 = 1;
const DESCRIBE_CONFIGS_VERSION_MAX: i16 = 4;
const INCREMENTAL_ALTER_CONFIGS_VERSION_MAX: i16 = 1;
/// Topics per request: a topic has some 35 entries of 60 bytes.
const TOPICS_PER_REQUEST: usize = 200;

/// Where a value comes from (KIP-226's order).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic.
    Topic,
    /// Set dynamically on one broker, or as the cluster's dynamic default.
    DynamicBroker,
    /// From the broker's file.
    StaticBroker,
    /// Kafka's built-in default.
    Default,
    /// Something that this version does not know.
    Unknown,
}

impl ConfigSource {
    fn new(code: i8) -> Self {
        match code {
            1 => Self::Topic,
            2 | 3 => Self::DynamicBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            _ => Self::Unknown,
        }
    }
}

/// One entry of DescribeConfigs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Name, such as `cleanup.policy`.
    pub name: String,
    /// Value; none where it is sensitive.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: ConfigSource,
    /// Cannot be set.
    pub read_only: bool,
    /// A secret.
    pub sensitive: bool,
}

/// What shall become of one config of a topic; the topic's others stay as they are (KIP-339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Name, such as `cleanup.policy`.
    pub name: String,
    /// None: the topic has no value of its own any more, so the brokers' default is in force.
    pub value: Option<String>,
}

impl Cluster {
    /// The configs of topics; one result per topic.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub async fn topic_configs(
        &self,
        topics: &[String],
    ) -> Result<HashMap<String, Result<Vec<ConfigEntry>, Refusal>>, ClusterError> {
        let mut all = HashMap::with_capacity(topics.len());
        for chunk in topics.chunks(TOPICS_PER_REQUEST) {
            let resource = |name: &String| {
                DescribeConfigsResource::default()
                    .with_resource_type(RESOURCE_TOPIC)
                    .with_resource_name(StrBytes::from_string(name.clone()))
                    .with_configuration_keys(None)
            };
            let request = DescribeConfigsRequest::default()
                .with_resources(chunk.iter().map(resource).collect());
            let answer = self
                .ask_any("DescribeConfigs", &request, DESCRIBE_CONFIGS_VERSION_MAX)
                .await?;
            all.extend(answer.results.into_iter().map(|result| {
                let name = result.resource_name.to_string();
                match Refusal::new(result.error_code, result.error_message.as_deref()) {
                    Some(refusal) => (name, Err(refusal)),
                    None => (name, Ok(result.configs.into_iter().map(entry).collect())),
                }
            }));
        }
        Ok(all)
    }

    /// Changes configs of topics. Each result stands by itself: all changes of a topic are made, or none.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers, and for brokers before 2.3, which do not know the request.
    pub async fn alter_topic_configs(
        &self,
        changes: &[(String, Vec<ConfigChange>)],
    ) -> Result<Vec<(String, Option<Refusal>)>, ClusterError> {
        let mut results = Vec::with_capacity(changes.len());
        for chunk in changes.chunks(TOPICS_PER_REQUEST) {
            let request = IncrementalAlterConfigsRequest::default()
                .with_resources(chunk.iter().map(altered).collect());
            let answer = self
                .ask_any(
                    "IncrementalAlterConfigs",
                    &request,
                    INCREMENTAL_ALTER_CONFIGS_VERSION_MAX,
                )
                .await?;
            results.extend(answer.responses.into_iter().map(|result| {
                let refusal = Refusal::new(result.error_code, result.error_message.as_deref());
                (result.resource_name.to_string(), refusal)
            }));
        }
        Ok(results)
    }
}

fn altered((topic, changes): &(String, Vec<ConfigChange>)) -> AlterConfigsResource {
    let configs = changes.iter().map(|change| {
        let operation = match change.value {
            Some(_) => OPERATION_SET,
            None => OPERATION_DELETE,
        };
        AlterableConfig::default()
            .with_name(StrBytes::from_string(change.name.clone()))
            .with_config_operation(operation)
            .with_value(change.value.clone().map(StrBytes::from_string))
    });
    AlterConfigsResource::default()
        .with_resource_type(RESOURCE_TOPIC)
        .with_resource_name(StrBytes::from_string(topic.clone()))
        .with_configs(configs.collect())
}

fn entry(
    entry: kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult,
) -> ConfigEntry {
    ConfigEntry {
        name: entry.name.to_string(),
        value: entry.value.map(|value| value.to_string()),
        source: ConfigSource::new(entry.config_source),
        read_only: entry.read_only,
        sensitive: entry.is_sensitive,
    }
}
