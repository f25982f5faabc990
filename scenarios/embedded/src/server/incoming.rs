use std::net::SocketAddr;
use std::sync::Arc;

use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::StrBytes;

use crate::cluster::Shared;
use crate::faults::Verdict;

/// A request and where it came from: what a handler may know besides the request's own fields.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) shared: Arc<Shared>,
    /// The broker that was asked.
    pub(crate) node_id: i32,
    /// Which of its listeners.
    pub(crate) listener: usize,
    pub(crate) peer: SocketAddr,
    /// Who asks: `User:ANONYMOUS` without authentication.
    pub(crate) principal: Arc<str>,
    pub(crate) client_id: StrBytes,
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    /// The faults that hit it, if there are any; see the methods that ask them, in `faults/verdict.rs`.
    pub(crate) faults: Option<Arc<Verdict>>,
}
