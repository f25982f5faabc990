//! A KIP-848 group as ConsumerGroupDescribe shows it.

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment as AssignmentRow, DescribedGroup, Member as MemberRow, TopicPartitions,
};
use kafka_protocol::protocol::StrBytes;

use super::member::Member;
use super::{Assignment, Consumers, Image};

/// Member type of somebody who speaks the KIP-848 protocol.
const CONSUMER: i8 = 1;

/// A group and the topics that its description names.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) group: DescribedGroup,
    pub(crate) topics: Vec<String>,
}

impl Consumers {
    /// Everything but id and permissions.
    pub(crate) fn describe(&self, image: &Image) -> Described {
        let members = self.members.values();
        let group = DescribedGroup::default()
            .with_group_state(StrBytes::from_static_str(self.state_name()))
            .with_group_epoch(self.epoch)
            .with_assignment_epoch(self.assignment_epoch)
            .with_assignor_name(StrBytes::from_static_str(self.assignor()))
            .with_members(members.map(|member| self.row(member, image)).collect());
        let rows = group.members.iter();
        let topics = rows.flat_map(|row| {
            let names = row.subscribed_topic_names.iter();
            let given = [&row.assignment, &row.target_assignment].into_iter();
            let given =
                given.flat_map(|a| a.topic_partitions.iter().map(|topic| &topic.topic_name));
            names.chain(given).map(|name| name.to_string())
        });
        let mut topics: Vec<String> = topics.collect();
        topics.sort_unstable();
        topics.dedup();
        Described { group, topics }
    }

    fn row(&self, member: &Member, image: &Image) -> MemberRow {
        let nothing = Assignment::new();
        let target = self.target.get(&member.id).unwrap_or(&nothing);
        // A broker says "" of a member without a pattern, never null.
        let pattern = member.pattern.as_ref().map(|pattern| pattern.text.clone());
        MemberRow::default()
            .with_member_id(member.id.clone())
            .with_instance_id(member.instance_id.clone())
            .with_rack_id(member.rack_id.clone())
            .with_member_epoch(member.epoch)
            .with_client_id(member.client.id.clone())
            .with_client_host(member.client.host.clone())
            .with_subscribed_topic_names(member.names.iter().cloned().map(Into::into).collect())
            .with_subscribed_topic_regex(Some(pattern.unwrap_or_default()))
            .with_assignment(named(&member.held(), image))
            .with_target_assignment(named(target, image))
            .with_member_type(CONSUMER)
    }
}

/// Topics that are gone are left out.
fn named(assignment: &Assignment, image: &Image) -> AssignmentRow {
    let rows = image.iter().filter_map(|(name, (id, _))| {
        let partitions = assignment.get(id)?.iter().copied().collect();
        let name = StrBytes::from_string(name.clone());
        Some(
            TopicPartitions::default()
                .with_topic_id(*id)
                .with_topic_name(name.into())
                .with_partitions(partitions),
        )
    });
    AssignmentRow::default().with_topic_partitions(rows.collect())
}
