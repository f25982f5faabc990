//! OffsetCommit 10 and OffsetFetch 10: as version 9, with topics by id instead of by name.
//!
//! `kafka-protocol` reads these requests up to version 9. So the ids are turned into text where a name stood, the request is read as
//! version 9, and the handlers turn the text into ids again ([`id_in`]).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use uuid::Uuid;

use crate::server::Closed;

/// The version that is read here.
const BY_ID: i16 = 10;

/// The id behind a topic's name in a request that [`with_ids_as_names`] rewrote.
pub(super) fn id_in(name: &str) -> Uuid {
    Uuid::try_parse(name).unwrap_or_default()
}

/// The body to be decoded, and as which version: another one than `version` for requests that name topics by id.
///
/// # Errors
/// [`Closed`] if the request is malformed.
pub(crate) fn with_ids_as_names(
    api: ApiKey,
    version: i16,
    body: Bytes,
) -> Result<(Bytes, i16), Closed> {
    if version != BY_ID || !matches!(api, ApiKey::OffsetCommit | ApiKey::OffsetFetch) {
        return Ok((body, version));
    }
    let mut walk = Walk {
        from: body,
        to: BytesMut::new(),
    };
    match api {
        ApiKey::OffsetCommit => walk.commit()?,
        _ => walk.fetch()?,
    }
    walk.to.extend_from_slice(&walk.from);
    Ok((walk.to.freeze(), BY_ID - 1))
}

/// Copies a request field by field.
struct Walk {
    from: Bytes,
    to: BytesMut,
}

impl Walk {
    fn commit(&mut self) -> Result<(), Closed> {
        self.text()?; // group
        self.copy(4)?; // generation or epoch
        self.text()?; // member
        self.text()?; // instance
        for _ in 0..self.count()? {
            self.id()?;
            for _ in 0..self.count()? {
                self.copy(4 + 8 + 4)?; // partition, offset, leader epoch
                self.text()?; // metadata
                self.tags()?;
            }
            self.tags()?;
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<(), Closed> {
        for _ in 0..self.count()? {
            self.text()?; // group
            self.text()?; // member
            self.copy(4)?; // epoch
            for _ in 0..self.count()? {
                self.id()?;
                let partitions = self.count()?;
                self.copy(partitions.checked_mul(4).ok_or(Closed)?)?;
                self.tags()?;
            }
            self.tags()?;
        }
        Ok(())
    }

    fn copy(&mut self, length: usize) -> Result<(), Closed> {
        if self.from.len() < length {
            return Err(Closed);
        }
        self.to.put(self.from.split_to(length));
        Ok(())
    }

    /// An unsigned varint, at most five bytes.
    fn varint(&mut self) -> Result<usize, Closed> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.from.try_get_u8().map_err(|_| Closed)?;
            self.to.put_u8(byte);
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).map_err(|_| Closed);
            }
        }
        Err(Closed)
    }

    /// The length of a compact array or string; null counts as 0. Memory grows with what is there, not with what is claimed.
    fn count(&mut self) -> Result<usize, Closed> {
        Ok(self.varint()?.saturating_sub(1))
    }

    fn text(&mut self) -> Result<(), Closed> {
        let length = self.count()?;
        self.copy(length)
    }

    fn tags(&mut self) -> Result<(), Closed> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.copy(length)?;
        }
        Ok(())
    }

    fn id(&mut self) -> Result<(), Closed> {
        let id = self.from.try_get_u128().map_err(|_| Closed)?;
        let text = Uuid::from_u128(id).simple().to_string();
        self.to.put_u8(33); // 32 characters
        self.to.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kafka_protocol::messages::{OffsetCommitRequest, OffsetFetchRequest};
    use proptest::prelude::*;

    /// Written by hand from the schema of version 10.
    #[test]
    fn a_commit_by_id_is_read() {
        let id = Uuid::from_u128(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
        let mut body = BytesMut::new();
        body.put_slice(b"\x02g"); // group
        body.put_i32(7);
        body.put_slice(b"\x02m\0"); // member, no instance
        body.put_slice(b"\x02"); // one topic
        body.put_u128(id.as_u128());
        body.put_slice(b"\x02"); // one partition
        body.put_i32(3);
        body.put_i64(42);
        body.put_i32(-1);
        body.put_slice(b"\x03hi\0\0\0"); // metadata, tags of partition, topic, request
        let (mut read, version) =
            with_ids_as_names(ApiKey::OffsetCommit, 10, body.freeze()).unwrap();
        let request: OffsetCommitRequest = messages::decode(&mut read, version).unwrap();
        assert!(read.is_empty());
        let topic = &request.topics[0];
        assert_eq!(id_in(&topic.name), id);
        let partition = &topic.partitions[0];
        assert_eq!(
            (partition.partition_index, partition.committed_offset),
            (3, 42)
        );
        assert_eq!(partition.committed_metadata.as_deref(), Some("hi"));
        assert_eq!(request.generation_id_or_member_epoch, 7);
    }

    #[test]
    fn a_fetch_by_id_is_read() {
        let mut body = BytesMut::new();
        body.put_slice(b"\x03\x02g\0"); // two groups, no member
        body.put_i32(-1);
        body.put_slice(b"\0\0"); // all topics
        body.put_slice(b"\x02h\0");
        body.put_i32(-1);
        body.put_slice(b"\x02");
        body.put_u128(9);
        body.put_slice(b"\x03"); // two partitions
        body.put_i32(0);
        body.put_i32(5);
        body.put_slice(b"\0\0\x01\0"); // tags of topic, group; require_stable; tags
        let (mut read, version) =
            with_ids_as_names(ApiKey::OffsetFetch, 10, body.freeze()).unwrap();
        let request: OffsetFetchRequest = messages::decode(&mut read, version).unwrap();
        assert!(read.is_empty() && request.require_stable);
        assert!(request.groups[0].topics.is_none());
        let topics = request.groups[1].topics.as_ref().unwrap();
        assert_eq!(id_in(&topics[0].name), Uuid::from_u128(9));
        assert_eq!(topics[0].partition_indexes, [0, 5]);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for api in [ApiKey::OffsetCommit, ApiKey::OffsetFetch] {
                if let Ok((rewritten, _)) = with_ids_as_names(api, 10, Bytes::from(body.clone())) {
                    // Each id grows from 16 to 33 bytes.
                    prop_assert!(rewritten.len() <= body.len() * 3);
                }
            }
        }
    }
}
