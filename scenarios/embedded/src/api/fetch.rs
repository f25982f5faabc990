//! Fetch.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
    PartitionData,
};
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;
use uuid::Uuid;

use super::sessions::{Asked, TopicKey, Wanted, WantedPartitions};
use crate::log::Isolation;
use crate::security::{Operation, Resource};
use crate::server::{Closed, Incoming};
use crate::state::{Partition, Place};

/// `fetch.max.bytes` of the broker: no answer is larger, but for a single batch.
const BROKER_BYTES_MAX: usize = 55 << 20;

/// From here on by topic id.
const BY_ID_SINCE: i16 = 13;

/// From here on followers serve consumers (KIP-392).
const FOLLOWERS_SINCE: i16 = 11;

/// From here on an answer names the new leader.
const HINTS_SINCE: i16 = 16;

/// A partition's answer, and what decides whether the whole answer can go.
struct Row {
    data: PartitionData,
    bytes: usize,
    /// Answer at once: an error, a divergence.
    urgent: bool,
    /// No log was asked: the row comes behind those of logs.
    not_asked: bool,
    /// Leader epoch at the time of the look; a change ends the wait.
    leader_epoch: i32,
}

/// Reads what is there, or waits for it up to `max_wait_ms`.
pub(crate) async fn fetch(
    incoming: &Incoming,
    request: FetchRequest,
) -> Result<FetchResponse, Closed> {
    let clock = &incoming.shared.clock;
    let deadline = clock.now_ms().saturating_add(request.max_wait_ms.into());
    let by_id = incoming.version >= BY_ID_SINCE;
    let (partitions, forgotten) = wanted(incoming, &request);
    let (session_id, epoch) = if incoming.version >= 7 {
        (request.session_id, request.session_epoch)
    } else {
        (0, -1)
    };
    let asked = Asked {
        node_id: incoming.node_id,
        session_id,
        epoch,
        by_id,
        now_ms: clock.now_ms(),
        partitions,
        forgotten,
    };
    let mut round = match incoming.shared.sessions.begin(asked) {
        Ok(round) => round,
        Err(error) => return Ok(FetchResponse::default().with_error_code(error.code())),
    };
    let follower = request.replica_id.0.max(request.replica_state.replica_id.0) >= 0;
    let isolation = match request.isolation_level {
        _ if follower => Isolation::LogEnd,
        1 => Isolation::Committed,
        _ => Isolation::Uncommitted,
    };
    let max_bytes = usize::try_from(request.max_bytes)
        .unwrap_or(0)
        .min(BROKER_BYTES_MAX);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let news = Arc::new(Notify::new());
    let mut epochs = None;
    let rows = loop {
        let rows = look(incoming, &round.partitions, isolation, max_bytes);
        let bytes: usize = rows.iter().map(|(_, row)| row.bytes).sum();
        let seen: i64 = rows
            .iter()
            .map(|(_, row)| i64::from(row.leader_epoch))
            .sum();
        let moved = *epochs.get_or_insert(seen) != seen;
        let urgent = moved || rows.iter().any(|(_, row)| row.urgent);
        if urgent
            || bytes >= min_bytes
            || rows.is_empty() && !round.incremental
            || clock.now_ms() >= deadline
        {
            break rows;
        }
        if watch(incoming, &round.partitions, &news, &rows) {
            continue; // something came between the look and the watch
        }
        tokio::select! {
            () = news.notified() => {}
            () = clock.until(deadline) => {}
        }
    };
    let mut response = FetchResponse::default().with_session_id(round.session_id);
    let bytes = rows.iter().map(|(_, row)| row.bytes).sum();
    if let Some(throttled_ms) = incoming.throttles_fetch(bytes) {
        if round.session_id != 0 {
            incoming
                .shared
                .sessions
                .end(round.session_id, round.partitions);
        }
        return Ok(response.with_throttle_time_ms(throttled_ms));
    }
    let mut hints = BTreeSet::new();
    // Partitions with data go behind the others, so that in the next round none starves.
    let served: HashSet<usize> = rows
        .iter()
        .filter(|(_, row)| row.bytes > 0)
        .map(|(index, _)| *index)
        .collect();
    let mut rows = rows;
    rows.sort_by_key(|(_, row)| {
        let unknown_id = row.data.error_code == ResponseError::UnknownTopicId.code();
        (row.not_asked, !unknown_id)
    });
    let answered: Vec<usize> = rows.iter().map(|(index, _)| *index).collect();
    for (index, row) in rows {
        let Some((key, wanted)) = round.partitions.get_index_mut(index) else {
            continue;
        };
        let told = (row.data.high_watermark, row.data.log_start_offset);
        let changed = row.bytes > 0 || row.urgent || told != wanted.told;
        wanted.told = if row.data.error_code == 0 {
            told
        } else {
            (-1, -1)
        };
        if round.incremental && !changed {
            continue;
        }
        hints.insert(row.data.current_leader.leader_id.0);
        add(&mut response, &key.0, row.data);
    }
    if round.session_id != 0 {
        let mut partitions = std::mem::take(&mut round.partitions);
        if !round.incremental {
            // A new session has the order of its first answer.
            let place: HashMap<usize, usize> = answered.into_iter().zip(0..).collect();
            let mut all: Vec<_> = partitions.drain(..).enumerate().collect();
            all.sort_by_key(|(index, _)| place.get(index));
            partitions.extend(all.into_iter().map(|(_, wanted)| wanted));
        } else if !served.is_empty() {
            let (last, first): (Vec<_>, Vec<_>) =
                { partitions.drain(..).enumerate() }.partition(|(index, _)| served.contains(index));
            partitions.extend(first.into_iter().chain(last).map(|(_, wanted)| wanted));
        }
        incoming.shared.sessions.end(round.session_id, partitions);
    }
    if incoming.version >= HINTS_SINCE {
        response.node_endpoints = endpoints(incoming, &hints);
    }
    Ok(response)
}

