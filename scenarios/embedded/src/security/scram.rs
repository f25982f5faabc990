//! SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677), the broker's side.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::mechanism::{Failed, Progress};

/// Iterations of credentials made here, the fewest that Kafka takes, and the most.
pub(crate) const ITERATIONS_MIN: i32 = 4096;
pub(crate) const ITERATIONS_MAX: i32 = 16_384;

const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 18;

/// Which hash; the numbers are those of AlterUserScramCredentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub(crate) enum Hash {
    Sha256 = 1,
    Sha512 = 2,
}

impl Hash {
    pub(crate) const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    pub(crate) fn of_number(number: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| *hash as i8 == number)
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        };
        let key = hmac::Key::new(algorithm, key);
        hmac::sign(&key, bytes).as_ref().to_vec()
    }

    /// The password, salted and hashed again and again.
    pub(crate) fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let (algorithm, bytes) = match self {
            Self::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
            Self::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
        };
        let mut salted = vec![0; bytes];
        pbkdf2::derive(
            algorithm,
            iterations,
            salt,
            password.as_bytes(),
            &mut salted,
        );
        salted
    }
}

/// What a broker stores of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    salt: Vec<u8>,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
    iterations: i32,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential")
    }
}

impl Credential {
    /// From what AlterUserScramCredentials carries.
    pub(crate) fn from_salted(hash: Hash, salted: &[u8], salt: &[u8], iterations: i32) -> Self {
        let client_key = hash.hmac(salted, b"Client Key");
        Self {
            salt: salt.to_vec(),
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(salted, b"Server Key"),
            iterations,
        }
    }

    /// From a password, with a salt of its own.
    pub(crate) fn from_password(hash: Hash, password: &str) -> Self {
        let salt = random::<SALT_BYTES>();
        let iterations = ITERATIONS_MIN.unsigned_abs();
        let salted = hash.salted(
            password,
            &salt,
            NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN),
        );
        Self::from_salted(hash, &salted, &salt, ITERATIONS_MIN)
    }

    pub(crate) fn iterations(&self) -> i32 {
        self.iterations
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only where the system has no randomness; a constant salt would do no harm to a test cluster.
    rand::fill(&mut bytes).ok();
    bytes
}

/// One exchange: client-first, server-first, client-final, server-final.
#[derive(Debug)]
pub(crate) struct Exchange {
    hash: Hash,
    nonce: String,
    challenged: Option<Challenged>,
}

#[derive(Debug)]
struct Challenged {
    user: String,
    credential: Credential,
    /// What the client must repeat, in base64: its own GS2 header.
    channel_binding: String,
    nonce: String,
    /// client-first-bare, a comma, server-first.
    transcript: String,
}

impl Exchange {
    pub(crate) fn new(hash: Hash) -> Self {
        Self {
            hash,
            nonce: BASE64.encode(random::<NONCE_BYTES>()),
            challenged: None,
        }
    }

    /// Takes the client's next message. `look_up` knows the users' credentials.
    pub(crate) fn step(
        &mut self,
        message: &[u8],
        look_up: impl FnOnce(&str) -> Option<Credential>,
    ) -> Result<Progress, Failed> {
        let message = std::str::from_utf8(message).map_err(|_| Failed::Credentials)?;
        match self.challenged.take() {
            None => self.challenge(message, look_up),
            Some(challenged) => verify(self.hash, message, challenged),
        }
    }

    fn challenge(
        &mut self,
        message: &str,
        look_up: impl FnOnce(&str) -> Option<Credential>,
    ) -> Result<Progress, Failed> {
        // n,[a=authorization id],n=user,r=nonce[,extensions]
        let mut parts = message.splitn(3, ',');
        let (flag, authorization, bare) = (parts.next(), parts.next(), parts.next());
        let (Some("n"), Some(authorization), Some(bare)) = (flag, authorization, bare) else {
            return Err(Failed::Credentials);
        };
        let user = attribute(bare, 'n').and_then(plain_name);
        let user = user.ok_or(Failed::Credentials)?;
        let client_nonce = attribute(bare, 'r').ok_or(Failed::Credentials)?;
        // Delegation tokens: none exists here.
        if attribute(bare, "tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Err(Failed::Credentials);
        }
        let credential = look_up(&user).ok_or(Failed::Credentials)?;
        let authorization = authorization.strip_prefix("a=").and_then(plain_name);
        if authorization.is_some_and(|id| !id.is_empty() && id != user) {
            return Err(Failed::Told(
                "Authentication failed: Client requested an authorization id that is different from username".to_owned(),
            ));
        }
        let nonce = format!("{client_nonce}{}", self.nonce);
        let answer = format!(
            "r={nonce},s={},i={}",
            BASE64.encode(&credential.salt),
            credential.iterations
        );
        let header = &message[..message.len() - bare.len()];
        self.challenged = Some(Challenged {
            user,
            credential,
            channel_binding: BASE64.encode(header),
            nonce,
            transcript: format!("{bare},{answer}"),
        });
        Ok(Progress::Continue(answer.into_bytes()))
    }
}

