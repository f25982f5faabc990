//! The truth, by brute force: both logs are read, and every record is known by its id.

use std::collections::{HashMap, HashSet};

use engine::offsets::{LoadedMap, MapTable, Translation, UnknownReason};

use crate::child::Answers;
use crate::ledger::Ledger;
use crate::plan::{PARTITIONS, TOPICS};
use crate::run::{ALIASES, Run, key, remote_name, topic_name};
use crate::wire::Log;

/// Faults of a kind that are told.
const FAULTS_MAX: usize = 12;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    pub(crate) records: usize,
    pub(crate) exact: usize,
    pub(crate) at_least: usize,
    /// Above all ends.
    pub(crate) limit: i64,
}

impl Verdict {
    pub(crate) fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }
}

/// The id in a record's value.
pub(crate) fn id(value: &[u8]) -> u64 {
    let digits = value.split(|byte| *byte == b'/').next().unwrap();
    std::str::from_utf8(digits).unwrap().parse().unwrap()
}

/// What a partition's log and its copy's say.
struct Truth {
    source: Log,
    target: Log,
    /// Copies of records of this incarnation: (upstream, downstream), the last copy of each.
    copies: Vec<(i64, i64)>,
    /// Below this offset the source cannot tell of which history the copies are: it was cut, and its log start has moved past the
    /// place. Lower bounds are right there.
    vague_below: i64,
    /// The cleaner has taken copies: the answer for one that is gone is its place, which is as good as the next copy's.
    cleaned: bool,
    /// Some of what was copied cannot be told from what somebody else wrote.
    vague: bool,
}

impl Truth {
    /// Whether nothing that is there lies between what was answered and the truth.
    fn is_as_good(&self, found: i64, truth: i64, side: impl Fn(&(i64, i64)) -> i64) -> bool {
        let between = |copy: &(i64, i64)| (found..truth).contains(&side(copy));
        found == truth || self.cleaned && found < truth && !self.copies.iter().any(between)
    }
}

fn truth(run: &mut Run<'_>, side: usize, topic: usize, partition: i32) -> Truth {
    let source = run.sides[side].client.log(&topic_name(topic), partition);
    let target = run.sides[1 - side]
        .client
        .log(&remote_name(side, topic), partition);
    let ledger = ledger(run, side, topic, partition);
    let mut places = ledger.expired.clone();
    places.extend((target.records.iter()).map(|(offset, value)| (id(value), *offset)));
    let copies = (ledger.live.iter())
        .filter_map(|written| Some((written.offset, *places.get(&written.id)?)))
        .collect();
    let vague_below = if ledger.was_cut { source.start } else { 0 };
    let setup = run.plan.setup.topics[topic];
    let vague = setup.compacted
        || ledger.was_deleted
        || ledger.was_cut
        || !ledger.foreign.is_empty()
        || !ledger.dead.is_empty();
    Truth {
        source,
        target,
        copies,
        vague_below,
        cleaned: setup.compacted && setup.target_compacted,
        vague,
    }
}

fn ledger<'a>(run: &'a Run<'_>, side: usize, topic: usize, partition: i32) -> &'a Ledger {
    &run.sides[side].ledgers[topic][usize::try_from(partition).unwrap()]
}

fn partitions(run: &Run<'_>) -> impl Iterator<Item = (usize, usize, i32)> + use<> {
    let sides = 0..run.sources();
    sides.flat_map(|side| {
        (0..TOPICS).flat_map(move |topic| (0..PARTITIONS).map(move |p| (side, topic, p)))
    })
}

