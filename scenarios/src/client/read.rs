//! Reading a whole topic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::compare::Contents;
use super::record::{ReadRecord, TestRecord};
use super::{KafkaClient, REQUEST_PATIENCE, consumer};
use crate::Error;
use crate::error::refused;

/// Longest wait for one record before the deadline is looked at again.
const POLL: Duration = Duration::from_millis(200);

/// Which records of transactions are read (`isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything up to the high watermark, aborted records too.
    #[default]
    ReadUncommitted,
    /// Without aborted records, up to the last stable offset.
    ReadCommitted,
}

impl KafkaClient {
    /// All records of the topic, from the log start to the end as of this call.
    ///
    /// Checksums are verified. A partition without records is there, with an empty list.
    ///
    /// # Errors
    /// [`Error::Timeout`] if the ends are not reached within `patience`; [`Error::Impossible`] if there is
    /// no such topic; [`Error::Kafka`] for a bad checksum or a codec that cannot be read.
    pub fn read_all(
        &self,
        topic: &str,
        isolation: Isolation,
        patience: Duration,
    ) -> Result<Contents, Error> {
        let level = match isolation {
            Isolation::ReadUncommitted => "read_uncommitted",
            Isolation::ReadCommitted => "read_committed",
        };
        let what = || refused(format!("read topic {topic}"));
        let end = Instant::now() + patience;
        let consumer = consumer(&self.bootstrap, &[("isolation.level", level)])?;
        let mut contents = Contents::new();
        let mut unfinished = BTreeMap::new();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..self.leaders(topic)?.len() {
            let partition = i32::try_from(partition).unwrap_or(i32::MAX);
            let bounds = consumer.fetch_watermarks(topic, partition, REQUEST_PATIENCE);
            let (start, end) = bounds.map_err(what())?;
            contents.insert(partition, Vec::new());
            if start < end {
                unfinished.insert(partition, end);
                assignment
                    .add_partition_offset(topic, partition, Offset::Offset(start))
                    .map_err(what())?;
            }
        }
        if contents.is_empty() {
            return Err(Error::Impossible(format!("there is no topic {topic}")));
        }
        consumer.assign(&assignment).map_err(what())?;
        while !unfinished.is_empty() {
            if Instant::now() >= end {
                let seen: usize = contents.values().map(Vec::len).sum();
                return Err(Error::Timeout {
                    what: format!("reading topic {topic} to its end ({level})"),
                    patience,
                    seen: format!("{seen} records, unfinished partitions {unfinished:?}"),
                });
            }
            match next(&consumer) {
                Step::Nothing => {}
                // Also the way past the markers and aborted records at the end of a log.
                Step::End(partition) => drop(unfinished.remove(&partition)),
                Step::Record(read) => {
                    let partition = read.record.partition;
                    if unfinished
                        .get(&partition)
                        .is_some_and(|end| read.offset + 1 >= *end)
                    {
                        unfinished.remove(&partition);
                    }
                    contents.entry(partition).or_default().push(read);
                }
                Step::Failed(error) => return Err(what()(error)),
            }
        }
        Ok(contents)
    }
}

/// What one poll brought.
enum Step {
    Nothing,
    Record(ReadRecord),
    End(i32),
    Failed(KafkaError),
}

fn next(consumer: &BaseConsumer) -> Step {
    match consumer.poll(POLL) {
        None => Step::Nothing,
        Some(Ok(message)) => Step::Record(owned(&message)),
        Some(Err(KafkaError::PartitionEOF(partition))) => Step::End(partition),
        // A broker is down or moving: librdkafka goes on by itself, and the deadline decides.
        Some(Err(KafkaError::MessageConsumption(code))) if is_passing(code) => Step::Nothing,
        Some(Err(error)) => Step::Failed(error),
    }
}

fn is_passing(code: rdkafka::types::RDKafkaErrorCode) -> bool {
    use rdkafka::types::RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::Resolve
    )
}

fn owned(message: &BorrowedMessage<'_>) -> ReadRecord {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)));
    ReadRecord {
        offset: message.offset(),
        record: TestRecord {
            partition: message.partition(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.collect(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        },
    }
}
