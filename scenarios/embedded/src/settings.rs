//! What a cluster is started with.

use std::collections::BTreeMap;

use crate::clock::Clock;

/// How a cluster is laid out. `Settings::default()` is one broker on a free port with Kafka's defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Number of brokers, node ids from 1. Default: 1.
    pub brokers: i32,
    /// Server properties as in a broker's `server.properties`, for all brokers.
    pub properties: BTreeMap<String, String>,
    /// Ports of the first listener by broker, in order; 0 or none: a free one. Default: none.
    pub ports: Vec<u16>,
    /// Default: the machine's time.
    pub clock: Clock,
    /// What every broker listens on, with names that differ. Default: [`Listener::plaintext`].
    pub listeners: Vec<Listener>,
    /// Certificates of the brokers, for listeners with TLS. Default: none.
    pub tls: Option<Tls>,
    /// Users and their passwords, for PLAIN and SCRAM. Default: none.
    pub users: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            brokers: 1,
            properties: BTreeMap::new(),
            ports: Vec::new(),
            clock: Clock::real(),
            listeners: vec![Listener::plaintext()],
            tls: None,
            users: Vec::new(),
        }
    }
}

/// One way to reach a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, as in `listener.name.<name>.` properties (there in lower case) and
    /// [`EmbeddedCluster::bootstrap_of`](crate::EmbeddedCluster::bootstrap_of).
    pub name: String,
    /// How clients talk to it.
    pub protocol: Protocol,
    /// Whether clients show certificates; only with TLS.
    pub client_auth: ClientAuth,
}

impl Listener {
    /// `PLAINTEXT`: no encryption, no authentication.
    pub fn plaintext() -> Self {
        Self::new("PLAINTEXT", Protocol::Plaintext)
    }

    /// A listener that asks for no certificates.
    pub fn new(name: &str, protocol: Protocol) -> Self {
        Self {
            name: name.to_owned(),
            protocol,
            client_auth: ClientAuth::None,
        }
    }

    /// The same, with this wish for certificates.
    #[must_use]
    pub fn with_client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = client_auth;
        self
    }
}

/// `security.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// No encryption, no authentication: everybody is `User:ANONYMOUS`.
    Plaintext,
    /// SASL without encryption.
    SaslPlaintext,
    /// TLS; clients are known by their certificates, if they show one.
    Ssl,
    /// TLS, and SASL inside.
    SaslSsl,
}

impl Protocol {
    pub(crate) fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    pub(crate) fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// `ssl.client.auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients are not asked.
    None,
    /// Clients without a certificate are let in as `User:ANONYMOUS`.
    Requested,
    /// Clients without a certificate are refused.
    Required,
}

/// What brokers prove themselves with, and whom they believe.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The brokers' own. `ssl.keystore.certificate.chain` and `ssl.keystore.key`.
    pub identity: Identity,
    /// Authorities whose client certificates are believed, in PEM; needed where clients are asked for certificates.
    /// `ssl.truststore.certificates`.
    pub trusted: String,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Identity {
    /// PEM: the own certificate first, then those that lead to an authority.
    pub certificate_chain: String,
    /// PEM: PKCS#8 without a password.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("certificate_chain", &self.certificate_chain)
            .finish_non_exhaustive()
    }
}
