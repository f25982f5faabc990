//! What only the launcher of real brokers has to get right.

use std::fs;
use std::net::TcpListener;

use scenarios::{Error, RealCluster};

#[test]
fn a_taken_port_shows_in_the_log() {
    let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let (taken, free) = (listen(), listen());
    let (taken_port, free_port) = (port(&taken), port(&free));
    drop(free);
    let listeners =
        format!("PLAINTEXT://127.0.0.1:{taken_port},CONTROLLER://127.0.0.1:{free_port}");
    let voters = format!("1@127.0.0.1:{free_port}");
    let extra = [
        ("listeners", &*listeners),
        ("controller.quorum.voters", &*voters),
    ];
    let error = RealCluster::start_with("taken", 1, &extra).unwrap_err();
    // Other ports are of no use here, but the words that a new attempt hinges on are Kafka's.
    let Error::Exited { log, .. } = error else {
        panic!("{error}")
    };
    assert!(
        fs::read_to_string(log)
            .unwrap()
            .contains("Address already in use")
    );
}
