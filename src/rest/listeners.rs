//! How REST is reached, as Kafka Connect's keys say it: from a file's properties to a checked configuration.

use std::sync::Arc;
use std::time::SystemTime;

use topology::{ConfigProviders, Properties};
use tracing::warn;

use super::auth::{self, BasicAuth};
use super::cors::{Cors, HeaderRules};
use super::tls::Tls;
use crate::cli::Listen;

/// Connect's port. Connect listens on all addresses; without being told to, we are there for this machine alone.
const LISTENERS_DEFAULT: &str = "http://127.0.0.1:8083";
const LISTENER_FORM: &str =
    "write http://HOST:PORT or https://HOST:PORT, several with commas between them";

/// What is wrong with one key, for `config::Fault`. No secret is in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyFault {
    /// Line of the key in its file.
    pub(crate) line: Option<usize>,
    /// The key, and what to write instead.
    pub(crate) what: String,
}

/// The keys of a file, with `${...}` resolved.
pub(super) struct Keys<'a> {
    properties: &'a Properties,
    providers: &'a ConfigProviders,
}

impl<'a> Keys<'a> {
    pub(super) fn of(properties: &'a Properties, providers: &'a ConfigProviders) -> Self {
        Self {
            properties,
            providers,
        }
    }

    /// What they are read from.
    pub(super) fn parts(&self) -> (&'a Properties, &'a ConfigProviders) {
        (self.properties, self.providers)
    }

    /// The value of `key`, if it is there and not blank.
    pub(super) fn get(&self, key: &str) -> Option<String> {
        let text = self.given(key)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The value of `key`, be it blank.
    pub(super) fn given(&self, key: &str) -> Option<String> {
        Some(self.providers.resolve(self.properties.get(key)?))
    }

    pub(super) fn fault(&self, key: &str, what: impl std::fmt::Display) -> KeyFault {
        KeyFault {
            line: self.properties.origin(key).map(|origin| origin.line),
            what: format!("{key}: {what}"),
        }
    }

    /// Connect's `valuesWithPrefixAllOrNothing`: `prefix` if any key begins with it, else the bare keys.
    pub(super) fn prefix_if_used<'p>(&self, prefix: &'p str) -> &'p str {
        let mut keys = self.properties.iter();
        if keys.any(|(key, _)| key.starts_with(prefix)) {
            prefix
        } else {
            ""
        }
    }
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    /// With TLS.
    pub(crate) https: bool,
    /// A name or an address, IPv6 without brackets. Empty: every address of the machine.
    pub(crate) host: String,
    /// 0: any free one.
    pub(crate) port: u16,
}

