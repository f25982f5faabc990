//! Changes of configuration, with the answers of a broker to what cannot be.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;

use super::catalogue::{self, Entry, Kind, items};
use super::store::{Configs, Entries, MIN_IN_SYNC};
use super::topics;
use crate::api::name_problem;

/// Error code and message.
pub(crate) type Refusal = (ResponseError, String);

/// What happens to an entry; the numbers are the protocol's (KIP-339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Set,
    Delete,
    Append,
    Subtract,
}

impl Operation {
    /// 0 to 3; `None` for anything else.
    pub(crate) fn of(code: i8) -> Option<Self> {
        Some(match code {
            0 => Self::Set,
            1 => Self::Delete,
            2 => Self::Append,
            3 => Self::Subtract,
            _ => return None,
        })
    }
}

/// One change; a null value only for [`Operation::Delete`].
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) value: Option<String>,
}

/// Judges a list of changes by itself.
///
/// # Errors
/// A name twice, or a null where a value is needed.
pub(crate) fn check_changes(changes: &[Change]) -> Result<(), Refusal> {
    let names: BTreeSet<&str> = changes.iter().map(|change| change.name.as_str()).collect();
    if names.len() < changes.len() {
        let message = "Error due to duplicate config keys".to_owned();
        return Err((ResponseError::InvalidRequest, message));
    }
    let null = |change: &&Change| change.value.is_none() && change.operation != Operation::Delete;
    let nulls: Vec<&str> = changes
        .iter()
        .filter(null)
        .map(|change| change.name.as_str())
        .collect();
    if nulls.is_empty() {
        return Ok(());
    }
    let message = format!("Null value not supported for : {}", nulls.join(","));
    Err((ResponseError::InvalidRequest, message))
}

/// A resource's entries after `changes`. `entry` knows the names, `default` what holds without an own value.
///
/// # Errors
/// Appending to what is no list.
fn apply(
    own: &Entries,
    changes: &[Change],
    table: &'static [Entry],
    default: impl Fn(&Entry) -> Option<String>,
    no_list: impl Fn(Operation, &str) -> String,
) -> Result<Entries, Refusal> {
    let mut after = own.clone();
    for Change {
        name,
        operation,
        value,
    } in changes
    {
        let value = value.clone().unwrap_or_default();
        match operation {
            Operation::Set => {
                after.insert(name.clone(), value.trim().to_owned());
            }
            Operation::Delete => {
                after.remove(name);
            }
            Operation::Append | Operation::Subtract => {
                let entry = catalogue::find(table, name).filter(|entry| entry.kind == Kind::List);
                let Some(entry) = entry else {
                    return Err((ResponseError::InvalidConfig, no_list(*operation, name)));
                };
                let before = own
                    .get(name)
                    .cloned()
                    .or_else(|| default(entry))
                    .unwrap_or_default();
                let mut list: Vec<&str> = items(&before).filter(|item| !item.is_empty()).collect();
                for item in items(&value) {
                    match operation {
                        Operation::Append if !list.contains(&item) => list.push(item),
                        Operation::Subtract => list.retain(|other| *other != item),
                        _ => {}
                    }
                }
                after.insert(name.clone(), list.join(","));
            }
        }
    }
    Ok(after)
}

fn no_list_for_controller(operation: Operation, name: &str) -> String {
    let word = if operation == Operation::Append {
        "APPEND"
    } else {
        "SUBTRACT"
    };
    format!("Can't {word} to key {name} because its type is not LIST.")
}

fn invalid(message: String) -> Refusal {
    (ResponseError::InvalidConfig, message)
}

impl Configs {
    /// The entries of the topic `name` after `changes`. The name is judged behind operations and before values.
    ///
    /// # Errors
    /// INVALID_CONFIG, or what is wrong with the name. Taking away what nobody set is no error, whatever its name.
    pub(crate) fn alter_topic(
        &self,
        name: &str,
        own: &Entries,
        changes: &[Change],
    ) -> Result<Entries, Refusal> {
        let default = |entry: &Entry| topics::of_brokers(self, entry);
        let after = apply(
            own,
            changes,
            catalogue::topics(),
            default,
            no_list_for_controller,
        )?;
        if name.is_empty() {
            let message = "Default topic resources are not allowed.".to_owned();
            return Err((ResponseError::InvalidRequest, message));
        }
        if let Some(problem) = name_problem(name) {
            return Err((ResponseError::InvalidTopicException, problem));
        }
        topics::check(self, &after).map_err(invalid)?;
        Ok(after)
    }

