//! Topic entries: checked, and parsed into what a log obeys.

use std::str::FromStr;

use batch::Codec;

use super::catalogue::{self, Entry, items};
use super::store::{Configs, Entries};
use crate::log::LogSettings;

/// The order in which a broker judges values, as Kafka's `LogConfig` defines them; others come last.
const ORDER: [&str; 24] = [
    "segment.bytes",
    "segment.ms",
    "segment.jitter.ms",
    "segment.index.bytes",
    "flush.messages",
    "flush.ms",
    "retention.bytes",
    "retention.ms",
    "max.message.bytes",
    "index.interval.bytes",
    "delete.retention.ms",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
    "file.delete.delay.ms",
    "min.cleanable.dirty.ratio",
    "cleanup.policy",
    "unclean.leader.election.enable",
    "min.insync.replicas",
    "compression.type",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "preallocate",
    "message.timestamp.type",
];

/// Whether a topic may have these entries.
///
/// # Errors
/// What is wrong, in Kafka's words: an unknown name first, then values, then what does not go together.
pub(crate) fn check(configs: &Configs, entries: &Entries) -> Result<(), String> {
    let table = catalogue::topics();
    if let Some(name) = entries
        .keys()
        .find(|name| catalogue::find(table, name).is_none())
    {
        return Err(format!("Unknown topic config name: {name}"));
    }
    let first = ORDER.iter().filter_map(|name| entries.get_key_value(*name));
    let rest = entries
        .iter()
        .filter(|(name, _)| !ORDER.contains(&name.as_str()));
    for (name, value) in first.chain(rest) {
        if let Some(entry) = catalogue::find(table, name) {
            entry.check(value)?;
        }
    }
    let tiered = value(configs, entries, "remote.storage.enable");
    if tiered.trim().eq_ignore_ascii_case("true") {
        return Err("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.".to_owned());
    }
    let settings = settings(configs, entries);
    let (min, max) = (
        settings.min_compaction_lag_ms,
        settings.max_compaction_lag_ms,
    );
    if min > max {
        return Err(format!(
            "conflict topic config setting min.compaction.lag.ms ({min}) > max.compaction.lag.ms ({max})"
        ));
    }
    Ok(())
}

/// A topic entry as it holds: the topic's own, else the brokers', else Kafka's default.
pub(crate) fn value(configs: &Configs, entries: &Entries, name: &str) -> String {
    let entry = catalogue::find(catalogue::topics(), name);
    entries
        .get(name)
        .cloned()
        .or_else(|| entry.and_then(|entry| of_brokers(configs, entry)))
        .unwrap_or_default()
}

/// A topic entry that is not set on the topic; `None` is null.
pub(super) fn of_brokers(configs: &Configs, entry: &Entry) -> Option<String> {
    let Some(property) = entry.broker else {
        return entry.default.map(str::to_owned);
    };
    match configs.property(property) {
        Some(value) => Some(value.to_owned()),
        // Only the properties that another one stands in for have no default of their own.
        None => {
            let default = entry.default.and_then(|value| value.parse().ok());
            Some(configs.number(property, default.unwrap_or(-1)).to_string())
        }
    }
}

