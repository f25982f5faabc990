//! The broker's table: `docs/spec/batches.md` 1 with `docs/spec/real-kafka.md` 4.

use batch::attribute::{CONTROL, DELETE_HORIZON, LOG_APPEND_TIME, TRANSACTIONAL};
use batch::field;

use super::*;
use crate::log::Scope;

fn with_byte(bytes: &Bytes, at: usize, value: u8) -> Bytes {
    let mut bytes = bytes.to_vec();
    bytes[at] = value;
    bytes.into()
}

/// A refusal with nothing but its code, as most are.
#[track_caller]
fn assert_bare(refused: &Refused, error: ResponseError) {
    let bare = (
        refused.error,
        refused.message.as_deref(),
        refused.record_errors.len(),
    );
    assert_eq!(bare, (error, None, 0));
    assert_eq!(refused.scope, Scope::Partition);
}

#[test]
fn row_01_two_batches_are_refused() {
    let mut t = Partition::new();
    let two = [Sent::records(1).bytes(), Sent::records(1).bytes()].concat();
    let refused = t.send_bytes(Some(two.into())).unwrap_err();
    assert_bare(&refused, ResponseError::InvalidRecord);
    assert_eq!(t.log.end_offset(), 0);
}

#[test]
fn row_02_old_formats_are_refused_and_magic_3_fails_the_request() {
    let mut t = Partition::new();
    for magic in [0, 1] {
        let old = with_byte(&Sent::records(1).bytes(), field::MAGIC, magic);
        assert_bare(
            &t.send_bytes(Some(old)).unwrap_err(),
            ResponseError::InvalidRecord,
        );
    }
    let refused = t.send_bytes(Some(with_byte(&Sent::records(1).bytes(), field::MAGIC, 3)));
    let refused = refused.unwrap_err();
    assert_bare(&refused, ResponseError::CorruptMessage);
    let first = with_byte(&Sent::records(1).bytes(), field::MAGIC, 3);
    let refused = Log::begins_transactional(Some(&first)).unwrap_err();
    assert_eq!(refused.error, ResponseError::CorruptMessage);
    assert_eq!(
        refused.message.as_deref(),
        Some("Invalid magic found in record: 3")
    );
    assert_eq!(refused.scope, Scope::Request);
}

#[test]
fn row_03_a_base_offset_is_refused() {
    let mut t = Partition::new();
    for base_offset in [7, -1] {
        let sent = Sent {
            base_offset,
            ..Sent::records(1)
        };
        assert_bare(&t.send(&sent).unwrap_err(), ResponseError::InvalidRecord);
    }
}

#[test]
fn row_04_offset_and_leader_epoch_are_the_brokers() {
    let mut t = Partition::new();
    t.ok(&Sent::records(3));
    t.epoch = 5;
    assert_eq!(t.ok(&Sent::records(2)), 3);
    let batch = &t.batches()[1];
    assert_eq!(
        (batch.header.base_offset(), batch.header.leader_epoch()),
        (3, 5)
    );
    assert_eq!(
        (t.log.epoch_at(2), t.log.epoch_at(3), t.log.latest_epoch()),
        (0, 5, Some(5))
    );
}

#[test]
fn row_05_a_wrong_crc_is_corrupt() {
    let mut t = Partition::new();
    let sent = Sent::records(2).bytes();
    for at in [field::CRC, field::COUNT + 3, sent.len() - 1] {
        let bad = with_byte(&sent, at, sent[at] ^ 0x10);
        assert_bare(
            &t.send_bytes(Some(bad)).unwrap_err(),
            ResponseError::CorruptMessage,
        );
    }
}

#[test]
fn row_06_max_message_bytes_may_be_reached_not_passed() {
    let sent = Sent::records(4);
    let bytes = sent.bytes().len();
    let with = |max_message_bytes| LogSettings {
        max_message_bytes,
        ..LogSettings::default()
    };
    Partition::with(with(bytes)).ok(&sent);
    let refused = Partition::with(with(bytes - 1)).send(&sent).unwrap_err();
    assert_bare(&refused, ResponseError::MessageTooLarge);
}

