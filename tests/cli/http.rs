//! Just enough HTTP to ask the REST API, also things that no client would.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may fail a test"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Bound on one answer.
const PATIENCE: Duration = Duration::from_secs(100);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Status line and headers.
    #[allow(dead_code, reason = "not all programs that share this file look at it")]
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The first header of that name, given in lower case.
    #[allow(dead_code, reason = "not all programs that share this file look at it")]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(one, _)| one.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

/// `host:port` of the server, from what the product has said.
pub(crate) fn address_in(output: &str) -> Option<String> {
    let (_, rest) = output.split_once("REST and metrics url=\"http://")?;
    Some(rest.split_once('"')?.0.to_owned())
}

/// One request, as JSON if there is a body.
pub(crate) fn ask(address: &str, method: &str, path: &str, body: &str) -> Answer {
    ask_as(address, method, path, "application/json", body)
}

/// One request with a body of this type.
pub(crate) fn ask_as(address: &str, method: &str, path: &str, kind: &str, body: &str) -> Answer {
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    send(address, request.as_bytes()).expect("an answer")
}

/// These bytes as they are; none if the server closes without an answer.
pub(crate) fn send(address: &str, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(&mut stream, bytes)
}

/// As [`send`], on a connection that is there.
pub(crate) fn exchange(stream: &mut (impl Read + Write), bytes: &[u8]) -> Option<Answer> {
    // The server may have answered and closed before it has read everything.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::InvalidData
            ) =>
        {
            panic!("no end: {error}")
        }
        _ => {}
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    assert!(!chunked, "bodies are sent whole");
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}
