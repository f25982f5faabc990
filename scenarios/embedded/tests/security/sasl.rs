use std::time::Duration;

use embedded::{Clock, EmbeddedCluster, Listener, Protocol, Settings};
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, DescribeUserScramCredentialsRequest, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};

use crate::client::{Client, bearer, plain};
use crate::{api_versions, cluster, metadata, settings};

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const ILLEGAL_SASL_STATE: i16 = 34;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

fn sasl(properties: &[(&str, &str)]) -> EmbeddedCluster {
    cluster(
        vec![
            Listener::new("SASL", Protocol::SaslPlaintext),
            Listener::plaintext(),
        ],
        properties,
    )
}

#[test]
fn every_mechanism_lets_its_users_in_and_nobody_else() {
    let cluster = sasl(&[]);
    let connect = || Client::plain(&cluster.bootstrap());
    let mut client = connect();
    assert_eq!(
        client
            .login_plain("alice", "wonderland")
            .unwrap()
            .error_code,
        0
    );
    assert!(metadata(&mut client).is_ok());
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut client = connect();
        let answer = client
            .login_scram(mechanism, "alice", "wonderland")
            .unwrap();
        assert_eq!(
            (answer.error_code, answer.session_lifetime_ms),
            (0, 0),
            "{mechanism}"
        );
        assert!(metadata(&mut client).is_ok());
        for (user, password) in [("alice", "builder"), ("nobody", "wonderland")] {
            let mut client = connect();
            let answer = client.login_scram(mechanism, user, password).unwrap();
            let text = format!(
                "Authentication failed during authentication due to invalid credentials with SASL mechanism {mechanism}"
            );
            assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED);
            assert_eq!(answer.error_message.as_deref(), Some(text.as_str()));
            assert!(metadata(&mut client).is_err(), "closed");
        }
    }
    let mut client = connect();
    let answer = client.login_plain("alice", "builder").unwrap();
    assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED);
    assert_eq!(
        answer.error_message.as_deref(),
        Some("Authentication failed: Invalid username or password")
    );
    assert!(metadata(&mut client).is_err(), "closed");
}

#[test]
fn tokens_end_when_they_say() {
    let clock = Clock::owned(1_000_000_000);
    let settings = Settings {
        clock: clock.clone(),
        ..settings(vec![Listener::new("SASL", Protocol::SaslPlaintext)], &[])
    };
    let cluster = EmbeddedCluster::start_with(settings).unwrap();
    let mut client = Client::plain(&cluster.bootstrap());
    assert_eq!(client.handshake("OAUTHBEARER").unwrap().0, 0);
    let answer = client.token(bearer("carol", 1_000_060)).unwrap();
    assert_eq!((answer.error_code, answer.session_lifetime_ms), (0, 60_000));
    clock.advance(Duration::from_secs(60));
    assert!(metadata(&mut client).is_ok(), "its last moment");
    clock.advance(Duration::from_millis(1));
    assert!(metadata(&mut client).is_err(), "closed without an answer");
    // The refusal comes in two steps, the second after the broker's pause.
    let mut client = Client::plain(&cluster.bootstrap());
    client.handshake("OAUTHBEARER").unwrap();
    let answer = client.token(bearer("carol", 1_000_060)).unwrap();
    assert_eq!(
        (answer.error_code, answer.auth_bytes),
        (0, "{\"status\":\"invalid_token\"}".into())
    );
    let refused = std::thread::spawn(move || {
        (
            client.token("\x01").unwrap(),
            metadata(&mut client).is_err(),
        )
    });
    while !refused.is_finished() {
        clock.advance(Duration::from_millis(100));
        std::thread::yield_now();
    }
    let (answer, closed) = refused.join().unwrap();
    assert_eq!(
        (answer.error_code, closed),
        (SASL_AUTHENTICATION_FAILED, true)
    );
}

