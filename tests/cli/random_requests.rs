//! Random requests by the OpenAPI document, and what may be answered: to `run` (`rest_fuzz`), and to a Connect worker
//! (`connect_fuzz` of the end-to-end tests).

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::http::{Answer, ask, send};

const SEED_DEFAULT: u64 = 0x5eed;
/// What Connect itself answers with 500 (recorded: validation of a configuration without a class).
const CONNECT_500: &str = "contains no connector type";

/// A number that the environment may give.
pub(crate) fn from_env<T: std::str::FromStr>(key: &str, default: T) -> T {
    let given = std::env::var(key).ok().and_then(|text| text.parse().ok());
    given.unwrap_or(default)
}

/// `FUZZ_SEED`, printed.
pub(crate) fn seed() -> u64 {
    let seed = from_env("FUZZ_SEED", SEED_DEFAULT);
    println!("FUZZ_SEED={seed}");
    seed
}

/// Repeatable for its seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = (self.0.wrapping_mul(6_364_136_223_846_793_005))
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    pub(crate) fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// A part of a path, sometimes one that is there.
    fn part(&mut self, name: &str, connectors: &[&str]) -> String {
        let good: &[&str] = match name {
            "connector" => connectors,
            "task" => &["0", "1"],
            "plugin" => &[
                "MirrorSourceConnector",
                "org.apache.kafka.connect.mirror.MirrorCheckpointConnector",
            ],
            _ => &["root", "actors", "org.apache.kafka"],
        };
        let odd = [
            "nope",
            "%",
            "%2",
            "%zz",
            "%2F",
            "%2e%2e",
            "..",
            "%00",
            "%ff%fe",
            "%C3%A4",
            "\u{e4}",
            "-1",
            "00",
            "99999999999999999999",
            "a%20b",
            "+",
            "%0d%0aX: y",
            "<script>",
            "${jndi:x}",
            "a;b=c",
            "%25%33%45",
            "{}",
            "~",
        ];
        match self.below(4) {
            0 | 1 => self.one(good).to_owned(),
            2 => self.one(&odd).to_owned(),
            _ => "x%F0%9F%92%A9".repeat(1 + self.below(60)),
        }
    }

    fn query(&mut self) -> String {
        if self.below(2) == 0 {
            return String::new();
        }
        let keys = [
            "expand",
            "limit",
            "offset",
            "state",
            "flow",
            "topic",
            "scope",
            "connectorsOnly",
            "includeTasks",
            "%",
        ];
        let values = [
            "",
            "status",
            "info",
            "true",
            "0",
            "-1",
            "1e9",
            "99999999999999999999",
            "%ff",
            "%",
            "&&=",
            "a->b",
            "cluster",
        ];
        let mut text = "?".to_owned();
        for _ in 0..=self.below(3) {
            write!(text, "{}={}&", self.one(&keys), self.one(&values)).unwrap();
        }
        text
    }

    /// Any JSON, of words that mean something here.
    pub(crate) fn json(&mut self, depth: usize) -> Value {
        let words = [
            "name",
            "config",
            "offsets",
            "partition",
            "offset",
            "topic",
            "cluster",
            "level",
            "connector.class",
            "tasks.max",
            "MirrorSourceConnector",
            "RUNNING",
            "initial_state",
            "DEBUG",
            "",
            "\u{0}",
            "\u{1F4A9}",
        ];
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => json!([0, -1, i64::MAX, i64::MIN][self.below(4)]),
            3 => json!([1e308, -0.0, u64::MAX as f64][self.below(3)]),
            4 | 5 => json!(self.one(&words)),
            6 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => {
                let members =
                    (0..self.below(5)).map(|_| (self.one(&words).to_owned(), self.json(depth - 1)));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(10) {
            0 => Vec::new(),
            1 => b"{\"name\":".to_vec(),
            2 => b"\xff\xfe{}".to_vec(),
            3 => b"[".repeat(100_000),
            4 => b"{\"config\":".repeat(5_000),
            5 => vec![b' '; 2 << 20],
            6 => {
                b"{\"offsets\":[{\"partition\":{\"cluster\":\"a\"},\"offset\":{\"offset\":1e400}}]}"
                    .to_vec()
            }
            7 => b"{\"a\":1,\"a\":2}".to_vec(),
            _ => self.json(4).to_string().into_bytes(),
        }
    }
}

