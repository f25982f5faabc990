//! Requests: bytes as they come from a socket, carried out by a cluster in which something is going on.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, Request, StrBytes};
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::inventor::{GROUP, MEMBER, MODERN_GROUP, TOPIC, TRANSACTION, produced};
use crate::clock::Clock;
use crate::cluster::Shared;
use crate::server::Deaf;
use crate::settings::{Listener, Protocol, Settings};
use crate::state::Status;

/// 2023-11-14, in milliseconds since 1970.
const NOW_MS: i64 = 1_700_000_000_000;

/// How the clock moves while a request waits, before the client gives up.
const WAITS: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(500),
    Duration::from_secs(3),
    Duration::from_secs(60),
    Duration::from_secs(3_600),
];

/// Turns of the runtime before the clock moves: other tasks get theirs meanwhile.
const TURNS: usize = 8;

/// A member id of the classic protocol is the client's (or instance's) id, "-" and a UUID.
const MEMBER_ID_BYTES: usize = 38;

/// Sends `stream` to a cluster of three brokers with topics, groups and an open transaction, and encodes what is answered.
///
/// A stream that begins with SaslHandshake goes to a listener with SASL. Wherever the stream says [`MEMBER`], the member id that was
/// given out last takes its place, so that a stream can go through a group's rounds.
pub fn requests(stream: &[u8]) {
    let cluster = Cluster::start();
    let handshake = (ApiKey::SaslHandshake as i16).to_be_bytes();
    let listener = usize::from(stream.get(4..6) == Some(&handshake));
    cluster.run(listener, stream);
}

/// A cluster without sockets, and the time that it goes by.
struct Cluster {
    runtime: Runtime,
    shared: Arc<Shared>,
    clock: Clock,
}

impl Cluster {
    #[expect(clippy::expect_used, reason = "a target that cannot start must say so")]
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let clock = Clock::owned(NOW_MS);
        let one = |key: &str| (key.to_owned(), "1".to_owned());
        let settings = Settings {
            brokers: 3,
            properties: [
                one("offsets.topic.num.partitions"),
                one("offsets.topic.replication.factor"),
                one("transaction.state.log.num.partitions"),
                one("transaction.state.log.replication.factor"),
            ]
            .into(),
            clock: clock.clone(),
            listeners: vec![
                Listener::plaintext(),
                Listener::new("SASL", Protocol::SaslPlaintext),
            ],
            users: vec![("user".to_owned(), "secret".to_owned())],
            ..Settings::default()
        };
        let shared = Shared::new(settings, runtime.handle().clone()).expect("valid settings");
        let cluster = Self {
            runtime,
            shared: Arc::new(shared),
            clock,
        };
        cluster.shared.start_timers();
        // Everything that exists beforehand is broker 1's, the one that is asked.
        cluster.open(1);
        cluster.run(0, &beginning());
        cluster.number_topics();
        cluster.open(2);
        cluster.open(3);
        cluster
    }

    fn open(&self, node_id: i32) {
        let mut state = self.shared.state();
        if let Some(broker) = state.brokers.get_mut(&node_id) {
            broker.status = Status::Up;
            broker.addresses = vec![([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        }
        state.registered.push(node_id);
    }

    /// Gives topics ids that a stream can know: 1, 2 and so on, in the order of their names.
    fn number_topics(&self) {
        let mut state = self.shared.state();
        let names: Vec<String> = state.topics.keys().cloned().collect();
        for (number, name) in (1..).zip(names) {
            if let Some(topic) = state.remove(&name) {
                let mut topic = topic.as_ref().clone();
                topic.id = Uuid::from_u128(number);
                state.put(topic);
            }
        }
    }

    fn run(&self, listener: usize, stream: &[u8]) {
        self.runtime.block_on(async {
            let Ok(mut connection) = Deaf::new(&self.shared, listener, stream) else {
                return;
            };
            let mut member = None;
            while let Ok(frame) = connection.frame().await {
                let frame = with_member(frame, member.as_deref());
                let Some(Ok((_, body))) = self.patiently(connection.serve(frame)).await else {
                    return;
                };
                member = member_in(&body).or(member);
            }
        });
    }

    /// Moves the clock while `work` waits; `None` if it waits for something else.
    async fn patiently<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        for wait in WAITS {
            for _ in 0..TURNS {
                tokio::select! {
                    biased;
                    done = &mut work => return Some(done),
                    () = tokio::task::yield_now() => {}
                }
            }
            self.clock.advance(wait);
        }
        None
    }
}

/// The member id that an answer gives out.
fn member_in(answer: &[u8]) -> Option<Vec<u8>> {
    let looks = |text: &[u8]| {
        let (front, uuid) = text.split_at(2);
        front[1] == b'-'
            && uuid.len() == MEMBER_ID_BYTES - 2
            && uuid.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-')
    };
    let mut windows = answer.windows(MEMBER_ID_BYTES);
    windows.find(|text| looks(text)).map(<[u8]>::to_vec)
}

fn with_member(frame: Bytes, member: Option<&[u8]>) -> Bytes {
    let (Some(member), true) = (member, frame.len() >= MEMBER_ID_BYTES) else {
        return frame;
    };
    let mut frame = frame.to_vec();
    for at in 0..=frame.len() - MEMBER_ID_BYTES {
        if frame[at..].starts_with(MEMBER.as_bytes()) {
            frame[at..at + MEMBER_ID_BYTES].copy_from_slice(member);
        }
    }
    frame.into()
}

/// A request as it goes over a socket.
fn framed<R: Request>(version: i16, request: &R) -> Vec<u8> {
    let mut body = BytesMut::new();
    let encoded = request.encode(&mut body, version);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    frame(R::KEY, version, &body)
}

/// The frame of an encoded request.
pub(super) fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = BytesMut::from(&[0; 4][..]);
    let header = RequestHeader::default()
        .with_request_api_key(key)
        .with_request_api_version(version)
        .with_correlation_id(7)
        .with_client_id(Some(StrBytes::from_static_str("c")));
    let header_version = ApiKey::try_from(key).map_or(1, |api| api.request_header_version(version));
    let encoded = header.encode(&mut frame, header_version);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    frame.put_slice(body);
    let length = i32::try_from(frame.len() - 4).unwrap_or(i32::MAX);
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame.to_vec()
}

