//! The server-side assignors: `uniform` (the default: even, and moves as little as it can) and `range` (neighbours per topic).

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::member::Member;
use super::reconcile::contains;
use super::{Assignment, Consumers, Image};

/// The assignors in the order in which they are offered; the first is the default.
pub(super) const ASSIGNORS: [&str; 2] = ["uniform", "range"];

impl Consumers {
    /// The assignor that most members ask for; the default if none does.
    pub(super) fn assignor(&self) -> &'static str {
        let votes = |name: &&str| {
            let asks = |member: &&Member| member.assignor.as_deref() == Some(*name);
            self.members.values().filter(asks).count()
        };
        // max_by_key takes the last of equals, hence from behind.
        let winner = ASSIGNORS.into_iter().rev().max_by_key(votes);
        winner.unwrap_or(ASSIGNORS[0])
    }

    /// Makes the target assignment of the group's current epoch.
    pub(super) fn assign(&mut self, image: &Image) {
        let members: Vec<&Member> = {
            let mut members: Vec<_> = self.members.values().collect();
            members.sort_by_key(|m| (m.instance_id.is_none(), &m.instance_id, &m.id));
            members
        };
        let mut topics: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, member) in members.iter().enumerate() {
            for topic in member.topics(image) {
                topics.entry(topic).or_default().push(index);
            }
        }
        let topics: Vec<Topic> = topics
            .into_iter()
            .filter_map(|(name, subscribers)| {
                let (id, partitions) = *image.get(name)?;
                Some(Topic {
                    id,
                    partitions,
                    subscribers,
                })
            })
            .collect();
        let assigned = match self.assignor() {
            "range" => range(members.len(), &topics),
            _ => {
                let nothing = Assignment::new();
                let before = |member: &&Member| self.target.get(&member.id).unwrap_or(&nothing);
                uniform(&members.iter().map(before).collect::<Vec<_>>(), &topics)
            }
        };
        let ids: Vec<StrBytes> = members.iter().map(|member| member.id.clone()).collect();
        self.target = ids.into_iter().zip(assigned).collect();
        self.assignment_epoch = self.epoch;
    }
}

/// A topic and who subscribes to it, as indexes into the list of members.
struct Topic {
    id: Uuid,
    partitions: i32,
    subscribers: Vec<usize>,
}

/// Neighbouring partitions of each topic to its subscribers in their order, the first ones one more if it does not come out even.
fn range(members: usize, topics: &[Topic]) -> Vec<Assignment> {
    let mut result = vec![Assignment::new(); members];
    for topic in topics {
        let count = i32::try_from(topic.subscribers.len()).unwrap_or(i32::MAX);
        let (each, more) = (
            topic.partitions / count.max(1),
            topic.partitions % count.max(1),
        );
        let mut next = 0;
        for (place, member) in (0..).zip(&topic.subscribers) {
            let end = next + each + i32::from(place < more);
            if end > next
                && let Some(assignment) = result.get_mut(*member)
            {
                assignment.insert(topic.id, (next..end).collect());
            }
            next = end;
        }
    }
    result
}

