//! Logs go to standard error, or to the demo's live view; `RUST_LOG` sets their level.

use std::env::{self, VarError};
use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing::{Subscriber, error, subscriber, warn};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::SubscriberBuilder;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::cli::LogFormat;
use crate::config::Fault;

mod levels;
#[cfg(feature = "demo")]
pub(crate) mod recent;

use levels::Apply;
pub(crate) use levels::{LevelError, Levels, Logger};

/// What is logged without a usable `RUST_LOG`.
pub(crate) const DEFAULT_FILTER: &str = "info";
const VARIABLE: &str = "RUST_LOG";
/// Where our own lines come from, as `RUST_LOG` may name it.
const OUR_TARGETS: [&str; 5] = ["actors", "batch", "crosscurrent", "engine", "topology"];

/// The server behind REST tells of its own starts, and of every request that is none.
const QUIET: [&str; 2] = ["actix_http=off", "actix_server=warn"];
/// Set once, when logging is.
static LEVELS: OnceLock<Levels> = OnceLock::new();

/// The levels of this process; none before logging is set up, or if somebody else did that.
pub(crate) fn levels() -> Option<&'static Levels> {
    LEVELS.get()
}

/// Where log lines go.
pub(crate) enum Writer {
    /// The default.
    StandardError,
    /// Kept until somebody shows them: the live view has the terminal.
    #[cfg(feature = "demo")]
    Recent(recent::Recent),
}

/// Sets the process's logging up, with `default_filter` where `RUST_LOG` says nothing. Call once. A `RUST_LOG` that cannot
/// be used is said, and ignored.
pub(crate) fn init(format: LogFormat, default_filter: &str, writer: Writer) {
    let wanted = match env::var(VARIABLE) {
        Ok(text) => check_filter(&text),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err("it is no text".to_owned()),
    };
    let (filter, complaint) = match wanted {
        Ok(filter) => (filter, None),
        Err(complaint) => (None, Some(complaint)),
    };
    let words = filter.unwrap_or_else(|| default_filter.to_owned());
    let (subscriber, apply) = subscriber(format, filter_of(&words), writer);
    if subscriber::set_global_default(subscriber).is_err() {
        return; // somebody else's logging is as good
    }
    // Nobody else sets it.
    _ = LEVELS.set(Levels::new(&words, apply));
    if let Some(problem) = complaint {
        warn!(
            %problem,
            "RUST_LOG is ignored: write a level (error, warn, info, debug, trace, off) or a list such as \
             `info,actors=debug`"
        );
    }
    // A panic is survived by the actor's supervisor; its line must look like every other.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        let message = panic.payload_as_str().unwrap_or("no text");
        error!(
            at,
            message_of_panic = message,
            "a panic; this is a bug of crosscurrent, please report it"
        );
    }));
}

/// Reports faults of a configuration on standard error, whatever `RUST_LOG` says: as text one line each in the way of
/// compilers, `FILE:LINE: what`, as JSON one object each with `file` and `line`.
pub(crate) fn report(format: LogFormat, faults: &[Fault]) {
    if format == LogFormat::Text {
        use std::io::Write;
        for fault in faults {
            // Nobody is left to tell when standard error is closed; the exit code says it, too.
            _ = writeln!(stderr(), "{fault}");
        }
        return;
    }
    let everything = EnvFilter::default().add_directive(LevelFilter::TRACE.into());
    let (subscriber, _) = subscriber(format, everything, Writer::StandardError);
    subscriber::with_default(subscriber, || {
        for fault in faults {
            error!(file = fault.file, line = fault.line, "{}", fault.what);
        }
    });
}

/// Log lines on standard error, and what puts another filter to work. A line that cannot be written is dropped: the default, to
/// print that, panics when standard error is a broken pipe.
fn subscriber(
    format: LogFormat,
    filter: EnvFilter,
    writer: Writer,
) -> (Box<dyn Subscriber + Send + Sync>, Apply) {
    let quiet = QUIET.iter().filter_map(|directive| directive.parse().ok());
    let filter = quiet.fold(filter, EnvFilter::add_directive);
    let colours = matches!(writer, Writer::StandardError) && stderr().is_terminal();
    let writer = match writer {
        Writer::StandardError => BoxMakeWriter::new(stderr),
        #[cfg(feature = "demo")]
        Writer::Recent(recent) => BoxMakeWriter::new(move || recent.clone()),
    };
    let builder = SubscriberBuilder::default()
        .log_internal_errors(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(colours);
    // A handle that has lost its subscriber has nothing to change.
    match format {
        LogFormat::Text => {
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let apply: Apply = Box::new(move |filter| drop(handle.reload(filter)));
            (Box::new(builder.finish()), apply)
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            let apply: Apply = Box::new(move |filter| drop(handle.reload(filter)));
            (Box::new(builder.finish()), apply)
        }
    }
}

/// `Ok(None)` for an empty text. A bare word that is neither a level nor one of our targets is refused: the filter
/// would take a misspelt level for a module's name, and then say nothing at all.
fn check_filter(text: &str) -> Result<Option<String>, String> {
    let words: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return Ok(None);
    }
    let known = |word: &&str| {
        word.contains(['=', '[', ':'])
            || word.parse::<LevelFilter>().is_ok()
            || OUR_TARGETS.contains(word)
    };
    if let Some(word) = words.iter().find(|word| !known(word)) {
        return Err(format!("`{}` is no level", word.escape_debug()));
    }
    let words = words.join(",");
    let parsed = EnvFilter::builder().parse(&words);
    parsed
        .map(|_| Some(words))
        .map_err(|error| error.to_string())
}

/// Of words that [`check_filter`] let pass.
fn filter_of(words: &str) -> EnvFilter {
    EnvFilter::builder().parse_lossy(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        for good in [
            "debug",
            "INFO",
            "info,actors=debug",
            "actors",
            "off",
            "tokio=warn",
            "info, engine=trace",
            "a::b=info",
        ] {
            assert!(matches!(check_filter(good), Ok(Some(_))), "{good}");
        }
        assert!(matches!(check_filter(" "), Ok(None)));
        for bad in ["infoo", "actors=loud", "info,verbose", "=", "a=b=c"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
