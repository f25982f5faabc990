//! Web pages of other origins (`access.control.*`), and headers that an operator wants on answers
//! (`response.http.headers.config`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue, HttpDate};

use super::listeners::{KeyFault, Keys};

const ORIGIN_KEY: &str = "access.control.allow.origin";
const METHODS_KEY: &str = "access.control.allow.methods";
const HEADERS_KEY: &str = "response.http.headers.config";
/// As Jetty's.
const METHODS_DEFAULT: [Method; 3] = [Method::GET, Method::POST, Method::HEAD];
/// What pages may send beside what a browser sends by itself. Jetty's, and what authentication needs.
const REQUEST_HEADERS: &str = "X-Requested-With,Content-Type,Accept,Origin,Authorization";
/// How long a browser may remember the answer. Jetty's, in seconds.
const MAX_AGE: &str = "60";
/// The year 9900; HTTP writes years with four digits.
const DATE_MAX: Duration = Duration::from_secs(250_000_000_000);

/// Which web pages may ask what.
#[derive(Clone)]
pub(crate) struct Cors {
    /// `*`.
    any: bool,
    /// `*` in one is any text.
    origins: Vec<String>,
    methods: Vec<Method>,
}

impl Cors {
    /// None: pages of other origins may only send what every browser lets them send, and see no answer.
    pub(super) fn read(keys: &Keys) -> Result<Option<Self>, KeyFault> {
        let Some(origins) = keys.get(ORIGIN_KEY) else {
            return Ok(None);
        };
        let items = || {
            origins
                .split(',')
                .map(str::trim)
                .filter(|one| !one.is_empty())
        };
        let any = items().any(|one| one == "*");
        // Jetty reads patterns, where people mostly write addresses: a `.` is itself, and `.*` is `*`.
        let origins = items().map(|one| one.replace("\\.", ".").replace(".*", "*"));
        let origins = origins.collect();
        let methods = match keys.get(METHODS_KEY) {
            None => METHODS_DEFAULT.to_vec(),
            Some(text) => (text.split(','))
                .map(|one| Method::from_bytes(one.trim().as_bytes()))
                .collect::<Result<_, _>>()
                .map_err(|_| keys.fault(METHODS_KEY, "write methods, as in `GET,POST,PUT`"))?,
        };
        Ok(Some(Self {
            any,
            origins,
            methods,
        }))
    }

    fn is_allowed(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default();
        // Browsers may send several, with spaces between them.
        let is_known = |one: &str| self.origins.iter().any(|known| fits(known, one));
        !origin.is_empty() && (self.any || origin.split(' ').all(is_known))
    }

    /// Whether the page that sent these headers may do this.
    pub(super) fn allows(&self, method: &Method, headers: &HeaderMap) -> bool {
        let known = headers
            .get(header::ORIGIN)
            .is_some_and(|origin| self.is_allowed(origin));
        known && self.methods.contains(method)
    }

