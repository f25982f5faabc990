use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// What went wrong while driving Kafka, the client or the product.
///
/// `Debug` prints the sentence and its sources, so that `unwrap` in a test reads well.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program that must be installed is not on the `PATH`.
    #[error("{program} is not installed: type `scripts/setup.sh`, or {otherwise}")]
    Missing {
        /// The program's name.
        program: &'static str,
        /// Another way out, in words.
        otherwise: &'static str,
    },
    /// A file, folder or process could not be used.
    #[error("cannot {what}")]
    Io {
        /// The attempt, with the path or program.
        what: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A process ended with something else than success, or ended although it was needed.
    #[error("{name} ended with {status}; the end of its log {}:\n{tail}", log.display())]
    Exited {
        /// The process, in words.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// Its whole output.
        log: PathBuf,
        /// The last lines of its output.
        tail: String,
    },
    /// A condition did not come true in time.
    #[error("waited {} s in vain: {what}; last seen: {seen}", patience.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        patience: Duration,
        /// What the last look showed.
        seen: String,
    },
    /// Kafka, or the client, refused a request.
    #[error("cannot {what}")]
    Kafka {
        /// The request, with topic or group.
        what: String,
        /// The client's reason.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// Two topics, or a topic and what should be in it, differ; the text says how.
    #[error("{0}")]
    Differs(String),
    /// What was asked for cannot be done; nothing was sent.
    #[error("{0}")]
    Impossible(String),
    /// Something that is done once per process failed the first time; the text is that error's.
    #[error("{0}")]
    Earlier(String),
}

impl Error {
    pub(crate) fn io(what: &str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what: format!("{what} {}", path.display()),
            source,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Turns a client's refusal into ours: `.map_err(refused("create topic orders"))`.
pub(crate) fn refused(what: impl Into<String>) -> impl FnOnce(rdkafka::error::KafkaError) -> Error {
    move |source| Error::Kafka {
        what: what.into(),
        source,
    }
}

/// A process that ended badly, with the end of its log.
pub(crate) fn exited(name: &str, status: ExitStatus, log: &Path) -> Error {
    let tail = crate::process::tail(log);
    Error::Exited {
        name: name.to_owned(),
        status,
        log: log.to_path_buf(),
        tail,
    }
}
