//! What changes connectors: with a Connect worker, records of its config topic; with `crosscurrent run`, wishes only.

use std::collections::BTreeMap;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::TargetState;
use serde::Deserialize;
use serde_json::Value;
use topology::{Connector, ConnectorSet, identify};

use super::connect::{CONFIG_IS_A_FILE, body, running};
use super::connectors::{HIDDEN, InfoView, TaskId};
use super::errors::{Answer, ApiError, plain};
use super::found::{find, masked_all};
use super::{Api, ConnectMode};
use crate::connect::{ConfigRecord, Configs, Restart, Settings, StoreError, class_not_found};

/// Names are part of keys and of URLs.
const NAME_BYTES_MAX: usize = 1_024;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            // As Connect while its group settles: try again elsewhere or later.
            StoreError::Lost => Self::conflict(error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}

fn writable(api: &Api) -> Result<&ConnectMode, ApiError> {
    api.connect
        .as_ref()
        .ok_or_else(|| ApiError::conflict(CONFIG_IS_A_FILE))
}

fn is_json(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| {
            kind.to_str()
                .is_ok_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"))
        })
}

/// A configuration as JSON has it: Jackson makes text of whatever is no text; null is left out, or removes.
type Given = BTreeMap<String, Value>;

fn text(value: &Value) -> Result<Option<String>, ApiError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Bool(_) | Value::Number(_) => Ok(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => Err(malformed(
            "Cannot deserialize value of type `java.lang.String` from Object or Array value: values are texts",
        )),
    }
}

/// Connect answers 500 to a body that it cannot read.
fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::internal(message)
}

fn settings(given: &Given) -> Result<Settings, ApiError> {
    let mut settings = Settings::new();
    for (key, value) in given {
        if let Some(text) = text(value)? {
            settings.insert(key.clone(), text);
        }
    }
    Ok(settings)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    config: Option<Given>,
    #[serde(default)]
    initial_state: Option<String>,
}

