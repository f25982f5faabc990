//! `/v1/flows`: what each flow does, and why its partitions do not run.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Instant;

use actix_web::{HttpResponse, web};
use actors::{Flow, FlowTotals, PartitionKey, PartitionState};
use serde::Serialize;
use utoipa::ToSchema;

use super::Api;
use super::groups::{self, GroupReasonView, GroupStates};
use crate::first_copy::FirstCopy;
use crate::metrics::quantiles;

/// Reasons of a flow.
const REASONS_MAX: usize = 10;

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
pub(super) async fn flows(api: web::Data<Api>) -> HttpResponse {
    let totals = api.registry.flow_totals();
    let none = FlowTotals::default();
    let views: Vec<_> = (api.shown().flows.iter())
        .map(|flow| view(&api, flow, totals.get(&flow.label).unwrap_or(&none)))
        .collect();
    HttpResponse::Ok().json(views)
}
