//! Java's own key store format, read only.
//!
//! Source: `sun.security.provider.JavaKeyStore` and `KeyProtector` of OpenJDK. Big-endian; entries, then SHA-1 of the
//! password, a fixed text and all that is before. A key is masked by a chain of SHA-1 over the password and a salt.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::der_parser::asn1_rs::{FromDer, OctetString, Sequence};

use crate::stores::one_key;

pub(crate) const MAGIC: [u8; 4] = 0xFEED_FEED_u32.to_be_bytes();
const WHITENER: &[u8] = b"Mighty Aphrodite";
const DIGEST_BYTES: usize = 20;
const PRIVATE_KEY: u32 = 1;
const TRUSTED_CERTIFICATE: u32 = 2;

/// What is in a store.
#[derive(Debug, Default)]
pub(crate) struct Store {
    /// Masked keys with their chains.
    keys: Vec<(Vec<u8>, Vec<Vec<u8>>)>,
    pub(crate) trusted: Vec<Vec<u8>>,
}

/// Reads a store; without `password` it is not checked.
pub(crate) fn read(bytes: &[u8], password: Option<&str>) -> Result<Store, String> {
    let cut = || "is cut off, or no JKS file".to_owned();
    let end = bytes.len().checked_sub(DIGEST_BYTES).ok_or_else(cut)?;
    let (body, stored) = bytes.split_at_checked(end).ok_or_else(cut)?;
    if let Some(password) = password {
        let mut sha = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        sha.update(&utf16(password));
        sha.update(WHITENER);
        sha.update(body);
        verify_slices_are_equal(sha.finish().as_ref(), stored)
            .map_err(|_| "was damaged, or the password is another one".to_owned())?;
    }
    Input(body).store().ok_or_else(cut)
}

impl Store {
    /// The only key, unmasked (PKCS#8), and its certificates.
    pub(crate) fn identity(mut self, password: &str) -> Result<(Vec<u8>, Vec<Vec<u8>>), String> {
        let count = self.keys.len();
        match (self.keys.pop(), self.keys.is_empty()) {
            (Some((masked, chain)), true) => {
                let key = unmask(&masked, password);
                let key = key.ok_or("the key does not open with ssl.key.password, or without one, with ssl.keystore.password")?;
                Ok((key, chain))
            }
            _ => Err(one_key(count)),
        }
    }
}

/// What is not read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// Java's modified UTF-8, not looked at.
    fn text(&mut self) -> Option<()> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::from(length)).map(drop)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    fn certificate(&mut self, version: u32) -> Option<Vec<u8>> {
        if version == 2 {
            self.text()?; // "X.509"
        }
        self.bytes()
    }

    fn store(&mut self) -> Option<Store> {
        let mut store = Store::default();
        self.take(MAGIC.len())?;
        let version = self.number().filter(|version| [1, 2].contains(version))?;
        for _ in 0..self.number()? {
            let tag = self.number()?;
            self.text()?; // alias
            self.take(8)?; // time of creation
            match tag {
                PRIVATE_KEY => {
                    let key = self.bytes()?;
                    let mut chain = Vec::new();
                    for _ in 0..self.number()? {
                        chain.push(self.certificate(version)?);
                    }
                    store.keys.push((key, chain));
                }
                TRUSTED_CERTIFICATE => store.trusted.push(self.certificate(version)?),
                _ => return None,
            }
        }
        self.0.is_empty().then_some(store)
    }
}

/// Java hashes passwords as UTF-16.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// `EncryptedPrivateKeyInfo` of Java's own algorithm: salt, masked key, SHA-1 of password and key.
fn unmask(info: &[u8], password: &str) -> Option<Vec<u8>> {
    let (_, outer) = Sequence::from_der(info).ok()?;
    let (rest, _algorithm) = Sequence::from_der(&outer.content).ok()?;
    let (_, data) = OctetString::from_der(rest).ok()?;
    let (salt, rest) = data.as_ref().split_at_checked(DIGEST_BYTES)?;
    let end = rest.len().checked_sub(DIGEST_BYTES)?;
    let (masked, stored) = rest.split_at_checked(end)?;
    let password = utf16(password);
    let sha = |more: &[u8]| digest(&SHA1_FOR_LEGACY_USE_ONLY, &[&password, more].concat());
    let mut key = Vec::with_capacity(masked.len());
    let mut mask = sha(salt);
    for block in masked.chunks(DIGEST_BYTES) {
        key.extend(block.iter().zip(mask.as_ref()).map(|(a, b)| a ^ b));
        mask = sha(mask.as_ref());
    }
    verify_slices_are_equal(sha(&key).as_ref(), stored).ok()?;
    Some(key)
}
