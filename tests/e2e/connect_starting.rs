//! A Connect worker whose cluster cannot be reached yet: it says that it is starting, and why, and requests wait for it.

use std::io::{Read, Write};
use std::net::TcpStream;

use scenarios::{Cluster, Kind, await_ok, await_that, on_every_kind};
use serde_json::Value;

use crate::connect::Worker;
use crate::flows::PATIENCE;

on_every_kind! {
    requests_wait_until_the_storage_topics_are_read,
    a_signal_ends_a_worker_that_is_starting,
}

/// A worker on a cluster that is down, with what it says of it.
fn start(west: &dyn Cluster) -> Worker {
    west.broker(1).kill().unwrap();
    let worker = Worker::start("starting", west, west);
    let down = west.broker(1).bootstrap();
    await_ok("why it is not there", PATIENCE, || {
        let health = worker.ask("GET", "/health", &Value::Null);
        match health.status == 503 && health.body.contains(&down) {
            true => Ok(()),
            false => Err(format!("{health:?}")),
        }
    })
    .unwrap();
    worker
}

fn requests_wait_until_the_storage_topics_are_read(kind: Kind) {
    let west = kind.start("west", 1, &[]).unwrap();
    let mut worker = start(&*west);
    let health = worker.order("GET", "/health", &Value::Null, 503).json();
    assert_eq!(health["status"], "starting");
    let message = health["message"].as_str().unwrap();
    let words = "Worker is still starting up. The storage topics cannot be used yet: ";
    assert!(message.starts_with(words), "{message}");
    worker.order("GET", "/v1/live", &Value::Null, 200);
    worker.order("GET", "/metrics", &Value::Null, 200);
    worker.order("GET", "/admin/loggers", &Value::Null, 200);
    let ready = worker.order("GET", "/v1/ready", &Value::Null, 503);
    assert!(ready.body.contains("cannot be used yet"), "{ready:?}");

    let mut waiting = TcpStream::connect(&worker.address).unwrap();
    let request = b"GET /connectors HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n";
    waiting.write_all(request).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    worker.order("GET", "/health", &Value::Null, 503);
    west.broker(1).start().unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n[]"), "{answer}");
    let root = worker.order("GET", "/", &Value::Null, 200).json();
    assert_eq!(root["kafka_cluster_id"], west.cluster_id());
    worker.order("GET", "/health", &Value::Null, 200);
    await_that("it is ready", PATIENCE, || {
        worker.ask("GET", "/v1/ready", &Value::Null).status == 200
    })
    .unwrap();
    worker.stop();
}

fn a_signal_ends_a_worker_that_is_starting(kind: Kind) {
    let west = kind.start("west", 1, &[]).unwrap();
    let mut worker = start(&*west);
    worker.stop();
}
