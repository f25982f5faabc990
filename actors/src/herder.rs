//! Owns one flow: which topics are copied, where to, and by which replicators.

mod config_sync;
mod obey;
mod remote_topics;
mod taken;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use actix::fut::{ActorFutureExt, wrap_future};
use actix::{Actor, Addr, AsyncContext, Context, SpawnHandle};
use engine::cluster::TopicListing;
use engine::offsets::{OffsetTable, SourcePartition};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::control::TargetState;
use crate::flow::Flow;
use crate::lease::LeaseError;
use crate::positions::PositionStore;
use crate::registry::{PartitionKey, PartitionState};
use crate::replicator::{Assignment, Replicator, load_all_rules};
use crate::supervisor::{
    ChildSpec, Placement, RunningChild, StartContext, Supervise, Supervisor, TICK_INTERVAL,
    Unsupervise,
};
use config_sync::ConfigSync;
use remote_topics::Blocked;

/// Waits after a round that failed, or in which a topic could not be created.
const RETRY_BASE: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Leaders and addresses are asked for again when they are older, as Kafka's `metadata.max.age.ms`.
const METADATA_AGE_MAX: Duration = Duration::from_secs(300);

/// Which of a topic's partitions this node copies. One node copies all.
pub type AssignedFn = dyn Fn(&str, i32) -> bool + Send + Sync;

/// Discovers topics and partitions, creates remote topics, and starts and stops replicators for the partitions that
/// are assigned to this node. MM2: `MirrorSourceConnector` with the herder of its flow.
///
/// Everything is a round (`docs/spec/mm2.md` 4.2 to 4.4): compare both clusters, mend the target, adjust the set of replicators. A round
/// compares with what runs, not with what the last round saw, so one that failed half-way leaves nothing behind.
pub struct Herder {
    flow: Arc<Flow>,
    supervisor: Addr<Supervisor>,
    assigned: Arc<AssignedFn>,
    start: StartContext,
    backoff: Backoff,
    /// What was stored when the flow started; none until it was read.
    stored: Option<Arc<OffsetTable>>,
    /// What is copied, with the id of the topic as of the last round.
    running: BTreeMap<(String, i32), Uuid>,
    /// What is being stopped, still in `running`.
    leaving: BTreeSet<(String, i32)>,
    /// Partitions that are shown as waiting though nothing runs for them.
    shown_blocked: BTreeSet<(String, i32)>,
    /// Partitions that another source connector copies, and its name.
    taken: BTreeMap<(String, i32), String>,
    /// Topics of which it was said that they are blocked.
    told_blocked: BTreeSet<String>,
    /// Keeps the remote topics' configs as their sources'.
    config_sync: ConfigSync,
    /// What an operator wants, as far as it was done.
    obeyed: TargetState,
    /// Rounds so far: what an earlier one finds out is thrown away.
    rounds: u64,
    /// The next round, if one is planned.
    next_round: Option<SpawnHandle>,
}

/// What a round found out.
struct Round {
    stored: Arc<OffsetTable>,
    /// Partitions to copy, (source topic, partition), with the topic's id.
    wanted: BTreeMap<(String, i32), Uuid>,
    /// Source topics of which partitions cannot be copied now, each with its partition count.
    blocked: BTreeMap<String, (Blocked, i32)>,
}

impl Herder {
    /// How the supervisor starts it.
    pub fn spec(
        flow: Arc<Flow>,
        supervisor: Addr<Supervisor>,
        assigned: Arc<AssignedFn>,
    ) -> ChildSpec {
        let name = format!("{}/herder", flow.label);
        ChildSpec::new(name, Placement::Control, move |start| {
            let (flow, supervisor) = (flow.clone(), supervisor.clone());
            let (assigned, arbiter, start) =
                (assigned.clone(), start.arbiter.clone(), start.clone());
            RunningChild::of(Self::start_in_arbiter(&arbiter, move |_| Self {
                flow,
                supervisor,
                assigned,
                start,
                backoff: Backoff::new(RETRY_BASE, RETRY_MAX),
                stored: None,
                running: BTreeMap::new(),
                leaving: BTreeSet::new(),
                shown_blocked: BTreeSet::new(),
                taken: BTreeMap::new(),
                told_blocked: BTreeSet::new(),
                config_sync: ConfigSync::default(),
                obeyed: TargetState::Running,
                rounds: 0,
                next_round: None,
            }))
        })
    }

    fn round(&mut self, ctx: &mut Context<Self>) {
        if self.flow.drain.fired() || self.obeyed != TargetState::Running {
            return;
        }
        self.rounds += 1;
        let this_round = self.rounds;
        let (flow, stored) = (self.flow.clone(), self.stored.clone());
        let found =
            wrap_future::<_, Self>(look(flow, stored)).map(move |round, this, ctx| match round {
                _ if this.rounds != this_round => {}
                Ok(round) => this.adjust(round, ctx),
                Err(error) => {
                    this.flow.set_trouble(Some(error.to_string()));
                    this.again(true, ctx);
                }
            });
        ctx.spawn(found);
    }

