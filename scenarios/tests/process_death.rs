//! A test program may be killed at any moment; its JVMs must not be left behind.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use scenarios::{Broker, RealCluster, await_ok, await_that};

const PATIENCE: Duration = Duration::from_secs(120);

/// In the child: the file that takes the broker's process id.
const PID_FILE: &str = "SCENARIOS_PID_FILE";

/// Runs only as the child of the next test: starts a broker, says so and waits to be killed.
#[test]
#[ignore = "is the child process of the test below"]
fn child_that_owns_a_broker() {
    let file = env::var_os(PID_FILE).unwrap();
    let cluster = RealCluster::start("doomed", 1).unwrap();
    let pid = cluster.broker(1).process_id().unwrap();
    let partial = Path::new(&file).with_extension("partial");
    fs::write(&partial, pid.to_string()).unwrap();
    fs::rename(partial, file).unwrap();
    loop {
        std::thread::park();
    }
}

#[test]
fn brokers_die_with_a_killed_test_program() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let file = Path::new(folder).join(format!("broker-{}.pid", std::process::id()));
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_that_owns_a_broker"])
        .env(PID_FILE, &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = await_ok("start of the child's broker", PATIENCE, || {
        fs::read_to_string(&file)
    });
    let running = Path::new("/proc").join(pid.as_deref().unwrap_or("none"));
    let was_running = running.exists();
    child.kill().unwrap(); // SIGKILL: no destructor, no exit handler
    child.wait().unwrap();
    pid.unwrap();
    assert!(was_running, "the broker was not running at all");
    fs::remove_file(&file).unwrap();
    await_that("end of the orphaned broker", PATIENCE, || !running.exists()).unwrap();
}
