//! Connections to one broker: TLS, logging in, framing, pipelining, correlation, deadlines, version negotiation
//! and pooled read buffers. Nothing here knows what a topic is.

mod connection;
mod error;
mod frame;
mod pool;
mod versions;

pub use connection::{
    ConnectOptions, Connection, PIPELINE_REQUESTS_MAX, Pending, RESPONSE_BYTES_MAX,
};
pub use error::WireError;
pub use frame::{Frame, decode_response, encode_request};
pub use pool::BufferPool;
pub use security::Security;
pub use versions::BrokerVersions;
