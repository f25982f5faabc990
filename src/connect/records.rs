//! What a Connect worker keeps in its config topic and its status topic, as Connect 4.3.1 writes it (docs/spec/mm2.md 3.6).
//!
//! Keys are plain text, values JSON without schemas. What is malformed is an error that names nothing but itself: who reads
//! the topic knows where it stood.

use std::collections::BTreeMap;

use engine::offsets::connect_json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use actors::TargetState;

/// A connector's configuration, or a task's.
pub(crate) type Settings = BTreeMap<String, String>;

const CONNECTOR: &str = "connector-";
const TASK: &str = "task-";
const COMMIT: &str = "commit-";
const TARGET_STATE: &str = "target-state-";
const RESTART: &str = "restart-connector-";
/// Records of Connect's that concern only itself: keys of its REST between workers, fencing of tasks, levels of Java's loggers.
const LEFT_ALONE: [&str; 4] = [
    "session-key",
    "tasks-fencing-",
    "logger-cluster-",
    "restart-task-",
];
const STATUS_CONNECTOR: &str = "status-connector-";
const STATUS_TASK: &str = "status-task-";
const STATUS_TOPIC: &str = "status-topic-";
/// Between a topic's and a connector's name.
const OF_CONNECTOR: &str = ":connector-";

/// A record of the config topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConfigRecord {
    /// A connector is created or changed; none: it is deleted.
    Connector(String, Option<Settings>),
    /// The configuration of a task; counts from the next [`Commit`](Self::Commit) on.
    Task(String, usize, Option<Settings>),
    /// The tasks written before are those of the connector, so many.
    Commit(String, usize),
    /// What a connector shall do; none: nobody has said.
    Target(String, Option<TargetState>),
    /// A connector is to be restarted.
    Restart(String, Restart),
    /// Nothing that concerns us.
    LeftAlone,
}

/// What of a connector is to be restarted (KIP-745).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Restart {
    /// The tasks, too.
    #[serde(default)]
    pub(crate) include_tasks: bool,
    /// Only what has failed.
    #[serde(default)]
    pub(crate) only_failed: bool,
}

/// Why a record is not one of Connect's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("its key is not text")]
    Key,
    #[error("its key begins as none of Connect's")]
    UnknownKey,
    #[error("its key has no number behind the connector's name")]
    NoTask,
    #[error("its value is not what Connect writes under such a key")]
    Value,
}

#[derive(Deserialize)]
struct Properties {
    properties: BTreeMap<String, Option<String>>,
}

#[derive(Serialize, Deserialize)]
struct Commit {
    tasks: usize,
}

#[derive(Serialize, Deserialize)]
struct Target {
    state: Option<String>,
    /// Since Kafka 3.5; what older workers do not know is PAUSED in `state`.
    #[serde(rename = "state.v2")]
    state_v2: Option<String>,
}

fn parse<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, RecordError> {
    serde_json::from_slice(value).map_err(|_| RecordError::Value)
}

fn settings(value: Option<&[u8]>) -> Result<Option<Settings>, RecordError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let all = parse::<Properties>(value)?.properties;
    // A key without a value counts as absent, as when it is used.
    let set = all
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)));
    Ok(Some(set.collect()))
}

/// `<connector>-<n>`; a connector's name may hold dashes and digits itself.
fn task_of(text: &str) -> Result<(String, usize), RecordError> {
    let (name, number) = text.rsplit_once('-').ok_or(RecordError::NoTask)?;
    let number = number.parse().map_err(|_| RecordError::NoTask)?;
    Ok((name.to_owned(), number))
}

impl ConfigRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(crate) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, RecordError> {
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        let key = key.ok_or(RecordError::Key)?;
        if LEFT_ALONE.iter().any(|prefix| key.starts_with(prefix)) {
            return Ok(Self::LeftAlone);
        }
        if let Some(name) = key.strip_prefix(CONNECTOR) {
            return Ok(Self::Connector(name.to_owned(), settings(value)?));
        }
        if let Some(task) = key.strip_prefix(TASK) {
            let (name, number) = task_of(task)?;
            return Ok(Self::Task(name, number, settings(value)?));
        }
        if let Some(name) = key.strip_prefix(COMMIT) {
            return match value {
                Some(value) => Ok(Self::Commit(name.to_owned(), parse::<Commit>(value)?.tasks)),
                None => Ok(Self::LeftAlone),
            };
        }
        if let Some(name) = key.strip_prefix(TARGET_STATE) {
            let target = value.map(target_state).transpose()?;
            return Ok(Self::Target(name.to_owned(), target));
        }
        if let Some(name) = key.strip_prefix(RESTART) {
            return match value {
                Some(value) => Ok(Self::Restart(name.to_owned(), parse(value)?)),
                None => Ok(Self::LeftAlone),
            };
        }
        Err(RecordError::UnknownKey)
    }

    /// Key and value as Connect writes them. None for what is left alone: that is never written.
    pub(crate) fn encode(&self) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let (key, value) = match self {
            Self::Connector(name, settings) => {
                (format!("{CONNECTOR}{name}"), settings.as_ref().map(wrapped))
            }
            Self::Task(name, number, settings) => (
                format!("{TASK}{name}-{number}"),
                settings.as_ref().map(wrapped),
            ),
            Self::Commit(name, tasks) => (
                format!("{COMMIT}{name}"),
                encoded(Some(&Commit { tasks: *tasks })),
            ),
            Self::Target(name, target) => {
                let value = target.map(|target| {
                    let state_v2 = match target {
                        TargetState::Running => "STARTED",
                        TargetState::Paused => "PAUSED",
                        TargetState::Stopped => "STOPPED",
                    };
                    let state = match target {
                        TargetState::Running => "STARTED",
                        TargetState::Paused | TargetState::Stopped => "PAUSED",
                    };
                    Target {
                        state: Some(state.to_owned()),
                        state_v2: Some(state_v2.to_owned()),
                    }
                });
                let value = encoded(value.as_ref());
                (format!("{TARGET_STATE}{name}"), value)
            }
            Self::Restart(name, restart) => (format!("{RESTART}{name}"), encoded(Some(restart))),
            Self::LeftAlone => return None,
        };
        Some((key.into_bytes(), value))
    }
}

