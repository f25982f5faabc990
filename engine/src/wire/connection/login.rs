//! Logging in by SASL, and again before the broker's patience ends (KIP-152, KIP-368).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use security::{Sasl, SaslError};
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::writer::Writer;
use crate::wire::{BrokerVersions, WireError};

const HANDSHAKE: &str = "SaslHandshake";
const AUTHENTICATE: &str = "SaslAuthenticate";
/// Rounds of one exchange; SCRAM has two.
const ROUNDS_MAX: usize = 4;

/// How a connection logs in, and when it does so again.
pub(super) struct Login {
    sasl: Sasl,
    handshake: i16,
    authenticate: i16,
    timeout: Duration,
    renewal: Option<Instant>,
}

impl Login {
    /// # Errors
    /// [`WireError::Unsupported`]: a broker before 1.0.
    pub(super) fn new(
        sasl: Sasl,
        versions: &BrokerVersions,
        timeout: Duration,
    ) -> Result<Self, WireError> {
        Ok(Self {
            handshake: versions.best::<SaslHandshakeRequest>(HANDSHAKE, 1)?,
            authenticate: versions.best::<SaslAuthenticateRequest>(AUTHENTICATE, 2)?,
            sasl,
            timeout,
            renewal: None,
        })
    }

    /// Bound on logging in again.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// When to log in again; none: the session does not end.
    pub(super) fn renewal(&self) -> Option<Instant> {
        self.renewal
    }

    /// Logs in. Nothing else may be written meanwhile: the broker takes all that comes for a part of it.
    pub(super) async fn log_in<W: AsyncWrite + Unpin>(
        &mut self,
        writer: &mut Writer<W>,
        deadline: Instant,
    ) -> Result<(), WireError> {
        let broker = writer.shared.broker.clone();
        let mechanism = self.sasl.mechanism();
        let refused = |reason: String| WireError::Authentication {
            broker: broker.clone(),
            mechanism,
            reason,
        };
        let ours = |error: SaslError| refused(error.to_string());
        let left = || deadline.saturating_duration_since(Instant::now());

        let body =
            SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism));
        let answer = writer
            .request(HANDSHAKE, &body, self.handshake, left())
            .await?;
        if answer.error_code != 0 {
            let offered: Vec<_> = answer.mechanisms.iter().map(StrBytes::as_str).collect();
            return Err(refused(format!("it offers {}", offered.join(", "))));
        }
        let begun = Instant::now();
        let (mut exchange, mut token) = self.sasl.start().map_err(ours)?;
        for _ in 0..ROUNDS_MAX {
            let body = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(token));
            let answer = writer
                .request(AUTHENTICATE, &body, self.authenticate, left())
                .await?;
            if answer.error_code != 0 {
                let code = || format!("error code {}", answer.error_code);
                let message = answer.error_message.as_deref().map(str::to_owned);
                return Err(refused(message.unwrap_or_else(code)));
            }
            match exchange.step(&answer.auth_bytes).map_err(ours)? {
                Some(next) => token = next,
                None => {
                    let lifetime = u64::try_from(answer.session_lifetime_ms).unwrap_or(0);
                    let lifetime = Duration::from_millis(lifetime);
                    self.renewal = (!lifetime.is_zero()).then(|| begun + lifetime.mul_f64(share()));
                    return Ok(());
                }
            }
        }
        Err(refused("the exchange does not end".to_owned()))
    }
}

/// The part of a session's life after which it is renewed, as Kafka's clients: 85 to 95 %, so that not all come at once.
fn share() -> f64 {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    0.85 + f64::from(nanos % 1_000) / 10_000.0
}
