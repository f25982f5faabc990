//! A record as tests write, read and compare it.

use std::fmt;

/// Bytes of a key or value that are shown before "...".
const SHOWN_BYTES: usize = 40;

/// One record of a topic, without its offset. Equality is what replication must keep.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct TestRecord {
    /// The partition it is written to, or was read from.
    pub partition: i32,
    /// The key; `None` is Kafka's null, which is not the empty key.
    pub key: Option<Vec<u8>>,
    /// The value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers in order; names may repeat, values may be null.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Unit: milliseconds since 1970. -1: the record has none (as read; cannot be written).
    pub timestamp_ms: i64,
}

/// A record with the offset at which it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRecord {
    /// Its offset.
    pub offset: i64,
    /// The record.
    pub record: TestRecord,
}

impl fmt::Debug for TestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{} key={} ", self.partition, Shown(self.key.as_deref()))?;
        write!(
            f,
            "value={} ts={}",
            Shown(self.value.as_deref()),
            self.timestamp_ms
        )?;
        for (name, value) in &self.headers {
            write!(f, " {name:?}:{}", Shown(value.as_deref()))?;
        }
        Ok(())
    }
}

/// Null, or the first bytes as text and the length if there are more.
struct Shown<'a>(Option<&'a [u8]>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("null"),
            Some(bytes) => match bytes.get(..SHOWN_BYTES) {
                Some(start) => write!(f, "\"{}\"...({} bytes)", start.escape_ascii(), bytes.len()),
                None => write!(f, "\"{}\"", bytes.escape_ascii()),
            },
        }
    }
}
