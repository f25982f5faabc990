//! `/v1/partitions`: where each partition is, a page at a time.

use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{DelayWindow, PartitionSnapshot, PartitionState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::errors::{Answer, ErrorBody};
use super::paging::{Paging, lets, one_of, query};

/// Which partitions, and which page of them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Label of a flow, `S->T`.
    flow: Option<String>,
    /// A topic of the source.
    topic: Option<String>,
    /// starting, running, waiting, halted or stopped.
    state: Option<String>,
}

/// Batches by reason.
#[derive(Serialize, ToSchema)]
struct Counted {
    reason: &'static str,
    batches: u64,
}

/// A delay over the last 30 to 60 seconds, by the newest record of each batch. Unit: milliseconds.
#[derive(Serialize, ToSchema)]
struct DelayView {
    last: i64,
    mean: i64,
    min: i64,
    max: i64,
}

/// One partition.
#[derive(Serialize, ToSchema)]
struct PartitionView {
    flow: String,
    topic: String,
    partition: i32,
    state: &'static str,
    /// Why it is in that state.
    reason: String,
    /// The next offset to fetch from the source.
    position: Option<i64>,
    /// The last offset of the source up to which everything is on the target.
    acked: Option<i64>,
    high_watermark: Option<i64>,
    lag_records: Option<u64>,
    records: u64,
    bytes: u64,
    /// Over the last 30 to 60 seconds.
    records_per_second: f64,
    bytes_per_second: f64,
    /// From a batch's newest record to the target's acknowledgement.
    latency: Option<DelayView>,
    reencoded: Vec<Counted>,
    dropped: Vec<Counted>,
    skipped_records: u64,
    restarts: u64,
    /// When it last got on. Unit: epoch milliseconds; null: never.
    updated_at_ms: Option<i64>,
}

/// A page of partitions.
#[derive(Serialize, ToSchema)]
struct PartitionPage {
    /// How many the filter lets through.
    total: usize,
    offset: usize,
    partitions: Vec<PartitionView>,
}

fn counted(counts: Vec<(&'static str, u64)>) -> Vec<Counted> {
    let counted = |(reason, batches)| Counted { reason, batches };
    counts.into_iter().map(counted).collect()
}

fn delay(window: DelayWindow) -> Option<DelayView> {
    let DelayWindow { last, min, max, .. } = window;
    let mean = window.mean()?;
    Some(DelayView {
        last,
        mean,
        min,
        max,
    })
}

fn partition(api: &Api, at: PartitionSnapshot, now: Instant) -> PartitionView {
    let window = api.windows.of(&at, now);
    PartitionView {
        flow: at.key.flow.to_string(),
        topic: at.key.topic.to_string(),
        partition: at.key.partition,
        state: at.state.as_str(),
        reason: at.reason.into_owned(),
        position: at.position,
        acked: at.acked,
        high_watermark: at.high_watermark,
        lag_records: at.lag_records,
        records: at.records,
        bytes: at.bytes,
        records_per_second: window.records_per_second,
        bytes_per_second: window.bytes_per_second,
        latency: delay(window.latency),
        reencoded: counted(at.reencoded),
        dropped: counted(at.dropped),
        skipped_records: at.skipped_records,
        restarts: at.restarts,
        updated_at_ms: (at.updated_at_ms > 0).then_some(at.updated_at_ms),
    }
}

/// The partitions of all flows, ordered by flow, topic and partition, a page at a time.
#[utoipa::path(
    get, path = "/v1/partitions", params(Filter, Paging),
    responses((status = 200, body = PartitionPage), (status = 400, body = ErrorBody))
)]
pub(super) async fn partitions(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let filter: Filter = query(&request)?;
    let mut page = query::<Paging>(&request)?.page()?;
    let states = PartitionState::ALL.map(PartitionState::as_str);
    one_of("state", filter.state.as_deref(), states)?;
    let now = Instant::now();
    for at in api.registry.snapshots() {
        if lets(filter.flow.as_deref(), &at.key.flow)
            && lets(filter.topic.as_deref(), &at.key.topic)
            && lets(filter.state.as_deref(), at.state.as_str())
        {
            page.pass(|| partition(&api, at, now));
        }
    }
    Ok(HttpResponse::Ok().json(PartitionPage {
        total: page.total,
        offset: page.offset,
        partitions: page.rows,
    }))
}
