//! Whether a connector's configuration is valid.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::report::{ConfigInfo, ConfigValue, Report};
use super::{KeyDefinition, RECORDED, extra, in_report, value, version};
use crate::{Connector, is_secret};

const ALL: [Connector; 3] = [
    Connector::Checkpoint,
    Connector::Heartbeat,
    Connector::Source,
];
/// Groups of every report, in Connect's order.
const GROUPS: [&str; 7] = [
    "Common",
    "Transforms",
    "Predicates",
    "Error Handling",
    "Topic Creation",
    "Exactly Once Support",
    "offsets.topic",
];
/// What is shown of a secret.
pub(super) const HIDDEN: &str = "[hidden]";
/// The version that every plugin has.
pub(super) const VERSION: &str = "4.3.1";
const NEEDS_READ_COMMITTED: &str = "MirrorSourceConnector can only provide exactly-once guarantees when its source consumer is configured with isolation.level set to \
     'read_committed'; otherwise, records from aborted and uncommitted transactions will be replicated from the source cluster to the target cluster.";
const NO_EXACTLY_ONCE: &str = "This worker does not have exactly-once source support enabled.";
const UNSUPPORTED: &str =
    "The connector does not support exactly-once semantics with the provided configuration.";
const NO_PREFLIGHT: &str = "The connector does not implement the API required for preflight validation of exactly-once source support. Please consult the \
     documentation for the connector to determine whether it supports exactly-once semantics, and then consider reconfiguring the connector to use \
     the value \"requested\" for this property (which will disable this preflight check and allow the connector to be created).";
const NO_BOUNDARIES: &str = "The connector does not support connector-defined transaction boundaries with the given configuration. Please reconfigure it to \
     use a different transaction boundary definition.";
const NO_TRANSFORMS: &str = "crosscurrent forwards batches without decoding records, so it cannot change single ones: remove this key";

/// Why there is no report at all. The text is Connect's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigFault {
    /// `connector.class` is not set.
    #[error("Connector config {config} contains no connector type")]
    NoClass {
        /// The configuration, as Java shows a map, without its secrets.
        config: String,
    },
    /// No connector of ours has that class.
    #[error(
        "Failed to find any class that implements Connector and which name matches {class}, available connectors are: {}",
        available()
    )]
    UnknownClass {
        /// The value of `connector.class`.
        class: String,
    },
}

fn available() -> String {
    let all = ALL.map(|connector| {
        let class = connector.class();
        format!(
            "PluginDesc{{klass=class {class}, name='{class}', version='{VERSION}', encodedVersion={VERSION}, type=source, typeName='source', \
             location='classpath'}}"
        )
    });
    all.join(", ")
}

/// The connector of that class: by its full name, its simple one, or the simple one without `Connector`.
pub fn find_plugin(class: &str) -> Option<Connector> {
    ALL.into_iter().find(|connector| {
        let simple = connector.to_string();
        class == connector.class()
            || class == simple
            || Some(class) == simple.strip_suffix("Connector")
    })
}

/// Connect's report on a connector's configuration. What only we refuse is added with [`Report::add_error`].
///
/// # Errors
/// [`ConfigFault`] when it is not said which connector it is for.
pub fn validate(config: &BTreeMap<String, String>) -> Result<Report, ConfigFault> {
    let Some(class) = config.get("connector.class") else {
        let entries: Vec<_> = (config.iter())
            .map(|(key, value)| {
                let hidden = is_secret(key);
                format!("{key}={}", if hidden { HIDDEN } else { value })
            })
            .collect();
        let config = format!("{{{}}}", entries.join(", "));
        return Err(ConfigFault::NoClass { config });
    };
    let Some(connector) = find_plugin(class) else {
        let class = class.clone();
        return Err(ConfigFault::UnknownClass { class });
    };
    let mut configs: Vec<_> = (in_report(connector))
        .map(|key| ConfigInfo {
            definition: Some(Cow::Borrowed(key)),
            value: read(key, config),
        })
        .collect();
    let mut groups: Vec<_> = GROUPS.map(str::to_owned).into();
    let aliases = extra::aliases(config);
    groups.extend(aliases.iter().filter_map(ConfigInfo::group));
    // Two keys share a group.
    groups.dedup();
    let at = RECORDED.framework.len() + RECORDED.framework_source.len();
    configs.splice(at.min(configs.len())..at.min(configs.len()), aliases);
    configs.extend(extra::overrides(config));
    configs.extend(extra::converters(config));
    let mut report = Report {
        name: class.clone(),
        error_count: configs.iter().map(|info| info.value.errors.len()).sum(),
        groups,
        configs,
    };
    check_version(connector, config, &mut report);
    check_connector(connector, config, &mut report);
    check_exactly_once(connector, config, &mut report);
    check_ours(config, &mut report);
    Ok(report)
}

