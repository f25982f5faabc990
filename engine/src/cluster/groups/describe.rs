//! Whether groups have members.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, GroupId};
use kafka_protocol::protocol::{Request, StrBytes};

use super::{GroupState, PerGroup, in_question};
use crate::cluster::{Cluster, ClusterError, ErrorCode, Refusal};
use crate::wire::Connection;

/// Groups a request: an answer names all members.
const GROUPS_PER_REQUEST: usize = 100;
const DESCRIBE_GROUPS_VERSION_MAX: i16 = 5;
const CONSUMER_GROUP_DESCRIBE_VERSION_MAX: i16 = 1;

impl Cluster {
    /// The state of groups of consumers. Refused: a group without DESCRIBE, or whose coordinator is not there.
    ///
    /// The lists of all brokers tell of most groups. A group that they leave out may be one that we must not see, so it
    /// is described: as a classic one first, and, since a group of another kind is "Dead" there
    /// (`docs/spec/real-kafka.md` 8), then as one of KIP-848.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub async fn group_states(
        &self,
        groups: &[Arc<str>],
    ) -> Result<PerGroup<GroupState>, ClusterError> {
        let listed = self.list_groups().await?.groups;
        let known: HashMap<_, _> = listed
            .into_iter()
            .map(|group| (group.id, group.state))
            .collect();
        let (mut found, mut unlisted) = (PerGroup::new(), Vec::new());
        for group in groups {
            match known.get(group) {
                None | Some(GroupState::Unknown) => unlisted.push(group.clone()),
                Some(state) => found.push((group.clone(), Ok(*state))),
            }
        }
        let mut not_classic = Vec::new();
        for (group, state) in self.per_group(&unlisted, chunk, as_classic).await? {
            match state {
                Ok(GroupState::Absent) => not_classic.push(group),
                state => found.push((group, state)),
            }
        }
        found.extend(self.per_group(&not_classic, chunk, as_consumer).await?);
        Ok(found)
    }
}

fn chunk(_: &Connection) -> usize {
    GROUPS_PER_REQUEST
}

fn ids(groups: &[Arc<str>]) -> Vec<GroupId> {
    let id = |group: &Arc<str>| GroupId(StrBytes::from_string(group.to_string()));
    groups.iter().map(id).collect()
}

/// "Not found", or "Dead" of an older broker: absent, or of another kind.
fn state(code: i16, message: Option<&str>, word: &str) -> Result<GroupState, Refusal> {
    match Refusal::new(code, message) {
        Some(refusal) if refusal.code == ErrorCode::GROUP_ID_NOT_FOUND => Ok(GroupState::Absent),
        Some(refusal) => Err(refusal),
        None => Ok(match GroupState::new(word) {
            GroupState::Dead => GroupState::Absent,
            state => state,
        }),
    }
}

async fn as_classic(
    connection: Connection,
    groups: Vec<Arc<str>>,
    timeout: Duration,
) -> Result<PerGroup<GroupState>, ClusterError> {
    let request = DescribeGroupsRequest::default().with_groups(ids(&groups));
    let max = DESCRIBE_GROUPS_VERSION_MAX;
    let answer = connection
        .request("DescribeGroups", &request, max, timeout)
        .await?;
    let row = |group: kafka_protocol::messages::describe_groups_response::DescribedGroup| {
        let state = state(group.error_code, None, &group.group_state);
        (group.group_id.to_string(), state)
    };
    Ok(in_question(
        groups,
        answer.groups.into_iter().map(row).collect(),
    ))
}

async fn as_consumer(
    connection: Connection,
    groups: Vec<Arc<str>>,
    timeout: Duration,
) -> Result<PerGroup<GroupState>, ClusterError> {
    const API: &str = "ConsumerGroupDescribe";
    let max = CONSUMER_GROUP_DESCRIBE_VERSION_MAX;
    let key = ConsumerGroupDescribeRequest::KEY;
    if connection.versions().best_of(API, key, 0, max).is_err() {
        // Too old for other kinds of groups.
        let absent = |group| (group, Ok(GroupState::Absent));
        return Ok(groups.into_iter().map(absent).collect());
    }
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(ids(&groups));
    let answer = connection.request(API, &request, max, timeout).await?;
    let row =
        |group: kafka_protocol::messages::consumer_group_describe_response::DescribedGroup| {
            let message = group.error_message.as_deref();
            let state = state(group.error_code, message, &group.group_state);
            (group.group_id.to_string(), state)
        };
    Ok(in_question(
        groups,
        answer.groups.into_iter().map(row).collect(),
    ))
}
