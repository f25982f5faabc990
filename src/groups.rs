//! `crosscurrent groups FILE`: where groups are on both sides, and why they are not at the same place.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::sync::Arc;

use actors::{NotSynced, SyncState};
use clap::Args;
use engine::cluster::{Cluster, GroupOffset, GroupState, OffsetAt};
use serde_json::json;
use topology::FlowConfig;
use tracing::{error, warn};

use crate::cli::LogFormat;
use crate::tools::{self, FlowArgs, Output};
use crate::translate::answer::Answer;
use crate::translate::left::{self, Asked};
use crate::translate::pair::{At, Pair, log_offsets};

/// A cluster could not be asked.
const EXIT_UNREACHABLE: u8 = 3;

pub(crate) const EXAMPLES: &str = "\
Examples:
  crosscurrent groups mm2.properties
      every group of every flow:
      east->west  billing  orders-0  source 1000 (lag 24)  translated 998  target 998 (lag 24)  synced
  crosscurrent groups mm2.properties --group billing --json
      one JSON object a line: a group, a partition of a topic that is copied, and its state

The source's groups are those of consumers that have committed an offset in a topic that the flow copies. The last
column says whether the target has what it should have:
  synced             the group's offset on the target is the translated one
  ahead              the group has read further on the target; it is never moved back
  due                nothing is in the way: the next sync brings it, or the first record that is copied
  behind: REASON     something is in the way
  excluded: REASON   the configuration leaves it out
The reasons, as of the metric crosscurrent_group_partitions_not_synced and of /v1/groups of a running process:
  sync-is-off        sync.group.offsets.enabled is not true, or checkpoints cannot be
  filtered-group     groups or groups.exclude leave it out
  filtered-topic     topics or topics.exclude leave it out
  nothing-replicated nothing of the partition was copied so far
  below-map          another program copied what lies there
  active-on-target   the group has members on the target, or that is not known
  target-ahead       it has read further there
Writes nothing.

Exit codes:
  0  all was printed
  2  bad command line or configuration
  3  a cluster could not be asked";

/// Arguments of `groups`.
#[derive(Debug, Args)]
pub(crate) struct GroupsArgs {
    #[command(flatten)]
    of: FlowArgs,
    /// Only this group. May be given many times.
    #[arg(long = "group", value_name = "GROUP")]
    groups: Vec<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Prints the groups.
pub(crate) fn run(args: &GroupsArgs, log_format: LogFormat) -> ExitCode {
    let flows = match args.of.flows(log_format) {
        Ok(flows) => flows,
        Err(code) => return code,
    };
    match tools::block_on(print(args, &flows)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::from(EXIT_UNREACHABLE)
        }
    }
}

