//! Basic authentication as by Connect's `BasicAuthSecurityRestExtension` with its `PropertyFileLoginModule`: a file of
//! `user=password` lines, found through the JAAS file as Java finds it, or by a key of ours.

use std::env;
use std::fs;
use std::io::Read;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderMap};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use security::jaas_words;
use topology::Properties;

use super::errors::ErrorBody;
use super::listeners::{KeyFault, Keys};

/// The extension that switches it on.
pub(super) const EXTENSION: &str =
    "org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension";
const FILE_KEY: &str = "rest.basic.auth.file";
const METRICS_KEY: &str = "rest.basic.auth.metrics.free";
/// Where Java looks for the JAAS file, in `KAFKA_OPTS`.
const JAAS_OPTION: &str = "-Djava.security.auth.login.config=";
const LOGIN_MODULE: &str = "PropertyFileLoginModule";
const JAAS_SECTION: &str = "KafkaConnect";
/// Far more than any such file has.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Probes of a supervisor carry no password.
const FREE: [&str; 2] = ["/v1/live", "/v1/ready"];

/// Who may ask.
pub(crate) struct BasicAuth {
    /// SHA-256 of each `user:password`: passwords themselves are not kept.
    known: Vec<[u8; 32]>,
    metrics_free: bool,
}

impl BasicAuth {
    /// None: everybody may. `with_extension`: `rest.extension.classes` asks for it.
    pub(super) fn read(keys: &Keys, with_extension: bool) -> Result<Option<Self>, KeyFault> {
        let metrics_free = match keys.get(METRICS_KEY).as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(keys.fault(METRICS_KEY, "write true or false")),
        };
        let (key, file) = match keys.get(FILE_KEY) {
            Some(file) => (FILE_KEY, file),
            None if with_extension => {
                let key = "rest.extension.classes";
                let options = env::var("KAFKA_OPTS").unwrap_or_default();
                let file = file_of_jaas(&options).map_err(|what| keys.fault(key, what))?;
                (key, file)
            }
            None => return Ok(None),
        };
        let known = read_file(&file)
            .and_then(|bytes| digests(&bytes))
            .map_err(|what| keys.fault(key, format!("{file} {what}")))?;
        Ok(Some(Self {
            known,
            metrics_free,
        }))
    }

    /// Whether a request for `path` with these headers may go on. Every known pair is compared, in constant time each.
    pub(super) fn allows(&self, path: &str, headers: &HeaderMap) -> bool {
        let path = path.trim_end_matches('/');
        if FREE.contains(&path) || (self.metrics_free && path == "/metrics") {
            return true;
        }
        let Some(given) = credentials(headers) else {
            return false;
        };
        let given = digest(&SHA256, &given);
        let same = |known: &[u8; 32]| verify_slices_are_equal(known, given.as_ref()).is_ok();
        self.known
            .iter()
            .fold(false, |any, known| any | same(known))
    }
}

/// Connect's answer, in the shape of all other errors, and with the header that RFC 7235 asks for.
pub(super) fn refusal() -> HttpResponse {
    HttpResponse::Unauthorized()
        .insert_header((
            header::WWW_AUTHENTICATE,
            "Basic realm=\"kafka-connect\", charset=\"UTF-8\"",
        ))
        .json(ErrorBody {
            error_code: 401,
            message: "User cannot access the resource.".to_owned(),
        })
}

/// `user:password`; none if there is no user, as in Connect.
fn credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    (pair.iter().position(|&byte| byte == b':')? > 0).then_some(pair)
}

/// The files that Java reads are text of any size; these are not.
fn read_file(path: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("is larger than 1 MiB; give a file of user=password lines".to_owned());
    }
    Ok(bytes)
}

/// Of a credentials file. An empty one is refused: Connect lets everybody in then.
fn digests(bytes: &[u8]) -> Result<Vec<[u8; 32]>, String> {
    let users = Properties::parse(bytes).map_err(|error| error.to_string())?;
    let mut known = Vec::new();
    for (user, password) in users.iter() {
        if user.is_empty() || user.contains(':') {
            let at = users.origin(user).map_or(0, |origin| origin.line);
            return Err(format!(
                "has a user without a name, or with a colon in it, in line {at}: nobody could log in; write user=password"
            ));
        }
        let pair = digest(&SHA256, format!("{user}:{password}").as_bytes());
        known.extend(<[u8; 32]>::try_from(pair.as_ref()));
    }
    if known.is_empty() {
        return Err(
            "has no user; write user=password lines, or leave authentication out".to_owned(),
        );
    }
    Ok(known)
}

