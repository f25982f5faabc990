//! Produce.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse,
    TopicProduceResponse,
};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::Notify;

use super::IntoAnswer;
use super::transactions::{self, Denied, Refusal};
use crate::log::{Append, Refused};
use crate::security::{Operation, Resource};
use crate::server::{Answer, Closed, Incoming};
use crate::state::{Partition, Topic};

/// The only client that may write to internal topics (docs/spec/batches.md 1, row 27).
const ADMIN_CLIENT: &str = "__admin_client";

/// From here on an answer names the new leader.
const HINTS_SINCE: i16 = 10;

/// What waits for its replicas: a partition, and the end that they must reach.
struct Waiting {
    partition: Arc<Partition>,
    end: i64,
    leader_epoch: i32,
    topic: usize,
    row: usize,
}

/// Appends what is allowed, waits for the replicas when acks=all, and answers.
pub(crate) async fn produce(
    incoming: &Incoming,
    request: ProduceRequest,
) -> Result<Answer, Closed> {
    if !matches!(request.acks, -1..=1) {
        return refuse_all(incoming, &request, ResponseError::InvalidRequiredAcks)
            .into_answer(incoming.version);
    }
    let mut admission = match transactions::admit(incoming, &request) {
        Ok(admission) => admission,
        Err(Refusal::NoAnswer) => return Ok(Answer::Silence),
        Err(Refusal::All(_)) if request.acks == 0 => return Err(Closed),
        Err(Refusal::All(error)) => {
            return refuse_all(incoming, &request, error).into_answer(incoming.version);
        }
    };
    let mut response = ProduceResponse::default();
    let mut hints = BTreeSet::new();
    let mut waiting = Vec::new();
    for (topic_at, data) in request.topic_data.into_iter().enumerate() {
        let mut answered = TopicProduceResponse::default()
            .with_name(data.name.clone())
            .with_topic_id(data.topic_id);
        let topic = find(incoming, &data);
        for (row_at, partition_data) in data.partition_data.into_iter().enumerate() {
            let admitted = admission.remove(&(topic_at, row_at));
            let row = PartitionProduceResponse::default()
                .with_index(partition_data.index)
                .with_base_offset(-1)
                .with_log_append_time_ms(-1);
            let row = match &topic {
                Err(error) => row.with_error_code(error.code()),
                Ok(topic) => {
                    match append(incoming, topic, partition_data, request.acks, admitted) {
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
                                topic: response.responses.len(),
                                row: answered.partition_responses.len(),
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
            };
            answered.partition_responses.push(row);
        }
        response.responses.push(answered);
    }
    for waiting in &waiting {
        waiting.partition.wake();
    }
    if request.acks == 0 {
        let failed = |topic: &TopicProduceResponse| {
            topic
                .partition_responses
                .iter()
                .any(|row| row.error_code != 0)
        };
        // There is no answer to put an error in: the connection is closed, so that the client looks up leaders again.
        return if response.responses.iter().any(failed) {
            Err(Closed)
        } else {
            Ok(Answer::Silence)
        };
    }
    if request.acks == -1 {
        await_replicas(incoming, waiting, request.timeout_ms, &mut response).await;
    }
    if incoming.version >= HINTS_SINCE {
        response.node_endpoints = endpoints(incoming, &hints);
    }
    response.into_answer(incoming.version)
}

pub(super) fn find(
    incoming: &Incoming,
    data: &TopicProduceData,
) -> Result<Arc<Topic>, ResponseError> {
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

/// `admitted`: what the transaction's coordinator says, if it was asked.
fn append(
    incoming: &Incoming,
    topic: &Topic,
    data: PartitionProduceData,
    acks: i16,
    admitted: Option<Result<(), Denied>>,
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
    if let Some(Err(Denied { error, message })) = admitted {
        let row = row.with_error_code(error.code()).with_log_start_offset(-1);
        return Outcome::Refused(if incoming.version >= 8 {
            row.with_error_message(message.map(StrBytes::from_string))
        } else {
            row
        });
    }
    if acks == -1 && leadership.isr.len() < leadership.in_sync_min(topic) {
        return refused(ResponseError::NotEnoughReplicas);
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
        transaction_verified: matches!(admitted, Some(Ok(()))),
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
            ..
        }) => {
            let record_errors = record_errors.into_iter().map(|(index, text)| {
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(index)
                    .with_batch_index_error_message(text.map(StrBytes::from_string))
            });
            let row = row.with_error_code(error.code()).with_log_start_offset(-1);
            // Older answers have no room for reasons.
            if incoming.version < 8 {
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
    response: &mut ProduceResponse,
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
            let topic = response.responses.get_mut(one.topic);
            if let Some(row) = topic.and_then(|topic| topic.partition_responses.get_mut(one.row)) {
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

/// The same error for every partition of the request.
fn refuse_all(
    _incoming: &Incoming,
    request: &ProduceRequest,
    error: ResponseError,
) -> ProduceResponse {
    let topics = request.topic_data.iter().map(|topic| {
        let rows = topic.partition_data.iter().map(|partition| {
            PartitionProduceResponse::default()
                .with_index(partition.index)
                .with_error_code(error.code())
                .with_base_offset(-1)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
        });
        TopicProduceResponse::default()
            .with_name(topic.name.clone())
            .with_topic_id(topic.topic_id)
            .with_partition_responses(rows.collect())
    });
    ProduceResponse::default().with_responses(topics.collect())
}

/// Where the named leaders listen, those that the metadata lists.
fn endpoints(incoming: &Incoming, leaders: &BTreeSet<i32>) -> Vec<NodeEndpoint> {
    let state = incoming.shared.state();
    let named = state
        .registered()
        .filter(|broker| leaders.contains(&broker.node_id));
    let endpoint = named.filter_map(|broker| {
        let address = broker.addresses.get(incoming.listener)?;
        Some(
            NodeEndpoint::default()
                .with_node_id(broker.node_id.into())
                .with_host(StrBytes::from_string(address.ip().to_string()))
                .with_port(address.port().into())
                .with_rack(broker.rack.clone().map(StrBytes::from_string)),
        )
    });
    endpoint.collect()
}
