//! The state machine, driven by hand: requests and time.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::join::Joining;
use super::member::Synced;
use super::{Classic, State};
use crate::groups::{At, Client, GroupSettings};

const SESSION_MS: i32 = 10_000;
const REBALANCE_MS: i32 = 60_000;

struct Bench {
    group: Classic,
    settings: GroupSettings,
    now_ms: i64,
}

fn text(s: &str) -> StrBytes {
    StrBytes::from_string(s.to_owned())
}

fn order(id: &str, protocols: &[&str]) -> JoinGroupRequest {
    let protocols = protocols.iter().map(|name| {
        JoinGroupRequestProtocol::default()
            .with_name(text(name))
            .with_metadata(Bytes::from_static(b"subscription"))
    });
    JoinGroupRequest::default()
        .with_member_id(text(id))
        .with_session_timeout_ms(SESSION_MS)
        .with_rebalance_timeout_ms(REBALANCE_MS)
        .with_protocol_type(text("consumer"))
        .with_protocols(protocols.collect())
}

type Wait<T> = oneshot::Receiver<T>;

impl Bench {
    fn new(delay_ms: i64) -> Self {
        let settings = GroupSettings {
            initial_rebalance_delay_ms: delay_ms,
            ..GroupSettings::default()
        };
        Self {
            group: Classic::default(),
            settings,
            now_ms: 1_000,
        }
    }

