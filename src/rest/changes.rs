//! What changes connectors: with a Connect worker, records of its config topic; with `crosscurrent run`, wishes only.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::TargetState;
use serde::Deserialize;
use serde_json::{Map, Value};
use topology::connect_def::{self, ConfigFault, Report};
use topology::{ConfigError, ConnectorSet, identify};

use super::connect::{CONFIG_IS_A_FILE, CONNECTORS_ARE_A_FILE, body, running};
use super::connectors::{HIDDEN, InfoView, TaskId};
use super::edits::NewConfig;
use super::errors::{Answer, ApiError, plain};
use super::found::{find, masked_all};
use super::plugins::{Given, read_config, settings};
use super::{Api, ConnectMode};
use crate::connect::{ConfigRecord, Configs, Restart, Settings, StoreError};

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
    let why = if api.edits.is_some() {
        CONNECTORS_ARE_A_FILE
    } else {
        CONFIG_IS_A_FILE
    };
    api.connect().ok_or_else(|| ApiError::conflict(why))
}

/// A body without a type is taken for JSON.
fn require_json(request: &HttpRequest) -> Result<(), ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let json = kind.is_none_or(|kind| {
        kind.to_str()
            .is_ok_and(|kind| kind.to_ascii_lowercase().starts_with("application/json"))
    });
    if json {
        Ok(())
    } else {
        Err(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    config: Option<Map<String, Value>>,
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
    require_json(&request)?;
    let connect = writable(&api)?;
    if bytes.is_empty() {
        return Err(ApiError::malformed(&"there is none"));
    }
    let create: Create =
        serde_json::from_slice(&bytes).map_err(|error| ApiError::malformed(&error))?;
    let target = match create.initial_state.map(|state| state.to_ascii_uppercase()) {
        None => None,
        Some(state) => Some(match state.as_str() {
            "RUNNING" => TargetState::Running,
            "PAUSED" => TargetState::Paused,
            "STOPPED" => TargetState::Stopped,
            _ => {
                let why = "initial_state is none of RUNNING, PAUSED and STOPPED";
                return Err(ApiError::malformed(&why));
            }
        }),
    };
    let Some(given) = create.config else {
        return Err(ApiError::malformed(&"config is missing"));
    };
    let name = create.name.unwrap_or_default().trim().to_owned();
    let mut given = settings(given)?;
    name_into(&name, &mut given)?;
    check(connect, &given)?;
    let config = given.settings;
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
    Ok(created(&api, &name, &config))
}

fn created(api: &Api, name: &str, config: &Settings) -> HttpResponse {
    let location = format!("http://{}/connectors/{}", api.worker_id, in_url(name));
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
pub(crate) fn name_into(name: &str, given: &mut Given) -> Result<(), ApiError> {
    let config = &mut given.settings;
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
    given.nulls.retain(|key| key != "name");
    Ok(())
}

/// Connect's report on a configuration, with what this version cannot do. As in Connect, what is wrong with a pattern shows
/// when the connector is started.
///
/// # Errors
/// It is not said which connector it is for.
pub(super) fn report(connect: &ConnectMode, config: &Settings) -> Result<Report, ConfigFault> {
    let resolved = connect.file.resolve(config);
    let mut report = connect_def::validate(&resolved)?;
    let Some((connector, id)) = identify(&resolved) else {
        return Ok(report);
    };
    let mut set = ConnectorSet::default();
    *set.slot(connector) = Some(config.clone());
    if let Err(errors) = connect.file.flow(&id, &set) {
        for error in errors.iter() {
            let key = error.key().unwrap_or("connector.class");
            let mut known = report.configs.iter();
            let said = known.any(|info| info.value.name == key && !info.value.errors.is_empty());
            if !said && !matches!(error, ConfigError::Pattern { .. }) {
                report.add_error(key, error.to_string());
            }
        }
    }
    Ok(report)
}

fn check(connect: &ConnectMode, given: &Given) -> Result<(), ApiError> {
    let report = report(connect, &given.settings);
    let mut report = report.map_err(|fault| ApiError::bad_request(fault.to_string()))?;
    given.refuse_nulls(&mut report);
    match report.refusal() {
        Some(message) => Err(ApiError::bad_request(message)),
        None => Ok(()),
    }
}

/// Whoever reads a configuration, changes it and sends it back sends masks where secrets are: those stay as they are.
/// What was given is left as it is: asked again, the secrets are those of then.
pub(crate) fn unmasked(given: &Given, before: Option<&Settings>) -> Result<Given, ApiError> {
    let mut given = given.clone();
    for (key, value) in &mut given.settings {
        if value == HIDDEN && topology::is_secret(key) {
            let known = before.and_then(|before| before.get(key)).ok_or_else(|| {
                let message =
                    format!("{key}: {HIDDEN} stands for a secret that is not known; write it");
                ApiError::bad_request(message)
            })?;
            value.clone_from(known);
        }
    }
    Ok(given)
}

/// `PUT /connectors/{c}/config`.
pub(super) async fn put_config(
    api: web::Data<Api>,
    name: web::Path<String>,
    request: HttpRequest,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let bytes = body(bytes)?;
    let name = name.into_inner();
    if let Some(edits) = &api.edits {
        require_json(&request)?;
        let config = NewConfig::Whole(read_config(&bytes)?);
        return Ok(HttpResponse::Ok().json(edits.ask(&name, config).await?));
    }
    let connect = writable(&api)?;
    require_json(&request)?;
    let mut given = read_config(&bytes)?;
    name_into(&name, &mut given)?;
    let decide = |configs: &Configs| {
        let before = configs.get(&name);
        let given = unmasked(&given, before.as_ref().map(|before| &before.config))?;
        check(connect, &given)?;
        let config = given.settings;
        let record = ConfigRecord::Connector(name.clone(), Some(config.clone()));
        Ok::<_, ApiError>((vec![record], (before, config)))
    };
    let (before, config) = connect.store.change(decide).await?;
    match before {
        None => Ok(created(&api, &name, &config)),
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
    let name = name.into_inner();
    if api.connect().is_none() {
        find(&api, &name)?;
    }
    if let Some(edits) = &api.edits {
        require_json(&request)?;
        let info = edits.ask(&name, patch(&bytes)?).await?;
        return Ok(HttpResponse::Ok().json(info));
    }
    let connect = writable(&api)?;
    require_json(&request)?;
    let patch = patch(&bytes)?;
    let decide = |configs: &Configs| {
        let before = found(configs, &name)?;
        let mut given = patch.clone().applied_to(before.config.clone());
        name_into(&name, &mut given)?;
        let given = unmasked(&given, Some(&before.config))?;
        check(connect, &given)?;
        let config = given.settings;
        let record = ConfigRecord::Connector(name.clone(), Some(config.clone()));
        Ok::<_, ApiError>((vec![record], info(&name, &config, before.tasks.len())))
    };
    Ok(HttpResponse::Ok().json(connect.store.change(decide).await?))
}

/// A body of keys to set, and of keys to remove: those with null.
fn patch(bytes: &[u8]) -> Result<NewConfig, ApiError> {
    read_config(bytes).map(NewConfig::Patch)
}

fn found(configs: &Configs, name: &str) -> Result<crate::connect::Connector, ApiError> {
    let unknown = || ApiError::not_found(format!("Connector {name} not found"));
    configs.get(name).ok_or_else(unknown)
}

/// `DELETE /connectors/{c}`: its positions are kept.
pub(super) async fn delete(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    if api.connect().is_none() {
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
    let Some(connect) = api.connect() else {
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
    let Some(connect) = api.connect() else {
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
    let Some(connect) = api.connect() else {
        // What is listed is what is copied now, so there is nothing to forget.
        let message = "Topic tracking reset is disabled.";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    };
    let records = connect.store.statuses().forget_topics(&name);
    connect.store.put(records).await?;
    Ok(HttpResponse::Accepted().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(password: &str) -> Given {
        let settings = Settings::from([("my.password".to_owned(), password.to_owned())]);
        Given {
            settings,
            ..Given::default()
        }
    }

    #[test]
    fn a_mask_stands_for_the_secret_that_is_there_when_it_is_decided() {
        let given = with(HIDDEN);
        for secret in ["older", "newer"] {
            let before = with(secret).settings;
            assert_eq!(unmasked(&given, Some(&before)).unwrap().settings, before);
        }
        assert!(unmasked(&given, None).is_err());
        let own = with("own");
        assert_eq!(unmasked(&own, None).unwrap().settings, own.settings);
    }
}
