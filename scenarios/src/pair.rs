//! Two clusters side by side.

use std::thread;

use crate::{Cluster, Error, Kind};

/// Two independent clusters of one broker each.
#[derive(Debug)]
pub struct Pair {
    /// The cluster `east`.
    pub east: Box<dyn Cluster>,
    /// The cluster `west`.
    pub west: Box<dyn Cluster>,
}

impl Pair {
    /// Starts both at the same time.
    ///
    /// # Errors
    /// As [`Kind::start`].
    pub fn start(kind: Kind) -> Result<Self, Error> {
        let (east, west) = thread::scope(|scope| {
            let east = scope.spawn(|| kind.start("east", 1, &[]));
            let west = kind.start("west", 1, &[]);
            (east.join(), west)
        });
        let panicked = |_| Err(Error::Earlier("starting east panicked".to_owned()));
        Ok(Self {
            east: east.unwrap_or_else(panicked)?,
            west: west?,
        })
    }
}

/// The pair that all tests of a process share, as one of them sees it. If the test panics, the brokers' logs are
/// printed.
#[derive(Debug)]
pub struct SharedPair {
    /// The cluster `east`.
    pub east: &'static dyn Cluster,
    /// The cluster `west`.
    pub west: &'static dyn Cluster,
}

impl SharedPair {
    pub(crate) fn of(pair: &'static Pair) -> Self {
        Self {
            east: &*pair.east,
            west: &*pair.west,
        }
    }
}

impl Drop for SharedPair {
    fn drop(&mut self) {
        if thread::panicking() {
            self.east.dump_logs();
            self.west.dump_logs();
        }
    }
}
