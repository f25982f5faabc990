//! Kafka's own programs written in Java: the command-line tools, MirrorMaker 2, Connect workers.
//!
//! All of them start from one class archive, built once per Java and set of jars: a tool then costs half the
//! processor time.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use embedded::EmbeddedCluster;

use super::install::{Jars, class_path, java, log4j2};
use super::template::{fingerprint, prefixed};
use crate::process::Process;
use crate::{Error, error, folders};

/// How long a tool may take: it waits for a cluster at most a minute by itself.
const TOOL_PATIENCE: Duration = Duration::from_secs(120);

/// Eclipse's compiler for Java.
const COMPILER: &str = "org.eclipse.jdt.internal.compiler.batch.Main";

/// The tool that uses most of a client, and what it is told to expect.
const ARCHIVED: &str = "org.apache.kafka.tools.ClientCompatibilityTest";
const ARCHIVED_ARGUMENTS: [&str; 18] = [
    "--topic",
    "warm",
    "--num-cluster-nodes",
    "1",
    "--offsets-for-times-supported",
    "true",
    "--cluster-id-supported",
    "true",
    "--expect-record-too-large-exception",
    "false",
    "--create-topics-supported",
    "true",
    "--describe-acls-supported",
    "true",
    "--describe-configs-supported",
    "true",
    "--idempotent-producer-supported",
    "true",
];

/// How to run Kafka's Java programs on this machine.
#[derive(Debug)]
pub struct JavaTools {
    java: PathBuf,
    class_path: OsString,
    log4j2: PathBuf,
    archive: PathBuf,
}

/// How a tool ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its exit code; -1 if a signal ended it.
    pub code: i32,
    /// Standard output and error.
    pub output: String,
}

impl JavaTools {
    /// The programs of [`Jars::MirrorMaker2`], fetched by the first process that needs them.
    ///
    /// # Errors
    /// [`Error::Missing`] without Java or Maven; [`Error::Exited`] with Maven's own words.
    pub fn open() -> Result<&'static Self, Error> {
        static TOOLS: OnceLock<Result<JavaTools, String>> = OnceLock::new();
        let tools = TOOLS.get_or_init(|| Self::prepare().map_err(|e| format!("{e:?}")));
        tools.as_ref().map_err(|e| Error::Earlier(e.clone()))
    }

    fn prepare() -> Result<Self, Error> {
        let (java, class_path, log4j2) = (java()?, class_path(Jars::MirrorMaker2)?, log4j2()?);
        let cache = folders::cache()?;
        let archive = format!("tools-{:016x}.jsa", fingerprint(&java, &class_path));
        let tools = Self {
            java,
            class_path,
            log4j2,
            archive: cache.join(archive),
        };
        let _building = folders::lock(&cache, "tools.lock")?;
        if !tools.archive.is_file() {
            tools.build_archive()?;
        }
        Ok(tools)
    }

    /// Runs the program `main_class` to its end, with an empty standard input.
    ///
    /// # Errors
    /// [`Error::Timeout`] if it does not end.
    pub fn run(&self, main_class: &str, arguments: &[&str]) -> Result<Finished, Error> {
        self.run_with_input(main_class, arguments, "")
    }

    /// Compiles the Java program `name` and runs it to its end. It may use all of Kafka's classes.
    ///
    /// # Errors
    /// [`Error::Exited`] with the compiler's words; else as [`JavaTools::run`] and [`JavaTools::open`].
    pub fn run_source(
        &self,
        name: &str,
        source: &str,
        arguments: &[&str],
    ) -> Result<Finished, Error> {
        let folder = folders::scratch("source")?;
        let file = folder.join(format!("{name}.java"));
        fs::write(&file, source).map_err(|e| Error::io("write file", &file, e))?;
        let mut command = Command::new(&self.java);
        command.arg("-cp").arg(class_path(Jars::Compiler)?);
        command.args([COMPILER, "-17", "-d"]).arg(&folder);
        command.arg("-cp").arg(&self.class_path).arg(&file);
        let log = folder.join("compiler");
        let status = Process::spawn(COMPILER, command, &log)?.wait(TOOL_PATIENCE)?;
        if !status.success() {
            return Err(error::exited(COMPILER, status, &log));
        }
        let mut class_path = self.class_path.clone();
        class_path.push(":");
        class_path.push(&folder);
        let with_it = Self {
            java: self.java.clone(),
            class_path,
            log4j2: self.log4j2.clone(),
            archive: self.archive.clone(),
        };
        with_it.run(name, arguments)
    }

    /// [`JavaTools::run`] with this standard input.
    ///
    /// # Errors
    /// As [`JavaTools::run`].
    pub fn run_with_input(
        &self,
        main_class: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<Finished, Error> {
        let folder = folders::scratch("tool")?;
        let file = folder.join("input");
        fs::write(&file, input).map_err(|e| Error::io("write file", &file, e))?;
        let log = folder.join("output");
        let command = self.command(main_class, arguments);
        let mut process = Process::spawn_with_input(main_class, command, &log, &file)?;
        let code = process.wait(TOOL_PATIENCE)?.code().unwrap_or(-1);
        let output = fs::read(&log).map_err(|e| Error::io("read file", &log, e))?;
        let output = String::from_utf8_lossy(&output).into_owned();
        Ok(Finished { code, output })
    }

    /// Starts the program `main_class`, which runs until it is stopped; its output goes to a file.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be executed.
    pub fn start(&self, main_class: &str, arguments: &[&str]) -> Result<Process, Error> {
        let log = folders::scratch("java")?.join("output");
        Process::spawn(main_class, self.command(main_class, arguments), &log)
    }

    /// Writes a configuration file for a program; it lives as long as this process's other files.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file(&self, name: &str, text: &str) -> Result<String, Error> {
        let path = folders::scratch("file")?.join(name);
        fs::write(&path, text).map_err(|e| Error::io("write file", &path, e))?;
        Ok(path.display().to_string())
    }

    fn command(&self, main_class: &str, arguments: &[&str]) -> Command {
        let mut command = self.plain_java();
        command.arg(prefixed("-XX:SharedArchiveFile=", &self.archive));
        command.arg(main_class).args(arguments);
        command
    }

    fn plain_java(&self) -> Command {
        let mut command = Command::new(&self.java);
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]);
        command.arg("-Xlog:disable"); // an archive that does not fit is no news for a tool's reader
        command.arg(prefixed("-Dlog4j2.configurationFile=", &self.log4j2));
        command.arg("-cp").arg(&self.class_path);
        command
    }

    /// The archive of what [`ARCHIVED`] loads: an admin client, a producer and a consumer at work.
    fn build_archive(&self) -> Result<(), Error> {
        let what = "start a cluster for the class archive";
        let cluster = EmbeddedCluster::start(1)
            .map_err(|error| Error::Impossible(format!("cannot {what}: {error}")))?;
        let work = folders::scratch("tools")?;
        let partial = work.join("tools.jsa");
        let mut command = self.plain_java();
        command.arg(prefixed("-XX:ArchiveClassesAtExit=", &partial));
        command.args([ARCHIVED, "--bootstrap-server", &cluster.bootstrap()]);
        command.args(ARCHIVED_ARGUMENTS);
        let log = work.join("output");
        let mut tool = Process::spawn(ARCHIVED, command, &log)?;
        let status = tool.wait(TOOL_PATIENCE)?;
        if !status.success() {
            return Err(error::exited(ARCHIVED, status, &log));
        }
        let archive = &self.archive;
        fs::rename(&partial, archive).map_err(|e| Error::io("rename file to", archive, e))
    }
}
