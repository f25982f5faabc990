//! Keys and certificates from where `ssl.keystore.*` and `ssl.truststore.*` say: PKCS12 and JKS files as Java's keytool
//! writes them, PEM files, and PEM texts.

use std::fs::File;
use std::io::Read;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12Archive, Pkcs12ImportPolicy};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::jks;
use crate::ssl::{Fault, Ssl};

/// More than any store has.
const STORE_BYTES_MAX: u64 = 16 << 20;
pub(crate) const KEYSTORE: &str = "ssl.keystore.location";
pub(crate) const CHAIN: &str = "ssl.keystore.certificate.chain";
pub(crate) const KEY: &str = "ssl.keystore.key";
pub(crate) const TRUSTSTORE: &str = "ssl.truststore.location";
pub(crate) const TRUSTED: &str = "ssl.truststore.certificates";

/// A key and the certificates that belong to it, its own first.
#[derive(Debug)]
pub struct Identity {
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// The certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// File of both, for messages: `path: `, or nothing.
    pub place: String,
}

impl Ssl<'_> {
    /// The key that messages about the certificate name.
    pub fn key_of_identity(&self) -> &'static str {
        if self.get(CHAIN).is_some() || self.get(KEY).is_some() {
            CHAIN
        } else {
            KEYSTORE
        }
    }

    /// The key that messages about trusted certificates name.
    pub fn key_of_trust(&self) -> &'static str {
        if self.get(TRUSTED).is_some() {
            TRUSTED
        } else {
            TRUSTSTORE
        }
    }

    /// Key and certificate of this end.
    ///
    /// # Errors
    /// What is wrong with the keys, or the file that they name.
    pub fn identity(&self) -> Result<Identity, Fault> {
        let key_password = self.password("ssl.key.password");
        if self.key_of_identity() == CHAIN {
            let text = |key| {
                let missing = || self.fault(key, "is not set; write the PEM text");
                self.get(key).ok_or_else(missing)
            };
            let (chain, key) = (text(CHAIN)?, text(KEY)?);
            let chain = certificates(chain.as_bytes()).map_err(|what| self.fault(CHAIN, what))?;
            let key = private_key(key.as_bytes(), key_password.as_deref());
            return Ok(Identity {
                key: key.map_err(|what| self.fault(KEY, what))?,
                chain,
                place: String::new(),
            });
        }
        let (path, bytes) = self.file(KEYSTORE)?;
        let password = self.password("ssl.keystore.password");
        let fault = |what: String| self.fault(KEYSTORE, format!("{path}: {what}"));
        let missing = |kind: &str| {
            self.fault(
                "ssl.keystore.password",
                format!("is not set, but {path} is a {kind} file"),
            )
        };
        let (key, chain) = match self.kind("ssl.keystore.type", &bytes)? {
            Kind::Pem => {
                let key = private_key(&bytes, key_password.as_deref()).map_err(fault)?;
                (key, certificates(&bytes).map_err(fault)?)
            }
            Kind::Jks => {
                let password = password.ok_or_else(|| missing("JKS"))?;
                let store = jks::read(&bytes, Some(&password)).map_err(fault)?;
                let of_key = key_password.as_deref().unwrap_or(&password);
                let (key, chain) = store.identity(of_key).map_err(fault)?;
                (PrivatePkcs8KeyDer::from(key).into(), owned(chain))
            }
            Kind::Pkcs12 => {
                let password = password.ok_or_else(|| missing("PKCS12"))?;
                pkcs12_identity(&bytes, &password).map_err(fault)?
            }
        };
        Ok(Identity {
            key,
            chain,
            place: format!("{path}: "),
        })
    }

    /// The certificates that the other end's are checked against. Never empty.
    ///
    /// # Errors
    /// As [`Self::identity`].
    pub fn trusted(&self) -> Result<Vec<CertificateDer<'static>>, Fault> {
        if let Some(text) = self.get(TRUSTED) {
            return certificates(text.as_bytes()).map_err(|what| self.fault(TRUSTED, what));
        }
        let (path, bytes) = self.file(TRUSTSTORE)?;
        let password = self.password("ssl.truststore.password");
        let fault = |what: String| self.fault(TRUSTSTORE, format!("{path}: {what}"));
        let trusted = match self.kind("ssl.truststore.type", &bytes)? {
            Kind::Pem => certificates(&bytes).map_err(fault)?,
            // As in Java, without a password its certificates are read unchecked.
            Kind::Jks => owned(
                jks::read(&bytes, password.as_deref())
                    .map_err(fault)?
                    .trusted,
            ),
            Kind::Pkcs12 => {
                let password = password.unwrap_or_default();
                let all = Pkcs12Archive::from_pkcs12(&bytes, &password).map_err(unreadable);
                let all = all.map_err(fault)?.certs.into_iter();
                all.map(|one| one.cert.as_der().to_vec().into()).collect()
            }
        };
        if trusted.is_empty() {
            return Err(fault("has no trusted certificate".to_owned()));
        }
        Ok(trusted)
    }

    fn file(&self, key: &str) -> Result<(String, Vec<u8>), Fault> {
        let path = self.get(key).ok_or_else(|| {
            self.fault(
                key,
                "is not set; write the path of a PKCS12, JKS or PEM file",
            )
        })?;
        let mut bytes = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(STORE_BYTES_MAX + 1).read_to_end(&mut bytes))
            .map_err(|error| self.fault(key, format!("{path} cannot be read: {error}")))?;
        if bytes.len() as u64 > STORE_BYTES_MAX {
            return Err(self.fault(key, format!("{path} is larger than 16 MiB and so no store")));
        }
        Ok((path, bytes))
    }

    /// Java reads PKCS12 as JKS and the reverse, whatever the type says; so the bytes decide.
    fn kind(&self, key: &str, bytes: &[u8]) -> Result<Kind, Fault> {
        let kind = self.get(key).map(|text| text.to_ascii_uppercase());
        match kind.as_deref() {
            Some("PEM") => Ok(Kind::Pem),
            None | Some("JKS" | "PKCS12") if bytes.starts_with(&jks::MAGIC) => Ok(Kind::Jks),
            None if bytes.starts_with(b"-----") => Ok(Kind::Pem),
            None | Some("JKS" | "PKCS12") => Ok(Kind::Pkcs12),
            Some(_) => Err(self.fault(key, "write PKCS12, JKS or PEM")),
        }
    }
}