    /// The answer to `OPTIONS` before a request: what a page may send. None: that is no such question.
    pub(super) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<HeaderMap> {
        let asks = method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = headers.get(header::ORIGIN).filter(|_| asks)?;
        let mut answer = HeaderMap::new();
        if self.is_allowed(origin) {
            let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
            self.mark(headers, &mut answer);
            for (name, value) in [
                (header::ACCESS_CONTROL_ALLOW_METHODS, &*methods.join(",")),
                (header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
                (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
            ] {
                if let Ok(value) = HeaderValue::from_str(value) {
                    answer.insert(name, value);
                }
            }
        }
        Some(answer)
    }

    /// Lets the page that asked see the answer.
    pub(super) fn mark(&self, asked: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = asked.get(header::ORIGIN).filter(|one| self.is_allowed(one)) {
            // Never with a wildcard: `*` must not let any page use a password that the browser remembers.
            let value = if self.any {
                HeaderValue::from_static("*")
            } else {
                origin.clone()
            };
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, value);
            if !self.any {
                let yes = HeaderValue::from_static("true");
                answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }
}

/// Whether `text` is `pattern`, in which `*` is any text. Takes time in proportion to both.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// What is done to the headers of every answer, in order.
#[derive(Clone, Default)]
pub(crate) struct HeaderRules(Vec<HeaderRule>);

#[derive(Clone)]
struct HeaderRule {
    /// In place of what is there.
    replaces: bool,
    name: HeaderName,
    value: RuleValue,
}

#[derive(Clone)]
enum RuleValue {
    Text(HeaderValue),
    /// Milliseconds from now.
    In(i64),
}

impl HeaderRules {
    pub(super) fn read(keys: &Keys) -> Result<Self, KeyFault> {
        let text = keys.get(HEADERS_KEY).unwrap_or_default();
        let rules = csv(&text).into_iter().map(|item| rule(&item));
        let rules = rules.collect::<Option<_>>().ok_or_else(|| {
            let what = "write `set NAME: VALUE`, several with commas between them; the actions are set, add, setDate \
                        and addDate, and an item with a comma stands in double quotes";
            keys.fault(HEADERS_KEY, what)
        })?;
        Ok(Self(rules))
    }

    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for rule in &self.0 {
            let value = match &rule.value {
                RuleValue::Text(value) => value.clone(),
                RuleValue::In(milliseconds) => match date(*milliseconds) {
                    Some(value) => value,
                    None => continue,
                },
            };
            if rule.replaces {
                headers.insert(rule.name.clone(), value);
            } else {
                headers.append(rule.name.clone(), value);
            }
        }
    }
}

/// None: before 1970, or later than HTTP can write.
fn date(milliseconds: i64) -> Option<HeaderValue> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let now = i64::try_from(now.as_millis()).ok()?;
    let at = u64::try_from(now.checked_add(milliseconds)?).ok()?;
    let at = Duration::from_millis(at);
    let at = (at < DATE_MAX).then(|| UNIX_EPOCH + at)?;
    HeaderValue::from_str(&HttpDate::from(at).to_string()).ok()
}

/// Connect's `[action] [header name]:[header value]`.
fn rule(item: &str) -> Option<HeaderRule> {
    let (action, header) = item.trim().split_once(char::is_whitespace)?;
    let (name, value) = header.split_once(':')?;
    let action = action.to_ascii_lowercase();
    let (replaces, is_date) = match action.as_str() {
        "set" => (true, false),
        "add" => (false, false),
        "setdate" => (true, true),
        "adddate" => (false, true),
        _ => return None,
    };
    let (name, value) = (name.trim().parse().ok()?, value.trim());
    let value = if is_date {
        let milliseconds = value.parse().ok()?;
        date(milliseconds)?;
        RuleValue::In(milliseconds)
    } else {
        RuleValue::Text(HeaderValue::from_str(value).ok()?)
    };
    Some(HeaderRule {
        replaces,
        name,
        value,
    })
}

/// Items between commas; one in double quotes may have commas.
fn csv(text: &str) -> Vec<String> {
    let mut quoted = false;
    let items = text.split(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    let items = items.map(|item| item.trim().trim_matches('"').to_owned());
    items.filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::listeners::tests::{faults, read};
    use super::*;

    fn cors(lines: &str) -> Option<Cors> {
        read(lines).unwrap().unwrap().cors
    }

    fn from(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        headers
    }

    #[test]
    fn origins_and_methods_are_those_of_the_file() {
        assert!(cors("access.control.allow.origin =").is_none());
        let some = cors(
            "access.control.allow.origin = https://a.example, https://*.b.example\n\
             access.control.allow.methods = GET,PUT",
        )
        .unwrap();
        for (origin, method, expected) in [
            ("https://a.example", Method::PUT, true),
            ("https://x.b.example", Method::GET, true),
            ("https://a.example", Method::POST, false),
            ("https://axexample", Method::PUT, false),
            ("https://a.example.evil", Method::PUT, false),
            ("http://a.example", Method::PUT, false),
            ("null", Method::PUT, false),
            ("https://a.example https://evil", Method::PUT, false),
        ] {
            assert_eq!(some.allows(&method, &from(origin)), expected, "{origin}");
        }
        let any = cors("access.control.allow.origin = *").unwrap();
        assert!(any.allows(&Method::POST, &from("null")));
        assert!(!any.allows(&Method::PUT, &from("https://a")));
        assert!(!any.allows(&Method::POST, &HeaderMap::new()));
    }

    #[test]
    fn a_wildcard_never_comes_with_credentials() {
        for (lines, origin, credentials) in [
            ("access.control.allow.origin = *", "*", false),
            ("access.control.allow.origin = https://a", "https://a", true),
        ] {
            let mut answer = HeaderMap::new();
            cors(lines).unwrap().mark(&from("https://a"), &mut answer);
            assert_eq!(
                answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN).unwrap(),
                origin
            );
            let with = answer.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
            assert_eq!(with, credentials);
        }
    }

    #[test]
    fn headers_are_written_as_in_connect() {
        let lines = r#"response.http.headers.config = set X-Frame-Options: DENY,"add Cache-Control: no-cache, no-store",setDate Expires: 31540000000,addDate Last: 0"#;
        let rules = read(lines).unwrap().unwrap().headers;
        let mut headers = HeaderMap::new();
        rules.apply(&mut headers);
        rules.apply(&mut headers);
        assert_eq!(headers.get_all("x-frame-options").count(), 1);
        assert_eq!(headers.get_all("cache-control").count(), 2);
        assert_eq!(headers.get("cache-control").unwrap(), "no-cache, no-store");
        assert!(
            headers
                .get("expires")
                .unwrap()
                .to_str()
                .unwrap()
                .ends_with("GMT")
        );
        for bad in [
            "x",
            "set",
            "set x",
            "put x: y",
            "set x y: z",
            "setDate x: y",
            "setDate x: 9223372036854775807",
            "setDate x: 922337203685477580",
            "setDate x: -99999999999999",
            "set x: a\\u0001",
        ] {
            let said = faults(&format!("response.http.headers.config = {bad}"));
            assert_eq!(said.len(), 1, "{bad}: {said:?}");
        }
    }
}
