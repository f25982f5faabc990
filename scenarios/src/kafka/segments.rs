//! A partition's log as it lies on a broker's disk.

use std::fs;
use std::io::{self, Read, Seek};
use std::path::Path;

use crate::Error;

/// Ending of the files that hold record batches; each is named by its first offset.
const SEGMENT: &str = "log";

/// Head of a batch: base offset (INT64) and the length of what follows (INT32). Unit: bytes.
const HEAD_BYTES: usize = 12;

/// Record batches in all segments of the partition in `folder`.
///
/// # Errors
/// [`Error::Io`] if the folder or a segment cannot be read.
pub(super) fn batches(folder: &Path) -> Result<u64, Error> {
    let mut count = 0;
    for entry in fs::read_dir(folder).map_err(|e| Error::io("list folder", folder, e))? {
        let path = entry
            .map_err(|e| Error::io("list folder", folder, e))?
            .path();
        if path.extension().is_some_and(|ending| ending == SEGMENT) {
            let segment = fs::File::open(&path).map(io::BufReader::new);
            count += segment
                .and_then(batches_in)
                .map_err(|e| Error::io("read segment", &path, e))?;
        }
    }
    Ok(count)
}

/// Whole batches up to the end, or to a batch that is being appended.
fn batches_in(mut segment: impl Read + Seek) -> io::Result<u64> {
    let end = segment.seek(io::SeekFrom::End(0))?;
    segment.rewind()?;
    let (mut count, mut at) = (0, 0);
    let mut head = [0; HEAD_BYTES];
    while at + HEAD_BYTES as u64 <= end {
        segment.read_exact(&mut head)?;
        let [.., a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        at += HEAD_BYTES as u64 + u64::from(length);
        // Segments may be preallocated, with zeros behind the last batch.
        if length == 0 || at > end {
            break;
        }
        segment.seek_relative(i64::from(length))?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn batch(length: u8) -> Vec<u8> {
        let mut bytes = vec![0; HEAD_BYTES + usize::from(length)];
        bytes[HEAD_BYTES - 1] = length;
        bytes
    }

    #[test]
    fn whole_batches_count() {
        let count = |bytes: Vec<u8>| batches_in(Cursor::new(bytes)).unwrap();
        assert_eq!(count(Vec::new()), 0);
        assert_eq!(count([batch(60), batch(200)].concat()), 2);
        let torn = [batch(60), batch(200)[..100].to_vec()].concat();
        assert_eq!(count(torn), 1, "a batch that is being appended");
        assert_eq!(count([batch(60), vec![0; 500]].concat()), 1, "preallocated");
    }
}
