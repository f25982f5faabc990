//! Addresses of brokers in `bootstrap.servers`.

use std::fmt;

use super::error::ConfigError;
use super::value;
use crate::properties::Properties;

/// Host and port of a broker. An IPv6 address is kept without its brackets and shown with them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name or address; not resolved here.
    pub host: String,
    /// TCP port, 1 to 65535.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `[ipv6]:port` or, as Kafka's clients do, either behind `protocol://`.
    /// `None` for anything else, an IPv6 address without brackets included.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|&port| port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.contains(':'))?,
            None if host.contains(':') => return None,
            None => host,
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '%' | '.' | '_' | ':');
        let host = Some(host).filter(|host| !host.is_empty() && host.chars().all(legal))?;
        Some(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The addresses of `bootstrap.servers`; empty if the key is absent. Empty items are skipped, as
/// Kafka's clients do.
pub(crate) fn bootstrap_servers(properties: &Properties) -> Result<Vec<HostPort>, ConfigError> {
    const KEY: &str = "bootstrap.servers";
    let Some(text) = properties.get(KEY) else {
        return Ok(Vec::new());
    };
    let items = value::list(text).filter(|item| !item.is_empty());
    let servers: Option<Vec<_>> = items.map(HostPort::parse).collect();
    servers
        .filter(|servers| !servers.is_empty())
        .ok_or_else(|| {
            let expected = "write HOST:PORT, several with commas between them, an IPv6 address in \
                        brackets: [::1]:9092";
            ConfigError::invalid(properties, KEY, expected)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, host, shown) in [
            ("localhost:9092", "localhost", "localhost:9092"),
            ("[::1]:9092", "::1", "[::1]:9092"),
            ("[fe80::1%eth0]:9092", "fe80::1%eth0", "[fe80::1%eth0]:9092"),
            (
                "PLAINTEXT://b-1.eu_west:9092",
                "b-1.eu_west",
                "b-1.eu_west:9092",
            ),
        ] {
            let address = HostPort::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, 9092));
            assert_eq!(address.to_string(), shown);
        }
        for bad in [
            "localhost",
            "localhost:",
            ":9092",
            "localhost:0",
            "localhost:65536",
            "localhost:-1",
            "localhost:x",
            "::1:9092",
            "[::1]",
            "[::1:9092",
            "[host]:9092",
            "a b:9092",
            "${env:HOST}:9092",
            "",
        ] {
            assert_eq!(HostPort::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn lists_of_addresses() {
        let read =
            |text: &str| bootstrap_servers(&[("bootstrap.servers", text)].into_iter().collect());
        assert_eq!(read("a:1, b:2,").unwrap().len(), 2);
        assert!(
            bootstrap_servers(&Properties::default())
                .unwrap()
                .is_empty()
        );
        let error = read("a:1, b").unwrap_err().to_string();
        assert!(
            error.starts_with("bootstrap.servers: `a:1, b` is not valid; "),
            "{error}"
        );
        assert!(read("").is_err() && read(",").is_err());
    }
}
