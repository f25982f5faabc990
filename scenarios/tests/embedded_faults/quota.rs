//! A quota, as librdkafka meets it: what is beyond it takes its time, and the client is told how long it was held up.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use embedded::{ApiKey, Effect, Fault};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientConfig, Offset, Statistics, TopicPartitionList};

use super::{PATIENCE, cluster};

/// Bytes a second; ten seconds' worth passes at once.
const QUOTA: u64 = 100_000;
/// Bytes of one record; a batch or an answer has a hundred.
const RECORD_BYTES: usize = 1_000;
/// 300 kB beyond what passes at once.
const RECORDS: usize = 1_300;
/// Two thirds of the time for those, since the last answer comes before its own hold-up.
const HELD_UP_MIN: Duration = Duration::from_millis(1_800);

/// Keeps the longest hold-up that the client was told of.
#[derive(Clone, Default)]
struct Throttled(Arc<AtomicI64>);

impl Throttled {
    /// Unit: milliseconds.
    fn longest(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ClientContext for Throttled {
    fn stats(&self, statistics: Statistics) {
        let told = statistics.brokers.values();
        let told = told.filter_map(|broker| broker.throttle.as_ref().map(|window| window.max));
        self.0.fetch_max(told.max().unwrap_or(0), Ordering::Relaxed);
    }
}

impl ConsumerContext for Throttled {}

impl ProducerContext for Throttled {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "{result:?}");
    }
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("statistics.interval.ms", "50");
    config
}

/// Writes everything with a new client; how long it took, and the longest hold-up.
fn write(bootstrap: &str) -> (Duration, i64) {
    let throttled = Throttled::default();
    let producer: BaseProducer<Throttled> = config(bootstrap)
        .set("batch.num.messages", "100")
        .create_with_context(throttled.clone())
        .unwrap();
    let (since, value) = (Instant::now(), vec![b'q'; RECORD_BYTES]);
    for _ in 0..RECORDS {
        let record = BaseRecord::<(), _>::to("quota").payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let took = since.elapsed();
    await_statistics(&|| producer.poll(Duration::from_millis(50)));
    (took, throttled.longest())
}

/// Reads everything with a new client; how long it took, and the longest hold-up.
fn read(bootstrap: &str) -> (Duration, i64) {
    let throttled = Throttled::default();
    let consumer: BaseConsumer<Throttled> = config(bootstrap)
        .set("group.id", "quota")
        .set("max.partition.fetch.bytes", "100000")
        .create_with_context(throttled.clone())
        .unwrap();
    let mut partition = TopicPartitionList::new();
    partition
        .add_partition_offset("quota", 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&partition).unwrap();
    let since = Instant::now();
    let mut seen = 0;
    while seen < RECORDS {
        assert!(since.elapsed() < PATIENCE, "{seen} records");
        if let Some(record) = consumer.poll(Duration::from_millis(50)) {
            assert_eq!(record.unwrap().payload_len(), RECORD_BYTES);
            seen += 1;
        }
    }
    let took = since.elapsed();
    await_statistics(&|| drop(consumer.poll(Duration::from_millis(50))));
    (took, throttled.longest())
}

/// Several intervals of statistics, which librdkafka hands out when it is asked for events.
fn await_statistics(poll: &dyn Fn()) {
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(200) {
        poll();
    }
}

/// Goal: a producer and a consumer beyond their quotas are held up and told so; without the fault, they are not.
#[test]
fn a_quota_holds_up_and_says_so() {
    let (cluster, client) = cluster(1);
    let bootstrap = cluster.bootstrap();
    client.create_topic("quota", 1, 1, &[]).unwrap();

    let quota = cluster.inject(Fault::new(Effect::Quota(QUOTA)).on_api(ApiKey::Produce));
    let (slow, told) = write(&bootstrap);
    assert!(slow >= HELD_UP_MIN && told > 0, "{slow:?}, {told} ms");
    assert!(quota.hits() >= 13, "{} requests", quota.hits());
    quota.clear();
    let (quick, told) = write(&bootstrap);
    assert!(quick < slow && told == 0, "{quick:?}, {told} ms");

    let quota = cluster.inject(Fault::new(Effect::Quota(QUOTA)).on_api(ApiKey::Fetch));
    let (slow, told) = read(&bootstrap);
    assert!(slow >= HELD_UP_MIN && told > 0, "{slow:?}, {told} ms");
    assert!(quota.hits() >= 13, "{} requests", quota.hits());
    quota.clear();
    let (quick, told) = read(&bootstrap);
    assert!(quick < slow && told == 0, "{quick:?}, {told} ms");
}
