//! What the status topic says, and what has to be written so that it says what is.

use std::collections::{BTreeMap, BTreeSet};

use super::records::{Status, StatusOf, StatusRecord};
use crate::rest::CONNECT_VERSION;

/// The states and the topics in use, as the status topic has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statuses {
    states: BTreeMap<StatusOf, Status>,
    /// By connector.
    topics: BTreeMap<String, BTreeSet<String>>,
}

/// What a connector or a task is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) state: &'static str,
    /// Why it has failed.
    pub(crate) trace: Option<String>,
}

impl Statuses {
    /// Takes the next record.
    pub(crate) fn apply(&mut self, record: StatusRecord) {
        match record {
            StatusRecord::State(of, Some(status)) => drop(self.states.insert(of, status)),
            StatusRecord::State(of, None) => drop(self.states.remove(&of)),
            StatusRecord::Topic {
                topic,
                connector,
                since: Some(_),
            } => drop(self.topics.entry(connector).or_default().insert(topic)),
            StatusRecord::Topic {
                topic, connector, ..
            } => {
                if let Some(topics) = self.topics.get_mut(&connector) {
                    topics.remove(&topic);
                }
            }
        }
    }

    /// The latest generation that wrote a state. Ours is the same: a Connect worker that comes after us is not taken for an
    /// older one.
    pub(crate) fn generation(&self) -> i64 {
        let all = self.states.values().map(|status| status.generation);
        all.max().unwrap_or(0)
    }

    /// What has to be written for the states to be those of `now`; states of what is not among them are removed.
    pub(crate) fn changes(
        &self,
        now: &BTreeMap<StatusOf, Now>,
        worker_id: &str,
        generation: i64,
    ) -> Vec<StatusRecord> {
        let gone = self.states.keys().filter(|of| !now.contains_key(of));
        let mut changes: Vec<_> = gone
            .map(|of| StatusRecord::State(of.clone(), None))
            .collect();
        for (of, now) in now {
            let known = self.states.get(of).is_some_and(|status| {
                status.state == now.state
                    && status.trace == now.trace
                    && status.worker_id == worker_id
            });
            if !known {
                let assigned = now.state != "UNASSIGNED";
                let status = Status {
                    state: now.state.to_owned(),
                    trace: now.trace.clone(),
                    worker_id: worker_id.to_owned(),
                    generation,
                    version: assigned.then(|| CONNECT_VERSION.to_owned()),
                };
                changes.push(StatusRecord::State(of.clone(), Some(status)));
            }
        }
        changes
    }

    /// The topics that a connector is known to write to.
    pub(crate) fn topics(&self, connector: &str) -> impl Iterator<Item = &str> {
        self.topics
            .get(connector)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Whether it is known that a connector writes to a topic.
    pub(crate) fn uses(&self, connector: &str, topic: &str) -> bool {
        self.topics
            .get(connector)
            .is_some_and(|topics| topics.contains(topic))
    }

    /// What has to be written for a connector's topics to be forgotten.
    pub(crate) fn forget_topics(&self, connector: &str) -> Vec<StatusRecord> {
        self.topics(connector)
            .map(|topic| StatusRecord::Topic {
                topic: topic.to_owned(),
                connector: connector.to_owned(),
                since: None,
            })
            .collect()
    }

    /// Connectors of which topics are known.
    pub(crate) fn with_topics(&self) -> impl Iterator<Item = &str> {
        self.topics
            .iter()
            .filter(|(_, topics)| !topics.is_empty())
            .map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(states: &[(&str, &'static str)]) -> BTreeMap<StatusOf, Now> {
        let one = |(name, state): &(&str, &'static str)| {
            let of = StatusOf::Connector((*name).to_owned());
            (of, Now { state, trace: None })
        };
        states.iter().map(one).collect()
    }

    fn written(statuses: &mut Statuses, states: &[(&str, &'static str)]) -> Vec<String> {
        let changes = statuses.changes(&now(states), "h:1", 7);
        let shown = changes.iter().map(|record| {
            let (key, value) = record.encode();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            format!("{} {}", text(key), value.map_or("-".to_owned(), text))
        });
        let shown = shown.collect();
        changes
            .into_iter()
            .for_each(|record| statuses.apply(record));
        shown
    }

    #[test]
    fn only_changes_are_written() {
        let mut statuses = Statuses::default();
        let running = r#"status-connector-c {"state":"RUNNING","trace":null,"worker_id":"h:1","generation":7,"version":"4.3.1"}"#;
        assert_eq!(written(&mut statuses, &[("c", "RUNNING")]), [running]);
        assert!(written(&mut statuses, &[("c", "RUNNING")]).is_empty());
        let unassigned = r#"status-connector-c {"state":"UNASSIGNED","trace":null,"worker_id":"h:1","generation":7,"version":null}"#;
        assert_eq!(written(&mut statuses, &[("c", "UNASSIGNED")]), [unassigned]);
        assert_eq!(written(&mut statuses, &[]), ["status-connector-c -"]);
        assert!(written(&mut statuses, &[]).is_empty());
    }

    #[test]
    fn topics_in_use_are_known_and_forgotten() {
        let mut statuses = Statuses::default();
        for topic in ["b", "a"] {
            statuses.apply(StatusRecord::Topic {
                topic: topic.to_owned(),
                connector: "c".to_owned(),
                since: Some((0, 1)),
            });
        }
        assert_eq!(statuses.topics("c").collect::<Vec<_>>(), ["a", "b"]);
        assert!(statuses.uses("c", "a") && !statuses.uses("d", "a"));
        for record in statuses.forget_topics("c") {
            statuses.apply(record);
        }
        assert_eq!(statuses.topics("c").count(), 0);
        assert_eq!(statuses.with_topics().count(), 0);
    }
}
