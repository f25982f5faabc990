//! The arguments of a bench.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};

/// Arguments after `--`, and whether this is a measurement or only a proof that the bench runs.
#[derive(Clone, Debug)]
pub struct Args {
    words: Vec<String>,
    /// Measure: Cargo passes `--bench` under `cargo bench` only.
    pub full: bool,
    /// Print JSON.
    pub json: bool,
}

impl Args {
    /// This process's arguments.
    pub fn read() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let has = |name: &str| words.iter().any(|word| word == name);
        Self {
            full: has("--bench"),
            json: has("--json"),
            words,
        }
    }

    /// Whether the word is there.
    pub fn has(&self, word: &str) -> bool {
        self.words.iter().any(|has| has == word)
    }

    /// The number after `name`, else `full` when measuring, else `small`.
    ///
    /// # Errors
    /// What follows `name` is no number.
    pub fn number<T: FromStr>(&self, name: &str, full: T, small: T) -> Result<T> {
        match self.after(name) {
            Some(text) => text
                .parse()
                .ok()
                .with_context(|| format!("{name} takes a number, not {text:?}")),
            None => Ok(if self.full { full } else { small }),
        }
    }

    /// The product's binary: after `--program`, else of the same build profile as this bench.
    ///
    /// # Errors
    /// It is not built.
    pub fn program(&self) -> Result<PathBuf> {
        let bench = std::env::current_exe().context("cannot find this bench's own file")?;
        // target/PROFILE/deps/BENCH-HASH
        let profile = bench.parent().and_then(|deps| deps.parent());
        let program = match self.after("--program") {
            Some(path) => PathBuf::from(path),
            None => profile
                .context("this bench lies in no build folder: name the product with --program")?
                .join("crosscurrent"),
        };
        ensure!(
            program.is_file(),
            "{} is not built: run make bench, or cargo build {}-p crosscurrent first",
            program.display(),
            if self.full { "--release " } else { "" }
        );
        Ok(program)
    }

    fn after(&self, name: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == name)?;
        self.words.get(at + 1).map(String::as_str)
    }
}
