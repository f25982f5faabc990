//! Entries as DescribeConfigs shows them: value, where it comes from, what stands behind it.

use super::catalogue::{self, Entry, Kind};
use super::store::{Configs, Entries, with_coarser};
use super::topics;

/// Where a value comes from; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub(crate) enum Source {
    Topic = 1,
    Broker = 2,
    DefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
    Subscription = 7,
    Group = 8,
}

/// One entry as described.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Described {
    pub(crate) name: String,
    /// `None`: null, or a secret.
    pub(crate) value: Option<String>,
    pub(crate) source: Source,
    pub(crate) read_only: bool,
    pub(crate) sensitive: bool,
    /// `None`: Kafka does not know the entry.
    pub(crate) kind: Option<Kind>,
    /// Where the value may come from, the first one being where it does.
    pub(crate) synonyms: Vec<Synonym>,
    pub(crate) documentation: &'static str,
}

/// A name under which a value was set, or stands by default.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Synonym {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) source: Source,
}

impl Configs {
    /// All entries of a topic with these entries of its own, as broker `node_id` describes them.
    pub(crate) fn describe_topic(&self, node_id: i32, own: &Entries) -> Vec<Described> {
        let shown = |entry: &&Entry| entry.default.is_some() || own.contains_key(entry.name);
        let table = catalogue::topics().iter().filter(shown);
        let describe = |entry| self.behind(node_id, entry, own, Source::Topic);
        table.map(describe).collect()
    }

    /// All entries of a group.
    pub(crate) fn describe_group(&self, node_id: i32, group: &str) -> Vec<Described> {
        let none = Entries::new();
        let own = self.groups.get(group).unwrap_or(&none);
        let describe = |entry| self.behind(node_id, entry, own, Source::Group);
        catalogue::groups().iter().map(describe).collect()
    }

    /// All entries of a client metrics subscription.
    pub(crate) fn describe_subscription(&self, node_id: i32, name: &str) -> Vec<Described> {
        let none = Entries::new();
        let own = self.subscriptions.get(name).unwrap_or(&none);
        let describe = |entry| self.behind(node_id, entry, own, Source::Subscription);
        let mut all: Vec<Described> = catalogue::SUBSCRIPTIONS.iter().map(describe).collect();
        all.iter_mut().for_each(|entry| entry.synonyms.clear());
        all
    }

    /// An entry of a resource for which broker properties stand as defaults.
    fn behind(
        &self,
        node_id: i32,
        entry: &'static Entry,
        own: &Entries,
        source: Source,
    ) -> Described {
        let mut synonyms: Vec<Synonym> = own
            .get(entry.name)
            .map(|value| Synonym {
                name: entry.name.to_owned(),
                value: value.clone(),
                source,
            })
            .into_iter()
            .collect();
        match entry.broker {
            Some(property) => synonyms.extend(self.synonyms(node_id, property)),
            None if source == Source::Group => {
                synonyms.extend(entry.default.map(|value| Synonym {
                    name: entry.name.to_owned(),
                    value: value.to_owned(),
                    source: Source::Default,
                }))
            }
            None => {}
        }
        let value = own
            .get(entry.name)
            .cloned()
            .or_else(|| topics::of_brokers(self, entry));
        Described {
            name: entry.name.to_owned(),
            value: synonyms.first().map(|first| first.value.clone()).or(value),
            source: synonyms
                .first()
                .map_or(Source::Default, |first| first.source),
            read_only: false,
            sensitive: false,
            kind: Some(entry.kind),
            synonyms,
            documentation: entry.documentation,
        }
    }

    /// All properties of broker `node_id`. `given` are those that the broker was not configured with but runs with: its id, its
    /// addresses.
    pub(crate) fn describe_broker(&self, node_id: i32, given: &Entries) -> Vec<Described> {
        let table = catalogue::brokers().iter().filter(|entry| entry.shown);
        let mut names: Vec<&str> = table.map(|entry| entry.name).collect();
        let own = self.brokers.get(&node_id);
        let set = own.into_iter().flatten().chain(&self.default_broker);
        let besides = set
            .chain(&self.fixed)
            .map(|(name, _)| name.as_str())
            .filter(|name| catalogue::find(catalogue::brokers(), name).is_none_or(|e| !e.shown));
        names.extend(besides);
        names.sort_unstable();
        names.dedup();
        let describe = |name: &str| {
            let mut synonyms = self.synonyms(node_id, name);
            if let Some(value) = given.get(name) {
                let (name, value) = (name.to_owned(), value.clone());
                synonyms.insert(
                    0,
                    Synonym {
                        name,
                        value,
                        source: Source::StaticBroker,
                    },
                );
            }
            self.of_broker(name, synonyms)
        };
        names.into_iter().map(describe).collect()
    }

    /// What was set for all brokers at run time.
    pub(crate) fn describe_default_broker(&self) -> Vec<Described> {
        let describe = |(name, value): (&String, &String)| {
            let synonym = Synonym {
                name: name.clone(),
                value: value.clone(),
                source: Source::DefaultBroker,
            };
            self.of_broker(name, vec![synonym])
        };
        self.default_broker.iter().map(describe).collect()
    }

