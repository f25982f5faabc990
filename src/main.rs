//! The `crosscurrent` binary: command line, logs, signals. The work is done by the crates below it.

mod cli;
mod config;
mod connect;
mod console;
#[cfg(feature = "demo")]
mod demo;
mod dump;
#[cfg(feature = "demo")]
mod embedded;
mod first_copy;
mod groups;
mod logging;
mod metrics;
mod rest;
mod run;
mod signals;
mod status;
mod tools;
mod translate;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::logging::{DEFAULT_FILTER, Writer};

/// Without `RUST_LOG`, of commands whose result is on standard output.
const TOOL_FILTER: &str = "warn";

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli.command {
        cli::Command::Run(args) => {
            logging::init(cli.log_format, DEFAULT_FILTER, Writer::StandardError);
            run::run(&args, cli.log_format)
        }
        cli::Command::Connect(args) => {
            logging::init(cli.log_format, DEFAULT_FILTER, Writer::StandardError);
            connect::run(&args, cli.log_format)
        }
        cli::Command::Dump(args) => {
            logging::init(cli.log_format, TOOL_FILTER, Writer::StandardError);
            dump::run(&args, cli.log_format)
        }
        cli::Command::Verify(args) => {
            logging::init(cli.log_format, TOOL_FILTER, Writer::StandardError);
            verify::run(&args, cli.log_format)
        }
        cli::Command::Translate(args) => {
            logging::init(cli.log_format, TOOL_FILTER, Writer::StandardError);
            translate::run(&args, cli.log_format)
        }
        cli::Command::Groups(args) => {
            logging::init(cli.log_format, TOOL_FILTER, Writer::StandardError);
            groups::run(&args, cli.log_format)
        }
        cli::Command::Status(args) => {
            logging::init(cli.log_format, TOOL_FILTER, Writer::StandardError);
            status::run(&args)
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
