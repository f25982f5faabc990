//! What the product says when a broker does not let it in, or is not the one it should be; and that it gets on once that is mended.

use scenarios::client::{KafkaClient, numbered, unique};
use scenarios::{Kind, Secured, Way, await_ok, on_every_kind};
use serde_json::Value;

use super::{
    CANARY, Clusters, Keys, Side, await_copied, clusters, flow, keys, login, mutual, password,
    plain, scram_ssl, trusting,
};
use crate::flows::{Flow, PATIENCE, stop};
use crate::http::ask;
use crate::rest::Served;

on_every_kind! {
    a_wrong_password_is_said_and_a_new_user_lets_it_in,
    a_broker_of_another_authority_or_name_is_not_believed,
    protocols_that_do_not_fit_are_hinted_at,
}

/// A topic with 100 records, for a flow to `west` that cannot read it yet.
struct Locked {
    topic: String,
    target: KafkaClient,
}

impl Locked {
    fn new(east: &Secured, west: &Secured, name: &str) -> Self {
        let topic = unique(name);
        let source = east.cluster().client().unwrap();
        source.create_topic(&topic, 1, 1, &[]).unwrap();
        source.produce(&topic, &numbered(0..100, 1, 50)).unwrap();
        let target = west.cluster().client().unwrap();
        Self { topic, target }
    }

    fn await_copied(&self, flow: &Flow) {
        await_copied(&self.target, &flow.remote(&self.topic), 0..100);
    }
}

/// Waits until all of `words` are in what keeps the flow from getting on, and in its log.
fn await_trouble(served: &Served, words: &[&str]) {
    await_reason(&served.address, words);
    let has_all = |text: &str| words.iter().all(|word| text.contains(word));
    let output = served.product.output();
    assert!(output.lines().any(has_all), "{output}");
    assert!(!output.contains(CANARY), "{output}");
}

/// Waits until all of `words` are in what REST says of the first flow.
pub(super) fn await_reason(address: &str, words: &[&str]) {
    let has_all = |text: &str| words.iter().all(|word| text.contains(word));
    await_ok(&format!("{words:?}"), PATIENCE, || {
        let flows = ask(address, "GET", "/v1/flows", "").json();
        let trouble = trouble(&flows);
        if has_all(&trouble) {
            Ok(())
        } else {
            Err(flows.to_string())
        }
    })
    .unwrap();
}

fn trouble(flows: &Value) -> String {
    flows[0]["trouble"].as_str().unwrap_or_default().to_owned()
}

/// Goal: a password that a broker does not know is named as that, with broker and mechanism and without the password, by every
/// mechanism; when the user is made, the flow that has been trying copies.
fn a_wrong_password_is_said_and_a_new_user_lets_it_in(kind: Kind) {
    let Clusters { east, west } = clusters(kind);
    let secret = "canary-late";
    let user = unique("late");
    let late = login(keys("SASL_SSL"), "SCRAM-SHA-512", &password(&user, secret));
    let to = || Side::new(west, Way::Sasl, plain(west));
    let from = Side::new(east, Way::SaslSsl, trusting(late, east));
    let locked = Locked::new(east, west, "late");
    let broker = east.bootstrap(Way::SaslSsl);
    let flow = flow(&locked.topic, &from, &to(), &locked.topic);
    let mut served = Served::run(&flow, &[]);
    await_trouble(
        &served,
        &[&broker, "SCRAM-SHA-512", "Authentication failed"],
    );
    east.set_password("SCRAM-SHA-512", &user, secret).unwrap();
    locked.await_copied(&flow);
    stop(&mut served.product);

    let (user, _) = east.plain_user();
    let wrong = login(
        keys("SASL_PLAINTEXT"),
        "PLAIN",
        &password(user, "canary-wrong"),
    );
    let from = Side::new(east, Way::Sasl, wrong);
    let locked = Locked::new(east, west, "wrong");
    let flow = super::flow(&locked.topic, &from, &to(), &locked.topic);
    let mut served = Served::run(&flow, &[]);
    await_trouble(&served, &["PLAIN", "Invalid username or password"]);
    stop(&mut served.product);
}

/// Goal: a broker whose certificate is signed by somebody else, or is for another name, gets nothing; names are not looked at if
/// the operator says so.
fn a_broker_of_another_authority_or_name_is_not_believed(kind: Kind) {
    let Clusters { east: other, west } = clusters(kind);
    let misnamed = Secured::start(kind, "misnamed", &[], &["elsewhere.example"]).unwrap();
    let to = || Side::new(west, Way::MutualSsl, mutual(west, "copier"));
    let own = mutual(&misnamed, "reader");
    let with = |key: &'static str, value: &str| -> Keys {
        let others = own.iter().filter(|(name, _)| *name != key).cloned();
        others.chain([(key, value.to_owned())]).collect()
    };
    let foreign = with("ssl.truststore.location", &other.truststore().unwrap());
    let without_names = with("ssl.endpoint.identification.algorithm", "");
    for (keys, words) in [
        (foreign, &["authority", "ssl.truststore.location"][..]),
        (own.clone(), &["name", "127.0.0.1"]),
        (without_names, &[]),
    ] {
        let locked = Locked::new(&misnamed, west, "misnamed");
        let from = Side::new(&misnamed, Way::MutualSsl, keys);
        let flow = flow(&locked.topic, &from, &to(), &locked.topic);
        let mut served = Served::run(&flow, &[]);
        match words {
            [] => locked.await_copied(&flow),
            words => await_trouble(&served, words),
        }
        stop(&mut served.product);
    }
}

/// Goal: TLS spoken to a port without it, and the reverse, and a certificate that is missing, are named as what they probably are.
fn protocols_that_do_not_fit_are_hinted_at(kind: Kind) {
    let Clusters { east, west } = clusters(kind);
    let to = || Side::new(west, Way::Sasl, plain(west));
    let tls = || trusting(keys("SSL"), east);
    let wrong_mechanism = scram_ssl(east, "SCRAM-SHA-256", "canary-x");
    for (way, keys, words) in [
        (Way::Sasl, tls(), &["TLS handshake", "without TLS"][..]),
        (
            Way::MutualSsl,
            keys("PLAINTEXT"),
            &["TLS", "security.protocol"],
        ),
        (Way::MutualSsl, tls(), &["certificate"]),
        (
            Way::Sasl,
            keys("PLAINTEXT"),
            &["log in", "security.protocol"],
        ),
        (
            Way::SaslSsl,
            wrong_mechanism,
            &["SCRAM-SHA-256", "Authentication failed"],
        ),
    ] {
        let locked = Locked::new(east, west, "unfit");
        let from = Side::new(east, way, keys);
        let flow = flow(&locked.topic, &from, &to(), &locked.topic);
        let mut served = Served::run(&flow, &[]);
        await_trouble(&served, words);
        stop(&mut served.product);
    }
}
