//! What is configured: described, changed, listed.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse as Altered;
use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{
    AlterConfigsRequest, AlterConfigsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
    IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::INVALID_REQUEST_WORDS;
use super::topics::{self, name_problem};
use crate::config::alter::{Change, Operation as ConfigOperation, Refusal, check_changes};
use crate::config::{Described, Entries};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{State, Topic};

/// Types of resources that have a configuration; the numbers are the protocol's.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

fn invalid_request<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err((ResponseError::InvalidRequest, message.into()))
}

/// The principal may do this to what the resource stands for: topics and groups by name, everything else is the cluster's.
///
/// # Errors
/// The authorization error that goes with the resource's type.
fn authorize(
    incoming: &Incoming,
    operation: Operation,
    kind: i8,
    name: &str,
) -> Result<(), Refusal> {
    use ResponseError::{
        ClusterAuthorizationFailed, GroupAuthorizationFailed, TopicAuthorizationFailed,
    };
    let (resource, error, what) = match kind {
        TOPIC => (Resource::Topic(name), TopicAuthorizationFailed, "Topic"),
        GROUP => (Resource::Group(name), GroupAuthorizationFailed, "Group"),
        _ => (Resource::Cluster, ClusterAuthorizationFailed, "Cluster"),
    };
    if incoming.may(operation, resource) {
        return Ok(());
    }
    Err((error, format!("{what} authorization failed.")))
}

// === describing ===

/// DescribeConfigs.
pub(crate) async fn describe_configs(
    incoming: &Incoming,
    request: DescribeConfigsRequest,
) -> Result<DescribeConfigsResponse, Closed> {
    let state = incoming.shared.state();
    let results = request.resources.into_iter().map(|resource| {
        let result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match described(incoming, &state, &resource) {
            Err((error, message)) => result
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
            Ok(entries) => {
                let wanted = |entry: &Described| match &resource.configuration_keys {
                    Some(keys) if !keys.is_empty() => keys.iter().any(|key| **key == *entry.name),
                    _ => true,
                };
                let entries = entries.into_iter().filter(wanted);
                let rows = entries.map(|entry| {
                    row(
                        entry,
                        request.include_synonyms,
                        request.include_documentation,
                    )
                });
                result
                    .with_error_message(Some(StrBytes::default()))
                    .with_configs(rows.collect())
            }
        }
    });
    Ok(DescribeConfigsResponse::default().with_results(results.collect()))
}

fn described(
    incoming: &Incoming,
    state: &State,
    resource: &DescribeConfigsResource,
) -> Result<Vec<Described>, Refusal> {
    let (kind, name) = (resource.resource_type, &*resource.resource_name);
    let node_id = incoming.node_id;
    if !matches!(
        kind,
        TOPIC | BROKER | BROKER_LOGGER | CLIENT_METRICS | GROUP
    ) {
        return invalid_request(INVALID_REQUEST_WORDS);
    }
    authorize(incoming, Operation::DescribeConfigs, kind, name)?;
    let configs = &state.configs;
    match kind {
        TOPIC => {
            if let Some(problem) = name_problem(name) {
                return Err((ResponseError::InvalidTopicException, problem));
            }
            let unknown = (ResponseError::UnknownTopicOrPartition, String::new());
            let topic = state.topic(name).ok_or(unknown)?;
            Ok(configs.describe_topic(node_id, &topic.configs))
        }
        BROKER if name.is_empty() => Ok(configs.describe_default_broker()),
        BROKER_LOGGER if name.is_empty() => invalid_request("Broker id must not be empty"),
        BROKER | BROKER_LOGGER => {
            let or_empty = if kind == BROKER {
                " or empty string,"
            } else {
                ""
            };
            match name.trim().parse::<i32>() {
                Err(_) => {
                    invalid_request(format!("Broker id must be an integer, but it is: {name}"))
                }
                Ok(asked) if asked != node_id => invalid_request(format!(
                    "Unexpected broker id, expected {node_id}{or_empty} but received {name}"
                )),
                // There is no logger in here.
                Ok(_) if kind == BROKER_LOGGER => Ok(Vec::new()),
                Ok(_) => Ok(configs.describe_broker(node_id, &given(state, node_id))),
            }
        }
        CLIENT_METRICS if name.is_empty() => {
            invalid_request("Client metrics subscription name must not be empty")
        }
        CLIENT_METRICS => Ok(configs.describe_subscription(node_id, name)),
        _ if name.is_empty() => invalid_request("Group name must not be empty"),
        _ => Ok(configs.describe_group(node_id, name)),
    }
}

