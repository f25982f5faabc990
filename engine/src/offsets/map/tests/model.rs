//! The map against a list of all pairs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Questions in each direction, of each case.
const QUESTIONS: usize = 10_000;
const TOPIC_ID: Uuid = Uuid::from_u128(1);

#[derive(Debug, Clone)]
enum Act {
    /// (Offsets that are skipped on each side, records.)
    Push(i64, i64, u64),
    Settle(i64, i64),
    MarkUnknown,
    Truncate(i64),
    /// Log start, below the end.
    Trim(i64),
    /// A write, and whether it fails.
    Store(bool),
    /// A write, and a new process that reads it.
    Reload,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        600 => (0..4i64, 0..3i64, 1..40u64).prop_map(|(u, d, n)| Act::Push(u, d, n)),
        300 => (1..3i64, 1..40u64).prop_map(|(u, n)| Act::Push(u, 0, n)),
        30 => (100..40_000i64, 0..40_000i64).prop_map(|(u, d)| Act::Push(u, d, 1)),
        200 => (0..5i64, 0..4i64).prop_map(|(u, d)| Act::Settle(u, d)),
        60 => Just(Act::MarkUnknown),
        6 => (0..60i64).prop_map(Act::Truncate),
        2 => (0..9_000i64).prop_map(Act::Truncate),
        6 => (0..9_000i64).prop_map(Act::Trim),
        40 => any::<bool>().prop_map(Act::Store),
        6 => Just(Act::Reload),
        1 => Just(Act::Restart),
    ]
}

fn start() -> impl Strategy<Value = MapStart> {
    prop_oneof![
        Just(MapStart::Complete),
        (0..500i64, 0..500i64).prop_map(|(upstream, downstream)| MapStart::From {
            upstream,
            downstream
        }),
    ]
}

/// What the map should know, as lists.
#[derive(Debug)]
struct Model {
    start: MapStart,
    pairs: Vec<At>,
    /// From, up to.
    unknown: Vec<(At, At)>,
    pending: bool,
    mapped_end: At,
    end: At,
}

impl Model {
    fn new(start: MapStart) -> Self {
        Self {
            start,
            pairs: Vec::new(),
            unknown: Vec::new(),
            pending: false,
            mapped_end: start.at(),
            end: start.at(),
        }
    }

    fn push(&mut self, upstream: i64, downstream: i64, length: u64) {
        let at = At {
            upstream,
            downstream,
        };
        if self.pending && at.is_beyond(self.mapped_end) {
            self.unknown.push((self.mapped_end, at));
        }
        self.pending = false;
        self.pairs.extend((0..length).filter_map(|n| at.plus(n, n)));
        self.end = at.plus(length, length).expect("small");
        self.mapped_end = self.end;
    }

    fn truncate(&mut self, end: i64) {
        if end >= self.end.upstream {
            return;
        }
        self.end.upstream = end;
        if let MapStart::From { upstream, .. } = &mut self.start {
            *upstream = end.min(*upstream);
        }
        if end >= self.mapped_end.upstream {
            return;
        }
        self.pairs.retain(|pair| pair.upstream < end);
        let last = self.pairs.last().and_then(|last| last.plus(1, 1));
        let gaps = self.unknown.iter().map(|(_, up_to)| *up_to);
        let ends = gaps.filter(|gap| gap.upstream < end).chain(last);
        self.mapped_end = ends.max_by_key(|at| at.upstream).unwrap_or(self.start.at());
        let (from, cut) = (self.mapped_end, &self.unknown);
        self.pending = cut
            .iter()
            .any(|gap| gap.0 == from && from.upstream < end && gap.1.upstream >= end);
        self.unknown.retain(|(_, up_to)| up_to.upstream < end);
    }

    fn trim(&mut self, start: MapStart) {
        self.start = start;
        let from = start.at().upstream;
        self.pairs.retain(|pair| pair.upstream >= from);
        self.unknown.retain(|(_, up_to)| up_to.upstream > from);
    }

    fn answer(&self, side: Side, offset: i64) -> Translation {
        let mut offset = offset;
        if self.start == MapStart::Complete {
            if self.mapped_end == self.start.at() {
                return Unknown(NothingReplicated);
            }
            offset = offset.max(0);
        }
        if offset < side.asked(self.start.at()) {
            return Unknown(BelowMap);
        }
        let pending = (self.mapped_end, self.end);
        let pending = (self.pending && pending.1.is_beyond(pending.0)).then_some(&pending);
        let covers = |gap: &&(At, At)| side.asked(gap.0) <= offset && offset < side.asked(gap.1);
        if let Some((from, _)) = self.unknown.iter().chain(pending).find(covers) {
            return AtLeast(side.answer(*from));
        }
        let next = self
            .pairs
            .partition_point(|pair| side.asked(*pair) < offset);
        Exact(side.answer(*self.pairs.get(next).unwrap_or(&self.end)))
    }
}

/// A compacted topic: the last record of every key.
type Topic = BTreeMap<Vec<u8>, Vec<u8>>;

