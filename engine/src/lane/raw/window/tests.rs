//! The window against a model of what a broker remembers of a producer id (`docs/spec/real-kafka.md` 3).

use batch::{BatchBuilder, Codec};
use proptest::prelude::*;

use super::*;
use crate::cluster::ErrorCode;

/// A batch whose upstream offsets tell which one it is.
fn outgoing(first: i64, records: i64) -> Outgoing {
    let mut builder = BatchBuilder::new(Codec::None);
    for _ in 0..records {
        builder.push(0, None, Some(b"v"), &[]).unwrap();
    }
    let batch = builder.build().unwrap();
    Outgoing {
        runs: Vec::new(),
        batch,
        upstream_first: first,
        upstream_last: first + records - 1,
        credit_bytes: 1,
    }
}

fn stored(base_offset: i64) -> Outcome {
    Outcome::Stored { base_offset }
}

fn retry() -> Outcome {
    Outcome::Retry {
        reason: "NOT_LEADER_OR_FOLLOWER (6)".into(),
        refresh: true,
    }
}

fn acked(event: Event) -> Vec<(i64, Option<i64>)> {
    match event {
        Event::Acked(acked) => acked
            .iter()
            .map(|a| (a.outgoing.upstream_first, a.downstream_base))
            .collect(),
        other => panic!("not an acknowledgement: {other:?}"),
    }
}

/// A window that the partition knows: one batch of one record was acknowledged.
fn open_window() -> Window {
    let mut window = Window::new(1, 0, Some(0));
    let first = window.push(outgoing(0, 1));
    acked(window.answered(first.ticket, stored(0)));
    window
}

#[test]
fn the_first_batch_of_a_producer_id_goes_alone() {
    let mut window = Window::new(1, 0, Some(0));
    let first = window.push(outgoing(0, 1));
    assert!(
        !window.has_room(),
        "a second one could be taken as a first sequence"
    );
    acked(window.answered(first.ticket, stored(0)));
    for n in 0..5 {
        assert!(window.has_room());
        window.push(outgoing(1 + n, 1));
    }
    assert!(!window.has_room());
}

#[test]
fn a_restarted_broker_knows_only_the_last_batch_and_nothing_is_doubled() {
    let mut window = open_window();
    for n in 0..5 {
        window.push(outgoing(1 + n, 1));
    }
    assert!(matches!(
        window.disconnected("reset"),
        Event::Recover { refresh: true, .. }
    ));
    // All five were stored: 45, 45, 45, 45, NONE.
    for _ in 0..4 {
        let probe = window.due();
        assert_eq!(probe.len(), 1, "one at a time");
        assert!(matches!(
            window.answered(probe[0].ticket, Outcome::OutOfOrder),
            Event::Probe
        ));
    }
    let probe = window.due();
    let all = acked(window.answered(probe[0].ticket, stored(5)));
    assert_eq!(
        all,
        [
            (1, Some(1)),
            (2, Some(2)),
            (3, Some(3)),
            (4, Some(4)),
            (5, Some(5))
        ]
    );
    assert!(window.is_empty());
}

#[test]
fn what_was_not_stored_follows_the_probe() {
    let mut window = open_window();
    for n in 0..3 {
        window.push(outgoing(1 + n, 1));
    }
    window.disconnected("reset");
    let probe = window.due();
    assert_eq!(
        acked(window.answered(probe[0].ticket, stored(1))),
        [(1, Some(1))]
    );
    let rest = window.due();
    assert_eq!(rest.len(), 2, "pipelined again");
    assert_eq!(
        rest[0].header.base_sequence(),
        2,
        "with their first sequences"
    );
}

#[test]
fn a_late_answer_to_a_given_up_attempt_is_ignored() {
    let mut window = open_window();
    let old = window.push(outgoing(1, 1));
    window.disconnected("reset");
    assert!(matches!(window.answered(old.ticket, retry()), Event::None));
    assert_eq!(window.due().len(), 1);
}

#[test]
fn recovery_waits_for_every_answer() {
    let mut window = open_window();
    let (one, two) = (window.push(outgoing(1, 1)), window.push(outgoing(2, 1)));
    assert!(
        matches!(window.answered(one.ticket, retry()), Event::None),
        "two is still in flight"
    );
    assert!(!window.has_room(), "nothing new behind a failure");
    assert!(matches!(
        window.answered(two.ticket, Outcome::OutOfOrder),
        Event::Recover { refresh: true, .. }
    ));
}

#[test]
fn all_out_of_order_means_that_the_target_lost_records() {
    let mut window = open_window();
    window.push(outgoing(1, 1));
    window.push(outgoing(2, 1));
    window.disconnected("reset");
    let probe = window.due();
    assert!(matches!(
        window.answered(probe[0].ticket, Outcome::OutOfOrder),
        Event::Probe
    ));
    let probe = window.due();
    assert!(matches!(
        window.answered(probe[0].ticket, Outcome::OutOfOrder),
        Event::Lost
    ));
}