#[test]
fn row_06_counts_again_after_recompression() {
    let sent = Sent::records(60).codec(Codec::Zstd);
    let settings = LogSettings {
        max_message_bytes: sent.bytes().len() + 10,
        compression: Some(Codec::None),
        ..LogSettings::default()
    };
    let refused = Partition::with(settings).send(&sent).unwrap_err();
    assert_bare(&refused, ResponseError::MessageTooLarge);
}

#[test]
fn row_07_a_batch_larger_than_a_segment_is_refused() {
    let sent = Sent::records(4);
    let bytes = sent.bytes().len() as u64;
    let with = |segment_bytes| LogSettings {
        segment_bytes,
        ..LogSettings::default()
    };
    Partition::with(with(bytes)).ok(&sent);
    let refused = Partition::with(with(bytes - 1)).send(&sent).unwrap_err();
    assert_bare(&refused, ResponseError::RecordListTooLarge);
}

#[test]
fn row_09_an_empty_batch_is_refused() {
    let mut t = Partition::new();
    for count in [0, -1] {
        let sent = Sent {
            count: Some(count),
            last_offset_delta: Some(0),
            ..Sent::records(1)
        };
        assert_bare(&t.send(&sent).unwrap_err(), ResponseError::InvalidRecord);
    }
}

#[test]
fn row_10_gap_is_refused() {
    let mut t = Partition::new();
    for (deltas, last) in [
        ([0, 1, 3], 3),
        ([1, 2, 3], 3),
        ([0, 1, 2], 3),
        ([0, 1, 2], 1),
        ([0, 1, 2], -1),
    ] {
        for codec in Codec::ALL {
            let sent = Sent::records(3).deltas(&deltas).codec(codec);
            let sent = Sent {
                last_offset_delta: Some(last),
                ..sent
            };
            assert_bare(&t.send(&sent).unwrap_err(), ResponseError::InvalidRecord);
        }
    }
}

#[test]
fn row_10b_a_patched_gap_damages_the_log_uncompressed_and_fails_compressed() {
    let gap = Sent::records(4).deltas(&[0, 1, 3, 4]);
    let mut t = Partition::new();
    assert_eq!(t.ok(&gap), 0);
    assert_eq!(t.ok(&Sent::records(1)), 4);
    let offsets: Vec<_> = t.keys().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 3, 4, 4]);
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        assert_eq!(
            t.refused(&gap.clone().codec(codec)),
            ResponseError::UnknownServerError
        );
    }
    // the new row: repeated and swapped deltas
    for deltas in [[0, 0], [1, 0]] {
        let odd = Sent::records(2).deltas(&deltas);
        assert_eq!(
            t.refused(&odd.clone().codec(Codec::Lz4)),
            ResponseError::UnknownServerError
        );
        t.ok(&odd);
    }
}

#[test]
fn row_10b_a_recompressing_topic_counts_the_offsets_anew() {
    let compression = Some(Codec::Lz4);
    let mut t = Partition::with(LogSettings {
        compression,
        ..LogSettings::default()
    });
    t.ok(&Sent::records(4).deltas(&[0, 1, 3, 4]));
    let offsets: Vec<_> = t.keys().into_iter().map(|(offset, _)| offset).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
}

#[test]
fn row_11_a_wrong_count_is_refused() {
    let mut t = Partition::new();
    for codec in Codec::ALL {
        for count in [2, 4] {
            let sent = Sent {
                count: Some(count),
                last_offset_delta: Some(count - 1),
                ..Sent::records(3)
            };
            let refused = t.send(&sent.codec(codec)).unwrap_err();
            assert_bare(&refused, ResponseError::InvalidRecord);
        }
    }
}

#[test]
fn row_12_control_batches_are_refused() {
    let mut t = Partition::new();
    for bits in [CONTROL, CONTROL | TRANSACTIONAL] {
        let sent = Sent::records(1).bits(bits).by(7, 0, 0);
        assert_bare(&t.send(&sent).unwrap_err(), ResponseError::InvalidRecord);
    }
}

#[test]
fn row_13_transactional_without_producer_is_stored_as_nonsense() {
    let mut t = Partition::new();
    t.verified = false; // nobody is asked
    t.ok(&Sent::records(1).transactional());
    assert_eq!(t.batches()[0].header.attributes(), TRANSACTIONAL);
    assert_eq!(
        (t.log.last_stable_offset(), t.log.producers().len()),
        (1, 0)
    );
}

