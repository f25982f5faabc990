//! The bytes of one connection: frames in, answers out, some of them later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::Closed;
use crate::cluster::Shared;
use crate::faults::End;

/// Room for what is read at once; most requests fit.
const READ_BYTES: usize = 8 << 10;

/// Room is made step by step for a long request: it grows with what arrives, not with what is announced.
const READ_BYTES_MAX: usize = 1 << 20;

/// Longer answers are not copied behind their header.
const JOIN_BYTES_MAX: usize = 32 << 10;

/// Most answers that may be under way on a slow line; then the next request is not read.
const LATE_MAX: usize = 1_000;

/// How often a dead connection looks whether its client is gone.
const DEAD_LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a connection runs on.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// The TCP connection below.
    fn tcp(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

/// One connection. Answers leave in the order in which they are given to it; while the broker is frozen, none does.
#[derive(Debug)]
pub(crate) struct Link<S> {
    stream: S,
    shared: Arc<Shared>,
    node_id: i32,
    read: BytesMut,
    /// Answers that are under way, and when they arrive.
    late: VecDeque<(i64, BytesMut)>,
}

impl<S: Transport> Link<S> {
    pub(crate) fn new(stream: S, shared: Arc<Shared>, node_id: i32) -> Self {
        Self {
            stream,
            shared,
            node_id,
            read: BytesMut::new(),
            late: VecDeque::new(),
        }
    }

    /// The next request without its length.
    ///
    /// # Errors
    /// [`Closed`] at its end, or for one of more than `bytes_max`.
    pub(crate) async fn frame(&mut self, bytes_max: usize) -> Result<Bytes, Closed> {
        loop {
            let due = self.late.front().map(|(due_ms, _)| *due_ms);
            let full = self.late.len() >= LATE_MAX;
            let Self {
                stream,
                read,
                shared,
                ..
            } = self;
            match due {
                None => return read_frame(stream, read, bytes_max).await,
                Some(due_ms) => tokio::select! {
                    frame = read_frame(stream, read, bytes_max), if !full => return frame,
                    () = shared.clock.until(due_ms) => {}
                },
            }
            self.send_next().await?;
        }
    }

    /// Does something else; answers that are under way arrive meanwhile.
    ///
    /// # Errors
    /// [`Closed`] if such an answer cannot be sent.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Closed> {
        let mut work = std::pin::pin!(work);
        loop {
            let Some((due_ms, _)) = self.late.front() else {
                return Ok(work.await);
            };
            tokio::select! {
                done = &mut work => return Ok(done),
                () = self.shared.clock.until(*due_ms) => {}
            }
            self.send_next().await?;
        }
    }

    /// Sends an answer now, unless others are under way: then behind them.
    ///
    /// # Errors
    /// [`Closed`] if the client is gone.
    pub(crate) async fn send(&mut self, head: BytesMut, body: &[u8]) -> Result<(), Closed> {
        let last = self.late.back().map(|(due_ms, _)| *due_ms);
        match last {
            None => self.write(head, body).await,
            Some(last_ms) => {
                self.send_at(last_ms, head, body);
                Ok(())
            }
        }
    }

    /// Lets an answer arrive at a moment; not before those that were sent before.
    pub(crate) fn send_at(&mut self, due_ms: i64, mut head: BytesMut, body: &[u8]) {
        let last = self.late.back().map_or(due_ms, |(last_ms, _)| *last_ms);
        head.extend_from_slice(body);
        self.late.push_back((due_ms.max(last), head));
    }

    async fn send_next(&mut self) -> Result<(), Closed> {
        match self.late.pop_front() {
            Some((_, answer)) => self.write(answer, &[]).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, mut head: BytesMut, body: &[u8]) -> Result<(), Closed> {
        if self.shared.faults.any() {
            self.shared.faults.thawed(self.node_id).await;
        }
        if body.len() < JOIN_BYTES_MAX {
            head.extend_from_slice(body);
            self.stream.write_all(&head).await?;
        } else {
            self.stream.write_all(&head).await?;
            self.stream.write_all(body).await?;
        }
        // Nothing to do on TCP; TLS may hold bytes back.
        self.stream.flush().await?;
        Ok(())
    }

    /// Ends the connection as a fault wants it. What is under way does not arrive.
    pub(crate) async fn end(mut self, end: End) {
        match end {
            End::Closed => {}
            // Closing a socket that does not linger sends RST. If that cannot be set, it is merely closed.
            End::Reset => drop(self.stream.tcp().set_zero_linger()),
            End::Silent => {
                // Until the client closes.
                while let Ok(1..) = self.stream.read_buf(&mut self.read).await {
                    self.read.clear();
                }
            }
            End::Dead => loop {
                match self.stream.tcp().ready(Interest::READABLE).await {
                    Ok(ready) if !ready.is_read_closed() => {}
                    _ => return,
                }
                tokio::time::sleep(DEAD_LOOK_EVERY).await;
            },
        }
    }
}

/// Reads one frame. May be dropped at any time: what has arrived stays in `read`.
pub(super) async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    read: &mut BytesMut,
    bytes_max: usize,
) -> Result<Bytes, Closed> {
    loop {
        let missing = match read.first_chunk::<4>() {
            None => READ_BYTES,
            Some(length) => {
                let length = usize::try_from(i32::from_be_bytes(*length)).map_err(|_| Closed)?;
                if length > bytes_max {
                    return Err(Closed);
                }
                if let Some(missing) = (length + 4)
                    .checked_sub(read.len())
                    .filter(|bytes| *bytes > 0)
                {
                    missing
                } else {
                    read.advance(4);
                    return Ok(read.split_to(length).freeze());
                }
            }
        };
        read.reserve(missing.min(READ_BYTES_MAX));
        if stream.read_buf(read).await? == 0 {
            return Err(Closed);
        }
    }
}