/// Everybody as many partitions as the next one, give or take one, as far as subscriptions allow; what somebody had before, stays.
fn uniform(before: &[&Assignment], topics: &[Topic]) -> Vec<Assignment> {
    let mut result = vec![Assignment::new(); before.len()];
    let mut load = vec![0_usize; before.len()];
    let partitions = topics
        .iter()
        .flat_map(|topic| (0..topic.partitions).map(move |partition| (topic, partition)));
    let mut free = Vec::new();
    let mut owned = Vec::new();
    for (topic, partition) in partitions {
        let owner = { topic.subscribers.iter().copied() }
            .find(|member| contains(before[*member], &topic.id, partition));
        match owner {
            Some(owner) => {
                load[owner] += 1;
                owned.push((topic, partition, owner));
            }
            None => free.push((topic, partition)),
        }
    }
    let idlest = |topic: &Topic, load: &[usize]| {
        let subscribers = topic.subscribers.iter().copied();
        subscribers.min_by_key(|member| load[*member])
    };
    for (topic, partition) in free {
        if let Some(member) = idlest(topic, &load) {
            load[member] += 1;
            owned.push((topic, partition, member));
        }
    }
    // Each move narrows the gap between two members, so this ends.
    let mut moved = true;
    while moved {
        moved = false;
        for (topic, _, owner) in owned.iter_mut().rev() {
            if let Some(idlest) = idlest(topic, &load)
                && load[*owner] > load[idlest] + 1
            {
                load[*owner] -= 1;
                load[idlest] += 1;
                *owner = idlest;
                moved = true;
            }
        }
    }
    for (topic, partition, owner) in owned {
        result[owner].entry(topic.id).or_default().insert(partition);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn topic(id: u128, partitions: i32, subscribers: &[usize]) -> Topic {
        Topic {
            id: Uuid::from_u128(id),
            partitions,
            subscribers: subscribers.to_vec(),
        }
    }

    fn size(assignment: &Assignment) -> usize {
        assignment.values().map(|set| set.len()).sum()
    }

    #[test]
    fn range_gives_neighbours() {
        let given = range(3, &[topic(1, 7, &[0, 1, 2]), topic(2, 2, &[1, 2])]);
        let of = |member: usize, id: u128| -> Vec<i32> {
            let set = given[member].get(&Uuid::from_u128(id)).cloned();
            set.unwrap_or_default().into_iter().collect()
        };
        assert_eq!(
            (of(0, 1), of(1, 1), of(2, 1)),
            (vec![0, 1, 2], vec![3, 4], vec![5, 6])
        );
        assert_eq!((of(0, 2), of(1, 2), of(2, 2)), (vec![], vec![0], vec![1]));
    }

    #[test]
    fn uniform_moves_no_more_than_it_must() {
        let all = [topic(1, 6, &[0, 1, 2])];
        let nothing = Assignment::new();
        let two = uniform(&[&nothing, &nothing], &[topic(1, 6, &[0, 1])]);
        let three = uniform(&[&two[0], &two[1], &nothing], &all);
        assert_eq!(three.iter().map(size).collect::<Vec<_>>(), [2, 2, 2]);
        for (before, after) in two.iter().zip(&three) {
            assert_eq!(size(&super::super::reconcile::both(before, after)), 2);
        }
    }

    proptest! {
        /// Every partition of a topic with subscribers has one owner, a subscriber; and nobody could take one off somebody who
        /// has two more.
        #[test]
        fn uniform_is_complete_and_even(
            layout in proptest::collection::vec((1..8_i32, proptest::collection::btree_set(0..4_usize, 1..4)), 1..5),
            seed in 0..4_usize,
        ) {
            let topics: Vec<Topic> = (0..).zip(&layout)
                .map(|(id, (partitions, who))| topic(id, *partitions, &who.iter().copied().collect::<Vec<_>>()))
                .collect();
            // Before: one member had everything.
            let everything: Assignment =
                topics.iter().map(|t| (t.id, (0..t.partitions).collect())).collect();
            let nothing = Assignment::new();
            let before: Vec<&Assignment> =
                (0..4).map(|m| if m == seed { &everything } else { &nothing }).collect();
            let after = uniform(&before, &topics);
            for topic in &topics {
                for partition in 0..topic.partitions {
                    let owners: Vec<usize> =
                        (0..4).filter(|m| contains(&after[*m], &topic.id, partition)).collect();
                    prop_assert_eq!(owners.len(), 1);
                    prop_assert!(topic.subscribers.contains(&owners[0]));
                    let least = topic.subscribers.iter().map(|m| size(&after[*m])).min().unwrap();
                    prop_assert!(size(&after[owners[0]]) <= least + 1);
                }
            }
        }
    }
}
