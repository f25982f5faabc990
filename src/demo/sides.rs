//! The two clusters with those who write and read on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use embedded::EmbeddedCluster;
use rdkafka::consumer::BaseConsumer;

use super::load::{Load, Stream, Writer};
use super::proof::{Finding, strays};
use super::reader::{Reader, Reading};
use super::record::Stamper;
use super::sample::{ClusterSample, Rates};
use super::settings::{self, ALIASES};
use super::{TOPIC, clients};

/// One cluster with its producer and its consumer group, each on a thread.
pub(crate) struct Side {
    pub(crate) alias: &'static str,
    pub(crate) bootstrap: String,
    stream: Arc<Stream>,
    /// What was written here, read here.
    local: Arc<Reading>,
    /// What came across, read here.
    remote: Arc<Reading>,
    /// Records per partition, once the writer has ended.
    written: Vec<u64>,
    writer: Option<JoinHandle<anyhow::Result<Vec<u64>>>>,
    reader: Option<JoinHandle<anyhow::Result<()>>>,
    _cluster: EmbeddedCluster,
}

/// `east` and `west`. The other one of `index` is `1 - index`.
pub(crate) struct Sides {
    pub(crate) both: [Side; 2],
    stop_readers: Arc<AtomicBool>,
}

impl Sides {
    /// Starts the clusters and creates the topics.
    ///
    /// # Errors
    /// A port is taken, or the system gives no threads.
    pub(crate) async fn start(ports: [u16; 2], load: Load) -> anyhow::Result<Self> {
        let [east, west] = ALIASES;
        let [at_east, at_west] = ports;
        let clusters = [
            (east, settings::start(east, at_east)?),
            (west, settings::start(west, at_west)?),
        ];
        let configs = settings::topic_configs(load.partitions);
        let configs = configs
            .each_ref()
            .map(|(key, value)| (*key, value.as_str()));
        let mut both = Vec::new();
        for (alias, cluster) in clusters {
            let bootstrap = cluster.bootstrap();
            // Groups join half a second sooner than with the topic that the first of them orders.
            let compacted = [("cleanup.policy", "compact")];
            let orders: [clients::Order<'_>; 2] = [
                ("__consumer_offsets", 1, &compacted),
                (TOPIC, load.partitions, &configs),
            ];
            clients::create_topics(&bootstrap, &orders).await?;
            let other = if alias == east { west } else { east };
            let reading =
                |topic, origin| Reading::new(topic, origin, load.partitions).map(Arc::new);
            both.push(Side {
                alias,
                bootstrap,
                stream: Arc::default(),
                local: reading(TOPIC.to_owned(), alias)?,
                remote: reading(format!("{other}.{TOPIC}"), other)?,
                written: Vec::new(),
                writer: None,
                reader: None,
                _cluster: cluster,
            });
        }
        let both = both
            .try_into()
            .map_err(|_| anyhow!("there are two clusters"))?;
        Ok(Self {
            both,
            stop_readers: Arc::default(),
        })
    }

    /// Starts writing and reading: one record per partition, until [`Sides::go`].
    ///
    /// # Errors
    /// The system gives no threads.
    pub(crate) fn load(&mut self, load: Load, stamper: &Arc<Stamper>) -> anyhow::Result<()> {
        let remotes = self.both.each_ref().map(|side| side.remote.clone());
        for (side, remote) in self.both.iter_mut().zip(remotes.into_iter().rev()) {
            let writer = Writer {
                alias: side.alias,
                bootstrap: side.bootstrap.clone(),
                load,
                stamper: stamper.clone(),
                stream: side.stream.clone(),
                readings: [side.local.clone(), remote],
            };
            let reader = Reader {
                alias: side.alias,
                bootstrap: side.bootstrap.clone(),
                stamper: stamper.clone(),
                readings: [side.local.clone(), side.remote.clone()],
                stop: self.stop_readers.clone(),
            };
            let spawn = |what| thread::Builder::new().name(format!("{what}-{}", side.alias));
            side.reader = Some(spawn("reader").spawn(move || reader.run())?);
            side.writer = Some(spawn("writer").spawn(move || writer.run())?);
        }
        Ok(())
    }

    /// Lets the steady streams begin.
    pub(crate) fn go(&self) {
        for side in &self.both {
            side.stream.go.store(true, Relaxed);
        }
    }

    /// Ends the writing; [`Sides::check`] sees when it has.
    pub(crate) fn stop_writing(&self) {
        for side in &self.both {
            side.stream.stop.store(true, Relaxed);
        }
    }

    /// Ends the reading; [`Sides::check`] sees when it has.
    pub(crate) fn stop_reading(&self) {
        self.stop_readers.store(true, Relaxed);
    }

