//! The raw lane: the broker's own batches, fetched, patched in their 61-byte header and produced,
//! without a look at the payload (`docs/spec/batches.md` 1 and 5).
//!
//! Pure state machines and encodings; the sockets and the clock belong to the actors that drive them:
//!
//! - [`fetch`]: what to ask one source broker for, in a Fetch session, and what it answered.
//! - [`window`]: at most five unacknowledged batches of one partition, resent without doubling.
//! - [`produce`]: one Produce request for all partitions of a target broker, written by hand.
//! - [`merging`]: when joining small batches is cheaper than waiting for a slot of the window.
//! - [`credit`]: how many fetched bytes may be on their way.

pub mod credit;
pub mod fetch;
pub mod merging;
pub mod produce;
pub mod window;
