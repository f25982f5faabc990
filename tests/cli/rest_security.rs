//! Who may reach the REST API: listeners, TLS, passwords, web pages, bounds, and what must never be said.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use scenarios::await_that;
use scenarios::process::Process;
use serde_json::Value;

use crate::http::{Answer, ask, exchange, send};
use crate::program::{Folder, PATIENCE, STOP_PATIENCE, closed_port, command, one_flow, refused};

pub(crate) const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/stores");
/// `alice:canary-wonder`.
const ALICE: &str = "Authorization: Basic YWxpY2U6Y2FuYXJ5LXdvbmRlcg==";

/// A process whose file says how REST is reached.
pub(crate) struct Served {
    folder: Folder,
    process: Process,
    /// `host:port` of each listener, in their order; those of `admin.listeners` behind.
    pub(crate) addresses: Vec<String>,
}

impl Served {
    /// `{folder}` in the lines is a folder with the credentials file `users`, `{stores}` that of the key stores.
    pub(crate) fn start(lines: &str, environment: &[(&str, &str)]) -> Self {
        let folder = Folder::with("");
        let place = folder.path().display().to_string();
        std::fs::write(folder.path().join("users"), "alice = canary-wonder\n").unwrap();
        // Its own, to be changed.
        let pem = std::fs::read(format!("{STORES}/server.pem")).unwrap();
        std::fs::write(folder.path().join("server.pem"), pem).unwrap();
        let lines = lines
            .replace("{folder}", &place)
            .replace("{stores}", STORES);
        let (source, target) = (closed_port(), closed_port());
        std::fs::write(folder.file(), one_flow(&source, &target, &lines)).unwrap();
        let mut run = command(&["run", &folder.file()]);
        for (key, value) in environment {
            run.env(key, value.replace("{folder}", &place));
        }
        let mut process = folder.spawn(run);
        let mut addresses = Vec::new();
        let listeners = lines.lines().filter(|line| line.contains("listeners ="));
        let expected: usize = listeners.map(|line| line.matches("://").count()).sum();
        await_that("addresses", PATIENCE, || {
            process.check_running().unwrap();
            addresses = (folder.output().lines())
                .filter(|line| {
                    line.contains("REST and metrics url") || line.contains("log levels url")
                })
                .filter_map(|line| line.split("://").nth(1))
                .map(|rest| rest.trim_end_matches('"').to_owned())
                .collect();
            addresses.len() >= expected
        })
        .unwrap();
        Self {
            folder,
            process,
            addresses,
        }
    }

    /// Ends it, in order; there was no panic, and no secret was said.
    pub(crate) fn stop(mut self) {
        self.process.signal(Signal::SIGTERM).unwrap();
        let status = self.process.wait(STOP_PATIENCE).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.process.log_tail());
        let output = self.folder.output();
        assert!(!output.contains("a panic"), "{output}");
        assert!(
            !output.contains("canary") && !output.contains(secret_of(ALICE)),
            "{output}"
        );
    }
}

fn secret_of(header: &str) -> &str {
    header.rsplit(' ').next().unwrap()
}

fn request(method: &str, path: &str, headers: &[&str]) -> String {
    let more: String = headers.iter().map(|one| format!("{one}\r\n")).collect();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n{more}\r\n"
    )
}

fn plain(address: &str, method: &str, path: &str, headers: &[&str]) -> Answer {
    send(address, request(method, path, headers).as_bytes()).unwrap()
}

