//! Partitions that another source connector of the same pair of aliases copies.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use actix::{AsyncContext, Context};
use engine::offsets::OffsetTable;
use tracing::{info, warn};
use uuid::Uuid;

use super::Herder;
use crate::control::TargetState;
use crate::registry::PartitionState;

/// How soon a partition is taken over when its connector has stopped or is deleted, besides a round.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Herder {
    /// Gives partitions of other connectors a state and a reason, and takes those back that are nobody's here any more.
    pub(super) fn show_taken(
        &mut self,
        taken: BTreeMap<(String, i32), String>,
        wanted: &BTreeMap<(String, i32), Uuid>,
    ) {
        let flow = &self.flow.label;
        let mut said = None;
        for ((topic, partition), by) in &taken {
            let status = self.flow.registry.partition(self.key(topic, *partition));
            let reason = format!(
                "connector {by} copies it: it is taken over when that one stops or is deleted"
            );
            status.set_state(PartitionState::Stopped, reason);
            let known = self.taken.get(&(topic.clone(), *partition));
            if known != Some(by) && said != Some((topic, by)) {
                warn!(%flow, topic, by, "another connector copies the topic or partitions of it: taken over when that one stops or is deleted");
                said = Some((topic, by));
            }
        }
        for at in self.taken.keys().filter(|at| !taken.contains_key(*at)) {
            if !wanted.contains_key(at) {
                self.flow.registry.remove(&self.key(&at.0, at.1));
            }
        }
        self.taken = taken;
    }

    /// Makes a round at once if another connector has left something that is ours to copy.
    pub(super) fn look_for_free(&mut self, ctx: &mut Context<Self>) {
        if self.obeyed != TargetState::Running || self.flow.drain.fired() {
            return;
        }
        let owners = &self.flow.maps.owners;
        let is_free = |(topic, partition): &(String, i32)| {
            !owners.is_held_by_another(&self.flow.label, topic, *partition)
        };
        let free = self.taken.keys().filter(|at| is_free(at)).count();
        if free == 0 {
            return;
        }
        info!(flow = %self.flow.label, partitions = free, "another connector copies them no more: taking them over");
        if let Some(planned) = self.next_round.take() {
            ctx.cancel_future(planned);
        }
        self.round(ctx);
    }

    /// The next offsets of each partition that are stored under the names of other connectors: one of them may have had it last.
    pub(super) fn positions_of_others(
        &self,
        stored: &OffsetTable,
    ) -> HashMap<(String, i32), Vec<i64>> {
        let config = &self.flow.config;
        let mut others: HashMap<_, Vec<i64>> = HashMap::new();
        for (key, offset) in stored.iter() {
            if key.connector == config.connector_names.source {
                continue;
            }
            let (Some(at), Some(last)) = (key.source_partition(), offset.last_replicated()) else {
                continue;
            };
            if at.cluster == config.id.source.as_str() {
                let next = last.0.saturating_add(1);
                (others.entry((at.topic, at.partition)).or_default()).push(next);
            }
        }
        others
    }
}
