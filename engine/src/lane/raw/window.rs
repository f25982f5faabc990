//! At most five unacknowledged batches of one partition, resent without doubling and without a hole.
//!
//! One producer id per partition lane makes idempotence local: nothing here depends on another partition.
//!
//! **Learning what is stored.** After a failure (disconnect, leader move, time-out) a batch may be in the
//! log or not. A broker recognizes a resend of the last five batches, but after its restart only of the *last*
//! one: five stored batches resent oldest first answer 45, 45, 45, 45, NONE (`docs/spec/real-kafka.md` 3). So
//! OUT_OF_ORDER (45) does not mean missing, and a new producer id would double records. The window therefore *probes*:
//! it resends its oldest batch alone.
//!
//! - NONE: that batch is stored (just now, or before). So is everything older, because a broker that knows the
//!   producer id takes sequences without gaps only. The rest follows, pipelined again.
//! - 45: the broker knows the producer id and the sequence is not next, so the batch is stored and forgotten (or
//!   something before it was lost). The next batch is probed; a NONE settles all before it.
//! - 45 for every batch: an acknowledged record is gone from the target, or all is stored and a later one too, which
//!   cannot be. [`Event::Lost`]: the target's log was cut.
//!
//! **What a broker forgets.** It drops what it knows of a producer id after `producer.id.expiration.ms`, and it takes the
//! records' own timestamps for the age: a copy of records older than a day is forgotten at every restart and every
//! ten minutes (seen). Then a resend would double what is stored. So before the probe the caller asks what is stored
//! ([`Window::in_doubt`], [`Window::learned`]): the leader's last sequence of our producer id or, where it knows none, the headers
//! in the log behind the last acknowledged batch. Where neither may be read, the probe alone decides.
//!
//! **Why alone.** A broker without state for a producer id accepts *any* first sequence. If the first of five
//! pipelined batches failed there and the second was accepted, the first would be lost silently. So while the
//! partition may not know our id (no acknowledgement yet; a lane that rests is claimed anew) exactly one batch is in flight.

use std::collections::VecDeque;

use batch::{BatchHeader, OffsetRun, ProducerStamp, RawBatch, next_sequence, stamp};
use bytes::Bytes;

use super::produce::Outcome;
use crate::cluster::Refusal;

/// Batches in flight per partition: what a broker remembers of a producer id.
pub const WINDOW_BATCHES: usize = 5;

/// A batch on its way to the target, with what its acknowledgement means for the source.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The batch, dense, as the target will take it.
    pub batch: RawBatch,
    /// Upstream offset of its first record.
    pub upstream_first: i64,
    /// The upstream offsets of its records, where they are not consecutive: one run per hole and one more. Empty for
    /// records that follow each other from `upstream_first` on.
    pub runs: Vec<OffsetRun>,
    /// Upstream offset behind which replication goes on once it is stored. Grows when something is dropped behind it.
    pub upstream_last: i64,
    /// Bytes of credit that come back with it.
    pub credit_bytes: usize,
}

impl Outgoing {
    /// Number of records.
    pub fn records(&self) -> i32 {
        self.batch.header.count()
    }

    /// The upstream offsets of its records, in order; their counts add up to [`Self::records`].
    pub fn upstream_runs(&self) -> impl Iterator<Item = OffsetRun> + '_ {
        let dense = OffsetRun {
            upstream_first: self.upstream_first,
            count: self.records(),
        };
        let dense = self.runs.is_empty().then_some(dense);
        dense.into_iter().chain(self.runs.iter().copied())
    }
}

/// One batch, ready for the wire. `ticket` comes back with the answer.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Names this attempt, never used twice in a window.
    pub ticket: u64,
    /// The stamped header.
    pub header: BatchHeader,
    /// The records.
    pub body: Bytes,
}

/// A batch that is stored.
#[derive(Debug)]
pub struct Acked {
    /// What is stored.
    pub outgoing: Outgoing,
    /// Offset of its first record on the target; none when no answer told.
    pub downstream_base: Option<i64>,
}

