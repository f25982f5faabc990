//! Joining small batches into one, where the number of batches on their way is the limit.

use crate::builder::{BatchBuilder, BuildError};
use crate::classify::TargetRules;
use crate::codec::{Codec, CodecError, DECOMPRESSED_BYTES_MAX, decompress};
use crate::raw::RawBatch;
use crate::record::{RecordError, records};

/// Why batches were not joined. Nothing is lost by it: each can still be sent by itself.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// A checksum is wrong, and a joined batch would get a right one.
    #[error("the batch at offset {base_offset} is damaged: its checksum is wrong")]
    Corrupt {
        /// Upstream offset of the batch.
        base_offset: i64,
    },
    /// A batch is none that passes as it is, or has another codec than the first.
    #[error("the batch at offset {base_offset} cannot be joined with the ones before it")]
    Unlike {
        /// Upstream offset of the batch.
        base_offset: i64,
    },
    /// The result would be larger than the limit.
    #[error("the joined batch has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The result cannot be written.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Joins batches that [`crate::classify`] passes, oldest first, into one of at most `limit` bytes with their codec.
/// Keys, values, headers and timestamps are copied byte for byte, in order.
///
/// # Errors
/// As [`MergeError`] lists them; also when the batches would lie across a rule of `target` as one.
pub fn merge(
    batches: &[RawBatch],
    target: &TargetRules,
    limit: usize,
) -> Result<RawBatch, MergeError> {
    let limit = limit.min(target.batch_bytes_max());
    let mut builder: Option<(Codec, BatchBuilder)> = None;
    for batch in batches {
        let header = &batch.header;
        let base_offset = header.base_offset();
        let unlike = MergeError::Unlike { base_offset };
        if header.is_control() || !header.is_dense() || target.needs_append_time(header) {
            return Err(unlike);
        }
        if !batch.crc_is_valid() {
            return Err(MergeError::Corrupt { base_offset });
        }
        let codec = header.codec()?;
        let plain = decompress(codec, &batch.body, DECOMPRESSED_BYTES_MAX)?;
        let (first_codec, builder) = builder.get_or_insert_with(|| {
            let bytes = plain.len().saturating_mul(batches.len()).min(limit);
            (codec, BatchBuilder::with_capacity(codec, bytes))
        });
        if *first_codec != codec {
            return Err(unlike);
        }
        for record in records(&plain, header.count()) {
            let record = record?;
            let timestamp_ms = header
                .base_timestamp_ms()
                .wrapping_add(record.timestamp_delta_ms);
            builder.push_fields(record.attributes, timestamp_ms, record.fields)?;
        }
    }
    let (_, builder) = builder.ok_or(BuildError::Empty)?;
    let merged = builder.build()?;
    let bytes = merged.header.total_bytes();
    if bytes > limit {
        Err(MergeError::TooLarge { bytes, limit })
    } else {
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::TimestampType;
    use crate::record::RecordHeader;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    fn batch(codec: Codec, values: &[(i64, Option<Vec<u8>>)]) -> RawBatch {
        let mut builder = BatchBuilder::new(codec);
        for (timestamp_ms, value) in values {
            let header = RecordHeader {
                name: b"h",
                value: value.as_deref(),
            };
            builder
                .push(
                    *timestamp_ms,
                    value.as_deref(),
                    value.as_deref(),
                    &[header, header],
                )
                .unwrap();
        }
        builder.build().unwrap()
    }

    type Seen = (i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

    fn read(batch: &RawBatch) -> Vec<Seen> {
        let header = &batch.header;
        let plain =
            decompress(header.codec().unwrap(), &batch.body, DECOMPRESSED_BYTES_MAX).unwrap();
        let seen: Vec<Seen> = records(&plain, header.count())
            .enumerate()
            .map(|(index, record)| {
                let record = record.unwrap();
                assert_eq!(
                    usize::try_from(record.offset_delta).unwrap(),
                    index,
                    "dense"
                );
                let timestamp_ms = header.base_timestamp_ms() + record.timestamp_delta_ms;
                let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
                (
                    timestamp_ms,
                    owned(record.key),
                    owned(record.value),
                    record.headers().count(),
                )
            })
            .collect();
        seen
    }

    fn codec() -> impl Strategy<Value = Codec> {
        prop::sample::select(Codec::ALL.to_vec())
    }

    type Values = Vec<(i64, Option<Vec<u8>>)>;

    fn values() -> impl Strategy<Value = Values> {
        let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
        prop::collection::vec((-1..1_700_000_000_000_i64, value), 1..6)
    }

    proptest! {
        #[test]
        fn a_merged_batch_holds_the_records_of_all_in_order(
            codec in codec(),
            parts in prop::collection::vec(values(), 1..8),
        ) {
            let parts: Vec<RawBatch> = parts.iter().map(|values| batch(codec, values)).collect();
            let merged = merge(&parts, &TargetRules::default(), LIMIT).unwrap();
            prop_assert!(merged.crc_is_valid());
            prop_assert!(merged.header.is_dense());
            prop_assert_eq!(merged.header.codec().unwrap(), codec);
            let expected: Vec<Seen> = parts.iter().flat_map(read).collect();
            let latest = expected.iter().map(|seen| seen.0).max().unwrap();
            prop_assert_eq!(merged.header.max_timestamp_ms(), latest);
            prop_assert_eq!(read(&merged), expected);
        }
    }

    #[test]
    fn what_does_not_belong_together_is_not_joined() {
        let (one, two) = (
            batch(Codec::None, &[(1, None)]),
            batch(Codec::Lz4, &[(1, None)]),
        );
        let rules = TargetRules::default();
        let mixed = merge(&[one.clone(), two], &rules, LIMIT);
        assert!(matches!(mixed, Err(MergeError::Unlike { .. })), "{mixed:?}");
        let large = merge(&[one.clone(), one.clone()], &rules, 70);
        assert!(
            matches!(large, Err(MergeError::TooLarge { limit: 70, .. })),
            "{large:?}"
        );
        assert!(merge(&[], &rules, LIMIT).is_err());
        let small = TargetRules {
            max_message_bytes: 70,
            ..rules
        };
        assert!(
            merge(&[one.clone(), one], &small, LIMIT).is_err(),
            "the target's limit holds too"
        );
    }

    #[test]
    fn a_damaged_batch_gets_no_new_checksum() {
        let mut damaged = batch(Codec::None, &[(1, Some(b"value".to_vec()))]);
        let mut body = damaged.body.to_vec();
        body[3] ^= 1;
        damaged.body = body.into();
        let merged = merge(&[damaged], &TargetRules::default(), LIMIT);
        assert!(
            matches!(merged, Err(MergeError::Corrupt { .. })),
            "{merged:?}"
        );
    }

    #[test]
    fn append_times_are_not_lost_in_a_merge() {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(1, None, Some(b"v"), &[]).unwrap();
        let mut bytes = builder.build().unwrap();
        let mut header = *bytes.header.as_bytes();
        header[22] |= 0x08; // LogAppendTime
        let crc = crate::crc::crc32c_of_batch(&header, &bytes.body);
        header[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes.header = crate::header::BatchHeader::parse(&header).unwrap();
        assert!(bytes.crc_is_valid());
        let rules = TargetRules::default();
        assert!(matches!(
            merge(&[bytes.clone()], &rules, LIMIT),
            Err(MergeError::Unlike { .. })
        ));
        let append = TargetRules {
            timestamp_type: TimestampType::LogAppendTime,
            ..rules
        };
        assert!(
            merge(&[bytes], &append, LIMIT).is_ok(),
            "the target's broker stamps anew"
        );
    }
}
