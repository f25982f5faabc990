//! A buffer that makes a decoder fail on lengths that the message cannot hold.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::ByteBuf;

/// Bytes of the longest unsigned variable-length integer of 32 bits.
const VARINT_BYTES_MAX: u32 = 5;

/// What a 32-bit number reads as when the rest of the message is shorter than it says. A plain field takes it like any other
/// number; an array's or a byte field's length must be -1 or more, so the decoder refuses it. That way lengths are found
/// without knowing the message's layout; the result of this decoding is thrown away.
const REFUSED: i32 = -2;

/// Wraps a message for a first decoding, whose only result is whether all lengths are possible.
///
/// Lengths come as 16-bit numbers (small by themselves), 32-bit numbers (see [`REFUSED`]) or variable-length integers, whose
/// bytes are read one by one. Nothing else but a boolean is read so; one that looks like an unfinished length is refused.
pub(crate) struct Guard {
    bytes: Bytes,
    /// The variable-length integer that is being read: its value so far and its bytes.
    pending: Option<(u64, u32)>,
    failed: Option<&'static str>,
}

impl Guard {
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            pending: None,
            failed: None,
        }
    }

    /// What the decoder was not told because it could not be.
    pub(crate) fn finish(self) -> Result<(), &'static str> {
        match (self.failed, self.pending) {
            (Some(reason), _) => Err(reason),
            (None, Some(_)) => Err("unfinished variable-length integer"),
            (None, None) => Ok(()),
        }
    }

    fn fail(&mut self, reason: &'static str) -> TryGetError {
        self.failed.get_or_insert(reason);
        self.bytes.clear(); // whatever is read next fails as well
        TryGetError {
            requested: 1,
            available: 0,
        }
    }

    fn byte(&mut self, byte: u8) -> Result<u8, TryGetError> {
        let (value, count) = self.pending.take().unwrap_or((0, 0));
        let value = value | u64::from(byte & 0x7f) << (7 * count);
        if byte & 0x80 == 0 {
            // Lengths are stored plus one, so that 0 can mean null.
            return match value > self.bytes.remaining() as u64 + 1 {
                true => Err(self.fail("a length beyond the end of the message")),
                false => Ok(byte),
            };
        }
        if count + 1 == VARINT_BYTES_MAX {
            return Err(self.fail("a variable-length integer of more than five bytes"));
        }
        self.pending = Some((value, count + 1));
        Ok(byte)
    }

    /// Anything but a single byte ends what looked like a variable-length integer.
    fn check(&mut self) -> Result<(), TryGetError> {
        match self.pending {
            Some(_) => Err(self.fail("unfinished variable-length integer")),
            None => Ok(()),
        }
    }
}

/// Reads a fixed-size number, unless a variable-length integer is unfinished.
macro_rules! whole {
    ($($get:ident: $number:ty),* $(,)?) => {$(
        fn $get(&mut self) -> Result<$number, TryGetError> {
            self.check()?;
            self.bytes.$get()
        }
    )*};
}

impl Buf for Guard {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.byte(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        self.check()?;
        let number = self.bytes.try_get_i32()?;
        match usize::try_from(number) {
            Ok(length) if length > self.bytes.remaining() => Ok(REFUSED),
            _ => Ok(number),
        }
    }

    whole! {
        try_get_i8: i8, try_get_i16: i16, try_get_u16: u16, try_get_u32: u32,
        try_get_i64: i64, try_get_u64: u64, try_get_f64: f64,
    }
}

