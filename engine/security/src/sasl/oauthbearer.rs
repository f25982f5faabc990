//! OAUTHBEARER: where tokens come from, and how they are shown to a broker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::SaslError;
use crate::jaas::LoginModule;
use crate::ssl::{Fault, Ssl};

const ENDPOINT: &str = "sasl.oauthbearer.token.endpoint.url";
/// Kafka's own, which take a token from a file or an endpoint (KIP-768).
pub(super) const LOGIN_CALLBACKS: [&str; 2] = [
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
];
/// Kafka's bound on a token (`OAuthBearerToken` of the file retriever reads whole files; brokers refuse long ones).
const TOKEN_BYTES_MAX: u64 = 1 << 20;
/// Java's default of `unsecuredLoginLifetimeSeconds`.
const LIFETIME_SECONDS: u64 = 3_600;
const EXTENSION: &str = "unsecuredLoginExtension_";

/// Where a token comes from.
pub(super) enum TokenSource {
    /// A file with a signed token; read at each authentication, so that a new one counts.
    File {
        path: PathBuf,
        /// From `extension_...` options of the login module.
        extensions: BTreeMap<String, String>,
    },
    /// Made here, unsigned, for tests (KIP-255).
    Unsecured {
        claims: Map<String, Value>,
        lifetime_seconds: u64,
        extensions: BTreeMap<String, String>,
    },
}

impl TokenSource {
    pub(super) fn read(keys: Ssl<'_>, module: &LoginModule) -> Result<Self, Fault> {
        let of_prefix = |prefix: &str| {
            let strip = |(name, value): (&String, &String)| {
                Some((name.strip_prefix(prefix)?.to_owned(), value.clone()))
            };
            module
                .options
                .iter()
                .filter_map(strip)
                .collect::<BTreeMap<_, _>>()
        };
        let jaas = "sasl.jaas.config";
        if let Some(url) = keys.get(ENDPOINT) {
            let Some(path) = url.strip_prefix("file:") else {
                let what = "is an address that is not asked in this version; let another program fetch the token, and write file:///PATH";
                return Err(keys.fault(ENDPOINT, what));
            };
            let path = PathBuf::from(format!("/{}", path.trim_start_matches('/')));
            let extensions = of_prefix("extension_");
            let source = Self::File { path, extensions };
            source
                .token()
                .map_err(|error| keys.fault(ENDPOINT, error.0))?;
            return Ok(source);
        }
        let mut claims = Map::new();
        for (name, value) in of_prefix("unsecuredLoginStringClaim_") {
            claims.insert(name, value.into());
        }
        for (name, value) in of_prefix("unsecuredLoginNumberClaim_") {
            let number: f64 = value.trim().parse().map_err(|_| {
                keys.fault(
                    jaas,
                    format!("unsecuredLoginNumberClaim_{name} is no number"),
                )
            })?;
            claims.insert(name, number.into());
        }
        for (name, value) in of_prefix("unsecuredLoginListClaim_") {
            let mut signs = value.chars();
            let list = match signs.next() {
                Some(sign) => signs.as_str().split(sign).map(Value::from).collect(),
                None => Vec::new(),
            };
            claims.insert(name, list.into());
        }
        if claims.is_empty() {
            let what = format!(
                "has no unsecuredLoginStringClaim_sub=\"...\"; for signed tokens write {ENDPOINT} = file:///PATH"
            );
            return Err(keys.fault(jaas, what));
        }
        let lifetime = match module.options.get("unsecuredLoginLifetimeSeconds") {
            None => LIFETIME_SECONDS,
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| keys.fault(jaas, "unsecuredLoginLifetimeSeconds is no number"))?,
        };
        Ok(Self::Unsecured {
            claims,
            lifetime_seconds: lifetime,
            extensions: of_prefix(EXTENSION),
        })
    }

    /// The token as it is now.
    fn token(&self) -> Result<String, SaslError> {
        match self {
            Self::File { path, .. } => {
                let mut text = String::new();
                File::open(path)
                    .and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text))
                    .map_err(|error| {
                        SaslError(format!(
                            "the token cannot be read from {}: {error}",
                            path.display()
                        ))
                    })?;
                let token = text.trim();
                let legal = |c: char| c.is_ascii_graphic();
                if token.is_empty() || !token.chars().all(legal) {
                    return Err(SaslError(format!("{} has no token", path.display())));
                }
                Ok(token.to_owned())
            }
            Self::Unsecured {
                claims,
                lifetime_seconds,
                ..
            } => {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |now| now.as_secs());
                let mut claims = claims.clone();
                claims.insert("iat".to_owned(), now.into());
                claims.insert(
                    "exp".to_owned(),
                    now.saturating_add(*lifetime_seconds).into(),
                );
                let header = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
                let claims = BASE64_URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
                Ok(format!("{header}.{claims}."))
            }
        }
    }

    /// `n,,` and the token, then the extensions (KIP-342).
    pub(super) fn first_message(&self) -> Result<Vec<u8>, SaslError> {
        let (Self::File { extensions, .. } | Self::Unsecured { extensions, .. }) = self;
        let extensions: String = extensions
            .iter()
            .map(|(name, value)| format!("{name}={value}\x01"))
            .collect();
        Ok(format!("n,,\x01auth=Bearer {}\x01{extensions}\x01", self.token()?).into_bytes())
    }
}
