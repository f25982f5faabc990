use std::fs;
use std::io;
use std::path::PathBuf;

use super::*;

const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cli/stores");

fn read(lines: &[(&str, &str)]) -> Result<Security, Vec<Fault>> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Security::read(lines.iter().map(own))
}

fn store(name: &str) -> String {
    format!("{STORES}/{name}")
}

#[test]
fn stores_of_every_kind_are_read() {
    for (trust, kind) in [("trust.p12", ""), ("trust.jks", "JKS"), ("ca.pem", "PEM")] {
        for identity in ["java.p12", "java.jks", "server.pem", "encrypted.pem"] {
            let security = read(&[
                ("security.protocol", "ssl"),
                ("ssl.truststore.location", &store(trust)),
                ("ssl.truststore.type", kind),
                ("ssl.truststore.password", "canary-store"),
                ("ssl.keystore.location", &store(identity)),
                ("ssl.keystore.password", "canary-store"),
                ("ssl.key.password", "canary-key"),
            ])
            .unwrap();
            assert!(security.tls().is_some() && security.sasl().is_none());
            assert_eq!(format!("{security:?}"), "SSL");
        }
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let faults = read(&[
        ("security.protocol", "SASL_SSL"),
        ("ssl.truststore.location", "/no/where"),
        ("sasl.mechanism", "KERBEROS"),
        ("sasl.jaas.config", "canary"),
    ])
    .unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.key.as_str()).collect();
    assert_eq!(keys, ["ssl.truststore.location", "sasl.mechanism"]);
    assert!(!format!("{faults:?}").contains("canary"));
    let ca = store("ca.pem");
    for (key, value, said) in [
        (
            "ssl.endpoint.identification.algorithm",
            "ldaps",
            "write https",
        ),
        ("ssl.engine.factory.class", "a.B", "Java class"),
        ("ssl.enabled.protocols", "TLSv1", "leaves none"),
        ("ssl.cipher.suites", "TLS_NO", "names no suite"),
        ("ssl.keystore.key", "x", "is not set; write the PEM text"),
    ] {
        let faults = read(&[
            ("ssl.truststore.location", &ca),
            ("security.protocol", "SSL"),
            (key, value),
        ]);
        let text = faults.unwrap_err()[0].to_string();
        assert!(text.contains(said), "{key}: {text}");
    }
    let unknown = read(&[("security.protocol", "TLS")]).unwrap_err();
    assert!(unknown[0].what.starts_with("write PLAINTEXT"));
}

#[test]
fn other_keys_and_no_protocol_are_plaintext() {
    let one = read(&[("topics", "x"), ("ssl.truststore.location", "/no/where")]).unwrap();
    assert!(one.tls().is_none() && one.sasl().is_none());
    let other = read(&[("topics", "y"), ("ssl.truststore.location", "/no/where")]).unwrap();
    assert_eq!(one, other);
    assert_ne!(one, Security::default());
    assert_eq!(format!("{one:?}"), "PLAINTEXT");
}

/// Goal: a certificate that is put in place of another counts for new connections; one that cannot be read does no harm.
#[test]
fn changed_files_are_read_again() {
    let folder = std::env::temp_dir().join(format!("crosscurrent-security-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file: PathBuf = folder.join("trust.pem");
    let put = |bytes: &[u8]| {
        let beside = folder.join("new");
        fs::write(&beside, bytes).unwrap();
        fs::rename(&beside, &file).unwrap();
    };
    let ca = fs::read(store("ca.pem")).unwrap();
    put(&ca);
    let location = file.display().to_string();
    let security = read(&[
        ("security.protocol", "SSL"),
        ("ssl.truststore.location", &location),
    ])
    .unwrap();
    let tls = security.tls().unwrap();
    let first = tls.config();
    assert!(Arc::ptr_eq(&first, &tls.config()), "unchanged");
    put(b"nothing");
    assert!(Arc::ptr_eq(&first, &tls.config()), "the old one counts");
    put(&[&ca[..], &ca[..]].concat());
    let second = tls.config();
    assert!(!Arc::ptr_eq(&first, &second), "the new one counts");
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn failures_are_said_in_words() {
    let of = |error: Error| tls_reason(&io::Error::other(error)).unwrap();
    let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert!(of(unknown).contains("ssl.truststore.location"));
    let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
    assert!(of(alert).contains("ssl.keystore.location"));
    assert!(of(Error::DecryptError).starts_with("TLS: "));
    assert_eq!(tls_reason(&io::ErrorKind::UnexpectedEof.into()), None);
}
