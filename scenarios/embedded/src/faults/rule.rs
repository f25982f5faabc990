//! One fault that was injected: whom it hits, how often it did, and what it remembers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::ApiKey;

use super::{Effect, Fault};
use crate::server::Incoming;

/// A quota lets a burst of so many seconds' worth pass (docs/spec/real-kafka.md 7).
const QUOTA_BURST_SECONDS: u64 = 10;

/// Most clients that a quota remembers; past it, it forgets all.
const QUOTA_CLIENTS_MAX: usize = 1_000;

/// A fault and its history.
#[derive(Debug)]
pub(crate) struct Rule {
    fault: Fault,
    until_ms: i64,
    ended: AtomicBool,
    hits: AtomicU64,
    used: Mutex<Used>,
}

/// What of a line or a quota is used up.
#[derive(Debug, Default)]
struct Used {
    /// When the line is free again, each way. Unit: microseconds since 1970.
    requests_free_us: i64,
    answers_free_us: i64,
    /// By broker, client id and API.
    clients: HashMap<(i32, String, i16), Bucket>,
}

/// Bytes that count against a quota; they leak at its rate.
#[derive(Debug, Default)]
struct Bucket {
    bytes: u64,
    at_ms: i64,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Request,
    Answer,
}

impl Rule {
    pub(super) fn new(fault: Fault, now_ms: i64) -> Self {
        let lasts = fault.lasts.map(milliseconds);
        let until_ms = lasts.map_or(i64::MAX, |lasts| now_ms.saturating_add(lasts));
        Self {
            until_ms: until_ms.min(fault.until_ms),
            fault,
            ended: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            used: Mutex::default(),
        }
    }

    pub(super) fn effect(&self) -> &Effect {
        &self.fault.effect
    }

    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Acquire)
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// Neither cleared nor over. Whether it may hit once more is another question: [`Rule::take`].
    pub(super) fn lasts(&self, now_ms: i64) -> bool {
        !self.ended.load(Ordering::Acquire) && now_ms < self.until_ms
    }

    /// Counts a hit, if it may hit once more.
    pub(super) fn take(&self, now_ms: i64) -> bool {
        let more = |hits| (hits < self.fault.times).then_some(hits + 1);
        let counted = || {
            self.hits
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, more)
        };
        self.lasts(now_ms) && counted().is_ok()
    }

    pub(super) fn is_of_broker(&self, node_id: i32) -> bool {
        self.fault.broker.is_none_or(|broker| broker == node_id)
    }

    /// Whether broker, API and client are those of the fault.
    pub(super) fn is_of(&self, incoming: &Incoming) -> bool {
        let fault = &self.fault;
        let quota = matches!(fault.effect, Effect::Quota(_));
        let client_id = incoming.client_id.as_str();
        self.is_of_broker(incoming.node_id)
            && fault.api.is_none_or(|api| api == incoming.api)
            && (!quota || matches!(incoming.api, ApiKey::Produce | ApiKey::Fetch))
            && fault
                .client_id
                .as_deref()
                .is_none_or(|prefix| client_id.starts_with(prefix))
    }

    /// The topic that it is restricted to.
    pub(super) fn topic(&self) -> Option<&str> {
        self.fault.topic.as_ref().map(|(topic, _)| topic.as_str())
    }

    /// Whether it hits this partition.
    pub(super) fn covers(&self, topic: &str, partition: i32) -> bool {
        let wanted = self.fault.topic.as_ref();
        wanted.is_none_or(|(name, index)| {
            name == topic && index.is_none_or(|index| index == partition)
        })
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the line for so many bytes; when the last of them arrives, in milliseconds since 1970.
    pub(super) fn send(&self, way: Way, bytes: usize, per_second: u64, now_ms: i64) -> i64 {
        let mut used = self.used();
        let free_us = match way {
            Way::Request => &mut used.requests_free_us,
            Way::Answer => &mut used.answers_free_us,
        };
        let takes = u64::try_from(bytes)
            .unwrap_or(u64::MAX)
            .saturating_mul(1_000_000);
        let takes_us = i64::try_from(takes / per_second.max(1)).unwrap_or(i64::MAX);
        *free_us = (*free_us)
            .max(now_ms.saturating_mul(1_000))
            .saturating_add(takes_us);
        // Rounded up: not before the last byte.
        free_us.saturating_add(999) / 1_000
    }

    /// Counts bytes against the quota of a client: for how long it is throttled, in milliseconds; 0 if it is within.
    /// A throttled Fetch gets nothing, so that it counts nothing either.
    pub(super) fn charge(
        &self,
        incoming: &Incoming,
        bytes: usize,
        per_second: u64,
        now_ms: i64,
    ) -> i32 {
        let mut used = self.used();
        if used.clients.len() >= QUOTA_CLIENTS_MAX {
            used.clients.clear();
        }
        let key = (
            incoming.node_id,
            incoming.client_id.to_string(),
            incoming.api as i16,
        );
        let bucket = used.clients.entry(key).or_default();
        let per_second = per_second.max(1);
        let burst = per_second.saturating_mul(QUOTA_BURST_SECONDS);
        let since_ms = u64::try_from(now_ms.saturating_sub(bucket.at_ms)).unwrap_or(0);
        let leaked = per_second.saturating_mul(since_ms) / 1_000;
        // No answer counts for more than the burst: a huge batch would never get through.
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(burst);
        let kept = bucket.bytes.saturating_sub(leaked);
        let after = kept.saturating_add(bytes);
        let over = after.saturating_sub(burst);
        let refused = over > 0 && incoming.api == ApiKey::Fetch;
        bucket.bytes = if refused { kept } else { after };
        bucket.at_ms = now_ms;
        i32::try_from(over.saturating_mul(1_000).div_ceil(per_second)).unwrap_or(i32::MAX)
    }
}

pub(super) fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
