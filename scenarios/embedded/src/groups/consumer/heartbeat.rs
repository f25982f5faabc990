//! ConsumerGroupHeartbeat: joining, living, leaving.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as AssignmentRow, TopicPartitions,
};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;

use super::assignors::ASSIGNORS;
use super::member::{LEFT_FOR_A_WHILE, Member, State};
use super::pattern::Pattern;
use super::{Assignment, Consumers, Image};
use crate::cluster::random_id;
use crate::groups::{At, Client};

/// The member epoch of somebody who joins; below it are those who leave: [`LEFT`], [`LEFT_FOR_A_WHILE`].
const JOIN: i32 = 0;

/// The member epoch of somebody who leaves for good.
const LEFT: i32 = -1;

/// First version whose members choose their own ids.
const OWN_MEMBER_ID: i16 = 1;

/// A refusal, and the broker's words.
pub(crate) type Refusal = (ResponseError, String);

/// A heartbeat on its way.
#[derive(Debug)]
pub(crate) struct Beat<'a> {
    pub(crate) request: &'a ConsumerGroupHeartbeatRequest,
    pub(crate) version: i16,
    pub(crate) client: Client,
    /// All topics.
    pub(crate) image: &'a Image,
    /// The names that a pattern of this member may find.
    pub(crate) visible: &'a [String],
}

impl Beat<'_> {
    /// Whether the group is made if it is not there.
    pub(crate) fn joins(&self) -> bool {
        self.request.member_epoch == JOIN
    }

    /// What can be judged without the group.
    ///
    /// # Errors
    /// INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let request = self.request;
        let invalid = |text: &str| Err((ResponseError::InvalidRequest, text.to_owned()));
        let blank = |text: &Option<StrBytes>| text.as_ref().is_some_and(|t| t.trim().is_empty());
        let names_itself = request.member_epoch > JOIN || request.member_epoch == LEFT;
        let anonymous = self.version < OWN_MEMBER_ID && !names_itself;
        if request.member_id.trim().is_empty() && !anonymous {
            return invalid("MemberId can't be empty.");
        }
        if request.group_id.trim().is_empty() {
            return invalid("GroupId can't be empty.");
        }
        if blank(&request.instance_id) {
            return invalid("InstanceId can't be empty.");
        }
        if blank(&request.rack_id) {
            return invalid("RackId can't be empty.");
        }
        if self.joins() {
            if request.rebalance_timeout_ms == -1 {
                return invalid("RebalanceTimeoutMs must be provided in first request.");
            }
            if request
                .topic_partitions
                .as_ref()
                .is_none_or(|owned| !owned.is_empty())
            {
                return invalid("TopicPartitions must be empty when (re-)joining.");
            }
            if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none()
            {
                return invalid(
                    "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.",
                );
            }
        }
        if request.member_epoch == LEFT_FOR_A_WHILE && request.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
        if request.member_epoch < LEFT_FOR_A_WHILE {
            return invalid("MemberEpoch is invalid.");
        }
        match request.server_assignor.as_deref() {
            Some(other) if !ASSIGNORS.contains(&other) => Err((
                ResponseError::UnsupportedAssignor,
                format!(
                    "ServerAssignor {other} is not supported. Supported assignors: {}.",
                    ASSIGNORS.join(", ")
                ),
            )),
            _ => Ok(()),
        }
    }
}

