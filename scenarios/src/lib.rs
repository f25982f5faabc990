//! Kafka clusters, an independent client and the product binary, as tests drive them.
//!
//! * [`Kind`] starts a [`Cluster`] of a kind, whose [`Broker`]s a test kills, restarts or freezes. A test is a
//!   function of the kind, and [`on_every_kind!`] runs it on each.
//! * [`RealCluster`] is the kind made of unmodified Kafka brokers, one JVM each; the other kind is the
//!   [`embedded`] cluster.
//! * [`Secured`] is a cluster of either kind that is reached through TLS and SASL.
//! * [`KafkaClient`] (librdkafka) writes, reads and compares; it shares no code with the engine, so the
//!   two cannot be wrong in the same way.
//! * [`Product`] runs the `crosscurrent` binary from outside, as a user does.
//!
//! Functions return [`Error`], whose `Debug` text is a readable sentence: tests may simply `unwrap`.
//! No process outlives the one that started it, however that one ends; see [`process`].

mod cluster;
mod embedded_cluster;
mod error;
mod folders;
mod kind;
mod pair;
mod properties;
mod secured;

pub mod client;
pub mod kafka;
pub mod process;
pub mod product;
pub mod raw;

pub mod wait;

pub use client::KafkaClient;
pub use cluster::{Broker, Cluster};
pub use embedded_cluster::Embedded;
pub use error::Error;
pub use kafka::RealCluster;
pub use kind::Kind;
pub use pair::{Pair, SharedPair};
pub use product::Product;
pub use properties::{Properties, server_properties};
pub use raw::RawClient;
pub use secured::{Secured, Way};
pub use wait::{await_ok, await_that};
