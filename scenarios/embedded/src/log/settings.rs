//! What of a topic's configuration the log obeys.

/// A topic's configuration, as far as its log is concerned; each field is the topic key of the same
/// name, parsed. Defaults are those of Kafka 4.3.1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct LogSettings {
    /// `max.message.bytes`: 12 + length of a batch may reach it. Default 1,048,588.
    pub max_message_bytes: usize,
    /// `segment.bytes`. Default 1 GiB.
    pub segment_bytes: u64,
    /// `segment.ms`. Default 7 days.
    pub segment_ms: i64,
    /// `retention.ms`, -1 for none. Default 7 days.
    pub retention_ms: i64,
    /// `retention.bytes`, -1 for none. Default -1.
    pub retention_bytes: i64,
    /// `cleanup.policy` contains `delete`. Default true.
    pub cleanup_delete: bool,
    /// `cleanup.policy` contains `compact`. Default false.
    pub cleanup_compact: bool,
    /// `delete.retention.ms`: how long the cleaner leaves tombstones and markers. Default 1 day.
    pub delete_retention_ms: i64,
    /// `min.compaction.lag.ms`. Default 0.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`. Default `i64::MAX`: none.
    pub max_compaction_lag_ms: i64,
    /// `min.cleanable.dirty.ratio`. Default 0.5.
    pub min_cleanable_dirty_ratio: f64,
    /// `compression.type`; `None` is `producer`, `Some(Codec::None)` is `uncompressed`. Default
    /// `None`.
    pub compression: Option<batch::Codec>,
    /// `message.timestamp.type` is `LogAppendTime`. Default false.
    pub log_append_time: bool,
    /// `message.timestamp.before.max.ms`. Default `i64::MAX`: none.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`. Default 1 hour.
    pub timestamp_after_max_ms: i64,
    /// `min.insync.replicas`: for the caller, the log has no replicas. Default 1.
    pub min_insync_replicas: i32,
}

impl Default for LogSettings {
    fn default() -> Self {
        const HOUR_MS: i64 = 3_600_000;
        Self {
            max_message_bytes: 1_048_588,
            segment_bytes: 1 << 30,
            segment_ms: 168 * HOUR_MS,
            retention_ms: 168 * HOUR_MS,
            retention_bytes: -1,
            cleanup_delete: true,
            cleanup_compact: false,
            delete_retention_ms: 24 * HOUR_MS,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            compression: None,
            log_append_time: false,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: HOUR_MS,
            min_insync_replicas: 1,
        }
    }
}
