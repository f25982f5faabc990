//! Starting the binary and looking at what it said.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests may fail a test"
)]

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use scenarios::process::Process;
use tempfile::TempDir;

/// Bound on any wait; tests end long before it unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What `run` promises between the first signal and its end.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// The binary with these arguments, whatever `RUST_LOG` the caller has.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosscurrent"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// A folder of its own with one file in it.
pub(crate) struct Folder {
    folder: TempDir,
}

impl Folder {
    pub(crate) fn with(file: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mm2.properties"), file).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self) -> String {
        self.folder
            .path()
            .join("mm2.properties")
            .display()
            .to_string()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("output.log")
    }

    /// Starts a command; its output goes to a file in the folder.
    pub(crate) fn spawn(&self, command: Command) -> Process {
        Process::spawn("crosscurrent", command, &self.log()).unwrap()
    }

    /// Everything written so far.
    pub(crate) fn output(&self) -> String {
        String::from_utf8(std::fs::read(self.log()).unwrap()).expect("output is UTF-8")
    }

    /// Runs a command to its end: exit code and output.
    pub(crate) fn run(&self, command: Command) -> (i32, String) {
        let status = self.spawn(command).wait(PATIENCE).unwrap();
        let output = self.output();
        assert!(
            !output.contains("panicked") && !output.contains("a panic"),
            "{output}"
        );
        (status.code().expect("ended by itself"), output)
    }
}

/// Runs a file that must be refused, and gives back what was said, without the file's folder.
pub(crate) fn refused(file: impl AsRef<[u8]>, more: &[&str]) -> String {
    let folder = Folder::with(file);
    let name = folder.file();
    let arguments: Vec<&str> = ["run", &name].iter().chain(more).copied().collect();
    let (code, output) = folder.run(command(&arguments));
    assert_eq!(code, 2, "{output}");
    output.replace(&name, "mm2.properties")
}

/// Something that listens where a broker should, and answers nothing.
pub(crate) struct NoBroker {
    pub(crate) address: String,
    accepted: Arc<AtomicUsize>,
}

impl NoBroker {
    /// Closes every connection at once.
    pub(crate) fn slamming() -> Self {
        Self::start(|_| {})
    }

    /// Keeps every connection and says nothing.
    pub(crate) fn silent() -> Self {
        let mut held: Vec<TcpStream> = Vec::new();
        Self::start(move |stream| held.push(stream))
    }

    fn start(mut with: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = accepted.clone();
        // Ends with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::Relaxed);
                with(stream);
            }
        });
        Self { address, accepted }
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

/// An address where nobody listens.
pub(crate) fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    address.to_string()
}

/// One flow between two addresses.
pub(crate) fn one_flow(source: &str, target: &str, more: &str) -> String {
    format!(
        "clusters = a, b\na.bootstrap.servers = {source}\nb.bootstrap.servers = {target}\na->b.enabled = true\n{more}"
    )
}
