//! Up to 128 runs in few bytes.
//!
//! An entry is a run and the gap before it: `varint(upstream gap << 1 | unknown) varint(downstream gap) varint(length)`,
//! varints of seven bits a byte, lowest first, as in Kafka's records but without sign. A transaction of 1 to 127 records and
//! its marker take three bytes. An entry of length 0 ends an unknown gap that no record follows (a block was lost).

use super::translation::{At, Side, Translation};

/// Entries of a block: what a question has to walk through at most.
pub(super) const ENTRIES_PER_BLOCK: usize = 128;
/// Longest entry: varints of 64, 63 and 63 bits.
pub(super) const ENTRY_BYTES_MAX: usize = 10 + 9 + 9;

/// A run of copied records, and the gap before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// End of the entry before.
    pub(super) before: At,
    /// It is not known what the gap holds.
    pub(super) unknown: bool,
    pub(super) at: At,
    /// Records; at most 2^63 - 1.
    pub(super) length: u64,
}

impl Entry {
    /// Behind the run. It fits: nobody makes an entry that does not.
    pub(super) fn end(self) -> At {
        self.at.plus(self.length, self.length).unwrap_or(self.at)
    }

    /// Answers for an offset at or above `before` and below `end`.
    #[inline]
    pub(super) fn translate(self, side: Side, offset: i64) -> Translation {
        let into = offset - side.asked(self.at);
        if into >= 0 {
            Translation::Exact(side.answer(self.at) + into)
        } else if self.unknown {
            Translation::AtLeast(side.answer(self.before))
        } else {
            Translation::Exact(side.answer(self.at))
        }
    }
}

/// Packed entries. What a block says may come from a stored record: nothing here trusts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// End of the entry before the first one: the block answers from here on.
    pub(super) base: At,
    /// End of the last entry.
    pub(super) end: At,
    pub(super) count: usize,
    pub(super) packed: Vec<u8>,
}

impl Block {
    pub(super) fn new(base: At) -> Self {
        Self {
            base,
            end: base,
            count: 0,
            packed: Vec::new(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= ENTRIES_PER_BLOCK
    }

    /// Adds an entry that begins where this block ends.
    pub(super) fn push(&mut self, entry: Entry) {
        let gap = |from: i64, to: i64| to.abs_diff(from);
        let upstream = gap(entry.before.upstream, entry.at.upstream) << 1;
        write(&mut self.packed, upstream | u64::from(entry.unknown));
        write(
            &mut self.packed,
            gap(entry.before.downstream, entry.at.downstream),
        );
        write(&mut self.packed, entry.length);
        self.count += 1;
        self.end = entry.end();
    }

    /// All entries, oldest first. Ends early where the bytes make no sense or leave the block.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries {
            packed: &self.packed,
            at: self.base,
            end: self.end,
        }
    }

    /// The first entry stands behind an unknown gap.
    pub(super) fn begins_unknown(&self) -> bool {
        self.entries().next().is_none_or(|entry| entry.unknown)
    }

    /// Answers for an offset at or above the base. Behind the end, up to the next block: there a block is missing.
    pub(super) fn translate(&self, side: Side, offset: i64) -> Translation {
        let mut entries = self.entries();
        if offset < side.asked(self.end) {
            for entry in &mut entries {
                if offset < side.asked(entry.end()) {
                    return entry.translate(side, offset);
                }
            }
            return Translation::AtLeast(side.answer(entries.at));
        }
        Translation::AtLeast(side.answer(self.end))
    }
}

/// See [`Block::entries`].
#[derive(Debug)]
pub(super) struct Entries<'a> {
    packed: &'a [u8],
    /// End of the entry before.
    at: At,
    end: At,
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    #[inline]
    fn next(&mut self) -> Option<Entry> {
        let upstream = read(&mut self.packed)?;
        let downstream = read(&mut self.packed)?;
        let length = read(&mut self.packed)?;
        let at = self.at.plus(upstream >> 1, downstream)?;
        let end = at.plus(length, length)?;
        if !self.end.is_behind(end) {
            self.packed = &[];
            return None;
        }
        let before = std::mem::replace(&mut self.at, end);
        Some(Entry {
            before,
            unknown: upstream & 1 == 1,
            at,
            length,
        })
    }
}

fn write(out: &mut Vec<u8>, mut value: u64) {
    while let high @ 1.. = value >> 7 {
        out.push((value & 0x7f) as u8 | 0x80);
        value = high;
    }
    out.push((value & 0x7f) as u8);
}

#[inline]
fn read(bytes: &mut &[u8]) -> Option<u64> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        *bytes = rest;
        return Some(u64::from(first));
    }
    read_long(bytes)
}

#[cold]
fn read_long(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        if shift == 63 && byte > 1 {
            return None; // the tenth byte holds one bit
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
