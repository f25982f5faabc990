//! Everything that a cluster holds after a list: logs batch by batch, offsets, configs, producers, groups.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::*;

use crate::groups::{Look, MODERN_GROUP};
use crate::offsets::FetchOffsets;
use crate::random::{GROUPS, Group, PRODUCERS, TRANSACTIONAL_FROM};
use crate::records::describe;
use crate::transactions::InitProducerId;
use crate::world::{Operation, World, text, topic_name};

/// Stands for an offset that the cluster did not tell.
const NO_OFFSET: i64 = -99;
/// Most Fetch requests for one partition; a list writes some hundred batches at most.
const FETCHES_MAX: usize = 1_000;

/// What there is, one line per fact.
pub(crate) fn contents(world: &mut World) -> String {
    let mut out = String::new();
    for (name, partitions) in world.existing() {
        out += &format!(
            "topic {} with {partitions} partitions\n{}",
            name,
            configs(world, &name)
        );
        for partition in 0..partitions as i32 {
            out += &format!("partition {name} {partition}\n");
            let offset = |world: &mut World, timestamp, isolation| {
                let partition = ListOffsetsPartition::default()
                    .with_partition_index(partition)
                    .with_timestamp(timestamp);
                let topic = ListOffsetsTopic::default()
                    .with_name(topic_name(&name))
                    .with_partitions(vec![partition]);
                let request = ListOffsetsRequest::default()
                    .with_replica_id(BrokerId(-1))
                    .with_isolation_level(isolation)
                    .with_topics(vec![topic]);
                let (answer, _) = world.ask(7, &request);
                let topics = answer.into_iter().flat_map(|answer| answer.topics);
                let found = topics.flat_map(|topic| topic.partitions).next();
                found.map_or(NO_OFFSET, |partition| partition.offset)
            };
            let (start, end, stable) = (
                offset(world, -2, 0),
                offset(world, -1, 0),
                offset(world, -1, 1),
            );
            out += &format!("start {start} end {end} last stable {stable}\n");
            out += &log(world, &name, partition, start, end);
            let topic = TopicRequest::default()
                .with_name(topic_name(&name))
                .with_partition_indexes(vec![partition]);
            out += &world
                .ask(
                    0,
                    &DescribeProducersRequest::default().with_topics(vec![topic]),
                )
                .1;
        }
    }
    let groups: Vec<Group> = (0..GROUPS).map(Group::Slot).collect();
    let offsets = FetchOffsets {
        version: 9,
        groups: groups.clone(),
        topics: None,
        stable: false,
    };
    out += &offsets.run(world);
    out += &Look::Describe {
        version: 6,
        groups,
        operations: false,
    }
    .run(world);
    let ids = (TRANSACTIONAL_FROM..PRODUCERS)
        .map(|slot| world.transactional_id(slot))
        .collect();
    out += &world
        .ask(
            0,
            &DescribeTransactionsRequest::default().with_transactional_ids(ids),
        )
        .1;
    out
}

fn configs(world: &mut World, name: &str) -> String {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let (answer, _) = world.ask(4, &request);
    let results = answer.into_iter().flat_map(|answer| answer.results);
    let all = results.flat_map(|result| result.configs);
    let mut set: Vec<String> = all
        .filter(|config| config.config_source == 1)
        .map(|config| format!("  {}={:?}\n", config.name.as_str(), config.value))
        .collect();
    set.sort();
    set.concat()
}

fn log(world: &mut World, name: &str, partition: i32, start: i64, end: i64) -> String {
    let mut out = String::new();
    let mut offset = start;
    for _ in 0..FETCHES_MAX {
        if offset >= end {
            return out;
        }
        let asked = FetchPartition::default()
            .with_partition(partition)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(i32::MAX);
        let topic = FetchTopic::default()
            .with_topic(topic_name(name))
            .with_partitions(vec![asked]);
        let request = FetchRequest::default()
            .with_max_wait_ms(0)
            .with_topics(vec![topic]);
        let (answer, text) = world.ask(12, &request);
        let topics = answer.into_iter().flat_map(|answer| answer.responses);
        let Some(found) = topics.flat_map(|topic| topic.partitions).next() else {
            return out + &text;
        };
        let records = found.records.clone().unwrap_or_default();
        for line in describe(&records, &world.names) {
            out += &line;
            out.push('\n');
        }
        let next = batch::batches(&records)
            .map_while(Result::ok)
            .last()
            .map(|b| b.header.next_offset());
        match next {
            Some(next) if next > offset => offset = next,
            _ => return out + &format!("nothing more at {offset}: error {}\n", found.error_code),
        }
    }
    out + "more than this test reads\n"
}

/// Ends what the list left open and deletes its topics and groups, for the lists that come after it.
pub(crate) fn clean_up(world: &mut World) {
    for session in std::mem::take(&mut world.sessions) {
        let request = FetchRequest::default()
            .with_session_id(session)
            .with_session_epoch(-1);
        world.ask_once(12, &request);
    }
    for slot in TRANSACTIONAL_FROM..PRODUCERS {
        InitProducerId::slot(slot).run(world);
    }
    let names: Vec<TopicName> = world
        .existing()
        .iter()
        .map(|(name, _)| topic_name(name))
        .collect();
    let delete = DeleteTopicsRequest::default()
        .with_topic_names(names)
        .with_timeout_ms(10_000);
    world.ask(5, &delete);
    let leave = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(world.group(Group::Slot(MODERN_GROUP)))
        .with_member_id(text(&world.members[MODERN_GROUP].member_id))
        .with_member_epoch(-1);
    world.ask(0, &leave);
    for slot in 0..GROUPS {
        let member = leave_group_request::MemberIdentity::default()
            .with_member_id(text(&world.members[slot].member_id))
            .with_group_instance_id(world.members[slot].instance.map(text));
        let leave = LeaveGroupRequest::default()
            .with_group_id(world.group(Group::Slot(slot)))
            .with_members(vec![member]);
        world.ask(3, &leave);
    }
    let groups = (0..GROUPS)
        .map(Group::Slot)
        .chain([Group::Missing, Group::Empty])
        .map(|g| world.group(g));
    let delete = DeleteGroupsRequest::default().with_groups_names(groups.collect());
    world.ask(0, &delete);
    world.settle_metadata();
}
