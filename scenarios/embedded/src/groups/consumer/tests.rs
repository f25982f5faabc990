//! KIP-848 groups, driven by hand: heartbeats and time.

use std::collections::BTreeMap;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::{Beat, Consumers, Image, Refusal};
use crate::groups::group::Committer;
use crate::groups::{At, Client, GroupSettings};

const REBALANCE_MS: i32 = 60_000;

struct Bench {
    group: Consumers,
    settings: GroupSettings,
    image: Image,
    now_ms: i64,
}

fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

/// The first heartbeat of a member that subscribes to topic t.
fn first(id: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text("g").into())
        .with_member_id(text(id))
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_subscribed_topic_names(Some(vec![text("t").into()]))
        .with_topic_partitions(Some(Vec::new()))
}

/// A later one that says nothing new.
fn later(id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(text("g").into())
        .with_member_id(text(id))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_subscribed_topic_names(None)
        .with_topic_partitions(None)
}

/// A later one that says which partitions of t it has.
fn owning(id: &str, epoch: i32, partitions: &[i32]) -> ConsumerGroupHeartbeatRequest {
    let owned = TopicPartitions::default()
        .with_topic_id(topic_id("t"))
        .with_partitions(partitions.to_vec());
    later(id, epoch).with_topic_partitions(Some(vec![owned]))
}

fn topic_id(name: &str) -> Uuid {
    Uuid::from_u128(name.bytes().fold(1, |id, byte| id * 256 + u128::from(byte)))
}

/// Epoch and, if told, partitions of t.
fn told(response: &ConsumerGroupHeartbeatResponse) -> (i32, Option<Vec<i32>>) {
    let partitions = response.assignment.as_ref().map(|assignment| {
        let topics = assignment.topic_partitions.iter();
        let topics = topics.filter(|topic| topic.topic_id == topic_id("t"));
        topics.flat_map(|topic| topic.partitions.clone()).collect()
    });
    (response.member_epoch, partitions)
}

impl Bench {
    fn new(topics: &[(&str, i32)]) -> Self {
        let topics = topics.iter();
        Self {
            group: Consumers::default(),
            settings: GroupSettings::default(),
            image: topics
                .map(|(name, n)| ((*name).to_owned(), (topic_id(name), *n)))
                .collect(),
            now_ms: 1_000,
        }
    }

    fn send(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let visible: Vec<String> = self.image.keys().cloned().collect();
        let beat = Beat {
            request,
            version: 1,
            client: Client::default(),
            image: &self.image,
            visible: &visible,
        };
        beat.check()?;
        let at = At {
            now_ms: self.now_ms,
            settings: &self.settings,
        };
        self.group.heartbeat(&beat, &at)
    }

    fn ok(&mut self, request: &ConsumerGroupHeartbeatRequest) -> (i32, Option<Vec<i32>>) {
        told(&self.send(request).unwrap())
    }

    fn refused(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ResponseError {
        self.send(request).unwrap_err().0
    }

    fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        let at = At {
            now_ms: self.now_ms,
            settings: &self.settings,
        };
        self.group.expire(&at);
    }
}

#[test]
fn a_partition_changes_hands_in_three_heartbeats() {
    let mut bench = Bench::new(&[("t", 4)]);
    assert_eq!(bench.group.state_name(), "Empty");
    assert_eq!(bench.ok(&first("a")), (2, Some(vec![0, 1, 2, 3])));
    assert_eq!(bench.group.state_name(), "Stable");
    assert_eq!(bench.ok(&later("a", 2)), (2, None), "nothing new");
    // b has to wait for what a has.
    assert_eq!(bench.ok(&first("b")), (3, Some(vec![])));
    assert_eq!(bench.group.state_name(), "Reconciling");
    let (epoch, kept) = bench.ok(&later("a", 2));
    let kept = kept.unwrap();
    assert_eq!(
        (epoch, kept.len()),
        (2, 2),
        "told to give two up, in its old epoch"
    );
    assert_eq!(bench.ok(&owning("a", 2, &[0, 1, 2, 3])).0, 2, "not yet");
    assert_eq!(bench.ok(&later("b", 3)), (3, None));
    assert_eq!(bench.ok(&owning("a", 2, &kept)).0, 3);
    let (epoch, given) = bench.ok(&later("b", 3));
    let mut all = [kept, given.unwrap()].concat();
    all.sort_unstable();
    assert_eq!((epoch, all), (3, vec![0, 1, 2, 3]));
    assert_eq!(bench.group.state_name(), "Stable");
}