/// Compares the logs: nothing lost, nothing twice, in order. True: nothing is missing.
pub(crate) fn logs(run: &mut Run<'_>) -> (Verdict, bool) {
    let (mut verdict, mut complete) = (Verdict::default(), true);
    for (side, topic, partition) in partitions(run) {
        let truth = truth(run, side, topic, partition);
        let name = format!("{}-{partition}", remote_name(side, topic));
        let read_committed = run.plan.setup.read_committed;
        let ledger = ledger(run, side, topic, partition);
        verdict.limit = verdict
            .limit
            .max(truth.source.end + 3)
            .max(truth.target.end + 3);
        verdict.records += truth.target.records.len();
        let mut seen: HashMap<u64, i64> = HashMap::new();
        for (offset, value) in &truth.target.records {
            if let Some(first) = seen.insert(id(value), *offset) {
                verdict.fault(format!(
                    "{name}: record {} is at {first} and at {offset}",
                    id(value)
                ));
            }
        }
        let there: HashSet<u64> = truth
            .source
            .records
            .iter()
            .map(|(_, value)| id(value))
            .collect();
        let known: HashMap<u64, bool> = (ledger.live.iter())
            .map(|written| (written.id, written.aborted))
            .collect();
        let setup = run.plan.setup.topics[topic];
        let cleaned = setup.compacted && setup.target_compacted;
        // By key, the newest record of which a copy is there.
        let mut newest: HashMap<u64, i64> = HashMap::new();
        for written in &ledger.live {
            if cleaned && seen.contains_key(&written.id) {
                newest.insert(key(written.id), written.offset);
            }
        }
        // What the source lost since has replaced copies as well.
        for id in ledger
            .dead
            .iter()
            .filter(|id| cleaned && seen.contains_key(id))
        {
            newest.insert(key(*id), i64::MAX);
        }
        for written in &ledger.live {
            let replaced = newest.get(&key(written.id));
            if replaced.is_some_and(|newest| *newest > written.offset)
                || ledger.expired.contains_key(&written.id)
                || ledger.gone.contains(&written.id)
            {
                continue;
            }
            let wanted = there.contains(&written.id) && !(written.aborted && read_committed);
            if wanted && !seen.contains_key(&written.id) {
                verdict.fault(format!(
                    "{name}: record {} of {} is missing",
                    written.id, written.offset
                ));
                complete = false;
            }
        }
        // Where the target has deleted all that its lane's last owner did not note down, nothing tells that it was there: it is
        // copied again, and still only once in the log.
        for (id, offset) in &ledger.expired {
            seen.entry(*id).or_insert(*offset);
        }
        for id in seen.keys() {
            match known.get(id) {
                Some(true) if read_committed => {
                    verdict.fault(format!("{name}: the aborted record {id} is there"))
                }
                None if !ledger.dead.contains(id) && !ledger.foreign.contains(id) => {
                    verdict.fault(format!("{name}: nobody wrote record {id}"));
                }
                _ => {}
            }
        }
        for pair in truth.copies.windows(2) {
            if pair[0].1 >= pair[1].1 {
                verdict.fault(format!(
                    "{name}: out of order: {:?} then {:?}",
                    pair[0], pair[1]
                ));
            }
        }
    }
    (verdict, complete)
}

/// The maps as they are stored on the targets.
pub(crate) fn stored(run: &mut Run<'_>, limit: i64, verdict: &mut Verdict) -> Vec<Answers> {
    let mut answers = Vec::new();
    for (side, alias) in ALIASES.iter().enumerate().take(run.sources()) {
        let mut table = MapTable::new();
        let topic = format!("mm2-offset-map.{alias}.internal");
        for (key, value) in run.sides[1 - side].client.pairs(&topic) {
            table.apply(key.as_deref(), value.as_deref()).unwrap();
        }
        for topic in 0..TOPICS {
            for partition in 0..PARTITIONS {
                let topic = topic_name(topic);
                let Some(LoadedMap { map, lost, head }) = table.take(&topic, partition) else {
                    continue;
                };
                if head.topic_id != run.sides[side].client.topic_id(&topic) {
                    continue; // created again just now: readers see that too
                }
                if !lost.is_empty() {
                    verdict.fault(format!(
                        "the stored map of {topic}-{partition} has lost {lost:?}"
                    ));
                }
                let place = (*alias, topic.as_str(), partition);
                let (down, up) = (|o| map.downstream(o), |o| map.upstream(o));
                answers.push(Answers::ask(place, limit, down, up));
            }
        }
    }
    answers
}

