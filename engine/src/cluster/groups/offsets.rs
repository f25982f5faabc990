//! What groups have committed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use kafka_protocol::messages::{GroupId, OffsetFetchRequest};
use kafka_protocol::protocol::StrBytes;

use super::{PerGroup, in_question};
use crate::cluster::{Cluster, ClusterError, ErrorCode, Refusal};
use crate::wire::Connection;

/// Name of the request.
const API: &str = "OffsetFetch";
/// The oldest that answers with all topics of a group.
const VERSION_MIN: i16 = 2;
/// From here on one request takes many groups (KIP-709).
const VERSION_MANY: i16 = 8;
/// Groups a request: of 100 partitions each, an answer of some 2 MB.
const GROUPS_PER_REQUEST: usize = 200;

/// A group's place in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOffset {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// The next offset that the group wants; at least 0.
    pub offset: i64,
    /// Epoch of the record before it; -1 when not told.
    pub leader_epoch: i32,
    /// What the group has stored with it.
    pub metadata: String,
}

impl Cluster {
    /// All offsets that groups have committed. A group that does not exist has none, and that is no refusal; one may
    /// also lack topics that we may not DESCRIBE. Offsets of open transactions are not waited for, as in MM2.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers, or not as it should.
    pub async fn group_offsets(
        &self,
        groups: &[Arc<str>],
    ) -> Result<PerGroup<Vec<GroupOffset>>, ClusterError> {
        let chunk = |connection: &Connection| match version(connection) {
            Ok(VERSION_MANY) => GROUPS_PER_REQUEST,
            _ => 1,
        };
        self.per_group(groups, chunk, fetch).await
    }
}

fn version(connection: &Connection) -> Result<i16, ClusterError> {
    use kafka_protocol::protocol::Request;
    let key = OffsetFetchRequest::KEY;
    let versions = connection.versions();
    Ok(versions.best_of(API, key, VERSION_MIN, VERSION_MANY)?)
}

async fn fetch(
    connection: Connection,
    groups: Vec<Arc<str>>,
    timeout: Duration,
) -> Result<PerGroup<Vec<GroupOffset>>, ClusterError> {
    let version = version(&connection)?;
    let id = |group: &Arc<str>| GroupId(StrBytes::from_string(group.to_string()));
    let mut request = OffsetFetchRequest::default();
    if version >= VERSION_MANY {
        // No list of topics means all; the message crate's default is an empty one, which means none.
        let all = |group| {
            OffsetFetchRequestGroup::default()
                .with_group_id(id(group))
                .with_topics(None)
        };
        request = request.with_groups(groups.iter().map(all).collect());
    } else if let Some(group) = groups.first() {
        request = request.with_group_id(id(group)).with_topics(None);
    }
    let answer = connection
        .request_version(API, &request, version, timeout)
        .await?;
    if version >= VERSION_MANY {
        Ok(in_question(groups, many(answer)))
    } else {
        let only = groups.first().map(ToString::to_string).unwrap_or_default();
        Ok(in_question(groups, HashMap::from([(only, one(answer))])))
    }
}

type Row = Result<Vec<GroupOffset>, Refusal>;

fn many(answer: OffsetFetchResponse) -> HashMap<String, Row> {
    let row = |group: kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup| {
        let offsets = match Refusal::new(group.error_code, None) {
            Some(refusal) => Err(refusal),
            None => Ok(group
                .topics
                .iter()
                .flat_map(|topic| {
                    let name: Arc<str> = topic.name.as_str().into();
                    let rows = topic.partitions.iter().map(|row| {
                        let metadata = row.metadata.as_deref();
                        let found = (row.committed_offset, row.committed_leader_epoch, metadata);
                        (row.partition_index, row.error_code, found)
                    });
                    rows.filter_map(move |row| offset(&name, row))
                        .collect::<Vec<_>>()
                })
                .collect()),
        };
        (group.group_id.to_string(), offsets)
    };
    answer.groups.into_iter().map(row).collect()
}

fn one(answer: OffsetFetchResponse) -> Row {
    if let Some(refusal) = Refusal::new(answer.error_code, None) {
        return Err(refusal);
    }
    let mut offsets = Vec::new();
    for topic in &answer.topics {
        let name: Arc<str> = topic.name.as_str().into();
        offsets.extend(topic.partitions.iter().filter_map(|row| {
            let metadata = row.metadata.as_deref();
            let found = (row.committed_offset, row.committed_leader_epoch, metadata);
            offset(&name, (row.partition_index, row.error_code, found))
        }));
    }
    Ok(offsets)
}

/// None for a partition that the broker cannot tell about, or where a client has committed less than 0.
fn offset(
    topic: &Arc<str>,
    (partition, code, (offset, leader_epoch, metadata)): (i32, i16, (i64, i32, Option<&str>)),
) -> Option<GroupOffset> {
    (ErrorCode(code) == ErrorCode::NONE && offset >= 0).then(|| GroupOffset {
        topic: topic.clone(),
        partition,
        offset,
        leader_epoch,
        metadata: metadata.unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kt_06_no_offset_where_a_client_has_committed_none() {
        let topic: Arc<str> = "topic1".into();
        assert_eq!(offset(&topic, (0, 0, (-1, -1, None))), None);
        let refused = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0;
        assert_eq!(offset(&topic, (0, refused, (5, -1, None))), None);
        let found = offset(&topic, (0, 0, (5, -1, None))).unwrap();
        assert_eq!((found.offset, &*found.metadata), (5, ""));
    }
}