#[test]
fn epochs_fence() {
    let mut bench = Bench::new(&[("t", 4)]);
    bench.ok(&first("a"));
    assert_eq!(
        bench.refused(&later("b", 2)),
        ResponseError::UnknownMemberId
    );
    assert_eq!(
        bench.refused(&later("a", 3)),
        ResponseError::FencedMemberEpoch
    );
    // The answer with the new epoch was lost: the member comes with its previous one and a part of what it has.
    bench.ok(&first("a")
        .with_member_epoch(2)
        .with_subscribed_topic_names(Some(vec![text("t").into(), text("later").into()])));
    assert_eq!(
        bench.refused(&later("a", 2)),
        ResponseError::FencedMemberEpoch
    );
    assert_eq!(bench.ok(&owning("a", 2, &[0, 1])).0, 3);
    assert_eq!(
        bench.ok(&first("a")).1,
        Some(vec![0, 1, 2, 3]),
        "it may always begin anew"
    );
}

#[test]
fn whoever_is_silent_or_keeps_partitions_is_fenced() {
    let mut bench = Bench::new(&[("t", 4)]);
    bench.ok(&first("a"));
    bench.ok(&first("b"));
    bench.ok(&later("a", 2));
    for _ in 0..REBALANCE_MS / 30_000 {
        assert_eq!(bench.ok(&owning("a", 2, &[0, 1, 2, 3])).0, 2);
        bench.ok(&later("b", 3));
        bench.pass(30_000);
    }
    assert_eq!(
        bench.refused(&later("a", 2)),
        ResponseError::UnknownMemberId
    );
    assert_eq!(bench.ok(&later("b", 3)), (4, Some(vec![0, 1, 2, 3])));
    bench.pass(bench.settings.consumer_session_timeout_ms);
    assert!(bench.group.is_empty());
    assert_eq!(bench.group.deadline(), None);
}

#[test]
fn leaving_gives_all_to_the_others() {
    let mut bench = Bench::new(&[("t", 2)]);
    bench.ok(&first("a"));
    bench.ok(&first("b"));
    assert_eq!(bench.ok(&later("a", -1)), (-1, None));
    assert_eq!(bench.group.state_name(), "Assigning");
    assert_eq!(bench.ok(&later("b", 3)), (4, Some(vec![0, 1])));
    assert_eq!(
        bench.refused(&later("a", -1)),
        ResponseError::UnknownMemberId
    );
}

#[test]
fn a_static_member_that_left_for_a_while_finds_its_partitions() {
    let mut bench = Bench::new(&[("t", 4)]);
    let fixed = |request: ConsumerGroupHeartbeatRequest| request.with_instance_id(Some(text("i")));
    bench.ok(&fixed(first("a")));
    let taken = bench.refused(&fixed(first("a2")));
    assert_eq!(taken, ResponseError::UnreleasedInstanceId);
    assert_eq!(bench.ok(&fixed(later("a", -2))), (-2, None));
    assert_eq!(
        bench.ok(&fixed(first("a2"))),
        (2, Some(vec![0, 1, 2, 3])),
        "no new epoch"
    );
    assert_eq!(
        bench.refused(&fixed(later("a", 2))),
        ResponseError::FencedInstanceId
    );
    let stranger = later("b", 2).with_instance_id(Some(text("j")));
    assert_eq!(bench.refused(&stranger), ResponseError::UnknownMemberId);
    bench.ok(&fixed(later("a2", -2)));
    bench.pass(bench.settings.consumer_session_timeout_ms);
    assert!(bench.group.is_empty(), "it did not come back");
}