/// What the log of a topic with these (checked) entries obeys. A segment smaller than Kafka's floor of 1 MiB is had by
/// `internal.segment.bytes`, as in Kafka's own tests.
pub(crate) fn settings(configs: &Configs, entries: &Entries) -> LogSettings {
    let text = |name: &str| value(configs, entries, name);
    let number = |name: &str| parse::<i64>(&text(name));
    let d = LogSettings::default();
    let policy = text("cleanup.policy");
    let has = |word: &str| items(&policy).any(|item| item == word);
    let segment_bytes = parse::<u64>(&text("internal.segment.bytes"))
        .or_else(|| parse(&text("segment.bytes")))
        .unwrap_or(d.segment_bytes);
    LogSettings {
        max_message_bytes: parse(&text("max.message.bytes")).unwrap_or(d.max_message_bytes),
        segment_bytes,
        segment_ms: number("segment.ms").unwrap_or(d.segment_ms),
        retention_ms: number("retention.ms").unwrap_or(d.retention_ms).max(-1),
        retention_bytes: number("retention.bytes")
            .unwrap_or(d.retention_bytes)
            .max(-1),
        cleanup_delete: has("delete"),
        cleanup_compact: has("compact"),
        delete_retention_ms: number("delete.retention.ms").unwrap_or(d.delete_retention_ms),
        min_compaction_lag_ms: number("min.compaction.lag.ms").unwrap_or(d.min_compaction_lag_ms),
        max_compaction_lag_ms: number("max.compaction.lag.ms").unwrap_or(d.max_compaction_lag_ms),
        min_cleanable_dirty_ratio: parse(&text("min.cleanable.dirty.ratio"))
            .unwrap_or(d.min_cleanable_dirty_ratio),
        compression: match text("compression.type").trim() {
            "uncompressed" => Some(Codec::None),
            "gzip" => Some(Codec::Gzip),
            "snappy" => Some(Codec::Snappy),
            "lz4" => Some(Codec::Lz4),
            "zstd" => Some(Codec::Zstd),
            _ => None,
        },
        log_append_time: text("message.timestamp.type").trim() == "LogAppendTime",
        timestamp_before_max_ms: number("message.timestamp.before.max.ms")
            .unwrap_or(d.timestamp_before_max_ms),
        timestamp_after_max_ms: number("message.timestamp.after.max.ms")
            .unwrap_or(d.timestamp_after_max_ms),
        min_insync_replicas: parse(&text("min.insync.replicas")).unwrap_or(d.min_insync_replicas),
    }
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(of: &[(&str, &str)]) -> Entries {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        of.iter().map(own).collect()
    }

    fn configs(of: &[(&str, &str)]) -> Configs {
        Configs::new(&entries(of)).unwrap()
    }

    #[test]
    fn without_entries_a_log_obeys_kafkas_defaults() {
        assert_eq!(
            settings(&configs(&[]), &Entries::new()),
            LogSettings::default()
        );
    }

    #[test]
    fn broker_properties_stand_behind_topic_entries() {
        let brokers = configs(&[
            ("log.retention.hours", "2"),
            ("log.roll.hours", "3"),
            ("message.max.bytes", "77"),
            ("min.insync.replicas", "2"),
            ("log.cleanup.policy", "compact, delete"),
            ("log.retention.bytes", "1000"),
        ]);
        let settings = settings(&brokers, &entries(&[("max.message.bytes", "78")]));
        let expected = LogSettings {
            retention_ms: 7_200_000,
            segment_ms: 10_800_000,
            max_message_bytes: 78,
            min_insync_replicas: 2,
            cleanup_compact: true,
            retention_bytes: 1000,
            ..LogSettings::default()
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn every_entry_of_a_log_is_parsed() {
        let all = entries(&[
            ("max.message.bytes", "1"),
            ("internal.segment.bytes", "2"),
            ("segment.bytes", "1048576"),
            ("segment.ms", "3"),
            ("retention.ms", "4"),
            ("retention.bytes", "-5"),
            ("cleanup.policy", "compact"),
            ("delete.retention.ms", "6"),
            ("min.compaction.lag.ms", "7"),
            ("max.compaction.lag.ms", "8"),
            ("min.cleanable.dirty.ratio", "0.25"),
            ("compression.type", "zstd"),
            ("message.timestamp.type", "LogAppendTime"),
            ("message.timestamp.before.max.ms", "9"),
            ("message.timestamp.after.max.ms", "10"),
            ("min.insync.replicas", " 11 "),
        ]);
        assert_eq!(check(&configs(&[]), &all), Ok(()));
        let expected = LogSettings {
            max_message_bytes: 1,
            segment_bytes: 2,
            segment_ms: 3,
            retention_ms: 4,
            retention_bytes: -1,
            cleanup_delete: false,
            cleanup_compact: true,
            delete_retention_ms: 6,
            min_compaction_lag_ms: 7,
            max_compaction_lag_ms: 8,
            min_cleanable_dirty_ratio: 0.25,
            compression: Some(Codec::Zstd),
            log_append_time: true,
            timestamp_before_max_ms: 9,
            timestamp_after_max_ms: 10,
            min_insync_replicas: 11,
        };
        assert_eq!(settings(&configs(&[]), &all), expected);
    }

    /// What a broker 4.3.1 answered to CreateTopics v7 with one entry, or two: entries, then the message or nothing.
    #[test]
    fn entries_are_judged_as_by_a_broker() {
        let brokers = configs(&[]);
        for line in include_str!("../../tests/fixtures/topic_entries.tsv").lines() {
            let mut cells = line.split('\t');
            let pairs = cells.next().unwrap().split(';');
            let wanted = cells.next().unwrap();
            let set = pairs
                .filter_map(|pair| pair.split_once('='))
                .collect::<Vec<_>>();
            let answer = check(&brokers, &entries(&set)).err().unwrap_or_default();
            assert_eq!(answer, wanted, "{line}");
        }
    }
}
