//! One partition's map, with what else its lane has to find again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use engine::batch::OffsetRun;
use engine::offsets::{
    LoadedMap, MapExtent, MapHead, MapStart, OffsetMap, SharedMap, Translation, UnknownReason,
};
use tracing::warn;
use uuid::Uuid;

/// The map of one partition with what else a lane has to find again.
#[derive(Debug)]
pub struct PartitionMap {
    /// The pairs of offsets.
    pub map: SharedMap,
    lane: Mutex<Lane>,
    /// Raised by every change that is to be stored, other than the map's growth.
    changes: AtomicU64,
}

/// What is stored beside the segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lane {
    /// Which incarnation of the source topic, and of the remote topic; nil on clusters that do not say.
    pub(super) topic_id: Uuid,
    remote_topic_id: Uuid,
    /// Who wrote last: producer id and epoch.
    producer: Option<(i64, i16)>,
    /// The end of the target's log is known, as of `map`'s downstream end.
    pub(super) anchored: bool,
    /// By what is stored a successor finds that, and whom to shut out.
    noted: bool,
    /// The position that is known to be stored in Connect's offsets topic, and the one that may be: a process may die between
    /// the two topics, or miss an answer, so either is ours. Any other was put there by somebody else.
    pub(super) stored: Option<i64>,
    pub(super) storing: Option<i64>,
    /// Leader epoch of the source's last record that is settled.
    pub(super) leader_epoch: Option<i32>,
    /// A process before us has stored it.
    pub(super) loaded: bool,
}

/// A stored position that no topic has.
const NOBODYS: i64 = i64::MAX;
/// Stands for no position and no producer in a head.
const NONE: i64 = -1;

pub(super) fn some(position: i64) -> Option<i64> {
    (position != NONE).then_some(position)
}

impl Lane {
    pub(super) fn read(&mut self, head: &MapHead) {
        *self = Self {
            topic_id: head.topic_id,
            remote_topic_id: head.remote_topic_id,
            producer: (head.producer_id >= 0).then_some((head.producer_id, head.producer_epoch)),
            anchored: head.claimed,
            noted: head.claimed,
            stored: some(head.stored),
            storing: some(head.storing),
            leader_epoch: Some(head.leader_epoch).filter(|epoch| *epoch >= 0),
            loaded: true,
        };
    }

    pub(super) fn head(&self, extent: MapExtent) -> MapHead {
        let (producer_id, producer_epoch) = self.producer.unwrap_or((NONE, -1));
        MapHead {
            topic_id: self.topic_id,
            extent,
            remote_topic_id: self.remote_topic_id,
            producer_id,
            producer_epoch,
            stored: self.stored.unwrap_or(NONE),
            storing: self.storing.unwrap_or(NONE),
            leader_epoch: self.leader_epoch.unwrap_or(-1),
            claimed: self.anchored,
        }
    }

    /// Nothing is known of the target's log any more, and what is stored of it is out of date.
    pub(super) fn unanchor(&mut self) {
        self.anchored = false;
        self.noted = false;
    }

    /// A successor that finds `other` stored compares what this one's would, and shuts out the same.
    fn is_same_claim(&self, other: &Self) -> bool {
        let claim = |lane: &Self| {
            let ids = (lane.topic_id, lane.remote_topic_id);
            (ids, lane.producer, lane.anchored)
        };
        claim(self) == claim(other)
    }
}

impl PartitionMap {
    pub(super) fn new(topic_id: Uuid, map: OffsetMap) -> Self {
        Self {
            map: SharedMap::new(map),
            lane: Mutex::new(Lane {
                topic_id,
                ..Lane::default()
            }),
            changes: AtomicU64::new(0),
        }
    }

