//! The four compression codecs, framed as Kafka's Java client frames them.
//!
//! Writing follows the Java client (`org.apache.kafka.common.compress`), so that every client reads
//! the result; reading takes what any client writes: raw snappy without a frame, lz4 with linked
//! blocks or checksums, several gzip members in a row.

mod snappy;

use std::cell::RefCell;
use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::Compression;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use zstd::bulk::Compressor;

use crate::header::attribute;

/// What one batch may decompress to when it is re-encoded, in bytes: 128 times the default
/// `max.message.bytes`. The records are held in memory with an index of at most 5 times their size,
/// so this bounds a decompression bomb.
pub const DECOMPRESSED_BYTES_MAX: usize = 128 << 20;

/// First guess of how much larger records are than their compressed form.
const RATIO_GUESS: usize = 4;

/// Why records could not be decompressed or compressed.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Codec bits that no Kafka version writes.
    #[error("codec {id} is unknown; Kafka has 0 (none) to 4 (zstd)")]
    Unknown {
        /// The three lowest bits of the attributes.
        id: u8,
    },
    /// More data than allowed came out.
    #[error(
        "{codec} data decompresses to more than {limit} bytes; the batch is too large to re-encode"
    )]
    TooLarge {
        /// Codec of the batch.
        codec: Codec,
        /// The bound that was given, in bytes.
        limit: usize,
    },
    /// Damaged data, or a feature of the codec that Kafka does not use.
    #[error("cannot decompress {codec} data; check the source log for corruption")]
    Damaged {
        /// Codec of the batch.
        codec: Codec,
        /// What the codec's library says.
        #[source]
        source: io::Error,
    },
    /// The compressor failed: out of memory, in practice.
    #[error("cannot compress to {codec}")]
    Compress {
        /// Codec to write.
        codec: Codec,
        /// What the codec's library says.
        #[source]
        source: io::Error,
    },
}

/// Compression of a batch's records, as Kafka numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    /// Not compressed.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in the frame of Java's snappy library.
    Snappy = 2,
    /// LZ4 frame format.
    Lz4 = 3,
    /// Zstandard, since Kafka 2.1 (KIP-110).
    Zstd = 4,
}

impl Codec {
    /// Every codec, by number.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec in a batch's attributes; their other bits are ignored.
    ///
    /// # Errors
    /// [`CodecError::Unknown`] for 5 to 7.
    pub fn from_attributes(attributes: i16) -> Result<Self, CodecError> {
        match attributes & attribute::CODEC_MASK {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            id => Err(CodecError::Unknown {
                id: u8::try_from(id).unwrap_or_default(),
            }),
        }
    }

    /// The codec's attribute bits.
    pub fn attributes(self) -> i16 {
        self as i16
    }

    /// Kafka's name, as in `compression.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl std::fmt::Display for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The records of a batch, decompressed; without a codec the same bytes again, not copied.
///
/// Memory stays within twice `limit` plus the decoder's own window (at most 128 MiB, zstd's default
/// bound).
///
/// # Errors
/// [`CodecError::TooLarge`] above `limit` bytes, [`CodecError::Damaged`] for anything that is not
/// the codec's data.
pub fn decompress(codec: Codec, body: &Bytes, limit: usize) -> Result<Bytes, CodecError> {
    let damaged = |source| CodecError::Damaged { codec, source };
    let plain = match codec {
        Codec::None if body.len() <= limit => return Ok(body.clone()),
        Codec::None => None,
        Codec::Gzip => read_at_most(flate2::bufread::MultiGzDecoder::new(&body[..]), body, limit)
            .map_err(damaged)?,
        Codec::Snappy => snappy::decompress(body, limit).map_err(damaged)?,
        Codec::Lz4 => read_at_most(FrameDecoder::new(&body[..]), body, limit).map_err(damaged)?,
        Codec::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(&body[..]).map_err(damaged)?;
            read_at_most(decoder, body, limit).map_err(damaged)?
        }
    };
    plain
        .map(Bytes::from)
        .ok_or(CodecError::TooLarge { codec, limit })
}

/// Compresses the records of one batch, at the level that the Java client uses by default.
///
/// # Errors
/// [`CodecError::Compress`] if the compressor fails.
pub fn compress(codec: Codec, plain: Vec<u8>) -> Result<Bytes, CodecError> {
    let compressed = match codec {
        Codec::None => Ok(plain),
        Codec::Gzip => gzip(&plain),
        Codec::Snappy => snappy::compress(&plain),
        Codec::Lz4 => lz4(&plain),
        Codec::Zstd => zstd(&plain),
    };
    compressed
        .map(Bytes::from)
        .map_err(|source| CodecError::Compress { codec, source })
}

/// Reads to the end; `None` if that is more than `limit` bytes.
fn read_at_most(reader: impl Read, compressed: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::with_capacity(compressed.len().saturating_mul(RATIO_GUESS).min(limit));
    reader
        .take((limit as u64).saturating_add(1))
        .read_to_end(&mut plain)?;
    Ok((plain.len() <= limit).then_some(plain))
}

fn gzip(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::default());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// As Java's `Lz4BlockOutputStream`: independent 64 KiB blocks, no checksums, no content size. Its
/// reader refuses linked blocks.
fn lz4(plain: &[u8]) -> io::Result<Vec<u8>> {
    let frame = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(frame, Vec::with_capacity(plain.len() / 2));
    encoder.write_all(plain)?;
    Ok(encoder.finish()?)
}

fn zstd(plain: &[u8]) -> io::Result<Vec<u8>> {
    thread_local! {
        /// Kept by each re-encoding thread: a context takes more than 1 MB, a fifth of the time for
        /// 16 KB of records.
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?),
        };
        compressor.compress(plain)
    })
}