/// GET by TLS, with the certificate of a client or without. None: the server does not want us.
fn secure(address: &str, path: &str, headers: &[&str], client: bool) -> Option<Answer> {
    let pem = |file: &str| std::fs::read(format!("{STORES}/{file}")).unwrap();
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(&pem("ca.pem")).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if client {
        let chain = vec![CertificateDer::from_pem_slice(&pem("client.pem")).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(&pem("client.pem")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    exchange(
        &mut StreamOwned::new(connection, stream),
        request("GET", path, headers).as_bytes(),
    )
}

/// Goal: each listener is what it says; log levels are where `admin.listeners` says, and nothing else is there.
#[test]
fn several_listeners_are_served() {
    let served = Served::start(
        "listeners = http://127.0.0.1:0, https://localhost:0\nadmin.listeners = http://127.0.0.1:0\n\
         rest.advertised.listener = https\nrest.advertised.host.name = mirror.example\n\
         listeners.https.ssl.keystore.location = {stores}/server.pem\n",
        &[],
    );
    let [http, https, admin] = &*served.addresses else {
        panic!("{:?}", served.addresses);
    };
    let status = |address: &str, path: &str| ask(address, "GET", path, "").status;
    assert_eq!(status(http, "/connectors"), 200);
    assert_eq!(status(http, "/admin/loggers"), 404);
    assert_eq!(
        (
            status(admin, "/admin/loggers"),
            status(admin, "/connectors")
        ),
        (200, 404)
    );
    assert_eq!(
        secure(https, "/connectors", &[], false).unwrap().status,
        200
    );
    assert!(
        send(https, request("GET", "/", &[]).as_bytes()).is_none_or(|answer| answer.status >= 400)
    );
    let of = ask(
        http,
        "GET",
        "/connectors/a-%3Eb.MirrorHeartbeatConnector/status",
        "",
    )
    .json();
    let port = https.rsplit(':').next().unwrap();
    assert_eq!(
        of["connector"]["worker_id"],
        format!("mirror.example:{port}")
    );
    served.stop();
    let off = Served::start("listeners = http://127.0.0.1:0\nadmin.listeners =\n", &[]);
    assert_eq!(status(&off.addresses[0], "/admin/loggers"), 404);
    off.stop();
}

/// Goal: a certificate that takes the place of an old one is shown without a restart; one that cannot be read is said, and the
/// old one still shown.
#[test]
fn a_renewed_certificate_is_shown() {
    let served = Served::start(
        "listeners = https://localhost:0\nlisteners.https.ssl.keystore.location = {folder}/server.pem\n",
        &[],
    );
    let folder = served.folder.path().to_owned();
    let put = |text: &str| {
        std::fs::write(folder.join("beside"), text).unwrap();
        std::fs::rename(folder.join("beside"), folder.join("server.pem")).unwrap();
    };
    let port = served.addresses[0].rsplit(':').next().unwrap();
    let url = format!("https://localhost:{port}");
    let trusted = |ca: &str| {
        let mut status = command(&["status", &url, "--ca", ca]);
        status.output().unwrap().status.success()
    };
    let (old, new) = (format!("{STORES}/ca.pem"), folder.join("new.pem"));
    let new = new.display().to_string();
    assert!(trusted(&old));
    put("nonsense");
    let said = "cannot be used: the old ones still count";
    await_that(said, PATIENCE, || served.folder.output().contains(said)).unwrap();
    assert!(trusted(&old));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&new, made.cert.pem()).unwrap();
    put(&format!(
        "{}{}",
        made.signing_key.serialize_pem(),
        made.cert.pem()
    ));
    await_that("the new certificate", PATIENCE, || trusted(&new)).unwrap();
    assert!(!trusted(&old));
    served.stop();
}

/// Goal: a store of each kind serves; certificates of clients are asked for as the file says.
#[test]
fn certificates_are_shown_and_asked_for() {
    for (store, auth, without, with) in [
        (
            "java.p12\nssl.keystore.password = canary-store",
            "none",
            true,
            true,
        ),
        (
            "java.jks\nssl.keystore.password = canary-store\nssl.key.password = canary-key",
            "requested",
            true,
            true,
        ),
        (
            "encrypted.pem\nssl.keystore.type = PEM\nssl.key.password = canary-key",
            "required",
            false,
            true,
        ),
    ] {
        let served = Served::start(
            &format!(
                "listeners = https://127.0.0.1:0\nssl.keystore.location = {STORES}/{store}\nssl.client.auth = {auth}\n\
                 ssl.truststore.location = {STORES}/trust.p12\nssl.truststore.password = canary-store\n\
                 ssl.enabled.protocols = TLSv1.3\n"
            ),
            &[],
        );
        let asked = |client| {
            let answer = secure(&served.addresses[0], "/connectors", &[], client);
            answer.is_some_and(|answer| answer.status == 200)
        };
        assert_eq!((asked(false), asked(true)), (without, with), "{store}");
        served.stop();
    }
}

/// Goal: without a name and password of the file nothing is told, but whether the process is well.
#[test]
fn passwords_are_asked_for() {
    let extension = "rest.extension.classes = org.apache.kafka.connect.rest.basic.auth.extension.BasicAuthSecurityRestExtension\n";
    let jaas = tempfile::NamedTempFile::new().unwrap();
    let options = format!(
        "-Xmx1g -Djava.security.auth.login.config={}",
        jaas.path().display()
    );
    for (lines, environment) in [
        ("rest.basic.auth.file = {folder}/users\n", vec![]),
        (extension, vec![("KAFKA_OPTS", &*options)]),
    ] {
        // The file is named by its path, and each process has its own.
        let users = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(users.path(), "alice = canary-wonder\n").unwrap();
        let module = "org.apache.kafka.connect.rest.basic.auth.extension.PropertyFileLoginModule";
        let text = format!(
            "KafkaConnect {{\n {module} required\n file=\"{}\";\n}};\n",
            users.path().display()
        );
        std::fs::write(jaas.path(), text).unwrap();
        let served = Served::start(
            &format!("listeners = http://127.0.0.1:0\n{lines}"),
            &environment,
        );
        let address = &served.addresses[0];
        // `alice:canary-wander`, `:`, and a scheme that is not there.
        let wrong = "Authorization: Basic YWxpY2U6Y2FuYXJ5LXdhbmRlcg==";
        for (path, header, status) in [
            ("/connectors", ALICE, 200),
            ("/metrics", ALICE, 200),
            ("/connectors", "X: y", 401),
            ("/connectors", wrong, 401),
            ("/connectors", "Authorization: Basic Og==", 401),
            ("/connectors", "Authorization: Bearer x", 401),
            ("/nowhere", "X: y", 401),
            ("/metrics", "X: y", 401),
            ("/v1/openapi.json", "X: y", 401),
            ("/v1/live", "X: y", 200),
            ("/v1/live/../../connectors", "X: y", 401),
            ("//v1/live//", "X: y", 200),
            ("//connectors//", "X: y", 401),
        ] {
            let answer = plain(address, "GET", path, &[header]);
            assert_eq!(answer.status, status, "{path} {header}");
            if status == 401 {
                let basic = answer.header("www-authenticate").unwrap();
                assert!(basic.starts_with("Basic realm="), "{basic}");
                let expected = serde_json::json!({"error_code": 401, "message": "User cannot access the resource."});
                assert_eq!(answer.json(), expected);
            }
        }
        let stop = "/connectors/MirrorSourceConnector/stop";
        assert_eq!(plain(address, "PUT", stop, &[wrong]).status, 401);
        served.stop();
    }
}

/// Goal: pages of the origins that the file names may do what it names; a question before a request needs no password.
#[test]
fn web_pages_may_do_what_the_file_says() {
    let served = Served::start(
        "listeners = http://127.0.0.1:0\naccess.control.allow.origin = https://good.example\n\
         access.control.allow.methods = GET,PUT\nrest.basic.auth.file = {folder}/users\n\
         response.http.headers.config = set X-Frame-Options: DENY,\"set Cache-Control: no-store, private\"\n",
        &[],
    );
    let address = &served.addresses[0];
    let good = "Origin: https://good.example";
    let asks = |origin| {
        plain(
            address,
            "OPTIONS",
            "/connectors",
            &[origin, "Access-Control-Request-Method: PUT"],
        )
    };
    let allowed = asks(good);
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://good.example")
    );
    assert_eq!(
        allowed.header("access-control-allow-methods"),
        Some("GET,PUT")
    );
    assert!(
        allowed
            .header("access-control-allow-headers")
            .unwrap()
            .contains("Authorization")
    );
    let denied = asks("Origin: https://evil.example");
    assert_eq!(
        denied.header("access-control-allow-origin"),
        None,
        "{denied:?}"
    );
    let pause = "/connectors/MirrorSourceConnector/pause";
    let put = |origin| plain(address, "PUT", pause, &[origin, ALICE]);
    assert_eq!(put("Origin: https://evil.example").status, 403);
    let answer = put(good);
    assert_eq!(answer.status, 202);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://good.example")
    );
    let post = plain(address, "POST", "/connectors", &[good, ALICE]);
    assert_eq!(post.status, 403, "POST is not in the list");
    for (path, headers) in [
        ("/connectors", vec![ALICE]),
        ("/nowhere", vec![ALICE]),
        ("/", vec![]),
    ] {
        let answer = plain(address, "GET", path, &headers);
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store, private"));
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
    served.stop();
}

/// Goal: who sends nothing, or too much, is let go, and others are served meanwhile.
#[test]
fn slow_and_large_requests_are_bounded() {
    let served = Served::start(
        &format!(
            "listeners = http://127.0.0.1:0, https://127.0.0.1:0\nssl.keystore.location = {STORES}/server.pem\n"
        ),
        &[],
    );
    let since = Instant::now();
    let mut silent = Vec::new();
    for (address, begin) in [
        (
            &served.addresses[0],
            &b"GET /connectors HTTP/1.1\r\nX: "[..],
        ),
        (&served.addresses[1], b""),
        (&served.addresses[1], b"\x16\x03\x01"),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(begin).unwrap();
        silent.push(stream);
    }
    assert_eq!(ask(&served.addresses[0], "GET", "/v1/live", "").status, 200);
    for stream in &mut silent {
        drop(stream.read_to_end(&mut Vec::new()));
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    let address = &served.addresses[0];
    let huge = "x".repeat(2 << 20);
    let answer = ask(
        address,
        "PATCH",
        "/connectors/MirrorSourceConnector/offsets",
        &huge,
    );
    assert_eq!(
        (answer.status, &answer.json()["error_code"]),
        (413, &Value::from(413))
    );
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "x".repeat(1 << 18)
    );
    let answer = send(address, head.as_bytes());
    assert!(answer.is_none_or(|answer| answer.status == 431));
    served.stop();
}

/// Goal: no route tells a password, to whomever; no log line has one, at any level.
#[test]
fn secrets_are_nowhere() {
    let secrets = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        secrets.path(),
        "store = canary-store\nkey = canary-key\nuser = canary-user\n",
    )
    .unwrap();
    let from = |key: &str| format!("${{file:{}:{key}}}", secrets.path().display());
    let served = Served::start(
        &format!(
            "listeners = https://localhost:0\nconfig.providers = file\n\
             config.providers.file.class = org.apache.kafka.common.config.provider.FileConfigProvider\n\
             ssl.keystore.location = {STORES}/java.jks\nssl.keystore.password = {}\nssl.key.password = {}\n\
             rest.basic.auth.file = {{folder}}/users\na.sasl.jaas.config = x password=\"canary-jaas\";\n\
             a->b.client.id = {}\na->b.consumer.ssl.keystore.password = canary-consumer\n",
            from("store"),
            from("key"),
            from("user"),
        ),
        &[("RUST_LOG", "trace")],
    );
    let address = &served.addresses[0];
    let get = |path: &str, headers: &[&str]| secure(address, path, headers, false).unwrap();
    let document = get("/v1/openapi.json", &[ALICE]).json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 20, "{}", paths.len());
    let names = get("/connectors", &[ALICE]).json();
    for name in names.as_array().unwrap() {
        for path in paths.keys() {
            let path = path
                .replace("{connector}", &name.as_str().unwrap().replace('>', "%3E"))
                .replace("{task}", "0")
                .replace("{plugin}", "MirrorSourceConnector")
                .replace("{logger}", "root");
            for path in [path.clone(), format!("{path}?expand=info&expand=status")] {
                for headers in [&[ALICE][..], &[]] {
                    let answer = get(&path, headers);
                    assert!(
                        !format!("{answer:?}").contains("canary"),
                        "{path}: {answer:?}"
                    );
                }
            }
        }
    }
    served.stop();
}

