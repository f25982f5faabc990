//! SCRAM-SHA-256 and -512, the client's side. As Java's: names and passwords are UTF-8 without SASLprep.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::SaslError;

/// The fewest iterations that Kafka's clients take: fewer would give the password away to a false broker.
const ITERATIONS_MIN: u32 = 4_096;
/// Kafka's brokers store 16,384 at most; more would only keep this side busy.
const ITERATIONS_MAX: u32 = 131_072;
const NONCE_BYTES: usize = 24;

/// Who logs in.
pub(super) struct Credentials {
    pub(super) sha512: bool,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) token: bool,
}

/// An exchange.
pub(super) struct Scram {
    sha512: bool,
    password: String,
    nonce: String,
    client_first_bare: String,
    /// Set once the proof is sent: what the broker has to answer.
    server_signature: Option<Vec<u8>>,
}

fn failed(what: &str) -> SaslError {
    SaslError(what.to_owned())
}

impl Scram {
    pub(super) fn start(credentials: &Credentials) -> Result<(Self, Vec<u8>), SaslError> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce).map_err(|_| failed("the system gives no random bytes"))?;
        Ok(Self::with_nonce(credentials, BASE64_STANDARD.encode(nonce)))
    }

    pub(super) fn with_nonce(credentials: &Credentials, nonce: String) -> (Self, Vec<u8>) {
        let user = credentials.user.replace('=', "=3D").replace(',', "=2C");
        let token = if credentials.token {
            ",tokenauth=true"
        } else {
            ""
        };
        let client_first_bare = format!("n={user},r={nonce}{token}");
        let first = format!("n,,{client_first_bare}").into_bytes();
        let scram = Self {
            sha512: credentials.sha512,
            password: credentials.password.clone(),
            nonce,
            client_first_bare,
            server_signature: None,
        };
        (scram, first)
    }

    pub(super) fn step(&mut self, answer: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
        let answer =
            std::str::from_utf8(answer).map_err(|_| failed("the broker's answer is no text"))?;
        match self.server_signature.take() {
            None => self.prove(answer).map(Some),
            Some(expected) => {
                if let Some(error) = attribute(answer, "e=") {
                    return Err(SaslError(format!("the broker answers {error}")));
                }
                let given =
                    attribute(answer, "v=").and_then(|text| BASE64_STANDARD.decode(text).ok());
                let given =
                    given.ok_or_else(|| failed("the broker's last answer has no signature"))?;
                verify_slices_are_equal(&given, &expected).map_err(|_| {
                    failed("the broker does not know the password: is it the right one?")
                })?;
                Ok(None)
            }
        }
    }

    fn prove(&mut self, server_first: &str) -> Result<Vec<u8>, SaslError> {
        if let Some(error) = attribute(server_first, "e=") {
            return Err(SaslError(format!("the broker answers {error}")));
        }
        let malformed = || failed("the broker's first answer is malformed");
        let nonce = attribute(server_first, "r=").ok_or_else(malformed)?;
        let salt = attribute(server_first, "s=").ok_or_else(malformed)?;
        let salt = BASE64_STANDARD.decode(salt).map_err(|_| malformed())?;
        let iterations = attribute(server_first, "i=").ok_or_else(malformed)?;
        let iterations: u32 = iterations.parse().map_err(|_| malformed())?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(failed("the broker answers another one's question"));
        }
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(SaslError(format!(
                "the broker wants {iterations} iterations; {ITERATIONS_MIN} to {ITERATIONS_MAX} are done"
            )));
        }
        let iterations = NonZeroU32::new(iterations).ok_or_else(malformed)?;
        let salted = self.salted(&salt, iterations);
        let without_proof = format!("c=biws,r={nonce}");
        let message = format!("{},{server_first},{without_proof}", self.client_first_bare);
        let client_key = self.hmac(&salted, b"Client Key");
        let signature = self.hmac(&self.digest(&client_key), message.as_bytes());
        let proof: Vec<u8> = client_key
            .iter()
            .zip(&signature)
            .map(|(key, sign)| key ^ sign)
            .collect();
        let server_key = self.hmac(&salted, b"Server Key");
        self.server_signature = Some(self.hmac(&server_key, message.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)).into_bytes())
    }

    fn digest(&self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = if self.sha512 {
            &digest::SHA512
        } else {
            &digest::SHA256
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn hmac(&self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let algorithm = if self.sha512 {
            hmac::HMAC_SHA512
        } else {
            hmac::HMAC_SHA256
        };
        hmac::sign(&hmac::Key::new(algorithm, key), bytes)
            .as_ref()
            .to_vec()
    }

    fn salted(&self, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let (algorithm, bytes) = if self.sha512 {
            (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN)
        } else {
            (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN)
        };
        let mut salted = vec![0; bytes];
        pbkdf2::derive(
            algorithm,
            iterations,
            salt,
            self.password.as_bytes(),
            &mut salted,
        );
        salted
    }
}

/// The value of the attribute that begins with `name`.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}
