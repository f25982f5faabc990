//! The OpenAPI document: our own routes by their types, Connect's by a list, because their bodies are given by Connect.

use actix_web::HttpResponse;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::errors::ApiError;

/// Connect's routes (docs/spec/mm2.md 9.2).
const CONNECT: &str = include_str!("connect-openapi.json");

#[derive(Deserialize)]
struct Part {
    paths: Map<String, Value>,
    schemas: Map<String, Value>,
}

/// `own` with Connect's routes.
pub(super) fn with_connect(own: &utoipa::openapi::OpenApi) -> Result<HttpResponse, ApiError> {
    let broken = |error: serde_json::Error| ApiError::internal(error.to_string());
    let part: Part = serde_json::from_str(CONNECT).map_err(broken)?;
    let mut document = serde_json::to_value(own).map_err(broken)?;
    for (place, more) in [
        ("/paths", part.paths),
        ("/components/schemas", part.schemas),
    ] {
        if let Some(Value::Object(members)) = document.pointer_mut(place) {
            members.extend(more);
        }
    }
    Ok(HttpResponse::Ok().json(document))
}
