//! Counting numbered records: which were lost, doubled or reordered, at a scale where showing them all is
//! of no use.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::compare::Contents;

/// What became of the records of [`super::numbered`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Different expected ids that were found.
    pub found: u64,
    /// Expected ids that were not found.
    pub lost: u64,
    /// Copies beyond the first, over all ids.
    pub doubled: u64,
    /// First copies that stand behind a higher id of their partition.
    pub disordered: u64,
    /// Records without a number, or with one that was not expected.
    pub foreign: u64,
    /// The lowest lost id.
    pub first_lost: Option<u64>,
    /// The lowest doubled id.
    pub first_doubled: Option<u64>,
}

impl Tally {
    /// Every expected id exactly once and in order, and nothing else.
    pub fn is_exact(&self) -> bool {
        self.lost + self.doubled + self.disordered + self.foreign == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} found, {} lost, {} doubled, {} out of order, {} foreign",
            self.found, self.lost, self.doubled, self.disordered, self.foreign
        )?;
        if let Some(id) = self.first_lost {
            write!(f, ", first lost {id}")?;
        }
        self.first_doubled
            .map_or(Ok(()), |id| write!(f, ", first doubled {id}"))
    }
}

/// Compares a topic's record keys with the ids that were written to it.
pub fn tally(contents: &Contents, expected: Range<u64>) -> Tally {
    let mut tally = Tally::default();
    let mut seen: HashMap<u64, u64> = HashMap::new();
    for records in contents.values() {
        let mut highest = 0;
        for read in records {
            let key = read
                .record
                .key
                .as_deref()
                .and_then(|key| std::str::from_utf8(key).ok());
            match key
                .and_then(|key| key.parse().ok())
                .filter(|id| expected.contains(id))
            {
                None => tally.foreign += 1,
                Some(id) => {
                    let copies = seen.entry(id).or_default();
                    *copies += 1;
                    if *copies == 1 && id < highest {
                        tally.disordered += 1;
                    }
                    highest = highest.max(id);
                }
            }
        }
    }
    for id in expected {
        match seen.get(&id) {
            None => {
                tally.lost += 1;
                tally.first_lost.get_or_insert(id);
            }
            Some(copies) => {
                tally.found += 1;
                if *copies > 1 {
                    tally.doubled += copies - 1;
                    tally.first_doubled.get_or_insert(id);
                }
            }
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::client::{ReadRecord, compare, numbered};

    fn contents(ids: &[u64]) -> Contents {
        let record = |id: u64| numbered(id..id + 1, 1, 4).remove(0);
        let read = ids.iter().map(|id| ReadRecord {
            offset: 0,
            record: record(*id),
        });
        Contents::from([(0, read.collect())])
    }

    #[test]
    fn exact() {
        assert!(tally(&contents(&[5, 6, 7]), 5..8).is_exact());
    }

    #[test]
    fn counts_each_fault() {
        let found = tally(&contents(&[6, 5, 6, 6, 9]), 5..8);
        let text =
            "2 found, 1 lost, 2 doubled, 1 out of order, 1 foreign, first lost 7, first doubled 6";
        assert_eq!(found.to_string(), text);
        assert!(!found.is_exact());
    }

    proptest! {
        /// Holds against the plainest way of counting, whatever a flow may do to the records.
        #[test]
        fn agrees_with_plain_counting(ids in vec(0_u64..30, 0..60)) {
            let counts = |id: u64| ids.iter().filter(|&&other| other == id).count() as u64;
            let found = tally(&contents(&ids), 0..20);
            prop_assert_eq!(found.lost, (0..20).filter(|&id| counts(id) == 0).count() as u64);
            prop_assert_eq!(found.doubled, (0..20).map(|id| counts(id).saturating_sub(1)).sum::<u64>());
            prop_assert_eq!(found.foreign, (20..30).map(counts).sum::<u64>());
            prop_assert_eq!(found.found + found.lost, 20);
            let own: Vec<u64> = ids.iter().copied().filter(|&id| id < 20).collect();
            let sorted_and_unique = own.windows(2).all(|pair| pair[0] < pair[1]);
            prop_assert!(!sorted_and_unique || found.disordered == 0);
            let exact = ids == (0..20).collect::<Vec<_>>();
            prop_assert_eq!(found.is_exact(), exact);
        }

        /// Equal only if equal: the judge of every other test must not be generous.
        #[test]
        fn compare_is_equality(
            source in vec(0_u64..4, 0..6),
            target in vec(0_u64..4, 0..6),
        ) {
            let verdict = compare(&contents(&source), &contents(&target));
            prop_assert_eq!(verdict.is_ok(), source == target);
        }
    }
}