/// `POST /connectors`.
pub(super) async fn create(
    api: web::Data<Api>,
    request: HttpRequest,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let bytes = body(bytes)?;
    if !is_json(&request) {
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let connect = writable(&api)?;
    if bytes.is_empty() {
        return Err(malformed(
            "Cannot invoke \"org.apache.kafka.connect.runtime.rest.entities.CreateConnectorRequest.name()\" because \
             \"createRequest\" is null",
        ));
    }
    let create: Create =
        serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
    let target = match create.initial_state.map(|state| state.to_ascii_uppercase()) {
        None => None,
        Some(state) => Some(match state.as_str() {
            "RUNNING" => TargetState::Running,
            "PAUSED" => TargetState::Paused,
            "STOPPED" => TargetState::Stopped,
            _ => {
                return Err(malformed(format!(
                    "initial_state: no enum constant {state}; write RUNNING, PAUSED or STOPPED"
                )));
            }
        }),
    };
    let Some(given) = create.config else {
        return Err(malformed(
            "Cannot invoke \"java.util.Map.get(Object)\" because \"connectorConfig\" is null",
        ));
    };
    let name = create.name.unwrap_or_default().trim().to_owned();
    let mut config = settings(&given)?;
    name_into(&name, &mut config)?;
    check(connect, &name, &config)?;
    let decide = |configs: &Configs| {
        if configs.contains(&name) {
            let message = format!("Connector {name} already exists");
            return Err(ApiError::conflict(message));
        }
        // Before the connector, so that nobody sees it run.
        let mut records: Vec<_> = target
            .map(|target| ConfigRecord::Target(name.clone(), Some(target)))
            .into_iter()
            .collect();
        records.push(ConfigRecord::Connector(name.clone(), Some(config.clone())));
        Ok((records, ()))
    };
    connect.store.change(decide).await?;
    Ok(created(connect, &name, &config))
}

fn created(connect: &ConnectMode, name: &str, config: &Settings) -> HttpResponse {
    let location = format!("http://{}/connectors/{}", connect.worker_id, in_url(name));
    HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(info(name, config, 0))
}

fn info(name: &str, config: &Settings, tasks: usize) -> InfoView {
    InfoView {
        name: name.to_owned(),
        config: masked_all(config),
        tasks: (0..tasks)
            .map(|task| TaskId {
                connector: name.to_owned(),
                task,
            })
            .collect(),
        r#type: "source",
    }
}

/// A name as part of a URL; as in Connect, a slash stays one.
fn in_url(name: &str) -> String {
    let mut url = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                url.push(char::from(byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// `name` is part of the configuration, and must be the same there.
fn name_into(name: &str, config: &mut Settings) -> Result<(), ApiError> {
    if let Some(other) = config.get("name")
        && other != name
    {
        return Err(ApiError::bad_request(format!(
            "Connector name configuration ({other}) doesn't match connector name in the URL ({name})"
        )));
    }
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!(
            "a connector's name has at most {NAME_BYTES_MAX} bytes and no control characters"
        )));
    }
    config.insert("name".to_owned(), name.to_owned());
    Ok(())
}

/// Connect's text of the 400 for these faults.
fn invalid(faults: &[String]) -> ApiError {
    ApiError::bad_request(format!(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of \
         errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        faults.len(),
        faults.join("\n")
    ))
}

/// Whether a connector with this configuration could run. As in Connect, what is wrong with a pattern shows when it is
/// started.
fn check(connect: &ConnectMode, name: &str, config: &Settings) -> Result<(), ApiError> {
    let resolved = connect.file.resolve(config);
    let Some(class) = resolved.get("connector.class") else {
        let members: Vec<_> = config.iter().map(|(k, v)| format!("{k}={v}")).collect();
        return Err(ApiError::bad_request(format!(
            "Connector config {{{}}} contains no connector type",
            members.join(", ")
        )));
    };
    if Connector::of_class(class.trim()).is_none() {
        return Err(ApiError::bad_request(class_not_found(class)));
    }
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push("Invalid value  for configuration name: String may not be empty".to_owned());
    }
    match identify(&resolved) {
        None => faults.push(
            "Missing required configuration \"source.cluster.alias\" which has no default value."
                .to_owned(),
        ),
        Some((connector, id)) => {
            let mut set = ConnectorSet::default();
            *set.slot(connector) = Some(config.clone());
            if let Err(errors) = connect.file.flow(&id, &set) {
                let at_start = |error: &&topology::ConfigError| {
                    !matches!(error, topology::ConfigError::Pattern { .. })
                };
                faults.extend(errors.iter().filter(at_start).map(ToString::to_string));
            }
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(invalid(&faults))
    }
}

/// Whoever reads a configuration, changes it and sends it back sends masks where secrets are: those stay as they are.
fn unmask(config: &mut Settings, before: Option<&Settings>) -> Result<(), ApiError> {
    for (key, value) in config.iter_mut() {
        if value == HIDDEN && topology::is_secret(key) {
            let known = before.and_then(|before| before.get(key)).ok_or_else(|| {
                let message =
                    format!("{key}: {HIDDEN} stands for a secret that is not known; write it");
                ApiError::bad_request(message)
            })?;
            value.clone_from(known);
        }
    }
    Ok(())
}

fn given(bytes: &web::Bytes) -> Result<Given, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))
}