#[test]
fn only_api_versions_is_answered_before_authentication() {
    let cluster = sasl(&[("sasl.enabled.mechanisms", "SCRAM-SHA-512,PLAIN")]);
    let connect = || Client::plain(&cluster.bootstrap());
    assert!(metadata(&mut connect()).is_err());
    assert!(
        connect().token(plain("alice", "wonderland")).is_err(),
        "no handshake"
    );
    let mut client = connect();
    assert_eq!(client.ask(4, &api_versions()).unwrap().error_code, 0);
    assert!(client.ask(4, &api_versions()).is_err(), "once is enough");
    let mut client = connect();
    client.ask(4, &api_versions()).unwrap();
    let (error, mechanisms) = client.handshake("OAUTHBEARER").unwrap();
    assert_eq!(error, UNSUPPORTED_SASL_MECHANISM);
    assert_eq!(mechanisms, ["SCRAM-SHA-512", "PLAIN"]);
    assert!(client.handshake("PLAIN").is_err(), "closed");
    let mut client = connect();
    client.handshake("PLAIN").unwrap();
    assert!(
        metadata(&mut client).is_err(),
        "not between handshake and token"
    );
    // After authentication, and where none is wanted.
    let mut client = connect();
    client.login_plain("alice", "wonderland").unwrap();
    assert_eq!(
        client.token("again").unwrap().error_code,
        ILLEGAL_SASL_STATE
    );
    let mut open = Client::plain(&cluster.bootstrap_of("plaintext").unwrap());
    let handshake = SaslHandshakeRequest::default().with_mechanism("PLAIN".into());
    assert_eq!(
        open.ask(1, &handshake).unwrap().error_code,
        ILLEGAL_SASL_STATE
    );
    assert_eq!(
        open.ask(2, &SaslAuthenticateRequest::default())
            .unwrap()
            .error_code,
        ILLEGAL_SASL_STATE
    );
}

#[test]
fn bare_tokens_after_the_first_handshake_version() {
    let cluster = sasl(&[]);
    let handshake = SaslHandshakeRequest::default().with_mechanism("PLAIN".into());
    let mut client = Client::plain(&cluster.bootstrap());
    assert_eq!(client.ask(0, &handshake).unwrap().error_code, 0);
    assert!(
        client
            .bare_token(plain("alice", "wonderland").as_bytes())
            .unwrap()
            .is_empty()
    );
    assert!(metadata(&mut client).is_ok());
    let mut client = Client::plain(&cluster.bootstrap());
    client.ask(0, &handshake).unwrap();
    assert!(
        client.bare_token(plain("alice", "x").as_bytes()).is_err(),
        "closed"
    );
}

#[test]
fn sessions_are_renewed_by_the_same_user_only() {
    let clock = Clock::owned(0);
    let listeners = vec![Listener::new("SASL", Protocol::SaslPlaintext)];
    let properties = [
        ("connections.max.reauth.ms", "5000"),
        (
            "listener.name.sasl.scram-sha-256.connections.max.reauth.ms",
            "7000",
        ),
        ("connection.failed.authentication.delay.ms", "0"),
    ];
    let settings = Settings {
        clock: clock.clone(),
        ..settings(listeners, &properties)
    };
    let cluster = EmbeddedCluster::start_with(settings).unwrap();
    let login = || {
        let mut client = Client::plain(&cluster.bootstrap());
        assert_eq!(
            client
                .login_plain("alice", "wonderland")
                .unwrap()
                .session_lifetime_ms,
            5000
        );
        client
    };
    let mut client = login();
    for _ in 0..3 {
        clock.advance(Duration::from_secs(4));
        assert!(metadata(&mut client).is_ok());
        let again = client.login_plain("alice", "wonderland").unwrap();
        assert_eq!((again.error_code, again.session_lifetime_ms), (0, 5000));
    }
    assert_eq!(
        client.handshake("PLAIN").unwrap().0,
        ILLEGAL_SASL_STATE,
        "too soon"
    );
    clock.advance(Duration::from_millis(5001));
    assert!(metadata(&mut client).is_err(), "its life has ended");
    let answer = login().login_plain("bob", "builder").unwrap();
    assert_eq!(answer.error_code, SASL_AUTHENTICATION_FAILED);
    let text = "Cannot change principals during re-authentication from User.alice: User.bob";
    assert_eq!(answer.error_message.as_deref(), Some(text));
    let mut client = login();
    assert_eq!(
        client.handshake("SCRAM-SHA-256").unwrap().0,
        0,
        "not yet told"
    );
    assert!(
        client.token("n,,n=alice,r=x").is_err(),
        "another mechanism closes"
    );
    let mut client = Client::plain(&cluster.bootstrap());
    let answer = client
        .login_scram("SCRAM-SHA-256", "alice", "wonderland")
        .unwrap();
    assert_eq!(answer.session_lifetime_ms, 7000);
}

