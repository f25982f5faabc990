//! All groups by id, as writers and readers find them.
//!
//! A coordinator that handles a request which may write works on its memory. One that only looks (describe, list, fetch) sees what has
//! been written to the log. Both know the same groups, those aside that came or went without a record ([`Known`]).

use std::collections::BTreeMap;

use kafka_protocol::protocol::StrBytes;

use super::At;
use super::classic::Classic;
use super::group::{Group, Kind, Known};

/// Groups by id.
#[derive(Debug, Default)]
pub(crate) struct Table(BTreeMap<StrBytes, Group>);

impl Table {
    /// The group as a request finds it that may write.
    pub(crate) fn found(&mut self, id: &str) -> Option<&mut Group> {
        let group = self.0.get_mut(id.as_bytes())?;
        (group.known != Known::Log).then_some(group)
    }

    /// The group as a request finds it that only looks.
    pub(crate) fn shown(&self, id: &str) -> Option<&Group> {
        self.0.get(id.as_bytes()).filter(|group| group.is_written())
    }

    /// Everything that [`Self::shown`] finds.
    pub(super) fn all_shown(&self) -> impl Iterator<Item = (&StrBytes, &Group)> {
        self.0.iter().filter(|(_, group)| group.is_written())
    }

    /// A group of this kind where none was found, in memory only; offsets of a former one stay.
    pub(crate) fn make(&mut self, id: &StrBytes, kind: Kind) -> &mut Group {
        let group = self.0.entry(id.clone()).or_default();
        group.kind = kind;
        group.known = Known::Memory;
        group
    }

    /// [`Self::make`], a classic group that nobody has joined.
    pub(crate) fn make_classic(&mut self, id: &StrBytes) -> &mut Group {
        self.make(id, Kind::Classic(Classic::default()))
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.0.remove(id.as_bytes());
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.0.values_mut()
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&StrBytes, &mut Group) -> bool) {
        self.0.retain(keep);
    }

    /// The coordinator of this leader epoch works on the group. Gives it, if there is one.
    pub(super) fn load(&mut self, id: &str, epoch: i32, at: &At<'_>) -> Option<&mut Group> {
        if !self.0.get_mut(id.as_bytes())?.loaded_in(epoch, at) {
            self.0.remove(id.as_bytes());
        }
        self.0.get_mut(id.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::GroupSettings;

    const ID: StrBytes = StrBytes::from_static_str("g");

    #[test]
    fn what_was_never_written_is_shown_to_nobody_and_lost_with_the_coordinator() {
        let settings = GroupSettings::default();
        let at = At {
            now_ms: 0,
            settings: &settings,
        };
        let mut table = Table::default();
        table.make_classic(&ID);
        assert!(table.load(&ID, 1, &at).is_some() && table.shown(&ID).is_none());
        assert!(table.load(&ID, 2, &at).is_none() && table.found(&ID).is_none());

        table.make_classic(&ID).known = Known::Both;
        assert!(table.load(&ID, 2, &at).is_some() && table.shown(&ID).is_some());
        assert!(table.load(&ID, 3, &at).is_some());
    }

    #[test]
    fn what_ended_without_a_record_is_shown_and_comes_back_with_the_next_coordinator() {
        let settings = GroupSettings::default();
        let at = At {
            now_ms: 0,
            settings: &settings,
        };
        let mut table = Table::default();
        table.make_classic(&ID).known = Known::Log;
        table.load(&ID, 1, &at);
        assert!(table.found(&ID).is_none() && table.shown(&ID).is_some());
        table.load(&ID, 2, &at);
        assert!(table.found(&ID).is_some());
    }
}
