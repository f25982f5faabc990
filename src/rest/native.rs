//! Our own routes, below `/v1`, and `/metrics`. The OpenAPI document is made from the types here.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{DelayWindow, Flow, FlowTotals, PartitionKey, PartitionSnapshot, PartitionState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, OpenApi, ToSchema};

use super::connect::{read, resource};
use super::errors::{Answer, ErrorBody};
use super::groups::{self, GroupReasonView, GroupStates};
use super::paging::{Paging, lets, one_of, query};
use super::{Api, now_ms, translations};
use crate::first_copy::FirstCopy;
use crate::metrics::quantiles;

/// Reasons of a flow.
const REASONS_MAX: usize = 10;
/// A control thread that was silent for longer counts as blocked.
const BEAT_AGE_MAX_MS: i64 = 30_000;
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "crosscurrent",
        description = "A running `crosscurrent run` or `crosscurrent connect`: Kafka Connect's routes, and our own below /v1"
    ),
    paths(
        flows,
        partitions,
        groups::groups,
        groups::group_partitions,
        translations::translations,
        live,
        ready,
        scrape
    ),
    components(schemas(ErrorBody))
)]
struct Document;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(resource("/v1/flows", vec![read().to(flows)]))
        .service(resource("/v1/partitions", vec![read().to(partitions)]))
        .service(resource("/v1/groups", vec![read().to(groups::groups)]))
        .service(resource(
            "/v1/groups/partitions",
            vec![read().to(groups::group_partitions)],
        ))
        .service(resource(
            "/v1/translations",
            vec![read().to(translations::translations)],
        ))
        .service(resource("/v1/live", vec![read().to(live)]))
        .service(resource("/v1/ready", vec![read().to(ready)]))
        .service(resource("/v1/openapi.json", vec![read().to(openapi)]))
        .service(resource("/metrics", vec![read().to(scrape)]));
}

impl Api {
    /// The control thread runs.
    pub(super) fn is_alive(&self) -> bool {
        now_ms().saturating_sub(self.last_beat.load(Ordering::Acquire)) < BEAT_AGE_MAX_MS
    }
}

/// Partitions by state.
#[derive(Serialize, ToSchema)]
struct States {
    starting: u64,
    running: u64,
    waiting: u64,
    halted: u64,
    stopped: u64,
}

/// One flow.
#[derive(Serialize, ToSchema)]
struct FlowView {
    /// `S->T`, its label everywhere.
    flow: String,
    source: String,
    target: String,
    /// Whether it copies topics; else it emits heartbeats only.
    replication: bool,
    /// What an operator wants: RUNNING, PAUSED or STOPPED.
    wanted: &'static str,
    /// What keeps all of it from getting on.
    trouble: Option<String>,
    /// Another process has taken it over.
    taken_over: bool,
    partitions: u64,
    states: States,
    /// Records of the source that are not acknowledged by the target, as far as known.
    lag_records: u64,
    records: u64,
    bytes: u64,
    /// Batches written anew instead of passed as bytes.
    reencoded_batches: u64,
    dropped_batches: u64,
    skipped_records: u64,
    restarts: u64,
    /// Groups of consumers that are known.
    groups: u64,
    group_states: GroupStates,
    /// Why they are not synced, the most pressing state and the most frequent reason first, at most 10.
    group_reasons: Vec<GroupReasonView>,
    /// Over the last 30 to 60 seconds.
    records_per_second: f64,
    bytes_per_second: f64,
    /// Over the last 30 to 60 seconds; null without a batch.
    latency: Option<QuantilesView>,
    first_copy: FirstCopyView,
    /// Why partitions do not run, the worst state and the most frequent reason first, at most 10.
    reasons: Vec<ReasonView>,
}

/// Age of each batch's newest record when the target acknowledged the batch. Unit: milliseconds.
#[derive(Serialize, ToSchema)]
struct QuantilesView {
    p50: u64,
    p99: u64,
    max: u64,
    batches: u64,
}

/// How far what the source's logs held when this process first looked at them is copied. Unit: offsets.
#[derive(Serialize, ToSchema)]
struct FirstCopyView {
    /// Nothing of it is left, as far as known.
    done: bool,
    /// 0 to 100; null while nothing is known.
    percent: Option<f64>,
    offsets: u64,
    copied_offsets: u64,
    /// Over the last 30 to 60 seconds, with what came later.
    offsets_per_second: f64,
    /// At this rate; null while nothing moves, or not all is known.
    seconds_left: Option<u64>,
    /// Partitions that are not in it, because their logs were not looked at yet, or not since a stop.
    unseen_partitions: u64,
}

/// Partitions of a flow that do not run for the same reason.
#[derive(Serialize, ToSchema)]
struct ReasonView {
    state: &'static str,
    reason: String,
    partitions: u64,
    /// One of them: topic and number.
    example: String,
}

impl From<(&FlowTotals, FirstCopy)> for FirstCopyView {
    fn from((totals, copy): (&FlowTotals, FirstCopy)) -> Self {
        Self {
            done: copy.is_done(),
            percent: copy.percent(),
            offsets: totals.first_copy.total,
            copied_offsets: totals.first_copy.copied,
            offsets_per_second: copy.per_second(),
            seconds_left: copy.seconds_left(),
            unseen_partitions: totals.unseen,
        }
    }
}

/// States in which partitions do not run, the worst first.
const NOT_RUNNING: [PartitionState; 3] = [
    PartitionState::Halted,
    PartitionState::Waiting,
    PartitionState::Starting,
];

