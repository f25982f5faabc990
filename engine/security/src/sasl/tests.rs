use super::*;

fn sasl(lines: &[(&str, &str)]) -> Result<Sasl, Fault> {
    let keys = |key: &str| {
        let found = lines.iter().find(|(name, _)| *name == key);
        found.map(|(_, value)| (*value).to_owned())
    };
    Sasl::read(Ssl::of(&keys))
}

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"alice\" password=\"canary\";";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"user\" password=\"pencil\";";

#[test]
fn plain_says_user_and_password() {
    let sasl = sasl(&[(MECHANISM, "PLAIN"), (JAAS, PLAIN)]).unwrap();
    let (mut exchange, first) = sasl.start().unwrap();
    assert_eq!(first, b"\0alice\0canary");
    assert_eq!(exchange.step(b"").unwrap(), None);
    assert_eq!(format!("{sasl:?}"), "PLAIN");
}

/// The example of RFC 7677, section 3.
#[test]
fn scram_is_that_of_the_rfc() {
    let credentials = scram::Credentials {
        sha512: false,
        user: "user".to_owned(),
        password: "pencil".to_owned(),
        token: false,
    };
    let (mut scram, first) = Scram::with_nonce(&credentials, "rOprNGfwEbeRWgbNEkqO".to_owned());
    assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let answer =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let proof = scram.step(answer).unwrap().unwrap();
    assert_eq!(
        String::from_utf8(proof).unwrap(),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );
    let end = scram
        .step(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        .unwrap();
    assert_eq!(end, None);
}

/// Goal: a broker that does not know the password is not believed, and gets nothing to guess with.
#[test]
fn a_false_broker_is_refused() {
    let sasl = sasl(&[(MECHANISM, "SCRAM-SHA-512"), (JAAS, SCRAM)]).unwrap();
    let begin = || {
        let (exchange, first) = sasl.start().unwrap();
        let first = String::from_utf8(first).unwrap();
        let nonce = first.split("r=").nth(1).unwrap().to_owned();
        (exchange, nonce)
    };
    for (bad, said) in [
        ("e=unknown-user", "unknown-user"),
        ("r=NONCE,s=AAAA,i=4096", "another one's"),
        ("r=otherx,s=AAAA,i=4096", "another one's"),
        ("r=NONCEx,s=AAAA,i=1", "iterations"),
        ("r=NONCEx,s=AAAA,i=999999999", "iterations"),
        ("r=NONCEx,s=*,i=4096", "malformed"),
        ("", "malformed"),
    ] {
        let (mut exchange, nonce) = begin();
        let error = exchange
            .step(bad.replace("NONCE", &nonce).as_bytes())
            .unwrap_err();
        assert!(error.to_string().contains(said), "{bad}: {error}");
    }
    let (mut exchange, nonce) = begin();
    assert!(exchange.step(&[0xff]).is_err());
    let (mut again, _) = begin();
    assert!(
        again
            .step(format!("r={nonce}x,s=AAAA,i=4096").as_bytes())
            .is_err()
    );
    let proof = exchange.step(format!("r={nonce}x,s=AAAA,i=4096").as_bytes());
    assert!(proof.unwrap().is_some());
    for bad in ["v=AAAA", "x", "e=other"] {
        assert!(exchange.step(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_token_is_made_or_read_and_shown() {
    let module = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";
    let jaas = format!(
        "{module} unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginExtension_team=\"x\";"
    );
    let sasl = self::sasl(&[(MECHANISM, "OAUTHBEARER"), (JAAS, &jaas)]).unwrap();
    let (mut exchange, first) = sasl.start().unwrap();
    let first = String::from_utf8(first).unwrap();
    assert!(
        first.starts_with("n,,\x01auth=Bearer eyJhbGciOiJub25lIn0."),
        "{first}"
    );
    assert!(first.ends_with(".\x01team=x\x01\x01"), "{first}");
    assert_eq!(
        exchange.step(b"{\"status\":\"invalid_token\"}").unwrap(),
        Some(vec![1])
    );
    assert_eq!(exchange.step(b"").unwrap(), None);
}

#[test]
fn what_is_wrong_is_said_without_secrets() {
    let oauth = "x.OAuthBearerLoginModule required;";
    for (lines, key, said) in [
        (vec![], MECHANISM, "GSSAPI"),
        (vec![(MECHANISM, "GSSAPI")], MECHANISM, "PLAIN, SCRAM"),
        (
            vec![(MECHANISM, "PLAIN")],
            JAAS,
            "PlainLoginModule required",
        ),
        (
            vec![(MECHANISM, "PLAIN"), (JAAS, SCRAM)],
            JAAS,
            "needs the PlainLoginModule",
        ),
        (
            vec![
                (MECHANISM, "PLAIN"),
                (JAAS, "a.PlainLoginModule required password=canary;"),
            ],
            JAAS,
            "no username",
        ),
        (
            vec![
                (MECHANISM, "PLAIN"),
                (JAAS, "a.PlainLoginModule required password=canary"),
            ],
            JAAS,
            "semicolon",
        ),
        (
            vec![(MECHANISM, "OAUTHBEARER"), (JAAS, oauth)],
            JAAS,
            "unsecuredLoginStringClaim_sub",
        ),
        (
            vec![
                (MECHANISM, "OAUTHBEARER"),
                (JAAS, oauth),
                ("sasl.oauthbearer.token.endpoint.url", "https://x"),
            ],
            "sasl.oauthbearer.token.endpoint.url",
            "file:///PATH",
        ),
        (
            vec![
                (MECHANISM, "OAUTHBEARER"),
                (JAAS, oauth),
                ("sasl.oauthbearer.token.endpoint.url", "file:///no/where"),
            ],
            "sasl.oauthbearer.token.endpoint.url",
            "/no/where",
        ),
        (
            vec![
                (MECHANISM, "PLAIN"),
                (JAAS, PLAIN),
                ("sasl.login.class", "a.B"),
            ],
            "sasl.login.class",
            "Java class",
        ),
    ] {
        let fault = sasl(&lines).unwrap_err();
        assert_eq!(fault.key, key, "{lines:?}");
        let text = fault.to_string();
        assert!(
            text.contains(said) && !text.contains("canary"),
            "{lines:?}: {text}"
        );
    }
}
