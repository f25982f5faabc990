//! TLS of a listener, from PEM. Certificates are judged by the machine's time, not by the cluster's clock.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::settings::{ClientAuth, Tls};

/// What a listener answers handshakes with.
///
/// # Errors
/// What is wrong with the certificates or the key.
pub(crate) fn server_config(
    tls: &Tls,
    client_auth: ClientAuth,
) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = if client_auth == ClientAuth::None {
        builder.with_no_client_auth()
    } else {
        let mut trusted = RootCertStore::empty();
        for certificate in certificates(&tls.trusted)? {
            trusted
                .add(certificate)
                .map_err(|error| error.to_string())?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(trusted), provider);
        let verifier = match client_auth {
            ClientAuth::Requested => verifier.allow_unauthenticated(),
            _ => verifier,
        };
        builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
    };
    let key = PrivateKeyDer::from_pem_slice(tls.identity.key.as_bytes())
        .map_err(|error| format!("the private key cannot be read: {error}"))?;
    let config = builder
        .with_single_cert(certificates(&tls.identity.certificate_chain)?, key)
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("no certificate was given".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("a certificate cannot be read: {error}")),
    }
}
