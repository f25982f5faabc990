//! The certificate that REST shows, and whose certificates it takes: Connect's `ssl.*` keys, for rustls.

mod jks;
mod renewal;
mod stores;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, SupportedProtocolVersion, WantsVerifier};
use tracing::warn;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use self::renewal::Shown;
use self::stores::{Identity, KEYSTORE, TRUSTSTORE};
use super::listeners::{KeyFault, Keys};
pub(crate) use renewal::Tls;

/// What the clients of a listener have to show.
enum ClientAuth {
    None,
    Requested,
    Required,
}

/// The `ssl.*` keys of one place.
pub(super) struct Ssl<'a> {
    keys: &'a Keys<'a>,
    prefix: &'a str,
}

impl Ssl<'_> {
    fn get(&self, key: &str) -> Option<String> {
        self.keys.get(&format!("{}{key}", self.prefix))
    }

    /// As it is written: white space belongs to a password.
    fn password(&self, key: &str) -> Option<String> {
        let text = self.keys.given(&format!("{}{key}", self.prefix))?;
        (!text.is_empty()).then_some(text)
    }

    fn fault(&self, key: &str, what: impl std::fmt::Display) -> KeyFault {
        self.keys.fault(&format!("{}{key}", self.prefix), what)
    }

    /// What does not change while the process runs.
    fn builder(&self) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, KeyFault> {
        ServerConfig::builder_with_provider(self.provider()?)
            .with_protocol_versions(&self.versions()?)
            .map_err(|error| self.fault("ssl.cipher.suites", error))
    }

    /// What is in the files now.
    fn shown(&self, now: SystemTime) -> Result<Shown, KeyFault> {
        let provider = self.provider()?;
        let identity = self.identity()?;
        self.check_validity(&identity, now)?;
        let Identity { chain, key, .. } = identity;
        let identity = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            let what = format!("key and certificate cannot be used together: {error}");
            self.fault(self.key_of_identity(), what)
        })?;
        Ok(Shown {
            identity: Arc::new(identity),
            verifier: self.verifier(provider)?,
        })
    }

    /// The files that certificates are in.
    fn files(&self) -> Vec<PathBuf> {
        let stores = [KEYSTORE, TRUSTSTORE];
        (stores.iter().filter_map(|key| self.get(key)))
            .map(PathBuf::from)
            .collect()
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, KeyFault> {
        let key = "ssl.enabled.protocols";
        let text = self
            .get(key)
            .unwrap_or_else(|| "TLSv1.2,TLSv1.3".to_owned());
        let mut versions = Vec::new();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name {
                "TLSv1.2" => versions.push(&TLS12),
                "TLSv1.3" => versions.push(&TLS13),
                "TLSv1" | "TLSv1.1" | "SSLv3" | "SSLv2Hello" => {
                    warn!(protocol = name, "{key}: is broken and stays off");
                }
                _ => return Err(self.fault(key, "write TLSv1.2, TLSv1.3, or both")),
            }
        }
        if versions.is_empty() {
            return Err(self.fault(
                key,
                "leaves none that is safe; write TLSv1.2, TLSv1.3, or both",
            ));
        }
        Ok(versions)
    }

    /// With `ssl.cipher.suites`, by Java's names, in that order.
    fn provider(&self) -> Result<Arc<CryptoProvider>, KeyFault> {
        let mut provider = aws_lc_rs::default_provider();
        let key = "ssl.cipher.suites";
        if let Some(text) = self.get(key) {
            let known = |name: &str| {
                let of_rustls = |suite: &&rustls::SupportedCipherSuite| {
                    let own = format!("{:?}", suite.suite());
                    own.replacen("TLS13_", "TLS_", 1) == name
                };
                provider.cipher_suites.iter().find(of_rustls).copied()
            };
            let suites: Vec<_> = text
                .split(',')
                .filter_map(|one| known(one.trim()))
                .collect();
            if suites.is_empty() {
                let names = provider.cipher_suites.iter();
                let names: Vec<_> = names
                    .map(|one| format!("{:?}", one.suite()).replacen("TLS13_", "TLS_", 1))
                    .collect();
                let what = format!(
                    "names no suite that is here; write some of {}",
                    names.join(", ")
                );
                return Err(self.fault(key, what));
            }
            provider.cipher_suites = suites;
        }
        Ok(Arc::new(provider))
    }

    fn client_auth(&self) -> Result<ClientAuth, KeyFault> {
        let key = "ssl.client.auth";
        match self
            .get(key)
            .map(|text| text.to_ascii_lowercase())
            .as_deref()
        {
            None | Some("none") => Ok(ClientAuth::None),
            Some("requested") => Ok(ClientAuth::Requested),
            Some("required") => Ok(ClientAuth::Required),
            Some(_) => Err(self.fault(key, "write none, requested or required")),
        }
    }

    fn verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, KeyFault> {
        let auth = self.client_auth()?;
        if matches!(auth, ClientAuth::None) {
            return Ok(None);
        }
        let mut roots = RootCertStore::empty();
        let key = self.key_of_trust();
        for certificate in self.trusted()? {
            let added = roots.add(certificate);
            added.map_err(|error| {
                self.fault(key, format!("a certificate cannot be used: {error}"))
            })?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let builder = match auth {
            ClientAuth::Requested => builder.allow_unauthenticated(),
            _ => builder,
        };
        let verifier = builder.build().map_err(|error| self.fault(key, error))?;
        Ok(Some(verifier))
    }

    /// An expired certificate would be found by every client, one after the other, and by nobody here.
    fn check_validity(&self, identity: &Identity, now: SystemTime) -> Result<(), KeyFault> {
        let key = self.key_of_identity();
        let no = |what: String| self.fault(key, format!("{}{what}", identity.place));
        let first = identity.chain.first();
        let first = first.ok_or_else(|| no("no certificate".to_owned()))?;
        let (_, leaf) = parse_x509_certificate(first)
            .map_err(|_| no("the certificate is no X.509 certificate".to_owned()))?;
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let now = ASN1Time::from_timestamp(i64::try_from(seconds).unwrap_or(i64::MAX));
        let now = now.map_err(|_| no("the clock of this machine is wrong".to_owned()))?;
        let validity = leaf.validity();
        if now > validity.not_after {
            return Err(no(format!(
                "the certificate has expired on {}; put a new one there",
                validity.not_after
            )));
        }
        if now < validity.not_before {
            return Err(no(format!(
                "the certificate is valid from {} only; look at the clock of this machine",
                validity.not_before
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
