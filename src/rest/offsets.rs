//! `/connectors/{c}/offsets`: what is stored, and moving it (KIP-875, docs/spec/mm2.md 4.13).

use std::time::Duration;

use actix_web::{HttpResponse, web};
use actors::{LeaseError, TargetState};
use engine::offsets::{SourceOffset, SourceOffsetKey};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};
use topology::Connector;

use super::Api;
use super::connect::body;
use super::connectors::ConnectorView;
use super::errors::{Answer, ApiError};
use super::found::{Found, find};

/// Bound on the answer of one broker to one write.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Bound on waiting for a connector that was told to stop: it drains, and stores positions.
const STOP_PATIENCE: Duration = Duration::from_secs(15);
const STOP_POLL: Duration = Duration::from_millis(50);

/// A map in the order in which Java's `HashMap` lists it: part of Connect's bodies and texts.
struct JavaMap<'a>(&'a Map<String, Value>);

impl Serialize for JavaMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in java_order(self.0) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

fn java_order(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    // A table of 16 buckets grows when it is three quarters full.
    let mut buckets = 16_u32;
    while map.len() as u64 * 4 > u64::from(buckets) * 3 {
        buckets *= 2;
    }
    let bucket = |key: &str| {
        let hash = key.encode_utf16().fold(0_u32, |hash, unit| {
            hash.wrapping_mul(31).wrapping_add(unit.into())
        });
        (hash ^ (hash >> 16)) & (buckets - 1)
    };
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| bucket(key));
    entries
}

/// As Java's `toString`.
fn java_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => java_map_text(map),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(java_text).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

fn java_map_text(map: &Map<String, Value>) -> String {
    let entries: Vec<_> = (java_order(map).into_iter())
        .map(|(key, value)| format!("{key}={}", java_text(value)))
        .collect();
    format!("{{{}}}", entries.join(", "))
}

#[derive(Serialize)]
struct Stored<'a> {
    partition: Option<JavaMap<'a>>,
    offset: JavaMap<'a>,
}

#[derive(Serialize)]
struct StoredList<'a> {
    offsets: Vec<Stored<'a>>,
}

#[derive(Serialize)]
struct Done {
    message: &'static str,
}