    /// Plans the next round: at the refresh interval, or earlier if this one left something undone.
    fn again(&mut self, undone: bool, ctx: &mut Context<Self>) {
        let interval = self.flow.config.refresh_topics_interval;
        let delay = if undone {
            let delay = self.backoff.next_delay();
            interval.map_or(delay, |interval| interval.min(delay))
        } else {
            self.backoff.reset();
            match interval {
                Some(interval) => interval,
                None => return, // refresh.topics.enabled=false: what was found at the start stays
            }
        };
        self.next_round = Some(ctx.run_later(delay, Self::round));
    }

    fn adjust(&mut self, round: Round, ctx: &mut Context<Self>) {
        self.flow.set_trouble(None);
        if self.stored.is_none() {
            self.stored = Some(round.stored.clone());
            self.supervise(PositionStore::spec(self.flow.clone()), ctx);
        }
        self.show_blocked(&round.blocked);
        let mut wanted = round.wanted;
        wanted.retain(|(topic, partition), _| (self.assigned)(topic, *partition));
        let gone: Vec<_> = (self.running.keys())
            .filter(|at| !wanted.contains_key(*at) && !self.leaving.contains(*at))
            .cloned()
            .collect();
        let (mut new, mut taken) = (Vec::new(), BTreeMap::new());
        for (at, id) in &wanted {
            match self.running.get_mut(at) {
                Some(known) => *known = *id, // its replicator notices a new id by itself
                None => match self.flow.maps.owners.take(&self.flow, &at.0, at.1) {
                    Ok(()) => new.push((at.clone(), *id)),
                    Err(by) => drop(taken.insert(at.clone(), by)),
                },
            }
        }
        self.show_taken(taken, &wanted);
        if !(gone.is_empty() && new.is_empty()) {
            info!(flow = %self.flow.label, started = new.len(), stopped = gone.len(), total = wanted.len(), "partitions");
        }
        for (topic, partition) in gone {
            // A blocked topic is not gone: what runs goes on.
            if !round.blocked.contains_key(&topic) {
                self.stop_replicator(&topic, partition, ctx);
            }
        }
        let others = match new.as_slice() {
            [] => HashMap::new(),
            _ => self.positions_of_others(&round.stored),
        };
        for (at, id) in new {
            let others = others.get(&at).map_or(&[][..], Vec::as_slice);
            self.start_replicator(&round.stored, others, at, id, ctx);
        }
        self.again(!round.blocked.is_empty(), ctx);
        self.begin_config_sync(ctx);
    }

    /// Gives partitions that nothing runs for a state and a reason, and takes those back that are past.
    fn show_blocked(&mut self, blocked: &BTreeMap<String, (Blocked, i32)>) {
        let mut shown = BTreeSet::new();
        self.tell_blocked(blocked);
        for (topic, (Blocked { reason, from }, partitions)) in blocked {
            for partition in *from..*partitions {
                let at = (topic.clone(), partition);
                if !self.running.contains_key(&at) {
                    let status = self.flow.registry.partition(self.key(topic, partition));
                    status.set_state(PartitionState::Waiting, reason.clone());
                    shown.insert(at);
                }
            }
        }
        for (topic, partition) in self.shown_blocked.difference(&shown) {
            self.flow.registry.remove(&self.key(topic, *partition));
        }
        self.shown_blocked = shown;
    }

    /// Says once of each topic what is wrong with it and what becomes of it, and when that is over.
    fn tell_blocked(&mut self, blocked: &BTreeMap<String, (Blocked, i32)>) {
        let flow = &self.flow.label;
        for (topic, (Blocked { reason, .. }, _)) in blocked {
            if !self.told_blocked.insert(topic.clone()) {
                continue;
            }
            let all = (topic.clone(), 0)..=(topic.clone(), i32::MAX);
            match self.running.range(all).count() {
                0 => warn!(%flow, topic, reason, "cannot copy the topic yet, trying again"),
                running => {
                    warn!(%flow, topic, reason, running, "the topic's running partitions go on, no others are started; trying again");
                }
            }
        }
        self.told_blocked.retain(|topic| {
            let still = blocked.contains_key(topic);
            if !still {
                info!(%flow, topic, "the topic is well again, or gone");
            }
            still
        });
    }

    fn key(&self, topic: &str, partition: i32) -> PartitionKey {
        PartitionKey {
            flow: self.flow.label.clone(),
            topic: topic.into(),
            partition,
        }
    }

    fn start_replicator(
        &mut self,
        stored: &OffsetTable,
        others: &[i64],
        (topic, partition): (String, i32),
        id: Uuid,
        ctx: &mut Context<Self>,
    ) {
        let config = &self.flow.config;
        let at = SourcePartition {
            cluster: config.id.source.as_str().to_owned(),
            topic: topic.clone(),
            partition,
        };
        let position = stored
            .last_replicated(&config.connector_names.source, &at)
            .map(|last| last.0 + 1);
        let opened = (self.flow.maps).open(&self.flow, (&topic, partition), id, position, others);
        let assignment = Assignment {
            source_topic: topic.as_str().into(),
            remote_topic: config.remote_topic(&topic).into(),
            partition,
            resume_at: opened.resume_at,
            map: opened.map,
        };
        debug!(flow = %self.flow.label, topic, partition, resume_at = assignment.resume_at, "starting");
        let status = self.flow.registry.partition(self.key(&topic, partition));
        self.supervise(Replicator::spec(self.flow.clone(), assignment, status), ctx);
        self.running.insert((topic, partition), id);
    }