/// A map, so its members stand in the order of a Java hash map; everything else stands in Connect's order.
fn wrapped(settings: &Settings) -> Vec<u8> {
    connect_json(&json!({ "properties": settings }))
}

fn target_state(value: &[u8]) -> Result<TargetState, RecordError> {
    let target: Target = parse(value)?;
    let known = |text: &str| match text {
        "STARTED" => Some(TargetState::Running),
        "PAUSED" => Some(TargetState::Paused),
        "STOPPED" => Some(TargetState::Stopped),
        _ => None,
    };
    let texts = [target.state_v2, target.state];
    let mut states = texts.iter().flatten().map(|text| known(text));
    states.next().flatten().ok_or(RecordError::Value)
}

/// What a status is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StatusOf {
    /// A connector itself.
    Connector(String),
    /// One of its tasks.
    Task(String, usize),
}

/// The state of a connector or of a task. The order of members is Connect's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    /// `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `UNASSIGNED` or `RESTARTING`.
    pub(crate) state: String,
    /// Why it has failed.
    pub(crate) trace: Option<String>,
    /// Where it runs.
    pub(crate) worker_id: String,
    /// Of the worker's group: an older owner does not overwrite a newer one's state.
    pub(crate) generation: i64,
    /// Of the connector.
    #[serde(default)]
    pub(crate) version: Option<String>,
}

/// A record of the status topic; no value: the status is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StatusRecord {
    /// Of a connector or a task.
    State(StatusOf, Option<Status>),
    /// A topic is in use, or not any more.
    Topic {
        /// The topic.
        topic: String,
        /// Who writes to it.
        connector: String,
        /// Which of its tasks did first, and when (epoch milliseconds).
        since: Option<(usize, i64)>,
    },
}

impl StatusRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub(crate) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, RecordError> {
        let key = key.and_then(|key| std::str::from_utf8(key).ok());
        let key = key.ok_or(RecordError::Key)?;
        let of = if let Some(name) = key.strip_prefix(STATUS_CONNECTOR) {
            StatusOf::Connector(name.to_owned())
        } else if let Some(task) = key.strip_prefix(STATUS_TASK) {
            let (name, number) = task_of(task)?;
            StatusOf::Task(name, number)
        } else if let Some(rest) = key.strip_prefix(STATUS_TOPIC) {
            // A topic's name holds no colon.
            let (topic, connector) = rest.split_once(OF_CONNECTOR).ok_or(RecordError::Key)?;
            let since = value.map(topic_since).transpose()?;
            return Ok(Self::Topic {
                topic: topic.to_owned(),
                connector: connector.to_owned(),
                since,
            });
        } else {
            return Err(RecordError::UnknownKey);
        };
        Ok(Self::State(of, value.map(parse).transpose()?))
    }

    /// Key and value as Connect writes them.
    pub(crate) fn encode(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let (key, value) = match self {
            Self::State(StatusOf::Connector(name), status) => (
                format!("{STATUS_CONNECTOR}{name}"),
                encoded(status.as_ref()),
            ),
            Self::State(StatusOf::Task(name, number), status) => (
                format!("{STATUS_TASK}{name}-{number}"),
                encoded(status.as_ref()),
            ),
            Self::Topic {
                topic,
                connector,
                since,
            } => {
                let value = since.map(|(task, at_ms)| {
                    let (topic, connector) = (quoted(topic), quoted(connector));
                    format!(
                        r#"{{"topic":{{"name":{topic},"connector":{connector},"task":{task},"discoverTimestamp":{at_ms}}}}}"#
                    )
                });
                (
                    format!("{STATUS_TOPIC}{topic}{OF_CONNECTOR}{connector}"),
                    value.map(String::into_bytes),
                )
            }
        };
        (key.into_bytes(), value)
    }
}

/// Members in the order in which they are declared.
fn encoded(value: Option<&impl Serialize>) -> Option<Vec<u8>> {
    value.and_then(|value| serde_json::to_vec(value).ok())
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn topic_since(value: &[u8]) -> Result<(usize, i64), RecordError> {
    let all: Map<String, Value> = parse(value)?;
    let topic = all.get("topic").and_then(Value::as_object);
    let number = |key: &str| {
        topic
            .and_then(|topic| topic.get(key))
            .and_then(Value::as_i64)
    };
    let task = number("task").and_then(|task| usize::try_from(task).ok());
    match (task, number("discoverTimestamp")) {
        (Some(task), Some(at_ms)) => Ok((task, at_ms)),
        _ => Err(RecordError::Value),
    }
}

#[cfg(test)]
mod tests;
