//! Produce.

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;
use uuid::Uuid;

use super::IntoAnswer;
use super::transactions::{self, Admission, Denied, Refusal};
use crate::log::{Append, Inspected, Log, Refused, Scope};
use crate::security::{Operation, Resource};
use crate::server::{Answer, Closed, Incoming};
use crate::state::{Partition, Place, Topic};

/// The only client that may write to internal topics (docs/spec/batches.md 1, row 27).
const ADMIN_CLIENT: &str = "__admin_client";

/// From here on an answer says why a batch is refused.
const REASONS_SINCE: i16 = 8;

/// From here on an answer names the new leader.
const HINTS_SINCE: i16 = 10;

/// What waits for its replicas: a partition, and the end that they must reach.
struct Waiting {
    partition: Arc<Partition>,
    end: i64,
    leader_epoch: i32,
    /// Which row of the answer.
    row: usize,
}

/// One partition of a request, however often it is named: the last batch counts that passes the first checks, and
/// what fails them is answered in any case.
struct Entry {
    batch: Option<Batch>,
    refused: Option<ResponseError>,
}

/// A batch that has passed the first checks.
pub(super) struct Batch {
    pub(super) topic: Arc<Topic>,
    pub(super) data: PartitionProduceData,
    pub(super) front: Inspected,
}

/// A topic as the request names it, and a partition.
type Key = (TopicName, Uuid, i32);