#[test]
fn a_refused_batch_comes_back_with_what_is_behind_it() {
    let mut window = open_window();
    let (one, two) = (window.push(outgoing(1, 3)), window.push(outgoing(4, 1)));
    let refusal = Refusal {
        code: ErrorCode::MESSAGE_TOO_LARGE,
        message: None,
    };
    window.answered(one.ticket, Outcome::TooLarge(refusal));
    assert!(matches!(
        window.answered(two.ticket, Outcome::OutOfOrder),
        Event::Refused {
            too_large: true,
            ..
        }
    ));
    let back: Vec<_> = window
        .take_back()
        .iter()
        .map(|o| o.upstream_first)
        .collect();
    assert_eq!(back, [1, 4]);
    let again = window.push(outgoing(1, 1));
    assert_eq!(
        again.header.base_sequence(),
        1,
        "nothing was stored, so the sequence is used again"
    );
}

#[test]
fn a_forgetful_broker_cannot_make_us_skip_a_refused_batch() {
    let mut window = open_window();
    let (one, two) = (window.push(outgoing(1, 1)), window.push(outgoing(2, 1)));
    let refusal = Refusal {
        code: ErrorCode::INVALID_RECORD,
        message: None,
    };
    window.answered(one.ticket, Outcome::Refused(refusal));
    assert!(matches!(
        window.answered(two.ticket, stored(1)),
        Event::Fenced(_)
    ));
}

#[test]
fn dropped_batches_move_the_position_with_what_is_before_them() {
    let mut window = open_window();
    assert!(
        !window.skip_to(9),
        "nothing unacknowledged: the caller moves the position itself"
    );
    let one = window.push(outgoing(1, 1));
    assert!(window.skip_to(9));
    match window.answered(one.ticket, stored(1)) {
        Event::Acked(acked) => assert_eq!(acked[0].outgoing.upstream_last, 9),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_forgetful_broker_has_stored_is_learned_from_its_log() {
    let mut window = open_window();
    for n in 0..3 {
        window.push(outgoing(1 + n, 1));
    }
    window.disconnected("reset");
    assert!(window.in_doubt());
    assert_eq!(
        window.next_downstream(),
        Some(1),
        "headers are read from here on"
    );
    // Sequences 1 and 2 are in the log; 0 was acknowledged before.
    let stored = acked(window.learned(Some(2)));
    assert_eq!(stored, [(1, Some(1)), (2, Some(2))]);
    let rest = window.due();
    assert_eq!(
        (rest.len(), rest[0].header.base_sequence()),
        (1, 3),
        "only what is missing"
    );
}

#[test]
fn nothing_stored_is_learned_too() {
    for last in [None, Some(0)] {
        let mut window = open_window();
        window.push(outgoing(1, 1));
        window.disconnected("reset");
        assert!(matches!(window.learned(last), Event::None));
        assert_eq!(window.due().len(), 1);
    }
}

#[test]
fn an_older_last_sequence_means_that_acknowledged_records_are_gone() {
    let mut window = open_window();
    let one = window.push(outgoing(1, 1));
    acked(window.answered(one.ticket, stored(1)));
    window.push(outgoing(2, 1));
    window.disconnected("reset");
    assert!(matches!(window.learned(Some(0)), Event::Lost));
}

#[test]
fn sequences_are_compared_across_their_wrap() {
    let mut window = open_window();
    window.next_sequence = i32::MAX - 1;
    for n in 0..2 {
        window.push(outgoing(1 + 2 * n, 2));
    }
    window.disconnected("reset");
    assert_eq!(acked(window.learned(Some(i32::MAX))), [(1, Some(1))]);
    assert_eq!(window.due()[0].header.base_sequence(), 0);
}

#[test]
fn a_batch_that_overtook_a_failed_one_is_noticed_by_its_offset() {
    let mut window = open_window();
    let (one, two) = (window.push(outgoing(1, 3)), window.push(outgoing(4, 1)));
    assert!(matches!(window.answered(one.ticket, retry()), Event::None));
    // The broker had forgotten the producer id and took the second as a first: it lies where the first belongs.
    assert!(matches!(
        window.answered(two.ticket, stored(1)),
        Event::Fenced(_)
    ));

    let mut window = open_window();
    let (one, two) = (window.push(outgoing(1, 3)), window.push(outgoing(4, 1)));
    assert!(matches!(window.answered(one.ticket, retry()), Event::None));
    let both = acked(window.answered(two.ticket, stored(4)));
    assert_eq!(
        both,
        [(1, Some(1)), (4, Some(4))],
        "behind the first: that one is stored as well"
    );
}

/// What a broker keeps of one producer id in one partition.
#[derive(Default)]
struct Broker {
    log: Vec<i64>,
    /// (last sequence, base offset) of every batch in the log.
    batches: Vec<(i32, i64)>,
    /// (first sequence, last sequence, base offset), newest last, at most five.
    known: VecDeque<(i32, i32, i64)>,
}

impl Broker {
    fn append(&mut self, first: i64, header: &BatchHeader) -> Outcome {
        let (sequence, count) = (header.base_sequence(), header.count());
        let last = sequence + count - 1;
        if let Some((.., base)) = self.known.iter().find(|k| (k.0, k.1) == (sequence, last)) {
            return stored(*base);
        }
        if self
            .known
            .back()
            .is_some_and(|newest| newest.1 + 1 != sequence)
        {
            return Outcome::OutOfOrder;
        }
        let base = i64::try_from(self.log.len()).unwrap();
        self.log.extend((0..i64::from(count)).map(|n| first + n));
        self.batches.push((last, base));
        self.known.push_back((sequence, last, base));
        while self.known.len() > 5 {
            self.known.pop_front();
        }
        stored(base)
    }

    fn restart(&mut self) {
        while self.known.len() > 1 {
            self.known.pop_front();
        }
    }

    /// What the caller finds out: the broker's memory or, without one, the log from `from` on.
    fn last_sequence(&self, from: i64) -> Option<i32> {
        let known = self.known.back().map(|newest| newest.1);
        known.or_else(|| {
            self.batches
                .iter()
                .rfind(|(_, base)| *base >= from)
                .map(|(last, _)| *last)
        })
    }
}

/// What happens to one attempt, or to all that are in flight.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answered,
    NotLeader,
    /// Stored, but the answer says that it was not replicated in time.
    TimedOut,
    /// This and everything in flight behind it loses its answer; `stored` of them were stored.
    Disconnect {
        stored: usize,
        restart: bool,
        forget: bool,
    },
}

fn fate() -> impl Strategy<Value = Fate> {
    let disconnect =
        (0..6usize, any::<bool>(), any::<bool>()).prop_map(|(stored, restart, forget)| {
            Fate::Disconnect {
                stored,
                restart,
                forget,
            }
        });
    prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::NotLeader),
        1 => Just(Fate::TimedOut),
        2 => disconnect,
    ]
}