pub(super) fn read(key: &KeyDefinition, config: &BTreeMap<String, String>) -> ConfigValue {
    let mut errors = Vec::new();
    let value = match config.get(&key.name) {
        Some(text) => value::parse(key, text)
            .map_err(|error| errors.push(error))
            .ok(),
        None if key.required => {
            let name = &key.name;
            errors.push(format!(
                "Missing required configuration \"{name}\" which has no default value."
            ));
            None
        }
        None => key.default_value.clone(),
    };
    errors.extend(value::check(key, value.as_deref()));
    let mut read = ConfigValue::of(&key.name, value, errors);
    // A converter's version means something if there is a converter.
    let converter = (key.name.strip_suffix(".plugin.version"))
        .filter(|converter| converter.ends_with(".converter"));
    let class = |converter| config.get(converter).and_then(|set| value::find_class(set));
    read.visible = converter.is_none_or(|converter| class(converter).is_some());
    read
}

/// One version is here. What only Maven's rules could tell of a range is let pass.
fn check_version(connector: Connector, config: &BTreeMap<String, String>, report: &mut Report) {
    let Some(wanted) = config.get("connector.plugin.version") else {
        return;
    };
    let wanted = value::trim(wanted);
    if version::fits(wanted, VERSION) {
        return;
    }
    let shown = match wanted.starts_with(['[', '(']) {
        true => wanted.to_owned(),
        false => format!("[{wanted},{wanted}]"),
    };
    let class = connector.class();
    for key in ["connector.class", "connector.plugin.version"] {
        report.add_error(
            key,
            format!("Plugin {class} not found that matches the version range {shown}, available versions: [{VERSION}]"),
        );
    }
}

/// What the connectors' own `validate` says (docs/spec/mm2.md 1.7, 1.8).
fn check_connector(connector: Connector, config: &BTreeMap<String, String>, report: &mut Report) {
    let is_false = |key: &str| config.get(key).is_some_and(|text| text == "false");
    match connector {
        Connector::Source => {
            let wants_syncs = config.keys().any(|key| {
                key.starts_with("offset-syncs-") || key.starts_with("offset-syncs.topic.")
            });
            if is_false("emit.offset-syncs.enabled") && wants_syncs {
                let error = "MirrorSourceConnector can't setup offset-syncs feature while emit.offset-syncs.enabled set to false";
                report.add_error("emit.offset-syncs.enabled", error);
            }
        }
        Connector::Checkpoint if !is_false("enabled") => {
            if is_false("emit.checkpoints.enabled") {
                let error = "MirrorCheckpointConnector can't run with emit.checkpoints.enabled set to false";
                report.add_error("emit.checkpoints.enabled", error);
            }
            if is_false("emit.offset-syncs.enabled") {
                let error = "MirrorCheckpointConnector can't run without offset syncs";
                report.add_error("emit.offset-syncs.enabled", error);
            }
        }
        Connector::Checkpoint | Connector::Heartbeat => {}
    }
}

/// `exactly.once.support=required` is a check before the start, and exactly-once workers come later.
fn check_exactly_once(
    connector: Connector,
    config: &BTreeMap<String, String>,
    report: &mut Report,
) {
    const KEY: &str = "exactly.once.support";
    let is = |key: &str, value: &str| {
        (config.get(key)).is_some_and(|text| value::trim(text).eq_ignore_ascii_case(value))
    };
    if is("transaction.boundary", "connector") {
        report.add_error("transaction.boundary", NO_BOUNDARIES);
    }
    if !is(KEY, "required") {
        return;
    }
    // The connector compares texts as they are written, other than Connect.
    let level = (config.get("source.consumer.isolation.level"))
        .or_else(|| config.get("consumer.isolation.level"));
    let committed = level.is_some_and(|level| level == "read_committed");
    let to_the_letter = config.get(KEY).is_some_and(|text| text == "required");
    if connector == Connector::Source && !committed && to_the_letter {
        report.add_error(KEY, NEEDS_READ_COMMITTED);
        // The connector answers with a value of its own, in which there is none.
        for info in report
            .configs
            .iter_mut()
            .filter(|info| info.value.name == KEY)
        {
            info.value.value = None;
        }
        return;
    }
    report.add_error(KEY, NO_EXACTLY_ONCE);
    match connector {
        Connector::Source if committed => {}
        Connector::Source => report.add_error(KEY, UNSUPPORTED),
        Connector::Checkpoint | Connector::Heartbeat => report.add_error(KEY, NO_PREFLIGHT),
    }
}

/// What MM2 does and we do not.
fn check_ours(config: &BTreeMap<String, String>, report: &mut Report) {
    for key in ["transforms", "predicates"] {
        if config
            .get(key)
            .is_some_and(|text| !value::trim(text).is_empty())
        {
            report.add_error(key, format!("{key}: {NO_TRANSFORMS}"));
        }
    }
}