    /// A map that another process keeps, as it was stored.
    pub fn of_another(LoadedMap { head, map, .. }: LoadedMap) -> Self {
        let known = Self::new(head.topic_id, map);
        known.change(|lane| lane.read(&head));
        known
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Lane)) {
        change(&mut self.lane.lock().unwrap_or_else(PoisonError::into_inner));
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(super) fn lane(&self) -> Lane {
        *self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The incarnation of the source topic that the map belongs to; none on clusters that do not say.
    pub fn topic_id(&self) -> Option<Uuid> {
        Some(self.lane().topic_id).filter(|id| !id.is_nil())
    }

    /// Who wrote to the lane last, as far as it is known: producer id and epoch.
    pub fn producer(&self) -> Option<(i64, i16)> {
        self.lane().producer
    }

    /// The pair of ends from which the target's tail is to be compared; none for a lane that nothing is known of.
    pub fn anchor(&self) -> Option<(i64, i64)> {
        self.lane().anchored.then(|| self.map.ends())
    }

    /// What lies at the target's end, behind the last copy, was written by somebody else or is not known.
    pub fn ends_unknown(&self) -> bool {
        self.map.read(|map| map.extent().unknown)
    }

    /// Where the copy of a source offset is. A lane that another program had, and that has copied nothing since, knows nothing
    /// of the target's log yet.
    pub fn translate(&self, upstream: i64) -> Translation {
        self.unless_blank(|map| map.translate(upstream))
    }

    /// Which source offset a copy comes from, by the same rules.
    pub fn translate_back(&self, downstream: i64) -> Translation {
        self.unless_blank(|map| map.translate_back(downstream))
    }

    fn unless_blank(&self, ask: impl FnOnce(&SharedMap) -> Translation) -> Translation {
        let is_blank =
            |map: &OffsetMap| map.entries() == 0 && matches!(map.start(), MapStart::From { .. });
        if self.anchor().is_none() && self.map.read(is_blank) {
            Translation::Unknown(UnknownReason::BelowMap)
        } else {
            ask(&self.map)
        }
    }

    /// How often something other than the map's growth has changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// A lane was taken over. `fenced`: a marker keeps all earlier owners of the producer id out, whatever epoch is recorded.
    pub fn taken_over(&self, producer: (i64, i16), fenced: bool) {
        self.change(|lane| {
            let same_id = lane.producer.is_some_and(|(id, _)| id == producer.0);
            lane.noted &= fenced && same_id;
            lane.producer = Some(producer);
            lane.anchored = true;
        });
    }

    /// What is stored lets a successor find where to compare from, and whom to shut out. Else it has to be stored before
    /// the first batch.
    pub fn is_noted(&self) -> bool {
        self.lane().noted
    }

    /// A head of `lane` was stored.
    pub(super) fn note(&self, lane: &Lane) {
        let mut now = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        now.noted |= now.anchored && now.is_same_claim(lane);
    }

    /// The position to be stored now: what is `settled` (the last upstream offset), but first the one of which it is not known
    /// whether it was stored, so that there are never more than two. None: the map does not reach it yet.
    pub(super) fn store(&self, settled: i64) -> Option<i64> {
        let lane = self.lane();
        if lane.storing.is_some() && lane.storing != lane.stored {
            return lane.storing;
        }
        let (end, _) = self.map.ends();
        let position = Some(settled).filter(|settled| *settled < end)?;
        self.change(|lane| lane.storing = Some(position));
        Some(position)
    }

    /// The position is stored.
    pub(super) fn position_stored(&self, position: i64) {
        // What a stored head says stays right.
        let mut lane = self.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if lane.storing == Some(position) {
            lane.stored = lane.storing;
        }
    }

    /// Copying begins at `position`: of a lane that nothing is known of, everything below is passed over.
    pub fn starts_at(&self, position: i64) {
        if self.anchor().is_none() {
            let (_, downstream) = self.map.ends();
            self.map.settle(position, downstream);
        }
    }

    /// The source topic was deleted and created again: nothing of the old one's offsets holds any more.
    pub fn recreated(&self, topic_id: Uuid) {
        self.map.restart(MapStart::Complete);
        self.change(|lane| {
            lane.topic_id = topic_id;
            lane.unanchor();
            lane.leader_epoch = None;
        });
    }

    /// The remote topic has another id than the one that the lane was taken over in.
    pub fn is_elsewhere(&self, remote_topic_id: Uuid) -> bool {
        is_another(self.lane().remote_topic_id, remote_topic_id)
    }

    /// The lane is about to be taken over in this incarnation of the remote topic. If that is another one, nothing of the old
    /// one's offsets holds any more; what was copied into it stays gone, and the first copy is that of what comes next.
    pub fn writes_to(&self, remote_topic_id: Uuid) -> bool {
        let known = self.lane().remote_topic_id;
        let another = is_another(known, remote_topic_id);
        if another {
            let (upstream, _) = self.map.ends();
            self.map.restart(MapStart::Complete);
            self.map.settle(upstream, 0);
        }
        self.change(|lane| {
            lane.remote_topic_id = remote_topic_id;
            if another {
                lane.unanchor();
            }
        });
        another
    }

    /// The source lost what is at and above `upstream`, or is to be copied again from there on; `leader_epoch` is that of what
    /// lies below.
    pub fn moved_back(&self, upstream: i64, leader_epoch: Option<i32>) {
        self.map.truncate_upstream(upstream);
        self.change(|lane| lane.leader_epoch = leader_epoch);
    }

    /// Leader epoch of the source's last record that is settled.
    pub fn leader_epoch(&self) -> Option<i32> {
        self.lane().leader_epoch
    }

    /// What is settled next has this epoch. Called before it is settled: an epoch that is too new is right as well, when the source
    /// is asked whether it has lost something, and one that is too old is not.
    pub fn enter_epoch(&self, leader_epoch: i32) {
        self.change(|lane| lane.leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0));
    }

    /// An operator stores another position: nothing is compared at the next start, which begins there.
    /// `next`: the first upstream offset to copy; none: `auto.offset.reset` decides.
    pub(crate) fn moved_by_operator(&self, next: Option<i64>) {
        self.map.truncate_upstream(next.unwrap_or(0));
        self.map.mark_unknown();
        self.change(|lane| {
            lane.unanchor();
            lane.leader_epoch = None;
        });
    }

    /// No stored position is ours from now on, also for a process that comes after us.
    pub(super) fn disown_position(&self) {
        self.change(|lane| (lane.stored, lane.storing) = (Some(NOBODYS), Some(NOBODYS)));
    }

    /// The target stored these source records from `downstream` on.
    pub fn stored(&self, run: OffsetRun, downstream: i64) {
        let length = u64::from(run.count.unsigned_abs());
        if let Err(error) = (self.map).acknowledged(run.upstream_first, downstream, length) {
            // Cannot be by the window's rules; what is not entered is answered for as not known.
            warn!(%error, "an acknowledged run is not entered in the offset map");
            self.map.mark_unknown();
        }
    }

    /// The first batch of a lane that nothing was known of comes at these ends.
    pub fn begin(&self, upstream: i64, downstream: i64) {
        // Nothing is known of what lies below, on either side.
        if matches!(self.map.read(OffsetMap::start), MapStart::From { .. })
            && self.map.read(OffsetMap::entries) == 0
        {
            self.map.restart(MapStart::From {
                upstream,
                downstream,
            });
        }
        self.map.settle(upstream, downstream);
    }

    /// Records were stored, and no answer told where: everything below `upstream_end` is copied.
    pub fn unknown_up_to(&self, upstream_end: i64) {
        let (_, downstream) = self.map.ends();
        self.map.mark_unknown();
        self.map.settle(upstream_end, downstream);
    }
}

