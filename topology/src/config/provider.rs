//! Indirection: `${provider:key}` and `${provider:path:key}` (docs/spec/mm2.md 1.1, item 5).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Looks values up that are not in the file itself, such as secrets.
pub trait ConfigProvider: fmt::Debug + Send + Sync {
    /// The value of `key` under `path` (empty where the reference has none); `None` if there is
    /// none, which leaves the reference as it is written.
    fn get(&self, path: &str, key: &str) -> Option<String>;
}

/// Providers by the name that references use.
#[derive(Clone, Debug, Default)]
pub struct ConfigProviders(BTreeMap<String, Arc<dyn ConfigProvider>>);

impl ConfigProviders {
    /// Adds a provider under the name that `config.providers` gives it.
    pub fn add(&mut self, name: &str, provider: Arc<dyn ConfigProvider>) {
        self.0.insert(name.to_owned(), provider);
    }

    /// `text` with its references resolved, once: a value that contains a reference is not looked
    /// at again. An unknown provider or key leaves the reference.
    pub fn resolve(&self, text: &str) -> String {
        let mut resolved = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            resolved.push_str(before);
            let Some((reference, behind)) = after.split_once('}') else {
                resolved.push_str("${");
                rest = after;
                continue;
            };
            match reference.split_once(':') {
                Some((provider, location)) => {
                    match self.look_up(provider, location) {
                        Some(value) => resolved.push_str(&value),
                        None => resolved.extend(["${", reference, "}"]),
                    }
                    rest = behind;
                }
                // No reference; one may still begin within.
                None => {
                    resolved.push_str("${");
                    rest = after;
                }
            }
        }
        resolved.push_str(rest);
        resolved
    }

    fn look_up(&self, provider: &str, location: &str) -> Option<String> {
        let (path, key) = location.split_once(':').unwrap_or(("", location));
        self.0.get(provider)?.get(path, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every key with path and key.
    #[derive(Debug)]
    struct Echo;

    impl ConfigProvider for Echo {
        fn get(&self, path: &str, key: &str) -> Option<String> {
            (key != "absent").then(|| format!("<{path}|{key}>"))
        }
    }

    #[test]
    fn references_are_resolved_where_they_can_be() {
        let mut providers = ConfigProviders::default();
        providers.add("p", Arc::new(Echo));
        for (text, expected) in [
            ("${p:k}", "<|k>"),
            ("a${p:x/y:k}b${p:k2}c", "a<x/y|k>b<|k2>c"),
            ("${p:a:b:c}", "<a|b:c>"),
            ("${p:absent} ${q:k}", "${p:absent} ${q:k}"),
            ("${p} ${p:k", "${p} ${p:k"),
            ("${none} ${p:k}", "${none} <|k>"),
            ("${", "${"),
            ("$}{", "$}{"),
        ] {
            assert_eq!(providers.resolve(text), expected, "{text}");
        }
    }
}
