//! One connection's way from a stranger to a principal.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::listeners::{Entry, Gate};
use super::mechanism::{Exchange, Failed, Mechanism, Progress};
use super::principal::distinguished_name;
use super::transport::Transport;
use crate::api::{self, sasl};
use crate::cluster::Shared;
use crate::server::{Answer, Closed, Incoming};

/// Who is not authenticated.
pub(crate) const ANONYMOUS: &str = "User:ANONYMOUS";

/// A TLS handshake that takes longer closes the connection.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// `socket.request.max.bytes`: a longer request closes the connection.
const REQUEST_BYTES_MAX: usize = 100 << 20;

/// `sasl.server.max.receive.size`: the same before authentication.
const SASL_BYTES_MAX: usize = 512 << 10;

/// A re-authentication sooner after the last one is refused (KIP-368).
const REAUTHENTICATION_PAUSE_MS: i64 = 1000;

/// What a connection has proven so far.
#[derive(Debug)]
pub(crate) struct Session {
    shared: Arc<Shared>,
    listener: usize,
    entry: Entry,
    principal: Arc<str>,
    stage: Stage,
    /// Of the first authentication: another one must prove the same.
    proven: Option<Mechanism>,
    expires_ms: Option<i64>,
    reauthentication_ms: Option<i64>,
}

#[derive(Debug)]
enum Stage {
    /// SaslHandshake must come, after at most one ApiVersions.
    Handshake { versions_told: bool },
    /// SaslAuthenticate must come; or, after SaslHandshake 0, bare tokens.
    Exchange {
        mechanism: Mechanism,
        exchange: Exchange,
        framed: bool,
    },
    /// The next request closes the connection.
    Refused,
    /// Requests are served.
    Open,
}

/// Success or failure of a message of the exchange, as SaslAuthenticate says it.
type Step = Result<(Vec<u8>, i64), String>;

