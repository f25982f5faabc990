//! What a consumer group that moves to the copy reads twice, and what it misses.

use std::fmt;

use super::compare::Contents;

/// One partition of one group that moved from a topic to its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The group.
    pub group: String,
    /// The partition.
    pub partition: i32,
    /// Where it stood on the source.
    pub committed: i64,
    /// Where it begins on the copy; none: it has no offset there.
    pub begins_at: Option<i64>,
    /// Records that it read on the source and reads again.
    pub read_again: u64,
    /// Records that it has not read and does not read.
    pub skipped: u64,
}

impl Moved {
    /// Judges where a group begins on the copy. The records of both are the same, but for what the one or the other has
    /// lost at its beginning: what counts is how many are left to be read.
    pub fn judge(
        group: &str,
        (partition, committed): (i32, i64),
        begins_at: Option<i64>,
        (topic, copy): (&Contents, &Contents),
    ) -> Self {
        let left = |contents: &Contents, from: i64| {
            let records = contents.get(&partition).map(Vec::as_slice).unwrap_or(&[]);
            let read = records.partition_point(|record| record.offset < from);
            u64::try_from(records.len() - read).unwrap_or(u64::MAX)
        };
        let wanted = left(topic, committed);
        // Without an offset it would have to begin at the copy's start.
        let gets = left(copy, begins_at.unwrap_or(0));
        Self {
            group: group.to_owned(),
            partition,
            committed,
            begins_at,
            read_again: gets.saturating_sub(wanted),
            skipped: wanted.saturating_sub(gets),
        }
    }

    /// Each record once, over source and copy.
    pub fn is_exact(&self) -> bool {
        self.begins_at.is_some() && self.read_again + self.skipped == 0
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}-{} at {} begins at {}: {} read again, {} skipped",
            self.group,
            self.partition,
            self.committed,
            self.begins_at
                .map_or("no offset".to_owned(), |at| at.to_string()),
            self.read_again,
            self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::client::{ReadRecord, TestRecord};

    fn contents(offsets: &[i64]) -> Contents {
        let at = |offset: &i64| ReadRecord {
            offset: *offset,
            record: TestRecord::default(),
        };
        BTreeMap::from([(0, offsets.iter().map(at).collect())])
    }

    #[test]
    fn holes_and_lost_beginnings_change_nothing() {
        let topic = contents(&[10, 11, 15, 16]);
        let copy = contents(&[0, 1, 3, 4]);
        let judge = |committed, begins_at| {
            let moved = Moved::judge("g", (0, committed), begins_at, (&topic, &copy));
            (moved.read_again, moved.skipped, moved.is_exact())
        };
        assert_eq!(judge(12, Some(3)), (0, 0, true));
        assert_eq!(judge(12, Some(2)), (0, 0, true));
        assert_eq!(judge(12, Some(1)), (1, 0, false));
        assert_eq!(judge(12, Some(4)), (0, 1, false));
        assert_eq!(judge(17, Some(5)), (0, 0, true));
        assert_eq!(judge(17, None), (4, 0, false));
        assert_eq!(judge(10, None), (0, 0, false));
        let longer = contents(&[0, 1, 2, 3, 4, 5]);
        let moved = Moved::judge("g", (0, 15), Some(4), (&topic, &longer));
        assert!(moved.is_exact(), "{moved}");
    }
}
