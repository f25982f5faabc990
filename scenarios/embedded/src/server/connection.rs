//! One connection: requests in, answers out, one at a time and in order, as a broker does.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::Encodable;
use tokio::net::TcpStream;

use super::{Incoming, Link, Transport};
use crate::api;
use crate::cluster::Shared;
use crate::faults::{End, Fate};
use crate::security::{Entry, Session};

/// Why a connection is closed. The client is told nothing, as by a broker.
#[derive(Debug)]
pub(crate) struct Closed;

impl From<std::io::Error> for Closed {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<messages::DecodeError> for Closed {
    fn from(_: messages::DecodeError) -> Self {
        Self
    }
}

/// What a handler leaves to be sent.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The body, encoded; `header_version` is the response header's.
    Body { header_version: i16, body: BytesMut },
    /// Nothing: acks=0, or what a broker leaves unanswered.
    Silence,
}

impl Answer {
    /// Size of its body, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Body { body, .. } => body.len(),
            Self::Silence => 0,
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    node_id: i32,
    listener: usize,
    stream: TcpStream,
    peer: SocketAddr,
    entry: Entry,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    if shared.faults.any() {
        // A frozen broker answers no TLS handshake either.
        shared.faults.thawed(node_id).await;
    }
    let Ok((mut session, stream)) = Session::open(&shared, listener, stream, entry).await else {
        return;
    };
    let mut link = Link::new(stream, Arc::clone(&shared), node_id);
    // Ends with an error when either side closes.
    while let Ok(frame) = link.frame(session.request_bytes_max()).await {
        if session.takes_bare_tokens() {
            let Ok(answer) = session.bare_token(&frame).await else {
                return;
            };
            if link.send(answer, &[]).await.is_err() {
                return;
            }
            continue;
        }
        let Ok((incoming, correlation_id, body)) =
            parse(&shared, node_id, listener, peer, session.principal(), frame)
        else {
            return;
        };
        match serve_one(&mut link, &mut session, incoming, correlation_id, body).await {
            Ok(last) if last => return,
            Ok(_) => {}
            Err(end) => return link.end(end).await,
        }
    }
}

/// Has one request carried out and answered. True if the connection ends with this answer.
async fn serve_one<S: Transport>(
    link: &mut Link<S>,
    session: &mut Session,
    mut incoming: Incoming,
    correlation_id: i32,
    body: Bytes,
) -> Result<bool, End> {
    let shared = Arc::clone(&incoming.shared);
    let request_bytes = body.len();
    let mut fate = Fate::Handle;
    if shared.faults.any() {
        fate = shared.faults.before(link, &mut incoming, &body).await?;
    }
    let (mut answer, last) = match fate {
        Fate::Handle => link.during(session.answer(&incoming, body)).await??,
        Fate::Answer(answer) => (answer, false),
    };
    let mut schedule = None;
    if shared.faults.any() || incoming.faults.is_some() {
        schedule = Some(shared.faults.after(&incoming, request_bytes, &mut answer)?);
    }
    if let Answer::Body {
        header_version,
        body,
    } = answer
    {
        let head = head(correlation_id, header_version, body.len())?;
        match schedule {
            Some(schedule) if schedule.send_ms > shared.clock.now_ms() => {
                link.send_at(schedule.send_ms, head, &body);
            }
            _ => link.send(head, &body).await?,
        }
    }
    if let Some(schedule) = schedule {
        link.during(shared.clock.until(schedule.read_ms)).await?;
    }
    Ok(last)
}

/// Splits a frame into who asks for what, its correlation id and the request's body.
fn parse(
    shared: &Arc<Shared>,
    node_id: i32,
    listener: usize,
    peer: SocketAddr,
    principal: &Arc<str>,
    mut frame: Bytes,
) -> Result<(Incoming, i32, Bytes), Closed> {
    let key = frame
        .get(..2)
        .map(|key| i16::from_be_bytes([key[0], key[1]]))
        .ok_or(Closed)?;
    let version = frame
        .get(2..4)
        .map(|version| i16::from_be_bytes([version[0], version[1]]))
        .ok_or(Closed)?;
    let api = ApiKey::try_from(key).map_err(|()| Closed)?;
    // An ApiVersions request of a version from the future is answered, so its header must be readable: version 2 since v3.
    let header_version = match api {
        ApiKey::ApiVersions => {
            if version >= 3 {
                2
            } else {
                1
            }
        }
        _ if !api::offers(api, version) => return Err(Closed),
        _ => api.request_header_version(version),
    };
    let header: RequestHeader = messages::decode(&mut frame, header_version)?;
    let incoming = Incoming {
        shared: Arc::clone(shared),
        node_id,
        listener,
        peer,
        principal: Arc::clone(principal),
        client_id: header.client_id.unwrap_or_default(),
        api,
        version: api::layout(api, version),
        faults: None,
    };
    Ok((incoming, header.correlation_id, frame))
}

/// Length and header of an answer.
fn head(correlation_id: i32, header_version: i16, body_bytes: usize) -> Result<BytesMut, Closed> {
    let mut head = BytesMut::with_capacity(16);
    head.put_i32(0);
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header
        .encode(&mut head, header_version)
        .map_err(|_| Closed)?;
    let length = i32::try_from(head.len() - 4 + body_bytes).map_err(|_| Closed)?;
    if let Some(first) = head.first_chunk_mut::<4>() {
        *first = length.to_be_bytes();
    }
    Ok(head)
}
