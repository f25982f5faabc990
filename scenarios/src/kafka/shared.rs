//! Two clusters for all tests of one program: starting them costs more than most tests.

use std::ops::Deref;
use std::sync::OnceLock;
use std::thread;

use super::cluster::RealCluster;
use crate::Error;

/// Two independent clusters of one broker each.
#[derive(Debug)]
pub struct Pair {
    /// The cluster `east`.
    pub east: RealCluster,
    /// The cluster `west`.
    pub west: RealCluster,
}

/// The shared pair as one test sees it. If the test panics, the brokers' logs are printed.
#[derive(Debug)]
pub struct SharedPair(&'static Pair);

/// The clusters `east` and `west` of this process, started by the first test that asks.
///
/// Tests must not kill or freeze them, and use topic names of their own (see [`crate::client::unique`]).
/// The JVMs end with the process.
///
/// # Errors
/// As [`RealCluster::start`]; the same error for every test of the process.
pub fn shared_pair() -> Result<SharedPair, Error> {
    static PAIR: OnceLock<Result<Pair, String>> = OnceLock::new();
    let pair = PAIR.get_or_init(|| Pair::start().map_err(|e| format!("{e:?}")));
    pair.as_ref()
        .map(SharedPair)
        .map_err(|e| Error::Earlier(e.clone()))
}

impl Pair {
    /// Starts two clusters of one broker each, at the same time.
    ///
    /// # Errors
    /// As [`RealCluster::start`].
    pub fn start() -> Result<Self, Error> {
        let (east, west) = thread::scope(|scope| {
            let east = scope.spawn(|| RealCluster::start("east", 1));
            let west = RealCluster::start("west", 1);
            (east.join(), west)
        });
        let panicked = |_| Err(Error::Earlier("starting east panicked".to_owned()));
        Ok(Self {
            east: east.unwrap_or_else(panicked)?,
            west: west?,
        })
    }
}

impl Deref for SharedPair {
    type Target = Pair;
    fn deref(&self) -> &Pair {
        self.0
    }
}

impl Drop for SharedPair {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.east.dump_logs();
            self.0.west.dump_logs();
        }
    }
}
