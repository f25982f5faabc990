//! What Connect says of MM2's connectors before one runs: their keys, and whether a configuration is valid.
//!
//! `connect_def/kafka-4.3.1.json` was recorded from a Connect worker of Apache Kafka 4.3.1 (Apache License 2.0), texts included.
//! Clients show these texts and compare them, so they are kept to the letter.
//!
//! What differs from Connect, and why:
//! - `transforms` and `predicates` are errors, and no class is recommended for them: none is here.
//! - Keys behind `producer.override.` and so on have no definition and are in the order of the alphabet: those clients are not here.
//! - The map in "contains no connector type" is in the order of the alphabet, without its secrets.
//! - Only classes that come with Kafka are found; of converters, only the byte-array one has keys of its own.
//! - An unreadable `connector.plugin.version` is no error, where Connect answers 500; versions with words in them fit any range.
//! - Hexadecimal fractions and digits of other scripts than ASCII are no numbers.

mod check;
mod extra;
mod report;
mod value;
mod version;

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::Connector;
pub use check::{ConfigFault, find_plugin, validate};
pub use report::{ConfigInfo, ConfigValue, Report};

/// Kafka's type of a key (`ConfigDef.Type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyType {
    /// `true` or `false`, in any case.
    Boolean,
    /// 16 bits.
    Short,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A decimal fraction.
    Double,
    /// Any text.
    String,
    /// Texts with commas between them.
    List,
    /// The name of a Java class.
    Class,
    /// A secret: never shown.
    Password,
}

/// One key, as `GET /connector-plugins/{p}/config` shows it (docs/spec/mm2.md 9.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Connect's own names, which Kafka documents")]
pub struct KeyDefinition {
    pub name: String,
    #[serde(rename = "type")]
    pub key_type: KeyType,
    pub required: bool,
    pub default_value: Option<String>,
    pub importance: String,
    #[serde(default)]
    pub documentation: String,
    pub group: Option<String>,
    pub order_in_group: i32,
    pub width: String,
    pub display_name: String,
    pub dependents: Vec<String>,
}

/// The recorded file.
#[derive(Default, Deserialize)]
struct Recorded {
    /// Of every connector.
    framework: Vec<KeyDefinition>,
    /// Of every source connector, as MM2's three are.
    framework_source: Vec<KeyDefinition>,
    /// Of MM2's three connectors.
    common: Vec<KeyDefinition>,
    #[serde(rename = "MirrorSourceConnector")]
    source: Vec<KeyDefinition>,
    #[serde(rename = "MirrorCheckpointConnector")]
    checkpoint: Vec<KeyDefinition>,
    #[serde(rename = "MirrorHeartbeatConnector")]
    heartbeat: Vec<KeyDefinition>,
}

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    // A part of this program; a test reads it.
    serde_json::from_str(include_str!("connect_def/kafka-4.3.1.json")).unwrap_or_default()
});

fn own(connector: Connector) -> &'static [KeyDefinition] {
    match connector {
        Connector::Source => &RECORDED.source,
        Connector::Checkpoint => &RECORDED.checkpoint,
        Connector::Heartbeat => &RECORDED.heartbeat,
    }
}

/// The keys of a connector, in the order of `GET /connector-plugins/{p}/config`.
pub fn definitions(connector: Connector) -> impl Iterator<Item = &'static KeyDefinition> {
    (RECORDED.framework.iter())
        .chain(&RECORDED.common)
        .chain(own(connector))
        .chain(&RECORDED.framework_source)
}

/// The same in the order of a validation report.
fn in_report(connector: Connector) -> impl Iterator<Item = &'static KeyDefinition> {
    (RECORDED.framework.iter())
        .chain(&RECORDED.framework_source)
        .chain(&RECORDED.common)
        .chain(own(connector))
}

#[cfg(test)]
mod tests;
