//! Which partitions a request is about, for faults that are restricted to a topic.

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiKey, FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest, ProduceRequest,
};
use uuid::Uuid;

use super::Rule;
use crate::server::Incoming;

/// Whether a request names a partition that the fault covers. Any request, if it covers all; of APIs that are not understood
/// (and of requests that cannot be read), none.
pub(super) fn touches(rule: &Rule, incoming: &Incoming, body: &Bytes) -> bool {
    if rule.topic().is_none() {
        return true;
    }
    let mut body = body.clone();
    let version = incoming.version;
    let names = |name: &str, id: Uuid, partition: i32| match id.is_nil() {
        true => rule.covers(name, partition),
        false => {
            let state = incoming.shared.state();
            state
                .topic_by_id(id)
                .is_some_and(|topic| rule.covers(&topic.name, partition))
        }
    };
    let found = match incoming.api {
        ApiKey::Produce => messages::decode(&mut body, version).map(|request: ProduceRequest| {
            request.topic_data.iter().any(|topic| {
                let mut partitions = topic.partition_data.iter();
                partitions.any(|partition| names(&topic.name, topic.topic_id, partition.index))
            })
        }),
        ApiKey::Fetch => messages::decode(&mut body, version).map(|request: FetchRequest| {
            let session = || incoming.shared.sessions.partitions(request.session_id);
            request.topics.iter().any(|topic| {
                let mut partitions = topic.partitions.iter();
                partitions.any(|partition| names(&topic.topic, topic.topic_id, partition.partition))
            }) || request.session_epoch > 0
                && session()
                    .iter()
                    .any(|(name, partition)| rule.covers(name, *partition))
        }),
        ApiKey::ListOffsets => {
            messages::decode(&mut body, version).map(|request: ListOffsetsRequest| {
                request.topics.iter().any(|topic| {
                    let mut partitions = topic.partitions.iter();
                    partitions.any(|one| names(&topic.name, Uuid::nil(), one.partition_index))
                })
            })
        }
        ApiKey::OffsetForLeaderEpoch => {
            messages::decode(&mut body, version).map(|request: OffsetForLeaderEpochRequest| {
                request.topics.iter().any(|topic| {
                    let mut partitions = topic.partitions.iter();
                    partitions.any(|one| names(&topic.topic, Uuid::nil(), one.partition))
                })
            })
        }
        _ => return false,
    };
    found.unwrap_or(false)
}
