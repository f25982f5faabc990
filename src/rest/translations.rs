//! `/v1/translations`: what an offset of the source is on the target, by the maps in memory.

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{Flow, NotSynced};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::errors::{Answer, ApiError, ErrorBody};
use super::paging::{number, query};
use crate::translate::answer::{self, AnswerView};

/// What is asked. Numbers are read by [`number`].
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Label of a flow, `S->T`; default: all that copy topics.
    flow: Option<String>,
    /// A topic of the source.
    #[param(value_type = String, required = true, min_length = 1)]
    topic: Option<String>,
    /// A partition of it.
    #[param(value_type = i32, required = true, minimum = 0)]
    partition: Option<String>,
    /// An offset in it, as a group would commit it: that of the next record to read.
    #[param(value_type = i64, required = true, minimum = 0)]
    offset: Option<String>,
}

/// What an offset of the source is on the target.
#[derive(Serialize, ToSchema)]
struct TranslationView {
    flow: String,
    topic: String,
    partition: i32,
    offset: i64,
    /// The topic's name on the target, if it were there.
    remote_topic: String,
    /// Where a group goes on reading. What the target's retention has deleted since is not left out: reading begins at the
    /// log's start then.
    translated: AnswerView,
}

fn required<T>(name: &str, what: &str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::bad_request(format!("{name}: missing; write {what}")))
}

fn translated(flow: &Flow, (topic, partition, offset): (&str, i32, i64)) -> TranslationView {
    let found = flow.translate(topic, partition, offset);
    let translated = match found.answer {
        _ if !flow.maps.is_loaded() => answer::Answer::Unknown(
            NotSynced::NothingReplicated,
            "the flow has not started yet".to_owned(),
        ),
        Ok(translation) => answer::Answer::of(translation, found.uncopied, 0),
        Err(why_not) => why_not.into(),
    };
    TranslationView {
        flow: flow.label.to_string(),
        topic: topic.to_owned(),
        partition,
        offset,
        remote_topic: found.remote_topic.to_string(),
        translated: translated.view(),
    }
}

/// What an offset of the source is on the target, of each flow. No cluster is asked.
#[utoipa::path(
    get, path = "/v1/translations", params(Asked),
    responses((status = 200, body = Vec<TranslationView>), (status = 400, body = ErrorBody))
)]
pub(super) async fn translations(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let asked: Asked = query(&request)?;
    let topic = asked.topic.filter(|topic| !topic.is_empty());
    let topic = required("topic", "a topic of the source", topic)?;
    let partition = number("partition", asked.partition.as_deref(), 0..=i32::MAX)?;
    let partition = required("partition", "its number", partition)?;
    let offset = number("offset", asked.offset.as_deref(), 0..=i64::MAX)?;
    let offset = required("offset", "an offset of the source", offset)?;
    let shown = api.shown();
    let copying = (shown.flows.iter()).filter(|flow| flow.config.replication_enabled);
    let all: Vec<_> = copying.collect();
    let wanted = asked.flow.as_deref();
    let named = (all.iter()).filter(|flow| wanted.is_none_or(|wanted| *flow.label == *wanted));
    let views: Vec<_> = named
        .map(|flow| translated(flow, (&topic, partition, offset)))
        .collect();
    if let (Some(_), true) = (wanted, views.is_empty()) {
        let names: Vec<_> = all.iter().map(|flow| &*flow.label).collect();
        return Err(ApiError::bad_request(match names.is_empty() {
            true => "flow: no flow copies topics now".to_owned(),
            false => format!("flow: write one of {}", names.join(", ")),
        }));
    }
    Ok(HttpResponse::Ok().json(views))
}