impl ByteBuf for Guard {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        if self.check().is_err() {
            return Bytes::new();
        }
        self.bytes.get_bytes(size)
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::messages::{
        FetchRequest, MetadataRequest, OffsetFetchRequest, ProduceRequest, fetch_request,
        produce_request,
    };
    use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};
    use proptest::prelude::*;

    use super::*;
    use crate::decode;

    fn encoded(message: &impl Encodable, version: i16) -> Bytes {
        let mut bytes = BytesMut::new();
        message.encode(&mut bytes, version).unwrap();
        bytes.freeze()
    }

    fn reads<T: Decodable>(bytes: &'static [u8], version: i16) -> bool {
        decode::<T>(&mut Bytes::from_static(bytes), version).is_ok()
    }

    #[test]
    fn numbers_larger_than_the_message_are_no_lengths() {
        let request = FetchRequest::default()
            .with_max_wait_ms(i32::MAX)
            .with_max_bytes(i32::MAX)
            .with_topics(vec![
                fetch_request::FetchTopic::default()
                    .with_topic(StrBytes::from_static_str("t").into()),
            ]);
        let produce = ProduceRequest::default()
            .with_timeout_ms(30_000)
            .with_topic_data(vec![
                produce_request::TopicProduceData::default().with_partition_data(vec![
                    produce_request::PartitionProduceData::default()
                        .with_records(Some(vec![7; 300].into())),
                ]),
            ]);
        for version in [4, 11, 12] {
            let mut bytes = encoded(&request, version);
            let decoded: FetchRequest = decode(&mut bytes, version).unwrap();
            assert_eq!(
                (decoded.max_wait_ms, decoded.max_bytes),
                (i32::MAX, i32::MAX)
            );
            assert!(bytes.is_empty());
        }
        for version in [3, 9] {
            let decoded: ProduceRequest = decode(&mut encoded(&produce, version), version).unwrap();
            assert_eq!(decoded, produce);
        }
    }

    #[test]
    fn a_length_beyond_the_end_takes_no_memory() {
        // Metadata v1: an array of 2^31 - 1 topics; v9: the same as variable-length integer.
        assert!(!reads::<MetadataRequest>(b"\x7f\xff\xff\xff\0\x01t", 1));
        assert!(!reads::<MetadataRequest>(
            b"\xff\xff\xff\xff\x07\x02t\0\0\0\0\0",
            9
        ));
        assert!(!reads::<MetadataRequest>(
            b"\xff\xff\xff\xff\xff\x07\x02t\0\0\0\0\0",
            9
        ));
        // null and -2
        assert!(reads::<MetadataRequest>(b"\xff\xff\xff\xff", 1));
        assert!(!reads::<MetadataRequest>(b"\xff\xff\xff\xfe", 1));
        // Nested: group "g", one topic "t" with 16 M partitions.
        assert!(!reads::<OffsetFetchRequest>(
            b"\0\x01g\0\0\0\x01\0\x01t\x01\0\0\0\0\0\0\0",
            1
        ));
    }

    #[test]
    fn a_boolean_cannot_hide_a_length() {
        // OffsetFetch v7 ends with a boolean, then its tagged fields: 0x80 reads as true, and as the beginning of a length.
        assert!(reads::<OffsetFetchRequest>(b"\x02g\0\x01\0", 7));
        assert!(!reads::<OffsetFetchRequest>(
            b"\x02g\0\x80\xff\xff\xff\xff\x07",
            7
        ));
    }

    proptest! {
        /// What encodes, decodes to the same; what is cut off is an error; what is random never panics.
        #[test]
        fn whole_messages_pass(topics in prop::collection::vec("[a-z]{0,9}", 0..9), cut in 1_usize..9, version in 0_i16..=13) {
            let topics = topics.into_iter().map(|name| {
                kafka_protocol::messages::metadata_request::MetadataRequestTopic::default().with_name(Some(StrBytes::from_string(name).into()))
            });
            let request = MetadataRequest::default().with_topics(Some(topics.collect())).with_allow_auto_topic_creation(true);
            let bytes = encoded(&request, version);
            let decoded: MetadataRequest = decode(&mut bytes.clone(), version).unwrap();
            prop_assert_eq!(&decoded, &request);
            let shorter = bytes.slice(..bytes.len().saturating_sub(cut));
            prop_assert!(decode::<MetadataRequest>(&mut shorter.clone(), version).is_err());
        }

        #[test]
        fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), version in 4_i16..=12) {
            let bytes = Bytes::from(bytes);
            let mut rest = bytes.clone();
            if decode::<FetchRequest>(&mut rest, version).is_ok() {
                prop_assert!(rest.len() < bytes.len());
            }
        }
    }
}
