//! How a client of brokers secures its connections: `security.protocol` and what belongs to it.

mod verifier;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, Once, PoisonError};

use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};
use tracing::{info, warn};

use self::verifier::Verifier;
use crate::sasl::Sasl;
use crate::ssl::{Fault, Marks, Ssl};
use crate::stores::{CHAIN, KEY, KEYSTORE, TRUSTED, TRUSTSTORE};

const PROTOCOL: &str = "security.protocol";
const NAMES: &str = "ssl.endpoint.identification.algorithm";
const ENGINE: &str = "ssl.engine.factory.class";

type Settings = BTreeMap<String, String>;

/// How connections to a cluster are secured; cheap to clone. Default: not at all (PLAINTEXT).
///
/// Two are equal if they were read from the same texts.
#[derive(Clone, Default)]
pub struct Security {
    settings: Arc<Settings>,
    tls: Option<Tls>,
    sasl: Option<Sasl>,
}

impl PartialEq for Security {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl Eq for Security {}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        })
    }
}

impl Security {
    /// Whether a key is about this: `security.protocol`, `ssl.*`, `sasl.*`.
    pub fn is_key(key: &str) -> bool {
        key == PROTOCOL || key.starts_with("ssl.") || key.starts_with("sasl.")
    }

    /// Reads a client's keys, and the files that they name. Other keys are not looked at.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read(settings: impl IntoIterator<Item = (String, String)>) -> Result<Self, Vec<Fault>> {
        let settings: Settings = settings
            .into_iter()
            .filter(|(key, _)| Self::is_key(key))
            .collect();
        let lookup = |key: &str| settings.get(key).cloned();
        let keys = Ssl::of(&lookup);
        let protocol = keys.get(PROTOCOL).unwrap_or_default().to_ascii_uppercase();
        let (with_tls, with_sasl) = match protocol.as_str() {
            "" | "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let what = "write PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                return Err(vec![keys.fault(PROTOCOL, what)]);
            }
        };
        let tls = with_tls.then(|| Tls::read(&settings)).transpose();
        let sasl = with_sasl.then(|| Sasl::read(keys)).transpose();
        match (tls, sasl) {
            (Ok(tls), Ok(sasl)) => Ok(Self {
                settings: Arc::new(settings),
                tls,
                sasl,
            }),
            (tls, sasl) => Err(tls.err().into_iter().chain(sasl.err()).collect()),
        }
    }

    /// TLS, if connections use it.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The mechanism, if clients have to log in.
    pub fn sasl(&self) -> Option<&Sasl> {
        self.sasl.as_ref()
    }
}

/// TLS to brokers. Files of certificates are read again when they have changed, for new connections.
#[derive(Clone)]
pub struct Tls(Arc<Live>);

struct Live {
    settings: Settings,
    now: Mutex<Now>,
}

struct Now {
    marks: Marks,
    config: Arc<ClientConfig>,
    /// Why changed files could not be read; said already.
    said: Option<Fault>,
}

impl Tls {
    fn read(settings: &Settings) -> Result<Self, Fault> {
        let lookup = |key: &str| settings.get(key).cloned();
        let ssl = Ssl::of(&lookup);
        // Before they are read: what changes meanwhile is seen as a change.
        let marks = Marks::of(&ssl.files());
        let config = Arc::new(client_config(ssl)?);
        // A file is read more than once, for each flow.
        static SAID: Once = Once::new();
        if !names_are_checked(ssl)? {
            SAID.call_once(|| {
                warn!("{NAMES} is empty: any broker with a trusted certificate is believed, whatever its name");
            });
        }
        let said = None;
        Ok(Self(Arc::new(Live {
            settings: settings.clone(),
            now: Mutex::new(Now {
                marks,
                config,
                said,
            }),
        })))
    }

