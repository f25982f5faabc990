//! A connection without a socket, for fuzzing: bytes in, answers out, everything between as with one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::connection::{Answer, Closed, head, parse};
use super::link::read_frame;
use crate::cluster::Shared;
use crate::security::{ANONYMOUS, Entry, Session};

/// The connection: what has arrived, and who is at the other end. Faults are left out.
pub(crate) struct Deaf<'a> {
    shared: Arc<Shared>,
    listener: usize,
    session: Session,
    stream: &'a [u8],
    read: BytesMut,
}

impl<'a> Deaf<'a> {
    /// A client that sends `stream` to a listener of broker 1, and then hangs up.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        listener: usize,
        stream: &'a [u8],
    ) -> Result<Self, Closed> {
        let entry = Entry::new(shared, &ANONYMOUS.into());
        Ok(Self {
            shared: Arc::clone(shared),
            listener,
            session: Session::new(shared, listener, None, entry)?,
            stream,
            read: BytesMut::new(),
        })
    }

    /// The next frame; an error at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Result<Bytes, Closed> {
        let bytes_max = self.session.request_bytes_max();
        read_frame(&mut self.stream, &mut self.read, bytes_max).await
    }

    /// Carries a frame out; the answer as it would be sent, without its body's copy behind it.
    pub(crate) async fn serve(&mut self, frame: Bytes) -> Result<(BytesMut, BytesMut), Closed> {
        if self.session.takes_bare_tokens() {
            let answer = self.session.bare_token(&frame).await?;
            return Ok((answer, BytesMut::new()));
        }
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let principal = self.session.principal();
        let (incoming, correlation_id, body) =
            parse(&self.shared, 1, self.listener, peer, principal, frame)?;
        match self.session.answer(&incoming, body).await? {
            (_, true) => Err(Closed),
            (Answer::Silence, _) => Ok(Default::default()),
            (
                Answer::Body {
                    header_version,
                    body,
                },
                _,
            ) => Ok((head(correlation_id, header_version, body.len())?, body)),
        }
    }
}