async fn print(args: &GroupsArgs, flows: &[FlowConfig]) -> anyhow::Result<()> {
    let mut out = Output::new();
    for flow in flows {
        let pair = Pair::open(flow).await?;
        for row in rows(&pair, &args.groups).await? {
            let Row { group, place, .. } = &row;
            let (topic, partition) = place;
            let (state, why_not) = row.state();
            let reason = why_not.as_ref().map(NotSynced::label);
            if args.json {
                out.line(&json!({
                    "flow": flow.id.to_string(), "group": **group, "topic": **topic, "partition": partition,
                    "remote_topic": *row.remote.0,
                    "source": {"committed": row.committed, "lag": row.lag},
                    "translated": row.translated.view(),
                    "target": {"committed": row.on_target, "lag": row.target_lag},
                    "state": state.as_str(), "reason": reason,
                    "message": why_not.map(|why_not| why_not.to_string()),
                }))?;
                continue;
            }
            let number =
                |number: Option<i64>| number.map_or("none".to_owned(), |it| it.to_string());
            let lag = |lag: Option<i64>| lag.map_or(String::new(), |lag| format!(" (lag {lag})"));
            let reason = reason.map_or(String::new(), |reason| format!(": {reason}"));
            out.line(&format_args!(
                "{}  {group}  {topic}-{partition}  source {}{}  translated {}  target {}{}  {state}{reason}",
                flow.id,
                row.committed,
                lag(row.lag),
                row.translated,
                number(row.on_target),
                lag(row.target_lag),
            ))?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A group in one partition.
struct Row {
    group: Arc<str>,
    place: At,
    remote: At,
    committed: i64,
    lag: Option<i64>,
    translated: Answer,
    on_target: Option<i64>,
    target_lag: Option<i64>,
    /// What is in the way, whatever the offsets are.
    hindered: Option<NotSynced>,
}

impl Row {
    /// The state, and what keeps the target from having what it should.
    fn state(&self) -> (SyncState, Option<NotSynced>) {
        let why_not = match (&self.translated, self.on_target) {
            (Answer::Exact(wanted) | Answer::AtLeast(wanted, _), Some(found))
                if *wanted <= found =>
            {
                (*wanted < found).then_some(NotSynced::TargetAhead)
            }
            (Answer::Unknown(why_not, _), _) => {
                Some(self.hindered.clone().unwrap_or_else(|| why_not.clone()))
            }
            _ if self.hindered.is_none() => return (SyncState::Due, None),
            _ => self.hindered.clone(),
        };
        let state = why_not.as_ref().map_or(SyncState::Synced, NotSynced::state);
        (state, why_not)
    }
}

/// By group and partition.
type Offsets = BTreeMap<Arc<str>, Vec<GroupOffset>>;

async fn rows(pair: &Pair, wanted: &[String]) -> anyhow::Result<Vec<Row>> {
    let names = group_names(&pair.source, wanted).await?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let committed = offsets(&pair.source, &names).await?;
    let names: Vec<_> = committed.keys().cloned().collect();
    let on_target = offsets(&pair.target, &names).await?;
    let states: HashMap<_, _> = pair
        .target
        .group_states(&names)
        .await?
        .into_iter()
        .collect();
    let mut found = Vec::new();
    for (group, offsets) in committed {
        for offset in offsets {
            if let Some(remote) = pair.remote(&offset.topic) {
                let place = (offset.topic, offset.partition);
                let remote: At = (remote.into(), offset.partition);
                found.push((group.clone(), place, remote, offset.offset));
            }
        }
    }
    let sources = unique(found.iter().map(|(_, place, ..)| place.clone()));
    let targets = unique(found.iter().map(|(_, _, remote, _)| remote.clone()));
    let (ends, target_ends, target_starts) = tokio::join!(
        log_offsets(&pair.source, &sources, OffsetAt::Latest),
        log_offsets(&pair.target, &targets, OffsetAt::Latest),
        log_offsets(&pair.target, &targets, OffsetAt::Earliest),
    );
    let (ends, target_ends, target_starts) = (ends?, target_ends?, target_starts?);
    let start = |remote: &At| target_starts.get(remote).copied().unwrap_or(0);
    let mut rows: Vec<Row> = Vec::new();
    for (group, place, remote, committed) in found {
        let there = on_target.get(&group).and_then(|offsets| {
            let same =
                |offset: &&GroupOffset| offset.topic == remote.0 && offset.partition == remote.1;
            offsets.iter().find(same).map(|offset| offset.offset)
        });
        let state = match states.get(&group) {
            Some(Ok(state)) => *state,
            _ => GroupState::Unknown,
        };
        let lag = |end: Option<&i64>, at: i64| end.map(|end| end.saturating_sub(at).max(0));
        rows.push(Row {
            translated: pair.forward(&place.0, place.1, committed, start(&remote)),
            lag: lag(ends.get(&place), committed),
            target_lag: there.and_then(|at| lag(target_ends.get(&remote), at)),
            hindered: hindered(&pair.flow, &group, &place.0, state),
            on_target: there,
            group,
            place,
            remote,
            committed,
        });
    }
    let below = (rows.iter_mut())
        .filter(|row| pair.is_below_map(&row.place.0, row.place.1, &row.translated))
        .map(|row| Asked {
            group: row.group.clone(),
            place: row.place.clone(),
            log_start: start(&row.remote),
            remote: row.remote.clone(),
            offset: row.committed,
            answer: &mut row.translated,
        });
    left::ask(pair, below.collect()).await?;
    rows.sort_by(|a, b| (&a.group, &a.place).cmp(&(&b.group, &b.place)));
    Ok(rows)
}

fn hindered(flow: &FlowConfig, group: &str, topic: &str, state: GroupState) -> Option<NotSynced> {
    let config = &flow.offsets;
    if config.sync_group_offsets.is_none() || !config.checkpoints_refused.is_empty() {
        return Some(NotSynced::SyncIsOff);
    }
    if !config.group_filter.accepts(group) {
        return Some(NotSynced::FilteredGroup);
    }
    if !config.topic_filter.verdict(topic).is_replicated() {
        return Some(NotSynced::FilteredTopic);
    }
    (state.may_have_members()).then_some(NotSynced::ActiveOnTarget)
}

/// The groups that are wanted, or all.
async fn group_names(cluster: &Cluster, wanted: &[String]) -> anyhow::Result<Vec<Arc<str>>> {
    if !wanted.is_empty() {
        return Ok(wanted.iter().map(|group| group.as_str().into()).collect());
    }
    let list = cluster.list_groups().await?;
    for (broker, error) in list.unanswered {
        let cluster = cluster.alias();
        warn!(cluster, broker, %error, "the groups that this broker coordinates are missing");
    }
    let groups = list
        .groups
        .into_iter()
        .filter(|group| group.is_of_consumers());
    Ok(groups.map(|group| group.id).collect())
}

/// What the groups have committed; a group that refuses is said, and left out.
async fn offsets(cluster: &Cluster, groups: &[Arc<str>]) -> anyhow::Result<Offsets> {
    let mut found = Offsets::new();
    for (group, answer) in cluster.group_offsets(groups).await? {
        match answer {
            Ok(offsets) => _ = found.insert(group, offsets),
            Err(refusal) => {
                warn!(cluster = cluster.alias(), %group, %refusal, "its offsets are not told");
            }
        }
    }
    Ok(found)
}

/// Each once.
fn unique(places: impl Iterator<Item = At>) -> Vec<At> {
    let mut places: Vec<_> = places.collect();
    places.sort_unstable();
    places.dedup();
    places
}
