//! Kafka's `ssl.*` and `sasl.*` keys: what they say, as what a connection needs.
//!
//! Stores (PKCS12, JKS, PEM) are read as Java reads them, for the clients of brokers ([`Security`]) and for servers ([`Ssl`]). Nothing
//! here opens a socket. No error and no `Debug` text has a secret in it.

mod client;
mod jaas;
mod jks;
mod sasl;
mod ssl;
mod stores;

pub use client::{Security, Tls, tls_reason};
pub use jaas::{LoginModule, words as jaas_words};
pub use sasl::{Exchange, Sasl, SaslError};
pub use ssl::{Fault, Keys, Marks, Ssl};
pub use stores::Identity;
