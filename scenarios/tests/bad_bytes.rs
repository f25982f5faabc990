//! Bad bytes over real sockets: they close their own connection, and nobody else notices.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "helpers of tests may fail a test; the low bits of numbers make odd bytes"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use embedded::EmbeddedCluster;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use scenarios::KafkaClient;
use scenarios::client::{OddRecords, TestRecord};

/// How long an answer, or a closed connection, may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// `socket.request.max.bytes`: the longest request that a broker lets a client announce.
const REQUEST_BYTES_MAX: i32 = 100 << 20;

/// A frame: its true length, then `parts` joined.
fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = i32::try_from(body.len()).unwrap();
    [&length.to_be_bytes()[..], &body].concat()
}

/// A request header of version 1: key, version, correlation id 7, no client id.
fn header(key: i16, version: i16) -> Vec<u8> {
    let [key, version] = [key.to_be_bytes(), version.to_be_bytes()];
    [&key[..], &version, &[0, 0, 0, 7, 0xff, 0xff]].concat()
}

fn versions() -> Vec<u8> {
    frame(&[&header(18, 0)])
}

fn connect(cluster: &EmbeddedCluster) -> TcpStream {
    let stream = TcpStream::connect(cluster.bootstrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The next answer: correlation id and body.
fn answer(stream: &mut TcpStream) -> (i32, Vec<u8>) {
    let mut front = [0; 8];
    stream.read_exact(&mut front).unwrap();
    let [length, id] = [0, 4].map(|at| i32::from_be_bytes(front[at..][..4].try_into().unwrap()));
    let mut body = vec![0; usize::try_from(length - 4).unwrap()];
    stream.read_exact(&mut body).unwrap();
    (id, body)
}

/// The client still gets answers on the connection that it has always had.
fn is_served(stream: &mut TcpStream) {
    stream.write_all(&versions()).unwrap();
    let (id, body) = answer(stream);
    assert_eq!((id, &body[..2]), (7, &[0, 0][..]));
}

/// The connection ends without an answer.
fn is_closed(stream: &mut TcpStream, what: &str) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{what}: {other:?}"),
    }
}

/// Writes and reads through librdkafka until `stop`; the number of records. Panics at the first error of either side.
fn writes_and_reads(bootstrap: &str, stop: &AtomicBool) -> usize {
    let client = KafkaClient::connect(bootstrap).unwrap();
    client.create_topic("running", 1, 1, &[]).unwrap();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "running")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("running", 0, Offset::Beginning)
        .unwrap();
    consumer.assign(&from).unwrap();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) || count == 0 {
        let records: Vec<TestRecord> = OddRecords::new(1).take(20).collect();
        client.produce("running", &records).unwrap();
        let deadline = Instant::now() + PATIENCE;
        for _ in &records {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = consumer.poll(left).expect("a record in time").unwrap();
            assert_eq!(message.offset(), i64::try_from(count).unwrap());
            count += 1;
        }
    }
    count
}

