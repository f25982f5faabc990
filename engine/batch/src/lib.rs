//! Kafka record batches (message format v2) as bytes: what the raw lane needs to know about them,
//! and no I/O.
//!
//! The way of a batch: [`batches`] cuts a Fetch answer into [`RawBatch`]es without copying,
//! [`classify`] judges each by its 61-byte header alone, and
//! - a batch that passes gets a patched header from [`stamp`], whose CRC follows from the old one
//!   without reading the payload;
//! - a batch that has to be rewritten goes through [`reencode`], on a worker thread;
//! - a batch that is dropped says why, so that nothing is lost silently.
//!
//! For `read_committed`, [`AbortedTransactions`] is asked first. [`BatchBuilder`] writes the few
//! records that are our own. The rules come from `docs/spec/batches.md` (section 1: the broker's
//! table, section 2: the CRC) and `docs/spec/real-kafka.md` (section 4 and 5: what a broker was
//! seen to do).
//!
//! ```
//! use batch::{BatchBuilder, Codec, ProducerStamp, TargetRules, Verdict, batches, classify, stamp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = BatchBuilder::new(Codec::Lz4);
//! builder.push(1_700_000_000_000, Some(b"key"), None, &[])?;
//! let written = builder.build()?;
//! let fetched = [written.header.as_bytes(), &written.body[..]].concat().into();
//!
//! let mut position = 0;
//! for batch in batches(&fetched) {
//!     let batch = batch?;
//!     if classify(&batch.header, position, &TargetRules::default()) == Verdict::Pass {
//!         let header = stamp(&batch.header, ProducerStamp::NONE);
//!         assert_eq!(header.count(), 1); // and now send header and body
//!     }
//!     position = batch.header.next_offset();
//! }
//! assert_eq!(position, 1);
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here panics on what a broker sends: every length is checked, and memory is bounded by
//! [`DECOMPRESSED_BYTES_MAX`].

mod aborted;
mod builder;
mod classify;
mod codec;
mod crc;
mod header;
mod merge;
mod raw;
mod record;
mod reencode;
mod stamp;
mod varint;

pub use aborted::{AbortedTransactions, Marker, MarkerError, marker};
pub use builder::{BatchBuilder, BuildError};
pub use classify::{DropReason, ReencodeReason, TargetRules, Verdict, classify};
pub use codec::{Codec, CodecError, DECOMPRESSED_BYTES_MAX, compress, decompress};
pub use crc::checksum;
pub use header::{BatchError, BatchHeader, HEADER_BYTES, TimestampType, attribute, field};
pub use merge::{MergeError, merge};
pub use raw::{Batches, RawBatch, batches};
pub use record::{
    RecordError, RecordHeader, RecordHeaders, RecordProblem, RecordView, Records, records,
    write_record,
};
pub use reencode::{OffsetRun, ReencodeError, Reencoded, reencode};
pub use stamp::{ProducerStamp, next_sequence, stamp};