    fn of_broker(&self, name: &str, mut synonyms: Vec<Synonym>) -> Described {
        let entry = catalogue::find(catalogue::brokers(), name);
        // What Kafka does not know might be a secret of somebody's plugin.
        let sensitive = entry.is_none_or(|entry| entry.kind == Kind::Password);
        let first = synonyms.first();
        let (value, source) = (
            first.map(|first| first.value.clone()),
            first.map_or(Source::Default, |first| first.source),
        );
        if sensitive {
            synonyms.clear();
        }
        Described {
            name: name.to_owned(),
            value: value.filter(|_| !sensitive),
            source,
            read_only: entry.is_none_or(|entry| !entry.dynamic),
            sensitive,
            kind: entry.map(|entry| entry.kind),
            synonyms,
            documentation: "",
        }
    }

    /// Where a broker property may come from. A property that only stands in for it is named behind a value of its own, never
    /// alone (as on 4.3.1: `log.retention.hours` hides as long as `log.retention.ms` is not set).
    fn synonyms(&self, node_id: i32, name: &str) -> Vec<Synonym> {
        let names = || with_coarser(name).map(|(name, _)| name);
        let from = |entries: Option<&Entries>, source| {
            names()
                .filter_map(|name| {
                    let value = entries?.get(name)?.clone();
                    let name = name.to_owned();
                    Some(Synonym {
                        name,
                        value,
                        source,
                    })
                })
                .collect::<Vec<_>>()
        };
        let mut all = from(self.brokers.get(&node_id), Source::Broker);
        all.extend(from(Some(&self.default_broker), Source::DefaultBroker));
        all.extend(from(Some(&self.fixed), Source::StaticBroker));
        all.extend(names().filter_map(|name| {
            let value = catalogue::find(catalogue::brokers(), name)?
                .default?
                .to_owned();
            let name = name.to_owned();
            Some(Synonym {
                name,
                value,
                source: Source::Default,
            })
        }));
        let alone = all
            .iter()
            .take_while(|synonym| synonym.name != name)
            .count();
        all.drain(..alone);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(&str, &str)]) -> Entries {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        of.iter().map(own).collect()
    }

    fn named<'a>(all: &'a [Described], name: &str) -> &'a Described {
        all.iter().find(|entry| entry.name == name).unwrap()
    }

    /// Value, source, synonyms.
    type Shown<'a> = (Option<&'a str>, i8, Vec<(&'a str, &'a str, i8)>);

    fn shown(entry: &Described) -> Shown<'_> {
        let synonyms = entry.synonyms.iter();
        let synonyms = synonyms.map(|s| (s.name.as_str(), s.value.as_str(), s.source as i8));
        (
            entry.value.as_deref(),
            entry.source as i8,
            synonyms.collect(),
        )
    }

    /// Seen on 4.3.1: a default in a coarser unit is not shown as a synonym.
    #[test]
    fn a_coarser_unit_is_shown_only_behind_a_finer_one() {
        let mut configs = Configs::new(&Entries::new()).unwrap();
        let own = Entries::new();
        let retention =
            |configs: &Configs| named(&configs.describe_topic(1, &own), "retention.ms").clone();
        assert_eq!(shown(&retention(&configs)), (Some("604800000"), 5, vec![]));
        configs
            .default_broker
            .insert("log.retention.ms".to_owned(), "7777".to_owned());
        let behind = vec![
            ("log.retention.ms", "7777", 3),
            ("log.retention.hours", "168", 5),
        ];
        assert_eq!(shown(&retention(&configs)), (Some("7777"), 3, behind));
    }

    /// Seen on 4.3.1: `min.insync.replicas` is a cluster-wide default from the start.
    #[test]
    fn in_sync_replicas_are_a_dynamic_default() {
        let configs = Configs::new(&Entries::new()).unwrap();
        let topic = configs.describe_topic(1, &Entries::new());
        let both = vec![
            ("min.insync.replicas", "1", 3),
            ("min.insync.replicas", "1", 5),
        ];
        assert_eq!(
            shown(named(&topic, "min.insync.replicas")),
            (Some("1"), 3, both)
        );
        assert_eq!(topic.len(), 33);
    }

    #[test]
    fn a_topics_own_value_comes_first() {
        let configs = Configs::new(&Entries::new()).unwrap();
        let topic = configs.describe_topic(1, &entries(&[("segment.bytes", "104857600")]));
        let both = vec![
            ("segment.bytes", "104857600", 1),
            ("log.segment.bytes", "1073741824", 5),
        ];
        assert_eq!(
            shown(named(&topic, "segment.bytes")),
            (Some("104857600"), 1, both)
        );
    }

    #[test]
    fn what_kafka_does_not_know_is_kept_secret() {
        let mut configs = Configs::new(&Entries::new()).unwrap();
        configs
            .default_broker
            .insert("nonsense.x".to_owned(), "3".to_owned());
        let broker = configs.describe_broker(1, &entries(&[("node.id", "1")]));
        let unknown = named(&broker, "nonsense.x");
        assert!(unknown.sensitive && unknown.read_only && unknown.kind.is_none());
        assert_eq!(
            (unknown.value.as_deref(), unknown.source),
            (None, Source::DefaultBroker)
        );
        assert_eq!(shown(named(&broker, "node.id")).1, 4);
        assert!(named(&broker, "log.cleaner.threads").kind == Some(Kind::Int));
        assert!(!named(&broker, "log.cleaner.threads").read_only);
        assert!(named(&broker, "num.partitions").read_only);
    }
}