/// The methods of a path of the document.
fn methods_of(item: &Value) -> Vec<String> {
    let members = item.as_object().unwrap().keys();
    (members.filter(|key| *key != "parameters"))
        .map(|key| key.to_uppercase())
        .collect()
}

/// Who is asked.
pub(crate) struct Asked<'a> {
    pub(crate) address: &'a str,
    /// Names of connectors that are there, at times.
    pub(crate) connectors: &'a [&'a str],
    /// Whether a route may answer 5xx with this body.
    pub(crate) may_fail: fn(&str, &str) -> bool,
    routes: Vec<(String, Value)>,
}

impl<'a> Asked<'a> {
    /// With the routes of its own document; each is there with its methods and no other.
    pub(crate) fn new(
        address: &'a str,
        connectors: &'a [&'a str],
        may_fail: fn(&str, &str) -> bool,
    ) -> Self {
        let document = ask(address, "GET", "/v1/openapi.json", "").json();
        let routes: BTreeMap<String, Value> =
            serde_json::from_value(document["paths"].clone()).unwrap();
        assert!(routes.len() >= 26, "{}", routes.len());
        for (route, item) in &routes {
            let path: String = route.replace("{task}", "0").replace(['{', '}'], "");
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                let described = item[method.to_lowercase()].is_object();
                let answer = ask(address, method, &path, "");
                assert_eq!(
                    answer.status != 405,
                    described,
                    "{method} {route}: {answer:?}"
                );
                if answer.status == 405 {
                    let allow = answer.header("allow").unwrap_or_default();
                    let mut allowed: Vec<_> = allow.split(", ").collect();
                    allowed.retain(|one| *one != "HEAD");
                    allowed.sort_unstable();
                    let mut there = methods_of(item);
                    there.sort_unstable();
                    assert_eq!(allowed, there, "{method} {route}: {answer:?}");
                }
            }
        }
        Self {
            address,
            connectors,
            may_fail,
            routes: routes.into_iter().collect(),
        }
    }

    /// One random request; whether it was answered.
    pub(crate) fn ask_one(&self, random: &mut Random) -> bool {
        let (route, item) = &self.routes[random.below(self.routes.len())];
        let any = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let there = methods_of(item);
        // Those that are there more often than not.
        let method = match random.below(4) {
            0 => random.one(&any).to_owned(),
            _ => there[random.below(there.len())].clone(),
        };
        let mut path = route.clone();
        for name in ["connector", "task", "plugin", "logger"] {
            let place = format!("{{{name}}}");
            if path.contains(&place) {
                path = path.replace(&place, &random.part(name, self.connectors));
            }
        }
        path += &random.query();
        let kinds = [
            "application/json",
            "application/json; charset=utf-16",
            "text/plain",
            "x",
            "",
        ];
        let kind = random.one(&kinds);
        let reads = method == "GET" || method == "HEAD";
        let body = if reads { Vec::new() } else { random.body() };
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        let bytes = [head.as_bytes(), &body].concat();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        let Some(answer) = send(self.address, &bytes) else {
            return false;
        };
        // What is no HTTP is answered without a body, and some paths lead to another route.
        let is_http = head.is_ascii() && !path.contains([' ', '<', '>', '{', '"']);
        let elsewhere = ["..", "%2e", "%2F"].iter().any(|one| path.contains(one));
        if is_http && !elsewhere && method != "HEAD" {
            println!("{shown:?}");
            self.check(&answer, route, &item[method.to_lowercase()]);
        }
        true
    }

    /// An answer that a route may give to anything.
    fn check(&self, answer: &Answer, route: &str, operation: &Value) {
        let described = &operation["responses"][answer.status.to_string()];
        let always = [400, 404, 405, 413, 415].contains(&answer.status);
        assert!(described.is_object() || always, "not described: {answer:?}");
        let text = answer.body.as_str();
        if answer.status >= 500 {
            let known = text.contains(CONNECT_500) || (self.may_fail)(route, text);
            assert!(known, "{route}: {answer:?}");
        }
        if answer.status >= 400 && route != "/v1/ready" && route != "/v1/live" {
            let error = answer.json();
            assert_eq!(error["error_code"], answer.status, "{answer:?}");
            assert!(error["message"].is_string(), "{answer:?}");
            for inner in ["panicked", "src/", ".rs:"] {
                assert!(!text.contains(inner), "{answer:?}");
            }
        } else if described["content"]["application/json"].is_object() {
            answer.json();
        }
    }
}