enum Kind {
    Pem,
    Jks,
    Pkcs12,
}

fn owned(certificates: Vec<Vec<u8>>) -> Vec<CertificateDer<'static>> {
    certificates.into_iter().map(CertificateDer::from).collect()
}

/// No text of a library: what it says of a wrong password differs from file to file.
fn unreadable(_: p12_keystore::error::Error) -> String {
    "is no PKCS12 file, or the password is another one".to_owned()
}

fn pkcs12_identity(
    bytes: &[u8],
    password: &str,
) -> Result<(PrivateKeyDer<'static>, Vec<CertificateDer<'static>>), String> {
    let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Relaxed);
    let store = store.map_err(unreadable)?;
    let chains = store.entries().filter_map(|(_, entry)| match entry {
        KeyStoreEntry::PrivateKeyChain(chain) => Some(chain),
        _ => None,
    });
    let chains: Vec<_> = chains.collect();
    let [chain] = *chains else {
        return Err(one_key(chains.len()));
    };
    let key = PrivatePkcs8KeyDer::from(chain.key().as_der().to_vec());
    let certificates = chain.certs().iter().map(|one| one.as_der().to_vec());
    Ok((key.into(), certificates.map(CertificateDer::from).collect()))
}

/// Java takes any key of several; which one cannot be said.
pub(crate) fn one_key(found: usize) -> String {
    match found {
        0 => "has no private key".to_owned(),
        _ => format!("has {found} private keys; keep the one that is shown"),
    }
}

/// PEM certificates, in their order. Never empty.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("has no `-----BEGIN CERTIFICATE-----`".to_owned()),
        Err(_) => Err("is no PEM text".to_owned()),
    }
}

/// The first PEM private key; `password` opens an encrypted one.
fn private_key(text: &[u8], password: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    if let Ok(key) = PrivateKeyDer::from_pem_slice(text) {
        return Ok(key);
    }
    let text = std::str::from_utf8(text).map_err(|_| "is no PEM text".to_owned())?;
    let Some((_, behind)) = text.split_once("-----BEGIN ENCRYPTED PRIVATE KEY-----") else {
        return Err("has no `-----BEGIN PRIVATE KEY-----`".to_owned());
    };
    let password = password.ok_or("is encrypted, but ssl.key.password is not set")?;
    let inner = behind.split("-----").next().unwrap_or_default();
    let inner: String = inner.split_whitespace().collect();
    let bytes = BASE64_STANDARD
        .decode(inner)
        .map_err(|_| "is no PEM text")?;
    let info = EncryptedPrivateKeyInfoRef::try_from(bytes.as_slice());
    let info = info.map_err(|_| "the encrypted key is no PKCS#8 key")?;
    let key = info
        .decrypt(password)
        .map_err(|_| "the encrypted key does not open with ssl.key.password")?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli/stores");

    proptest! {
        /// Goal: bytes of anybody do no harm.
        #[test]
        fn damaged_stores_are_refused(at in 0_usize..2_000, byte: u8, cut in 0_usize..2_000) {
            for file in ["java.jks", "java.p12", "encrypted.pem"] {
                let mut bytes = std::fs::read(format!("{STORES}/{file}")).unwrap();
                if let Some(one) = bytes.get_mut(at) {
                    *one = byte;
                }
                bytes.truncate(bytes.len().saturating_sub(cut));
                drop(jks::read(&bytes, None).map(|store| store.identity("canary-key")));
                if cut > 0 {
                    prop_assert!(jks::read(&bytes, Some("canary-store")).is_err());
                    // Its first bytes say how many rounds a password takes; a round is not the same everywhere.
                    drop(pkcs12_identity(&bytes, "canary-store"));
                }
            }
        }
    }
}
