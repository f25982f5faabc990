//! Brokers that want TLS and SASL: every connection of the product shows who it is, and nothing else gets through.

mod connect;
mod reauthentication;
mod refused;

use std::fmt::Display;
use std::sync::OnceLock;
use std::thread;
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use scenarios::client::{Isolation, numbered, unique};
use scenarios::{Kind, Secured, Way, await_ok, on_every_kind};

use crate::flows::{Flow, PATIENCE, await_copy, await_exact, stop};
use crate::tools::{File, crosscurrent};

on_every_kind! {
    scram_over_tls_to_a_mutual_tls_target,
    every_mechanism_copies,
}

/// Every secret of these tests has it, so that a leak is found.
const CANARY: &str = "canary";
/// A user of SCRAM, on `east` for SCRAM-SHA-512, on `west` for SCRAM-SHA-256.
const USER: &str = "bob";
const PASSWORD: &str = "canary-builder";

/// Two clusters, one of which wants to see passwords again every two seconds.
struct Clusters {
    east: Secured,
    west: Secured,
}

/// Those that all tests of a kind share; with topic names of their own.
fn clusters(kind: Kind) -> &'static Clusters {
    static REAL: OnceLock<Clusters> = OnceLock::new();
    static EMBEDDED: OnceLock<Clusters> = OnceLock::new();
    let shared = match kind {
        Kind::Real => &REAL,
        Kind::Embedded => &EMBEDDED,
    };
    shared.get_or_init(|| {
        let start = |alias, mechanism| {
            let sessions = ["saslssl.scram-sha-512", "sasl.plain"]
                .map(|of| format!("listener.name.{of}.connections.max.reauth.ms"));
            let extra: Vec<_> = sessions.iter().map(|key| (key.as_str(), "2000")).collect();
            let cluster = Secured::start(kind, alias, &extra, &["127.0.0.1"]).unwrap();
            cluster.set_password(mechanism, USER, PASSWORD).unwrap();
            cluster
        };
        thread::scope(|scope| {
            let east = scope.spawn(|| start("secured-east", "SCRAM-SHA-512"));
            let west = start("secured-west", "SCRAM-SHA-256");
            Clusters {
                east: east.join().unwrap(),
                west,
            }
        })
    })
}

/// A client's settings: key and value.
type Keys = Vec<(&'static str, String)>;

fn keys(protocol: &str) -> Keys {
    vec![("security.protocol", protocol.to_owned())]
}

fn trusting(mut keys: Keys, cluster: &Secured) -> Keys {
    keys.push(("ssl.truststore.type", "PEM".to_owned()));
    keys.push(("ssl.truststore.location", cluster.truststore().unwrap()));
    keys
}

/// With this mechanism; `options` of its login module.
fn login(mut keys: Keys, mechanism: &str, options: &str) -> Keys {
    let module = match mechanism {
        "PLAIN" => "plain.PlainLoginModule",
        "OAUTHBEARER" => "oauthbearer.OAuthBearerLoginModule",
        _ => "scram.ScramLoginModule",
    };
    let module = format!("org.apache.kafka.common.security.{module} required {options};");
    keys.push(("sasl.mechanism", mechanism.to_owned()));
    keys.push(("sasl.jaas.config", module));
    keys
}

fn password(user: &str, password: &str) -> String {
    format!("username=\"{user}\" password=\"{password}\"")
}

/// [`USER`] through TLS.
fn scram_ssl(cluster: &Secured, mechanism: &str, secret: &str) -> Keys {
    let keys = login(keys("SASL_SSL"), mechanism, &password(USER, secret));
    trusting(keys, cluster)
}

fn plain(cluster: &Secured) -> Keys {
    let (user, secret) = cluster.plain_user();
    login(keys("SASL_PLAINTEXT"), "PLAIN", &password(user, secret))
}

fn mutual(cluster: &Secured, name: &str) -> Keys {
    let mut keys = trusting(keys("SSL"), cluster);
    keys.push(("ssl.keystore.type", "PEM".to_owned()));
    keys.push(("ssl.keystore.location", cluster.keystore(name).unwrap()));
    keys
}

/// One side of a flow: how its brokers are reached.
struct Side<'a> {
    cluster: &'a Secured,
    way: Way,
    keys: Keys,
}

impl<'a> Side<'a> {
    fn new(cluster: &'a Secured, way: Way, keys: Keys) -> Self {
        Self { cluster, way, keys }
    }

    /// As lines of a file, or behind `source.cluster.`.
    fn lines(&self, prefix: impl Display) -> String {
        let bootstrap = self.cluster.bootstrap(self.way);
        let keys = self.keys.iter();
        let lines = keys.map(|(key, value)| format!("{prefix}{key} = {value}\n"));
        format!(
            "{prefix}bootstrap.servers = {bootstrap}\n{}",
            lines.collect::<String>()
        )
    }
}

