//! The kinds of cluster on which every test runs.

use std::sync::OnceLock;

use crate::embedded_cluster::Embedded;
use crate::pair::{Pair, SharedPair};
use crate::{Cluster, Error, RealCluster, server_properties};

/// When a dead broker is noticed.
const SESSION_TIMEOUT: &str = "broker.session.timeout.ms";

/// What a test's clusters are made of.
///
/// A further kind is a variant here, a type that implements [`Cluster`], and a module in
/// [`on_every_kind!`](crate::on_every_kind); the compiler names every other place that has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unmodified Apache Kafka, one JVM per node.
    Real,
    /// Brokers in this process: up in milliseconds, nothing but memory.
    Embedded,
}

impl Kind {
    /// Starts a cluster of `brokers` brokers (at least 1) and waits until all of them answer. `extra` are Kafka's
    /// server properties, the same for every kind; they win over the defaults ([`crate::server_properties`]).
    ///
    /// # Errors
    /// As [`RealCluster::start_with`].
    pub fn start(
        self,
        alias: &str,
        brokers: u32,
        extra: &[(&str, &str)],
    ) -> Result<Box<dyn Cluster>, Error> {
        match self {
            Self::Real => Ok(Box::new(RealCluster::start_with(alias, brokers, extra)?)),
            Self::Embedded => {
                let mut properties = server_properties(brokers, extra);
                // Nothing stalls a broker of this kind by accident.
                if !extra.iter().any(|(key, _)| *key == SESSION_TIMEOUT) {
                    properties.insert(SESSION_TIMEOUT.to_owned(), "500".to_owned());
                }
                Ok(Box::new(Embedded::start(alias, brokers, properties)?))
            }
        }
    }

    /// The clusters `east` and `west` of this process and kind, of one broker each, started by the first test that
    /// asks: starting them costs more than most tests.
    ///
    /// Tests must not kill or freeze them, and use topic names of their own (see [`crate::client::unique`]).
    /// They end with the process.
    ///
    /// # Errors
    /// As [`Kind::start`]; the same error for every test of the process.
    pub fn shared_pair(self) -> Result<SharedPair, Error> {
        static REAL: OnceLock<Result<Pair, String>> = OnceLock::new();
        static EMBEDDED: OnceLock<Result<Pair, String>> = OnceLock::new();
        let pair = match self {
            Self::Real => &REAL,
            Self::Embedded => &EMBEDDED,
        };
        let pair = pair.get_or_init(|| Pair::start(self).map_err(|e| format!("{e:?}")));
        pair.as_ref()
            .map(SharedPair::of)
            .map_err(|e| Error::Earlier(e.clone()))
    }
}

/// Makes a test of each function `fn name(kind: Kind)` for every kind: `real::name`, `embedded::name`.
///
/// A function that is forgotten here is dead code, which the compiler reports.
#[macro_export]
macro_rules! on_every_kind {
    ($($name:ident),+ $(,)?) => {
        mod real {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::Kind::Real);
                }
            )+
        }

        mod embedded {
            $(
                #[test]
                fn $name() {
                    super::$name($crate::Kind::Embedded);
                }
            )+
        }
    };
}