#[test]
fn row_13_inspection_shows_the_transactional_bit() {
    let sent = Sent::records(1).transactional().by(7, 2, 9).bytes();
    let inspected = Log::inspect(Some(&sent), 9).unwrap();
    assert!(inspected.transactional);
    let producer = (
        inspected.producer_id,
        inspected.producer_epoch,
        inspected.base_sequence,
    );
    assert_eq!(producer, (7, 2, 9));
    assert!(
        !Log::inspect(Some(&Sent::records(1).bytes()), 9)
            .unwrap()
            .transactional
    );
}

#[test]
fn row_14_a_producer_needs_a_sequence() {
    let mut t = Partition::new();
    let refused = t.send(&Sent::records(1).by(7, 0, -1)).unwrap_err();
    assert_bare(&refused, ResponseError::InvalidRecord);
}

#[test]
fn row_16_a_partition_outside_the_transaction_is_refused() {
    let mut t = Partition::new();
    t.verified = false;
    let sent = Sent::records(1).transactional().by(7, 0, 0);
    for (version, error, message) in [
        (
            9,
            ResponseError::InvalidTxnState,
            Some("Partition was not added to the transaction"),
        ),
        (
            10,
            ResponseError::InvalidTxnState,
            Some("Partition was not added to the transaction"),
        ),
        (11, ResponseError::TransactionAbortable, None),
    ] {
        t.version = version;
        let refused = t.send(&sent).unwrap_err();
        assert_eq!(
            (refused.error, refused.message.as_deref()),
            (error, message)
        );
    }
    t.verified = true;
    t.ok(&sent);
    t.verified = false; // from now on the log itself knows
    t.ok(&Sent::records(1).transactional().by(7, 0, 1));
}

#[test]
fn row_17_append_time_bit_on_a_create_time_topic_is_cleared() {
    let mut t = Partition::new();
    let mut sent = Sent::records(2).bits(LOG_APPEND_TIME);
    sent.records[0].timestamp_ms = NOW_MS - 500;
    t.ok(&Sent {
        max_timestamp_ms: Some(NOW_MS),
        ..sent
    });
    let batch = &t.batches()[0];
    assert_eq!(
        (batch.header.attributes(), batch.header.max_timestamp_ms()),
        (0, NOW_MS)
    );
    assert_eq!(
        seen(batch)[0].1,
        NOW_MS - 500,
        "the create time that nobody has seen before"
    );
}

#[test]
fn row_18_append_time_bit_on_an_append_time_topic_is_refused() {
    let settings = LogSettings {
        log_append_time: true,
        ..LogSettings::default()
    };
    let mut t = Partition::with(settings);
    let mut sent = Sent::records(2).bits(LOG_APPEND_TIME);
    sent.records[1].key = None;
    for (codec, name, null) in [
        (Codec::None, "DefaultRecord", 0),
        (Codec::Lz4, "PartialDefaultRecord", -1),
    ] {
        let refused = t.send(&sent.clone().codec(codec)).unwrap_err();
        assert_eq!(refused.error, ResponseError::InvalidTimestamp);
        let message = "One or more records have been rejected due to invalid timestamp";
        assert_eq!(refused.message.as_deref(), Some(message));
        // as Kafka's validator prints it
        let max = NOW_MS + 1;
        let error = |index, key| {
            let text = format!(
                "Invalid timestamp type in message {name}(offset={index}, timestamp={max}, \
                 key={key} bytes, value=5 bytes). Producer should not set timestamp type to \
                 LogAppendTime."
            );
            (index, Some(text))
        };
        assert_eq!(refused.record_errors, [error(0, 1), error(1, null)]);
    }
}

#[test]
fn row_19_an_append_time_topic_stamps_every_codec() {
    for codec in Codec::ALL {
        let settings = LogSettings {
            log_append_time: true,
            ..LogSettings::default()
        };
        let mut t = Partition::with(settings);
        t.now_ms = NOW_MS + 77;
        // append time topics look at no create time
        let sent = Sent::records(2).codec(codec).at(NOW_MS + 9 * HOUR_MS);
        let appended = t.send(&sent).unwrap();
        assert_eq!(appended.log_append_time_ms, NOW_MS + 77);
        let batch = &t.batches()[0];
        assert_eq!(
            batch.header.attributes(),
            LOG_APPEND_TIME | codec.attributes()
        );
        assert!(
            seen(batch)
                .iter()
                .all(|(_, timestamp_ms, _)| *timestamp_ms == NOW_MS + 77)
        );
    }
}

