//! The commands that look at clusters: `dump`, `verify`, `translate`, `groups`.

mod dump;
mod groups;
mod verify;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::flows::Flow;

/// How a command ended.
pub(crate) struct Ran {
    code: i32,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    errors: String,
}

impl Ran {
    /// Standard output as JSON, a value for each line.
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        self.output.lines().map(parse).collect()
    }

    /// The one object with this type.
    fn of_type(&self, wanted: &str) -> Value {
        let all = self.json();
        let found = all.into_iter().find(|one| one["type"] == wanted);
        found.unwrap_or_else(|| panic!("no {wanted} in {}{}", self.output, self.errors))
    }

    /// Asserts the exit code.
    pub(crate) fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.output, self.errors);
        self
    }
}

/// Runs the binary to its end.
pub(crate) fn crosscurrent(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crosscurrent"));
    command.args(arguments).env_remove("RUST_LOG");
    let ended = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let ran = Ran {
        code: ended.status.code().unwrap(),
        output: text(ended.stdout),
        errors: text(ended.stderr),
    };
    assert!(!ran.errors.contains("panic"), "{}", ran.errors);
    ran
}

/// A flow's configuration as a file in a folder of its own.
pub(crate) struct File(tempfile::TempDir);

impl File {
    pub(crate) fn of(flow: &Flow) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mm2.properties"), flow.properties()).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> String {
        self.beside("mm2.properties")
    }

    /// A path beside the file.
    fn beside(&self, name: &str) -> String {
        Path::new(self.0.path()).join(name).display().to_string()
    }
}
