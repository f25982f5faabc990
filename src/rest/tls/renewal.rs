//! Certificates that are put in place of old ones while the process runs.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};
use security::Marks;
use topology::{ConfigProviders, Properties};
use tracing::{info, warn};

use super::super::listeners::{KeyFault, Keys};
use super::Ssl;

/// What may change while the process runs.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) identity: Arc<CertifiedKey>,
    /// There if clients are asked for certificates: that they are does not change.
    pub(super) verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What counts at this moment, for each new connection.
#[derive(Debug)]
struct Live(RwLock<Shown>);

impl Live {
    fn now(&self) -> Shown {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.clone()
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.now().identity)
    }
}

/// Asks the verifier of this moment.
#[derive(Debug)]
struct LiveVerifier {
    live: Arc<Live>,
    first: Arc<dyn ClientCertVerifier>,
}

impl LiveVerifier {
    fn now(&self) -> Arc<dyn ClientCertVerifier> {
        let now = self.live.now().verifier;
        now.unwrap_or_else(|| self.first.clone())
    }
}

impl ClientCertVerifier for LiveVerifier {
    fn offer_client_auth(&self) -> bool {
        self.first.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.first.client_auth_mandatory()
    }

    /// None: a list of the start would keep clients of a later authority from showing their certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.now()
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.first.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.first.supported_verify_schemes()
    }
}

#[derive(Debug, Default)]
struct State {
    /// Of the files that were read last.
    marks: Marks,
    /// Why they could not be read again; said already.
    said: Option<String>,
}

/// TLS of some listeners: the files of its keys are read again when they change.
pub(crate) struct Tls {
    config: ServerConfig,
    properties: Properties,
    providers: ConfigProviders,
    prefix: String,
    live: Arc<Live>,
    state: Mutex<State>,
}

impl Tls {
    /// Of the keys behind `prefix` (`listeners.https.`, or none).
    pub(in crate::rest) fn read(
        keys: &Keys<'_>,
        prefix: &str,
        now: SystemTime,
    ) -> Result<Self, KeyFault> {
        let (properties, providers) = keys.parts();
        let ssl = Ssl { keys, prefix };
        // Before they are read: what changes meanwhile is seen as a change.
        let marks = Marks::of(&ssl.stores().files());
        let shown = ssl.shown(now)?;
        let live = Arc::new(Live(RwLock::new(shown.clone())));
        let verifier = shown.verifier.map(|first| LiveVerifier {
            live: live.clone(),
            first,
        });
        let builder = ssl.builder()?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(verifier)),
            None => builder.with_no_client_auth(),
        };
        Ok(Self {
            config: builder.with_cert_resolver(live.clone()),
            properties: properties.clone(),
            providers: providers.clone(),
            prefix: prefix.to_owned(),
            live,
            state: Mutex::new(State { marks, said: None }),
        })
    }

    /// For a listener; what it shows changes with [`renew`](Self::renew).
    pub(in crate::rest) fn config(&self) -> ServerConfig {
        self.config.clone()
    }

    /// Looks whether files have changed, and reads them again then. What cannot be read leaves all as it is, is said once, and
    /// is tried again at the next call.
    pub(in crate::rest) fn renew(&self, now: SystemTime) {
        let keys = Keys::of(&self.properties, &self.providers);
        let ssl = Ssl {
            keys: &keys,
            prefix: &self.prefix,
        };
        let files = ssl.stores().files();
        let marks = Marks::of(&files);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.marks == marks {
            state.said = None;
            return;
        }
        match ssl.shown(now) {
            Ok(shown) => {
                *self.live.0.write().unwrap_or_else(PoisonError::into_inner) = shown;
                *state = State { marks, said: None };
                info!(?files, "certificates have changed and count from now on");
            }
            Err(KeyFault { what, .. }) if state.said.as_ref() != Some(&what) => {
                warn!(
                    error = what,
                    "certificates have changed and cannot be used: the old ones still count, trying on"
                );
                state.said = Some(what);
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::super::listeners::tests::read;
    use super::*;

    const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/stores");

    fn tls(keystore: &Path, truststore: &Path) -> Arc<Tls> {
        let lines = format!(
            "listeners = https://127.0.0.1:0\nssl.client.auth = required\nssl.keystore.location = {}\n\
             ssl.truststore.location = {}\n",
            keystore.display(),
            truststore.display()
        );
        let config = read(&lines).unwrap().unwrap();
        config.listeners.tls.unwrap()
    }

    /// Puts it there as programs do that renew certificates: all at once.
    fn put(bytes: &[u8], at: &Path) {
        let beside = at.with_extension("new");
        fs::write(&beside, bytes).unwrap();
        fs::rename(beside, at).unwrap();
    }

    #[test]
    fn changed_files_count_and_bad_ones_leave_the_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let (keystore, truststore) = (folder.path().join("key.pem"), folder.path().join("ca.pem"));
        let stored = |file: &str| fs::read(format!("{STORES}/{file}")).unwrap();
        put(&stored("server.pem"), &keystore);
        put(&stored("ca.pem"), &truststore);
        let tls = tls(&keystore, &truststore);
        let leaf = || tls.live.now().identity.cert[0].clone();
        let verifier = || Arc::as_ptr(&tls.live.now().verifier.unwrap()).cast::<()>();
        let said = || tls.state.lock().unwrap().said.clone();
        let renew = || tls.renew(SystemTime::now());
        let (first, first_verifier) = (leaf(), verifier());
        renew();
        assert_eq!((leaf(), verifier()), (first.clone(), first_verifier));
        for (bad, why) in [
            (&b"nonsense"[..], "key.pem"),
            (&stored("expired.pem"), "has expired"),
        ] {
            put(bad, &keystore);
            renew();
            renew();
            assert!(said().unwrap().contains(why), "{:?}", said());
            assert_eq!((leaf(), verifier()), (first.clone(), first_verifier));
        }
        fs::remove_file(&keystore).unwrap();
        renew();
        assert!(said().unwrap().contains("cannot be read"));
        let new = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = format!("{}{}", new.signing_key.serialize_pem(), new.cert.pem());
        put(pem.as_bytes(), &keystore);
        renew();
        assert_eq!((said(), &leaf()), (None, new.cert.der()));
        let second_verifier = verifier();
        assert_ne!(second_verifier, first_verifier);
        put(new.cert.pem().as_bytes(), &truststore);
        renew();
        assert_ne!(verifier(), second_verifier);
        assert_eq!(said(), None);
    }
}
