//! Which groups are followed (`docs/spec/mm2.md` 6.1).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use engine::cluster::{ClusterError, GroupListing};
use tokio::time::Instant;
use topology::GroupFilter;
use tracing::{debug, info};

use super::NotSynced;
use crate::flow::Flow;

/// A new group is seen so soon, however long `refresh.groups.interval.seconds` is: a list is one small request a broker.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(1);

/// The groups of the source that we follow.
#[derive(Debug, Default)]
pub(super) struct Discovery {
    groups: Vec<Arc<str>>,
    looked: Option<Instant>,
}

impl Discovery {
    /// Asks all brokers for their groups, if that is due; true if it was.
    ///
    /// # Errors
    /// [`ClusterError`] when no broker answers.
    pub(super) async fn look(&mut self, flow: &Flow) -> Result<bool, ClusterError> {
        let offsets = &flow.config.offsets;
        let due = match (self.looked, offsets.refresh_groups_interval) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(looked), Some(interval)) => looked.elapsed() >= interval.min(DISCOVERY_INTERVAL),
        };
        if !due {
            return Ok(false);
        }
        let list = flow.source.list_groups().await?;
        let (mut wanted, filtered) = select(list.groups, &offsets.group_filter);
        if let Some((broker, error)) = list.unanswered.first() {
            // Its groups are missing from the list, not gone.
            debug!(flow = %flow.label, broker, %error, "groups are not listed");
            let listed: HashSet<_> = wanted.iter().chain(&filtered).cloned().collect();
            let before = self.groups.drain(..);
            wanted.extend(before.filter(|group| !listed.contains(group)));
        }
        for group in &filtered {
            flow.groups.change(group, |group| {
                group.why_not = Some(NotSynced::FilteredGroup);
            });
        }
        if wanted.len() != self.groups.len() {
            info!(flow = %flow.label, followed = wanted.len(), filtered = filtered.len(), "consumer groups");
        }
        let all: HashSet<_> = wanted.iter().chain(&filtered).cloned().collect();
        flow.groups.retain(|group| all.contains(group));
        self.groups = wanted;
        // Not before it succeeded.
        self.looked = Some(Instant::now());
        Ok(true)
    }

    pub(super) fn groups(&self) -> &[Arc<str>] {
        &self.groups
    }
}

/// Groups of consumers: those to follow, and those that the filter leaves out.
fn select(listed: Vec<GroupListing>, filter: &GroupFilter) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
    let of_consumers = listed.into_iter().filter(GroupListing::is_of_consumers);
    (of_consumers.map(|group| group.id)).partition(|group| filter.accepts(group))
}

#[cfg(test)]
mod tests {
    use engine::cluster::{GroupKind, GroupState};
    use topology::PatternList;

    use super::*;

    fn listing(id: &str, protocol_type: &str, kind: GroupKind) -> GroupListing {
        GroupListing {
            id: id.into(),
            protocol_type: protocol_type.to_owned(),
            state: GroupState::Stable,
            kind,
        }
    }

    fn selected(listed: Vec<GroupListing>, include: &str, exclude: &str) -> [Vec<String>; 2] {
        let filter = GroupFilter {
            include: PatternList::parse(include).unwrap(),
            exclude: PatternList::parse(exclude).unwrap(),
        };
        let (wanted, filtered) = select(listed, &filter);
        [wanted, filtered].map(|groups| groups.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn kx_03_no_consumer_group() {
        assert_eq!(
            selected(Vec::new(), ".*", ""),
            [vec![], vec![]] as [Vec<String>; 2]
        );
    }

    #[test]
    fn kx_07_find_consumer_groups() {
        let listed = vec![
            listing("g1", "", GroupKind::Classic),
            listing("g2", "consumer", GroupKind::Classic),
            listing("g3", "consumer", GroupKind::Consumer),
            listing("connect-cluster", "connect", GroupKind::Classic),
            listing("shared", "share", GroupKind::Other),
        ];
        let [wanted, filtered] = selected(listed, ".*", "");
        assert_eq!(wanted, ["g1", "g2", "g3"]);
        assert!(filtered.is_empty());
    }

    #[test]
    fn kx_08_the_group_filter_decides_whose_offsets_are_asked_for() {
        let listed = ["g1", "g2", "g3", "g4"].map(|id| listing(id, "consumer", GroupKind::Classic));
        let [wanted, filtered] = selected(listed.to_vec(), ".*", "g4");
        assert_eq!(wanted, ["g1", "g2", "g3"]);
        assert_eq!(filtered, ["g4"]);
    }
}
