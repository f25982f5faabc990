//! Decoding Kafka messages that a stranger wrote.
//!
//! `kafka-protocol` reserves memory for as many elements as an array's length says, before it reads the first. Twenty bytes
//! can so ask for hundreds of gigabytes, and the process ends. [`decode`] refuses such lengths first, at the cost of
//! parsing a message's small parts twice; bodies (batches) are slices both times.

mod guard;

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;

use guard::Guard;

/// Why bytes are not the message that they should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length that the rest of the message cannot hold, bytes that end too early, text that is not UTF-8.
    #[error("{0}")]
    Malformed(String),
}

/// Decodes one message (or header) of `version` from the front of `bytes` and leaves `bytes` behind it.
///
/// Invariant: no array, string or byte field claims more elements than bytes are left, so that memory is bounded by the
/// message's own size.
///
/// # Errors
/// [`DecodeError::Malformed`]; `bytes` is then somewhere inside the message.
pub fn decode<T: Decodable>(bytes: &mut Bytes, version: i16) -> Result<T, DecodeError> {
    let malformed = |error: &dyn std::fmt::Display| DecodeError::Malformed(error.to_string());
    let mut guard = Guard::new(bytes.clone());
    T::decode(&mut guard, version).map_err(|error| malformed(&error))?;
    guard.finish().map_err(|error| malformed(&error))?;
    T::decode(bytes, version).map_err(|error| malformed(&error))
}
