//! TLS to a process that serves REST by https.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Where systems keep the certificates that they trust, one behind the other; `SSL_CERT_FILE` is before them.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A connection with TLS.
pub(super) type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// Trusts the certificates of `ca` alone, or without it those of the system.
///
/// # Errors
/// There are none, or the file cannot be read; it is named.
pub(super) fn client_config(ca: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let of_environment = std::env::var_os("SSL_CERT_FILE").map(Into::into);
    let file = match ca {
        Some(file) => file.to_path_buf(),
        None => of_environment
            .or_else(|| {
                let there = SYSTEM_ROOTS.iter().find(|file| Path::new(file).exists());
                there.map(Into::into)
            })
            .context("this system has no list of certificates: give one with --ca FILE")?,
    };
    let pem = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.with_context(|| format!("{} is no PEM", file.display()))?;
        // Lists of systems hold old ones that nobody can use any more.
        let added = roots.add(certificate);
        if ca.is_some() {
            added.with_context(|| format!("{}: a certificate cannot be used", file.display()))?;
        }
    }
    ensure!(
        !roots.is_empty(),
        "{} has no certificate in PEM",
        file.display()
    );
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The handshake. A server that sends a byte now and then does not hold it up beyond `deadline`.
///
/// # Errors
/// It is not done in time, or the server's certificate is not trusted.
pub(super) fn open(
    config: &Arc<ClientConfig>,
    host: &str,
    mut stream: TcpStream,
    deadline: Instant,
) -> anyhow::Result<TlsStream> {
    let name = ServerName::try_from(host.to_owned()).context("the host cannot have TLS")?;
    let mut tls = ClientConnection::new(config.clone(), name)?;
    while tls.is_handshaking() {
        while tls.wants_write() {
            tls.write_tls(&mut stream).context("no TLS there")?;
        }
        if !tls.wants_read() {
            continue;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "no TLS in time");
        stream.set_read_timeout(Some(left))?;
        if tls.read_tls(&mut stream).context("no TLS there")? == 0 {
            bail!("no TLS there: the connection was closed; does it serve https?");
        }
        if let Err(error) = tls.process_new_packets() {
            // Says why to the other end.
            drop(tls.write_tls(&mut stream));
            return Err(error)
                .context("TLS; certificates that this system does not know: --ca FILE");
        }
    }
    Ok(StreamOwned::new(tls, stream))
}

/// A connection with TLS or without.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// For its time limits.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(into),
            Self::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