#[test]
fn topics_that_come_grow_and_go_are_noticed() {
    let mut bench = Bench::new(&[("t", 1), ("other", 1)]);
    let pattern = first("a")
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(Some(text("t.*")));
    assert_eq!(bench.ok(&pattern), (2, Some(vec![0])));
    bench.image.insert("t".to_owned(), (topic_id("t"), 3));
    assert_eq!(bench.ok(&later("a", 2)), (3, Some(vec![0, 1, 2])));
    bench.image.insert("t2".to_owned(), (topic_id("t2"), 1));
    let answer = bench.send(&later("a", 3)).unwrap();
    assert_eq!(answer.assignment.unwrap().topic_partitions.len(), 2);
    bench.image.remove("t");
    bench.image.remove("t2");
    let (epoch, left) = bench.ok(&later("a", 4));
    assert_eq!((epoch, left), (4, Some(vec![])), "to be given up");
    assert_eq!(
        bench
            .ok(&later("a", 4).with_topic_partitions(Some(vec![])))
            .0,
        5
    );
    let wrong = later("a", 5).with_subscribed_topic_regex(Some(text("(")));
    assert_eq!(
        bench.refused(&wrong),
        ResponseError::InvalidRegularExpression
    );
}

#[test]
fn the_assignor_is_voted_for() {
    let mut bench = Bench::new(&[("t", 5)]);
    let range = |id: &str| first(id).with_server_assignor(Some(text("range")));
    assert_eq!(bench.group.assignor(), "uniform");
    bench.ok(&range("a"));
    bench.ok(&range("b"));
    assert_eq!(bench.group.assignor(), "range");
    assert_eq!(bench.ok(&later("a", 2)).1, Some(vec![0, 1, 2]));
    bench.ok(&owning("a", 2, &[0, 1, 2]));
    assert_eq!(bench.ok(&later("b", 3)).1, Some(vec![3, 4]));
    let other = first("c").with_server_assignor(Some(text("mine")));
    assert_eq!(bench.refused(&other), ResponseError::UnsupportedAssignor);
}

#[test]
fn malformed_heartbeats_are_refused_in_kafkas_words() {
    let mut bench = Bench::new(&[("t", 1)]);
    let cases: BTreeMap<&str, ConsumerGroupHeartbeatRequest> = BTreeMap::from([
        ("MemberId can't be empty.", first("")),
        (
            "GroupId can't be empty.",
            first("a").with_group_id(text(" ").into()),
        ),
        (
            "InstanceId can't be empty.",
            first("a").with_instance_id(Some(text(""))),
        ),
        (
            "RackId can't be empty.",
            first("a").with_rack_id(Some(text(""))),
        ),
        (
            "RebalanceTimeoutMs must be provided in first request.",
            first("a").with_rebalance_timeout_ms(-1),
        ),
        (
            "TopicPartitions must be empty when (re-)joining.",
            first("a").with_topic_partitions(None),
        ),
        (
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
            first("a").with_subscribed_topic_names(None),
        ),
        ("InstanceId can't be null.", later("a", -2)),
        ("MemberEpoch is invalid.", later("a", -3)),
    ]);
    for (words, request) in cases {
        let refusal = bench.send(&request).unwrap_err();
        assert_eq!(refusal, (ResponseError::InvalidRequest, words.to_owned()));
    }
}

#[test]
fn section_8_commits_into_a_group_with_members() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&first("a"));
    let commit = |bench: &Bench, id: &str, epoch: i32, version: i16| {
        let who = Committer {
            member_id: &text(id),
            instance_id: None,
            epoch,
            transactional: false,
            version,
        };
        bench.group.may_commit(&who, &[(topic_id("t"), 0)])
    };
    let unknown = Err(ResponseError::UnknownMemberId);
    assert_eq!(commit(&bench, "", -1, 9), unknown, "a simple commit");
    assert_eq!(commit(&bench, "b", 2, 9), unknown);
    assert_eq!(commit(&bench, "a", 2, 9), Ok(()));
    assert_eq!(
        commit(&bench, "a", 0, 9),
        Err(ResponseError::StaleMemberEpoch)
    );
    assert_eq!(
        commit(&bench, "a", 2, 8),
        Err(ResponseError::UnsupportedVersion)
    );
    assert_eq!(bench.group.may_fetch(None, -1), Ok(()));
    assert_eq!(bench.group.may_fetch(Some(&text("a")), 2), Ok(()));
    let stale = Err(ResponseError::StaleMemberEpoch);
    assert_eq!(bench.group.may_fetch(Some(&text("a")), 3), stale);
    let subscribed = Err(ResponseError::GroupSubscribedToTopic);
    assert_eq!(bench.group.may_delete_offsets("t"), subscribed);
    assert_eq!(bench.group.may_delete_offsets("u"), Ok(()));
    assert_eq!(bench.group.expiry_base("t", 5), None);
    bench.ok(&later("a", -1));
    assert_eq!(commit(&bench, "", -1, 8), Ok(()), "without members");
    assert_eq!(bench.group.expiry_base("t", 5), Some(5));
}

