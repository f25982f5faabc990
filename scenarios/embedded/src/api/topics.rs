//! Topics come and go.

mod create;
mod delete;
mod describe;
mod grow;
pub(crate) mod placement;

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

pub(crate) use create::create_topics;
pub(crate) use delete::delete_topics;
pub(crate) use describe::describe_topic_partitions;
pub(crate) use grow::create_partitions;

use crate::config::{Entries, topics as entries};
use crate::security::{Operation, Resource};
use crate::server::Incoming;
use crate::state::{Partition, State, Topic};

/// Longest topic name: 249 characters, so that with `-` and a partition it is a file name.
const NAME_MAX: usize = 249;

/// Where a KRaft cluster keeps its metadata; no client creates it.
const METADATA_TOPIC: &str = "__cluster_metadata";

/// Error code and, if there is one, Kafka's message.
pub(crate) type Refusal = (ResponseError, Option<String>);

fn refusal<T>(error: ResponseError, message: impl Into<String>) -> Result<T, Refusal> {
    Err((error, Some(message.into())))
}

/// Why this cannot be a topic's name, as Kafka says it.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let problem = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        long if long.len() > NAME_MAX => {
            format!("the length of '{name}' is longer than the max allowed length {NAME_MAX}")
        }
        other if !other.chars().all(valid) => format!(
            "'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
        ),
        _ => return None,
    };
    Some(format!("Topic name is invalid: {problem}"))
}

/// The existing topic whose metrics would have the same name: `.` and `_` are the same there.
fn collision<'a>(state: &'a State, name: &str) -> Option<&'a str> {
    let plain = |name: &str| name.replace('.', "_");
    let wanted = plain(name);
    let same = |other: &&str| other.len() == name.len() && plain(other) == wanted;
    state.topics.keys().map(String::as_str).find(same)
}

/// Creates a topic that a client asked about, with the broker's defaults, if the broker does that
/// (`auto.create.topics.enable`) and the client may.
pub(crate) fn create_on_sight(incoming: &Incoming, name: &str) {
    if name_problem(name).is_some() || name == METADATA_TOPIC || !may_create(incoming, name) {
        return;
    }
    let mut state = incoming.shared.state();
    if state.topic(name).is_some() || !state.configs.flag("auto.create.topics.enable") {
        return;
    }
    let (partitions, replicas, own) = shape_on_sight(&state, name);
    // With too few brokers nothing is created: the client goes on seeing UNKNOWN_TOPIC_OR_PARTITION.
    if let Ok(places) = placement::spread(&state, 0, partitions, replicas) {
        let topic = with_places(&state, name, places, own);
        state.put(topic);
    }
}

/// Partitions, replication factor and entries of a topic that nobody described: internal topics have their own.
fn shape_on_sight(state: &State, name: &str) -> (i32, i16, Entries) {
    let entries = |of: &[(&str, &str)]| {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        of.iter().map(own).collect()
    };
    let segment = |property: &str| state.configs.number(property, 100 << 20).to_string();
    let (partitions, replicas, own) = match name {
        "__consumer_offsets" => (
            "offsets.topic.num.partitions",
            "offsets.topic.replication.factor",
            entries(&[
                ("cleanup.policy", "compact"),
                ("compression.type", "producer"),
                ("segment.bytes", &segment("offsets.topic.segment.bytes")),
            ]),
        ),
        "__transaction_state" => (
            "transaction.state.log.num.partitions",
            "transaction.state.log.replication.factor",
            entries(&[
                ("cleanup.policy", "compact"),
                ("compression.type", "uncompressed"),
                (
                    "min.insync.replicas",
                    &state
                        .configs
                        .number("transaction.state.log.min.isr", 2)
                        .to_string(),
                ),
                (
                    "segment.bytes",
                    &segment("transaction.state.log.segment.bytes"),
                ),
                ("unclean.leader.election.enable", "false"),
            ]),
        ),
        _ => (
            "num.partitions",
            "default.replication.factor",
            Entries::new(),
        ),
    };
    let number = |property: &str| state.configs.number(property, 1);
    (
        i32::try_from(number(partitions)).unwrap_or(1),
        i16::try_from(number(replicas)).unwrap_or(1),
        own,
    )
}

fn may_create(incoming: &Incoming, name: &str) -> bool {
    incoming.may(Operation::Create, Resource::Cluster)
        || incoming.may(Operation::Create, Resource::Topic(name))
}

/// A new topic whose replicas are spread over the brokers that are up; at most as many replicas as there are brokers.
pub(crate) fn build(
    state: &State,
    name: &str,
    partitions: i32,
    replication_factor: i16,
    configs: BTreeMap<String, String>,
) -> Topic {
    let brokers = i16::try_from(state.registered.len()).unwrap_or(i16::MAX);
    let replicas = replication_factor.clamp(1, brokers.max(1));
    let places = placement::spread(state, 0, partitions, replicas).unwrap_or_default();
    with_places(state, name, places, configs)
}

/// A new topic with the replicas of each partition.
fn with_places(state: &State, name: &str, places: Vec<Vec<i32>>, configs: Entries) -> Topic {
    Topic {
        name: name.to_owned(),
        id: Uuid::new_v4(),
        settings: Arc::new(entries::settings(&state.configs, &configs)),
        configs,
        partitions: partitions(state, 0, places),
    }
}

/// New partitions from index `first` on. Replicas that are down are not in sync and do not lead.
fn partitions(state: &State, first: usize, places: Vec<Vec<i32>>) -> Vec<Arc<Partition>> {
    let up: Vec<i32> = state.up().collect();
    let new = |(index, replicas): (usize, Vec<i32>)| {
        let partition = Partition::new(i32::try_from(index).unwrap_or(i32::MAX), replicas);
        let mut data = partition.lock();
        let leadership = &mut data.leadership;
        leadership.isr.retain(|node_id| up.contains(node_id));
        leadership.leader = leadership.isr.first().copied().unwrap_or(-1);
        drop(data);
        Arc::new(partition)
    };
    (first..).zip(places).map(new).collect()
}

/// Parses the entries of all topics anew: what the brokers have as defaults has changed.
pub(crate) fn refresh_settings(state: &mut State) {
    let topics: Vec<Topic> = state
        .topics
        .values()
        .map(|topic| Topic::clone(topic))
        .collect();
    for mut topic in topics {
        let settings = entries::settings(&state.configs, &topic.configs);
        if *topic.settings != settings {
            topic.settings = Arc::new(settings);
            state.put(topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and messages of 4.3.1.
    #[test]
    fn names_are_judged_as_by_a_broker() {
        let long = "x".repeat(250);
        for (name, message) in [
            ("", "the empty string is not allowed".to_owned()),
            (".", "'.' is not allowed".to_owned()),
            ("..", "'..' is not allowed".to_owned()),
            ("a b", "'a b' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'".to_owned()),
            (&long, format!("the length of '{long}' is longer than the max allowed length 249")),
        ] {
            assert_eq!(name_problem(name), Some(format!("Topic name is invalid: {message}")));
        }
        assert_eq!(name_problem("a.b_c-D9"), None);
        assert_eq!(name_problem(&"x".repeat(249)), None);
    }
}
