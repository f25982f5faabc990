//! An offsets topic, read to its end.

use std::collections::BTreeMap;

use super::UpstreamOffset;
use super::connect::{ConnectError, SourceOffset, SourceOffsetKey, SourcePartition};

/// What a record changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The key has this offset now.
    Set,
    /// The key has no offset now: it was reset.
    Reset,
}

/// The last offset of every key of an offsets topic.
///
/// Feed it the records of all partitions, each partition in order. The last record of a key wins. Keys
/// that mean the same but differ in bytes are one entry here, while for Connect they are strangers: it
/// finds the canonical bytes only. So a canonical record, also a tombstone, goes before all others; and
/// without one the last other record that is no tombstone counts (`docs/spec/mm2.md` 3.5).
#[derive(Debug, Clone, Default)]
pub struct OffsetTable {
    /// By canonical bytes.
    entries: BTreeMap<Vec<u8>, Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: SourceOffsetKey,
    canonical: Option<Option<SourceOffset>>,
    /// Under other bytes; the last written comes last.
    others: Vec<(Vec<u8>, Option<SourceOffset>)>,
}

impl OffsetTable {
    /// A table without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record; a `value` of `None` is a tombstone.
    ///
    /// # Errors
    /// Key or value is malformed. The record is skipped, as Connect does; log the error as a warning.
    pub fn apply(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<Applied, ConnectError> {
        let raw = key.ok_or(ConnectError::NoKey)?;
        let key = SourceOffsetKey::decode(raw)?;
        let offset = value.map(SourceOffset::decode).transpose()?.flatten();
        let applied = if offset.is_some() {
            Applied::Set
        } else {
            Applied::Reset
        };
        let canonical = key.encode();
        let is_canonical = canonical == raw;
        let entry = self.entries.entry(canonical).or_insert_with(|| Entry {
            key,
            canonical: None,
            others: Vec::new(),
        });
        if is_canonical {
            entry.canonical = Some(offset);
        } else {
            entry.others.retain(|(other, _)| other != raw);
            entry.others.push((raw.to_vec(), offset));
        }
        Ok(applied)
    }

    /// The offset of a key.
    pub fn get(&self, key: &SourceOffsetKey) -> Option<&SourceOffset> {
        self.entries.get(&key.encode())?.offset()
    }

    /// The last replicated upstream offset of a partition; resume behind it.
    pub fn last_replicated(
        &self,
        connector: &str,
        partition: &SourcePartition,
    ) -> Option<UpstreamOffset> {
        self.get(&SourceOffsetKey::source(connector, partition))?
            .last_replicated()
    }

    /// All partitions for which a source connector has a usable offset.
    pub fn source_offsets<'a>(
        &'a self,
        connector: &'a str,
    ) -> impl Iterator<Item = (SourcePartition, UpstreamOffset)> + 'a {
        self.iter()
            .filter(move |(key, _)| key.connector == connector)
            .filter_map(|(key, offset)| Some((key.source_partition()?, offset.last_replicated()?)))
    }

    /// All keys that have an offset, ordered by their canonical bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&SourceOffsetKey, &SourceOffset)> {
        self.entries
            .values()
            .filter_map(|entry| Some((&entry.key, entry.offset()?)))
    }

    /// Bytes, other than the canonical ones, under which `key` has an offset in the topic. A reset
    /// writes a tombstone to each as well: once the canonical tombstone is compacted away, a reader
    /// that takes keys by meaning would find the old offset again.
    pub fn other_keys(&self, key: &SourceOffsetKey) -> impl Iterator<Item = &[u8]> {
        let others = self
            .entries
            .get(&key.encode())
            .map(|entry| entry.others.iter());
        let live = others
            .into_iter()
            .flatten()
            .filter(|(_, offset)| offset.is_some());
        live.map(|(raw, _)| raw.as_slice())
    }
}

