//! CRC-32C of a batch, and how it changes when only the header does (`docs/spec/batches.md` 2).
//!
//! CRCs are linear: for two batches that differ only in the bytes 21..57, the difference of their
//! CRCs is the CRC of the difference, moved over the bytes that follow. So a patched header gets
//! its CRC from the old one, the payload is never read, and damage on the way is still found by
//! whoever reads the copy.

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

use crate::header::{BatchHeader, HEADER_BYTES, field};

/// CRC-32C's polynomial, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The polynomial 1 in the same notation.
const ONE: u32 = 1 << 31;
/// What a CRC is multiplied by when bytes follow, by the digits of their number in base 256: entry
/// `[k][d]` is x^(8 * d * 256^k) mod P. Four digits cover the 32-bit length field.
const POWERS: [[u32; 256]; 4] = powers();

/// CRC of a batch by reading all of it.
pub(crate) fn crc32c_of_batch(header: &[u8; HEADER_BYTES], body: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&header[field::ATTRIBUTES..]);
    digest.update(body);
    u32::try_from(digest.finalize()).unwrap_or_default() // a 32-bit algorithm yields 32 bits
}

/// CRC that the bytes of a whole batch ought to state, by reading all of them; `None` if there are
/// fewer than a header.
pub fn checksum(batch: &[u8]) -> Option<u32> {
    let (header, body) = batch.split_first_chunk()?;
    Some(crc32c_of_batch(header, body))
}

/// CRC of the batch that `old` belongs to, after its bytes 21..57 became those of `new`.
pub(crate) fn crc_after_patch(old: &BatchHeader, new: &[u8; HEADER_BYTES]) -> u32 {
    const PATCHED: std::ops::Range<usize> = field::ATTRIBUTES..field::COUNT;
    // start value and final xor cancel out, which leaves the plain CRC of the difference
    let difference = crc32_iscsi(&old.as_bytes()[PATCHED]) ^ crc32_iscsi(&new[PATCHED]);
    old.crc() ^ followed_by(difference, old.total_bytes() - field::COUNT)
}

/// The contribution of `crc` once `bytes` more bytes follow: `crc * x^(8 * bytes) mod P`. At most
/// four products, and three below 16 MiB.
fn followed_by(crc: u32, bytes: usize) -> u32 {
    let digits = bytes
        .to_le_bytes()
        .into_iter()
        .zip(&POWERS)
        .filter(|(digit, _)| *digit != 0);
    digits.fold(crc, |crc, (digit, powers)| {
        multiply(powers[usize::from(digit)], crc)
    })
}

/// Product of two polynomials over GF(2), mod P. Without branches: the bits are random.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let (mut product, mut bit) = (0, 32);
    while bit > 0 {
        bit -= 1;
        product ^= b & 0u32.wrapping_sub(a >> bit & 1);
        b = (b >> 1) ^ (POLYNOMIAL & 0u32.wrapping_sub(b & 1));
    }
    product
}

const fn powers() -> [[u32; 256]; 4] {
    let mut powers = [[ONE; 256]; 4];
    let mut step = ONE >> 8; // x^8: one byte
    let mut k = 0;
    while k < powers.len() {
        let mut digit = 1;
        while digit < powers[k].len() {
            powers[k][digit] = multiply(powers[k][digit - 1], step);
            digit += 1;
        }
        step = multiply(powers[k][255], step);
        k += 1;
    }
    powers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn following_bytes_move_a_crc_as_zeros_do() {
        for bytes in [
            0,
            1,
            2,
            3,
            7,
            61,
            255,
            4_096,
            65_537,
            1 << 20,
            (1 << 21) + 13,
        ] {
            let (zeros, ones) = (vec![0; bytes + 1], [&[1u8][..], &vec![0; bytes]].concat());
            let difference = crc32_iscsi(&[0]) ^ crc32_iscsi(&[1]);
            assert_eq!(
                followed_by(difference, bytes),
                crc32_iscsi(&zeros) ^ crc32_iscsi(&ones),
                "{bytes} bytes"
            );
        }
    }
}
