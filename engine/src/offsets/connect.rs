//! Connect source offsets: where each flow stands (`docs/spec/mm2.md` 3.5 and 4.8).

use serde_json::{Map, Value};

use super::UpstreamOffset;
use super::java_json::{write_object, write_string};

/// Why a record of an offsets topic was skipped. It stays in the topic; nobody reads it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The record has no key.
    #[error("the record has no key")]
    NoKey,
    /// The key is not JSON.
    #[error("the key is not JSON")]
    KeyNotJson(#[source] serde_json::Error),
    /// The key is JSON of another shape.
    #[error("the key is not an array of a connector name and a source partition")]
    KeyShape,
    /// The value is not JSON.
    #[error("the value is not JSON")]
    ValueNotJson(#[source] serde_json::Error),
    /// The value is JSON, but no object.
    #[error("the value is not a JSON object")]
    ValueShape,
}

/// The source partition of a source connector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourcePartition {
    /// Alias of the source cluster.
    pub cluster: String,
    /// The topic under its name on the *source*.
    pub topic: String,
    /// The partition. Not negative.
    pub partition: i32,
}

/// The key of a record in an offsets topic: the *name* of a connector and a source partition, which may
/// be anything that was once written through REST, also null or with members that MirrorMaker 2 does
/// not know.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceOffsetKey {
    /// The connector's name, `MirrorSourceConnector` in dedicated mode.
    pub connector: String,
    /// The source partition.
    pub partition: Option<Map<String, Value>>,
}

/// The value of a record in an offsets topic.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceOffset {
    /// `{"offset": n}`, and whatever else was written through REST.
    pub members: Map<String, Value>,
}

// === impl SourceOffsetKey ===

impl SourceOffsetKey {
    /// The key under which a source connector keeps the position of one partition.
    pub fn source(connector: &str, at: &SourcePartition) -> Self {
        Self::new(
            connector,
            [
                ("cluster", at.cluster.as_str().into()),
                ("partition", at.partition.into()),
                ("topic", at.topic.as_str().into()),
            ],
        )
    }

    /// The key that a checkpoint connector leaves behind; `topic` is the name on the *target*.
    pub fn checkpoint(connector: &str, group: &str, topic: &str, partition: i32) -> Self {
        Self::new(
            connector,
            [
                ("group", group.into()),
                ("partition", partition.into()),
                ("topic", topic.into()),
            ],
        )
    }

    /// The key that a heartbeat connector leaves behind.
    pub fn heartbeat(connector: &str, source_alias: &str, target_alias: &str) -> Self {
        Self::new(
            connector,
            [
                ("sourceClusterAlias", source_alias.into()),
                ("targetClusterAlias", target_alias.into()),
            ],
        )
    }

    fn new<const N: usize>(connector: &str, members: [(&str, Value); N]) -> Self {
        let members = members.map(|(name, value)| (name.to_owned(), value));
        Self {
            connector: connector.to_owned(),
            partition: Some(members.into_iter().collect()),
        }
    }

    /// Reads a key whatever the order of its members.
    ///
    /// # Errors
    /// The key is not JSON, or not an array of a name and an object or null.
    pub fn decode(key: &[u8]) -> Result<Self, ConnectError> {
        let parts: Value = serde_json::from_slice(key).map_err(ConnectError::KeyNotJson)?;
        let Value::Array(parts) = parts else {
            return Err(ConnectError::KeyShape);
        };
        let Ok([Value::String(connector), partition]) = <[Value; 2]>::try_from(parts) else {
            return Err(ConnectError::KeyShape);
        };
        match partition {
            Value::Object(members) => Ok(Self {
                connector,
                partition: Some(members),
            }),
            Value::Null => Ok(Self {
                connector,
                partition: None,
            }),
            _ => Err(ConnectError::KeyShape),
        }
    }

    /// The canonical bytes: what Connect writes, and looks up. Equal keys have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![b'['];
        write_string(&mut out, &self.connector);
        out.push(b',');
        match &self.partition {
            Some(members) => write_object(&mut out, members),
            None => out.extend(b"null"),
        }
        out.push(b']');
        out
    }

    /// The partition, if this is a source connector's key. One with further members is a different
    /// key, which no source task looks up.
    pub fn source_partition(&self) -> Option<SourcePartition> {
        let members = self
            .partition
            .as_ref()
            .filter(|members| members.len() == 3)?;
        let partition = members.get("partition")?.as_i64()?;
        Some(SourcePartition {
            cluster: members.get("cluster")?.as_str()?.to_owned(),
            topic: members.get("topic")?.as_str()?.to_owned(),
            partition: i32::try_from(partition)
                .ok()
                .filter(|partition| *partition >= 0)?,
        })
    }
}

// === impl SourceOffset ===

impl SourceOffset {
    /// "Everything up to and with `last_replicated` is on the target."
    pub fn new(last_replicated: UpstreamOffset) -> Self {
        Self {
            members: [("offset".to_owned(), last_replicated.0.into())]
                .into_iter()
                .collect(),
        }
    }

    /// Reads a value; `None` is JSON's null, which counts as a tombstone.
    ///
    /// # Errors
    /// The value is not JSON, or neither an object nor null.
    pub fn decode(value: &[u8]) -> Result<Option<Self>, ConnectError> {
        match serde_json::from_slice(value).map_err(ConnectError::ValueNotJson)? {
            Value::Object(members) => Ok(Some(Self { members })),
            Value::Null => Ok(None),
            _ => Err(ConnectError::ValueShape),
        }
    }

