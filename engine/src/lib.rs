//! How bytes and offsets move between Kafka clusters.
//!
//! - [`wire`]: connections to one broker (framing, pipelining, version negotiation, pooled buffers).
//! - [`cluster`]: what is known of one cluster (brokers, leaders, topic ids) and the admin requests.
//! - [`batch`]: record batches as bytes (a crate of its own, re-exported).
//! - [`lane`]: a way for bytes to travel; [`lane::raw`] forwards the broker's own batches.
//! - [`offsets`]: what MM2's internal topics hold, to the byte.
//!
//! Nothing here decides who does what and when: that is the `actors` crate.

pub mod cluster;
pub mod lane;
pub mod offsets;
pub mod wire;

pub use batch;
