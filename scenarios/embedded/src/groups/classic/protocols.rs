//! Which protocol (assignment strategy, for consumers) the members agree on, and what consumers subscribe to.

use bytes::{Buf, Bytes};
use kafka_protocol::messages::ConsumerProtocolSubscription;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::protocol::{Message, StrBytes};

use super::Classic;

/// Protocol type of consumers; Connect's workers have another.
const CONSUMER: &str = "consumer";

impl Classic {
    /// Whether somebody with these protocols could be a member: the type is the group's, and one of them is common to all.
    pub(super) fn supports(
        &self,
        protocol_type: &StrBytes,
        protocols: &[JoinGroupRequestProtocol],
    ) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|p| self.is_common(&p.name))
    }

    fn is_common(&self, protocol: &StrBytes) -> bool {
        self.members
            .values()
            .all(|member| member.protocols.iter().any(|p| p.name == *protocol))
    }

    /// The common protocol that most members prefer; of several the one that was voted for first.
    pub(super) fn elect_protocol(&self) -> Option<StrBytes> {
        let votes = self.members.values().filter_map(|member| {
            let common = |p: &&JoinGroupRequestProtocol| self.is_common(&p.name);
            member.protocols.iter().find(common)
        });
        let mut counts: Vec<(&StrBytes, usize)> = Vec::new();
        for vote in votes {
            match counts.iter_mut().find(|(name, _)| **name == vote.name) {
                Some((_, count)) => *count += 1,
                None => counts.push((&vote.name, 1)),
            }
        }
        // max_by_key takes the last of equals, hence from behind.
        let winner = counts.into_iter().rev().max_by_key(|(_, count)| *count);
        winner.map(|(name, _)| name.clone())
    }

    pub(super) fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether a consumer of the group may subscribe to the topic: who agreed on no protocol yet, or whose metadata cannot be read, may.
    pub(super) fn subscribes(&self, topic: &str) -> bool {
        self.members.values().any(|member| {
            let metadata = member.metadata(self.protocol.as_ref());
            subscription(metadata).is_none_or(|found| found.topics.iter().any(|t| **t == *topic))
        })
    }
}

/// Reads a subscription as the consumer wrote it: a version, then the message; unknown versions are read as the newest known.
fn subscription(mut metadata: Bytes) -> Option<ConsumerProtocolSubscription> {
    if metadata.len() < 2 {
        return None;
    }
    let version = metadata.get_i16();
    let newest = ConsumerProtocolSubscription::VERSIONS.max;
    messages::decode(&mut metadata, version.clamp(0, newest)).ok()
}