proptest! {
    /// Whatever happens to answers, brokers, leaders and what they remember: every record once, in order.
    #[test]
    fn every_record_is_stored_once_and_in_order(
        counts in prop::collection::vec(1..4i64, 1..40),
        fates in prop::collection::vec(fate(), 0..120),
    ) {
        let (mut window, mut broker) = (Window::new(1, 0, Some(0)), Broker::default());
        let mut next_offset = 0;
        let mut queue: VecDeque<Outgoing> = counts.iter().map(|count| {
            let batch = outgoing(next_offset, *count);
            next_offset += count;
            batch
        }).collect();
        let mut fates = fates.into_iter();
        let mut in_flight: VecDeque<Submission> = VecDeque::new();
        let mut position = -1;
        let mut turns = 0;
        while !(queue.is_empty() && window.is_empty()) {
            turns += 1;
            prop_assert!(turns < 10_000, "no progress");
            while window.has_room() && let Some(batch) = queue.pop_front() {
                in_flight.push_back(window.push(batch));
            }
            let Some(attempt) = in_flight.pop_front() else {
                in_flight.extend(window.due());
                continue;
            };
            let first_of = |window: &Window, ticket| {
                window.entries.iter().find(|e| e.ticket == Some(ticket)).map(|e| e.outgoing.upstream_first)
            };
            let first = first_of(&window, attempt.ticket).unwrap();
            let mut event = match fates.next().unwrap_or(Fate::Answered) {
                Fate::Answered => {
                    let outcome = broker.append(first, &attempt.header);
                    window.answered(attempt.ticket, outcome)
                }
                Fate::NotLeader => window.answered(attempt.ticket, retry()),
                Fate::TimedOut => match broker.append(first, &attempt.header) {
                    Outcome::Stored { .. } => {
                        let reason = "REQUEST_TIMED_OUT (7)".to_owned();
                        window.answered(attempt.ticket, Outcome::Retry { reason, refresh: false })
                    }
                    other => window.answered(attempt.ticket, other),
                },
                Fate::Disconnect { stored, restart, forget } => {
                    in_flight.push_front(attempt);
                    for attempt in in_flight.drain(..).take(stored) {
                        let first = first_of(&window, attempt.ticket).unwrap();
                        broker.append(first, &attempt.header);
                    }
                    if restart {
                        broker.restart();
                    }
                    if forget {
                        broker.known.clear();
                    }
                    window.disconnected("reset")
                }
            };
            if matches!(event, Event::Recover { .. }) && window.in_doubt() {
                let from = window.next_downstream().unwrap();
                event = match window.learned(broker.last_sequence(from)) {
                    Event::None => Event::Probe,
                    learned => learned,
                };
            }
            match event {
                Event::Acked(all) => {
                    for one in all {
                        prop_assert_eq!(one.outgoing.upstream_first, position + 1, "in order");
                        position = one.outgoing.upstream_last;
                        if let Some(base) = one.downstream_base {
                            prop_assert_eq!(base, one.outgoing.upstream_first);
                        }
                    }
                    in_flight.extend(window.due());
                }
                Event::Probe | Event::Recover { .. } => in_flight.extend(window.due()),
                Event::None => {}
                other => prop_assert!(false, "unexpected {:?}", other),
            }
        }
        prop_assert_eq!(broker.log, (0..next_offset).collect::<Vec<_>>());
    }
}
