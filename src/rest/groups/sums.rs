//! Groups counted by how they stand, and why they are not synced.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use actors::{Flow, Group, NotSynced, SyncState};
use serde::Serialize;
use utoipa::ToSchema;

/// Reasons of a flow.
const REASONS_MAX: usize = 10;

/// Groups, or a group's partitions, by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GroupStates {
    /// The target has what it should have.
    synced: u64,
    /// Further on the target, and never moved back.
    ahead: u64,
    /// Nothing is in the way: the next sync brings it, or the first record that is copied.
    due: u64,
    /// Something is in the way.
    behind: u64,
    /// The configuration leaves it out.
    excluded: u64,
}

/// Groups of a flow that are not synced for the same reason.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GroupReasonView {
    state: &'static str,
    /// As `crosscurrent_group_partitions_not_synced` has it.
    reason: &'static str,
    /// The reason in words, of the example.
    message: String,
    groups: u64,
    /// One of them.
    example: String,
}

impl GroupStates {
    pub(super) fn count(&mut self, state: SyncState) {
        *match state {
            SyncState::Synced => &mut self.synced,
            SyncState::Ahead => &mut self.ahead,
            SyncState::Due => &mut self.due,
            SyncState::Behind => &mut self.behind,
            SyncState::Excluded => &mut self.excluded,
        } += 1;
    }
}

/// All reasons of a group.
fn reasons(group: &Group) -> impl Iterator<Item = &NotSynced> {
    let of_partitions = group.partitions.values();
    (group.why_not.iter()).chain(of_partitions.filter_map(|status| status.why_not.as_ref()))
}

/// The most frequent reason for its state.
pub(super) fn main_reason(group: &Group, state: SyncState) -> Option<&NotSynced> {
    let mut counts: BTreeMap<&'static str, (u64, &NotSynced)> = BTreeMap::new();
    for reason in reasons(group).filter(|reason| reason.state() == state) {
        counts.entry(reason.label()).or_insert((0, reason)).0 += 1;
    }
    let most = counts.into_values().max_by_key(|(count, _)| *count);
    most.map(|(_, reason)| reason)
}

/// A flow's groups by state, and why they are not synced: the most pressing state and the most frequent reason first, at most 10.
pub(crate) fn sums(flow: &Flow) -> (GroupStates, Vec<GroupReasonView>) {
    let mut sums = Sums::default();
    flow.groups.each(|name, group| sums.add(name, group));
    (sums.states, sums.reasons())
}

#[derive(Default)]
struct Sums {
    states: GroupStates,
    /// By state and label: how many, and one of them with its words.
    found: HashMap<(SyncState, &'static str), (u64, Arc<str>, String)>,
}

impl Sums {
    fn add(&mut self, name: &Arc<str>, group: &Group) {
        self.states.count(group.state());
        let mut seen: Vec<&'static str> = Vec::new();
        for reason in reasons(group) {
            let label = reason.label();
            if seen.contains(&label) {
                continue;
            }
            seen.push(label);
            let of = (self.found.entry((reason.state(), label)))
                .or_insert_with(|| (0, name.clone(), reason.to_string()));
            of.0 += 1;
        }
    }

    fn reasons(self) -> Vec<GroupReasonView> {
        let mut all: Vec<_> = self.found.into_iter().collect();
        all.sort_by_key(|((state, label), (count, ..))| (Reverse(*state), Reverse(*count), *label));
        (all.into_iter().take(REASONS_MAX))
            .map(
                |((state, reason), (groups, example, message))| GroupReasonView {
                    state: state.as_str(),
                    reason,
                    message,
                    groups,
                    example: example.to_string(),
                },
            )
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use actors::GroupStatus;
    use engine::offsets::Translation;

    use super::*;

    fn status(translation: Translation, why_not: Option<NotSynced>) -> GroupStatus {
        GroupStatus {
            translation: Some(translation),
            checkpoint: translation.offset(),
            target_offset: translation.offset(),
            why_not,
            ..GroupStatus::default()
        }
    }

    fn group(reasons: &[Option<NotSynced>]) -> Group {
        let rows = (0..).zip(reasons).map(|(partition, why_not)| {
            let status = status(Translation::Exact(1), why_not.clone());
            ((Arc::from("orders"), partition), status)
        });
        Group {
            why_not: None,
            partitions: rows.collect(),
        }
    }

    #[test]
    fn the_most_pressing_state_and_its_most_frequent_reason_come_first() {
        let (active, below) = (NotSynced::ActiveOnTarget, NotSynced::BelowMap);
        let (off, ahead) = (NotSynced::NotPartOfThisFlow, NotSynced::TargetAhead);
        let mut sums = Sums::default();
        let billing = group(&[
            Some(off.clone()),
            Some(off.clone()),
            Some(below.clone()),
            Some(active.clone()),
            Some(active.clone()),
            None,
        ]);
        assert_eq!(main_reason(&billing, billing.state()), Some(&active));
        sums.add(&"billing".into(), &billing);
        sums.add(&"audit".into(), &group(&[Some(below), Some(ahead)]));
        sums.add(&"free".into(), &group(&[None, Some(off)]));
        assert_eq!(
            sums.states,
            GroupStates {
                behind: 2,
                synced: 1,
                ..GroupStates::default()
            }
        );
        let said: Vec<_> = (sums.reasons().into_iter())
            .map(|one| (one.state, one.reason, one.groups, one.example))
            .collect();
        let billing = || "billing".to_owned();
        assert_eq!(
            said,
            [
                ("behind", "below-map", 2, billing()),
                ("behind", "active-on-target", 1, billing()),
                ("ahead", "target-ahead", 1, "audit".to_owned()),
                ("excluded", "not-part-of-this-flow", 2, billing()),
            ]
        );
    }

    #[test]
    fn a_group_without_offsets_has_its_own_reason() {
        let filtered = Group {
            why_not: Some(NotSynced::FilteredGroup),
            ..Group::default()
        };
        let reason = main_reason(&filtered, filtered.state());
        assert_eq!(reason, Some(&NotSynced::FilteredGroup));
        let synced = group(&[None]);
        assert_eq!(main_reason(&synced, synced.state()), None);
    }
}
