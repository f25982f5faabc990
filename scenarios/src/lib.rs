//! Real Apache Kafka clusters, an independent client and the product binary, as tests drive them.
//!
//! * [`RealCluster`] starts unmodified Kafka brokers, one JVM each, and kills, restarts or freezes them.
//! * [`KafkaClient`] (librdkafka) writes, reads and compares; it shares no code with the engine, so the
//!   two cannot be wrong in the same way.
//! * [`Product`] runs the `crosscurrent` binary from outside, as a user does.
//!
//! Functions return [`Error`], whose `Debug` text is a readable sentence: tests may simply `unwrap`.
//! No process outlives the one that started it, however that one ends; see [`process`].

mod error;
mod folders;

pub mod client;
pub mod kafka;
pub mod process;
pub mod product;
pub mod raw;

pub mod wait;

pub use client::KafkaClient;
pub use error::Error;
pub use kafka::{Broker, RealCluster, SharedPair, shared_pair};

pub use product::Product;
pub use raw::RawClient;
pub use wait::{await_ok, await_that};