    fn act<R>(&mut self, work: impl FnOnce(&mut Classic, &At<'_>) -> R) -> R {
        let at = At {
            now_ms: self.now_ms,
            settings: &self.settings,
        };
        work(&mut self.group, &at)
    }

    fn join_as(&mut self, request: &JoinGroupRequest, version: i16) -> Wait<JoinGroupResponse> {
        let (answer, wait) = oneshot::channel();
        let client = Client {
            id: text("app"),
            host: text("/127.0.0.1"),
        };
        let joining = Joining {
            request,
            version,
            client,
            answer,
        };
        self.act(|group, at| group.join(joining, at));
        wait
    }

    /// A dynamic member's first join, both requests of it.
    fn enter(&mut self, protocols: &[&str]) -> (String, Wait<JoinGroupResponse>) {
        let asked = self.join_as(&order("", protocols), 9).try_recv().unwrap();
        assert_eq!(asked.error_code, ResponseError::MemberIdRequired.code());
        let id = asked.member_id.to_string();
        let wait = self.join_as(&order(&id, protocols), 9);
        (id, wait)
    }

    fn rejoin(&mut self, id: &str) -> Wait<JoinGroupResponse> {
        self.join_as(&order(id, &["range"]), 9)
    }

    fn sync(&mut self, id: &str, generation: i32, given: &[(&str, &'static str)]) -> Wait<Synced> {
        let given = given.iter().map(|(id, assignment)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(id))
                .with_assignment(Bytes::from_static(assignment.as_bytes()))
        });
        let request = SyncGroupRequest::default()
            .with_member_id(text(id))
            .with_generation_id(generation)
            .with_assignments(given.collect());
        let (answer, wait) = oneshot::channel();
        self.act(|group, at| group.sync(&request, answer, at));
        wait
    }

    fn heartbeat(&mut self, id: &str, generation: i32) -> Result<(), ResponseError> {
        let request = HeartbeatRequest::default()
            .with_member_id(text(id))
            .with_generation_id(generation);
        self.act(|group, at| group.heartbeat(&request, at))
    }

    fn pass(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        // As the cluster's own loop: what is due, one moment after the other.
        while let Some(due) = self.group.deadline().filter(|due| *due <= end) {
            self.now_ms = self.now_ms.max(due);
            self.act(|group, at| group.expire(at));
        }
        self.now_ms = end;
    }

    fn leave(&mut self, id: &str, instance: Option<&str>) -> Result<(), ResponseError> {
        let leaving = [(text(id), instance.map(text))];
        self.act(|group, at| group.leave(&leaving, at)).remove(0)
    }

    fn commit(&mut self, id: &str, generation: i32) -> Result<(), ResponseError> {
        let id = text(id);
        self.act(|group, at| group.may_commit(&id, None, generation, false, at))
    }

    /// One member, stable in generation 1.
    fn alone(&mut self) -> String {
        let (id, mut wait) = self.enter(&["range"]);
        assert_eq!(wait.try_recv().unwrap().generation_id, 1);
        let mut synced = self.sync(&id, 1, &[(&id, "all")]);
        assert_eq!(&synced.try_recv().unwrap().unwrap().2[..], b"all");
        assert_eq!(self.group.state(), State::Stable);
        id
    }

    /// Two members, the first one leading, stable in generation 2.
    fn pair(&mut self) -> (String, String) {
        let first = self.alone();
        let (second, mut wait) = self.enter(&["range"]);
        assert_eq!(
            self.heartbeat(&first, 1),
            Err(ResponseError::RebalanceInProgress)
        );
        let mut again = self.rejoin(&first);
        let lead = again.try_recv().unwrap();
        let follow = wait.try_recv().unwrap();
        assert_eq!((lead.generation_id, follow.generation_id), (2, 2));
        assert_eq!((lead.members.len(), follow.members.len()), (2, 0));
        assert_eq!(&*lead.leader, first.as_str());
        let mut second_synced = self.sync(&second, 2, &[]);
        assert!(second_synced.try_recv().is_err(), "waits for the leader");
        let mut synced = self.sync(&first, 2, &[(&first, "a"), (&second, "b")]);
        assert_eq!(&synced.try_recv().unwrap().unwrap().2[..], b"a");
        assert_eq!(&second_synced.try_recv().unwrap().unwrap().2[..], b"b");
        (first, second)
    }
}

#[test]
fn two_members_agree_and_the_leader_assigns() {
    Bench::new(0).pair();
}

#[test]
fn an_empty_group_waits_for_more_members_and_longer_while_they_come() {
    let mut bench = Bench::new(3_000);
    let (_, mut first) = bench.enter(&["range"]);
    bench.pass(2_000);
    let (_, mut second) = bench.enter(&["range"]);
    bench.pass(1_500);
    assert!(
        first.try_recv().is_err(),
        "the second member extended the wait"
    );
    bench.pass(2_500);
    assert_eq!(first.try_recv().unwrap().generation_id, 1);
    assert_eq!(second.try_recv().unwrap().generation_id, 1);
}

#[test]
fn a_known_member_id_is_not_asked_of_old_clients() {
    let mut bench = Bench::new(0);
    let joined = bench.join_as(&order("", &["range"]), 3).try_recv().unwrap();
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
}

#[test]
fn a_promised_id_that_never_comes_does_not_hold_a_round_up_for_ever() {
    let mut bench = Bench::new(0);
    let first = bench.alone();
    bench.join_as(&order("", &["range"]), 9).try_recv().unwrap();
    let (_second, mut wait) = bench.enter(&["range"]);
    let mut again = bench.rejoin(&first);
    assert!(again.try_recv().is_err(), "waits for the promised member");
    bench.pass(SESSION_MS.into());
    assert_eq!(again.try_recv().unwrap().generation_id, 2);
    assert_eq!(wait.try_recv().unwrap().generation_id, 2);
}

#[test]
fn the_common_protocol_with_most_votes_is_chosen() {
    let mut bench = Bench::new(3_000);
    let (_, mut first) = bench.enter(&["range", "sticky"]);
    bench.enter(&["sticky", "range"]);
    bench.enter(&["robin", "sticky", "range"]);
    bench.pass(10_000);
    let chosen = first.try_recv().unwrap().protocol_name;
    assert_eq!(chosen.as_deref(), Some("sticky"));
}

#[test]
fn a_stranger_to_the_protocols_is_refused() {
    let mut bench = Bench::new(0);
    bench.alone();
    for request in [
        order("", &["robin"]),
        order("", &["range"]).with_protocol_type(text("connect")),
        order("", &[]),
    ] {
        let refused = bench.join_as(&request, 9).try_recv().unwrap();
        assert_eq!(
            refused.error_code,
            ResponseError::InconsistentGroupProtocol.code()
        );
    }
}

#[test]
fn a_full_group_takes_nobody_else() {
    let mut bench = Bench::new(0);
    bench.settings.members_max = 1;
    bench.alone();
    let refused = bench.join_as(&order("", &["range"]), 9).try_recv().unwrap();
    assert_eq!(
        refused.error_code,
        ResponseError::GroupMaxSizeReached.code()
    );
}

#[test]
fn generations_and_members_are_checked() {
    let mut bench = Bench::new(0);
    let id = bench.alone();
    let unknown = Err(ResponseError::UnknownMemberId);
    let illegal = Err(ResponseError::IllegalGeneration);
    assert_eq!(bench.heartbeat(&id, 1), Ok(()));
    assert_eq!(bench.heartbeat(&id, 0), illegal);
    assert_eq!(bench.heartbeat("nobody", 1), unknown);
    let synced = bench.sync(&id, 2, &[]).try_recv().unwrap();
    assert_eq!(synced.unwrap_err(), ResponseError::IllegalGeneration);
    let joined = bench.rejoin("nobody").try_recv().unwrap();
    assert_eq!(joined.error_code, ResponseError::UnknownMemberId.code());
}

#[test]
fn section_8_commits_into_a_group_with_members() {
    let mut bench = Bench::new(0);
    let id = bench.alone();
    let unknown = Err(ResponseError::UnknownMemberId);
    let illegal = Err(ResponseError::IllegalGeneration);
    assert_eq!(bench.commit("", -1), unknown, "a simple commit");
    assert_eq!(bench.commit(&id, 1), Ok(()));
    assert_eq!(
        bench.commit(&id, 5),
        illegal,
        "its own id, another generation"
    );
    bench.pass(SESSION_MS.into());
    assert_eq!(
        bench.group.state(),
        State::Empty,
        "the killed member is given up"
    );
    assert_eq!(bench.commit("", -1), Ok(()));
    assert_eq!(bench.commit("anybody", -1), Ok(()));
    assert_eq!(bench.commit("", 5), unknown, "offsets only");
}

#[test]
fn a_member_that_falls_silent_is_given_up_and_the_other_goes_on() {
    let mut bench = Bench::new(0);
    let (first, second) = bench.pair();
    bench.pass(6_000);
    assert_eq!(bench.heartbeat(&second, 2), Ok(()));
    bench.pass(6_000);
    assert_eq!(
        bench.heartbeat(&second, 2),
        Err(ResponseError::RebalanceInProgress)
    );
    assert_eq!(
        bench.heartbeat(&first, 2),
        Err(ResponseError::UnknownMemberId)
    );
    let joined = bench.rejoin(&second).try_recv().unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(*joined.leader, *second);
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_out() {
    let mut bench = Bench::new(0);
    let first = bench.alone();
    let (_, mut wait) = bench.enter(&["range"]);
    for _ in 0..REBALANCE_MS / 5_000 {
        assert!(wait.try_recv().is_err());
        // It lives, but does not join.
        assert_eq!(
            bench.heartbeat(&first, 1),
            Err(ResponseError::RebalanceInProgress)
        );
        bench.pass(5_000);
    }
    assert_eq!(wait.try_recv().unwrap().generation_id, 2);
    assert_eq!(
        bench.heartbeat(&first, 2),
        Err(ResponseError::UnknownMemberId)
    );
}

#[test]
fn a_leader_that_never_assigns_is_out() {
    let mut bench = Bench::new(0);
    let (first, second) = bench.pair();
    let mut lead = bench.rejoin(&first);
    let mut follow = bench.rejoin(&second);
    assert_eq!(lead.try_recv().unwrap().generation_id, 3);
    assert_eq!(follow.try_recv().unwrap().generation_id, 3);
    let mut waiting = bench.sync(&second, 3, &[]);
    for _ in 0..REBALANCE_MS / 5_000 {
        bench.heartbeat(&first, 3).ok(); // refused the last time
        bench.pass(5_000);
    }
    let synced = waiting.try_recv().unwrap();
    assert_eq!(synced.unwrap_err(), ResponseError::RebalanceInProgress);
    let joined = bench.rejoin(&second).try_recv().unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (4, 1));
}

#[test]
fn whoever_leaves_sets_the_others_free() {
    let mut bench = Bench::new(0);
    let (first, second) = bench.pair();
    assert_eq!(
        bench.leave("nobody", None),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(bench.leave(&first, None), Ok(()));
    let joined = bench.rejoin(&second).try_recv().unwrap();
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
    assert_eq!(bench.leave(&second, None), Ok(()));
    assert_eq!(bench.group.state(), State::Empty);
    assert_eq!(&*bench.group.protocol_type(), "consumer");
}

#[test]
fn lost_answers_are_given_again() {
    let mut bench = Bench::new(0);
    let (first, second) = bench.pair();
    let joined = bench.rejoin(&second).try_recv().unwrap();
    assert_eq!(
        (joined.generation_id, joined.error_code),
        (2, 0),
        "a follower's"
    );
    assert_eq!(bench.group.state(), State::Stable);
    let synced = bench.sync(&second, 2, &[]).try_recv().unwrap().unwrap();
    assert_eq!(&synced.2[..], b"b");
    assert!(
        bench.rejoin(&first).try_recv().is_err(),
        "the leader's is a new round"
    );
    assert_eq!(bench.group.state(), State::PreparingRebalance);
}

fn fixed(id: &str) -> JoinGroupRequest {
    order(id, &["range"]).with_group_instance_id(Some(text("i-1")))
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut bench = Bench::new(0);
    let joined = bench.join_as(&fixed(""), 9).try_recv().unwrap();
    let old = joined.member_id.to_string();
    assert!(old.starts_with("i-1-") && joined.generation_id == 1);
    bench
        .sync(&old, 1, &[(&old, "all")])
        .try_recv()
        .unwrap()
        .unwrap();
    let back = bench.join_as(&fixed(""), 9).try_recv().unwrap();
    assert_eq!((back.error_code, back.generation_id), (0, 1));
    assert!(back.skip_assignment && back.leader == back.member_id);
    let new = back.member_id.to_string();
    let synced = bench.sync(&new, 1, &[]).try_recv().unwrap().unwrap();
    assert_eq!(&synced.2[..], b"all");
    let fenced = bench.join_as(&fixed(&old), 9).try_recv().unwrap();
    assert_eq!(fenced.error_code, ResponseError::FencedInstanceId.code());
    // An older client does not know that it need not assign.
    let back = bench.join_as(&fixed(""), 8).try_recv().unwrap();
    assert!(!back.skip_assignment && *back.leader == *new);
    assert!(back.members.is_empty());
    assert_eq!(
        bench.leave("", Some("i-2")),
        Err(ResponseError::UnknownMemberId)
    );
    assert_eq!(bench.leave("", Some("i-1")), Ok(()));
    assert_eq!(bench.group.state(), State::Empty);
}

#[test]
fn a_new_coordinator_knows_the_last_stable_generation_only() {
    let mut bench = Bench::new(0);
    let first = bench.alone();
    let (second, mut wait) = bench.enter(&["range"]);
    bench.pass(5_000);
    bench.act(|group, at| group.reload(at));
    assert!(matches!(
        wait.try_recv(),
        Err(oneshot::error::TryRecvError::Closed)
    ));
    assert_eq!(bench.group.state(), State::Stable);
    bench.pass(9_000);
    assert_eq!(bench.heartbeat(&first, 1), Ok(()), "its session began anew");
    assert_eq!(
        bench.heartbeat(&second, 1),
        Err(ResponseError::UnknownMemberId)
    );
    bench.pass(SESSION_MS.into());
    assert_eq!(bench.group.state(), State::Empty);
}

#[test]
fn offsets_of_what_members_read_neither_expire_nor_may_be_deleted() {
    use kafka_protocol::messages::ConsumerProtocolSubscription;
    use kafka_protocol::protocol::Encodable;
    let mut bench = Bench::new(0);
    let mut metadata = bytes::BytesMut::from(&b"\0\x01"[..]);
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text("read")]);
    subscription.encode(&mut metadata, 1).unwrap();
    let mut request = order("", &["range"]);
    request.protocols[0].metadata = metadata.freeze();
    let id = bench
        .join_as(&request, 3)
        .try_recv()
        .unwrap()
        .member_id
        .to_string();
    bench.sync(&id, 1, &[]).try_recv().unwrap().unwrap();
    let subscribed = Err(ResponseError::GroupSubscribedToTopic);
    assert_eq!(bench.group.may_delete_offsets("read"), subscribed);
    assert_eq!(bench.group.may_delete_offsets("other"), Ok(()));
    assert_eq!(bench.group.expiry_base("read", 7), None);
    assert_eq!(bench.group.expiry_base("other", 7), Some(7));
    bench.pass(SESSION_MS.into());
    assert_eq!(
        bench.group.expiry_base("read", 7),
        Some(bench.now_ms),
        "since it is empty"
    );
    assert_eq!(bench.group.may_delete_offsets("read"), Ok(()));
}
