//! A round of a classic group: when joining begins and ends, and who is given up.

use kafka_protocol::protocol::StrBytes;

use super::member::Member;
use super::{Classic, State};
use crate::groups::At;

impl Classic {
    /// Something about the members changed: begins a round, or ends the one that is on if all are there.
    pub(super) fn rebalance_or_complete(&mut self, at: &At<'_>) {
        if self.state == State::PreparingRebalance {
            self.complete_if_all_joined(at);
        } else {
            self.prepare(at);
        }
    }

    /// Begins a round.
    pub(super) fn prepare(&mut self, at: &At<'_>) {
        if self.state == State::CompletingRebalance {
            self.reset_assignments(at);
        }
        self.sync_end_ms = None;
        let initial = self.state == State::Empty;
        self.state = State::PreparingRebalance;
        self.newcomers = false;
        if initial {
            let delay = at.settings.initial_rebalance_delay_ms;
            self.initial = Some(self.rebalance_timeout_ms().saturating_sub(delay).max(0));
            self.join_end_ms = Some(at.now_ms.saturating_add(delay));
            self.end_joining_if_due(at); // without a delay: now
        } else {
            self.initial = None;
            self.join_end_ms = Some(at.now_ms.saturating_add(self.rebalance_timeout_ms()));
            self.complete_if_all_joined(at);
        }
    }

    /// The first round of an empty group ends by time only.
    pub(super) fn complete_if_all_joined(&mut self, at: &At<'_>) {
        let joining = self.state == State::PreparingRebalance;
        if joining && self.initial.is_none() && self.everybody_joined() {
            self.complete(at);
        }
    }

    fn end_joining_if_due(&mut self, at: &At<'_>) {
        if self.join_end_ms.is_none_or(|end| end > at.now_ms) {
            return;
        }
        match self.initial {
            Some(remaining) if self.newcomers && remaining > 0 => {
                let delay = at.settings.initial_rebalance_delay_ms;
                self.newcomers = false;
                self.join_end_ms = Some(at.now_ms.saturating_add(delay.min(remaining)));
                self.initial = Some(remaining.saturating_sub(delay).max(0));
            }
            _ => self.complete(at),
        }
    }

    /// Joining is over: who did not come back is out, the others are the next generation.
    fn complete(&mut self, at: &At<'_>) {
        self.join_end_ms = None;
        self.initial = None;
        let absent = |member: &&Member| member.instance_id.is_none() && !member.is_joining();
        let absent = self.members.values().filter(absent);
        for id in absent.map(|m| m.id.clone()).collect::<Vec<_>>() {
            self.remove(&id);
        }
        if !self.elect_leader() && !self.members.is_empty() {
            // Only static members, none of which is back yet: wait on.
            self.join_end_ms = Some(at.now_ms.saturating_add(self.rebalance_timeout_ms().max(1)));
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        if self.members.is_empty() {
            self.protocol = None;
            self.state = State::Empty;
            self.empty_since_ms = Some(at.now_ms);
            self.save();
            return;
        }
        self.protocol = self.elect_protocol();
        self.state = State::CompletingRebalance;
        self.sync_end_ms = Some(at.now_ms.saturating_add(self.rebalance_timeout_ms()));
        for id in self.members.keys().cloned().collect::<Vec<_>>() {
            let response = self.generation_for(&id);
            if let Some(member) = self.members.get_mut(&id) {
                member.restart_session(at.now_ms);
                member.is_new = false;
                member.owes_sync = true;
                member.answer_join(response);
            }
        }
    }

    /// A leader that has joined; without one, the first who has.
    fn elect_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else {
            return false;
        };
        if self.members.get(leader).is_some_and(Member::is_joining) {
            return true;
        }
        match self.members.values().find(|member| member.is_joining()) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// The next moment at which [`Self::expire`] has something to do.
    pub(crate) fn deadline(&self) -> Option<i64> {
        // Who waits for an answer cannot be lost before it got it.
        let sessions = self.members.values().filter(|m| m.is_lost(i64::MAX));
        let sessions = sessions.map(|member| member.session_end_ms);
        let promises = self.promised.values().copied();
        let waits = self.join_end_ms.into_iter().chain(self.sync_end_ms);
        sessions.chain(promises).chain(waits).min()
    }

    /// Does what is due: members whose session is over, rounds that took too long.
    pub(crate) fn expire(&mut self, at: &At<'_>) {
        let before = self.promised.len();
        self.promised.retain(|_, until| *until > at.now_ms);
        if self.promised.len() < before {
            self.complete_if_all_joined(at);
        }
        let lost = self.members.values().filter(|m| m.is_lost(at.now_ms));
        for id in lost.map(|m| m.id.clone()).collect::<Vec<_>>() {
            self.give_up(&id, at);
        }
        if self.state == State::PreparingRebalance {
            self.end_joining_if_due(at);
        }
        if self.sync_end_ms.is_some_and(|end| end <= at.now_ms) {
            self.sync_end_ms = None;
            let late = self.members.values().filter(|m| m.owes_sync);
            let late: Vec<StrBytes> = late.map(|m| m.id.clone()).collect();
            for id in &late {
                self.remove(id);
            }
            if !late.is_empty() {
                self.prepare(at);
            }
        }
    }

    /// Removes a member and lets the others go on.
    pub(super) fn give_up(&mut self, id: &StrBytes, at: &At<'_>) {
        self.remove(id);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare(at),
            State::PreparingRebalance => self.complete_if_all_joined(at),
            State::Empty => {}
        }
    }
}