/// Appends what is allowed, waits for the replicas when acks=all, and answers.
pub(crate) async fn produce(
    incoming: &Incoming,
    request: ProduceRequest,
) -> Result<Answer, Closed> {
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let keys = keys(&request);
    let (entries, mut admission) = match first_checks(incoming, request) {
        Ok(found) => found,
        Err(Refusal::NoAnswer) => return Ok(Answer::Silence),
        Err(Refusal::All(..)) if acks == 0 => return Err(Closed),
        Err(Refusal::All(error, message)) => {
            let message = message.filter(|_| incoming.version >= REASONS_SINCE);
            let refused = PartitionProduceResponse::default()
                .with_error_code(error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_error_message(message.map(StrBytes::from_string));
            let rows = keys
                .into_iter()
                .map(|key| (key.clone(), refused.clone().with_index(key.2)));
            return answer(rows).into_answer(incoming.version);
        }
    };
    let mut rows = Vec::with_capacity(entries.len());
    let mut hints = BTreeSet::new();
    let mut waiting = Vec::new();
    for (at, (key, entry)) in entries.into_iter().enumerate() {
        let refused = |error: ResponseError| {
            PartitionProduceResponse::default()
                .with_index(key.2)
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
                .with_error_code(error.code())
        };
        let Entry {
            batch,
            refused: first,
        } = entry;
        let mut row = None;
        if let Some(Batch { topic, data, .. }) = batch {
            row = Some(match admission.remove(&at) {
                Some(Err(Denied { error, message })) => {
                    let message = message.filter(|_| incoming.version >= REASONS_SINCE);
                    refused(error).with_error_message(message.map(StrBytes::from_string))
                }
                _ if !matches!(acks, -1..=1) => refused(ResponseError::InvalidRequiredAcks),
                admitted => {
                    let verified = matches!(admitted, Some(Ok(())));
                    match append(incoming, &topic, data, acks, verified) {
                        Outcome::Stored {
                            partition,
                            end,
                            leader_epoch,
                            row,
                        } => {
                            waiting.push(Waiting {
                                partition,
                                end,
                                leader_epoch,
                                row: at,
                            });
                            row
                        }
                        Outcome::Refused(row) => {
                            hints.insert(row.current_leader.leader_id.0);
                            row
                        }
                        Outcome::Silence => return Ok(Answer::Silence),
                    }
                }
            });
        }
        if let Some(error) = first {
            row = Some(refused(error));
        }
        let row = row.unwrap_or_else(|| refused(ResponseError::UnknownServerError));
        rows.push((key, row));
    }
    for waiting in &waiting {
        waiting.partition.wake();
    }
    if acks == 0 {
        // There is no answer to put an error in: the connection is closed, so that the client looks up leaders again.
        return if rows.iter().any(|(_, row)| row.error_code != 0) {
            Err(Closed)
        } else {
            Ok(Answer::Silence)
        };
    }
    if acks == -1 {
        await_replicas(incoming, waiting, timeout_ms, &mut rows).await;
    }
    let mut response = answer(rows.into_iter());
    if incoming.version >= HINTS_SINCE {
        response.node_endpoints = endpoints(incoming, &hints);
    }
    response.into_answer(incoming.version)
}

/// Everything that the request names, once.
fn keys(request: &ProduceRequest) -> IndexSet<Key> {
    let topics = request.topic_data.iter();
    let keys = topics.flat_map(|topic| {
        let partitions = topic.partition_data.iter();
        partitions.map(|data| (topic.name.clone(), topic.topic_id, data.index))
    });
    keys.collect()
}

/// What is looked at before any log is: the request as a whole, its partitions one by one, its transaction.
///
/// # Errors
/// [`Refusal`]: nothing of the request is written.
fn first_checks(
    incoming: &Incoming,
    request: ProduceRequest,
) -> Result<(IndexMap<Key, Entry>, Admission), Refusal> {
    transactions::check_transactional(incoming, &request)?;
    let mut entries: IndexMap<Key, Entry> = IndexMap::new();
    for topic_data in request.topic_data {
        let topic = find(incoming, &topic_data);
        for data in topic_data.partition_data {
            let key = (topic_data.name.clone(), topic_data.topic_id, data.index);
            let entry = entries.entry(key).or_insert(Entry {
                batch: None,
                refused: None,
            });
            let topic = match &topic {
                Ok(topic) if topic.partition(data.index).is_some() => Arc::clone(topic),
                Ok(_) => {
                    entry.refused = Some(ResponseError::UnknownTopicOrPartition);
                    continue;
                }
                Err(error) => {
                    entry.refused = Some(*error);
                    continue;
                }
            };
            match Log::inspect(data.records.as_ref(), incoming.version) {
                Ok(front) => entry.batch = Some(Batch { topic, data, front }),
                Err(refused) => match refused.scope {
                    Scope::NoAnswer => return Err(Refusal::NoAnswer),
                    Scope::Request => return Err(Refusal::All(refused.error, refused.message)),
                    Scope::Partition => entry.refused = Some(refused.error),
                },
            }
        }
    }
    let batches = entries.values().enumerate();
    let batches = batches.filter_map(|(at, entry)| Some((at, entry.batch.as_ref()?)));
    let id = request.transactional_id.as_ref().map(|id| id.as_str());
    let admission = transactions::admit(incoming, id, batches)?;
    Ok((entries, admission))
}

/// The rows by topic.
fn answer(rows: impl Iterator<Item = (Key, PartitionProduceResponse)>) -> ProduceResponse {
    let mut topics: IndexMap<(TopicName, Uuid), Vec<PartitionProduceResponse>> = IndexMap::new();
    for ((name, id, _), row) in rows {
        topics.entry((name, id)).or_default().push(row);
    }
    let topics = topics.into_iter().map(|((name, id), rows)| {
        TopicProduceResponse::default()
            .with_name(name)
            .with_topic_id(id)
            .with_partition_responses(rows)
    });
    ProduceResponse::default().with_responses(topics.collect())
}

fn find(incoming: &Incoming, data: &TopicProduceData) -> Result<Arc<Topic>, ResponseError> {
    let state = incoming.shared.state();
    let topic = if incoming.version >= 13 {
        state
            .topic_by_id(data.topic_id)
            .ok_or(ResponseError::UnknownTopicId)
    } else {
        if !incoming.may(Operation::Write, Resource::Topic(&data.name)) {
            return Err(ResponseError::TopicAuthorizationFailed);
        }
        state
            .topic(&data.name)
            .ok_or(ResponseError::UnknownTopicOrPartition)
    }?;
    if !incoming.may(Operation::Write, Resource::Topic(&topic.name)) {
        return Err(ResponseError::TopicAuthorizationFailed);
    }
    Ok(Arc::clone(topic))
}

enum Outcome {
    Stored {
        partition: Arc<Partition>,
        end: i64,
        leader_epoch: i32,
        row: PartitionProduceResponse,
    },
    Refused(PartitionProduceResponse),
    Silence,
}

/// `verified`: the transaction's coordinator was asked and knows the partition.
fn append(
    incoming: &Incoming,
    topic: &Topic,
    data: PartitionProduceData,
    acks: i16,
    verified: bool,
) -> Outcome {
    let row = PartitionProduceResponse::default()
        .with_index(data.index)
        .with_base_offset(-1)
        .with_log_append_time_ms(-1);
    let refused = |error: ResponseError| {
        Outcome::Refused(
            row.clone()
                .with_error_code(error.code())
                .with_log_start_offset(-1),
        )
    };
    if let Err(error) = incoming.refuses(&topic.name, data.index) {
        return refused(error);
    }
    let internal_client = incoming.client_id.as_str() == ADMIN_CLIENT;
    if topic.is_internal() && !internal_client {
        return refused(ResponseError::InvalidTopicException);
    }
    let Some(partition) = topic.partition(data.index) else {
        return refused(ResponseError::UnknownTopicOrPartition);
    };
    if data.records.is_none() {
        return Outcome::Silence; // as a broker does (docs/spec/real-kafka.md 4)
    }
    let mut inner = partition.lock();
    let leadership = &inner.leadership;
    if leadership.leader != incoming.node_id {
        let hint = LeaderIdAndEpoch::default()
            .with_leader_id(leadership.leader.into())
            .with_leader_epoch(leadership.epoch);
        let row = row
            .with_error_code(ResponseError::NotLeaderOrFollower.code())
            .with_log_start_offset(-1);
        return Outcome::Refused(if incoming.version >= HINTS_SINCE {
            row.with_current_leader(hint)
        } else {
            row
        });
    }
    if acks == -1 && leadership.isr.len() < leadership.in_sync_min(topic) {
        return Outcome::Refused(
            row.with_error_code(ResponseError::NotEnoughReplicas.code())
                .with_log_start_offset(inner.log.start_offset()),
        );
    }
    let order = Append {
        records: data.records,
        version: incoming.version,
        now_ms: incoming.shared.clock.now_ms(),
        leader_epoch: leadership.epoch,
        topic: &topic.name,
        partition: data.index,
        settings: &topic.settings,
        internal_client,
        transaction_verified: verified,
    };
    let leader_epoch = leadership.epoch;
    match inner.log.append(&order) {
        Ok(appended) => Outcome::Stored {
            partition: Arc::clone(partition),
            end: appended.last_offset + 1,
            leader_epoch,
            row: row
                .with_base_offset(appended.base_offset)
                .with_log_append_time_ms(appended.log_append_time_ms)
                .with_log_start_offset(appended.log_start_offset),
        },
        Err(Refused {
            error,
            message,
            record_errors,
            log_start_offset,
            ..
        }) => {
            let record_errors = record_errors.into_iter().map(|(index, text)| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(index)
                    .with_batch_index_error_message(text.map(StrBytes::from_string))
            });
            let row = row
                .with_error_code(error.code())
                .with_log_start_offset(log_start_offset);
            // Older answers have no room for reasons.
            if incoming.version < REASONS_SINCE {
                return Outcome::Refused(row);
            }
            Outcome::Refused(
                row.with_record_errors(record_errors.collect())
                    .with_error_message(message.map(StrBytes::from_string)),
            )
        }
    }
}