/// What an answer means.
#[derive(Debug)]
pub enum Event {
    /// Nothing to do: an answer to an attempt that was given up, or one of several failures.
    None,
    /// Stored, oldest first. Then send [`Window::due`] and new batches.
    Acked(Vec<Acked>),
    /// Send [`Window::due`] at once: the next probe.
    Probe,
    /// Everything that was in flight is answered and something failed: wait, find the leader, then send [`Window::due`].
    Recover {
        /// Why, for the partition's state.
        reason: String,
        /// Ask for metadata first.
        refresh: bool,
    },
    /// The oldest batch will not be accepted as it is: [`Window::take_back`], then re-encode it or halt.
    Refused {
        /// The broker's answer.
        refusal: Refusal,
        /// Splitting may help.
        too_large: bool,
    },
    /// The producer id is of no use any more: start the partition over from its acknowledged position.
    Fenced(Refusal),
    /// The target's log lacks records that it had acknowledged.
    Lost,
}

#[derive(Debug)]
struct Entry {
    outgoing: Outgoing,
    sequence: i32,
    /// Set while in flight.
    ticket: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Exactly one batch in flight: the entry at this index.
    Probing(usize),
    /// The partition knows our producer id: all entries may be in flight.
    Open,
}

/// The unacknowledged batches of one partition, oldest first.
///
/// Invariants: sequences of entries are consecutive; `Acked` comes in order and exactly once per batch; a batch
/// leaves the window only as acknowledged or through [`Window::take_back`].
#[derive(Debug)]
pub struct Window {
    producer_id: i64,
    producer_epoch: i16,
    next_sequence: i32,
    next_ticket: u64,
    entries: VecDeque<Entry>,
    /// Offset on the target right behind what is acknowledged; none when no answer told.
    next_downstream: Option<i64>,
    mode: Mode,
    /// The first failure since something was sent; answered together once nothing is in flight.
    failure: Option<Failure>,
}

#[derive(Debug)]
enum Failure {
    Retry {
        reason: String,
        refresh: bool,
    },
    Refused {
        sequence: i32,
        refusal: Refusal,
        too_large: bool,
    },
}

impl Window {
    /// An empty window of a fresh producer id. `log_end` is the end of the target's log before the first batch.
    pub fn new(producer_id: i64, producer_epoch: i16, log_end: Option<i64>) -> Self {
        Self {
            producer_id,
            producer_epoch,
            next_sequence: 0,
            next_ticket: 0,
            entries: VecDeque::with_capacity(WINDOW_BATCHES),
            next_downstream: log_end,
            mode: Mode::Probing(0),
            failure: None,
        }
    }

    /// The producer id of this lane.
    pub fn producer_id(&self) -> i64 {
        self.producer_id
    }

    /// Nothing is unacknowledged.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a new batch may be pushed now.
    pub fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// How many new batches may be pushed now.
    pub fn room(&self) -> usize {
        match self.mode {
            _ if self.failure.is_some() => 0,
            Mode::Open => WINDOW_BATCHES.saturating_sub(self.entries.len()),
            Mode::Probing(_) => usize::from(self.entries.is_empty()),
        }
    }

    /// Anything is in flight.
    pub fn in_flight(&self) -> bool {
        self.entries.iter().any(|entry| entry.ticket.is_some())
    }

    /// Takes a new batch in; send what comes back. Only when [`Self::has_room`].
    pub fn push(&mut self, outgoing: Outgoing) -> Submission {
        debug_assert!(self.has_room());
        let sequence = self.next_sequence;
        self.next_sequence = next_sequence(sequence, outgoing.records());
        self.entries.push_back(Entry {
            outgoing,
            sequence,
            ticket: None,
        });
        let last = self.entries.len() - 1;
        self.submit(last)
    }

    /// Something was dropped behind the newest batch: its acknowledgement moves the position past that too.
    /// False when the window is empty: then the position may move at once.
    pub fn skip_to(&mut self, upstream_last: i64) -> bool {
        match self.entries.back_mut() {
            Some(entry) => {
                entry.outgoing.upstream_last = entry.outgoing.upstream_last.max(upstream_last);
                true
            }
            None => false,
        }
    }

