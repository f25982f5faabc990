//! The certificate that REST shows, and whose certificates it takes: Connect's `ssl.*` keys, for rustls.

mod renewal;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use security::{Fault, Identity};
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use self::renewal::Shown;
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

impl security::Keys for Ssl<'_> {
    fn given(&self, key: &str) -> Option<String> {
        self.keys.given(&format!("{}{key}", self.prefix))
    }
}

impl Ssl<'_> {
    fn get(&self, key: &str) -> Option<String> {
        self.keys.get(&format!("{}{key}", self.prefix))
    }

    /// As clients of brokers have them, too.
    fn stores(&self) -> security::Ssl<'_> {
        security::Ssl::of(self)
    }

    fn fault(&self, key: &str, what: impl std::fmt::Display) -> KeyFault {
        self.keys.fault(&format!("{}{key}", self.prefix), what)
    }

    fn blame(&self, fault: &Fault) -> KeyFault {
        self.fault(&fault.key, &fault.what)
    }

    /// What does not change while the process runs.
    fn builder(&self) -> Result<ConfigBuilder<ServerConfig, WantsVerifier>, KeyFault> {
        let stores = self.stores();
        let provider = stores.provider().map_err(|fault| self.blame(&fault))?;
        let versions = stores.versions().map_err(|fault| self.blame(&fault))?;
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| self.fault("ssl.cipher.suites", error))
    }

    /// What is in the files now.
    fn shown(&self, now: SystemTime) -> Result<Shown, KeyFault> {
        let stores = self.stores();
        let provider = stores.provider().map_err(|fault| self.blame(&fault))?;
        let identity = stores.identity().map_err(|fault| self.blame(&fault))?;
        self.check_validity(&identity, now)?;
        let Identity { chain, key, .. } = identity;
        let identity = CertifiedKey::from_der(chain, key, &provider).map_err(|error| {
            let what = format!("key and certificate cannot be used together: {error}");
            self.fault(self.stores().key_of_identity(), what)
        })?;
        Ok(Shown {
            identity: Arc::new(identity),
            verifier: self.verifier(provider)?,
        })
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
        let key = self.stores().key_of_trust();
        let trusted = self
            .stores()
            .trusted()
            .map_err(|fault| self.blame(&fault))?;
        for certificate in trusted {
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
        let key = self.stores().key_of_identity();
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
