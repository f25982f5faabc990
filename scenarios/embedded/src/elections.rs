//! Who leads a partition, who is in sync with it, and what both do to its high watermark.
//!
//! One log stands for all replicas, so that an election only changes facts beside it: the leader, its epoch, the in-sync replicas
//! (ISR) and the eligible leaders outside of it (ELR, KIP-966: finalized on a fresh 4.3.1 cluster, docs/spec/real-kafka.md).

use std::sync::Arc;

use crate::state::{Leadership, Partition, PartitionData, State, Status, Topic};

impl Leadership {
    /// How many replicas must be in sync for the high watermark to move and for acks=all to be accepted: `min.insync.replicas`,
    /// but never more than there are.
    pub(crate) fn in_sync_min(&self, topic: &Topic) -> usize {
        let wanted = usize::try_from(topic.settings.min_insync_replicas).unwrap_or(1);
        wanted.min(self.replicas.len()).max(1)
    }

    /// Takes a replica out of sync. One that leaves an ISR below its minimum stays eligible to lead: nothing was
    /// acknowledged without it.
    fn drop_from_isr(&mut self, node_id: i32, in_sync_min: usize) {
        let before = self.isr.len();
        self.isr.retain(|other| *other != node_id);
        if self.isr.len() < before && self.isr.len() < in_sync_min && !self.elr.contains(&node_id) {
            self.elr.push(node_id);
        }
    }

    /// Puts a replica in sync that has caught up.
    fn add_to_isr(&mut self, node_id: i32, in_sync_min: usize) {
        self.isr.push(node_id);
        self.elr.retain(|other| *other != node_id);
        if self.isr.len() >= in_sync_min {
            self.elr.clear();
        }
    }

    /// The first replica in order of preference that may lead without losing what was acknowledged.
    fn candidate(&self, state: &State) -> Option<i32> {
        let living = |node_id: &i32| state.registered.contains(node_id);
        let replicas = || self.replicas.iter().copied().filter(living);
        let in_sync = replicas().find(|node_id| self.isr.contains(node_id));
        in_sync.or_else(|| replicas().find(|node_id| self.elr.contains(node_id)))
    }
}

impl PartitionData {
    /// Lets `leader` (-1: nobody) serve the partition from now on, in an epoch of its own.
    pub(crate) fn lead(&mut self, leader: i32, in_sync_min: usize) {
        self.leadership.leader = leader;
        self.leadership.epoch = self.leadership.epoch.saturating_add(1);
        if leader < 0 {
            return;
        }
        self.log.begin_epoch(self.leadership.epoch);
        if !self.leadership.isr.contains(&leader) {
            self.leadership.add_to_isr(leader, in_sync_min);
        }
    }

    /// Holds the high watermark where it is while a replica in sync does not fetch, or while too few are in sync; else lets it
    /// follow the end.
    fn hold_or_release(&mut self, state: &State, in_sync_min: usize) {
        let leadership = &self.leadership;
        let silent = |node_id: &i32| *node_id != leadership.leader && !state.is_up(*node_id);
        let held = leadership.isr.len() < in_sync_min || leadership.isr.iter().any(silent);
        let at = held.then(|| self.log.high_watermark());
        self.log.hold_high_watermark(at);
    }
}

/// The controller gives up a broker: it leaves every ISR, and another replica leads where it led; nobody, if there is none.
/// Called when its session has ended, and for a controlled shutdown.
pub(crate) fn withdraw(state: &mut State, node_id: i32) {
    state.registered.retain(|other| *other != node_id);
    each(state, |topic, data| {
        let in_sync_min = data.leadership.in_sync_min(topic);
        data.leadership.drop_from_isr(node_id, in_sync_min);
        if data.leadership.leader == node_id {
            let next = data.leadership.candidate(state).unwrap_or(-1);
            data.lead(next, in_sync_min);
        }
    });
    settle(state);
}

/// Brings all partitions in line with who is up: elects where nobody leads, lets replicas that can fetch back into the ISR,
/// holds or releases high watermarks, appoints a controller. Returns the partitions that have got a leader.
/// Call it after every change of a broker's status, and of `min.insync.replicas`.
pub(crate) fn settle(state: &mut State) -> Vec<Arc<Partition>> {
    if !state.is_up(state.controller) {
        let next = state.up().next();
        state.controller = next.unwrap_or(state.controller);
    }
    let mut elected = Vec::new();
    for (topic, partition) in all(state) {
        let mut data = partition.lock();
        let before = (data.leadership.clone(), data.log.high_watermark());
        let in_sync_min = data.leadership.in_sync_min(topic);
        if data.leadership.leader < 0
            && let Some(leader) = data.leadership.candidate(state)
        {
            data.lead(leader, in_sync_min);
            elected.push(Arc::clone(partition));
        }
        if state.is_up(data.leadership.leader) {
            for node_id in data.leadership.replicas.clone() {
                // A broker that is being shut down is up and not registered any more.
                let fetches = state.is_up(node_id) && state.registered.contains(&node_id);
                if fetches && !data.leadership.isr.contains(&node_id) {
                    data.leadership.add_to_isr(node_id, in_sync_min);
                }
            }
        }
        data.hold_or_release(state, in_sync_min);
        let changed = before != (data.leadership.clone(), data.log.high_watermark());
        drop(data);
        if changed {
            partition.wake();
        }
    }
    elected
}

/// Takes replicas that are not up out of a new topic's partitions: who leads is among those that are.
pub(crate) fn place(state: &mut State, topic: &str) {
    if let Some(topic) = state.topic(topic) {
        for partition in &topic.partitions {
            let mut data = partition.lock();
            let in_sync_min = data.leadership.in_sync_min(topic);
            for node_id in data.leadership.replicas.clone() {
                if !state.is_up(node_id) {
                    data.leadership.drop_from_isr(node_id, in_sync_min);
                }
            }
            if !data.leadership.isr.contains(&data.leadership.leader) {
                data.leadership.leader = data.leadership.isr.first().copied().unwrap_or(-1);
            }
        }
    }
    settle(state);
}

fn all(state: &State) -> impl Iterator<Item = (&Arc<Topic>, &Arc<Partition>)> {
    let topics = state.topics.values();
    topics.flat_map(|topic| topic.partitions.iter().map(move |one| (topic, one)))
}

fn each(state: &State, mut change: impl FnMut(&Topic, &mut PartitionData)) {
    for (topic, partition) in all(state) {
        let mut data = partition.lock();
        let before = data.leadership.clone();
        change(topic, &mut data);
        let changed = before != data.leadership;
        drop(data);
        if changed {
            partition.wake();
        }
    }
}

impl State {
    /// Whether a broker serves: neither down nor frozen.
    pub(crate) fn is_up(&self, node_id: i32) -> bool {
        let broker = self.brokers.get(&node_id);
        broker.is_some_and(|broker| broker.status == Status::Up)
    }
}
