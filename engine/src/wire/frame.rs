//! One request on its way to a broker.

use std::io::IoSlice;

use bytes::{BufMut, Bytes};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};

use super::WireError;

/// Where the correlation id stands: after the length (4), API key (2) and version (2).
const CORRELATION_AT: usize = 8;
const LENGTH_BYTES: usize = 4;

/// A request frame: small bytes that we write, with borrowed-by-refcount bodies between them.
///
/// A Produce request's batches are such bodies: they are sent from the buffer that they were fetched into,
/// by one vectored write, and never copied.
#[derive(Debug, Default)]
pub struct Frame {
    /// Length prefix, header and all small parts, contiguous.
    small: Vec<u8>,
    /// Bodies, each with the position in `small` that it follows.
    bodies: Vec<(usize, Bytes)>,
    body_bytes: usize,
    api: &'static str,
}

impl Frame {
    /// Starts a frame with its request header (version 1, or 2 when `flexible`; KIP-482).
    pub fn start(
        api: &'static str,
        key: i16,
        version: i16,
        flexible: bool,
        client_id: &str,
    ) -> Self {
        let mut small = Vec::with_capacity(256);
        small.put_i32(0); // length: set by `seal`
        small.put_i16(key);
        small.put_i16(version);
        small.put_i32(0); // correlation id: set by `seal`
        // A client id never comes near the 16-bit limit; cut rather than corrupt the frame.
        let client_id = client_id
            .as_bytes()
            .get(..i16::MAX as usize)
            .unwrap_or(client_id.as_bytes());
        small.put_u16(u16::try_from(client_id.len()).unwrap_or(0));
        small.put_slice(client_id);
        if flexible {
            small.put_u8(0); // no tagged fields
        }
        Self {
            small,
            bodies: Vec::new(),
            body_bytes: 0,
            api,
        }
    }

    /// Where small parts are appended.
    pub fn small(&mut self) -> &mut Vec<u8> {
        &mut self.small
    }

    /// Appends a body without copying it.
    pub fn push_body(&mut self, body: Bytes) {
        self.body_bytes += body.len();
        self.bodies.push((self.small.len(), body));
    }

    /// Name of the request, for errors.
    pub fn api(&self) -> &'static str {
        self.api
    }

    /// Bytes on the wire, length prefix included.
    pub fn wire_bytes(&self) -> usize {
        self.small.len() + self.body_bytes
    }

    /// Fills in length and correlation id. False: the frame is longer than the protocol allows.
    pub(crate) fn seal(&mut self, correlation_id: i32) -> bool {
        let Ok(length) = i32::try_from(self.wire_bytes() - LENGTH_BYTES) else {
            return false;
        };
        self.small[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
        self.small[CORRELATION_AT..CORRELATION_AT + 4]
            .copy_from_slice(&correlation_id.to_be_bytes());
        true
    }

    /// The frame as slices in wire order.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * self.bodies.len() + 1);
        let mut from = 0;
        for (at, body) in &self.bodies {
            if *at > from {
                slices.push(IoSlice::new(&self.small[from..*at]));
            }
            if !body.is_empty() {
                slices.push(IoSlice::new(body));
            }
            from = *at;
        }
        if from < self.small.len() {
            slices.push(IoSlice::new(&self.small[from..]));
        }
        slices
    }
}

/// Encodes a request of `kafka-protocol` as a frame.
///
/// # Errors
/// [`WireError::Encode`] when the version lacks a field that is set.
pub fn encode_request<R: Request>(
    api: &'static str,
    body: &R,
    version: i16,
    client_id: &str,
) -> Result<Frame, WireError> {
    let failed = |error: &dyn std::fmt::Display| WireError::Encode {
        api,
        version,
        reason: error.to_string(),
    };
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut small = Vec::with_capacity(256);
    small.put_i32(0);
    header
        .encode(&mut small, R::header_version(version))
        .map_err(|error| failed(&error))?;
    body.encode(&mut small, version)
        .map_err(|error| failed(&error))?;
    Ok(Frame {
        small,
        bodies: Vec::new(),
        body_bytes: 0,
        api,
    })
}

/// Decodes an answer: response header, then body. `bytes` begins at the correlation id. No length in it can make us reserve
/// more memory than the answer's own size calls for.
///
/// # Errors
/// The decoder's reason, for [`WireError::Malformed`].
pub fn decode_response<R: Decodable + HeaderVersion>(
    mut bytes: Bytes,
    version: i16,
) -> Result<R, String> {
    let reason = |error: messages::DecodeError| error.to_string();
    messages::decode::<ResponseHeader>(&mut bytes, R::header_version(version)).map_err(reason)?;
    messages::decode(&mut bytes, version).map_err(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_claims_more_than_it_holds_takes_no_memory() {
        use kafka_protocol::messages::{FetchResponse, MetadataResponse};
        // Correlation id, then an array of 2^31 - 1 topics or brokers.
        let fetch = Bytes::from_static(b"\0\0\0\x2a\0\0\0\0\x7f\xff\xff\xff\0\x01t");
        assert!(decode_response::<FetchResponse>(fetch, 4).is_err());
        let metadata = Bytes::from_static(b"\0\0\0\x2a\0\0\0\0\0\xff\xff\xff\xff\x07\x02t");
        assert!(decode_response::<MetadataResponse>(metadata, 9).is_err());
    }

    #[test]
    fn bodies_keep_their_place() {
        let mut frame = Frame::start("Produce", 0, 9, true, "me");
        frame.small().extend_from_slice(b"[");
        frame.push_body(Bytes::from_static(b"one"));
        frame.push_body(Bytes::from_static(b""));
        frame.small().extend_from_slice(b"][");
        frame.push_body(Bytes::from_static(b"two"));
        frame.small().extend_from_slice(b"]");
        assert!(frame.seal(42));
        let wire: Vec<u8> = frame
            .slices()
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        assert_eq!(wire.len(), frame.wire_bytes());
        assert_eq!(
            wire[..4],
            i32::try_from(wire.len() - 4).unwrap().to_be_bytes()
        );
        assert_eq!(wire[8..12], 42_i32.to_be_bytes());
        assert!(wire.ends_with(b"[one][two]"));
    }
}
