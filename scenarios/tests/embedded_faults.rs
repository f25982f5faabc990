//! Faults of the embedded cluster, seen by librdkafka: it gets through them, and what it was told is true.

use std::time::Duration;

use embedded::{After, ApiKey, Effect, EmbeddedCluster, Fault, ResponseError, Settings};
use scenarios::KafkaClient;
use scenarios::client::{Isolation, WriteOptions, numbered, tally};

const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster whose dead brokers are noticed after a second, and a client of it.
fn cluster(brokers: i32) -> (EmbeddedCluster, KafkaClient) {
    let mut settings = Settings {
        brokers,
        ..Settings::default()
    };
    let timeout = ("broker.session.timeout.ms".to_owned(), "1000".to_owned());
    settings.properties.extend([timeout]);
    let cluster = EmbeddedCluster::start_with(settings).unwrap();
    let client = KafkaClient::connect(&cluster.bootstrap()).unwrap();
    (cluster, client)
}
