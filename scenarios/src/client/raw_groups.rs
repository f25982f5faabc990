//! Offsets of many groups at once, with their metadata, which librdkafka would need a consumer each for.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use kafka_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetFetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::raw::RawClient;
use crate::{Error, await_ok};

const FIND_COORDINATOR_VERSION: i16 = 4;
const OFFSET_COMMIT_VERSION: i16 = 8;
const OFFSET_FETCH_VERSION: i16 = 8;
/// A coordinator may be reading its log still.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// A place that a group has committed: offset and metadata.
pub type Place = (i64, String);

/// What groups have committed: by group, then by topic and partition.
pub type CommittedPlaces = HashMap<String, BTreeMap<(String, i32), Place>>;

/// One connection to a cluster of one broker, which coordinates all groups.
#[derive(Debug)]
pub struct RawGroups {
    client: RawClient,
}

impl RawGroups {
    /// Connects, and makes sure that there is a coordinator.
    ///
    /// # Errors
    /// [`Error::Impossible`] if the broker cannot be spoken to, [`Error::Timeout`] if it does not coordinate.
    pub fn connect(bootstrap: &str) -> Result<Self, Error> {
        let mut client = RawClient::connect(bootstrap).map_err(failed)?;
        let request = FindCoordinatorRequest::default()
            .with_coordinator_keys(vec![StrBytes::from_static_str("group")]);
        await_ok("a group coordinator", PATIENCE, || {
            let answer = client
                .send(FIND_COORDINATOR_VERSION, &request)
                .map_err(|error| error.to_string())?;
            match answer.coordinators.first().map(|found| found.error_code) {
                Some(0) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })?;
        Ok(Self { client })
    }

    /// Commits (topic, partition, offset, metadata) for a group without members.
    ///
    /// # Errors
    /// [`Error::Impossible`] with the broker's code.
    pub fn commit(&mut self, group: &str, offsets: &[(&str, i32, i64, &str)]) -> Result<(), Error> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (topic, partition, offset, metadata) in offsets {
            let metadata = StrBytes::from_string((*metadata).to_owned());
            let row = OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(*offset)
                .with_committed_metadata(Some(metadata));
            topics.entry(topic).or_default().push(row);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetCommitRequestTopic::default()
                .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
                .with_partitions(partitions)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
            .with_generation_id_or_member_epoch(-1)
            .with_topics(topics.collect());
        await_ok(&format!("a commit of {group}"), PATIENCE, || {
            let sent = self.client.send(OFFSET_COMMIT_VERSION, &request);
            let answer = sent.map_err(|error| error.to_string())?;
            let rows = answer.topics.iter().flat_map(|topic| &topic.partitions);
            match rows.map(|row| row.error_code).find(|code| *code != 0) {
                None => Ok(()),
                Some(code) => Err(format!("code {code}")),
            }
        })
    }

    /// All that these groups have committed, by group and then by topic and partition.
    ///
    /// # Errors
    /// [`Error::Impossible`] with the broker's code.
    pub fn committed<G: AsRef<str>>(&mut self, groups: &[G]) -> Result<CommittedPlaces, Error> {
        let group = |group: &G| {
            let id = GroupId(StrBytes::from_string(group.as_ref().to_owned()));
            OffsetFetchRequestGroup::default()
                .with_group_id(id)
                .with_topics(None)
        };
        let request = OffsetFetchRequest::default().with_groups(groups.iter().map(group).collect());
        let answer = self
            .client
            .send(OFFSET_FETCH_VERSION, &request)
            .map_err(failed)?;
        let mut found = HashMap::new();
        for group in answer.groups {
            if group.error_code != 0 {
                let (group, code) = (&group.group_id, group.error_code);
                return Err(failed(format!("offsets of {group:?}: code {code}")));
            }
            let rows = group.topics.iter().flat_map(|topic| {
                topic.partitions.iter().map(|row| {
                    let metadata = row.metadata.as_deref().unwrap_or_default().to_owned();
                    let at = (topic.name.to_string(), row.partition_index);
                    (at, (row.committed_offset, metadata))
                })
            });
            let rows = rows.filter(|(_, (offset, _))| *offset >= 0).collect();
            found.insert(group.group_id.to_string(), rows);
        }
        Ok(found)
    }
}

fn failed(error: impl Debug) -> Error {
    Error::Impossible(format!("{error:?}"))
}
