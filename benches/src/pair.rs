//! Two clusters of one real broker each, the product between them, and what it uses.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use scenarios::kafka::JavaTools;
use scenarios::process::Process;
use scenarios::{Cluster, KafkaClient, Kind, Product, Secured, Way};

use crate::data::Checksum;

/// How long a reader may be without a record before it gives up.
const READ_PATIENCE: Duration = Duration::from_secs(30);
const REQUEST_PATIENCE: Duration = Duration::from_secs(30);

/// Source `east` and target `west`, empty.
pub struct Pair {
    /// Read from.
    pub east: Secured,
    /// Written to.
    pub west: Secured,
    /// A client of the source.
    pub source: KafkaClient,
    /// A client of the target.
    pub target: KafkaClient,
}

impl Pair {
    /// Starts both.
    ///
    /// # Errors
    /// As [`Secured::start`].
    pub fn start() -> Result<Self> {
        let start = |alias| Secured::start(Kind::Real, alias, &[], &["127.0.0.1"]);
        let (east, west) = thread::scope(|scope| {
            let east = scope.spawn(|| start("east"));
            (east.join(), start("west"))
        });
        let east = east
            .map_err(|_| anyhow!("starting a cluster panicked"))?
            .map_err(said)?;
        let west = west.map_err(said)?;
        let client = |of: &Secured| of.cluster().client().map_err(said);
        let (source, target) = (client(&east)?, client(&west)?);
        Ok(Self {
            east,
            west,
            source,
            target,
        })
    }

    /// Starts the product, copying `topics` from east to west with the defaults of MM2.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn replicate(&self, program: &Path, topics: &str) -> Result<Running> {
        Running::start(&self.source, &self.target, program, topics)
    }

    /// As [`Self::replicate`], with more lines in the file.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn replicate_with(&self, program: &Path, topics: &str, lines: &str) -> Result<Running> {
        let properties = properties(&self.source, &self.target, topics) + lines;
        Running::start_file(program, &properties)
    }

    /// Lines with which both clusters are reached through TLS, with certificates on both sides.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub fn through_tls(&self) -> Result<String> {
        let lines = |alias: &str, of: &Secured| {
            let (trust, own) = (
                of.truststore().map_err(said)?,
                of.keystore("bench").map_err(said)?,
            );
            let bootstrap = of.bootstrap(Way::MutualSsl);
            Ok::<_, anyhow::Error>(format!(
                "{alias}.bootstrap.servers = {bootstrap}\n{alias}.security.protocol = SSL\n\
                 {alias}.ssl.truststore.location = {trust}\n{alias}.ssl.keystore.location = {own}\n"
            ))
        };
        Ok(lines("east", &self.east)? + &lines("west", &self.west)?)
    }

    /// Has MirrorMaker 2 do it, with more lines in the file.
    ///
    /// # Errors
    /// There is no Java, or MirrorMaker 2 cannot be had.
    pub fn mirror(&self, topics: &str, lines: &str) -> Result<Process> {
        let java = JavaTools::open().map_err(said)?;
        let text = properties(&self.source, &self.target, topics) + lines;
        let file = java.file("mm2.properties", &text).map_err(said)?;
        java.start("org.apache.kafka.connect.mirror.MirrorMaker", &[&file])
            .map_err(said)
    }
}

/// A file with the defaults of MM2, but for replication factors.
fn properties(source: &KafkaClient, target: &KafkaClient, topics: &str) -> String {
    let factor = [
        "replication.factor",
        "heartbeats.topic.replication.factor",
        "offset-syncs.topic.replication.factor",
        "checkpoints.topic.replication.factor",
        "offset.storage.replication.factor",
        "config.storage.replication.factor",
        "status.storage.replication.factor",
    ];
    let factors: String = factor.iter().map(|key| format!("{key} = 1\n")).collect();
    format!(
        "clusters = east, west\neast.bootstrap.servers = {}\nwest.bootstrap.servers = {}\n\
         east->west.enabled = true\ntopics = {topics}\n{factors}",
        source.bootstrap(),
        target.bootstrap(),
    )
}

impl Running {
    /// Starts the product, copying `topics` from `source` to `target`, as `east` and `west`, with the defaults of MM2.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn start(
        source: &KafkaClient,
        target: &KafkaClient,
        program: &Path,
        topics: &str,
    ) -> Result<Self> {
        Self::start_file(program, &properties(source, target, topics))
    }

    /// As [`Self::start`], with more lines in the file.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn start_with(
        source: &KafkaClient,
        target: &KafkaClient,
        program: &Path,
        topics: &str,
        lines: &str,
    ) -> Result<Self> {
        Self::start_file(program, &(properties(source, target, topics) + lines))
    }

    fn start_file(program: &Path, properties: &str) -> Result<Self> {
        let start = Instant::now();
        let product = Product::run(program, properties).map_err(said)?;
        Ok(Self { product, start })
    }
}

