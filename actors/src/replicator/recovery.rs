//! What a replicator does when the target refuses, forgets, loses, or goes away.

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{AsyncContext, Context};
use engine::cluster::{ClusterError, ErrorCode, Leader, Refusal};
use engine::lane::raw::window::Event;
use engine::wire::WireError;
use tokio::time::Instant;
use tracing::warn;

use super::{Assignment, Replicator, load_rules};
use crate::flow::Flow;
use crate::links;

impl Replicator {
    pub(super) fn find_target_later(
        &mut self,
        reason: String,
        refresh: bool,
        ctx: &mut Context<Self>,
    ) {
        self.target = None;
        self.set_target_trouble(Some(reason));
        let noticed = refresh.then(Instant::now);
        ctx.run_later(self.target_backoff.next_delay(), move |this, ctx| {
            this.find_target(noticed, ctx);
        });
    }

    /// Looks for the leader of the remote partition, after asking for news if something was `noticed`; then sends what is due.
    pub(super) fn find_target(&mut self, noticed: Option<Instant>, ctx: &mut Context<Self>) {
        let (flow, at) = (self.flow.clone(), self.at.clone());
        let look = async move {
            if let Some(noticed) = noticed {
                flow.target.refresh(&at.remote_topic, noticed).await?;
            }
            flow.target
                .leader_or_refresh(&at.remote_topic, at.partition)
                .await
        };
        let found =
            wrap_future::<_, Self>(look).map(|leader: Result<Leader, ClusterError>, this, ctx| {
                match leader {
                    Ok(leader) if this.at.map.is_elsewhere(leader.topic_id) => {
                        this.fail("the remote topic was deleted and created again", ctx);
                    }
                    Ok(leader) => {
                        let link = links::target(&this.flow, &leader.broker);
                        this.target = Some((leader, link));
                        this.go_on(ctx);
                        if this.window.as_ref().is_some_and(|window| window.is_empty()) {
                            this.set_target_trouble(None);
                        }
                    }
                    Err(error) => this.find_target_later(error.to_string(), true, ctx),
                }
            });
        ctx.spawn(found);
    }

    /// Sends what is due; learns before, if need be, what of it the target has stored already.
    fn go_on(&mut self, ctx: &mut Context<Self>) {
        let Some(window) = self.window.as_ref() else {
            return;
        };
        if !window.in_doubt() {
            self.send_due(ctx);
            return self.pump(ctx);
        }
        let (producer_id, from) = (window.producer_id(), window.next_downstream());
        let (flow, at) = (self.flow.clone(), self.at.clone());
        let ask = async move { what_is_stored(&flow, &at, producer_id, from).await };
        let asked = wrap_future::<_, Self>(ask).map(|stored, this, ctx| match stored {
            Ok(stored) => {
                let event = match (stored, this.window.as_mut()) {
                    // Unless another search was quicker and has sent already.
                    (Some(last_sequence), Some(window)) if window.in_doubt() => {
                        window.learned(last_sequence)
                    }
                    // Not to be had: the probe alone decides.
                    _ => Event::None,
                };
                match event {
                    Event::None => {
                        this.send_due(ctx);
                        this.pump(ctx);
                    }
                    event => this.digest(event, ctx),
                }
            }
            Err(error) => this.find_target_later(error.to_string(), true, ctx),
        });
        ctx.spawn(asked);
    }

