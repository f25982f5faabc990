//! `crosscurrent connect` from outside, without Kafka: files that are refused, and a cluster that is not there.

use nix::sys::signal::Signal;
use scenarios::await_that;

use crate::program::{Folder, NoBroker, PATIENCE, STOP_PATIENCE, closed_port, command};

fn refused(file: &str) -> String {
    let folder = Folder::with(file);
    let name = folder.file();
    let (code, output) = folder.run(command(&["connect", &name]));
    assert_eq!(code, 2, "{output}");
    output.replace(&name, "worker.properties")
}

#[test]
fn every_fault_of_a_bad_file_is_named_and_no_broker_is_contacted() {
    let broker = NoBroker::slamming();
    let at = &broker.address;
    let said = refused(&format!(
        "bootstrap.servers = {at}\noffset.storage.topic = o\noffset.storage.partitions = none\nrequest.timeout.ms = 0\n"
    ));
    for start in [
        "worker.properties:3: offset.storage.partitions: `none` is not valid",
        "worker.properties:4: request.timeout.ms: `0` is not valid",
        "worker.properties: group.id is not set",
        "worker.properties: config.storage.topic is not set",
        "worker.properties: status.storage.topic is not set",
    ] {
        assert!(
            said.lines().any(|line| line.starts_with(start)),
            "{start}: {said}"
        );
    }
    let said =
        refused("config.providers = vault\nconfig.providers.vault.class = com.example.Vault\n");
    assert!(
        said.contains("config.providers.vault.class: `com.example.Vault`"),
        "{said}"
    );
    assert_eq!(broker.accepted(), 0);
}

#[test]
fn a_cluster_that_is_not_there_is_waited_for() {
    let address = closed_port();
    let folder = Folder::with(format!(
        "bootstrap.servers = {address}\ngroup.id = g\noffset.storage.topic = o\nconfig.storage.topic = c\n\
         status.storage.topic = s\nplugin.path = /opt/plugins\nnonsense = 1\nssl.keystore.password = swordfish\n"
    ));
    let mut process = folder.spawn(command(&["connect", &folder.file()]));
    let waits = "the storage topics cannot be used yet";
    await_that(waits, PATIENCE, || folder.output().contains(waits)).unwrap();
    process.signal(Signal::SIGTERM).unwrap();
    let status = process.wait(STOP_PATIENCE).unwrap();
    let output = folder.output();
    assert_eq!(status.code(), Some(0), "{output}");
    for key in [
        "plugin.path (line 6): only means something to a JVM",
        "nonsense (line 7)",
        &address,
    ] {
        assert!(output.contains(key), "{key}: {output}");
    }
    assert!(!output.contains("swordfish"), "{output}");
}
