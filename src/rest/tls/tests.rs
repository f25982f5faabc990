use std::time::{Duration, SystemTime};

use super::super::listeners::tests::{faults, read};

const STORES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/stores");
const HTTPS: &str = "listeners = https://127.0.0.1:0\n";

fn keystore(file: &str, more: &str) -> String {
    format!("{HTTPS}ssl.keystore.location = {STORES}/{file}\n{more}")
}

/// The only fault of these lines.
fn fault(lines: &str) -> String {
    let faults = faults(lines);
    assert_eq!(faults.len(), 1, "{lines}: {faults:?}");
    assert!(!faults[0].contains("canary"), "{faults:?}");
    faults[0].clone()
}

#[test]
fn stores_of_every_kind_are_read() {
    let password = "ssl.keystore.password = canary-store";
    let key = "ssl.key.password = canary-key";
    for (file, more) in [
        ("java.p12", password.to_owned()),
        ("java.p12", format!("{password}\nssl.keystore.type = JKS")),
        (
            "legacy.p12",
            format!("{password}\nssl.keystore.type = PKCS12"),
        ),
        ("openssl.p12", password.to_owned()),
        ("java.jks", format!("{password}\n{key}")),
        (
            "java.jks",
            format!("{password}\n{key}\nssl.keystore.type = PKCS12"),
        ),
        ("server.pem", "ssl.keystore.type = PEM".to_owned()),
        ("server.pem", String::new()),
        ("encrypted.pem", format!("ssl.keystore.type = PEM\n{key}")),
    ] {
        let config = read(&keystore(file, &more)).map(Option::unwrap);
        let config = config.unwrap_or_else(|faults| panic!("{file} {more}: {faults:?}"));
        assert!(config.listeners.tls.is_some(), "{file}");
    }
    for trust in [
        "ca.pem\nssl.truststore.type = PEM",
        "trust.jks",
        "trust.jks\nssl.truststore.password = canary-store",
        "trust.p12\nssl.truststore.password = canary-store\nssl.truststore.type = PKCS12",
    ] {
        let more =
            format!("ssl.client.auth = required\nssl.truststore.location = {STORES}/{trust}");
        assert_eq!(faults(&keystore("server.pem", &more)), [""; 0], "{trust}");
    }
}

#[test]
fn texts_stand_in_for_files() {
    let pem = std::fs::read_to_string(format!("{STORES}/server.pem")).unwrap();
    let (key, chain) = pem.split_at(pem.find("-----BEGIN CERT").unwrap());
    let (key, chain) = (key.replace('\n', "\\n"), chain.replace('\n', "\\n"));
    let both = format!(
        "{HTTPS}listeners.https.ssl.keystore.key = {key}\nlisteners.https.ssl.keystore.certificate.chain = {chain}\n"
    );
    assert_eq!(faults(&both), [""; 0]);
    let one = format!("{HTTPS}ssl.keystore.key = {key}\n");
    assert!(fault(&one).starts_with("ssl.keystore.certificate.chain: is not set"));
    let wrong =
        format!("{HTTPS}ssl.keystore.key = canary\nssl.keystore.certificate.chain = {chain}\n");
    assert!(fault(&wrong).starts_with("ssl.keystore.key: has no `-----BEGIN PRIVATE KEY"));
}