fn reasons(flow: &Flow, totals: &FlowTotals) -> Vec<ReasonView> {
    if NOT_RUNNING.iter().all(|state| totals.in_state(*state) == 0) {
        return Vec::new(); // the usual case costs no walk over all partitions
    }
    let mut found: HashMap<(PartitionState, Cow<'static, str>), (u64, PartitionKey)> =
        HashMap::new();
    flow.registry.for_each(|status| {
        if status.key().flow != flow.label {
            return;
        }
        let (state, reason) = status.state();
        if NOT_RUNNING.contains(&state) {
            let of = found
                .entry((state, reason))
                .or_insert_with(|| (0, status.key().clone()));
            of.0 += 1;
        }
    });
    let mut views: Vec<_> = found.into_iter().collect();
    let place = |state| NOT_RUNNING.iter().position(|one| *one == state);
    views.sort_by_key(|((state, _), (count, key))| (place(*state), Reverse(*count), key.clone()));
    (views.into_iter().take(REASONS_MAX))
        .map(|((state, reason), (partitions, key))| ReasonView {
            state: state.as_str(),
            reason: reason.into_owned(),
            partitions,
            example: format!("{}-{}", key.topic, key.partition),
        })
        .collect()
}

fn view(api: &Api, flow: &Flow, totals: &FlowTotals) -> FlowView {
    let count = |state| totals.in_state(state);
    let window = (api.windows).of_flow(&api.registry, &flow.label, totals, Instant::now());
    let latency = quantiles(&window.latencies).map(|of| QuantilesView {
        p50: of.p50,
        p99: of.p99,
        max: of.max,
        batches: window.latencies.count(),
    });
    let (group_states, group_reasons) = groups::sums(flow);
    FlowView {
        flow: flow.label.to_string(),
        source: flow.config.id.source.to_string(),
        target: flow.config.id.target.to_string(),
        replication: flow.config.replication_enabled,
        wanted: flow.control.source.wanted().as_str(),
        trouble: flow.trouble(),
        taken_over: flow.lease.is_lost(),
        partitions: totals.partitions,
        states: States {
            starting: count(PartitionState::Starting),
            running: count(PartitionState::Running),
            waiting: count(PartitionState::Waiting),
            halted: count(PartitionState::Halted),
            stopped: count(PartitionState::Stopped),
        },
        lag_records: totals.lag_records,
        records: totals.records,
        bytes: totals.bytes,
        reencoded_batches: totals.reencoded,
        dropped_batches: totals.dropped,
        skipped_records: totals.skipped_records,
        restarts: totals.restarts,
        groups: flow.groups.len() as u64,
        group_states,
        group_reasons,
        records_per_second: window.records_per_second,
        bytes_per_second: window.bytes_per_second,
        latency,
        first_copy: (totals, window.first_copy).into(),
        reasons: reasons(flow, totals),
    }
}

/// All flows of this process.
#[utoipa::path(get, path = "/v1/flows", responses((status = 200, body = Vec<FlowView>)))]
async fn flows(api: web::Data<Api>) -> HttpResponse {
    let totals = api.registry.flow_totals();
    let none = FlowTotals::default();
    let views: Vec<_> = (api.shown().flows.iter())
        .map(|flow| view(&api, flow, totals.get(&flow.label).unwrap_or(&none)))
        .collect();
    HttpResponse::Ok().json(views)
}

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
async fn partitions(api: web::Data<Api>, request: HttpRequest) -> Answer {
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

/// Whether the process is well, and why not.
#[derive(Serialize, ToSchema)]
struct Condition {
    ok: bool,
    reasons: Vec<String>,
}

fn condition(reasons: Vec<String>) -> HttpResponse {
    let ok = reasons.is_empty();
    let mut answer = if ok {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    answer.json(Condition { ok, reasons })
}

/// The process can work: restart it if not.
#[utoipa::path(
    get, path = "/v1/live",
    responses((status = 200, body = Condition), (status = 503, body = Condition))
)]
async fn live(api: web::Data<Api>) -> HttpResponse {
    let blocked = (!api.is_alive()).then(|| "the control thread is blocked".to_owned());
    condition(blocked.into_iter().collect())
}

/// Every flow has started and can reach its clusters.
#[utoipa::path(
    get, path = "/v1/ready",
    responses((status = 200, body = Condition), (status = 503, body = Condition))
)]
async fn ready(api: web::Data<Api>) -> HttpResponse {
    let mut reasons = Vec::new();
    if api.stopping.load(Ordering::Acquire) {
        reasons.push("stopping".to_owned());
    }
    let shown = api.shown();
    for flow in shown
        .flows
        .iter()
        .filter(|flow| flow.config.replication_enabled)
    {
        let label = &flow.label;
        if flow.lease.is_lost() {
            reasons.push(format!("{label}: another process has taken the flow over"));
        }
        match flow.trouble() {
            Some(trouble) => reasons.push(format!("{label}: {trouble}")),
            None if !flow.maps.is_loaded() => reasons.push(format!("{label}: has not started yet")),
            None => {}
        }
    }
    condition(reasons)
}

async fn openapi() -> Answer {
    super::openapi::with_connect(&Document::openapi())
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", responses((status = 200, content_type = "text/plain", body = String)))]
async fn scrape(api: web::Data<Api>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(METRICS_TYPE)
        .body(api.metrics())
}