/// The request's partitions, and those it no longer wants.
fn wanted(incoming: &Incoming, request: &FetchRequest) -> (WantedPartitions, Vec<(TopicKey, i32)>) {
    let state = incoming.shared.state();
    let key = |name: &str, id: Uuid| match incoming.version >= BY_ID_SINCE {
        false => TopicKey {
            name: name.to_owned(),
            id: Uuid::nil(),
        },
        // A nil id is nobody's, and an unknown one stays without a name.
        true => TopicKey {
            name: state
                .topic_by_id(id)
                .map(|topic| topic.name.clone())
                .unwrap_or_default(),
            id,
        },
    };
    let mut partitions = WantedPartitions::new();
    for topic in &request.topics {
        let key = key(&topic.topic, topic.topic_id);
        for partition in &topic.partitions {
            let wanted = Wanted {
                offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch.max(-1),
                last_fetched_epoch: partition.last_fetched_epoch,
                told: (-1, -1),
            };
            partitions.insert((key.clone(), partition.partition), wanted);
        }
    }
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let key = key(&topic.topic, topic.topic_id);
        forgotten.extend(
            topic
                .partitions
                .iter()
                .map(|partition| (key.clone(), *partition)),
        );
    }
    (partitions, forgotten)
}

/// Looks at every partition once, until the answer is full.
fn look(
    incoming: &Incoming,
    partitions: &WantedPartitions,
    isolation: Isolation,
    max_bytes: usize,
) -> Vec<(usize, Row)> {
    let mut left = max_bytes;
    let mut empty = true;
    let mut rows = Vec::with_capacity(partitions.len());
    for (index, ((topic, partition), wanted)) in partitions.iter().enumerate() {
        let row = read(incoming, topic, *partition, wanted, isolation, left, empty);
        let row = row.unwrap_or_else(|refused| Row {
            not_asked: refused.1.aborted_transactions.is_some(),
            data: refused
                .1
                .with_partition_index(*partition)
                .with_error_code(refused.0.code()),
            bytes: 0,
            urgent: true,
            leader_epoch: 0,
        });
        left = left.saturating_sub(row.bytes);
        empty &= row.bytes == 0;
        rows.push((index, row));
    }
    rows
}

