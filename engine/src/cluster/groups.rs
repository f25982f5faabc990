//! Consumer groups: which there are, who is in them, what they have committed, and committing for them.
//!
//! Facts: `docs/spec/real-kafka.md` 8. Everything here is bulk: few requests however many groups.

mod commits;
mod describe;
mod offsets;

pub use commits::{Committed, NewOffset};
pub use offsets::GroupOffset;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use kafka_protocol::messages::ListGroupsRequest;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use tokio::time::Instant;

use super::coordinators::{CoordinatorKind, Pause, is_moving, is_outage};
use super::{Cluster, ClusterError, ErrorCode, Refusal};
use crate::wire::Connection;

/// How long a coordinator may take to move, before its groups are given up for this time.
const GROUPS_PATIENCE: Duration = Duration::from_secs(10);
/// Requests on their way at once, over all brokers.
const REQUESTS_IN_FLIGHT: usize = 16;
/// How long groups whose coordinator moves, starts or has died are asked for again: the others wait with them.
const REPEAT_PATIENCE: Duration = Duration::from_secs(2);
const LIST_GROUPS_VERSION_MAX: i16 = 5;

/// What coordinates a group's members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupKind {
    /// The protocol of old, or no members at all: only offsets. All groups below Kafka 3.8 count as these.
    Classic,
    /// KIP-848.
    Consumer,
    /// Share groups, streams groups, and what is still to come.
    Other,
}

/// Where a group is in its life, as Kafka calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupState {
    /// There is no such group.
    Absent,
    /// It has offsets and no members.
    Empty,
    /// Members come or go (classic).
    PreparingRebalance,
    /// Members wait for their partitions (classic).
    CompletingRebalance,
    /// Members have their partitions.
    Stable,
    /// Partitions are being assigned (KIP-848).
    Assigning,
    /// Members are on their way to their new partitions (KIP-848).
    Reconciling,
    /// It is being removed.
    Dead,
    /// A word that we do not know, or none.
    Unknown,
}

impl GroupState {
    fn new(word: &str) -> Self {
        match word {
            "Empty" => Self::Empty,
            "PreparingRebalance" => Self::PreparingRebalance,
            "CompletingRebalance" => Self::CompletingRebalance,
            "Stable" => Self::Stable,
            "Assigning" => Self::Assigning,
            "Reconciling" => Self::Reconciling,
            "Dead" => Self::Dead,
            _ => Self::Unknown,
        }
    }

    /// Somebody may be in the group: it must not be touched. True also when that is not known.
    pub fn may_have_members(self) -> bool {
        !matches!(self, Self::Absent | Self::Empty | Self::Dead)
    }
}

impl fmt::Display for GroupState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A group as its broker lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    /// Group id.
    pub id: Arc<str>,
    /// `consumer`, `connect`, `share`, ...; empty for a group that has only offsets.
    pub protocol_type: String,
    /// [`GroupState::Unknown`] below Kafka 2.6.
    pub state: GroupState,
    /// What coordinates its members.
    pub kind: GroupKind,
}

impl GroupListing {
    /// Whether this is a group of consumers, with or without members: MM2 looks at no other
    /// (`docs/spec/mm2.md` 6.1).
    pub fn is_of_consumers(&self) -> bool {
        self.kind != GroupKind::Other && matches!(&*self.protocol_type, "" | "consumer")
    }
}

impl From<ListedGroup> for GroupListing {
    fn from(group: ListedGroup) -> Self {
        Self {
            id: group.group_id.as_str().into(),
            state: GroupState::new(&group.group_state),
            kind: match &*group.group_type.to_ascii_lowercase() {
                "" | "classic" => GroupKind::Classic,
                "consumer" => GroupKind::Consumer,
                _ => GroupKind::Other,
            },
            protocol_type: group.protocol_type.to_string(),
        }
    }
}

/// The groups of a cluster that we may see.
#[derive(Clone, Debug, Default)]
pub struct GroupList {
    /// Each group once.
    pub groups: Vec<GroupListing>,
    /// Brokers that did not answer, and why: the groups they coordinate are missing, not gone.
    pub unanswered: Vec<(i32, ClusterError)>,
}

/// A result for each group that was asked for, once and in no order. A coordinator that cannot be reached shows as
/// COORDINATOR_NOT_AVAILABLE.
pub type PerGroup<T> = Vec<(Arc<str>, Result<T, Refusal>)>;

