//! The hand-written frame against the message crate's decoder, and the verdicts.

use batch::{BatchBuilder, Codec, ProducerStamp, stamp};
use kafka_protocol::messages::{ProduceRequest, RequestHeader};
use kafka_protocol::protocol::Decodable;

use super::*;

fn sample(topic: &str, id: u128, partition: i32) -> ProduceBatch {
    let mut builder = BatchBuilder::new(Codec::None);
    builder
        .push(7, Some(b"key"), Some(topic.as_bytes()), &[])
        .unwrap();
    let raw = builder.build().unwrap();
    let header = stamp(&raw.header, ProducerStamp::NONE);
    let topic_id = Uuid::from_u128(id);
    ProduceBatch {
        topic: topic.into(),
        topic_id,
        partition,
        header,
        body: raw.body,
    }
}

#[test]
fn every_version_decodes_to_what_was_meant() {
    for version in VERSION_MIN..=VERSION_MAX {
        let versions = ProduceVersions {
            by_id: version,
            by_name: version.min(12),
        };
        let mut batches = vec![sample("b", 2, 0), sample("a", 1, 3), sample("b", 2, 1)];
        let (mut frame, used) = encode(&mut batches, versions, "client", 1_234);
        assert_eq!(used, version);
        assert!(frame.seal(5));
        let wire: Vec<u8> = frame
            .slices()
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let mut wire = Bytes::from(wire).slice(4..);
        let header = RequestHeader::decode(&mut wire, if version >= 9 { 2 } else { 1 }).unwrap();
        assert_eq!(
            (header.request_api_key, header.request_api_version),
            (0, version)
        );
        assert_eq!(header.client_id.unwrap().as_str(), "client");
        let request = ProduceRequest::decode(&mut wire, version).unwrap();
        assert!(wire.is_empty(), "version {version}: trailing bytes");
        assert_eq!((request.acks, request.timeout_ms), (-1, 1_234));
        assert_eq!(request.transactional_id, None);
        let mut seen = Vec::new();
        for topic in &request.topic_data {
            for partition in &topic.partition_data {
                let records = partition.records.clone().unwrap();
                let raw = batch::batches(&records).next().unwrap().unwrap();
                assert!(raw.crc_is_valid());
                let name = if version >= 13 {
                    String::from_utf8(vec![
                        b'a' + u8::try_from(topic.topic_id.as_u128()).unwrap() - 1,
                    ])
                    .unwrap()
                } else {
                    topic.name.to_string()
                };
                seen.push((name, partition.index));
            }
        }
        assert_eq!(
            seen,
            [("a".into(), 3), ("b".into(), 0), ("b".into(), 1)],
            "version {version}"
        );
    }
}

#[test]
fn one_topic_without_an_id_makes_the_request_go_by_name() {
    let versions = ProduceVersions {
        by_id: 13,
        by_name: 12,
    };
    let (_, version) = encode(
        &mut [sample("a", 1, 0), sample("b", 0, 0)],
        versions,
        "c",
        1,
    );
    assert_eq!(version, 12);
}

#[test]
fn long_lengths_take_several_bytes() {
    for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 268_435_456] {
        let mut bytes = Vec::new();
        put_unsigned_varint(&mut bytes, value);
        let (mut read, mut shift) = (0, 0);
        for byte in &bytes {
            read |= usize::from(byte & 0x7f) << shift;
            shift += 7;
        }
        assert_eq!(read, value);
        assert!(bytes[..bytes.len() - 1].iter().all(|byte| byte & 0x80 != 0));
    }
}

#[test]
fn verdicts_follow_the_observed_codes() {
    let judge = |code| Outcome::judge(code, 9, None);
    assert_eq!(judge(0), Outcome::Stored { base_offset: 9 });
    assert_eq!(judge(45), Outcome::OutOfOrder);
    assert_eq!(judge(46), Outcome::Stored { base_offset: -1 });
    assert!(matches!(judge(10), Outcome::TooLarge(_)));
    assert!(matches!(judge(87), Outcome::Refused(_)));
    assert!(matches!(judge(47), Outcome::Fenced(_)));
    assert!(matches!(judge(6), Outcome::Retry { refresh: true, .. }));
    // In the leader's log, though the answer sounds like a failure: the resend tells.
    assert!(matches!(judge(7), Outcome::Retry { refresh: false, .. }));
    assert!(
        matches!(judge(12_345), Outcome::Retry { .. }),
        "unknown codes are tried again"
    );
}