    /// Takes in what threads that have ended have to say.
    ///
    /// # Errors
    /// Theirs.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        for side in &mut self.both {
            if let Some(writer) = side.writer.take_if(|writer| writer.is_finished()) {
                side.written = joined(writer).context("the producer ended")?;
            }
            if let Some(reader) = side.reader.take_if(|reader| reader.is_finished()) {
                joined(reader).context("the consumer ended")?;
            }
        }
        Ok(())
    }

    /// Whether at least one record of every partition has been read on the other side.
    pub(crate) fn have_crossed(&self, partitions: i32) -> bool {
        let all = u64::try_from(partitions).unwrap_or(0);
        self.both.iter().all(|side| side.remote.seen() >= all)
    }

    /// Whether the writers have ended.
    pub(crate) fn have_written(&self) -> bool {
        self.both.iter().all(|side| side.writer.is_none())
    }

    /// Whether the readers have ended.
    pub(crate) fn have_read(&self) -> bool {
        self.both.iter().all(|side| side.reader.is_none())
    }

    /// Whether everything that was written has been read on both sides. Only after [`Sides::have_written`].
    pub(crate) fn have_arrived(&self) -> bool {
        self.readings()
            .all(|(_, reading, written)| reading.seen() >= written.iter().sum())
    }

    /// What the readers of each cluster read, and how much of it was written per partition.
    fn readings(&self) -> impl Iterator<Item = (&Side, &Reading, &[u64])> {
        let [east, west] = &self.both;
        [(east, west), (west, east)]
            .into_iter()
            .flat_map(|(here, there)| {
                [
                    (here, &*here.local, here.written.as_slice()),
                    (here, &*here.remote, there.written.as_slice()),
                ]
            })
    }

    /// What came across from the cluster `index`.
    pub(crate) fn copy_of(&self, index: usize) -> Option<&Reading> {
        self.both
            .get(1_usize.checked_sub(index)?)
            .map(|side| &*side.remote)
    }

    /// What the view shows of the clusters.
    pub(crate) fn sample(&self, rates: &mut Rates, now: Instant) -> [ClusterSample; 2] {
        let mut index = 0;
        self.both.each_ref().map(|side| {
            let (written, read) = (
                side.stream.acknowledged(),
                side.local.seen() + side.remote.seen(),
            );
            let sample = ClusterSample {
                alias: side.alias,
                bootstrap: side.bootstrap.clone(),
                written,
                written_rate: rates.at("written", index, now, written),
                read,
                read_rate: rates.at("read", index, now, read),
            };
            index += 1;
            sample
        })
    }

    /// Wrong already, whatever comes.
    pub(crate) fn faults_so_far(&self) -> super::ledger::Faults {
        let mut sum = super::ledger::Faults::default();
        for (_, reading, _) in self.readings() {
            sum += reading.faults_so_far();
        }
        sum
    }

    /// Where every partition ends, by reading, in the order of [`Sides::findings`]. Blocks for a moment.
    ///
    /// # Errors
    /// A cluster does not answer.
    pub(crate) fn ends(&self) -> anyhow::Result<Vec<Vec<i64>>> {
        let mut ends = Vec::new();
        for (side, reading, written) in self.readings() {
            let client: BaseConsumer = clients::config(&side.bootstrap).create()?;
            let partitions = i32::try_from(written.len())?;
            let of = |partition| clients::end_offset(&client, &reading.topic, partition);
            ends.push((0..partitions).map(of).collect::<Result<_, _>>()?);
        }
        Ok(ends)
    }

    /// Whether the readers have looked at everything up to these ends.
    pub(crate) fn have_read_to(&self, ends: &[Vec<i64>]) -> bool {
        let mut all = self.readings().zip(ends);
        all.all(|((_, reading, _), ends)| {
            let read = reading.next_offsets();
            read.iter().zip(ends).all(|(read, end)| read >= end)
        })
    }

    /// What was found in each topic of each cluster.
    pub(crate) fn findings(&self, ends: &[Vec<i64>]) -> Vec<Finding> {
        let all = self.readings().zip(ends);
        all.map(|((side, reading, written), ends)| Finding {
            what: format!("{} on {}", reading.topic, side.alias),
            written: written.iter().sum(),
            read: reading.seen(),
            stored: ends.iter().sum::<i64>().unsigned_abs(),
            faults: reading.faults(written),
        })
        .collect()
    }

    /// Topics that should not be there. Blocks for a moment.
    ///
    /// # Errors
    /// A cluster does not answer.
    pub(crate) fn strays(&self) -> anyhow::Result<Vec<String>> {
        let list = |side: &Side| {
            let client: BaseConsumer = clients::config(&side.bootstrap).create()?;
            clients::topics(&client)
        };
        let [east, west] = &self.both;
        Ok(strays(&[list(east)?, list(west)?]))
    }
}

fn joined<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    match thread.join() {
        Ok(outcome) => outcome,
        Err(_) => bail!("its thread panicked"),
    }
}