/// Finds the partition and its name's current meaning.
fn find(
    incoming: &Incoming,
    topic: &TopicKey,
    index: i32,
) -> Result<Arc<Partition>, ResponseError> {
    if topic.name.is_empty() && !topic.id.is_nil() {
        return Err(ResponseError::UnknownTopicId);
    }
    if topic.name.is_empty() {
        return Err(if incoming.version >= BY_ID_SINCE {
            ResponseError::UnknownTopicId
        } else {
            ResponseError::UnknownTopicOrPartition
        });
    }
    if !incoming.may(Operation::Read, Resource::Topic(&topic.name)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    incoming.refuses(&topic.name, index)?;
    let (found, partition) = incoming.shared.state().partition(&topic.name, index)?;
    match topic.id {
        id if id.is_nil() || id == found.id => Ok(partition),
        _ => Err(ResponseError::InconsistentTopicId),
    }
}

/// Why a partition is not read, and the row that says so.
struct Refused(ResponseError, PartitionData);

fn read(
    incoming: &Incoming,
    topic: &TopicKey,
    index: i32,
    wanted: &Wanted,
    isolation: Isolation,
    left: usize,
    first: bool,
) -> Result<Row, Box<Refused>> {
    // An error tells nothing of the log (docs/spec/real-kafka.md 5).
    let nothing = || {
        PartitionData::default()
            .with_high_watermark(-1)
            .with_last_stable_offset(-1)
            .with_log_start_offset(-1)
            .with_records(Some(Bytes::new()))
            .with_aborted_transactions(None)
    };
    let refused = |error| Box::new(Refused(error, nothing()));
    // What is refused before any log is asked has an empty list of aborted transactions, in any isolation.
    let not_asked = |error| {
        let aborted = match error {
            ResponseError::InconsistentTopicId => None,
            _ => Some(Vec::new()),
        };
        Box::new(Refused(error, nothing().with_aborted_transactions(aborted)))
    };
    // Followers need no permission on topics, but one that clients do not have.
    if isolation == Isolation::LogEnd && !incoming.may(Operation::ClusterAction, Resource::Cluster)
    {
        return Err(not_asked(ResponseError::TopicAuthorizationFailed));
    }
    let partition = find(incoming, topic, index).map_err(not_asked)?;
    let inner = partition.lock();
    let leadership = &inner.leadership;
    let hint = || {
        let leader = LeaderIdAndEpoch::default()
            .with_leader_id(leadership.leader.into())
            .with_leader_epoch(leadership.epoch);
        if incoming.version >= HINTS_SINCE {
            nothing().with_current_leader(leader)
        } else {
            nothing()
        }
    };
    let is_leader = leadership.leader == incoming.node_id;
    if !leadership.replicas.contains(&incoming.node_id) {
        return Err(Box::new(Refused(
            ResponseError::NotLeaderOrFollower,
            hint(),
        )));
    }
    super::check_epoch(wanted.current_leader_epoch, leadership).map_err(|error| match error {
        ResponseError::FencedLeaderEpoch => Box::new(Refused(error, hint())),
        other => refused(other),
    })?;
    if !is_leader && (incoming.version < FOLLOWERS_SINCE || isolation == Isolation::LogEnd) {
        return Err(Box::new(Refused(
            ResponseError::NotLeaderOrFollower,
            hint(),
        )));
    }
    let log = &inner.log;
    let mut data = nothing()
        .with_partition_index(index)
        .with_high_watermark(log.high_watermark())
        .with_last_stable_offset(log.last_stable_offset())
        .with_log_start_offset(log.start_offset());
    let leader_epoch = leadership.epoch;
    if wanted.last_fetched_epoch >= 0 {
        let left_at = log.diverging(wanted.offset, wanted.last_fetched_epoch, leadership.epoch);
        let left_at = left_at.map_err(|_| refused(ResponseError::OffsetOutOfRange))?;
        if let Some((epoch, end_offset)) = left_at {
            data.diverging_epoch = EpochEndOffset::default()
                .with_epoch(epoch)
                .with_end_offset(end_offset);
            return Ok(Row {
                data,
                bytes: 0,
                urgent: true,
                not_asked: false,
                leader_epoch,
            });
        }
    }
    let max_bytes = usize::try_from(wanted.max_bytes).unwrap_or(0).min(left);
    let slice = log
        .read(wanted.offset, max_bytes, first, isolation)
        .map_err(|_| refused(ResponseError::OffsetOutOfRange))?;
    if isolation == Isolation::Committed && !slice.first_is_cut {
        let aborted = slice.aborted.into_iter();
        let aborted = aborted.map(|(producer_id, first_offset)| {
            AbortedTransaction::default()
                .with_producer_id(producer_id.into())
                .with_first_offset(first_offset)
        });
        data.aborted_transactions = Some(aborted.collect());
    }
    data.records = Some(incoming.damaged(&topic.name, index, slice.records));
    let bytes = data.records.as_ref().map_or(0, Bytes::len);
    Ok(Row {
        data,
        bytes,
        urgent: false,
        not_asked: false,
        leader_epoch,
    })
}

/// Has `news` told of changes. True if there has been one since `rows` were read.
fn watch(
    incoming: &Incoming,
    partitions: &WantedPartitions,
    news: &Arc<Notify>,
    rows: &[(usize, Row)],
) -> bool {
    let mut changed = false;
    for (index, row) in rows {
        let Some(((topic, partition), _)) = partitions.get_index(*index) else {
            continue;
        };
        match find(incoming, topic, *partition) {
            Ok(partition) => {
                partition.watch(news);
                let inner = partition.lock();
                let told = (
                    row.data.high_watermark,
                    row.data.last_stable_offset,
                    row.leader_epoch,
                );
                changed |= told
                    != (
                        inner.log.high_watermark(),
                        inner.log.last_stable_offset(),
                        inner.leadership.epoch,
                    );
            }
            Err(_) => changed = true,
        }
    }
    changed
}

fn add(response: &mut FetchResponse, topic: &TopicKey, row: PartitionData) {
    let named = |found: &FetchableTopicResponse| {
        found.topic_id == topic.id && found.topic.as_str() == topic.name
    };
    if let Some(found) = response.responses.last_mut().filter(|found| named(found)) {
        found.partitions.push(row);
        return;
    }
    response.responses.push(
        FetchableTopicResponse::default()
            .with_topic(StrBytes::from_string(topic.name.clone()).into())
            .with_topic_id(topic.id)
            .with_partitions(vec![row]),
    );
}

/// Where the named leaders listen, those that the metadata lists.
fn endpoints(incoming: &Incoming, leaders: &BTreeSet<i32>) -> Vec<NodeEndpoint> {
    let state = incoming.shared.state();
    let places = state.places(incoming.listener);
    let named = places.filter(|place| leaders.contains(&place.node_id));
    let endpoint = |place: Place| {
        NodeEndpoint::default()
            .with_node_id(place.node_id.into())
            .with_host(place.host)
            .with_port(place.port)
            .with_rack(place.rack)
    };
    named.map(endpoint).collect()
}