/// Goal: an error names key and file, and never a password.
#[test]
fn what_is_wrong_with_a_store_is_said() {
    let password = "ssl.keystore.password = canary-store";
    for (file, more, said) in [
        ("nothing", "", "ssl.keystore.location: "),
        ("", "", "cannot be read"),
        ("java.p12", "", "ssl.keystore.password: is not set, but "),
        ("java.jks", "", "ssl.keystore.password: is not set, but "),
        (
            "java.p12",
            "ssl.keystore.password = canary-x",
            "java.p12: is no PKCS12 file, or the password",
        ),
        (
            "java.jks",
            "ssl.keystore.password = canary-x",
            "java.jks: was damaged, or the password",
        ),
        (
            "java.jks",
            password,
            "java.jks: the key does not open with ssl.key.password",
        ),
        ("ca.pem", "", "ca.pem: has no `-----BEGIN PRIVATE KEY"),
        (
            "ca.pem",
            "ssl.keystore.type = PKCS12\nssl.keystore.password = canary-x",
            "ca.pem: is no PKCS12",
        ),
        ("java.p12", "ssl.keystore.type = PEM", "java.p12: "),
        (
            "encrypted.pem",
            "",
            "encrypted.pem: is encrypted, but ssl.key.password is not set",
        ),
        (
            "encrypted.pem",
            "ssl.key.password = canary-x",
            "does not open with ssl.key.password",
        ),
        ("trust.p12", password, "trust.p12: has no private key"),
        ("trust.jks", password, "trust.jks: has no private key"),
        (
            "expired.pem",
            "",
            "expired.pem: the certificate has expired on ",
        ),
        (
            "server.pem",
            "ssl.keystore.type = BKS",
            "ssl.keystore.type: write PKCS12, JKS or PEM",
        ),
        (
            "server.pem",
            "ssl.client.auth = maybe",
            "ssl.client.auth: write none, requested or required",
        ),
        (
            "server.pem",
            "ssl.client.auth = required",
            "ssl.truststore.location: is not set",
        ),
        (
            "server.pem",
            "ssl.enabled.protocols = TLSv1",
            "ssl.enabled.protocols: leaves none",
        ),
        (
            "server.pem",
            "ssl.enabled.protocols = TLS",
            "ssl.enabled.protocols: write TLSv1.2",
        ),
        (
            "server.pem",
            "ssl.cipher.suites = TLS_RSA_WITH_NULL_MD5",
            "ssl.cipher.suites: names no suite",
        ),
    ] {
        let fault = fault(&keystore(file, more));
        assert!(fault.contains(said), "{file} {more}: {fault}");
    }
    let no_store = fault(HTTPS);
    assert!(
        no_store.starts_with("ssl.keystore.location: is not set"),
        "{no_store}"
    );
    // Connect: all of the prefixed keys, or all of the bare ones.
    let half = keystore("server.pem", "listeners.https.ssl.client.auth = none");
    assert!(fault(&half).starts_with("listeners.https.ssl.keystore.location: is not set"));
    let admin = format!(
        "admin.listeners = https://:0\nadmin.listeners.https.ssl.keystore.location = {STORES}/x"
    );
    assert!(fault(&admin).starts_with("admin.listeners.https.ssl.keystore.location: "));
}

#[test]
fn protocols_and_suites_are_chosen() {
    let more =
        "ssl.enabled.protocols = TLSv1.1, TLSv1.3\nssl.cipher.suites = X, TLS_AES_256_GCM_SHA384";
    assert_eq!(faults(&keystore("server.pem", more)), [""; 0]);
    let none = "ssl.enabled.protocols = TLSv1.2\nssl.cipher.suites = TLS_AES_256_GCM_SHA384";
    assert!(fault(&keystore("server.pem", none)).starts_with("ssl.cipher.suites: "));
}

#[test]
fn a_certificate_of_tomorrow_is_refused() {
    let properties = topology::Properties::parse(keystore("server.pem", "").as_bytes()).unwrap();
    let providers = topology::ConfigProviders::default();
    let keys = super::Keys::of(&properties, &providers);
    for (at, said) in [
        (SystemTime::UNIX_EPOCH, "valid from"),
        (
            SystemTime::UNIX_EPOCH + Duration::from_secs(9_000_000_000),
            "expired on",
        ),
    ] {
        let fault = super::Tls::read(&keys, "", at).err().unwrap().what;
        assert!(fault.contains(said), "{fault}");
    }
    // Whatever the clock of a machine that runs these tests says, from 2001 to 2096.
    for years in [31, 126] {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(years * 366 * 86_400);
        super::Tls::read(&keys, "", at)
            .map_err(|fault| fault.what)
            .unwrap();
    }
}
