//! A client of single requests, with TLS and SASL.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use embedded::Identity;
use kafka_protocol::messages::{
    ApiKey, RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One connection.
pub struct Client(Box<dyn Stream>);

impl Client {
    /// Without encryption.
    pub fn plain(address: &str) -> Self {
        Self(Box::new(connect(address)))
    }

    /// With TLS; fails where the handshake does, at the latest when the broker has answered a first request.
    pub fn tls(address: &str, authority: &str, own: Option<&Identity>) -> Result<Self, String> {
        let mut trusted = RootCertStore::empty();
        trusted
            .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(trusted);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = CertificateDer::pem_slice_iter(own.certificate_chain.as_bytes());
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(chain.map(Result::unwrap).collect(), key)
                    .unwrap()
            }
        };
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, connect(address));
        stream.flush().map_err(|error| error.to_string())?;
        Ok(Self(Box::new(stream)))
    }

    /// Sends a request and reads the answer; the error is the closed connection.
    pub fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, String> {
        let mut frame = BytesMut::from(&[0; 4][..]);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(7)
            .with_client_id(Some("test".into()));
        let key = ApiKey::try_from(R::KEY).unwrap();
        header
            .encode(&mut frame, key.request_header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        let mut answer = self.exchange(&mut frame)?;
        let header =
            ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
        assert_eq!(header.correlation_id, 7);
        let response = R::Response::decode(&mut answer, version).unwrap();
        assert!(answer.is_empty(), "{} bytes left", answer.len());
        Ok(response)
    }

    /// Sends a frame (its first four bytes are the length's place) and reads one.
    fn exchange(&mut self, frame: &mut BytesMut) -> Result<Bytes, String> {
        let length = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        let io = |error: std::io::Error| error.to_string();
        self.0.write_all(frame).map_err(io)?;
        self.0.flush().map_err(io)?;
        let mut length = [0; 4];
        self.0.read_exact(&mut length).map_err(io)?;
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut answer).map_err(io)?;
        Ok(answer.into())
    }

    /// Sends a bare token, as after SaslHandshake 0.
    pub fn bare_token(&mut self, token: &[u8]) -> Result<Bytes, String> {
        let mut frame = BytesMut::from(&[0; 4][..]);
        frame.extend_from_slice(token);
        self.exchange(&mut frame)
    }

    pub fn handshake(&mut self, mechanism: &'static str) -> Result<(i16, Vec<String>), String> {
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism.into());
        let answer = self.ask(1, &request)?;
        Ok((
            answer.error_code,
            answer.mechanisms.iter().map(ToString::to_string).collect(),
        ))
    }

    pub fn token(&mut self, token: impl Into<Bytes>) -> Result<SaslAuthenticateResponse, String> {
        self.ask(
            2,
            &SaslAuthenticateRequest::default().with_auth_bytes(token.into()),
        )
    }

    pub fn login_plain(
        &mut self,
        user: &str,
        password: &str,
    ) -> Result<SaslAuthenticateResponse, String> {
        assert_eq!(self.handshake("PLAIN")?.0, 0);
        self.token(plain(user, password))
    }

    /// SCRAM as RFC 5802 tells clients to do it, with SHA-256 or SHA-512. The last answer.
    pub fn login_scram(
        &mut self,
        mechanism: &'static str,
        user: &str,
        password: &str,
    ) -> Result<SaslAuthenticateResponse, String> {
        use aws_lc_rs::{digest, hmac, pbkdf2};
        let (hmac_, digest_, pbkdf2_) = match mechanism {
            "SCRAM-SHA-256" => (
                hmac::HMAC_SHA256,
                &digest::SHA256,
                pbkdf2::PBKDF2_HMAC_SHA256,
            ),
            _ => (
                hmac::HMAC_SHA512,
                &digest::SHA512,
                pbkdf2::PBKDF2_HMAC_SHA512,
            ),
        };
        let sign = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac_, key), text)
                .as_ref()
                .to_vec()
        };
        assert_eq!(self.handshake(mechanism)?.0, 0);
        let bare = format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL");
        let first = self.token(format!("n,,{bare}"))?;
        if first.error_code != 0 {
            return Ok(first);
        }
        let challenge = String::from_utf8(first.auth_bytes.to_vec()).unwrap();
        let part = |name: &str| {
            challenge
                .split(',')
                .find_map(|part| part.strip_prefix(name))
                .unwrap()
        };
        let (nonce, salt) = (part("r="), STANDARD.decode(part("s=")).unwrap());
        let iterations: NonZeroU32 = part("i=").parse().unwrap();
        let mut salted = vec![0; digest_.output_len()];
        pbkdf2::derive(pbkdf2_, iterations, &salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(digest_, &client_key);
        let last = format!("c=biws,r={nonce}");
        let transcript = format!("{bare},{challenge},{last}");
        let signature = sign(stored_key.as_ref(), transcript.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(signature)
            .map(|(a, b)| a ^ b)
            .collect();
        let answer = self.token(format!("{last},p={}", STANDARD.encode(proof)))?;
        if answer.error_code == 0 {
            let server = sign(&sign(&salted, b"Server Key"), transcript.as_bytes());
            let expected = format!("v={}", STANDARD.encode(server));
            assert_eq!(answer.auth_bytes, expected, "the broker proves itself too");
        }
        Ok(answer)
    }
}

pub fn plain(user: &str, password: &str) -> String {
    format!("\0{user}\0{password}")
}

/// An unsecured token in the form of a client's first message.
pub fn bearer(user: &str, expires_seconds: i64) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let payload = URL_SAFE_NO_PAD.encode(format!(r#"{{"sub":"{user}","exp":{expires_seconds}}}"#));
    format!("n,,\x01auth=Bearer {header}.{payload}.\x01\x01")
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
