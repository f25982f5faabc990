//! Keys of a report that are there because others are set: of transforms and predicates, of clients, of converters.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::check::{HIDDEN, VERSION, read};
use super::report::{ConfigInfo, ConfigValue};
use super::value::{BYTE_ARRAY_CONVERTER, find_class, items, trim};
use super::{KeyDefinition, KeyType, version};
use crate::is_secret;

/// Type and version of each transform and predicate. Classes are shown as written: none can be loaded here.
pub(super) fn aliases(config: &BTreeMap<String, String>) -> Vec<ConfigInfo> {
    let kinds = [
        ("transforms", "Transforms", "Transformation"),
        ("predicates", "Predicates", "Predicate"),
    ];
    let mut infos = Vec::new();
    for (key, group, kind) in kinds {
        let mut seen = Vec::new();
        for alias in items(config.get(key).map_or("", String::as_str)) {
            if seen.contains(&alias) {
                continue;
            }
            seen.push(alias);
            let lower = kind.to_ascii_lowercase();
            let define = |part: &str, order, required, documentation, what: &str| {
                let name = format!("{key}.{alias}.{part}");
                let key_type = KeyType::String;
                let mut definition = KeyDefinition {
                    group: Some(format!("{group}: {alias}")),
                    order_in_group: order,
                    width: "LONG".to_owned(),
                    display_name: format!("{kind} {what} for {alias}"),
                    ..KeyDefinition::plain(name, key_type, documentation)
                };
                definition.importance = "HIGH".to_owned();
                definition.required = required;
                definition
            };
            let class = format!("Class for the '{alias}' {lower}.");
            let version = format!("Version of the '{alias}' {lower}.");
            for (definition, key_type) in [
                (define("type", 0, true, class, "type"), KeyType::Class),
                (
                    define("plugin.version", 1, false, version, "version"),
                    KeyType::String,
                ),
            ] {
                let value = read(&definition, config);
                let definition = KeyDefinition {
                    key_type,
                    ..definition
                };
                infos.push(ConfigInfo {
                    definition: Some(Cow::Owned(definition)),
                    value,
                });
            }
        }
    }
    infos
}

/// Settings of clients, which nothing restricts (`connector.client.config.override.policy`).
/// Connect defines those that its clients know; here they have values only.
pub(super) fn overrides(config: &BTreeMap<String, String>) -> Vec<ConfigInfo> {
    let own_offsets = config
        .get("offsets.storage.topic")
        .is_some_and(|topic| !trim(topic).is_empty());
    let creates = config.keys().any(|key| key.starts_with("topic.creation."));
    let clients = [
        ("producer.override.", true),
        ("consumer.override.", own_offsets),
        ("admin.override.", own_offsets || creates),
    ];
    let used = clients.into_iter().filter(|(_, used)| *used);
    used.flat_map(|(prefix, _)| {
        config
            .iter()
            .filter(move |(key, _)| key.starts_with(prefix))
    })
    .map(|(key, value)| {
        let value = if is_secret(key) { HIDDEN } else { value };
        ConfigInfo {
            definition: None,
            value: ConfigValue::of(key, Some(value.to_owned()), Vec::new()),
        }
    })
    .collect()
}

/// What the byte-array converter is told by Connect.
pub(super) fn converters(config: &BTreeMap<String, String>) -> impl Iterator<Item = ConfigInfo> {
    (["header", "key", "value"].into_iter()).filter_map(|part| {
        // Connect loads it by the text as it is written.
        let written = config.get(&format!("{part}.converter"))?;
        let class = find_class(written).filter(|_| trim(written) == written)?;
        let version = config.get(&format!("{part}.converter.plugin.version"));
        if version.is_some_and(|wanted| !version::fits(trim(wanted), VERSION)) {
            return None;
        }
        let name = format!("{part}.converter.converter.type");
        let set = config.get(&name).map_or(part, |set| trim(set));
        let error = (!["key", "value", "header"].contains(&set)).then(|| {
            format!("Invalid value {set} for configuration converter.type: String must be one of: key, value, header")
        });
        let value = ConfigValue::of(&name, Some(set.to_owned()), error.into_iter().collect());
        let definition = KeyDefinition {
            required: true,
            display_name: "converter.type".to_owned(),
            ..KeyDefinition::plain(
                name,
                KeyType::String,
                "How this converter will be used.".to_owned(),
            )
        };
        let definition = Some(Cow::Owned(definition));
        (class == BYTE_ARRAY_CONVERTER).then_some(ConfigInfo { definition, value })
    })
}

impl KeyDefinition {
    /// As `ConfigDef.define` fills in what is not said.
    fn plain(name: String, key_type: KeyType, documentation: String) -> Self {
        Self {
            display_name: name.clone(),
            name,
            key_type,
            required: false,
            default_value: None,
            importance: "LOW".to_owned(),
            documentation,
            group: None,
            order_in_group: -1,
            width: "NONE".to_owned(),
            dependents: Vec::new(),
        }
    }
}
