//! One connection: requests in, answers out, one at a time and in order, as a broker does.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::Encodable;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Incoming;
use crate::api;
use crate::cluster::Shared;
use crate::security::{Entry, Session, Transport};

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
    let Ok((mut session, mut stream)) = Session::open(&shared, listener, stream, entry).await
    else {
        return;
    };
    // Ends with an error when either side closes.
    while let Ok(frame) = read_frame(&mut stream, session.request_bytes_max()).await {
        if session.takes_bare_tokens() {
            let Ok(answer) = session.bare_token(&frame).await else {
                return;
            };
            if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            continue;
        }
        let Ok((incoming, correlation_id, body)) =
            parse(&shared, node_id, listener, peer, session.principal(), frame)
        else {
            return;
        };
        let Ok((answer, last)) = session.answer(&incoming, body).await else {
            return;
        };
        if let Answer::Body {
            header_version,
            body,
        } = answer
            && write_frame(&mut stream, correlation_id, header_version, &body)
                .await
                .is_err()
        {
            return;
        }
        if last {
            return;
        }
    }
}

async fn read_frame(stream: &mut Transport, bytes_max: usize) -> Result<Bytes, Closed> {
    let length = usize::try_from(stream.read_i32().await?).map_err(|_| Closed)?;
    if length > bytes_max {
        return Err(Closed);
    }
    // Grows with what arrives, not with what is announced.
    let mut frame = BytesMut::with_capacity(length.min(64 << 10));
    let mut limited = stream.take(length as u64);
    while frame.len() < length {
        frame.reserve((length - frame.len()).min(1 << 20));
        if limited.read_buf(&mut frame).await? == 0 {
            return Err(Closed);
        }
    }
    Ok(frame.freeze())
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
        version,
    };
    Ok((incoming, header.correlation_id, frame))
}

async fn write_frame(
    stream: &mut Transport,
    correlation_id: i32,
    header_version: i16,
    body: &[u8],
) -> Result<(), Closed> {
    let mut head = BytesMut::with_capacity(16);
    head.put_i32(0);
    let header = ResponseHeader::default().with_correlation_id(correlation_id);
    header
        .encode(&mut head, header_version)
        .map_err(|_| Closed)?;
    let length = i32::try_from(head.len() - 4 + body.len()).map_err(|_| Closed)?;
    head[..4].copy_from_slice(&length.to_be_bytes());
    if body.len() < 32 << 10 {
        head.extend_from_slice(body);
        stream.write_all(&head).await?;
    } else {
        stream.write_all(&head).await?;
        stream.write_all(body).await?;
    }
    stream.flush().await?; // TLS may hold something back
    Ok(())
}
