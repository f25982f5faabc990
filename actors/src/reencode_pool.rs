//! Threads that rewrite the batches that cannot pass as they are.

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam_channel::{Sender, bounded};

/// Jobs that may wait for a thread. A job refers to fetched bytes, which credit bounds.
const JOBS_MAX: usize = 1_024;

/// Work for a pool thread. Tells the result itself; must not wait for anything. Dropped without having run when the
/// queue is full.
pub type Job = Box<dyn FnOnce() + Send>;

/// A handle to the pool; the threads end with the last handle.
#[derive(Clone, Debug)]
pub struct ReencodePool {
    jobs: Sender<Job>,
}

impl ReencodePool {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(threads: NonZeroUsize) -> io::Result<Self> {
        let (jobs, queue) = bounded::<Job>(JOBS_MAX);
        for n in 0..threads.get() {
            let queue = queue.clone();
            thread::Builder::new()
                .name(format!("reencode-{n}"))
                .spawn(move || {
                    for job in queue {
                        // A codec that panics on odd bytes must not take the thread along: the job fails, whoever
                        // waits for it learns that from what the job drops.
                        if catch_unwind(AssertUnwindSafe(job)).is_err() {
                            tracing::error!("a panic while a batch was rewritten");
                        }
                    }
                })?;
        }
        Ok(Self { jobs })
    }

    /// Queues a job. False while the queue is full: try again a little later.
    pub fn submit(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_panic_in_a_job_leaves_the_pool_working() {
        let pool = ReencodePool::start(NonZeroUsize::MIN).unwrap();
        let (sender, receiver) = mpsc::channel();
        let dropped = sender.clone();
        assert!(pool.submit(Box::new(move || {
            let _moved_in = dropped;
            panic!("odd bytes");
        })));
        assert!(pool.submit(Box::new(move || sender.send(7).unwrap())));
        assert_eq!(receiver.recv_timeout(PATIENCE).unwrap(), 7);
        assert!(
            receiver.recv_timeout(PATIENCE).is_err(),
            "the panicked job let go of its sender"
        );
    }

    #[test]
    fn a_full_queue_says_so() {
        let pool = ReencodePool::start(NonZeroUsize::MIN).unwrap();
        let (release, wait) = mpsc::channel::<()>();
        assert!(pool.submit(Box::new(move || _ = wait.recv())));
        let taken = (0..=JOBS_MAX)
            .filter(|_| pool.submit(Box::new(|| {})))
            .count();
        assert!(taken <= JOBS_MAX, "{taken} taken");
        drop(release);
    }
}
