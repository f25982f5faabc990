//! One member's step towards its target assignment (Kafka's `CurrentAssignmentBuilder`).
//!
//! A partition goes from one member to another in three heartbeats: its owner is told to give it up, says that it did, and only then the
//! other gets it. So no two members ever have it.

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::member::State;
use super::{Assignment, Consumers, Image};
use crate::groups::At;

impl Consumers {
    /// Moves the member on as far as the others let it. `owned`: what it says it has; None if it did not say. `changed`: all topics,
    /// if it has just changed its subscription.
    pub(super) fn reconcile(
        &mut self,
        id: &StrBytes,
        owned: Option<&Assignment>,
        changed: Option<&Image>,
        at: &At<'_>,
    ) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        match member.state {
            State::Stable if member.epoch == self.assignment_epoch => return,
            State::Unrevoked if still_owns(owned, &member.revoking) => {
                if let Some(image) = changed {
                    member.revoke_unsubscribed(image, at);
                }
                return;
            }
            _ => {}
        }
        let member = &*member;
        let empty = Assignment::new();
        let target = self.target.get(id).unwrap_or(&empty);
        let mut kept = both(&member.assigned, target);
        let revoking = without(&member.assigned, target);
        let wanted = without(target, &kept);
        let others = self.members.values().filter(|other| other.id != *id);
        let others: Vec<_> = others.collect();
        let mut held_by_others = false;
        let free = |topic: &Uuid, partition: &i32| {
            let held = others.iter().any(|other| other.holds(topic, *partition));
            held_by_others |= held;
            !held
        };
        let free = filtered(&wanted, free);
        let revoke_first = !revoking.is_empty() && still_owns(owned, &revoking);
        let target_epoch = self.assignment_epoch;
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        if revoke_first {
            // The epoch stays: its offsets of what it gives up are still to be committed under it.
            member.state = State::Unrevoked;
            member.assigned = kept;
            member.revoking = revoking;
            member.restart_revoking(at);
            return;
        }
        let since = &mut member.since;
        since.retain(|(topic, partition), _| contains(&kept, topic, *partition));
        for (topic, partitions) in free {
            let new = partitions.iter().map(|partition| (topic, *partition));
            since.extend(new.map(|partition| (partition, target_epoch)));
            kept.entry(topic).or_default().extend(partitions);
        }
        member.assigned = kept;
        member.revoking = Assignment::new();
        member.revoke_end_ms = None;
        member.state = if held_by_others {
            State::Unreleased
        } else {
            State::Stable
        };
        if member.epoch != target_epoch {
            member.previous_epoch = member.epoch;
            member.epoch = target_epoch;
        }
    }
}

/// Whether a member that owns `owned` has something of `revoking`; one that did not say so may.
fn still_owns(owned: Option<&Assignment>, revoking: &Assignment) -> bool {
    owned.is_none_or(|owned| !both(owned, revoking).is_empty())
}

fn filtered(of: &Assignment, mut keep: impl FnMut(&Uuid, &i32) -> bool) -> Assignment {
    let mut result = Assignment::new();
    for (topic, partitions) in of {
        for partition in partitions.iter().filter(|p| keep(topic, p)) {
            result.entry(*topic).or_default().insert(*partition);
        }
    }
    result
}

pub(super) fn contains(assignment: &Assignment, topic: &Uuid, partition: i32) -> bool {
    let partitions = assignment.get(topic);
    partitions.is_some_and(|partitions| partitions.contains(&partition))
}

/// What is in both.
pub(super) fn both(a: &Assignment, b: &Assignment) -> Assignment {
    filtered(a, |topic, partition| contains(b, topic, *partition))
}

/// What is in `a` and not in `b`.
pub(super) fn without(a: &Assignment, b: &Assignment) -> Assignment {
    filtered(a, |topic, partition| !contains(b, topic, *partition))
}
