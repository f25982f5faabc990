//! A Kafka client that shares no code with the engine: librdkafka, to write what is to be replicated and to
//! check what arrived.
//!
//! What librdkafka cannot write, and [`KafkaClient::produce`] therefore refuses: the timestamps 0 (it takes
//! it for "now") and below. Null and empty keys, values and header values, repeated and empty header names
//! are all written as they are.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::BaseConsumer;
use tokio::runtime::{self, Runtime};

use crate::Error;
use crate::error::refused;

mod admin;
mod compare;
mod failover;
mod generate;
mod groups;
mod raw_groups;
mod read;
mod record;
mod tally;
mod write;

pub use compare::{Contents, compare};
pub use failover::Moved;
pub use generate::{OddRecords, numbered};
pub use groups::Member;
pub use raw_groups::{CommittedPlaces, Place, RawGroups};
pub use read::Isolation;
pub use record::{ReadRecord, TestRecord};
pub use tally::{Tally, tally};
pub use write::{Codec, TransactionalWriter, WriteOptions};

/// How long one administrative request may take.
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// A blocking client of one cluster. Cheap to create; may be shared between threads.
pub struct KafkaClient {
    bootstrap: String,
    admin: AdminClient<DefaultClientContext>,
    lookup: BaseConsumer,
    producers: write::Producers,
    runtime: Runtime,
}

impl KafkaClient {
    /// A client of the cluster at `bootstrap` (`host:port,...`). Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Kafka`] if librdkafka cannot be set up.
    pub fn connect(bootstrap: &str) -> Result<Self, Error> {
        let what = || refused(format!("set up a client of {bootstrap}"));
        let admin = config(bootstrap).create().map_err(what())?;
        let runtime = runtime::Builder::new_current_thread()
            .build()
            .map_err(|source| Error::Io {
                what: "start an async runtime".to_owned(),
                source,
            })?;
        Ok(Self {
            bootstrap: bootstrap.to_owned(),
            admin,
            lookup: consumer(bootstrap, &[])?,
            producers: Default::default(),
            runtime,
        })
    }

    /// The address given to [`KafkaClient::connect`].
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }
}

/// A name that no other test of this process uses: `orders` becomes `orders-7`.
pub fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn config(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    config.set("client.id", "scenarios");
    config
        .set("reconnect.backoff.ms", "20")
        .set("reconnect.backoff.max.ms", "200");
    // A frozen broker keeps its connections open: give up on it sooner than after the default 60 s.
    config.set("socket.timeout.ms", "10000");
    config
}

/// A consumer that belongs to no group unless `extra` says so.
pub(crate) fn consumer(bootstrap: &str, extra: &[(&str, &str)]) -> Result<BaseConsumer, Error> {
    let mut config = config(bootstrap);
    config
        .set("group.id", "scenarios-reader")
        .set("enable.auto.commit", "false");
    config
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true");
    // The broker's answer decides, and a wrong checksum is an error: the copies are checked for it here.
    config
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "50");
    for (key, value) in extra {
        config.set(*key, *value);
    }
    config
        .create()
        .map_err(refused(format!("set up a consumer of {bootstrap}")))
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(REQUEST_PATIENCE))
        .operation_timeout(Some(REQUEST_PATIENCE))
}
