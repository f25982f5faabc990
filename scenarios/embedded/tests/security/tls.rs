use embedded::{
    ClientAuth, EmbeddedCluster, Identity, Listener, Protocol, Settings, StartError,
    TestCertificates, Tls,
};
use kafka_protocol::messages::CreateAclsRequest;

use crate::client::Client;
use crate::{api_versions, metadata, settings};

fn tls(identity: Identity, trusted: &TestCertificates) -> Tls {
    Tls {
        identity,
        trusted: trusted.authority().to_owned(),
    }
}

fn with_tls(listeners: Vec<Listener>, tls: Tls, properties: &[(&str, &str)]) -> EmbeddedCluster {
    EmbeddedCluster::start_with(Settings {
        tls: Some(tls),
        brokers: 2,
        ..settings(listeners, properties)
    })
    .unwrap()
}

/// The first broker's listener of that name.
fn address(cluster: &EmbeddedCluster, listener: &str) -> String {
    cluster
        .bootstrap_of(listener)
        .unwrap()
        .split(',')
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn every_listener_names_its_own_addresses() {
    let certificates = TestCertificates::generate().unwrap();
    let listeners = vec![
        Listener::plaintext(),
        Listener::new("INSIDE", Protocol::Ssl),
        Listener::new("OUTSIDE", Protocol::SaslSsl),
    ];
    let cluster = with_tls(
        listeners,
        tls(certificates.server().unwrap(), &certificates),
        &[],
    );
    assert_eq!(cluster.bootstrap_of("nowhere"), None);
    for name in ["PLAINTEXT", "inside", "OUTSIDE"] {
        let address = address(&cluster, name);
        let mut client = match name {
            "PLAINTEXT" => Client::plain(&address),
            _ => Client::tls(&address, certificates.authority(), None).unwrap(),
        };
        if name == "OUTSIDE" {
            assert_eq!(
                client
                    .login_scram("SCRAM-SHA-512", "alice", "wonderland")
                    .unwrap()
                    .error_code,
                0
            );
        }
        let answer = metadata(&mut client).unwrap();
        let told = answer
            .brokers
            .iter()
            .map(|broker| format!("{}:{}", broker.host, broker.port));
        assert_eq!(
            told.collect::<Vec<_>>().join(","),
            cluster.bootstrap_of(name).unwrap()
        );
    }
    assert!(
        metadata(&mut Client::plain(&address(&cluster, "INSIDE"))).is_err(),
        "wrong protocol"
    );
}

#[test]
fn certificates_are_judged_on_both_sides() {
    let (ours, theirs) = (
        TestCertificates::generate().unwrap(),
        TestCertificates::generate().unwrap(),
    );
    let listeners = vec![
        Listener::new("MUST", Protocol::Ssl).with_client_auth(ClientAuth::Required),
        Listener::new("MAY", Protocol::Ssl).with_client_auth(ClientAuth::Requested),
    ];
    let cluster = with_tls(listeners, tls(ours.server().unwrap(), &ours), &[]);
    let served = |listener: &str, trusted: &TestCertificates, own: Option<&Identity>| {
        let client = Client::tls(&address(&cluster, listener), trusted.authority(), own);
        client
            .and_then(|mut client| client.ask(4, &api_versions()))
            .is_ok()
    };
    let alice = ours.client("alice").unwrap();
    for (listener, own, expected) in [
        ("MUST", Some(&alice), true),
        ("MUST", None, false),
        ("MUST", Some(&theirs.client("alice").unwrap()), false),
        ("MUST", Some(&ours.expired_client("alice").unwrap()), false),
        ("MAY", Some(&alice), true),
        ("MAY", None, true),
        ("MAY", Some(&theirs.client("alice").unwrap()), false),
    ] {
        assert_eq!(served(listener, &ours, own), expected, "{listener} {own:?}");
    }
    assert!(!served("MAY", &theirs, None), "an unknown broker");
    cluster
        .set_tls(&tls(ours.expired_server().unwrap(), &ours))
        .unwrap();
    assert!(!served("MAY", &ours, None), "an expired broker");
    cluster
        .set_tls(&tls(theirs.server().unwrap(), &ours))
        .unwrap();
    assert!(served("MUST", &theirs, Some(&alice)), "another authority");
}

/// Shows the principal by making it the only super user.
fn is_principal(properties: &[(&str, &str)], principal: &str, name: &str) -> bool {
    let certificates = TestCertificates::generate().unwrap();
    let mut properties = properties.to_vec();
    properties.push((
        "authorizer.class.name",
        "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    ));
    properties.push(("super.users", principal));
    let listener = Listener::new("SSL", Protocol::Ssl).with_client_auth(ClientAuth::Required);
    let cluster = with_tls(
        vec![listener],
        tls(certificates.server().unwrap(), &certificates),
        &properties,
    );
    let own = certificates.client(name).unwrap();
    let mut client = Client::tls(
        &address(&cluster, "SSL"),
        certificates.authority(),
        Some(&own),
    )
    .unwrap();
    let acl = kafka_protocol::messages::create_acls_request::AclCreation::default();
    let answer = client.ask(
        3,
        &CreateAclsRequest::default().with_creations(vec![acl.with_resource_type(1)]),
    );
    let error = answer.unwrap().results[0].error_code;
    // INVALID_REQUEST tells that the request was looked at, CLUSTER_AUTHORIZATION_FAILED that it was not.
    assert!([42, 31].contains(&error), "error {error}");
    error == 42
}

#[test]
fn principals_come_from_certificates() {
    assert!(is_principal(&[], "User:CN=client", "client"));
    assert!(!is_principal(&[], "User:client", "client"));
    let rules = [(
        "ssl.principal.mapping.rules",
        "RULE:^CN=(.*?)$/$1/U,DEFAULT",
    )];
    assert!(is_principal(&rules, "User:CLIENT", "client"));
}

#[test]
fn listeners_that_cannot_be() {
    let certificates = TestCertificates::generate().unwrap();
    let ssl = || Listener::new("SSL", Protocol::Ssl);
    let start = |listeners, identity: Option<Identity>, properties: &[(&str, &str)]| {
        let tls = identity.map(|identity| tls(identity, &certificates));
        EmbeddedCluster::start_with(Settings {
            tls,
            ..settings(listeners, properties)
        })
        .unwrap_err()
    };
    assert!(matches!(
        start(vec![ssl()], None, &[]),
        StartError::Tls { .. }
    ));
    let mut mixed = certificates.server().unwrap();
    mixed.key = certificates.server().unwrap().key;
    assert!(
        matches!(start(vec![ssl()], Some(mixed), &[]), StartError::Tls { .. }),
        "not its key"
    );
    let property = |listeners, properties: &[(&str, &str)]| match start(listeners, None, properties)
    {
        StartError::Property { key, .. } => key,
        other => panic!("{other}"),
    };
    assert_eq!(property(vec![], &[]), "listeners");
    assert_eq!(
        property(vec![Listener::plaintext(), Listener::plaintext()], &[]),
        "listeners"
    );
    for (key, value) in [
        ("sasl.enabled.mechanisms", "GSSAPI"),
        ("connections.max.reauth.ms", "soon"),
        (
            "listener.name.plaintext.ssl.principal.mapping.rules",
            "RULE:x",
        ),
        ("connection.failed.authentication.delay.ms", "x"),
    ] {
        assert_eq!(property(vec![Listener::plaintext()], &[(key, value)]), key);
    }
}
