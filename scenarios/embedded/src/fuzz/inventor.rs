//! Valid requests of every API and version, made by the decoders themselves.
//!
//! An [`Inventor`] is the buffer that a decoder reads from, and makes up each number at the moment it is asked for: mostly small, so
//! that it can be a length. What was read is then a valid request. Where text of some length is wanted it is a word that means
//! something to the cluster of [`super::requests()`]: all of them differ in length.

use std::ops::Range;

use batch::{BatchBuilder, Codec, ProducerStamp, stamp};
use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::Decodable;
use kafka_protocol::protocol::buf::ByteBuf;

use super::Random;
use super::requests::frame;
use crate::api::layout;
use crate::api::{offers, readers};

/// Topics: a plain one, a compacted one, one with LogAppendTime.
pub(super) const TOPIC: [&str; 3] = ["t", "comp", "stamped"];
/// A group of the classic protocol, with one member.
pub(super) const GROUP: &str = "gg";
/// A KIP-848 group, whose member is `m`.
pub(super) const MODERN_GROUP: &str = "modern";
/// A transactional id: producer 0, epoch 0, a transaction that is open.
pub(super) const TRANSACTION: &str = "txn";
/// Stands for the classic group's member.
pub(super) const MEMBER: &str = "MEMBERMEMBERMEMBERMEMBERMEMBERMEMBERME";

/// Words that mean something. Several of one length are as likely as each other.
const WORDS: [&str; 29] = [
    TOPIC[0],
    "m",
    "*",
    GROUP,
    TRANSACTION,
    "all",
    TOPIC[1],
    "user",
    "User",
    MODERN_GROUP,
    TOPIC[2],
    MEMBER,
    "range",
    "PLAIN",
    "uniform",
    "consumer",
    "Stable",
    "Empty",
    "gzip",
    "client-id",
    "User:ANONYMOUS",
    "cleanup.policy",
    "compact",
    "retention.ms",
    "SCRAM-SHA-256",
    "__consumer_offsets",
    "\0user\0secret",
    "n,,n=user,r=nonce",
    "1048588",
];

/// What `kafka-protocol` does not read (see `api/groups/by_id.rs`), with the plain topic by its id.
const BY_ID: [(ApiKey, &[u8]); 2] = [
    (
        ApiKey::OffsetCommit,
        b"\x04off\xff\xff\xff\xff\x01\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\x02\0\0\0\0\
          \0\0\0\0\0\0\0\x01\xff\xff\xff\xff\x03hi\0\0\0",
    ),
    (
        ApiKey::OffsetFetch,
        b"\x02\x04off\0\xff\xff\xff\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\x02\0\0\0\0\0\0\x01\0",
    ),
];

/// Tries for one request before it is given up.
const TRIES: usize = 20_000;
/// A request in the making that grows beyond is given up.
const REQUEST_BYTES_MAX: usize = 1_500;
/// Different seeds of each API and version.
const VARIANTS: usize = 2;

/// Batches with one record: plain, of the open transaction, idempotent, compressed, a control batch.
pub(super) fn produced() -> [Bytes; 5] {
    let producer = |producer_id, transactional| ProducerStamp {
        producer_id,
        producer_epoch: if producer_id < 0 { -1 } else { 0 },
        base_sequence: if producer_id < 0 { -1 } else { 0 },
        transactional,
    };
    let one = |codec, producer| {
        let mut builder = BatchBuilder::new(codec);
        let pushed = builder.push(1_700_000_000_000, Some(b"k"), Some(b"v"), &[]);
        debug_assert!(pushed.is_ok());
        let mut bytes = BytesMut::new();
        if let Ok(batch) = builder.build() {
            bytes.extend_from_slice(stamp(&batch.header, producer).as_bytes());
            bytes.extend_from_slice(&batch.body);
        }
        bytes
    };
    let mut control = one(Codec::None, producer(0, true));
    control[batch::field::ATTRIBUTES + 1] |= 0x20;
    super::batches::repair(&mut control);
    [
        one(Codec::None, ProducerStamp::NONE),
        one(Codec::None, producer(0, true)),
        one(Codec::None, producer(5, false)),
        one(Codec::Zstd, ProducerStamp::NONE),
        control,
    ]
    .map(BytesMut::freeze)
}

/// A valid stream of each API and version alone, and longer ones of all kinds.
pub(super) fn seeds(random: &mut Random) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (api, min, max, reads) in readers() {
        for version in (min..=max).filter(|version| offers(api, *version)) {
            for _ in 0..VARIANTS {
                seeds.extend(invent(api, version, reads, random));
            }
        }
    }
    seeds.extend(BY_ID.map(|(api, body)| frame(api as i16, 10, body)));
    for _ in 0..seeds.len() / 2 {
        let parts: Vec<_> = (0..2 + random.below(4))
            .map(|_| random.of(&seeds).clone())
            .collect();
        seeds.push(parts.concat());
    }
    seeds
}

