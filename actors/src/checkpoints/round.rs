//! One round: what groups have committed on the source, translated, written, committed on the target.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use engine::cluster::{GroupOffset, PerGroup};
use engine::offsets::{
    CheckpointTable, OffsetSyncStore, SourceOffsetKey, Translation, UnknownReason,
};
use tokio::task::yield_now;
use tokio::time::Instant;
use tracing::{debug, info, trace, warn};

use super::discovery::Discovery;
use super::log_starts::{LogStart, LogStarts};
use super::reverse::ReverseMaps;
use super::routes::{Routes, by_offset_syncs};
use super::sync::GroupSync;
use super::topic::{self, Unwritten};
use super::{GroupPartition, Looked, NotSynced, is_due};
use crate::clock::now_ms;
use crate::flow::Flow;
use crate::lease::LeaseError;
use crate::offset_maps::PartitionMap;

/// After so many groups others on this thread have their turn.
const GROUPS_PER_TURN: usize = 50;
const ROWS_PER_TURN: usize = 2_000;
/// Offset syncs that could not be read are tried again after this time.
const SYNCS_RETRY: Duration = Duration::from_secs(30);
/// Of no map.
const NO_ENDS: (i64, i64) = (-1, -1);

/// What is remembered from one round to the next.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    number: u64,
    discovery: Discovery,
    routes: Routes,
    reverse: ReverseMaps,
    /// A group reads a copy of what the target has, and the reverse flow is elsewhere.
    reverse_needed: bool,
    pub(super) starts: LogStarts,
    pub(super) groups: HashMap<Arc<str>, Rows>,
    checkpoints: CheckpointTable,
    /// Checkpoints were read (or may not be); none yet. False: they may not be.
    opened: Option<bool>,
    /// MM2's offset syncs, once they were needed.
    syncs: Option<OffsetSyncStore>,
    /// When they could not be read.
    syncs_failed: Option<Instant>,
    /// Translations that are to be asked for. What a failed round leaves behind is done by the next.
    changed: Vec<Changed>,
    /// Groups whose offsets were refused.
    refused: HashSet<Arc<str>>,
    /// By group, remote topic, partition.
    unwritten: BTreeMap<(Arc<str>, Arc<str>, i32), Unwritten>,
    written: Option<Instant>,
    pub(super) sync: GroupSync,
}

/// One group's offsets on the source.
pub(super) type Rows = HashMap<GroupPartition, Row>;

/// A group in a partition, with all that its translation depends on.
#[derive(Debug)]
pub(super) struct Row {
    /// The round in which it was seen last.
    round: u64,
    upstream: i64,
    pub(super) metadata: String,
    map: Option<Arc<PartitionMap>>,
    /// Another process changes the map.
    is_elsewhere: bool,
    /// The map's ends when it was asked.
    ends: (i64, i64),
    starts: u64,
    pub(super) goal: Option<Goal>,
}

/// What a group shall have on the target.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) remote: Arc<str>,
    pub(super) downstream: i64,
    /// What it has, as far as that was asked or committed.
    pub(super) target: Option<i64>,
}

/// A row whose translation is to be asked for.
#[derive(Debug)]
struct Changed {
    group: Arc<str>,
    at: GroupPartition,
}

impl Rounds {
    /// Returns what it cost to find out what changed.
    ///
    /// # Errors
    /// [`LeaseError`]; what was not done is done by the next round.
    pub(super) async fn round(&mut self, flow: &Flow) -> Result<Looked, LeaseError> {
        if flow.lease.is_lost() {
            return Err(LeaseError::Lost);
        }
        if self.opened.is_none() {
            self.opened = Some(topic::open(flow, &mut self.checkpoints).await?);
        }
        self.number += 1;
        if self.discovery.look(flow).await? {
            let followed: HashSet<_> = self.discovery.groups().iter().collect();
            self.groups.retain(|group, _| followed.contains(group));
        }
        if self.reverse_needed {
            self.reverse.read(flow).await;
        }
        let (asked, asked_ms) = (Instant::now(), now_ms());
        let offsets = flow.source.group_offsets(self.discovery.groups()).await?;
        let answered = asked.elapsed();
        let comparing = Instant::now();
        self.compare(flow, offsets).await;
        let compared = comparing.elapsed();
        let remotes: Vec<_> = (self.changed.iter())
            .filter_map(|Changed { at, .. }| {
                let remote = self.routes.of(&flow.config, &at.0).remote()?;
                Some((remote.clone(), at.1))
            })
            .collect();
        self.starts.ask(flow, remotes.into_iter()).await?;
        let (translating, changed) = (Instant::now(), self.changed.len());
        self.translate(flow, asked_ms).await;
        let computed = compared + translating.elapsed();
        flow.groups.note_round(asked_ms);
        self.write(flow).await?;
        let written = asked.elapsed();
        self.sync_groups(flow).await?;
        let synced = asked.elapsed();
        if changed > 0 {
            debug!(flow = %flow.label, changed, ?answered, ?computed, ?written, ?synced, "round");
        } else {
            trace!(flow = %flow.label, ?answered, ?computed, ?synced, "round");
        }
        Ok(Looked { answered, computed })
    }