#[test]
fn users_change_while_the_cluster_runs() {
    let cluster = sasl(&[]);
    let connect = || Client::plain(&cluster.bootstrap());
    let mut alice = connect();
    alice.login_plain("alice", "wonderland").unwrap();
    cluster.set_password("alice", "looking glass");
    assert!(metadata(&mut alice).is_ok(), "who is in stays in");
    assert_eq!(
        connect()
            .login_plain("alice", "wonderland")
            .unwrap()
            .error_code,
        SASL_AUTHENTICATION_FAILED
    );
    let mut second = connect();
    let answer = second.login_scram("SCRAM-SHA-512", "alice", "looking glass");
    assert_eq!(answer.unwrap().error_code, 0);
    assert_eq!(cluster.disconnect("User:alice"), 2);
    assert!(metadata(&mut alice).is_err() && metadata(&mut second).is_err());
    assert!(cluster.remove_user("alice") && !cluster.remove_user("alice"));
    assert_ne!(
        connect()
            .login_scram("SCRAM-SHA-256", "alice", "looking glass")
            .unwrap()
            .error_code,
        0
    );
}

#[test]
fn scram_credentials_by_clients() {
    let cluster = sasl(&[]);
    let mut admin = Client::plain(&cluster.bootstrap_of("PLAINTEXT").unwrap());
    let salt = b"0123456789abcdef";
    let mut salted = vec![0; 32];
    let iterations = std::num::NonZeroU32::new(8192).unwrap();
    aws_lc_rs::pbkdf2::derive(
        aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256,
        iterations,
        salt,
        b"secret",
        &mut salted,
    );
    let upsertion = ScramCredentialUpsertion::default()
        .with_name("dora".into())
        .with_mechanism(1)
        .with_iterations(8192)
        .with_salt(salt.to_vec().into())
        .with_salted_password(salted.into());
    let deletion = |name: &'static str| {
        ScramCredentialDeletion::default()
            .with_name(name.into())
            .with_mechanism(2)
    };
    let request = AlterUserScramCredentialsRequest::default()
        .with_upsertions(vec![
            upsertion.clone(),
            upsertion
                .clone()
                .with_name("few".into())
                .with_iterations(4095),
            upsertion
                .clone()
                .with_name("many".into())
                .with_iterations(16_385),
            upsertion
                .clone()
                .with_name("other".into())
                .with_mechanism(3),
            upsertion.clone().with_name("".into()),
            upsertion.clone().with_name("bob".into()),
        ])
        .with_deletions(vec![deletion("alice"), deletion("nobody"), deletion("bob")]);
    let answer = admin.ask(0, &request).unwrap();
    let mut errors: Vec<_> = answer
        .results
        .iter()
        .map(|row| (row.user.as_str(), row.error_code))
        .collect();
    errors.sort_unstable();
    let expected = [
        ("", 93),
        ("alice", 0),
        ("bob", 92),
        ("dora", 0),
        ("few", 93),
        ("many", 93),
        ("nobody", 91),
        ("other", 33),
    ];
    assert_eq!(errors, expected);
    let mut client = Client::plain(&cluster.bootstrap());
    assert_eq!(
        client
            .login_scram("SCRAM-SHA-256", "dora", "secret")
            .unwrap()
            .error_code,
        0
    );
    let all = DescribeUserScramCredentialsRequest::default().with_users(None);
    let answer = admin.ask(0, &all).unwrap();
    let rows = answer.results.iter().map(|row| {
        let infos = row
            .credential_infos
            .iter()
            .map(|info| (info.mechanism, info.iterations));
        (row.user.as_str(), infos.collect::<Vec<_>>())
    });
    let expected = [
        ("alice", vec![(1, 4096)]),
        ("bob", vec![(1, 4096), (2, 4096)]),
        ("dora", vec![(1, 8192)]),
    ];
    assert_eq!(rows.collect::<Vec<_>>(), expected);
}