/// What a broker runs with though nobody configured it.
fn given(state: &State, node_id: i32) -> Entries {
    let addresses = state.brokers.get(&node_id).map(|broker| &broker.addresses);
    let listeners = addresses.into_iter().flatten();
    let listeners: Vec<String> = listeners
        .map(|address| format!("PLAINTEXT://{address}"))
        .collect();
    Entries::from([
        ("node.id".to_owned(), node_id.to_string()),
        ("broker.id".to_owned(), node_id.to_string()),
        ("process.roles".to_owned(), "broker,controller".to_owned()),
        ("listeners".to_owned(), listeners.join(",")),
        ("log.dirs".to_owned(), super::cluster::LOG_DIR.to_owned()),
    ])
}

fn row(entry: Described, synonyms: bool, documentation: bool) -> DescribeConfigsResourceResult {
    let rows = entry
        .synonyms
        .into_iter()
        .filter(|_| synonyms)
        .map(|synonym| {
            DescribeConfigsSynonym::default()
                .with_name(StrBytes::from_string(synonym.name))
                .with_value(Some(StrBytes::from_string(synonym.value)))
                .with_source(synonym.source as i8)
        });
    let documentation = Some(entry.documentation).filter(|text| documentation && !text.is_empty());
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_string(entry.name))
        .with_value(entry.value.map(StrBytes::from_string))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source as i8)
        .with_is_sensitive(entry.sensitive)
        .with_synonyms(rows.collect())
        .with_config_type(entry.kind.map_or(0, |kind| kind as i8))
        .with_documentation(documentation.map(StrBytes::from_static_str))
}

// === changing ===

/// Changes of one resource.
struct Order {
    kind: i8,
    name: StrBytes,
    changes: Vec<Change>,
    /// One of the changes has an operation that the protocol does not know.
    odd_operation: bool,
}

/// IncrementalAlterConfigs: each resource by itself; one that comes twice is refused each time.
pub(crate) async fn incremental_alter_configs(
    incoming: &Incoming,
    request: IncrementalAlterConfigsRequest,
) -> Result<IncrementalAlterConfigsResponse, Closed> {
    let mut times: HashMap<(i8, StrBytes), usize> = HashMap::new();
    for resource in &request.resources {
        let key = (resource.resource_type, resource.resource_name.clone());
        *times.entry(key).or_default() += 1;
    }
    let mut state = incoming.shared.state();
    let results = request.resources.into_iter().map(|resource| {
        let mut odd_operation = false;
        let changes = resource.configs.iter().map(|config| {
            let operation = ConfigOperation::of(config.config_operation);
            odd_operation |= operation.is_none();
            Change {
                name: config.name.to_string(),
                operation: operation.unwrap_or(ConfigOperation::Set),
                value: config.value.as_ref().map(ToString::to_string),
            }
        });
        let changes = changes.collect();
        let order = Order {
            kind: resource.resource_type,
            name: resource.resource_name,
            changes,
            odd_operation,
        };
        let result = match times.get(&(order.kind, order.name.clone())) {
            Some(2..) => {
                invalid_request("Each resource must appear at most once.").map_err(with_message)
            }
            _ => change(incoming, &mut state, &order, request.validate_only),
        };
        let row = Altered::default()
            .with_resource_type(order.kind)
            .with_resource_name(order.name)
            .with_error_message(None);
        match result {
            Ok(()) => row,
            Err((error, message)) => row
                .with_error_code(error.code())
                .with_error_message(message.map(StrBytes::from_string)),
        }
    });
    Ok(IncrementalAlterConfigsResponse::default().with_responses(results.collect()))
}