/// c=channel binding,r=nonce,p=proof
fn verify(hash: Hash, message: &str, challenged: Challenged) -> Result<Progress, Failed> {
    let (without_proof, proof) = message.rsplit_once(",p=").ok_or(Failed::Credentials)?;
    let proof = BASE64.decode(proof).map_err(|_| Failed::Credentials)?;
    let binding = attribute(without_proof, 'c');
    let nonce = attribute(without_proof, 'r');
    if nonce != Some(&challenged.nonce) || binding != Some(&challenged.channel_binding) {
        return Err(Failed::Credentials);
    }
    let transcript = format!("{},{without_proof}", challenged.transcript);
    let credential = &challenged.credential;
    let signature = hash.hmac(&credential.stored_key, transcript.as_bytes());
    if proof.len() != signature.len() {
        return Err(Failed::Credentials);
    }
    let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    constant_time::verify_slices_are_equal(&hash.digest(&client_key), &credential.stored_key)
        .map_err(|_| Failed::Credentials)?;
    let signature = hash.hmac(&credential.server_key, transcript.as_bytes());
    Ok(Progress::Done {
        answer: format!("v={}", BASE64.encode(signature)).into_bytes(),
        user: challenged.user,
        expires_ms: None,
    })
}

/// The value of `name=value` among parts between commas.
fn attribute<N: std::fmt::Display>(message: &str, name: N) -> Option<&str> {
    let start = format!("{name}=");
    message
        .split(',')
        .find_map(|part| part.strip_prefix(&start))
}

/// A name without its escapes; None if one is wrong.
fn plain_name(name: &str) -> Option<String> {
    let rest = name.replace("=2C", "").replace("=3D", "");
    (!rest.contains('=')).then(|| name.replace("=2C", ",").replace("=3D", "="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(hash: Hash, salt: &str) -> Credential {
        let salt = BASE64.decode(salt).unwrap();
        let salted = hash.salted("pencil", &salt, NonZeroU32::new(4096).unwrap());
        Credential::from_salted(hash, &salted, &salt, 4096)
    }

    /// An exchange whose own part of the nonce is known.
    fn exchange(hash: Hash, nonce: &str) -> Exchange {
        Exchange {
            nonce: nonce.to_owned(),
            ..Exchange::new(hash)
        }
    }

    const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    /// RFC 7677, section 3.
    #[test]
    fn example_of_rfc_7677() {
        let mut exchange = exchange(Hash::Sha256, SERVER_NONCE);
        let challenge = exchange.step(FIRST.as_bytes(), |user| {
            (user == "user").then(|| credential(Hash::Sha256, SALT))
        });
        let expected = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(challenge, Ok(Progress::Continue(expected.into())));
        let done = Progress::Done {
            answer: b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_vec(),
            user: "user".to_owned(),
            expires_ms: None,
        };
        assert_eq!(exchange.step(FINAL.as_bytes(), |_| None), Ok(done));
    }

    #[test]
    fn what_was_tampered_with_is_refused() {
        for (from, to) in [
            ("p=dHz", "p=eHz"),
            ("c=biws", "c=eSws"),
            ("r=rOpr", "r=xOpr"),
            (",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", ",p=AAAA"),
            (",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", ""),
        ] {
            let mut exchange = exchange(Hash::Sha256, SERVER_NONCE);
            let first = exchange.step(FIRST.as_bytes(), |_| Some(credential(Hash::Sha256, SALT)));
            assert!(matches!(first, Ok(Progress::Continue(_))));
            let last = FINAL.replace(from, to);
            assert_ne!(last, FINAL);
            let answer = exchange.step(last.as_bytes(), |_| None);
            assert_eq!(answer, Err(Failed::Credentials), "{last}");
        }
    }

    #[test]
    fn malformed_first_messages_are_refused() {
        let other_id = Exchange::new(Hash::Sha512).step(b"n,a=bob,n=alice,r=x", |_| {
            Some(Credential::from_password(Hash::Sha512, "p"))
        });
        assert!(matches!(other_id, Err(Failed::Told(_))));
        for message in [
            "",
            "n",
            "n,",
            "n,,",
            "y,,n=a,r=b",
            "n,,r=b",
            "n,,n=a",
            "n,,n=a=41,r=b",
            "p=tls,,n=a,r=b",
        ] {
            let answer = Exchange::new(Hash::Sha512).step(message.as_bytes(), |_| {
                Some(Credential::from_password(Hash::Sha512, "p"))
            });
            assert_eq!(answer, Err(Failed::Credentials), "{message}");
        }
    }

    #[test]
    fn escaped_names() {
        assert_eq!(plain_name("a=2Cb=3Dc"), Some("a,b=c".to_owned()));
        assert_eq!(plain_name("a=2Gb"), None);
    }
}
