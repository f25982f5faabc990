//! The body of `PUT /connector-plugins/{p}/config/validate`.

use std::borrow::Cow;

use serde::Serialize;

use super::KeyDefinition;

/// Connect's validation report (`ConfigInfos`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The class, as `connector.class` names it.
    pub name: String,
    /// All errors of all keys.
    pub error_count: usize,
    /// Groups of keys, for forms.
    pub groups: Vec<String>,
    /// Every key, and before them those that have errors and no definition.
    pub configs: Vec<ConfigInfo>,
}

/// One key of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigInfo {
    /// None: the connector has no such key.
    pub definition: Option<Cow<'static, KeyDefinition>>,
    /// What it is set to.
    pub value: ConfigValue,
}

/// What a key is set to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigValue {
    /// The key.
    pub name: String,
    /// As Kafka writes it after reading it; none: not set, or it cannot be read. Secrets are `[hidden]`.
    pub value: Option<String>,
    /// Always empty: MM2's keys recommend nothing.
    pub recommended_values: Vec<String>,
    /// Why it is refused.
    pub errors: Vec<String>,
    /// False for keys that have no effect as the others are set.
    pub visible: bool,
}

impl ConfigValue {
    pub(super) fn of(name: &str, value: Option<String>, errors: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            value,
            recommended_values: Vec::new(),
            errors,
            visible: true,
        }
    }
}

impl ConfigInfo {
    /// The group of its key.
    pub(super) fn group(&self) -> Option<String> {
        self.definition.as_ref()?.group.clone()
    }
}

impl Report {
    /// Refuses a key for a reason of ours.
    pub fn add_error(&mut self, key: &str, error: impl Into<String>) {
        self.error_count += 1;
        let found = (self.configs.iter_mut()).find(|info| info.value.name == key);
        match found {
            Some(info) => info.value.errors.push(error.into()),
            None => self.configs.insert(
                0,
                ConfigInfo {
                    definition: None,
                    value: ConfigValue::of(key, None, vec![error.into()]),
                },
            ),
        }
    }

    /// The text of the 400 of a create or an update; none if the configuration is valid.
    pub fn refusal(&self) -> Option<String> {
        if self.error_count == 0 {
            return None;
        }
        let errors: Vec<&str> = (self.configs.iter())
            .flat_map(|info| &info.value.errors)
            .map(String::as_str)
            .collect();
        Some(format!(
            "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of \
             errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
            errors.len(),
            errors.join("\n")
        ))
    }
}
