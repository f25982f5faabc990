//! Which checkpoints a flow has written, and when the next is due (`docs/spec/mm2.md` 6.2, 6.3). Pure: no I/O, no clock.

use std::collections::HashMap;
use std::sync::Arc;

use super::Checkpoint;
use super::schema::SchemaError;

/// The last checkpoint of each group and partition of the target. MM2: `CheckpointStore`.
#[derive(Debug, Default)]
pub struct CheckpointTable {
    groups: HashMap<Arc<str>, OfGroup>,
}

/// By topic and partition of the target.
type OfGroup = HashMap<(Arc<str>, i32), Kept>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Kept {
    upstream: i64,
    downstream: i64,
}

impl CheckpointTable {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a record of the topic, if it is of a group that is `wanted`. Kafka's own topic holds no tombstones; one
    /// forgets nothing.
    ///
    /// # Errors
    /// Key or value is not a checkpoint's; nothing changed.
    pub fn apply(
        &mut self,
        key: &[u8],
        value: &[u8],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), SchemaError> {
        let read = Checkpoint::decode(key, value)?;
        if wanted(&read.consumer_group_id) {
            let topic: Arc<str> = read.topic.as_str().into();
            let kept = Kept::of(&read);
            self.keep(
                &read.consumer_group_id.as_str().into(),
                (topic, read.partition),
                kept,
            );
        }
        Ok(())
    }

    /// Whether a checkpoint is to be written: the first of its group and partition, one that goes up on the target, or one that
    /// goes down on the source. Then it is the last one from now on.
    pub fn accept(
        &mut self,
        group: &Arc<str>,
        at: &(Arc<str>, i32),
        upstream: i64,
        downstream: i64,
    ) -> bool {
        let due = self
            .last(group, at)
            .is_none_or(|(up, down)| upstream < up || downstream > down);
        if due {
            self.keep(
                group,
                at.clone(),
                Kept {
                    upstream,
                    downstream,
                },
            );
        }
        due
    }

    /// Upstream and downstream offset of the last checkpoint.
    pub fn last(&self, group: &str, at: &(Arc<str>, i32)) -> Option<(i64, i64)> {
        let kept = self.groups.get(group)?.get(at)?;
        Some((kept.upstream, kept.downstream))
    }

    fn keep(&mut self, group: &Arc<str>, at: (Arc<str>, i32), kept: Kept) {
        match self.groups.get_mut(group) {
            Some(of_group) => drop(of_group.insert(at, kept)),
            None => drop(
                self.groups
                    .insert(group.clone(), HashMap::from([(at, kept)])),
            ),
        }
    }
}

impl Kept {
    fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            upstream: checkpoint.upstream_offset.0,
            downstream: checkpoint.downstream_offset.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        DownstreamOffset, OffsetSync, OffsetSyncStore, SyncTranslation, UpstreamOffset,
    };
    use super::*;

    fn checkpoint(group: &str, upstream: i64, downstream: i64) -> (Vec<u8>, Vec<u8>) {
        let checkpoint = Checkpoint {
            consumer_group_id: group.to_owned(),
            topic: "t1".to_owned(),
            partition: 0,
            upstream_offset: UpstreamOffset(upstream),
            downstream_offset: DownstreamOffset(downstream),
            metadata: String::new(),
        };
        (
            checkpoint.encode_key().unwrap(),
            checkpoint.encode_value().unwrap(),
        )
    }

    fn t1() -> (Arc<str>, i32) {
        ("t1".into(), 0)
    }

    fn store(must_read_to_end: bool, syncs: &[(i64, i64)]) -> OffsetSyncStore {
        let mut store = OffsetSyncStore::new(must_read_to_end);
        more(&mut store, syncs);
        store.set_read_to_end();
        store
    }

    fn more(store: &mut OffsetSyncStore, syncs: &[(i64, i64)]) {
        for (upstream, downstream) in syncs {
            store.apply(&OffsetSync {
                topic: "t1".to_owned(),
                partition: 0,
                upstream_offset: UpstreamOffset(*upstream),
                downstream_offset: DownstreamOffset(*downstream),
            });
        }
    }

    /// Translates as MM2 and asks whether the checkpoint is written.
    fn round(table: &mut CheckpointTable, store: &OffsetSyncStore, offset: i64) -> (i64, bool) {
        let SyncTranslation::At(downstream) = store.translate("t1", 0, offset) else {
            panic!("no translation of {offset}");
        };
        (
            downstream,
            table.accept(&"group1".into(), &t1(), offset, downstream),
        )
    }

    #[test]
    fn ks_01_read_checkpoints_topic() {
        let mut table = CheckpointTable::new();
        let wanted = |group: &str| group == "group1";
        let (key, value) = checkpoint("group1", 0, 0);
        table.apply(&key, &value, wanted).unwrap();
        let (other, value) = checkpoint("group2", 5, 5);
        table.apply(&other, &value, wanted).unwrap();
        assert!(table.apply(b"", b"", wanted).is_err());
        let (key, value) = checkpoint("group1", 1, 1);
        table.apply(&key, &value, wanted).unwrap();
        assert_eq!(table.last("group1", &t1()), Some((1, 1)));
        assert_eq!(table.last("group2", &t1()), None);
    }

    #[test]
    fn kt_07_checkpoints_are_monotonic_if_the_store_rewinds() {
        let mut table = CheckpointTable::new();
        let mut store = store(false, &[(11, 4), (12, 5)]);
        assert_eq!(round(&mut table, &store, 13), (6, true));
        more(&mut store, &[(13, 6), (14, 7), (15, 8), (16, 9), (17, 10)]);
        assert_eq!(round(&mut table, &store, 13), (5, false));
        assert!(round(&mut table, &store, 12).1, "the group went back");
    }

    #[test]
    fn kt_08_a_restart_uses_existing_checkpoints() {
        let mut table = CheckpointTable::new();
        let syncs = [100, 200, 300].map(|offset| (offset, offset));
        assert_eq!(round(&mut table, &store(false, &syncs), 250), (201, true));
        let mut table = CheckpointTable::new();
        let (key, value) = checkpoint("group1", 250, 201);
        table.apply(&key, &value, |_| true).unwrap();
        let again = store(false, &[175, 275, 375, 475].map(|offset| (offset, offset)));
        assert_eq!(round(&mut table, &again, 250), (176, false));
        assert_eq!(round(&mut table, &again, 370), (176, false));
        assert_eq!(round(&mut table, &again, 400), (376, true));
    }
}
