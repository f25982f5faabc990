//! Kafka's protocol types as MirrorMaker 2's own records use them (`docs/spec/mm2.md` 3.1).

/// Longest STRING, in bytes of UTF-8: its length is an INT16.
const STRING_BYTES_MAX: usize = 32_767;
/// Version that is written. Readers take any version from 0 on as this one (`docs/spec/mm2.md` 3.4).
const VERSION: i16 = 0;

/// Why a key or a value is not one of MirrorMaker 2's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The buffer ends inside a field.
    #[error("{field} needs {needed} bytes, {left} are left")]
    Short {
        /// The field, in MirrorMaker 2's own words.
        field: &'static str,
        /// Bytes that the field needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// A STRING has a negative length; it can not be null.
    #[error("{field} has the negative length {length}")]
    NegativeLength {
        /// The field.
        field: &'static str,
        /// The length that was read.
        length: i16,
    },
    /// A STRING is not UTF-8.
    #[error("{field} is not UTF-8")]
    NotUtf8 {
        /// The field.
        field: &'static str,
    },
    /// A STRING to be written is longer than its length field can say.
    #[error("{field} has {bytes} bytes, 32767 are the limit")]
    TooLong {
        /// The field.
        field: &'static str,
        /// Bytes of UTF-8.
        bytes: usize,
    },
    /// The version is negative.
    #[error("version {0} is not supported")]
    Version(i16),
}

/// Reads fields one after the other; what follows the last one is ignored, as Kafka does.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn version(&mut self) -> Result<(), SchemaError> {
        match i16::from_be_bytes(self.array("version")?) {
            version if version < VERSION => Err(SchemaError::Version(version)),
            _ => Ok(()),
        }
    }

    pub(super) fn int32(&mut self, field: &'static str) -> Result<i32, SchemaError> {
        Ok(i32::from_be_bytes(self.array(field)?))
    }

    pub(super) fn int64(&mut self, field: &'static str) -> Result<i64, SchemaError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    pub(super) fn string(&mut self, field: &'static str) -> Result<String, SchemaError> {
        let length = i16::from_be_bytes(self.array(field)?);
        let needed =
            usize::try_from(length).map_err(|_| SchemaError::NegativeLength { field, length })?;
        let short = SchemaError::Short {
            field,
            needed,
            left: self.0.len(),
        };
        let (text, rest) = self.0.split_at_checked(needed).ok_or(short)?;
        self.0 = rest;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(SchemaError::NotUtf8 { field }),
        }
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SchemaError> {
        let short = SchemaError::Short {
            field,
            needed: N,
            left: self.0.len(),
        };
        let (bytes, rest) = self.0.split_first_chunk().ok_or(short)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

pub(super) fn put_version(out: &mut Vec<u8>) {
    out.extend(VERSION.to_be_bytes());
}

pub(super) fn put_string(
    out: &mut Vec<u8>,
    field: &'static str,
    text: &str,
) -> Result<(), SchemaError> {
    let too_long = SchemaError::TooLong {
        field,
        bytes: text.len(),
    };
    if text.len() > STRING_BYTES_MAX {
        return Err(too_long);
    }
    out.extend(
        i16::try_from(text.len())
            .map_err(|_| too_long)?
            .to_be_bytes(),
    );
    out.extend(text.as_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_string_at_the_limit_is_written_and_one_above_is_refused() {
        let mut out = Vec::new();
        put_string(&mut out, "topic", &"x".repeat(STRING_BYTES_MAX)).expect("at the limit");
        assert_eq!(
            Reader::new(&out).string("topic").map(|s| s.len()),
            Ok(STRING_BYTES_MAX)
        );
        let error = put_string(&mut out, "topic", &"x".repeat(STRING_BYTES_MAX + 1));
        assert_eq!(
            error,
            Err(SchemaError::TooLong {
                field: "topic",
                bytes: 32_768
            })
        );
    }

    #[test]
    fn short_negative_and_foreign_bytes_are_errors() {
        let string = |bytes: &[u8]| Reader::new(bytes).string("topic");
        let field = "topic";
        assert_eq!(
            string(&[0]),
            Err(SchemaError::Short {
                field,
                needed: 2,
                left: 1
            })
        );
        assert_eq!(
            string(&[0, 3, b'a']),
            Err(SchemaError::Short {
                field,
                needed: 3,
                left: 1
            })
        );
        assert_eq!(
            string(&[0xff, 0xff]),
            Err(SchemaError::NegativeLength { field, length: -1 })
        );
        assert_eq!(string(&[0, 1, 0xff]), Err(SchemaError::NotUtf8 { field }));
        assert_eq!(
            Reader::new(&[0xff, 0xfe]).version(),
            Err(SchemaError::Version(-2))
        );
        assert_eq!(
            Reader::new(&[0, 9]).version(),
            Ok(()),
            "later versions read as 0"
        );
    }

    proptest! {
        #[test]
        fn strings_round_trip(text in ".{0,80}") {
            let mut out = Vec::new();
            put_string(&mut out, "topic", &text).expect("short");
            out.push(7); // what follows is not read
            prop_assert_eq!(Reader::new(&out).string("topic"), Ok(text));
        }
    }
}