    /// For a new connection. Costs a look at the files' times.
    pub fn config(&self) -> Arc<ClientConfig> {
        let lookup = |key: &str| self.0.settings.get(key).cloned();
        let ssl = Ssl::of(&lookup);
        let files = ssl.files();
        let marks = Marks::of(&files);
        let mut now = self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.marks != marks {
            match client_config(ssl) {
                Ok(config) => {
                    info!(
                        ?files,
                        "certificates have changed and count for new connections"
                    );
                    *now = Now {
                        marks,
                        config: Arc::new(config),
                        said: None,
                    };
                }
                Err(fault) if now.said.as_ref() != Some(&fault) => {
                    warn!(error = %fault, "certificates have changed and cannot be used: the old ones still count, trying on");
                    now.said = Some(fault);
                }
                Err(_) => {}
            }
        }
        now.config.clone()
    }
}

fn names_are_checked(ssl: Ssl<'_>) -> Result<bool, Fault> {
    match ssl.given(NAMES).as_deref().map(str::trim) {
        Some("") => Ok(false),
        None => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("https") => Ok(true),
        Some(_) => Err(ssl.fault(NAMES, "write https, or nothing to check no names")),
    }
}

fn client_config(ssl: Ssl<'_>) -> Result<ClientConfig, Fault> {
    if ssl.get(ENGINE).is_some() {
        return Err(ssl.fault(ENGINE, "is a Java class, which cannot be loaded; remove it"));
    }
    let names = names_are_checked(ssl)?;
    let provider = ssl.provider()?;
    let (roots, pinned) = trusted(ssl)?;
    let verifier = Verifier::new(roots, pinned, provider.clone(), names)
        .map_err(|error| ssl.fault(ssl.key_of_trust(), error))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&ssl.versions()?)
        .map_err(|error| ssl.fault("ssl.cipher.suites", error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let has_identity = [KEYSTORE, CHAIN, KEY]
        .iter()
        .any(|key| ssl.get(key).is_some());
    if !has_identity {
        return Ok(builder.with_no_client_auth());
    }
    let identity = ssl.identity()?;
    let config = builder.with_client_auth_cert(identity.chain, identity.key);
    config.map_err(|error| {
        let what = format!(
            "{}key and certificate cannot be used together: {error}",
            identity.place
        );
        ssl.fault(ssl.key_of_identity(), what)
    })
}

/// Whose certificates are believed; without a store those that the system believes, as Java's `cacerts`.
/// The second: certificates that are believed themselves.
fn trusted(ssl: Ssl<'_>) -> Result<(RootCertStore, HashSet<Vec<u8>>), Fault> {
    let mut roots = RootCertStore::empty();
    let mut pinned = HashSet::new();
    if ssl.get(TRUSTSTORE).is_some() || ssl.get(TRUSTED).is_some() {
        for certificate in ssl.trusted()? {
            pinned.insert(certificate.to_vec());
            let added = roots.add(certificate);
            added.map_err(|error| {
                ssl.fault(
                    ssl.key_of_trust(),
                    format!("a certificate cannot be used: {error}"),
                )
            })?;
        }
        return Ok((roots, pinned));
    }
    // Of a system's hundred, one that is odd is no reason to stop.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let what = "is not set, and this system has no certificates of authorities; write the path of a PKCS12, JKS or PEM file";
        return Err(ssl.fault(TRUSTSTORE, what));
    }
    Ok((roots, pinned))
}

/// What a TLS failure means for an operator; none if `error` is not one of TLS.
pub fn tls_reason(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    let words = match error {
        // A bad signature: an authority of the same name that has another key by now.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => {
            "the broker's certificate is of no authority that the truststore holds; look at ssl.truststore.location"
        }
        Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the broker's certificate has expired",
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => {
            "the broker's certificate is for other host names; use one of them in bootstrap.servers and the broker's advertised.listeners"
        }
        Error::InvalidMessage(_) => {
            "the broker does not speak TLS there; another port, or security.protocol without SSL?"
        }
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied,
        ) => {
            return Some(format!(
                "the broker does not take our certificate ({error}); look at ssl.keystore.location"
            ));
        }
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion,
        ) => {
            return Some(format!(
                "no TLS version or cipher suite in common, or the broker asks for a certificate ({error})"
            ));
        }
        other => return Some(format!("TLS: {other}")),
    };
    Some(words.to_owned())
}

#[cfg(test)]
mod tests;
