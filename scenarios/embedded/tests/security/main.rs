//! Listeners, TLS, SASL and ACLs over the wire (docs/spec/real-kafka.md 10).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(unreachable_pub, reason = "a client shared by the files of one test")]

mod acls;
mod client;
mod sasl;
mod tls;

use embedded::{EmbeddedCluster, Listener, Settings};
use kafka_protocol::messages::{ApiVersionsRequest, MetadataRequest, MetadataResponse};

use client::Client;

/// A cluster with these listeners, alice and bob, and these properties.
fn cluster(listeners: Vec<Listener>, properties: &[(&str, &str)]) -> EmbeddedCluster {
    EmbeddedCluster::start_with(settings(listeners, properties)).unwrap()
}

fn settings(listeners: Vec<Listener>, properties: &[(&str, &str)]) -> Settings {
    let properties = properties
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Settings {
        listeners,
        properties: properties.collect(),
        users: vec![
            ("alice".to_owned(), "wonderland".to_owned()),
            ("bob".to_owned(), "builder".to_owned()),
        ],
        ..Settings::default()
    }
}

/// Metadata of all topics.
fn metadata(client: &mut Client) -> Result<MetadataResponse, String> {
    client.ask(12, &MetadataRequest::default().with_topics(None))
}

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name("test".into())
        .with_client_software_version("1".into())
}
