//! What a broker does by the clock: retention, compaction, forgetting producers.

use std::sync::{Arc, Weak};

use crate::cluster::Shared;
use crate::state::Topic;

/// Longest time between two rounds: each looks what is due.
const ROUND_MS_MAX: i64 = 1_000;

/// Kafka's default of `log.retention.check.interval.ms`.
const RETENTION_CHECK_MS: i64 = 300_000;

/// Shortest time between two rounds, whatever the properties say.
const ROUND_MS_MIN: i64 = 10;

/// What Kafka takes for `producer.id.expiration.check.interval.ms`, which it does not show.
const EXPIRATION_CHECK_MS: i64 = 600_000;

/// Starts the cluster's housekeeping; it ends with the cluster.
///
/// Every `log.retention.check.interval.ms` retains all logs; every `log.cleaner.backoff.ms` cleans compacted
/// ones unless `log.cleaner.enable` is false; every `producer.id.expiration.check.interval.ms` forgets producers that are older than
/// `producer.id.expiration.ms`. With an owned clock, a round follows each move of the clock that is long enough.
pub(crate) fn start(shared: &Arc<Shared>) {
    let weak = Arc::downgrade(shared);
    let clock = shared.clock.clone();
    shared.runtime().spawn(async move {
        let started = clock.now_ms();
        let mut due = Due {
            retain: started,
            clean: started,
            expire: started,
        };
        while let Some(pause_ms) = pause_ms(&weak) {
            clock.pause(pause_ms).await;
            let Some(shared) = weak.upgrade() else { return };
            round(&shared, &mut due, clock.now_ms()).await;
        }
    });
}

/// When the work that is not done each round was last done.
struct Due {
    retain: i64,
    clean: i64,
    expire: i64,
}

fn pause_ms(shared: &Weak<Shared>) -> Option<i64> {
    let shared = shared.upgrade()?;
    let state = shared.state();
    let wanted = state
        .configs
        .number("log.retention.check.interval.ms", RETENTION_CHECK_MS);
    Some(wanted.clamp(ROUND_MS_MIN, ROUND_MS_MAX))
}

async fn round(shared: &Shared, due: &mut Due, now_ms: i64) {
    let (topics, retain, clean, expire, expiration_ms) = {
        let state = shared.state();
        let configs = &state.configs;
        let elapsed = |last: i64, property: &str, otherwise: i64| {
            now_ms.saturating_sub(last) >= configs.number(property, otherwise).max(0)
        };
        let check = "log.retention.check.interval.ms";
        let retain = elapsed(due.retain, check, RETENTION_CHECK_MS);
        let clean = configs.flag("log.cleaner.enable")
            && elapsed(due.clean, "log.cleaner.backoff.ms", 15_000);
        let check = "producer.id.expiration.check.interval.ms";
        let expire = elapsed(due.expire, check, EXPIRATION_CHECK_MS);
        let expiration_ms = configs.number("producer.id.expiration.ms", 86_400_000);
        let topics: Vec<Arc<Topic>> = state.topics.values().cloned().collect();
        (topics, retain, clean, expire, expiration_ms)
    };
    for topic in topics {
        for partition in &topic.partitions {
            let mut data = partition.lock();
            let start = data.log.start_offset();
            if retain {
                data.log.retain(&topic.settings, now_ms);
            }
            if clean && topic.settings.cleanup_compact {
                data.log.compact(&topic.settings, now_ms, false);
            }
            if expire {
                data.log.expire_producers(now_ms, expiration_ms);
            }
            let moved = data.log.start_offset() != start;
            drop(data);
            if moved {
                partition.wake();
            }
        }
        // Connections share this thread.
        tokio::task::yield_now().await;
    }
    if retain {
        due.retain = now_ms;
    }
    if clean {
        due.clean = now_ms;
    }
    if expire {
        due.expire = now_ms;
    }
}
