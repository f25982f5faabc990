//! Judging the bytes of a produced batch, and giving them their place in the log (Kafka's
//! `ProduceRequest`, `UnifiedLog` and `LogValidator`; rows of `docs/spec/batches.md` 1 with the
//! additions of `docs/spec/real-kafka.md` 4).

use batch::{
    BatchHeader, Codec, DECOMPRESSED_BYTES_MAX, HEADER_BYTES, RecordView, TimestampType, attribute,
    checksum, compress, decompress, field, records, write_record,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;

use super::assemble::{Front, checksum_in_place, put};
use super::walk::{Reading, Seen, read_records};
use super::{Append, Refused, Scope};

/// Base offset and length of a batch of any format.
const LOG_OVERHEAD: usize = 12;
/// Smallest length field of any format.
const LENGTH_MIN: i32 = 14;
/// First Produce version that may carry zstd (row 23).
const ZSTD_VERSION_MIN: i16 = 7;

/// The one batch of a records field, without trailing bytes.
///
/// # Errors
/// Rows 1, 2 and 23, and bytes that are no batch. A codec that does not exist fails the whole request where a
/// broker has to know whether it is zstd.
pub(super) fn one_batch(records: &Bytes, version: i16) -> Result<Bytes, Refused> {
    let Some(bytes) = next_batch(records, Scope::Partition)? else {
        return Err(Refused::bare(ResponseError::InvalidRecord));
    };
    let batch = records.slice(..bytes);
    if batch.get(field::MAGIC) != Some(&2) {
        return Err(Refused::bare(ResponseError::InvalidRecord));
    }
    if version < ZSTD_VERSION_MIN {
        match Codec::from_attributes(attributes(&batch)) {
            Ok(Codec::Zstd) => {
                return Err(Refused::bare(ResponseError::UnsupportedCompressionType));
            }
            Ok(_) => {}
            Err(_) => {
                return Err(Refused {
                    scope: Scope::Request,
                    ..Refused::bare(ResponseError::UnknownServerError)
                });
            }
        }
    }
    let rest = records.get(bytes..).unwrap_or_default();
    if next_batch(rest, Scope::Partition)?.is_some() {
        return Err(Refused::bare(ResponseError::InvalidRecord));
    }
    Ok(batch)
}

/// Size of the batch at the front of `bytes`, `None` if it is cut off, by Java's
/// `ByteBufferLogInputStream`. Only an answer to the whole request repeats the exception's text.
pub(super) fn next_batch(bytes: &[u8], scope: Scope) -> Result<Option<usize>, Refused> {
    let corrupt = |message| Refused {
        message: Some(message).filter(|_| scope == Scope::Request),
        scope,
        ..Refused::bare(ResponseError::CorruptMessage)
    };
    let Some(length) = bytes
        .get(field::LENGTH..LOG_OVERHEAD)
        .and_then(|b| b.first_chunk())
    else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*length);
    let Some(length) = usize::try_from(length)
        .ok()
        .filter(|_| length >= LENGTH_MIN)
    else {
        return Err(corrupt(format!(
            "Record size {length} is less than the minimum record overhead ({LENGTH_MIN})"
        )));
    };
    match bytes.get(field::MAGIC) {
        None => Ok(None),
        Some(0..=2) => Ok(Some(length + LOG_OVERHEAD).filter(|total| *total <= bytes.len())),
        Some(magic) => {
            let magic = magic.cast_signed();
            Err(corrupt(format!("Invalid magic found in record: {magic}")))
        }
    }
}

/// The attributes of a batch, 0 if it is too short to have any.
pub(super) fn attributes(batch: &[u8]) -> i16 {
    let bytes = batch.get(field::ATTRIBUTES..).and_then(|b| b.first_chunk());
    bytes.map_or(0, |bytes| i16::from_be_bytes(*bytes))
}

