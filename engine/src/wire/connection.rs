//! A connection to one broker.

mod login;
mod writer;

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::Request;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use self::writer::Writer;
use super::{
    BrokerVersions, BufferPool, Frame, Security, WireError, decode_response, encode_request,
};

/// Requests that may wait to be written on one connection; a further sender waits.
pub const PIPELINE_REQUESTS_MAX: usize = 256;
/// Longest answer that is read. Brokers cap a Fetch answer at 55 MB (`fetch.max.bytes`) plus one
/// batch; a longer length prefix means that the peer is not Kafka.
pub const RESPONSE_BYTES_MAX: usize = 256 << 20;
/// Read at once, so that a small answer (and what follows it) takes one system call instead of three: its
/// length, its body, and a third that finds nothing more. Unit: bytes, one page.
const READ_AHEAD_BYTES: usize = 4_096;
/// Correlation id of what is asked first behind ApiVersions. A listener that wants a login answers ApiVersions, and closes at
/// anything else (docs/spec/real-kafka.md 10).
const FIRST_REQUEST: i32 = 1;
const UNANSWERED: &str = "closed by the broker at the first request; if it wants clients to log in there, \
    security.protocol is SASL_PLAINTEXT or SASL_SSL";

/// How to connect.
#[derive(Clone)]
pub struct ConnectOptions {
    /// `client.id` in every request header.
    pub client_id: Arc<str>,
    /// Bound on all that comes before the first request: connecting, TLS, ApiVersions, logging in.
    pub connect_timeout: Duration,
    /// Bound on the answer to one request, the ApiVersions exchange included. MM2: `request.timeout.ms`.
    pub request_timeout: Duration,
    /// Where read buffers come from.
    pub pool: BufferPool,
    /// TLS and SASL. MM2: `security.protocol`, `ssl.*`, `sasl.*`.
    pub security: Security,
}

/// A pipelined connection; a cheap handle that any thread may hold.
///
/// Requests are written in the order in which they were submitted and answered in that order, since
/// a broker serves one connection one request at a time (`docs/spec/real-kafka.md` 6). Two tasks on
/// the runtime of [`Connection::connect`]'s caller own the socket. The first failure (deadline,
/// broken frame, I/O error) closes it: everything in flight fails with that reason.
/// Dropping the last handle closes it too.
#[derive(Clone)]
pub struct Connection {
    shared: Arc<Shared>,
    outgoing: mpsc::Sender<Outgoing>,
}

struct Shared {
    broker: String,
    client_id: Arc<str>,
    /// By SASL.
    logs_in: bool,
    versions: OnceLock<BrokerVersions>,
    next_correlation_id: AtomicI32,
    closed: AtomicBool,
    close_reason: OnceLock<WireError>,
    close: Notify,
    expected: Mutex<VecDeque<Expected>>,
    expected_added: Notify,
}

struct Outgoing {
    frame: Frame,
    timeout: Duration,
    reply: oneshot::Sender<Bytes>,
}

/// An answer that the reader waits for.
struct Expected {
    correlation_id: i32,
    api: &'static str,
    timeout: Duration,
    deadline: Instant,
    reply: oneshot::Sender<Bytes>,
}

/// An answer on its way: resolves to its bytes, beginning at the correlation id.
pub struct Pending {
    shared: Arc<Shared>,
    reply: oneshot::Receiver<Bytes>,
}

impl Future for Pending {
    type Output = Result<Bytes, WireError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.reply).poll(cx));
        Poll::Ready(answer.map_err(|_| self.shared.reason()))
    }
}

