//! The writing half of a connection: requests in order, and what is said before the first.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::login::Login;
use super::{ConnectOptions, Expected, Outgoing, Shared, sleep_until};
use crate::wire::{BrokerVersions, Frame, WireError, decode_response, encode_request};

/// Slices given to one vectored write; the operating system takes at most 1,024.
const WRITE_SLICES_MAX: usize = 1_024;
/// The error of ApiVersions that asks for an older version of it (KIP-511).
const UNSUPPORTED_VERSION: i16 = 35;

/// Owns the socket's writing half. The connection ends with it.
pub(super) struct Writer<W> {
    pub(super) shared: Arc<Shared>,
    pub(super) socket: W,
}

impl<W> Drop for Writer<W> {
    fn drop(&mut self) {
        self.shared.fail(WireError::Closed {
            broker: self.shared.broker.clone(),
            reason: "closed by us".to_owned(),
        });
    }
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    /// Learns what the broker offers, and logs in where that is asked for.
    pub(super) async fn prepare(
        &mut self,
        options: &ConnectOptions,
        deadline: Instant,
    ) -> Result<Option<Login>, WireError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let versions = self.api_versions(left.min(options.request_timeout)).await?;
        // Set once, here, before anybody else holds the connection.
        let versions = self.shared.versions.get_or_init(|| versions).clone();
        let Some(sasl) = options.security.sasl() else {
            return Ok(None);
        };
        let mut login = Login::new(sasl.clone(), &versions, options.request_timeout)?;
        login.log_in(self, deadline).await?;
        Ok(Some(login))
    }

    /// Writes requests in order, and logs in again when it is time. Ends when the last handle is gone or the connection is closed.
    pub(super) async fn run(
        mut self,
        mut outgoing: mpsc::Receiver<Outgoing>,
        mut login: Option<Login>,
    ) {
        while !self.shared.closed.load(Ordering::Acquire) {
            let renewal = login.as_ref().and_then(Login::renewal);
            let next = tokio::select! {
                biased;
                () = self.shared.close.notified() => break,
                () = sleep_until(renewal), if renewal.is_some() => None,
                next = outgoing.recv() => match next {
                    Some(next) => Some(next),
                    None => break,
                },
            };
            match (next, &mut login) {
                (Some(next), _) => self.write(next).await,
                (None, Some(login)) => {
                    let deadline = Instant::now() + login.timeout();
                    if let Err(error) = login.log_in(&mut self, deadline).await {
                        self.shared.fail(error);
                    }
                }
                (None, None) => {}
            }
        }
        outgoing.close();
    }

    /// Writes one request. What fails closes the connection.
    async fn write(&mut self, outgoing: Outgoing) {
        let Outgoing {
            mut frame,
            timeout,
            reply,
        } = outgoing;
        let shared = &self.shared;
        let correlation_id = shared.next_correlation_id.fetch_add(1, Ordering::Relaxed);
        if !frame.seal(correlation_id) || shared.closed.load(Ordering::Acquire) {
            return; // dropping `reply` tells the caller
        }
        let deadline = Instant::now() + timeout;
        shared.lock_expected().push_back(Expected {
            correlation_id,
            api: frame.api(),
            timeout,
            deadline,
            reply,
        });
        shared.expected_added.notify_one();
        match timeout_at(deadline, write_frame(&mut self.socket, &frame)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => shared.fail_io(&error),
            Err(_) => shared.fail(WireError::Deadline {
                broker: shared.broker.clone(),
                api: frame.api(),
                waited: timeout,
            }),
        }
    }

    /// Asks while nobody else writes.
    pub(super) async fn request<R: Request>(
        &mut self,
        api: &'static str,
        body: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, WireError> {
        let frame = encode_request(api, body, version, &self.shared.client_id)?;
        let answer = self.ask(frame, timeout).await?;
        decode_response(answer, version).map_err(|reason| self.shared.malformed(api, reason))
    }

    async fn ask(&mut self, frame: Frame, timeout: Duration) -> Result<Bytes, WireError> {
        let (reply, answer) = oneshot::channel();
        self.write(Outgoing {
            frame,
            timeout,
            reply,
        })
        .await;
        answer.await.map_err(|_| self.shared.reason())
    }

    /// ApiVersions v3, and v0 when the broker is too old for it: it answers error 35 in v0's form.
    async fn api_versions(&mut self, timeout: Duration) -> Result<BrokerVersions, WireError> {
        const API: &str = "ApiVersions";
        let body = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("crosscurrent"))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        let frame = encode_request(API, &body, 3, &self.shared.client_id)?;
        let answer = self.ask(frame, timeout).await?;
        // Error code: right after the correlation id, in every version.
        let code = answer
            .get(4..6)
            .map(|code| i16::from_be_bytes([code[0], code[1]]));
        let answer = if code == Some(UNSUPPORTED_VERSION) {
            let body = ApiVersionsRequest::default();
            self.request(API, &body, 0, timeout).await?
        } else {
            decode_response::<ApiVersionsResponse>(answer, 3)
                .map_err(|reason| self.shared.malformed(API, reason))?
        };
        if answer.error_code != 0 {
            let reason = format!("error code {}", answer.error_code);
            return Err(self.shared.malformed(API, reason));
        }
        Ok(BrokerVersions::new(&self.shared.broker, &answer))
    }
}

async fn write_frame(socket: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> io::Result<()> {
    let mut slices = frame.slices();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let now = left.len().min(WRITE_SLICES_MAX);
        let written = socket.write_vectored(&left[..now]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        io::IoSlice::advance_slices(&mut left, written);
    }
    // Nothing to do on a bare socket; TLS may hold back what the socket did not take at once.
    socket.flush().await
}