/// Compares all answers with the truth.
pub(crate) fn maps(run: &mut Run<'_>, kind: &str, answers: &[Answers], verdict: &mut Verdict) {
    for (side, topic, partition) in partitions(run) {
        let truth = truth(run, side, topic, partition);
        let name = topic_name(topic);
        let found = answers.iter().find(|answers| {
            answers.source == ALIASES[side]
                && answers.topic == name
                && answers.partition == partition
        });
        let place = format!("{kind} map of {}-{partition}", remote_name(side, topic));
        match found {
            Some(found) => compare(&truth, &place, found, verdict),
            None if truth.copies.is_empty() => {}
            None => verdict.fault(format!("there is no {place}")),
        }
    }
}

fn compare(all: &Truth, place: &str, answers: &Answers, verdict: &mut Verdict) {
    let copies = &all.copies;
    let source_start = all.source.start;
    let last = copies.last().map_or((-1, -1), |last| *last);
    let mut before = i64::MIN;
    for (asked, answer) in (0..).zip(&answers.downstream) {
        let next = copies.get(copies.partition_point(|(upstream, _)| *upstream < asked));
        let right = match (*answer, next) {
            (Translation::Exact(found), Some((_, truth))) if asked < all.vague_below => {
                found <= *truth
            }
            (Translation::Exact(found), Some((_, truth))) => {
                // Callers clamp to the log start.
                let clamped = [found, *truth].map(|offset| offset.max(all.target.start));
                all.is_as_good(clamped[0], clamped[1], |copy| copy.1)
            }
            // The end: behind the last copy, and not behind the log.
            (Translation::Exact(found), None) => found > last.1 && found <= all.target.end,
            (Translation::AtLeast(_), _) if !all.vague => false,
            (Translation::AtLeast(found), Some((_, truth))) => found <= *truth,
            (Translation::AtLeast(found), None) => found <= all.target.end,
            (Translation::Unknown(UnknownReason::NothingReplicated), _) => copies.is_empty(),
            (Translation::Unknown(UnknownReason::BelowMap), _) => asked < source_start,
        };
        if !right {
            verdict.fault(format!(
                "{place}: downstream({asked}) is {answer:?}, the next copy {next:?}, target {}..{}",
                all.target.start, all.target.end
            ));
            break;
        }
        count(*answer, verdict);
        if let Some(offset) = answer.offset() {
            if offset < before {
                verdict.fault(format!(
                    "{place}: downstream({asked}) went back from {before} to {offset}"
                ));
            }
            before = offset;
        }
    }
    before = i64::MIN;
    for (asked, answer) in (0..).zip(&answers.upstream) {
        let next = copies.get(copies.partition_point(|(_, downstream)| *downstream < asked));
        let right = match (*answer, next) {
            (Translation::Exact(found), Some((truth, _))) if found < all.vague_below => {
                found <= *truth
            }
            (Translation::Exact(_), Some(_)) if asked < all.target.start => true,
            (Translation::Exact(found), Some((truth, _))) => {
                all.is_as_good(found, *truth, |copy| copy.0)
            }
            (Translation::AtLeast(_), _) if !all.vague => false,
            (Translation::Exact(found), None) => found > last.0 && found <= all.source.end,
            (Translation::AtLeast(found), Some((truth, _))) => found <= *truth,
            (Translation::AtLeast(found), None) => found <= all.source.end,
            (Translation::Unknown(UnknownReason::NothingReplicated), _) => copies.is_empty(),
            (Translation::Unknown(UnknownReason::BelowMap), _) => {
                next.is_none_or(|(upstream, _)| *upstream < source_start)
            }
        };
        if !right {
            verdict.fault(format!(
                "{place}: upstream({asked}) is {answer:?}, the next copy {next:?}, source {}..{}",
                all.source.start, all.source.end
            ));
            break;
        }
        count(*answer, verdict);
        if let Some(offset) = answer.offset() {
            if offset < before {
                verdict.fault(format!(
                    "{place}: upstream({asked}) went back from {before} to {offset}"
                ));
            }
            before = offset;
        }
    }
}

fn count(answer: Translation, verdict: &mut Verdict) {
    match answer {
        Translation::Exact(_) => verdict.exact += 1,
        Translation::AtLeast(_) => verdict.at_least += 1,
        Translation::Unknown(_) => {}
    }
}