/// KIP-1251: an answer that makes the epoch grow may still be on its way to the member.
#[test]
fn a_member_commits_under_the_epochs_in_which_it_had_the_partition() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&first("a"));
    bench.image.insert("t".to_owned(), (topic_id("t"), 2));
    assert_eq!(bench.ok(&later("a", 2)), (3, Some(vec![0, 1])));
    let stale = Err(ResponseError::StaleMemberEpoch);
    for (epoch, partitions, transactional, expected) in [
        (3, &[0, 1, 2][..], false, Ok(())),
        (2, &[0], false, Ok(())),
        (2, &[0, 1], false, stale),
        (2, &[1], true, Err(ResponseError::IllegalGeneration)),
        (1, &[0], false, stale),
        (4, &[], false, stale),
    ] {
        let who = Committer {
            member_id: &text("a"),
            instance_id: None,
            epoch,
            transactional,
            version: 9,
        };
        let partitions: Vec<_> = partitions.iter().map(|p| (topic_id("t"), *p)).collect();
        assert_eq!(
            bench.group.may_commit(&who, &partitions),
            expected,
            "{epoch} {partitions:?}"
        );
    }
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.settings.consumers_max = 1;
    bench.ok(&first("a"));
    assert_eq!(
        bench.refused(&first("b")),
        ResponseError::GroupMaxSizeReached
    );
    bench.ok(&first("a"));
}

#[test]
fn a_new_coordinator_gives_members_their_time_again() {
    let mut bench = Bench::new(&[("t", 1)]);
    bench.ok(&first("a"));
    bench.now_ms += 40_000;
    let at = At {
        now_ms: bench.now_ms,
        settings: &bench.settings,
    };
    bench.group.reload(&at);
    bench.pass(40_000);
    assert_eq!(bench.ok(&later("a", 2)), (2, None));
}

/// What a member describes as its own: partitions of topics t and u.
fn described(bench: &Bench) -> (Vec<i32>, Vec<i32>) {
    let group = bench.group.describe(&bench.image).group;
    let of = |name: &str| {
        let rows = group.members[0].assignment.topic_partitions.iter();
        let rows = rows.filter(|row| *row.topic_name == *name);
        rows.flat_map(|row| row.partitions.clone()).collect()
    };
    (of("t"), of("u"))
}

#[test]
fn what_a_member_still_gives_up_is_shown_as_its_own() {
    let mut b = Bench::new(&[("t", 2), ("u", 1)]);
    let subscribed = |request: ConsumerGroupHeartbeatRequest, names: &[&str]| {
        let names = names.iter().map(|name| text(name).into()).collect();
        request.with_subscribed_topic_names(Some(names))
    };
    assert_eq!(b.ok(&subscribed(first("m"), &["t", "u"])).0, 2);
    // Gives up u: told at once, kept until it says so.
    assert_eq!(
        b.ok(&subscribed(later("m", 2), &["t"])),
        (2, Some(vec![0, 1]))
    );
    assert_eq!(described(&b), (vec![0, 1], vec![0]));
    // And now t, too, while it still has u.
    assert_eq!(b.ok(&subscribed(later("m", 2), &["v"])), (2, Some(vec![])));
    assert_eq!(described(&b), (vec![0, 1], vec![0]));
    assert_eq!(b.ok(&owning("m", 2, &[])), (4, None));
    assert_eq!(described(&b), (vec![], vec![]));
}
