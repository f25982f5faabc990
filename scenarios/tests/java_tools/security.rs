//! Java clients through PLAIN, SCRAM and TLS, and `kafka-acls`.

use embedded::{ClientAuth, EmbeddedCluster, Listener, Protocol, Settings, TestCertificates, Tls};
use scenarios::server_properties;

use crate::Tools;

const AUTHORIZER: &str = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";

fn login(protocol: &str, mechanism: &str, module: &str, user: &str, password: &str) -> String {
    format!(
        "security.protocol={protocol}\nsasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module} \
         required username=\"{user}\" password=\"{password}\";\n"
    )
}

#[test]
fn clients_log_in_and_may_do_what_acls_say() {
    let certificates = TestCertificates::generate().unwrap();
    let properties = [
        ("authorizer.class.name", AUTHORIZER),
        ("super.users", "User:admin;User:CN=admin"),
    ];
    let cluster = EmbeddedCluster::start_with(Settings {
        brokers: 3,
        properties: server_properties(3, &properties),
        listeners: vec![
            Listener::new("SASL", Protocol::SaslPlaintext),
            Listener::new("SSL", Protocol::Ssl).with_client_auth(ClientAuth::Required),
            Listener::new("SASL_SSL", Protocol::SaslSsl),
        ],
        tls: Some(Tls {
            identity: certificates.server().unwrap(),
            trusted: certificates.authority().to_owned(),
        }),
        users: vec![
            ("admin".to_owned(), "secret".to_owned()),
            ("alice".to_owned(), "wonderland".to_owned()),
        ],
        ..Settings::default()
    })
    .unwrap();
    let java = Tools::of(&cluster).java;
    let reach = |listener: &str, config: String| Tools {
        java,
        bootstrap: cluster.bootstrap_of(listener).unwrap(),
        config: Some(java.file("client.properties", &config).unwrap()),
    };
    let authority = java
        .file("authority.pem", certificates.authority())
        .unwrap();
    let trust = format!("ssl.truststore.type=PEM\nssl.truststore.location={authority}\n");
    let own = certificates.client("admin").unwrap();
    let own = java
        .file(
            "admin.pem",
            &format!("{}{}", own.certificate_chain, own.key),
        )
        .unwrap();

    let admin = reach(
        "SASL",
        login(
            "SASL_PLAINTEXT",
            "PLAIN",
            "plain.PlainLoginModule",
            "admin",
            "secret",
        ),
    );
    let by_certificate = reach(
        "SSL",
        format!(
            "security.protocol=SSL\n{trust}ssl.keystore.type=PEM\nssl.keystore.location={own}\n"
        ),
    );
    let scram = |password| {
        login(
            "SASL_SSL",
            "SCRAM-SHA-512",
            "scram.ScramLoginModule",
            "alice",
            password,
        ) + &trust
    };
    let alice = reach("SASL_SSL", scram("wonderland"));

    by_certificate.ok("TopicCommand", "--create --topic orders --partitions 1");
    let stranger = reach("SSL", format!("security.protocol=SSL\n{trust}"));
    let refused = stranger.fails("TopicCommand", "--list");
    assert!(
        refused.contains("SslAuthenticationException") || refused.contains("SSL"),
        "{refused}"
    );
    let refused = reach("SASL_SSL", scram("rabbit")).fails("TopicCommand", "--list");
    let text = "Authentication failed during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512";
    assert!(refused.contains(text), "{refused}");

    let forbidden = alice.fails("TopicCommand", "--create --topic mine");
    assert!(
        forbidden.contains("TopicAuthorizationException: Authorization failed."),
        "{forbidden}"
    );
    let acls = |arguments: &str| admin.ok("AclCommand", arguments);
    let added = acls("--add --allow-principal User:alice --producer --topic orders");
    assert!(
        added.contains("(principal=User:alice, host=*, operation=WRITE, permissionType=ALLOW)"),
        "{added}"
    );
    acls("--add --allow-principal User:alice --consumer --topic orders --group readers");
    let deny = "--deny-principal User:eve --deny-host 10.0.0.1 --operation All --topic secret- --resource-pattern-type prefixed";
    acls(&format!("--add {deny}"));
    let listed = acls("--list");
    for part in [
        "ResourcePattern(resourceType=TOPIC, name=orders, patternType=LITERAL)",
        "ResourcePattern(resourceType=GROUP, name=readers, patternType=LITERAL)",
        "ResourcePattern(resourceType=TOPIC, name=secret-, patternType=PREFIXED)",
        "(principal=User:eve, host=10.0.0.1, operation=ALL, permissionType=DENY)",
    ] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    acls(&format!("--remove --force {deny}"));
    assert!(!acls("--list").contains("eve"));

    alice.produce("--topic orders", "one\ntwo\n");
    let read = "--topic orders --from-beginning --max-messages 2 --timeout-ms 20000";
    let output = alice.ok(
        "consumer.ConsoleConsumer",
        &format!("{read} --group readers"),
    );
    assert!(
        output.contains("one\ntwo\nProcessed a total of 2 messages"),
        "{output}"
    );
    let output = alice
        .run(
            "consumer.ConsoleConsumer",
            &format!("{read} --group others"),
        )
        .output;
    assert!(
        output.contains("GroupAuthorizationException: Not authorized to access group: others"),
        "{output}"
    );
    acls("--remove --force --allow-principal User:alice --operation Write --topic orders");
    let refused = alice
        .run_with_input("ConsoleProducer", "--topic orders", "three\n")
        .output;
    // No topic is left that alice may write to, and so no producer id for her.
    assert!(
        refused.contains("ClusterAuthorizationException: Cluster authorization failed."),
        "{refused}"
    );
}
