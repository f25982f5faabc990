//! Connect's routes (docs/spec/mm2.md 9.2), to the byte where clients look.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::guard::{self, Guard};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{
    FromRequest, Handler, HttpRequest, HttpResponse, Responder, ResponseError, Route, web,
};
use actors::TargetState;
use serde::Serialize;

use super::connectors::{CONNECT_VERSION, ConnectorView, InfoView, StatusView};
use super::errors::{Answer, ApiError, STARTING, plain};
use super::found::{self, find};
use super::{Api, Shown, changes, offsets};
use crate::connect::Restart;

pub(super) const CONFIG_IS_A_FILE: &str = "connectors are made from the file of `crosscurrent run`: change the file and restart the process, or start it with --rest-writable";
pub(super) const CONNECTORS_ARE_A_FILE: &str = "which connectors there are is said in the file of `crosscurrent run`: their configurations can be changed, and they can be stopped";

/// All routes of Connect.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    let all: [(&str, Vec<Way>); 16] = [
        ("/", vec![read().to(root)]),
        ("/health", vec![read().to(health)]),
        (
            "/connectors",
            vec![read().to(list), post().to(changes::create)],
        ),
        (
            "/connectors/{c}",
            vec![read().to(info), delete().to(changes::delete)],
        ),
        (
            "/connectors/{c}/config",
            vec![
                read().to(config_of),
                put().to(changes::put_config),
                patch().to(changes::patch_config),
            ],
        ),
        ("/connectors/{c}/status", vec![read().to(status)]),
        ("/connectors/{c}/tasks", vec![read().to(tasks)]),
        (
            "/connectors/{c}/tasks/{n:[0-9]+}/status",
            vec![read().to(task_status)],
        ),
        (
            "/connectors/{c}/tasks/{n:[0-9]+}/restart",
            vec![post().to(restart_task)],
        ),
        ("/connectors/{c}/restart", vec![post().to(restart)]),
        ("/connectors/{c}/pause", vec![put().to(pause)]),
        ("/connectors/{c}/resume", vec![put().to(resume)]),
        ("/connectors/{c}/stop", vec![put().to(stop)]),
        ("/connectors/{c}/topics", vec![read().to(topics)]),
        (
            "/connectors/{c}/topics/reset",
            vec![put().to(changes::reset_topics)],
        ),
        (
            "/connectors/{c}/offsets",
            vec![
                read().to(offsets::list),
                patch().to(offsets::alter),
                delete().to(offsets::reset),
            ],
        ),
    ];
    for (path, routes) in all {
        config.service(resource(path, routes));
    }
}

/// What is done for a method.
pub(super) struct Way {
    allow: &'static str,
    route: Route,
}

impl Way {
    pub(super) fn to<F, Args>(self, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = self.route.to(handler);
        Self { route, ..self }
    }
}

/// A resource that answers other methods with 405, and says which it has (RFC 9110 15.5.6).
pub(super) fn resource(path: &str, ways: Vec<Way>) -> actix_web::Resource {
    let allow: Vec<_> = ways.iter().map(|way| way.allow).collect();
    let allow: Arc<str> = allow.join(", ").into();
    let other = move || {
        let allow = allow.clone();
        async move {
            let mut answer = plain(StatusCode::METHOD_NOT_ALLOWED).error_response();
            if let Ok(allow) = HeaderValue::from_str(&allow) {
                answer.headers_mut().insert(header::ALLOW, allow);
            }
            answer
        }
    };
    (ways.into_iter().map(|way| way.route))
        .fold(web::resource(path.to_owned()), actix_web::Resource::route)
        .default_service(web::to(other))
}

/// GET, and HEAD, whose answer the server leaves without its body.
pub(super) fn read() -> Way {
    let route = Route::new().guard(guard::fn_guard(|at| {
        guard::Get().check(at) || guard::Head().check(at)
    }));
    let allow = "GET, HEAD";
    Way { allow, route }
}

