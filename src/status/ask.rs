//! Just enough of an HTTP client for one GET.

use std::fmt;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Bound on connecting to each address of the host.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Bound on the whole answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Bound on an answer: thousands of flows.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
const PORT: u16 = 8083;

/// `http://[USER:PASSWORD@]HOST[:PORT]`. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Url {
    host: String,
    port: u16,
    /// `USER:PASSWORD`.
    user: Option<String>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err("https is not supported here yet; write http://HOST:PORT".to_owned());
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let rest = rest.trim_end_matches('/');
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, rest),
        };
        let odd = || "write http://HOST:PORT, as in http://127.0.0.1:8083".to_owned();
        // An IPv6 address has colons of its own, between brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| odd())?),
            _ => (place, PORT),
        };
        let odd_character = |c: char| c.is_whitespace() || c.is_control() || "/?#".contains(c);
        if host.is_empty() || rest.contains(odd_character) {
            return Err(odd());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            user,
        })
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The JSON at this path.
///
/// # Errors
/// Nobody answers in time, or not with 200 and JSON.
pub(super) fn get(url: &Url, path: &str) -> anyhow::Result<Value> {
    let deadline = Instant::now() + ANSWER_PATIENCE;
    let mut stream = connect(url)?;
    let authorization = (url.user.iter())
        .map(|user| format!("Authorization: Basic {}\r\n", STANDARD.encode(user)))
        .collect::<String>();
    // In HTTP/1.0 an answer ends with the connection, and has no chunks.
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {}:{}\r\nAccept: application/json\r\n{authorization}\r\n",
        url.host, url.port
    );
    stream.set_write_timeout(Some(CONNECT_PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    let answer = read(stream, deadline)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.context("the answer is not HTTP")?);
    let head = String::from_utf8_lossy(head);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    match status {
        "200" => {}
        "401" => bail!("it wants a user and a password: write http://USER:PASSWORD@HOST:PORT"),
        _ => bail!("{path} is answered with status {status}: is it crosscurrent?"),
    }
    serde_json::from_slice(body).context("the answer is not JSON")
}

/// Reads to the end of the connection. A server that sends a byte now and then does not hold it up.
fn read(mut stream: TcpStream, deadline: Instant) -> anyhow::Result<Vec<u8>> {
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(
            !left.is_zero(),
            "no whole answer within {ANSWER_PATIENCE:?}"
        );
        stream.set_read_timeout(Some(left))?;
        let count = match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error).context("the answer breaks off"),
        };
        answer.extend(piece.iter().take(count));
        ensure!(
            answer.len() as u64 <= ANSWER_BYTES_MAX,
            "the answer is larger than {ANSWER_BYTES_MAX} bytes"
        );
    }
}

fn connect(url: &Url) -> anyhow::Result<TcpStream> {
    let host = url.host.trim_start_matches('[').trim_end_matches(']');
    let found = (host, url.port).to_socket_addrs();
    let mut last = None;
    for address in found.with_context(|| format!("no address of {host}"))? {
        match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let last = last.context("the host has no address")?;
    Err(last).context("is the process running, and is this where it serves REST?")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<(String, Option<String>), String> {
        text.parse().map(|url: Url| (url.to_string(), url.user))
    }

    #[test]
    fn usual_ways_to_write_it_are_understood() {
        let plain = |text: &str| Ok((text.to_owned(), None));
        assert_eq!(url("http://h:1"), plain("http://h:1"));
        assert_eq!(url("h:1/"), plain("http://h:1"));
        assert_eq!(url("h"), plain("http://h:8083"));
        assert_eq!(url("[::1]"), plain("http://[::1]:8083"));
        assert_eq!(url("http://[::1]:9"), plain("http://[::1]:9"));
        let with_user = Ok(("http://h:1".to_owned(), Some("u:p@w".to_owned())));
        assert_eq!(url("http://u:p@w@h:1"), with_user);
        for odd in [
            "",
            "http://",
            "h:x",
            "h:70000",
            "h/path",
            "h:1\r\nX: y",
            "https://h",
        ] {
            assert!(url(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: Url = "http://me:secret@h:1".parse().unwrap();
        assert!(!format!("{url} {url:?}").contains("secret"));
    }
}
