//! What was found equal last: how a doubled record is told from a foreign one.

use std::collections::{HashMap, VecDeque};

use engine::batch::RawBatch;

use super::side::{Entry, each_entry};

/// Records that are remembered. Unit: bytes of key, value and headers, or of compressed batches.
const BYTES_MAX: usize = 8 << 20;
/// What an item takes besides.
const ITEM_BYTES: usize = 64;

enum Item {
    /// Not opened unless somebody asks.
    Batch(RawBatch),
    Entry(Entry),
}

/// The last records of the copy that are equal to the source's.
#[derive(Default)]
pub(crate) struct Recent {
    items: VecDeque<Item>,
    bytes: usize,
    /// How many remembered records have a hash; made when it is first asked for.
    index: Option<HashMap<u64, u32>>,
    timed: bool,
}

impl Recent {
    pub(crate) fn push_batch(&mut self, batch: RawBatch) {
        self.push(Item::Batch(batch));
    }

    pub(crate) fn push_entry(&mut self, entry: Entry) {
        self.push(Item::Entry(entry));
    }

    /// Whether a record with this hash is remembered. `timed` is the same at each call.
    pub(crate) fn contains(&mut self, hash: u64, timed: bool) -> bool {
        self.timed = timed;
        let items = &self.items;
        let index = self.index.get_or_insert_with(|| {
            let mut index = HashMap::new();
            for item in items {
                item.hashes(timed, |hash| *index.entry(hash).or_default() += 1);
            }
            index
        });
        index.contains_key(&hash)
    }

    fn push(&mut self, item: Item) {
        self.bytes += item.bytes();
        if let Some(index) = &mut self.index {
            item.hashes(self.timed, |hash| *index.entry(hash).or_default() += 1);
        }
        self.items.push_back(item);
        while self.bytes > BYTES_MAX
            && let Some(oldest) = self.items.pop_front()
        {
            self.bytes -= oldest.bytes();
            let Some(index) = &mut self.index else {
                continue;
            };
            oldest.hashes(self.timed, |hash| {
                if let Some(count) = index.get_mut(&hash) {
                    *count -= 1;
                    if *count == 0 {
                        index.remove(&hash);
                    }
                }
            });
        }
    }
}

impl Item {
    fn bytes(&self) -> usize {
        ITEM_BYTES
            + match self {
                Self::Batch(batch) => batch.body.len(),
                Self::Entry(entry) => entry.fields.len(),
            }
    }

    fn hashes(&self, timed: bool, mut each: impl FnMut(u64)) {
        match self {
            // One that cannot be read was equal to the source's; the worst is "extra" for "doubled".
            Self::Batch(batch) => _ = each_entry(batch, true, |entry| each(entry.hash(timed))),
            Self::Entry(entry) => each(entry.hash(timed)),
        }
    }
}
