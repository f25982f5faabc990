//! Consumer groups of the classic protocol with one member each, and the calls that list and describe.

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::Message;

use crate::random::{GROUPS, Group, Random, Topic};
use crate::world::{Membership, Operation, World, text, topic_name};

/// A member that is never heard of again outlives the list. Unit: milliseconds.
const SESSION_TIMEOUT_MS: i32 = 1_200_000;
/// Name of the one static member of a group.
const INSTANCE: &str = "static";
/// The slot of the group whose members use the newer protocol, mostly.
pub(crate) const MODERN_GROUP: usize = GROUPS - 1;
/// MEMBER_ID_REQUIRED: the group now expects the member that it has just named.
const MEMBER_ID_REQUIRED: i16 = 79;

/// Answer to what would make a group one of the other protocol while it has members.
const MIGRATION: &str = "not sent: the embedded cluster does not know online migration";

/// Member epoch of somebody who left for good; who left for a while is still a member.
const LEFT: i32 = -1;

/// Which member id a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Own,
    Empty,
    Stranger,
}

fn known(world: &World, group: Group) -> (String, i32, Option<&'static str>, bool) {
    match group {
        Group::Slot(slot) => {
            let Membership {
                member_id,
                generation,
                busy,
                instance,
                ..
            } = &world.members[slot];
            (member_id.clone(), *generation, *instance, *busy)
        }
        _ => (String::new(), 0, None, false),
    }
}