/// The batch as it will lie in the log at `base_offset`: a copy with offset and epoch, or a rebuilt
/// one if the topic wants another codec.
///
/// # Errors
/// Rows 3, 5, 6, 7, 9 to 12, 14, 18, 20 and 26.
pub(super) fn validate(
    batch: &Bytes,
    base_offset: i64,
    append: &Append<'_>,
) -> Result<Bytes, Refused> {
    use ResponseError::{
        CorruptMessage, InvalidRecord, MessageTooLarge, RecordListTooLarge, UnknownServerError,
    };
    let settings = append.settings;
    if batch
        .get(..field::LENGTH)
        .is_some_and(|base| base.iter().any(|byte| *byte != 0))
    {
        return Err(Refused::bare(InvalidRecord)); // row 3
    }
    if batch.len() > settings.max_message_bytes {
        return Err(Refused::bare(MessageTooLarge)); // row 6
    }
    let stated = batch.get(field::CRC..).and_then(|b| b.first_chunk());
    let stated = stated.map(|crc| u32::from_be_bytes(*crc));
    if stated.is_none() || stated != checksum(batch) {
        return Err(Refused::bare(CorruptMessage)); // row 5
    }
    let source = Codec::from_attributes(attributes(batch));
    let source = source.map_err(|_| Refused::bare(UnknownServerError))?;
    let header = BatchHeader::parse(batch).map_err(|_| Refused::bare(InvalidRecord))?;
    let counts = header.count() > 0 && header.is_dense(); // rows 9, 10
    let sequence = header.producer_id() < 0 || header.base_sequence() >= 0; // row 14
    if !counts || header.is_control() || !sequence {
        return Err(Refused::bare(InvalidRecord));
    }
    let target = settings.compression.unwrap_or(source);
    let body = batch.slice(HEADER_BYTES.min(batch.len())..);
    let plain = decompress(source, &body, DECOMPRESSED_BYTES_MAX);
    let plain = plain.map_err(|_| Refused::bare(UnknownServerError))?;
    let reading = match source {
        Codec::None => Reading::InPlace,
        _ if source == target => Reading::Skimmed,
        _ => Reading::Streamed,
    };
    let walked = walk(&header, &plain, reading, append)?;
    let validated = match (source, target) {
        (Codec::None, Codec::None) => in_place(batch, &header, base_offset, &walked, append),
        _ if source == target && walked.deltas_count_up => {
            in_place(batch, &header, base_offset, &walked, append)
        }
        // Java has skipped the keys that it would now need (row 10b)
        _ if source == target => return Err(Refused::bare(UnknownServerError)),
        _ => {
            let rebuilt = rebuild(&header, &plain, target, base_offset, &walked, append);
            let rebuilt = rebuilt.ok_or_else(|| Refused::bare(UnknownServerError))?;
            if rebuilt.len() > settings.max_message_bytes {
                return Err(Refused::bare(MessageTooLarge)); // row 6, after recompression
            }
            rebuilt
        }
    };
    if validated.len() as u64 > settings.segment_bytes {
        return Err(Refused::bare(RecordListTooLarge)); // row 7
    }
    Ok(validated)
}

/// What a walk over the records found.
struct Walked {
    max_timestamp_ms: i64,
    first_timestamp_ms: i64,
    /// Offset deltas are 0, 1, 2 and so on.
    deltas_count_up: bool,
}

/// Looks at every record: structure (row 11), timestamps (rows 18, 20), keys (row 26).
fn walk(
    header: &BatchHeader,
    plain: &[u8],
    reading: Reading,
    append: &Append<'_>,
) -> Result<Walked, Refused> {
    let mut walked = Walked {
        max_timestamp_ms: -1,
        first_timestamp_ms: -1,
        deltas_count_up: true,
    };
    let mut errors = Vec::new();
    let mut timestamps_are_wrong = false;
    for (index, record) in (0..).zip(read_records(plain, header.count(), reading)) {
        let record = record.map_err(Refused::bare)?;
        let timestamp_ms = timestamp_of(header, record.timestamp_delta_ms);
        if append.settings.cleanup_compact && record.key_bytes.is_none() {
            let (topic, partition) = (append.topic, append.partition);
            let message = format!(
                "Compacted topic cannot accept message without key in topic partition \
                 {topic}-{partition}"
            );
            errors.push((index, Some(message)));
        } else if let Some(message) =
            wrong_timestamp(header, &record, timestamp_ms, reading, append)
        {
            timestamps_are_wrong = true;
            errors.push((index, Some(message)));
        }
        if index == 0 {
            walked.first_timestamp_ms = timestamp_ms;
        }
        walked.max_timestamp_ms = walked.max_timestamp_ms.max(timestamp_ms);
        walked.deltas_count_up &= record.offset_delta == index;
    }
    if errors.is_empty() {
        Ok(walked)
    } else {
        Err(records_refused(errors, timestamps_are_wrong))
    }
}

/// When a record says that it was written.
pub(super) fn timestamp_ms(header: &BatchHeader, record: &RecordView<'_>) -> i64 {
    timestamp_of(header, record.timestamp_delta_ms)
}

pub(super) fn timestamp_of(header: &BatchHeader, delta_ms: i64) -> i64 {
    match header.timestamp_type() {
        TimestampType::LogAppendTime => header.max_timestamp_ms(),
        // wraps, as Java's addition
        TimestampType::CreateTime => header.base_timestamp_ms().wrapping_add(delta_ms),
    }
}

