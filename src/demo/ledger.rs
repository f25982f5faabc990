//! Which records of one partition a reader has seen: each exactly once, in order, and no others?

use std::fmt;
use std::ops::AddAssign;

/// Gaps of a partition that are remembered. Beyond, what is behind the oldest counts as doubled, not as late: a fault either way.
const GAPS_MAX: usize = 1_024;

/// What is wrong with records; all zero when nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Written, and not there.
    pub(crate) lost: u64,
    /// There more than once: copies beyond the first.
    pub(crate) doubled: u64,
    /// First copies behind a later record of their partition.
    pub(crate) out_of_order: u64,
    /// Not of this run, or not of the cluster that the topic's name says.
    pub(crate) foreign: u64,
}

impl Faults {
    /// Everything that is wrong.
    pub(crate) fn total(self) -> u64 {
        self.lost + self.doubled + self.out_of_order + self.foreign
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, more: Self) {
        self.lost += more.lost;
        self.doubled += more.doubled;
        self.out_of_order += more.out_of_order;
        self.foreign += more.foreign;
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lost,
            doubled,
            out_of_order,
            foreign,
        } = self;
        write!(
            f,
            "{lost} lost, {doubled} doubled, {out_of_order} out of order, {foreign} foreign"
        )
    }
}

/// One partition as its reader sees it, checked while it is read: nothing has to be kept for the proof.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The offset behind the last record that was looked at.
    next_offset: i64,
    /// The sequence behind the highest one seen.
    next_sequence: u64,
    /// Skipped sequences, `from..to`, ascending.
    gaps: Vec<(u64, u64)>,
    faults: Faults,
    seen: u64,
}

impl Ledger {
    /// Takes the record at `offset`, with its sequence if it is of this run. False if this offset was looked at before:
    /// a consumer group may deliver again what it had not committed, and that says nothing about the log.
    pub(crate) fn take(&mut self, offset: i64, sequence: Option<u64>) -> bool {
        if offset < self.next_offset {
            return false;
        }
        self.next_offset = offset.saturating_add(1);
        let Some(sequence) = sequence else {
            self.faults.foreign += 1;
            return true;
        };
        if sequence >= self.next_sequence {
            if sequence > self.next_sequence {
                self.gaps.push((self.next_sequence, sequence));
                if self.gaps.len() > GAPS_MAX {
                    let (from, to) = self.gaps.remove(0);
                    self.faults.lost += to - from;
                }
            }
            self.next_sequence = sequence.saturating_add(1);
            self.seen += 1;
        } else if self.fill(sequence) {
            self.faults.out_of_order += 1;
            self.seen += 1;
        } else {
            self.faults.doubled += 1;
        }
        true
    }

    /// Takes a sequence out of the gaps; false if it is in none.
    fn fill(&mut self, sequence: u64) -> bool {
        let Some(index) = self
            .gaps
            .iter()
            .position(|(from, to)| (*from..*to).contains(&sequence))
        else {
            return false;
        };
        let (from, to) = self.gaps.remove(index);
        let parts = [(from, sequence), (sequence + 1, to)];
        let parts = parts.into_iter().filter(|(from, to)| from < to);
        self.gaps.splice(index..index, parts);
        true
    }

    /// The offset behind the last record that was looked at.
    pub(crate) fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Different records of this run that were seen.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// The sequence behind the highest one seen.
    pub(crate) fn highest(&self) -> u64 {
        self.next_sequence
    }

    /// What is wrong when `written` records were written in all.
    pub(crate) fn faults(&self, written: u64) -> Faults {
        let missing: u64 = self.gaps.iter().map(|(from, to)| to - from).sum();
        let mut faults = self.faults;
        faults.lost += missing + written.saturating_sub(self.next_sequence);
        // A sequence that was never written.
        faults.foreign += self.next_sequence.saturating_sub(written);
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ledger after these sequences at offsets 0, 1, ...
    fn after(sequences: &[Option<u64>]) -> Ledger {
        let mut ledger = Ledger::default();
        for (offset, sequence) in (0..).zip(sequences) {
            assert!(ledger.take(offset, *sequence));
        }
        ledger
    }

    fn faults(sequences: &[u64], written: u64) -> Faults {
        let all: Vec<_> = sequences.iter().copied().map(Some).collect();
        after(&all).faults(written)
    }

    #[test]
    fn each_once_and_in_order_is_no_fault() {
        let ledger = after(&[Some(0), Some(1), Some(2)]);
        assert_eq!((ledger.faults(3), ledger.seen()), (Faults::default(), 3));
        assert_eq!(ledger.next_offset(), 3);
    }

    #[test]
    fn every_fault_has_its_name() {
        let none = Faults::default();
        assert_eq!(faults(&[0, 1], 5), Faults { lost: 3, ..none });
        assert_eq!(faults(&[0, 4], 5), Faults { lost: 3, ..none });
        assert_eq!(faults(&[0, 1, 1, 0, 2], 3), Faults { doubled: 2, ..none });
        let out_of_order = 1;
        assert_eq!(
            faults(&[0, 2, 1], 3),
            Faults {
                out_of_order,
                ..none
            }
        );
        let mixed = Faults {
            lost: 2,
            doubled: 1,
            out_of_order,
            ..none
        };
        assert_eq!(faults(&[0, 4, 2, 2], 5), mixed);
        let foreign = after(&[Some(0), None, Some(1)]).faults(2);
        assert_eq!(foreign, Faults { foreign: 1, ..none });
        assert_eq!(faults(&[0, 1, 2], 1), Faults { foreign: 2, ..none });
    }

    #[test]
    fn what_a_group_delivers_again_is_not_counted() {
        let mut ledger = after(&[Some(0), Some(1)]);
        assert!(!ledger.take(1, Some(1)));
        assert!(ledger.take(7, Some(2)), "offsets may have holes");
        assert_eq!(ledger.faults(3), Faults::default());
    }

    #[test]
    fn gaps_are_bounded_and_still_counted() {
        let mut ledger = Ledger::default();
        for step in 0..5_000 {
            ledger.take(i64::try_from(step).expect("small"), Some(2 * step + 1));
        }
        assert!(ledger.gaps.len() <= GAPS_MAX);
        assert_eq!(ledger.faults(10_000).lost, 5_000);
    }
}
