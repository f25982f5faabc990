//! A member of a KIP-848 group.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::pattern::Pattern;
use super::{Assignment, Image};
use crate::groups::{At, Client};

/// The epoch of a static member that left for a while.
pub(super) const LEFT_FOR_A_WHILE: i32 = -2;

/// How far a member is on its way to the target assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// It has what it is to have, as far as it knows.
    #[default]
    Stable,
    /// It is to give partitions up and has not said that it did.
    Unrevoked,
    /// It waits for partitions that others have.
    Unreleased,
}

/// A member.
#[derive(Debug, Default)]
pub(super) struct Member {
    pub(super) id: StrBytes,
    pub(super) instance_id: Option<StrBytes>,
    pub(super) rack_id: Option<StrBytes>,
    pub(super) client: Client,
    pub(super) epoch: i32,
    pub(super) previous_epoch: i32,
    pub(super) state: State,
    pub(super) rebalance_timeout_ms: i64,
    pub(super) assignor: Option<StrBytes>,
    pub(super) names: BTreeSet<StrBytes>,
    pub(super) pattern: Option<Pattern>,
    /// Names that the pattern found.
    pub(super) found: BTreeSet<String>,
    pub(super) assigned: Assignment,
    /// To be given up.
    pub(super) revoking: Assignment,
    /// In which epoch it got what is in these two.
    pub(super) since: BTreeMap<(Uuid, i32), i32>,
    pub(super) session_end_ms: i64,
    /// When it is fenced unless it has given up `revoking`.
    pub(super) revoke_end_ms: Option<i64>,
}

impl Member {
    pub(super) fn deadline(&self) -> i64 {
        let revoke = self.revoke_end_ms.unwrap_or(i64::MAX);
        self.session_end_ms.min(revoke)
    }

    pub(super) fn restart_session(&mut self, at: &At<'_>) {
        let timeout = at.settings.consumer_session_timeout_ms;
        self.session_end_ms = at.now_ms.saturating_add(timeout);
    }

    /// Gives the member its time again, as a coordinator does that just took over.
    pub(super) fn restart_timers(&mut self, at: &At<'_>) {
        self.restart_session(at);
        if self.state == State::Unrevoked {
            self.restart_revoking(at);
        }
    }

    /// Gives it the time that it has to give partitions up.
    pub(super) fn restart_revoking(&mut self, at: &At<'_>) {
        self.revoke_end_ms = Some(at.now_ms.saturating_add(self.rebalance_timeout_ms));
    }

    /// It is to give up, as well, what it does not subscribe to any more.
    pub(super) fn revoke_unsubscribed(&mut self, image: &Image, at: &At<'_>) {
        let topics = self.topics(image).filter_map(|name| image.get(name));
        let topics: BTreeSet<Uuid> = topics.map(|(id, _)| *id).collect();
        let all = self.assigned.len();
        for (id, partitions) in self.assigned.extract_if(.., |id, _| !topics.contains(id)) {
            self.revoking.entry(id).or_default().extend(partitions);
        }
        if self.assigned.len() < all {
            self.restart_revoking(at);
        }
    }

    /// Whether it has reached the target assignment of this epoch.
    pub(super) fn is_settled(&self, assignment_epoch: i32) -> bool {
        self.state == State::Stable && self.epoch == assignment_epoch
    }

    /// STALE_MEMBER_EPOCH unless it is its own.
    pub(super) fn check_epoch(&self, epoch: i32) -> Result<(), ResponseError> {
        if epoch == self.epoch {
            Ok(())
        } else {
            Err(ResponseError::StaleMemberEpoch)
        }
    }

    /// STALE_MEMBER_EPOCH unless it is its own, or an earlier one in which it already had all of these partitions (KIP-1251).
    pub(super) fn check_commit(
        &self,
        epoch: i32,
        partitions: &[(Uuid, i32)],
    ) -> Result<(), ResponseError> {
        let had = |partition| {
            self.since
                .get(partition)
                .is_some_and(|since| *since <= epoch)
        };
        if epoch == self.epoch || (epoch < self.epoch && partitions.iter().all(had)) {
            Ok(())
        } else {
            Err(ResponseError::StaleMemberEpoch)
        }
    }

    pub(super) fn subscribes(&self, topic: &str) -> bool {
        self.names.iter().any(|name| **name == *topic) || self.found.contains(topic)
    }

    /// The topics that it subscribes to and that exist.
    pub(super) fn topics<'a>(&'a self, image: &'a Image) -> impl Iterator<Item = &'a str> + 'a {
        let named = self.names.iter().map(|name| &**name);
        let found = self.found.iter().map(String::as_str);
        let found = found.filter(|name| !self.names.iter().any(|other| **other == **name));
        named.chain(found).filter(|name| image.contains_key(*name))
    }

    /// What it has, or still gives up.
    pub(super) fn held(&self) -> Assignment {
        let mut held = self.assigned.clone();
        for (topic, partitions) in &self.revoking {
            held.entry(*topic).or_default().extend(partitions);
        }
        held
    }

    /// Whether it has, or still gives up, this partition.
    pub(super) fn holds(&self, topic: &Uuid, partition: i32) -> bool {
        [&self.assigned, &self.revoking]
            .into_iter()
            .any(|held| held.get(topic).is_some_and(|set| set.contains(&partition)))
    }
}
