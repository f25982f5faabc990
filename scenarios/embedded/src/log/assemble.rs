//! Writing batches that no client wrote: rebuilt ones, markers, what the cleaner leaves.

use batch::{BatchHeader, HEADER_BYTES, attribute, checksum, field, write_record};
use bytes::{BufMut, Bytes, BytesMut};

/// The fields of a header that is to be written.
pub(super) struct Front {
    pub(super) base_offset: i64,
    pub(super) leader_epoch: i32,
    pub(super) attributes: i16,
    pub(super) last_offset_delta: i32,
    pub(super) base_timestamp_ms: i64,
    pub(super) max_timestamp_ms: i64,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
    pub(super) count: i32,
}

impl Front {
    /// All fields of `header`, to be changed.
    pub(super) fn of(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset(),
            leader_epoch: header.leader_epoch(),
            attributes: header.attributes(),
            last_offset_delta: header.last_offset_delta(),
            base_timestamp_ms: header.base_timestamp_ms(),
            max_timestamp_ms: header.max_timestamp_ms(),
            producer_id: header.producer_id(),
            producer_epoch: header.producer_epoch(),
            base_sequence: header.base_sequence(),
            count: header.count(),
        }
    }

    /// The batch; `None` if it outgrows the length field.
    pub(super) fn with_body(&self, body: &[u8]) -> Option<Bytes> {
        let length = i32::try_from(HEADER_BYTES - field::LEADER_EPOCH + body.len()).ok()?;
        let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
        bytes.put_i64(self.base_offset);
        bytes.put_i32(length);
        bytes.put_i32(self.leader_epoch);
        bytes.put_i8(2); // magic
        bytes.put_u32(0); // CRC, below
        bytes.put_i16(self.attributes);
        bytes.put_i32(self.last_offset_delta);
        bytes.put_i64(self.base_timestamp_ms);
        bytes.put_i64(self.max_timestamp_ms);
        bytes.put_i64(self.producer_id);
        bytes.put_i16(self.producer_epoch);
        bytes.put_i32(self.base_sequence);
        bytes.put_i32(self.count);
        bytes.put_slice(body);
        checksum_in_place(&mut bytes);
        Some(bytes.freeze())
    }
}

/// Makes the CRC field right for all bytes behind it.
pub(super) fn checksum_in_place(batch: &mut [u8]) {
    if let Some(crc) = checksum(batch) {
        put(batch, field::CRC, &crc.to_be_bytes());
    }
}

/// Writes `value` at `at`, which is inside the header of a whole batch.
pub(super) fn put(batch: &mut [u8], at: usize, value: &[u8]) {
    if let Some(field) = batch.get_mut(at..at + value.len()) {
        field.copy_from_slice(value);
    }
}

/// Who ended a transaction, and how.
pub(super) struct End {
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) commit: bool,
    pub(super) coordinator_epoch: i32,
}

/// A transaction marker at `base_offset`: one control record, attributes 0x30, no sequence.
/// With `log_append_time` as the topic's timestamp type, its bit is set here too.
pub(super) fn marker(
    end: &End,
    base_offset: i64,
    leader_epoch: i32,
    now_ms: i64,
    log_append_time: bool,
) -> Option<Bytes> {
    let time_bit = if log_append_time {
        attribute::LOG_APPEND_TIME
    } else {
        0
    };
    let mut fields = Vec::with_capacity(14);
    fields.put_u8(4 << 1); // key: version, type
    fields.put_i16(0);
    fields.put_i16(i16::from(end.commit));
    fields.put_u8(6 << 1); // value: version, coordinator epoch
    fields.put_i16(0);
    fields.put_i32(end.coordinator_epoch);
    fields.put_u8(0); // headers
    let mut body = Vec::new();
    write_record(&mut body, 0, 0, &fields);
    let front = Front {
        base_offset,
        leader_epoch,
        attributes: attribute::TRANSACTIONAL | attribute::CONTROL | time_bit,
        last_offset_delta: 0,
        base_timestamp_ms: now_ms,
        max_timestamp_ms: now_ms,
        producer_id: end.producer_id,
        producer_epoch: end.producer_epoch,
        base_sequence: -1,
        count: 1,
    };
    front.with_body(&body)
}
