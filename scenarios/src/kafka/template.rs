//! What one broker leaves behind so that all later ones start quickly.
//!
//! Once per Java and set of jars, a broker is formatted with Kafka's own tool, started with
//! `-XX:ArchiveClassesAtExit`, used a little and stopped. That gives the class archive (a start takes 1 s
//! instead of 5) and `bootstrap.checkpoint`, the file that makes a node offer all features of its version.
//! Copying that file and writing `meta.properties` by hand then replaces the format tool (0 s instead of 1.4).

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rand::Rng;
use rand::distr::Alphanumeric;

use super::broker::await_listed;
use super::install::{Jars, class_path, java, log4j2};
use super::ports::Port;
use super::settings::{NodeSettings, Role};
use crate::client::{KafkaClient, numbered};
use crate::process::Process;
use crate::properties::server_properties;
use crate::{Error, error, folders};

/// How long the one slow start, the format tool and the writing of the archive may take each.
const SLOW_JVM_PATIENCE: Duration = Duration::from_secs(120);

/// File names inside a template's folder.
const ARCHIVE: &str = "kafka.jsa";
const CHECKPOINT: &str = "bootstrap.checkpoint";

/// How to run a Kafka JVM on this machine.
#[derive(Debug)]
pub(super) struct Template {
    java: PathBuf,
    class_path: OsString,
    log4j2: PathBuf,
    folder: PathBuf,
}

/// The template of this machine's Java and Kafka, built by the first process that needs it.
pub(super) fn template() -> Result<&'static Template, Error> {
    static TEMPLATE: OnceLock<Result<Template, String>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| Template::open().map_err(|e| format!("{e:?}")));
    template.as_ref().map_err(|e| Error::Earlier(e.clone()))
}

impl Template {
    fn open() -> Result<Self, Error> {
        let (java, class_path, log4j2) = (java()?, class_path(Jars::Broker)?, log4j2()?);
        let cache = folders::cache()?;
        let folder = cache.join(format!("template-{:016x}", fingerprint(&java, &class_path)));
        let template = Self {
            java,
            class_path,
            log4j2,
            folder,
        };
        let _building = folders::lock(&cache, "template.lock")?;
        if !template.folder.is_dir() {
            template.build()?;
        }
        Ok(template)
    }

    /// The command for a Java program of Kafka's, with the quick JVM flags. See docs/spec/real-kafka.md 9.
    pub(super) fn java(&self, main_class: &str) -> Command {
        let mut command = self.plain_java();
        let archive = self.folder.join(ARCHIVE);
        if archive.is_file() {
            command.arg(prefixed("-XX:SharedArchiveFile=", &archive));
        }
        command.arg(main_class);
        command
    }

    /// Makes `data` a formatted log folder of node `node_id`.
    pub(super) fn format(&self, data: &Path, cluster_id: &str, node_id: u32) -> Result<(), Error> {
        fs::create_dir_all(data).map_err(|e| Error::io("create folder", data, e))?;
        let meta = data.join("meta.properties");
        let text = format!(
            "version=1\ncluster.id={cluster_id}\nnode.id={node_id}\ndirectory.id={}\n",
            random_id()
        );
        fs::write(&meta, text).map_err(|e| Error::io("write file", &meta, e))?;
        let (from, to) = (self.folder.join(CHECKPOINT), data.join(CHECKPOINT));
        fs::copy(&from, &to).map_err(|e| Error::io("copy file to", &to, e))?;
        Ok(())
    }

    fn plain_java(&self) -> Command {
        let mut command = Command::new(&self.java);
        command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"]);
        command.arg(prefixed("-Dlog4j2.configurationFile=", &self.log4j2));
        command.arg("-cp").arg(&self.class_path);
        command
    }

    fn build(&self) -> Result<(), Error> {
        let work = folders::scratch("template")?;
        let (port, controller) = (Port::reserve()?, Port::reserve()?);
        let data = work.join("data");
        let properties = work.join("server.properties");
        let settings = NodeSettings {
            role: Role::Combined,
            node_id: 1,
            port: port.number(),
            listeners: &[],
            controller: (1, controller.number()),
            data: &data,
            common: &server_properties(1, &[]),
        };
        fs::write(&properties, settings.properties())
            .map_err(|e| Error::io("write file", &properties, e))?;
        self.run_format_tool(&work, &properties)?;

        let done = work.join("template");
        fs::create_dir(&done).map_err(|e| Error::io("create folder", &done, e))?;
        let checkpoint = done.join(CHECKPOINT);
        fs::copy(data.join(CHECKPOINT), &checkpoint)
            .map_err(|e| Error::io("copy file to", &checkpoint, e))?;

        let mut command = self.plain_java();
        command.arg(prefixed("-XX:ArchiveClassesAtExit=", &done.join(ARCHIVE)));
        command.arg("kafka.Kafka").arg(&properties);
        let mut broker = Process::spawn("template broker", command, &work.join("broker.log"))?;
        let bootstrap = format!("127.0.0.1:{}", port.number());
        await_listed(&bootstrap, &[1], &mut broker, SLOW_JVM_PATIENCE)?;
        exercise(&bootstrap)?;
        broker.terminate(SLOW_JVM_PATIENCE)?;
        fs::rename(&done, &self.folder).map_err(|e| Error::io("rename folder to", &self.folder, e))
    }

    fn run_format_tool(&self, work: &Path, properties: &Path) -> Result<(), Error> {
        let mut command = self.plain_java();
        command.args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            &random_id(),
        ]);
        command.arg("--config").arg(properties);
        let mut tool = Process::spawn("format tool", command, &work.join("format.log"))?;
        let status = tool.wait(SLOW_JVM_PATIENCE)?;
        if status.success() {
            Ok(())
        } else {
            Err(error::exited("format tool", status, tool.log()))
        }
    }
}

/// Makes the broker load the classes that tests need: topics, compressed produce, fetch, transactions.
fn exercise(bootstrap: &str) -> Result<(), Error> {
    let client = KafkaClient::connect(bootstrap)?;
    client.create_topic("warm", 1, 1, &[])?;
    client.produce("warm", &numbered(0..100, 1, 100))?;
    let writer = client.transactional("warm")?;
    writer.begin()?;
    writer.produce("warm", &numbered(100..200, 1, 100))?;
    writer.commit()?;
    client.read_all("warm", Default::default(), SLOW_JVM_PATIENCE)?;
    client.commit_offsets("warm", "warm", &[(0, 1)])
}

/// 22 letters and digits that Kafka reads as a UUID in base64url; the last one leaves no stray bits.
pub(super) fn random_id() -> String {
    let mut id: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(21)
        .map(char::from)
        .collect();
    id.push('A');
    id
}

/// Differs when Java or a jar does; a class archive of other jars would be ignored without a word.
pub(super) fn fingerprint(java: &Path, class_path: &OsString) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in std::env::split_paths(class_path).chain([java.to_path_buf()]) {
        path.hash(&mut hasher);
        if let Ok(metadata) = fs::metadata(&path) {
            metadata.len().hash(&mut hasher);
            metadata.modified().ok().hash(&mut hasher);
        }
    }
    hasher.finish()
}

pub(super) fn prefixed(option: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument
}