impl Connection {
    /// Connects to `host:port` and learns what the broker offers.
    ///
    /// # Errors
    /// [`WireError::Connect`] when nobody answers there, [`WireError::Deadline`] when someone does
    /// who never says anything, [`WireError::Malformed`] when it is not a Kafka broker.
    pub async fn connect(
        host: &str,
        port: u16,
        options: &ConnectOptions,
    ) -> Result<Self, WireError> {
        let broker = format!("{host}:{port}");
        let deadline = Instant::now() + options.connect_timeout;
        let refused = |reason: String| WireError::Connect {
            broker: broker.clone(),
            reason,
        };
        let stream = timeout_at(deadline, TcpStream::connect((host, port)))
            .await
            .map_err(|_| refused(format!("no answer within {:?}", options.connect_timeout)))?
            .map_err(|error| refused(WireError::io_reason(&error)))?;
        stream
            .set_nodelay(true)
            .map_err(|error| refused(error.to_string()))?;
        // A half-open connection (peer's machine gone) shows itself even when nothing is in flight.
        socket2::SockRef::from(&stream)
            .set_keepalive(true)
            .map_err(|error| refused(error.to_string()))?;

        let Some(tls) = options.security.tls() else {
            let (read, write) = stream.into_split();
            return Self::over(read, write, broker, options, deadline).await;
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            refused("its host name is none that a certificate could be for".to_owned())
        })?;
        let handshake = TlsConnector::from(tls.config()).connect(name, stream);
        let stream = timeout_at(deadline, handshake)
            .await
            .map_err(|_| refused(format!("no TLS within {:?}", options.connect_timeout)))?
            .map_err(|error| refused(handshake_reason(&error)))?;
        let (read, write) = tokio::io::split(stream);
        Self::over(read, write, broker, options, deadline).await
    }

    /// What a fresh stream needs before it serves requests.
    async fn over(
        read: impl AsyncRead + Unpin + Send + 'static,
        write: impl AsyncWrite + Unpin + Send + 'static,
        broker: String,
        options: &ConnectOptions,
        deadline: Instant,
    ) -> Result<Self, WireError> {
        let (outgoing, to_write) = mpsc::channel(PIPELINE_REQUESTS_MAX);
        let shared = Arc::new(Shared {
            broker,
            client_id: options.client_id.clone(),
            logs_in: options.security.sasl().is_some(),
            versions: OnceLock::new(),
            next_correlation_id: AtomicI32::new(0),
            closed: AtomicBool::new(false),
            close_reason: OnceLock::new(),
            close: Notify::new(),
            expected: Mutex::default(),
            expected_added: Notify::new(),
        });
        tokio::spawn(read_loop(shared.clone(), read, options.pool.clone()));
        let mut writer = Writer {
            shared: shared.clone(),
            socket: write,
        };
        let ready = writer.prepare(options, deadline).await;
        // A caller that is gone, or an error: the reader must not wait for ever.
        let renewal = ready.inspect_err(|error| shared.fail(error.clone()))?;
        tokio::spawn(writer.run(to_write, renewal));
        Ok(Self { shared, outgoing })
    }

    /// `host:port` as dialled.
    pub fn broker(&self) -> &str {
        &self.shared.broker
    }

    /// Our `client.id`.
    pub fn client_id(&self) -> &str {
        &self.shared.client_id
    }

    /// What the broker offers.
    pub fn versions(&self) -> &BrokerVersions {
        static NONE: OnceLock<BrokerVersions> = OnceLock::new();
        self.shared
            .versions
            .get()
            .unwrap_or_else(|| NONE.get_or_init(BrokerVersions::default))
    }

    /// True once nothing can be sent any more; [`Self::close_reason`] says why.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }

    /// Why the connection is closed.
    pub fn close_reason(&self) -> WireError {
        self.shared.reason()
    }

    /// Closes the connection: everything in flight fails with `reason`.
    pub fn close(&self, reason: &str) {
        self.shared.fail(WireError::Closed {
            broker: self.shared.broker.clone(),
            reason: reason.to_owned(),
        });
    }

    /// Sends a request and waits for its answer. `ours_max` is the highest version that the caller
    /// understands.
    ///
    /// # Errors
    /// Any [`WireError`].
    pub async fn request<R: Request>(
        &self,
        api: &'static str,
        body: &R,
        ours_max: i16,
        timeout: Duration,
    ) -> Result<R::Response, WireError> {
        let version = self.versions().best::<R>(api, ours_max)?;
        self.request_version(api, body, version, timeout).await
    }

    /// As [`Self::request`], in exactly `version`.
    ///
    /// # Errors
    /// Any [`WireError`].
    pub async fn request_version<R: Request>(
        &self,
        api: &'static str,
        body: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, WireError> {
        let frame = encode_request(api, body, version, &self.shared.client_id)?;
        let answer = self.send(frame, timeout).await?.await?;
        decode_response(answer, version).map_err(|reason| self.malformed(api, reason))
    }

    /// Queues a frame, waiting while the pipeline is full. The deadline runs from its writing.
    ///
    /// # Errors
    /// [`WireError::Closed`] or what else closed the connection.
    pub async fn send(&self, frame: Frame, timeout: Duration) -> Result<Pending, WireError> {
        let (reply, answer) = oneshot::channel();
        let outgoing = Outgoing {
            frame,
            timeout,
            reply,
        };
        self.outgoing
            .send(outgoing)
            .await
            .map_err(|_| self.shared.reason())?;
        Ok(Pending {
            shared: self.shared.clone(),
            reply: answer,
        })
    }

    /// As [`Self::send`] without waiting, for a caller that bounds its own requests in flight well
    /// below [`PIPELINE_REQUESTS_MAX`].
    ///
    /// # Errors
    /// What closed the connection; a full pipeline closes it, since it breaks the caller's promise.
    pub fn try_send(&self, frame: Frame, timeout: Duration) -> Result<Pending, WireError> {
        let (reply, answer) = oneshot::channel();
        match self.outgoing.try_send(Outgoing {
            frame,
            timeout,
            reply,
        }) {
            Ok(()) => Ok(Pending {
                shared: self.shared.clone(),
                reply: answer,
            }),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.shared.reason()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.close("too many requests in flight");
                Err(self.shared.reason())
            }
        }
    }

    /// Closes the connection for an answer that cannot be read.
    pub fn malformed(&self, api: &'static str, reason: String) -> WireError {
        self.shared.malformed(api, reason)
    }
}

