//! What the commands that look at clusters share: connections, exit codes, records as consumers see them.

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use engine::batch::{
    Codec, DECOMPRESSED_BYTES_MAX, RawBatch, RecordView, TimestampType, decompress, records,
};
use engine::cluster::Cluster;
use engine::wire::{BufferPool, ConnectOptions, Security};
use topology::{ClusterConfig, FlowConfig, HostPort, MirrorConfig};
use tracing::error;

use crate::cli::LogFormat;
use crate::{config, logging};

/// A bad command line or configuration, as clap exits too.
pub(crate) const EXIT_CONFIG: u8 = 2;
/// Bound on connecting to a broker.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bound on one request to a cluster that no configuration speaks of; Kafka's default.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A cluster of a configuration. Call it inside a runtime: connections live there.
pub(crate) fn cluster(config: &ClusterConfig) -> Arc<Cluster> {
    let servers = &config.bootstrap_servers;
    let timeouts = (config.request_timeout, config.admin_request_timeout);
    cluster_with(
        config.alias.as_str(),
        servers,
        &config.admin_client_id,
        timeouts,
        config.security.clone(),
    )
}

/// A cluster that `servers` know, under a name for people. Call it inside a runtime.
pub(crate) fn cluster_at(
    alias: &str,
    servers: &[HostPort],
    client_id: &str,
    security: Security,
) -> Arc<Cluster> {
    cluster_with(
        alias,
        servers,
        client_id,
        (REQUEST_TIMEOUT, REQUEST_TIMEOUT),
        security,
    )
}

/// `timeouts`: of requests for records, and of all others.
fn cluster_with(
    alias: &str,
    servers: &[HostPort],
    client_id: &str,
    timeouts: (Duration, Duration),
    security: Security,
) -> Arc<Cluster> {
    let servers = servers.iter().map(|at| (at.host.clone(), at.port));
    let options = ConnectOptions {
        client_id: client_id.into(),
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: timeouts.0,
        pool: BufferPool::default(),
        security,
    };
    let runtime = tokio::runtime::Handle::current();
    Cluster::new(alias, servers.collect(), options, timeouts.1, runtime)
}

/// Runs on this thread.
///
/// # Errors
/// The system gives no runtime, or the future's own.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system gives no runtime")?
        .block_on(future)
}

/// Reads a configuration, or says what is wrong with it.
///
/// # Errors
/// The exit code.
pub(crate) fn read_config(file: &Path, format: LogFormat) -> Result<MirrorConfig, ExitCode> {
    config::read(file, &[]).map_err(|faults| {
        logging::report(format, &faults);
        ExitCode::from(EXIT_CONFIG)
    })
}

/// Which flows a command looks at.
#[derive(Debug, Args)]
pub(crate) struct FlowArgs {
    /// The configuration: MirrorMaker 2's dedicated-mode file.
    file: PathBuf,
    /// Only this flow, as A->B; default: all that copy topics.
    #[arg(long, value_name = "A->B")]
    flow: Option<String>,
}

impl FlowArgs {
    /// Reads the file: its flows that copy topics, or the one that is asked for. Says what is wrong with the arguments.
    ///
    /// # Errors
    /// The code to end with.
    pub(crate) fn flows(&self, format: LogFormat) -> Result<Vec<FlowConfig>, ExitCode> {
        let config = read_config(&self.file, format)?;
        let (mut found, mut names) = (Vec::new(), Vec::new());
        for flow in config
            .flows()
            .iter()
            .filter(|flow| flow.replication_enabled)
        {
            let name = flow.id.to_string();
            if self.flow.as_ref().is_none_or(|wanted| *wanted == name) {
                found.push(flow.clone());
            }
            names.push(name);
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match &self.flow {
            Some(wanted) if !names.is_empty() => {
                let names = names.join(", ");
                error!("--flow: no flow `{wanted}`; the file enables {names}");
            }
            _ => error!("the file enables no flow that copies topics; write `A->B.enabled = true`"),
        }
        Err(ExitCode::from(EXIT_CONFIG))
    }
}

/// Standard output, in blocks; a reader that has gone away (`| head`) is no fault.
pub(crate) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    gone: bool,
}

impl Output {
    /// Locks standard output.
    pub(crate) fn new() -> Self {
        let out = BufWriter::with_capacity(64 << 10, stdout().lock());
        Self { out, gone: false }
    }

    /// Writes a line. False when nobody reads any more.
    ///
    /// # Errors
    /// It cannot be written, for instance because a disk is full.
    pub(crate) fn line(&mut self, line: &dyn std::fmt::Display) -> io::Result<bool> {
        let written = writeln!(self.out, "{line}");
        self.unless_gone(written)
    }

    /// Hands over what is written so far. False when nobody reads any more.
    ///
    /// # Errors
    /// As [`Self::line`].
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let flushed = self.out.flush();
        self.unless_gone(flushed)
    }

    fn unless_gone(&mut self, result: io::Result<()>) -> io::Result<bool> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => self.gone = true,
            result => result?,
        }
        Ok(!self.gone)
    }
}

/// A record with what its batch says about it.
pub(crate) struct Seen<'a> {
    /// Its offset.
    pub(crate) offset: i64,
    /// As consumers see it. Unit: epoch milliseconds; -1: none.
    pub(crate) timestamp_ms: i64,
    /// Key, value, headers.
    pub(crate) record: RecordView<'a>,
    body: &'a Bytes,
}

impl Seen<'_> {
    /// Key, value and headers as they are encoded, without copying them.
    pub(crate) fn fields(&self) -> Bytes {
        self.body.slice_ref(self.record.fields())
    }
}

/// Calls `each` for the records of a data batch; control batches have none.
///
/// # Errors
/// The batch is damaged, with its offset.
pub(crate) fn each_record<E: From<anyhow::Error>>(
    batch: &RawBatch,
    mut each: impl FnMut(Seen<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let header = &batch.header;
    if header.is_control() || header.count() <= 0 {
        return Ok(());
    }
    let base = header.base_offset();
    let damaged = || format!("the batch at offset {base} cannot be read");
    let codec = header.codec().with_context(damaged)?;
    let body = match codec {
        Codec::None => batch.body.clone(),
        _ => decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX).with_context(damaged)?,
    };
    for record in records(&body, header.count()) {
        let record = record.with_context(damaged)?;
        let timestamp_ms = match header.timestamp_type() {
            TimestampType::LogAppendTime => header.max_timestamp_ms(),
            TimestampType::CreateTime => header
                .base_timestamp_ms()
                .saturating_add(record.timestamp_delta_ms),
        };
        each(Seen {
            offset: base.saturating_add(i64::from(record.offset_delta)),
            timestamp_ms,
            record,
            body: &body,
        })?;
    }
    Ok(())
}
