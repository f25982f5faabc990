//! End-to-end tests of the product on real Apache Kafka, checked by an independent client (librdkafka).
//! One program, so that its tests share a pair of clusters.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

mod brokers;
mod copy;
mod crashes;
mod flows;
mod heartbeats;
mod limits;
mod load;
mod merging;
mod naming;
mod outages;
mod shutdown;
mod sources;
mod topics;
