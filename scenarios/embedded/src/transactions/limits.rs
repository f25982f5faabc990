//! The server properties that a transaction coordinator obeys.

use crate::cluster::StartError;
use crate::settings::Settings;

/// Level of the feature `transaction.version`: what a cluster makes of transactions (KIP-890).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TransactionVersion {
    /// As before 3.8: EndTxn v5 and implicit adding wedge a transactional id.
    Tv0,
    /// As level 0, with records in `__transaction_state` that can hold what level 2 needs.
    Tv1,
    /// A new epoch with every transaction of a client that can (the default since 4.0).
    Tv2,
}

/// Times and levels, from server properties of the same names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `transaction.version`: 0, 1 or 2. Ours: on a real cluster it is a feature, set when the storage is formatted or by
    /// kafka-features. Default 2.
    pub(crate) version: TransactionVersion,
    /// `transaction.max.timeout.ms`: longest timeout that InitProducerId may ask for. Default 15 minutes.
    pub(crate) timeout_max_ms: i64,
    /// `transactional.id.expiration.ms`: an id that its coordinator does not hear of for so long is forgotten. Default 7 days.
    pub(crate) id_expiration_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`. Default 1 hour.
    pub(crate) id_expiration_interval_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`. Default 10 seconds.
    pub(crate) time_out_interval_ms: i64,
    /// `producer.id.expiration.ms`: a partition forgets a producer that has not written for so long. Default 1 day.
    pub(crate) producer_expiration_ms: i64,
    /// `producer.id.expiration.check.interval.ms`. Default 10 minutes.
    pub(crate) producer_expiration_interval_ms: i64,
    /// `transaction.partition.verification.enable`: ask the coordinator before a transactional batch opens a transaction in a log.
    /// Default true.
    pub(crate) verification: bool,
}

impl Limits {
    /// Reads the properties; what is not set has Kafka's default.
    ///
    /// # Errors
    /// [`StartError::Property`] for a value that is no number, or below 1.
    pub(crate) fn parse(settings: &Settings) -> Result<Self, StartError> {
        let refused = |key: &str, value: &str, reason: &str| StartError::Property {
            key: key.to_owned(),
            value: value.to_owned(),
            reason: reason.to_owned(),
        };
        let property = |key: &str| settings.properties.get(key).map(|value| value.trim());
        let milliseconds = |key: &str, default: i64| match property(key) {
            None => Ok(default),
            Some(value) => match value.parse::<i64>() {
                Ok(number) if (1..=i64::from(i32::MAX)).contains(&number) => Ok(number),
                _ => Err(refused(key, value, "want milliseconds, 1 to 2147483647")),
            },
        };
        const VERSION: &str = "transaction.version";
        let version = match property(VERSION) {
            None | Some("2") => TransactionVersion::Tv2,
            Some("1") => TransactionVersion::Tv1,
            Some("0") => TransactionVersion::Tv0,
            Some(other) => return Err(refused(VERSION, other, "want 0, 1 or 2")),
        };
        const VERIFICATION: &str = "transaction.partition.verification.enable";
        let verification = match property(VERIFICATION) {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(refused(VERIFICATION, other, "want true or false")),
        };
        Ok(Self {
            version,
            verification,
            timeout_max_ms: milliseconds("transaction.max.timeout.ms", 900_000)?,
            id_expiration_ms: milliseconds("transactional.id.expiration.ms", 604_800_000)?,
            id_expiration_interval_ms: milliseconds(
                "transaction.remove.expired.transaction.cleanup.interval.ms",
                3_600_000,
            )?,
            time_out_interval_ms: milliseconds(
                "transaction.abort.timed.out.transaction.cleanup.interval.ms",
                10_000,
            )?,
            producer_expiration_ms: milliseconds("producer.id.expiration.ms", 86_400_000)?,
            producer_expiration_interval_ms: milliseconds(
                "producer.id.expiration.check.interval.ms",
                600_000,
            )?,
        })
    }
}

impl TransactionVersion {
    /// The level as ApiVersions tells it.
    pub(crate) fn level(self) -> i16 {
        match self {
            Self::Tv0 => 0,
            Self::Tv1 => 1,
            Self::Tv2 => 2,
        }
    }
}
