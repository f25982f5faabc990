//! `crosscurrent translate FILE --group G`: a group's place, on the other cluster.

pub(crate) mod answer;
pub(crate) mod left;
pub(crate) mod pair;

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use engine::cluster::OffsetAt;
use serde_json::json;
use topology::FlowConfig;
use tracing::error;

use crate::cli::LogFormat;
use crate::tools::{self, FlowArgs, Output};
use answer::Answer;
use left::Asked;
use pair::{At, Pair, log_offsets};

/// Some offset has no translation, or the group has none.
const EXIT_UNKNOWN: u8 = 1;
/// A cluster could not be asked.
const EXIT_UNREACHABLE: u8 = 3;

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent translate mm2.properties --group billing
      before a failover: where the consumers of `billing` go on in each target cluster
      east->west  billing  orders-0 1000 -> east.orders-0 998
  crosscurrent translate mm2.properties --group billing --flow 'east->west' --reverse
      before a failback: what the group has committed on west for copies, as offsets of east's own topics
  crosscurrent translate mm2.properties --group billing --json
      one JSON object a line

Reads the offsets that the group has committed, and the offset map that the flow stores about once a second. Writes
nothing. An offset is exact; or `at least`: reading from there reads everything, some of it perhaps twice; or
unknown. What is not exact has its reason. Where the map does not reach, what MirrorMaker 2 has copied is translated by
the offset syncs and checkpoints that it left.

Exit codes:
  0  every offset of the group in a topic that is copied has a translation
  1  some have none, or the group has committed nothing there
  2  bad command line or configuration
  3  a cluster could not be asked";

/// Arguments of `translate`.
#[derive(Debug, Args)]
pub(crate) struct TranslateArgs {
    #[command(flatten)]
    of: FlowArgs,
    /// The consumer group.
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// The group is on the target; its offsets in copies become offsets on the source.
    #[arg(long)]
    reverse: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Prints the translations.
pub(crate) fn run(args: &TranslateArgs, log_format: LogFormat) -> ExitCode {
    let flows = match args.of.flows(log_format) {
        Ok(flows) => flows,
        Err(code) => return code,
    };
    match tools::block_on(print(args, &flows)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_UNKNOWN),
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_UNREACHABLE)
        }
    }
}

/// True if there were offsets, and all have a translation.
async fn print(args: &TranslateArgs, flows: &[FlowConfig]) -> anyhow::Result<bool> {
    let mut out = Output::new();
    let (mut lines, mut unknown) = (0u64, 0u64);
    for flow in flows {
        let pair = Pair::open(flow).await?;
        for (from, offset, to, answer) in translate(&pair, &args.group, args.reverse).await? {
            lines += 1;
            unknown += u64::from(answer.offset().is_none());
            let group = &args.group;
            if args.json {
                out.line(&json!({
                    "flow": flow.id.to_string(), "group": group, "reverse": args.reverse,
                    "topic": *from.0, "partition": from.1, "offset": offset,
                    "translated_topic": to.0, "translated": answer.view(),
                }))?;
            } else {
                let ((topic, partition), (other, _)) = (&from, &to);
                out.line(&format_args!(
                    "{}  {group}  {topic}-{partition} {offset} -> {other}-{partition} {answer}",
                    flow.id
                ))?;
            }
        }
    }
    out.flush()?;
    if lines == 0 {
        let side = if args.reverse { "target" } else { "source" };
        error!(
            "group {} has committed nothing on a {side} cluster for a topic that is copied",
            args.group
        );
    }
    Ok(lines > 0 && unknown == 0)
}

type Line = (At, i64, (String, i32), Answer);

/// The group's offsets in topics of the flow, sorted.
async fn translate(pair: &Pair, group: &str, reverse: bool) -> anyhow::Result<Vec<Line>> {
    let (asked, other) = if reverse {
        (&pair.target, &pair.source)
    } else {
        (&pair.source, &pair.target)
    };
    let mut committed = Vec::new();
    for (group, answer) in asked.group_offsets(&[group.into()]).await? {
        match answer {
            Ok(offsets) => committed.extend(offsets),
            Err(refusal) => bail!(
                "{} refuses the offsets of group {group}: {refusal}",
                asked.alias()
            ),
        }
    }
    let mut lines: Vec<_> = committed
        .into_iter()
        .filter_map(|offset| {
            let there = if reverse {
                pair.original(&offset.topic)?
            } else {
                pair.remote(&offset.topic)?
            };
            Some((offset, there))
        })
        .collect();
    lines.sort_by(|(a, _), (b, _)| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    let places: Vec<At> = lines
        .iter()
        .map(|(offset, there)| (there.as_str().into(), offset.partition))
        .collect();
    let starts = log_offsets(other, &places, OffsetAt::Earliest).await?;
    let start = |place: &At| starts.get(place).copied().unwrap_or(0);
    let mut translated: Vec<Line> = (lines.into_iter().zip(&places))
        .map(|((offset, there), place)| {
            let (partition, at) = (offset.partition, offset.offset);
            let answer = if reverse {
                pair.back(&there, partition, at, start(place))
            } else {
                pair.forward(&offset.topic, partition, at, start(place))
            };
            ((offset.topic, partition), at, (there, partition), answer)
        })
        .collect();
    // The other way MirrorMaker 2 has no translation.
    if !reverse {
        let below = (translated.iter_mut().zip(&places))
            .filter(|((from, _, _, answer), _)| pair.is_below_map(&from.0, from.1, answer))
            .map(|((from, offset, _, answer), place)| Asked {
                group: group.into(),
                place: from.clone(),
                remote: place.clone(),
                offset: *offset,
                log_start: start(place),
                answer,
            });
        left::ask(pair, below.collect()).await?;
    }
    Ok(translated)
}