fn with_message((error, message): Refusal) -> topics::Refusal {
    (error, Some(message))
}

/// AlterConfigs, the older way: what is not named is taken away. A resource that comes twice closes the connection.
pub(crate) async fn alter_configs(
    incoming: &Incoming,
    request: AlterConfigsRequest,
) -> Result<AlterConfigsResponse, Closed> {
    let mut seen = BTreeMap::new();
    for resource in &request.resources {
        let key = (resource.resource_type, resource.resource_name.to_string());
        if seen.insert(key, ()).is_some() {
            return Err(Closed);
        }
    }
    let mut state = incoming.shared.state();
    let results = request.resources.into_iter().map(|resource| {
        let set = resource.configs.iter().map(|config| Change {
            name: config.name.to_string(),
            operation: ConfigOperation::Set,
            value: config.value.as_ref().map(ToString::to_string),
        });
        let mut changes: Vec<Change> = set.collect();
        let own = own_entries(&state, resource.resource_type, &resource.resource_name);
        let gone = own
            .keys()
            .filter(|name| !changes.iter().any(|change| change.name == **name));
        let gone: Vec<Change> = gone
            .map(|name| Change {
                name: name.clone(),
                operation: ConfigOperation::Delete,
                value: None,
            })
            .collect();
        changes.extend(gone);
        let order = Order {
            kind: resource.resource_type,
            name: resource.resource_name,
            changes,
            odd_operation: false,
        };
        let result = match order.kind {
            BROKER_LOGGER => invalid_request(format!("Unknown resource type {BROKER_LOGGER}"))
                .map_err(with_message),
            _ => change(incoming, &mut state, &order, request.validate_only),
        };
        let row = AlterConfigsResourceResponse::default()
            .with_resource_type(order.kind)
            .with_resource_name(order.name)
            .with_error_message(None);
        match result {
            Ok(()) => row,
            Err((error, message)) => row
                .with_error_code(error.code())
                .with_error_message(message.map(StrBytes::from_string)),
        }
    });
    Ok(AlterConfigsResponse::default().with_responses(results.collect()))
}

/// What is set on a resource itself.
fn own_entries(state: &State, kind: i8, name: &str) -> Entries {
    let configs = &state.configs;
    let own = match kind {
        TOPIC => state.topic(name).map(|topic| &topic.configs),
        BROKER if name.is_empty() => Some(&configs.default_broker),
        BROKER => name
            .parse()
            .ok()
            .and_then(|node_id: i32| configs.brokers.get(&node_id)),
        CLIENT_METRICS => configs.subscriptions.get(name),
        GROUP => configs.groups.get(name),
        _ => None,
    };
    own.cloned().unwrap_or_default()
}

fn change(
    incoming: &Incoming,
    state: &mut State,
    order: &Order,
    validate_only: bool,
) -> Result<(), topics::Refusal> {
    let node_id = admit(incoming, order).map_err(with_message)?;
    if order.odd_operation {
        return Err((ResponseError::UnknownServerError, None));
    }
    apply(state, order, node_id, validate_only).map_err(with_message)
}

/// What the broker that is asked judges before the controller does; gives the broker that is meant, if one is.
fn admit(incoming: &Incoming, order: &Order) -> Result<Option<i32>, Refusal> {
    let (kind, name) = (order.kind, &*order.name);
    check_changes(&order.changes)?;
    if !matches!(
        kind,
        TOPIC | BROKER | BROKER_LOGGER | CLIENT_METRICS | GROUP
    ) {
        return invalid_request(format!("Unknown resource type {kind}"));
    }
    let node_id = match kind {
        BROKER | BROKER_LOGGER if !name.is_empty() => Some(own_node(incoming, name)?),
        _ => None,
    };
    authorize(incoming, Operation::AlterConfigs, kind, name)?;
    Ok(node_id)
}

