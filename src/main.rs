//! The `crosscurrent` binary: command line, logs, signals. The work is done by the crates below it.

mod cli;
mod config;
mod console;
mod logging;
mod run;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    logging::init(cli.log_format);
    match cli.command {
        cli::Command::Run(args) => run::run(&args, cli.log_format),
    }
}