/// What has happened before the stream comes: topics (one is compacted), records, a classic group, a KIP-848 group, committed
/// offsets and a transaction that is open.
fn beginning() -> Vec<u8> {
    use consumer_group_heartbeat_request::TopicPartitions;
    use create_topics_request::{CreatableTopic, CreatableTopicConfig};
    use join_group_request::JoinGroupRequestProtocol;
    use offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    use sync_group_request::SyncGroupRequestAssignment;

    let text = StrBytes::from_static_str;
    let topic = |name, partitions, configs: &[(&'static str, &'static str)]| {
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(text(name))
                .with_value(Some(text(value)))
        });
        CreatableTopic::default()
            .with_name(text(name).into())
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect())
    };
    let compacted = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let append_time = [
        ("message.timestamp.type", "LogAppendTime"),
        ("compression.type", "gzip"),
    ];
    let create = CreateTopicsRequest::default().with_topics(vec![
        topic(TOPIC[0], 2, &[]),
        topic(TOPIC[1], 1, &compacted),
        topic(TOPIC[2], 1, &append_time),
    ]);
    let coordinators = [(GROUP, 0), (TRANSACTION, 1)].map(|(key, kind)| {
        let request = FindCoordinatorRequest::default()
            .with_key_type(kind)
            .with_coordinator_keys(vec![text(key)]);
        framed(4, &request)
    });
    let initialize = InitProducerIdRequest::default()
        .with_transactional_id(Some(text(TRANSACTION).into()))
        .with_transaction_timeout_ms(60_000)
        .with_producer_id((-1).into())
        .with_producer_epoch(-1);
    let part = add_partitions_to_txn_request::AddPartitionsToTxnTopic::default()
        .with_name(text(TOPIC[0]).into())
        .with_partitions(vec![0, 1]);
    let add = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(text(TRANSACTION).into())
        .with_v3_and_below_producer_id(0.into())
        .with_v3_and_below_topics(vec![part]);
    let join = |member| {
        let protocol = JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from_static(b"\0\0"));
        JoinGroupRequest::default()
            .with_group_id(text(GROUP).into())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(member))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol])
    };
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(text(MEMBER))
        .with_assignment(Bytes::from_static(b"mine"));
    let sync = SyncGroupRequest::default()
        .with_group_id(text(GROUP).into())
        .with_generation_id(1)
        .with_member_id(text(MEMBER))
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")))
        .with_assignments(vec![assignment]);
    let committed = OffsetCommitRequestTopic::default()
        .with_name(text(TOPIC[0]).into())
        .with_partitions(vec![
            OffsetCommitRequestPartition::default().with_committed_offset(1),
        ]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(text(GROUP).into())
        .with_generation_id_or_member_epoch(1)
        .with_member_id(text(MEMBER))
        .with_topics(vec![committed]);
    let heartbeat = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text(MODERN_GROUP).into())
        .with_member_id(text("m"))
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![text(TOPIC[0]).into()]))
        .with_topic_partitions(Some(Vec::<TopicPartitions>::new()));
    let produce = |records: &Bytes, partition, transactional: bool| {
        let data = produce_request::PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(records.clone()));
        let topic = produce_request::TopicProduceData::default()
            .with_name(text(TOPIC[0]).into())
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(1_000)
            .with_transactional_id(transactional.then(|| text(TRANSACTION).into()))
            .with_topic_data(vec![topic]);
        framed(9, &request)
    };
    let [plain, transactional, ..] = produced();
    let [group, transaction] = coordinators;
    [
        framed(7, &create),
        group,
        transaction,
        produce(&plain, 0, false),
        framed(4, &initialize),
        framed(3, &add),
        produce(&transactional, 0, true),
        framed(7, &join("")),
        framed(7, &join(MEMBER)),
        framed(5, &sync),
        framed(8, &commit),
        framed(1, &heartbeat),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise the inputs would meet an empty cluster, and nobody would notice.
    #[test]
    fn the_beginning_leaves_what_it_says() {
        let cluster = Cluster::start();
        let (_, partition) = cluster.shared.state().partition(TOPIC[0], 0).unwrap();
        let log = &partition.lock().log;
        assert!(log.last_stable_offset() < log.end_offset(), "open");
        assert_eq!(cluster.shared.state().topics.len(), 5);
        let group = describe_groups_request_of(GROUP);
        cluster.runtime.block_on(async {
            let mut connection = Deaf::new(&cluster.shared, 0, &group).unwrap();
            let frame = connection.frame().await.unwrap();
            let (_, body) = connection.serve(frame).await.unwrap();
            let stable = body.windows(6).any(|text| text == b"Stable");
            assert!(stable && member_in(&body).is_some());
        });
    }

    fn describe_groups_request_of(group: &'static str) -> Vec<u8> {
        let group = StrBytes::from_static_str(group).into();
        framed(
            0,
            &DescribeGroupsRequest::default().with_groups(vec![group]),
        )
    }
}