/// Waits until every partition's high watermark has reached what was written. What is late gets REQUEST_TIMED_OUT
/// and keeps its base offset: it is in the log (docs/spec/real-kafka.md 3). What another broker leads by then gets
/// NOT_LEADER_OR_FOLLOWER: whether it is still in the log, that broker knows.
async fn await_replicas(
    incoming: &Incoming,
    mut waiting: Vec<Waiting>,
    timeout_ms: i32,
    rows: &mut [(Key, PartitionProduceResponse)],
) {
    let clock = &incoming.shared.clock;
    let deadline = clock.now_ms().saturating_add(timeout_ms.into());
    let mut news = None;
    loop {
        let timed_out = clock.now_ms() >= deadline;
        waiting.retain(|one| {
            let error = match one.progress(incoming.node_id) {
                Progress::Replicated => return false,
                Progress::Late if !timed_out => return true,
                Progress::Late => ResponseError::RequestTimedOut,
                Progress::Moved => ResponseError::NotLeaderOrFollower,
            };
            if let Some((_, row)) = rows.get_mut(one.row) {
                row.error_code = error.code();
            }
            false
        });
        if waiting.is_empty() {
            return;
        }
        // Watch first, then look again, so that nothing is missed in between.
        let first = news.is_none();
        let news = news.get_or_insert_with(|| Arc::new(Notify::new()));
        for one in &waiting {
            one.partition.watch(news);
        }
        if first {
            continue;
        }
        tokio::select! {
            () = news.notified() => {}
            () = clock.until(deadline) => {}
        }
    }
}

/// How far the replicas of a written batch are.
enum Progress {
    Replicated,
    Late,
    Moved,
}

impl Waiting {
    fn progress(&self, node_id: i32) -> Progress {
        let inner = self.partition.lock();
        let leadership = &inner.leadership;
        if (leadership.leader, leadership.epoch) != (node_id, self.leader_epoch) {
            return Progress::Moved;
        }
        match inner.log.high_watermark() >= self.end {
            true => Progress::Replicated,
            false => Progress::Late,
        }
    }
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
