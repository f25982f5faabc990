//! The engine in a process of its own, so that it can be killed.

use std::fmt::Write as _;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use actors::Worker;
use engine::offsets::{Translation, UnknownReason};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use topology::{MirrorConfig, Properties};

/// Names the configuration of a process that is to be an engine.
const CONFIG: &str = "EXACT_CONFIG";
/// Bound on a drain and on an answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// A running engine, killed when dropped.
pub(crate) struct Engine {
    process: Child,
    stopped: bool,
}

impl Engine {
    /// Starts one with the configuration in `config`; its log goes to `log`.
    pub(crate) fn start(config: &Path, log: &Path) -> Self {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::engine", "--nocapture"])
            .env(CONFIG, config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self {
            process,
            stopped: false,
        }
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        kill(id, signal).unwrap();
    }

    /// SIGSTOP.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::SIGSTOP);
        self.stopped = true;
    }

    /// SIGCONT, if it was paused.
    pub(crate) fn wake(&mut self) {
        if std::mem::take(&mut self.stopped) {
            self.signal(Signal::SIGCONT);
        }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        self.process.kill().ok();
        self.process.wait().unwrap();
    }

    /// Drains it and waits for its end: whether everything was stored.
    pub(crate) fn stop(mut self) -> bool {
        self.say("stop");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn say(&mut self, line: &str) {
        use std::io::Write;
        // One that has ended does not listen: that shows.
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).ok();
    }

    /// What its maps answer for offsets below `limit`, by partition.
    pub(crate) fn answers(&mut self, folder: &Path, limit: i64) -> Vec<Answers> {
        let path = folder.join("answers");
        std::fs::remove_file(&path).ok();
        self.say(&format!("answers {limit} {}", path.display()));
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(text) = std::fs::read_to_string(&path) {
                return text.lines().map(Answers::read).collect();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Vec::new()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the map of one partition answers for the offsets 0, 1, 2 and so on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    /// The flow's source.
    pub(crate) source: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) downstream: Vec<Translation>,
    pub(crate) upstream: Vec<Translation>,
}

impl Answers {
    /// Asks a map.
    pub(crate) fn ask(
        (source, topic, partition): (&str, &str, i32),
        limit: i64,
        downstream: impl Fn(i64) -> Translation,
        upstream: impl Fn(i64) -> Translation,
    ) -> Self {
        Self {
            source: source.to_owned(),
            topic: topic.to_owned(),
            partition,
            downstream: (0..limit).map(downstream).collect(),
            upstream: (0..limit).map(upstream).collect(),
        }
    }

    fn write(&self) -> String {
        let mut line = format!("{} {} {}", self.source, self.topic, self.partition);
        for answers in [&self.downstream, &self.upstream] {
            line.push_str(" |");
            for answer in answers {
                match answer {
                    Translation::Exact(offset) => write!(line, " E{offset}"),
                    Translation::AtLeast(offset) => write!(line, " A{offset}"),
                    Translation::Unknown(UnknownReason::NothingReplicated) => write!(line, " N"),
                    Translation::Unknown(UnknownReason::BelowMap) => write!(line, " B"),
                }
                .unwrap();
            }
        }
        line
    }

    fn read(line: &str) -> Self {
        let mut parts = line.split(" |");
        let mut place = parts.next().unwrap().split(' ');
        let mut answers = || -> Vec<Translation> {
            let part = parts.next().unwrap();
            (part.split_whitespace())
                .map(|answer| match answer.split_at(1) {
                    ("E", offset) => Translation::Exact(offset.parse().unwrap()),
                    ("A", offset) => Translation::AtLeast(offset.parse().unwrap()),
                    ("N", _) => Translation::Unknown(UnknownReason::NothingReplicated),
                    _ => Translation::Unknown(UnknownReason::BelowMap),
                })
                .collect()
        };
        Self {
            source: place.next().unwrap().to_owned(),
            topic: place.next().unwrap().to_owned(),
            partition: place.next().unwrap().parse().unwrap(),
            downstream: answers(),
            upstream: answers(),
        }
    }
}

/// Not a test: what [`Engine::start`] runs.
#[test]
fn engine() {
    let Ok(config) = std::env::var(CONFIG) else {
        return;
    };
    let filter = tracing_subscriber::EnvFilter::new("debug,engine::wire=info");
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let text = std::fs::read(config).unwrap();
    let config = MirrorConfig::read(Properties::parse(&text).unwrap(), &[]).unwrap();
    let clean = actix::System::new().block_on(run(&config));
    std::process::exit(i32::from(!clean));
}

async fn run(config: &MirrorConfig) -> bool {
    let worker = Worker::start(config.flows()).unwrap();
    let (lines, mut heard) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            lines.send(line).ok();
        }
        // Whoever started us is gone.
        std::process::abort();
    });
    while let Some(line) = heard.recv().await {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["answers", limit, path] => answer(&worker, limit.parse().unwrap(), path.into()),
            _ => return worker.stop(Duration::from_secs(9)).await,
        }
    }
    false
}

fn answer(worker: &Worker, limit: i64, path: PathBuf) {
    let mut text = String::new();
    for flow in worker.flows() {
        for snapshot in worker.registry().snapshots() {
            let key = &snapshot.key;
            if key.flow != flow.label {
                continue;
            }
            if let Some(map) = flow.maps.get(&key.topic, key.partition) {
                let place = (flow.config.id.source.as_str(), &*key.topic, key.partition);
                let (down, up) = (|o| map.map.translate(o), |o| map.map.translate_back(o));
                text += &Answers::ask(place, limit, down, up).write();
                text.push('\n');
            }
        }
    }
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, text).unwrap();
    std::fs::rename(unfinished, path).unwrap();
}