    /// What is to be sent now: the probe, or everything that is not in flight.
    pub fn due(&mut self) -> Vec<Submission> {
        self.failure = None;
        let range = match self.mode {
            Mode::Probing(at) => at..(at + 1).min(self.entries.len()),
            Mode::Open => 0..self.entries.len(),
        };
        let waiting: Vec<usize> = range
            .filter(|at| self.entries.get(*at).is_some_and(|e| e.ticket.is_none()))
            .collect();
        waiting.into_iter().map(|at| self.submit(at)).collect()
    }

    fn submit(&mut self, at: usize) -> Submission {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let entry = &mut self.entries[at];
        entry.ticket = Some(ticket);
        let header = stamp(
            &entry.outgoing.batch.header,
            ProducerStamp {
                producer_id: self.producer_id,
                producer_epoch: self.producer_epoch,
                base_sequence: entry.sequence,
                transactional: false,
            },
        );
        Submission {
            ticket,
            header,
            body: entry.outgoing.batch.body.clone(),
        }
    }

    /// Digests the answer to one attempt.
    pub fn answered(&mut self, ticket: u64, outcome: Outcome) -> Event {
        let Some(at) = self
            .entries
            .iter()
            .position(|entry| entry.ticket == Some(ticket))
        else {
            return Event::None;
        };
        self.entries[at].ticket = None;
        match outcome {
            Outcome::Stored { base_offset } => return self.stored(at, base_offset),
            Outcome::Fenced(refusal) => return Event::Fenced(refusal),
            Outcome::OutOfOrder => {
                if self.mode == Mode::Probing(at) {
                    return self.probe_next(at);
                }
                // Behind an earlier failure, or forgotten by a restarted broker: probing tells.
                self.fail(Failure::Retry {
                    reason: "checking what the target has stored".to_owned(),
                    refresh: false,
                });
            }
            Outcome::Retry { reason, refresh } => self.fail(Failure::Retry { reason, refresh }),
            Outcome::TooLarge(refusal) => self.refused(at, refusal, true),
            Outcome::Refused(refusal) => self.refused(at, refusal, false),
        }
        self.settle()
    }

    fn refused(&mut self, at: usize, refusal: Refusal, too_large: bool) {
        let sequence = self.entries[at].sequence;
        self.fail(Failure::Refused {
            sequence,
            refusal,
            too_large,
        });
    }

    fn fail(&mut self, failure: Failure) {
        self.failure.get_or_insert(failure);
    }

    /// Once nothing is in flight any more, decides what the failures mean.
    fn settle(&mut self) -> Event {
        if self.in_flight() {
            return Event::None;
        }
        let oldest = self.entries.front().map(|entry| entry.sequence);
        match self.failure.take() {
            None => Event::None,
            Some(Failure::Refused {
                sequence,
                refusal,
                too_large,
            }) if Some(sequence) == oldest => Event::Refused { refusal, too_large },
            // Not the oldest: it will be refused again when its turn comes.
            Some(Failure::Refused { .. }) => self.recover(String::new(), false),
            Some(Failure::Retry { reason, refresh }) => self.recover(reason, refresh),
        }
    }

    fn recover(&mut self, reason: String, refresh: bool) -> Event {
        self.mode = Mode::Probing(0);
        Event::Recover { reason, refresh }
    }

    fn probe_next(&mut self, at: usize) -> Event {
        if at + 1 < self.entries.len() {
            self.mode = Mode::Probing(at + 1);
            return Event::Probe;
        }
        self.mode = Mode::Probing(0);
        Event::Lost
    }