impl Cluster {
    /// Every group, of every kind and state, asked of all brokers, each of which knows those it coordinates.
    /// Groups without DESCRIBE are left out.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub async fn list_groups(&self) -> Result<GroupList, ClusterError> {
        self.metadata(Some(Vec::new())).await?;
        let brokers: Vec<i32> = self.brokers.iter().map(|broker| *broker.key()).collect();
        let mut answers = stream::iter(brokers)
            .map(|id| async move { (id, self.list_groups_of(id).await) })
            .buffer_unordered(REQUESTS_IN_FLIGHT);
        // A group that moves meanwhile may be listed twice.
        let mut groups = BTreeMap::new();
        let mut unanswered = Vec::new();
        let mut answered = false;
        while let Some((id, answer)) = answers.next().await {
            match answer {
                Ok(listed) => {
                    answered = true;
                    groups.extend(listed.into_iter().map(|group| (group.id.clone(), group)));
                }
                Err(error) => unanswered.push((id, error)),
            }
        }
        match unanswered.pop() {
            Some((_, error)) if !answered => Err(error),
            last => {
                unanswered.extend(last);
                Ok(GroupList {
                    groups: groups.into_values().collect(),
                    unanswered,
                })
            }
        }
    }

    async fn list_groups_of(&self, broker: i32) -> Result<Vec<GroupListing>, ClusterError> {
        const API: &str = "ListGroups";
        let deadline = Instant::now() + GROUPS_PATIENCE;
        let mut pause = Pause::default();
        loop {
            let connection = self.broker(broker).await?;
            let request = ListGroupsRequest::default();
            let max = LIST_GROUPS_VERSION_MAX;
            let answer = connection
                .request(API, &request, max, self.options.request_timeout)
                .await?;
            let Some(refusal) = Refusal::new(answer.error_code, None) else {
                return Ok(answer.groups.into_iter().map(GroupListing::from).collect());
            };
            if !is_moving(refusal.code) || !pause.wait(deadline).await {
                return Err(ClusterError::Refused {
                    alias: self.alias.clone(),
                    api: API,
                    what: format!("broker {broker}"),
                    refusal,
                });
            }
        }
    }

    /// Asks the coordinators of `groups`, at most `chunk` groups a request, and again for those whose coordinator
    /// moves or has died. `ask` answers for each group it is given.
    async fn per_group<T>(
        &self,
        groups: &[Arc<str>],
        chunk: impl Fn(&Connection) -> usize,
        ask: impl AsyncFn(Connection, Vec<Arc<str>>, Duration) -> Result<PerGroup<T>, ClusterError>,
    ) -> Result<PerGroup<T>, ClusterError> {
        let deadline = Instant::now() + GROUPS_PATIENCE;
        let repeat_until = Instant::now() + REPEAT_PATIENCE;
        let mut found = Vec::with_capacity(groups.len());
        let mut wanted = groups.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut pause = Pause::default();
        while !wanted.is_empty() {
            let mut by_node: BTreeMap<i32, Vec<Arc<str>>> = BTreeMap::new();
            let kind = CoordinatorKind::Group;
            for (group, node) in self.coordinators_of(kind, &wanted, deadline).await? {
                match node {
                    Ok(node) => by_node.entry(node).or_default().push(group),
                    Err(refusal) => found.push((group, Err(refusal))),
                }
            }
            let mut moving = Vec::new();
            let (mut requests, mut answered) = (Vec::new(), Vec::new());
            for (node, groups) in by_node {
                match self.broker(node).await {
                    Ok(connection) => {
                        let chunks = groups.chunks(chunk(&connection).max(1));
                        requests.extend(chunks.map(|groups| (connection.clone(), groups.to_vec())));
                    }
                    Err(error) => answered.push((groups, Err(error))),
                }
            }
            let (ask, timeout) = (&ask, self.options.request_timeout);
            let mut answers = stream::iter(requests)
                .map(|(connection, groups)| async move {
                    let answer = ask(connection, groups.clone(), timeout).await;
                    (groups, answer)
                })
                .buffer_unordered(REQUESTS_IN_FLIGHT);
            while let Some(answer) = answers.next().await {
                answered.push(answer);
            }
            for (groups, answer) in answered {
                let rows = match answer {
                    Ok(rows) => rows,
                    Err(error) if !is_outage(&error) => return Err(error),
                    Err(error) => unreachable(groups, &error),
                };
                for (group, row) in rows {
                    if row.as_ref().is_err_and(|refusal| is_moving(refusal.code)) {
                        self.forget_coordinator(kind, &group);
                        moving.push((group, row));
                    } else {
                        found.push((group, row));
                    }
                }
            }
            wanted.clear();
            if !moving.is_empty() && pause.wait(repeat_until).await {
                wanted.extend(moving.into_iter().map(|(group, _)| group));
            } else {
                found.append(&mut moving);
            }
        }
        Ok(found)
    }
}

fn unreachable<T>(groups: Vec<Arc<str>>, error: &ClusterError) -> PerGroup<T> {
    let refusal = Refusal {
        code: ErrorCode::COORDINATOR_NOT_AVAILABLE,
        message: Some(error.to_string()),
    };
    let refused = |group| (group, Err(refusal.clone()));
    groups.into_iter().map(refused).collect()
}

/// The rows of an answer for the groups that were asked for; one that is left out is refused.
fn in_question<T>(
    groups: Vec<Arc<str>>,
    mut rows: std::collections::HashMap<String, Result<T, Refusal>>,
) -> PerGroup<T> {
    let row = |group: Arc<str>| {
        let row = rows.remove(&*group).unwrap_or_else(|| {
            Err(Refusal {
                code: ErrorCode::GROUP_ID_NOT_FOUND,
                message: Some("the answer leaves it out".to_owned()),
            })
        });
        (group, row)
    };
    groups.into_iter().map(row).collect()
}
