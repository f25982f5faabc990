//! One node of a cluster: its ports, its data and, while it runs, its JVM.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::segments;
use super::template::Template;
use crate::client::consumer;
use crate::process::{Process, tail};
use crate::wait::await_ok;
use crate::{Broker, Error};

/// How long a node may take to answer. A restart waits for the old registration to expire (2 to 13 s,
/// docs/spec/real-kafka.md 6); the rest is for a crowded machine.
pub(super) const START_PATIENCE: Duration = Duration::from_secs(90);

/// How long a node may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// How long one Metadata request may take before the next attempt.
const METADATA_PATIENCE: Duration = Duration::from_secs(2);

/// A broker as a process; see [`Broker`] for what can be done with it.
#[derive(Debug)]
pub struct RealBroker {
    name: String,
    node_id: u32,
    port: u16,
    template: &'static Template,
    properties: PathBuf,
    log: PathBuf,
    data: PathBuf,
    process: Mutex<Option<Process>>,
}

impl RealBroker {
    pub(super) fn new(
        name: String,
        node_id: u32,
        port: u16,
        template: &'static Template,
        folder: &Path,
        data: PathBuf,
        properties: &str,
    ) -> Result<Self, Error> {
        let file = folder.join(format!("node-{node_id}.properties"));
        fs::write(&file, properties).map_err(|e| Error::io("write file", &file, e))?;
        let log = folder.join(format!("node-{node_id}.log"));
        let process = Mutex::new(None);
        Ok(Self {
            name,
            node_id,
            port,
            template,
            properties: file,
            log,
            data,
            process,
        })
    }

    /// The last lines that the broker has logged.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }

    /// Starts the JVM without waiting.
    pub(super) fn launch(&self) -> Result<(), Error> {
        let mut process = self.process();
        if let Some(running) = process.as_mut()
            && running.exited()?.is_none()
        {
            return Ok(());
        }
        let mut command = self.template.java("kafka.Kafka");
        command.arg(&self.properties);
        *process = Some(Process::spawn(&self.name, command, &self.log)?);
        Ok(())
    }

    /// Waits until this broker itself answers Metadata and lists the brokers `node_ids`.
    pub(super) fn await_ready(&self, node_ids: &[u32]) -> Result<(), Error> {
        match self.process().as_mut() {
            Some(process) => await_listed(&self.bootstrap(), node_ids, process, START_PATIENCE),
            None => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.process()
            .as_mut()
            .map_or(Ok(()), |process| process.signal(signal))
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A panic elsewhere leaves the handle as good as it was.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Broker for RealBroker {
    fn name(&self) -> &str {
        &self.name
    }

    fn node_id(&self) -> u32 {
        self.node_id
    }

    fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn is_running(&self) -> bool {
        self.process()
            .as_mut()
            .is_some_and(|process| matches!(process.exited(), Ok(None)))
    }

    fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    /// SIGKILL: nothing is flushed.
    fn kill(&self) -> Result<(), Error> {
        match self.process().take() {
            Some(mut process) => process.kill().map(drop),
            None => Ok(()),
        }
    }

    /// SIGTERM.
    fn stop(&self) -> Result<(), Error> {
        match self.process().take() {
            Some(mut process) => process.terminate(STOP_PATIENCE).map(drop),
            None => Ok(()),
        }
    }

    fn start(&self) -> Result<(), Error> {
        self.launch()?;
        self.await_ready(&[self.node_id])
    }

    /// SIGSTOP.
    fn freeze(&self) -> Result<(), Error> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT.
    fn thaw(&self) -> Result<(), Error> {
        self.signal(Signal::SIGCONT)
    }

    /// As written: what the broker has appended stands in the files at once.
    fn batches(&self, topic: &str, partition: i32) -> Result<u64, Error> {
        segments::batches(&self.data.join(format!("{topic}-{partition}")))
    }
}

/// True if a node's log says that somebody else has its port: worth another attempt with other ports.
/// Stack traces follow, so the end of the log is not enough.
pub(super) fn is_port_taken(log: &Path) -> bool {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes).contains("Address already in use")
}

/// Waits until the node at `bootstrap` answers Metadata and lists the brokers `node_ids`.
pub(super) fn await_listed(
    bootstrap: &str,
    node_ids: &[u32],
    process: &mut Process,
    patience: Duration,
) -> Result<(), Error> {
    let mut dead = None;
    let mut client: Option<BaseConsumer> = None;
    let what = format!("answer of the broker at {bootstrap} with brokers {node_ids:?}");
    let found = await_ok(&what, patience, || {
        if let Err(error) = process.check_running() {
            dead = Some(error);
            return Ok(());
        }
        // A knock first: librdkafka would back off, and log, while nobody listens.
        let address: SocketAddr = bootstrap.parse().map_err(|_| "not an address".to_owned())?;
        TcpStream::connect_timeout(&address, METADATA_PATIENCE).map_err(|e| e.to_string())?;
        let client = match &mut client {
            Some(client) => client,
            None => client.insert(consumer(bootstrap, &[]).map_err(|e| format!("{e:?}"))?),
        };
        let metadata = client.fetch_metadata(None, METADATA_PATIENCE);
        let metadata = metadata.map_err(|e| e.to_string())?;
        let listed: Vec<i32> = metadata
            .brokers()
            .iter()
            .map(|broker| broker.id())
            .collect();
        let all = node_ids.iter().all(|id| listed.contains(&id.cast_signed()));
        if all {
            Ok(())
        } else {
            Err(format!("brokers {listed:?}"))
        }
    });
    match dead {
        Some(error) => Err(error),
        None => found,
    }
}
