//! A scripted peer on a real socket: what a broker may do to a connection.

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{MetadataRequest, ResponseHeader};
use kafka_protocol::protocol::{Encodable, HeaderVersion};
use tokio::net::TcpListener;

use kafka_protocol::messages::ApiVersionsResponse;
use tokio::io::AsyncWriteExt;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn options(connect_timeout: Duration) -> ConnectOptions {
    ConnectOptions {
        client_id: "test".into(),
        connect_timeout,
        request_timeout: PATIENCE,
        pool: BufferPool::default(),
        security: Security::default(),
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Reads one request; answers its correlation id and API version.
async fn read_request(socket: &mut TcpStream) -> (i32, i16) {
    let length = socket.read_i32().await.unwrap();
    let mut request = vec![0; usize::try_from(length).unwrap()];
    socket.read_exact(&mut request).await.unwrap();
    (
        i32::from_be_bytes(request[4..8].try_into().unwrap()),
        i16::from_be_bytes(request[2..4].try_into().unwrap()),
    )
}

async fn answer<R: Encodable + HeaderVersion>(
    socket: &mut TcpStream,
    id: i32,
    body: &R,
    version: i16,
) {
    let mut bytes = Vec::new();
    ResponseHeader::default()
        .with_correlation_id(id)
        .encode(&mut bytes, R::header_version(version))
        .unwrap();
    body.encode(&mut bytes, version).unwrap();
    socket
        .write_i32(i32::try_from(bytes.len()).unwrap())
        .await
        .unwrap();
    socket.write_all(&bytes).await.unwrap();
}

fn offers_metadata() -> ApiVersionsResponse {
    let api = ApiVersion::default().with_api_key(3).with_max_version(12);
    ApiVersionsResponse::default().with_api_keys(vec![api])
}

async fn accept_and_greet(listener: &TcpListener) -> TcpStream {
    let (mut socket, _) = listener.accept().await.unwrap();
    let (id, version) = read_request(&mut socket).await;
    assert_eq!(version, 3);
    answer(&mut socket, id, &offers_metadata(), 3).await;
    socket
}

async fn metadata(connection: &Connection, timeout: Duration) -> Result<(), WireError> {
    connection
        .request("Metadata", &MetadataRequest::default(), 12, timeout)
        .await
        .map(drop)
}

#[tokio::test]
async fn an_old_broker_is_asked_again_in_version_0() {
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let (id, _) = read_request(&mut socket).await;
        let refusal = ApiVersionsResponse::default().with_error_code(35);
        answer(&mut socket, id, &refusal, 0).await;
        let (id, version) = read_request(&mut socket).await;
        assert_eq!(version, 0);
        answer(&mut socket, id, &offers_metadata(), 0).await;
        socket
    });
    let connection = Connection::connect("127.0.0.1", port, &options(PATIENCE))
        .await
        .unwrap();
    assert_eq!(
        connection
            .versions()
            .best::<MetadataRequest>("Metadata", 12)
            .unwrap(),
        12
    );
    drop(server.await.unwrap());
}

#[tokio::test]
async fn pipelined_requests_get_their_own_answers() {
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept_and_greet(&listener).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(read_request(&mut socket).await.0);
        }
        for id in ids {
            answer(
                &mut socket,
                id,
                &kafka_protocol::messages::MetadataResponse::default(),
                12,
            )
            .await;
        }
        socket
    });
    let connection = Connection::connect("127.0.0.1", port, &options(PATIENCE))
        .await
        .unwrap();
    let (a, b, c) = tokio::join!(
        metadata(&connection, PATIENCE),
        metadata(&connection, PATIENCE),
        metadata(&connection, PATIENCE)
    );
    a.and(b).and(c).unwrap();
    drop(server.await.unwrap());
}

#[tokio::test]
async fn nobody_listens() {
    let (listener, port) = listen().await;
    drop(listener);
    let error = Connection::connect("127.0.0.1", port, &options(PATIENCE))
        .await
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_broker_runs_into_the_deadline() {
    let (listener, port) = listen().await;
    let short = Duration::from_millis(50);
    let silent = tokio::spawn(async move { listener.accept().await.unwrap() });
    let error = Connection::connect("127.0.0.1", port, &options(short))
        .await
        .err()
        .unwrap();
    assert!(
        matches!(
            error,
            WireError::Deadline {
                api: "ApiVersions",
                ..
            }
        ),
        "{error}"
    );
    drop(silent.await.unwrap());
}

#[tokio::test]
async fn a_late_answer_fails_everything_in_flight() {
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move { accept_and_greet(&listener).await });
    let connection = Connection::connect("127.0.0.1", port, &options(PATIENCE))
        .await
        .unwrap();
    let short = Duration::from_millis(50);
    let (first, second) = tokio::join!(
        metadata(&connection, short),
        metadata(&connection, PATIENCE)
    );
    assert!(
        matches!(first, Err(WireError::Deadline { .. })),
        "{first:?}"
    );
    assert!(
        matches!(second, Err(WireError::Deadline { .. })),
        "same reason for all: {second:?}"
    );
    assert!(connection.is_closed());
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_closed_connection_is_noticed_while_idle() {
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move { drop(accept_and_greet(&listener).await) });
    let connection = Connection::connect("127.0.0.1", port, &options(PATIENCE))
        .await
        .unwrap();
    server.await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !connection.is_closed() {
        assert!(Instant::now() < deadline, "not noticed");
        tokio::task::yield_now().await;
    }
    let error = metadata(&connection, PATIENCE)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("closed by the broker"), "{error}");
}

#[tokio::test]
async fn what_is_not_kafka_is_refused() {
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        &[0xff; 12],
        &[0, 0, 0, 0],
    ] {
        let (listener, port) = listen().await;
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            read_request(&mut socket).await;
            socket.write_all(garbage).await.unwrap();
            socket
        });
        let error = Connection::connect("127.0.0.1", port, &options(PATIENCE))
            .await
            .err()
            .unwrap();
        assert!(matches!(error, WireError::Malformed { .. }), "{error}");
        drop(server.await.unwrap());
    }
}

#[tokio::test]
async fn a_wrong_correlation_id_closes_the_connection() {
    let (listener, port) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept_and_greet(&listener).await;
        let (id, _) = read_request(&mut socket).await;
        answer(
            &mut socket,
            id + 1,
            &kafka_protocol::messages::MetadataResponse::default(),
            12,
        )
        .await;
        socket
    });
    let connection = Connection::connect("127.0.0.1", port, &options(PATIENCE))
        .await
        .unwrap();
    let error = metadata(&connection, PATIENCE).await.unwrap_err();
    assert!(error.to_string().contains("correlation id"), "{error}");
    drop(server.await.unwrap());
}
