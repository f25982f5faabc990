//! Client quotas (KIP-546): stored and described. What they do to traffic is the fault rules' business.

use std::collections::BTreeMap;

/// Entity types with names, in order of type; a null name is the default of its type.
pub(crate) type Entity = BTreeMap<String, Option<String>>;

/// What may be set for users and clients, and what for addresses: key, and whether its value must be whole.
const OF_CLIENTS: &[(&str, bool)] = &[
    ("producer_byte_rate", true),
    ("consumer_byte_rate", true),
    ("request_percentage", false),
    ("controller_mutation_rate", false),
];
const OF_ADDRESSES: &[(&str, bool)] = &[("connection_creation_rate", true)];

/// Quotas by entity, then by key.
#[derive(Debug, Default)]
pub(crate) struct Quotas(BTreeMap<Entity, BTreeMap<String, f64>>);

/// Which names of an entity type are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Match {
    Exactly(String),
    Default,
    Any,
}

impl Quotas {
    /// Sets (`Some`) or takes away quotas of an entity, unless `validate_only`.
    ///
    /// # Errors
    /// The message of an INVALID_REQUEST.
    pub(crate) fn alter(
        &mut self,
        entity: &Entity,
        changes: &[(String, Option<f64>)],
        validate_only: bool,
    ) -> Result<(), String> {
        check_entity(entity)?;
        let valid = if entity.contains_key("ip") {
            OF_ADDRESSES
        } else {
            OF_CLIENTS
        };
        for (index, (key, value)) in changes.iter().enumerate() {
            if changes.iter().take(index).any(|(other, _)| other == key) {
                let shown = entity
                    .iter()
                    .map(|(kind, name)| format!("{kind}={}", name.as_deref().unwrap_or("null")));
                let shown = shown.collect::<Vec<_>>().join(", ");
                return Err(format!(
                    "Ignoring duplicate entity ClientQuotaEntity(entries={{{shown}}})"
                ));
            }
            let Some((_, whole)) = valid.iter().find(|(name, _)| name == key) else {
                return Err(format!("Invalid configuration key {key}"));
            };
            match value {
                Some(value) if value.is_nan() || *value <= 0.0 => {
                    return Err(format!("Quota {key} must be greater than 0"));
                }
                Some(value) if *whole && value.fract() != 0.0 => {
                    return Err(format!("{key} cannot be a fractional value."));
                }
                _ => {}
            }
        }
        if validate_only {
            return Ok(());
        }
        let quotas = self.0.entry(entity.clone()).or_default();
        for (key, value) in changes {
            match value {
                Some(value) => quotas.insert(key.clone(), *value),
                None => quotas.remove(key),
            };
        }
        self.0.retain(|_, quotas| !quotas.is_empty());
        Ok(())
    }

    /// The quotas of all entities that match every component; `strict`: and that have no other entity type. Without components all.
    pub(crate) fn find(
        &self,
        components: &[(String, Match)],
        strict: bool,
    ) -> impl Iterator<Item = (&Entity, &BTreeMap<String, f64>)> {
        self.0.iter().filter(move |(entity, _)| {
            let fits = components.iter().all(|(kind, wanted)| {
                entity.get(kind).is_some_and(|name| match wanted {
                    Match::Exactly(wanted) => name.as_ref() == Some(wanted),
                    Match::Default => name.is_none(),
                    Match::Any => true,
                })
            });
            fits && !(strict && entity.len() != components.len())
        })
    }
}

