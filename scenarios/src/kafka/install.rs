//! Kafka's jars: from `KAFKA_HOME` if set, else from Maven Central, fetched once into the cache.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::folders;
use crate::process::Process;
use crate::{Error, error};

/// What Maven is asked for: see the comments there.
const POM: &str = include_str!("../../kafka/pom.xml");

/// Warnings and errors to standard output.
const LOG4J2: &str = include_str!("../../kafka/log4j2.properties");

/// The version named in the POM; part of the cache folder's name, so that a new one is fetched.
pub(super) const VERSION: &str = "4.3.1";

/// How long Maven may take: 44 MB for the broker, 120 MB with MirrorMaker 2, over a slow line.
const FETCH_PATIENCE: Duration = Duration::from_secs(900);

/// Which jars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jars {
    /// The broker and what it needs.
    Broker,
    /// The broker, MirrorMaker 2, Kafka Connect and the command-line tools.
    MirrorMaker2,
    /// A compiler for Java.
    Compiler,
}

/// The class path of `jars`, fetched if need be.
///
/// With `KAFKA_HOME` set (an unpacked Kafka distribution) it is that folder's `libs`, for any of Kafka's.
///
/// # Errors
/// [`Error::Missing`] without Maven, [`Error::Exited`] if it fails, [`Error::Io`] for an unusable folder.
pub fn class_path(jars: Jars) -> Result<OsString, Error> {
    let libs = match env::var_os("KAFKA_HOME").filter(|_| jars != Jars::Compiler) {
        Some(home) => Path::new(&home).join("libs"),
        None => fetched(jars)?,
    };
    let entries = fs::read_dir(&libs).map_err(|e| Error::io("list folder", &libs, e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jar"));
    paths.sort(); // a class archive fits one order of the jars only
    env::join_paths(paths).map_err(|e| Error::Io {
        what: format!("make a class path of {}", libs.display()),
        source: std::io::Error::other(e),
    })
}

/// The `java` program: `JAVA_HOME/bin/java` if set, else the one on the `PATH`.
///
/// # Errors
/// [`Error::Missing`] if there is none.
pub fn java() -> Result<PathBuf, Error> {
    let found = match env::var_os("JAVA_HOME") {
        Some(home) => Some(Path::new(&home).join("bin/java")).filter(|java| java.is_file()),
        None => on_path("java"),
    };
    found.ok_or(Error::Missing {
        program: "java (17 or newer)",
        otherwise: "set JAVA_HOME to a Java runtime",
    })
}

/// The file that tells log4j2 to print warnings and errors.
pub(super) fn log4j2() -> Result<PathBuf, Error> {
    let path = folders::scratch("log4j2")?.join("log4j2.properties");
    fs::write(&path, LOG4J2).map_err(|e| Error::io("write file", &path, e))?;
    Ok(path)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn fetched(jars: Jars) -> Result<PathBuf, Error> {
    let cache = folders::cache()?;
    let (name, profile): (_, &[&str]) = match jars {
        Jars::Broker => (format!("libs-{VERSION}"), &[]),
        Jars::MirrorMaker2 => (format!("libs-{VERSION}-mm2"), &["-Pmm2"]),
        Jars::Compiler => (
            "libs-compiler".to_owned(),
            &["-Pcompiler", "-DincludeArtifactIds=ecj"],
        ),
    };
    let libs = cache.join(&name);
    let _fetching = folders::lock(&cache, "fetch.lock")?;
    if libs.is_dir() {
        return Ok(libs);
    }
    let mvn = on_path("mvn").ok_or(Error::Missing {
        program: "mvn (Maven)",
        otherwise: "set KAFKA_HOME to an unpacked Kafka distribution",
    })?;
    let work = folders::scratch("maven")?;
    let (pom, partial) = (work.join("pom.xml"), work.join("libs"));
    fs::write(&pom, POM).map_err(|e| Error::io("write file", &pom, e))?;
    let mut command = Command::new(mvn);
    command.args(["-q", "-B", "-f"]).arg(&pom).args(profile);
    command
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime");
    command.arg(format!("-DoutputDirectory={}", partial.display()));
    command.stdin(Stdio::null());
    let mut maven = Process::spawn("mvn", command, &work.join("mvn.log"))?;
    let status = maven.wait(FETCH_PATIENCE)?;
    if !status.success() {
        return Err(error::exited(
            "mvn, fetching Kafka's jars,",
            status,
            maven.log(),
        ));
    }
    // Renamed only when whole: an interrupted fetch leaves nothing that looks finished.
    fs::rename(&partial, &libs).map_err(|e| Error::io("rename folder to", &libs, e))?;
    Ok(libs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pom_and_code_name_the_same_version() {
        assert!(POM.contains(&format!("<kafka.version>{VERSION}</kafka.version>")));
    }
}
