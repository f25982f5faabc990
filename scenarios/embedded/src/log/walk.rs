//! Reading records as a broker's validation does: strictly where it holds whole records, and past any nonsense in their
//! lengths where it skips keys and values (Java's `DefaultRecord.readFrom` and `readPartiallyFrom`).

use kafka_protocol::error::ResponseError;

/// How a broker reads the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Uncompressed, in place.
    InPlace,
    /// Decompressed, record by record, to be written anew.
    Streamed,
    /// Decompressed, fields only: a record ends where its fields end, whatever its length says.
    Skimmed,
}

/// What the validation of a record looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) timestamp_delta_ms: i64,
    pub(super) offset_delta: i32,
    /// `None` is null.
    pub(super) key_bytes: Option<usize>,
    /// `None` is null.
    pub(super) value_bytes: Option<usize>,
}

/// Why a number cannot be read.
enum Bad {
    /// The bytes end.
    End,
    /// It has too many bytes.
    Long,
}

/// Reads the `count` records of `plain`.
///
/// # Errors
/// INVALID_RECORD (87) for bytes that are no records, UNKNOWN_SERVER_ERROR (-1) for a record length that Java's reader
/// stumbles over.
pub(super) fn read_records(
    mut plain: &[u8],
    count: i32,
    reading: Reading,
) -> impl Iterator<Item = Result<Seen, ResponseError>> {
    let mut left = count;
    std::iter::from_fn(move || {
        if left <= 0 {
            let more = std::mem::take(&mut plain);
            return (!more.is_empty()).then_some(Err(ResponseError::InvalidRecord));
        }
        left -= 1;
        let found = record(&mut plain, reading);
        if found.is_err() {
            (left, plain) = (0, &[]);
        }
        Some(found)
    })
}

fn record(bytes: &mut &[u8], reading: Reading) -> Result<Seen, ResponseError> {
    let length = varint(bytes, 5).map_err(|bad| match bad {
        Bad::End => ResponseError::InvalidRecord,
        Bad::Long => ResponseError::UnknownServerError,
    })?;
    if reading == Reading::Skimmed {
        return fields(bytes).ok_or(ResponseError::InvalidRecord);
    }
    if length < 0 && reading == Reading::Streamed {
        return Err(ResponseError::UnknownServerError); // no buffer has such a size
    }
    let own = usize::try_from(length).ok();
    let own = own.and_then(|length| bytes.split_at_checked(length));
    let (mut own, rest) = own.ok_or(ResponseError::InvalidRecord)?;
    let seen = fields(&mut own).filter(|_| own.is_empty());
    *bytes = rest;
    seen.ok_or(ResponseError::InvalidRecord)
}

/// Everything of a record behind its length.
fn fields(bytes: &mut &[u8]) -> Option<Seen> {
    let (_attributes, rest) = bytes.split_first()?;
    *bytes = rest;
    let timestamp_delta_ms = varint(bytes, 10).ok()?;
    let offset_delta = int(bytes)?;
    let (key_bytes, value_bytes) = (field(bytes)?, field(bytes)?);
    let headers = int(bytes).filter(|count| *count >= 0)?;
    for _ in 0..headers {
        field(bytes)??; // a header has a name
        field(bytes)?;
    }
    Some(Seen {
        timestamp_delta_ms,
        offset_delta,
        key_bytes,
        value_bytes,
    })
}

/// The length of a field, which is skipped.
fn field(bytes: &mut &[u8]) -> Option<Option<usize>> {
    let Ok(length) = usize::try_from(int(bytes)?) else {
        return Some(None);
    };
    *bytes = bytes.get(length..)?;
    Some(Some(length))
}

fn int(bytes: &mut &[u8]) -> Option<i32> {
    let value = varint(bytes, 5).ok()?;
    i32::try_from(value).ok()
}

/// A zigzag number of at most `bytes_max` bytes: 5 for an int (its fifth byte may not go on), 10 for a long.
fn varint(bytes: &mut &[u8], bytes_max: usize) -> Result<i64, Bad> {
    let mut bits = 0_u64;
    for index in 0..bytes_max {
        let (&byte, rest) = bytes.split_first().ok_or(Bad::End)?;
        *bytes = rest;
        bits |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let bits = if bytes_max == 5 {
                bits & 0xffff_ffff
            } else {
                bits
            };
            return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
        }
    }
    Err(Bad::Long)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Reading; 3] = [Reading::InPlace, Reading::Streamed, Reading::Skimmed];

    fn read(plain: &[u8], count: i32, reading: Reading) -> Result<usize, ResponseError> {
        let all: Result<Vec<Seen>, _> = read_records(plain, count, reading).collect();
        all.map(|all| all.len())
    }

    /// Attributes, deltas, a null key, a null value, no headers.
    const FIELDS: [u8; 6] = [0, 0, 0, 1, 1, 0];

    #[test]
    fn a_length_that_lies_is_only_seen_where_whole_records_are_read() {
        let plain = [&[20 << 1][..], &FIELDS].concat();
        assert_eq!(read(&plain, 1, Reading::Skimmed), Ok(1));
        for reading in [Reading::InPlace, Reading::Streamed] {
            let refused = read(&plain, 1, reading);
            assert_eq!(refused, Err(ResponseError::InvalidRecord), "{reading:?}");
        }
    }

    #[test]
    fn a_length_that_is_no_number_is_an_unknown_server_error() {
        for reading in ALL {
            let refused = read(&[0xa5; 40], 1, reading);
            assert_eq!(
                refused,
                Err(ResponseError::UnknownServerError),
                "{reading:?}"
            );
        }
    }

    #[test]
    fn records_too_few_and_too_many() {
        let plain = [&[6 << 1][..], &FIELDS].concat();
        for reading in ALL {
            assert_eq!(read(&plain, 1, reading), Ok(1), "{reading:?}");
            for count in [0, 2] {
                let refused = read(&plain, count, reading);
                assert_eq!(refused, Err(ResponseError::InvalidRecord), "{reading:?}");
            }
        }
    }
}