/// A request that `reads` takes. `None` if none was found.
fn invent(
    api: ApiKey,
    version: i16,
    reads: fn(&mut Inventor<'_>, i16) -> bool,
    random: &mut Random,
) -> Option<Vec<u8>> {
    let batches = produced();
    for _ in 0..TRIES {
        let mut inventor = Inventor {
            random,
            batches: &batches,
            written: BytesMut::new(),
        };
        if reads(&mut inventor, layout(api, version)) {
            return Some(frame(api as i16, version, &inventor.written));
        }
    }
    None
}

/// A buffer that makes up what is read from it.
pub(crate) struct Inventor<'a> {
    random: &'a mut Random,
    batches: &'a [Bytes],
    written: BytesMut,
}

impl Inventor<'_> {
    /// Whether a request of this type can be read.
    pub(crate) fn reads<T: Decodable>(&mut self, version: i16) -> bool {
        T::decode(self, version).is_ok() && self.written.len() <= REQUEST_BYTES_MAX
    }

    /// The length of something that means something.
    fn length(&mut self) -> usize {
        match self.random.below(4) {
            0 => self.random.of(self.batches).len(),
            _ => self.random.of(&WORDS).len(),
        }
    }

    /// Bytes of this length, with a meaning if there are such.
    fn fill(&mut self, length: usize) -> Bytes {
        let words = WORDS.iter().map(|word| Bytes::from_static(word.as_bytes()));
        let fitting: Vec<Bytes> = words
            .chain(self.batches.iter().cloned())
            .filter(|known| known.len() == length)
            .collect();
        let bytes = match fitting.is_empty() {
            true => Bytes::from(vec![b'x'; length]),
            false => self.random.of(&fitting).clone(),
        };
        self.written.put_slice(&bytes);
        bytes
    }

    fn check(&self) -> Result<(), TryGetError> {
        match self.written.len() > REQUEST_BYTES_MAX {
            false => Ok(()),
            true => Err(TryGetError {
                requested: 1,
                available: 0,
            }),
        }
    }
}

/// A number is one of these, or, where it says so, a length.
macro_rules! made_up {
    ($($get:ident $put:ident $number:ty: $length_in:literal of [$($choice:expr),*];)*) => {$(
        fn $get(&mut self) -> Result<$number, TryGetError> {
            self.check()?;
            let number = match $length_in > 0 && self.random.one_in($length_in.max(1)) {
                true => <$number>::try_from(self.length()).unwrap_or(1),
                false => *self.random.of(&[$($choice),*]),
            };
            self.written.$put(number);
            Ok(number)
        }
    )*};
}

impl Buf for Inventor<'_> {
    fn remaining(&self) -> usize {
        usize::MAX
    }

    fn chunk(&self) -> &[u8] {
        &[]
    }

    fn advance(&mut self, _: usize) {}

    /// The length of a compact field is one more; never the first byte of a longer number.
    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        self.check()?;
        let byte = match self.random.below(8) {
            0 | 1 => u8::try_from(self.length() + 1).unwrap_or(2),
            2..=4 => *self.random.of(&[2, 2, 2, 3]),
            _ => *self.random.of(&[0, 0, 0, 1]),
        };
        let byte = byte & 0x7f;
        self.written.put_u8(byte);
        Ok(byte)
    }

    made_up! {
        try_get_i8 put_i8 i8: 0 of [0, 1, 2, 3, 4, -1];
        try_get_i16 put_i16 i16: 2 of [0, 0, 1, 2, 3, -1];
        try_get_u16 put_u16 u16: 0 of [0, 1, 9092];
        try_get_u32 put_u32 u32: 0 of [0, 1, 9092];
        try_get_i32 put_i32 i32: 8 of [0, 0, 0, 1, 1, 1, 1, 2, -1, 500, 30_000];
        try_get_i64 put_i64 i64: 0 of [0, 0, 1, 2, 5, -1, -2, -3, 1_700_000_000_000, i64::MAX];
    }

    fn try_get_f64(&mut self) -> Result<f64, TryGetError> {
        self.check()?;
        let number = *self.random.of(&[0.0, 1024.0, -1.0]);
        self.written.put_f64(number);
        Ok(number)
    }

    /// An id: of a topic (docs of `requests.rs`), or none.
    fn try_copy_to_slice(&mut self, into: &mut [u8]) -> Result<(), TryGetError> {
        self.check()?;
        into.fill(0);
        if let Some(last) = into.last_mut() {
            *last = *self.random.of(&[0, 1, 2, 3, 4, 5, 5, 5]);
        }
        self.written.put_slice(into);
        Ok(())
    }
}

impl ByteBuf for Inventor<'_> {
    fn peek_bytes(&mut self, _: Range<usize>) -> Bytes {
        Bytes::new()
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        match size > REQUEST_BYTES_MAX {
            true => Bytes::new(),
            false => self.fill(size),
        }
    }
}
