//! What the config topic says: which connectors there are, what they shall do, which tasks they have.
//!
//! A value that is made of records in their order, and of nothing else: Connect's `KafkaConfigBackingStore` without I/O.

use std::collections::{BTreeMap, BTreeSet};

use actors::TargetState;

use super::records::{ConfigRecord, Restart, Settings};

/// A connector as the config topic has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Connector {
    /// As it was written, `${...}` included.
    pub(crate) config: Settings,
    /// What it shall do.
    pub(crate) target: TargetState,
    /// Its tasks as they were committed last; none while that is incomplete.
    pub(crate) tasks: Vec<Settings>,
}

/// All that was read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configs {
    connectors: BTreeMap<String, Settings>,
    targets: BTreeMap<String, TargetState>,
    tasks: BTreeMap<String, BTreeMap<usize, Settings>>,
    /// As of the last commit.
    counts: BTreeMap<String, usize>,
    /// Written, not committed.
    deferred: BTreeMap<String, BTreeMap<usize, Settings>>,
    /// Committed, though not all tasks are there: the log was cleaned before the commit.
    incomplete: BTreeSet<String>,
}

impl Configs {
    /// Takes the next record; a wish to restart is handed back.
    pub(crate) fn apply(&mut self, record: ConfigRecord) -> Option<(String, Restart)> {
        match record {
            ConfigRecord::Connector(name, Some(settings)) => {
                self.connectors.insert(name, settings);
            }
            ConfigRecord::Connector(name, None) => {
                self.connectors.remove(&name);
                self.tasks.remove(&name);
                self.counts.remove(&name);
                self.deferred.remove(&name);
                self.incomplete.remove(&name);
            }
            ConfigRecord::Task(name, number, settings) => {
                let deferred = self.deferred.entry(name).or_default();
                match settings {
                    Some(settings) => drop(deferred.insert(number, settings)),
                    None => drop(deferred.remove(&number)),
                }
            }
            ConfigRecord::Commit(name, count) => self.commit(name, count),
            ConfigRecord::Target(name, Some(target)) => {
                self.targets.insert(name, target);
            }
            ConfigRecord::Target(name, None) => {
                self.targets.remove(&name);
            }
            ConfigRecord::Restart(name, restart) => return Some((name, restart)),
            ConfigRecord::LeftAlone => {}
        }
        None
    }

    /// As upstream: a set of tasks counts when all of them are there, else none does until the next one.
    fn commit(&mut self, name: String, count: usize) {
        let written = self.deferred.remove(&name).unwrap_or_default();
        let known = self.tasks.get(&name);
        let has =
            |at: usize| written.contains_key(&at) || known.is_some_and(|k| k.contains_key(&at));
        // Ends at the first that is missing, so a count that nobody wrote costs nothing.
        if (0..count).all(has) {
            self.incomplete.remove(&name);
            self.tasks.entry(name.clone()).or_default().extend(written);
        } else {
            self.incomplete.insert(name.clone());
        }
        self.counts.insert(name, count);
    }

    /// Names of all connectors, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }

