//! `/connector-plugins`: the three connectors, their keys, and whether a configuration is valid (docs/spec/mm2.md 9.2).

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value};
use topology::connect_def::{self, KeyDefinition, Report};

use super::connect::{body, flag, put, read, resource};
use super::connectors::{CONNECT_VERSION, KINDS};
use super::errors::{Answer, ApiError};
use super::{Api, changes};
use crate::connect::Settings;

/// What records pass through as they are.
const BYTE_ARRAY_CONVERTER: &str = "org.apache.kafka.connect.converters.ByteArrayConverter";
/// Connect's text (`AbstractHerder.validateConnectorConfig`).
const NULL: &str = "Null value can not be supplied as the configuration value.";
/// Java's exception, which Connect shows of faults that validation runs into.
const IN_JAVA: &str = "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: ";

#[derive(Serialize)]
struct Plugin {
    class: String,
    r#type: &'static str,
    version: &'static str,
}

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(resource("/connector-plugins", vec![read().to(list)]));
    let keys = vec![read().to(keys)];
    config.service(resource("/connector-plugins/{p}/config", keys));
    let validate = vec![put().to(validate)];
    config.service(resource("/connector-plugins/{p}/config/validate", validate));
}

async fn list(request: HttpRequest) -> HttpResponse {
    let plugin = |class: String, r#type| Plugin {
        class,
        r#type,
        version: CONNECT_VERSION,
    };
    let mut plugins: Vec<_> = KINDS.map(|kind| plugin(kind.class(), "source")).into();
    plugins.sort_by(|a, b| a.class.cmp(&b.class));
    if !flag(&request, "connectorsOnly", true) {
        for r#type in ["converter", "header_converter"] {
            plugins.push(plugin(BYTE_ARRAY_CONVERTER.to_owned(), r#type));
        }
    }
    HttpResponse::Ok().json(plugins)
}

async fn keys(name: web::Path<String>) -> Answer {
    let unknown = || ApiError::not_found(format!("Unknown plugin {name}."));
    let connector = connect_def::find_plugin(&name).ok_or_else(unknown)?;
    let keys: Vec<&KeyDefinition> = connect_def::definitions(connector).collect();
    Ok(HttpResponse::Ok().json(keys))
}

async fn validate(
    api: web::Data<Api>,
    name: web::Path<String>,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let given = read_config(&body(bytes)?)?;
    let config = &given.settings;
    if let Some(class) = config.get("connector.class")
        && !without_suffix(class).ends_with(without_suffix(&name))
    {
        return Err(ApiError::bad_request(format!(
            "Included connector type {class} does not match request type {name}"
        )));
    }
    let report = match api.connect() {
        Some(connect) => changes::report(connect, config),
        None => connect_def::validate(config),
    };
    let mut report = report.map_err(|fault| ApiError::internal(format!("{IN_JAVA}{fault}")))?;
    given.refuse_nulls(&mut report);
    Ok(HttpResponse::Ok().json(report))
}

/// Full and simple names, with or without `Connector`, are the same plugin.
fn without_suffix(class: &str) -> &str {
    match class.strip_suffix("Connector") {
        Some(shorter) if !shorter.is_empty() => shorter,
        _ => class,
    }
}

/// A configuration as it was given.
#[derive(Clone, Default)]
pub(crate) struct Given {
    pub(crate) settings: Settings,
    /// Keys whose value is null.
    pub(crate) nulls: Vec<String>,
}

impl Given {
    /// As in Connect, null is no value, but for PATCH, where it removes.
    pub(crate) fn refuse_nulls(&self, report: &mut Report) {
        for key in &self.nulls {
            report.add_error(key, NULL);
        }
    }
}

/// A configuration as a body.
pub(super) fn read_config(bytes: &[u8]) -> Result<Given, ApiError> {
    settings(serde_json::from_slice(bytes).map_err(|error| ApiError::malformed(&error))?)
}

/// Values as texts. As Connect's reader does, numbers and truths are taken as texts.
pub(super) fn settings(members: Map<String, Value>) -> Result<Given, ApiError> {
    let mut given = Given::default();
    for (key, value) in members {
        let text = match value {
            Value::Null => {
                given.nulls.push(key);
                continue;
            }
            Value::String(text) => text,
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(ApiError::malformed(&format!("{key} must be a text")));
            }
        };
        given.settings.insert(key, text);
    }
    Ok(given)
}
