//! Histories that were once answered wrongly, each in as few acts as show it.

use engine::batch::Codec;

use crate::plan::{Act, Place, Plan, Setup, TopicSetup};
use crate::run;

const AT: Place = Place {
    side: 0,
    topic: 0,
    partition: 0,
};
/// Longer than positions and maps take to be stored.
const STORED: Act = Act::Sleep { ms: 1_500 };

fn write(batches: usize) -> Act {
    Act::Write {
        at: AT,
        batches,
        records: 10,
        bytes: 60,
        codec: Codec::None,
    }
}

#[track_caller]
fn check(fenced: bool, acts: Vec<Act>) {
    check_with(fenced, 100, acts);
}

#[track_caller]
fn check_with(fenced: bool, flush_ms: u64, acts: Vec<Act>) {
    let topic = TopicSetup {
        compacted: false,
        target_compacted: false,
        target_bytes: None,
        target_time: false,
    };
    let setup = Setup {
        both_ways: false,
        read_committed: true,
        fenced,
        flush_ms,
        topics: [topic; 2],
    };
    let verdict = run::run(&Plan {
        seed: 0,
        setup,
        acts,
    });
    assert!(verdict.faults.is_empty(), "{:#?}", verdict.faults);
    assert!(verdict.exact > 0, "nothing was judged");
}

/// The new history reaches beyond the stored position: only its leader epoch tells.
#[test]
fn cut_and_written_on_while_nobody_copied() {
    let cut = Act::Truncate { at: AT, lose: 60 };
    check(
        true,
        vec![Act::Start, write(20), STORED, Act::Kill, cut, write(20)],
    );
}

/// The stored position lies beyond the log's end: nothing is copied twice all the same.
#[test]
fn cut_while_nobody_copied() {
    let cut = Act::Truncate { at: AT, lose: 60 };
    check(
        true,
        vec![Act::Start, write(20), STORED, Act::Kill, cut, write(1)],
    );
}

#[test]
fn created_again_while_nobody_copied() {
    let again = Act::Recreate { at: AT };
    check(
        true,
        vec![Act::Start, write(5), STORED, Act::Kill, again, write(9)],
    );
}

/// The last owner copied more than it noted down, and the source has deleted that since, up to the middle of a batch.
#[test]
fn deleted_while_nobody_copied() {
    let delete = |percent| Act::Delete { at: AT, percent };
    let copied = Act::Sleep { ms: 300 };
    let acts = vec![Act::Start, write(1), STORED, write(20), copied, Act::Kill];
    for flush_ms in [100, 60_000] {
        let part = vec![delete(52), write(9)];
        check_with(true, flush_ms, [acts.clone(), part].concat());
        check_with(true, flush_ms, [acts.clone(), vec![delete(100)]].concat());
    }
}

/// A position is stored though nothing was copied yet.
#[test]
fn passed_over_before_anything_was_copied() {
    let abort = Act::Transact {
        at: Place { topic: 1, ..AT },
        records: 9,
        commit: false,
    };
    let delete = Act::Delete {
        at: Place { topic: 1, ..AT },
        percent: 1,
    };
    check(
        true,
        vec![Act::Start, abort, delete, STORED, Act::Kill, write(1)],
    );
}

/// Without the permission for transactional ids a lane is safe from its dead predecessors all the same.
#[test]
fn killed_without_transactional_ids() {
    let acts = (0..6).flat_map(|kill| {
        let copied = Act::Sleep {
            ms: 250 + 200 * kill,
        };
        [Act::Start, write(30), copied, write(30), Act::Kill]
    });
    check(false, acts.collect());
}

/// The log begins above 0 and is empty: its position is stored, and so is the map that says why. Without it, nothing below what is
/// copied first would be known to be passed over.
#[test]
fn deleted_before_the_first_start() {
    let delete = Act::Delete {
        at: AT,
        percent: 100,
    };
    let abort = Act::Transact {
        at: AT,
        records: 9,
        commit: false,
    };
    check(
        true,
        vec![write(1), delete, Act::Start, STORED, Act::Kill, abort],
    );
}

/// What was copied is compared though no map was due yet: the claim was stored before the first batch.
#[test]
fn killed_before_the_first_map_was_due() {
    let copied = Act::Sleep { ms: 600 };
    let acts = vec![Act::Start, write(20), copied, Act::Kill, write(1)];
    check_with(true, 60_000, acts);
}

/// What was fetched is of the old topic, what the target's tail is compared with of the new one.
#[test]
fn created_again_while_the_lane_is_taken_over() {
    // Before a second has passed, and so before the map is stored.
    let copied = Act::Sleep { ms: 500 };
    let first = vec![Act::Start, write(20), copied, Act::Kill, write(1)];
    let claiming = vec![Act::HoldClaim { at: AT }, Act::Start, Act::AwaitClaim];
    // It is empty for a while.
    let compared = Act::Sleep { ms: 100 };
    let again = vec![Act::Recreate { at: AT }, Act::Release, compared, write(9)];
    check_with(true, 60_000, [first, claiming, again].concat());
}

/// Nothing that was copied is there any more: what comes next is the first copy of everything before it.
#[test]
fn the_remote_topic_was_created_again() {
    let again = Act::RecreateCopies { at: AT };
    let first = vec![Act::Start, write(9), STORED];
    check(
        true,
        [first.clone(), vec![Act::Kill, again.clone(), write(5)]].concat(),
    );
    check(true, [first, vec![again, write(5)]].concat());
}
