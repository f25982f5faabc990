//! Committed offsets of one group, and those that wait for the end of a transaction.

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) offset: i64,
    /// -1: the client did not say.
    pub(crate) leader_epoch: i32,
    pub(crate) metadata: StrBytes,
    pub(crate) commit_ms: i64,
    /// From a retention time in the request (OffsetCommit 2 to 4); goes before the broker's retention.
    pub(crate) expire_ms: Option<i64>,
}

/// A partition of a topic, by name: a topic's offsets end with the topic.
type Key = (StrBytes, i32);

/// Offsets by topic and partition.
#[derive(Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<Key, Stored>,
    /// By producer id.
    pending: BTreeMap<i64, BTreeMap<Key, Stored>>,
    /// Number of the last commit: of two for a partition the later counts, as its record in the log would.
    last: u64,
}

#[derive(Debug, Clone)]
struct Stored {
    number: u64,
    value: Committed,
}

impl Offsets {
    /// A commit outside of transactions.
    pub(crate) fn commit(&mut self, topic: StrBytes, partition: i32, value: Committed) {
        let stored = self.number(value);
        self.committed.insert((topic, partition), stored);
    }

    /// A commit that counts once the producer's transaction is committed.
    pub(crate) fn commit_pending(
        &mut self,
        producer_id: i64,
        topic: StrBytes,
        partition: i32,
        value: Committed,
    ) {
        let stored = self.number(value);
        self.pending
            .entry(producer_id)
            .or_default()
            .insert((topic, partition), stored);
    }

    fn number(&mut self, value: Committed) -> Stored {
        self.last += 1;
        Stored {
            number: self.last,
            value,
        }
    }

    /// The end of a producer's transaction: its pending offsets count or are forgotten.
    pub(crate) fn complete(&mut self, producer_id: i64, commit: bool) {
        let ended = self.pending.remove(&producer_id).unwrap_or_default();
        if !commit {
            return;
        }
        for (key, stored) in ended {
            let newer = self
                .committed
                .get(&key)
                .is_some_and(|other| other.number > stored.number);
            if !newer {
                self.committed.insert(key, stored);
            }
        }
    }

    pub(crate) fn get(&self, topic: &StrBytes, partition: i32) -> Option<&Committed> {
        self.committed
            .get(&(topic.clone(), partition))
            .map(|stored| &stored.value)
    }

    /// Whether a transaction that is not over has a commit for this partition.
    pub(crate) fn is_unstable(&self, topic: &StrBytes, partition: i32) -> bool {
        let key = (topic.clone(), partition);
        self.pending
            .values()
            .any(|offsets| offsets.contains_key(&key))
    }

    /// In the order of topic and partition.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&StrBytes, i32, &Committed)> {
        self.committed
            .iter()
            .map(|((topic, partition), stored)| (topic, *partition, &stored.value))
    }

    /// Forgets one partition's, pending ones too.
    pub(crate) fn remove(&mut self, topic: &StrBytes, partition: i32) {
        let key = (topic.clone(), partition);
        self.committed.remove(&key);
        self.retain_pending(|other| *other != key);
    }

    /// Forgets a topic's, pending ones too.
    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|(name, _), _| name.as_str() != topic);
        self.retain_pending(|(name, _)| name.as_str() != topic);
    }

    fn retain_pending(&mut self, keep: impl Fn(&Key) -> bool) {
        self.pending.retain(|_, offsets| {
            offsets.retain(|key, _| keep(key));
            !offsets.is_empty()
        });
    }

    /// Forgets what `expired` says, unless a transaction has a newer one waiting.
    pub(crate) fn expire(&mut self, expired: impl Fn(&StrBytes, &Committed) -> bool) {
        let pending = &self.pending;
        self.committed.retain(|key, stored| {
            !expired(&key.0, &stored.value)
                || pending.values().any(|offsets| offsets.contains_key(key))
        });
    }

    /// Neither committed nor pending ones.
    pub(crate) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: i64) -> Committed {
        Committed {
            offset,
            leader_epoch: -1,
            metadata: StrBytes::default(),
            commit_ms: 0,
            expire_ms: None,
        }
    }

    fn topic() -> StrBytes {
        StrBytes::from_static_str("t")
    }

    #[test]
    fn a_transaction_that_commits_applies_its_offsets() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), 0, at(1));
        offsets.commit_pending(7, topic(), 0, at(5));
        assert!(offsets.is_unstable(&topic(), 0));
        assert_eq!(offsets.get(&topic(), 0), Some(&at(1)));
        offsets.complete(7, true);
        assert!(!offsets.is_unstable(&topic(), 0));
        assert_eq!(offsets.get(&topic(), 0), Some(&at(5)));
    }

    #[test]
    fn a_transaction_that_aborts_leaves_what_was() {
        let mut offsets = Offsets::default();
        offsets.commit_pending(7, topic(), 0, at(5));
        offsets.complete(8, true);
        assert!(offsets.is_unstable(&topic(), 0), "another producer's end");
        offsets.complete(7, false);
        assert!(offsets.is_empty());
    }

    #[test]
    fn a_plain_commit_after_the_pending_one_wins() {
        let mut offsets = Offsets::default();
        offsets.commit_pending(7, topic(), 0, at(5));
        offsets.commit(topic(), 0, at(9));
        offsets.complete(7, true);
        assert_eq!(offsets.get(&topic(), 0), Some(&at(9)));
    }

    #[test]
    fn a_deleted_topic_takes_its_offsets_with_it() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), 0, at(1));
        offsets.commit(StrBytes::from_static_str("u"), 0, at(2));
        offsets.commit_pending(7, topic(), 1, at(5));
        offsets.forget_topic("t");
        offsets.complete(7, true);
        let left: Vec<_> = offsets
            .iter()
            .map(|(topic, ..)| topic.to_string())
            .collect();
        assert_eq!(left, ["u"]);
    }

    #[test]
    fn what_a_transaction_will_replace_does_not_expire() {
        let mut offsets = Offsets::default();
        offsets.commit(topic(), 0, at(1));
        offsets.commit(topic(), 1, at(1));
        offsets.commit_pending(7, topic(), 1, at(5));
        offsets.expire(|_, _| true);
        let left: Vec<_> = offsets.iter().map(|(_, partition, _)| partition).collect();
        assert_eq!(left, [1]);
    }
}
