//! What the offset map says about a record.

use engine::offsets::{OffsetMap, Translation};

/// What is known beside the logs.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) map: Option<&'a OffsetMap>,
    /// Source offsets below it are said to be copied, or left out on purpose.
    pub(crate) settled: i64,
    /// Holes are no differences.
    pub(crate) source_compacted: bool,
    pub(crate) target_compacted: bool,
}

/// Where the other side's record is, by the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counterpart {
    At(i64),
    None,
    Unknown,
}

impl Known<'_> {
    pub(super) fn copy_of(&self, upstream: i64) -> Counterpart {
        let Some(map) = self.map.filter(|map| upstream < map.upstream_end()) else {
            return Counterpart::Unknown;
        };
        match map.downstream(upstream) {
            Translation::Exact(at) if map.upstream(at) == Translation::Exact(upstream) => {
                Counterpart::At(at)
            }
            Translation::Exact(_) => Counterpart::None,
            _ => Counterpart::Unknown,
        }
    }

    pub(super) fn original_of(&self, downstream: i64) -> Counterpart {
        let Some(map) = self.map.filter(|map| downstream < map.downstream_end()) else {
            return Counterpart::Unknown;
        };
        match map.upstream(downstream) {
            Translation::Exact(at) if map.downstream(at) == Translation::Exact(downstream) => {
                Counterpart::At(at)
            }
            Translation::Exact(_) => Counterpart::None,
            _ => Counterpart::Unknown,
        }
    }
}