impl Consumers {
    /// A member joins, lives or leaves. [`Beat::check`] comes first.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Beat<'_>,
        at: &At<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let request = beat.request;
        if request.member_epoch < JOIN {
            return self.leave(request, at);
        }
        let pattern = match &request.subscribed_topic_regex {
            Some(text) if !text.is_empty() => Some(Pattern::new(text.clone()).map_err(|why| {
                let text = format!(
                    "SubscribedTopicRegex `{text}` is not a valid regular expression: {why}."
                );
                (ResponseError::InvalidRegularExpression, text)
            })?),
            _ => None,
        };
        let owned = request.topic_partitions.as_ref().map(|rows| {
            let rows = rows.iter();
            rows.map(|row| (row.topic_id, row.partitions.iter().copied().collect()))
                .collect::<Assignment>()
        });
        let (id, is_new) = self.identify(beat, owned.as_ref(), at)?;
        let Some(member) = self.members.get_mut(&id) else {
            return Err(unknown(&id, &request.group_id));
        };
        let before = member.assigned.clone();
        let changed = member.learn(beat, pattern) || is_new;
        member.restart_session(at);
        let seen = self.subscribed(beat.image);
        // Somebody who left changed the epoch already, and may have taken topics along.
        let assigned = self.assignment_epoch == self.epoch;
        if changed || (assigned && seen != self.seen) {
            self.epoch = self.epoch.saturating_add(1);
        }
        self.seen = seen;
        if self.assignment_epoch < self.epoch {
            self.assign(beat.image);
        }
        self.reconcile(&id, owned.as_ref(), changed.then_some(beat.image), at);
        let Some(member) = self.members.get(&id) else {
            return Err(unknown(&id, &request.group_id));
        };
        let says_all = request.rebalance_timeout_ms != -1
            && (request.subscribed_topic_names.is_some()
                || request.subscribed_topic_regex.is_some())
            && owned.is_some();
        let tell = beat.joins() || says_all || before != member.assigned;
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(id))
            .with_member_epoch(member.epoch)
            .with_heartbeat_interval_ms(at.settings.consumer_heartbeat_interval_ms)
            .with_assignment(tell.then(|| rows(&member.assigned))))
    }

    /// The subscribed topics as they are now.
    fn subscribed(&self, image: &Image) -> Image {
        let all = self
            .members
            .values()
            .flat_map(|member| member.topics(image));
        all.filter_map(|name| Some((name.to_owned(), *image.get(name)?)))
            .collect()
    }

    /// Finds or makes the member; says whether it is new.
    fn identify(
        &mut self,
        beat: &Beat<'_>,
        owned: Option<&Assignment>,
        at: &At<'_>,
    ) -> Result<(StrBytes, bool), Refusal> {
        let request = beat.request;
        let id = match request.member_id.is_empty() {
            true => StrBytes::from_string(random_id()),
            false => request.member_id.clone(),
        };
        if let Some(instance_id) = &request.instance_id {
            match self.statics.get(instance_id).cloned() {
                // Also under the same id: it has not said that it left.
                Some(known) if beat.joins() => {
                    self.replace_static(instance_id, &known, &id)?;
                    return Ok((id, false));
                }
                Some(known) if known == id => {}
                Some(known) => return Err(fenced_instance(&id, instance_id, &known)),
                None if beat.joins() => {}
                None => {
                    return Err((
                        ResponseError::UnknownMemberId,
                        format!("Instance id {instance_id} is unknown."),
                    ));
                }
            }
        }
        let full = self.members.len() >= at.settings.consumers_max;
        match self.members.get_mut(&id) {
            Some(member) if beat.joins() => {
                if let Some(instance_id) = &request.instance_id {
                    member.instance_id = Some(instance_id.clone());
                    self.statics.insert(instance_id.clone(), id.clone());
                }
            }
            Some(member) => check_epoch(member, request.member_epoch, owned)?,
            None if !beat.joins() => return Err(unknown(&id, &request.group_id)),
            None if full => {
                return Err((
                    ResponseError::GroupMaxSizeReached,
                    format!(
                        "The consumer group has reached its maximum capacity of {} members.",
                        at.settings.consumers_max
                    ),
                ));
            }
            None => {
                if let Some(instance_id) = &request.instance_id {
                    self.statics.insert(instance_id.clone(), id.clone());
                }
                let member = Member {
                    id: id.clone(),
                    instance_id: request.instance_id.clone(),
                    ..Member::default()
                };
                self.members.insert(id.clone(), member);
                return Ok((id, true));
            }
        }
        Ok((id, false))
    }

    /// A static member is back under a new id, after it left for a while: it takes over what its former self had.
    fn replace_static(
        &mut self,
        instance_id: &StrBytes,
        old: &StrBytes,
        id: &StrBytes,
    ) -> Result<(), Refusal> {
        let left = |member: &Member| member.epoch == LEFT_FOR_A_WHILE;
        if !self.members.get(old).is_some_and(left) {
            return Err((
                ResponseError::UnreleasedInstanceId,
                format!(
                    "Static member {id} with instance id {instance_id} cannot join the group because the instance id is owned by {old} member."
                ),
            ));
        }
        if let Some((index, _, mut member)) = self.members.shift_remove_full(old) {
            member.id = id.clone();
            member.epoch = JOIN;
            member.previous_epoch = JOIN;
            self.members.shift_insert(index, id.clone(), member);
        }
        if let Some(target) = self.target.remove(old) {
            self.target.insert(id.clone(), target);
        }
        self.statics.insert(instance_id.clone(), id.clone());
        Ok(())
    }

    /// A member leaves: for good, or, if it is static, until its session is over.
    fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        at: &At<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let id = match &request.instance_id {
            None => request.member_id.clone(),
            Some(instance_id) => match self.statics.get(instance_id) {
                Some(known) if *known == request.member_id => known.clone(),
                Some(known) => {
                    return Err(fenced_instance(&request.member_id, instance_id, known));
                }
                None => {
                    return Err((
                        ResponseError::UnknownMemberId,
                        format!("Instance id {instance_id} is unknown."),
                    ));
                }
            },
        };
        let Some(member) = self.members.get_mut(&id) else {
            return Err(unknown(&id, &request.group_id));
        };
        if request.member_epoch == LEFT_FOR_A_WHILE {
            member.epoch = LEFT_FOR_A_WHILE;
            member.state = State::Stable;
            member.revoking = Assignment::new();
            member.revoke_end_ms = None;
            member.restart_session(at);
        } else {
            self.remove(&id);
        }
        Ok(ConsumerGroupHeartbeatResponse::default()
            .with_member_id(Some(id))
            .with_member_epoch(request.member_epoch))
    }
}

