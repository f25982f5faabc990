//! `/v1/groups`: consumer groups of the source as the checkpoint actor knows them. No cluster is asked.

mod sums;

use actix_web::{HttpRequest, HttpResponse, web};
use actors::{Flow, Group, GroupPartition, GroupStatus, NotSynced, PartitionKey, SyncState};
use engine::offsets::Translation;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::sums::main_reason;
pub(super) use self::sums::{GroupReasonView, GroupStates, sums};
use super::Api;
use super::errors::{Answer, ApiError, ErrorBody};
use super::paging::{Page, Paging, lets, one_of, query};
use crate::translate::answer::{self, AnswerView};

/// A group's partitions by how well their offsets are known on the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct Kinds {
    exact: u64,
    /// A lower bound: nothing is left out, some records are read twice perhaps.
    at_least: u64,
    unknown: u64,
}

/// One group.
#[derive(Serialize, ToSchema)]
struct GroupView {
    flow: String,
    group: String,
    /// synced, ahead, due, behind or excluded: as in the partition where it is most pressing.
    state: &'static str,
    /// The most frequent reason for that state, as `crosscurrent_group_partitions_not_synced` has it; null if there is none.
    reason: Option<&'static str>,
    /// The reason in words.
    message: Option<String>,
    /// In which it has committed an offset.
    partitions: u64,
    states: GroupStates,
    translations: Kinds,
    /// Sum over the partitions that this flow copies; null without any.
    lag: Option<u64>,
    /// When groups were last compared with what they have committed. Unit of all times: epoch milliseconds; null: never.
    checked_at_ms: Option<i64>,
    /// When a checkpoint of it was written last.
    emitted_at_ms: Option<i64>,
    /// When its offsets were committed on the target last.
    synced_at_ms: Option<i64>,
}

/// A page of groups.
#[derive(Serialize, ToSchema)]
struct GroupPage {
    /// How many the filter lets through.
    total: usize,
    offset: usize,
    groups: Vec<GroupView>,
}

/// What a group has on the source.
#[derive(Serialize, ToSchema)]
struct OnSource {
    committed: i64,
    /// Up to the end of the log as it was fetched last; null if this flow does not copy the partition.
    lag: Option<u64>,
}

/// What a group has on the target.
#[derive(Serialize, ToSchema)]
struct OnTarget {
    /// As far as it was asked or committed by us.
    committed: Option<i64>,
}

/// One group in one partition.
#[derive(Serialize, ToSchema)]
struct GroupPartitionView {
    flow: String,
    group: String,
    topic: String,
    partition: i32,
    /// Null for a topic that is left out.
    remote_topic: Option<String>,
    /// synced, ahead, due, behind or excluded.
    state: &'static str,
    /// Why, as `crosscurrent_group_partitions_not_synced` has it; null if there is none.
    reason: Option<&'static str>,
    /// The reason in words.
    message: Option<String>,
    source: OnSource,
    translated: AnswerView,
    /// Of the last checkpoint, also of an earlier process: what the target is to have.
    checkpoint: Option<i64>,
    target: OnTarget,
    /// When groups were last compared with what they have committed. Unit of all times: epoch milliseconds; null: never.
    checked_at_ms: Option<i64>,
    /// When a checkpoint of it was written last.
    emitted_at_ms: Option<i64>,
    /// When it was committed on the target last.
    synced_at_ms: Option<i64>,
}

/// A page of groups' partitions.
#[derive(Serialize, ToSchema)]
struct GroupPartitionPage {
    /// How many the filter lets through.
    total: usize,
    offset: usize,
    partitions: Vec<GroupPartitionView>,
}

/// Which groups.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Label of a flow, `S->T`.
    flow: Option<String>,
    /// A group.
    group: Option<String>,
    /// synced, ahead, due, behind or excluded.
    state: Option<String>,
}

/// Which partitions of which groups.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TopicFilter {
    /// A topic of the source.
    topic: Option<String>,
}

impl Kinds {
    fn count(&mut self, status: &GroupStatus) {
        *match status.translation {
            Some(Translation::Exact(_)) if status.uncopied == 0 => &mut self.exact,
            Some(Translation::Exact(_) | Translation::AtLeast(_)) => &mut self.at_least,
            Some(Translation::Unknown(_)) | None => &mut self.unknown,
        } += 1;
    }
}

/// The source's log end minus the offset, where this flow copies the partition.
fn lag(api: &Api, flow: &Flow, at: &GroupPartition, status: &GroupStatus) -> Option<u64> {
    let key = PartitionKey {
        flow: flow.label.clone(),
        topic: at.0.clone(),
        partition: at.1,
    };
    let end = api.registry.high_watermark(&key)?;
    Some(u64::try_from(end.saturating_sub(status.source_offset)).unwrap_or(0))
}

fn group_view(api: &Api, flow: &Flow, name: &str, group: &Group) -> GroupView {
    let state = group.state();
    let reason = main_reason(group, state);
    let (mut states, mut translations) = (GroupStates::default(), Kinds::default());
    let mut sum: Option<u64> = None;
    for (at, status) in &group.partitions {
        states.count(status.state());
        translations.count(status);
        if let Some(lag) = lag(api, flow, at, status) {
            sum = Some(sum.unwrap_or(0).saturating_add(lag));
        }
    }
    let of_all = || group.partitions.values();
    GroupView {
        flow: flow.label.to_string(),
        group: name.to_owned(),
        state: state.as_str(),
        reason: reason.map(NotSynced::label),
        message: reason.map(ToString::to_string),
        partitions: group.partitions.len() as u64,
        states,
        translations,
        lag: sum,
        checked_at_ms: flow.groups.checked_at_ms(),
        emitted_at_ms: of_all().filter_map(|status| status.emitted_at_ms).max(),
        synced_at_ms: of_all().filter_map(|status| status.synced_at_ms).max(),
    }
}