    /// The bytes that Connect writes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_object(&mut out, &self.members);
        out
    }

    /// The last replicated upstream offset; copying goes on behind it. `None` if it is missing, not an
    /// integer or negative: `auto.offset.reset` decides then.
    pub fn last_replicated(&self) -> Option<UpstreamOffset> {
        let offset = self.members.get("offset")?.as_i64()?;
        (offset >= 0).then_some(UpstreamOffset(offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("UTF-8")
    }

    fn orders() -> SourcePartition {
        SourcePartition {
            cluster: "A".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
        }
    }

    #[test]
    fn keys_are_those_of_the_three_connectors() {
        for (key, bytes) in [
            (
                SourceOffsetKey::source("MirrorSourceConnector", &orders()),
                r#"["MirrorSourceConnector",{"cluster":"A","partition":0,"topic":"t"}]"#,
            ),
            (
                SourceOffsetKey::checkpoint("MirrorCheckpointConnector", "g", "A.t", 0),
                r#"["MirrorCheckpointConnector",{"partition":0,"topic":"A.t","group":"g"}]"#,
            ),
            (
                SourceOffsetKey::heartbeat("MirrorHeartbeatConnector", "A", "B"),
                r#"["MirrorHeartbeatConnector",{"sourceClusterAlias":"A","targetClusterAlias":"B"}]"#,
            ),
        ] {
            assert_eq!(text(key.encode()), bytes);
            assert_eq!(
                SourceOffsetKey::decode(bytes.as_bytes()).expect("well formed"),
                key
            );
        }
        assert_eq!(
            text(SourceOffset::new(UpstreamOffset(123)).encode()),
            r#"{"offset":123}"#
        );
    }

    #[test]
    fn malformed_keys_name_what_is_wrong() {
        let error = |key: &str| SourceOffsetKey::decode(key.as_bytes()).expect_err(key);
        for key in ["", "x", "[", "[\"a\",{}", "\u{fe}", r#"["\ud800",{}]"#] {
            assert!(matches!(error(key), ConnectError::KeyNotJson(_)), "{key}");
        }
        for key in [
            "null",
            "{}",
            "[]",
            "[\"a\"]",
            "[1,{}]",
            "[\"a\",1]",
            "[\"a\",{},{}]",
        ] {
            assert!(matches!(error(key), ConnectError::KeyShape), "{key}");
        }
        let deep = "[".repeat(100_000);
        assert!(
            matches!(error(&deep), ConnectError::KeyNotJson(_)),
            "a stack must not overflow"
        );
    }

    #[test]
    fn only_whole_source_keys_are_source_partitions() {
        let read = |members: &str| {
            let key = format!("[\"c\",{members}]");
            SourceOffsetKey::decode(key.as_bytes())
                .expect("well formed")
                .source_partition()
        };
        assert_eq!(
            read(r#"{"topic":"t","cluster":"A","partition":0}"#),
            Some(orders())
        );
        for other in [
            "null",
            "{}",
            r#"{"topic":"t","cluster":"A"}"#,
            r#"{"topic":"t","cluster":"A","partition":0,"x":"y"}"#,
            r#"{"topic":"t","cluster":"A","partition":-1}"#,
            r#"{"topic":"t","cluster":"A","partition":2147483648}"#,
            r#"{"topic":"t","cluster":"A","partition":"0"}"#,
            r#"{"topic":"t","cluster":null,"partition":0}"#,
            r#"{"topic":"t","group":"g","partition":0}"#,
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn tk_05_only_whole_offsets_decide_where_to_start() {
        let read = |value: &str| {
            let decoded = SourceOffset::decode(value.as_bytes()).expect("well formed");
            decoded.and_then(|offset| offset.last_replicated())
        };
        assert_eq!(read(r#"{"offset":4}"#), Some(UpstreamOffset(4)));
        assert_eq!(
            read(r#"{"z":1,"offset":9223372036854775807}"#),
            Some(UpstreamOffset(i64::MAX))
        );
        for none in [
            r#"{"offset":-1}"#,
            "{}",
            r#"{"offset":"4"}"#,
            r#"{"offset":4.5}"#,
            "null",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        assert!(matches!(
            SourceOffset::decode(b"7"),
            Err(ConnectError::ValueShape)
        ));
        assert!(matches!(
            SourceOffset::decode(b"{"),
            Err(ConnectError::ValueNotJson(_))
        ));
    }

    proptest! {
        #[test]
        fn source_keys_round_trip(
            connector in any::<String>(), cluster in any::<String>(), topic in any::<String>(),
            partition in 0..i32::MAX,
        ) {
            let at = SourcePartition { cluster, topic, partition };
            let key = SourceOffsetKey::source(&connector, &at);
            let read = SourceOffsetKey::decode(&key.encode()).expect("well formed");
            prop_assert_eq!(read.source_partition(), Some(at));
            prop_assert_eq!(read, key);
        }

        #[test]
        fn any_bytes_are_answered(bytes in any::<Vec<u8>>()) {
            drop(SourceOffsetKey::decode(&bytes));
            drop(SourceOffset::decode(&bytes));
        }
    }
}
