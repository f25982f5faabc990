//! OffsetCommit, TxnOffsetCommit, OffsetDelete.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::by_id::id_in;
use super::{check_group, code};
use crate::api::coordinators::{OFFSETS_TOPIC, coordinated_here};
use crate::api::transactions::admit_offsets;
use crate::groups::{At, Committed, Committer, Known, Table};
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::transactions::{Owner, Producer};

/// First version of OffsetCommit that says GROUP_ID_NOT_FOUND; before, the generation is just illegal.
const COMMIT_NOT_FOUND: i16 = 9;

/// First version of OffsetCommit that names topics by id.
const BY_ID: i16 = 10;

/// One partition's commit and what became of it.
struct Row {
    topic: StrBytes,
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    result: Result<(), ResponseError>,
}

/// OffsetCommit.
pub(crate) async fn offset_commit(
    incoming: &Incoming,
    request: OffsetCommitRequest,
) -> Result<OffsetCommitResponse, Closed> {
    let mut response = OffsetCommitResponse::default();
    let mut rows = Vec::new();
    for topic in request.topics {
        let (name, id) = named(incoming, topic.name.0);
        let mut answer = OffsetCommitResponseTopic::default().with_topic_id(id);
        if incoming.version < BY_ID {
            answer.name = name.clone().into();
        }
        for partition in topic.partitions {
            let row = OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index);
            answer.partitions.push(row);
            let result = if name.is_empty() && !id.is_nil() {
                Err(ResponseError::UnknownTopicId)
            } else {
                check_partition(incoming, &name, partition.partition_index)
            };
            rows.push(Row {
                topic: name.clone(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.unwrap_or_default(),
                result,
            });
        }
        response.topics.push(answer);
    }
    let who = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_ref(),
        epoch: request.generation_id_or_member_epoch,
        transactional: false,
        version: incoming.version,
    };
    // Versions 2 to 4 may say how long to keep the offsets, from 5 on the broker alone decides.
    let retention_ms = Some(request.retention_time_ms).filter(|ms| *ms >= 0);
    commit(
        incoming,
        &request.group_id,
        &who,
        None,
        retention_ms,
        &mut rows,
    );
    let answers = response.topics.iter_mut().flat_map(|t| &mut t.partitions);
    for (answer, row) in answers.zip(rows) {
        answer.error_code = code(row.result);
    }
    Ok(response)
}

/// TxnOffsetCommit: the offsets count when the transaction is committed.
pub(crate) async fn txn_offset_commit(
    incoming: &Incoming,
    request: TxnOffsetCommitRequest,
) -> Result<TxnOffsetCommitResponse, Closed> {
    let mut response = TxnOffsetCommitResponse::default();
    let mut rows = Vec::new();
    let id = Resource::TransactionalId(&request.transactional_id);
    let permitted = incoming.may(Operation::Write, id);
    for topic in request.topics {
        let mut answer = TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone());
        for partition in topic.partitions {
            let row = TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index);
            answer.partitions.push(row);
            let result = if permitted {
                check_partition(incoming, &topic.name, partition.partition_index)
            } else {
                Err(ResponseError::TransactionalIdAuthorizationFailed)
            };
            rows.push(Row {
                topic: topic.name.0.clone(),
                partition: partition.partition_index,
                offset: partition.committed_offset,
                leader_epoch: partition.committed_leader_epoch,
                metadata: partition.committed_metadata.unwrap_or_default(),
                result,
            });
        }
        response.topics.push(answer);
    }
    let who = Committer {
        member_id: &request.member_id,
        instance_id: request.group_instance_id.as_ref(),
        epoch: request.generation_id,
        transactional: true,
        version: incoming.version,
    };
    let owner = Owner {
        transactional_id: &request.transactional_id,
        producer: Producer {
            id: request.producer_id.0,
            epoch: request.producer_epoch,
        },
    };
    commit(
        incoming,
        &request.group_id,
        &who,
        Some(owner),
        None,
        &mut rows,
    );
    let answers = response.topics.iter_mut().flat_map(|t| &mut t.partitions);
    for (answer, row) in answers.zip(rows) {
        answer.error_code = code(row.result);
    }
    Ok(response)
}

/// A topic of OffsetCommit by name and, from version 10 on, id. An empty name: there is none of that id.
fn named(incoming: &Incoming, name: StrBytes) -> (StrBytes, Uuid) {
    if incoming.version < BY_ID {
        return (name, Uuid::nil());
    }
    let id = id_in(&name);
    let state = incoming.shared.state();
    let name = state.topic_by_id(id).map(|topic| topic.name.clone());
    (StrBytes::from_string(name.unwrap_or_default()), id)
}

/// The partitions that exist, by their topics' ids.
fn partitions<'a>(incoming: &Incoming, rows: impl Iterator<Item = &'a Row>) -> Vec<(Uuid, i32)> {
    let state = incoming.shared.state();
    rows.filter_map(|row| Some((state.topic(&row.topic)?.id, row.partition)))
        .collect()
}

