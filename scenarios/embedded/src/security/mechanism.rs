//! SASL mechanisms: one exchange from the client's first message to a name.

use super::oauthbearer;
use super::scram::{self, Hash};
use super::users::Users;

/// A mechanism that an embedded broker can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Scram(Hash),
    OauthBearer,
}

impl Mechanism {
    /// All, in the order in which they are listed unless `sasl.enabled.mechanisms` says otherwise.
    pub(crate) const ALL: [Self; 4] = [
        Self::Plain,
        Self::Scram(Hash::Sha256),
        Self::Scram(Hash::Sha512),
        Self::OauthBearer,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(Hash::Sha256) => "SCRAM-SHA-256",
            Self::Scram(Hash::Sha512) => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }
}

/// Where an exchange stands after a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The client is to answer this.
    Continue(Vec<u8>),
    /// Proven.
    Done {
        answer: Vec<u8>,
        user: String,
        /// When the credential ends by itself; milliseconds since 1970.
        expires_ms: Option<i64>,
    },
}

/// Why an exchange failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The client is told nothing but that its credentials are invalid.
    Credentials,
    /// The client is told this.
    Told(String),
}

/// A running exchange.
#[derive(Debug)]
pub(crate) enum Exchange {
    Plain,
    Scram(Hash, Box<scram::Exchange>),
    OauthBearer(oauthbearer::Exchange),
}

impl Exchange {
    pub(crate) fn new(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Scram(hash) => Self::Scram(hash, Box::new(scram::Exchange::new(hash))),
            Mechanism::OauthBearer => Self::OauthBearer(oauthbearer::Exchange::default()),
        }
    }

    /// Takes the client's next message.
    pub(crate) fn step(
        &mut self,
        message: &[u8],
        users: &Users,
        now_ms: i64,
    ) -> Result<Progress, Failed> {
        match self {
            Self::Plain => plain(message, users),
            Self::Scram(hash, exchange) => {
                exchange.step(message, |user| users.credential(*hash, user))
            }
            Self::OauthBearer(exchange) => exchange.step(message, now_ms),
        }
    }
}

/// RFC 4616: authorization id, user and password, separated by NUL.
fn plain(message: &[u8], users: &Users) -> Result<Progress, Failed> {
    let told = |text: &str| Failed::Told(format!("Authentication failed: {text}"));
    let text = std::str::from_utf8(message).map_err(|_| Failed::Credentials)?;
    let parts: Vec<&str> = text.split('\0').collect();
    let [authorization, user, password] = parts[..] else {
        return Err(Failed::Credentials);
    };
    if user.is_empty() {
        return Err(told("username not specified"));
    }
    if password.is_empty() {
        return Err(told("password not specified"));
    }
    if !users.knows(user, password) {
        return Err(told("Invalid username or password"));
    }
    if !authorization.is_empty() && authorization != user {
        return Err(told(
            "Client requested an authorization id that is different from username",
        ));
    }
    Ok(Progress::Done {
        answer: Vec::new(),
        user: user.to_owned(),
        expires_ms: None,
    })
}
