//! What faults do to one request on its connection: before its handler, and to its answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, ProduceResponse};
use kafka_protocol::protocol::Encodable;

use super::rule::{Way, milliseconds};
use super::{After, Effect, Faults, Rule, Verdict, refusals};
use crate::server::{Answer, Closed, Incoming, Link, Transport};

/// How a connection ends by a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Closed in order.
    Closed,
    /// Reset.
    Reset,
    /// Open; what comes is read and thrown away.
    Silent,
    /// Open; nothing is read.
    Dead,
}

impl From<Closed> for End {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// What faults make of a request before it is carried out.
#[derive(Debug)]
pub(crate) enum Fate {
    /// It is carried out.
    Handle,
    /// This is the answer.
    Answer(Answer),
}

/// When an answer is sent, and when the next request is read. Milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) send_ms: i64,
    pub(crate) read_ms: i64,
}

impl Faults {
    /// Decides about a request that has arrived, holds it as long as it has to be held, and leaves the verdict to its handler.
    ///
    /// # Errors
    /// How the connection ends.
    pub(crate) async fn before<S: Transport>(
        &self,
        link: &mut Link<S>,
        incoming: &mut Incoming,
        body: &Bytes,
    ) -> Result<Fate, End> {
        link.during(self.thawed(incoming.node_id)).await?;
        let verdict = Arc::new(self.judge(incoming, body));
        incoming.faults = Some(Arc::clone(&verdict));
        let mut fate = Fate::Handle;
        for rule in &verdict.sure {
            match rule.effect() {
                Effect::Reset => return Err(End::Reset),
                Effect::HalfOpen => return Err(End::Dead),
                Effect::Drop => return Err(End::Silent),
                Effect::NeverAnswer => link.during(self.ended(rule)).await?,
                Effect::Bandwidth(per_second) => {
                    let clock = &self.0.clock;
                    let now_ms = clock.now_ms();
                    let there_ms = rule.send(Way::Request, body.len(), *per_second, now_ms);
                    link.during(clock.until(there_ms)).await?;
                }
                Effect::ExpireCredentials if incoming.api == ApiKey::SaslAuthenticate => {
                    let error = ResponseError::SaslAuthenticationFailed;
                    fate = Fate::Answer(refusals::refuse(incoming, body.clone(), error)?);
                }
                Effect::ExpireCredentials => return Err(End::Closed),
                Effect::Error(error) => {
                    fate = Fate::Answer(refusals::refuse(incoming, body.clone(), *error)?);
                }
                _ => {}
            }
        }
        // The next request of a broker that was stopped meanwhile is not carried out either.
        link.during(self.thawed(incoming.node_id)).await?;
        Ok(fate)
    }

    /// Decides about the answer.
    ///
    /// # Errors
    /// How the connection ends.
    pub(crate) fn after(
        &self,
        incoming: &Incoming,
        request_bytes: usize,
        answer: &mut Answer,
    ) -> Result<Schedule, End> {
        let now_ms = self.0.clock.now_ms();
        let mut schedule = Schedule {
            send_ms: now_ms,
            read_ms: now_ms,
        };
        // Also one that began while the request was carried out.
        if self.is_half_open(incoming) {
            return Err(End::Dead);
        }
        let Some(verdict) = &incoming.faults else {
            return Ok(schedule);
        };
        let (mut throttled_ms, mut later_ms) = (0, 0);
        for rule in &verdict.sure {
            match rule.effect() {
                Effect::LoseAnswer(After::Closed) => return Err(End::Closed),
                Effect::LoseAnswer(After::Silent) => return Err(End::Silent),
                Effect::Delay(by) => later_ms = milliseconds(*by).max(later_ms),
                Effect::Bandwidth(per_second) => {
                    let bytes = answer.bytes();
                    let there_ms = rule.send(Way::Answer, bytes, *per_second, now_ms);
                    schedule.send_ms = schedule.send_ms.max(there_ms);
                }
                Effect::Throttle { ms, mute } => {
                    throttled_ms = throttled_ms.max(*ms);
                    if *mute {
                        schedule.read_ms = now_ms.saturating_add((*ms).into());
                    }
                }
                Effect::Quota(per_second) => {
                    let ms = quota_ms(rule, incoming, verdict, request_bytes, *per_second, now_ms);
                    throttled_ms = throttled_ms.max(ms);
                    let read_ms = now_ms.saturating_add(ms.into());
                    schedule.read_ms = schedule.read_ms.max(read_ms);
                }
                _ => {}
            }
        }
        schedule.send_ms = schedule.send_ms.saturating_add(later_ms);
        if throttled_ms > 0 && incoming.api != ApiKey::Fetch {
            tell_throttled(incoming, answer, throttled_ms)?;
        }
        Ok(schedule)
    }
}

fn quota_ms(
    rule: &Rule,
    incoming: &Incoming,
    verdict: &Verdict,
    request_bytes: usize,
    per_second: u64,
    now_ms: i64,
) -> i32 {
    match incoming.api {
        // Charged by its handler, which knows what it would send.
        ApiKey::Fetch => verdict.throttled_ms.load(Ordering::Relaxed),
        _ => rule.charge(incoming, request_bytes, per_second, now_ms),
    }
}

/// Writes `throttle_time_ms` into an answer that has one.
fn tell_throttled(incoming: &Incoming, answer: &mut Answer, ms: i32) -> Result<(), Closed> {
    let Answer::Body { body, .. } = answer else {
        return Ok(());
    };
    if incoming.api == ApiKey::Produce {
        let mut bytes = body.split().freeze();
        let response: ProduceResponse = messages::decode(&mut bytes, incoming.version)?;
        let mut changed = BytesMut::new();
        let response = response.with_throttle_time_ms(ms);
        response
            .encode(&mut changed, incoming.version)
            .map_err(|_| Closed)?;
        *body = changed;
        return Ok(());
    }
    if throttle_time_is_first(incoming.api, incoming.version)
        && let Some(first) = body.get_mut(..4)
    {
        first.copy_from_slice(&ms.to_be_bytes());
    }
    Ok(())
}

/// Whether an answer begins with `throttle_time_ms` (the schemas of 4.3.1). Not so: Produce and ApiVersions, where it is the last
/// field, and what is not throttled.
fn throttle_time_is_first(api: ApiKey, version: i16) -> bool {
    let since = match api {
        ApiKey::Produce
        | ApiKey::ApiVersions
        | ApiKey::SaslHandshake
        | ApiKey::SaslAuthenticate
        | ApiKey::WriteTxnMarkers
        | ApiKey::DescribeQuorum => return false,
        ApiKey::ListOffsets
        | ApiKey::JoinGroup
        | ApiKey::CreateTopics
        | ApiKey::OffsetForLeaderEpoch => 2,
        ApiKey::Metadata | ApiKey::OffsetCommit | ApiKey::OffsetFetch => 3,
        ApiKey::Fetch
        | ApiKey::FindCoordinator
        | ApiKey::Heartbeat
        | ApiKey::LeaveGroup
        | ApiKey::SyncGroup
        | ApiKey::DescribeGroups
        | ApiKey::ListGroups
        | ApiKey::DeleteTopics => 1,
        _ => 0,
    };
    version >= since
}
