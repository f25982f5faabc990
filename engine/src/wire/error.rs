//! Why talking to a broker failed.

use std::io;
use std::time::Duration;

/// Why a request got no usable answer. The connection is closed in every case but
/// [`WireError::Unsupported`] and [`WireError::Encode`]: what was in flight on it may or may not
/// have been done by the broker.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// No connection could be made.
    #[error("cannot connect to broker {broker}: {reason}")]
    Connect {
        /// `host:port` as dialled.
        broker: String,
        /// The operating system's word for it.
        reason: String,
    },
    /// The broker did not let us in.
    #[error("broker {broker} refuses to log us in by {mechanism}: {reason}")]
    Authentication {
        /// `host:port` as dialled.
        broker: String,
        /// The SASL mechanism.
        mechanism: &'static str,
        /// The broker's word for it, or ours.
        reason: String,
    },
    /// The connection broke, or was closed by the broker or by us.
    #[error("connection to broker {broker} is closed: {reason}")]
    Closed {
        /// `host:port` as dialled.
        broker: String,
        /// What closed it.
        reason: String,
    },
    /// No answer came before the request's deadline.
    #[error("broker {broker} did not answer {api} within {waited:?}")]
    Deadline {
        /// `host:port` as dialled.
        broker: String,
        /// Name of the request.
        api: &'static str,
        /// How long was waited.
        waited: Duration,
    },
    /// The broker and we share no version of a request that is needed.
    #[error(
        "broker {broker} offers {api} versions {offered}, but versions {needed} are needed: \
         upgrade that cluster"
    )]
    Unsupported {
        /// `host:port` as dialled.
        broker: String,
        /// Name of the request.
        api: &'static str,
        /// What the broker offers.
        offered: String,
        /// What we speak.
        needed: String,
    },
    /// The answer is not what the protocol says. Speaking to something that is not Kafka?
    #[error("broker {broker} sent a malformed answer to {api}: {reason}")]
    Malformed {
        /// `host:port` as dialled.
        broker: String,
        /// Name of the request.
        api: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A request of ours cannot be written in the negotiated version.
    #[error("cannot write {api} version {version}: {reason}")]
    Encode {
        /// Name of the request.
        api: &'static str,
        /// Negotiated version.
        version: i16,
        /// The encoder's reason.
        reason: String,
    },
}

impl WireError {
    /// Text of an I/O error without the operating system's number.
    pub(crate) fn io_reason(error: &io::Error) -> String {
        if let Some(reason) = security::tls_reason(error) {
            return reason;
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            io::ErrorKind::UnexpectedEof => "closed by the broker".to_owned(),
            io::ErrorKind::TimedOut => "timed out".to_owned(),
            _ => error.to_string(),
        }
    }
}