pub(super) fn put() -> Way {
    let (allow, route) = ("PUT", web::put());
    Way { allow, route }
}

pub(super) fn post() -> Way {
    let (allow, route) = ("POST", web::post());
    Way { allow, route }
}

pub(super) fn patch() -> Way {
    let (allow, route) = ("PATCH", web::patch());
    Way { allow, route }
}

pub(super) fn delete() -> Way {
    let (allow, route) = ("DELETE", web::delete());
    Way { allow, route }
}

/// The body, or why there is none.
pub(super) fn body(bytes: Result<web::Bytes, actix_web::Error>) -> Result<web::Bytes, ApiError> {
    bytes.map_err(|error| ApiError::new(error.as_response_error().status_code(), error.to_string()))
}

/// The running connector of that name.
pub(crate) fn running<'a>(shown: &'a Shown, name: &str) -> Option<&'a ConnectorView> {
    let named = shown.connectors.iter().find(|one| one.name == name);
    let mut flows = shown
        .flows
        .iter()
        .filter(|flow| flow.config.replication_enabled);
    match (named, flows.next(), flows.next()) {
        // With one flow that copies, MM2's own names are clear enough.
        (None, Some(only), None) => (shown.connectors.iter())
            .find(|one| one.flow.label == only.label && one.stored_name() == name),
        _ => named,
    }
}

#[derive(Serialize)]
struct Root {
    version: &'static str,
    commit: &'static str,
    /// Of the worker's cluster; with `run`, of the target of the first flow that copies. Null until a broker has said it.
    kafka_cluster_id: Option<String>,
}

async fn root(api: web::Data<Api>) -> HttpResponse {
    let shown = api.shown();
    let id = match api.connect() {
        Some(connect) => connect.store.cluster_id(),
        None => (shown.flows.iter())
            .find(|flow| flow.config.replication_enabled)
            .and_then(|flow| flow.target.id()),
    };
    HttpResponse::Ok().json(Root {
        version: CONNECT_VERSION,
        commit: concat!("crosscurrent-", env!("CARGO_PKG_VERSION")),
        kafka_cluster_id: id.map(str::to_owned),
    })
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    message: Cow<'static, str>,
}

/// KIP-1017.
async fn health(api: web::Data<Api>) -> HttpResponse {
    if !api.is_alive() {
        let message =
            "Worker was unable to handle this request and may be unable to handle other requests.";
        return HttpResponse::InternalServerError().json(Health {
            status: "unhealthy",
            message: message.into(),
        });
    }
    if let Some(why) = api.starting() {
        return HttpResponse::ServiceUnavailable().json(Health {
            status: "starting",
            message: format!("{STARTING} {why}").into(),
        });
    }
    let message = "Worker has completed startup and is ready to handle requests.";
    HttpResponse::Ok().json(Health {
        status: "healthy",
        message: message.into(),
    })
}

#[derive(Serialize)]
struct Expanded {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<StatusView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<InfoView>,
}

/// The values of a query's key, decoded.
pub(super) fn query(request: &HttpRequest, key: &str) -> Vec<String> {
    let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string());
    let pairs = pairs.map(web::Query::into_inner).unwrap_or_default();
    (pairs.into_iter())
        .filter(|(name, _)| name == key)
        .map(|(_, value)| value)
        .collect()
}

/// A truth of a query as JAX-RS reads it: the first one counts, blank is as if it were not there, and whatever is not "true"
/// is false.
pub(super) fn flag(request: &HttpRequest, key: &str, default: bool) -> bool {
    match query(request, key).first().map(|value| value.trim()) {
        None | Some("") => default,
        Some(value) => value.eq_ignore_ascii_case("true"),
    }
}

