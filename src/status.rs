//! `crosscurrent status [URL]`: what a running process does, from its REST API. Changes nothing.

mod ask;
#[cfg(feature = "demo")]
mod screen;
mod tls;
mod view;

use std::io::{self, IsTerminal, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::Value;
use tracing::error;

use crate::tools::Output;
use ask::{Hidden, Server};
use view::Health;

/// Something is failed or halted.
const EXIT_UNWELL: u8 = 1;
/// Nobody answers there, or what answers is not this product.
const EXIT_UNREACHABLE: u8 = 2;
/// Between two looks, unless it is said.
const WATCH_DEFAULT: &str = "2";

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent status
      what the process on this machine does, once
  crosscurrent status http://replicator-1:8083 --watch
      again every 2 seconds, on the whole terminal; q or Ctrl-C ends it
  crosscurrent status https://replicator-1:8443 --ca ca.pem --user me:\"$PASSWORD\"
      a process with TLS and passwords; without --ca the system's certificates count
  crosscurrent status --watch 10 --json
      one JSON object a line every 10 seconds: {\"ok\": ..., \"flows\": [...]}; see docs/rest.md, /v1/flows
  crosscurrent status >/dev/null || page-somebody
      for scripts: the exit code alone

First copy is what the source held when the process looked first: percent, and the time left at the rate of
late. Latency is the age of each batch's newest record when the target had it, over the last 30 to 60 seconds.

Exit codes, with --watch those of the last look:
  0  all is well: what waits for a broker is tried again by itself, and counts as well
  1  a partition is halted, or a flow was taken over by another process
  2  bad command line, or no process answers there";

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Where the process serves REST: `http[s]://[USER:PASSWORD@]HOST:PORT`.
    #[arg(default_value = "http://127.0.0.1:8083")]
    url: Hidden,
    /// Certificates in PEM that an https process is trusted by, in place of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For basic authentication, as in the URL. Both can be seen in the list of processes.
    #[arg(long, value_name = "USER:PASSWORD")]
    user: Option<Hidden>,
    /// Look again and again, after so many seconds each.
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = WATCH_DEFAULT,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    watch: Option<u64>,
    /// JSON, one object a look.
    #[arg(long)]
    json: bool,
}

/// Looks once, or until somebody has seen enough.
pub(crate) fn run(args: &StatusArgs) -> ExitCode {
    let server = Server::new(&args.url, args.user.as_ref(), args.ca.as_deref());
    let shown = server.and_then(|server| match args.watch.map(Duration::from_secs) {
        None => once(args, &server),
        Some(pause) => watch(args, &server, pause),
    });
    match shown {
        Ok(Health::Well) => ExitCode::SUCCESS,
        Ok(Health::Unwell) => ExitCode::from(EXIT_UNWELL),
        Ok(Health::Unreachable) => ExitCode::from(EXIT_UNREACHABLE),
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_UNREACHABLE)
        }
    }
}

/// One look: the flows as `/v1/flows` has them.
///
/// # Errors
/// Nobody answers, or not with flows.
fn look(server: &Server) -> anyhow::Result<Vec<Value>> {
    let flows = ask::get(server, "/v1/flows").with_context(|| format!("cannot ask {server}"))?;
    match flows {
        Value::Array(flows) => Ok(flows),
        _ => anyhow::bail!("{server} answers, but not as crosscurrent does"),
    }
}

fn once(args: &StatusArgs, server: &Server) -> anyhow::Result<Health> {
    let flows = look(server)?;
    let mut out = Output::new();
    print(&mut out, args, &flows)?;
    Ok(view::health(&flows))
}

fn watch(args: &StatusArgs, server: &Server, pause: Duration) -> anyhow::Result<Health> {
    #[cfg(feature = "demo")]
    if !args.json && screen::is_possible() {
        return screen::watch(server, pause);
    }
    let mut out = Output::new();
    loop {
        let health = match look(server) {
            Ok(flows) => {
                print(&mut out, args, &flows)?;
                view::health(&flows)
            }
            Err(error) => {
                error!("{error:#}");
                Health::Unreachable
            }
        };
        if !out.flush()? {
            return Ok(health); // nobody reads any more
        }
        sleep(pause);
    }
}

fn print(out: &mut Output, args: &StatusArgs, flows: &[Value]) -> io::Result<()> {
    if args.json {
        let ok = view::health(flows) == Health::Well;
        out.line(&serde_json::json!({"ok": ok, "flows": flows}))?;
    } else {
        for line in view::lines(flows) {
            out.line(&line)?;
        }
        if args.watch.is_some() && stdout().is_terminal() {
            out.line(&"")?;
        }
    }
    out.flush().map(drop)
}
