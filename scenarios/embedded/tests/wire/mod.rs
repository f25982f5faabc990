//! A raw client: one connection, one request at a time or several at once, and every way in which no answer comes.

#![allow(dead_code, reason = "each test file uses its part")]
#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use batch::{BatchBuilder, Codec, ProducerStamp, batches, stamp};
use bytes::{Buf, Bytes, BytesMut};
use embedded::EmbeddedCluster;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponsePartition;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// How long an answer may take that is expected.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How long one waits for an answer that must not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(150);

/// Waits until something is so that a broker does by itself.
pub(crate) fn await_that(what: &str, check: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    Closed,
    Reset,
    Silence,
    Refused,
}

pub(crate) struct Wire {
    stream: TcpStream,
    client_id: &'static str,
    correlation_id: i32,
}

pub(crate) fn named(name: &str) -> TopicName {
    StrBytes::from_string(name.to_owned()).into()
}

impl Wire {
    pub(crate) fn connect(cluster: &EmbeddedCluster, node_id: i32) -> Self {
        Self::connect_as(cluster, node_id, "wire")
    }

    pub(crate) fn connect_as(
        cluster: &EmbeddedCluster,
        node_id: i32,
        client_id: &'static str,
    ) -> Self {
        let address = cluster.broker(node_id).unwrap().bootstrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            client_id,
            correlation_id: 0,
        }
    }

    pub(crate) fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str(self.client_id)));
        let mut frame = BytesMut::from(&[0; 4][..]);
        header
            .encode(&mut frame, R::header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        let length = i32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        // A closed connection shows when the answer is read.
        self.stream.write_all(&frame).ok();
    }

    /// The next answer: its correlation id, and what it says.
    pub(crate) fn receive<R: Request>(
        &mut self,
        version: i16,
        patience: Duration,
    ) -> Result<(i32, R::Response), Lost> {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut length = [0; 4];
        self.read(&mut length)?;
        let mut frame = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
        self.read(&mut frame)?;
        let mut frame = Bytes::from(frame);
        let header =
            ResponseHeader::decode(&mut frame, R::Response::header_version(version)).unwrap();
        let response = R::Response::decode(&mut frame, version).unwrap();
        assert!(!frame.has_remaining());
        Ok((header.correlation_id, response))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<(), Lost> {
        self.stream
            .read_exact(into)
            .map_err(|error| match error.kind() {
                ErrorKind::UnexpectedEof => Lost::Closed,
                ErrorKind::ConnectionReset => Lost::Reset,
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Lost::Silence,
                _ => Lost::Refused,
            })
    }

    pub(crate) fn ask<R: Request>(
        &mut self,
        version: i16,
        request: &R,
    ) -> Result<R::Response, Lost> {
        self.send(version, request);
        self.receive::<R>(version, PATIENCE)
            .map(|(_, response)| response)
    }

    /// Nothing comes.
    pub(crate) fn is_silent(&mut self) -> bool {
        self.stream.set_read_timeout(Some(SILENCE)).unwrap();
        self.read(&mut [0]) == Err(Lost::Silence)
    }

    pub(crate) fn create(
        &mut self,
        topic: &str,
        partitions: i32,
        replicas: i16,
        configs: &[(&str, &str)],
    ) {
        use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
        let configs = configs.iter().map(|(name, value)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string((*value).to_owned())))
        });
        let topic = CreatableTopic::default()
            .with_name(named(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(replicas)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let response = self.ask(7, &request).unwrap();
        assert_eq!(response.topics[0].error_code, 0);
    }

    pub(crate) fn metadata(&mut self, topic: &str) -> Result<MetadataResponse, Lost> {
        let topic = MetadataRequestTopic::default().with_name(Some(named(topic)));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false);
        self.ask(12, &request)
    }

    pub(crate) fn partition(&mut self, topic: &str, partition: usize) -> MetadataResponsePartition {
        self.metadata(topic).unwrap().topics[0].partitions[partition].clone()
    }

    pub(crate) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        records: Bytes,
    ) -> Result<PartitionProduceResponse, Lost> {
        let request = produce_request(&[(topic, partition, records)], -1, 5_000);
        let response = self.ask(10, &request)?;
        Ok(response.responses[0].partition_responses[0].clone())
    }

    pub(crate) fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<PartitionData, Lost> {
        let request = fetch_request(topic, partition, offset, 0);
        let response = self.ask(12, &request)?;
        Ok(response.responses[0].partitions[0].clone())
    }

    /// Error code and offset.
    pub(crate) fn offset(
        &mut self,
        topic: &str,
        partition: i32,
        timestamp: i64,
    ) -> Result<(i16, i64), Lost> {
        let response = self.ask(7, &offsets_request(topic, partition, timestamp))?;
        let row = &response.topics[0].partitions[0];
        Ok((row.error_code, row.offset))
    }
}

pub(crate) fn offsets_request(topic: &str, partition: i32, timestamp: i64) -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default()
        .with_partition_index(partition)
        .with_timestamp(timestamp);
    let topic = ListOffsetsTopic::default()
        .with_name(named(topic))
        .with_partitions(vec![partition]);
    ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(vec![topic])
}

pub(crate) fn produce_request(
    rows: &[(&str, i32, Bytes)],
    acks: i16,
    timeout_ms: i32,
) -> ProduceRequest {
    let topics = rows.iter().map(|(topic, partition, records)| {
        let data = PartitionProduceData::default()
            .with_index(*partition)
            .with_records(Some(records.clone()));
        TopicProduceData::default()
            .with_name(named(topic))
            .with_partition_data(vec![data])
    });
    ProduceRequest::default()
        .with_acks(acks)
        .with_timeout_ms(timeout_ms)
        .with_transactional_id(None)
        .with_topic_data(topics.collect())
}

pub(crate) fn fetch_request(
    topic: &str,
    partition: i32,
    offset: i64,
    max_wait_ms: i32,
) -> FetchRequest {
    let partition = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(offset)
        .with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(named(topic))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_replica_id((-1).into())
        .with_max_wait_ms(max_wait_ms)
        .with_min_bytes(1)
        .with_session_epoch(-1)
        .with_topics(vec![topic])
}

/// When the records of [`records`] were written. Milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// A batch of so many records with a value of 100 bytes each.
pub(crate) fn records(count: i32) -> Bytes {
    stamped(count, ProducerStamp::NONE)
}

/// A batch of an idempotent producer in epoch 0.
pub(crate) fn sequenced(count: i32, producer_id: i64, base_sequence: i32) -> Bytes {
    let producer = ProducerStamp {
        producer_id,
        producer_epoch: 0,
        base_sequence,
        transactional: false,
    };
    stamped(count, producer)
}

fn stamped(count: i32, producer: ProducerStamp) -> Bytes {
    let mut builder = BatchBuilder::new(Codec::None);
    for number in 0..count {
        let key = number.to_be_bytes();
        builder
            .push(START_MS, Some(&key), Some(&[7; 100]), &[])
            .unwrap();
    }
    let batch = builder.build().unwrap();
    let header = stamp(&batch.header, producer);
    let mut bytes = BytesMut::from(&header.as_bytes()[..]);
    bytes.extend_from_slice(&batch.body);
    bytes.freeze()
}

/// Whether every batch's checksum holds.
pub(crate) fn is_sound(records: &Bytes) -> bool {
    batches(records).all(|batch| batch.unwrap().crc_is_valid())
}