    /// Changes what was set for a broker, or for all of them (`None`), unless `validate_only`.
    ///
    /// # Errors
    /// INVALID_REQUEST as the broker judges it, INVALID_CONFIG as the controller does.
    pub(crate) fn alter_broker(
        &mut self,
        node_id: Option<i32>,
        changes: &[Change],
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let table = catalogue::brokers();
        let own = match node_id {
            Some(node_id) => self.brokers.get(&node_id).cloned().unwrap_or_default(),
            None => self.default_broker.clone(),
        };
        let default = |entry: &Entry| self.property(entry.name).map(str::to_owned);
        let after = apply(&own, changes, table, default, |operation, name| {
            let word = if operation == Operation::Append {
                "append"
            } else {
                "subtract"
            };
            format!("Config value {word} is not allowed for config key: {name}")
        })?;
        self.check_brokers(&after)?;
        if node_id.is_some() && after.get(MIN_IN_SYNC) != own.get(MIN_IN_SYNC) {
            return Err(invalid(format!(
                "Broker-level {MIN_IN_SYNC} cannot be altered while ELR is enabled."
            )));
        }
        if node_id.is_none() && !after.contains_key(MIN_IN_SYNC) {
            return Err(invalid(format!(
                "Cluster-level {MIN_IN_SYNC} cannot be removed while ELR is enabled."
            )));
        }
        if !validate_only {
            match node_id {
                Some(node_id) => drop(self.brokers.insert(node_id, after)),
                None => self.default_broker = after,
            }
        }
        Ok(())
    }

    fn check_brokers(&self, entries: &Entries) -> Result<(), Refusal> {
        let refuse = |message: String| Err((ResponseError::InvalidRequest, message));
        let known = |name: &str| catalogue::find(catalogue::brokers(), name);
        let listed = |wrong: &dyn Fn(&str) -> bool| {
            let names = entries
                .keys()
                .map(String::as_str)
                .filter(|name| wrong(name));
            names.collect::<Vec<_>>().join(", ")
        };
        let fixed = listed(&|name| known(name).is_some_and(|entry| !entry.dynamic));
        if !fixed.is_empty() {
            return refuse(format!(
                "Cannot update these configs dynamically: [{fixed}]"
            ));
        }
        let of_listeners = listed(&|name| {
            known(name).is_some() && (name.starts_with("ssl.") || name.starts_with("sasl."))
        });
        if !of_listeners.is_empty() {
            return refuse(format!(
                "These security configs can be dynamically updated only per-listener using the listener prefix: [{of_listeners}]"
            ));
        }
        for (name, value) in entries {
            if let Some(Err(message)) = known(name).map(|entry| entry.check(value)) {
                return refuse(message);
            }
        }
        Ok(())
    }

    /// Changes what was set for a group, unless `validate_only`.
    ///
    /// # Errors
    /// INVALID_CONFIG.
    pub(crate) fn alter_group(
        &mut self,
        group: &str,
        changes: &[Change],
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let own = self.groups.get(group).cloned().unwrap_or_default();
        let default = |entry: &Entry| topics::of_brokers(self, entry);
        let table = catalogue::groups();
        let after = apply(&own, changes, table, default, no_list_for_controller)?;
        for (name, value) in &after {
            let Some(entry) = catalogue::find(table, name) else {
                return Err(invalid(format!("Unknown group config name: {name}")));
            };
            entry.check(value).map_err(invalid)?;
            self.check_group_bounds(name, value).map_err(invalid)?;
        }
        if !validate_only {
            keep(&mut self.groups, group, after);
        }
        Ok(())
    }

