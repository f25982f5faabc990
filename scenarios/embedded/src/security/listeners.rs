//! What each listener asks of its clients, and who is connected.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use tokio::sync::Notify;

use super::mechanism::Mechanism;
use super::principal::MappingRules;
use super::tls;
use crate::cluster::{Shared, StartError};
use crate::settings::{ClientAuth, Listener, Settings, Tls};

/// A listener's side of authentication.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) has_tls: bool,
    pub(crate) has_sasl: bool,
    pub(crate) rules: MappingRules,
    /// In the order in which clients are told.
    pub(crate) mechanisms: Vec<Mechanism>,
    /// `connections.max.reauth.ms` by mechanism, where it is more than 0.
    reauthentication_ms: Vec<(Mechanism, i64)>,
    client_auth: ClientAuth,
    config: Mutex<Option<Arc<ServerConfig>>>,
}

/// The properties of a listener: with its prefix if they are given so, else without.
struct Properties<'a> {
    settings: &'a Settings,
    prefix: String,
}

impl<'a> Properties<'a> {
    fn find(&self, mechanism: Option<Mechanism>, key: &str) -> Option<(String, &'a str)> {
        let prefix = &self.prefix;
        let own =
            mechanism.map(|mechanism| format!("{prefix}{}.{key}", mechanism.name().to_lowercase()));
        let keys = own
            .into_iter()
            .chain([format!("{prefix}{key}"), key.to_owned()]);
        let properties = &self.settings.properties;
        keys.into_iter().find_map(|key| {
            let value = properties.get(&key)?.trim();
            Some((key, value))
        })
    }
}

fn wrong((key, value): (String, &str), reason: impl Into<String>) -> StartError {
    StartError::Property {
        key,
        value: value.to_owned(),
        reason: reason.into(),
    }
}

impl Gate {
    fn new(settings: &Settings, listener: &Listener) -> Result<Self, StartError> {
        let properties = Properties {
            settings,
            prefix: format!("listener.name.{}.", listener.name.to_lowercase()),
        };
        let mechanisms = match properties.find(None, "sasl.enabled.mechanisms") {
            None => Mechanism::ALL.to_vec(),
            Some(found) => {
                let names = found.1.split(',').map(|name| Mechanism::named(name.trim()));
                let reason = "known are PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER";
                names
                    .collect::<Option<_>>()
                    .ok_or_else(|| wrong(found, reason))?
            }
        };
        let mut reauthentication_ms = Vec::new();
        for mechanism in &mechanisms {
            if let Some(found) = properties.find(Some(*mechanism), "connections.max.reauth.ms") {
                let Ok(milliseconds) = found.1.parse() else {
                    return Err(wrong(found, "is not a number of milliseconds"));
                };
                if milliseconds > 0 {
                    reauthentication_ms.push((*mechanism, milliseconds));
                }
            }
        }
        let rules = match properties.find(None, "ssl.principal.mapping.rules") {
            None => MappingRules::default(),
            Some(found) => match MappingRules::parse(found.1) {
                Ok(rules) => rules,
                Err(reason) => return Err(wrong(found, reason)),
            },
        };
        let gate = Self {
            has_tls: listener.protocol.has_tls(),
            has_sasl: listener.protocol.has_sasl(),
            rules,
            mechanisms,
            reauthentication_ms,
            client_auth: listener.client_auth,
            config: Mutex::default(),
        };
        if gate.has_tls {
            let tls = settings
                .tls
                .as_ref()
                .ok_or_else(|| "no certificate was given".to_owned());
            tls.and_then(|tls| gate.set_tls(tls))
                .map_err(|reason| StartError::Tls {
                    listener: listener.name.clone(),
                    reason,
                })?;
        }
        Ok(gate)
    }

    fn config(&self) -> MutexGuard<'_, Option<Arc<ServerConfig>>> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to answer the next handshake with.
    pub(crate) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.config().clone()
    }

    /// Takes other certificates, for new connections.
    pub(crate) fn set_tls(&self, tls: &Tls) -> Result<(), String> {
        let config = tls::server_config(tls, self.client_auth)?;
        *self.config() = Some(config);
        Ok(())
    }

    /// How long a session lives; None: as long as the connection.
    pub(crate) fn reauthentication_ms(&self, mechanism: Mechanism) -> Option<i64> {
        let mut found = self
            .reauthentication_ms
            .iter()
            .filter(|(of, _)| *of == mechanism);
        found.next().map(|(_, milliseconds)| *milliseconds)
    }
}

/// The gates of all listeners, in their order.
pub(crate) fn gates(settings: &Settings) -> Result<Vec<Gate>, StartError> {
    let mut names = BTreeSet::new();
    for listener in &settings.listeners {
        if !names.insert(listener.name.to_lowercase()) {
            let found = ("listeners".to_owned(), listener.name.as_str());
            return Err(wrong(found, "two listeners of one name"));
        }
    }
    if names.is_empty() {
        return Err(wrong(
            ("listeners".to_owned(), ""),
            "a broker has at least one listener",
        ));
    }
    settings
        .listeners
        .iter()
        .map(|listener| Gate::new(settings, listener))
        .collect()
}

/// Who is connected, so that they can be disconnected.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    open: HashMap<u64, (Arc<str>, Arc<Notify>)>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts the connections of a principal; how many.
    pub(crate) fn disconnect(&self, principal: &str) -> usize {
        let entries = self.lock();
        let of_principal = entries.open.values().filter(|(of, _)| &**of == principal);
        of_principal.map(|(_, cut)| cut.notify_one()).count()
    }
}

/// One connection's entry; gone when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    shared: Arc<Shared>,
    id: u64,
    cut: Arc<Notify>,
}

impl Entry {
    pub(crate) fn new(shared: &Arc<Shared>, principal: &Arc<str>) -> Self {
        let cut = Arc::new(Notify::new());
        let mut entries = shared.security.connections.lock();
        let id = entries.next;
        entries.next += 1;
        entries
            .open
            .insert(id, (Arc::clone(principal), Arc::clone(&cut)));
        drop(entries);
        Self {
            shared: Arc::clone(shared),
            id,
            cut,
        }
    }

    /// Fires when the connection is to end.
    pub(crate) fn cut(&self) -> Arc<Notify> {
        Arc::clone(&self.cut)
    }

    /// The connection's principal is known now.
    pub(crate) fn rename(&self, principal: &Arc<str>) {
        let mut entries = self.shared.security.connections.lock();
        if let Some((of, _)) = entries.open.get_mut(&self.id) {
            *of = Arc::clone(principal);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared
            .security
            .connections
            .lock()
            .open
            .remove(&self.id);
    }
}
