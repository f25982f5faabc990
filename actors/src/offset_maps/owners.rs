//! Which of several flows copies a partition: source connectors of one pair of aliases may ask for the same one.

use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::flow::Flow;

/// Who copies each partition. MM2 would copy it once for each connector; here the first one does, and another one when the first has
/// stopped or is deleted. It is an arrangement within a process: between processes the lanes' transactional ids decide.
#[derive(Debug, Default)]
pub struct Owners(DashMap<(Arc<str>, i32), Owner>);

#[derive(Debug)]
struct Owner {
    /// The flow's label.
    flow: Arc<str>,
    /// Its source connector.
    connector: String,
    /// It copies; else it did last.
    holds: bool,
}

impl Owners {
    /// The flow is to copy the partition, unless another one does.
    ///
    /// # Errors
    /// The name of the other one's source connector.
    pub fn take(&self, flow: &Flow, topic: &str, partition: i32) -> Result<(), String> {
        let name = &flow.config.connector_names.source;
        self.take_as(&flow.label, name, topic, partition)
    }

    fn take_as(
        &self,
        flow: &Arc<str>,
        connector: &str,
        topic: &str,
        partition: i32,
    ) -> Result<(), String> {
        let ours = || Owner {
            flow: flow.clone(),
            connector: connector.to_owned(),
            holds: true,
        };
        match self.0.entry((topic.into(), partition)) {
            Entry::Occupied(at) if at.get().holds && at.get().flow != *flow => {
                Err(at.get().connector.clone())
            }
            Entry::Occupied(mut at) => {
                at.insert(ours());
                Ok(())
            }
            Entry::Vacant(at) => {
                at.insert(ours());
                Ok(())
            }
        }
    }

    /// The flow copies the partition no more: any may.
    pub fn release(&self, flow: &str, topic: &str, partition: i32) {
        if let Some(mut owner) = self.0.get_mut(&(topic.into(), partition))
            && *owner.flow == *flow
        {
            owner.holds = false;
        }
    }

    /// The flow copies nothing any more.
    pub fn release_all(&self, flow: &str) {
        for mut owner in self.0.iter_mut().filter(|owner| *owner.flow == *flow) {
            owner.holds = false;
        }
    }

    /// Another flow copies the partition, or was the last to do so: what is shown and written of it is that one's.
    pub fn is_of_another(&self, flow: &str, topic: &str, partition: i32) -> bool {
        let owner = self.0.get(&(topic.into(), partition));
        owner.is_some_and(|owner| *owner.flow != *flow)
    }

    /// Another flow copies the partition now.
    pub fn is_held_by_another(&self, flow: &str, topic: &str, partition: i32) -> bool {
        let owner = self.0.get(&(topic.into(), partition));
        owner.is_some_and(|owner| owner.holds && *owner.flow != *flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_one_owner_until_it_is_released() {
        let (owners, one, two) = (Owners::default(), "a->b".into(), "a->b:s2".into());
        let take = |flow, connector| owners.take_as(flow, connector, "t", 0);
        take(&one, "s1").unwrap();
        take(&one, "s1").unwrap(); // a herder that was started again
        assert_eq!(take(&two, "s2"), Err("s1".to_owned()));
        owners.release_all(&two);
        assert!(owners.is_held_by_another(&two, "t", 0));
        owners.release(&one, "t", 0);
        assert!(!owners.is_held_by_another(&two, "t", 0) && owners.is_of_another(&two, "t", 0));
        take(&two, "s2").unwrap();
        assert_eq!(take(&one, "s1"), Err("s2".to_owned()));
        assert!(!owners.is_of_another(&two, "t", 0));
        owners.release_all(&two);
        take(&one, "s1").unwrap();
    }
}