#[test]
fn row_20_timestamps_ahead_are_refused_one_by_one() {
    let mut t = Partition::new();
    let mut sent = Sent::records(3);
    sent.records[1].timestamp_ms = NOW_MS + 2 * HOUR_MS;
    // a wrong max timestamp does not hide it
    sent.max_timestamp_ms = Some(NOW_MS);
    let refused = t.send(&sent).unwrap_err();
    assert_eq!(refused.error, ResponseError::InvalidTimestamp);
    let message = "One or more records have been rejected due to invalid timestamp";
    assert_eq!(refused.message.as_deref(), Some(message));
    // no bound before now: the sum runs over, as on a broker
    let (at, from, to) = (
        NOW_MS + 2 * HOUR_MS,
        NOW_MS.wrapping_sub(i64::MAX),
        NOW_MS + HOUR_MS,
    );
    let text = format!(
        "Timestamp {at} of message with offset 1 is out of range. The timestamp should be within \
         [{from}, {to}]"
    );
    assert_eq!(refused.record_errors, [(1, Some(text))]);
    for accepted in [NOW_MS + HOUR_MS, NOW_MS - 10 * 365 * 24 * HOUR_MS, 0, -1] {
        t.ok(&Sent::records(1).at(accepted));
    }
    t.settings.timestamp_before_max_ms = HOUR_MS;
    t.ok(&Sent::records(1).at(NOW_MS - HOUR_MS));
    let refused = t.refused(&Sent::records(1).at(NOW_MS - HOUR_MS - 1).codec(Codec::Zstd));
    assert_eq!(refused, ResponseError::InvalidTimestamp);
    t.ok(&Sent::records(1).at(-1));
}

#[test]
fn row_21_a_wrong_max_timestamp_is_repaired() {
    for codec in Codec::ALL {
        let mut t = Partition::new();
        t.ok(&Sent {
            max_timestamp_ms: Some(5),
            ..Sent::records(3).codec(codec)
        });
        assert_eq!(t.batches()[0].header.max_timestamp_ms(), NOW_MS + 2);
    }
}

#[test]
fn row_22_the_topics_codec_wins() {
    for (sent, wanted) in [
        (Codec::None, Codec::Gzip),
        (Codec::Lz4, Codec::None),
        (Codec::Zstd, Codec::Snappy),
    ] {
        let compression = Some(wanted);
        let mut t = Partition::with(LogSettings {
            compression,
            ..LogSettings::default()
        });
        t.ok(&Sent::records(1));
        let odd = 0x80 | DELETE_HORIZON;
        t.ok(&Sent::keys(&["a", "b"])
            .codec(sent)
            .by(7, 1, 4)
            .transactional()
            .bits(TRANSACTIONAL | odd));
        let header = &t.batches()[1].header;
        assert_eq!(header.attributes(), wanted.attributes() | TRANSACTIONAL);
        let producer = (
            header.producer_id(),
            header.producer_epoch(),
            header.base_sequence(),
        );
        assert_eq!(producer, (7, 1, 4));
        assert_eq!(t.keys()[1..], [(1, "a".to_owned()), (2, "b".to_owned())]);
    }
}

#[test]
fn row_22_recompression_stumbles_over_odd_producers() {
    let mut t = Partition::with(LogSettings {
        compression: Some(Codec::Lz4),
        ..LogSettings::default()
    });
    let nonsense = Sent::records(1).transactional();
    for odd in [nonsense, Sent::records(1).by(7, -1, 0)] {
        assert_eq!(t.refused(&odd), ResponseError::UnknownServerError);
        t.ok(&odd.codec(Codec::Lz4)); // but not without
    }
}

