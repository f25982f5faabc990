//! Which faults hit one request, and what handlers ask of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

use super::{Effect, Faults, Rule, partitions};
use crate::security::Resource;
use crate::server::Incoming;

/// Bytes of a batch before its records (docs/spec/batches.md).
const BATCH_HEADER_BYTES: usize = 61;

/// The faults that hit one request.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Counted as hits already.
    pub(super) sure: Vec<Arc<Rule>>,
    /// Depend on what the handler comes across: counted then, once for the request.
    asked: Vec<(Arc<Rule>, AtomicBool)>,
    /// What a Fetch was throttled by. Unit: milliseconds.
    pub(super) throttled_ms: AtomicI32,
}

impl Faults {
    /// Finds the faults that hit a request, and counts them.
    pub(super) fn judge(&self, incoming: &Incoming, body: &Bytes) -> Verdict {
        let now_ms = self.0.clock.now_ms();
        let known = self.0.known();
        let candidates: Vec<Arc<Rule>> = known
            .rules
            .iter()
            .filter(|rule| rule.is_of(incoming) && *rule.effect() != Effect::Refuse)
            .cloned()
            .collect();
        drop(known); // below, the cluster's state is asked
        let mut verdict = Verdict::default();
        for rule in candidates {
            if depends(&rule, incoming.api) {
                verdict.asked.push((rule, AtomicBool::new(false)));
            } else if partitions::touches(&rule, incoming, body) && rule.take(now_ms) {
                verdict.sure.push(rule);
            }
        }
        verdict
    }

    /// Whether a line has gone dead while a request was carried out.
    pub(super) fn is_half_open(&self, incoming: &Incoming) -> bool {
        let now_ms = self.0.clock.now_ms();
        let known = self.0.known();
        let mut rules = known.rules.iter();
        rules.any(|rule| {
            *rule.effect() == Effect::HalfOpen
                && rule.topic().is_none()
                && rule.is_of(incoming)
                && rule.take(now_ms)
        })
    }
}

/// Whether only the handler can say if this hits.
fn depends(rule: &Rule, api: ApiKey) -> bool {
    match rule.effect() {
        Effect::Error(_) => is_by_partition(api),
        Effect::DenyAuthorization | Effect::CorruptBytes => true,
        _ => false,
    }
}

/// APIs whose handlers ask [`Incoming::refuses`] for each partition.
pub(super) fn is_by_partition(api: ApiKey) -> bool {
    matches!(api, ApiKey::Produce | ApiKey::Fetch | ApiKey::ListOffsets)
}

impl Verdict {
    /// The first fault that may hit and is wanted; counted now, if it was not before.
    fn ask<T>(&self, now_ms: i64, wanted: impl Fn(&Rule) -> Option<T>) -> Option<T> {
        self.asked.iter().find_map(|(rule, counted)| {
            let found = wanted(rule)?;
            if !counted.load(Ordering::Relaxed) {
                if !rule.take(now_ms) {
                    return None;
                }
                counted.store(true, Ordering::Relaxed);
            }
            Some(found)
        })
    }
}

impl Incoming {
    /// [`Effect::Error`], for handlers that answer each partition by itself: asked before anything is done to it.
    ///
    /// # Errors
    /// The code of the fault that hits this partition.
    pub(crate) fn refuses(&self, topic: &str, partition: i32) -> Result<(), ResponseError> {
        let Some(verdict) = &self.faults else {
            return Ok(());
        };
        let error = verdict.ask(self.shared.clock.now_ms(), |rule| match rule.effect() {
            Effect::Error(error) if rule.covers(topic, partition) => Some(*error),
            _ => None,
        });
        error.map_or(Ok(()), Err)
    }

    /// [`Effect::DenyAuthorization`], for the authorizer.
    pub(crate) fn is_denied(&self, resource: Resource<'_>) -> bool {
        let Some(verdict) = &self.faults else {
            return false;
        };
        let denied = verdict.ask(self.shared.clock.now_ms(), |rule| {
            let meant = match (rule.topic(), resource) {
                (None, _) => true,
                (Some(topic), Resource::Topic(name)) => topic == name,
                (Some(_), _) => false,
            };
            (*rule.effect() == Effect::DenyAuthorization && meant).then_some(())
        });
        denied.is_some()
    }

    /// [`Effect::CorruptBytes`], for records that are about to be sent.
    pub(crate) fn damaged(&self, topic: &str, partition: i32, records: Bytes) -> Bytes {
        let Some(verdict) = &self.faults else {
            return records;
        };
        if records.len() <= BATCH_HEADER_BYTES {
            return records;
        }
        let hit = verdict.ask(self.shared.clock.now_ms(), |rule| {
            let hit = *rule.effect() == Effect::CorruptBytes && rule.covers(topic, partition);
            hit.then_some(())
        });
        match hit {
            None => records,
            Some(()) => {
                let mut copy = records.to_vec();
                if let Some(byte) = copy.get_mut(BATCH_HEADER_BYTES) {
                    *byte ^= 0x10;
                }
                copy.into()
            }
        }
    }

    /// [`Effect::Throttle`] and [`Effect::Quota`], for a Fetch whose answer would have so many bytes of records: for how long it is
    /// throttled and must be answered without topics. Unit: milliseconds.
    pub(crate) fn throttles_fetch(&self, bytes: usize) -> Option<i32> {
        let verdict = self.faults.as_ref()?;
        let now_ms = self.shared.clock.now_ms();
        let each = verdict.sure.iter().map(|rule| match rule.effect() {
            Effect::Throttle { ms, .. } => *ms,
            Effect::Quota(per_second) => rule.charge(self, bytes, *per_second, now_ms),
            _ => 0,
        });
        let longest = each.max().filter(|ms| *ms > 0)?;
        verdict.throttled_ms.store(longest, Ordering::Relaxed);
        Some(longest)
    }
}
