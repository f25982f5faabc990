//! What waits to be written, by partition.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Topic and partition.
pub(super) type PartitionOf = (Arc<str>, i32);

/// Waiting batches of all partitions of a link; partitions take turns, a partition's batches keep their order.
///
/// Invariant: `turns` names each partition that has something waiting, once.
#[derive(Debug)]
pub(super) struct Queues<T> {
    waiting: HashMap<PartitionOf, VecDeque<(usize, T)>>,
    turns: VecDeque<PartitionOf>,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T> Queues<T> {
    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Appends a batch of `bytes` to its partition.
    pub(super) fn push(&mut self, partition: PartitionOf, bytes: usize, batch: T) {
        let queue = self.waiting.entry(partition.clone()).or_default();
        if queue.is_empty() {
            self.turns.push_back(partition);
        }
        queue.push_back((bytes, batch));
    }

    /// The next request: at most one batch of each partition, in turn, and `bytes_max` together unless the first alone
    /// is larger. A broker stores one of two batches of a partition and drops the other silently
    /// (`docs/spec/real-kafka.md` 4).
    pub(super) fn next_request(&mut self, bytes_max: usize) -> Vec<T> {
        let mut request = Vec::with_capacity(self.turns.len());
        let (mut bytes, mut again) = (0, VecDeque::new());
        while let Some(partition) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&partition) else {
                continue;
            };
            let next_bytes = queue.front().map_or(0, |(bytes, _)| *bytes);
            if !request.is_empty() && bytes + next_bytes > bytes_max {
                self.turns.push_front(partition);
                break;
            }
            bytes += next_bytes;
            request.extend(queue.pop_front().map(|(_, batch)| batch));
            if queue.is_empty() {
                self.waiting.remove(&partition);
            } else {
                again.push_back(partition);
            }
        }
        self.turns.append(&mut again);
        request
    }

    /// Takes everything out, each partition's batches in order.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.turns.clear();
        self.waiting
            .drain()
            .flat_map(|(_, queue)| queue)
            .map(|(_, batch)| batch)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32) -> PartitionOf {
        ("t".into(), partition)
    }

    #[test]
    fn a_request_holds_at_most_one_batch_of_a_partition() {
        let mut queues = Queues::default();
        for batch in 0..3 {
            for partition in 0..2 {
                queues.push(at(partition), 10, (partition, batch));
            }
        }
        assert_eq!(queues.next_request(1_000), [(0, 0), (1, 0)]);
        assert_eq!(
            queues.next_request(1_000),
            [(0, 1), (1, 1)],
            "each partition's order is kept"
        );
        assert_eq!(queues.next_request(1_000), [(0, 2), (1, 2)]);
        assert!(queues.is_empty() && queues.next_request(1_000).is_empty());
    }

    #[test]
    fn partitions_take_turns_when_a_request_is_full() {
        let mut queues = Queues::default();
        for batch in 0..2 {
            for partition in 0..3 {
                queues.push(at(partition), 60, (partition, batch));
            }
        }
        let firsts: Vec<_> = std::iter::from_fn(|| {
            let request = queues.next_request(130);
            (!request.is_empty()).then_some(request)
        })
        .collect();
        assert_eq!(
            firsts,
            [
                vec![(0, 0), (1, 0)],
                vec![(2, 0), (0, 1)],
                vec![(1, 1), (2, 1)]
            ]
        );
    }

    #[test]
    fn a_batch_larger_than_a_request_goes_alone() {
        let mut queues = Queues::default();
        queues.push(at(0), 500, 'a');
        queues.push(at(1), 10, 'b');
        assert_eq!(queues.next_request(100), ['a']);
        assert_eq!(queues.next_request(100), ['b']);
    }

    #[test]
    fn draining_leaves_nothing() {
        let mut queues = Queues::default();
        queues.push(at(0), 1, 1);
        queues.push(at(0), 1, 2);
        assert_eq!(queues.drain(), [1, 2]);
        assert!(queues.is_empty());
        queues.push(at(0), 1, 3);
        assert_eq!(
            queues.next_request(10),
            [3],
            "a drained partition has its turn again"
        );
    }
}