fn check_entity(entity: &Entity) -> Result<(), String> {
    if entity.is_empty() {
        return Err("Invalid empty client quota entity".to_owned());
    }
    for (kind, name) in entity {
        if !matches!(kind.as_str(), "user" | "client-id" | "ip") {
            return Err(format!("Unhandled client quota entity type: {kind}"));
        }
        match name.as_deref() {
            Some("") => return Err(format!("Empty {kind} not supported")),
            Some(host)
                if kind == "ip"
                    && host.parse::<std::net::IpAddr>().is_err()
                    && host != "localhost" =>
            {
                return Err(format!("{host} is not a valid IP or resolvable host."));
            }
            _ => {}
        }
    }
    if entity.contains_key("ip") && entity.len() > 1 {
        return Err(
            "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(of: &[(&str, Option<&str>)]) -> Entity {
        let own =
            |(kind, name): &(&str, Option<&str>)| ((*kind).to_owned(), name.map(str::to_owned));
        of.iter().map(own).collect()
    }

    /// Entity, key, value and the message of 4.3.1.
    #[test]
    fn entities_and_values_are_judged_as_by_a_broker() {
        let a = || entity(&[("client-id", Some("a"))]);
        let ip = |name| entity(&[("ip", Some(name))]);
        let cases = [
            (a(), "producer_byte_rate", 1000.0, ""),
            (
                a(),
                "producer_byte_rate",
                5.5,
                "producer_byte_rate cannot be a fractional value.",
            ),
            (
                a(),
                "producer_byte_rate",
                -5.0,
                "Quota producer_byte_rate must be greater than 0",
            ),
            (
                a(),
                "request_percentage",
                0.0,
                "Quota request_percentage must be greater than 0",
            ),
            (a(), "nonsense", 5.0, "Invalid configuration key nonsense"),
            (
                a(),
                "connection_creation_rate",
                5.0,
                "Invalid configuration key connection_creation_rate",
            ),
            (
                entity(&[]),
                "producer_byte_rate",
                5.0,
                "Invalid empty client quota entity",
            ),
            (
                entity(&[("nonsense", None)]),
                "producer_byte_rate",
                5.0,
                "Unhandled client quota entity type: nonsense",
            ),
            (
                entity(&[("client-id", Some(""))]),
                "producer_byte_rate",
                5.0,
                "Empty client-id not supported",
            ),
            (
                ip("nonsense host"),
                "connection_creation_rate",
                5.0,
                "nonsense host is not a valid IP or resolvable host.",
            ),
            (
                ip("1.2.3.4"),
                "producer_byte_rate",
                5.0,
                "Invalid configuration key producer_byte_rate",
            ),
            (
                entity(&[("user", Some("u")), ("ip", Some("1.2.3.4"))]),
                "producer_byte_rate",
                5.0,
                "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId",
            ),
        ];
        for (entity, key, value, message) in cases {
            let changes = [(key.to_owned(), Some(value))];
            let answer = Quotas::default().alter(&entity, &changes, false);
            assert_eq!(answer.err().unwrap_or_default(), message);
        }
    }

    #[test]
    fn quotas_are_found_by_components() {
        let mut quotas = Quotas::default();
        let rate = [("producer_byte_rate".to_owned(), Some(5.0))];
        let both = entity(&[("user", Some("u")), ("client-id", Some("a"))]);
        for entity in [
            &both,
            &entity(&[("client-id", Some("a"))]),
            &entity(&[("client-id", None)]),
        ] {
            quotas.alter(entity, &rate, false).unwrap();
        }
        let count = |wanted: Match, strict| {
            let components = [("client-id".to_owned(), wanted)];
            quotas.find(&components, strict).count()
        };
        assert_eq!(count(Match::Exactly("a".to_owned()), false), 2);
        assert_eq!(count(Match::Exactly("a".to_owned()), true), 1);
        assert_eq!(count(Match::Default, false), 1);
        assert_eq!(count(Match::Any, false), 3);
        assert_eq!(
            (
                quotas.find(&[], false).count(),
                quotas.find(&[], true).count()
            ),
            (3, 0)
        );
        quotas
            .alter(&both, &[("producer_byte_rate".to_owned(), None)], false)
            .unwrap();
        assert_eq!(quotas.find(&[], false).count(), 2);
    }
}
