//! End-to-end tests of the product on every kind of Kafka cluster, checked by an independent client (librdkafka).
//! One program, so that its tests share a pair of clusters of each kind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests may fail a test"
)]

mod brokers;
mod connect;
mod connect_fuzz;
mod connect_real;
mod connect_replay;
mod connect_several;
mod connect_starting;
mod copy;
mod crashes;
mod failover;
mod faults;
mod flows;
mod groups;
mod heartbeats;
#[path = "../cli/http.rs"]
mod http;
mod internal_topics;
mod java_clients;
mod limits;
mod load;
mod merging;
mod metrics;
mod naming;
mod outages;
mod overtaken;
#[path = "../cli/random_requests.rs"]
mod random_requests;
mod rest;
mod rest_writable;
mod secured;
mod shutdown;
mod sources;
mod tools;
mod topics;
