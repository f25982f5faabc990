//! Kafka's `ssl.*` keys, of a server and of a client alike.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use tracing::warn;

use crate::stores::{KEYSTORE, TRUSTSTORE};

/// Where keys are looked up.
pub trait Keys {
    /// The value as it is written, references resolved; none if the key is not there.
    fn given(&self, key: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String>> Keys for F {
    fn given(&self, key: &str) -> Option<String> {
        self(key)
    }
}

/// What is wrong with a key. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct Fault {
    /// The key.
    pub key: String,
    /// What is wrong, and what to write instead.
    pub what: String,
}

/// The `ssl.*` keys of one place.
#[derive(Clone, Copy)]
pub struct Ssl<'a> {
    keys: &'a dyn Keys,
}

impl<'a> Ssl<'a> {
    /// Those that `keys` has.
    pub fn of(keys: &'a dyn Keys) -> Self {
        Self { keys }
    }

    /// The value of a key, if it is there and not blank.
    pub fn get(&self, key: &str) -> Option<String> {
        let text = self.keys.given(key)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The value of a key, be it blank.
    pub(crate) fn given(&self, key: &str) -> Option<String> {
        self.keys.given(key)
    }

    /// As it is written: white space belongs to a password.
    pub(crate) fn password(&self, key: &str) -> Option<String> {
        self.keys.given(key).filter(|text| !text.is_empty())
    }

    pub(crate) fn fault(&self, key: &str, what: impl std::fmt::Display) -> Fault {
        Fault {
            key: key.to_owned(),
            what: what.to_string(),
        }
    }

    /// The files that certificates are in.
    pub fn files(&self) -> Vec<PathBuf> {
        let stores = [KEYSTORE, TRUSTSTORE];
        (stores.iter().filter_map(|key| self.get(key)))
            .map(PathBuf::from)
            .collect()
    }

    /// `ssl.enabled.protocols`, those that are safe.
    ///
    /// # Errors
    /// None of them is, or one is unknown.
    pub fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, Fault> {
        let key = "ssl.enabled.protocols";
        let text = self
            .get(key)
            .unwrap_or_else(|| "TLSv1.2,TLSv1.3".to_owned());
        let mut versions = Vec::new();
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match name {
                "TLSv1.2" => versions.push(&TLS12),
                "TLSv1.3" => versions.push(&TLS13),
                "TLSv1" | "TLSv1.1" | "SSLv3" | "SSLv2Hello" => {
                    warn!(protocol = name, "{key}: is broken and stays off");
                }
                _ => return Err(self.fault(key, "write TLSv1.2, TLSv1.3, or both")),
            }
        }
        if versions.is_empty() {
            return Err(self.fault(
                key,
                "leaves none that is safe; write TLSv1.2, TLSv1.3, or both",
            ));
        }
        Ok(versions)
    }

    /// With `ssl.cipher.suites`, by Java's names, in that order.
    ///
    /// # Errors
    /// None of the suites is known.
    pub fn provider(&self) -> Result<Arc<CryptoProvider>, Fault> {
        let mut provider = aws_lc_rs::default_provider();
        let key = "ssl.cipher.suites";
        if let Some(text) = self.get(key) {
            let known = |name: &str| {
                let of_rustls = |suite: &&rustls::SupportedCipherSuite| {
                    let own = format!("{:?}", suite.suite());
                    own.replacen("TLS13_", "TLS_", 1) == name
                };
                provider.cipher_suites.iter().find(of_rustls).copied()
            };
            let mut suites = Vec::new();
            let names = text.split(',').map(str::trim);
            for name in names.filter(|name| !name.is_empty()) {
                match known(name) {
                    Some(suite) => suites.push(suite),
                    None => warn!(suite = name, "{key}: is not here and stays off"),
                }
            }
            if suites.is_empty() {
                let names = provider.cipher_suites.iter();
                let names: Vec<_> = names
                    .map(|one| format!("{:?}", one.suite()).replacen("TLS13_", "TLS_", 1))
                    .collect();
                let what = format!(
                    "names no suite that is here; write some of {}",
                    names.join(", ")
                );
                return Err(self.fault(key, what));
            }
            provider.cipher_suites = suites;
        }
        Ok(Arc::new(provider))
    }
}

/// What tells that files are others than before: of each, time of change, length, number; none where it is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks(Vec<Option<(i64, i64, u64, u64)>>);

impl Marks {
    /// As they are now.
    pub fn of(files: &[PathBuf]) -> Self {
        let mark = |file: &PathBuf| {
            let found = fs::metadata(file).ok()?;
            Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
        };
        Self(files.iter().map(mark).collect())
    }
}
