//! What the generator draws from: mostly what a client would do, now and then what it should not.

use kafka_protocol::protocol::VersionRange;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Slots of topics that a list creates at its start; see [`crate::topics`] for what each is like.
pub(crate) const TOPICS: usize = 6;
/// Consumer groups of a list.
pub(crate) const GROUPS: usize = 5;
/// Producers of a list; those from [`TRANSACTIONAL_FROM`] on have a transactional id.
pub(crate) const PRODUCERS: usize = 6;
/// The first producer with a transactional id.
pub(crate) const TRANSACTIONAL_FROM: usize = 3;

/// A topic as an operation names it; each cluster has its own id for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// The topic of this slot, which may have been deleted.
    Slot(usize),
    /// The slot's name, with the id of the topic that had it before.
    Old(usize),
    /// Never created.
    Missing,
    /// A name as it stands here.
    Named(&'static str),
    /// A name behind the list's prefix.
    Suffix(&'static str),
}

/// A group as an operation names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Slot(usize),
    Missing,
    Empty,
}

/// Of a hundred operations, so many have several things wrong at once: then it shows which of them wins.
const VERY_ODD_PERCENT: u32 = 12;
/// How much likelier odd choices are in those.
const VERY_ODD_FACTOR: u32 = 6;

/// Seeded choices.
pub(crate) struct Random {
    dice: StdRng,
    /// The chance of odd choices is multiplied by this.
    oddness: u32,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: StdRng::seed_from_u64(seed),
            oddness: 1,
        }
    }

    /// Called before every operation: decides how odd it is going to be.
    pub(crate) fn next_operation(&mut self) {
        self.oddness = 1;
        if self.chance(VERY_ODD_PERCENT) {
            self.oddness = VERY_ODD_FACTOR;
        }
    }

    /// True in `percent` of all cases, more often in a very odd operation.
    pub(crate) fn odd(&mut self, percent: u32) -> bool {
        self.chance(percent * self.oddness)
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.dice.random_range(0..100) < percent
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.dice.random_range(0..end)
    }

    pub(crate) fn between(&mut self, first: i64, last: i64) -> i64 {
        self.dice.random_range(first..=last)
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// `usual`, but in `percent` of all cases one of `odd`; more often in a very odd operation.
    pub(crate) fn or<T: Copy>(&mut self, usual: T, percent: u32, odd: &[T]) -> T {
        if self.odd(percent) {
            self.of(odd)
        } else {
            usual
        }
    }

    /// A choice by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, all: &[(u32, T)]) -> T {
        let mut at = self
            .dice
            .random_range(0..all.iter().map(|(weight, _)| weight).sum());
        for (weight, value) in all {
            if at < *weight {
                return *value;
            }
            at -= weight;
        }
        all[0].1
    }

    /// Any version, the newest more often than others.
    pub(crate) fn version(&mut self, all: VersionRange) -> i16 {
        match self.chance(30) {
            true => all.max,
            false => self.dice.random_range(all.min..=all.max),
        }
    }

    pub(crate) fn topic(&mut self) -> Topic {
        let slot = self.below(TOPICS);
        // The first, plain topic gets most, so that its log grows.
        let slot = if self.chance(40) { 0 } else { slot };
        self.or(Topic::Slot(slot), 6, &[Topic::Missing, Topic::Old(slot)])
    }

    pub(crate) fn partition(&mut self) -> i32 {
        let usual = self.of(&[0, 0, 1]);
        self.or(usual, 5, &[2, 7, -1])
    }

    pub(crate) fn group(&mut self) -> Group {
        let slot = self.below(GROUPS);
        self.or(Group::Slot(slot), 8, &[Group::Missing, Group::Empty])
    }
}