    /// A group's times and counts lie between the brokers' `group.*.min.*` and `group.*.max.*`.
    fn check_group_bounds(&self, name: &str, value: &str) -> Result<(), String> {
        let Some((family, rest)) = name.split_once('.') else {
            return Ok(());
        };
        let Ok(number) = value.trim().parse::<i64>() else {
            return Ok(());
        };
        let bound = |word: &str| {
            let property = format!("group.{family}.{word}.{rest}");
            let bound = self.property(&property)?.trim().parse::<i64>().ok()?;
            Some((property, bound))
        };
        match (bound("min"), bound("max")) {
            (Some((property, min)), _) if number < min => Err(format!(
                "{name} must be greater than or equal to {property}"
            )),
            (_, Some((property, max))) if number > max => {
                Err(format!("{name} must be less than or equal to {property}"))
            }
            _ => Ok(()),
        }
    }

    /// Changes a client metrics subscription, unless `validate_only`.
    ///
    /// # Errors
    /// INVALID_REQUEST.
    pub(crate) fn alter_subscription(
        &mut self,
        name: &str,
        changes: &[Change],
        validate_only: bool,
    ) -> Result<(), Refusal> {
        let own = self.subscriptions.get(name).cloned().unwrap_or_default();
        let default = |entry: &Entry| entry.default.map(str::to_owned);
        let table = catalogue::SUBSCRIPTIONS;
        let after = apply(&own, changes, table, default, no_list_for_controller)?;
        for (name, value) in &after {
            let refuse = |message| Err((ResponseError::InvalidRequest, message));
            let Some(entry) = catalogue::find(table, name) else {
                return refuse(format!("Unknown client metrics configuration: {name}"));
            };
            entry
                .check(value)
                .map_err(|message| (ResponseError::InvalidRequest, message))?;
            let interval = value.trim().parse::<i64>();
            if entry.kind == Kind::Int && !interval.is_ok_and(|ms| (100..=3_600_000).contains(&ms))
            {
                return refuse(format!(
                    "Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                ));
            }
        }
        if !validate_only {
            keep(&mut self.subscriptions, name, after);
        }
        Ok(())
    }
}

/// A resource without entries is no resource.
fn keep(all: &mut std::collections::BTreeMap<String, Entries>, name: &str, entries: Entries) {
    if entries.is_empty() {
        all.remove(name);
    } else {
        all.insert(name.to_owned(), entries);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs() -> Configs {
        Configs::new(&Entries::new()).unwrap()
    }

    fn change(name: &str, operation: i8, value: &str) -> Change {
        Change {
            name: name.to_owned(),
            operation: Operation::of(operation).unwrap(),
            value: Some(value.to_owned()),
        }
    }

    /// The steps that were tried on 4.3.1, with what DescribeConfigs said afterwards.
    #[test]
    fn lists_grow_from_their_default_and_shrink_to_nothing() {
        let configs = configs();
        let mut own = Entries::new();
        for (operation, value, after) in [
            (2, "compact", "delete,compact"),
            (3, "delete", "compact"),
            (2, "compact", "compact"),
            (3, "delete", "compact"),
            (3, "compact", ""),
        ] {
            let changes = [change("cleanup.policy", operation, value)];
            own = configs.alter_topic("t", &own, &changes).unwrap();
            assert_eq!(own["cleanup.policy"], after);
        }
    }

    #[test]
    fn only_lists_are_appended_to() {
        let error = configs()
            .alter_topic("t", &Entries::new(), &[change("retention.ms", 3, "1")])
            .unwrap_err();
        let message = "Can't SUBTRACT to key retention.ms because its type is not LIST.";
        assert_eq!(error, (ResponseError::InvalidConfig, message.to_owned()));
        let error = configs()
            .alter_broker(Some(1), &[change("log.cleaner.threads", 2, "3")], false)
            .unwrap_err();
        let message = "Config value append is not allowed for config key: log.cleaner.threads";
        assert_eq!(error, (ResponseError::InvalidConfig, message.to_owned()));
    }

    #[test]
    fn taking_away_an_unknown_entry_is_no_error() {
        let delete = Change {
            value: None,
            ..change("nonsense", 1, "")
        };
        assert_eq!(
            configs().alter_topic("t", &Entries::new(), &[delete]),
            Ok(Entries::new())
        );
    }

    #[test]
    fn changes_are_judged_by_themselves_first() {
        let twice = [change("a", 0, "1"), change("a", 0, "2")];
        assert_eq!(
            check_changes(&twice).unwrap_err().1,
            "Error due to duplicate config keys"
        );
        let null = Change {
            value: None,
            ..change("retention.ms", 0, "")
        };
        let message = "Null value not supported for : retention.ms";
        assert_eq!(
            check_changes(&[null]),
            Err((ResponseError::InvalidRequest, message.to_owned()))
        );
    }

    /// One change of a broker (`Some(1)`) or of all, and 4.3.1's answer.
    #[test]
    fn brokers_are_altered_as_by_a_broker() {
        use ResponseError::{InvalidConfig, InvalidRequest};
        let refused = [
            (
                None,
                "num.partitions",
                "3",
                InvalidRequest,
                "Cannot update these configs dynamically: [num.partitions]",
            ),
            (
                Some(1),
                "log.cleaner.threads",
                "x",
                InvalidRequest,
                "Invalid value x for configuration log.cleaner.threads: Not a number of type INT",
            ),
            (
                Some(1),
                "log.segment.bytes",
                "100",
                InvalidRequest,
                "Invalid value 100 for configuration log.segment.bytes: Value must be at least 1048576",
            ),
            (
                None,
                "ssl.keystore.location",
                "x",
                InvalidRequest,
                "These security configs can be dynamically updated only per-listener using the listener prefix: [ssl.keystore.location]",
            ),
            (
                Some(1),
                "min.insync.replicas",
                "2",
                InvalidConfig,
                "Broker-level min.insync.replicas cannot be altered while ELR is enabled.",
            ),
            (
                None,
                "compression.type",
                "zip",
                InvalidRequest,
                "Invalid value zip for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
            ),
        ];
        for (node_id, name, value, code, message) in refused {
            let error = configs().alter_broker(node_id, &[change(name, 0, value)], false);
            assert_eq!(error, Err((code, message.to_owned())), "{name}");
        }
        let mut configs = configs();
        for (node_id, name, value) in [
            (None, "log.retention.ms", "7777"),
            (Some(1), "nonsense.x", "3"),
            (None, "min.insync.replicas", "2"),
            (None, "leader.replication.throttled.rate", "1000"),
        ] {
            configs
                .alter_broker(node_id, &[change(name, 0, value)], false)
                .unwrap();
        }
        assert_eq!(configs.number("log.retention.ms", 0), 7777);
        let error = configs.alter_broker(None, &[change("min.insync.replicas", 1, "")], false);
        let message = "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.";
        assert_eq!(error, Err((InvalidConfig, message.to_owned())));
    }

    #[test]
    fn groups_and_subscriptions_have_entries_of_their_own() {
        let mut configs = configs();
        let group = |configs: &mut Configs, name: &str, value: &str| {
            configs.alter_group("g", &[change(name, 0, value)], false)
        };
        assert_eq!(
            group(&mut configs, "consumer.session.timeout.ms", "50000"),
            Ok(())
        );
        let message = "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms";
        assert_eq!(
            group(&mut configs, "consumer.session.timeout.ms", "1")
                .unwrap_err()
                .1,
            message
        );
        assert_eq!(
            group(&mut configs, "nonsense", "1").unwrap_err().1,
            "Unknown group config name: nonsense"
        );
        let subscribe = |configs: &mut Configs, name: &str, value: &str| {
            configs.alter_subscription("s", &[change(name, 0, value)], false)
        };
        assert_eq!(subscribe(&mut configs, "interval.ms", "1000"), Ok(()));
        let message =
            "Invalid value 1 for interval.ms, interval must be between 100 and 3600000 (1 hour)";
        assert_eq!(
            subscribe(&mut configs, "interval.ms", "1").unwrap_err().1,
            message
        );
        assert_eq!(
            subscribe(&mut configs, "nonsense", "1").unwrap_err().1,
            "Unknown client metrics configuration: nonsense"
        );
    }
}
