//! What was set, by whom, and what holds.

use std::collections::BTreeMap;

use super::catalogue;
use super::quotas::Quotas;
use crate::cluster::StartError;

/// Entries by name, as text.
pub(crate) type Entries = BTreeMap<String, String>;

/// What was set for brokers, groups, client metrics subscriptions and clients; topics carry their own entries.
#[derive(Debug, Default)]
pub(crate) struct Configs {
    /// As in every broker's `server.properties`.
    pub(super) fixed: Entries,
    /// Set at run time for all brokers: Kafka's cluster-wide default.
    pub(crate) default_broker: Entries,
    /// Set at run time for one broker.
    pub(crate) brokers: BTreeMap<i32, Entries>,
    pub(crate) groups: BTreeMap<String, Entries>,
    /// Client metrics subscriptions.
    pub(crate) subscriptions: BTreeMap<String, Entries>,
    pub(crate) quotas: Quotas,
}

/// The entry that a fresh 4.3.1 cluster sets as cluster-wide default, so that eligible leader replicas have one meaning everywhere.
pub(crate) const MIN_IN_SYNC: &str = "min.insync.replicas";

/// Properties that stand in for another in a coarser unit: finest first, each with its milliseconds.
const COARSER: &[(&str, &[(&str, i64)])] = &[
    (
        "log.retention.ms",
        &[
            ("log.retention.minutes", 60_000),
            ("log.retention.hours", 3_600_000),
        ],
    ),
    ("log.roll.ms", &[("log.roll.hours", 3_600_000)]),
    (
        "log.roll.jitter.ms",
        &[("log.roll.jitter.hours", 3_600_000)],
    ),
    (
        "log.flush.interval.ms",
        &[("log.flush.scheduler.interval.ms", 1)],
    ),
];

/// `name`, then the properties that stand in for it.
pub(super) fn with_coarser(name: &str) -> impl Iterator<Item = (&str, i64)> {
    let coarser = COARSER.iter().find(|(finest, _)| *finest == name);
    let coarser = coarser.map_or(&[][..], |(_, coarser)| coarser);
    std::iter::once((name, 1)).chain(coarser.iter().copied())
}

impl Configs {
    /// What brokers with these server properties start with.
    ///
    /// # Errors
    /// [`StartError::Property`] for a property of Kafka's with a value that it does not take.
    pub(crate) fn new(properties: &Entries) -> Result<Self, StartError> {
        for (key, value) in properties {
            let entry = catalogue::find(catalogue::brokers(), key);
            if let Some(Err(reason)) = entry.map(|entry| entry.check(value)) {
                return Err(StartError::Property {
                    key: key.clone(),
                    value: value.clone(),
                    reason,
                });
            }
        }
        let min_in_sync = properties.get(MIN_IN_SYNC).map_or("1", String::as_str);
        Ok(Self {
            fixed: properties.clone(),
            default_broker: Entries::from([(MIN_IN_SYNC.to_owned(), min_in_sync.to_owned())]),
            ..Self::default()
        })
    }

    /// A broker property as it holds for all brokers: set at run time, else at the start, else Kafka's default.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        let set = self
            .default_broker
            .get(name)
            .or_else(|| self.fixed.get(name));
        let default = || catalogue::find(catalogue::brokers(), name)?.default;
        set.map(String::as_str).or_else(default)
    }

    /// A number among the broker properties; a property in a coarser unit stands in, converted. `otherwise` if there is none.
    pub(crate) fn number(&self, name: &str, otherwise: i64) -> i64 {
        let found = with_coarser(name).find_map(|(name, unit_ms)| {
            let number: i64 = self.property(name)?.trim().parse().ok()?;
            Some(number.saturating_mul(unit_ms))
        });
        found.unwrap_or(otherwise)
    }

    /// A yes or no among the broker properties; without a value: no.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.property(name)
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(properties: &[(&str, &str)]) -> Configs {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Configs::new(&properties.iter().map(own).collect()).unwrap()
    }

    #[test]
    fn a_finer_unit_wins_over_a_coarser_one() {
        assert_eq!(with(&[]).number("log.retention.ms", 0), 604_800_000);
        let hours = [("log.retention.hours", "2")];
        assert_eq!(with(&hours).number("log.retention.ms", 0), 7_200_000);
        let minutes = [("log.retention.hours", "2"), ("log.retention.minutes", "3")];
        assert_eq!(with(&minutes).number("log.retention.ms", 0), 180_000);
        let all = [("log.retention.ms", "4"), ("log.retention.minutes", "3")];
        assert_eq!(with(&all).number("log.retention.ms", 0), 4);
    }

    #[test]
    fn a_value_set_at_run_time_wins_over_the_start() {
        let mut configs = with(&[("log.retention.ms", "4")]);
        configs
            .default_broker
            .insert("log.retention.ms".to_owned(), "5".to_owned());
        assert_eq!(configs.number("log.retention.ms", 0), 5);
    }

    #[test]
    fn an_impossible_property_ends_the_start_and_an_unknown_one_does_not() {
        let bad = Entries::from([("num.partitions".to_owned(), "x".to_owned())]);
        let error = Configs::new(&bad).unwrap_err().to_string();
        assert!(error.contains("num.partitions = x: Invalid value x for configuration num.partitions: Not a number of type INT"), "{error}");
        with(&[("ours.only", "x")]);
    }
}
