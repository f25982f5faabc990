use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::Partition;
use crate::log::LogSettings;

/// A topic: its name and id, its own configuration entries, its partitions. Immutable but for what is inside the partitions; a change
/// of configuration or more partitions is a new value that shares the old partitions.
#[derive(Debug, Clone)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) id: Uuid,
    /// Entries that were set on the topic itself, as text.
    pub(crate) configs: BTreeMap<String, String>,
    /// `configs` over the brokers' defaults, parsed.
    pub(crate) settings: Arc<LogSettings>,
    pub(crate) partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// `__consumer_offsets` and `__transaction_state`.
    pub(crate) fn is_internal(&self) -> bool {
        Self::is_internal_name(&self.name)
    }

    /// Whether brokers keep their own state in a topic of this name.
    pub(crate) fn is_internal_name(name: &str) -> bool {
        matches!(
            name,
            "__consumer_offsets" | "__transaction_state" | "__share_group_state"
        )
    }

    pub(crate) fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        self.partitions.get(usize::try_from(index).ok()?)
    }
}