impl Member {
    /// Takes over what the heartbeat says; what it leaves out stays. Says whether the subscription changed.
    fn learn(&mut self, beat: &Beat<'_>, pattern: Option<Pattern>) -> bool {
        let request = beat.request;
        self.client = beat.client.clone();
        if request.rack_id.is_some() {
            self.rack_id.clone_from(&request.rack_id);
        }
        if request.rebalance_timeout_ms != -1 {
            self.rebalance_timeout_ms = request.rebalance_timeout_ms.into();
        }
        if request.server_assignor.is_some() {
            // Counts from the next change of the group on.
            self.assignor.clone_from(&request.server_assignor);
        }
        let mut changed = false;
        if let Some(names) = &request.subscribed_topic_names {
            let names = names.iter().map(|name| name.0.clone()).collect();
            changed = self.names != names;
            self.names = names;
        }
        if request.subscribed_topic_regex.is_some() {
            let text = |pattern: &Option<Pattern>| pattern.as_ref().map(|p| p.text.clone());
            changed |= text(&self.pattern) != text(&pattern);
            self.pattern = pattern;
        }
        // Topics that appear or vanish are judged by the group.
        self.found = match &self.pattern {
            Some(pattern) => pattern.find(beat.visible.iter()).cloned().collect(),
            None => Default::default(),
        };
        changed
    }
}

/// FENCED_MEMBER_EPOCH unless it is the member's, or its previous one from a member that lost an answer.
fn check_epoch(member: &Member, epoch: i32, owned: Option<&Assignment>) -> Result<(), Refusal> {
    let fenced = |what: &str| {
        Err((
            ResponseError::FencedMemberEpoch,
            format!(
                "The consumer group member has a {what} member epoch ({epoch}) than the one known by the group coordinator ({}). The member must abandon all its partitions and rejoin.",
                member.epoch
            ),
        ))
    };
    if epoch > member.epoch {
        return fenced("greater");
    }
    let subset =
        owned.is_some_and(|owned| super::reconcile::without(owned, &member.assigned).is_empty());
    if epoch < member.epoch && !(epoch == member.previous_epoch && subset) {
        return fenced("smaller");
    }
    Ok(())
}

fn unknown(id: &str, group: &str) -> Refusal {
    (
        ResponseError::UnknownMemberId,
        format!("Member {id} is not a member of group {group}."),
    )
}

fn fenced_instance(id: &str, instance_id: &str, known: &str) -> Refusal {
    (
        ResponseError::FencedInstanceId,
        format!("Static member {id} with instance id {instance_id} was fenced by member {known}."),
    )
}

fn rows(assignment: &Assignment) -> AssignmentRow {
    let rows = assignment.iter().map(|(topic, partitions)| {
        TopicPartitions::default()
            .with_topic_id(*topic)
            .with_partitions(partitions.iter().copied().collect())
    });
    AssignmentRow::default().with_topic_partitions(rows.collect())
}
