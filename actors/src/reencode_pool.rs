//! Threads that rewrite the batches that cannot pass as they are.

use std::io;
use std::num::NonZeroUsize;
use std::thread;

use crossbeam_channel::{Sender, bounded};
use engine::batch::{RawBatch, ReencodeError, Reencoded, TargetRules, reencode};

/// Jobs that may wait for a thread. A job is a reference to fetched bytes, which credit bounds.
const JOBS_MAX: usize = 1_024;

/// One batch to rewrite, and whom to tell.
pub struct Job {
    /// The batch, as fetched.
    pub batch: RawBatch,
    /// First offset wanted of it.
    pub from_offset: i64,
    /// What the target accepts.
    pub rules: TargetRules,
    /// Gets the result, on a pool thread. Must not block.
    pub done: Box<dyn FnOnce(Result<Vec<Reencoded>, ReencodeError>) + Send>,
}

/// A handle to the pool; the threads end with the last handle.
#[derive(Clone, Debug)]
pub struct ReencodePool {
    jobs: Sender<Box<Job>>,
}

impl ReencodePool {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(threads: NonZeroUsize) -> io::Result<Self> {
        let (jobs, queue) = bounded::<Box<Job>>(JOBS_MAX);
        for n in 0..threads.get() {
            let queue = queue.clone();
            thread::Builder::new()
                .name(format!("reencode-{n}"))
                .spawn(move || {
                    for job in queue {
                        // A codec that panics on odd bytes must not take the thread along: the batch fails instead,
                        // because its `done` is dropped uncalled.
                        let work = std::panic::AssertUnwindSafe(|| {
                            let result = reencode(&job.batch, job.from_offset, &job.rules);
                            (job.done)(result);
                        });
                        if std::panic::catch_unwind(work).is_err() {
                            tracing::error!("a panic while a batch was rewritten");
                        }
                    }
                })?;
        }
        Ok(Self { jobs })
    }

    /// Queues a job.
    ///
    /// # Errors
    /// Gives the job back while the queue is full: try again a little later.
    pub fn submit(&self, job: Box<Job>) -> Result<(), Box<Job>> {
        self.jobs
            .try_send(job)
            .map_err(crossbeam_channel::TrySendError::into_inner)
    }
}
