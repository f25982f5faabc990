//! How far comparisons are, in a small file: after a Ctrl-C the next one goes on there.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::findings::{Findings, Place};
use super::plan::Job;

/// How often the file is written, at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);
/// Of the file's format.
const VERSION: u32 = 1;

/// A partition's comparison, so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Of source and target topic: a topic that was created anew is compared from its start.
    ids: [String; 2],
    next: Place,
    findings: Findings,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct File {
    version: u32,
    /// By flow, topic and partition.
    partitions: BTreeMap<String, Saved>,
}

/// The file, if there is one.
#[derive(Debug)]
pub(crate) struct State {
    path: Option<PathBuf>,
    file: File,
    changed: bool,
    saved: Instant,
}

impl State {
    /// Reads the file; one that is not there is made later.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let fresh = File {
            version: VERSION,
            ..File::default()
        };
        let file = match path.map(fs::read) {
            None => fresh,
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => fresh,
            Some(read) => {
                let file: File = read
                    .map_err(anyhow::Error::from)
                    .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
                    .with_context(|| format!("{} is no file of verify's", shown(path)))?;
                if file.version != VERSION {
                    bail!(
                        "{} is of another version of crosscurrent; delete it",
                        shown(path)
                    );
                }
                file
            }
        };
        Ok(Self {
            path: path.map(Path::to_owned),
            file,
            changed: false,
            saved: Instant::now(),
        })
    }

    /// What is known of a partition.
    pub(crate) fn of(&self, job: &Job) -> Option<(Findings, Place)> {
        let saved = self.file.partitions.get(&key(job))?;
        (saved.ids == ids(job)).then(|| (saved.findings.clone(), saved.next))
    }

    /// Notes how far a partition is, and writes it down if that was not done for a while.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn note(
        &mut self,
        job: &Job,
        findings: Findings,
        next: Place,
    ) -> anyhow::Result<()> {
        if self.path.is_none() {
            return Ok(());
        }
        let saved = Saved {
            ids: ids(job),
            next,
            findings,
        };
        self.file.partitions.insert(key(job), saved);
        self.changed = true;
        if self.saved.elapsed() >= SAVE_INTERVAL {
            self.save()?;
        }
        Ok(())
    }

    /// Writes what has changed: a new file in the place of the old one, so that there is always a whole one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save(&mut self) -> anyhow::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.changed) else {
            return Ok(());
        };
        let what = || format!("cannot write {}", path.display());
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        fs::write(&beside, serde_json::to_vec(&self.file)?).with_context(what)?;
        fs::rename(&beside, path).with_context(what)?;
        (self.changed, self.saved) = (false, Instant::now());
        Ok(())
    }
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string())
        .unwrap_or_default()
}

fn key(job: &Job) -> String {
    format!("{} {}-{}", job.flow, job.topic, job.partition)
}

fn ids(job: &Job) -> [String; 2] {
    job.ids.map(|id: Uuid| id.to_string())
}