/// Goal: a bad value ends the start, with the line, the key and what to write; no password is repeated.
#[test]
fn bad_values_end_the_start() {
    let (source, target) = (closed_port(), closed_port());
    let fixed = one_flow(&source, &target, "").lines().count();
    for (lines, said) in [
        (
            "listeners = ftp://canary@x:1",
            "listeners: address 1 is none; write http://HOST:PORT",
        ),
        (
            "listeners = https://:0",
            "ssl.keystore.location: is not set",
        ),
        ("admin.listeners = x", "admin.listeners: address 1 is none"),
        (
            "rest.advertised.port = x",
            "rest.advertised.port: write a port",
        ),
        (
            "rest.basic.auth.file = /nowhere/users",
            "rest.basic.auth.file: /nowhere/users cannot be read",
        ),
        (
            "rest.extension.classes = BasicAuthSecurityRestExtension",
            "rest.extension.classes: basic authentication needs",
        ),
        (
            "response.http.headers.config = x",
            "response.http.headers.config: write `set NAME: VALUE`",
        ),
        (
            "config.providers = vault",
            "config.providers.vault.class is not set",
        ),
    ] {
        let output = refused(one_flow(&source, &target, &format!("{lines}\n")), &[]);
        assert!(
            output.contains(said) && !output.contains("canary"),
            "{lines}: {output}"
        );
        // What is missing has no line.
        let key = lines.split(' ').next().unwrap();
        let at = format!("mm2.properties:{}: {key}: ", fixed + 1);
        assert_eq!(
            output.contains(&at),
            said.starts_with(&format!("{key}:")),
            "{lines}: {output}"
        );
    }
}
