//! Zigzag varints, as in Kafka's `ByteUtils` and Protocol Buffers. Readers take from the front of a
//! slice.

use bytes::BufMut;

/// Reads a 32-bit varint; `None` if the bytes end early or the value does not fit.
pub(crate) fn read_varint(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(read_varlong(bytes)?).ok()
}

/// Reads a 64-bit varint; `None` if the bytes end early or the value does not fit.
pub(crate) fn read_varlong(bytes: &mut &[u8]) -> Option<i64> {
    let mut raw = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && byte > 1 {
            return None; // the tenth byte holds one bit
        }
        raw |= bits << shift;
        if byte & 0x80 == 0 {
            return Some((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed());
        }
    }
    None
}

/// Writes a varint; 32-bit values come out the same as from Kafka's `writeVarint`.
pub(crate) fn write_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while let high @ 1.. = raw >> 7 {
        out.put_u8((raw & 0x7f) as u8 | 0x80);
        raw = high;
    }
    out.put_u8((raw & 0x7f) as u8);
}

/// Bytes that [`write_varlong`] takes for `value`.
pub(crate) fn varlong_bytes(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_varint_wider_than_its_type_is_refused() {
        assert_eq!(read_varlong(&mut [0xff; 9].as_slice()), None, "cut off");
        assert_eq!(
            read_varlong(&mut [[0xff; 9].as_slice(), &[0x02]].concat().as_slice()),
            None,
            "bit 64"
        );
        assert_eq!(
            read_varlong(&mut [[0xff; 9].as_slice(), &[0x01]].concat().as_slice()),
            Some(i64::MIN)
        );
        let mut wide = Vec::new();
        write_varlong(&mut wide, i64::from(i32::MAX) + 1);
        assert_eq!(read_varint(&mut wide.as_slice()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            value in prop_oneof![any::<i64>(), -300..300i64, any::<i32>().prop_map(i64::from)],
        ) {
            let mut bytes = Vec::new();
            write_varlong(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varlong_bytes(value));
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read_varlong(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
            if let Ok(value) = i32::try_from(value) {
                prop_assert_eq!(read_varint(&mut bytes.as_slice()), Some(value));
            }
        }
    }
}