impl Member {
    fn of(self, own: &str) -> &str {
        match self {
            Self::Own => own,
            Self::Empty => "",
            Self::Stranger => "stranger",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct JoinGroup {
    version: i16,
    pub(crate) group: Group,
    member: Member,
    instance: bool,
    session_timeout_ms: i32,
    protocol_type: &'static str,
    protocols: &'static [&'static str],
    metadata: &'static [u8],
}

/// A consumer's subscription, version 0, to no topic and with no user data.
const NO_TOPICS: &[u8] = &[0, 0, 0, 0, 0, 0, 255, 255, 255, 255];

impl JoinGroup {
    pub(crate) fn random(random: &mut Random) -> Self {
        // Whoever joins a group brings it into being, so there is no missing one.
        let group = match random.group() {
            Group::Missing => Group::Slot(0),
            group => group,
        };
        Self {
            version: random.version(JoinGroupRequest::VERSIONS),
            group,
            member: random.weighted(&[
                (20, Member::Own),
                (3, Member::Empty),
                (1, Member::Stranger),
            ]),
            instance: random.chance(20),
            session_timeout_ms: random.or(SESSION_TIMEOUT_MS, 6, &[0, 100, i32::MAX, -1]),
            protocol_type: random.or("consumer", 6, &["connect", ""]),
            protocols: random.or(
                &["range"][..],
                25,
                &[&["range", "roundrobin"][..], &["sticky"][..], &[][..]],
            ),
            metadata: random.or(NO_TOPICS, 10, &[b"".as_slice(), b"odd".as_slice()]),
        }
    }
}

impl Operation for JoinGroup {
    fn run(&self, world: &mut World) -> String {
        let (own, _, instance, busy) = known(world, self.group);
        let member_id = self.member.of(&own).to_owned();
        let has_instance = self.version >= 5 && (instance.is_some() || (self.instance && !busy));
        if busy && member_id.is_empty() && !has_instance {
            return "not sent: a second member would wait for the first".to_owned();
        }
        if let Group::Slot(slot) = self.group
            && !world.members[slot].modern.is_empty()
        {
            return MIGRATION.to_owned();
        }
        let protocol = |name: &&str| {
            JoinGroupRequestProtocol::default()
                .with_name(text(name))
                .with_metadata(Bytes::from_static(self.metadata))
        };
        let mut request = JoinGroupRequest::default()
            .with_group_id(world.group(self.group))
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_member_id(text(&member_id))
            .with_protocol_type(text(self.protocol_type))
            .with_protocols(self.protocols.iter().map(protocol).collect());
        if self.version >= 1 {
            request.rebalance_timeout_ms = SESSION_TIMEOUT_MS;
        }
        if has_instance {
            request.group_instance_id = Some(text(INSTANCE));
        }
        let (answer, text) = world.ask(self.version, &request);
        if let (Some(answer), Group::Slot(slot)) = (answer, self.group) {
            let member = &mut world.members[slot];
            if answer.error_code == 0 || answer.error_code == MEMBER_ID_REQUIRED {
                member.member_id = answer.member_id.to_string();
                member.busy = true;
            }
            if answer.error_code == 0 {
                member.generation = answer.generation_id;
                member.instance = has_instance.then_some(INSTANCE);
            }
        }
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct SyncGroup {
    version: i16,
    pub(crate) group: Group,
    member: Member,
    generation: i32,
    protocol: Option<&'static str>,
}

impl SyncGroup {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            version: random.version(SyncGroupRequest::VERSIONS),
            group: random.group(),
            member: random.weighted(&[
                (20, Member::Own),
                (1, Member::Empty),
                (1, Member::Stranger),
            ]),
            generation: random.or(0, 8, &[1, -1]),
            protocol: random.or(Some("range"), 8, &[Some("other"), None]),
        }
    }
}

impl Operation for SyncGroup {
    fn run(&self, world: &mut World) -> String {
        let (own, generation, instance, _) = known(world, self.group);
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(text(&own))
            .with_assignment(Bytes::from_static(b"assigned"));
        let mut request = SyncGroupRequest::default()
            .with_group_id(world.group(self.group))
            .with_generation_id(generation + self.generation)
            .with_member_id(text(self.member.of(&own)))
            .with_assignments(vec![assignment]);
        if self.version >= 3 {
            request.group_instance_id = instance.map(text);
        }
        if self.version >= 5 {
            request.protocol_type = Some(text("consumer"));
            request.protocol_name = self.protocol.map(text);
        }
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Heartbeat {
    version: i16,
    pub(crate) group: Group,
    member: Member,
    generation: i32,
}

impl Heartbeat {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            version: random.version(HeartbeatRequest::VERSIONS),
            group: random.group(),
            member: random.weighted(&[
                (20, Member::Own),
                (2, Member::Empty),
                (2, Member::Stranger),
            ]),
            generation: random.or(0, 15, &[1, -1]),
        }
    }
}

impl Operation for Heartbeat {
    fn run(&self, world: &mut World) -> String {
        let (own, generation, instance, _) = known(world, self.group);
        let mut request = HeartbeatRequest::default()
            .with_group_id(world.group(self.group))
            .with_generation_id(generation + self.generation)
            .with_member_id(text(self.member.of(&own)));
        if self.version >= 3 {
            request.group_instance_id = instance.map(text);
        }
        world.ask(self.version, &request).1
    }
}

#[derive(Clone, Debug)]
pub(crate) struct LeaveGroup {
    version: i16,
    pub(crate) group: Group,
    member: Member,
    by_instance: bool,
}

impl LeaveGroup {
    pub(crate) fn random(random: &mut Random) -> Self {
        Self {
            version: random.version(LeaveGroupRequest::VERSIONS),
            group: random.group(),
            member: random.weighted(&[
                (10, Member::Own),
                (1, Member::Empty),
                (1, Member::Stranger),
            ]),
            by_instance: random.chance(15),
        }
    }
}

impl Operation for LeaveGroup {
    fn run(&self, world: &mut World) -> String {
        let (own, _, instance, _) = known(world, self.group);
        let member_id = text(self.member.of(&own));
        let mut request = LeaveGroupRequest::default().with_group_id(world.group(self.group));
        if self.version < 3 {
            request.member_id = member_id;
        } else {
            let instance = instance.or(self.by_instance.then_some(INSTANCE));
            let member = MemberIdentity::default()
                .with_member_id(member_id)
                .with_group_instance_id(instance.map(text));
            request.members = vec![member];
        }
        let (answer, text) = world.ask(self.version, &request);
        if let (Some(answer), Group::Slot(slot)) = (answer, self.group)
            && answer.error_code == 0
            && answer.members.iter().all(|m| m.error_code == 0)
        {
            let member = &mut world.members[slot];
            member.modern.remove(&member.member_id);
            member.busy = !member.modern.is_empty();
            member.instance = None;
        }
        text
    }
}

/// A heartbeat of the newer protocol (KIP-848), which joins, stays, subscribes and leaves.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerHeartbeat {
    version: i16,
    pub(crate) group: Group,
    member: Member,
    epoch: MemberEpoch,
    topics: Option<Vec<Topic>>,
    instance: bool,
    assignor: Option<&'static str>,
    rebalance_timeout_ms: i32,
    owned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberEpoch {
    /// The member's, moved by this much.
    Own(i32),
    Fixed(i32),
}

impl ConsumerHeartbeat {
    pub(crate) fn random(random: &mut Random) -> Self {
        let group = random.or(
            Group::Slot(MODERN_GROUP),
            6,
            &[Group::Slot(0), Group::Slot(1), Group::Empty],
        );
        let epoch = random.weighted(&[
            (8, MemberEpoch::Fixed(0)),
            (12, MemberEpoch::Own(0)),
            (1, MemberEpoch::Own(1)),
            (1, MemberEpoch::Own(-1)),
            (2, MemberEpoch::Fixed(-1)),
            (1, MemberEpoch::Fixed(-2)),
            (1, MemberEpoch::Fixed(-3)),
        ]);
        let joins = epoch == MemberEpoch::Fixed(0);
        let subscribes = joins || random.chance(30);
        let count = random.between(1, 2);
        Self {
            version: random.version(ConsumerGroupHeartbeatRequest::VERSIONS),
            group,
            member: random.or(Member::Own, 5, &[Member::Empty, Member::Stranger]),
            epoch,
            topics: (subscribes && !random.odd(5))
                .then(|| (0..count).map(|_| random.topic()).collect()),
            instance: random.odd(5),
            assignor: random.or(
                None,
                20,
                &[Some("uniform"), Some("range"), Some("other"), Some("")],
            ),
            rebalance_timeout_ms: if joins {
                random.or(300_000, 4, &[-1, 0])
            } else {
                -1
            },
            owned: joins && !random.odd(6),
        }
    }
}

impl Operation for ConsumerHeartbeat {
    fn run(&self, world: &mut World) -> String {
        let (mut own, epoch, _, busy) = known(world, self.group);
        if let Group::Slot(slot) = self.group
            && self.epoch == MemberEpoch::Fixed(0)
            && busy
            && world.members[slot].modern.is_empty()
        {
            return MIGRATION.to_owned();
        }
        // Version 0 lets the broker choose an id at the first time; version 1 and above bring their own.
        if own.is_empty() && self.version >= 1 {
            own = "member".to_owned();
        }
        let member_id = self.member.of(&own).to_owned();
        let topics = self
            .topics
            .as_ref()
            .map(|all| all.iter().map(|t| topic_name(&world.topic(*t))).collect());
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(world.group(self.group))
            .with_member_id(text(&member_id))
            .with_member_epoch(match self.epoch {
                MemberEpoch::Own(more) => epoch + more,
                MemberEpoch::Fixed(epoch) => epoch,
            })
            .with_instance_id(self.instance.then(|| text(INSTANCE)))
            .with_rebalance_timeout_ms(self.rebalance_timeout_ms)
            .with_subscribed_topic_names(topics)
            .with_server_assignor(self.assignor.map(text))
            .with_topic_partitions(self.owned.then(Vec::new));
        let (answer, text) = world.ask(self.version, &request);
        if let (Some(answer), Group::Slot(slot)) = (answer, self.group)
            && answer.error_code == 0
        {
            let member = &mut world.members[slot];
            member.generation = answer.member_epoch;
            if let Some(id) = answer.member_id {
                member.member_id = id.to_string();
            }
            if answer.member_epoch == LEFT {
                member.modern.remove(&member.member_id);
            } else {
                member.modern.insert(member.member_id.clone());
            }
            member.busy = !member.modern.is_empty();
        }
        text
    }
}

#[derive(Clone, Debug)]
pub(crate) struct DeleteGroups {
    version: i16,
    groups: Vec<Group>,
}

impl DeleteGroups {
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut groups = vec![random.group()];
        if random.chance(20) {
            groups.push(random.group());
        }
        if groups.len() > 1 && groups[0] == groups[1] {
            groups.pop();
        }
        Self {
            version: random.version(DeleteGroupsRequest::VERSIONS),
            groups,
        }
    }
}

impl Operation for DeleteGroups {
    fn run(&self, world: &mut World) -> String {
        let names = self.groups.iter().map(|g| world.group(*g)).collect();
        let (answer, text) = world.ask(
            self.version,
            &DeleteGroupsRequest::default().with_groups_names(names),
        );
        for slot in 0..GROUPS {
            let name = world.group(Group::Slot(slot));
            let mut results = answer.iter().flat_map(|a| &a.results);
            if results.any(|r| r.group_id == name && r.error_code == 0) {
                world.members[slot].busy = false;
            }
        }
        text
    }
}

/// Looks at groups without changing them.
#[derive(Clone, Debug)]
pub(crate) enum Look {
    List {
        version: i16,
        states: Vec<&'static str>,
        types: Vec<&'static str>,
    },
    Describe {
        version: i16,
        groups: Vec<Group>,
        operations: bool,
    },
    DescribeConsumer {
        version: i16,
        groups: Vec<Group>,
    },
    FindCoordinator {
        version: i16,
        key_type: i8,
        keys: Vec<Group>,
    },
}

impl Look {
    pub(crate) fn random(random: &mut Random) -> Self {
        let count = random.or(1, 25, &[0, 2]);
        let groups = (0..count).map(|_| random.group()).collect();
        match random.below(4) {
            0 => {
                let version = random.version(ListGroupsRequest::VERSIONS);
                let states: &[&str] = random.of(&[
                    &[][..],
                    &[][..],
                    &["Empty"][..],
                    &["stable", "Dead"][..],
                    &["odd"][..],
                ]);
                let types: &[&str] = random.of(&[
                    &[][..],
                    &[][..],
                    &["classic"][..],
                    &["CONSUMER"][..],
                    &["odd"][..],
                ]);
                Self::List {
                    version,
                    states: if version >= 4 {
                        states.to_vec()
                    } else {
                        vec![]
                    },
                    types: if version >= 5 { types.to_vec() } else { vec![] },
                }
            }
            1 => {
                let version = random.version(DescribeGroupsRequest::VERSIONS);
                Self::Describe {
                    version,
                    groups,
                    operations: version >= 3 && random.chance(40),
                }
            }
            2 => Self::DescribeConsumer {
                version: random.version(ConsumerGroupDescribeRequest::VERSIONS),
                groups,
            },
            _ => {
                let version = random.version(FindCoordinatorRequest::VERSIONS);
                let key_type = random.or(0, 40, &[1, 1, 2, 3, 9]);
                Self::FindCoordinator {
                    version,
                    key_type: if version == 0 { 0 } else { key_type },
                    keys: groups,
                }
            }
        }
    }
}

impl Operation for Look {
    fn run(&self, world: &mut World) -> String {
        let names = |world: &World, groups: &[Group]| {
            groups.iter().map(|g| world.group(*g)).collect::<Vec<_>>()
        };
        match self {
            Self::List {
                version,
                states,
                types,
            } => {
                let request = ListGroupsRequest::default()
                    .with_states_filter(states.iter().map(|s| text(s)).collect())
                    .with_types_filter(types.iter().map(|s| text(s)).collect());
                world.ask(*version, &request).1
            }
            Self::Describe {
                version,
                groups,
                operations,
            } => {
                let request = DescribeGroupsRequest::default()
                    .with_groups(names(world, groups))
                    .with_include_authorized_operations(*operations);
                world.ask(*version, &request).1
            }
            Self::DescribeConsumer { version, groups } => {
                let request =
                    ConsumerGroupDescribeRequest::default().with_group_ids(names(world, groups));
                world.ask(*version, &request).1
            }
            Self::FindCoordinator {
                version,
                key_type,
                keys,
            } => {
                let mut keys: Vec<_> = names(world, keys).into_iter().map(|g| g.0).collect();
                let mut request = FindCoordinatorRequest::default();
                if *version >= 1 {
                    request.key_type = *key_type;
                }
                if *version < 4 {
                    request.key = keys.pop().unwrap_or_default();
                } else {
                    request.coordinator_keys = keys;
                }
                world.ask(*version, &request).1
            }
        }
    }
}
