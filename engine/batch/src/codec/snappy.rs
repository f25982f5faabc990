//! Snappy as Java's snappy library streams it ("Xerial"): a 16-byte header, then blocks, each
//! behind its length.
//!
//! Clients other than Java write one raw block without any frame; Java reads that too, and so do
//! we.

use std::io;

use bytes::BufMut;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

/// What a framed stream starts with, and what may stand again between two blocks of appended
/// streams.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\x00";
/// Magic, then version and lowest compatible version, both 1.
const STREAM_HEADER: [u8; 16] = *b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01";
/// Plain bytes per block, the Java library's default.
const BLOCK_BYTES: usize = 32 << 10;
/// More than a snappy block can expand to per compressed byte (64 bytes from a 3-byte copy): a
/// larger stated length is damage, found before memory is taken for it.
const RATIO_MAX: usize = 64;

/// `None` if more than `limit` bytes would come out.
pub(super) fn decompress(mut body: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut plain = Vec::new();
    if !body.starts_with(&MAGIC) {
        return Ok(append_block(body, &mut plain, limit)?.then_some(plain));
    }
    while !body.is_empty() {
        if body.starts_with(&MAGIC) {
            body = body
                .get(STREAM_HEADER.len()..)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            continue;
        }
        let (length, rest) = body
            .split_first_chunk()
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let length = usize::try_from(i32::from_be_bytes(*length)).map_err(io::Error::other)?;
        let (block, rest) = rest
            .split_at_checked(length)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if !append_block(block, &mut plain, limit)? {
            return Ok(None);
        }
        body = rest;
    }
    Ok(Some(plain))
}

/// Decompresses one raw block behind `plain`; false if that would exceed `limit`.
fn append_block(block: &[u8], plain: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
    let (start, length) = (plain.len(), decompress_len(block)?);
    if length > limit - start {
        return Ok(false);
    }
    if length > block.len().saturating_mul(RATIO_MAX) {
        return Err(io::Error::other(
            "snappy block states a length that it cannot reach",
        ));
    }
    plain.resize(start + length, 0);
    let written = Decoder::new().decompress(block, plain.get_mut(start..).unwrap_or_default())?;
    plain.truncate(start + written);
    Ok(true)
}

pub(super) fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(STREAM_HEADER.len() + plain.len() / 2);
    out.put_slice(&STREAM_HEADER);
    let mut encoder = Encoder::new();
    let mut block = vec![0; max_compress_len(BLOCK_BYTES.min(plain.len()))];
    for chunk in plain.chunks(BLOCK_BYTES) {
        let length = encoder.compress(chunk, &mut block)?;
        out.put_u32(u32::try_from(length).map_err(io::Error::other)?);
        out.put_slice(block.get(..length).unwrap_or_default());
    }
    Ok(out)
}