    /// The target will not take the oldest batch as it is. If the topic's configs have changed, judge everything anew
    /// by them; otherwise an operator decides.
    pub(super) fn refused(&mut self, refusal: Refusal, too_large: bool, ctx: &mut Context<Self>) {
        let taken_back = self
            .window
            .as_mut()
            .map(|window| window.take_back())
            .unwrap_or_default();
        let head = taken_back.first();
        let (first, last) = head.map_or((self.position, self.position), |o| {
            (o.upstream_first, o.upstream_last)
        });
        // A target that does not tell its limits is asked with ever smaller batches.
        let smaller = head
            .filter(|head| too_large && head.records() > 1)
            .map(|head| head.batch.header.total_bytes() - 1);
        for outgoing in taken_back {
            self.credit.give_back(outgoing.credit_bytes);
        }
        let (flow, topic) = (self.flow.clone(), self.at.remote_topic.clone());
        self.target = None;
        self.set_target_trouble(Some(format!(
            "the target refuses offsets {first} to {last}: {refusal}"
        )));
        let reload = async move { load_rules(&flow, &topic).await };
        let reloaded = wrap_future::<_, Self>(reload).map(move |rules, this, ctx| match rules {
            Ok(told) if told != this.told_rules => {
                this.told_rules = told;
                this.rules = told;
                this.rewind(first, ctx);
            }
            Ok(_) if let Some(bytes) = smaller => {
                this.rules.max_message_bytes = bytes;
                this.rewind(first, ctx);
            }
            Ok(_) => {
                let what = if too_large { "raise max.message.bytes of" } else { "correct the configuration of" };
                let topic = &this.at.remote_topic;
                let reason = format!(
                    "the target refuses the batch of source offsets {first} to {last}: {refusal}; {what} {topic} \
                     on {} or skip the records, then restart",
                    this.flow.target.alias()
                );
                this.halt(&reason, ctx);
            }
            Err(error) => this.fail(&error.to_string(), ctx),
        });
        ctx.spawn(reloaded);
    }

    /// Reads again from `position` on. Nothing from there on is stored on the target.
    fn rewind(&mut self, position: i64, ctx: &mut Context<Self>) {
        warn!(
            partition = %self.start.name, position, max_message_bytes = self.rules.max_message_bytes,
            "the remote topic takes other batches than thought: reading again"
        );
        self.drop_backlog();
        self.position = position;
        self.last_fetched_epoch = self.at.map.leader_epoch().unwrap_or(-1);
        self.epochs.clear();
        self.follow(None, ctx);
        self.find_target(None, ctx);
    }

    /// No batch of the window follows what the target holds: it lost records that it had acknowledged.
    pub(super) fn lost(&mut self, ctx: &mut Context<Self>) {
        let producer_id = self
            .window
            .as_ref()
            .map_or(-1, |window| window.producer_id());
        let (flow, at) = (self.flow.clone(), self.at.clone());
        let ask = async move {
            flow.target
                .last_sequence(&at.remote_topic, at.partition, producer_id)
                .await
        };
        let asked = wrap_future::<_, Self>(ask).map(|last, this, ctx| {
            let known = match last {
                Ok(Some((_, sequence))) => format!("its last sequence of ours is {sequence}"),
                Ok(None) => "it knows nothing of our producer".to_owned(),
                Err(error) => error.to_string(),
            };
            // The next claim finds out what is missing, and copies it again.
            let reason = format!(
                "the log of {}-{} on {} was cut: it lacks records that it had acknowledged ({known})",
                this.at.remote_topic,
                this.at.partition,
                this.flow.target.alias()
            );
            this.fail(&reason, ctx);
        });
        ctx.spawn(asked);
    }
}

/// The target's last sequence of a producer id, or that it holds none of it at or behind `from`; none if that cannot be
/// had: no READ on the remote topic, or a broker before 2.8.
async fn what_is_stored(
    flow: &Flow,
    at: &Assignment,
    producer_id: i64,
    from: Option<i64>,
) -> Result<Option<Option<i32>>, ClusterError> {
    let (target, topic) = (&flow.target, &at.remote_topic);
    let stored = match target.last_sequence(topic, at.partition, producer_id).await {
        Ok(Some((_, last_sequence))) => Ok(Some(Some(last_sequence))),
        Ok(None) => match from {
            Some(from) => target
                .last_sequence_in_log(topic, at.partition, producer_id, from)
                .await
                .map(Some),
            None => Ok(None),
        },
        Err(error) => Err(error),
    };
    match stored {
        Err(ClusterError::Wire(WireError::Unsupported { .. })) => Ok(None),
        Err(error) if error.code() == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED) => Ok(None),
        other => other,
    }
}
