//! Where two logs that have come apart go on alike.

use std::collections::{HashMap, VecDeque};

use engine::batch::{RawBatch, TimestampType};

use crate::verify::side::Entry;

/// Of a record in the source's window, and of its copy in the target's.
type Indices = (usize, usize);

/// Where in a window a record is, by its hash; the first of equal ones.
pub(super) fn positions<'e>(
    entries: impl IntoIterator<Item = &'e Entry>,
    timed: bool,
) -> HashMap<u64, usize> {
    let mut positions = HashMap::new();
    for (at, entry) in entries.into_iter().enumerate() {
        positions.entry(entry.hash(timed)).or_insert(at);
    }
    positions
}

/// The nearest indices, of the first `count`, at which both sides have the same record. One that is there more than once on a
/// side, as content without a key may be, counts only where the next one is the same, too, as long as there is a better one.
pub(super) fn meeting(
    source: &VecDeque<Entry>,
    target: &VecDeque<Entry>,
    count: usize,
    timed: bool,
) -> Option<Indices> {
    let hashes: Vec<u64> = target
        .iter()
        .take(count)
        .map(|entry| entry.hash(timed))
        .collect();
    let mut repeated = HashMap::new();
    let sources = source.iter().take(count).map(|entry| entry.hash(timed));
    let mut first = HashMap::new();
    for (at, hash) in sources.enumerate() {
        first.entry(hash).or_insert(at);
        *repeated.entry(hash).or_insert(0) += 1;
    }
    for hash in &hashes {
        *repeated.entry(*hash).or_insert(0) += 1;
    }
    let (mut sure, mut likely): (Option<Indices>, Option<Indices>) = (None, None);
    for (at, (entry, hash)) in target.iter().zip(&hashes).enumerate() {
        if sure.is_some_and(|(source, target)| at >= source + target) {
            break;
        }
        let Some(&found) = first.get(hash) else {
            continue;
        };
        if !source.get(found).is_some_and(|it| it.equals(entry)) {
            continue;
        }
        let goes_on = match (source.get(found + 1), target.get(at + 1)) {
            (Some(source), Some(target)) => source.equals(target),
            _ => true,
        };
        let is_only = repeated.get(hash) == Some(&2);
        let best = if goes_on || is_only {
            &mut sure
        } else {
            &mut likely
        };
        if best.is_none_or(|(source, target)| found + at < source + target) {
            *best = Some((found, at));
        }
    }
    sure.or(likely)
}

/// One may be a changed copy of the other.
pub(super) fn are_alike(source: &Entry, target: &Entry) -> bool {
    if source.has_fields_of(target) {
        return true;
    }
    let same_time = source.timestamp_ms.is_some() && source.timestamp_ms == target.timestamp_ms;
    let parts = source.view(|mine| {
        target.view(|theirs| {
            let key = mine.key.is_some() && mine.key == theirs.key;
            let value =
                mine.value.is_some_and(|value| !value.is_empty()) && mine.value == theirs.value;
            key || value
        })
    });
    same_time || parts.flatten() == Some(true)
}

/// The batches have the same records, without a look at them.
pub(super) fn are_same(source: &RawBatch, target: &RawBatch) -> bool {
    let (mine, theirs) = (&source.header, &target.header);
    let own_time =
        [mine, theirs].map(|header| header.timestamp_type() == TimestampType::CreateTime);
    own_time == [true, true]
        && mine.count() == theirs.count()
        && mine.is_dense()
        && theirs.is_dense()
        && mine.base_timestamp_ms() == theirs.base_timestamp_ms()
        && mine.codec().ok() == theirs.codec().ok()
        && mine.codec().is_ok()
        && source.body == target.body
}
