//! What must hold beyond the types of single values.

use security::Security;

use super::FlowProperties;
use crate::alias::FlowId;
use crate::config::derive::BYTE_ARRAY_CONVERTER;
use crate::config::error::{ConfigError, ConfigErrors, KeyAt};
use crate::config::keys::{Use, connector_key};
use crate::config::value;
use crate::properties::Properties;

/// How a client's connections are secured, the files that its keys name included.
pub(in crate::config) fn security(
    client: &Properties,
    cluster: &str,
    errors: &mut ConfigErrors,
) -> Security {
    let settings = client
        .iter()
        .map(|(key, text)| (key.to_owned(), text.to_owned()));
    Security::read(settings).unwrap_or_else(|faults| {
        for fault in faults {
            let at = KeyAt::of(client, &fault.key);
            let what = match at.line {
                Some(_) => fault.what,
                None => format!("{} (cluster {cluster})", fault.what),
            };
            errors.push(ConfigError::Security { at, what });
        }
        Security::default()
    })
}

/// Refuses a reference that no provider answered. MM2 takes the text itself: as `topics` it would
/// silently match nothing.
pub(super) fn check_resolved(connector: &Properties, errors: &mut ConfigErrors) {
    for (key, value) in connector.iter() {
        let acts = matches!(connector_key(key), Some((_, Use::Acts)));
        if acts && value.contains("${") {
            let expected = "no config provider answers it; write the value itself";
            errors.push(ConfigError::invalid(connector, key, expected));
        }
    }
}

/// The aliases are part of topic names, and a connector's own alias keys must agree with the flow:
/// MM2 would run every flow under the one name (docs/spec/mm2.md 1.4, "Never set them").
pub(super) fn check_aliases(sets: &FlowProperties, id: &FlowId, errors: &mut ConfigErrors) {
    if !id.source.is_legal_in_topics() {
        errors.push(ConfigError::Alias {
            alias: id.source.clone(),
            at: sets.aliases_at.clone(),
            problem: "becomes part of topic names; use letters, digits, `.`, `_` and `-` only",
        });
    }
    for (key, alias) in [
        ("source.cluster.alias", &id.source),
        ("target.cluster.alias", &id.target),
    ] {
        if sets.source.get(key) != Some(alias.as_str()) {
            let expected = "remove it; each flow takes its aliases from its name";
            errors.push(ConfigError::invalid(&sets.source, key, expected));
        }
    }
}

/// Refuses what would silently copy something else than was asked for.
pub(in crate::config) fn check_supported(
    connector: &Properties,
    worker: &Properties,
    errors: &mut ConfigErrors,
) {
    const FILTERS: [(&str, &str); 3] = [
        (
            "group.filter.class",
            "org.apache.kafka.connect.mirror.DefaultGroupFilter",
        ),
        (
            "topic.filter.class",
            "org.apache.kafka.connect.mirror.DefaultTopicFilter",
        ),
        (
            "config.property.filter.class",
            "org.apache.kafka.connect.mirror.DefaultConfigPropertyFilter",
        ),
    ];
    const CONVERTERS: [&str; 3] = ["key.converter", "value.converter", "header.converter"];
    let mut check = |properties: &Properties, key: &str, only: &str| {
        if properties
            .get(key)
            .is_some_and(|class| value::trim(class) != only)
        {
            let supported = if only.is_empty() { "none at all" } else { only };
            errors.push(ConfigError::unsupported(properties, key, supported));
        }
    };
    for (key, class) in FILTERS {
        check(connector, key, class);
    }
    for key in CONVERTERS {
        let properties = if connector.contains(key) {
            connector
        } else {
            worker
        };
        check(properties, key, BYTE_ARRAY_CONVERTER);
    }
    for key in ["transforms", "predicates"] {
        check(connector, key, "");
    }
}
