//! The `crosscurrent` binary: command line, logs, signals. The work is done by the crates below it.

mod cli;
mod config;
mod console;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "demo")]
mod embedded;
mod logging;
mod run;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use crate::logging::{DEFAULT_FILTER, Writer};

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command {
        cli::Command::Run(args) => {
            logging::init(cli.log_format, DEFAULT_FILTER, Writer::StandardError);
            run::run(&args, cli.log_format)
        }
        #[cfg(feature = "demo")]
        cli::Command::Demo(args) => demo::run(&args, cli.log_format),
        #[cfg(feature = "demo")]
        cli::Command::Embedded(args) => {
            logging::init(cli.log_format, DEFAULT_FILTER, Writer::StandardError);
            embedded::run(&args)
        }
        #[cfg(not(feature = "demo"))]
        cli::Command::Demo(_) | cli::Command::Embedded(_) => cli::left_out(),
    }
}
