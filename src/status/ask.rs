//! Just enough of an HTTP client for one GET.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use serde_json::Value;

use super::tls::{self, Stream};

/// Bound on connecting to each address of the host.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Bound on the whole answer.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Bound on an answer: thousands of flows.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
const PORT: u16 = 8083;

/// What is written on the command line and may hold a password: it is not shown, also not where it is wrong.
#[derive(Clone)]
pub(super) struct Hidden(pub(super) String);

impl FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// A process that serves REST, and how it is asked. Shown as its URL without user and password.
pub(super) struct Server {
    url: Url,
    tls: Option<Arc<ClientConfig>>,
}

impl Server {
    /// `user` is `USER:PASSWORD`, and stands for what the URL may have; `ca` is a file of certificates in PEM.
    ///
    /// # Errors
    /// What is wrong, without the password.
    pub(super) fn new(
        url: &Hidden,
        user: Option<&Hidden>,
        ca: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let mut url = Url::from_str(&url.0).map_err(|what| anyhow!("URL: {what}"))?;
        if let Some(Hidden(user)) = user {
            ensure!(user.contains(':'), "--user: write USER:PASSWORD");
            ensure!(
                url.user.is_none(),
                "a user in the URL and in --user: write one of both"
            );
            url.user = Some(user.clone());
        }
        let tls = match (url.https, ca) {
            (true, ca) => Some(tls::client_config(ca)?),
            (false, None) => None,
            (false, Some(_)) => bail!("--ca: is for https; write https://HOST:PORT"),
        };
        Ok(Self { url, tls })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}

/// `http[s]://[USER:PASSWORD@]HOST[:PORT]`. Shown without user and password.
#[derive(Clone, PartialEq, Eq)]
struct Url {
    https: bool,
    host: String,
    port: u16,
    /// `USER:PASSWORD`.
    user: Option<String>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let secure = text.strip_prefix("https://");
        let https = secure.is_some();
        let rest = secure.or_else(|| text.strip_prefix("http://"));
        let rest = rest.unwrap_or(text);
        let rest = rest.trim_end_matches('/');
        let (user, place) = match rest.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, rest),
        };
        let odd = || {
            "write http://HOST:PORT or https://HOST:PORT, as in http://127.0.0.1:8083".to_owned()
        };
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
            https,
            host: host.to_owned(),
            port,
            user,
        })
    }
}

impl Url {
    /// An IPv6 address without its brackets.
    fn bare_host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// The JSON at this path.
///
/// # Errors
/// Nobody answers in time, or not with 200 and JSON.
pub(super) fn get(server: &Server, path: &str) -> anyhow::Result<Value> {
    let deadline = Instant::now() + ANSWER_PATIENCE;
    let url = &server.url;
    let stream = connect(url)?;
    stream.set_write_timeout(Some(CONNECT_PATIENCE))?;
    let mut stream = match &server.tls {
        None => Stream::Plain(stream),
        Some(config) => Stream::Tls(tls::open(config, url.bare_host(), stream, deadline)?.into()),
    };
    let authorization = (url.user.iter())
        .map(|user| format!("Authorization: Basic {}\r\n", STANDARD.encode(user)))
        .collect::<String>();
    // In HTTP/1.0 an answer ends with the connection, and has no chunks.
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {}:{}\r\nAccept: application/json\r\n{authorization}\r\n",
        url.host, url.port
    );
    stream.write_all(request.as_bytes())?;
    let answer = read(stream, deadline)?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.context("the answer is not HTTP")?);
    let head = String::from_utf8_lossy(head);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    match status {
        "200" => {}
        "401" => bail!("it wants a user and a password, or others: --user USER:PASSWORD"),
        _ => bail!("{path} is answered with status {status}: is it crosscurrent?"),
    }
    serde_json::from_slice(body).context("the answer is not JSON")
}

/// Reads to the end of the connection. A server that sends a byte now and then does not hold it up.
fn read(mut stream: Stream, deadline: Instant) -> anyhow::Result<Vec<u8>> {
    let (mut answer, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(
            !left.is_zero(),
            "no whole answer within {ANSWER_PATIENCE:?}"
        );
        stream.socket().set_read_timeout(Some(left))?;
        let count = match stream.read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            // TLS that ends without a word. What is missing would be missing in the JSON.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(answer),
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
    let host = url.bare_host();
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
        assert_eq!(url("https://h"), plain("https://h:8083"));
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
            "https://",
        ] {
            assert!(url(odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let server = |url: &str, user: Option<&str>| {
            let user = user.map(|user| Hidden(user.to_owned()));
            Server::new(&Hidden(url.to_owned()), user.as_ref(), None)
        };
        let shown = server("http://me:secret@h:1", None).unwrap().to_string();
        assert_eq!(shown, "http://h:1");
        assert_eq!(
            server("h:1", Some("a:secret")).unwrap().to_string(),
            "http://h:1"
        );
        for (url, user) in [
            ("http://me:secret@h:x", None),
            ("http://me:secret@h:1", Some("me:secret")),
            ("h:1", Some("secret")),
        ] {
            let Err(error) = server(url, user) else {
                panic!("{url} is taken");
            };
            assert!(!format!("{error:#}").contains("secret"), "{error:#}");
        }
        assert_eq!(format!("{:?}", Hidden("secret".to_owned())), "[hidden]");
    }
}