impl Session {
    /// Encrypts the connection if the listener does, and reads the client's certificate.
    ///
    /// # Errors
    /// [`Closed`] if the handshake fails or no mapping rule knows the client.
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        listener: usize,
        stream: TcpStream,
        entry: Entry,
    ) -> Result<(Self, Transport), Closed> {
        let gate = shared.security.gate(listener)?;
        let transport = match gate.tls() {
            None => Transport::Plain(stream),
            Some(config) => {
                let handshake = TlsAcceptor::from(config).accept(stream);
                let stream = tokio::time::timeout(HANDSHAKE_MAX, handshake).await;
                Transport::Tls(Box::new(stream.map_err(|_| Closed)??))
            }
        };
        let name = match transport.client_certificate() {
            None => None,
            Some(certificate) => {
                let name = distinguished_name(certificate).and_then(|name| gate.rules.apply(&name));
                Some(name.ok_or(Closed)?)
            }
        };
        Ok((Self::new(shared, listener, name, entry)?, transport))
    }

    /// A connection that has not said anything yet; `name` is its client's, by its certificate.
    ///
    /// # Errors
    /// [`Closed`] if there is no such listener.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        listener: usize,
        name: Option<String>,
        entry: Entry,
    ) -> Result<Self, Closed> {
        let gate = shared.security.gate(listener)?;
        let (principal, stage) = match name {
            _ if gate.has_sasl => (
                ANONYMOUS.into(),
                Stage::Handshake {
                    versions_told: false,
                },
            ),
            Some(name) => (format!("User:{name}").into(), Stage::Open),
            None => (ANONYMOUS.into(), Stage::Open),
        };
        entry.rename(&principal);
        Ok(Self {
            shared: Arc::clone(shared),
            listener,
            entry,
            principal,
            stage,
            proven: None,
            expires_ms: None,
            reauthentication_ms: None,
        })
    }

    pub(crate) fn principal(&self) -> &Arc<str> {
        &self.principal
    }

    /// Longest request that is read now.
    pub(crate) fn request_bytes_max(&self) -> usize {
        match self.stage {
            Stage::Open => REQUEST_BYTES_MAX,
            _ => SASL_BYTES_MAX,
        }
    }

    /// Whether the next frame is a bare token instead of a request.
    pub(crate) fn takes_bare_tokens(&self) -> bool {
        matches!(self.stage, Stage::Exchange { framed: false, .. })
    }

    /// Answers a bare token by one, with its length in front.
    ///
    /// # Errors
    /// [`Closed`] after a failure: there is no place for a reason.
    pub(crate) async fn bare_token(&mut self, token: &[u8]) -> Result<BytesMut, Closed> {
        match self.step(token)? {
            Ok((answer, _)) => {
                let mut frame = BytesMut::with_capacity(4 + answer.len());
                frame.put_i32(i32::try_from(answer.len()).map_err(|_| Closed)?);
                frame.extend_from_slice(&answer);
                Ok(frame)
            }
            Err(_) => {
                self.delay().await;
                Err(Closed)
            }
        }
    }

    /// Answers a request: what belongs to authentication here, the rest by its handler. True if the connection ends with
    /// this answer.
    ///
    /// # Errors
    /// [`Closed`] for requests that have no place now, and malformed ones.
    pub(crate) async fn answer(
        &mut self,
        incoming: &Incoming,
        body: Bytes,
    ) -> Result<(Answer, bool), Closed> {
        let again = incoming.api == ApiKey::SaslHandshake && self.may_reauthenticate();
        match (&mut self.stage, incoming.api) {
            (Stage::Open, ApiKey::SaslHandshake) if again => self.handshake(incoming, body).await,
            (Stage::Open, _) => {
                if self
                    .expires_ms
                    .is_some_and(|end_ms| self.shared.clock.now_ms() > end_ms)
                {
                    return Err(Closed);
                }
                Ok((api::answer(incoming, body).await?, false))
            }
            (Stage::Handshake { versions_told }, ApiKey::ApiVersions) if !*versions_told => {
                // An answer in version 0 to a version from the future does not count.
                *versions_told = api::offers_exactly(incoming.api, incoming.version);
                Ok((api::answer(incoming, body).await?, false))
            }
            (Stage::Handshake { .. }, ApiKey::SaslHandshake) => {
                self.handshake(incoming, body).await
            }
            (Stage::Exchange { framed: true, .. }, ApiKey::SaslAuthenticate) => {
                let token = sasl::token(incoming, body)?;
                let step = self.step(&token)?;
                let failed = step.is_err();
                if failed {
                    self.delay().await;
                }
                Ok((sasl::authenticated(incoming, step)?, failed))
            }
            _ => Err(Closed),
        }
    }

    fn gate(&self) -> Result<&Gate, Closed> {
        self.shared.security.gate(self.listener)
    }

    fn may_reauthenticate(&self) -> bool {
        let now_ms = self.shared.clock.now_ms();
        let rested = |last_ms| now_ms - last_ms >= REAUTHENTICATION_PAUSE_MS;
        self.proven.is_some() && self.reauthentication_ms.is_none_or(rested)
    }

    async fn handshake(
        &mut self,
        incoming: &Incoming,
        body: Bytes,
    ) -> Result<(Answer, bool), Closed> {
        let name = sasl::mechanism(incoming, body)?;
        let shared = Arc::clone(&self.shared);
        let enabled = &shared.security.gate(self.listener)?.mechanisms;
        let mechanism = Mechanism::named(&name).filter(|mechanism| enabled.contains(mechanism));
        if self.proven.is_some() {
            self.reauthentication_ms = Some(self.shared.clock.now_ms());
        }
        self.stage = match mechanism {
            None => {
                self.delay().await;
                return Ok((sasl::shaken(incoming, enabled, false)?, true));
            }
            // The broker keeps this to itself until the next request.
            Some(mechanism) if self.proven.is_some_and(|before| before != mechanism) => {
                Stage::Refused
            }
            Some(mechanism) => Stage::Exchange {
                mechanism,
                exchange: Exchange::new(mechanism),
                framed: incoming.version >= 1,
            },
        };
        Ok((sasl::shaken(incoming, enabled, true)?, false))
    }

    /// Takes a token. The answer and the session's life in milliseconds (0: no end), or what the client is told.
    fn step(&mut self, token: &[u8]) -> Result<Step, Closed> {
        let Stage::Exchange {
            mechanism,
            exchange,
            ..
        } = &mut self.stage
        else {
            return Err(Closed);
        };
        let mechanism = *mechanism;
        let now_ms = self.shared.clock.now_ms();
        let progress = exchange.step(token, &self.shared.security.users, now_ms);
        let again = self.proven.is_some();
        Ok(match progress {
            Ok(Progress::Continue(answer)) => Ok((answer, 0)),
            Ok(Progress::Done {
                answer,
                user,
                expires_ms,
            }) => {
                let principal: Arc<str> = format!("User:{user}").into();
                if again && principal != self.principal {
                    let before = self.principal.replacen(':', ".", 1);
                    self.stage = Stage::Refused;
                    return Ok(Err(format!(
                        "Cannot change principals during re-authentication from {before}: User.{user}"
                    )));
                }
                let left_ms = expires_ms.map(|end_ms| end_ms - now_ms);
                let most_ms = self.gate()?.reauthentication_ms(mechanism);
                let life_ms = left_ms
                    .into_iter()
                    .chain(most_ms)
                    .min()
                    .map(|life_ms| life_ms.max(0));
                self.expires_ms = life_ms.map(|life_ms| now_ms.saturating_add(life_ms));
                self.entry.rename(&principal);
                self.principal = principal;
                self.proven = Some(mechanism);
                self.stage = Stage::Open;
                Ok((answer, life_ms.unwrap_or(0)))
            }
            Err(failed) => {
                self.stage = Stage::Refused;
                Err(match failed {
                    Failed::Told(text) => text,
                    Failed::Credentials => format!(
                        "Authentication failed during {} due to invalid credentials with SASL mechanism {}",
                        if again {
                            "re-authentication"
                        } else {
                            "authentication"
                        },
                        mechanism.name()
                    ),
                })
            }
        })
    }

    /// Waits as a broker does before it tells of a failure.
    async fn delay(&self) {
        self.shared
            .clock
            .pause(self.shared.security.failure_delay_ms)
            .await;
    }
}
