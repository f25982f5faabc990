//! Numbered records, written all the time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use scenarios::client::{KafkaClient, WriteOptions, numbered};
use scenarios::{Cluster, await_that};

use crate::flows::PATIENCE;

/// Records of one write.
const STEP: u64 = 100;
/// Pause between two writes: 5,000 records per second leave two cores time for the rest of a test.
const PACE: Duration = Duration::from_millis(20);

/// A writer in a thread of its own. Dropped, it ends with the test program.
pub(crate) struct Load {
    next: Arc<AtomicU64>,
    end: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Load {
    /// Writes to `partitions` partitions of `topic`, from id 0 on. A write that fails, because brokers come and go,
    /// is not repeated: then what stands in the topic is the truth, not the ids.
    pub(crate) fn start(cluster: &dyn Cluster, topic: &str, partitions: i32) -> Self {
        Self::start_with(cluster, topic, partitions, WriteOptions::default())
    }

    /// As [`Load::start`], written in another way.
    pub(crate) fn start_with(
        cluster: &dyn Cluster,
        topic: &str,
        partitions: i32,
        options: WriteOptions,
    ) -> Self {
        let (next, end) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (client, topic) = (cluster.client().unwrap(), topic.to_owned());
        let (ids, over) = (next.clone(), end.clone());
        let writer =
            thread::spawn(move || write(&client, &topic, partitions, options, &ids, &over));
        Self {
            next,
            end,
            writer: Some(writer),
        }
    }

    /// Waits until so many more records were written.
    pub(crate) fn await_more(&self, records: u64) {
        let goal = self.written() + records;
        await_that(&format!("{goal} written records"), PATIENCE, || {
            self.written() >= goal
        })
        .unwrap();
    }

    /// Ids below this were written.
    pub(crate) fn written(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Ends the writing and tells the ids.
    pub(crate) fn stop(mut self) -> Range<u64> {
        self.end.store(true, Ordering::Release);
        self.writer.take().unwrap().join().unwrap();
        0..self.written()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
    }
}

fn write(
    client: &KafkaClient,
    topic: &str,
    partitions: i32,
    options: WriteOptions,
    next: &AtomicU64,
    end: &AtomicBool,
) {
    while !end.load(Ordering::Acquire) {
        let first = next.load(Ordering::Acquire);
        // Records of 2023, as when history is copied: a broker forgets the producer of what is older than
        // `producer.id.expiration.ms` (1 day) whenever it starts, so a resend alone would double them.
        let records = numbered(first..first + STEP, partitions, 100);
        if let Err(error) = client.produce_with(topic, &records, options) {
            eprintln!("load on {topic}, ids from {first}: {error:?}");
        }
        next.store(first + STEP, Ordering::Release);
        thread::sleep(PACE);
    }
}
