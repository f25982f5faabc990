//! Offsets of checkpoint and heartbeat connectors: always 0, and read by nobody but operators.
//!
//! MM2's tasks give each of their records a source offset of 0, which Connect stores: one for each group's partition, one for
//! the pair of clusters (`docs/spec/mm2.md` 3.5). So are they here, so that REST shows what a real worker would show, and an
//! operator's reset is one.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use engine::offsets::{OffsetTable, SourceOffset, SourceOffsetKey, UpstreamOffset};

use crate::flow::Flow;

/// The constant offsets of one flow's connectors: as many as there are checkpoints, and one.
#[derive(Debug, Default)]
pub(super) struct Constants(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    stored: HashSet<Box<[u8]>>,
    due: BTreeSet<Box<[u8]>>,
}

/// What is stored for every record.
pub(super) fn value() -> Vec<u8> {
    SourceOffset::new(UpstreamOffset(0)).encode()
}

/// Whether a key is one of the flow's checkpoint or heartbeat connector.
pub(super) fn is_of(flow: &Flow, key: &SourceOffsetKey) -> bool {
    let names = &flow.config.connector_names;
    [&names.checkpoint, &names.heartbeat].contains(&&key.connector)
}

impl Constants {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was read from the topic counts, and nothing else.
    pub(super) fn load(&self, flow: &Flow, table: &OffsetTable) {
        let keys = table.iter().filter(|(key, _)| is_of(flow, key));
        let stored = keys.map(|(key, _)| key.encode().into()).collect();
        self.with(|state| state.stored = stored);
    }

    /// A record with this source partition is on the target.
    pub(super) fn emitted(&self, key: &SourceOffsetKey) {
        let key = key.encode();
        self.with(|state| {
            if !state.stored.contains(&*key) {
                state.due.insert(key.into());
            }
        });
    }

    /// Keys that are to be stored, as they are written.
    pub(super) fn due(&self) -> Vec<Box<[u8]>> {
        self.with(|state| state.due.iter().cloned().collect())
    }

    /// They are in the topic.
    pub(super) fn stored(&self, keys: Vec<Box<[u8]>>) {
        self.with(|state| {
            for key in keys {
                state.due.remove(&key);
                state.stored.insert(key);
            }
        });
    }

    /// An operator has taken it away: the next record stores it again.
    pub(super) fn reset(&self, key: &SourceOffsetKey) {
        let key = key.encode();
        self.with(|state| {
            state.due.remove(&*key);
            state.stored.remove(&*key);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_due_once_and_again_after_a_reset() {
        let constants = Constants::default();
        let key = SourceOffsetKey::checkpoint("c", "g", "a.t", 0);
        constants.emitted(&key);
        constants.emitted(&key);
        let due = constants.due();
        assert_eq!(due, [key.encode().into()]);
        constants.stored(due);
        constants.emitted(&key);
        assert!(constants.due().is_empty());
        constants.reset(&key);
        assert!(constants.due().is_empty());
        constants.emitted(&key);
        assert_eq!(constants.due().len(), 1);
    }
}
