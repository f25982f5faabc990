//! The `crosscurrent` binary, run from outside as a user runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::process::Process;
use crate::{Error, await_ok, folders};

/// Which log lines there are; a test must not depend on the caller's.
const LOG_FILTER: &str = "RUST_LOG";

/// A running `crosscurrent run FILE`. Dropping it kills it (SIGKILL); if the test panics while it owns it,
/// the end of its log is printed.
#[derive(Debug)]
pub struct Product {
    /// The subcommand.
    command: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    log_filter: Option<String>,
    folder: PathBuf,
    process: Process,
    /// Length of the output when it was started last.
    before: usize,
}

impl Product {
    /// Starts `program run FILE`, where the file holds `properties` (an `mm2.properties`).
    /// Tests of the product name the program with `env!("CARGO_BIN_EXE_crosscurrent")`.
    ///
    /// Returns at once; wait for what the test needs.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be written or the program cannot be executed.
    pub fn run(program: impl AsRef<Path>, properties: &str) -> Result<Self, Error> {
        Self::run_with(program, properties, &[])
    }

    /// [`Product::run`] with further arguments after the file.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn run_with(
        program: impl AsRef<Path>,
        properties: &str,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        Self::start(program, properties, arguments, None)
    }

    /// [`Product::run`] with other log lines than usual: `log_filter` is for `RUST_LOG`.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn run_logging(
        program: impl AsRef<Path>,
        properties: &str,
        log_filter: &str,
    ) -> Result<Self, Error> {
        Self::start(program, properties, &[], Some(log_filter.to_owned()))
    }

    /// A running `crosscurrent connect FILE`, where the file holds `properties` (a `worker.properties`).
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn connect(
        program: impl AsRef<Path>,
        properties: &str,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        Self::start_as("connect", program, properties, arguments, None)
    }

    fn start(
        program: impl AsRef<Path>,
        properties: &str,
        arguments: &[&str],
        log_filter: Option<String>,
    ) -> Result<Self, Error> {
        Self::start_as("run", program, properties, arguments, log_filter)
    }

    fn start_as(
        command: &'static str,
        program: impl AsRef<Path>,
        properties: &str,
        arguments: &[&str],
        log_filter: Option<String>,
    ) -> Result<Self, Error> {
        let folder = folders::scratch("product")?;
        let file = folder.join("mm2.properties");
        fs::write(&file, properties).map_err(|e| Error::io("write file", &file, e))?;
        let arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let program = program.as_ref().to_path_buf();
        let process = launch(
            command,
            &program,
            &arguments,
            log_filter.as_deref(),
            &folder,
        )?;
        Ok(Self {
            command,
            program,
            arguments,
            log_filter,
            folder,
            process,
            before: 0,
        })
    }

    /// SIGTERM, then waits for an orderly end; the exit code is 0 after one.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `patience`; it still runs then.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        self.process.terminate(patience)
    }

    /// SIGKILL: a crash, with nothing flushed or committed.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().map(drop)
    }

    /// Starts it again with the same file and arguments; kills it first if it runs.
    ///
    /// # Errors
    /// As [`Product::run`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.kill()?;
        self.before = self.output().len();
        let filter = self.log_filter.as_deref();
        self.process = launch(
            self.command,
            &self.program,
            &self.arguments,
            filter,
            &self.folder,
        )?;
        Ok(())
    }

    /// Waits until its output contains `text` (output of earlier starts counts).
    ///
    /// # Errors
    /// [`Error::Exited`] at once if it ends, else [`Error::Timeout`] after `patience`.
    pub fn await_output(&mut self, text: &str, patience: Duration) -> Result<(), Error> {
        let mut dead = None;
        let found = await_ok(&format!("{text:?} in its output"), patience, || {
            if self.output().contains(text) {
                return Ok(());
            }
            dead = self.process.check_running().err();
            if dead.is_some() {
                Ok(())
            } else {
                Err(self.process.log_tail())
            }
        });
        dead.map_or(found, Err)
    }

    /// What it has written since it was started last.
    pub fn output_of_this_start(&self) -> String {
        self.output().split_off(self.before)
    }

    /// Everything it has written to standard output and error so far, over all starts.
    pub fn output(&self) -> String {
        fs::read(self.process.log()).map_or_else(|_| String::new(), |bytes| lossy(&bytes))
    }

    /// Its process: id, signals (freeze and thaw), peak memory, processor time.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "--- {} ---\n{}",
                self.program.display(),
                self.process.log_tail()
            );
        }
    }
}

fn launch(
    subcommand: &str,
    program: &Path,
    arguments: &[String],
    log_filter: Option<&str>,
    folder: &Path,
) -> Result<Process, Error> {
    let mut command = Command::new(program);
    command
        .arg(subcommand)
        .arg(folder.join("mm2.properties"))
        .args(arguments);
    match log_filter {
        Some(filter) => command.env(LOG_FILTER, filter),
        None => command.env_remove(LOG_FILTER),
    };
    Process::spawn("crosscurrent", command, &folder.join("output.log"))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A program that reads its file and ends with 0 on SIGTERM, as the product does.
    fn program() -> PathBuf {
        let path = folders::scratch("program").unwrap().join("program");
        let script = "#!/bin/sh\ntrap 'exit 0' TERM\necho \"$1 $3\"; cat \"$2\"\n\
                      while :; do sleep 0.02; done\n";
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn runs_stops_and_starts_again() {
        let mut product = Product::run_with(program(), "clusters = a, b\n", &["--x"]).unwrap();
        product.await_output("clusters = a, b", PATIENCE).unwrap();
        assert!(product.process().rss_bytes_peak().unwrap() > 100_000);
        assert!(product.process().cpu_time().unwrap() < PATIENCE);
        assert_eq!(product.stop(PATIENCE).unwrap().code(), Some(0));
        product.restart().unwrap();
        crate::await_that("second start", PATIENCE, || {
            product.output().matches("run --x").count() == 2
        })
        .unwrap();
        product.kill().unwrap();
        let error = product.await_output("never", PATIENCE).unwrap_err();
        assert!(matches!(error, Error::Exited { .. }), "{error}");
    }
}