    /// Takes in what groups have committed, and notes what changed: the commit, the map, or the target's log.
    async fn compare(&mut self, flow: &Flow, answers: PerGroup<Vec<GroupOffset>>) {
        for (turn, (group, answer)) in answers.into_iter().enumerate() {
            if turn % GROUPS_PER_TURN == GROUPS_PER_TURN - 1 {
                yield_now().await;
            }
            match answer {
                Ok(offsets) => {
                    self.compare_group(flow, &group, offsets);
                    if self.refused.remove(&group) {
                        flow.groups.change(&group, |group| group.why_not = None);
                    }
                }
                Err(refusal) => {
                    let why_not = Some(NotSynced::Refused(refusal));
                    flow.groups.change(&group, |group| group.why_not = why_not);
                    self.refused.insert(group);
                }
            }
        }
    }

    fn compare_group(&mut self, flow: &Flow, group: &Arc<str>, offsets: Vec<GroupOffset>) {
        let (number, starts) = (self.number, self.starts.generation());
        let count = offsets.len();
        let rows = self.groups.entry(group.clone()).or_default();
        for offset in offsets {
            let at = (offset.topic, offset.partition);
            let row = rows.entry(at.clone()).or_insert_with(|| Row {
                round: 0,
                upstream: -1,
                metadata: String::new(),
                map: None,
                is_elsewhere: false,
                ends: NO_ENDS,
                starts,
                goal: None,
            });
            let waited = row.round > 0 && row.map.is_none();
            row.round = number;
            if row.map.is_none() || row.is_elsewhere {
                let route = self.routes.of(&flow.config, &at.0);
                row.is_elsewhere = route.is_elsewhere(flow);
                self.reverse_needed |= row.is_elsewhere;
                row.map = route.map(flow, &self.reverse, &at.0, at.1);
            }
            // The group was there before the first record was copied, and is about to read it: its place before that record, which
            // is old in a moment, is no news. MM2, whose offset syncs travel first, is as late, and its tests rely on that (IT-09).
            if waited && row.map.is_some() && !row.is_elsewhere {
                continue;
            }
            let ends = row.map.as_ref().map_or(NO_ENDS, |map| map.map.ends());
            if row.upstream == offset.offset && row.ends == ends && row.starts == starts {
                continue;
            }
            row.upstream = offset.offset;
            row.metadata = offset.metadata;
            row.ends = ends;
            row.starts = starts;
            self.changed.push(Changed {
                group: group.clone(),
                at,
            });
        }
        if rows.len() > count {
            rows.retain(|_, row| row.round == number);
            flow.groups.change(group, |group| {
                group.partitions.retain(|at, _| rows.contains_key(at));
            });
        }
    }

    async fn translate(&mut self, flow: &Flow, asked_ms: i64) {
        let below = Translation::Unknown(UnknownReason::BelowMap);
        for (turn, changed) in std::mem::take(&mut self.changed).iter().enumerate() {
            if turn % ROWS_PER_TURN == ROWS_PER_TURN - 1 {
                yield_now().await;
            }
            let answer = match self.ask_map(flow, changed) {
                Ok(unknown) if unknown == below => Ok(self.ask_offset_syncs(flow, changed).await),
                answer => answer,
            };
            self.take(flow, changed, answer, asked_ms);
        }
    }

    fn ask_map(&mut self, flow: &Flow, changed: &Changed) -> Result<Translation, NotSynced> {
        let Changed { group, at } = changed;
        let route = self.routes.of(&flow.config, &at.0);
        let row = self.groups.get(group).and_then(|rows| rows.get(at));
        match row.and_then(|row| Some((row.map.as_ref()?, row.upstream))) {
            Some((map, upstream)) => Ok(route.translate(map, upstream)),
            None => Err(route.without_map(flow, &at.0)),
        }
    }