/// Clusters before 2.8 do not tell ids.
pub(super) fn is_another(known: Uuid, now: Uuid) -> bool {
    known != now && !known.is_nil() && !now.is_nil()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane() -> PartitionMap {
        PartitionMap::new(Uuid::nil(), OffsetMap::new(MapStart::Complete))
    }

    /// What a head of this moment would say of positions.
    fn named(map: &PartitionMap) -> (i64, i64) {
        let (_, extent) = map.map.dirty_blocks();
        let head = map.lane().head(extent);
        (head.stored, head.storing)
    }

    #[test]
    fn a_position_that_the_map_does_not_reach_is_not_stored() {
        let map = lane();
        assert_eq!(map.store(7), None);
        assert_eq!(named(&map), (NONE, NONE));
        map.starts_at(8);
        assert_eq!(map.store(7), Some(7));
        assert_eq!(named(&map), (NONE, 7));
    }

    #[test]
    fn whatever_position_may_be_stored_is_named() {
        let map = lane();
        map.starts_at(100);
        assert_eq!(map.store(10), Some(10));
        map.position_stored(10);
        assert_eq!(map.store(20), Some(20));
        // No answer came. Were 30 the next one, 10 would be taken for somebody else's, or 20.
        assert_eq!(map.store(30), Some(20));
        assert_eq!(named(&map), (10, 20));
        map.position_stored(20);
        assert_eq!(map.store(30), Some(30));
        assert_eq!(named(&map), (20, 30));
    }

    #[test]
    fn a_claim_is_noted_when_it_is_stored() {
        let map = lane();
        map.taken_over((5, 0), true);
        let not_stored = map.lane();
        assert!(!map.is_noted());
        map.note(&not_stored);
        assert!(map.is_noted());
        // The coordinator knows the epoch of a fenced id; the one without transactional id has to be stored.
        map.taken_over((5, 1), true);
        assert!(map.is_noted());
        map.taken_over((5, 2), false);
        assert!(!map.is_noted());
        map.note(&not_stored);
        assert!(!map.is_noted(), "that was another epoch");
        map.note(&map.lane());
        assert!(map.is_noted());
        map.recreated(Uuid::from_u128(1));
        map.taken_over((5, 3), true);
        assert!(!map.is_noted(), "what is stored is of another topic");
    }
}
