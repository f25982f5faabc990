//! The maps of the flow that copies the other way, when another process runs it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use engine::cluster::ClusterError;
use engine::offsets::{MapKey, MapTable};
use tokio::time::Instant;
use tracing::debug;

use crate::flow::Flow;
use crate::offset_maps::PartitionMap;

const PARTITION: i32 = 0;
/// What the other process has stored since is read after this time; it stores once a second.
const AGE_MAX: Duration = Duration::from_secs(1);
/// After a failure: mostly there is no such flow, and so no such topic.
const RETRY: Duration = Duration::from_secs(30);

/// A topic and partition of our target, which is the other flow's source.
type At = (Arc<str>, i32);

/// What the other flow has stored on our source.
#[derive(Debug, Default)]
pub(super) struct ReverseMaps {
    /// Values by key, as they are in the topic.
    records: HashMap<At, BTreeMap<Vec<u8>, Vec<u8>>>,
    maps: HashMap<At, Arc<PartitionMap>>,
    next: i64,
    not_before: Option<Instant>,
}

impl ReverseMaps {
    /// Reads what is new, if that is due.
    pub(super) async fn read(&mut self, flow: &Flow) {
        if self.not_before.is_some_and(|at| Instant::now() < at) {
            return;
        }
        let rest = match self.read_on(flow).await {
            Ok(()) => AGE_MAX,
            Err(error) => {
                debug!(flow = %flow.label, %error, "no maps of the reverse flow");
                RETRY
            }
        };
        self.not_before = Some(Instant::now() + rest);
    }

    async fn read_on(&mut self, flow: &Flow) -> Result<(), ClusterError> {
        let topic = flow.config.policy.offset_map_topic(&flow.config.id.target);
        let mut changed = BTreeSet::new();
        let (next, records) = (self.next, &mut self.records);
        let read = flow
            .source
            .read_log_from(&topic, PARTITION, next, |record| {
                let Some(key) = record.key else { return };
                let at: At = match MapKey::decode(&key) {
                    Ok(
                        MapKey::Head { topic, partition }
                        | MapKey::Block {
                            topic, partition, ..
                        },
                    ) => (topic.into(), partition),
                    Err(_) => return,
                };
                let of_partition = records.entry(at.clone()).or_default();
                match record.value {
                    Some(value) => drop(of_partition.insert(key.to_vec(), value.to_vec())),
                    None => drop(of_partition.remove(&*key)),
                }
                changed.insert(at);
            });
        self.next = read.await?;
        for at in changed {
            let mut table = MapTable::new();
            for (key, value) in self.records.get(&at).into_iter().flatten() {
                // A damaged record is one that is missing: the map says what it does not know.
                if let Err(error) = table.apply(Some(key), Some(value)) {
                    debug!(topic, %error, "skipping a malformed record");
                }
            }
            match table.take(&at.0, at.1) {
                Some(loaded) => {
                    let map = Arc::new(PartitionMap::of_another(loaded));
                    self.maps.insert(at, map);
                }
                None => drop(self.maps.remove(&at)),
            }
        }
        Ok(())
    }

    /// The map of a partition of our target.
    pub(super) fn get(&self, topic: &Arc<str>, partition: i32) -> Option<Arc<PartitionMap>> {
        self.maps.get(&(topic.clone(), partition)).cloned()
    }
}