    /// The entry at `at` is stored, hence everything older too (see the module's reasoning), unless something
    /// older has failed in the same flight and the base offset shows that it is not in the log: then the broker had forgotten our
    /// producer id and took this batch as a first. Starting over repeats this one; going on would lose the older one silently.
    fn stored(&mut self, at: usize, base_offset: i64) -> Event {
        if let Some(failure) = &self.failure {
            let refused = matches!(failure, Failure::Refused { sequence, .. }
                if self.entries.iter().take(at).any(|entry| entry.sequence == *sequence));
            let older = self.records_before(at);
            let has_room = self
                .next_downstream
                .is_some_and(|next| base_offset >= next + older);
            if at > 0 && (refused || !has_room) {
                self.failure = None;
                return Event::Fenced(Refusal {
                    code: crate::cluster::ErrorCode::UNKNOWN_PRODUCER_ID,
                    message: Some("a later batch was stored before an earlier one".to_owned()),
                });
            }
        }
        self.acknowledge(at, (base_offset >= 0).then_some(base_offset))
    }

    /// Records of the entries that are older than the one at `at`.
    fn records_before(&self, at: usize) -> i64 {
        let older = self.entries.iter().take(at);
        older.map(|entry| i64::from(entry.outgoing.records())).sum()
    }

    /// Takes the entries up to `at` out; `base` is the offset of the one at `at`, if it is known.
    fn acknowledge(&mut self, at: usize, base: Option<i64>) -> Event {
        if matches!(self.mode, Mode::Probing(_)) {
            self.mode = Mode::Open;
        }
        let mut acked: Vec<Acked> = self
            .entries
            .drain(..=at)
            .map(|entry| Acked {
                outgoing: entry.outgoing,
                downstream_base: None,
            })
            .collect();
        // Only we write there, so what is older lies right before it.
        let mut next = base.map(|base| {
            base + acked
                .last()
                .map_or(0, |last| i64::from(last.outgoing.records()))
        });
        self.next_downstream = next;
        for acked in acked.iter_mut().rev() {
            next = next.map(|next| next - i64::from(acked.outgoing.records()));
            acked.downstream_base = next.filter(|base| *base >= 0);
        }
        Event::Acked(acked)
    }

    /// Something was sent and never answered for certain: ask what is stored before it is sent again.
    pub fn in_doubt(&self) -> bool {
        !self.entries.is_empty() && !self.in_flight()
    }

    /// Where the target's log ended behind what is acknowledged; none when no answer told.
    pub fn next_downstream(&self) -> Option<i64> {
        self.next_downstream
    }

    /// The target's last sequence of our producer id; none when it holds nothing of ours behind what is acknowledged.
    /// Only while nothing is in flight.
    pub fn learned(&mut self, last_sequence: Option<i32>) -> Event {
        let (Some(last_sequence), Some(oldest)) = (last_sequence, self.entries.front()) else {
            return Event::None;
        };
        let next = next_sequence(last_sequence, 1);
        if next == oldest.sequence {
            return Event::None; // everything acknowledged, nothing of the window
        }
        let ends = |entry: &Entry| next_sequence(entry.sequence, entry.outgoing.records()) == next;
        let Some(at) = self.entries.iter().position(ends) else {
            return Event::Lost;
        };
        let older = self.records_before(at);
        self.failure = None;
        let event = self.acknowledge(at, self.next_downstream.map(|next| next + older));
        // What follows is still sent alone first: the broker may forget again.
        self.mode = Mode::Probing(0);
        event
    }

    /// The connection is gone or an actor died: every attempt in flight is given up, its answer ignored.
    pub fn disconnected(&mut self, reason: &str) -> Event {
        if !self.in_flight() {
            return Event::None;
        }
        for entry in &mut self.entries {
            entry.ticket = None;
        }
        self.fail(Failure::Retry {
            reason: reason.to_owned(),
            refresh: true,
        });
        self.settle()
    }

    /// Empties the window, oldest first. Nothing of it is stored, so its sequences are used again.
    /// Only after [`Event::Refused`].
    pub fn take_back(&mut self) -> Vec<Outgoing> {
        if let Some(oldest) = self.entries.front() {
            self.next_sequence = oldest.sequence;
        }
        self.mode = Mode::Probing(0);
        self.failure = None;
        self.entries.drain(..).map(|entry| entry.outgoing).collect()
    }
}

#[cfg(test)]
mod tests;
