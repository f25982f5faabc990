//! Our own routes, below `/v1`, and `/metrics`: health, and the OpenAPI document, which is made from the types.

use std::sync::atomic::Ordering;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};

use super::connect::{read, resource};
use super::errors::{Answer, ErrorBody};
use super::{Api, flows, groups, now_ms, partitions, translations};

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
        flows::flows,
        partitions::partitions,
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
        .service(resource("/v1/flows", vec![read().to(flows::flows)]))
        .service(resource(
            "/v1/partitions",
            vec![read().to(partitions::partitions)],
        ))
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

/// Every flow has started and can reach its clusters; a Connect worker has read its storage topics.
#[utoipa::path(
    get, path = "/v1/ready",
    responses((status = 200, body = Condition), (status = 503, body = Condition))
)]
async fn ready(api: web::Data<Api>) -> HttpResponse {
    let mut reasons = Vec::new();
    if api.stopping.load(Ordering::Acquire) {
        reasons.push("stopping".to_owned());
    }
    reasons.extend(api.starting());
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