fn store(map: &mut OffsetMap, topic: &mut Topic, fails: bool) {
    let records = map.dirty_blocks();
    if fails {
        map.mark_dirty(&records);
        return;
    }
    for record in records {
        let key = record.key("orders", 3).encode().expect("short");
        match record.value(TOPIC_ID) {
            Some(value) => topic.insert(key, value),
            None => topic.remove(&key),
        };
    }
    let head = MapHead {
        topic_id: TOPIC_ID,
        extent: map.extent(),
        remote_topic_id: Uuid::nil(),
        producer_id: 7,
        producer_epoch: 2,
        stored: 1,
        storing: 2,
        leader_epoch: 3,
        claimed: true,
    };
    let key = MapKey::Head {
        topic: "orders",
        partition: 3,
    };
    topic.insert(key.encode().expect("short"), head.encode());
}

fn reload(topic: &Topic) -> OffsetMap {
    let mut table = MapTable::new();
    for (key, value) in topic {
        table.apply(Some(key), Some(value)).expect("as written");
    }
    assert_eq!(table.partitions().collect::<Vec<_>>(), [("orders", 3)]);
    let loaded = table.take("orders", 3).expect("has a head");
    assert!(loaded.lost.is_empty(), "{:?}", loaded.lost);
    assert_eq!(loaded.head.extent, loaded.map.extent());
    assert!(table.take("orders", 3).is_none());
    loaded.map
}

/// Asks at random and compares; then the properties that follow, for all offsets that were asked.
fn compare(map: &OffsetMap, model: &Model, side: Side, seed: u64) {
    let range = side.asked(model.end) + 20;
    let mut asked = Vec::with_capacity(QUESTIONS);
    let mut state = seed | 1;
    for _ in 0..QUESTIONS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        asked.push(i64::try_from(state >> 33).expect("31 bits") % range - 9);
    }
    asked.sort_unstable();
    let mut before = None;
    for offset in asked {
        let answer = map.translate(side, offset);
        assert_eq!(answer, model.answer(side, offset), "{side:?} {offset}");
        assert!(answer.offset() >= before, "{side:?} {offset} went back");
        before = answer.offset().or(before);
        // There and back is the first record at or after the asked one.
        if let Exact(there) = answer
            && offset < side.asked(model.mapped_end)
        {
            let (back, again) = match side {
                Side::Upstream => (map.upstream(there), Side::Upstream),
                Side::Downstream => (map.downstream(there), Side::Downstream),
            };
            let Exact(back) = back else {
                panic!("{side:?} {offset} is at {there}, which is {back:?}")
            };
            assert!(back >= offset, "{side:?} {offset} comes back as {back}");
            assert_eq!(map.translate(again, back), answer);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_map_answers_as_a_list_of_all_pairs_does(
        start in start(),
        acts in proptest::collection::vec(act(), 1..1_500),
        seed: u64,
    ) {
        let mut map = OffsetMap::new(start);
        let mut model = Model::new(start);
        let mut topic = Topic::new();
        for act in acts {
            match act {
                Act::Push(skip_upstream, skip_downstream, length) => {
                    let upstream = map.upstream_end() + skip_upstream;
                    let downstream = map.downstream_end() + skip_downstream;
                    map.push(upstream, downstream, length).expect("behind the end");
                    model.push(upstream, downstream, length);
                }
                Act::Settle(upstream, downstream) => {
                    let (upstream, downstream) =
                        (map.upstream_end() + upstream, map.downstream_end() + downstream);
                    map.settle(upstream, downstream);
                    map.settle(upstream - 1, downstream - 1);
                    model.end = At { upstream, downstream };
                }
                Act::MarkUnknown => {
                    map.mark_unknown();
                    model.pending = true;
                }
                Act::Truncate(back) => {
                    let end = (map.upstream_end() - back).max(0);
                    map.truncate_upstream(end);
                    model.truncate(end);
                }
                Act::Trim(back) => {
                    let log_start = map.upstream_end() - back;
                    let before = map.start();
                    map.trim_upstream(log_start);
                    if map.start() != before {
                        prop_assert!(map.start().at().upstream <= log_start);
                    }
                    model.trim(map.start());
                }
                Act::Store(fails) => store(&mut map, &mut topic, fails),
                Act::Reload => {
                    store(&mut map, &mut topic, false);
                    map = reload(&topic);
                }
                Act::Restart => {
                    map.restart(start);
                    model = Model::new(start);
                }
            }
            prop_assert_eq!(At { upstream: map.upstream_end(), downstream: map.downstream_end() }, model.end);
        }
        compare(&map, &model, Side::Upstream, seed);
        compare(&map, &model, Side::Downstream, seed);
        let pairs: Vec<_> = map
            .segments()
            .flat_map(|run| (0..run.length.cast_signed()).map(move |n| (run.upstream.0 + n, run.downstream.0 + n)))
            .collect();
        let expected: Vec<_> = model.pairs.iter().map(|at| (at.upstream, at.downstream)).collect();
        prop_assert_eq!(pairs, expected);
        store(&mut map, &mut topic, false);
        prop_assert_eq!(topic.len(), 1 + map.bases().count(), "what is gone is removed");
        let loaded = reload(&topic);
        compare(&loaded, &model, Side::Upstream, seed);
        prop_assert_eq!((loaded.entries(), loaded.start()), (map.entries(), map.start()));
        prop_assert!(loaded.segments().eq(map.segments()));
    }
}
