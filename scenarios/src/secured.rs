//! A cluster whose clients have to show who they are.

use std::fs;
use std::path::PathBuf;

use embedded::{ClientAuth, Identity, Listener, Protocol, Settings, TestCertificates, Tls};

use crate::kafka::JavaTools;
use crate::{Cluster, Embedded, Error, Kind, RealCluster, folders, server_properties};

/// The tool that makes users.
const CONFIG_TOOL: &str = "kafka.admin.ConfigCommand";
const JAAS: &str = "org.apache.kafka.common.security";

/// A user that PLAIN knows from the start, with this password.
const PLAIN_USER: (&str, &str) = ("alice", "canary-wonderland");

/// How a client reaches a [`Secured`] cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A password or token in the clear, `SASL_PLAINTEXT`.
    Sasl,
    /// A password or token through TLS, `SASL_SSL`.
    SaslSsl,
    /// A certificate on both sides, `SSL`.
    MutualSsl,
}

impl Way {
    const ALL: [Self; 3] = [Self::Sasl, Self::SaslSsl, Self::MutualSsl];

    fn listener(self) -> Listener {
        match self {
            Self::Sasl => Listener::new("SASL", Protocol::SaslPlaintext),
            Self::SaslSsl => Listener::new("SASLSSL", Protocol::SaslSsl),
            Self::MutualSsl => {
                Listener::new("MUTUAL", Protocol::Ssl).with_client_auth(ClientAuth::Required)
            }
        }
    }
}

/// A cluster of one broker that is reached in every [`Way`], and without security by the client that checks. It has an
/// authority of its own.
#[derive(Debug)]
pub struct Secured {
    cluster: Box<dyn Cluster>,
    certificates: TestCertificates,
    folder: PathBuf,
}

impl Secured {
    /// Starts the cluster. `extra` are server properties as of [`Kind::start`]; `names` those that its certificate is for, as
    /// `127.0.0.1`, where it is reached.
    ///
    /// # Errors
    /// As [`Kind::start`].
    pub fn start(
        kind: Kind,
        alias: &str,
        extra: &[(&str, &str)],
        names: &[&str],
    ) -> Result<Self, Error> {
        let certificates = TestCertificates::generate().map_err(unmade)?;
        let folder = folders::scratch(alias)?;
        let identity = certificates.server_named(names).map_err(unmade)?;
        let listeners = Way::ALL.map(Way::listener);
        let cluster: Box<dyn Cluster> = match kind {
            Kind::Embedded => Box::new(Embedded::start_with(
                alias,
                Settings {
                    brokers: 1,
                    properties: server_properties(1, extra),
                    listeners: [Listener::plaintext()]
                        .into_iter()
                        .chain(listeners)
                        .collect(),
                    tls: Some(Tls {
                        identity,
                        trusted: certificates.authority().to_owned(),
                    }),
                    users: vec![(PLAIN_USER.0.to_owned(), PLAIN_USER.1.to_owned())],
                    ..Settings::default()
                },
            )?),
            Kind::Real => {
                let store = write(&folder, "server.pem", &both(&identity))?;
                let trusted = write(&folder, "trusted.pem", certificates.authority())?;
                let mut properties = real_properties(&store, &trusted);
                properties.extend(
                    extra
                        .iter()
                        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
                );
                let properties: Vec<_> = properties.iter().map(|(k, v)| (&**k, &**v)).collect();
                Box::new(RealCluster::start_listening(
                    alias,
                    1,
                    &properties,
                    &listeners,
                )?)
            }
        };
        Ok(Self {
            cluster,
            certificates,
            folder,
        })
    }

    /// The cluster without security, for the client that checks.
    pub fn cluster(&self) -> &dyn Cluster {
        &*self.cluster
    }

    /// For `bootstrap.servers` of clients that come this way.
    pub fn bootstrap(&self, way: Way) -> String {
        let found = self.cluster.bootstrap_of(&way.listener().name);
        found.unwrap_or_default()
    }

    /// A user that PLAIN knows, and no other mechanism before [`Secured::set_password`].
    pub fn plain_user(&self) -> (&'static str, &'static str) {
        PLAIN_USER
    }

    /// Makes a user of a SCRAM mechanism (`SCRAM-SHA-512`), or changes the password: by Kafka's own tool, as an operator would.
    ///
    /// # Errors
    /// As [`JavaTools::run`], and [`Error::Impossible`] with the tool's words.
    pub fn set_password(&self, mechanism: &str, user: &str, password: &str) -> Result<(), Error> {
        let config = format!("{mechanism}=[password={password}]");
        let bootstrap = self.cluster.bootstrap();
        let arguments = [
            "--bootstrap-server",
            &bootstrap,
            "--alter",
            "--add-config",
            &config,
            "--entity-type",
            "users",
            "--entity-name",
            user,
        ];
        let ended = JavaTools::open()?.run(CONFIG_TOOL, &arguments)?;
        match ended.code {
            0 => Ok(()),
            _ => Err(Error::Impossible(ended.output)),
        }
    }

    /// A PEM file of the authority that has signed the cluster's certificate.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn truststore(&self) -> Result<String, Error> {
        write(&self.folder, "authority.pem", self.certificates.authority())
    }

    /// A PEM file of a certificate and its key that the cluster takes. The principal is `User:CN=` and this name.
    ///
    /// # Errors
    /// [`Error::Io`], or the system has no randomness.
    pub fn keystore(&self, name: &str) -> Result<String, Error> {
        let identity = self.certificates.client(name).map_err(unmade)?;
        write(&self.folder, &format!("{name}.pem"), &both(&identity))
    }

    /// Writes a file beside those of the cluster.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn file(&self, name: &str, text: &str) -> Result<String, Error> {
        write(&self.folder, name, text)
    }
}

fn unmade(error: embedded::CertificateError) -> Error {
    Error::Impossible(error.to_string())
}

fn both(identity: &Identity) -> String {
    format!("{}{}", identity.certificate_chain, identity.key)
}

fn write(folder: &std::path::Path, name: &str, text: &str) -> Result<String, Error> {
    let path = folder.join(name);
    fs::write(&path, text).map_err(|e| Error::io("write file", &path, e))?;
    Ok(path.display().to_string())
}

/// See docs/spec/real-kafka.md 10.
fn real_properties(store: &str, trusted: &str) -> Vec<(String, String)> {
    let (user, password) = PLAIN_USER;
    let mut all = vec![
        ("ssl.keystore.type", "PEM".to_owned()),
        ("ssl.keystore.location", store.to_owned()),
        ("ssl.truststore.type", "PEM".to_owned()),
        ("ssl.truststore.location", trusted.to_owned()),
        (
            "sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        ),
        (
            "listener.name.mutual.ssl.client.auth",
            "required".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect::<Vec<_>>();
    let plain = format!("{JAAS}.plain.PlainLoginModule required user_{user}=\"{password}\";");
    let scram = format!("{JAAS}.scram.ScramLoginModule required;");
    let bearer = format!("{JAAS}.oauthbearer.OAuthBearerLoginModule required;");
    for listener in ["sasl", "saslssl"] {
        for (mechanism, module) in [
            ("plain", &plain),
            ("scram-sha-256", &scram),
            ("scram-sha-512", &scram),
            ("oauthbearer", &bearer),
        ] {
            let key = format!("listener.name.{listener}.{mechanism}.sasl.jaas.config");
            all.push((key, module.clone()));
        }
    }
    all
}