/// The scenarios' errors say everything in their `Debug` text.
fn said(error: scenarios::Error) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// The product at work.
pub struct Running {
    product: Product,
    start: Instant,
}

/// What the product has used since its start.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Time since the start.
    pub seconds: f64,
    /// User and system time of all threads.
    pub cpu_seconds: f64,
    /// Highest resident memory. Unit: millions of bytes.
    pub rss_mb_peak: f64,
}

impl Running {
    /// What it has used so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn usage(&mut self) -> Result<Usage> {
        let process: &Process = self.product.process();
        Ok(Usage {
            seconds: self.start.elapsed().as_secs_f64(),
            cpu_seconds: process.cpu_time()?.as_secs_f64(),
            rss_mb_peak: process.rss_bytes_peak()? as f64 / 1e6,
        })
    }

    /// CPU time of each of its threads so far, by thread. Unit: seconds.
    ///
    /// # Errors
    /// It has ended.
    pub fn thread_cpu_seconds(&mut self) -> Result<BTreeMap<u32, f64>> {
        let times = self.product.process().thread_cpu_times().map_err(said)?;
        Ok(times
            .into_iter()
            .map(|(thread, time)| (thread, time.as_secs_f64()))
            .collect())
    }

    /// Waits until `done`, looking every few milliseconds, and says what was used until then.
    ///
    /// # Errors
    /// It ends, or `patience` does: with the end of its log.
    pub fn await_usage(
        &mut self,
        what: &str,
        patience: Duration,
        mut done: impl FnMut() -> bool,
    ) -> Result<Usage> {
        let deadline = Instant::now() + patience;
        while !done() {
            self.product.process().check_running().map_err(said)?;
            ensure!(
                Instant::now() < deadline,
                "waited {patience:?} in vain: {what}; the product says\n{}",
                self.product.process().log_tail()
            );
            thread::sleep(Duration::from_millis(5));
        }
        self.usage()
    }

    /// Stops it in an orderly way, which must succeed.
    ///
    /// # Errors
    /// It does not end, or not cleanly.
    pub fn stop(mut self) -> Result<()> {
        let status = self.product.stop(Duration::from_secs(20)).map_err(said)?;
        ensure!(status.success(), "the product ended with {status}");
        Ok(())
    }
}

/// Bytes of a topic on the broker's disk, which are those on the wire. The files are found among those that the
/// broker's process holds open.
///
/// # Errors
/// The broker does not run.
pub fn topic_bytes(cluster: &dyn Cluster, topic: &str) -> Result<u64> {
    let broker = cluster
        .broker(1)
        .process_id()
        .context("the broker has ended")?;
    let mut bytes = 0;
    for open in fs::read_dir(format!("/proc/{broker}/fd"))?.flatten() {
        let Ok(path) = fs::read_link(open.path()) else {
            continue; // closed meanwhile
        };
        let folder = path
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        let of_topic = folder
            .and_then(|name| name.rsplit_once('-'))
            .is_some_and(|(t, _)| t == topic);
        if of_topic && path.extension().is_some_and(|ext| ext == "log") {
            bytes += fs::metadata(&path)?.len();
        }
    }
    Ok(bytes)
}

/// Reads a whole topic.
///
/// # Errors
/// No record for 30 seconds, or librdkafka's.
pub fn read(
    cluster: &KafkaClient,
    topic: &str,
    mut visit: impl FnMut(&rdkafka::message::BorrowedMessage<'_>),
) -> Result<()> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", cluster.bootstrap())
        .set("group.id", "benches")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), REQUEST_PATIENCE)?;
    let (mut left, mut assignment) = (0, TopicPartitionList::new());
    for partition in metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions())
    {
        let (start, end) = consumer.fetch_watermarks(topic, partition.id(), REQUEST_PATIENCE)?;
        left += end - start;
        assignment.add_partition_offset(topic, partition.id(), Offset::Offset(start))?;
    }
    consumer.assign(&assignment)?;
    while left > 0 {
        let message = consumer.poll(READ_PATIENCE);
        let message = message.with_context(|| format!("{topic} lacks {left} records"))??;
        visit(&message);
        left -= 1;
    }
    Ok(())
}

/// What a topic holds.
///
/// # Errors
/// As [`read`].
pub fn checksum(cluster: &KafkaClient, topic: &str) -> Result<Checksum> {
    let mut sum = Checksum::default();
    read(cluster, topic, |message| {
        sum.add(
            message.partition(),
            message.key(),
            message.payload(),
            message.timestamp().to_millis().unwrap_or(-1),
        );
    })?;
    Ok(sum)
}
