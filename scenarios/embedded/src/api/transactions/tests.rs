//! What the APIs answer, line by line of docs/spec/real-kafka.md 1 and 2. `s1_` and `s2_` in a name are its sections.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError::{self, *};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::describe_producers_response::ProducerState;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use kafka_protocol::records::{
    Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};

use crate::api::{answer, topics};
use crate::clock::Clock;
use crate::cluster::{EmbeddedCluster, Shared};
use crate::log::Isolation;
use crate::server::{Answer, Incoming};
use crate::settings::Settings;
use crate::transactions::Producer;

/// How long anything that happens by itself may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster of one broker with topics `a` and `b` of two partitions, and whoever talks to it.
struct Bench {
    cluster: EmbeddedCluster,
    clock: Clock,
}

/// A producer's answer: base offset, or error and message.
type Produced = Result<i64, (ResponseError, Option<String>)>;

fn bench() -> Bench {
    bench_with(&[])
}

fn bench_with(properties: &[(&str, &str)]) -> Bench {
    let clock = Clock::owned(1_700_000_000_000);
    let properties = properties
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()));
    let cluster = EmbeddedCluster::start_with(Settings {
        properties: properties.collect(),
        clock: clock.clone(),
        ..Settings::default()
    })
    .unwrap();
    for name in ["a", "b"] {
        let mut state = cluster.shared().state();
        let topic = topics::build(&state, name, 2, 1, BTreeMap::new());
        state.put(topic);
    }
    Bench { cluster, clock }
}

