//! What of a broker's properties the group coordinator obeys.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::cluster::StartError;

/// Server properties of groups; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    /// `group.min.session.timeout.ms`, 6,000.
    pub(crate) session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`, 1,800,000.
    pub(crate) session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`, 3,000: how long the first member of an empty classic group waits for others.
    pub(crate) initial_rebalance_delay_ms: i64,
    /// `group.max.size`, no limit: most members of a classic group.
    pub(crate) members_max: usize,
    /// `group.consumer.max.size`, no limit: most members of a KIP-848 group.
    pub(crate) consumers_max: usize,
    /// `group.consumer.session.timeout.ms`, 45,000.
    pub(crate) consumer_session_timeout_ms: i64,
    /// `group.consumer.heartbeat.interval.ms`, 5,000.
    pub(crate) consumer_heartbeat_interval_ms: i32,
    /// `offset.metadata.max.bytes`, 4,096.
    pub(crate) metadata_bytes_max: usize,
    /// `offsets.retention.minutes`, 10,080 (7 days), here in milliseconds.
    pub(crate) offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`, 600,000.
    pub(crate) retention_check_interval_ms: i64,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: usize::MAX,
            consumers_max: usize::MAX,
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            metadata_bytes_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            retention_check_interval_ms: 600_000,
        }
    }
}

impl GroupSettings {
    /// Reads the properties that concern groups; others are not looked at.
    ///
    /// # Errors
    /// [`StartError::Property`] on a value that is no number or below its least.
    pub(crate) fn read(properties: &BTreeMap<String, String>) -> Result<Self, StartError> {
        let default = Self::default();
        let whole = |key: &str, least: i64, default: i64| number(properties, key, least, default);
        let timeout = |key: &str, default: i32| number(properties, key, 1, default);
        let size = |key: &str, default: usize| number(properties, key, 1, default);
        Ok(Self {
            session_timeout_min_ms: timeout(
                "group.min.session.timeout.ms",
                default.session_timeout_min_ms,
            )?,
            session_timeout_max_ms: timeout(
                "group.max.session.timeout.ms",
                default.session_timeout_max_ms,
            )?,
            initial_rebalance_delay_ms: whole(
                "group.initial.rebalance.delay.ms",
                0,
                default.initial_rebalance_delay_ms,
            )?,
            members_max: size("group.max.size", default.members_max)?,
            consumers_max: size("group.consumer.max.size", default.consumers_max)?,
            consumer_session_timeout_ms: whole(
                "group.consumer.session.timeout.ms",
                1,
                default.consumer_session_timeout_ms,
            )?,
            consumer_heartbeat_interval_ms: timeout(
                "group.consumer.heartbeat.interval.ms",
                default.consumer_heartbeat_interval_ms,
            )?,
            metadata_bytes_max: number(
                properties,
                "offset.metadata.max.bytes",
                0,
                default.metadata_bytes_max,
            )?,
            offsets_retention_ms: whole("offsets.retention.minutes", 1, 10_080)?
                .saturating_mul(60_000),
            retention_check_interval_ms: whole(
                "offsets.retention.check.interval.ms",
                1,
                default.retention_check_interval_ms,
            )?,
        })
    }
}

fn number<T: FromStr + PartialOrd + TryFrom<i64>>(
    properties: &BTreeMap<String, String>,
    key: &str,
    least: i64,
    default: T,
) -> Result<T, StartError> {
    let Some(text) = properties.get(key) else {
        return Ok(default);
    };
    let wrong = |reason: String| StartError::Property {
        key: key.to_owned(),
        value: text.clone(),
        reason,
    };
    let value: T = text
        .trim()
        .parse()
        .map_err(|_| wrong("not a whole number, or too large".to_owned()))?;
    match T::try_from(least) {
        Ok(bound) if value < bound => Err(wrong(format!("must be at least {least}"))),
        _ => Ok(value),
    }
}