impl Listener {
    /// Connect's syntax: `http://host:port`, the protocol in any case, IPv6 with or without brackets.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let (host, port) = rest.strip_suffix('/').unwrap_or(rest).rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
        let port = port.parse().ok()?;
        host.chars().all(is_host).then(|| Self {
            https,
            host: host.to_owned(),
            port,
        })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

/// Addresses that share their certificate.
#[derive(Clone)]
pub(crate) struct Listeners {
    pub(crate) at: Vec<Listener>,
    /// There if one of them is https.
    pub(crate) tls: Option<Arc<Tls>>,
}

/// Where `/admin/loggers` is served.
#[derive(Clone)]
pub(crate) enum Admin {
    /// Beside everything else.
    Beside,
    Nowhere,
    /// On these, and nothing else on them.
    Apart(Listeners),
}

/// What the process says that its address is: the `worker_id` of every answer.
#[derive(Clone, Default)]
pub(crate) struct Advertised {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    /// Of which listener. None: http if there is one.
    pub(crate) https: Option<bool>,
}

/// All that decides who may reach REST, and how.
#[derive(Clone)]
pub(crate) struct RestConfig {
    pub(crate) listeners: Listeners,
    pub(crate) admin: Admin,
    pub(crate) advertised: Advertised,
    pub(crate) auth: Option<Arc<BasicAuth>>,
    pub(crate) cors: Option<Cors>,
    pub(crate) headers: HeaderRules,
}

impl RestConfig {
    /// From the keys of the `run` file or of a worker's; `listen` is `--rest`, and before `listeners`. None: REST is off.
    ///
    /// # Errors
    /// Everything that is wrong with the keys; never empty.
    pub(crate) fn read(
        properties: &Properties,
        providers: &ConfigProviders,
        listen: Option<&Listen>,
    ) -> Result<Option<Self>, Vec<KeyFault>> {
        let keys = Keys::of(properties, providers);
        let mut faults = Vec::new();
        let wanted = match listen {
            Some(Listen::Off) => return Ok(None),
            Some(Listen::On(address)) => Some(address.clone()),
            None => keys.given("listeners"),
        };
        let at = wanted.unwrap_or_else(|| LISTENERS_DEFAULT.to_owned());
        let at = list(&keys, "listeners", &at, &mut faults);
        let listeners = with_tls(&keys, at, "listeners.https.", &mut faults);
        let admin = match keys.given("admin.listeners") {
            None => Admin::Beside,
            Some(text) if text.trim().is_empty() => Admin::Nowhere,
            Some(text) => {
                let at = list(&keys, "admin.listeners", &text, &mut faults);
                Admin::Apart(with_tls(&keys, at, "admin.listeners.https.", &mut faults))
            }
        };
        let mut take = |fault| faults.push(fault);
        let advertised = advertised(&keys, &listeners.at).unwrap_or_else(|fault| {
            take(fault);
            Advertised::default()
        });
        let with_extension = extensions(&keys);
        let auth = BasicAuth::read(&keys, with_extension).unwrap_or_else(|fault| {
            take(fault);
            None
        });
        let cors = Cors::read(&keys).unwrap_or_else(|fault| {
            take(fault);
            None
        });
        let headers = HeaderRules::read(&keys).unwrap_or_else(|fault| {
            take(fault);
            HeaderRules::default()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Some(Self {
            listeners,
            admin,
            advertised,
            auth: auth.map(Arc::new),
            cors,
            headers,
        }))
    }
}

impl RestConfig {
    /// The certificates of all listeners.
    pub(super) fn tls(&self) -> Vec<Arc<Tls>> {
        let admin = match &self.admin {
            Admin::Apart(listeners) => listeners.tls.clone(),
            Admin::Beside | Admin::Nowhere => None,
        };
        self.listeners
            .tls
            .clone()
            .into_iter()
            .chain(admin)
            .collect()
    }
}

/// The text of a fault does not repeat the address: there may be a password in it.
fn list(keys: &Keys, key: &str, text: &str, faults: &mut Vec<KeyFault>) -> Vec<Listener> {
    let mut listeners = Vec::new();
    for (number, one) in text.split(',').enumerate() {
        match Listener::parse(one.trim()) {
            Some(listener) if listener.port > 0 && listeners.contains(&listener) => {
                let what = format!("address {} is there twice; write it once", number + 1);
                faults.push(keys.fault(key, what));
            }
            Some(listener) => listeners.push(listener),
            None => {
                let what = format!("address {} is none; {LISTENER_FORM}", number + 1);
                faults.push(keys.fault(key, what));
            }
        }
    }
    listeners
}

fn with_tls(keys: &Keys, at: Vec<Listener>, prefix: &str, faults: &mut Vec<KeyFault>) -> Listeners {
    let mut tls = None;
    if at.iter().any(|listener| listener.https) {
        match Tls::read(keys, keys.prefix_if_used(prefix), SystemTime::now()) {
            Ok(config) => tls = Some(Arc::new(config)),
            Err(fault) => faults.push(fault),
        }
    }
    Listeners { at, tls }
}

fn advertised(keys: &Keys, listeners: &[Listener]) -> Result<Advertised, KeyFault> {
    let key = "rest.advertised.port";
    let port = keys.get(key).map(|text| text.parse::<u16>());
    let port = port.transpose().ok().filter(|port| *port != Some(0));
    let port = port.ok_or_else(|| keys.fault(key, "write a port, 1 to 65535"))?;
    let key = "rest.advertised.listener";
    let https = match keys.get(key).map(|text| text.to_ascii_lowercase()) {
        None => None,
        Some(text) if text == "http" => Some(false),
        Some(text) if text == "https" => Some(true),
        Some(_) => return Err(keys.fault(key, "write http or https")),
    };
    if let Some(https) = https
        && !listeners.iter().any(|listener| listener.https == https)
    {
        let what = "is the protocol of no listener; add one to `listeners`, or leave this out";
        return Err(keys.fault(key, what));
    }
    Ok(Advertised {
        host: keys.get("rest.advertised.host.name"),
        port,
        https,
    })
}

/// Whether Connect's basic authentication is among the extensions; others are named once.
fn extensions(keys: &Keys) -> bool {
    let classes = keys.get("rest.extension.classes").unwrap_or_default();
    let mut found = false;
    for class in classes.split(',').map(str::trim) {
        if class == auth::EXTENSION || Some(class) == auth::EXTENSION.rsplit('.').next() {
            found = true;
        } else if !class.is_empty() {
            warn!(
                class,
                "rest.extension.classes: Java classes cannot be loaded, without effect"
            );
        }
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What is wrong with these lines.
    pub(in crate::rest) fn faults(lines: &str) -> Vec<String> {
        let faults = read(lines).err().unwrap_or_default();
        faults.into_iter().map(|fault| fault.what).collect()
    }

    pub(in crate::rest) fn read(lines: &str) -> Result<Option<RestConfig>, Vec<KeyFault>> {
        let properties = Properties::parse(lines.as_bytes()).unwrap();
        RestConfig::read(&properties, &ConfigProviders::default(), None)
    }

    fn at(lines: &str) -> Vec<Listener> {
        read(lines).unwrap().unwrap().listeners.at
    }

    #[test]
    fn listeners_are_written_as_in_connect() {
        let listener = |host: &str, port| Listener {
            https: false,
            host: host.to_owned(),
            port,
        };
        for (lines, expected) in [
            ("", vec![listener("127.0.0.1", 8083)]),
            ("listeners = http://:0", vec![listener("", 0)]),
            (
                "listeners = HTTP://a-b.c:1 , http://[::1]:2/",
                vec![listener("a-b.c", 1), listener("::1", 2)],
            ),
            ("listeners = http://::1:2", vec![listener("::1", 2)]),
        ] {
            assert_eq!(at(lines), expected, "{lines}");
        }
        for bad in [
            "",
            "x",
            "http://a",
            "ftp://a:1",
            "http://a:-1",
            "http://a:65536",
            "http://canary@a:1",
            "http://a:1,",
        ] {
            let faults = faults(&format!("listeners = {bad}"));
            assert_eq!(faults.len(), 1, "{bad}");
            assert!(faults[0].starts_with("listeners: address "), "{faults:?}");
            assert!(!faults[0].contains("canary"), "{faults:?}");
        }
    }

    #[test]
    fn admin_listeners_may_be_off_or_apart() {
        let admin = |lines| read(lines).unwrap().unwrap().admin;
        assert!(matches!(admin(""), Admin::Beside));
        assert!(matches!(admin("admin.listeners ="), Admin::Nowhere));
        let Admin::Apart(listeners) = admin("admin.listeners = http://127.0.0.1:0") else {
            panic!("not apart");
        };
        assert_eq!(listeners.at.len(), 1);
        assert_eq!(faults("admin.listeners = x").len(), 1);
    }

    #[test]
    fn what_is_advertised_is_checked() {
        let ok = "rest.advertised.port = 443\nrest.advertised.host.name = h\nrest.advertised.listener = HTTP";
        let advertised = read(ok).unwrap().unwrap().advertised;
        assert_eq!(
            (advertised.host.as_deref(), advertised.port),
            (Some("h"), Some(443))
        );
        for (lines, said) in [
            ("rest.advertised.port = 0", "1 to 65535"),
            ("rest.advertised.port = x", "1 to 65535"),
            ("rest.advertised.listener = ftp", "write http or https"),
            ("rest.advertised.listener = https", "of no listener"),
        ] {
            let faults = faults(lines);
            assert!(
                faults.len() == 1 && faults[0].contains(said),
                "{lines}: {faults:?}"
            );
        }
    }

    #[test]
    fn all_faults_are_found_at_once() {
        let lines = "listeners = x\nadmin.listeners = y\nrest.advertised.port = z\n\
                     response.http.headers.config = q\nrest.basic.auth.file = /nowhere\n";
        let faults = read(lines).err().unwrap();
        let lines: Vec<_> = faults.iter().filter_map(|fault| fault.line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 4]);
    }

    #[test]
    fn other_extensions_do_nothing() {
        let none = read("rest.extension.classes = com.example.Mine").unwrap();
        assert!(none.unwrap().auth.is_none());
    }
}
