//! A client of one broker that does what the test says, in the versions it was written for, and fails loudly.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::batch::{
    Codec, DECOMPRESSED_BYTES_MAX, ProducerStamp, RawBatch, batches, decompress, records, stamp,
};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, CreateTopicsRequest, DeleteRecordsRequest, DeleteTopicsRequest,
    EndTxnRequest, FetchRequest, FindCoordinatorRequest, InitProducerIdRequest, ListOffsetsRequest,
    MetadataRequest, ProduceRequest, TopicName, TransactionalId,
};
use kafka_protocol::protocol::StrBytes;
use scenarios::RawClient;
use uuid::Uuid;

const TIMEOUT_MS: i32 = 10_000;
const CONCURRENT_TRANSACTIONS: i16 = 51;
const UNKNOWN_TOPIC: i16 = 3;
const TOPIC_ALREADY_EXISTS: i16 = 36;

/// One connection to a cluster of one broker.
pub(crate) struct Client(RawClient);

/// A partition's log: its records without markers.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) records: Vec<(i64, Bytes)>,
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Client {
    pub(crate) fn connect(bootstrap: &str) -> Self {
        Self(
            RawClient::connect(bootstrap)
                .unwrap()
                .with_client_id("exact-test"),
        )
    }

    /// After the broker was restarted.
    pub(crate) fn reconnect(&mut self) {
        self.0.reconnect().unwrap();
    }

    /// False: it is there already.
    pub(crate) fn create_topic(
        &mut self,
        topic: &str,
        partitions: i32,
        configs: &[(&str, String)],
    ) -> bool {
        let configs = configs.iter().map(|(key, value)| {
            CreatableTopicConfig::default()
                .with_name(text(key))
                .with_value(Some(text(value)))
        });
        let topic = CreatableTopic::default()
            .with_name(name(topic))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_topics(vec![topic]);
        let answer = self.0.send(7, &request).unwrap();
        let code = answer.topics[0].error_code;
        assert!([0, TOPIC_ALREADY_EXISTS].contains(&code), "{answer:?}");
        code == 0
    }

    /// Which incarnation of the topic there is.
    pub(crate) fn topic_id(&mut self, topic: &str) -> Uuid {
        let wanted = MetadataRequestTopic::default().with_name(Some(name(topic)));
        let request = MetadataRequest::default().with_topics(Some(vec![wanted]));
        let answer = self.0.send(12, &request).unwrap();
        answer.topics[0].topic_id
    }

    pub(crate) fn delete_topic(&mut self, topic: &str) {
        let state = DeleteTopicState::default().with_name(Some(name(topic)));
        let request = DeleteTopicsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_topics(vec![state]);
        let answer = self.0.send(6, &request).unwrap();
        assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
    }

    pub(crate) fn delete_records(&mut self, topic: &str, partition: i32, below: i64) {
        let partition = DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(below);
        let topic = DeleteRecordsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default()
            .with_timeout_ms(TIMEOUT_MS)
            .with_topics(vec![topic]);
        let answer = self.0.send(2, &request).unwrap();
        assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{answer:?}");
    }

    /// Appends a batch; the offset of its first record.
    pub(crate) fn append(
        &mut self,
        (topic, partition): (&str, i32),
        batch: &RawBatch,
        owner: ProducerStamp,
        transactional_id: Option<&str>,
    ) -> i64 {
        let header = stamp(&batch.header, owner);
        let bytes = [header.as_bytes().as_slice(), &batch.body].concat();
        let partition = PartitionProduceData::default()
            .with_index(partition)
            .with_records(Some(bytes.into()));
        let topic = TopicProduceData::default()
            .with_name(name(topic))
            .with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_timeout_ms(TIMEOUT_MS)
            .with_transactional_id(transactional_id.map(|id| TransactionalId(text(id))))
            .with_topic_data(vec![topic]);
        let answer = self.0.send(9, &request).unwrap();
        let stored = &answer.responses[0].partition_responses[0];
        assert_eq!(stored.error_code, 0, "{stored:?}");
        stored.base_offset
    }

    /// Begins a transaction over these partitions: the producer's id and epoch.
    pub(crate) fn begin(&mut self, id: &str, topic: &str, partitions: &[i32]) -> (i64, i16) {
        let coordinator = FindCoordinatorRequest::default()
            .with_key_type(1)
            .with_coordinator_keys(vec![text(id)]);
        self.0.send(4, &coordinator).unwrap();
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id((-1).into())
            .with_producer_epoch(-1);
        let owner = self.until_free(|client| {
            let answer = client.send(4, &init).unwrap();
            (
                answer.error_code,
                (answer.producer_id.0, answer.producer_epoch),
            )
        });
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name(topic))
            .with_partitions(partitions.to_vec());
        let add = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(id)))
            .with_v3_and_below_producer_id(owner.0.into())
            .with_v3_and_below_producer_epoch(owner.1)
            .with_v3_and_below_topics(vec![topic]);
        self.until_free(|client| {
            let answer = client.send(3, &add).unwrap();
            let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
            (results[0].partition_error_code, ())
        });
        owner
    }

    /// Ends a transaction, and waits for its markers.
    pub(crate) fn end(&mut self, id: &str, (producer_id, epoch): (i64, i16), commit: bool) {
        let end = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(id)))
            .with_producer_id(producer_id.into())
            .with_producer_epoch(epoch)
            .with_committed(commit);
        for _ in 0..2 {
            self.until_free(|client| (client.send(3, &end).unwrap().error_code, ()));
        }
    }

    fn until_free<T>(&mut self, mut ask: impl FnMut(&mut RawClient) -> (i16, T)) -> T {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let (code, answer) = ask(&mut self.0);
            match code {
                0 => return answer,
                CONCURRENT_TRANSACTIONS if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                code => panic!("a request of a transaction is answered {code}"),
            }
        }
    }

    /// Start and end offset; none if there is no such topic.
    fn fetch(&mut self, topic: &str, partition: i32, offset: i64) -> Option<(i16, Log, Bytes)> {
        let wanted = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(8 << 20);
        let wanted = FetchTopic::default()
            .with_topic(name(topic))
            .with_partitions(vec![wanted]);
        let request = FetchRequest::default()
            .with_replica_id((-1).into())
            .with_max_bytes(32 << 20)
            .with_session_epoch(-1)
            .with_topics(vec![wanted]);
        let answer = self.0.send(12, &request).unwrap();
        assert_eq!(answer.error_code, 0);
        let found = answer.responses.into_iter().next()?;
        let found = found.partitions.into_iter().next()?;
        if found.error_code == UNKNOWN_TOPIC {
            return None;
        }
        let log = Log {
            start: found.log_start_offset,
            end: found.high_watermark,
            records: Vec::new(),
        };
        Some((found.error_code, log, found.records.unwrap_or_default()))
    }

    fn log_start(&mut self, topic: &str, partition: i32) -> i64 {
        let earliest = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_timestamp(-2);
        let topic = ListOffsetsTopic::default()
            .with_name(name(topic))
            .with_partitions(vec![earliest]);
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(vec![topic]);
        let answer = self.0.send(7, &request).unwrap();
        answer.topics[0].partitions[0].offset
    }

    /// The records of a partition; an empty log if there is no such topic.
    pub(crate) fn log(&mut self, topic: &str, partition: i32) -> Log {
        let mut log = Log::default();
        self.each(topic, partition, &mut log, |log, offset, _, value| {
            log.records.push((offset, value.unwrap_or_default()));
        });
        log
    }

    /// Keys and values of a partition, in order.
    pub(crate) fn pairs(&mut self, topic: &str) -> Vec<(Option<Bytes>, Option<Bytes>)> {
        let mut pairs = Vec::new();
        self.each(topic, 0, &mut Log::default(), |_, _, key, value| {
            pairs.push((key, value))
        });
        pairs
    }

    fn each(
        &mut self,
        topic: &str,
        partition: i32,
        log: &mut Log,
        mut each: impl FnMut(&mut Log, i64, Option<Bytes>, Option<Bytes>),
    ) {
        let mut offset = 0;
        // A log that has moved on is begun anew at its start: who deletes records does it before.
        while let Some((code, found, bytes)) = self.fetch(topic, partition, offset) {
            if code == 1 {
                let start = self.log_start(topic, partition);
                assert!(start > offset, "{topic}-{partition}: {start}");
                offset = start;
                continue;
            }
            assert_eq!(code, 0, "{topic}-{partition}");
            (log.start, log.end) = (found.start, found.end);
            for batch in batches(&bytes) {
                let batch = batch.unwrap();
                let header = &batch.header;
                let from = offset;
                offset = header.next_offset();
                if header.is_control() {
                    continue;
                }
                assert!(batch.crc_is_valid(), "{topic}-{partition} at {from}");
                let body = match header.codec().unwrap() {
                    Codec::None => batch.body.clone(),
                    codec => decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX).unwrap(),
                };
                for record in records(&body, header.count()) {
                    let record = record.unwrap();
                    let at = header.base_offset() + i64::from(record.offset_delta);
                    if at >= from {
                        let own = |field: Option<&[u8]>| field.map(|field| body.slice_ref(field));
                        each(log, at, own(record.key), own(record.value));
                    }
                }
            }
            if offset >= log.end || bytes.is_empty() {
                return;
            }
        }
    }
}