impl Entry {
    fn offset(&self) -> Option<&SourceOffset> {
        match &self.canonical {
            Some(offset) => offset.as_ref(),
            None => self
                .others
                .iter()
                .rev()
                .find_map(|(_, offset)| offset.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANONICAL: &str = r#"["c",{"cluster":"a","partition":0,"topic":"orders"}]"#;
    const SORTED: &str = r#"["c",{"partition":0,"cluster":"a","topic":"orders"}]"#;
    const SPACED: &str = r#"["c", {"topic": "orders", "cluster": "a", "partition": 0}]"#;

    fn orders() -> SourcePartition {
        SourcePartition {
            cluster: "a".to_owned(),
            topic: "orders".to_owned(),
            partition: 0,
        }
    }

    /// Applies records of (key, offset or tombstone) and returns what is left of `orders`.
    fn after(records: &[(&str, Option<i64>)]) -> Option<i64> {
        let mut table = OffsetTable::new();
        for (key, offset) in records {
            let value = offset.map(|offset| SourceOffset::new(UpstreamOffset(offset)).encode());
            let applied = table
                .apply(Some(key.as_bytes()), value.as_deref())
                .expect("well formed");
            assert_eq!(applied == Applied::Set, offset.is_some());
        }
        table.last_replicated("c", &orders()).map(|offset| offset.0)
    }

    #[test]
    fn the_last_record_of_a_key_wins_and_a_tombstone_resets() {
        assert_eq!(after(&[]), None);
        assert_eq!(
            after(&[(CANONICAL, Some(9)), (CANONICAL, Some(4))]),
            Some(4)
        );
        assert_eq!(after(&[(CANONICAL, Some(9)), (CANONICAL, None)]), None);
        assert_eq!(after(&[(CANONICAL, None), (CANONICAL, Some(7))]), Some(7));
    }

    #[test]
    fn canonical_bytes_go_before_others_that_mean_the_same() {
        assert_eq!(after(&[(SORTED, Some(3))]), Some(3), "found by meaning");
        assert_eq!(after(&[(SORTED, Some(3)), (SPACED, Some(5))]), Some(5));
        assert_eq!(
            after(&[(SPACED, Some(5)), (SORTED, Some(3)), (SORTED, None)]),
            Some(5)
        );
        assert_eq!(after(&[(CANONICAL, Some(1)), (SORTED, Some(3))]), Some(1));
        assert_eq!(
            after(&[(SORTED, Some(3)), (CANONICAL, None)]),
            None,
            "reset through Connect"
        );
    }

    #[test]
    fn other_forms_are_named_for_a_reset() {
        let mut table = OffsetTable::new();
        for key in [CANONICAL, SORTED, SPACED] {
            table
                .apply(Some(key.as_bytes()), Some(b"{\"offset\":1}"))
                .expect("well formed");
        }
        table
            .apply(Some(SPACED.as_bytes()), None)
            .expect("well formed");
        let key = SourceOffsetKey::source("c", &orders());
        assert_eq!(
            table.other_keys(&key).collect::<Vec<_>>(),
            [SORTED.as_bytes()]
        );
        assert_eq!(table.iter().count(), 1);
    }

    #[test]
    fn malformed_records_change_nothing() {
        let mut table = OffsetTable::new();
        table
            .apply(Some(CANONICAL.as_bytes()), Some(b"{\"offset\":1}"))
            .expect("well formed");
        assert!(matches!(
            table.apply(None, Some(b"{}")),
            Err(ConnectError::NoKey)
        ));
        assert!(table.apply(Some(b"[]"), Some(b"{}")).is_err());
        assert!(
            table
                .apply(Some(CANONICAL.as_bytes()), Some(b"[]"))
                .is_err()
        );
        assert_eq!(
            table.last_replicated("c", &orders()),
            Some(UpstreamOffset(1))
        );
    }

    #[test]
    fn connectors_are_kept_apart() {
        let mut table = OffsetTable::new();
        for (connector, offset) in [("one", 1), ("two", 2)] {
            let key = SourceOffsetKey::source(connector, &orders()).encode();
            let value = SourceOffset::new(UpstreamOffset(offset)).encode();
            table.apply(Some(&key), Some(&value)).expect("well formed");
        }
        let heartbeat = SourceOffsetKey::heartbeat("one", "a", "b").encode();
        table
            .apply(Some(&heartbeat), Some(b"{\"offset\":0}"))
            .expect("well formed");
        let one: Vec<_> = table.source_offsets("one").collect();
        assert_eq!(one, [(orders(), UpstreamOffset(1))]);
        assert_eq!(table.iter().count(), 3);
    }
}