async fn list(api: web::Data<Api>, request: HttpRequest) -> HttpResponse {
    let expand = query(&request, "expand");
    let names = found::names(&api);
    if expand.is_empty() {
        return HttpResponse::Ok().json(names);
    }
    let wants = |what: &str| expand.iter().any(|value| value == what);
    let (status, info) = (wants("status"), wants("info"));
    let expanded: BTreeMap<_, _> = (names.into_iter())
        .filter_map(|name| {
            let one = found::get(&api, &name)?;
            let status = status.then(|| one.status());
            let info = info.then(|| one.info());
            Some((name, Expanded { status, info }))
        })
        .collect();
    HttpResponse::Ok().json(expanded)
}

async fn info(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(find(&api, &name)?.info()))
}

async fn config_of(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(find(&api, &name)?.info().config))
}

async fn status(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    let unknown = || ApiError::not_found(format!("No status found for connector {name}"));
    Ok(HttpResponse::Ok().json(found::get(&api, &name).ok_or_else(unknown)?.status()))
}

async fn tasks(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    Ok(HttpResponse::Ok().json(find(&api, &name)?.tasks()))
}

async fn task_status(api: web::Data<Api>, at: web::Path<(String, String)>) -> Answer {
    let (name, number) = at.into_inner();
    let tasks = found::get(&api, &name)
        .map(|one| one.status().tasks)
        .unwrap_or_default();
    let task = (tasks.into_iter()).find(|task| task.id.to_string() == number);
    let unknown = || ApiError::not_found(format!("No status found for task {name}-{number}"));
    Ok(HttpResponse::Ok().json(task.ok_or_else(unknown)?))
}

async fn restart_task(api: web::Data<Api>, at: web::Path<(String, String)>) -> Answer {
    let (name, number) = at.into_inner();
    let unknown = || ApiError::not_found(format!("Unknown connector: {name}"));
    let found = found::get(&api, &name).ok_or_else(unknown)?;
    let tasks = found.status().tasks;
    let Some(task) = tasks.iter().find(|task| task.id.to_string() == number) else {
        return Err(ApiError::not_found(format!(
            "Unknown task: {name}-{number}"
        )));
    };
    if let Some(view) = found.view() {
        view.restart_task(task.id).await;
    }
    Ok(HttpResponse::NoContent().finish())
}

async fn restart(api: web::Data<Api>, name: web::Path<String>, request: HttpRequest) -> Answer {
    let unknown = || ApiError::not_found(format!("Unknown connector: {name}"));
    let found = found::get(&api, &name).ok_or_else(unknown)?;
    let wanted = Restart {
        include_tasks: flag(&request, "includeTasks", false),
        only_failed: flag(&request, "onlyFailed", false),
    };
    let mut status = found.status();
    let due = |state: &str| state != "STOPPED" && (!wanted.only_failed || state == "FAILED");
    let recorded = changes::record_restart(&api, &name, wanted).await?;
    if due(status.connector.state) {
        if let Some(view) = found.view().filter(|_| !recorded) {
            view.restart().await;
        }
        status.connector.state = "RESTARTING";
    }
    if wanted.include_tasks {
        for task in status.tasks.iter_mut().filter(|task| due(task.at.state)) {
            if let Some(view) = found.view().filter(|_| !recorded) {
                view.restart_task(task.id).await;
            }
            task.at.state = "RESTARTING";
        }
    }
    if wanted == Restart::default() {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Ok(HttpResponse::Accepted().json(status))
    }
}

async fn pause(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    changes::want(&api, &name, TargetState::Paused).await?;
    Ok(HttpResponse::Accepted().finish())
}

async fn resume(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    changes::want(&api, &name, TargetState::Running).await?;
    Ok(HttpResponse::Accepted().finish())
}

async fn stop(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    changes::want(&api, &name, TargetState::Stopped).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Serialize)]
struct Topics {
    topics: Vec<String>,
}

async fn topics(api: web::Data<Api>, name: web::Path<String>) -> HttpResponse {
    let topics = found::topics(&api, &name);
    HttpResponse::Ok().json(BTreeMap::from([(name.as_str(), Topics { topics })]))
}
