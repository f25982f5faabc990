//! The client's side of Kafka's SASL mechanisms, without I/O: PLAIN (RFC 4616), SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677), OAUTHBEARER
//! (RFC 7628, KIP-255).
//!
//! Own code, as it is a few lines on top of the hash functions: a library for all of SASL would bring mechanisms that Kafka has not.

mod oauthbearer;
mod scram;

use std::sync::Arc;

use self::oauthbearer::TokenSource;
use self::scram::Scram;
use crate::jaas::LoginModule;
use crate::ssl::{Fault, Ssl};

const MECHANISM: &str = "sasl.mechanism";
const JAAS: &str = "sasl.jaas.config";
/// Java's classes that stand for what a connection does: another one cannot be loaded.
const CALLBACKS: [&str; 3] = [
    "sasl.client.callback.handler.class",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
];

/// Why an exchange failed on this side.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SaslError(pub(crate) String);

/// A mechanism with its credentials.
#[derive(Clone)]
pub struct Sasl {
    mechanism: &'static str,
    login: Arc<Login>,
}

enum Login {
    Plain { user: String, password: String },
    Scram(scram::Credentials),
    OAuthBearer(TokenSource),
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.mechanism)
    }
}

impl Sasl {
    /// Reads `sasl.mechanism` and what it needs of `sasl.jaas.config` and `sasl.oauthbearer.*`.
    ///
    /// # Errors
    /// The key to blame: a mechanism that is not here, a login module that does not fit or lacks an option.
    pub(crate) fn read(keys: Ssl<'_>) -> Result<Self, Fault> {
        const GSSAPI: &str = "GSSAPI";
        const KNOWN: &str =
            "this version speaks PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER";
        let name = keys.get(MECHANISM).unwrap_or_else(|| GSSAPI.to_owned());
        let (mechanism, class) = match name.as_str() {
            "PLAIN" => ("PLAIN", "PlainLoginModule"),
            "SCRAM-SHA-256" => ("SCRAM-SHA-256", "ScramLoginModule"),
            "SCRAM-SHA-512" => ("SCRAM-SHA-512", "ScramLoginModule"),
            "OAUTHBEARER" => ("OAUTHBEARER", "OAuthBearerLoginModule"),
            GSSAPI if keys.get(MECHANISM).is_none() => {
                return Err(keys.fault(
                    MECHANISM,
                    format!("is not set, and Kafka's default is GSSAPI; {KNOWN}"),
                ));
            }
            _ => return Err(keys.fault(MECHANISM, KNOWN)),
        };
        for key in CALLBACKS {
            if let Some(given) = keys.get(key) {
                let known = mechanism == "OAUTHBEARER"
                    && oauthbearer::LOGIN_CALLBACKS.contains(&given.as_str());
                if !known {
                    return Err(
                        keys.fault(key, "is a Java class, which cannot be loaded; remove it")
                    );
                }
            }
        }
        let text = keys.password(JAAS).ok_or_else(|| {
            let what = format!(
                "is not set; write `org.apache.kafka.common.security.....{class} required ...;`"
            );
            keys.fault(JAAS, what)
        })?;
        let module = LoginModule::parse(&text).map_err(|what| keys.fault(JAAS, what))?;
        if module.simple_class() != class {
            return Err(keys.fault(JAAS, format!("{mechanism} needs the {class} of Kafka")));
        }
        let option = |name: &str| {
            let missing = || {
                keys.fault(
                    JAAS,
                    format!("has no {name}=\"...\", which {mechanism} needs"),
                )
            };
            module.options.get(name).cloned().ok_or_else(missing)
        };
        let login = match mechanism {
            "OAUTHBEARER" => Login::OAuthBearer(TokenSource::read(keys, &module)?),
            "PLAIN" => Login::Plain {
                user: option("username")?,
                password: option("password")?,
            },
            _ => Login::Scram(scram::Credentials {
                sha512: mechanism == "SCRAM-SHA-512",
                user: option("username")?,
                password: option("password")?,
                // A delegation token instead of a user (KIP-48).
                token: module
                    .options
                    .get("tokenauth")
                    .is_some_and(|on| on.eq_ignore_ascii_case("true")),
            }),
        };
        Ok(Self {
            mechanism,
            login: Arc::new(login),
        })
    }

    /// As SaslHandshake names it.
    pub fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// Begins an exchange: what the client says first. Tokens are taken from their files anew.
    ///
    /// # Errors
    /// There is no token.
    pub fn start(&self) -> Result<(Exchange, Vec<u8>), SaslError> {
        match &*self.login {
            Login::Plain { user, password } => Ok((
                Exchange(State::Last),
                format!("\0{user}\0{password}").into_bytes(),
            )),
            Login::Scram(credentials) => {
                let (scram, first) = Scram::start(credentials)?;
                Ok((Exchange(State::Scram(Box::new(scram))), first))
            }
            Login::OAuthBearer(source) => {
                Ok((Exchange(State::OAuthBearer), source.first_message()?))
            }
        }
    }
}

/// One authentication that is under way.
pub struct Exchange(State);

enum State {
    Scram(Box<Scram>),
    OAuthBearer,
    /// The next answer is the last.
    Last,
}

impl Exchange {
    /// What is said to the broker's answer; none: nothing more, it is done.
    ///
    /// # Errors
    /// The broker's answer is not one that knows the password, or is malformed.
    pub fn step(&mut self, answer: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        match &mut self.0 {
            State::Last => Ok(None),
            // A refusal comes as JSON; the broker wants it acknowledged, and says the rest as an error (RFC 7628 3.2.3).
            State::OAuthBearer if answer.is_empty() => Ok(None),
            State::OAuthBearer => {
                self.0 = State::Last;
                Ok(Some(vec![1]))
            }
            State::Scram(scram) => scram.step(answer),
        }
    }
}

#[cfg(test)]
mod tests;
