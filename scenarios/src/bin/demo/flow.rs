//! One direction: what is written on the source, and how much of it the target has.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use scenarios::client::{Codec, WriteOptions, numbered};
use scenarios::{Cluster, Error, KafkaClient};

/// The topic on both sides.
pub(crate) const TOPIC: &str = "orders";

/// Partitions of it.
const PARTITIONS: i32 = 3;

/// Records per write, and the time between two writes: 2,000 a second and side.
const RECORDS: u64 = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// Size of a value.
const VALUE_BYTES: usize = 500;

/// One direction of the demo.
pub(crate) struct Flow {
    /// Alias of the cluster that is written to.
    pub(crate) source_alias: String,
    /// Alias of the cluster that gets the copy.
    pub(crate) target_alias: String,
    pub(crate) source: KafkaClient,
    pub(crate) target: KafkaClient,
    produced: AtomicU64,
}

impl Flow {
    /// Creates the topic on the source.
    pub(crate) fn new(source: &dyn Cluster, target: &dyn Cluster) -> Result<Self, Error> {
        let flow = Self {
            source_alias: source.alias().to_owned(),
            target_alias: target.alias().to_owned(),
            source: source.client()?,
            target: target.client()?,
            produced: AtomicU64::new(0),
        };
        flow.source.create_topic(TOPIC, PARTITIONS, 1, &[])?;
        Ok(flow)
    }

    /// The copy's name on the target.
    pub(crate) fn remote_topic(&self) -> String {
        format!("{}.{TOPIC}", self.source_alias)
    }

    /// Records acknowledged by the source; their ids are 0 up to this.
    pub(crate) fn produced(&self) -> u64 {
        self.produced.load(Ordering::Relaxed)
    }

    /// Writes a steady stream.
    pub(crate) fn write_until(&self, end: Instant) -> Result<(), Error> {
        let options = WriteOptions {
            codec: Codec::Lz4,
            ..Default::default()
        };
        while Instant::now() < end {
            let first = self.produced();
            let records = numbered(first..first + RECORDS, PARTITIONS, VALUE_BYTES);
            self.source.produce_with(TOPIC, &records, options)?;
            self.produced.store(first + RECORDS, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Written and crossed so far. Crossed is the length of the copy; the proof looks at the records.
    pub(crate) fn progress(&self) -> Progress<'_> {
        // The remote topic is missing at first, which counts as empty.
        let ends = self
            .target
            .end_offsets(&self.remote_topic())
            .unwrap_or_default();
        let crossed = ends.into_iter().sum::<i64>().unsigned_abs();
        Progress {
            flow: self,
            produced: self.produced(),
            crossed,
        }
    }
}

/// How far one direction is.
pub(crate) struct Progress<'a> {
    flow: &'a Flow,
    produced: u64,
    crossed: u64,
}

impl Progress<'_> {
    /// Nothing is on its way.
    pub(crate) fn is_complete(&self) -> bool {
        self.crossed >= self.produced
    }
}

impl fmt::Display for Progress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flow,
            produced,
            crossed,
        } = self;
        let lag = produced.saturating_sub(*crossed);
        write!(f, "{}->{}: ", flow.source_alias, flow.target_alias)?;
        write!(
            f,
            "{produced:>7} produced {crossed:>7} crossed {lag:>6} lag"
        )
    }
}