fn apply(
    state: &mut State,
    order: &Order,
    node_id: Option<i32>,
    validate_only: bool,
) -> Result<(), Refusal> {
    let (kind, name, changes) = (order.kind, &*order.name, &order.changes);
    match kind {
        TOPIC => {
            let own = own_entries(state, kind, name);
            let configs = state.configs.alter_topic(name, &own, changes)?;
            let Some(topic) = state.topic(name) else {
                let message = format!("The topic '{name}' does not exist.");
                return Err((ResponseError::UnknownTopicOrPartition, message));
            };
            if !validate_only {
                let settings = crate::config::topics::settings(&state.configs, &configs);
                let topic = Topic {
                    configs,
                    settings: settings.into(),
                    ..Topic::clone(topic)
                };
                state.put(topic);
            }
            Ok(())
        }
        BROKER => {
            state
                .configs
                .alter_broker(node_id, changes, validate_only)?;
            if !validate_only {
                topics::refresh_settings(state);
            }
            Ok(())
        }
        BROKER_LOGGER => match changes.first() {
            Some(change) => {
                let message = format!("Logger {} does not exist!", change.name);
                Err((ResponseError::InvalidConfig, message))
            }
            None => Ok(()),
        },
        CLIENT_METRICS if name.is_empty() => invalid_request("Subscription name can't be empty"),
        CLIENT_METRICS => state
            .configs
            .alter_subscription(name, changes, validate_only),
        _ if name.is_empty() => invalid_request("Default group resources are not allowed."),
        _ => state.configs.alter_group(name, changes, validate_only),
    }
}

/// A broker changes only its own configuration.
fn own_node(incoming: &Incoming, name: &str) -> Result<i32, Refusal> {
    match name.trim().parse::<i32>() {
        Err(_) => invalid_request(format!("Node id must be an integer, but it is: {name}")),
        Ok(node_id) if node_id != incoming.node_id => invalid_request(format!(
            "Unexpected broker id, expected {}, but received {name}",
            incoming.node_id
        )),
        Ok(node_id) => Ok(node_id),
    }
}

// === listing ===

/// ListConfigResources (KIP-1142): what can be described. Version 0 knows client metrics only.
pub(crate) async fn list_config_resources(
    incoming: &Incoming,
    request: ListConfigResourcesRequest,
) -> Result<ListConfigResourcesResponse, Closed> {
    const ALL: [i8; 5] = [GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];
    if !incoming.may(Operation::DescribeConfigs, Resource::Cluster) {
        let error = ResponseError::ClusterAuthorizationFailed.code();
        return Ok(ListConfigResourcesResponse::default().with_error_code(error));
    }
    let asked = &request.resource_types;
    if asked.iter().any(|kind| !ALL.contains(kind)) {
        let error = ResponseError::UnsupportedVersion.code();
        return Ok(ListConfigResourcesResponse::default().with_error_code(error));
    }
    let state = incoming.shared.state();
    let wanted = ALL.iter().copied().filter(|kind| match incoming.version {
        0 => *kind == CLIENT_METRICS,
        _ => asked.is_empty() || asked.contains(kind),
    });
    let resources = wanted.flat_map(|kind| {
        let names: Vec<String> = match kind {
            GROUP => state.configs.groups.keys().cloned().collect(),
            CLIENT_METRICS => state.configs.subscriptions.keys().cloned().collect(),
            TOPIC => state.topics.keys().cloned().collect(),
            _ => state
                .registered()
                .map(|broker| broker.node_id.to_string())
                .collect(),
        };
        names.into_iter().map(move |name| {
            ConfigResource::default()
                .with_resource_name(StrBytes::from_string(name))
                .with_resource_type(kind)
        })
    });
    Ok(ListConfigResourcesResponse::default().with_config_resources(resources.collect()))
}
