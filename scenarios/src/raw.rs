//! A blocking client that sends any request in any version, right or wrong, and hands back what came.
//!
//! librdkafka and the Java client never send what a broker would refuse; this one does. It knows no
//! retries, no metadata and no state: one request, one answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

/// How long a broker may take to answer, unless [`RawClient::set_patience`] says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Largest answer that is read; `fetch.max.bytes` is 55 MB by default.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// Longest wait for a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer. The first two are things that brokers do, and that tests compare.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// The broker closed the connection instead of answering; [`RawClient::reconnect`] before the next request.
    #[error("the broker closed the connection")]
    Closed,
    /// Nothing came in time; a late answer would be taken for the next one, so reconnect.
    #[error("no answer after {} ms", patience.as_millis())]
    NoAnswer {
        /// What was waited.
        patience: Duration,
    },
    /// The request has a field that its version does not know, or the version is unknown: nothing was sent.
    #[error("the request cannot be encoded in version {version}: {reason}")]
    Encode {
        /// The version asked for.
        version: i16,
        /// The encoder's words.
        reason: String,
    },
    /// The answer is not what its version says.
    #[error("the answer in version {version} cannot be decoded: {reason}")]
    Decode {
        /// The version asked for.
        version: i16,
        /// The decoder's words.
        reason: String,
    },
    /// The connection could not be made or used.
    #[error("connection to {address} failed")]
    Io {
        /// The broker.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

/// One connection to one broker; requests are answered one after the other.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    address: SocketAddr,
    client_id: String,
    patience: Duration,
    correlation_id: i32,
}

impl RawClient {
    /// Connects to `address`, such as `127.0.0.1:9092`. Client id: `raw`.
    ///
    /// # Errors
    /// [`RawError::Io`] if nobody listens there.
    pub fn connect(address: &str) -> Result<Self, RawError> {
        let unresolved = |source| RawError::Io {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            source,
        };
        let address = address
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(unresolved)?;
        Ok(Self {
            stream: open(address)?,
            address,
            client_id: "raw".to_owned(),
            patience: PATIENCE,
            correlation_id: 0,
        })
    }

    /// Sends `client_id` from now on.
    #[must_use]
    pub fn with_client_id(mut self, client_id: &str) -> Self {
        client_id.clone_into(&mut self.client_id);
        self
    }

    /// Waits `patience` for each answer from now on. Default: [`PATIENCE`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The broker's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops the connection and makes a new one.
    ///
    /// # Errors
    /// [`RawError::Io`].
    pub fn reconnect(&mut self) -> Result<(), RawError> {
        self.stream = open(self.address)?;
        Ok(())
    }

    /// Sends `request` in `version` and waits for its answer.
    ///
    /// # Errors
    /// As [`RawError`] lists them; after any but [`RawError::Encode`] the connection is of no further use.
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, RawError> {
        let encode = |reason: String| RawError::Encode { version, reason };
        self.correlation_id = self.correlation_id.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_string(self.client_id.clone())));
        let mut frame = BytesMut::new();
        header
            .encode(&mut frame, R::header_version(version))
            .and_then(|()| request.encode(&mut frame, version))
            .map_err(|e| encode(format!("{e:#}")))?;
        let mut answer = self.send_frame(&frame)?;
        let decode = |reason: String| RawError::Decode { version, reason };
        let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version))
            .map_err(|e| decode(format!("{e:#}")))?;
        if header.correlation_id != self.correlation_id {
            let (found, sent) = (header.correlation_id, self.correlation_id);
            return Err(decode(format!("correlation id {found}, not {sent}")));
        }
        let response =
            R::Response::decode(&mut answer, version).map_err(|e| decode(format!("{e:#}")))?;
        match answer.len() {
            0 => Ok(response),
            more => Err(decode(format!("{more} bytes are left over"))),
        }
    }

    /// Sends the bytes of a request, header included and length not, and returns those of the answer.
    ///
    /// # Errors
    /// [`RawError::Closed`], [`RawError::NoAnswer`] or [`RawError::Io`].
    pub fn send_frame(&mut self, frame: &[u8]) -> Result<Bytes, RawError> {
        let length = u32::try_from(frame.len()).map_err(|_| RawError::Encode {
            version: -1,
            reason: format!("{} bytes do not fit into a frame", frame.len()),
        })?;
        let end = Instant::now() + self.patience;
        let whole = [&length.to_be_bytes(), frame].concat();
        self.stream.write_all(&whole).map_err(|e| self.failed(e))?;
        let mut length = [0; 4];
        self.read(&mut length, end)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > ANSWER_BYTES_MAX {
            let reason = format!("{length} bytes are more than {ANSWER_BYTES_MAX}");
            return Err(RawError::Decode {
                version: -1,
                reason,
            });
        }
        let mut answer = vec![0; length];
        self.read(&mut answer, end)?;
        Ok(answer.into())
    }

    fn read(&mut self, mut to: &mut [u8], end: Instant) -> Result<(), RawError> {
        while !to.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            let left = left.max(Duration::from_millis(1)); // zero would mean for ever
            let count = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(to));
            match count {
                Ok(0) => return Err(RawError::Closed),
                Ok(count) => to = &mut to[count..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        Ok(())
    }

    fn failed(&self, source: io::Error) -> RawError {
        match source.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => RawError::Closed,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => RawError::NoAnswer {
                patience: self.patience,
            },
            _ => RawError::Io {
                address: self.address,
                source,
            },
        }
    }
}

fn open(address: SocketAddr) -> Result<TcpStream, RawError> {
    TcpStream::connect_timeout(&address, CONNECT_PATIENCE)
        .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
        .map_err(|source| RawError::Io { address, source })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use kafka_protocol::messages::{ApiVersionsRequest, FindCoordinatorRequest};

    use super::*;

    /// A broker that reads one frame and answers with these bytes; empty: closes.
    fn broker(answer: &'static [u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut frame).unwrap();
            stream.write_all(answer).unwrap();
        });
        address
    }

    #[test]
    fn an_answer_is_decoded_to_its_last_byte() {
        // correlation id 1, error 35, one key: 18, 0 to 4
        const ANSWER: [u8; 20] = [
            0, 0, 0, 16, 0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4,
        ];
        let mut client = RawClient::connect(&broker(&ANSWER)).unwrap();
        let answer = client.send(0, &ApiVersionsRequest::default()).unwrap();
        assert_eq!((answer.error_code, answer.api_keys.len()), (35, 1));
        const LONGER: [u8; 21] = [
            0, 0, 0, 17, 0, 0, 0, 1, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4, 9,
        ];
        let mut client = RawClient::connect(&broker(&LONGER)).unwrap();
        let error = client.send(0, &ApiVersionsRequest::default()).unwrap_err();
        assert!(
            error.to_string().contains("1 bytes are left over"),
            "{error}"
        );
    }

    #[test]
    fn a_closed_connection_is_told_from_a_request_that_cannot_be() {
        let mut client = RawClient::connect(&broker(&[])).unwrap();
        let request = FindCoordinatorRequest::default().with_key("k".into());
        let error = client.send(4, &request).unwrap_err();
        assert!(
            matches!(error, RawError::Encode { version: 4, .. }),
            "{error}"
        );
        let error = client.send(1, &request).unwrap_err();
        assert!(matches!(error, RawError::Closed), "{error}");
    }
}
