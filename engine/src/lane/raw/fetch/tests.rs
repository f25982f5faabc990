//! Sessions as a broker sees them (`docs/spec/real-kafka.md` 5).

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{ApiVersionsResponse, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use super::*;

const LIMITS: FetchLimits = FetchLimits {
    wait_ms: 500,
    bytes_max: 1 << 20,
    read_committed: false,
};

fn session(max_version: i16) -> FetchSession {
    let fetch = ApiVersion::default()
        .with_api_key(1)
        .with_min_version(4)
        .with_max_version(max_version);
    let answer = ApiVersionsResponse::default().with_api_keys(vec![fetch]);
    FetchSession::new(&BrokerVersions::new("b:1", &answer)).unwrap()
}

fn wanted(partition: i32, offset: i64) -> (Slot, Wanted) {
    let wanted = Wanted {
        topic: "t".into(),
        topic_id: Uuid::from_u128(7),
        partition,
        offset,
        leader_epoch: 3,
        last_fetched_epoch: 2,
        bytes_max: 1_000,
    };
    (Slot(u32::try_from(partition).unwrap()), wanted)
}

/// The request as the broker reads it.
fn ask(session: &mut FetchSession, partitions: &[(Slot, Wanted)]) -> FetchRequest {
    let mut frame = session.request(partitions, LIMITS, "c").unwrap();
    assert!(frame.seal(0));
    let wire: Vec<u8> = frame
        .slices()
        .iter()
        .flat_map(|slice| slice.to_vec())
        .collect();
    let mut wire = Bytes::from(wire).slice(4..);
    let version = session.asked_version;
    RequestHeader::decode(&mut wire, FetchRequest::header_version(version)).unwrap();
    FetchRequest::decode(&mut wire, version).unwrap()
}

fn reply(session: &mut FetchSession, body: &FetchResponse) -> FetchAnswer {
    let mut bytes = Vec::new();
    let version = session.asked_version;
    ResponseHeader::default()
        .encode(&mut bytes, FetchResponse::header_version(version))
        .unwrap();
    body.encode(&mut bytes, version).unwrap();
    session.answer(bytes.into()).unwrap()
}

fn partitions(request: &FetchRequest) -> Vec<(i32, i64)> {
    let all = request.topics.iter().flat_map(|topic| &topic.partitions);
    all.map(|partition| (partition.partition, partition.fetch_offset))
        .collect()
}

#[test]
fn a_session_asks_only_for_what_changed() {
    let mut session = session(17);
    let first = ask(&mut session, &[wanted(0, 0), wanted(1, 0)]);
    assert_eq!((first.session_id, first.session_epoch), (0, 0));
    assert_eq!(partitions(&first), [(0, 0), (1, 0)]);
    assert_eq!(first.topics[0].topic_id, Uuid::from_u128(7), "by id");
    let sent = &first.topics[0].partitions[0];
    assert_eq!((sent.current_leader_epoch, sent.last_fetched_epoch), (3, 2));
    reply(&mut session, &FetchResponse::default().with_session_id(55));

    let idle = ask(&mut session, &[wanted(0, 0), wanted(1, 0)]);
    assert_eq!((idle.session_id, idle.session_epoch), (55, 1));
    assert!(idle.topics.is_empty(), "an idle round is small");
    reply(&mut session, &FetchResponse::default().with_session_id(55));

    let moved = ask(&mut session, &[wanted(0, 10), wanted(1, 0)]);
    assert_eq!(moved.session_epoch, 2);
    assert_eq!(partitions(&moved), [(0, 10)]);
    reply(&mut session, &FetchResponse::default().with_session_id(55));

    let paused = ask(&mut session, &[wanted(1, 0)]);
    assert_eq!(paused.forgotten_topics_data[0].partitions, [0]);
    reply(&mut session, &FetchResponse::default().with_session_id(55));

    let resumed = ask(&mut session, &[wanted(0, 10), wanted(1, 0)]);
    assert_eq!(
        partitions(&resumed),
        [(0, 10)],
        "asked for again after the pause"
    );
}

#[test]
fn a_lost_session_is_opened_again_with_everything() {
    let mut session = session(17);
    ask(&mut session, &[wanted(0, 0)]);
    reply(&mut session, &FetchResponse::default().with_session_id(55));
    ask(&mut session, &[wanted(0, 0)]);
    reply(&mut session, &FetchResponse::default().with_error_code(70));
    let again = ask(&mut session, &[wanted(0, 0)]);
    assert_eq!((again.session_id, again.session_epoch), (0, 0));
    assert_eq!(partitions(&again), [(0, 0)]);
}

#[test]
fn without_a_session_every_request_is_full_and_rotates() {
    let mut session = session(17);
    let all = [wanted(0, 0), wanted(1, 0), wanted(2, 0)];
    let mut firsts = Vec::new();
    for _ in 0..3 {
        let request = ask(&mut session, &all);
        assert_eq!(partitions(&request).len(), 3);
        firsts.push(partitions(&request)[0].0);
        reply(&mut session, &FetchResponse::default()); // session id 0: the cache is full
    }
    firsts.sort_unstable();
    assert_eq!(
        firsts,
        [0, 1, 2],
        "limits are spent in request order, so each comes first once"
    );
}

#[test]
fn answers_find_their_slot_by_id_and_by_name() {
    for max_version in [17, 13, 12, 11, 7, 6, 4] {
        let mut session = session(max_version);
        ask(&mut session, &[wanted(0, 0), wanted(1, 5)]);
        let data = PartitionData::default()
            .with_partition_index(1)
            .with_high_watermark(9)
            .with_records(Some(Bytes::from_static(b"records")));
        let topic = FetchableTopicResponse::default().with_partitions(vec![data]);
        let topic = if max_version > 12 {
            topic.with_topic_id(Uuid::from_u128(7))
        } else {
            topic.with_topic(name("t"))
        };
        let answer = reply(
            &mut session,
            &FetchResponse::default().with_responses(vec![topic]),
        );
        assert_eq!(answer.partitions.len(), 1, "version {max_version}");
        let fetched = &answer.partitions[0];
        assert_eq!((fetched.slot, fetched.high_watermark), (Slot(1), 9));
        assert_eq!(&fetched.records[..], b"records");
        assert_eq!(fetched.diverging, None);
    }
}

#[test]
fn a_topic_without_an_id_is_asked_for_by_name() {
    let mut session = session(17);
    let (slot, mut partition) = wanted(0, 0);
    partition.topic_id = Uuid::nil();
    let request = ask(&mut session, &[(slot, partition)]);
    assert_eq!(session.asked_version, 12);
    assert_eq!(request.topics[0].topic.as_str(), "t");
}

#[test]
fn a_partition_that_is_followed_anew_is_not_forgotten() {
    let mut session = session(17);
    ask(&mut session, &[wanted(0, 0)]);
    reply(&mut session, &FetchResponse::default().with_session_id(55));
    let (_, again) = wanted(0, 4);
    let request = ask(&mut session, &[(Slot(9), again)]);
    assert!(
        request.forgotten_topics_data.is_empty(),
        "brokers add first and forget then"
    );
    assert_eq!(partitions(&request), [(0, 4)]);
    let data = PartitionData::default().with_records(Some(Bytes::from_static(b"r")));
    let topic = FetchableTopicResponse::default()
        .with_topic_id(Uuid::from_u128(7))
        .with_partitions(vec![data]);
    let answer = reply(
        &mut session,
        &FetchResponse::default()
            .with_session_id(55)
            .with_responses(vec![topic]),
    );
    assert_eq!(answer.partitions[0].slot, Slot(9));
}
