//! Threads that take one partition after the other, each with connections of its own: a broker serves one connection a request
//! at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use engine::cluster::Cluster;

use super::compare::{self, Clusters};
use super::findings::{Findings, Place};
use super::plan::{Job, Plan};
use super::progress::{Progress, Watch};
use super::state::State;
use crate::tools;

/// Messages that may wait for the main thread.
const MESSAGES_MAX: usize = 64;
/// Between two pictures of the progress.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);

/// Places instead of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Of each partition.
    pub(crate) places: u32,
    pub(crate) seed: u64,
}

/// How a partition's comparison ended.
pub(crate) enum Outcome {
    Compared(Box<Findings>),
    /// Why not.
    Failed(String),
}

enum Message {
    /// How far it is.
    At(Arc<Job>, Box<Findings>, Place),
    Done(Arc<Job>, Outcome),
}

/// A job and where to go on with it.
type Task = (Arc<Job>, Option<(Findings, Place)>);

/// Does what is planned with so many `threads`; `each` gets every outcome.
///
/// # Errors
/// Those of `each`, and of writing the state.
pub(crate) fn work(
    plan: Plan,
    threads: usize,
    sample: Option<Sample>,
    state: &mut State,
    progress: &Progress,
    mut each: impl FnMut(&Job, &Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Plan { flows, jobs } = plan;
    let tasks = jobs.into_iter().map(|job| {
        let saved = state.of(&job);
        (Arc::new(job), saved)
    });
    let tasks: VecDeque<Task> = tasks.collect();
    let threads = threads.min(tasks.len());
    let tasks = Mutex::new(tasks);
    let (messages, received) = sync_channel(MESSAGES_MAX);
    let result = thread::scope(|scope| {
        for _ in 0..threads {
            let (tasks, flows, messages) = (&tasks, &flows, messages.clone());
            scope.spawn(move || worker(tasks, flows, sample, progress, &messages));
        }
        drop(messages);
        let mut result = Ok(());
        loop {
            let handled = match received.recv_timeout(DRAW_INTERVAL) {
                Ok(Message::At(job, findings, next)) => state.note(&job, *findings, next),
                Ok(Message::Done(job, outcome)) => each(&job, &outcome),
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break result,
            };
            progress.draw();
            if let Err(error) = handled {
                // Workers see it at their next look; nobody else is waited for.
                progress.stop();
                tasks.lock().unwrap_or_else(PoisonError::into_inner).clear();
                result = result.and(Err(error));
            }
        }
    });
    state.save()?;
    result?;
    let left = tasks.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (job, _) in left {
        each(
            &job,
            &Outcome::Failed("the system gives no runtime".to_owned()),
        )?;
    }
    Ok(())
}

fn worker(
    tasks: &Mutex<VecDeque<Task>>,
    flows: &[topology::FlowConfig],
    sample: Option<Sample>,
    progress: &Progress,
    messages: &SyncSender<Message>,
) {
    let ran = tools::block_on(async {
        let mut clusters: HashMap<usize, (Arc<Cluster>, Arc<Cluster>)> = HashMap::new();
        loop {
            let next = tasks
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some((job, saved)) = next else {
                return Ok(());
            };
            let Some(flow) = flows.get(job.flow_index) else {
                continue;
            };
            let (source, target) = clusters
                .entry(job.flow_index)
                .or_insert_with(|| (tools::cluster(&flow.source), tools::cluster(&flow.target)));
            let clusters = Clusters { source, target };
            let outcome = one(&job, clusters, saved, sample, progress, messages).await;
            source.forget(&job.topic);
            target.forget(&job.remote);
            if messages.send(Message::Done(job, outcome)).is_err() {
                return Ok(()); // nobody is waiting for it
            }
        }
    });
    if let Err(error) = ran {
        tracing::error!("a thread of the comparison cannot work: {error:#}");
    }
}

async fn one(
    job: &Arc<Job>,
    clusters: Clusters<'_>,
    saved: Option<(Findings, Place)>,
    sample: Option<Sample>,
    progress: &Progress,
    messages: &SyncSender<Message>,
) -> Outcome {
    if let Some(why) = &job.impossible {
        return Outcome::Failed(why.clone());
    }
    let before = saved
        .as_ref()
        .map(|(findings, _)| findings.clone())
        .unwrap_or_default();
    let mut note = |findings: &Findings, next: Place| {
        // With nobody to receive it, the end is near anyway.
        _ = messages.send(Message::At(job.clone(), Box::new(findings.clone()), next));
    };
    let mut watch = Watch::new(progress, &before, &mut note);
    let compared = match sample {
        Some(sample) => compare::sample(job, clusters, sample, &mut watch).await,
        None => compare::whole(job, clusters, saved, &mut watch).await,
    };
    watch.tell();
    match compared {
        Ok(findings) => Outcome::Compared(Box::new(findings)),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}
