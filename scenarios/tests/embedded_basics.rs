//! The embedded cluster and librdkafka: what is written is read.

use std::time::Duration;

use embedded::EmbeddedCluster;
use scenarios::KafkaClient;
use scenarios::client::{Isolation, OddRecords, TestRecord, compare};

const PATIENCE: Duration = Duration::from_secs(20);

/// Goal: odd records come back from an embedded cluster exactly as they were written, from every partition.
#[test]
fn what_is_written_is_read() {
    let cluster = EmbeddedCluster::start(3).unwrap();
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    client.create_topic("odd", 4, 3, &[]).unwrap();
    let records: Vec<TestRecord> = OddRecords::new(4).take(5_000).collect();
    client.produce("odd", &records).unwrap();
    let read = client
        .read_all("odd", Isolation::ReadCommitted, PATIENCE)
        .unwrap();
    let again = client
        .read_all("odd", Isolation::ReadUncommitted, PATIENCE)
        .unwrap();
    compare(&read, &again).unwrap();
    for partition in 0..4 {
        let written: Vec<&TestRecord> = records
            .iter()
            .filter(|record| record.partition == partition)
            .collect();
        let found: Vec<&TestRecord> = read
            .get(&partition)
            .into_iter()
            .flatten()
            .map(|read| &read.record)
            .collect();
        assert_eq!(found, written, "partition {partition}");
    }
}