/// Goal: whatever bad bytes come, that connection is closed; another one, and a producer and a consumer, go on.
#[test]
fn bad_bytes_close_their_own_connection_only() {
    let cluster = EmbeddedCluster::start(1).unwrap();
    let random: Vec<u8> = (0..4_096_u32)
        .map(|n| ((n * n) >> 3) as u8 | 0x40)
        .collect();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "another protocol",
            b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n".to_vec(),
        ),
        (
            "TLS on a plaintext port",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        ),
        ("garbage", random.clone()),
        ("a negative length", (-1_i32).to_be_bytes().to_vec()),
        ("the lowest length", i32::MIN.to_be_bytes().to_vec()),
        ("the highest length", i32::MAX.to_be_bytes().to_vec()),
        (
            "one byte too long",
            (REQUEST_BYTES_MAX + 1).to_be_bytes().to_vec(),
        ),
        ("nothing", frame(&[])),
        ("half an API key", frame(&[&[0]])),
        ("no header", frame(&[&[0, 3, 0, 1]])),
        (
            "a client id beyond the end",
            frame(&[&[0, 3, 0, 1, 0, 0, 0, 7, 0x7f, 0xff, b'c']]),
        ),
        ("an unknown API", frame(&[&header(999, 0)])),
        ("a negative API", frame(&[&header(-1, 0)])),
        ("an API among brokers", frame(&[&header(4, 0)])),
        ("a version from the future", frame(&[&header(3, 99)])),
        ("a negative version", frame(&[&header(3, -1)])),
        ("Produce 2", frame(&[&header(0, 2)])),
        (
            "an array beyond the end",
            frame(&[&header(3, 1), &[0x7f, 0xff, 0xff, 0xff]]),
        ),
        (
            "a negative array",
            frame(&[&header(3, 1), &[0xff, 0xff, 0xff, 0xf0]]),
        ),
        (
            "a compact array beyond the end",
            frame(&[&header(3, 9), &[0, 0xff, 0xff, 0xff, 0xff, 7]]),
        ),
        (
            "no UTF-8",
            frame(&[&header(3, 1), &[0, 0, 0, 1, 0, 2, 0xc3, 0x28]]),
        ),
        (
            "half a request",
            frame(&[&header(3, 1), &[0, 0, 0, 1, 0, 9, b't']]),
        ),
        ("garbage behind a header", frame(&[&header(0, 9), &random])),
    ];
    let stop = AtomicBool::new(false);
    let bootstrap = cluster.bootstrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| writes_and_reads(&bootstrap, &stop));
        let mut bystander = connect(&cluster);
        is_served(&mut bystander);
        for (what, bytes) in &cases {
            let mut bad = connect(&cluster);
            // The broker may close it before all is written.
            bad.write_all(bytes).ok();
            is_closed(&mut bad, what);
            // Behind a good request, on the same connection, it is no better.
            let mut later = connect(&cluster);
            is_served(&mut later);
            later.write_all(bytes).ok();
            is_closed(&mut later, what);
            is_served(&mut bystander);
            assert!(!running.is_finished(), "after {what}");
        }
        stop.store(true, Ordering::Relaxed);
        assert!(running.join().unwrap() > 0);
    });
}

/// Goal: ApiVersions of an unknown version is answered, in the layout of version 0, and the connection stays (KIP-511).
#[test]
fn an_unknown_version_of_api_versions_is_answered() {
    let cluster = EmbeddedCluster::start(1).unwrap();
    let mut stream = connect(&cluster);
    for version in [5, 99, i16::MAX] {
        let tags = [0];
        stream
            .write_all(&frame(&[&header(18, version), &tags]))
            .unwrap();
        let (id, body) = answer(&mut stream);
        assert_eq!((id, &body[..2]), (7, &35_i16.to_be_bytes()[..]));
        is_served(&mut stream);
    }
}

/// Goal: requests that never end hold up nobody, and take memory for what has arrived, not for what is announced.
#[test]
fn unfinished_requests_hold_up_nobody() {
    const CONNECTIONS: usize = 200;
    let cluster = EmbeddedCluster::start(1).unwrap();
    let mut bystander = connect(&cluster);
    is_served(&mut bystander);
    let before = address_space_bytes();
    let mut slow: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect(&cluster)).collect();
    for stream in &mut slow {
        stream.write_all(&REQUEST_BYTES_MAX.to_be_bytes()).unwrap();
        stream.write_all(&header(3, 1)).unwrap();
    }
    is_served(&mut bystander);
    // A client that is merely slow is answered: byte by byte, among all those.
    let mut patient = connect(&cluster);
    for byte in versions() {
        patient.write_all(&[byte]).unwrap();
        is_served(&mut bystander);
    }
    assert_eq!(answer(&mut patient).0, 7);
    // 20 GB are announced; the other tests of this process take memory as well.
    let grown = address_space_bytes().saturating_sub(before);
    assert!(grown < 4 << 30, "grown by {grown} bytes");
    drop(slow);
    is_served(&mut bystander);
}

/// Also what is reserved and never touched. Unit: bytes.
fn address_space_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}