/// Whether offsets of this partition may be committed at all.
fn check_partition(incoming: &Incoming, topic: &str, partition: i32) -> Result<(), ResponseError> {
    if !incoming.may(Operation::Read, Resource::Topic(topic)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    let state = incoming.shared.state();
    state.partition(topic, partition).map(|_| ())
}

/// Commits the rows that are still good, and notes in each what became of it. With an owner they wait
/// for the end of its transaction.
fn commit(
    incoming: &Incoming,
    group_id: &GroupId,
    who: &Committer<'_>,
    owner: Option<Owner<'_>>,
    retention_ms: Option<i64>,
    rows: &mut [Row],
) {
    let refuse = |rows: &mut [Row], error: ResponseError| {
        for row in rows {
            row.result = Err(error);
        }
    };
    let refused_id = Err(ResponseError::TransactionalIdAuthorizationFailed);
    if rows.iter().any(|row| row.result == refused_id) {
        return;
    }
    if !incoming.may(Operation::Read, Resource::Group(group_id)) {
        return refuse(rows, ResponseError::GroupAuthorizationFailed);
    }
    if !rows.iter().any(|row| row.result.is_ok()) {
        return;
    }
    let groups = &incoming.shared.groups;
    let good = |row: &&mut Row| row.result.is_ok();
    // Only plain commits may name the empty group, for old clients' sake.
    let named = match owner {
        Some(_) if group_id.is_empty() => Err(ResponseError::InvalidGroupId),
        _ => Ok(()),
    };
    let admitted = named
        .and_then(|()| coordinated_here(incoming, OFFSETS_TOPIC, group_id))
        .and_then(|_| owner.map_or(Ok(()), |owner| admit_offsets(incoming, owner, group_id)));
    // The lock of the transactions is not taken within the groups' one.
    let producer_id = owner.map(|owner| owner.producer.id);
    let work = |table: &mut Table, at: &At<'_>| {
        let group = match table.found(group_id) {
            Some(group) => group,
            None if who.epoch < 0 => table.make_classic(group_id),
            None => {
                return Err(match who.version {
                    COMMIT_NOT_FOUND.. if !who.transactional => ResponseError::GroupIdNotFound,
                    _ => ResponseError::IllegalGeneration,
                });
            }
        };
        let too_large = |row: &Row| row.metadata.len() > at.settings.metadata_bytes_max;
        let kept = { rows.iter() }.filter(|row| row.result.is_ok() && !too_large(row));
        group.may_commit(who, &partitions(incoming, kept), at)?;
        for row in rows.iter_mut().filter(good) {
            if too_large(row) {
                row.result = Err(ResponseError::OffsetMetadataTooLarge);
                continue;
            }
            group.known = Known::Both;
            let committed = Committed {
                offset: row.offset,
                leader_epoch: row.leader_epoch,
                metadata: row.metadata.clone(),
                commit_ms: at.now_ms,
                expire_ms: retention_ms.map(|ms| at.now_ms.saturating_add(ms)),
            };
            let topic = row.topic.clone();
            let offsets = &mut group.offsets;
            match producer_id {
                Some(id) => offsets.commit_pending(id, topic, row.partition, committed),
                None => offsets.commit(topic, row.partition, committed),
            }
        }
        Ok(())
    };
    if let Err(error) = admitted.and_then(|()| groups.with(incoming, group_id, work)?) {
        for row in rows.iter_mut().filter(good) {
            row.result = Err(error);
        }
    }
}

/// OffsetDelete.
pub(crate) async fn offset_delete(
    incoming: &Incoming,
    request: OffsetDeleteRequest,
) -> Result<OffsetDeleteResponse, Closed> {
    let group_id = &request.group_id;
    let response = OffsetDeleteResponse::default();
    if let Err(error) = check_group(incoming, Operation::Delete, group_id) {
        return Ok(response.with_error_code(error.code()));
    }
    let checked: Vec<_> = request
        .topics
        .into_iter()
        .map(|topic| {
            let rows = topic.partitions.iter();
            let rows = rows.map(|row| {
                let index = row.partition_index;
                (index, check_partition(incoming, &topic.name, index))
            });
            (topic.name.clone(), rows.collect::<Vec<_>>())
        })
        .collect();
    let groups = &incoming.shared.groups;
    let deleted = groups.with(incoming, group_id, |table, _| {
        let group = table
            .found(group_id)
            .ok_or(ResponseError::GroupIdNotFound)?;
        let mut answers = Vec::with_capacity(checked.len());
        for (name, rows) in checked {
            let may = match group.may_delete_offsets(&name) {
                // Not about this topic, but about the group.
                Err(ResponseError::NonEmptyGroup) => return Err(ResponseError::NonEmptyGroup),
                other => other,
            };
            let rows = rows.into_iter().map(|(index, checked)| {
                let result = checked.and(may);
                if result.is_ok() {
                    group.offsets.remove(&name, index);
                }
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(index)
                    .with_error_code(code(result))
            });
            let rows = rows.collect();
            let answer = OffsetDeleteResponseTopic::default();
            answers.push(answer.with_name(name).with_partitions(rows));
        }
        Ok(answers)
    });
    Ok(match deleted.and_then(|inner| inner) {
        Ok(topics) => response.with_topics(topics),
        Err(error) => response.with_error_code(error.code()),
    })
}