    fn supervise(&self, child: ChildSpec, ctx: &mut Context<Self>) {
        let asked = self.supervisor.send(Supervise(child));
        let answered = wrap_future::<_, Self>(asked).map(|result, this, _| match result {
            // A herder that was restarted finds its replicators at work: that is as it should be.
            Ok(Ok(()) | Err(crate::SuperviseError::AlreadySupervised { .. })) => {}
            Err(error) => warn!(flow = %this.flow.label, %error, "the supervisor does not answer"),
        });
        ctx.spawn(answered);
    }

    fn stop_replicator(&mut self, topic: &str, partition: i32, ctx: &mut Context<Self>) {
        info!(flow = %self.flow.label, topic, partition, "the source has it no more: the copy stays, copying ends");
        let at = (topic.to_owned(), partition);
        self.leaving.insert(at.clone());
        let name = format!("{}/{topic}-{partition}", self.flow.label);
        let (flow, key) = (self.flow.clone(), self.key(topic, partition));
        let asked = self.supervisor.send(Unsupervise { name: name.into() });
        ctx.spawn(wrap_future::<_, Self>(asked).map(move |_, this, _| {
            this.leaving.remove(&at);
            this.running.remove(&at);
            flow.maps.owners.release(&flow.label, &at.0, at.1);
            if !this.running.keys().any(|(topic, _)| *topic == at.0) {
                flow.source.forget(&at.0);
                flow.target.forget(&flow.config.remote_topic(&at.0));
            }
            flow.registry.remove(&key);
        }));
    }
}

/// One look at both clusters, with what is missing on the target created.
async fn look(flow: Arc<Flow>, stored: Option<Arc<OffsetTable>>) -> Result<Round, LeaseError> {
    let stored = match stored {
        Some(stored) => stored,
        None => Arc::new(flow.positions.load(&flow).await?),
    };
    let mut listed = flow.source.topics().await?;
    listed.retain(|topic| !topic.is_internal && flow.config.replicates(&topic.name));
    // What the source cannot tell now stays as it is: stopping it would write its batches in flight twice.
    let untold = listed.extract_if(.., |topic| topic.error.is_some());
    let untold: Vec<TopicListing> = untold.collect();
    let source: BTreeMap<String, i32> = listed
        .iter()
        .map(|topic| (topic.name.clone(), topic.partitions))
        .collect();
    let blocked = remote_topics::create_missing(&flow, &source).await?;
    let unknown: Vec<String> = source
        .keys()
        .filter(|topic| blocked.get(*topic).is_none_or(|blocked| blocked.from > 0))
        .map(|topic| flow.config.remote_topic(topic))
        .filter(|remote| !flow.rules.contains_key(remote.as_str()))
        .collect();
    if !unknown.is_empty() {
        load_all_rules(&flow, &unknown).await?;
    }
    let wanted = listed
        .iter()
        .flat_map(|topic| {
            let ready = blocked
                .get(&topic.name)
                .map_or(topic.partitions, |blocked| blocked.from);
            (0..ready).map(|partition| ((topic.name.clone(), partition), topic.id))
        })
        .collect();
    let untold = untold.into_iter().filter_map(|topic| {
        let code = topic.error?;
        let reason = format!("source cluster {} answers {code}", flow.source.alias());
        Some((topic.name, Blocked { reason, from: 0 }))
    });
    let blocked = blocked
        .into_iter()
        .chain(untold)
        .map(|(topic, blocked)| {
            let partitions = source.get(&topic).copied().unwrap_or(0);
            (topic, (blocked, partitions))
        })
        .collect();
    Ok(Round {
        stored,
        wanted,
        blocked,
    })
}

impl Actor for Herder {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.start.stop_on_kill(ctx);
        ctx.run_interval(TICK_INTERVAL, |this, _| this.start.progress.tick());
        ctx.run_interval(METADATA_AGE_MAX, |this, ctx| {
            let flow = this.flow.clone();
            ctx.spawn(wrap_future::<_, Self>(async move {
                for cluster in [&flow.source, &flow.target] {
                    if let Err(error) = cluster.refresh_older_than(METADATA_AGE_MAX / 2).await {
                        debug!(flow = %flow.label, %error, "metadata not refreshed");
                    }
                }
            }));
        });
        ctx.run_interval(obey::LOOK_INTERVAL, Self::obey);
        ctx.run_interval(taken::LOOK_INTERVAL, Self::look_for_free);
        // A flow may be paused or stopped from its start.
        self.obey(ctx);
        self.round(ctx);
    }
}