#[test]
fn row_23_zstd_needs_produce_7() {
    let mut t = Partition::new();
    for version in 3..=6 {
        t.version = version;
        let refused = t.send(&Sent::records(1).codec(Codec::Zstd)).unwrap_err();
        assert_bare(&refused, ResponseError::UnsupportedCompressionType);
    }
    t.version = 7;
    t.ok(&Sent::records(1).codec(Codec::Zstd));
}

#[test]
fn row_24_and_25_foreign_bits_are_stored() {
    let mut t = Partition::new();
    let bits = DELETE_HORIZON | 0x180;
    t.ok(&Sent::records(1).bits(bits));
    assert_eq!(t.batches()[0].header.attributes(), bits);
}

#[test]
fn row_26_null_keys_on_a_compacted_topic() {
    let mut t = Partition::compacted();
    let mut sent = Sent::records(6);
    for index in [1, 3, 4, 5] {
        sent.records[index].key = None;
    }
    let refused = t.send(&sent).unwrap_err();
    assert_eq!(refused.error, ResponseError::InvalidRecord);
    let text = "Compacted topic cannot accept message without key in topic partition t-0";
    let errors: Vec<_> = [1, 3, 4, 5]
        .map(|index| (index, Some(text.to_owned())))
        .into();
    assert_eq!(refused.record_errors, errors);
    // as Kafka's validator prints it
    let summary = format!(
        "One or more records have been rejected due to 4 record errors in total, and only showing \
         the first three errors at most: [RecordError(batchIndex=1, message='{text}'), \
         RecordError(batchIndex=3, message='{text}'), RecordError(batchIndex=4, message='{text}')]"
    );
    assert_eq!(refused.message, Some(summary));
}

#[test]
fn row_27_internal_topics_are_for_the_admin_client() {
    let settings = LogSettings::default();
    let mut log = Log::new();
    let mut send = |topic, internal_client| {
        log.append(&Append {
            records: Some(Sent::records(1).bytes()),
            version: 9,
            now_ms: NOW_MS,
            leader_epoch: 0,
            topic,
            partition: 0,
            settings: &settings,
            internal_client,
            transaction_verified: false,
        })
    };
    for topic in [
        "__consumer_offsets",
        "__transaction_state",
        "__share_group_state",
    ] {
        assert_bare(
            &send(topic, false).unwrap_err(),
            ResponseError::InvalidTopicException,
        );
        send(topic, true).unwrap();
    }
    send("__heartbeats", false).unwrap();
}

#[test]
fn codec_bits_5_to_7_and_bodies_that_do_not_decompress_are_unknown_errors() {
    let mut t = Partition::new();
    for bits in 5..=7 {
        assert_eq!(
            t.refused(&Sent::records(1).bits(bits)),
            ResponseError::UnknownServerError
        );
    }
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let bad = Sent::records(1)
            .codec(codec)
            .with_body(b"not compressed at all");
        assert_eq!(t.refused_bytes(bad), ResponseError::UnknownServerError);
    }
}

#[test]
fn trailing_bytes_are_dropped() {
    let mut t = Partition::new();
    let sent = Sent::records(2).bytes();
    let cut_off = &sent[..40]; // a second batch that is not whole is no batch
    for trailing in [&b"x"[..], b"12345678901", cut_off] {
        t.send_bytes(Some([&sent[..], trailing].concat().into()))
            .unwrap();
    }
    assert_eq!(
        (t.log.end_offset(), t.log.bytes()),
        (6, 3 * sent.len() as u64)
    );
}

#[test]
fn null_records_are_never_answered_and_few_bytes_are_no_batch() {
    let mut t = Partition::new();
    assert_eq!(t.send_bytes(None).unwrap_err().scope, Scope::NoAnswer);
    assert_eq!(Log::inspect(None, 9).unwrap_err().scope, Scope::NoAnswer);
    let refused = t.send_bytes(Some(Bytes::new())).unwrap_err();
    assert_bare(&refused, ResponseError::InvalidRecord);
    let few = Bytes::from(vec![0; 20]);
    let refused = t.send_bytes(Some(few.clone())).unwrap_err();
    assert_bare(&refused, ResponseError::CorruptMessage);
    let refused = Log::begins_transactional(Some(&few)).unwrap_err();
    assert_eq!(
        (refused.error, refused.scope),
        (ResponseError::CorruptMessage, Scope::Request)
    );
}