fn partition_view(
    api: &Api,
    flow: &Flow,
    group: &str,
    at: &GroupPartition,
    status: &GroupStatus,
) -> GroupPartitionView {
    let translated = match (status.translation, &status.why_not) {
        (Some(translation), _) => answer::Answer::of(translation, status.uncopied, 0),
        (None, Some(why_not)) => why_not.clone().into(),
        (None, None) => NotSynced::NothingReplicated.into(),
    };
    GroupPartitionView {
        flow: flow.label.to_string(),
        group: group.to_owned(),
        topic: at.0.to_string(),
        partition: at.1,
        remote_topic: status.remote_topic.as_deref().map(str::to_owned),
        state: status.state().as_str(),
        reason: status.why_not.as_ref().map(NotSynced::label),
        message: status.why_not.as_ref().map(ToString::to_string),
        source: OnSource {
            committed: status.source_offset,
            lag: lag(api, flow, at, status),
        },
        translated: translated.view(),
        checkpoint: status.checkpoint,
        target: OnTarget {
            committed: status.target_offset,
        },
        checked_at_ms: flow.groups.checked_at_ms(),
        emitted_at_ms: status.emitted_at_ms,
        synced_at_ms: status.synced_at_ms,
    }
}

impl Filter {
    fn read(request: &HttpRequest) -> Result<Self, ApiError> {
        let filter: Self = query(request)?;
        let states = SyncState::ALL.map(SyncState::as_str);
        one_of("state", filter.state.as_deref(), states)?;
        Ok(filter)
    }

    /// Looks at the groups that are let through but for their state, by flow and name.
    fn each(&self, api: &Api, mut look: impl FnMut(&Flow, &str, &Group)) {
        let shown = api.shown();
        let mut flows: Vec<_> = (shown.flows.iter())
            .filter(|flow| lets(self.flow.as_deref(), &flow.label))
            .collect();
        flows.sort_unstable_by(|a, b| a.label.cmp(&b.label));
        for flow in flows {
            let names = match &self.group {
                Some(group) => vec![group.as_str().into()],
                None => flow.groups.names(),
            };
            for name in names {
                // One at a time, so that a round waits for one at most; what is gone meanwhile is left out.
                flow.groups.look(&name, |group| look(flow, &name, group));
            }
        }
    }

    fn lets(&self, state: SyncState) -> bool {
        lets(self.state.as_deref(), state.as_str())
    }
}

/// The consumer groups of all flows as they were at the last look, ordered by flow and group, a page at a time.
#[utoipa::path(
    get, path = "/v1/groups", params(Filter, Paging),
    responses((status = 200, body = GroupPage), (status = 400, body = ErrorBody))
)]
pub(super) async fn groups(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let filter = Filter::read(&request)?;
    let mut page = query::<Paging>(&request)?.page()?;
    filter.each(&api, |flow, name, group| {
        if filter.lets(group.state()) {
            page.pass(|| group_view(&api, flow, name, group));
        }
    });
    let Page {
        total,
        offset,
        rows: groups,
        ..
    } = page;
    Ok(HttpResponse::Ok().json(GroupPage {
        total,
        offset,
        groups,
    }))
}

/// What groups have committed, and where that is on the target, ordered by flow, group, topic and partition, a page at a time.
#[utoipa::path(
    get, path = "/v1/groups/partitions", params(Filter, TopicFilter, Paging),
    responses((status = 200, body = GroupPartitionPage), (status = 400, body = ErrorBody))
)]
pub(super) async fn group_partitions(api: web::Data<Api>, request: HttpRequest) -> Answer {
    let filter = Filter::read(&request)?;
    let TopicFilter { topic } = query(&request)?;
    let mut page = query::<Paging>(&request)?.page()?;
    filter.each(&api, |flow, name, group| {
        for (at, status) in &group.partitions {
            if lets(topic.as_deref(), &at.0) && filter.lets(status.state()) {
                page.pass(|| partition_view(&api, flow, name, at, status));
            }
        }
    });
    let Page {
        total,
        offset,
        rows: partitions,
        ..
    } = page;
    Ok(HttpResponse::Ok().json(GroupPartitionPage {
        total,
        offset,
        partitions,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(translation: Translation) -> GroupStatus {
        GroupStatus {
            translation: Some(translation),
            ..GroupStatus::default()
        }
    }

    #[test]
    fn what_is_not_copied_yet_is_not_exact() {
        let mut kinds = Kinds::default();
        let unknown = Translation::Unknown(engine::offsets::UnknownReason::BelowMap);
        kinds.count(&status(Translation::Exact(5)));
        kinds.count(&status(Translation::AtLeast(5)));
        kinds.count(&status(unknown));
        kinds.count(&GroupStatus::default());
        kinds.count(&GroupStatus {
            uncopied: 1,
            ..status(Translation::Exact(5))
        });
        let expected = Kinds {
            exact: 1,
            at_least: 2,
            unknown: 2,
        };
        assert_eq!(kinds, expected);
    }
}
