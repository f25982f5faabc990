//! Which source link a replicator reads from.

use std::mem;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context};
use engine::cluster::{ClusterError, ErrorCode, Leader};
use engine::lane::raw::fetch::Wanted;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::moved_log::Reposition;
use super::{FollowEnd, FollowEnded, Following, Replicator};
use crate::links;
use crate::registry::PartitionState;
use crate::source_link::{Follow, PARTITION_FETCH_BYTES_MAX, Unfollow};

impl Replicator {
    /// Looks for the leader, after asking for news if something was `noticed`, and reads from it.
    pub(super) fn follow(&mut self, noticed: Option<Instant>, ctx: &mut Context<Self>) {
        self.unfollow(ctx);
        self.following = Following::Looking;
        self.search += 1;
        let search = self.search;
        let (flow, at, known) = (self.flow.clone(), self.at.clone(), self.topic_id);
        let look = async move {
            let (source, topic) = (&flow.source, &at.source_topic);
            if let Some(noticed) = noticed {
                source.refresh(topic, noticed).await?;
            }
            let leader = source.leader_or_refresh(topic, at.partition).await?;
            if noticed.is_some() || !is_another(known, &leader) {
                return Ok(leader);
            }
            // Too much depends on it to believe what was heard some time ago.
            source.refresh(topic, Instant::now()).await?;
            source.leader_or_refresh(topic, at.partition).await
        };
        let found = wrap_future::<_, Self>(look).map(
            move |leader: Result<Leader, ClusterError>, this, ctx| match leader {
                _ if this.search != search => {}
                Ok(leader) => this.follow_leader(&leader, ctx),
                Err(error) => this.follow_later(error.to_string(), ctx),
            },
        );
        ctx.spawn(found);
    }

    /// Has the source link read the partition no more. What is on its way from it is thrown away.
    pub(super) fn unfollow(&mut self, ctx: &mut Context<Self>) {
        if let Following::On { follow_id, link } =
            mem::replace(&mut self.following, Following::Nothing)
        {
            let unfollow = Unfollow {
                follow_id,
                replicator: ctx.address(),
            };
            // A link that is gone, or full, forgets us at its next delivery.
            drop(link.try_send(unfollow));
        }
    }

    fn follow_leader(&mut self, leader: &Leader, ctx: &mut Context<Self>) {
        if self.flow.drain.fired() {
            return;
        }
        let known = self.topic_id.replace(leader.topic_id);
        if is_another(known, leader) {
            // The remote topic keeps the old incarnation's records; the new one's follow them, from its first.
            warn!(partition = %self.start.name, "the source topic was deleted and created again: copying the new one from its start");
            return self.reposition(Reposition::Recreated, ctx);
        }
        let link = links::source(&self.flow, &leader.broker);
        self.next_follow_id += 1;
        let follow = Follow {
            follow_id: self.next_follow_id,
            wanted: Wanted {
                topic: self.at.source_topic.clone(),
                topic_id: leader.topic_id,
                partition: self.at.partition,
                offset: self.position,
                leader_epoch: leader.epoch,
                last_fetched_epoch: self.last_fetched_epoch,
                bytes_max: i32::try_from(PARTITION_FETCH_BYTES_MAX).unwrap_or(i32::MAX),
            },
            credit: self.credit.clone(),
            replicator: ctx.address(),
        };
        match link.try_send(follow) {
            Ok(()) => {
                self.following = Following::On {
                    follow_id: self.next_follow_id,
                    link,
                };
                // Whether it works shows with the first answer; no news is good news on an idle partition.
                self.set_source_trouble(None);
            }
            Err(error) => self.follow_later(format!("the source link takes nothing: {error}"), ctx),
        }
    }

    pub(super) fn follow_later(&mut self, reason: String, ctx: &mut Context<Self>) {
        self.following = Following::Looking;
        self.set_source_trouble(Some(reason));
        let noticed = Instant::now();
        ctx.run_later(self.source_backoff.next_delay(), move |this, ctx| {
            this.follow(Some(noticed), ctx);
        });
    }

    pub(super) fn follow_ended(&mut self, ended: FollowEnded, ctx: &mut Context<Self>) {
        match &self.following {
            Following::On { follow_id, .. } if *follow_id == ended.follow_id => {}
            _ => return, // an earlier one
        }
        self.following = Following::Nothing;
        match ended.end {
            FollowEnd::LinkDown(reason) => self.follow_later(reason, ctx),
            FollowEnd::Draining => {
                self.drop_backlog();
                self.status.set_state(PartitionState::Stopped, "draining");
            }
            FollowEnd::Refused(ErrorCode::OFFSET_OUT_OF_RANGE) => {
                self.reposition(Reposition::OutOfRange, ctx);
            }
            FollowEnd::Refused(code) => {
                let broker = self.flow.source.alias();
                self.follow_later(format!("source cluster {broker} answers {code}"), ctx);
            }
            FollowEnd::Diverging { epoch, end_offset } => self.diverged(epoch, end_offset, ctx),
            FollowEnd::Unreadable { offset, reason } => self.halt(
                &format!(
                    "cannot read the source's batch at offset {offset}: {reason}; repair or skip it there"
                ),
                ctx,
            ),
        }
    }
}

/// Whether the topic was created again since its id was `known`; brokers that do not tell ids do not say so.
fn is_another(known: Option<Uuid>, leader: &Leader) -> bool {
    let told = |id: &Uuid| !id.is_nil();
    known
        .filter(told)
        .is_some_and(|known| known != leader.topic_id && told(&leader.topic_id))
}
