//! The clients of a flow, and what is read from their settings.

use std::time::Duration;

use security::Security;

use crate::config::client::{ClientKind, ClientOwner, Side, client_properties};
use crate::config::error::ConfigError;
use crate::config::value;
use crate::properties::Properties;

/// A shorter `request.timeout.ms` counts as this: it would take every slow answer for a lost one.
pub const REQUEST_TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// Kafka's default of consumers, producers and admin clients alike.
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// What a consumer sees of transactions. MM2: `isolation.level` of the source consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Every record, those of aborted transactions included.
    #[default]
    ReadUncommitted,
    /// Only records of committed transactions.
    ReadCommitted,
}

/// Where a partition without a stored position starts. MM2: `auto.offset.reset` of the source
/// consumer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// At the first record that the source still has.
    #[default]
    Earliest,
    /// At the end.
    Latest,
    /// Nowhere: the partition fails.
    None,
}

/// The effective properties of the clients that the flow uses.
pub(super) struct Clients {
    pub(super) consumer: Properties,
    pub(super) source_admin: Properties,
    pub(super) target_admin: Properties,
    pub(super) producer: Properties,
}

impl Clients {
    pub(super) fn of(connector: &Properties, worker: &Properties) -> Self {
        let task = ClientOwner::Task(Some(0));
        let admin = |side, role| {
            client_properties(
                connector,
                ClientKind::Admin,
                side,
                ClientOwner::Connector,
                role,
            )
        };
        // Records are written by the worker's producer (docs/spec/mm2.md 1.4, "replicating
        // producer"), not by a client of the connector.
        let mut producer = Properties::default();
        producer.copy("bootstrap.servers", worker, "bootstrap.servers");
        let security = worker.iter().filter(|(key, _)| Security::is_key(key));
        for (key, _) in security {
            producer.copy(key, worker, key);
        }
        producer.extend(worker.stripped("producer."));
        producer.extend(connector.stripped("producer.override."));
        let name = connector.get("name").unwrap_or_default();
        producer.insert_default("client.id", format!("connector-producer-{name}-0"));
        Self {
            consumer: client_properties(
                connector,
                ClientKind::Consumer,
                Side::Source,
                task,
                "replication-consumer",
            ),
            source_admin: admin(Side::Source, "replication-source-admin"),
            target_admin: admin(Side::Target, "replication-target-admin"),
            producer,
        }
    }
}

/// `isolation.level`, in Kafka's lower case.
pub(super) fn isolation_level(consumer: &Properties) -> Result<IsolationLevel, ConfigError> {
    const KEY: &str = "isolation.level";
    match consumer.get(KEY).map(value::trim) {
        None | Some("read_uncommitted") => Ok(IsolationLevel::ReadUncommitted),
        Some("read_committed") => Ok(IsolationLevel::ReadCommitted),
        Some(_) => {
            let expected = "write read_uncommitted or read_committed";
            Err(ConfigError::invalid(consumer, KEY, expected))
        }
    }
}

/// `auto.offset.reset`, in Kafka's lower case.
pub(super) fn auto_offset_reset(consumer: &Properties) -> Result<AutoOffsetReset, ConfigError> {
    const KEY: &str = "auto.offset.reset";
    match consumer.get(KEY).map(value::trim) {
        None | Some("earliest") => Ok(AutoOffsetReset::Earliest),
        Some("latest") => Ok(AutoOffsetReset::Latest),
        Some("none") => Ok(AutoOffsetReset::None),
        Some(duration) if duration.starts_with("by_duration:") => Err(ConfigError::unsupported(
            consumer,
            KEY,
            "earliest, latest and none",
        )),
        Some(_) => Err(ConfigError::invalid(
            consumer,
            KEY,
            "write earliest, latest or none",
        )),
    }
}

/// `request.timeout.ms`: Kafka takes any INT from 0 on.
pub(super) fn request_timeout(client: &Properties) -> Result<Duration, ConfigError> {
    const KEY: &str = "request.timeout.ms";
    if !client.contains(KEY) {
        return Ok(REQUEST_TIMEOUT_DEFAULT);
    }
    let millis = value::number(client, KEY, 0, 0..=i32::MAX)?;
    let asked = Duration::from_millis(millis.unsigned_abs().into());
    Ok(asked.max(REQUEST_TIMEOUT_MIN))
}
