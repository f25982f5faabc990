//! Whether a broker is who it says: as Java's trust manager decides.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, VerifierBuilderError};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// Chains are checked as everywhere. Besides, as in Java, a certificate that is itself in the store is believed, also one that no
/// authority has signed; and names are not checked if they shall not be.
#[derive(Debug)]
pub(super) struct Verifier {
    chains: Arc<WebPkiServerVerifier>,
    /// Certificates of the store, as they are.
    pinned: HashSet<Vec<u8>>,
    names: bool,
}

impl Verifier {
    pub(super) fn new(
        roots: RootCertStore,
        pinned: HashSet<Vec<u8>>,
        provider: Arc<CryptoProvider>,
        names: bool,
    ) -> Result<Self, VerifierBuilderError> {
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Self {
            chains: chains.build()?,
            pinned,
            names,
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.pinned.contains(end_entity.as_ref()) {
            let named = || {
                let parsed = ParsedCertificate::try_from(end_entity)?;
                verify_server_name(&parsed, server_name)
            };
            return match named() {
                Err(error) if self.names && !by_common_name(end_entity, server_name) => Err(error),
                _ => Ok(ServerCertVerified::assertion()),
            };
        }
        let verified = self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            // The chain has been checked by then.
            Err(error) if is_of_name(&error) && !self.names => Ok(ServerCertVerified::assertion()),
            Err(error) if is_of_name(&error) => by_common_name(end_entity, server_name)
                .then(ServerCertVerified::assertion)
                .ok_or(error),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn is_of_name(error: &Error) -> bool {
    matches!(
        error,
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        )
    )
}

/// As Java's `HostnameChecker`: a certificate without alternative DNS names is for the host that its subject's last common name says.
fn by_common_name(end_entity: &CertificateDer<'_>, server_name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(host) = server_name else {
        return false;
    };
    let Ok((_, certificate)) = parse_x509_certificate(end_entity) else {
        return false;
    };
    let has_names = match certificate.subject_alternative_name() {
        Ok(Some(names)) => {
            (names.value.general_names.iter()).any(|name| matches!(name, GeneralName::DNSName(_)))
        }
        Ok(None) => false,
        Err(_) => true,
    };
    let name = certificate.subject().iter_common_name().last();
    let name = name.and_then(|name| name.as_str().ok());
    !has_names && name.is_some_and(|name| is_for(name, host.as_ref()))
}

/// `*` may stand for the first label.
fn is_for(name: &str, host: &str) -> bool {
    let wild = || {
        let (_, domain) = host.split_once('.')?;
        Some(name.strip_prefix("*.")?.eq_ignore_ascii_case(domain) && domain.contains('.'))
    };
    name.eq_ignore_ascii_case(host) || wild().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_for_itself_and_a_wildcard_for_one_label() {
        for (name, host, expected) in [
            ("localhost", "LOCALHOST", true),
            ("a.b.example", "a.b.example", true),
            ("*.b.example", "a.b.example", true),
            ("*.example", "a.b.example", false),
            ("*.example", "b.example", false),
            ("*", "localhost", false),
            ("b.example", "a.b.example", false),
            ("", "a", false),
        ] {
            assert_eq!(is_for(name, host), expected, "{name} {host}");
        }
    }
}