fn flow(name: &str, source: &Side<'_>, target: &Side<'_>, topics: &str) -> Flow {
    let clusters = (source.cluster.cluster(), target.cluster.cluster());
    Flow::new(name, clusters.0, clusters.1, topics)
        .with(&source.lines("SOURCE."))
        .with(&target.lines("TARGET."))
}

/// Goal: records and groups are copied, and the commands that look at clusters reach both, through a password inside TLS on one side
/// and certificates on the other. No output has a secret in it.
fn scram_over_tls_to_a_mutual_tls_target(kind: Kind) {
    let Clusters { east, west } = clusters(kind);
    let from = scram_ssl(east, "SCRAM-SHA-512", PASSWORD);
    let from = Side::new(east, Way::SaslSsl, from);
    let to = Side::new(west, Way::MutualSsl, mutual(west, "copier"));
    let (topic, group) = (unique("scram"), unique("scram-group"));
    let (source, target) = (east.cluster().client(), west.cluster().client());
    let (source, target) = (source.unwrap(), target.unwrap());
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    source.produce(&topic, &numbered(0..2_000, 2, 100)).unwrap();
    source
        .commit_offsets(&group, &topic, &[(0, 1_000), (1, 500)])
        .unwrap();
    let flow = flow(&topic, &from, &to, &topic)
        .with("sync.group.offsets.enabled = true")
        .with("emit.checkpoints.interval.seconds = 1")
        .with("sync.group.offsets.interval.seconds = 1")
        .with("refresh.groups.interval.seconds = 1");
    let mut product = flow.run_logging("debug");
    let copy = flow.remote(&topic);
    let committed = Isolation::ReadCommitted;
    scenarios::await_that("the remote topic", PATIENCE, || {
        target.topics().is_ok_and(|all| all.contains(&copy))
    })
    .unwrap();
    await_copy(&source, &topic, &target, &copy, committed);
    await_ok("the group on the target", PATIENCE, || {
        let found = target.committed(&group, &copy);
        match found {
            Ok(found) if found == [(0, 1_000), (1, 500)].into() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
    let file = File::of(&flow);
    let path = file.path();
    let verified = crosscurrent(&["verify", &path, "--json"]).ended_with(0);
    let groups = crosscurrent(&["groups", &path, "--json"]).ended_with(0);
    assert!(groups.output.contains(&group), "{}", groups.output);
    stop(&mut product);
    for output in [product.output(), verified.output, groups.output] {
        assert!(!output.contains(CANARY), "{output}");
    }
}

/// A token without a signature, as `OAuthBearerUnsecuredLoginCallbackHandler` makes them.
fn token(subject: &str) -> String {
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let claims = format!(
        "{{\"sub\":\"{subject}\",\"iat\":{now},\"exp\":{}}}",
        now + 3_600
    );
    format!("{}.{}.", encode("{\"alg\":\"none\"}"), encode(&claims))
}

/// Goal: PLAIN to SCRAM-SHA-256, and OAUTHBEARER with a token that is made here to one with a token from a file.
fn every_mechanism_copies(kind: Kind) {
    let Clusters { east, west } = clusters(kind);
    let made = "unsecuredLoginStringClaim_sub=\"carol\"";
    let made = trusting(login(keys("sasl_ssl"), "OAUTHBEARER", made), east);
    let mut stored = login(keys("SASL_PLAINTEXT"), "OAUTHBEARER", "");
    let file = west.file("token", &token("dave")).unwrap();
    stored.push((
        "sasl.oauthbearer.token.endpoint.url",
        format!("file://{file}"),
    ));
    let scram = scram_ssl(west, "SCRAM-SHA-256", PASSWORD);
    for (name, from, to) in [
        (
            "plain",
            Side::new(east, Way::Sasl, plain(east)),
            Side::new(west, Way::SaslSsl, scram),
        ),
        (
            "bearer",
            Side::new(east, Way::SaslSsl, made),
            Side::new(west, Way::Sasl, stored),
        ),
    ] {
        let topic = unique(name);
        let (source, target) = (east.cluster().client(), west.cluster().client());
        let (source, target) = (source.unwrap(), target.unwrap());
        source.create_topic(&topic, 2, 1, &[]).unwrap();
        source.produce(&topic, &numbered(0..1_000, 2, 100)).unwrap();
        let flow = flow(&topic, &from, &to, &topic);
        let mut product = flow.run();
        await_copied(&target, &flow.remote(&topic), 0..1_000);
        stop(&mut product);
        assert!(!product.output().contains(CANARY), "{}", product.output());
    }
}

/// Waits for the topic, and these ids in it, each once.
fn await_copied(target: &scenarios::client::KafkaClient, copy: &str, ids: std::ops::Range<u64>) {
    scenarios::await_that(&format!("topic {copy}"), PATIENCE, || {
        target.topics().is_ok_and(|all| all.contains(copy))
    })
    .unwrap();
    await_exact(target, copy, ids);
}
