//! Where a lane goes on: what its stored map says, and whether the stored position agrees.

use std::sync::Arc;

use engine::offsets::{LoadedMap, MapStart, OffsetMap};
use tracing::warn;
use uuid::Uuid;

use super::lane::{PartitionMap, is_another, some};

/// Where a partition goes on.
#[derive(Debug)]
pub struct Opened {
    /// Its map.
    pub map: Arc<PartitionMap>,
    /// First upstream offset to copy; none: `auto.offset.reset` decides.
    pub resume_at: Option<i64>,
}

/// A partition, for log lines.
pub(super) struct Place<'a> {
    pub(super) flow: &'a str,
    pub(super) topic: &'a str,
    pub(super) partition: i32,
}

/// A lane that this process had before.
pub(super) fn again(
    at: &Place<'_>,
    map: Arc<PartitionMap>,
    topic_id: Uuid,
    position: Option<i64>,
) -> Opened {
    let lane = map.lane();
    let resume_at = if is_another(lane.topic_id, topic_id) {
        at.tell_recreated();
        map.recreated(topic_id);
        Some(0)
    } else if lane.anchored {
        Some(map.map.ends().0)
    } else {
        position
    };
    Opened { map, resume_at }
}

/// A lane that a process before us had. One of the `others`' positions counts if it is the one that the map names: then that
/// connector had the partition last, and what is stored under our name is older, or nothing.
pub(super) fn found(
    at: &Place<'_>,
    topic_id: Uuid,
    (position, others): (Option<i64>, &[i64]),
    LoadedMap { head, map, lost }: LoadedMap,
) -> Opened {
    let map = PartitionMap::new(head.topic_id, map);
    let before = |position: Option<i64>| position.map(|next| next - 1);
    let is_named = |position: &Option<i64>| {
        let last = before(*position);
        last == some(head.stored) || last == some(head.storing)
    };
    let position = (std::iter::once(position))
        .chain(others.iter().copied().map(Some))
        .find(is_named)
        .unwrap_or(position);
    let last = before(position);
    map.change(|lane| {
        lane.read(&head);
        // One of the two is no more.
        (lane.stored, lane.storing) = (last, last);
    });
    if is_another(head.topic_id, topic_id) {
        at.tell_recreated();
        map.recreated(topic_id);
        return Opened {
            map: Arc::new(map),
            resume_at: Some(0),
        };
    }
    for lost in lost {
        let (flow, topic, partition) = (at.flow, at.topic, at.partition);
        let (from, to) = (lost.upstream.start, lost.upstream.end);
        warn!(
            flow,
            topic,
            partition,
            from,
            to,
            "the offset map has lost these offsets: groups there are moved to a lower offset"
        );
    }
    let (end, _) = map.map.ends();
    let resume_at = if is_named(&position) {
        Some(end)
    } else {
        let (flow, topic, partition) = (at.flow, at.topic, at.partition);
        warn!(
            flow,
            topic,
            partition,
            position,
            ours = end,
            "the stored position was moved by somebody else: going on there"
        );
        map.change(|lane| {
            lane.unanchor();
            lane.leader_epoch = None;
        });
        let next = position.unwrap_or(0);
        map.map.truncate_upstream(next);
        map.map.mark_unknown();
        position
    };
    Opened {
        map: Arc::new(map),
        resume_at,
    }
}

/// A lane that nobody had before, or that MM2 had.
pub(super) fn fresh(topic_id: Uuid, position: Option<i64>) -> Opened {
    let start = match position {
        // Whose copies of what lies below are where is not known.
        Some(upstream) => MapStart::From {
            upstream,
            downstream: 0,
        },
        None => MapStart::Complete,
    };
    let map = PartitionMap::new(topic_id, OffsetMap::new(start));
    let last = position.map(|next| next - 1);
    // Else a successor that finds our map and this position would take it for somebody else's.
    map.change(|lane| (lane.stored, lane.storing) = (last, last));
    Opened {
        map: Arc::new(map),
        resume_at: position,
    }
}

impl Place<'_> {
    fn tell_recreated(&self) {
        warn!(
            flow = self.flow,
            topic = self.topic,
            partition = self.partition,
            "the source topic was deleted and created again: copying the new one from its start"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Place<'static> = Place {
        flow: "east->west",
        topic: "t",
        partition: 0,
    };

    /// As it is found after its process was killed.
    fn stored(opened: &Opened) -> LoadedMap {
        let (_, extent) = opened.map.map.dirty_blocks();
        LoadedMap {
            head: opened.map.lane().head(extent),
            map: opened.map.map.read(OffsetMap::clone),
            lost: Vec::new(),
        }
    }

    /// A lane that goes on at `position`, and has copied ten records since.
    fn copied(position: Option<i64>) -> Opened {
        let opened = fresh(Uuid::nil(), position);
        let from = position.unwrap_or(0);
        opened.map.starts_at(from);
        opened.map.begin(from, 5);
        opened.map.taken_over((1, 0), true);
        opened.map.map.acknowledged(from, 5, 10).unwrap();
        opened
    }

    /// The position may be MM2's: killed before it stored one itself, a process has copied all the same.
    #[test]
    fn what_was_copied_counts_before_a_position_is_stored() {
        for position in [None, Some(100)] {
            let found = found(&AT, Uuid::nil(), (position, &[]), stored(&copied(position)));
            let end = position.unwrap_or(0) + 10;
            assert_eq!(found.resume_at, Some(end), "from {position:?}");
            assert_eq!(found.map.anchor(), Some((end, 15)), "from {position:?}");
        }
    }

    #[test]
    fn a_position_that_is_neither_of_the_two_counts() {
        let opened = copied(Some(100));
        assert_eq!(opened.map.store(109), Some(109));
        for ours in [100, 110] {
            let found = found(&AT, Uuid::nil(), (Some(ours), &[]), stored(&opened));
            assert_eq!(found.resume_at, Some(110));
        }
        for moved in [None, Some(90), Some(105), Some(500)] {
            let found = found(&AT, Uuid::nil(), (moved, &[]), stored(&opened));
            assert_eq!((found.resume_at, found.map.anchor()), (moved, None));
        }
    }

    /// The last one who had it is another connector: ours is older, or there is none.
    #[test]
    fn what_another_connector_copied_last_is_not_copied_again() {
        let opened = copied(Some(100));
        assert_eq!(opened.map.store(109), Some(109));
        for ours in [None, Some(50)] {
            let found = found(&AT, Uuid::nil(), (ours, &[70, 110]), stored(&opened));
            assert_eq!(
                (found.resume_at, found.map.anchor()),
                (Some(110), Some((110, 15)))
            );
        }
        let moved = found(&AT, Uuid::nil(), (Some(50), &[70]), stored(&opened));
        assert_eq!((moved.resume_at, moved.map.anchor()), (Some(50), None));
    }

    /// Twice a position was about to be stored, and a process died before it was.
    #[test]
    fn killed_twice_between_map_and_position() {
        let mut opened = copied(None);
        for settled in [5, 8] {
            assert_eq!(opened.map.store(settled), Some(settled));
            opened = found(&AT, Uuid::nil(), (None, &[]), stored(&opened));
            assert_eq!(opened.resume_at, Some(10), "{settled}");
        }
    }
}
