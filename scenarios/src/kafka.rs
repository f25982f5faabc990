//! Unmodified Apache Kafka, one JVM per node.
//!
//! The jars come from Maven Central once, a class archive is built from them once (a broker is then up in
//! one second instead of five), and every cluster gets free ports and an empty folder.

mod broker;
mod cluster;
mod install;
mod ports;
mod segments;
mod settings;
mod template;
mod tools;

pub use broker::RealBroker;
pub use cluster::RealCluster;
pub use install::{Jars, class_path, java};
pub use tools::{Finished, JavaTools};

/// Fetches the broker's jars and builds the class archive, unless both are there.
///
/// Starting a cluster does this by itself; `make kafka` does it ahead of time.
///
/// # Errors
/// [`crate::Error::Missing`] without Java or Maven; [`crate::Error::Exited`] with Maven's own words.
pub fn prepare() -> Result<(), crate::Error> {
    template::template().map(drop)
}
