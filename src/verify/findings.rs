//! What comparing a partition has found.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// In what a copy may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The source has the record, the target does not.
    Missing,
    /// The target has a record that the source does not have there.
    Extra,
    /// The target has the record more than once.
    Doubled,
    /// Both have the record, but not in the same order.
    OutOfOrder,
    /// Keys differ.
    Key,
    /// Values differ.
    Value,
    /// Headers differ, in names, values or order.
    Headers,
    /// Timestamps, as consumers see them, differ.
    Timestamp,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Missing,
        Self::Extra,
        Self::Doubled,
        Self::OutOfOrder,
        Self::Key,
        Self::Value,
        Self::Headers,
        Self::Timestamp,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Doubled => "doubled",
            Self::OutOfOrder => "out of order",
            Self::Key => "different key",
            Self::Value => "different value",
            Self::Headers => "different headers",
            Self::Timestamp => "different timestamp",
        }
    }
}

/// Offsets on both sides. Where a side has no such record, the next offset there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) source: i64,
    pub(crate) target: i64,
}

/// How often, and where first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Difference {
    count: u64,
    first: Option<Place>,
}

/// Of one partition, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Findings {
    /// Records that are equal on both sides.
    pub(crate) equal: u64,
    /// Of these, those whose batches are equal byte by byte.
    pub(crate) equal_in_bulk: u64,
    /// What was read of the source's log. Unit: bytes, compressed as they are.
    pub(crate) bytes: u64,
    /// Records that the target has and the source has compacted away since.
    pub(crate) compacted_source: u64,
    /// Records that the source has and the target has compacted away.
    pub(crate) compacted_target: u64,
    /// Source offsets, at the end, that are not copied yet.
    pub(crate) lag: u64,
    /// Source offsets whose copies the target's retention has deleted.
    pub(crate) below_source: u64,
    /// Target offsets in front of the copy of the source's first record: its retention has deleted their originals.
    pub(crate) below_target: u64,
    differences: [Difference; Kind::ALL.len()],
}

impl Findings {
    /// Counts a difference.
    pub(crate) fn note(&mut self, kind: Kind, place: Place) {
        self.note_many(kind, 1, place);
    }

    /// Counts `count` differences; `place` is that of the first.
    pub(crate) fn note_many(&mut self, kind: Kind, count: u64, place: Place) {
        let Some(found) = self
            .differences
            .get_mut(kind as usize)
            .filter(|_| count > 0)
        else {
            return;
        };
        found.count += count;
        // Kinds that are decided on later do not come in order.
        found.first = Some(found.first.map_or(place, |first| {
            if (place.source, place.target) < (first.source, first.target) {
                place
            } else {
                first
            }
        }));
    }

    /// Both sides hold the same records in the same order, as far as they can be compared.
    pub(crate) fn are_equal(&self) -> bool {
        self.differences.iter().all(|found| found.count == 0)
    }

    /// Adds the numbers of another partition; its places mean nothing here.
    pub(crate) fn add(&mut self, other: &Self) {
        self.equal += other.equal;
        self.equal_in_bulk += other.equal_in_bulk;
        self.bytes += other.bytes;
        self.compacted_source += other.compacted_source;
        self.compacted_target += other.compacted_target;
        self.lag += other.lag;
        self.below_source += other.below_source;
        self.below_target += other.below_target;
        for (mine, theirs) in self.differences.iter_mut().zip(&other.differences) {
            mine.count += theirs.count;
            mine.first = None;
        }
    }

    /// What is not compared, with its number; only what there is.
    fn left_out(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("offsets not copied yet", self.lag),
            (
                "source offsets that the target's retention has deleted",
                self.below_source,
            ),
            (
                "target offsets in front of the source's first record",
                self.below_target,
            ),
            (
                "records that the source has compacted away",
                self.compacted_source,
            ),
            (
                "records that the target has compacted away",
                self.compacted_target,
            ),
        ];
        all.into_iter().filter(|(_, count)| *count > 0)
    }

    /// As an object.
    pub(crate) fn json(&self) -> Map<String, Value> {
        let mut out = Map::new();
        let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
        put("equal", self.are_equal().into());
        put("equal_records", self.equal.into());
        put("bytes", self.bytes.into());
        put("lag_offsets", self.lag.into());
        put("deleted_on_target_offsets", self.below_source.into());
        put("deleted_on_source_offsets", self.below_target.into());
        put("compacted_on_source_records", self.compacted_source.into());
        put("compacted_on_target_records", self.compacted_target.into());
        let found = Kind::ALL.iter().zip(&self.differences);
        let found: Map<_, _> = found
            .filter(|(_, found)| found.count > 0)
            .map(|(kind, found)| {
                let name = kind.as_str().replace(' ', "_");
                (name, json!({"count": found.count, "first": found.first}))
            })
            .collect();
        put("differences", found.into());
        out
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.are_equal() {
            "equal"
        } else {
            "DIFFERENT"
        };
        write!(f, "{verdict}: {} equal records", self.equal)?;
        for (what, count) in self.left_out() {
            write!(f, ", {count} {what}")?;
        }
        for (kind, found) in Kind::ALL.iter().zip(&self.differences) {
            if found.count == 0 {
                continue;
            }
            write!(f, "\n  {}: {}", kind.as_str(), found.count)?;
            if let Some(Place { source, target }) = found.first {
                write!(
                    f,
                    ", the first at source offset {source}, target offset {target}"
                )?;
            }
        }
        Ok(())
    }
}