/// `PUT /connectors/{c}/config`.
pub(super) async fn put_config(
    api: web::Data<Api>,
    name: web::Path<String>,
    request: HttpRequest,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let bytes = body(bytes)?;
    let connect = writable(&api)?;
    if !is_json(&request) {
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let name = name.into_inner();
    let mut config = settings(&given(&bytes)?)?;
    name_into(&name, &mut config)?;
    let decide = |configs: &Configs| {
        let before = configs.get(&name);
        unmask(&mut config, before.as_ref().map(|before| &before.config))?;
        check(connect, &name, &config)?;
        let record = ConfigRecord::Connector(name.clone(), Some(config.clone()));
        Ok::<_, ApiError>((vec![record], before))
    };
    match connect.store.change(decide).await? {
        None => Ok(created(connect, &name, &config)),
        Some(before) => Ok(HttpResponse::Ok().json(info(&name, &config, before.tasks.len()))),
    }
}

/// `PATCH /connectors/{c}/config` (KIP-477): null removes.
pub(super) async fn patch_config(
    api: web::Data<Api>,
    name: web::Path<String>,
    request: HttpRequest,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let bytes = body(bytes)?;
    if api.connect.is_none() {
        find(&api, &name)?;
    }
    let connect = writable(&api)?;
    if !is_json(&request) {
        return Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let name = name.into_inner();
    let patch = given(&bytes)?;
    let decide = |configs: &Configs| {
        let before = found(configs, &name)?;
        let mut config = before.config.clone();
        for (key, value) in &patch {
            match text(value)? {
                Some(text) => drop(config.insert(key.clone(), text)),
                None => drop(config.remove(key)),
            }
        }
        name_into(&name, &mut config)?;
        unmask(&mut config, Some(&before.config))?;
        check(connect, &name, &config)?;
        let record = ConfigRecord::Connector(name.clone(), Some(config.clone()));
        Ok::<_, ApiError>((vec![record], info(&name, &config, before.tasks.len())))
    };
    Ok(HttpResponse::Ok().json(connect.store.change(decide).await?))
}

fn found(configs: &Configs, name: &str) -> Result<crate::connect::Connector, ApiError> {
    let unknown = || ApiError::not_found(format!("Connector {name} not found"));
    configs.get(name).ok_or_else(unknown)
}

/// `DELETE /connectors/{c}`: its positions are kept.
pub(super) async fn delete(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    if api.connect.is_none() {
        find(&api, &name)?;
    }
    let connect = writable(&api)?;
    let name = name.into_inner();
    let decide = |configs: &Configs| {
        found(configs, &name)?;
        let records = vec![
            ConfigRecord::Connector(name.clone(), None),
            ConfigRecord::Target(name.clone(), None),
        ];
        Ok::<_, ApiError>((records, ()))
    };
    connect.store.change(decide).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `pause`, `resume`, `stop`.
pub(super) async fn want(api: &Api, name: &str, state: TargetState) -> Result<(), ApiError> {
    let unknown = || ApiError::not_found(format!("Unknown connector {name}"));
    let Some(connect) = &api.connect else {
        let shown = api.shown();
        running(&shown, name)
            .ok_or_else(unknown)?
            .control()
            .want(state);
        return Ok(());
    };
    let decide = |configs: &Configs| {
        if !configs.contains(name) {
            return Err(unknown());
        }
        let target = ConfigRecord::Target(name.to_owned(), Some(state));
        let records = match state {
            TargetState::Stopped => vec![ConfigRecord::Commit(name.to_owned(), 0), target],
            TargetState::Running | TargetState::Paused => vec![target],
        };
        Ok((records, ()))
    };
    connect.store.change(decide).await
}

/// Writes a wish to restart, which is granted when it is read back. False: nothing was written, whoever asks does it.
pub(super) async fn record_restart(
    api: &Api,
    name: &str,
    restart: Restart,
) -> Result<bool, ApiError> {
    let Some(connect) = &api.connect else {
        return Ok(false);
    };
    let flags = restart != Restart::default();
    let idle = !api.shown().connectors.iter().any(|view| view.name == name);
    // As in Connect, the connector alone is restarted without a record; one that does not run is looked at again.
    if flags || idle {
        let records = || vec![ConfigRecord::Restart(name.to_owned(), restart)];
        let decide = |_: &Configs| Ok::<_, ApiError>((records(), ()));
        connect.store.change(decide).await?;
        return Ok(true);
    }
    Ok(false)
}

/// `PUT /connectors/{c}/topics/reset`: topics count again when they are written to again.
pub(super) async fn reset_topics(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    let Some(connect) = &api.connect else {
        // What is listed is what is copied now, so there is nothing to forget.
        let message = "Topic tracking reset is disabled.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    };
    let records = connect.store.statuses().forget_topics(&name);
    connect.store.put(records).await?;
    Ok(HttpResponse::Accepted().finish())
}
