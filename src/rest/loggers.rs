//! `/admin/loggers`: log levels of this process (KIP-495, KIP-976).

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value};

use super::connect::{body, put, query, read, resource};
use super::errors::{Answer, ApiError};
use super::plugins::settings;
use crate::logging::{self, LevelError, Levels, Logger};

#[derive(Serialize)]
struct LoggerView {
    level: &'static str,
    last_modified: Option<i64>,
}

impl From<Logger> for LoggerView {
    fn from(logger: Logger) -> Self {
        let Logger {
            level,
            last_modified,
        } = logger;
        Self {
            level,
            last_modified,
        }
    }
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/admin/loggers", vec![read().to(list)]));
    let one = vec![read().to(get), put().to(set)];
    config.service(resource("/admin/loggers/{l}", one));
}

fn levels() -> Result<&'static Levels, ApiError> {
    let missing = "log levels cannot be changed in this process";
    logging::levels().ok_or_else(|| ApiError::internal(missing))
}

async fn list() -> Answer {
    let all: BTreeMap<String, LoggerView> = (levels()?.all().into_iter())
        .map(|(name, logger)| (name, logger.into()))
        .collect();
    Ok(HttpResponse::Ok().json(all))
}

async fn get(name: web::Path<String>) -> Answer {
    let logger = levels()?.all().remove(name.as_str());
    let unknown = || ApiError::not_found(format!("Logger {name} not found."));
    Ok(HttpResponse::Ok().json(LoggerView::from(logger.ok_or_else(unknown)?)))
}

async fn set(
    name: web::Path<String>,
    request: HttpRequest,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let wanted: Option<Map<String, Value>> =
        serde_json::from_slice(&body(bytes)?).map_err(|error| ApiError::malformed(&error))?;
    let missing = "Desired 'level' parameter was not specified in request.";
    // A number is a text here, too: the level of that name is unknown.
    let level = settings(wanted.unwrap_or_default())?
        .settings
        .remove("level");
    let level = level.ok_or_else(|| ApiError::bad_request(missing))?;
    let affected = levels()?.set(&name, &level).map_err(|error| {
        let status = match error {
            LevelError::UnknownLevel(_) | LevelError::NoLogger(_) => StatusCode::NOT_FOUND,
            LevelError::TooMany => StatusCode::CONFLICT,
        };
        ApiError::new(status, error.to_string())
    })?;
    tracing::warn!(logger = %name, level, "an operator has set a log level");
    // One process is the whole cluster. As in Connect, any other scope is that of the worker.
    if query(&request, "scope")
        .first()
        .is_some_and(|scope| scope.eq_ignore_ascii_case("cluster"))
    {
        return Ok(HttpResponse::NoContent().finish());
    }
    Ok(HttpResponse::Ok().json(affected))
}
