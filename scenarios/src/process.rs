//! Child processes that die with this one.
//!
//! Every child asks the kernel for SIGKILL when its parent ends (`PR_SET_PDEATHSIG`): a JVM must not
//! outlive a test program that was killed. The kernel means the *thread* that spawned it, and Rust runs
//! each test in a thread of its own; hence one launcher thread spawns all, and lives as long as the process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::error::exited;
use crate::{Error, await_ok};

mod usage;

/// Orders that may wait for the launcher thread; a sender beyond that blocks until there is room.
const LAUNCH_QUEUE: usize = 16;

/// Lines of a log that an error or a failed test shows.
pub(crate) const TAIL_LINES: usize = 60;

/// How long a process may take to vanish after SIGKILL; the kernel needs milliseconds.
const REAP_PATIENCE: Duration = Duration::from_secs(30);

/// A running child process whose output goes to a file. Dropping it kills it (SIGKILL).
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; standard output and error are appended to `log`, standard input is empty.
    ///
    /// # Errors
    /// [`Error::Io`] when the log cannot be opened or the program cannot be executed.
    pub fn spawn(name: &str, command: Command, log: &Path) -> Result<Self, Error> {
        Self::spawn_with_input(name, command, log, Path::new("/dev/null"))
    }

    /// [`Process::spawn`] with this file as standard input.
    ///
    /// # Errors
    /// As [`Process::spawn`], and when the file cannot be read.
    pub fn spawn_with_input(
        name: &str,
        mut command: Command,
        log: &Path,
        input: &Path,
    ) -> Result<Self, Error> {
        let input = File::open(input).map_err(|e| Error::io("open file", input, e))?;
        let output = OpenOptions::new().create(true).append(true).open(log);
        let output = output.map_err(|e| Error::io("open log", log, e))?;
        let errors = output
            .try_clone()
            .map_err(|e| Error::io("open log", log, e))?;
        command.stdin(input).stdout(output).stderr(errors);
        let what = format!("start {name} ({})", command.get_program().display());
        let child = launch(command).map_err(|source| Error::Io { what, source })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_path_buf(),
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file that takes the output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status if the process has ended.
    ///
    /// # Errors
    /// [`Error::Io`] if the system does not know the child.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>, Error> {
        let what = || format!("wait for {}", self.name);
        self.child.try_wait().map_err(|source| Error::Io {
            what: what(),
            source,
        })
    }

    /// An error with the end of the log if the process has ended, although it should run.
    ///
    /// # Errors
    /// [`Error::Exited`].
    pub fn check_running(&mut self) -> Result<(), Error> {
        match self.exited()? {
            None => Ok(()),
            Some(status) => Err(exited(&self.name, status, &self.log)),
        }
    }

    /// Sends `signal`; nothing happens if the process has ended.
    ///
    /// # Errors
    /// [`Error::Io`] if the system refuses.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        if self.exited()?.is_some() {
            return Ok(()); // reaped: the id may belong to somebody else by now
        }
        let pid = Pid::from_raw(self.id().cast_signed());
        signal::kill(pid, signal).map_err(|errno| Error::Io {
            what: format!("send {signal} to {}", self.name),
            source: errno.into(),
        })
    }

    /// Waits for the process to end by itself.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `patience`; the process still runs then.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        let what = format!("end of {}", self.name);
        await_ok(&what, patience, || match self.exited() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("still running".to_owned()),
            Err(error) => Err(format!("{error:?}")),
        })
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `patience`; the process still runs then.
    pub fn terminate(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGTERM)?;
        self.wait(patience)
    }

    /// SIGKILL, then waits for the end: no chance to flush, commit or leave a group.
    ///
    /// # Errors
    /// As [`Process::signal`] and [`Process::wait`].
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGKILL)?;
        self.wait(REAP_PATIENCE)
    }

    /// The last lines of the output.
    pub fn log_tail(&self) -> String {
        tail(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nobody is left to tell; should this fail, the kernel kills the child when we end.
        drop(self.kill());
    }
}

/// The last lines of a text file, or why they cannot be read.
pub(crate) fn tail(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("(cannot read {}: {error})", log.display()),
    }
}

/// One order to the launcher thread: what to spawn, and where the answer goes.
struct Order {
    command: Command,
    reply: SyncSender<io::Result<Child>>,
}

/// Spawns `command` from the launcher thread.
fn launch(mut command: Command) -> io::Result<Child> {
    static LAUNCHER: OnceLock<SyncSender<Order>> = OnceLock::new();
    die_with_parent(&mut command);
    let launcher = LAUNCHER.get_or_init(|| {
        let (orders, inbox) = sync_channel::<Order>(LAUNCH_QUEUE);
        thread::spawn(move || {
            for mut order in inbox {
                // A caller that has gone drops the child handle; the process lives on until we end.
                drop(order.reply.send(order.command.spawn()));
            }
        });
        orders
    });
    let (reply, answer) = sync_channel(1);
    let gone = |_| io::Error::other("the launcher thread has ended");
    launcher
        .send(Order { command, reply })
        .map_err(|_| gone(()))?;
    answer.recv().map_err(|_| gone(()))?
}

/// Makes the kernel kill the child when this process ends.
#[expect(
    unsafe_code,
    reason = "the standard library has no safe hook between fork and exec"
)]
fn die_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    let parent = Pid::this();
    let hook = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have ended before the line above, and then no signal ever comes.
        if Pid::parent() == parent {
            Ok(())
        } else {
            Err(io::ErrorKind::NotConnected.into())
        }
    };
    // SAFETY: the hook runs in the forked child, where only async-signal-safe calls are allowed. It makes
    // two plain system calls (prctl, getppid), allocates nothing (an `io::Error` from an errno or a kind is
    // a plain value) and takes no lock; it captures an integer by value.
    unsafe { command.pre_exec(hook) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folders;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Process {
        let folder = folders::scratch("process").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::spawn("shell", command, &folder.join("log")).unwrap()
    }

    #[test]
    fn survives_the_thread_that_asked_for_it() {
        let mut child = thread::spawn(|| shell("sleep 600")).join().unwrap();
        // The thread has ended by now; had it been the parent, SIGKILL would be on its way.
        assert!(
            child.wait(Duration::from_millis(300)).is_err(),
            "died with the asking thread"
        );
        child.kill().unwrap();
    }

    #[test]
    fn reports_code_and_output() {
        let mut child = shell("echo first; echo last >&2; exit 3");
        assert_eq!(child.wait(PATIENCE).unwrap().code(), Some(3));
        assert_eq!(child.log_tail(), "first\nlast");
        assert!(
            child
                .check_running()
                .unwrap_err()
                .to_string()
                .contains("last")
        );
    }

    #[test]
    fn sigterm_may_be_handled() {
        let mut child = shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
        crate::await_that("trap set", PATIENCE, || child.log_tail() == "ready").unwrap();
        assert_eq!(child.terminate(PATIENCE).unwrap().code(), Some(7));
    }
}