    /// MM2's own answer, for what MM2 has copied.
    async fn ask_offset_syncs(&mut self, flow: &Flow, changed: &Changed) -> Translation {
        let Changed { group, at } = changed;
        if self.syncs.is_none()
            && self
                .syncs_failed
                .is_none_or(|at| at.elapsed() > SYNCS_RETRY)
        {
            let clusters = (&*flow.source, &*flow.target);
            let may_not_read = self.opened == Some(false);
            match topic::read_offset_syncs(&flow.config, clusters, may_not_read).await {
                Ok(store) => {
                    info!(flow = %flow.label, "offset syncs read, for what MM2 has copied");
                    self.syncs = Some(store);
                }
                Err(error) => {
                    warn!(flow = %flow.label, %error, "cannot read offset syncs: what MM2 has copied is not translated yet");
                    self.syncs_failed = Some(Instant::now());
                }
            }
        }
        let Some(row) = self.groups.get_mut(group).and_then(|rows| rows.get_mut(at)) else {
            return Translation::Unknown(UnknownReason::BelowMap);
        };
        match &self.syncs {
            Some(store) => by_offset_syncs(store, &at.0, at.1, row.upstream),
            None => {
                row.ends = NO_ENDS; // to be asked again by the next round
                Translation::Unknown(UnknownReason::BelowMap)
            }
        }
    }

    /// What follows from a translation.
    fn take(
        &mut self,
        flow: &Flow,
        Changed { group, at }: &Changed,
        answer: Result<Translation, NotSynced>,
        asked_ms: i64,
    ) {
        let route = self.routes.of(&flow.config, &at.0);
        let remote = route.remote().cloned();
        let Some(row) = self.groups.get_mut(group).and_then(|rows| rows.get_mut(at)) else {
            return;
        };
        let uncopied = match &answer {
            Ok(Translation::Exact(_)) => route.beyond(row.ends, row.upstream),
            _ => 0,
        };
        let answer = answer.map(|translation| match &remote {
            Some(remote) => clamp(translation, self.starts.of(&(remote.clone(), at.1))),
            None => translation,
        });
        let downstream = answer.as_ref().ok().and_then(|found| found.offset());
        let mut checkpoint = None;
        if let (Some(downstream), Some(remote)) = (downstream, &remote) {
            let there = (remote.clone(), at.1);
            let table = &mut self.checkpoints;
            if table.accept(group, &there, row.upstream, downstream) {
                let unwritten = Unwritten {
                    at: at.clone(),
                    upstream: row.upstream,
                    downstream,
                    metadata: row.metadata.clone(),
                    timestamp_ms: asked_ms,
                };
                let key = (group.clone(), remote.clone(), at.1);
                self.unwritten.insert(key, unwritten);
            }
            checkpoint = table.last(group, &there).map(|(_, downstream)| downstream);
        }
        let target = row.goal.as_ref().and_then(|goal| goal.target);
        row.goal = remote
            .clone()
            .zip(checkpoint)
            .map(|(remote, downstream)| Goal {
                remote,
                downstream,
                target,
            });
        let why_not = match (&answer, checkpoint) {
            (Err(why_not), _) => Some(why_not.clone()),
            (Ok(Translation::Unknown(reason)), _) => Some((*reason).into()),
            (Ok(_), _) if flow.config.offsets.sync_group_offsets.is_none() => {
                Some(NotSynced::SyncIsOff)
            }
            (Ok(_), Some(downstream)) if target.is_some_and(|target| target > downstream) => {
                Some(NotSynced::TargetAhead)
            }
            (Ok(_), Some(downstream)) => {
                if target != Some(downstream) {
                    self.sync.is_due(group);
                }
                None
            }
            (Ok(_), None) => None,
        };
        flow.groups.change(group, |group| {
            let status = group.partition(at);
            status.source_offset = row.upstream;
            status.remote_topic = remote;
            status.translation = answer.ok();
            status.uncopied = uncopied;
            status.checkpoint = checkpoint;
            status.why_not = why_not;
        });
    }

    /// Writes the checkpoints that are due.
    async fn write(&mut self, flow: &Flow) -> Result<(), LeaseError> {
        let pace = flow.config.offsets.emit_checkpoints;
        if self.unwritten.is_empty() || !pace.is_some_and(|pace| is_due(pace, self.written)) {
            return Ok(());
        }
        topic::write(flow, self.unwritten.iter()).await?;
        let now = now_ms();
        let written = std::mem::take(&mut self.unwritten);
        let connector = &flow.config.connector_names.checkpoint;
        for (
            (group, remote, partition),
            Unwritten {
                at, timestamp_ms, ..
            },
        ) in &written
        {
            let key = SourceOffsetKey::checkpoint(connector, group, remote, *partition);
            flow.positions.emitted(&key);
            let latency_ms = now.saturating_sub(*timestamp_ms);
            (flow.groups).note_checkpoint(group, at, remote, latency_ms, now);
        }
        self.written = Some(Instant::now());
        Ok(())
    }
}

/// Nobody can read below the log's start.
fn clamp(translation: Translation, start: LogStart) -> Translation {
    match (translation, start) {
        (Translation::Exact(offset), LogStart::At(start)) => Translation::Exact(offset.max(start)),
        (Translation::AtLeast(offset), LogStart::At(start)) if start > offset => {
            Translation::AtLeast(start)
        }
        (translation, _) => translation,
    }
}
