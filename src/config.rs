//! From a file to a checked configuration, or to everything that is wrong with it.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use topology::{
    ConfigError, ConfigErrors, ConfigProviders, KeyReport, MirrorConfig, Properties,
    PropertiesError,
};
use tracing::warn;

use crate::cli::Listen;
use crate::rest::{KeyFault, RestConfig};

/// More than any real file by far, and little enough to hold: a device or a wrong file must not fill the memory.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Keys without effect that are named at start, of each kind; the rest is counted.
const KEYS_NAMED_MAX: usize = 50;

/// One fault of a configuration, for people. Shown as `FILE:LINE: what`, or `FILE: what` where no line is to blame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The file as it was given.
    pub(crate) file: String,
    /// Unit: lines, counted from 1.
    pub(crate) line: Option<usize>,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// Reads and checks `file`; only flows into `targets` are kept, all if it is empty.
///
/// # Errors
/// Everything that is wrong, in the order of the file's lines, what is missing at the end. Never empty.
pub(crate) fn read(file: &Path, targets: &[String]) -> Result<MirrorConfig, Vec<Fault>> {
    let properties = read_properties(file)?;
    let providers = providers(file, &properties)?;
    MirrorConfig::read_with(properties, targets, providers).map_err(|errors| faults(file, &errors))
}

/// What `config.providers` of `file` names.
///
/// # Errors
/// A provider that is not here.
pub(crate) fn providers(
    file: &Path,
    properties: &Properties,
) -> Result<ConfigProviders, Vec<Fault>> {
    crate::connect::providers(properties).map_err(|what| vec![Fault::of(file, None, what)])
}

/// How REST is reached. None: not at all.
///
/// # Errors
/// Everything that is wrong with its keys, in the order of the file's lines.
pub(crate) fn read_rest(
    file: &Path,
    config: &MirrorConfig,
    listen: Option<&Listen>,
) -> Result<Option<RestConfig>, Vec<Fault>> {
    let properties = config.properties();
    RestConfig::read(properties.raw(), properties.providers(), listen)
        .map_err(|faults| rest_faults(file, faults))
}

/// As `run` and `connect` report them.
pub(crate) fn rest_faults(file: &Path, faults: Vec<KeyFault>) -> Vec<Fault> {
    let of = |fault: KeyFault| Fault::of(file, fault.line, fault.what);
    let mut faults: Vec<_> = faults.into_iter().map(of).collect();
    faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
    faults
}

impl Fault {
    /// A fault of `file`.
    pub(crate) fn of(file: &Path, line: Option<usize>, what: String) -> Self {
        Self {
            file: file.display().to_string(),
            line,
            what,
        }
    }
}

/// A file's keys and values.
///
/// # Errors
/// It cannot be read, or is no properties file.
pub(crate) fn read_properties(file: &Path) -> Result<Properties, Vec<Fault>> {
    let bytes = read_bytes(file).map_err(|what| vec![Fault::of(file, None, what)])?;
    Properties::parse(&bytes).map_err(|error| {
        let line = line_of(&error);
        vec![Fault::of(
            file,
            line,
            without_line(&error.to_string(), line),
        )]
    })
}

/// What is wrong with `file`, in the order of its lines, what is missing at the end.
pub(crate) fn faults(file: &Path, errors: &ConfigErrors) -> Vec<Fault> {
    let to_fault = |error: &ConfigError| {
        let line = error.line();
        Fault::of(file, line, without_line(&error.to_string(), line))
    };
    let mut faults: Vec<_> = errors.iter().map(to_fault).collect();
    faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
    faults
}

/// Once at the start: keys without effect, so that a misspelt one does not turn into a silent default.
pub(crate) fn report_keys(file: &Path, config: &MirrorConfig) {
    let name = |keys: &[KeyReport], what: &str| {
        for key in keys.iter().take(KEYS_NAMED_MAX) {
            warn!(file = %file.display(), %key, "{what}");
        }
        if let Some(more @ 1..) = keys.len().checked_sub(KEYS_NAMED_MAX) {
            warn!(file = %file.display(), more, "{what}; not named one by one");
        }
    };
    name(config.unknown_keys(), "unknown key, kept without effect");
    name(
        config.ignored_keys(),
        "MirrorMaker 2 key without effect in this version",
    );
}

fn read_bytes(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|open| open.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot_read(&error))?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read > FILE_BYTES_MAX) {
        let mib = FILE_BYTES_MAX >> 20;
        return Err(format!(
            "is larger than {mib} MiB and so no configuration; give the path of a properties file"
        ));
    }
    Ok(bytes)
}

fn cannot_read(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => {
            "there is no such file; give the path of a properties file".to_owned()
        }
        ErrorKind::IsADirectory => {
            "is a directory; give the path of a properties file in it".to_owned()
        }
        ErrorKind::PermissionDenied => {
            "permission denied; let the user who runs crosscurrent read it".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    }
}

fn line_of(error: &PropertiesError) -> Option<usize> {
    match error {
        PropertiesError::MalformedEscape { line } | PropertiesError::UnpairedSurrogate { line } => {
            Some(*line)
        }
        _ => None,
    }
}

/// The text without the line that stands in front of it already.
fn without_line(text: &str, line: Option<usize>) -> String {
    let Some(line) = line else {
        return text.to_owned();
    };
    match text.strip_prefix(&format!("line {line}: ")) {
        Some(rest) => rest.to_owned(),
        None => text.replacen(&format!(" (line {line})"), "", 1),
    }
}
