//! Writing a batch: records with dense offsets, a header that brokers accept.

use bytes::BufMut;

use crate::codec::{Codec, CodecError, compress};
use crate::crc::crc32c_of_batch;
use crate::header::{BatchHeader, HEADER_BYTES, LOG_OVERHEAD, field};
use crate::raw::RawBatch;
use crate::record::RecordHeader;
use crate::varint::{varlong_bytes, write_varlong};

/// Largest batch that the 32-bit length field can state, in bytes before compression.
const PLAIN_BYTES_MAX: usize = i32::MAX as usize - HEADER_BYTES;

/// Why no batch could be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Brokers refuse an empty batch (row 9).
    #[error("a batch needs at least one record")]
    Empty,
    /// The length field has 32 bits.
    #[error("a batch cannot hold {bytes} bytes; split it")]
    TooLarge {
        /// What its records would take, in bytes.
        bytes: usize,
    },
    /// The codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Builds one CreateTime batch, without a producer: [`crate::stamp`] it before it is sent.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    codec: Codec,
    plain: Vec<u8>,
    count: i32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// An empty batch; its records will be compressed with `codec`.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            plain: Vec::new(),
            count: 0,
            base_timestamp_ms: -1,
            max_timestamp_ms: -1,
        }
    }

    /// Takes memory for `bytes` bytes of records at once.
    pub(crate) fn with_capacity(codec: Codec, bytes: usize) -> Self {
        Self {
            plain: Vec::with_capacity(bytes),
            ..Self::new(codec)
        }
    }

    /// Number of records so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Size of the batch so far, in bytes with its header, before compression.
    pub fn plain_bytes(&self) -> usize {
        HEADER_BYTES + self.plain.len()
    }

    /// Adds a record at the next offset. `timestamp_ms` is -1 for none; headers keep order and
    /// duplicates.
    ///
    /// # Errors
    /// [`BuildError::TooLarge`] if the batch would outgrow its length field; the builder is
    /// unchanged then.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[RecordHeader<'_>],
    ) -> Result<(), BuildError> {
        let header_bytes = |h: &RecordHeader<'_>| field_bytes(Some(h.name)) + field_bytes(h.value);
        let header_count = headers.len() as i64;
        let fields_bytes = field_bytes(key)
            + field_bytes(value)
            + varlong_bytes(header_count)
            + headers.iter().map(header_bytes).sum::<usize>();
        self.start_record(0, timestamp_ms, fields_bytes)?;
        write_field(&mut self.plain, key);
        write_field(&mut self.plain, value);
        write_varlong(&mut self.plain, header_count);
        for header in headers {
            write_field(&mut self.plain, Some(header.name));
            write_field(&mut self.plain, header.value);
        }
        Ok(())
    }

    /// Adds a record whose key, value and headers are encoded already, as [`crate::RecordView`]
    /// holds them.
    pub(crate) fn push_fields(
        &mut self,
        attributes: i8,
        timestamp_ms: i64,
        fields: &[u8],
    ) -> Result<(), BuildError> {
        self.start_record(attributes, timestamp_ms, fields.len())?;
        self.plain.put_slice(fields);
        Ok(())
    }

    /// Writes the front of a record, up to the offset delta, and counts it.
    fn start_record(
        &mut self,
        attributes: i8,
        timestamp_ms: i64,
        fields_bytes: usize,
    ) -> Result<(), BuildError> {
        let base = if self.count == 0 {
            timestamp_ms
        } else {
            self.base_timestamp_ms
        };
        let (timestamp_delta, offset_delta) =
            (timestamp_ms.wrapping_sub(base), i64::from(self.count));
        let length =
            1 + varlong_bytes(timestamp_delta) + varlong_bytes(offset_delta) + fields_bytes;
        let bytes = self
            .plain
            .len()
            .saturating_add(length)
            .saturating_add(varlong_bytes(length as i64));
        if bytes > PLAIN_BYTES_MAX {
            return Err(BuildError::TooLarge { bytes });
        }
        write_varlong(&mut self.plain, length as i64);
        self.plain.put_i8(attributes);
        write_varlong(&mut self.plain, timestamp_delta);
        write_varlong(&mut self.plain, offset_delta);
        self.base_timestamp_ms = base;
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        self.count += 1; // a record takes 7 bytes or more, so the size bound keeps this in range
        Ok(())
    }

    /// The finished batch: base offset 0, leader epoch -1, no producer.
    ///
    /// # Errors
    /// [`BuildError::Empty`] without records, [`BuildError::TooLarge`] or [`BuildError::Codec`]
    /// from the codec.
    pub fn build(self) -> Result<RawBatch, BuildError> {
        if self.count == 0 {
            return Err(BuildError::Empty);
        }
        let body = compress(self.codec, self.plain)?;
        let bytes = HEADER_BYTES + body.len();
        let length =
            i32::try_from(bytes - LOG_OVERHEAD).map_err(|_| BuildError::TooLarge { bytes })?;
        let mut header = [0; HEADER_BYTES];
        let mut out = header.as_mut_slice();
        out.put_i64(0); // base offset
        out.put_i32(length);
        out.put_i32(-1); // leader epoch
        out.put_i8(2); // magic
        out.put_u32(0); // CRC, below
        out.put_i16(self.codec.attributes());
        out.put_i32(self.count - 1);
        out.put_i64(self.base_timestamp_ms);
        out.put_i64(self.max_timestamp_ms);
        out.put_i64(-1); // producer id, epoch and sequence
        out.put_i16(-1);
        out.put_i32(-1);
        out.put_i32(self.count);
        let crc = crc32c_of_batch(&header, &body);
        header[field::CRC..][..4].copy_from_slice(&crc.to_be_bytes());
        Ok(RawBatch {
            header: BatchHeader::from_bytes(header),
            body,
        })
    }
}

fn field_bytes(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varlong_bytes(bytes.len() as i64) + bytes.len())
}

fn write_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    write_varlong(out, field.map_or(-1, |bytes| bytes.len() as i64));
    out.put_slice(field.unwrap_or_default());
}
