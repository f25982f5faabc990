//! A lane is a way for bytes to travel from a source partition to its remote partition.
//!
//! [`raw`] forwards the batches that the source broker stored, as bytes.

pub mod raw;