/// Rows 18 and 20, with the broker's texts. When Java skims it holds a record
/// of which it has skipped the fields, and prints it so.
fn wrong_timestamp(
    header: &BatchHeader,
    record: &Seen,
    timestamp_ms: i64,
    reading: Reading,
    append: &Append<'_>,
) -> Option<String> {
    let (now_ms, settings) = (append.now_ms, append.settings);
    let offset = record.offset_delta;
    if !settings.log_append_time && timestamp_ms != -1 {
        let (before, after) = (
            settings.timestamp_before_max_ms,
            settings.timestamp_after_max_ms,
        );
        let age_ms = now_ms.wrapping_sub(timestamp_ms);
        return (age_ms > before || age_ms.wrapping_neg() > after).then(|| {
            let (from, to) = (now_ms.wrapping_sub(before), now_ms.wrapping_add(after));
            format!(
                "Timestamp {timestamp_ms} of message with offset {offset} is out of range. \
                 The timestamp should be within [{from}, {to}]"
            )
        });
    }
    (header.timestamp_type() == TimestampType::LogAppendTime).then(|| {
        let (name, none) = match reading {
            Reading::InPlace | Reading::Streamed => ("DefaultRecord", 0),
            Reading::Skimmed => ("PartialDefaultRecord", -1),
        };
        let bytes = |field: Option<usize>| field.map_or(none, |bytes| bytes as i64);
        let (key, value) = (bytes(record.key_bytes), bytes(record.value_bytes));
        format!(
            "Invalid timestamp type in message {name}(offset={offset}, timestamp={timestamp_ms}, \
             key={key} bytes, value={value} bytes). Producer should not set timestamp type to \
             LogAppendTime."
        )
    })
}

/// One code for the batch: any wrong timestamp decides it.
fn records_refused(record_errors: Vec<(i32, Option<String>)>, timestamps: bool) -> Refused {
    /// How many errors the summary repeats.
    const SHOWN: usize = 3;
    if timestamps {
        let message = "One or more records have been rejected due to invalid timestamp";
        return Refused {
            message: Some(message.to_owned()),
            record_errors,
            ..Refused::bare(ResponseError::InvalidTimestamp)
        };
    }
    let shown: Vec<_> = record_errors
        .iter()
        .take(SHOWN)
        .map(|(index, message)| {
            let message = message.as_deref().unwrap_or_default();
            format!("RecordError(batchIndex={index}, message='{message}')")
        })
        .collect();
    let message = format!(
        "One or more records have been rejected due to {} record errors in total, and only \
         showing the first three errors at most: [{}]",
        record_errors.len(),
        shown.join(", ")
    );
    Refused {
        message: Some(message),
        record_errors,
        ..Refused::bare(ResponseError::InvalidRecord)
    }
}

/// The same batch with its offset and epoch. Attributes, max timestamp and CRC are only touched if
/// the timestamp or its type is not what the log wants (rows 17, 19, 21; unknown bits go then too).
fn in_place(
    batch: &[u8],
    header: &BatchHeader,
    base_offset: i64,
    walked: &Walked,
    append: &Append<'_>,
) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    put(&mut bytes, field::BASE_OFFSET, &base_offset.to_be_bytes());
    put(
        &mut bytes,
        field::LEADER_EPOCH,
        &append.leader_epoch.to_be_bytes(),
    );
    let (bit, max_timestamp_ms) = if append.settings.log_append_time {
        (attribute::LOG_APPEND_TIME, append.now_ms)
    } else {
        (0, walked.max_timestamp_ms)
    };
    let same_type = header.attributes() & attribute::LOG_APPEND_TIME == bit;
    if !same_type || header.max_timestamp_ms() != max_timestamp_ms {
        const KEPT: i16 =
            attribute::CODEC_MASK | attribute::TRANSACTIONAL | attribute::DELETE_HORIZON;
        let attributes = header.attributes() & KEPT | bit;
        put(&mut bytes, field::ATTRIBUTES, &attributes.to_be_bytes());
        put(
            &mut bytes,
            field::MAX_TIMESTAMP,
            &max_timestamp_ms.to_be_bytes(),
        );
        checksum_in_place(&mut bytes);
    }
    bytes.freeze()
}

/// The records in a new batch under the topic's codec (row 22); offsets are counted anew. `None` for
/// producer fields with which Java's `MemoryRecordsBuilder` writes nothing, though a batch that stays
/// as it is may have them (row 13).
fn rebuild(
    header: &BatchHeader,
    plain: &[u8],
    target: Codec,
    base_offset: i64,
    walked: &Walked,
    append: &Append<'_>,
) -> Option<Bytes> {
    let writable = match header.producer_id() {
        -1 => !header.is_transactional(),
        _ => header.producer_epoch() != -1 && header.base_sequence() >= 0,
    };
    if !writable {
        return None;
    }
    let base_timestamp_ms = walked.first_timestamp_ms;
    let mut out = Vec::with_capacity(plain.len());
    for (index, record) in (0..).zip(records(plain, header.count())) {
        let record = record.ok()?;
        let at_ms = timestamp_ms(header, &record);
        if at_ms < -1 {
            return None; // Java's builder takes no such time
        }
        let delta_ms = at_ms.wrapping_sub(base_timestamp_ms);
        write_record(&mut out, delta_ms, index, record.fields());
    }
    let (bit, max_timestamp_ms) = if append.settings.log_append_time {
        (attribute::LOG_APPEND_TIME, append.now_ms)
    } else {
        (0, walked.max_timestamp_ms)
    };
    let front = Front {
        base_offset,
        leader_epoch: append.leader_epoch,
        attributes: target.attributes() | header.attributes() & attribute::TRANSACTIONAL | bit,
        base_timestamp_ms,
        max_timestamp_ms,
        ..Front::of(header)
    };
    front.with_body(&compress(target, out).ok()?)
}