/// A batch: who writes it, from which sequence on, and whether it is transactional.
fn batch(producer: Producer, sequence: i32, transactional: bool) -> Bytes {
    let record = Record {
        transactional,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        timestamp_type: TimestampType::Creation,
        offset: 0,
        sequence,
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: Default::default(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).unwrap();
    bytes.freeze()
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn check(code: i16) -> Result<(), ResponseError> {
    ResponseError::try_from_code(code).map_or(Ok(()), Err)
}

impl Bench {
    fn shared(&self) -> &Arc<Shared> {
        self.cluster.shared()
    }

    /// Sends a request through the same door as a connection does, bytes and all.
    fn ask<Q: Encodable + HeaderVersion, R: Decodable + HeaderVersion>(
        &self,
        api: ApiKey,
        version: i16,
        request: &Q,
    ) -> R {
        let incoming = Incoming {
            shared: Arc::clone(self.shared()),
            node_id: 1,
            listener: 0,
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            principal: "User:ANONYMOUS".into(),
            client_id: text("tests"),
            api,
            version,
            faults: None,
        };
        let mut bytes = BytesMut::new();
        request.encode(&mut bytes, version).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        match runtime.block_on(answer(&incoming, bytes.freeze())).unwrap() {
            Answer::Body { mut body, .. } => R::decode(&mut body, version).unwrap(),
            Answer::Silence => panic!("no answer"),
        }
    }

    fn find(&self) {
        let request = FindCoordinatorRequest::default()
            .with_key_type(1)
            .with_coordinator_keys(vec![text("id")]);
        let answer: FindCoordinatorResponse = self.ask(ApiKey::FindCoordinator, 4, &request);
        assert_eq!(answer.coordinators[0].error_code, 0);
    }

    fn init_as(
        &self,
        version: i16,
        id: Option<&str>,
        timeout_ms: i32,
        own: Producer,
    ) -> Result<Producer, ResponseError> {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms)
            .with_producer_id(own.id.into())
            .with_producer_epoch(own.epoch);
        let answer: InitProducerIdResponse = self.ask(ApiKey::InitProducerId, version, &request);
        let (id, epoch) = (answer.producer_id.0, answer.producer_epoch);
        check(answer.error_code).map(|()| Producer { id, epoch })
    }

    fn init(&self, id: &str) -> Result<Producer, ResponseError> {
        self.init_as(4, Some(id), 60_000, Producer { id: -1, epoch: -1 })
    }

    /// The coordinator of `id` is known and `id` has an owner.
    fn owner(&self, id: &str) -> Producer {
        self.find();
        self.init(id).unwrap()
    }

    fn add_as(&self, version: i16, id: &str, who: Producer, to: &[(&str, &[i32])]) -> Vec<i16> {
        let topics = to.iter().map(|(name, partitions)| {
            AddPartitionsToTxnTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions.to_vec())
        });
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(id)))
            .with_v3_and_below_producer_id(who.id.into())
            .with_v3_and_below_producer_epoch(who.epoch)
            .with_v3_and_below_topics(topics.collect());
        let answer: AddPartitionsToTxnResponse =
            self.ask(ApiKey::AddPartitionsToTxn, version, &request);
        let rows = answer.results_by_topic_v3_and_below.iter();
        let rows = rows.flat_map(|topic| &topic.results_by_partition);
        rows.map(|row| row.partition_error_code).collect()
    }

    fn add(&self, id: &str, who: Producer) -> Result<(), ResponseError> {
        check(self.add_as(3, id, who, &[("a", &[0])])[0])
    }

    fn end_as(
        &self,
        version: i16,
        id: &str,
        who: Producer,
        commit: bool,
    ) -> Result<Producer, ResponseError> {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(who.id.into())
            .with_producer_epoch(who.epoch)
            .with_committed(commit);
        let answer: EndTxnResponse = self.ask(ApiKey::EndTxn, version, &request);
        let (id, epoch) = (answer.producer_id.0, answer.producer_epoch);
        check(answer.error_code).map(|()| Producer { id, epoch })
    }

    fn end(&self, id: &str, who: Producer, commit: bool) -> Result<(), ResponseError> {
        self.end_as(3, id, who, commit).map(|_| ())
    }

    /// Rows of a Produce request to partitions of topic `a`.
    fn produce_all(
        &self,
        version: i16,
        id: Option<&str>,
        batches: &[(i32, Bytes)],
    ) -> Vec<PartitionProduceResponse> {
        let rows = batches.iter().map(|(index, records)| {
            PartitionProduceData::default()
                .with_index(*index)
                .with_records(Some(records.clone()))
        });
        let topic_id = self.shared().state().topic("a").unwrap().id;
        let data = TopicProduceData::default().with_partition_data(rows.collect());
        let data = match version {
            13.. => data.with_topic_id(topic_id),
            _ => data.with_name(TopicName(text("a"))),
        };
        let request = ProduceRequest::default()
            .with_transactional_id(id.map(|id| TransactionalId(text(id))))
            .with_acks(1)
            .with_timeout_ms(1000)
            .with_topic_data(vec![data]);
        let mut answer: ProduceResponse = self.ask(ApiKey::Produce, version, &request);
        answer.responses.remove(0).partition_responses
    }

    fn produce(&self, version: i16, id: Option<&str>, batch: Bytes) -> Produced {
        let row = self.produce_all(version, id, &[(0, batch)]).remove(0);
        match check(row.error_code) {
            Ok(()) => Ok(row.base_offset),
            Err(error) => Err((error, row.error_message.map(|text| text.to_string()))),
        }
    }

    /// A transactional batch to partition 0 of `a`.
    fn write(&self, version: i16, id: &str, who: Producer, sequence: i32) -> Produced {
        self.produce(version, Some(id), batch(who, sequence, true))
    }

    fn producers(&self) -> Vec<ProducerState> {
        let topic = TopicRequest::default()
            .with_name(TopicName(text("a")))
            .with_partition_indexes(vec![0]);
        let request = DescribeProducersRequest::default().with_topics(vec![topic]);
        let mut answer: DescribeProducersResponse =
            self.ask(ApiKey::DescribeProducers, 0, &request);
        let mut row = answer.topics.remove(0).partitions.remove(0);
        assert_eq!(row.error_code, 0);
        std::mem::take(&mut row.active_producers)
    }

    /// State, producer and partition count of a transactional id.
    fn describe(&self, id: &str) -> Result<(String, Producer, usize), ResponseError> {
        let ids = vec![TransactionalId(text(id))];
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
        let answer: DescribeTransactionsResponse =
            self.ask(ApiKey::DescribeTransactions, 0, &request);
        let row = &answer.transaction_states[0];
        let producer = Producer {
            id: row.producer_id.0,
            epoch: row.producer_epoch,
        };
        let partitions = row.topics.iter().map(|topic| topic.partitions.len()).sum();
        check(row.error_code).map(|()| (row.transaction_state.to_string(), producer, partitions))
    }

    fn list(&self, version: i16, request: &ListTransactionsRequest) -> (i16, Vec<String>) {
        let answer: ListTransactionsResponse = self.ask(ApiKey::ListTransactions, version, request);
        let ids = answer
            .transaction_states
            .iter()
            .map(|row| row.transactional_id.to_string());
        (answer.error_code, ids.collect())
    }

    /// The end of partition 0 of `a`, and what readers of committed records may see.
    fn ends(&self) -> (i64, i64) {
        let (_, partition) = self.shared().state().partition("a", 0).unwrap();
        let inner = partition.lock();
        (inner.log.end_offset(), inner.log.last_stable_offset())
    }

    fn eventually(&self, what: &str, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "still not: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The same, a number of epochs later.
fn later(producer: Producer, epochs: i16) -> Producer {
    Producer {
        epoch: producer.epoch + epochs,
        ..producer
    }
}

fn bare(error: ResponseError) -> Produced {
    Err((error, None))
}

#[test]
fn s1_before_find_coordinator_nobody_coordinates() {
    let bench = bench();
    assert_eq!(bench.init("id"), Err(NotCoordinator));
    let stranger = Producer { id: 0, epoch: 0 };
    assert_eq!(bench.end("id", stranger, false), Err(NotCoordinator));
    assert_eq!(bench.add("id", stranger), Err(NotCoordinator));
    bench.find();
    assert_eq!(bench.init("id").unwrap().epoch, 0);
}

#[test]
fn s1_takeover_fences_the_old_owner_with_a_marker() {
    let bench = bench();
    let old = bench.owner("id");
    assert_eq!(bench.produce(9, Some("id"), batch(old, 0, false)), Ok(0));
    let new = bench.init("id").unwrap();
    assert_eq!(new, later(old, 1));
    // InitProducerId alone fences coordinator calls only.
    assert_eq!(bench.produce(9, Some("id"), batch(old, 1, false)), Ok(1));
    assert_eq!(bench.add("id", old), Err(ProducerFenced));
    assert_eq!(bench.end("id", old, false), Err(ProducerFenced));
    assert_eq!(
        bench.init_as(4, Some("id"), 60_000, old),
        Err(ProducerFenced)
    );
    assert_eq!(
        bench.init_as(3, Some("id"), 60_000, old),
        Err(InvalidProducerEpoch)
    );
    assert_eq!(bench.add("id", new), Ok(()));
    bench.cluster.hold_transaction_markers(true);
    assert_eq!(bench.end("id", new, false), Ok(()));
    // The answer came before the marker.
    assert_eq!(bench.produce(9, None, batch(old, 2, false)), Ok(2));
    assert_eq!(bench.end("id", new, false), Err(ConcurrentTransactions));
    assert_eq!(bench.init("id"), Err(ConcurrentTransactions));
    bench.cluster.hold_transaction_markers(false);
    bench.eventually("EndTxn is done", || bench.end("id", new, false) == Ok(()));
    assert_eq!(
        bench.ends(),
        (4, 4),
        "one control batch; the LSO is not held back"
    );
    for (sequence, version) in [(2, 9), (3, 9), (3, 12)] {
        let refused = bench.produce(version, None, batch(old, sequence, false));
        assert_eq!(
            refused,
            bare(InvalidProducerEpoch),
            "sequence {sequence}, v{version}"
        );
    }
    let state = &bench.producers()[0];
    assert_eq!(
        (state.producer_id.0, state.producer_epoch),
        (new.id, i32::from(new.epoch))
    );
    assert_eq!(state.last_sequence, -1);
    let (name, producer, partitions) = bench.describe("id").unwrap();
    assert_eq!(
        (name.as_str(), producer, partitions),
        ("CompleteAbort", new, 0)
    );
    assert_eq!(bench.produce(9, None, batch(new, 0, false)), Ok(4));
}

#[test]
fn s1_the_marker_is_one_control_batch_without_sequence() {
    for commit in [false, true] {
        let bench = bench();
        let me = bench.owner("id");
        bench.add("id", me).unwrap();
        bench.end("id", me, commit).unwrap();
        let (_, partition) = bench.shared().state().partition("a", 0).unwrap();
        let slice = partition
            .lock()
            .log
            .read(0, 1 << 20, true, Isolation::Uncommitted);
        let header = slice
            .ok()
            .and_then(|slice| batch::BatchHeader::parse(&slice.records).ok());
        let header = header.unwrap();
        assert_eq!(header.attributes(), 0x30);
        assert_eq!(header.base_sequence(), -1);
        assert_eq!(
            (header.producer_id(), header.producer_epoch()),
            (me.id, me.epoch)
        );
        assert_eq!(header.last_offset(), 0);
    }
}

#[test]
fn s1_plain_writes_with_a_transactional_pid() {
    let bench = bench();
    let me = bench.owner("id");
    assert_eq!(bench.produce(3, None, batch(me, 0, false)), Ok(0));
    assert_eq!(bench.produce(12, Some("id"), batch(me, 1, false)), Ok(1));
    assert_eq!(
        bench.describe("id").unwrap().0,
        "Empty",
        "s2: no transaction opened"
    );
    bench.add("id", me).unwrap();
    assert_eq!(bench.produce(9, None, batch(me, 2, false)), Ok(2));
    assert_eq!(bench.write(9, "id", me, 3), Ok(3));
    assert_eq!(
        bench.produce(9, None, batch(me, 4, false)),
        bare(InvalidTxnState)
    );
    bench.end("id", me, true).unwrap();
    assert_eq!(bench.produce(9, None, batch(me, 4, false)), Ok(5));
}

#[test]
fn s1_ends_without_partitions() {
    let bench = bench();
    let me = bench.owner("id");
    assert_eq!(bench.end("id", me, false), Err(InvalidTxnState));
    assert_eq!(bench.end("id", me, true), Err(InvalidTxnState), "s2");
    assert_eq!(bench.end_as(5, "id", me, true), Err(InvalidTxnState));
    assert_eq!(bench.end_as(5, "id", me, false), Ok(later(me, 1)));
    assert_eq!(bench.ends(), (0, 0), "no marker");
}

#[test]
fn s1_a_local_bump_fences_too() {
    let bench = bench();
    let me = bench.owner("id");
    bench.produce(9, None, batch(me, 0, false)).unwrap();
    assert_eq!(
        bench.produce(9, None, batch(later(me, 1), 1, false)),
        bare(OutOfOrderSequenceNumber)
    );
    assert_eq!(bench.produce(9, None, batch(later(me, 1), 0, false)), Ok(1));
    assert_eq!(
        bench.produce(9, None, batch(me, 1, false)),
        bare(InvalidProducerEpoch)
    );
}

#[test]
fn s1_the_later_of_two_owners_wins() {
    let bench = bench();
    let one = bench.owner("id");
    let two = bench.init("id").unwrap();
    assert_eq!(bench.add("id", one), Err(ProducerFenced));
    bench.add("id", two).unwrap();
    bench.end("id", two, false).unwrap();
    let three = bench.init("id").unwrap();
    assert_eq!(
        bench.end("id", two, false),
        Err(ProducerFenced),
        "a repetition of step 5"
    );
    assert_eq!(three, later(two, 1));
}

#[test]
fn s1_a_takeover_left_open_is_aborted_by_the_next() {
    let bench = bench();
    let one = bench.owner("id");
    bench.produce(9, None, batch(one, 0, false)).unwrap();
    bench.add("id", one).unwrap();
    assert_eq!(bench.init("id"), Err(ConcurrentTransactions));
    assert_eq!(
        bench.produce(9, None, batch(one, 1, false)),
        bare(InvalidProducerEpoch)
    );
    assert_eq!(bench.init("id"), Ok(later(one, 2)));
}

#[test]
fn s1_a_takeover_left_open_past_its_timeout_fences_itself() {
    let bench = bench();
    let me = bench.owner("id");
    bench.add("id", me).unwrap();
    bench.clock.advance(Duration::from_secs(75));
    bench.eventually("the abort", || {
        bench.describe("id").unwrap().0 == "CompleteAbort"
    });
    assert_eq!(bench.describe("id").unwrap().1, later(me, 1));
    assert_eq!(
        bench.produce(9, None, batch(me, 0, false)),
        bare(InvalidProducerEpoch)
    );
}

#[test]
fn s1_one_missing_partition_keeps_all_out() {
    let bench = bench();
    let me = bench.owner("id");
    let codes = bench.add_as(
        3,
        "id",
        me,
        &[("a", &[0, 7, 7]), ("missing", &[0]), ("b", &[1])],
    );
    let (unknown, skipped) = (UnknownTopicOrPartition.code(), OperationNotAttempted.code());
    assert_eq!(codes, [skipped, unknown, unknown, skipped]);
    assert_eq!(bench.describe("id").unwrap().0, "Empty");
    let internal = bench.add_as(3, "id", me, &[("__transaction_state", &[0])]);
    assert_eq!(internal, [TopicAuthorizationFailed.code()]);
    let twice = bench.add_as(3, "id", me, &[("a", &[0, 0])]);
    assert_eq!(
        twice,
        [0, 0],
        "each as often as it is named, if none is missing"
    );
}

#[test]
fn s1_an_id_that_nobody_refreshes_expires() {
    let day = Duration::from_secs(86_400);
    let bench = bench();
    let old = bench.owner("id");
    let renewed = bench.owner("renewed");
    bench.clock.advance(4 * day);
    assert_eq!(
        bench.init_as(3, Some("renewed"), 60_000, renewed),
        Ok(later(renewed, 1))
    );
    bench.clock.advance(4 * day);
    bench.eventually("the expiry", || {
        bench.describe("id") == Err(TransactionalIdNotFound)
    });
    assert_eq!(bench.describe("renewed").unwrap().0, "Empty");
    assert_eq!(bench.add("id", old), Err(InvalidProducerIdMapping));
    let new = bench.init("id").unwrap();
    assert!(new.id != old.id && new.epoch == 0, "{old:?} {new:?}");
    assert_eq!(
        bench.init_as(4, Some("id"), 60_000, old),
        Err(ProducerFenced)
    );
    bench.add("id", new).unwrap();
    bench.end("id", new, false).unwrap();
    assert_eq!(
        bench.produce(9, None, batch(old, 0, false)),
        Ok(1),
        "the hole: not fenced"
    );
}

#[test]
fn s1_a_partition_forgets_who_does_not_write() {
    let bench = bench();
    let me = later(bench.owner("id"), 3);
    bench.produce(9, None, batch(me, 0, false)).unwrap();
    bench.clock.advance(Duration::from_secs(90_000));
    bench.eventually("the partition forgets", || bench.producers().is_empty());
    let old = Producer { epoch: 0, ..me };
    assert_eq!(bench.produce(9, None, batch(old, 77, false)), Ok(1));
}

#[test]
fn s1_older_clients_are_told_47_instead_of_90() {
    let bench = bench();
    let old = bench.owner("id");
    bench.init("id").unwrap();
    assert_eq!(
        bench.add_as(1, "id", old, &[("a", &[0])]),
        [InvalidProducerEpoch.code()]
    );
    assert_eq!(
        bench.add_as(2, "id", old, &[("a", &[0])]),
        [ProducerFenced.code()]
    );
    assert_eq!(bench.end_as(1, "id", old, true), Err(InvalidProducerEpoch));
    assert_eq!(bench.end_as(2, "id", old, true), Err(ProducerFenced));
}

#[test]
fn s2_old_style_keeps_the_epoch_and_sequences_go_on() {
    for (version, end) in [(3, 0), (9, 3), (11, 4), (12, 3)] {
        let bench = bench();
        let me = bench.owner("id");
        for round in 0..2 {
            assert_eq!(bench.add_as(round, "id", me, &[("a", &[0])]), [0]);
            let sequence = i32::from(round);
            let offset = i64::from(sequence) * 2;
            assert_eq!(
                bench.write(version, "id", me, sequence),
                Ok(offset),
                "v{version}"
            );
            assert_eq!(bench.ends(), (offset + 1, offset), "v{version}");
            bench.end_as(end, "id", me, true).unwrap();
            assert_eq!(bench.ends(), (offset + 2, offset + 2), "v{version}");
        }
    }
}

#[test]
fn s2_new_style_bumps_the_epoch_and_sequences_restart() {
    for version in [12, 13] {
        let bench = bench();
        let me = bench.owner("id");
        assert_eq!(bench.write(version, "id", me, 0), Ok(0));
        assert_eq!(bench.describe("id").unwrap(), ("Ongoing".to_owned(), me, 1));
        let next = bench.end_as(5, "id", me, true).unwrap();
        assert_eq!(next, later(me, 1));
        assert_eq!(
            bench.write(version, "id", next, 1),
            bare(OutOfOrderSequenceNumber)
        );
        assert_eq!(bench.write(version, "id", next, 0), Ok(2));
        assert_eq!(bench.end_as(5, "id", next, false), Ok(later(me, 2)));
        assert_eq!(bench.ends(), (4, 4));
    }
}

#[test]
fn s2_added_then_ended_with_v5() {
    for version in [9, 12] {
        let bench = bench();
        let me = bench.owner("id");
        bench.add("id", me).unwrap();
        bench.write(version, "id", me, 0).unwrap();
        let next = bench.end_as(5, "id", me, true).unwrap();
        assert_eq!(next, later(me, 1));
        bench.add("id", next).unwrap();
        assert_eq!(bench.write(version, "id", next, 0), Ok(2));
    }
}

#[test]
fn s2_v12_ended_with_v3_keeps_the_epoch() {
    let bench = bench();
    let me = bench.owner("id");
    bench.write(12, "id", me, 0).unwrap();
    assert_eq!(bench.end("id", me, true), Ok(()));
    assert_eq!(bench.describe("id").unwrap().1, me);
    assert_eq!(bench.write(12, "id", me, 1), Ok(2));
}

#[test]
fn s2_not_added() {
    let bench = bench();
    let me = bench.owner("id");
    let reason = Some("Partition was not added to the transaction".to_owned());
    assert_eq!(
        bench.write(3, "id", me, 0),
        bare(InvalidTxnState),
        "no room for a reason"
    );
    assert_eq!(
        bench.write(9, "id", me, 0),
        Err((InvalidTxnState, reason.clone()))
    );
    assert_eq!(bench.write(10, "id", me, 0), Err((InvalidTxnState, reason)));
    assert_eq!(bench.write(11, "id", me, 0), bare(TransactionAbortable));
    assert_eq!(bench.ends(), (0, 0));
}

#[test]
fn s2_repetitions_of_v5() {
    let bench = bench();
    let me = bench.owner("id");
    bench.write(12, "id", me, 0).unwrap();
    bench.cluster.hold_transaction_markers(true);
    assert_eq!(bench.end_as(5, "id", me, true), Ok(later(me, 1)));
    assert_eq!(bench.end_as(5, "id", me, true), Err(ConcurrentTransactions));
    let next = later(me, 1);
    assert_eq!(bench.write(12, "id", next, 0), bare(ConcurrentTransactions));
    assert_eq!(bench.add("id", next), Err(ConcurrentTransactions));
    let reason = "Unable to verify the partition has been added to the transaction. \
                  Underlying error: CONCURRENT_TRANSACTIONS";
    let refused = Err((NotEnoughReplicas, Some(reason.to_owned())));
    assert_eq!(bench.write(9, "id", next, 0), refused);
    bench.cluster.hold_transaction_markers(false);
    bench.eventually("the markers", || {
        bench.describe("id").unwrap().0 == "CompleteCommit"
    });
    assert_eq!(bench.end_as(5, "id", me, true), Ok(next));
    assert_eq!(bench.end_as(5, "id", me, false), Err(InvalidTxnState));
}

#[test]
fn s2_the_transactional_bit_and_ids() {
    let bench = bench();
    let me = bench.owner("id");
    let nobody = Producer { id: -1, epoch: -1 };
    for version in [9, 12] {
        let plain = batch(nobody, -1, false);
        let rows = bench.produce_all(version, None, &[(1, plain), (0, batch(me, 0, true))]);
        let codes: Vec<i16> = rows.iter().map(|row| row.error_code).collect();
        assert_eq!(
            codes,
            [TransactionalIdAuthorizationFailed.code(); 2],
            "the whole request"
        );
        assert!(
            bench
                .produce(version, Some("id"), batch(nobody, -1, true))
                .is_ok()
        );
    }
    let stranger = Producer { id: 4711, epoch: 0 };
    for version in [9, 12] {
        assert_eq!(
            bench.write(version, "id", stranger, 0),
            bare(InvalidProducerIdMapping)
        );
        assert_eq!(
            bench.write(version, "unknown", me, 0),
            bare(InvalidProducerIdMapping)
        );
        assert_eq!(
            bench.write(version, "id", later(me, 1), 0),
            bare(InvalidProducerEpoch)
        );
    }
    let newer = bench.init("id").unwrap();
    assert_eq!(bench.write(12, "id", me, 0), bare(InvalidProducerEpoch));
    assert_eq!(
        bench.write(12, "id", newer, 5),
        bare(OutOfOrderSequenceNumber)
    );
    let two = [(0, batch(newer, 0, true)), (1, batch(stranger, 0, true))];
    let rows = bench.produce_all(12, Some("id"), &two);
    assert!(
        rows.iter()
            .all(|row| row.error_code == InvalidProducerIdMapping.code())
    );
}

#[test]
fn s2_one_partition_of_several_missing() {
    let bench = bench();
    let me = bench.owner("id");
    let batches = [0, 7, 1].map(|index| (index, batch(me, 0, true)));
    let rows = bench.produce_all(12, Some("id"), &batches);
    let codes: Vec<i16> = rows.iter().map(|row| row.error_code).collect();
    assert_eq!(codes, [0, UnknownTopicOrPartition.code(), 0]);
    assert_eq!(bench.describe("id").unwrap().2, 2);
}

#[test]
fn s2_a_gap_needs_no_abort() {
    let bench = bench();
    let me = bench.owner("id");
    bench.write(12, "id", me, 0).unwrap();
    assert_eq!(bench.write(12, "id", me, 2), bare(OutOfOrderSequenceNumber));
    assert_eq!(bench.write(12, "id", me, 1), Ok(1));
}

#[test]
fn s2_first_sequences_of_a_new_pid() {
    let bench = bench();
    let me = bench.owner("id");
    assert_eq!(bench.write(12, "id", me, 5), bare(OutOfOrderSequenceNumber));
    // Another one: what was refused is remembered.
    let other = bench.owner("other");
    bench.add("other", other).unwrap();
    assert_eq!(bench.write(9, "other", other, 5), Ok(0));
}

#[test]
fn s2_another_owner_while_open() {
    let bench = bench();
    let old = bench.owner("id");
    bench.write(12, "id", old, 0).unwrap();
    assert_eq!(bench.ends(), (1, 0));
    assert_eq!(bench.init("id"), Err(ConcurrentTransactions), "once");
    let new = bench.init("id").unwrap();
    assert_eq!(new, later(old, 2));
    assert_eq!(bench.ends(), (2, 2), "the abort marker");
    assert_eq!(bench.write(12, "id", old, 1), bare(InvalidProducerEpoch));
    assert_eq!(bench.end_as(3, "id", old, true), Err(ProducerFenced));
    assert_eq!(bench.end_as(5, "id", old, true), Err(ProducerFenced));
}

/// Not 49, which the coordinator would say of a producer that is not the id's.
#[test]
fn a_log_that_knows_a_later_epoch_asks_no_coordinator() {
    let bench = bench();
    bench.owner("id");
    let stranger = Producer { id: 4711, epoch: 2 };
    assert_eq!(bench.produce(9, None, batch(stranger, 0, false)), Ok(0));
    let older = Producer {
        epoch: 1,
        ..stranger
    };
    for version in [9, 11, 12] {
        assert_eq!(
            bench.write(version, "id", older, 0),
            bare(InvalidProducerEpoch)
        );
        assert_eq!(
            bench.write(version, "id", stranger, 0),
            bare(InvalidProducerIdMapping)
        );
    }
}

#[test]
fn s2_timed_out() {
    let bench = bench();
    let me = bench.owner("id");
    bench.write(12, "id", me, 0).unwrap();
    bench.clock.advance(Duration::from_secs(59));
    bench.clock.advance(Duration::from_secs(12));
    bench.eventually("the abort", || bench.ends() == (2, 2));
    assert_eq!(bench.producers()[0].producer_epoch, i32::from(me.epoch) + 1);
    assert_eq!(bench.write(12, "id", me, 1), bare(InvalidProducerEpoch));
    assert_eq!(bench.end_as(5, "id", me, true), Err(InvalidTxnState));
}

#[test]
fn s2_level_0_wedges_level_1_accepts() {
    let bench = bench_with(&[("transaction.version", "0")]);
    let me = bench.owner("id");
    assert_eq!(bench.write(12, "id", me, 0), bare(UnsupportedVersion));
    assert_eq!(bench.init("id"), Err(ConcurrentTransactions));
    assert_eq!(bench.add("id", me), Err(ConcurrentTransactions));
    bench.clock.advance(Duration::from_secs(100));
    assert_eq!(
        bench.init("id"),
        Err(ConcurrentTransactions),
        "past the timeout"
    );
    let other = bench.init("other").unwrap();
    bench.add("other", other).unwrap();
    assert_eq!(
        bench.write(12, "other", other, 0),
        Ok(0),
        "v12 after Add is fine"
    );
    assert_eq!(
        bench.end_as(5, "other", other, true),
        Err(UnsupportedVersion)
    );
    assert_eq!(bench.end("other", other, true), Err(ConcurrentTransactions));

    let bench = bench_with(&[("transaction.version", "1")]);
    let me = bench.owner("id");
    assert_eq!(bench.write(12, "id", me, 0), Ok(0));
    assert_eq!(bench.end_as(5, "id", me, true), Ok(later(me, 1)));
}

#[test]
fn s3_init_without_id_is_always_new() {
    let bench = bench();
    let nobody = Producer { id: -1, epoch: -1 };
    let one = bench.init_as(4, None, 0, nobody).unwrap();
    for version in [3, 4, 5] {
        let other = bench.init_as(version, None, 0, one).unwrap();
        assert!(
            other.id != one.id && other.epoch == 0,
            "v{version}: {other:?}"
        );
    }
    assert_eq!(
        bench.init_as(4, None, 0, Producer { id: 5, epoch: -1 }),
        Err(InvalidRequest)
    );
}

#[test]
fn s11_defaults_of_init_producer_id() {
    let bench = bench();
    bench.find();
    let nobody = Producer { id: -1, epoch: -1 };
    assert_eq!(
        bench.init_as(4, Some(""), 60_000, nobody),
        Err(InvalidRequest)
    );
    for timeout_ms in [0, -1, 900_001] {
        let refused = bench.init_as(4, Some("id"), timeout_ms, nobody);
        assert_eq!(refused, Err(InvalidTransactionTimeout), "{timeout_ms}");
    }
    assert!(bench.init_as(4, Some("id"), 900_000, nobody).is_ok());
}

#[test]
fn properties_with_impossible_values_are_named() {
    for (key, value) in [
        ("transaction.version", "3"),
        ("transaction.max.timeout.ms", "0"),
        ("transactional.id.expiration.ms", "a week"),
        ("transaction.partition.verification.enable", "yes"),
    ] {
        let settings = Settings {
            properties: BTreeMap::from([(key.to_owned(), value.to_owned())]),
            ..Settings::default()
        };
        let refused = EmbeddedCluster::start_with(settings)
            .unwrap_err()
            .to_string();
        assert!(
            refused.starts_with(&format!("{key} = {value}: ")),
            "{refused}"
        );
    }
}

#[test]
fn without_verification_old_clients_need_no_coordinator() {
    let bench = bench_with(&[("transaction.partition.verification.enable", "false")]);
    let me = bench.owner("id");
    assert_eq!(bench.write(9, "id", me, 0), Ok(0));
}

#[test]
fn listing_filters_by_state_producer_age_and_pattern() {
    let bench = bench();
    let one = bench.owner("one");
    bench.owner("two");
    bench.add("one", one).unwrap();
    let all = || ListTransactionsRequest::default().with_duration_filter(-1);
    assert_eq!(bench.list(0, &all()).1, ["one", "two"]);
    let states =
        |names: &[&str]| all().with_state_filters(names.iter().map(|name| text(name)).collect());
    assert_eq!(bench.list(0, &states(&["Ongoing", "Dead"])).1, ["one"]);
    assert_eq!(bench.list(0, &states(&["nonsense"])).1, [""; 0]);
    let ids = all().with_producer_id_filters(vec![one.id.into()]);
    assert_eq!(bench.list(0, &ids).1, ["one"]);
    bench.clock.advance(Duration::from_secs(5));
    let older = |ms: i64| bench.list(1, &all().with_duration_filter(ms)).1;
    assert!(older(4_999).contains(&"one".to_owned()));
    assert!(!older(5_000).contains(&"one".to_owned()));
    let pattern = |pattern: &str| all().with_transactional_id_pattern(Some(text(pattern)));
    assert_eq!(bench.list(2, &pattern("t.*")).1, ["two"]);
    assert_eq!(
        bench.list(2, &pattern("(")).0,
        InvalidRegularExpression.code()
    );
}

/// `kafka-transactions abort` ends what no coordinator knows of.
#[test]
fn a_hanging_transaction_is_ended_from_outside() {
    let bench = bench_with(&[("transaction.partition.verification.enable", "false")]);
    let me = bench.owner("id");
    bench.write(9, "id", me, 0).unwrap();
    assert_eq!(bench.ends(), (1, 0));
    let marker = |epoch: i16, coordinator_epoch: i32, partitions: &[i32]| {
        let topic = WritableTxnMarkerTopic::default()
            .with_name(TopicName(text("a")))
            .with_partition_indexes(partitions.to_vec());
        let marker = WritableTxnMarker::default()
            .with_producer_id(me.id.into())
            .with_producer_epoch(epoch)
            .with_coordinator_epoch(coordinator_epoch)
            .with_topics(vec![topic]);
        let request = WriteTxnMarkersRequest::default().with_markers(vec![marker]);
        let answer: WriteTxnMarkersResponse = bench.ask(ApiKey::WriteTxnMarkers, 1, &request);
        let rows = answer.markers[0].topics[0].partitions.iter();
        rows.map(|row| row.error_code).collect::<Vec<_>>()
    };
    let fenced = [InvalidProducerEpoch.code(), UnknownTopicOrPartition.code()];
    assert_eq!(marker(me.epoch - 1, 3, &[0, 7]), fenced);
    assert_eq!(marker(me.epoch, 3, &[0]), [0]);
    assert_eq!(bench.ends(), (2, 2));
    assert_eq!(
        marker(me.epoch, 2, &[0]),
        [TransactionCoordinatorFenced.code()]
    );
}

#[test]
fn markers_wait_for_a_leader() {
    let bench = bench();
    let me = bench.owner("id");
    bench.write(12, "id", me, 0).unwrap();
    let (_, partition) = bench.shared().state().partition("a", 0).unwrap();
    partition.lock().leadership.leader = -1;
    assert_eq!(bench.end_as(5, "id", me, true), Ok(later(me, 1)));
    assert_eq!(bench.describe("id").unwrap().0, "PrepareCommit");
    partition.lock().leadership.leader = 1;
    bench.clock.advance(Duration::from_secs(1));
    bench.eventually("the markers", || bench.ends() == (2, 2));
    assert_eq!(bench.describe("id").unwrap().0, "CompleteCommit");
}

#[test]
fn a_deleted_topic_holds_nobody_up() {
    let bench = bench();
    let me = bench.owner("id");
    bench.write(12, "id", me, 0).unwrap();
    bench.shared().state().remove("a");
    assert_eq!(bench.end_as(5, "id", me, true), Ok(later(me, 1)));
    assert_eq!(bench.describe("id").unwrap().0, "CompleteCommit");
}
