//! Where our map does not reach: what MirrorMaker 2 has left, its offset syncs and its checkpoints, as its
//! `RemoteClusterUtils` and its checkpoint task would use them (docs/spec/mm2.md 5.3, 6.3). Always a lower bound.

use std::collections::HashMap;
use std::sync::Arc;

use actors::{read_checkpoints, read_offset_syncs};
use engine::cluster::OffsetAt;
use engine::offsets::{CheckpointTable, OffsetSyncStore, SyncTranslation};
use topology::OffsetSyncsLocation;
use tracing::warn;

use super::answer::Answer;
use super::pair::{At, Pair, log_offsets};

/// A group's offset that the map does not know.
pub(crate) struct Asked<'a> {
    pub(crate) group: Arc<str>,
    /// On the source.
    pub(crate) place: At,
    /// On the target.
    pub(crate) remote: At,
    pub(crate) offset: i64,
    /// Where the target's log begins.
    pub(crate) log_start: i64,
    /// Replaced, if there is a better one.
    pub(crate) answer: &'a mut Answer,
}

/// Where both logs end now.
#[derive(Clone, Copy)]
struct Ends {
    source: i64,
    target: i64,
}

/// Answers what can be answered.
///
/// # Errors
/// A cluster does not answer. What cannot be read is warned of, and done without.
pub(crate) async fn ask(pair: &Pair, asked: Vec<Asked<'_>>) -> anyhow::Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let left = read(pair, &asked).await;
    let at = |place: fn(&Asked<'_>) -> At| asked.iter().map(place).collect::<Vec<_>>();
    let (sources, targets) = (at(|one| one.place.clone()), at(|one| one.remote.clone()));
    let (sources, targets) = tokio::join!(
        log_offsets(&pair.source, &sources, OffsetAt::Latest),
        log_offsets(&pair.target, &targets, OffsetAt::Latest),
    );
    let (sources, targets): (HashMap<_, _>, HashMap<_, _>) = (sources?, targets?);
    for one in asked {
        let ends = (sources.get(&one.place)).zip(targets.get(&one.remote));
        let Some((&source, &target)) = ends else {
            continue;
        };
        if let Some((offset, by)) = left.bound(&one, Ends { source, target }) {
            *one.answer = Answer::AtLeast(offset.max(one.log_start), by.to_owned());
        }
    }
    Ok(())
}

/// What MirrorMaker 2 has left.
struct Left {
    syncs: Option<OffsetSyncStore>,
    checkpoints: Option<CheckpointTable>,
}

async fn read(pair: &Pair, asked: &[Asked<'_>]) -> Left {
    let config = &pair.flow;
    let wanted = |group: &str| asked.iter().any(|one| *one.group == *group);
    let mut left = Left {
        syncs: None,
        checkpoints: None,
    };
    if pair.lists(OffsetSyncsLocation::Target, &config.checkpoints_topic()) {
        match read_checkpoints(config, &pair.target, wanted).await {
            Ok(table) => left.checkpoints = Some(table),
            Err(error) => warn!(flow = %config.id, %error, "doing without checkpoints"),
        }
    }
    let host = config.offsets.offset_syncs_location;
    if pair.lists(host, &config.offset_syncs_topic()) {
        let clusters = (&*pair.source, &*pair.target);
        // As in MM2: without checkpoints only the last sync can be trusted not to go back.
        match read_offset_syncs(config, clusters, left.checkpoints.is_none()).await {
            Ok(store) => left.syncs = Some(store),
            Err(error) => warn!(flow = %config.id, %error, "doing without MM2's offset syncs"),
        }
    }
    left
}

impl Left {
    /// The higher of both bounds, and where it comes from. None if what was left is of logs that were longer: they were deleted
    /// and created anew since.
    fn bound(&self, one: &Asked<'_>, ends: Ends) -> Option<(i64, &'static str)> {
        let is_of_these_logs =
            |(source, target): (i64, i64)| source <= ends.source && target <= ends.target;
        let (topic, partition) = (&one.place.0, one.place.1);
        let by_sync = self.syncs.as_ref().and_then(|store| {
            let latest = store.latest(topic, partition)?;
            match store.translate(topic, partition, one.offset) {
                SyncTranslation::At(at) if is_of_these_logs(latest) => {
                    Some((at.min(ends.target), "by the offset syncs of MirrorMaker 2"))
                }
                _ => None,
            }
        });
        let table = self.checkpoints.as_ref();
        let last = table.and_then(|table| table.last(&one.group, &one.remote));
        let by_checkpoint = last
            .filter(|last| last.0 <= one.offset && is_of_these_logs(*last))
            .map(|(_, at)| (at, "by the group's last checkpoint"));
        by_sync
            .into_iter()
            .chain(by_checkpoint)
            .max_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use engine::offsets::{Checkpoint, DownstreamOffset, OffsetSync, UpstreamOffset};

    use super::*;

    /// Syncs (50, 40) and (90, 80); a checkpoint of `g` at (70, 62).
    fn left() -> Left {
        let mut store = OffsetSyncStore::new(false);
        for (upstream, downstream) in [(50, 40), (90, 80)] {
            store.apply(&OffsetSync {
                topic: "t".to_owned(),
                partition: 0,
                upstream_offset: UpstreamOffset(upstream),
                downstream_offset: DownstreamOffset(downstream),
            });
        }
        store.set_read_to_end();
        let checkpoint = Checkpoint {
            consumer_group_id: "g".to_owned(),
            topic: "a.t".to_owned(),
            partition: 0,
            upstream_offset: UpstreamOffset(70),
            downstream_offset: DownstreamOffset(62),
            metadata: String::new(),
        };
        let (key, value) = (
            checkpoint.encode_key().unwrap(),
            checkpoint.encode_value().unwrap(),
        );
        let mut table = CheckpointTable::new();
        table.apply(&key, &value, |_| true).unwrap();
        Left {
            syncs: Some(store),
            checkpoints: Some(table),
        }
    }

    fn bound(left: &Left, group: &str, offset: i64, (source, target): (i64, i64)) -> Option<i64> {
        let mut answer = Answer::Exact(0);
        let one = Asked {
            group: group.into(),
            place: ("t".into(), 0),
            remote: ("a.t".into(), 0),
            offset,
            log_start: 0,
            answer: &mut answer,
        };
        left.bound(&one, Ends { source, target }).map(|(at, _)| at)
    }

    #[test]
    fn the_higher_of_sync_and_checkpoint_counts() {
        let (left, ends) = (left(), (100, 90));
        assert_eq!(bound(&left, "g", 49, ends), None, "older than all syncs");
        assert_eq!(bound(&left, "g", 50, ends), Some(40), "the sync itself");
        assert_eq!(bound(&left, "g", 69, ends), Some(41), "one behind it");
        assert_eq!(bound(&left, "g", 70, ends), Some(62), "the checkpoint");
        assert_eq!(bound(&left, "h", 70, ends), Some(41), "of another group");
        assert_eq!(bound(&left, "g", 95, ends), Some(81));
    }

    #[test]
    fn what_is_of_an_earlier_topic_is_not_used() {
        let left = left();
        assert_eq!(
            bound(&left, "h", 60, (80, 90)),
            None,
            "the source is shorter"
        );
        assert_eq!(
            bound(&left, "h", 60, (100, 70)),
            None,
            "the target is shorter"
        );
        assert_eq!(
            bound(&left, "g", 70, (80, 70)),
            Some(62),
            "the checkpoint fits"
        );
        assert_eq!(
            bound(&left, "h", 100, (100, 80)),
            Some(80),
            "never beyond the end"
        );
    }
}