impl Shared {
    fn reason(&self) -> WireError {
        self.close_reason
            .get()
            .cloned()
            .unwrap_or_else(|| WireError::Closed {
                broker: self.broker.clone(),
                reason: "closed by us".to_owned(),
            })
    }

    fn malformed(&self, api: &'static str, reason: String) -> WireError {
        let error = WireError::Malformed {
            broker: self.broker.clone(),
            api,
            reason,
        };
        self.fail(error.clone());
        error
    }

    /// Closes with the first reason given; later ones are only consequences.
    fn fail(&self, error: WireError) {
        self.close_reason.get_or_init(|| error);
        self.closed.store(true, Ordering::Release);
        self.close.notify_waiters();
        self.close.notify_one();
        self.expected_added.notify_one();
        // Dropping the senders wakes everyone who waits for an answer.
        self.lock_expected().clear();
    }

    fn fail_io(&self, error: &io::Error) {
        let reason = WireError::io_reason(error);
        self.fail(WireError::Closed {
            broker: self.broker.clone(),
            reason,
        });
    }

    /// Held for a push or a pop only. A poisoned lock cannot happen: nothing in between panics.
    fn lock_expected(&self) -> std::sync::MutexGuard<'_, VecDeque<Expected>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads answers and hands each to the request that it belongs to.
async fn read_loop(shared: Arc<Shared>, mut socket: impl AsyncRead + Unpin, pool: BufferPool) {
    let mut ahead = BytesMut::with_capacity(READ_AHEAD_BYTES);
    let failure = loop {
        if shared.closed.load(Ordering::Acquire) {
            return;
        }
        let answer = tokio::select! {
            biased;
            () = shared.close.notified() => return,
            answer = read_answer(&shared, &mut socket, &mut ahead, &pool) => answer,
        };
        match answer {
            Ok((expected, bytes)) => drop(expected.reply.send(bytes)), // nobody waits: fine
            Err(failure) => break failure,
        }
    };
    shared.fail(failure);
}

/// Waits for the next answer and checks that it is the one expected next. `ahead` holds what was read beyond the
/// last one.
async fn read_answer(
    shared: &Shared,
    socket: &mut (impl AsyncRead + Unpin),
    ahead: &mut BytesMut,
    pool: &BufferPool,
) -> Result<(Expected, Bytes), WireError> {
    let closed = |error: io::Error| WireError::Closed {
        broker: shared.broker.clone(),
        reason: WireError::io_reason(&error),
    };
    let length = loop {
        if let Some(length) = ahead.first_chunk::<4>() {
            break *length;
        }
        ahead.reserve(READ_AHEAD_BYTES - ahead.len());
        // The deadline of the oldest request; none while nothing is expected.
        let oldest = shared
            .lock_expected()
            .front()
            .map(|e| (e.deadline, e.api, e.timeout, e.correlation_id));
        let until = oldest.map(|(deadline, ..)| deadline);
        tokio::select! {
            read = socket.read_buf(ahead) => {
                if read.map_err(closed)? == 0 {
                    return Err(match oldest {
                        Some((.., FIRST_REQUEST)) if !shared.logs_in => WireError::Closed {
                            broker: shared.broker.clone(),
                            reason: UNANSWERED.to_owned(),
                        },
                        _ => closed(io::ErrorKind::UnexpectedEof.into()),
                    });
                }
            }
            () = shared.expected_added.notified(), if until.is_none() => {}
            () = sleep_until(until), if until.is_some() => {
                let (_, api, waited, _) = oldest.unwrap_or((Instant::now(), "", Duration::ZERO, 0));
                return Err(WireError::Deadline { broker: shared.broker.clone(), api, waited });
            }
        }
    };
    let Some(expected) = shared.lock_expected().pop_front() else {
        return Err(WireError::Closed {
            broker: shared.broker.clone(),
            reason: "the broker sent bytes that nobody asked for".to_owned(),
        });
    };
    let malformed = |reason: String| WireError::Malformed {
        broker: shared.broker.clone(),
        api: expected.api,
        reason,
    };
    let length = usize::try_from(i32::from_be_bytes(length))
        .ok()
        .filter(|length| (4..=RESPONSE_BYTES_MAX).contains(length))
        .ok_or_else(|| malformed(foreign(ahead)))?;
    ahead.advance(4);
    let mut buffer = pool.take(length);
    let here = length.min(ahead.len());
    buffer
        .buffer
        .extend_from_slice(ahead.get(..here).unwrap_or_default());
    ahead.advance(here);
    let read_all = async {
        while buffer.buffer.len() < length {
            let left = length - buffer.buffer.len();
            if socket
                .read_buf(&mut (&mut buffer.buffer).limit(left))
                .await?
                == 0
            {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
        }
        Ok(())
    };
    // The answer has begun: give the rest of it the whole timeout again, it may be large and far.
    match timeout_at(Instant::now() + expected.timeout, read_all).await {
        Ok(read) => read.map_err(closed)?,
        Err(_) => {
            let (broker, api) = (shared.broker.clone(), expected.api);
            return Err(WireError::Deadline {
                broker,
                api,
                waited: expected.timeout,
            });
        }
    }
    let id = buffer
        .buffer
        .first_chunk::<4>()
        .map_or(-1, |id| i32::from_be_bytes(*id));
    if id != expected.correlation_id {
        return Err(malformed(format!(
            "correlation id {id} instead of {}",
            expected.correlation_id
        )));
    }
    Ok((expected, buffer.freeze()))
}

/// What begins with no possible length.
fn foreign(answer: &[u8]) -> String {
    /// An alert of TLS: what a listener with TLS answers to anything else.
    const TLS_ALERT: [u8; 2] = [0x15, 0x03];
    if answer.starts_with(&TLS_ALERT) {
        return "it speaks TLS; security.protocol has to be SSL or SASL_SSL".to_owned();
    }
    "the length prefix is out of range: not a Kafka broker?".to_owned()
}

/// A listener without TLS closes at the first bytes of a handshake.
fn handshake_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "closed by the broker during the TLS handshake; is it a listener without TLS?"
                .to_owned()
        }
        _ => WireError::io_reason(error),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