/// The credentials file that the JAAS file of these `KAFKA_OPTS` names.
fn file_of_jaas(options: &str) -> Result<String, String> {
    let jaas = options
        .split_whitespace()
        .rev()
        .find_map(|option| option.trim_matches(['"', '\'']).strip_prefix(JAAS_OPTION));
    let Some(jaas) = jaas else {
        return Err(format!(
            "basic authentication needs a file of user=password lines; set {FILE_KEY}, or {JAAS_OPTION}FILE in KAFKA_OPTS"
        ));
    };
    let jaas = jaas.trim_start_matches('=');
    let bytes = read_file(jaas).map_err(|what| format!("the JAAS file {jaas} {what}"))?;
    let text = String::from_utf8_lossy(&bytes);
    option_of_jaas(&text).ok_or_else(|| {
        format!(
            "the JAAS file {jaas} has no `{JAAS_SECTION} {{ ...{LOGIN_MODULE} required file=\"PATH\"; }};`; \
             other login modules are Java classes and cannot be loaded: set {FILE_KEY}"
        )
    })
}

/// `file` of the login module in Connect's section.
fn option_of_jaas(text: &str) -> Option<String> {
    let words = jaas_words(text);
    let mut at = words.iter().map(String::as_str);
    at.find(|word| *word == JAAS_SECTION)?;
    if at.next() != Some("{") {
        return None;
    }
    let class = at.next()?;
    if class.rsplit('.').next() != Some(LOGIN_MODULE) {
        return None;
    }
    let mut at = at.take_while(|word| *word != ";" && *word != "}");
    while let Some(word) = at.next() {
        if word == "file" && at.next() == Some("=") {
            return at.next().map(str::to_owned);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    fn allows(auth: &BasicAuth, path: &str, header: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_str(header).unwrap(),
        );
        auth.allows(path, &headers)
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }

    #[test]
    fn who_is_in_the_file_may_ask() {
        let known = digests("# users\nalice = s3:cret\n\u{fc} = \u{e4}\n".as_bytes()).unwrap();
        let auth = BasicAuth {
            known,
            metrics_free: false,
        };
        for good in ["alice:s3:cret", "\u{fc}:\u{e4}"] {
            assert!(allows(&auth, "/connectors", &basic(good)), "{good}");
        }
        let lower = basic("alice:s3:cret").replace("Basic", "bASIC");
        assert!(allows(&auth, "/", &lower));
        for bad in [
            basic("alice:s3"),
            basic("alice:"),
            basic(":s3:cret"),
            basic("alice"),
            basic(""),
            basic("bob:s3:cret"),
            "Basic ***".to_owned(),
            "Basic".to_owned(),
            basic("alice:s3:cret").replace("Basic", "Bearer"),
        ] {
            assert!(!allows(&auth, "/connectors", &bad), "{bad}");
        }
        let none = HeaderMap::new();
        for (path, free) in [
            ("/v1/live", true),
            ("/v1/ready/", true),
            ("/v1/livex", false),
            ("/metrics", false),
            ("/", false),
            ("/health", false),
            ("/v1/live/../flows", false),
        ] {
            assert_eq!(auth.allows(path, &none), free, "{path}");
        }
        let metrics_free = true;
        assert!(
            BasicAuth {
                metrics_free,
                ..auth
            }
            .allows("/metrics", &none)
        );
    }

    #[test]
    fn a_file_without_users_lets_nobody_in_by_accident() {
        for bad in ["", "# nobody\n", "=x\n", "a\\:b=c\n"] {
            assert!(digests(bad.as_bytes()).is_err(), "{bad}");
        }
        let said = digests(b"a\\:b=canary\n").unwrap_err();
        assert!(!said.contains("canary"), "{said}");
    }

    #[test]
    fn the_jaas_file_is_read_as_by_java() {
        let module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
        for (text, expected) in [
            (
                format!("KafkaConnect {{\n  {module} required\n  file=\"/a b/c\";\n}};\n"),
                Some("/a b/c"),
            ),
            (
                format!(
                    "// c\nOther {{ x required file=\"/no\"; }};/* y * / */KafkaConnect{{{module} required debug=true \
                     file = /d;}};"
                ),
                Some("/d"),
            ),
            (
                format!("KafkaConnect {{ {module} required; }}; X {{ y required file=\"/no\"; }};"),
                None,
            ),
            (
                "KafkaConnect { com.example.Ldap required file=\"/x\"; };".to_owned(),
                None,
            ),
            ("KafkaConnect".to_owned(), None),
            ("/* \" {".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(option_of_jaas(&text).as_deref(), expected, "{text}");
        }
        for options in ["", "-Xmx1g", "-Djava.security.auth.login.config=/nowhere/x"] {
            let said = file_of_jaas(options).unwrap_err();
            assert!(
                said.contains(FILE_KEY) || said.contains("/nowhere/x"),
                "{said}"
            );
        }
    }
}