    /// Whether there is such a connector.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.connectors.contains_key(name)
    }

    /// Whether a connector has had tasks since it was created, be they stopped now.
    pub(crate) fn has_had_tasks(&self, name: &str) -> bool {
        self.counts.contains_key(name)
    }

    /// One connector.
    pub(crate) fn get(&self, name: &str) -> Option<Connector> {
        let config = self.connectors.get(name)?.clone();
        let target = self.targets.get(name).copied().unwrap_or_default();
        let tasks = match (self.tasks.get(name), self.counts.get(name)) {
            (Some(tasks), Some(count)) if !self.incomplete.contains(name) => {
                tasks.range(..count).map(|(_, task)| task.clone()).collect()
            }
            _ => Vec::new(),
        };
        Some(Connector {
            config,
            target,
            tasks,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(value: &str) -> Settings {
        Settings::from([("k".to_owned(), value.to_owned())])
    }

    fn of(records: impl IntoIterator<Item = ConfigRecord>) -> Configs {
        let mut configs = Configs::default();
        for record in records {
            configs.apply(record);
        }
        configs
    }

    fn name() -> String {
        "c".to_owned()
    }

    #[test]
    fn tasks_count_when_they_are_committed() {
        let connector = ConfigRecord::Connector(name(), Some(settings("c")));
        let task = |number, value| ConfigRecord::Task(name(), number, Some(settings(value)));
        let commit = |count| ConfigRecord::Commit(name(), count);
        let tasks = |configs: &Configs| configs.get("c").unwrap().tasks;
        let mut configs = of([connector, task(0, "a"), task(1, "b")]);
        assert!(tasks(&configs).is_empty());
        configs.apply(commit(2));
        assert_eq!(tasks(&configs), [settings("a"), settings("b")]);
        configs.apply(task(0, "new"));
        assert_eq!(tasks(&configs).len(), 2);
        configs.apply(commit(1));
        assert_eq!(tasks(&configs), [settings("new")]);
        // Upstream remembers, too.
        configs.apply(commit(2));
        assert_eq!(tasks(&configs), [settings("new"), settings("b")]);
        configs.apply(commit(3));
        assert!(tasks(&configs).is_empty());
        configs.apply(task(2, "d"));
        configs.apply(commit(3));
        assert_eq!(tasks(&configs).len(), 3);
        configs.apply(commit(0));
        assert!(tasks(&configs).is_empty());
        assert_eq!(configs.counts.get("c"), Some(&0));
    }

    #[test]
    fn a_deleted_connector_leaves_nothing_to_the_next_of_its_name() {
        let connector = || ConfigRecord::Connector(name(), Some(settings("c")));
        let configs = of([
            connector(),
            ConfigRecord::Task(name(), 0, Some(settings("a"))),
            ConfigRecord::Commit(name(), 1),
            ConfigRecord::Target(name(), Some(TargetState::Stopped)),
            ConfigRecord::Connector(name(), None),
            ConfigRecord::Target(name(), None),
            connector(),
        ]);
        let found = configs.get("c").unwrap();
        assert_eq!((found.target, found.tasks.len()), (TargetState::Running, 0));
    }

    #[test]
    fn a_target_state_may_come_before_its_connector() {
        let configs = of([
            ConfigRecord::Target(name(), Some(TargetState::Paused)),
            ConfigRecord::Connector(name(), Some(settings("c"))),
        ]);
        assert_eq!(configs.get("c").unwrap().target, TargetState::Paused);
        assert_eq!(configs.names().collect::<Vec<_>>(), ["c"]);
    }

    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let known = "(connector|task|commit|target-state|restart-connector|session-key|tasks-fencing|status-topic|status-task)-[a-c0-9-]{0,4}";
        prop_oneof![known.prop_map(String::into_bytes), any::<Vec<u8>>()]
    }

    fn values() -> impl Strategy<Value = Option<Vec<u8>>> {
        let json = prop_oneof![
            Just(r#"{"properties":{"k":"v","n":null}}"#.to_owned()),
            (0..9_i64).prop_map(|n| format!(r#"{{"tasks":{}}}"#, n - 2)),
            Just(r#"{"tasks":18446744073709551615}"#.to_owned()),
            Just(r#"{"state":"PAUSED","state.v2":"STOPPED"}"#.to_owned()),
            Just(r#"{"include-tasks":true,"only-failed":false}"#.to_owned()),
            Just("[[[[".to_owned()),
        ];
        let bytes = prop_oneof![json.prop_map(String::into_bytes), any::<Vec<u8>>()];
        prop::option::of(bytes)
    }

    proptest! {
        /// Whatever is in the topic, it is read: what is not Connect's is an error and changes nothing.
        #[test]
        fn any_log_is_read(log in prop::collection::vec((keys(), values()), 0..60)) {
            let mut configs = Configs::default();
            for (key, value) in log {
                if let Ok(record) = ConfigRecord::decode(Some(&key), value.as_deref()) {
                    configs.apply(record);
                }
                drop(super::super::records::StatusRecord::decode(Some(&key), value.as_deref()));
            }
            for name in configs.names() {
                let found = configs.get(name).unwrap();
                let committed = configs.counts.get(name).copied().unwrap_or(0);
                prop_assert!(found.tasks.is_empty() || found.tasks.len() == committed);
            }
        }
    }
}