#[derive(Default, Deserialize)]
struct Wanted {
    partition: Option<Map<String, Value>>,
    offset: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct WantedList {
    #[serde(default)]
    offsets: Option<Vec<Wanted>>,
}

pub(super) async fn list(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    let found = find(&api, &name)?;
    let connector = runs(&found)?;
    let table = connector.flow.positions.read(&connector.flow).await;
    let table = table.map_err(|error| ApiError::internal(error.to_string()))?;
    let offsets = table
        .iter()
        .filter(|(key, _)| is_of(connector, key))
        .map(|(key, offset)| Stored {
            partition: key.partition.as_ref().map(JavaMap),
            offset: JavaMap(&offset.members),
        })
        .collect();
    Ok(HttpResponse::Ok().json(StoredList { offsets }))
}

/// Positions are read and moved by the flow.
fn runs(found: &Found) -> Result<&ConnectorView, ApiError> {
    found.view().ok_or_else(|| {
        let why = found
            .idle()
            .map_or("it was not started yet", |idle| &idle.trace);
        ApiError::bad_request(format!("no flow runs this connector: {why}"))
    })
}

/// Flows of different sources into one target may share the topic and the connectors' names.
fn is_of(connector: &ConnectorView, key: &SourceOffsetKey) -> bool {
    let source = connector.flow.config.id.source.as_str();
    let elsewhere = (key.partition.as_ref())
        .and_then(|members| members.get("cluster").or(members.get("sourceClusterAlias")))
        .is_some_and(|alias| alias != source);
    key.connector == connector.stored_name() && !elsewhere
}

pub(super) async fn alter(
    api: web::Data<Api>,
    name: web::Path<String>,
    bytes: Result<web::Bytes, actix_web::Error>,
) -> Answer {
    let bytes = body(bytes)?;
    let missing = "Partitions / offsets need to be provided for an alter offsets request";
    let wanted: Option<WantedList> = if bytes.is_empty() {
        None
    } else {
        let parsed = serde_json::from_slice(&bytes);
        parsed.map_err(|error| ApiError::malformed(&error))?
    };
    let wanted = wanted.and_then(|list| list.offsets).unwrap_or_default();
    if wanted.is_empty() {
        return Err(ApiError::bad_request(missing));
    }
    let found = find(&api, &name)?;
    let connector = runs(&found)?;
    check_stopped(&found, connector).await?;
    let mut changes = Vec::with_capacity(wanted.len());
    for Wanted { partition, offset } in wanted {
        if let Some(offset) = &offset {
            check(connector.kind, partition.as_ref(), offset).map_err(ApiError::internal)?;
        }
        let key = SourceOffsetKey {
            connector: connector.stored_name().to_owned(),
            partition,
        };
        changes.push((key, offset.map(|members| SourceOffset { members })));
    }
    store(connector, &changes).await?;
    let message = "The offsets for this connector have been altered successfully";
    Ok(HttpResponse::Ok().json(Done { message }))
}

pub(super) async fn reset(api: web::Data<Api>, name: web::Path<String>) -> Answer {
    let found = find(&api, &name)?;
    let connector = runs(&found)?;
    check_stopped(&found, connector).await?;
    let table = connector.flow.positions.read(&connector.flow).await;
    let table = table.map_err(|error| ApiError::internal(error.to_string()))?;
    let changes: Vec<_> = table
        .iter()
        .filter(|(key, _)| is_of(connector, key))
        .map(|(key, _)| (key.clone(), None))
        .collect();
    if !changes.is_empty() {
        store(connector, &changes).await?;
    }
    let message = "The offsets for this connector have been reset successfully";
    Ok(HttpResponse::Ok().json(Done { message }))
}

/// A connector that was told to stop is waited for.
async fn check_stopped(found: &Found, connector: &ConnectorView) -> Result<(), ApiError> {
    let until = Instant::now() + STOP_PATIENCE;
    while found.target() == Some(TargetState::Stopped) && Instant::now() < until {
        if connector.is_stopped() {
            return Ok(());
        }
        sleep(STOP_POLL).await;
    }
    Err(ApiError::bad_request(format!(
        "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified \
         connector by issuing a 'PUT' request to the '/connectors/{}/stop' endpoint",
        connector.name
    )))
}

async fn store(
    connector: &ConnectorView,
    changes: &[(SourceOffsetKey, Option<SourceOffset>)],
) -> Result<(), ApiError> {
    let flow = &connector.flow;
    let altered = flow.positions.alter(flow, changes, WRITE_PATIENCE).await;
    altered.map_err(|error| match error {
        // As Connect while its group settles.
        LeaseError::Lost => ApiError::conflict(
            "the connector's flow was started again meanwhile, or another process has taken it over: no offset was moved, try again",
        ),
        LeaseError::Withdrawn { .. } | LeaseError::Failed(_) => ApiError::internal(error.to_string()),
    })?;
    tracing::warn!(
        connector = connector.name,
        count = changes.len(),
        "an operator has moved stored offsets"
    );
    Ok(())
}

/// Upstream's `MirrorUtils.validateSourcePartition...` and `validateSourceOffset`, to the word.
fn check(
    kind: Connector,
    partition: Option<&Map<String, Value>>,
    offset: &Map<String, Value>,
) -> Result<(), String> {
    let Some(partition) = partition else {
        return Err("Source partitions may not be null".to_owned());
    };
    let shown = || java_map_text(partition);
    let member = |key: &str| {
        partition.get(key).ok_or_else(|| {
            format!(
                "Source partition {} is missing the '{key}' key, which is required",
                shown()
            )
        })
    };
    let text = |key: &str| {
        let value = member(key)?;
        let invalid = || {
            let value = java_text(value);
            format!(
                "Source partition {} has an invalid value {value} for the '{key}' key, which must be a string",
                shown()
            )
        };
        value.as_str().map(drop).ok_or_else(invalid)
    };
    let number = || {
        let value = member("partition")?;
        let invalid = |what: &str| {
            let value = java_text(value);
            format!(
                "Source partition {} has an invalid value {value} for the 'partition' key, which {what}",
                shown()
            )
        };
        match value.as_i64() {
            Some(number) if number > i64::from(i32::MAX) => Err(invalid("must be an integer")),
            Some(number) if number < 0 => Err(invalid("cannot be negative")),
            Some(_) => Ok(()),
            None => Err(invalid("must be an integer")),
        }
    };
    match kind {
        Connector::Source => {
            text("cluster")?;
            text("topic")?;
            number()?;
        }
        Connector::Checkpoint => {
            text("group")?;
            text("topic")?;
            number()?;
        }
        Connector::Heartbeat => {
            text("sourceClusterAlias")?;
            text("targetClusterAlias")?;
        }
    }
    let of = || {
        format!(
            "Source offset {} for source partition {}",
            java_map_text(offset),
            shown()
        )
    };
    let Some(value) = offset.get("offset") else {
        return Err(format!(
            "{} is missing the 'offset' key, which is required",
            of()
        ));
    };
    let invalid = |what: &str| {
        format!(
            "{} has an invalid value {} for the 'offset' key{what}",
            of(),
            java_text(value)
        )
    };
    match value.as_i64() {
        None => Err(invalid(", which must be an integer")),
        Some(offset) if kind != Connector::Source && offset != 0 => {
            Err(invalid("; the only accepted value is 0"))
        }
        Some(offset) if offset < 0 => Err(invalid(", which cannot be negative")),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(json: &str) -> Map<String, Value> {
        serde_json::from_str(json).unwrap()
    }

    /// As Connect 4.3.1 shows them (recorded).
    #[test]
    fn maps_are_listed_in_javas_order() {
        for (json, shown) in [
            (
                r#"{"topic":"t","partition":0,"cluster":"a"}"#,
                "{cluster=a, partition=0, topic=t}",
            ),
            (
                r#"{"group":"g","topic":"t","partition":0}"#,
                "{partition=0, topic=t, group=g}",
            ),
            (
                r#"{"cluster":"a","partition":0,"topic":"t","x":"y"}"#,
                "{cluster=a, partition=0, x=y, topic=t}",
            ),
        ] {
            assert_eq!(java_map_text(&map(json)), shown);
        }
    }
}
